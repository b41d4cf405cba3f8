r"""Without feedback, rank-1 extends none of the three counterexamples: on a vector it is SGD. On 2 x 2 matrices it has its own.

Statement   "our counterexamples extend to [...] even other biased compression schemes": x_{t+1} = x_t - gamma_t C(g_t) with
            C(g) the best approximation of g, seen as a matrix, of rank at most 1.
Source      Section 1, Our contributions; Section 3, Counterexamples 1, 2 and 3
Idea        A vector is a matrix of rank at most 1, so it is its own only best approximation. In other coordinates there is a
            counterexample: of diag(a, b), |a| < |b|, the only best approximation is diag(0, b), so that rows (epsilon, 1),
            (-epsilon, 1), as diagonals, hide X11 for ever.
Conventions 2: sign(0) = +-1 in the subgradient. 1: before projection. 3 and the new examples: none.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import Abs, And, Eq, Implies, Ne, Or, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import LowRank
from efcheck.evidence import Evidence, prove

plane = content.load(Path(__file__).with_name("_plane.py"))
compressors = content.load(Path(__file__).with_name("extensions_compressors.py"))
HALF, START = Fraction(1, 2), (Fraction(1), Fraction(1))
x1, x2, eps = compressors.x1, compressors.x2, compressors.eps
a, b, M11, M22, N = (Symbol(name, real=True) for name in ("a", "b", "M11", "M22", "N"))

rank_1 = compressors.first("rank-1", "rank-1")


def rank_claim(number: int, said: str, tail: str) -> Claim:
    return Claim(
        f"extension-compressor-rank-1-{number}",
        compressors.SECTION.format(number),
        f"Counterexample {number} extends to rank-1 without feedback: {said}",
        repaired="a vector of R^2 is a matrix of rank 1, so rank-1 is the identity: the method is SGD; on 2 x 2 matrices it "
        f"never moves X11 {tail}, and from X = E11, f(X_t) >= f(X_0) for any steps",
        expect="refuted",
    )


rank_2 = rank_claim(
    2,
    f"{compressors.ANY} (sign(0) = +-1 in the subgradient)",
    "if g = (epsilon sign(X11), sign(X22)) as a diagonal, of f = epsilon |X11| + |X22|, sign(0) = +-1",
)
rank_3 = rank_claim(
    3,
    f"{compressors.ANY} almost surely",
    "if g is 2 a_i <a_i, diag X> as a diagonal, a = (+-epsilon, 1), or 2 X12 E12 or 2 X21 E21",
)


# -- vectors: the identity -------------------------------------------------------------------------------------------------


def nearest(*g) -> Evidence:
    """g = 1 g^T has rank at most 1 and distance 0 to itself; what is as near as that is g."""
    m = [Symbol(f"M{i}", real=True) for i, _ in enumerate(g)]
    distance = sum((p - q) ** 2 for p, q in zip(g, m, strict=True))
    same = And(*(Eq(p, q) for p, q in zip(g, m, strict=True)))
    return prove(Implies(distance <= 0, same), covers="identity")


compressors.drift_of(rank_1, lambda g: g)
rank_1.repaired(lambda: nearest(x1))
rank_1.repaired(lambda seed=0: compressors.same_numbers(LowRank(1, (1, 1)), 1, seed))
rank_2.repaired(lambda: nearest(x1, x2))
rank_3.repaired(lambda: nearest(x1, x2))


@rank_2.printed
def subgradient_steps_of_2() -> Evidence:
    """The identity on R^2, gamma = 1/16: exact runs with epsilon = 1/2, sign(0) = +-1."""
    least = []
    for zero in (1, -1):
        xs = compressors.compressed(compressors.exact_2(HALF, zero), [Fraction(1, 16)] * 64, lambda p: p)
        least.append(min(plane.f_2(HALF, x) for x in xs))
    outcome = "refuted" if max(least) < plane.f_2(HALF, START) else "supported"
    detail = f"epsilon = 1/2, gamma = 1/16: min f(x_t) = {max(least)} (t <= 64, sign(0) = +-1), f(x_0) = 1"
    return Evidence("witness", outcome, detail, {"least": least})


@rank_3.printed
def gradient_steps_of_3() -> Evidence:
    """The identity on R^2: every draw of 4 steps, gamma = 1/4, epsilon = 1/2."""
    ratios = []
    for picks in product((0, 1), repeat=4):
        x = compressors.compressed(compressors.exact_3(HALF, picks), [Fraction(1, 4)] * 4, lambda p: p)[-1]
        ratios.append(plane.f_of(plane.rows_3(HALF), x) / plane.f_of(plane.rows_3(HALF), START))
    outcome = "refuted" if min(ratios) < 1 else "supported"
    detail = f"epsilon = 1/2, gamma = 1/4: f(x_4)/f(x_0) between {float(min(ratios)):.3g} and {float(max(ratios)):.3g}"
    return Evidence("witness", outcome, detail, {"least": min(ratios), "largest": max(ratios)})


@rank_2.repaired
@rank_3.repaired
def the_library_agrees(seed: int = 0) -> Evidence:
    pieces = [compressors.same_numbers(LowRank(1, shape), 2, seed) for shape in ((1, 2), (2, 1))]
    return next((piece for piece in pieces if piece.outcome != "supported"), pieces[0])


# -- diagonals of 2 x 2 matrices -------------------------------------------------------------------------------------------


def kept(first, second):
    """Rank-1 of diag(first, second) where |first| < |second|: diag(0, second), by the next two checks."""
    return 0, second


@rank_2.repaired
@rank_3.repaired
def no_matrix_of_rank_one_is_nearer() -> Evidence:
    """M11 M22 = M12 M21, so N = M12^2 + M21^2 >= 2 |M11 M22|: ||diag(a, b) - M||^2 >= a^2 if |a| < |b|, and diag(0, b) has
    a^2."""
    distance = (a - M11) ** 2 + (b - M22) ** 2 + N
    two = kept(a, b)
    attained = Eq((a - two[0]) ** 2 + (b - two[1]) ** 2, a**2)
    rank = [N >= 2 * M11 * M22, N >= -2 * M11 * M22]
    return prove(And(distance >= a**2, attained), [*rank, a**2 < b**2], covers="best approximation")


@rank_2.repaired
@rank_3.repaired
def only_that_one_is_as_near() -> Evidence:
    distance = (a - M11) ** 2 + (b - M22) ** 2 + N
    two = kept(a, b)
    same = And(Eq(M11, two[0]), Eq(M22, two[1]), Eq(N, 0))
    rank = [N >= 2 * M11 * M22, N >= -2 * M11 * M22]
    return prove(same, [*rank, a**2 < b**2, distance <= a**2], covers="best approximation")


@rank_2.repaired
@rank_3.repaired
def off_the_diagonal_the_hypothesis_is_that() -> Evidence:
    """From M11 M22 = M12 M21 to the two inequalities on N."""
    p, q = Symbol("M12", real=True), Symbol("M21", real=True)
    both = And(p**2 + q**2 >= 2 * M11 * M22, p**2 + q**2 >= -2 * M11 * M22)
    return prove(both, [Eq(M11 * M22, p * q)], covers="best approximation")


def hidden(pairs) -> Evidence:
    """Of these diagonals the first entry is the smaller one (or both are 0), so X11 stays."""
    smaller = (Implies(Or(Ne(p, 0), Ne(q, 0)), p**2 < q**2) for p, q in pairs)
    return prove(And(*smaller, *(Eq(kept(p, q)[0], 0) for p, q in pairs)), [eps < 1], covers="X11")


@rank_2.repaired
def x11_is_hidden_by_signs() -> Evidence:
    return hidden([(eps * plane.sgn(x1, zero), plane.sgn(x2, zero)) for zero in (1, -1)])


@rank_3.repaired
def x11_is_hidden_by_rows() -> Evidence:
    """x1, x2 stand for X11, X22; the other two gradients have no entry at 11 and are of rank 1."""
    return hidden([compressors.gradient(i, compressors.HIDING) for i in (0, 1)])


@rank_2.repaired
@rank_3.repaired
def the_price_of_x11() -> Evidence:
    y, z = Symbol("X12", real=True), Symbol("X21", real=True)
    smooth = plane.f_of(compressors.HIDING, (x1, x2)) + y**2 + z**2
    return prove(And(smooth >= 2 * eps**2 * x1**2, eps * Abs(x1) + Abs(x2) >= eps * Abs(x1)), covers="consequence")


@rank_2.repaired
@rank_3.repaired
def the_library_keeps_the_larger_entry(seed: int = 0) -> Evidence:
    """LowRank on diag(g1, g2), |g1| < |g2|, against g2 E22."""
    rng = np.random.default_rng(seed)
    large = rng.choice([-1.0, 1.0], 500) * rng.uniform(0.1, 10, 500)
    v = np.zeros((500, 4))
    v[:, 0], v[:, 3] = large * rng.uniform(-0.99, 0.99, 500), large
    off = np.abs(LowRank(1, (2, 2))(v) - v * [0, 0, 0, 1]).max()
    outcome = "supported" if off < 1e-12 else "refuted"
    return Evidence("search", outcome, f"500 diagonals: off by {off:.1g}", covers="X11")


if __name__ == "__main__":
    main(__file__)
