"""One run on rationals: points, gradients and messages, every hypothesis checked without rounding, and the left side.

Only what is free is stored: x_0, the gradients, what each message leaves out (residual_t = p_t - C(p_t)), and function
values. Everything else follows from the method. Units are the reader's; x* = 0 and f* = 0 where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, permutations
from typing import Any, TypeAlias

from efcheck.errors import argument_error
from efcheck.evidence._falsify_rational import rational
from efcheck.evidence.worst_case import LETTERS, LONGEST

Vector: TypeAlias = tuple[Fraction, ...]
Step: TypeAlias = Callable[[Fraction, Vector, Vector, Vector, Vector], tuple[Vector, Vector, Vector]]


def plus(a: Vector, b: Vector, factor: Fraction = Fraction(1)) -> Vector:
    """a + factor b."""
    return tuple(u + factor * v for u, v in zip(a, b, strict=True))


def minus(a: Vector, b: Vector) -> Vector:
    """a - b."""
    return plus(a, b, Fraction(-1))


def dot(a: Vector, b: Vector) -> Fraction:
    """<a, b>."""
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def square(a: Vector) -> Fraction:
    """||a||^2."""
    return dot(a, a)


def around(some: Sequence[Any], period: int, count: int) -> tuple[Any, ...]:
    """`count` things, the last `period` again and again.

    >>> around("abc", 2, 6)
    ('a', 'b', 'c', 'b', 'c', 'b')
    """
    first = len(some) - period
    return tuple(some[t if t < first else first + (t - first) % period] for t in range(count))


# -- one step: (gamma, x_t, g_t, memory, residual_t) -> p_t, x_{t+1}, new memory ------------------------------------------


def _ef_sgd(gamma: Fraction, x: Vector, g: Vector, e: Vector, residual: Vector) -> tuple[Vector, Vector, Vector]:
    p = plus(e, g, gamma)
    return p, minus(x, minus(p, residual)), residual


def _compressed_sgd(gamma: Fraction, x: Vector, g: Vector, none: Vector, residual: Vector) -> tuple[Vector, Vector, Vector]:
    return g, plus(x, minus(g, residual), -gamma), none


def _ef21(gamma: Fraction, x: Vector, g: Vector, h: Vector, residual: Vector) -> tuple[Vector, Vector, Vector]:
    p = minus(g, h)
    new = plus(h, minus(p, residual))
    return p, plus(x, new, -gamma), new


_STEPS: dict[str, Step] = {"EFSGD": _ef_sgd, "CompressedSGD": _compressed_sgd, "EF21": _ef21}


@dataclass(frozen=True)
class Instance:
    """A run and the function it runs on.

    f: values at x_0, ..., x_T, empty for error_norm. slope, f_mean: a subgradient and the value at the mean, for
    suboptimality. letters: the rationals T, delta, gamma, sigma and, as the quantity has them, L, f0 (None: free), R.
    """

    quantity: str
    method: str
    letters: dict[str, Any]
    x0: Vector
    g: tuple[Vector, ...]
    residual: tuple[Vector, ...]
    f: tuple[Fraction, ...] = ()
    slope: Vector | None = None
    f_mean: Fraction | None = None

    @cached_property
    def _run(self) -> tuple[list[Vector], list[Vector]]:
        x, p, memory = [self.x0], [], tuple(Fraction(0) for _ in self.x0)
        for g, residual in zip(self.g[: self.letters["T"]], self.residual, strict=True):
            sent, after, memory = _STEPS[self.method](self.letters["gamma"], x[-1], g, memory, residual)
            p.append(sent)
            x.append(after)
        return x, p

    @property
    def d(self) -> int:
        """The dimension."""
        return len(self.x0)

    @property
    def x(self) -> list[Vector]:
        """x_0, ..., x_T."""
        return self._run[0]

    @property
    def p(self) -> list[Vector]:
        """What is compressed at t = 0, ..., T - 1."""
        return self._run[1]

    @property
    def mean(self) -> Vector:
        """(x_0 + ... + x_T)/(T + 1)."""
        steps = Fraction(len(self.x))
        return tuple(sum(column, Fraction(0)) / steps for column in zip(*self.x, strict=True))

    @property
    def points(self) -> list[tuple[Vector, Vector, Fraction]]:
        """(x, g, f) that the function goes through."""
        found = list(zip(self.x, self.g, self.f, strict=True)) if self.f else []
        if self.slope is None or self.f_mean is None:
            return found
        zero = tuple(Fraction(0) for _ in self.x0)
        return [*found, *([(self.mean, self.slope, self.f_mean)] if self.letters["T"] else []), (zero, zero, Fraction(0))]

    @property
    def period(self) -> int:
        """P > 0 where all of t >= 1 comes again after P steps, again and again; else 0."""
        rows = list(zip(self.x, self.g, self.f, strict=True)) if self.f else []

        def comes_again(some: Sequence[Any], after: int) -> bool:
            return all(a == b for a, b in zip(some[1:], some[1 + after :], strict=False))

        lengths = range(1, len(rows) // 3 + 1)
        return next((n for n in lengths if comes_again(rows, n) and comes_again(self.residual, n)), 0)

    def left(self) -> Fraction:
        """The quantity itself; f(x_0) is on the right side."""
        return _LEFT[self.quantity](self)

    def broken(self) -> Iterator[str]:
        """The hypotheses that do not hold, in words."""
        keep, sigma = 1 - self.letters["delta"], self.letters["sigma"]
        for t, (p, residual) in enumerate(zip(self.p, self.residual, strict=True)):
            if square(residual) > keep * square(p):
                yield f"the message at t = {t} contracts too little"
        for t, g in enumerate(self.g):
            if square(g) > sigma**2:
                yield f"the gradient at t = {t} is larger than sigma"
        yield from _one_answer("the compressor", self.p, self.residual)
        yield from _one_answer("the gradient", self.x[: len(self.g)], self.g)
        yield from _FUNCTION[self.quantity](self)

    def to_json(self) -> dict[str, Any]:
        """Everything as text of rationals; of a run with a period, x_0 and x_1, ..., x_period alone."""
        period = self.period
        few = 1 + period if period else len(self.x)

        def texts(vectors: Sequence[Vector]) -> list[list[str]]:
            return [[str(c) for c in v] for v in vectors[:few]]

        return {
            "quantity": self.quantity,
            "method": self.method,
            "letters": {name: None if v is None else str(v) for name, v in self.letters.items()},
            "period": str(period),
            "x": texts(self.x),
            "g": texts(self.g),
            "p": texts(self.p),
            "residual": texts(self.residual),
            "message": texts([minus(p, r) for p, r in zip(self.p, self.residual, strict=True)]),
            "f": [str(v) for v in self.f[:few]],
            "mean": None if self.slope is None else {"slope": texts([self.slope])[0], "f": str(self.f_mean)},
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Instance:
        """The inverse of `to_json`: what is free is read, what follows is computed anew.

        ArgumentError where it is no run of a known quantity and method, with letters in their ranges and all its vectors.
        """
        try:
            found = cls._read(told)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, ZeroDivisionError) as error:
            raise argument_error("instance", "be what `replay` writes", f"{type(error).__name__}: {error}") from None
        for holds, what in _complete(found):
            if not holds:
                raise argument_error("instance", f"have {what}", "another one")
        return found

    @classmethod
    def _read(cls, told: dict[str, Any]) -> Instance:
        def vector(texts: Sequence[str]) -> Vector:
            return tuple(map(rational, texts))

        letters = {name: None if text is None else rational(text) for name, text in told["letters"].items()}
        T, period = int(told["letters"]["T"]), int(told.get("period", "0"))
        g, residual, f = tuple(map(vector, told["g"])), tuple(map(vector, told["residual"])), vector(told["f"])
        if period:
            if not (period > 0 and T <= LONGEST and len(g) == len(residual) == len(f) == 1 + period):
                raise ValueError(f"a period needs 1 + period gradients, residuals and values, and T <= {LONGEST}")
            g, residual, f = around(g, period, T + 1), around(residual, period, T), around(f, period, T + 1)
        mean: dict[str, Any] = (
            {} if told["mean"] is None else {"slope": vector(told["mean"]["slope"]), "f_mean": rational(told["mean"]["f"])}
        )
        return cls(
            told["quantity"], told["method"], letters | {"T": T}, vector(told["x"][0]), g, residual, f, **mean
        )  # fmt: skip


def slopes_bounded(run: Instance) -> bool:
    r"""In one dimension: whether an L-smooth function through all points, with the same infimum, has |f'| <= sigma everywhere.

    Between neighbours x < y, f' may rise by L a unit, stay at sigma and fall to f'(y): f(y) - f(x) is at most, and likewise
    at least,

        (2 m^2 - f'(x)^2 - f'(y)^2)/(2 L) - max(m - sigma, 0)^2/L,   m = (f'(x) + f'(y) + L (y - x))/2

    and all that is between can be had. Beyond the last points f' goes to 0 and stays there. In more dimensions, False.
    """
    if run.d != 1 or run.quantity != "gradient_norm":
        return False
    L, sigma = run.letters["L"], run.letters["sigma"]

    def most(a: Fraction, b: Fraction, room: Fraction) -> Fraction:
        peak = (a + b + L * room) / 2
        return Fraction((2 * peak**2 - a**2 - b**2) / (2 * L) - max(peak - sigma, Fraction(0)) ** 2 / L)

    line = sorted({(x[0], g[0], f) for x, g, f in run.points})
    return all(-most(-a, -b, y - x) <= w - v <= most(a, b, y - x) for (x, a, v), (y, b, w) in pairwise(line))


def _complete(run: Instance) -> Iterator[tuple[bool, str]]:
    """What a run must have to be judged; each may suppose those before it."""
    named, values = run.quantity, run.letters
    yield named in _LEFT, f"a quantity among {', '.join(_LEFT)}"
    yield run.method in _STEPS, f"a method among {', '.join(_STEPS)}"
    yield values.keys() == set(LETTERS[named]), f"the letters {', '.join(LETTERS[named])}"
    yield values["T"] >= (named == "error_norm"), "T >= 0, and >= 1 for error_norm"
    yield all(v is not None for name, v in values.items() if name != "f0"), "all letters but f0"
    yield 0 < values["delta"] <= 1, "0 < delta <= 1"
    yield all(values[name] > 0 for name in ("gamma", "sigma", "L") if name in values), "gamma, sigma, L > 0"
    yield (values.get("f0") or 0) >= 0 and values.get("R", 0) >= 0, "f0, R >= 0"
    points = values["T"] + (named != "error_norm")
    yield len(run.residual) == values["T"], "T residuals"
    yield len(run.g) == points, f"{points} gradients"
    yield len(run.f) == (0 if named == "error_norm" else points), "a function value for each gradient, none for error_norm"
    yield (run.slope is not None) == (named == "suboptimality"), "a mean for suboptimality alone"
    slope = () if run.slope is None else (run.slope,)
    yield {len(v) for v in (run.x0, *run.g, *run.residual, *slope)} == {max(run.d, 1)}, "vectors of one dimension"


def _one_answer(what: str, asked: Sequence[Vector], answers: Sequence[Vector]) -> Iterator[str]:
    seen: dict[Vector, Vector] = {}
    for t, (question, answer) in enumerate(zip(asked, answers, strict=True)):
        if seen.setdefault(question, answer) != answer:
            yield f"{what} answers twice differently at t = {t}"


def _anything(run: Instance) -> Iterator[str]:
    yield from ()


def _smooth(run: Instance) -> Iterator[str]:
    """Interpolation by an L-smooth function, and f >= 0 = inf f (Taylor, Hendrickx, Glineur 2017; Drori, Shamir 2020)."""
    L, f0 = run.letters["L"], run.letters["f0"]
    for (i, (x, g, f)), (j, (y, h, v)) in permutations(enumerate(run.points), 2):
        step, turn = minus(x, y), minus(g, h)
        if f < v + dot(plus(g, h), step) / 2 - L * square(step) / 4 + square(turn) / (4 * L):
            yield f"no L-smooth function goes through x_{i} and x_{j}"
    for t, (_, g, f) in enumerate(run.points):
        if f < square(g) / (2 * L):
            yield f"f must fall below its infimum next to x_{t}"
    if f0 is not None and run.f[0] > f0:
        yield "f(x_0) is larger than f0"


def _convex(run: Instance) -> Iterator[str]:
    """Interpolation by a convex function with slopes at most sigma, least at x* = 0; ||x_0 - x*|| <= R."""
    for (i, (x, _, f)), (j, (y, h, v)) in permutations(enumerate(run.points), 2):
        if f < v + dot(h, minus(x, y)):
            yield f"no convex function goes through the points {i} and {j}"
    if run.slope is not None and square(run.slope) > run.letters["sigma"] ** 2:
        yield "the slope at the mean is larger than sigma"
    if run.letters["T"] == 0 and (run.slope, run.f_mean) != (run.g[0], run.f[0]):
        yield "the mean is x_0, with another slope or value"
    if square(run.x0) > run.letters["R"] ** 2:
        yield "x_0 is farther than R"


def _error_norm(run: Instance) -> Fraction:
    lost = minus(run.x[-1], run.x[0])
    for g in run.g:
        lost = plus(lost, g, run.letters["gamma"])
    return square(lost)


def _suboptimality(run: Instance) -> Fraction:
    assert run.f_mean is not None
    return run.f_mean


_LEFT: dict[str, Callable[[Instance], Fraction]] = {
    "error_norm": _error_norm,
    "gradient_norm": lambda run: min(square(g) for g in run.g),
    "suboptimality": _suboptimality,
}
_FUNCTION: dict[str, Callable[[Instance], Iterator[str]]] = {
    "error_norm": _anything,
    "gradient_norm": _smooth,
    "suboptimality": _convex,
}
