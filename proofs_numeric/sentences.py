r"""The same rate as SGD, always, for free: true of the leading term, with Assumption A; "a few epochs" are nine.

Statement   "EF-SGD with arbitrary compression operator achieves the same rate of convergence as SGD without any additional
            assumptions [...] for free"; "SIGNSGD - as well as any other gradient compression schemes - always converge"; "this
            is usually true after just the first few epochs".
Source      Abstract; Section 1, contribution 2; Sections 4 and 7; Remark 4
Idea        The theorems after repair decide it: their evidence is run again, and the bounds are compared as T -> oo. An epoch
            is 391 iterations with batch-size 128; Figure 2's caption gives delta > 0.13.
Conventions "Arbitrary", "any": every C with Assumption A, as the theorems need. Readings without it are ours.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from sympy import Abs, And, Eq, Rational, Symbol, limit, oo, simplify, symbols

from efcheck import content
from efcheck.bounds import REMARK_4, REMARK_4_SGD, REMARK_6, REMARK_6_SGD, T, delta
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, combine, exact, prove

theorem_2, proof_2, theorem_3, networks = (
    content.load(Path(__file__).with_name(f"{name}.py")) for name in ("theorem_2", "theorem_2_proof", "theorem_3", "_networks")
)
n = Symbol("n", positive=True)  # T + 1
SMOOTH, SMOOTH_SGD = REMARK_4.repaired.expression, REMARK_4_SGD.printed.expression
CONVEX, CONVEX_SGD = REMARK_6.repaired.expression, REMARK_6_SGD.repaired.expression


def at_infinity(expression: Any) -> Any:
    """The limit as T -> oo."""
    return limit(expression.subs(T, n - 1), n, oo)


@cache
def repaired(claim: Claim) -> str:
    """The verdict on a claim after repair, from its checks, run once."""
    return combine(check() for check in claim.repaired_checks)


def holds(claim: Claim, covers: str) -> Evidence:
    """The evidence of a theorem, repaired, as one piece."""
    detail = f"{claim.id}, repaired: {repaired(claim)} by {len(claim.repaired_checks)} pieces of evidence"
    return Evidence("inequality", repaired(claim), detail, covers=covers)


# -- the same rate, for free ---------------------------------------------------------------------------------------------

same = Claim(
    "sentence-same-rate",
    "Abstract; Section 1, contribution 2; Section 4, first sentence; Section 7",
    "EF-SGD with arbitrary compression operator achieves the same rate of convergence as SGD without any additional "
    "assumptions [than Assumption A on the operator, and B and C as SGD has them here; f smooth, gamma = 1/sqrt(T+1): the "
    "bounds are of the same order T^(-1/2), with a leading factor free of delta]",
    repaired="the factor is 2 for Remark 4 after repair, and 1 in the limit with the rho of B.3; for convex f without "
    "Assumption B the order is the same, but the factor is sqrt(1 + 4 sqrt(1 - delta)/delta)",
)


@same.printed
def theorem_2_holds() -> Evidence:
    return holds(theorem_2.theorem, "bound of EF-SGD")


@same.printed
def so_does_the_bound_of_sgd() -> Evidence:
    return theorem_2.the_sum_without_memory().covering("bound of SGD")


@same.printed
def the_leading_factors() -> Evidence:
    """lim sqrt(T+1) times each bound: free of delta, and their ratio a number."""
    ef, sgd = (at_infinity((b * (T + 1) ** Rational(1, 2)).expand()) for b in (SMOOTH, SMOOTH_SGD))
    ratio = simplify(ef / sgd)
    good = delta not in ef.free_symbols and ratio.is_number and ratio.is_positive
    return Evidence("identity", "proved" if good else "refuted", f"{ef} and {sgd}: a factor of {ratio}", covers="order")


@same.repaired
def two() -> Evidence:
    ratio = simplify(at_infinity(SMOOTH * n ** Rational(1, 2)) / at_infinity(SMOOTH_SGD * n ** Rational(1, 2)))
    return Evidence("identity", "proved" if ratio == 2 else "refuted", f"a factor of {ratio}", covers="2")


@same.repaired
def one_in_the_limit() -> Evidence:
    return proof_2.what_is_left_beside_sgd().covering("1")


@same.repaired
def without_smoothness() -> Evidence:
    squared = simplify((CONVEX / CONVEX_SGD) ** 2)
    return prove(Eq(squared, 1 + 4 * (1 - delta) ** Rational(1, 2) / delta), [delta <= 1], kind="identity", covers="convex")


free = Claim(
    "sentence-for-free",
    "Abstract; Section 1, contribution 2; Section 7 (ours: at every T, with the same steps)",
    "EF-SGD achieves gradient compression for free [min_{t <= T} ||grad f(x_t)|| at most that of SGD, for all T]",
    repaired="in the leading term as T -> oo; on f = ||x||^2/2 from (3, 1) with gamma = 1 SGD is at the minimum after one "
    "step, EF-SIGNSGD after three",
    expect="refuted",
)
START, STEPS = (3, 1), 5


def gradients(compress: Any) -> list[Fraction]:
    """||grad f(x_t)||^2, t = 0, ..., STEPS, of f = ||x||^2/2 from START with gamma = 1."""
    xs, _ = exact.ef_sgd(lambda t, x: x, START, [1] * STEPS, compress)
    return [sum((a * a for a in x), Fraction(0)) for x in xs]


@free.printed
def one_step_is_enough_for_sgd() -> Evidence:
    sgd, ef = gradients(lambda p: p), gradients(exact.scaled_sign)
    detail = f"f = ||x||^2/2, x_0 = {START}, gamma = 1: ||grad f(x_1)||^2 = {sgd[1]} (SGD), {ef[1]} (EF-SIGNSGD)"
    return Evidence("witness", "refuted" if min(ef[:2]) > min(sgd[:2]) else "supported", detail, {"sgd": sgd[:3], "ef": ef[:3]})


@free.repaired
def after_three() -> Evidence:
    first = [g.index(Fraction(0)) for g in (gradients(lambda p: p), gradients(exact.scaled_sign)) if 0 in g]
    detail = f"x_t = x* for the first time at t = {' and '.join(map(str, first))}"
    return Evidence("exact", "proved" if first == [1, 3] else "refuted", detail, covers="steps")


@free.repaired
def nothing_in_the_limit() -> Evidence:
    return proof_2.what_is_left_beside_sgd().covering("leading term")


# -- always --------------------------------------------------------------------------------------------------------------

always = Claim(
    "sentence-always",
    "Section 1, contribution 2; Section 4, before Theorem III",
    "by incorporating error-feedback, SIGNSGD - as well as any other gradient compression schemes - always converge; [...] "
    "even for non-smooth functions [with Assumption A; f smooth, or f convex; Assumption C; gamma chosen for T: E||grad "
    "f(x_t)||^2 for the best t, or E f(xbar_T) - f*, tends to 0 as T -> oo]",
    repaired="with one fixed gamma they do not always, nor does SGD: on f = |x| from gamma/4 f(xbar_T) >= gamma/12 for all T",
)


def tends_to_zero(bound: Any, found: Evidence) -> Evidence:
    """The bound's theorem holds, and the bound tends to 0."""
    zero = at_infinity(bound) == 0
    detail = f"{found.detail}; its bound {'tends' if zero else 'does not tend'} to 0"
    return Evidence(found.kind, found.outcome if zero else "refuted", detail, covers=found.covers)


