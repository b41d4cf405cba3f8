r"""Remark 4 inherits Theorem II's error; its second term needs T of order 1/delta^4; its footnote is right after repair.

Statement   With gamma = 1/sqrt(T+1): min_t E||grad f(x_t)||^2 <= (4 f0 + L sigma^2)/(2 sqrt(T+1)) + 4 L^2 sigma^2 (1 - delta)/
            (delta^2 (T+1)); SGD: (2 f0 + L sigma^2)/(2 sqrt(T+1)); "after T >= O(1/delta^2) iterations the second term becomes
            negligible and the rate of convergence catches up with full SGD"; "compressing the gradient does not change the
            asymptotic rate"; footnote: "2 times slower [...] can easily be fixed with a tighter analysis".
Source      Section 4, Remark 4 and its footnote; B.4
Idea        The substitution is right, so Remark 4 inherits Theorem II's half noise term: the same run in units where gamma is
            1/sqrt(T+1). The terms fall as T^(-1/2) and as delta^-2 T^(-1): equal near T = delta^-4. "2 times slower" is wrong
            for the printed constants (between 1 and 2 times) and exactly right for the repaired ones, which is what was meant.
            B.4 is right up to an equality that is an inequality, and a missing E; its xt_t is x_t, since e_t = 0.
Conventions gamma = 1/sqrt(T+1) is a number: units of x and f are fixed. [T] = {0, ..., T}. "Rate": the power of T, and its
            factor.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from sympy import And, Eq, Symbol, sqrt, symbols

from efcheck import content
from efcheck.bounds import REMARK_4, REMARK_4_SGD, THEOREM_2, L, T, delta, f0, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

statement = content.load(Path(__file__).with_name("theorem_2.py"))
lines = content.load(Path(__file__).with_name("theorem_2_proof.py"))
instances = content.load(Path(__file__).with_name("_instances.py"))
huber = statement.huber
SOURCE = "Section 4, Remark 4"
n = Symbol("n", positive=True)  # T + 1
PRINTED, REPAIRED, SGD = REMARK_4.printed.expression, REMARK_4.repaired.expression, REMARK_4_SGD.printed.expression


def leading(expression: Any) -> Any:
    """c in c/sqrt(T) + o(1/sqrt(T)), T -> oo."""
    return sp.expand(sp.limit(sp.expand((expression * sqrt(T)).subs(T, n)), n, sp.oo))


# -- the rates -----------------------------------------------------------------------------------------------------------

substitution = Claim(
    "remark-4-substitution",
    SOURCE,
    "if we substitute gamma = 1/sqrt(T+1) in Theorem II [as printed], we get the displayed right side",
    repaired="in the repaired Theorem II: (2 f0 + L sigma^2)/sqrt(T+1) + 4 L^2 sigma^2 (1 - delta)/(delta^2 (T+1))",
)


def substituted(theorem: Any, remark: Any) -> Evidence:
    return prove(Eq(sp.simplify(theorem.subs(gamma, 1 / sqrt(T + 1)) - remark), 0), kind="identity")


@substitution.printed
def it_is_what_one_gets() -> Evidence:
    return substituted(THEOREM_2.printed.expression, PRINTED)


@substitution.repaired
def and_after_repair() -> Evidence:
    return substituted(THEOREM_2.repaired.expression, REPAIRED)


rate = Claim(
    "remark-4",
    SOURCE,
    "min_{0 <= t <= T} E||grad f(x_t)||^2 <= (4 f0 + L sigma^2)/(2 sqrt(T+1)) + 4 L^2 sigma^2 (1 - delta)/(delta^2 (T+1))",
    repaired="min_{0 <= t <= T} E||grad f(x_t)||^2 <= (2 f0 + L sigma^2)/sqrt(T+1) + 4 L^2 sigma^2 (1 - delta)/(delta^2 (T+1))",
    expect="refuted",
)


def rescaled(expression: Any) -> dict[str, Any] | None:
    """theorem-2's run with sigma = 1 at the first T that makes sqrt(T+1) rational: gamma = 1/sqrt(T+1), L = h/gamma.

    x and e are divided by L and so is f: f(x) = L x^2/2 for |x| <= 1/L, |x| - 1/(2L) beyond.
    """
    hit = statement.first_violation(THEOREM_2.printed.expression)
    if hit is None:
        return None
    first, run = hit
    root = isqrt(first) + 1
    steps, h = root**2, run.gamma
    ell = h * root
    values = {
        T: steps - 1,
        L: sp.Rational(ell),
        sigma: 1,
        delta: sp.Rational(run.delta),
        f0: sp.Rational(huber.value(run.x0) / ell),
    }
    right = expression.subs(values)
    return {"T": steps - 1, "gamma": Fraction(1, root), "L": ell, "delta": run.delta, "x0": run.x0 / ell,
            "left": run.least(len(run.xs) - 1), "right": Fraction(int(right.p), int(right.q))}  # fmt: skip


@rate.printed
def theorem_2s_run_in_other_units() -> Evidence:
    run = rescaled(PRINTED)
    if run is None:
        return Evidence("search", "supported", "the scan of theorem-2 found no violation to rescale")
    detail = (
        f"theorem-2's run with T = {run['T']}, gamma = {run['gamma']}, L = {run['L']}, sigma = 1, delta = {run['delta']}, x_0 "
        f"= {run['x0']}: |f'(x_t)|^2 = {run['left']} for all t, right side {run['right']} = {float(run['right']):.5f}"
    )
    return Evidence("witness", "refuted" if run["left"] > run["right"] else "supported", detail, run)


@rate.printed
def efcheck_falsify_found_another() -> Evidence:
    return instances.again("remark-4", PRINTED)


@rate.repaired
def the_sum_over_t() -> Evidence:
    return statement.the_sum_over_t()


@rate.repaired
def lemma_3() -> Evidence:
    return statement.lemma_3_in_root_mean_squares()


@rate.repaired
def one_step() -> Evidence:
    return statement.one_step()


@rate.repaired
def young() -> Evidence:
    return statement.young_and_the_lipschitz_gradient()


@rate.repaired
def rho_one() -> Evidence:
    return statement.rho_one_gives_the_bound()


@rate.repaired
def with_the_step_put_in() -> Evidence:
    return and_after_repair().covering("substitution")


# -- SGD, B.4 ------------------------------------------------------------------------------------------------------------

sgd = Claim(
    "remark-4-sgd",
    SOURCE + " and B.4",
    "SGD under the same assumptions, gamma = 1/sqrt(T+1): min_t E||grad f(x_t)||^2 <= (2 f0 + L sigma^2)/(2 sqrt(T+1))",
)


@sgd.printed
def the_sum_without_memory() -> Evidence:
    return statement.the_sum_without_memory()


@sgd.printed
def its_end() -> Evidence:
    return statement.as_sgd().covering("division")


@sgd.printed
def the_step_put_in() -> Evidence:
    return prove(Eq(sp.simplify((f0 / (gamma * (T + 1)) + gamma * L * sigma**2 / 2).subs(gamma, 1 / sqrt(T + 1)) - SGD), 0))


step = Claim(
    "remark-4-proof-step",
    "B.4",
    "E_t f(x_{t+1}) <= f(x_t) + <grad f(x_t), E_t[x_{t+1} - x_t]> + L/2 E_t||x_{t+1} - x_t||^2 = f(x_t) - gamma ||grad "
    "f(x_t)||^2 + L sigma^2 gamma^2/2 [f(xt_t) is printed for the first f(x_t)]",
    repaired="with <= in place of =; xt_t = x_t since e_t = 0",
    expect="refuted",
)
N, a = symbols("N a", nonnegative=True)  # E_t||g_t||^2, ||grad f(x_t)||


@step.printed
def it_is_an_equality_only_for_the_largest_noise() -> Evidence:
    """Without noise N = a^2; a^2 <= N <= sigma^2."""
    left = -gamma * a**2 + L / 2 * gamma**2 * N
    return prove(Eq(left, -gamma * a**2 + L * sigma**2 * gamma**2 / 2), [a**2 <= N, sigma**2 >= N])


@step.repaired
def assumption_c() -> Evidence:
    """The first <= is Assumption B (theorem-2-proof-descent);
    E_t[x_{t+1}] = x_t - gamma grad f(x_t) gives the inner product.
    """
    left = -gamma * a**2 + L / 2 * gamma**2 * N
    return prove(left <= -gamma * a**2 + L * sigma**2 * gamma**2 / 2, [sigma**2 >= N], covers="line 2")


@step.repaired
def smoothness() -> Evidence:
    return lines.smoothness_for_each_outcome()


average = Claim(
    "remark-4-proof-average",
    "B.4",
    "(1/(T+1)) sum_{t=0}^T ||grad f(x_t)||^2 <= f0/(gamma (T+1)) + L gamma sigma^2/2",
    repaired="(1/(T+1)) sum_{t=0}^T E||grad f(x_t)||^2 <= f0/(gamma (T+1)) + L gamma sigma^2/2",
    expect="refuted",
)


@average.printed
def one_path_is_above() -> Evidence:
    """theorem-2-proof-average's path is one of SGD: left 1/2, right gamma for rho = 1, and half of it here."""
    return lines.one_path_is_above()


