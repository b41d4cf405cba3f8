"""Runs on a Huber function, which is L-smooth and convex: overshooting messages, noise, random messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.evidence._falsify_family import CLOSE, SHARES, Point, Rows, thinned
from efcheck.evidence._falsify_instance import Instance
from efcheck.evidence._falsify_parts import Chances, Factor, Huber, Table, Threshold
from efcheck.evidence._falsify_target import Target

F = Fraction
FAR = [n * n - 1 for n in (100, 316, 1000, 10_000)]  # T of runs that have become periodic


@dataclass
class Overshooting:
    """The Huber function with messages that keep |x| >= 1, pushing x across the minimum; x_0 a multiple of the step.

    The memory e has the sign of x_{t+1} - e_{t+1}. `short`: it is no longer than |x_{t+1}| >= 1 needs, and the axes are step,
    share q, x_0/step. Else |e| = q |p|, and the axes are the |x| kept in the long run, step/2 + step q/(1 - q), then q, and how
    many times 1/(1 - q) steps x_0 is away. `kick`: from x_0 = 0, left by g_0 = 1 or -1 with equal chances.
    """

    target: Target
    short: bool
    kick: bool = False
    noisy: bool = False

    def __post_init__(self) -> None:
        self.times = thinned(400 if self.short else 10_000)
        shares = (0.01, 0.999) if self.target.compressed else (0.0, 0.0)
        self.axes = [(1e-3, 2.5), shares, (0.0, 60.0)] if self.short else [(0.5, 2.0), (0.02, 0.9999), (0.2, 9.0)]

    def grid(self) -> list[Point]:
        if self.short:
            steps, starts = [F(k, 12) for k in range(2, 31)], [F(j, 2) for j in range(1, 9)]
            shares = SHARES if self.target.compressed else [F(0)]
            return [(h, q, a) for h in steps for q in shares for a in ([F(0)] if self.kick else starts)]
        kept, waits = [F(n, 100) for n in (*range(96, 107, 2), 110, 120)], [F(1, 2), F(1), F(2), F(3), F(4), F(5), F(6), F(8)]
        near = [q for q in SHARES + CLOSE if self.target.compressed]
        return [(a, q, w) for a in kept for q in near for w in waits if w / (1 - q) < self.times[-1] - 2]

    def start(self, X: Array) -> tuple[Array, Array, Array]:
        """gamma, q, x_0."""
        a, q, b = X.T
        if self.short:
            return a, q, 0 * a if self.kick else a * b
        h = a * 2 * (1 - q) / (1 + q)
        return h, q, h * (0.5 + np.floor(b / (1 - q) + 1e-9))

    def rows(self, X: Array) -> Rows:
        h, q, x = self.start(X)
        f0 = np.where(np.abs(x) <= 1, x * x / 2, np.abs(x) - 0.5)
        e, least, at, wanted = np.zeros_like(x), np.full(x.shape, np.inf), [], set(self.times)
        for t in range(self.times[-1] + 1):
            g = np.clip(x, -1, 1)
            if t >= self.target.first:
                np.minimum(least, g * g, out=least)
                if t in wanted:
                    yield t, least, {"gamma": h, "q": q, "f0": f0}
            if t >= self.times[-1] - 2:
                at.append((x, e))
            p = h * (np.ones_like(g) if self.kick and t == 0 else g) + e
            virtual = x - p  # x_{t+1} - e_{t+1}
            size = q * np.abs(p)
            if self.short:
                size = np.minimum(size, np.maximum(1 - np.abs(virtual), 0))
            e = np.where(virtual >= 0, size, -size)
            x = virtual + e
        repeats = (np.abs(at[0][0] - at[2][0]) < 1e-9) & (np.abs(at[0][1] - at[2][1]) < 1e-9)
        for T in FAR:
            yield T, np.where(repeats, least, 0), {"gamma": h, "q": q, "f0": f0}

    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        a, q, b = point
        h = a if self.short else a * 2 * (1 - q) / (1 + q)
        x0 = (F(0) if self.kick else a * b) if self.short else h * (F(1, 2) + b // (1 - q))
        if self.short:
            if (table := self._table(h, q, x0, T)) is not None:
                yield self._scaled(h, q, x0, T, table)
            return
        for parts in (1, 10, 100, 1000, 10_000):
            if (turn := self._turn(h, q, x0, h / parts)) is not None:
                yield self._scaled(h, q, x0, T, (q, h / parts, turn))

    def _scaled(self, h: Fraction, q: Fraction, x0: Fraction, T: int, messages: Any) -> Instance:
        """In units with gamma = 1/sqrt(T + 1) and so L = h/gamma, where the bound has that step; else as it is."""
        L = h * isqrt(T + 1) if self.target.step == "root" else F(1)
        if isinstance(messages, dict):
            compressor: Any = Table({(p / L,): (c / L,) for p, c in messages.items()})
        else:
            share, unit, turn = messages
            compressor = Threshold(share, unit / L, turn / L)
        noise = "at zero" if self.kick else "none"
        return Instance(self.target, T, h / L, F(1), q, Huber(L, F(1)), compressor, (x0 / L,), noise)

    def _table(self, h: Fraction, q: Fraction, x0: Fraction, T: int) -> dict[Fraction, Fraction] | None:
        """The messages of the run; None where they are not a map. A kick to the other side meets the mirrored ones."""
        messages: dict[Fraction, Fraction] = {}
        x, e, seen = x0, F(0), set()
        for t in range(T):
            if (x, e) in seen:
                break
            if t > self.times[-1]:
                return None  # it comes close to a period, but has none
            seen.add((x, e))
            p = h * (F(1) if self.kick and t == 0 else max(F(-1), min(F(1), x))) + e
            virtual = x - p
            e = (1 if virtual >= 0 else -1) * min(q * abs(p), max(1 - abs(virtual), F(0)))
            x = virtual + e
            for side in (1, -1) if self.kick else (1,):
                if messages.setdefault(side * p, side * (p - e)) != side * (p - e):
                    return None
        return messages

    def _turn(self, h: Fraction, q: Fraction, x0: Fraction, unit: Fraction) -> Fraction | None:
        """|p| of the first message that overshoots; None where an earlier p was as large (then the messages are no map), or
        where |x| >= 1 is not kept from the start to the first jump, and so for ever.
        """
        if (h * q - unit) / (1 - q) + h / 2 < 1:  # the memory settles within one unit of h q/(1 - q)
            return None
        virtual, e, largest = x0, F(0), F(0)
        while virtual > 0:
            p = h + e
            virtual, e = virtual - h, q * p // unit * unit
            if abs(virtual) + e < 1 or p <= largest:
                return None
            largest = p
        return largest


@dataclass
class Walk:
    """SGD on the Huber function with g = 1 or -1, E g = f'(x): a walk on multiples of the step 1/m from j/m. Axes m, j."""

    target: Target
    largest: int = 48
    noisy: bool = True

    def __post_init__(self) -> None:
        self.times = thinned(3000)
        self.axes: list[tuple[float, float]] = []

    def grid(self) -> list[Point]:
        ms = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48]
        return [(F(m), F(j)) for m in ms for j in sorted({isqrt(m), isqrt(2 * m), m // 2, m, 2 * m} - {0})]

    def rows(self, X: Array) -> Rows:
        m, j = X.T
        size = 2 * self.largest + 2
        place = np.arange(-size, size + 1)
        slope = np.clip(place / m[:, None], -1, 1)
        chance = (place == j[:, None]).astype(float)
        x0 = j / m
        f0, least = np.where(x0 <= 1, x0 * x0 / 2, x0 - 0.5), np.full(m.shape, np.inf)
        wanted = set(self.times)
        for t in range(self.times[-1] + 1):
            np.minimum(least, (chance * slope**2).sum(axis=1), out=least)
            if t in wanted:
                yield t, least, {"gamma": 1 / m, "q": np.zeros_like(m), "f0": f0}
            down, up = chance * (1 + slope) / 2, chance * (1 - slope) / 2
            chance = np.zeros_like(chance)
            chance[:, :-1] += down[:, 1:]
            chance[:, 1:] += up[:, :-1]

    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        m, j = point
        L = isqrt(T + 1) / m if self.target.step == "root" else F(1)
        yield Instance(self.target, T, 1 / m / L, F(1), F(0), Huber(L, F(1)), Factor(F(1)), (j / m / L,), "everywhere")


@dataclass
class Fresh:
    """The Huber function with random messages of an unbiased U = k C, k = 1/delta: all branches of T steps. Axes step, q, x_0.

    `lost`: C(p) = p with chance delta, else 0. Otherwise C(p) = (1 - q) p with chance (1 + q)/2, else (1 + q) p.
    """

    target: Target
    lost: bool
    noisy: bool = True

    def __post_init__(self) -> None:
        self.times = list(range(9))
        self.axes = [(1e-3, 3.0), (0.0, 0.99), (0.05, 4.0)]

    def grid(self) -> list[Point]:
        steps = [F(1, n) for n in (20, 10, 5, 4, 3, 2)] + [F(3, 4), F(1), F(5, 4), F(3, 2), F(2)]
        return [(h, q, x) for h in steps for q in SHARES[::3] for x in (F(1, 4), F(1, 2), F(1), F(3, 2), F(2))]

    def factors(self, q: Any) -> list[tuple[Any, Any]]:
        """(c, chance): C(p) = c p."""
        return [(1, 1 - q * q), (0, q * q)] if self.lost else [(1 - q, (1 + q) / 2), (1 + q, (1 - q) / 2)]

    def rows(self, X: Array) -> Rows:
        h, q, x0 = (column[:, None] for column in X.T)
        x, e, w, least = x0, 0 * x0, np.ones_like(x0), np.full(len(X), np.inf)
        f0 = np.where(x0 <= 1, x0 * x0 / 2, x0 - 0.5)[:, 0]
        for t in self.times:
            g = np.clip(x, -1, 1)
            np.minimum(least, (w * g * g).sum(axis=1), out=least)
            yield t, least, {"gamma": h[:, 0], "q": q[:, 0], "f0": f0}
            p = h * g + e
            parts = [(x - c * p, (1 - c) * p, w * v) for c, v in self.factors(q)]
            x, e, w = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))

    def instances(self, point: Point, T: int) -> Iterator[Instance]:
        h, q, x0 = point
        L = h * isqrt(T + 1) if self.target.step == "root" else F(1)
        chances = Chances(tuple((F(c), F(v)) for c, v in self.factors(q)))
        yield Instance(self.target, T, h / L, F(1), q, Huber(L, F(1)), chances, (x0 / L,))
