"""The sign methods and Algorithms 1 and 2 in rational arithmetic: every iterate, without rounding.

    SGD        x_{t+1} = x_t - gamma_t g_t
    SIGNSGD    x_{t+1} = x_t - gamma_t sign(g_t)
    EF-SGD     p_t = gamma_t g_t + e_t,   D_t = C(p_t),   x_{t+1} = x_t - D_t,   e_{t+1} = p_t - D_t,   e_0 = 0

The memory e has the unit of x. Algorithm 1 is EF-SGD with `scaled_sign`, Algorithm 2 with any compressor.

Everywhere: `gradient(t, x)` gets t = 0, 1, ... and a tuple of Fractions and returns one rational per entry; `gammas`
is a sequence of rationals, one a step, or a callable `(t, x, g)` together with the number of steps `T`. Floats are
refused.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

from efcheck.errors import argument_error, integer

Vector: TypeAlias = tuple[Fraction, ...]
Gradient: TypeAlias = Callable[[int, Vector], Iterable[Any]]
Gammas: TypeAlias = Sequence[Any] | Callable[[int, Vector, Vector], Any]


def rational(name: str, value: Any) -> Fraction:
    """`value` as a Fraction, or an ArgumentError where it is not an integer or a rational."""
    if isinstance(value, bool) or not isinstance(value, numbers.Rational):
        raise argument_error(name, "be a Fraction or an integer", value, "Pass Fraction, as in Fraction(1, 2).")
    return Fraction(int(value.numerator), int(value.denominator))


def sign(q: Any, zero: Any) -> Fraction:
    """1 for q > 0, -1 for q < 0, `zero` for q = 0.

    Examples
    --------
    >>> sign(Fraction(-2, 3), zero=1), sign(0, zero=1)
    (Fraction(-1, 1), Fraction(1, 1))
    """
    number = rational("q", q)
    return Fraction((number > 0) - (number < 0)) if number else rational("zero", zero)


def scaled_sign(p: Iterable[Any], zero: Any = 1) -> Vector:
    """(||p||_1 / d) sign(p), with sign(0) = `zero`; the zero vector stays zero.

    Examples
    --------
    >>> [str(q) for q in scaled_sign((Fraction(1, 2), -1, 0))]
    ['1/2', '-1/2', '1/2']
    """
    vector = _vector("p", p)
    scale = sum((abs(q) for q in vector), Fraction(0)) / len(vector)
    return tuple(scale * sign(q, zero) for q in vector)


def top_k(p: Iterable[Any], k: int) -> Vector:
    """The k largest entries in magnitude, the others 0; ties go to the lower index.

    Examples
    --------
    >>> [str(q) for q in top_k((1, -3, 3), k=1)]
    ['0', '-3', '0']
    """
    vector = _vector("p", p)
    k = integer("k", k, 1, len(vector), "Pass k = d for no compression.")
    kept = set(sorted(range(len(vector)), key=lambda i: (-abs(vector[i]), i))[:k])
    return tuple(q if i in kept else Fraction(0) for i, q in enumerate(vector))


def sgd(gradient: Gradient, x0: Iterable[Any], gammas: Gammas, T: int | None = None) -> list[Vector]:
    """x_0, ..., x_T of x_{t+1} = x_t - gamma_t g_t."""
    return ef_sgd(gradient, x0, gammas, lambda p: p, T)[0]


def sign_sgd(gradient: Gradient, x0: Iterable[Any], gammas: Gammas, zero: Any = 0, T: int | None = None) -> list[Vector]:
    """x_0, ..., x_T of x_{t+1} = x_t - gamma_t sign(g_t), with sign(0) = `zero`.

    Examples
    --------
    >>> [str(x) for x, in sign_sgd(lambda t, x: x, (1,), [Fraction(1, 2)] * 3)]
    ['1', '1/2', '0', '0']
    """
    xs = [_vector("x0", x0)]
    for t in range(_steps(gammas, T)):
        x = xs[-1]
        g = _vector("gradient", gradient(t, x), len(x))
        gamma = _gamma(gammas, t, x, g)
        xs.append(tuple(a - gamma * sign(b, zero) for a, b in zip(x, g, strict=True)))
    return xs


def ef_sgd(
    gradient: Gradient,
    x0: Iterable[Any],
    gammas: Gammas,
    compress: Callable[[Vector], Iterable[Any]],
    T: int | None = None,
) -> tuple[list[Vector], list[Vector]]:
    """x_0, ..., x_T and e_0, ..., e_T of error feedback; x_t - e_t moves as SGD on the same gradients does.

    Examples
    --------
    >>> xs, es = ef_sgd(lambda t, x: (2, 1), (0, 0), [1, 1], lambda p: top_k(p, 1))
    >>> [[int(q) for q in e] for e in es]
    [[0, 0], [0, 1], [0, 2]]
    """
    xs = [_vector("x0", x0)]
    es: list[Vector] = [(Fraction(0),) * len(xs[0])]
    for t in range(_steps(gammas, T)):
        x = xs[-1]
        g = _vector("gradient", gradient(t, x), len(x))
        gamma = _gamma(gammas, t, x, g)
        p = tuple(gamma * a + b for a, b in zip(g, es[-1], strict=True))
        step = _vector("compress", compress(p), len(x))
        xs.append(tuple(a - b for a, b in zip(x, step, strict=True)))
        es.append(tuple(a - b for a, b in zip(p, step, strict=True)))
    return xs, es


def _vector(name: str, values: Iterable[Any], d: int | None = None) -> Vector:
    vector = tuple(rational(f"{name}[{i}]", value) for i, value in enumerate(values))
    if not vector or (d is not None and len(vector) != d):
        raise argument_error(name, "have at least one entry" if d is None else f"have {d} entries", str(len(vector)))
    return vector


def _steps(gammas: Gammas, T: int | None) -> int:
    if callable(gammas):
        return integer("T", T, 0, hint="Pass T, the number of steps, with a callable `gammas`.")
    return len(gammas) if T is None else integer("T", T, 0, len(gammas))


def _gamma(gammas: Gammas, t: int, x: Vector, g: Vector) -> Fraction:
    return rational(f"gammas[{t}]", gammas(t, x, g) if callable(gammas) else gammas[t])