@average.repaired
def with_expectations() -> Evidence:
    return statement.the_sum_without_memory()


@average.repaired
def and_its_end() -> Evidence:
    return statement.as_sgd()


# -- how the two rates compare -------------------------------------------------------------------------------------------

order = Claim(
    "remark-4-higher-order",
    SOURCE,
    "in the above rate, delta only appears in the higher order O(1/T) term",
    repaired="so it is in the repaired rate",
)


def free_of_delta(expression: Any) -> Evidence:
    """The bound is leading/sqrt(T+1) + rest/(T+1), rest without T, leading without delta."""
    rest = sp.simplify((expression - leading(expression) / sqrt(T + 1)) * (T + 1))
    good = delta not in leading(expression).free_symbols and T not in rest.free_symbols
    split = Eq(sp.simplify(leading(expression) / sqrt(T + 1) + rest / (T + 1) - expression), 0)
    return prove(And(split, good), kind="identity")


@order.printed
def as_printed() -> Evidence:
    return free_of_delta(PRINTED)


@order.repaired
def as_repaired() -> Evidence:
    return free_of_delta(REPAIRED)


negligible = Claim(
    "remark-4-negligible",
    SOURCE,
    "after T >= O(1/delta^2) iterations the second term becomes negligible [for some c: T + 1 >= c/delta^2 makes it at most "
    "the first]",
    repaired="after T + 1 >= (8 L/(eta delta^2))^2, of order 1/delta^4, it is at most eta times the first term, of the printed "
    "and of the repaired rate; T + 1 = c/delta^2 makes it at most 4 L^2 sigma^2/c, small beside sigma^2 but not beside the "
    "first term",
    expect="refuted",
)
K = 4 * L**2 * sigma**2 * (1 - delta) / delta**2


