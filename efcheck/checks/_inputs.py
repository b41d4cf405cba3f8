"""Inputs that are hard on a compressor. Each is Python text, so that a report can show it; its value is that text's value.

Families (d entries each): one-hot, all equal, alternating, negative, two scales, near-ties, heavy tails, sparse, the worst
case of random ternary rounding (1 and d - 1 entries 1/(sqrt(d) + 1)), half levels, zeros of both signs, generic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from efcheck.arrays import Array

SCALES = {"float64": (1e-200, 1e-4, 1.0, 1e4, 1e150), "float32": (1e-4, 1.0, 1e4)}


@dataclass(frozen=True)
class Input:
    """A vector and the NumPy expression that makes it."""

    code: str

    @cached_property
    def value(self) -> Array:
        out: Array = np.asarray(eval(self.code, {"np": np}))
        return out

    @property
    def d(self) -> int:
        return int(self.value.shape[-1])

    def times(self, scale: float) -> Input:
        return self if scale == 1 else Input(f"{scale!r} * ({self.code})")

    def typed(self, dtype: str) -> Input:
        return self if dtype == "float64" else Input(f"({self.code}).astype(np.{dtype})")


def generic(d: int, seed: int = 0) -> Input:
    """Normal entries: no ties, no zeros, of a size."""
    return Input(f"np.random.default_rng({seed}).standard_normal({d})")


def comparable(d: int) -> Input:
    """Distinct entries of both signs whose sizes differ by a factor of at most two."""
    return Input(f"np.resize([1.0, -1.0], {d}) * np.linspace(1.0, 2.0, {d})")


def families(d: int, seeds: Iterable[int] = range(3)) -> list[Input]:
    """The fixed inputs in R^d, simplest first, each once."""
    rest, near = d - 1, 1 / (math.sqrt(d) + 1)
    codes = [
        f"np.ones({d})",
        f"-np.ones({d})",
        f"np.eye(1, {d})[0]",
        f"np.where(np.arange({d}) == {rest}, -1.0, 0.0)",
        f"np.eye(1, {d}, {d // 2})[0]",
    ]
    codes += [
        f"np.resize([1.0, -1.0], {d})",
        f"np.arange(1.0, {d + 1})",
        f"-np.arange(1.0, {d + 1})",
        f"np.arange({d}) - {rest / 2}",
    ]
    codes += [f"np.r_[1.0, np.full({rest}, {near:.4g})]", f"np.r_[-1.0, np.full({rest}, {near:.4g})]"]
    codes += [f"np.r_[1.0, np.full({rest}, 0.5)]", f"np.r_[1.0, np.full({rest}, -1.0)]", f"np.r_[-1.0, np.full({rest}, 0.5)]"]
    codes += [f"np.r_[1.0, np.full({rest}, 1e-3)]", f"np.resize([1.0, 1e-6], {d})", f"np.r_[1.0, np.full({rest}, -0.0)]"]
    codes += [
        f"1.0 + 1e-9 * np.arange({d})",
        f"np.where(np.arange({d}) % 3 == 0, 1.0, 0.0)",
        f"{0.5 if d <= 50 else 0.9} ** np.arange({d})",
    ]
    for seed in seeds:
        rng = f"np.random.default_rng({seed})"
        codes += [generic(d, seed).code, f"{rng}.standard_cauchy({d})", f"{rng}.integers(-1, 2, {d}) * 1.0"]
        codes += [f"(lambda r: r.standard_normal({d}) * (r.random({d}) < 0.2))({rng})", f"{rng}.random({d}) - 0.1"]
    found: dict[bytes, Input] = {}
    for code in codes:
        one = _short(Input(code))
        if one.value.any():
            found.setdefault(one.value.tobytes(), one)
    return list(found.values())


def _short(one: Input) -> Input:
    """Up to four entries of few digits one by one: easier to read."""
    return one if one.d > 4 or len(text := listed(one.value).code) > 40 else Input(text)


Score = Callable[[Input], float]


def worst(
    score: Score, starts: Iterable[Input], d: int, dtype: str, more: Callable[[], bool], steps: int = 300
) -> tuple[float, Input]:
    """The input of the largest score found: from the best of `starts`, a local search while `more()`.

    Up to 16 entries the search moves entries; above, the parameters of 1, m entries x, the rest 0.
    """
    scored = sorted(((score(one), i, one) for i, one in enumerate(starts)), key=lambda s: (-s[0], s[1]))
    value, _, best = scored[0]
    if not math.isfinite(value):
        return value, best
    if d <= 16:
        return _entries(score, [(s, one) for s, _, one in scored[:3]], dtype, more, steps)
    return _levels(score, (value, best), d, dtype, more)


def _entries(
    score: Score, starts: list[tuple[float, Input]], dtype: str, more: Callable[[], bool], steps: int
) -> tuple[float, Input]:
    rng, found = np.random.default_rng(1), []
    for value, start in starts:
        x: Array
        best, x = value, np.asarray(start.value, dtype=np.float64)
        moved = False
        for step in range(steps // len(starts)):
            if not more() or not math.isfinite(best):
                break
            y = _move(rng, x, 0.5 ** (6 * step * len(starts) / steps))
            new = score(listed(y, dtype)) if y.any() else -math.inf
            if new > best:
                best, x, moved = new, y, True
        found.append(_rounded(score, best, x, dtype) if moved else (value, start))
    return max(found, key=lambda f: f[0])


def _move(rng: np.random.Generator, x: Array, size: float) -> Array:
    y = x.copy()
    i, j, kind = rng.integers(x.size), rng.integers(x.size), rng.integers(6)
    if kind == 0:
        y[i] = 0.0
    elif kind == 1:
        y[i] = x[j]
    elif kind == 2:
        y[i] = -x[j]
    elif kind == 3:
        y[i] *= 1 + size * rng.standard_normal()
    else:
        y += size * np.abs(x).max() * rng.standard_normal(x.size) * (rng.random(x.size) < 0.5)
    return y


def _rounded(score: Score, best: float, x: Array, dtype: str) -> tuple[float, Input]:
    """`x` in as few digits as lose at most a thousandth of the score."""
    x = x / np.abs(x).max()
    for digits in (1, 2, 3, 5, 8):
        short = listed(np.round(x, digits), dtype)
        if short.value.any() and (value := score(short)) >= best - 1e-3 * abs(best):
            return value, short
    exact = listed(x, dtype)
    return score(exact), exact


def listed(x: Any, dtype: str = "float64") -> Input:
    """The entries one by one."""
    return Input(f"np.array({[float(e) for e in np.asarray(x)]})").typed(dtype)


def _levels(score: Score, best: tuple[float, Input], d: int, dtype: str, more: Callable[[], bool]) -> tuple[float, Input]:
    sizes = (-1.0, -0.3, -0.03, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99)
    place: tuple[int, float] | None = None
    for m in sorted({1, 2, 9, d // 10, d // 2, d - 1}):
        for x in sizes:
            if not more():
                return best
            zeros = f", np.zeros({d - 1 - m})" if d - 1 - m else ""
            one = Input(f"np.r_[1.0, np.full({m}, {x}){zeros}]").typed(dtype)
            value = score(one)
            if value > best[0]:
                best = (value, one)
                place = (m, x)
    return best if place is None else _refined(score, best, place, d, dtype, more)


def _refined(
    score: Score, best: tuple[float, Input], place: tuple[int, float], d: int, dtype: str, more: Callable[[], bool]
) -> tuple[float, Input]:
    """The level moved by steps that halve, to three digits."""
    (m, x), step = place, 0.1
    zeros = f", np.zeros({d - 1 - m})" if d - 1 - m else ""
    while step > 1e-3 and more():
        for y in (round(x + step, 3), round(x - step, 3)):
            one = Input(f"np.r_[1.0, np.full({m}, {y}){zeros}]").typed(dtype)
            if (value := score(one)) > best[0]:
                best, x = (value, one), y
                break
        else:
            step /= 2
    return best