@always.printed
def smooth() -> Evidence:
    return tends_to_zero(SMOOTH, holds(theorem_2.theorem, "smooth"))


@always.printed
def convex() -> Evidence:
    return tends_to_zero(CONVEX, holds(theorem_3.theorem, "convex"))


def swing(compress: Any, T: int) -> list[Fraction]:
    """x_0, ..., x_T on f = |x| from 1/4 with gamma = 1."""
    xs, _ = exact.ef_sgd(lambda t, x: (1 if x[0] > 0 else -1,), (Fraction(1, 4),), [1] * T, compress)
    return [x for (x,) in xs]


@always.repaired
def it_swings() -> Evidence:
    """C(p) = p, which in one dimension is the scaled sign: 1/4, -3/4, 1/4, ... in units of gamma."""
    xs = swing(exact.scaled_sign, 9)
    good = xs == [Fraction(1, 4), Fraction(-3, 4)] * 5 and xs == swing(lambda p: p, 9)
    return Evidence("exact", "proved" if good else "refuted", f"x_t = {', '.join(map(str, xs[:4]))}, ...", covers="orbit")


@always.repaired
def its_mean() -> Evidence:
    """Over 2 m points it is -1/4, over 2 m + 1 it is (1/4 - m/2)/(2 m + 1): at least 1/12 away from 0 for integers m >= 0."""
    m = Symbol("m", integer=True)
    even, odd = Rational(1, 2) * (Rational(1, 4) - Rational(3, 4)), (Rational(1, 4) - m / 2) / (2 * m + 1)
    return prove(And(Abs(even) >= Rational(1, 12), Abs(odd) >= Rational(1, 12)), [m >= 0], covers="mean")


