"""One strategy as a process: it reads prices and sends proposals, under a login that can do nothing else.

The process keeps no state that matters.  After a restart the indicators are empty and warm up again;
positions, budget and proposals are in the database.  Each proposal has an idempotency key made from the price
that caused it, so a proposal repeated after a lost connection counts once.

An error in the strategy's own code ends the process, with the traceback in the log and in the database:
continuing with indicators in an unknown state would be guessing.  The supervisor restarts the process.
"""

from __future__ import annotations

import json
import traceback
from collections import deque
from datetime import datetime, timedelta

from workers.runtime.database import Queries, is_away
from workers.runtime.errors import AegisError, NotFound, Refused
from workers.runtime.settings import Settings
from workers.runtime.worker import Worker
from workers.strategies import Price, Proposal, Strategy
from workers.strategies.loading import load_strategy

ROW = "select strategy, class, venue, symbols, parameters from api.my_strategy"
# An unsound side gets the other side's price and size 0; a quote with no sound side is left out.
PRICES = """
select p.symbol, coalesce(s.bid, s.ask), coalesce(s.ask, s.bid), p.received_at, p.received_seq,
    coalesce(s.bid_size, 0), coalesce(s.ask_size, 0), p.last
from api.prices as p
cross join lateral (
    select
        case when p.bid_is_sound then p.bid end as bid,
        case when p.bid_is_sound then p.bid_size end as bid_size,
        case when p.ask_is_sound then p.ask end as ask,
        case when p.ask_is_sound then p.ask_size end as ask_size
) as s
where p.venue = $1 and p.symbol = any($2::text[]) and (p.bid_is_sound or p.ask_is_sound)
order by p.received_at, p.received_seq
"""
POSITIONS = "select symbol, qty from api.my_positions where qty > 0"
PROPOSE = """
select api.propose(
    p_symbol => $1, p_side => $2, p_intent_type => $3, p_quantity => $4, p_limit_price => $5,
    p_reason => $6, p_idempotency_key => $7
)
"""


class StrategyCrashed(AegisError):
    """The strategy's own code raised an error."""


class StrategyWorker(Worker):
    """`strategy NAME`: passes each new price to the strategy and sends its proposals."""

    name = "strategy"
    channels = ("quotes",)
    poll = timedelta(seconds=1)
    is_timed = False

    def __init__(
        self, settings: Settings | None = None, *args: str, db: Queries | None = None, worker_id: int = 0
    ) -> None:
        if args:
            self.name = f"strategy.{args[0]}"
        super().__init__(settings, *args, db=db, worker_id=worker_id)
        self.strategy: Strategy | None = None
        self.lockstep = db is not None
        self.venue = ""
        self.seen: dict[str, tuple[datetime, int]] = {}  # the last price of each symbol passed to it
        self.unsent: deque[tuple[str, Proposal]] = deque()  # idempotency key and proposal

    async def start(self) -> None:
        try:
            await self._load()
        except Exception as error:
            await self.tell(error, traceback=traceback.format_exc())
            raise

    async def _load(self) -> None:
        row = await self.db.fetchrow(ROW)
        if row is None:
            raise NotFound("this login is not that of a strategy", hint="Create one with aegis strategy add.")
        self.venue = row["venue"]
        self.strategy = load_strategy(row["class"])(row["symbols"], json.loads(row["parameters"]))

    async def drain(self) -> int:
        """Pass the strategy each price it has not seen; return how many proposals were sent."""
        if self.strategy is None:
            await self._load()
        try:
            await self._look()
        except StrategyCrashed as error:
            await self._give_up(error)
        return await self._send()

    async def _look(self) -> None:
        """Pass each new price to the strategy, in order of arrival, and queue its proposals."""
        assert self.strategy is not None
        symbols = list(self.strategy.get_required_subscriptions())
        prices = [Price(*row) for row in await self.db.fetch(PRICES, self.venue, symbols)]
        fresh = [price for price in prices if self.seen.get(price.symbol) != price.moment]
        if not fresh:
            return
        self.strategy.positions = dict(await self.db.fetch(POSITIONS))
        for price in fresh:
            self.seen[price.symbol] = price.moment
            for number, proposal in enumerate(_ask(self.strategy, price)):
                key = f"{price.symbol} {price.received_at.isoformat()} {price.received_seq} {number}"
                self.unsent.append((key, proposal))

    async def _send(self) -> int:
        """Send the queued proposals; keep one with its key and retry it while the database is away."""
        sent = 0
        while self.unsent:
            key, proposal = self.unsent[0]
            try:
                await self._propose(key, proposal)
                sent += 1
            except Refused as error:
                facts = {"code": error.sqlstate, "hint": error.hint}
                self.log.warning("%s %s: %s", proposal.side, proposal.symbol, error, extra=facts)
            except Exception as error:
                if not is_away(error):
                    self.unsent.popleft()
                raise
            self.unsent.popleft()
        return sent

    async def _propose(self, key: str, proposal: Proposal) -> None:
        await self.db.execute(
            PROPOSE,
            proposal.symbol,
            proposal.side,
            proposal.intent_type,
            proposal.quantity,
            proposal.limit_price,
            proposal.reason,
            key,
        )

    async def _give_up(self, error: StrategyCrashed) -> None:
        """Report the error and end the process; in a replay, raise it at once."""
        if self.lockstep:
            raise error
        self.log.error("%s", error, exc_info=error)
        await self.tell(error, traceback="".join(traceback.format_exception(error)))
        self.end_with(error)

    async def report_outage(self) -> None:
        """Do nothing: a strategy's login may not report outages; the core workers do."""


def _ask(strategy: Strategy, price: Price) -> list[Proposal]:
    """Run the strategy's own code on a price; return its proposals."""
    try:
        strategy.populate_indicators(price)
        proposals = list(strategy.on_data(price))
        for proposal in proposals:
            if not isinstance(proposal, Proposal):
                raise TypeError(f"on_data must yield Proposals, not {proposal!r}")
    except Exception as error:
        where = type(strategy).__name__
        raise StrategyCrashed(f"{where} failed at a price of {price.symbol}: {error!r}") from error
    return proposals
