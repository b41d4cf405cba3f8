"""How often a check may call the code under test: seconds on a clock that counts calls, at prices fixed when it starts.

A call in R^d that takes up to 1e-4 s costs 5e-5 s. Above, it costs the next of 4e-4, 1.6e-3, 6.4e-3, ... s. The steps are few
and far apart, so that the same seed makes the same calls on most machines, and slow code is called less often, and in fewer
R^d, which the notes of the report tell.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

_PRICE = 5e-5
_TIMED = 8  # calls
_LONG = 0.005  # seconds of timing; where a call takes longer, two are timed
_DEAR = 512  # pace, of 6.4e-3 s and more a call, from which not every d is tried


class Clock:
    """Seconds that a check may still use; `now` tells at what price all calls so far were counted."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self.seconds, self.now, self.began = seconds, now, now()

    def left(self) -> float:
        return self.seconds - (self.now() - self.began)

    def more(self) -> bool:
        return self.left() > 0

    def part(self, share: float) -> Clock:
        """A clock on a share of what is left."""
        return Clock(share * self.left(), self.now)


class Prices:
    """What a call in R^d took, and what it costs; `calls` and `spent` sum up those that were counted."""

    def __init__(self) -> None:
        self.took: dict[int, float] = {}
        self.calls, self.spent = 0, 0.0

    def time(self, d: int, call: Callable[[], object]) -> None:
        """Fix the price in R^d by the least of some calls: processor seconds, unless it spends its time waiting."""
        took: list[float] = []
        while len(took) < 2 or (len(took) < _TIMED and sum(took) < _LONG):
            wall, own = time.perf_counter(), time.process_time()
            call()
            wall, own = time.perf_counter() - wall, time.process_time() - own
            took.append(own if own > 0.1 * wall else wall)
        self.took[d] = min(took)

    def pace(self, d: int) -> int:
        """1; 8, 32, 128, ... for code so slow in R^d that it is called that much less often."""
        times = self.took.get(d, 0.0) / (2 * _PRICE)
        return 1 if times <= 1 else int(2 * 4 ** math.ceil(math.log(times, 4)))

    def price(self, d: int) -> float:
        return _PRICE * self.pace(d)

    def count(self, d: int) -> None:
        """Charge a call in R^d."""
        self.calls += 1
        self.spent += self.price(d)

    def stride(self, d: int) -> int:
        """1; more for code so slow in R^d that only every second, eighth, 32nd, ... input is tried."""
        return max(1, self.pace(d) // 16)

    def dear(self, d: int) -> bool:
        """Whether a call in R^d takes more than 6.4e-3 s."""
        return self.pace(d) >= _DEAR

    def tried(self, dims: Collection[int]) -> tuple[int, ...]:
        """Of the dear ones the largest, the middle, and the smallest; where any costs four times that, only the largest."""
        dear = sorted(filter(self.dear, dims))
        kept = {*dear[:1], *dear[len(dear) // 2 :][:1], *dear[-1:]}
        if max(map(self.pace, dear), default=0) > _DEAR:
            kept = {dear[-1]}
        return tuple(sorted({*dims} - {*dear} | kept))

    def cheapest(self, dims: Collection[int]) -> list[int]:
        """The dims where calls cost least first, and the largest first of those."""
        return sorted(dims, key=lambda d: (self.pace(d), -d))

    def notes(self) -> tuple[str, ...]:
        """What is reduced, and why: a line, or none."""
        if all(self.pace(d) == 1 for d in self.took):
            return ()
        d = max(self.took, key=lambda d: (self.pace(d), d))
        text = f"a call takes about {self.took[d]:.1g} s at d = {d}: 1/{self.pace(d)} of the draws and steps of search"
        return (text + (f", one input of {self.stride(d)}" if self.stride(d) > 1 else "") + " there",)