arbitrary = Claim(
    "sentence-arbitrary",
    "Abstract; Section 1, contribution 2 (ours: any map C, without Assumption A)",
    "EF-SGD converges with an arbitrary compression operator [any map, such as the unscaled sign, an example in Section 4]",
    repaired="with Assumption A; with C = sign, whatever sign(0) in {-1, 0, 1} and gamma_t, on Huber's f (f' = max(-1, min(1, "
    "x))) from x_0 = 1/2: |f'(x_t)| >= 1/2 for all t",
    expect="refuted",
)


def signed(zero: int) -> Any:
    return lambda p: [exact.sign(q, zero) for q in p]


@arbitrary.printed
def the_sign_never_gets_there() -> Evidence:
    """Three constant steps and each sign of 0, 50 iterations."""
    least = Fraction(1)
    for gamma in (Fraction(1, 10), Fraction(1, 2), Fraction(1)):
        for zero in (-1, 0, 1):
            xs, _ = exact.ef_sgd(lambda t, x: (max(-1, min(1, x[0])),), (Fraction(1, 2),), [gamma] * 50, signed(zero))
            least = min(least, *(abs(x) for (x,) in xs))
    detail = f"Huber's f, C = sign, x_0 = 1/2, gamma = 1/10, 1/2, 1: |f'(x_t)| >= {least} for t <= 50"
    return Evidence("witness", "refuted" if least >= Fraction(1, 2) else "supported", detail)


@arbitrary.repaired
def it_stays_on_a_grid() -> Evidence:
    """x_t = 1/2 + k, k an integer: C(p) is an integer s, and |k - s + 1/2| >= 1/2."""
    k, s = symbols("k s", integer=True)
    return prove(Abs(k - s + Rational(1, 2)) >= Rational(1, 2), covers="sign")


@arbitrary.repaired
def with_assumption_a() -> Evidence:
    return holds(theorem_2.theorem, "Assumption A")


# -- a few epochs ----------------------------------------------------------------------------------------------------------

epochs = Claim(
    "sentence-first-epochs",
    "Section 4, Remark 4; Figure 2, caption (ours: how many epochs; whether the term is negligible then: remark-4-negligible)",
    '1/delta^2 iterations are at most three epochs ["usually true after just the first few epochs"; delta = 0.13 as in Figure '
    "2, batch-size 128 on 50,000 images]",
    repaired="1/delta^2 are 60 iterations, less than an epoch of 391; 1/delta^4, the order that it takes, are 3502, nine "
    "epochs. With the delta that the layer-wise sign guarantees, 1 over the largest layer of VGG19, 1/delta^2 are more than "
    "10^10 epochs",
)
BATCH, DENSITY = 128, Fraction(13, 100)
EPOCH = ceil(Fraction(networks.TRAIN_IMAGES, BATCH))


@epochs.printed
def within_three() -> Evidence:
    iterations = ceil(1 / DENSITY**2)
    good = iterations <= 3 * EPOCH
    return Evidence("exact", "proved" if good else "refuted", f"{iterations} iterations, an epoch has {EPOCH}")


@epochs.repaired
def nine() -> Evidence:
    counts = [ceil(1 / DENSITY**power) for power in (2, 4)]
    guaranteed = Fraction(max(networks.sizes("VGG19"))) ** 2 / EPOCH
    good = [*counts, EPOCH] == [60, 3502, 391] and ceil(Fraction(counts[1], EPOCH)) == 9 and guaranteed > 10**10
    detail = f"{counts[0]} and {counts[1]} iterations of {EPOCH} an epoch; guaranteed delta: {float(guaranteed):.2g} epochs"
    return Evidence("exact", "proved" if good else "refuted", detail)


if __name__ == "__main__":
    main(__file__)
