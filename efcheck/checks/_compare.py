"""Comparison of two compressions: as vectors, by how well they compress, and in law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._random import LIMIT, PAIR, differs
from efcheck.checks._subject import Subject


def error(v: Array, out: Array) -> float:
    """||C(v) - v||^2 / ||v||^2, on v / max|v| so that no square is lost; 0 for C(0) = 0."""
    wide = v.astype(np.float64)
    top = float(np.abs(wide).max())
    if top == 0:
        return 0.0 if not out.any() else float("inf")
    with np.errstate(all="ignore"):
        unit = wide / top
        return float(np.square(out / top - unit).sum() / np.square(unit).sum())


def close(s: Subject, a: Array, b: Array, v: Array) -> bool:
    """Equal up to rounding; or, as near a discontinuity, equal in how well they compress v."""
    if np.array_equal(a, b, equal_nan=True):
        return True
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return False
    slack = _slack(s, v.shape[-1])
    scale = max(float(np.abs(x).max()) for x in (a, b, v))
    if float(np.abs(a - b).max()) <= slack * scale:
        return True
    one, two = error(v, a), error(v, b)
    return abs(one - two) <= slack * max(one, two)


def close_code(s: Subject, d: int, a: str, b: str, v: str = "v") -> str:
    """Python text that is true only where each vector of `a` is close to that of `b` by the largest entry."""
    return f"np.all(np.abs({a} - {b}).max(-1) <= {_slack(s, d):.3g} * np.abs([{a}, {b}, {v}]).max((0, -1)))"


def _slack(s: Subject, d: int) -> float:
    """Of the largest entry: rounding; a float64 result may contain a scale that was sent as float32."""
    return max(8 * s.tolerance(d), 2e-6)


TOO_SLOW = "a call is too slow for so many random draws"


def affordable(s: Subject, d: int) -> bool:
    """Whether the calls of two comparisons in law in R^d cost at most a second."""
    return 4 * PAIR * s.prices.price(d) <= s.clock(1.0).seconds


def same_law(one: Callable[[int], tuple[float, ...]], two: Callable[[int], tuple[float, ...]]) -> bool:
    """Whether statistics of `PAIR` independent draws on either side may come from the same law."""
    left = np.array([one(i) for i in range(PAIR)])
    right = np.array([two(i) for i in range(PAIR, 2 * PAIR)])
    return not any(differs(left[:, j], right[:, j]) for j in range(left.shape[1]))


def law_code(s: Subject, left: str, right: str) -> str:
    """Python text that fails where same_law says no: `left` draws by generator one, `right` by generator two, of vector u."""
    body = f"one, two = {s.generator(1)}, {s.generator(2)}\n\n" if s.rng(0) is not None else ""
    body += "def measures(x):\n    size = np.linalg.norm(u)\n"
    body += "    return np.square((x - u) / size).sum(), np.cos(np.arange(1.0, u.size + 1)) @ x / size\n\n"
    body += "def below(x, at):\n    return np.searchsorted(np.sort(x), at, 'right') / x.size\n\n"
    body += f"x = np.array([measures({left}) for _ in range({PAIR})]).T\n"
    body += f"y = np.array([measures({right}) for _ in range({PAIR})]).T\n"
    body += "gap = max(np.abs(below(a, np.r_[a, b]) - below(b, np.r_[a, b])).max() for a, b in zip(x, y))\n"
    return body + f"print(gap)\nassert gap <= {LIMIT:.6g}, 'the two laws differ'"
