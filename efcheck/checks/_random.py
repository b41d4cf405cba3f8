r"""Tests of random compressors that never accuse by an estimate: sequential bets and a distribution-free comparison.

Each test has a capital K_t with K_0 = 1 that is a nonnegative supermartingale under the claim, whatever the law beyond what
is stated; by Ville's inequality P(K_t >= 1/alpha for some t) <= alpha, so it may stop at any time. A factor of K_t, averaged
over fixed bets l that share the capital:

    at_most   X >= 0, E X <= b:                    1 + l (X/b - 1)                                  0 <= l < 1
    bounded   |X| <= R, E X <= 0:                  1 + l X/R                                        0 <= l < 1
    spread    E X <= 0, E X^2 <= s^2:              (1 + l X/s + l^2 X^2/(2 s^2)) / (1 + l^2/2)      l > 0

No variance is estimated: entries that are rarely sent, where the sample varies not at all, accuse nobody.

`differs`: D = max |F - G| of two samples of n each from the same law has P(D > t) <= 2 exp(-n t^2), n >= 458.

Sources: Ville 1939; Waudby-Smith, Ramdas 2024 (bets); Wang, Ramdas 2023, "Catoni-style confidence sequences" (spread);
Wei, Dudley 2012, "Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._clock import Clock
from efcheck.evidence.monte_carlo import log_average

ALPHA = 1e-6
_TESTS = 200  # at most so many random tests in one report: they share ALPHA
GOAL = math.log(_TESTS / ALPHA)
PAIR = 500  # draws on either side of `differs`
LIMIT = math.sqrt((math.log(2) + GOAL) / PAIR)  # of the gap of two distribution functions
_FEW = 256  # draws after which a hopeless test stops
_BATCH = 128
FIRST = 32  # the first batch: what a test draws at least, however slow a draw is
_BETS = 0.99 * np.geomspace(1e-5, 1.0, 24)
_FREE = np.geomspace(1e-3, 3.0, 24)


@dataclass(frozen=True)
class Bet:
    """n draws of this mean; won: the claim is refuted."""

    won: bool
    n: int
    mean: float


Gain = Callable[[Array], Array]


def at_most(bound: float) -> Gain:
    """Log factors for X >= 0, E X <= bound, bound > 0."""
    return lambda x: np.log1p(_BETS * (x[:, None] / bound - 1))


def bounded(radius: float) -> Gain:
    """Log factors for |X| <= radius, E X <= 0."""
    return lambda x: np.log1p(_BETS * x[:, None] / radius)


def spread(variance: float) -> Gain:
    """Log factors for E X <= 0, E X^2 <= variance."""

    def gain(x: Array) -> Array:
        y = _FREE * x[:, None] / math.sqrt(variance)
        out: Array = np.log1p(y + 0.5 * y * y) - np.log1p(0.5 * _FREE**2)
        return out

    return gain


def play(draw: Callable[[int], Array], gain: Gain, claim: float, most: int, clock: Clock) -> Bet:
    """Draw until the bets win, `most` draws are made, the clock is out, or the mean is far below the `claim` on E X."""
    logs = np.zeros(24)
    n, total, squares = 0, 0.0, 0.0
    while n < most and (n == 0 or clock.more()):
        x = draw(min(_BATCH if n >= _BATCH else FIRST, most - n))
        paths = logs + np.cumsum(gain(x), axis=0)
        reached = np.flatnonzero(log_average(paths) >= GOAL)
        if reached.size:
            x = x[: reached[0] + 1]
            return Bet(True, n + len(x), (total + float(x.sum())) / (n + len(x)))
        logs, n = paths[-1], n + len(x)
        total, squares = total + float(x.sum()), squares + float(np.square(x).sum())
        mean = total / n
        if n >= _FEW and _hopeless(mean - claim, squares / n - mean * mean, n, min(most, _until(clock, n))):
            break  # a test that may stop at any time may stop here
    return Bet(False, n, total / max(n, 1))


def _until(clock: Clock, n: int) -> float:
    """How many draws there will be when the clock is out, if the next ones cost what the first n did."""
    used = clock.seconds - clock.left()
    return n * clock.seconds / used if used > 0 else math.inf


def _hopeless(excess: float, variance: float, n: int, end: float) -> bool:
    """Whether n draws whose mean exceeds the claim by so much leave little hope to win with `end` draws in all.

    The capital's logarithm grows by at most about excess^2 / (2 variance) a draw; the excess may be 4 deviations larger.
    """
    variance = max(variance, 0.0)
    excess += 4 * math.sqrt(variance / n)
    return excess < 0 or end * excess * excess < 2 * GOAL * variance


def differs(x: Array, y: Array) -> bool:
    """Whether two samples of `PAIR` draws each cannot come from one law, at the level ALPHA / _TESTS."""
    n = len(x)
    assert n == len(y) >= 458
    both = np.sort(np.concatenate([x, y]))
    gap = np.searchsorted(np.sort(x), both, "right") - np.searchsorted(np.sort(y), both, "right")
    return bool((np.abs(gap).max() / n) ** 2 * n > math.log(2) + GOAL)
