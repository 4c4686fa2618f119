"""A simulated Korean stock market, so that a new user sees the whole system work without a broker account.

The venue is SIM.  The seed determines every event: the market uses a counter-based random generator and
calculates in whole millionths of a won, so two runs with one seed are equal byte for byte on any machine.
`Market` generates the events and uses no clock; `SimulatorFeed` releases them when they are due.

`liveliness` says how many market seconds pass per second.  At 1, prices move as on a real day, and a demo of
a minute would show nothing.  At the default 400, a whole trading day of 390 minutes (about 2 % volatility, a
busy open and close, a quiet noon) passes in about a minute, so stops and targets are reached within seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import isqrt

from workers.feeds import Event, Quote, Source, Trade
from workers.feeds.errors import FeedError
from workers.feeds.grid import Grid
from workers.feeds.krx import daily_limits, down, round_down, up
from workers.feeds.pacing import flat_out, paced, utc_now

DEFAULT_RATE = 200  # quotes per second, over all symbols
DEFAULT_LIVELINESS = 400  # market seconds per second
SESSION = 390 * 60 * 1_000_000  # a trading day, in microseconds
JUMPS_PER_DAY = 3  # for each symbol
PPB = 1_000_000_000
MICRO = 1_000_000  # fair prices are kept in millionths of a won
MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15
DRAWS_PER_STEP = 3
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # the placeholder in events that have no time yet


@dataclass(frozen=True, slots=True)
class Instrument:
    """One symbol: its last close, how much it moves in a day, and how often it is quoted."""

    symbol: str
    name: str
    prev_close: int
    daily_ppm: int
    weight: int


INSTRUMENTS = (
    Instrument("005930", "Samsung Electronics", 71_900, 18_000, 8),
    Instrument("000660", "SK hynix", 186_500, 26_000, 7),
    Instrument("373220", "LG Energy Solution", 402_000, 24_000, 5),
    Instrument("207940", "Samsung Biologics", 1_052_000, 17_000, 3),
    Instrument("005380", "Hyundai Motor", 243_500, 20_000, 5),
    Instrument("000270", "Kia", 101_300, 20_000, 5),
    Instrument("068270", "Celltrion", 189_700, 22_000, 4),
    Instrument("005490", "POSCO Holdings", 352_500, 22_000, 4),
    Instrument("035420", "NAVER", 168_900, 21_000, 6),
    Instrument("035720", "Kakao", 38_450, 23_000, 6),
    Instrument("105560", "KB Financial", 87_600, 19_000, 5),
    Instrument("088350", "Hanwha Life", 3_015, 25_000, 4),
)


class Draws:
    """splitmix64: one 64-bit number per call, the same on every machine; it can start at any step."""

    def __init__(self, seed: int, first_step: int = 0) -> None:
        self.state = (seed * 0xD1342543DE82EF95 + first_step * DRAWS_PER_STEP * GAMMA) & MASK

    def next(self) -> int:
        self.state = z = (self.state + GAMMA) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)


class Book:
    """The simulated fair price of one symbol, moved step by step, and the quotes around it."""

    __slots__ = ("anchor", "fair", "jump", "lower", "most", "pull", "sd", "symbol", "trend", "upper")

    def __init__(self, instrument: Instrument, step_us: int, mid: Decimal | None) -> None:
        self.symbol = instrument.symbol
        self.anchor = instrument.prev_close * MICRO
        self.fair = self.anchor if mid is None else int(mid * MICRO)
        self.lower, self.upper = daily_limits(instrument.prev_close)
        self.most = max(10, 100_000_000 // instrument.prev_close)  # shares shown at the best price
        # Standard deviation of one step of `step_us` market microseconds, in parts per billion.
        self.sd = instrument.daily_ppm * isqrt(step_us * MICRO * MICRO // SESSION) // 1_000
        self.pull = min(step_us * PPB // SESSION, PPB // 4)  # back to the last close within about a day
        self.jump = JUMPS_PER_DAY * step_us * (1 << 32) // SESSION  # chance of a jump in 2**32
        self.trend = 0

    def move(self, bell: int, luck: int, loudness: int) -> None:
        """Move one step: noise, the current trend, the pull to the last close, and rarely a jump."""
        if not luck & 0x3F:  # a new trend every 64 quotes or so
            self.trend = self.sd * ((luck >> 6 & 0xF) - (luck >> 10 & 0xF)) // 64
        ppb = (self.sd * bell * loudness // 4_000) + self.trend
        if luck >> 32 < self.jump:
            size = 5_000_000 + (luck >> 14 & 0xFFFF) * 300  # 0.5 % to 2.5 %
            ppb += size if luck & 0x40 else -size
        fair = self.fair + self.fair * ppb // PPB + (self.anchor - self.fair) * self.pull // PPB
        self.fair = min(max(fair, self.lower * MICRO), self.upper * MICRO)

    def best(self, spread: int) -> tuple[int, int]:
        """Bid and ask around the fair price: on ticks, inside the daily limits, never crossed."""
        bid = max(down(round_down(self.fair // MICRO), (spread - 1) // 2), self.lower)
        ask = up(bid, spread)
        if ask > self.upper:
            ask = self.upper
            bid = down(ask, spread)
        return bid, ask


class Market:
    """Generates the events of a simulated market step by step; it uses no clock and never ends."""

    def __init__(
        self,
        seed: int,
        *,
        rate: int = DEFAULT_RATE,
        liveliness: int = DEFAULT_LIVELINESS,
        instruments: Sequence[Instrument] = INSTRUMENTS,
        first_step: int = 0,
        mids: Mapping[str, str] | None = None,
    ) -> None:
        if not 1 <= rate <= 100_000:
            raise FeedError(f"the rate is 1 to 100000 quotes a second, not {rate}")
        if not 1 <= liveliness <= 10_000:
            raise FeedError(f"the liveliness is 1 (a real day) to 10000, not {liveliness}")
        self.draws = Draws(seed, first_step)
        self.interval = 1_000_000 // rate
        self.liveliness = liveliness
        self.step = first_step
        self.origin = EPOCH
        self.origin_step = first_step
        self.turns = self._turns(instruments, mids or {})

    def _turns(self, instruments: Sequence[Instrument], mids: Mapping[str, str]) -> list[Book]:
        """Each symbol's book, repeated by its weight: a random entry is then more often a busy symbol."""
        total = sum(i.weight for i in instruments)
        turns: list[Book] = []
        for i in instruments:
            step_us = self.interval * self.liveliness * total // i.weight
            mid = mids.get(i.symbol)
            turns += [Book(i, step_us, None if mid is None else Decimal(mid))] * i.weight
        return turns

    def loudness(self, offset_us: int) -> int:
        """Volatility factor by time of day, in thousandths: 1650 at open and close, 650 at noon, U-shaped."""
        x = offset_us * self.liveliness % SESSION * 2_000 // SESSION - 1_000
        return 650 + x * x // 1_000

    def next(self) -> tuple[int, Quote, Trade | None]:
        """One step: microseconds since the origin, a quote, sometimes a trade. Their `ts` is not set yet."""
        where, noise, luck = self.draws.next(), self.draws.next(), self.draws.next()
        offset = (self.step - self.origin_step) * self.interval + (where >> 16) % max(self.interval - 1, 1)
        book = self.turns[(where & 0xFFFF) * len(self.turns) >> 16]
        book.move(noise.bit_count() - 32, luck, self.loudness(self.step * self.interval))
        bid, ask = book.best((1, 1, 1, 1, 1, 2, 2, 3)[noise & 7])
        bid_size, ask_size = 1 + (noise >> 3 & 0xFFFF) % book.most, 1 + (noise >> 19 & 0xFFFF) % book.most
        quote = Quote(book.symbol, EPOCH, str(bid), str(bid_size), str(ask), str(ask_size))
        self.step += 1
        if noise >> 35 & 3:  # one quote in four is followed by a trade at its bid or ask; this one is not
            return offset, quote, None
        buys = noise >> 37 & 1
        size = 1 + (noise >> 38 & 0xFFFF) % (ask_size if buys else bid_size)
        return offset, quote, Trade(book.symbol, EPOCH, str(ask if buys else bid), str(size))

    def events(self, origin: datetime) -> Iterator[Event]:
        """The steps as events that begin at `origin`; a trade is one microsecond after its quote."""
        self.origin, self.origin_step = origin, self.step
        while True:
            offset, quote, trade = self.next()
            quote.ts = self.origin + timedelta(microseconds=offset)
            yield quote
            if trade is not None:
                trade.ts = quote.ts + timedelta(microseconds=1)
                yield trade


