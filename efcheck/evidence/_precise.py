"""A gap on 50-digit numbers: whether it is really below 0, whatever the rounding of its own float constants."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np

from efcheck.evidence._box import decimal

Reading = Callable[[float], Any]
Point = tuple[Fraction, ...]

DIGITS, MORE_DIGITS = 50, 80
_NUDGE = 2.0**-48  # 16 units in the last place: a float constant that took a few operations to compute
_FUNCTIONS = ("sqrt", "cbrt", "exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh")
_ARC = {f"arc{f}": f"a{f}" for f in ("sin", "cos", "tan", "sinh", "cosh", "tanh")}
_ALIASES = {"log2": lambda x: mpmath.log(x, 2), "fabs": abs, **{n: getattr(mpmath, m) for n, m in _ARC.items()}}
_read: ContextVar[Reading] = ContextVar("_read")


class Real(mpmath.mpf):  # type: ignore[misc]
    """An mpf on which NumPy's functions work: np.sqrt of an object array calls the method `sqrt` of its entries.

    A float that meets it is read by the reading in force, since 0.1 in a formula means one tenth, not the binary
    fraction next to it.
    """


class NotTaken(Exception):
    """gap does not take mpmath numbers, and why."""


def _wrap(value: Any) -> Any:
    if isinstance(value, mpmath.mpc):
        return Real("nan")  # as floats have it: sqrt(-1) may stand in the branch that np.where drops
    return Real(value) if isinstance(value, mpmath.mpf) else value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return _read.get()(value) if isinstance(value, float) else value


def _apply(base: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return _wrap(base(left, right))
    except ZeroDivisionError:  # as floats have it: 1/0 = inf, -1/0 = -inf, 0/0 = nan
        return Real("nan") if left == 0 and right == 0 else Real("-inf" if left < 0 else "inf")


def _operator(name: str) -> Callable[[Any, Any], Any]:
    base = getattr(mpmath.mpf, name)
    return lambda self, other: _apply(base, self, _plain(other))


def _reflected(name: str) -> Callable[[Any, Any], Any]:
    base = getattr(mpmath.mpf, name)

    def operate(self: Any, other: Any) -> Any:
        # not mpf's own reflected operator: that swaps the sides, and Python would come back here
        return NotImplemented if isinstance(other, np.ndarray) else _apply(base, mpmath.mpmathify(_plain(other)), self)

    return operate


def _method(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda self: _wrap(function(self))


for _name in ("add", "sub", "mul", "truediv", "pow", "mod"):
    setattr(Real, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(Real, f"__r{_name}__", _reflected(f"__{_name}__"))
for _name in ("neg", "pos", "abs"):
    setattr(Real, f"__{_name}__", _method(getattr(mpmath.mpf, f"__{_name}__")))
for _name in (*_FUNCTIONS, *_ALIASES):
    setattr(Real, _name, _method(_ALIASES.get(_name) or getattr(mpmath, _name)))
for _name in ("floor", "ceil"):
    setattr(Real, f"__{_name}__", _method(getattr(mpmath, _name)))


@contextmanager
def _arithmetic(digits: int, reading: Reading) -> Iterator[None]:
    token = _read.set(reading)
    try:
        with mpmath.workdps(digits), np.errstate(all="ignore"):
            yield
    finally:
        _read.reset(token)


def _readings(rng: np.random.Generator) -> list[Reading]:
    """A float constant as the shortest decimal, and up, down, or either way by 16 units in the last place."""

    def moved(by: Callable[[], float]) -> Reading:
        return lambda f: mpmath.mpf(f) * (1 + mpmath.mpf(_NUDGE) * by())

    def shortest(f: float) -> Any:
        return mpmath.mpf(decimal(f).numerator) / decimal(f).denominator if math.isfinite(f) else mpmath.mpf(f)

    return [shortest, moved(lambda: 1.0), moved(lambda: -1.0)] + [moved(lambda: rng.uniform(-1, 1))] * 5


def judge(gap: Callable[[Any], Any], points: Sequence[Point]) -> list[tuple[str, float]]:
    """For each point "below", "not below" or "unknown", with gap there; raises NotTaken.

    below: gap < 0 at 50 and at 80 digits, in agreement, and for every reading of its float constants.
    not below: gap >= 0 for one of these, or 0 within the rounding of either precision.
    """
    rough: list[float] = []

    def binary(f: float) -> Any:
        if not f.is_integer() and float(np.float32(f)) != f:  # 0.5 is meant as it is, 0.1 is not
            rough.append(f)
        return mpmath.mpf(f)

    values = [_evaluate(gap, points, DIGITS, binary), _evaluate(gap, points, MORE_DIGITS, binary)]
    if rough:
        values += [_evaluate(gap, points, DIGITS, reading) for reading in _readings(np.random.default_rng(0))]
    return [_judgement([v[i] for v in values]) for i in range(len(points))]


def _judgement(readings: Sequence[Any]) -> tuple[str, float]:
    if any(v is None or not mpmath.isfinite(v) for v in readings):
        return "unknown", math.nan
    few, many = readings[:2]
    value = float(many)
    if any(v >= 0 for v in readings) or abs(many) < abs(few) * mpmath.mpf(10) ** -20:
        return "not below", value
    agree = abs(few - many) <= abs(many) / 100
    return ("below" if agree else "unknown"), value


def _evaluate(gap: Callable[[Any], Any], points: Sequence[Point], digits: int, reading: Reading) -> list[Any]:
    """gap at the points: an mpf, or None where it is not real."""
    with _arithmetic(digits, reading):
        rows = np.empty((len(points), len(points[0])), dtype=object)
        for i, point in enumerate(points):
            rows[i] = [Real(q.numerator) / q.denominator for q in point]
        try:
            answer = np.asarray(gap(rows))
        except Exception as error:  # a formula may fail on object arrays in any way
            raise NotTaken(f"{type(error).__name__}: {error}".partition("\n")[0][:80]) from error
        values = answer.tolist()
        if answer.shape != (len(points),) or any(isinstance(v, (float, np.generic)) for v in values):
            raise NotTaken("it answers in floats")
        return [mpmath.mpf(v) if isinstance(v, (mpmath.mpf, int)) else None for v in values]
