r"""Remark 6 is a factor of two too small, for SGD at every T and every step size, and for EF-SGD at every delta.

Statement   "By picking the optimal gamma = O(1/sqrt(T))": E f(xbar) - f* <= R sigma/(2 sqrt(T+1)) sqrt(1 + 4 sqrt(1 -
            delta)/delta); for SGD R sigma/(2 sqrt(T+1)). "Unlike in the smooth case, the compression quality delta appears
            directly in the leading term of the convergence rate."
Source      Section 4, Remark 6
Idea        Theorem III is a/gamma + b gamma with a = R^2/(2 (T+1)), b = sigma^2 m/2, m = 1 + 4 sqrt(1 - delta)/delta. Its least
            value is 2 sqrt(a b) = R sigma sqrt(m/(T+1)); the 2 was lost. Not only by the proof: T = 0 and f = |x| have the gap
            R = R sigma. For all T and gamma: f = max(x_1, ..., x_n, -R/sqrt(n)), n = T + 1, x_0 = 0, the oracle answering the
            first largest entry. No step before the last touches x_n, so f(x_t) = f(xbar_T) = 0 = f* + R/sqrt(n): the repaired
            rate of SGD exactly. For every delta: f = |x| with the optimal gamma sigma = 1, where R = sqrt(n m), from x_0 = R
            and T + 1 = n = floor(m). All xt_t = R - t > 0, and e_t >= 0 for C(p) = (1 - q) p: the gap is at least R - (n-1)/2,
            more than m/2 as sqrt(m) - sqrt(n) < 1.
Conventions ||g|| <= sigma = 1 in the witnesses; x_n means coordinate n = T + 1; sign(0) = 0 in the exact runs of the scaled
            sign.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from sympy import And, Eq, Rational, Symbol, sqrt, symbols

from efcheck import content
from efcheck.bounds import REMARK_4, REMARK_6, REMARK_6_SGD, THEOREM_3, R, T, delta, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

theorem = content.load(Path(__file__).with_name("theorem_3.py"))
instances = content.load(Path(__file__).with_name("_instances.py"))
SOURCE = "Section 4, Remark 6"
n = Symbol("n", positive=True)  # T + 1
m = Symbol("m", positive=True)  # 1 + 4 sqrt(1 - delta)/delta
radius, noise = Symbol("R", positive=True), Symbol("sigma", positive=True)
M = 1 + 4 * sp.sqrt(1 - delta) / delta
PRINTED, PRINTED_SGD = REMARK_6.printed.expression, REMARK_6_SGD.printed.expression
REPAIRED, REPAIRED_SGD = REMARK_6.repaired.expression, REMARK_6_SGD.repaired.expression
Vector = tuple[Fraction, ...]


def bound(step: Any) -> Any:
    """Theorem III in m and n."""
    return radius**2 / (2 * step * n) + step * noise**2 * m / 2


# -- the functions ---------------------------------------------------------------------------------------------------------


def first_largest(x: Vector, count: int) -> Vector:
    """A subgradient of max(x_1, ..., x_count): the unit vector of the first largest entry."""
    at = max(range(count), key=lambda i: (x[i], -i))
    return tuple(Fraction(i == at) for i in range(len(x)))


def whole(p: Vector) -> Vector:
    return p


def top_one(p: Vector) -> Vector:
    return exact.top_k(p, 1)


def scaled_sign(p: Vector) -> Vector:
    return exact.scaled_sign(p, zero=0)


def resisting(T_: int, step: Fraction, compress: Callable[[Vector], Vector]) -> tuple[Fraction, list[Vector]]:
    """max_i of the sum of x_0, ..., x_T in R^n, n = T + 1, from x_0 = 0: n max_i xbar_i; f(xbar_T) - f* = max_i xbar_i +
    R/sqrt(n)."""
    count = T_ + 1
    xs, _ = exact.ef_sgd(lambda t, x: first_largest(x, count), (Fraction(0),) * count, [step] * T_, compress)
    return max(sum(entry) for entry in zip(*xs, strict=True)), xs


def resisting_runs(compress: Callable[[Vector], Vector]) -> list[tuple[int, Fraction, Fraction]]:
    """(T, gamma, n max_i xbar_i) for T = 0, ..., 4 and steps over six orders of magnitude."""
    steps = [Fraction(1, 1000), Fraction(1, 3), Fraction(1), Fraction(1000)]
    return [(T_, step, resisting(T_, step, compress)[0]) for T_ in range(5) for step in steps]


def ratio_to(expression: Any, T_: int) -> Fraction:
    """The squared ratio of the gap R/sqrt(n) (sigma = 1) to a right side c R/sqrt(n)."""
    ratio = sp.simplify(((1 / sqrt(T_ + 1)) / expression.subs({R: 1, sigma: 1, T: T_})) ** 2)
    return Fraction(int(ratio.p), int(ratio.q))


# -- SGD -----------------------------------------------------------------------------------------------------------------

sgd = Claim(
    "remark-6-sgd",
    SOURCE,
    "for SGD with the best gamma: E f(xbar_T) - f* <= R sigma/(2 sqrt(T+1))",
    repaired="for SGD with gamma = R/(sigma sqrt(T+1)): E f(xbar_T) - f* <= R sigma/sqrt(T+1), and no gamma has a better "
    "guarantee, for any T",
    expect="refuted",
)


@sgd.printed
def the_absolute_value_at_t_0() -> Evidence:
    """f = |x|, x_0 = R = 1, T = 0: xbar = x_0 whatever gamma is."""
    left, right = Fraction(1), PRINTED_SGD.subs({R: 1, sigma: 1, T: 0})
    detail = f"f = |x|, x_0 = 1 (R = sigma = 1), T = 0: f(x_0) - f* = {left} > {right}, for every gamma"
    return Evidence("witness", "refuted" if right < left else "supported", detail, {"left": left, "right": right})


@sgd.printed
def the_maximum_function_for_larger_t() -> Evidence:
    runs = resisting_runs(whole)
    ratios = {T_: ratio_to(PRINTED_SGD, T_) for T_ in range(5)}
    bad = all(value == 0 for _, _, value in runs) and set(ratios.values()) == {4}
    detail = (
        "f = max(x_1, ..., x_n, -1/sqrt(n)), n = T + 1, x_0 = 0 (R = sigma = 1): f(xbar_T) - f* = 1/sqrt(n), twice the right "
        "side, for T = 0, ..., 4 and gamma = 1/1000, 1/3, 1, 1000"
    )
    return Evidence("witness", "refuted" if bad else "supported", detail, {"squared_ratio": ratios})


@sgd.printed
def efcheck_falsify_found_it() -> Evidence:
    return instances.again("remark-6-sgd", PRINTED_SGD)


@sgd.repaired
def the_last_coordinate_is_never_touched() -> Evidence:
    """z = -(R/sqrt(n)) (1, ..., 1) is at distance R of 0, f(z) = f*. Entry n of xbar_T is 0: f(xbar_T) - f* >= R/sqrt(n).

    At t < n entries 1, ..., t are -gamma < 0 and the others 0: the oracle answers t + 1, and so on. Run for n = 1, ..., 5.
    """
    for T_, step, _ in resisting_runs(whole):
        value, xs = resisting(T_, step, whole)
        states = all(x == (-step,) * t + (Fraction(0),) * (T_ + 1 - t) for t, x in enumerate(xs))
        if value != 0 or not states:
            return Evidence(
                "exact", "undecided", f"T = {T_}, gamma = {step}: max xbar_i = {value}", covers="no gamma is better"
            )
    return prove(Eq(n * (radius / sqrt(n)) ** 2, radius**2), kind="identity", covers="no gamma is better")


@sgd.repaired
def the_minimum_over_gamma_at_delta_1() -> Evidence:
    at_best = bound(radius / (noise * sqrt(n))).subs(m, 1)
    same = Eq(sp.simplify(REPAIRED_SGD - REPAIRED.subs(delta, 1)), 0)
    return prove(And(Eq(sp.simplify(at_best - radius * noise / sqrt(n)), 0), same), kind="identity", covers="upper bound")


@sgd.repaired
def theorem_3_step() -> Evidence:
    return theorem.a_step()


@sgd.repaired
def theorem_3_sum() -> Evidence:
    return theorem.the_sum()


@sgd.repaired
def theorem_3_convexity() -> Evidence:
    return theorem.convexity_twice()


# -- EF-SGD --------------------------------------------------------------------------------------------------------------

rate = Claim(
    "remark-6",
    SOURCE,
    "with the optimal gamma: E f(xbar_T) - f* <= R sigma/(2 sqrt(T+1)) sqrt(1 + 4 sqrt(1 - delta)/delta)",
    repaired="with gamma = R/(sigma sqrt((T+1) m)), m = 1 + 4 sqrt(1 - delta)/delta: E f(xbar_T) - f* <= R sigma "
    "sqrt(m/(T+1)), the least value of Theorem III's right side; the printed half of it is exceeded for every delta in (0, 1]",
    expect="refuted",
)


def scaled_run(share: Fraction) -> dict[str, Any]:
    """f = |x|, gamma = sigma = 1, R = sqrt(n m), n = floor(m), C(p) = (1 - q) p: the gap and the right side.

    All gradients are 1 while R > t, i.e. R^2 > T^2; then f(xbar_T) = R - shift, shift = T/2 - mean of e_t; right side m/2.
    """
    constant = 1 + 4 * share / (1 - share**2)
    steps = int(constant)
    es, memory = [Fraction(0)], Fraction(0)
    for _ in range(steps - 1):
        memory = share * (memory + 1)
        es.append(memory)
    shift = Fraction(steps - 1, 2) - sum(es) / steps
    square = steps * constant
    above = square > (constant / 2 + shift) ** 2 and square > (steps - 1) ** 2
    return {
        "q": share,
        "delta": 1 - share**2,
        "T": steps - 1,
        "R2": square,
        "shift": shift,
        "right": constant / 2,
        "above": above,
    }


@rate.printed
def one_dimension_is_enough() -> Evidence:
    """R^2 > (m/2 + shift)^2 is R - shift > m/2, for q = 1/2, 9/10, 1/10 on Fractions."""
    runs = [scaled_run(Fraction(a, b)) for a, b in ((1, 2), (9, 10), (1, 10))]
    bad = [run for run in runs if run["above"]]
    if not bad:
        return Evidence("exact", "supported", "f = |x| with the optimal gamma stays below for q = 1/2, 9/10, 1/10")
    run = bad[0]
    gap = float(run["R2"]) ** 0.5 - float(run["shift"])
    detail = (
        f"f = |x|, C(p) = (1 - q) p, q = {run['q']}, delta = {run['delta']}, T = {run['T']}, x_0 = R = sqrt({run['R2']}), "
        f"sigma = 1, the optimal gamma = 1: f(xbar_T) - f* = R - {run['shift']} = {gap:.4f} > {run['right']} = "
        f"{float(run['right']):.4f}"
    )
    return Evidence("witness", "refuted", detail, {"runs": bad, "printed": str(PRINTED)})


@rate.printed
def as_the_printed_expression_has_it() -> Evidence:
    """At R = sqrt(n m), sigma = 1 the printed right side is m/2, if it is half of the least value of Theorem III."""
    whole_bound = sp.simplify(REPAIRED**2 / PRINTED**2)
    refuted = prove(Eq(whole_bound, 1), [T >= 0, delta <= 1])
    found = scaled_run(Fraction(1, 2))["above"] and refuted.outcome == "refuted"
    detail = f"the least value of Theorem III's right side over gamma is sqrt({whole_bound}) times the printed one"
    return Evidence("exact", "refuted" if found else "supported", detail, {"squared_ratio": whole_bound})


@rate.picture
def below_the_least_value_of_the_bound(ax: Any) -> str:
    T_, step = 99, np.geomspace(0.02, 10, 200)  # gamma in units of R/(sigma sqrt(T+1)), values in units of R sigma/sqrt(T+1)
    unit = (T_ + 1) ** 0.5
    for share, color, look in ((1.0, "#000000", "-"), (0.5, "#0072B2", "--"), (0.1, "#D55E00", "-.")):
        right = unit * THEOREM_3.printed(T=T_, gamma=step / unit, R=1.0, sigma=1.0, delta=share)
        ax.plot(step, right, color=color, linestyle=look, label=rf"$\delta = {share:g}$")
        ax.axhline(unit * REMARK_6.printed(T=T_, R=1.0, sigma=1.0, delta=share), color=color, linestyle=look, linewidth=0.7)
    ax.set(xscale="log", yscale="log", xlabel=r"$\gamma \sigma \sqrt{T+1}/R$ (log)", ylim=(0.3, 60))
    ax.set_ylabel(r"right sides over $R \sigma/\sqrt{T+1}$ (log)")
    ax.legend(loc="upper left")
    return (
        f"Curves: Theorem III's right side against the step size, T = {T_}. Thin lines: what Remark 6 prints for the optimal "
        "gamma. Each lies below the lowest point of its curve, by the factor 2 that was lost."
    )


@rate.printed
def efcheck_falsify_found_round_numbers() -> Evidence:
    """The best gamma is rational only where (T+1) m is a square."""
    return instances.again("remark-6", PRINTED)


@rate.repaired
def the_arithmetic_and_the_geometric_mean() -> Evidence:
    """For all gamma > 0, with b^2 = m/n: bound >= R sigma b, and equality at gamma = R/(sigma n b) = R/(sigma sqrt(n m))."""
    b = Symbol("b", positive=True)
    least = (bound(gamma) - radius * noise * b).subs(m, n * b**2)
    best = sp.simplify(bound(radius / (noise * n * b)).subs(m, n * b**2) - radius * noise * b)
    return prove(And(least >= 0, Eq(best, 0)), covers="best gamma")


@rate.repaired
def of_theorem_3s_right_side() -> Evidence:
    at = {R: radius, sigma: noise}
    right = (THEOREM_3.printed.expression - bound(gamma).subs({n: T + 1, m: M})).subs(at)
    rate_too = (REPAIRED - R * sigma * sp.sqrt(M) / sqrt(T + 1)).subs(at)
    return prove(And(Eq(sp.simplify(right), 0), Eq(sp.simplify(rate_too), 0)), kind="identity", covers="Theorem III")


@rate.repaired
def theorem_3s_step() -> Evidence:
    return theorem.a_step()


@rate.repaired
def theorem_3s_memory() -> Evidence:
    return theorem.lemma_3()


@rate.repaired
def theorem_3s_sum() -> Evidence:
    return theorem.the_sum()


@rate.repaired
def theorem_3s_convexity() -> Evidence:
    return theorem.convexity_twice()


@rate.repaired
def half_of_it_is_too_small_for_every_delta() -> Evidence:
    """a = sqrt(m), b = sqrt(n), b^2 <= a^2 < b^2 + 1, b >= 1: R = a b > n - 1 and R - (n - 1)/2 > m/2."""
    a, b = symbols("a b", positive=True)
    claimed = And(a * b > b**2 - 1, a * b - (b**2 - 1) / 2 > a**2 / 2)
    return prove(claimed, [b >= 1, b <= a, a**2 < b**2 + 1], covers="every delta")


resist = Claim(
    "remark-6-max",
    SOURCE + " (ours: for EF-SGD with top-1 and with the scaled sign)",
    "on f = max(x_1, ..., x_n, -R/sqrt(n)), n = T + 1, f(xbar_T) - f* = R sigma/sqrt(T+1) also for EF with top-1 and with the "
    "scaled sign (sign(0) = 0), T <= 4, so that none of them has SGD's printed rate, for any gamma",
)


@resist.printed
def no_entry_is_sent_before_its_time() -> Evidence:
    """Entry t + 1 of p first becomes nonzero at t, and neither compressor sends a zero entry; all is linear in gamma > 0."""
    for name, compress in (("top-1", top_one), ("scaled sign", scaled_sign)):
        for T_, step, value in resisting_runs(compress):
            _, xs = resisting(T_, step, compress)
            _, unit = resisting(T_, Fraction(1), compress)
            linear = all(x == tuple(step * c for c in y) for x, y in zip(xs, unit, strict=True))
            if value != 0 or not linear:
                return Evidence("witness", "refuted", f"{name}, T = {T_}, gamma = {step}: max xbar_i = {value}")
    too_small = all(ratio_to(PRINTED_SGD, T_) == 4 for T_ in range(5))
    detail = "max_i xbar_i = 0 exactly, T = 0, ..., 4, two compressors, four gammas; x_t is gamma times the run of gamma = 1"
    return Evidence("exact", "proved" if too_small else "undecided", detail)


step_size = Claim(
    "remark-6-step",
    SOURCE,
    "the optimal gamma is O(1/sqrt(T))",
    repaired="gamma = R/(sigma sqrt((T+1) m)), at most R/(sigma sqrt(T+1)); it needs R and sigma",
)


@step_size.printed
@step_size.repaired
def as_computed() -> Evidence:
    """m >= 1; at this gamma the bound has its least value, R sigma sqrt(m/n)."""
    best = radius / (noise * sqrt(n) * sqrt(m))
    least = Eq(sp.simplify(bound(best) - radius * noise * sqrt(m) / sqrt(n)), 0)
    return prove(And(least, best <= radius / (noise * sqrt(n))), [m >= 1], covers="order")


@step_size.repaired
def and_best() -> Evidence:
    return the_arithmetic_and_the_geometric_mean()


leading = Claim(
    "remark-6-leading",
    SOURCE,
    "for non-smooth functions, unlike in the smooth case, delta appears directly in the leading term of the convergence rate "
    "[of the bounds]",
    repaired="the repaired leading coefficient R sigma sqrt(1 + 4 sqrt(1 - delta)/delta) falls with delta, from +oo to R "
    "sigma; the repaired leading coefficient of Remark 4 does not contain delta",
)


def coefficient(expression: Any) -> Any:
    """c in c/sqrt(T) + o(1/sqrt(T)), T -> oo."""
    return sp.expand(sp.limit(sp.simplify((expression * sqrt(T)).subs(T, n)), n, sp.oo))


@leading.printed
def as_printed() -> Evidence:
    here, smooth = coefficient(PRINTED), coefficient(REMARK_4.printed.expression)
    leading = And(here.is_finite, smooth.is_finite, Eq(sp.simplify(here - R * sigma * sqrt(M) / 2), 0))
    return prove(And(leading, delta in here.free_symbols, delta not in smooth.free_symbols), kind="identity")


@leading.repaired
def as_repaired() -> Evidence:
    """q = sqrt(1 - delta): 1 + 4 q/(1 - q^2) grows with q."""
    p, q = symbols("p q", nonnegative=True)
    grows = 4 * p / (1 - p**2) < 4 * q / (1 - q**2)
    contains = And(
        delta in coefficient(REPAIRED).free_symbols, delta not in coefficient(REMARK_4.repaired.expression).free_symbols
    )
    same = Eq(sp.simplify(REPAIRED.subs({R: 1, sigma: 1, T: 0, delta: Rational(3, 4)}) ** 2 - Rational(11, 3)), 0)
    return prove(And(grows, contains, same), [p < q, q < 1])


if __name__ == "__main__":
    main(__file__)
