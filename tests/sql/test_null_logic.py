"""Three-valued logic: in a guard, an unknown result must refuse.

`if a <> b then raise` lets a null through, because the condition is then unknown, not true.  So every
comparison in a condition that leads to a refusal must handle null (`is distinct from`, `is not true`,
`coalesce`), or be listed here with the reason why neither side can be null or why null may pass.
"""

from __future__ import annotations

import re

import pytest

OURS = "(select oid from pg_namespace where nspowner = 'aegis_owner'::regrole)"
BODIES = f"""
select oid::regproc::text, pg_get_functiondef(oid)
from pg_proc
where pronamespace in {OURS} and prokind = 'f'
order by 1
"""

COMMENT = re.compile(r"--[^\n]*")
GUARD = re.compile(
    r"(?<!end )\b(?:els)?if\b((?:(?!\bthen\b).)*)\bthen\s+(?:return false|raise exception)", re.S
)
SUBQUERY = re.compile(r"(?:not )?exists \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")  # exists is never null
SAFE = re.compile(r"is (?:not )?distinct from|is (?:not )?(?:true|false|null)")
RISKY = re.compile(
    r"<>|[<>]=?|(?<![<>])=|\bin \(|\bbetween\b|\bnot (?!found\b|null\b|true\b|false\b|distinct\b)"
)

# Conditions whose parts cannot be null, or where null is intended, with the reason.
ALLOWED = {
    ("bus.require_read_committed", "current_setting('transaction_isolation') <> 'read committed'"):
        "a setting that is always there",
    ("risk.change_mode", "coalesce(trim(p_reason), '') = ''"): "coalesce",
    ("risk.refuse_action", "p_verdict = 'APPROVE'"): "it refuses either way",
    ("strategy.gate_portfolio", "v_refusal is not null and v_quantity = 0"): "size_pick gives a number",
    ("api.drop_partitions", "coalesce(trim(p_reason), '') = ''"): "coalesce",
    ("api.add_tick_table",
     "(0 = any(p_prices)) is not true or"
     " (select count(*) <> count(distinct b.price) from unnest(p_prices) as b (price))"):
        "a count is never null",
    ("api.declare_lost", "trade.reason_to_keep_checking(v_order, v_broker) in ('TOO_EARLY', 'AMEND_FIRST')"):
        "null is no reason to wait",
    ("strategy.next_pick_turn", "(v_rate.tokens < 0 or v_waiting >= v_rate.most_waiting) and"):
        "columns that are not null, and a count",
    ("api.propose", "p_quantity <= 0 or p_limit_price <= 0 or (p_ttl > interval '0') is not true"):
        "what is null is chosen by the router",
    ("api.record_cash",
     "coalesce(p_kind, '') not in ('deposit', 'withdrawal', 'dividend', 'correction')"
     " or coalesce(p_amount, 0) = 0 or bus.is_amount(p_amount) is not true"
     " or (p_kind = 'deposit' and p_amount < 0)"
     " or (p_kind = 'withdrawal' and p_amount > 0)"): "coalesce, and what comes after it is not null",
    ("api.record_cash", "octet_length(p_idempotency_key) not between 1 and 200"): "null is no key",
}  # fmt: skip


def squeeze(text: str) -> str:
    return " ".join(SUBQUERY.sub("", COMMENT.sub("", text)).split())


def is_one_group(condition: str) -> bool:
    """Whether one pair of parentheses encloses everything before `is not true`."""
    text, depth = condition.removesuffix(" is not true"), 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text.startswith("(") and place == len(text) - 1
    return False


def is_safe(condition: str) -> bool:
    """Whether a condition handles null in every comparison: as a whole, or part by part."""
    parts = re.split(r"\b(?:or|and)\b", condition)
    if re.fullmatch(r".* is not true", condition) and (len(parts) == 1 or is_one_group(condition)):
        return True
    return all(SAFE.search(part) or not RISKY.search(part) for part in parts)


@pytest.fixture(scope="module")
def bodies(pg_server, template):
    with pg_server.connect(template) as conn:
        return dict(conn.execute(BODIES).fetchall())


def guards(bodies):
    for name, body in bodies.items():
        for condition in GUARD.findall(COMMENT.sub("", body.partition("AS ")[2])):
            yield name, squeeze(condition)


def test_every_guard_refuses_what_is_not_known(bodies):
    found = {(name, condition) for name, condition in guards(bodies) if not is_safe(condition)}

    assert len(list(guards(bodies))) > 40, "they are still found"
    assert found - set(ALLOWED) == set()
    assert set(ALLOWED) - found == set(), "what is gone needs no excuse"


SHAPES = {
    "a comparison with all of an array, in which one null makes it unknown": re.compile(r"<> all ?\("),
    "not in, which a null in the list makes unknown": re.compile(r"(?<!\w)not in \(\s*select"),
    "not (... = any (...)), the same in other words": re.compile(r"not \(?[\w.]+ = any ?\("),
    "if not of a bare value, which null passes by": re.compile(
        r"\bif not (?!found\b|exists\b|v_answer\b)(?:[a-z_]+\.)?[pv]_\w+"
    ),
}
# Functions where such a value is never null.
NEVER_NULL = {"trade.activate_replacement", "trade.close_or_request_cancel", "api.cancel_intent"}


@pytest.mark.parametrize("shape", SHAPES)
def test_no_function_has_a_shape_that_null_slips_through(bodies, shape):
    found = {name for name, body in bodies.items() if SHAPES[shape].search(COMMENT.sub("", body))}

    assert found - NEVER_NULL == set(), shape


@pytest.mark.parametrize(
    ("condition", "safe"),
    [
        ("p_symbol <> all(v_mine.symbols)", False),
        ("(p_symbol = any(v_mine.symbols)) is not true", True),
        ("v_order.fence <> p_fence", False),
        ("v_order.fence is distinct from p_fence", True),
        ("v_mode in ('A', 'B') is not true", True),
        ("(a = b and c = d) is not true", True),
        ("(a = b) or (c = d) is not true", False),
        ("not v_instrument.is_active", False),
        ("not found", True),
        ("a is null or b = 1", False),
    ],
)
def test_what_counts_as_safe(condition, safe):
    assert is_safe(condition) is safe
