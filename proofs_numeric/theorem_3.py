r"""Theorem III holds with the average over T + 1 points, not as defined; a sign, two expectations, delta = 0 need repair.

Statement   f convex, Assumptions A and C, xbar_t = (1/T) sum_{s=0}^T x_s: E f(xbar_t) - f* <= ||x_0 - x*||^2/(2 gamma (T+1)) +
            gamma sigma^2 (1/2 + 2 sqrt(1 - delta)/delta).
Source      Section 4, Theorem III; B.6 (whose end has xbar_T = (1/(T+1)) sum x_s)
Idea        T + 1 points divided by T are no average: at rest at x_0 = x* = 10, xbar_1 = 20. With 1/(T+1) the theorem holds.
            B.6: ||xt - x*||^2 loses 2 gamma <g, x - x*>, up to 2 gamma <g, e> with e = x - xt: printed with a minus sign, which
            the absolute value of the next line hides. Lemma 3 bounds E||e_t||^2, so ||e_t|| only in expectation: line 4 and (1)
            fail on a path. With E and ||grad|| <= sigma for certain, all is right, for any comparison point z in place of x*:
            an optimum need not exist. theorem_3_sharp.py has the sharp form.
Conventions e in the unit of x, [T] = {0, ..., T}; "grad f(x_t)" is the subgradient E_t g_t; R = ||x_0 - x*||; q = sqrt(1 -
            delta).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import sympy as sp
from sympy import And, Eq, Rational, Symbol, symbols

from efcheck import content
from efcheck.bounds import REMARK_6_SGD, THEOREM_3, R, T, delta, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

statement = content.load(Path(__file__).with_name("theorem_2.py"))
instances = content.load(Path(__file__).with_name("_instances.py"))
huber = statement.huber
SECTION, PROOF = "Section 4, Theorem III", "B.6"
PRINTED = THEOREM_3.printed.expression
D0, D1 = symbols("D_0 D_1", nonnegative=True)  # E||xt_t - z||^2, E||xt_{t+1} - z||^2
gap = Symbol("gap", real=True)  # E<grad f(x_t), x_t - z>
HALF = Fraction(1, 2)


def step_noise(size: Any) -> Any:
    """gamma^2 sigma^2 + 2 gamma sigma E||e_t||, with E||e_t|| = gamma sigma size."""
    return gamma**2 * sigma**2 + 2 * gamma * sigma * gamma * sigma * size


def right_side(radius2: Any, step: Fraction, moment: Fraction, share: Fraction, steps: int) -> Fraction:
    """The printed right side on Fractions; radius2 = R^2, moment = sigma^2, steps = T + 1."""
    return radius2 / (2 * step * steps) + step * moment * (HALF + 2 * share / (1 - share**2))


# -- the theorem -----------------------------------------------------------------------------------------------------------

average = Claim(
    "theorem-3-average",
    SECTION,
    "with xbar = (1/T) sum_{s=0}^T x_s, as defined: E f(xbar) - f* <= R^2/(2 gamma (T+1)) + gamma sigma^2 (1/2 + 2 "
    "sqrt(1-delta)/delta)",
    repaired="xbar_T = (1/(T+1)) sum_{s=0}^T x_s, the average; (1/T) has T + 1 terms, and divides by 0 for T = 0",
    expect="refuted",
)


def at_rest(points: list[Fraction], divisor: int) -> Fraction:
    """f(xbar) for the Huber function moved to 10."""
    return huber.value(sum(points, Fraction(0)) / divisor - 10)


@average.printed
def a_run_at_rest_moves() -> Evidence:
    """x_0 = x* = 10, no noise, gradient 0 for ever; sigma = 1 bounds all gradients."""
    steps, step = 2, Fraction(1)
    xs, _ = exact.ef_sgd(lambda t, x: (huber.exact_slope(x[0] - 10),), (10,), [step] * (steps - 1), lambda p: p)
    points = [x for (x,) in xs]
    left, right = at_rest(points, steps - 1), right_side(Fraction(0), step, Fraction(1), Fraction(0), steps)
    detail = (
        f"f = the Huber function moved to 10, x_0 = x* = 10, T = 1, gamma = sigma = 1: x_0 = x_1 = 10, xbar = {sum(points)}, "
        f"f(xbar) - f* = {left} > {right}"
    )
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"left": left, "right": right})


@average.printed
def efcheck_falsify_found_a_run_that_moves() -> Evidence:
    return instances.again("theorem-3-average", PRINTED)


theorem = Claim(
    "theorem-3",
    SECTION,
    "with xbar_T = (1/(T+1)) sum_{s=0}^T x_s: E f(xbar_T) - f* <= ||x_0 - x*||^2/(2 gamma (T+1)) + gamma sigma^2 (1/2 + 2 "
    "sqrt(1 - delta)/delta), for T >= 0, gamma > 0, delta in (0, 1]",
    repaired="also E f(xbar_T) - f(z) with ||x_0 - z||^2 for every z, if no optimum exists",
)


def one_step(size: Any) -> Any:
    """D_1 <= D_0 + N - 2 gamma gap from the expansion, <grad, x_t - xt_t> <= ||grad|| ||e_t|| and ||grad|| <= sigma."""
    n2, slope, mean = symbols("n2 slope mean", nonnegative=True)
    inner = Symbol("c", real=True)  # E<grad f(x_t), e_t>
    expansion = D0 + gamma**2 * n2 - 2 * gamma * (gap - inner) >= D1
    hypotheses = [expansion, n2 <= sigma**2, inner <= slope * mean, slope <= sigma, mean <= gamma * sigma * size]
    return D0 + step_noise(size) - 2 * gamma * gap >= D1, hypotheses


@theorem.printed
@theorem.repaired
def memory_in_the_mean() -> Evidence:
    """E||e_t|| <= (E||e_t||^2)^(1/2) <= 2 q gamma sigma/delta: Jensen for two outcomes, and Lemma 3."""
    p, a, b, m = symbols("p a b m", nonnegative=True)
    mean = p * a + (1 - p) * b
    return prove(mean <= m, [p <= 1, p * a**2 + (1 - p) * b**2 <= m**2], covers="memory")


@theorem.printed
@theorem.repaired
def lemma_3() -> Evidence:
    return statement.lemma_3_in_root_mean_squares()


@theorem.printed
@theorem.repaired
def a_step() -> Evidence:
    """size = 2 sqrt(1 - delta)/delta, any number here."""
    size = Symbol("s", nonnegative=True)
    return prove(*one_step(size), covers="one step")


@theorem.printed
@theorem.repaired
def the_sum() -> Evidence:
    """2 gamma S_n <= D_start - D_n + n N; the end drops D_n >= 0 and divides by 2 gamma n."""
    S, N, start, last = symbols("S N start last", nonnegative=True)
    n = Symbol("n", positive=True)
    hypotheses = [2 * gamma * S <= start - D0 + (n - 1) * N, D0 + N - 2 * gamma * last >= D1]
    after = 2 * gamma * (S + last) <= start - D1 + n * N
    end = (S + last) / n <= start / (2 * gamma * n) + N / (2 * gamma)
    return prove(And(after, end), hypotheses, covers="sum")


@theorem.printed
@theorem.repaired
def the_right_side() -> Evidence:
    """N/(2 gamma) with size = 2 q/delta."""
    whole = R**2 / (2 * gamma * (T + 1)) + step_noise(2 * sp.sqrt(1 - delta) / delta) / (2 * gamma)
    return prove(Eq(sp.simplify(whole - PRINTED), 0), kind="identity", covers="right side")


@theorem.printed
@theorem.repaired
def convexity_twice() -> Evidence:
    """<g_t, x_t - z> >= f(x_t) - f(z); and f(xbar) <= average of f(x_t), by induction: xbar_n is between xbar_{n-1} and x_n."""
    last, mean, bar, new, at_z = symbols("f_t mean f_bar f_new f_z", real=True)
    n = Symbol("n", positive=True)
    jensen = new <= ((n - 1) * bar + last) / n
    average = ((n - 1) * mean + last) / n
    hypotheses = [jensen, bar <= mean, n >= 1, gap >= last - at_z]
    return prove(And(new <= average, gap >= last - at_z), hypotheses, covers="convexity")


for check in (memory_in_the_mean, lemma_3, a_step, the_sum, the_right_side, convexity_twice):
    average.repaired(check)


# -- B.6, line by line ---------------------------------------------------------------------------------------------------

expansion = Claim(
    "theorem-3-proof-expansion",
    PROOF,
    "E_t||xt_{t+1} - x*||^2 = E_t||xt_t - gamma g_t - x*||^2 = ||xt_t - x*||^2 + gamma^2 E_t||g_t||^2 - 2 gamma <E_t g_t, xt_t "
    "- x*> <= ||xt_t - x*||^2 + gamma^2 sigma^2 - 2 gamma <grad f(x_t), xt_t - x*>, grad f(x_t) = E_t g_t; xt_0 = x_0",
)


@expansion.printed
def the_square() -> Evidence:
    y, g, z = symbols("y g z", real=True)
    square = Eq((y - gamma * g - z) ** 2, (y - z) ** 2 + gamma**2 * g**2 - 2 * gamma * g * (y - z))
    return prove(square, kind="identity", covers="lines 1 and 2, each coordinate and outcome")


@expansion.printed
def the_moment() -> Evidence:
    n2 = Symbol("n2", nonnegative=True)
    return prove(gamma**2 * n2 <= gamma**2 * sigma**2, [n2 <= sigma**2], covers="line 3")


any_subgradient = Claim(
    "theorem-3-proof-subgradient",
    PROOF,
    "the third line holds when grad f(x) means any subgradient of f at x",
    repaired="when it means the subgradient E_t g_t; ||E_t g_t|| <= sigma",
    expect="refuted",
)


@any_subgradient.printed
def not_the_oracles_one() -> Evidence:
    """f = |x|, gamma = 2, C(p) = p/2: x_0 = 1 goes to x_1 = 0, where the oracle answers g_1 = 1;
    -1 is another subgradient there.
    """
    step, x0 = Fraction(2), Fraction(1)
    xs, es = exact.ef_sgd(lambda t, x: (Fraction(1),), (x0,), [step], lambda p: (p[0] / 2,))
    x, xt = xs[1][0], xs[1][0] - es[1][0]
    answered, other = (1, -1)
    left = (xt - step * answered) ** 2
    right = xt**2 + step**2 - 2 * step * other * xt
    detail = f"f = |x|, x_0 = 1, gamma = 2, C(p) = p/2: x_1 = {x}, xt_1 = {xt}; g_1 = 1, other subgradient -1: {left} > {right}"
    return Evidence("witness", "refuted" if left > right and x == 0 else "supported", detail, {"x1": x, "xt1": xt})


@any_subgradient.repaired
def assumption_c() -> Evidence:
    return the_moment()


@any_subgradient.repaired
def jensen() -> Evidence:
    """||E g||^2 <= E||g||^2 <= sigma^2, from E||g - E g||^2 >= 0."""
    n2, mean = symbols("n2 mean", nonnegative=True)
    return prove(mean <= sigma, [n2 - mean**2 >= 0, n2 <= sigma**2], covers="||E_t g_t|| <= sigma")


sign = Claim(
    "theorem-3-proof-sign",
    PROOF,
    "[...] - 2 gamma <grad f(x_t), x_t - x*> + 2 gamma <grad f(x_t), x_t - xt_t> = [...] - 2 gamma <grad f(x_t), x_t - x*> - 2 "
    "gamma <grad f(x_t), e_t>",
    repaired="= [...] + 2 gamma <grad f(x_t), e_t>, since xt_t = x_t - e_t; the next line, <= [...] + 2 gamma ||grad f(x_t)|| "
    "||e_t||, holds for both",
    expect="refuted",
)
x, e, z, g = symbols("x e z g", real=True)


@sign.printed
def it_is_a_plus() -> Evidence:
    """One dimension: xt = x - e."""
    return prove(Eq(2 * gamma * g * (x - (x - e)), -2 * gamma * g * e))


@sign.repaired
def both_terms() -> Evidence:
    """-<g, xt - z> = -<g, x - z> + <g, x - xt>, in each coordinate."""
    split = Eq((-g * (x - e - z) + g * (x - z) - g * (x - (x - e))).expand(), 0)
    return prove(
        And(split, Eq((2 * gamma * g * (x - (x - e)) - 2 * gamma * g * e).expand(), 0)), kind="identity", covers="line 2"
    )


@sign.repaired
def cauchy_schwarz() -> Evidence:
    a, b = symbols("a b", nonnegative=True)
    c = Symbol("c", real=True)
    bound = 2 * gamma * a * b
    return prove(And(2 * gamma * c <= bound, -2 * gamma * c <= bound), [c**2 <= a**2 * b**2], covers="line 3")


conditional = Claim(
    "theorem-3-proof-conditional",
    PROOF + ", last displayed line and (1)",
    "E_t||xt_{t+1} - x*||^2 <= ||xt_t - x*||^2 + gamma^2 sigma^2 - 2 gamma <grad f(x_t), x_t - x*> + 4 gamma^2 sigma^2 sqrt(1 "
    "- delta)/delta",
    repaired="with E in place of E_t, and E on the right: ||grad f(x_t)|| <= sigma for certain, E||e_t|| <= 2 gamma sigma "
    "sqrt(1 - delta)/delta",
    expect="refuted",
)


def rare_gradient() -> dict[str, Any]:
    """f = |x|, gamma = 1, C(p) = p/2, sigma^2 = 2, x_0 = 10; on the path g_0 = 10, of chance 1/100;
    then g_1 = f'(x_1) for certain.
    """
    share, chance, large = HALF, Fraction(1, 100), Fraction(10)
    other = (1 - chance * large) / (1 - chance)
    moment = chance * large**2 + (1 - chance) * other**2
    xs, es = exact.ef_sgd(lambda t, p: (large,), (10,), [1], lambda p: (p[0] * (1 - share),))
    at, memory = xs[1][0], es[1][0]
    xt, slope = at - memory, Fraction(1 if at > 0 else -1)
    right = xt**2 + 2 - 2 * slope * at + 4 * 2 * share / (1 - share**2)
    return {"other": other, "moment": moment, "x": at, "e": memory, "xt": xt, "left": (xt - slope) ** 2, "right": right}


@conditional.printed
def a_rare_large_gradient_breaks_it() -> Evidence:
    run = rare_gradient()
    detail = (
        f"f = |x|, x_0 = 10, gamma = 1, delta = 3/4, C(p) = p/2, sigma^2 = 2; g_0 = 10 with chance 1/100, else {run['other']}: "
        f"then x_1 = {run['x']}, xt_1 = {run['xt']}, E_1||xt_2 - x*||^2 = {run['left']} > {run['right']}"
    )
    bad = run["left"] > run["right"] and run["moment"] <= 2
    return Evidence("witness", "refuted" if bad else "supported", detail, run)


@conditional.repaired
def in_expectation() -> Evidence:
    return a_step()


@conditional.repaired
def memory_of_the_mean() -> Evidence:
    return memory_in_the_mean()


@conditional.repaired
def from_lemma_3() -> Evidence:
    return lemma_3()


convexity = Claim(
    "theorem-3-proof-convexity",
    PROOF,
    "(1/(T+1)) sum E<grad f(x_t), x_t - x*> >= (1/(T+1)) sum f(x_t) - f(x*) >= f(xbar_T) - f(x*)",
    repaired="with E f(x_t) and E f(xbar_T)",
    expect="refuted",
)


@convexity.printed
def one_path_is_above_the_mean() -> Evidence:
    """SGD on f = |x| from x_0 = 0, gamma = 1, T = 1: g_0 = 2 with chance 1/3, else -1 (mean 0, a subgradient)."""
    outcomes = [(Fraction(1, 3), Fraction(2)), (Fraction(2, 3), Fraction(-1))]
    mean = sum(p * g_0 for p, g_0 in outcomes)
    left = sum(p * abs(-g_0) for p, g_0 in outcomes) / 2
    path = abs(-outcomes[0][1]) / 2
    detail = f"SGD on |x|, x_0 = 0, gamma = 1, T = 1, g_0 = 2 (chance 1/3) or -1: left {left} < {path} on the path g_0 = 2"
    return Evidence("witness", "refuted" if left < path and mean == 0 else "supported", detail, {"left": left, "path": path})


@convexity.repaired
def with_expectations() -> Evidence:
    return convexity_twice()


smooth = Claim(
    "theorem-3-proof-smooth",
    PROOF,
    "in the smooth case, the term ||grad f(x_t)||^2 can be bounded by the error f(x_t) - f* [up to a constant]; not in the "
    "non-smooth case",
    repaired="||grad f(x)||^2 <= 2 L (f(x) - f*), convex or not; for f = |x| no constant will do",
)


@smooth.printed
@smooth.repaired
def one_gradient_step() -> Evidence:
    """f* <= f(x - grad f(x)/L) <= f(x) - ||grad f(x)||^2/(2L)."""
    a, drop = symbols("a drop", nonnegative=True)  # ||grad f(x)||, f(x) - f*
    L = Symbol("L", positive=True)
    return prove(a**2 <= 2 * L * drop, [drop - a**2 / L + L / 2 * (a / L) ** 2 >= 0], covers="smooth")


@smooth.printed
@smooth.repaired
def not_for_the_absolute_value() -> Evidence:
    """|x|: slope 1 at x = 1/(2 c), where c (f - f*) = 1/2, for every c > 0."""
    c = Symbol("c", positive=True)
    return prove(c * (1 / (2 * c)) < 1, covers="non-smooth")


zero = Claim(
    "theorem-3-proof-delta-0",
    PROOF,
    "for the standard rate of SGD in Remark 6, we just set delta = 0",
    repaired="set delta = 1 (as in Section 4: delta = 1 implies C(x) = x); as delta -> 0 the bound tends to +oo, and 0 is "
    "outside (0, 1]",
    expect="refuted",
)
NOISE = sp.simplify((PRINTED - R**2 / (2 * gamma * (T + 1))) / (gamma * sigma**2))  # 1/2 + 2 sqrt(1 - delta)/delta


@zero.printed
def the_bound_grows_without_end() -> Evidence:
    limit = sp.limit(NOISE, delta, 0, "+")
    value = NOISE.subs(delta, Rational(1, 100))
    detail = (
        f"1/2 + 2 sqrt(1 - delta)/delta has the limit {limit} at delta = 0, {float(value):.1f} at delta = 1/100; SGD's is 1/2"
    )
    return Evidence("exact", "refuted" if limit != HALF else "supported", detail, {"limit": str(limit)})


@zero.repaired
def it_is_delta_one() -> Evidence:
    """delta = 1 leaves SGD's R^2/(2 gamma n) + gamma sigma^2/2; its least value over gamma is the repaired Remark 6."""
    best = R / (sigma * sp.sqrt(T + 1))
    at_best = PRINTED.subs(delta, 1).subs(gamma, best)
    same = Eq(sp.simplify(at_best - REMARK_6_SGD.repaired.expression), 0)
    return prove(And(Eq(NOISE.subs(delta, 1), Rational(1, 2)), same), kind="identity")


if __name__ == "__main__":
    main(__file__)
