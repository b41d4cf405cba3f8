"""Sequential tests that a mean is at most a bound, from independent draws."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.errors import argument_error, integer, real
from efcheck.evidence.evidence import Evidence

_BETS = 0.99 * np.geomspace(1e-7, 1.0, 32)
_BATCH = 8192
_FEWEST = 100
_SLACK = 1e-12  # of the largest magnitude: rounding of a mean, for draws that do not vary


def monte_carlo(
    draw: Callable[[Generator, int], Any],
    bound: float,
    runs: int,
    alpha: float = 1e-6,
    seed: int = 0,
    lower: float | None = None,
) -> Evidence:
    """Test that the mean of independent draws is at most a bound.

    With `lower`, by betting against the claim E X <= bound, and stopping as soon as the bet is won:

        Z_i = (X_i - lower)/(bound - lower) >= 0,   K_t = prod_{i <= t} (1 + l_i (Z_i - 1)),   0 <= l_i < 1

    where l_i depends on X_1, ..., X_{i-1} alone. Each factor is >= 1 - l_i > 0, and under the claim its mean given the
    past is 1 + l_i (E Z_i - 1) <= 1: K is a nonnegative supermartingale from K_0 = 1, whatever the law, and Ville's
    inequality gives P(K_t >= 1/alpha for some t) <= alpha. So the claim may be refuted at the first such t. The bet l_i
    is the average of 32 fixed ones, each weighted by what it has earned so far, so that K is the average of their
    products. Variance plays no part, and draws may be unbounded above.

    Without `lower`, by the central limit theorem after all runs, with z the upper alpha quantile of the normal law.

    Parameters
    ----------
    draw : callable
        (rng, n) to n independent draws, shape (n,).
    bound : float
        Finite; the unit of the draws.
    runs : int
        Draws at most, >= 1. The betting test stops earlier when it refutes.
    alpha : float
        Chance that a true claim is refuted, in (0, 1); without `lower` only a guide.
    seed : int
        Equal seeds give equal evidence.
    lower : float, optional
        No draw is ever below it; lower < bound.

    Returns
    -------
    Evidence
        Kind `statistics`. refuted: K reached 1/alpha; only with `lower`. supported: all runs were drawn, nothing
        refuted the claim, and the sample mean is at most z standard errors above the bound. undecided: it is further
        above; a draw is not finite; or there are too few draws: below 100, or so few that the bets could not show even
        a mean of bound + (bound - lower). data["detectable"]: a mean above this would probably have been refuted if
        the draws spread as these do. A mean that rests on events rarer than one in `runs` is never excluded.

    Raises
    ------
    ArgumentError
        If an argument is outside the domain above, the draws have the wrong shape, or one is below `lower`.

    Examples
    --------
    >>> monte_carlo(lambda rng, n: rng.exponential(size=n), 1.0, 10_000, lower=0.0).outcome
    'supported'
    >>> monte_carlo(lambda rng, n: rng.exponential(size=n), 0.9, 10_000, lower=0.0).outcome
    'refuted'

    Source
    ------
    Ville 1939; Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting", Section 4.
    """
    start = time.perf_counter()
    bound, alpha = real("bound", bound), real("alpha", alpha, 0.0, 1.0, open_ends=True)
    runs, seed = integer("runs", runs, 1), integer("seed", seed, 0)
    if lower is not None and not real("lower", lower) < bound:
        raise argument_error("lower", f"be below `bound` = {bound:g}", lower, "Otherwise the claim is X = lower: use `exact`.")
    rng = np.random.default_rng(seed)
    sample = Sample()
    bets = None if lower is None else Bets(bound, float(lower), math.log(1 / alpha))
    bad = None
    while sample.n < runs and bad is None and not (bets and bets.won):
        x = _batch(draw, rng, min(_BATCH, runs - sample.n), sample.n, lower)
        good = np.isfinite(x)
        if not good.all():
            first = int(np.argmin(good))
            bad, x = f"draw {sample.n + first} is {x[first]}", x[:first]
        if bets and (won := bets.place(x)):
            x = x[:won]
        sample.add(x)
    outcome, detail, data = _decide(sample, bound, alpha, bets, bad)
    data |= {"bound": bound, "alpha": alpha, "lower": lower, "runs": runs, "seed": seed}
    return Evidence("statistics", outcome, detail, data, seconds=time.perf_counter() - start)


@dataclass
class Sample:
    """Number, mean, sum of squared deviations and largest magnitude of the draws so far."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    largest: float = 0.0

    def add(self, x: Array) -> None:
        if not len(x):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(np.mean(x))
            step, total = mean - self.mean, self.n + len(x)
            self.squares += float(np.sum((x - mean) ** 2)) + step * step * self.n * len(x) / total
            self.mean += step * len(x) / total
            self.n = total
            self.largest = max(self.largest, float(np.max(np.abs(x))))

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / (self.n - 1)) if self.n > 1 else math.inf


