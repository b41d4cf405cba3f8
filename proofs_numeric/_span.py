r"""What the files on Section 5.1 share: one coordinate of Algorithm 2, exact projections, and a name for what was proved.

Conventions e in the unit of x. Algorithm 2 starts with e_0 = 0 (its line 2) and repeats p_t = gamma_t g_t + e_t,
            x_{t+1} = x_t - Delta, e_{t+1} = p_t - Delta, Delta = C(p_t).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from sympy import Eq, Integer, Symbol, symbols

from efcheck.evidence import Evidence, prove

x, e, g, sent = symbols("x e g Delta", real=True)  # one coordinate of x_t, e_t, g_t and D = C(p_t)
x0, total = symbols("x_0 S", real=True)  # S: the same coordinate of sum_{i<t} gamma_i g_i
gamma = Symbol("gamma", nonnegative=True)
Vector = tuple[Fraction, ...]


def named(text: str, found: Evidence) -> Evidence:
    """The evidence with what it decides in front of its detail."""
    return replace(found, detail=f"{text}: {found.detail}")


def begin():
    """One coordinate of x_0 and e_0."""
    return x0, Integer(0)


def step():
    """One step of Algorithm 2 on one coordinate: x_{t+1}, e_{t+1} and the corrected gradient p_t."""
    p = gamma * g + e
    return x - sent, p - sent, p


def base_case(covers: str = "t = 0") -> Evidence:
    """Before any step the sum of gradients is empty."""
    first, memory = begin()
    return named("x_0 - e_0 = x_0", prove(Eq(first - memory, x0), kind="identity", covers=covers))


def induction_step(covers: str) -> Evidence:
    """If x_t - e_t = x_0 - S then x_{t+1} - e_{t+1} = x_0 - (S + gamma g), in each coordinate, for any Delta."""
    after, memory, _ = step()
    induction = Eq((after - memory).subs(x, x0 - total + e), x0 - (total + gamma * g))
    text = "x_t - e_t = x_0 - S gives x_{t+1} - e_{t+1} = x_0 - S - gamma_t g_t"
    return named(text, prove(induction, kind="identity", covers=covers))


def nearest_point() -> Evidence:
    """r = x - Pi x, w = Pi x - s with <r, w> = 0 (w is in the span): ||x - s||^2 = ||r + w||^2 >= ||r||^2, any dimension."""
    r2, w2 = symbols("r2 w2", nonnegative=True)
    c = Symbol("c", real=True)
    text = "no s in the span is nearer to x than Pi x, c = <x - Pi x, Pi x - s>"
    return named(text, prove(r2 <= r2 + 2 * c + w2, [Eq(c, 0)], covers="nearest point"))


def dot(a: Sequence[Fraction], b: Sequence[Fraction]) -> Fraction:
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def off_span(v: Sequence[Fraction], gradients: Sequence[Sequence[Fraction]]) -> Vector:
    """v - Pi(v), exactly: Gram-Schmidt on Fractions."""
    basis: list[Vector] = []

    def outside(w: Sequence[Fraction]) -> Vector:
        rest = tuple(map(Fraction, w))
        for b in basis:
            share = dot(rest, b) / dot(b, b)
            rest = tuple(r - share * c for r, c in zip(rest, b, strict=True))
        return rest

    for gradient in gradients:
        if any(new := outside(gradient)):
            basis.append(new)
    return outside(v)


def norm2(v: Sequence[Fraction]) -> Fraction:
    return dot(v, v)


def distance2(v: Sequence[Fraction], a: Sequence[Fraction]) -> Fraction:
    """From the line of a; the entries of v may be symbols."""
    return norm2(v) - dot(v, a) ** 2 / norm2(a)
