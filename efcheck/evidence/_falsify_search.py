"""From the families of runs to one exact instance: scan, move, round, confirm."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Any

import numpy as np
import sympy as sp

from efcheck import bounds
from efcheck.arrays import Array
from efcheck.evidence._falsify_convex import families
from efcheck.evidence._falsify_family import Family, Point
from efcheck.evidence._falsify_instance import Instance
from efcheck.evidence._falsify_target import Target, q, rootless
from efcheck.evidence._shrink import total
from efcheck.evidence.evidence import Evidence
from efcheck.evidence.falsify import Progress

_ABOVE = 1e-9  # a float ratio below 1 + that is no violation
_CLEAR = 1e-3  # preferred: a violation that shows on a calculator
_STARTS, _MOVES, _ROUNDS = 12, 24, 7  # local search: points, moves of each, rounds with ever smaller moves
_ROUNDED, _TRIED = 1500, 60  # rounded points that are run, instances that are tried on Fractions
_POWER = 100_000  # largest T of an exact q^T
_GRACE = 20.0  # seconds past the time limit for confirming what was found
_DENOMINATORS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 30, 40, 50, 100, 200, 500, 1000)


@dataclass
class Found:
    """Over all T: the largest ratio of each point and its T; the first T with a clear violation, or any; -1 for none."""

    X: Array
    ratio: Array
    T: Array
    first: Array

    def order(self) -> Any:
        return np.argsort(-self.ratio, kind="stable")


class Search:
    """One target; `scale` multiplies the right side, nothing new starts after `deadline`."""

    def __init__(self, target: Target, scale: Fraction, deadline: float, seed: int) -> None:
        self.target, self.scale, self.deadline = target, scale, deadline
        self.rng = np.random.default_rng(seed)
        self.runs, self.late = 0, False
        names = target.side.letters
        powers = [power.exp for power in target.right.atoms(sp.Pow) if power.exp.free_symbols]
        self.longest = _POWER if powers else math.inf
        self.right = sp.lambdify([sp.Symbol(n) for n in names], _plain(target.side.expression), "numpy")

    def measure(self, family: Family, X: Array) -> Found:
        """Left over right at every T of the family; a point is counted once for all T."""
        n = len(X)
        found = Found(X, np.zeros(n), np.zeros(n, dtype=int), np.full(n, -1))
        clear = np.full(n, -1)
        self.runs += n
        with np.errstate(all="ignore"):
            for T, left, letters in family.rows(X):
                if self.target.step == "root" and isqrt(T + 1) ** 2 != T + 1:
                    continue
                ratio = np.nan_to_num(left / (float(self.scale) * self.right(*self.letters(T, letters))), nan=0.0, posinf=0.0)
                better = ratio > found.ratio
                found.T[better], found.ratio[better] = T, ratio[better]
                if self.longest < T:
                    continue
                found.first[(found.first < 0) & (ratio > 1 + _ABOVE)] = T
                clear[(clear < 0) & (ratio > 1 + _CLEAR)] = T
                if time.monotonic() > self.deadline:
                    self.late = True
                    break
        found.first = np.where(clear >= 0, clear, found.first)
        return found

    def letters(self, T: int, letters: dict[str, Any]) -> list[Any]:
        """The family's units, or those with gamma = 1/sqrt(T + 1): L = gamma L/gamma, and f is divided by L."""
        known = {"T": T, "t": T, "sigma": 1.0, "L": 1.0, **letters, "delta": 1 - letters["q"] ** 2}
        known["k"] = 1 / known["delta"]
        if self.target.step == "root":
            L = known["gamma"] * math.sqrt(T + 1)
            known |= {"L": L, "f0": known["f0"] / L}
        return [known[name] for name in self.target.side.letters]

    def improve(self, family: Family, found: Found) -> Found:
        """Random moves of the best points, smaller from round to round."""
        if not family.axes:
            return found
        low, high = np.array(family.axes, dtype=float).T
        best = found.order()[:_STARTS]
        X, ratio = found.X[best], found.ratio[best]
        for i in range(_ROUNDS):
            if self.late:
                break
            size = 0.1 * 0.4**i
            shape = len(X), _MOVES, X.shape[1]
            moves = self.rng.standard_normal(shape) * self.rng.integers(0, 2, shape)
            ends = np.where((X > 0.5) & (high < 1), 1 - X, np.abs(X))[:, None]  # a share near 1 moves by 1 - share
            tried = self.measure(family, np.clip(X[:, None] + size * moves * ends, low, high).reshape(-1, X.shape[1]))
            table = tried.ratio.reshape(len(X), _MOVES)
            at = table.argmax(axis=1)
            better = table.max(axis=1) > ratio
            X = np.where(better[:, None], tried.X.reshape(len(X), _MOVES, -1)[np.arange(len(X)), at], X)
            ratio = np.maximum(ratio, table.max(axis=1))
        return self.measure(family, X)

    def rounded(self, family: Family, moved: Found) -> list[Point]:
        """Points with few digits next to the best moved ones."""
        points: set[Point] = set()
        for i in moved.order()[:3]:
            options = [near(float(c)) for c in moved.X[i]]
            rows = [self.rng.integers(0, len(o), _ROUNDED) for o in options]
            points |= {tuple(o[j] for o, j in zip(options, row, strict=True)) for row in zip(*rows, strict=True)}
        inside = [all(a <= c <= b for c, (a, b) in zip(p, family.axes, strict=True)) for p in points]
        return sorted(p for p, keep in zip(points, inside, strict=True) if keep)[:_ROUNDED]


