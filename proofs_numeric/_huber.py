"""Error feedback on one Huber function: a scan over compressors that push the iterate away from the minimum.

f(x) = x^2/2 for |x| <= 1, |x| - 1/2 beyond: L = 1, |f'| <= 1, f* = 0, without noise, sigma = 1. Given p_t, the scan takes the
message that leaves a memory e_{t+1} with |e_{t+1}| <= q |p_t|, q = sqrt(1 - delta), and of these the shortest that keeps
|x_{t+1}| >= 1, x_{t+1} = xt_{t+1} + e_{t+1}, or comes closest to it. Step sizes, q and x_0 run over a grid of round numbers.
What the scan finds in floats counts only when `confirm` has rebuilt it on Fractions with a compressor that is a map p -> C(p).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

from efcheck import bounds
from efcheck.evidence import exact

STEPS = [Fraction(k, 12) for k in range(6, 25)]
SHARES = [Fraction(0)] + [Fraction(1, n) for n in range(2, 31)] + [Fraction(n - 1, n) for n in range(3, 11)]
STARTS = [Fraction(j, 2) for j in range(1, 7)]  # in units of gamma
LETTERS = (bounds.T, bounds.gamma, bounds.delta, bounds.sigma, bounds.f0, bounds.L)


def slope(x: Any) -> Any:
    """f' on arrays."""
    return np.clip(x, -1, 1)


def exact_slope(x: Fraction) -> Fraction:
    return max(Fraction(-1), min(Fraction(1), x))


def value(x: Fraction) -> Fraction:
    return x * x / 2 if abs(x) <= 1 else abs(x) - Fraction(1, 2)


def memory(share: Any, p: Any, virtual: Any) -> Any:
    """The shortest e with |e| <= share |p| that keeps |virtual + e| >= 1, or else the one that comes closest to it."""
    side = np.where(virtual >= 0, 1, -1)
    return side * np.minimum(share * np.abs(p), np.maximum(1 - np.abs(virtual), 0))


def grid() -> list[tuple[Fraction, Fraction, Fraction]]:
    """(gamma, q, x_0)."""
    return [(h, q, j * h) for h in STEPS for q in SHARES for j in STARTS]


def scan(expression: Any, T: int) -> np.ndarray:
    """min_{t <= s} f'(x_t)^2 over the right side at s, for s = 0, ..., T; shape (T + 1, len(grid()))."""
    h, share, x = (np.array(column, dtype=float) for column in zip(*grid(), strict=True))
    right = sp.lambdify(LETTERS, expression, "numpy")
    f0 = np.array([float(value(start)) for _, _, start in grid()])
    least, e, rows = np.full(x.shape, np.inf), np.zeros_like(x), []
    for t in range(T + 1):
        g = slope(x)
        least = np.minimum(least, g * g)
        rows.append(least / right(t, h, 1 - share**2, 1.0, f0, 1.0))
        virtual, p = x - e - h * g, h * g + e
        e = memory(share, p, virtual)
        x = virtual + e
    return np.array(rows)


@dataclass(frozen=True)
class Instance:
    """One run on Fractions: the step, q, x_0 and the messages C(p) that it used, as a map."""

    gamma: Fraction
    share: Fraction
    x0: Fraction
    messages: dict[Fraction, Fraction]
    xs: list[Fraction]
    es: list[Fraction]

    @property
    def delta(self) -> Fraction:
        return 1 - self.share**2

    @property
    def period_two_from(self) -> int | None:
        """The first t with (x_{t+2}, e_{t+2}) = (x_t, e_t): from there on it repeats, C being a map."""
        states = list(zip(self.xs, self.es, strict=True))
        return next((t for t in range(len(states) - 2) if states[t] == states[t + 2]), None)

    def least(self, T: int) -> Fraction:
        return min(exact_slope(x) ** 2 for x in self.xs[: T + 1])

    def right(self, expression: Any, T: int) -> Fraction:
        values = (T, self.gamma, self.delta, 1, value(self.x0), 1)
        found = expression.subs({a: sp.Rational(b) for a, b in zip(LETTERS, values, strict=True)})
        return Fraction(int(found.p), int(found.q))


def rebuild(gamma: Fraction, share: Fraction, x0: Fraction, T: int) -> Instance | None:
    """The run of the scan on Fractions; None unless its messages are a map within Assumption A that reproduces it."""
    messages: dict[Fraction, Fraction] = {}
    x, e = x0, Fraction(0)
    for _ in range(T):
        p = gamma * exact_slope(x) + e
        virtual = x - p  # x_{t+1} - e_{t+1}
        room = max(1 - abs(virtual), Fraction(0))
        e = (1 if virtual >= 0 else -1) * min(share * abs(p), room)
        x = virtual + e
        if messages.setdefault(p, p - e) != p - e or abs(e) > share * abs(p):
            return None
    xs, es = exact.ef_sgd(lambda t, z: (exact_slope(z[0]),), (x0,), [gamma] * T, lambda p: (messages[p[0]],))
    return Instance(gamma, share, x0, messages, [z for (z,) in xs], [z for (z,) in es])


def difference(expression: Any, T: int = 8, stride: int = 211) -> tuple[float, int]:
    """Largest difference of `scan` and the exact runs up to T at every so many points of the grid; how many were compared."""
    ratio, points, far, count = scan(expression, T), grid(), 0.0, 0
    for i in range(0, len(points), stride):
        instance = rebuild(*points[i], T)
        if instance is not None:
            exactly = [float(instance.least(s) / instance.right(expression, s)) for s in range(T + 1)]
            far, count = max(far, float(np.abs(ratio[:, i] - exactly).max())), count + 1
    return far, count


def is_antiderivative() -> bool:
    """f(b) - f(a) = (b - a)(f'(a) + f'(b))/2 between multiples of 1/4, the kinks of f' among them; and f(0) = 0."""
    points = [Fraction(k, 4) for k in range(-12, 13)]
    pairs = pairwise(points)
    return value(Fraction(0)) == 0 and all(
        value(b) - value(a) == (b - a) * (exact_slope(a) + exact_slope(b)) / 2 for a, b in pairs
    )


def violations(expression: Any, T: int = 60) -> Iterator[tuple[int, Instance]]:
    """(first T with left > right, instance), confirmed on Fractions, in the order of that T, then of round numbers."""
    ratio, points = scan(expression, T), grid()
    hits = [(int(np.argmax(ratio[:, i] > 1)), i) for i in np.flatnonzero((ratio > 1 + 1e-9).any(axis=0))]
    order = sorted(hits, key=lambda hit: (hit[0], sum(z.denominator for z in points[hit[1]])))
    for first, i in order:
        instance = rebuild(*points[i], T)
        if instance is None:
            continue
        if instance.least(first) > instance.right(expression, first):
            yield first, instance