class SimulatorFeed:
    """The simulated market as a feed. After a restart it continues from the prices in the database."""

    name = "sim"
    venue = "SIM"
    source: Source = "sim"

    def __init__(
        self,
        *,
        seed: int = 1,
        speed: int | None = 1,
        rate: int = DEFAULT_RATE,
        liveliness: int = DEFAULT_LIVELINESS,
    ) -> None:
        factor = speed or 1
        self.seed, self.speed = seed, speed
        self.rate, self.liveliness = rate * factor, liveliness * factor
        self.market = Market(seed, rate=self.rate, liveliness=self.liveliness)

    @property
    def symbols(self) -> Sequence[str]:
        return [i.symbol for i in INSTRUMENTS]

    def resume(self, next_seq: int, brought: int, mids: Mapping[str, str]) -> None:
        """Start at the prices in the database; the next sequence number selects new random numbers."""
        self.market = Market(
            self.seed, rate=self.rate, liveliness=self.liveliness, first_step=next_seq - 1, mids=mids
        )

    def obey(self, grids: Mapping[str, Grid]) -> None:
        """Ignore the grids: the simulator has its own ticks, and a test checks them against the tables."""

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        events = self.market.events(utc_now())
        paces = flat_out(events) if self.speed is None else paced(events, self._stood_still)
        async for batch in paces:
            yield batch

    def _stood_still(self, lag: timedelta) -> None:
        """Shift all later events after a pause (the machine slept), so that the market does not catch up."""
        self.market.origin += lag

    def progress(self) -> str:
        return f"seed {self.seed}, {self.rate} quotes/s, liveliness {self.liveliness}"