def search(target: Target, scale: Fraction, minutes: float, seed: int, progress: Progress) -> Evidence:
    """The simplest confirmed violation, or the largest ratio of left to right side that was reached."""
    begun = time.monotonic()
    state = Search(target, scale, begun + 60 * minutes, seed)
    hits: list[tuple[Any, Family, Point, int]] = []
    best: tuple[float, str, Any, int] = (0.0, "", (), 0)
    some = families(target, lambda T, share: best_distance2(target, T, share))
    for done, family in enumerate(some):
        for points, found in scans(state, family):
            progress(f"{type(family).__name__}, {state.runs} runs", done, len(some))
            top = int(found.ratio.argmax())
            best = max(best, (float(found.ratio[top]), type(family).__name__, tuple(found.X[top].tolist()), int(found.T[top])))
            hits += [(weight(family, points[i], int(found.first[i])), family, points[i], int(found.first[i]))
                     for i in np.flatnonzero(found.first >= 0) if points]  # fmt: skip
    instance = confirmed(hits, scale, state.deadline)
    seconds = time.monotonic() - begun
    scan = f"{state.runs} runs of low-dimensional families, largest left side over right side {best[0]:.6f}"
    if instance is not None:
        return instance.evidence(seconds, {"largest_ratio": best[0], "runs": state.runs, "scan": scan})
    above = best[0] > 1 + _ABOVE
    outcome = "undecided" if above or state.late else "supported"
    what = "a violation that could not be confirmed" if above else "no violation"
    late = ", stopped by the time limit" if state.late else ""
    detail = f"{what} in {state.runs} runs{late}; largest left side over right side {best[0]:.6f}, at T = {best[3]}"
    data = {"ratio": best[0], "T": best[3], "family": best[1], "point": best[2], "runs": state.runs, "scan": scan}
    return Evidence("search", outcome, detail, data, seconds=seconds)


def scans(state: Search, family: Family) -> Iterator[tuple[list[Point], Found]]:
    """The grid, the moved points (no round numbers: an empty list), the rounded ones."""
    points = family.grid()
    found = state.measure(family, np.array(points, dtype=float))
    yield points, found
    if not state.late:
        moved = state.improve(family, found)
        yield [], moved
        if moved.ratio.max() > 1 + _ABOVE and family.axes and (points := state.rounded(family, moved)):
            yield points, state.measure(family, np.array(points, dtype=float))


def near(c: float) -> list[Fraction]:
    """Multiples of 1/n next to c on both sides, for n with few digits."""
    return sorted({Fraction(math.floor(c * n) + i, n) for n in _DENOMINATORS for i in (-1, 0, 1, 2)})


def weight(family: Family, point: Point, T: int) -> tuple[float, Any]:
    """Digits of the numbers, binary digits of T, and as much as ten digits for noise."""
    return total(point)[0] + math.log2(T + 1) + 10 * family.noisy, total(point)


def confirmed(hits: Iterable[tuple[Any, Family, Point, int]], scale: Fraction, deadline: float) -> Instance | None:
    """The first instance, the simplest first, that is a violation on Fractions."""
    tried = 0
    for _, family, point, T in sorted(hits, key=lambda hit: (hit[0], hit[2], hit[3])):
        for instance in family.instances(point, T):
            scaled, tried = instance.scaled(scale), tried + 1
            if scaled.violated():
                return scaled
        if tried > _TRIED or time.monotonic() > deadline + _GRACE:
            break
    return None


def best_distance2(target: Target, T: Any, share: Any) -> Any:
    """(R/(gamma sigma))^2 at the step that is best: (T+1)^2 times the square of the least right side at R = sigma = 1."""
    expression, compiled = _best(target.best.expression)
    if isinstance(share, Fraction):
        found = expression.subs({bounds.T: sp.Rational(T), q: sp.Rational(share)})
        return Fraction(int(found.p), int(found.q)) * (T + 1) ** 2
    return compiled(T, share) * (T + 1) ** 2


@lru_cache(maxsize=16)
def _best(expression: Any) -> tuple[Any, Any]:
    least2 = rootless(expression.subs({bounds.R: 1, bounds.sigma: 1}), 2)
    return least2, sp.lambdify([bounds.T, q], least2, "numpy")


def _plain(expression: Any) -> Any:
    """With symbols that carry no assumptions, as lambdify's arguments do."""
    return expression.subs({s: sp.Symbol(s.name) for s in expression.free_symbols})
