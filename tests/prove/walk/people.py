"""Steps of time, of the mode and of people: expiry, halts, approvals, cancels and a restart."""

from __future__ import annotations

from tests.prove.model import sweeps as sweeps_model
from tests.prove.place import CODE
from tests.prove.walk.walker import Walk


def expire(walk: Walk) -> None:
    picks = "select count(*) from strategy.picks where status = 'NEW' and expires_at <= %s"
    row = walk.place.db.execute(picks, [walk.model.now]).fetchone()
    assert row
    walk.both("risk", "select expire_due()", (), lambda: sweeps_model.expire_due(walk.model) + row[0])


def enforce(walk: Walk) -> None:
    walk.both("risk", "select enforce_modes()", (), lambda: sweeps_model.enforce_modes(walk.model))


def mode(walk: Walk) -> None:
    if walk.model.mode != "NORMAL" and walk.chance(75):
        if walk.chance(20) and walk.model.mode == "HALT":
            said = walk.attempt("desk", "select resumed from resume('test', 'wrong')")
            walk.must(said == ("ok", False), f"a wrong code was answered with {said}")
        said = walk.attempt("desk", "select resumed from resume('test', %s)", CODE)
        walk.must(said == ("ok", True), f"resume was answered with {said}")
        walk.model.mode = "NORMAL"
    elif walk.chance(50):
        walk.attempt("desk", "select halt('test')")
        walk.model.mode = "HALT"
    else:
        walk.attempt("desk", "select safe('test')")
        walk.model.mode = "HALT" if walk.model.mode == "HALT" else "SAFE"
    walk.let_pass(0.001)  # so that what follows has a later time than the change


def decide(walk: Walk) -> None:
    pending = [i for i in walk.model.intents.values() if i.status == "PENDING_APPROVAL"]
    intent = walk.choices.one_of(pending) if pending and walk.chance(90) else walk.intent()
    if intent:
        verb, expected = walk.choices.one_of(
            (
                ("approve", sweeps_model.approve),
                ("approve", sweeps_model.approve),
                ("reject", sweeps_model.reject),
            )
        )
        walk.both("desk", f"select {verb}(%s, 'test')", (intent.id,), lambda: expected(walk.model, intent))


def cancel(walk: Walk) -> None:
    if intent := walk.intent():
        query = "select cancel_intent(%s, 'test')"
        walk.both("desk", query, (intent.id,), lambda: sweeps_model.cancel_intent(walk.model, intent))


def restart(walk: Walk) -> None:
    if walk.chance(20):
        walk.place.ask("supervisor", "select run_number from begin_run()")
        walk.model.run += 1