@negligible.printed
def no_constant_will_do() -> Evidence:
    """L = sigma = 1, f0 = 1/4: the ratio is 4 (1 - delta)/(delta^2 sqrt(T+1)). At T + 1 = (c/delta)^2, delta = 1/(1 + c): 4."""
    c = Symbol("c", positive=True)
    first = leading(PRINTED) / sqrt(n)
    at = {L: 1, sigma: 1, f0: sp.Rational(1, 4)}
    ratio = sp.simplify((K / n / first).subs(at).subs(n, (c / delta) ** 2).subs(delta, 1 / (1 + c)))
    every = prove(Eq(ratio, 4))
    terms = [(z.subs(at).subs(delta, sp.Rational(1, 10))).subs(n, 8100) for z in (K / n, first)]
    detail = (
        "L = sigma = 1, f0 = 1/4: second term = 4 times the first at T + 1 = (c/delta)^2, delta = 1/(1 + c), for every c > 0; "
        f"c = 9: delta = 1/10, T + 1 = 8100: {terms[0]} against {terms[1]}"
    )
    return Evidence("exact", "refuted" if every.outcome == "proved" else "undecided", detail, {"ratio": ratio})


@negligible.picture
def when_the_second_term_dies_out(ax: Any) -> str:
    steps = np.unique(np.geomspace(1, 10**10, 300).round()).astype(int)
    values = {"T": steps, "f0": 0.25, "L": 1.0, "sigma": 1.0}
    for share, color, look in ((1.0, "#000000", "-"), (0.1, "#0072B2", "--"), (0.01, "#D55E00", "-.")):
        ax.plot(steps, REMARK_4.printed(delta=share, **values), color=color, linestyle=look, label=rf"$\delta = {share:g}$")
        for power, mark in ((2, "o"), (4, "D")) if share < 1 else ():
            at = round(share**-power)
            ax.plot(at, REMARK_4.printed(delta=share, **(values | {"T": at})), mark, color=color, markersize=4)
    ax.set(xscale="log", yscale="log", xlabel="$T$ (log)", ylabel="printed right side (log)")
    ax.legend(loc="upper right")
    return (
        "Remark 4's printed right side for L = sigma = 1, f0 = 1/4. At T = 1/delta^2 (dots) the second term is most of it, "
        "the more so the smaller delta is; at 1/delta^4 (diamonds) it is a few times the first one, whatever delta is."
    )