class Bets:
    """The capital of the fixed bets on E X > bound; K is their average."""

    def __init__(self, bound: float, lower: float, goal: float) -> None:
        self.bound, self.lower, self.goal = bound, lower, goal
        self.logs = np.zeros(len(_BETS))
        self.peak = 0.0  # the largest log K so far
        self.won = False

    def place(self, x: Array) -> int:
        """Bet on each draw in turn; the number of draws until K >= 1/alpha, 0 if it stays below."""
        if not len(x):
            return 0
        with np.errstate(over="ignore"):
            z = (x - self.lower) / (self.bound - self.lower)
            paths = self.logs + np.cumsum(np.log1p(_BETS * (z[:, None] - 1)), axis=0)
            capital = log_average(paths)
        self.logs, self.peak = paths[-1], max(self.peak, float(np.max(capital)))
        reached = np.flatnonzero(capital >= self.goal)
        self.won = bool(reached.size)
        return int(reached[0]) + 1 if self.won else 0


def log_average(paths: Array) -> Array:
    """log of the mean of exp(paths) on the last axis."""
    top = np.max(paths, axis=-1)
    with np.errstate(invalid="ignore"):
        finite = top + np.log(np.mean(np.exp(paths - top[..., None]), axis=-1))
    average: Array = np.where(np.isfinite(top), finite, top)
    return average


def _batch(draw: Callable[[Generator, int], Any], rng: Generator, n: int, done: int, lower: float | None) -> Array:
    try:
        x = np.asarray(draw(rng, n), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise argument_error("draw", "return an array of numbers", f"{type(error).__name__}: {error}") from error
    if x.shape != (n,):
        raise argument_error("draw", f"return shape ({n},) for n = {n}", f"shape {x.shape}")
    if lower is not None and (x < lower).any():
        first = int(np.argmax(x < lower))
        got = f"{x[first]:.17g} at draw {done + first}"
        raise argument_error("draw", f"be >= `lower` = {lower:g}", got, "The test holds only for a true lower end.")
    return x


def _decide(sample: Sample, bound: float, alpha: float, bets: Bets | None, bad: str | None) -> tuple[str, str, dict[str, Any]]:
    n, mean, spread = sample.n, sample.mean, sample.deviation
    error = spread / math.sqrt(n) if n > 1 else math.inf
    data: dict[str, Any] = {"n": n, "mean": mean, "standard_error": error}
    estimate = f"mean {mean:.6g} +- {error:.2g} of {n} draws"
    z = -NormalDist().inv_cdf(alpha)
    rule = "asymptotic: assumes a finite variance; supports, never refutes"
    if bets is not None:
        data |= {"log_capital": bets.peak, "detectable": bound + _detectable(n, spread, math.log(len(_BETS) / alpha))}
        rule = f"betting test, largest capital {_power(bets.peak)} < 1/alpha = {1 / alpha:.3g}"
        if bets.won:
            detail = f"mean > {bound:g}: betting capital {_power(bets.peak)} >= 1/alpha = {1 / alpha:.3g}, {estimate}"
            return "refuted", f"{detail}; false alarm with chance <= {alpha:g}", data
    if bad:
        return "undecided", f"{bad}, so there is no mean to test; {n} draws before it", data
    few = n < _FEWEST or (bets is not None and data["detectable"] > bound + (bound - bets.lower))
    if few:
        return "undecided", f"{estimate}: too few to show a mean above {bound:g} ({rule})", data
    if not math.isfinite(mean + error):
        return "undecided", f"{estimate}: too large to add up", data
    if mean > bound + z * error + _SLACK * max(abs(bound), sample.largest):
        sigmas = f"{(mean - bound) / error:.3g}" if error else "infinitely many"
        return "undecided", f"{estimate} is {sigmas} standard errors above {bound:g} ({rule})", data
    power = f"; above {data['detectable']:.6g} it would have shown, for draws that spread as these" if bets else ""
    return "supported", f"{estimate} against {bound:g} ({rule}){power}", data


def _detectable(n: int, spread: float, price: float) -> float:
    """The excess r whose best bet earns `price`, the log of 1/alpha times the number of bets, in n draws.

    A draw with excess r and deviation s earns about r^2/(2 (s^2 + r^2)).
    """
    share = 2 * price / n if n else math.inf
    return spread * math.sqrt(share / (1 - share)) if share < 1 else math.inf


def _power(log: float) -> str:
    return f"{math.exp(log):.3g}" if log < 700 else f"e^{log:.4g}"
