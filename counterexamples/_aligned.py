r"""What the files on Theorem I share: data with rows of signs +-s, one step of signSGD on them, and exact runs.

    sign(a_i) = o_i s,   g = h a_i with h = l_i'(<a_i, x>),   x_{t+1} = x_t - gamma sign(g)

Conventions sign(0) in the update is the argument `zero`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product

from sympy import Abs, And, Eq, Expr, Matrix, Piecewise, Rational, log, symbols

from efcheck.evidence import Evidence, exact

CONVENTIONS = (-1, 0, 1)
xj, xk, h, gamma = symbols("x_j x_k h gamma", real=True)  # h = l_i'(<a_i, x>), a step of either sign
mj, mk = symbols("m_j m_k", positive=True)  # |a_ij|, |a_ik|

# The member on which sign(0) = +-1 decides: squared losses, x* = 0, s = (1, -1); l_1' vanishes on the diagonal.
ROWS = ((Fraction(1), Fraction(-1)), (Fraction(2), Fraction(-1)))

# Three of the four losses, a stand-in for the logistic one with a rational slope, one that is not convex; and l'(r) of each on
# Fractions. `slopes_are_derivatives` compares the two.
r = symbols("r", real=True)
LOSSES: dict[str, Expr] = {
    "squared": r**2,
    "huber": Piecewise((r**2 / 2, Abs(r) <= 1), (Abs(r), True)),
    "absolute": Abs(r),
    "r/(1+|r|)": Abs(r) - log(1 + Abs(r)),
    "double well": (r**2 - 1) ** 2 / 4,
}
SLOPES: dict[str, Callable[[Fraction], Fraction]] = {
    "squared": lambda r: 2 * r,
    "huber": lambda r: max(Fraction(-1), min(Fraction(1), r)),
    "absolute": lambda r: exact.sign(r, 0),
    "r/(1+|r|)": lambda r: r / (1 + abs(r)),
    "double well": lambda r: r**3 - r,
}


def sgn(v, zero: int):
    """sign(v) with sign(0) = zero, as SymPy."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def entry(o: int, s: int, m):
    """a_ij = o_i s_j m_ij: hypothesis ii)."""
    return o * s * m


def moved(x, o: int, s: int, m, zero: int):
    """One coordinate after one step of signSGD on g = h a_i."""
    return x - gamma * sgn(h * entry(o, s, m), zero)


def orientations() -> Iterator[tuple[int, int, int]]:
    """All (o_i, s_j, s_k)."""
    return product((1, -1), repeat=3)


def fractional(rows, slope: Callable[[Fraction], Fraction], picks: tuple[int, ...], x_star=None):
    """The stochastic gradient on Fractions, with i_t = picks[t]: l'(<a_i, x - x*>) a_i."""

    def g(t: int, x: exact.Vector) -> exact.Vector:
        a = rows[picks[t]]
        centre = x_star or (Fraction(0),) * len(x)
        value = slope(sum((p * (q - c) for p, q, c in zip(a, x, centre, strict=True)), Fraction(0)))
        return tuple(value * p for p in a)

    return g


def on_rows(picks: tuple[int, ...]):
    """`fractional` on ROWS with squared losses, x* = 0."""
    return fractional(ROWS, SLOPES["squared"], picks)


def slopes_are_derivatives() -> Evidence:
    """SLOPES against LOSSES at 25 rational points, on both sides of every kink; at a kink the middle subgradient."""
    points = [Fraction(p, 4) for p in range(-12, 13)]
    other = {
        name: [str(q) for q in points if LOSSES[name].diff(r).subs(r, Rational(q)) != Rational(slope(q))]
        for name, slope in SLOPES.items()
    }
    wrong = {name: at for name, at in other.items() if at}
    detail = f"slopes of {len(SLOPES)} losses at {len(points)} rational points; not the derivative: {wrong or 'none'}"
    return Evidence("exact", "refuted" if wrong else "supported", detail, wrong)


def rational_bump(r):
    """l'(r) for l(r) = r^2/(1 + r^4): one minimum at 0, but for |r| > 1 l falls as |r| grows, to 0 again."""
    return (2 * r - 2 * r**5) / (1 + r**4) ** 2


def is_member(rows) -> bool:
    """Rows of signs +-s, none of them 0, linearly independent: squared losses then have one optimum."""
    signs = {tuple(exact.sign(row[0], 0) * exact.sign(a, 0) for a in row) for row in rows}
    return len(signs) == 1 and 0 not in signs.pop() and Matrix(rows).rank() == len(rows)


def step_form(zero: int):
    """x_{t+1} = x_t - alpha s - beta (1, ..., 1), where alpha and beta are the same for all coordinates."""
    same = []
    for o, s, _ in orientations():
        alpha, beta = gamma * o * sgn(h, 0), gamma * zero * Piecewise((1, Eq(h, 0)), (0, True))
        same.append(Eq(moved(xj, o, s, mj, zero), xj - alpha * s - beta))
    return And(*same)


def on_the_line(zero: int):
    """s_j x_j - s_k x_k is what it was: for every pair j, k it says that x_{t+1} - x_t is a multiple of s."""
    pairs = (s * moved(xj, o, s, mj, zero) - r * moved(xk, o, r, mk, zero) - s * xj + r * xk for o, s, r in orientations())
    return And(*(Eq(p, 0) for p in pairs))


def off_line(x: exact.Vector, s: tuple[int, ...]) -> tuple[Fraction, ...]:
    """s_j x_j - s_1 x_1 for all j: the same for two points if and only if they differ by a multiple of s."""
    return tuple(a * b - s[0] * x[0] for a, b in zip(s, x, strict=True))


def worded(text: str, found: Evidence) -> Evidence:
    """What was decided, in words, before how."""
    return replace(found, detail=f"{text}: {found.detail}")


def false_by_witness(found: Evidence) -> Evidence:
    """The exact witness against a statement proves that the statement is false; no witness found decides nothing."""
    return replace(found, outcome="proved" if found.outcome == "refuted" else "undecided")