@negligible.repaired
def a_fourth_power_will_do() -> Evidence:
    """r = sqrt(T+1) >= 8 L/(eta delta^2); first terms A/r with A >= L sigma^2/2."""
    r, eta, A = symbols("r eta A", positive=True)
    smaller = And(leading(PRINTED) >= L * sigma**2 / 2, leading(REPAIRED) >= L * sigma**2 / 2)
    hypotheses = [L * sigma**2 / 2 <= A, r >= 8 * L / (eta * delta**2), delta <= 1]
    return prove(And(smaller, K / r**2 <= eta * A / r), hypotheses, covers="1/delta^4")


@negligible.repaired
def and_absolutely() -> Evidence:
    c = Symbol("c", positive=True)
    return prove((K / n).subs(n, c / delta**2) <= 4 * L**2 * sigma**2 / c, [delta <= 1], covers="1/delta^2")


@negligible.repaired
def but_not_beside_the_first() -> Evidence:
    found = no_constant_will_do()
    return Evidence(
        "exact", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="1/delta^2, relative"
    )


same = Claim(
    "remark-4-rate",
    SOURCE,
    "compressing the gradient does not change the asymptotic rate of SGD [the power of T, with a factor that is the same for "
    "all delta]",
    repaired="the leading coefficients of the proven bounds differ by a factor in [1, 2] (printed), 2 (repaired), and 1 with "
    "rho = (T+1)^(-1/4) in B.3",
)


@same.printed
def a_factor_between_one_and_two() -> Evidence:
    """Both bounds are C/sqrt(T+1) + O(1/T), with C of EF free of delta."""
    lead, other = leading(REPAIRED), leading(SGD)
    return prove(And(lead <= 2 * other, lead >= other), [delta <= 1])


@same.repaired
def printed_and_repaired() -> Evidence:
    lead, other = leading(PRINTED), leading(SGD)
    both = And(lead >= other, lead <= 2 * other, Eq(leading(REPAIRED), 2 * other))
    return prove(both, [delta <= 1], covers="factors")


@same.repaired
def and_with_a_tighter_analysis() -> Evidence:
    return lines.what_is_left_beside_sgd()


footnote = Claim(
    "remark-4-footnote",
    SOURCE + ", footnote 1",
    "the asymptotic rate for EF-SGD is in fact 2 times slower than SGD [the printed leading terms]",
    repaired="the repaired leading term is exactly 2 times SGD's",
    expect="refuted",
)


@footnote.printed
def less_than_twice() -> Evidence:
    """(4 f0 + L sigma^2)/(2 f0 + L sigma^2) = 2 only if L sigma^2 = 0."""
    return prove(Eq(leading(PRINTED), 2 * leading(SGD)))


@footnote.repaired
def exactly_twice() -> Evidence:
    return prove(Eq(sp.expand(leading(REPAIRED) - 2 * leading(SGD)), 0), kind="identity")


fixed = Claim(
    "remark-4-footnote-fixed",
    SOURCE + ", footnote 1",
    "this can easily be fixed with a tighter analysis [the factor 2, in the limit]",
)


@fixed.printed
def by_another_rho() -> Evidence:
    """theorem-2-proof-rho-0: sqrt(T+1) times the bound tends to SGD's coefficient."""
    return lines.what_is_left_beside_sgd()


if __name__ == "__main__":
    main(__file__)
