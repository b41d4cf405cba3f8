"""Runs whose memory is kept as long as it can be: on |x|, and with a constant gradient; and which family is for which bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.evidence._falsify_family import CLOSE, SHARES, Family, Point, Rows, thinned
from efcheck.evidence._falsify_instance import Instance
from efcheck.evidence._falsify_parts import Absolute, Constant, Factor, Table, Vector
from efcheck.evidence._falsify_smooth import Fresh, Overshooting, Walk
from efcheck.evidence._falsify_target import Target

F = Fraction


@dataclass
class Delayed:
    """f = |x - b| with C(p) = (1 - q) p, which keeps the memory as long as it can be: axes x_0 - b, q, b.

    Where the bound has the best step, x_0 - b follows from it, and the axes are T, q, b; `distance(T, q)` is it squared.
    """

    target: Target
    distance2: Callable[[Any, Any], Any]
    noisy: bool = False

    def __post_init__(self) -> None:
        self.best = self.target.step == "best"
        self.times = thinned(60 if self.best else 400)
        self.axes = [] if self.best else [(0.0, 500.0), (0.02 * self.target.compressed, 0.95), (-1000.0, 1000.0)]

    def grid(self) -> list[Point]:
        shares = SHARES if self.target.compressed else [F(0)]
        places = [F(0)] if not self.target.extra else [F(0), F(1), F(5), F(10), F(100)]
        starts = [F(n) for n in (*range(0, 21), 25, 30, 40, 50, 75, 100, 150, 200, 300, 400)]
        firsts = [F(t) for t in self.times] if self.best else starts + [F(n, 2) for n in (1, 3, 5, 7)]
        found: list[Point] = [(a, q, b) for a in firsts for q in shares for b in places]
        if self.best and self.target.compressed:  # any q with a rational distance: r^2 = (T + 1) m(q)
            found += [(a, q, F(0)) for a in firsts[:20] for q in {F(i, j) for j in range(2, 60) for i in range(1, j)}]
        return found

    def rows(self, X: Array) -> Rows:
        a, q, b = X.T
        start = np.sqrt(self.distance2(a, q)) if self.best else a
        x, e = start + b, np.zeros_like(a)
        total, last = x.copy(), self.times[-1]
        for t in range(last + 1):
            if t in set(self.times) and t + self.target.extra >= 0 and (t + 1 + self.target.extra) > 0:
                left = np.abs(total / (t + 1 + self.target.extra) - b)
                if self.best:
                    left = np.where(a == t, left, 0)
                yield t, left, {"gamma": np.ones_like(a), "q": q, "R": start}
            p = np.sign(x - b) + e
            e = q * p
            x = x - (p - e)
            total += x

    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        a, q, b = point
        if self.best:
            near = float(self.distance2(float(T), float(q))) ** 0.5
            if abs(F(near).limit_denominator(10**6) - F(near)) > 1e-12 * near:
                return  # no rational, for which SymPy is slow
            a2 = self.distance2(F(T), q)
            a = F(isqrt(a2.numerator), isqrt(a2.denominator))
            if a * a != a2:
                return
        yield Instance(self.target, T, F(1), F(1), q, Absolute(F(1), b), Factor(1 - q), (a + b,))


@dataclass
class Steady:
    """A constant gradient of norm 1 and C(p) = (1 - q) p: the memory grows as fast as it can. Axis q.

    In the plane, where the distance to the span is asked for, the last memory is turned by a right angle.
    """

    target: Target
    noisy: bool = False

    def __post_init__(self) -> None:
        self.times, self.axes = thinned(400), [(0.0, 0.99)]

    def grid(self) -> list[Point]:
        return [(q,) for q in [*SHARES, *CLOSE[:6]]]

    def rows(self, X: Array) -> Rows:
        q = X[:, 0]
        e = np.zeros_like(q)
        for t in range(self.times[-1] + 1):
            if t in set(self.times):
                yield t, e * e, {"gamma": np.ones_like(q), "q": q}
            e = q * (e + 1)

    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        q = point[0]
        if self.target.quantity == "error":
            yield Instance(self.target, T, F(1), F(1), q, Constant((F(-1),)), Factor(1 - q), (F(0),))
            return
        messages, e = {}, F(0)
        for t in range(T):
            p: Vector = (-1 - e, F(0))
            e = q * (e + 1)
            messages[p] = (p[0] + e, F(0)) if t < T - 1 else (p[0], e)
        yield Instance(self.target, T, F(1), F(1), q, Constant((F(-1), F(0))), Table(messages), (F(0), F(0)))


def families(target: Target, best2: Callable[[Any, Any], Any]) -> list[Family]:
    """Those in which the target's left side can be large; best2(T, q) is (R/(gamma sigma))^2 of the best step."""
    match target.quantity:
        case "gap":
            return [Delayed(target, best2)]
        case "gradient" if target.unbiased:
            return [Fresh(target, lost=True), Fresh(target, lost=False), Walk(target)]
        case "gradient":
            found: list[Family] = [Overshooting(target, short=True)]
            found += [Overshooting(target, short=True, kick=True)] if target.first else []
            found += [Overshooting(target, short=False)] if target.compressed and not target.first else []
            return found + ([] if target.compressed else [Walk(target)])
    return [Steady(target)]
