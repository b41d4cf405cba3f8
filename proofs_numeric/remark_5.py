r"""Remark 5: delta = 1/k does not give 2 k^2 beyond k = 2; the rate without feedback lacks a factor 2; k counts steps.

Statement   U unbiased with E||U(x)||^2 <= k ||x||^2. Without feedback "the algorithm converges k times slower": (f0 + L k
            sigma^2)/ (2 sqrt(T+1)); with feedback and U/k: (4 f0 + L sigma^2)/(2 sqrt(T+1)) + 2 L^2 sigma^2 k^2/(T+1), "thereby
            pushing the dependence on k into the higher order term"; "using error-feedback gives significantly better rates".
Source      Section 4, Remark 5; B.5
Idea        B.5 is right: U/k has delta = 1/k in expectation. Put into Remark 4 this gives 4 k (k - 1), which is <= 2 k^2 only
            for k <= 2. Whether 2 k^2 holds by another proof, which would use that U is unbiased, is left open here. Without
            feedback it is SGD with the second moment k sigma^2: f0 must be 2 f0, as in Remark 4. The rate with the best gamma
            is sqrt(2 f0 L k sigma^2/(T+1)): k times as many steps for the same accuracy, a bound sqrt(k) times larger; with
            gamma = 1/sqrt(T+1) less than k times larger. "Better" compares the bounds, and needs k > 2 and many steps.
Conventions gamma = 1/sqrt(T+1), sigma the second moment of g_t; k >= 1 is forced (Jensen). Rates are proven bounds, not lower
            bounds.
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from sympy import And, Eq, Implies, Or, Symbol, sqrt, symbols

from efcheck import content
from efcheck.bounds import REMARK_4, REMARK_5, REMARK_5_PLAIN, THEOREM_2, L, T, delta, f0, gamma, k, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

statement = content.load(Path(__file__).with_name("theorem_2.py"))
remark_4 = content.load(Path(__file__).with_name("remark_4.py"))
instances = content.load(Path(__file__).with_name("_instances.py"))
huber = statement.huber
SOURCE = "Section 4, Remark 5"
n = Symbol("n", positive=True)  # T + 1
U2, v = Symbol("U2", nonnegative=True), Symbol("v", positive=True)  # E||U(v)||^2, ||v||
PRINTED, REPAIRED = REMARK_5.printed.expression, REMARK_5.repaired.expression
PLAIN, PLAIN_REPAIRED = REMARK_5_PLAIN.printed.expression, REMARK_5_PLAIN.repaired.expression


# -- B.5 -----------------------------------------------------------------------------------------------------------------

contraction = Claim(
    "remark-5-proof",
    "B.5",
    "E||U(v)/k - v||^2 = E||U(v)||^2/k^2 - (2/k) <E U(v), v> + ||v||^2 <= ||v||^2/k - (2/k) ||v||^2 + ||v||^2 = (1 - 1/k) "
    "||v||^2",
)


@contraction.printed
def the_square_is_expanded() -> Evidence:
    """In each coordinate u of U(v), for each outcome; E and the sum over coordinates are linear."""
    u, w = symbols("u w", real=True)
    return prove(Eq((u / k - w) ** 2, u**2 / k**2 - 2 / k * u * w + w**2), kind="identity", covers="line 1")


@contraction.printed
def the_two_hypotheses() -> Evidence:
    """<E U(v), v> = ||v||^2 and E||U(v)||^2 <= k ||v||^2."""
    left = U2 / k**2 - 2 / k * v**2 + v**2
    middle = v**2 / k - 2 / k * v**2 + v**2
    return prove(And(left <= middle, Eq(sp.expand(middle - (1 - 1 / k) * v**2), 0)), [k * v**2 >= U2], covers="lines 2 and 3")


hidden = Claim(
    "remark-5-k",
    SOURCE,
    "an unbiased U with E||U(x)||^2 <= k ||x||^2 for all x has k >= 1, so that delta = 1/k is in (0, 1]",
)


@hidden.printed
def by_jensen() -> Evidence:
    """E||U - v||^2 = E||U||^2 - ||v||^2 >= 0 at any v != 0."""
    return prove(k >= 1, [U2 - v**2 >= 0, k * v**2 >= U2])


# -- with feedback ---------------------------------------------------------------------------------------------------------

rate = Claim(
    "remark-5",
    SOURCE,
    "with C = U/k and error feedback we would achieve [by Remark 4 with delta = 1/k, for every k] min_t E||grad f(x_t)||^2 <= "
    "(4 f0 + L sigma^2)/(2 sqrt(T+1)) + 2 L^2 sigma^2 k^2/(T+1)",
    repaired="min_t E||grad f(x_t)||^2 <= (2 f0 + L sigma^2)/sqrt(T+1) + 4 L^2 sigma^2 k (k - 1)/(T+1); the last term is at "
    "most 2 L^2 sigma^2 k^2/(T+1) for 1 <= k <= 2, and at most 4 L^2 sigma^2 k^2/(T+1) for all k",
    expect="refuted",
)


@rate.printed
def two_k_squared_is_too_small() -> Evidence:
    """Remark 4, even as printed, with delta = 1/k against Remark 5; whole k, as for a random subset of 1/k of the entries."""
    whole = Symbol("k", integer=True)
    found = prove(4 * whole * (whole - 1) <= 2 * whole**2, [whole >= 1])
    terms = (4 * (1 - delta) / delta**2).subs(delta, 1 / k) - (4 * k * (k - 1))
    printed = (
        REMARK_4.printed.expression.subs(delta, 1 / k) - PRINTED - L**2 * sigma**2 * (4 * k * (k - 1) - 2 * k**2) / (T + 1)
    )
    same = prove(And(Eq(sp.simplify(terms), 0), Eq(sp.simplify(printed), 0)))
    outcome = found.outcome if same.outcome == "proved" else "undecided"
    detail = f"Remark 4 with delta = 1/k has 4 k (k - 1) where 2 k^2 is printed: {found.detail}"
    return Evidence("witness" if outcome == "refuted" else "inequality", outcome, detail, found.data)


@rate.printed
def for_every_compressor_with_that_delta_it_fails() -> Evidence:
    """Found by efcheck falsify: a C that is no U/k, but meets all that Remark 4 supposes."""
    return instances.again("remark-5", PRINTED).covering("from delta = 1/k alone")


@rate.repaired
def delta_is_one_over_k() -> Evidence:
    """remark-5-proof, and the repaired Remark 4 (remark-4)."""
    put_in = REMARK_4.repaired.expression.subs(delta, 1 / k)
    return prove(Eq(sp.simplify(put_in - REPAIRED), 0), kind="identity", covers="delta = 1/k")


@rate.repaired
def b_5() -> Evidence:
    return the_two_hypotheses()


@rate.repaired
def memory_in_expectation() -> Evidence:
    """Assumption A in expectation given p_t: E||e_{t+1}||^2 <= q^2 E||p_t||^2, and then as for every compressor."""
    return statement.lemma_3_in_root_mean_squares()


@rate.repaired
def one_step() -> Evidence:
    return statement.one_step()


@rate.repaired
def summed() -> Evidence:
    return statement.the_sum_over_t()


@rate.repaired
def rho_one() -> Evidence:
    return statement.rho_one_gives_the_bound()


@rate.repaired
def in_terms_of_k_squared() -> Evidence:
    both = And(Implies(k <= 2, 4 * k * (k - 1) <= 2 * k**2), 4 * k * (k - 1) <= 4 * k**2)
    return prove(both, [k >= 1], covers="k^2")


pushed = Claim(
    "remark-5-higher-order",
    SOURCE,
    "error feedback pushes the dependence on k into the higher order O(1/T) term [of the bound]",
    repaired="so it is in the repaired rate; without feedback k is in the leading term",
)


def free_of_k(expression: Any) -> bool:
    return k not in remark_4.leading(expression).free_symbols


@pushed.printed
def as_printed() -> Evidence:
    rest = sp.simplify((PRINTED - remark_4.leading(PRINTED) / sqrt(T + 1)) * (T + 1))
    return prove(And(free_of_k(PRINTED), T not in rest.free_symbols, k in rest.free_symbols), kind="identity")


@pushed.repaired
def as_repaired() -> Evidence:
    rest = sp.simplify((REPAIRED - remark_4.leading(REPAIRED) / sqrt(T + 1)) * (T + 1))
    good = And(free_of_k(REPAIRED), T not in rest.free_symbols, not free_of_k(PLAIN_REPAIRED))
    return prove(good, kind="identity")


# -- without feedback -------------------------------------------------------------------------------------------------------

plain = Claim(
    "remark-5-plain",
    SOURCE,
    "without feedback, using standard analysis: min_t E||grad f(x_t)||^2 <= (f0 + L k sigma^2)/(2 sqrt(T+1))",
    repaired="min_t E||grad f(x_t)||^2 <= (2 f0 + L k sigma^2)/(2 sqrt(T+1))",
    expect="refuted",
)


def straight_run(T_: int) -> dict[str, Any]:
    """Gradient descent (U(p) = p, k = 1) on the Huber function, L = sigma = 1, gamma = 1/sqrt(T+1), from 1 + T gamma down to
    x_T = 1.
    """
    root = isqrt(T_ + 1)
    step = Fraction(1, root)
    x, least = 1 + T_ * step, Fraction(10)
    start = huber.value(x)
    for _ in range(T_ + 1):
        least = min(least, huber.exact_slope(x) ** 2)
        x -= step * huber.exact_slope(x)
    right = PLAIN.subs({T: T_, f0: sp.Rational(start), L: 1, sigma: 1, k: 1})
    return {"T": T_, "gamma": step, "f0": start, "left": least, "right": Fraction(int(right.p), int(right.q))}


@plain.printed
def gradient_descent_is_above_it() -> Evidence:
    runs = [straight_run(T_) for T_ in (0, 3, 8, 15)]
    bad = [run for run in runs if run["left"] > run["right"]]
    if not bad:
        return Evidence("exact", "supported", "gradient descent on the Huber function stays below for T = 0, 3, 8, 15")
    detail = (
        "U(p) = p, k = 1, Huber function (L = 1), no noise, sigma = 1, gamma = 1/sqrt(T+1), x_0 = 1 + T gamma: "
        + "; ".join(f"T = {run['T']}, f0 = {run['f0']}: |f'(x_t)|^2 = {run['left']} > {run['right']}" for run in bad)
    )
    return Evidence("witness", "refuted", detail, {"runs": bad})


@plain.printed
def efcheck_falsify_found_it() -> Evidence:
    return instances.again("remark-5-plain", PLAIN)


@plain.repaired
def sgd_with_a_larger_moment() -> Evidence:
    """E U(g) = grad f(x_t) and E||U(g)||^2 <= k E||g||^2 <= k sigma^2, then Remark 4's rate of SGD."""
    moment = Symbol("moment", nonnegative=True)
    sgd = remark_4.SGD.subs(sigma, sqrt(k) * sigma)
    same = Eq(sp.expand(sgd - PLAIN_REPAIRED), 0)
    return prove(And(k * moment <= k * sigma**2, same), [moment <= sigma**2], covers="second moment")


@plain.repaired
def the_sum_of_sgd() -> Evidence:
    return statement.the_sum_without_memory()


@plain.repaired
def and_its_end() -> Evidence:
    return statement.as_sgd()


slower = Claim(
    "remark-5-slower",
    SOURCE,
    "without feedback the algorithm converges k times slower [the displayed rate is k times that of k = 1]",
    repaired="with the best gamma the bound is sqrt(2 f0 L k sigma^2/(T+1)): sqrt(k) times larger, k times as many steps for "
    "the same value; with gamma = 1/sqrt(T+1) it is between 1 and k times larger",
    expect="refuted",
)


@slower.printed
def less_than_k_times() -> Evidence:
    return prove(Eq(PLAIN, k * PLAIN.subs(k, 1)), [k >= 1])


@slower.repaired
def the_best_step() -> Evidence:
    """f0/(gamma n) + gamma L k sigma^2/2 at its least, M, has M^2 = 2 f0 L k sigma^2/n: n enters as n/k only."""
    b, M = Symbol("b", positive=True), Symbol("M", positive=True)  # b = L k sigma^2
    start = Symbol("f", positive=True)
    bound = start / (gamma * n) + gamma * b / 2
    above = Implies(Eq(M**2, 2 * start * b / n), bound >= M)
    best = sqrt(2 * start / (b * n))
    attained = Eq(sp.simplify(bound.subs(gamma, best) ** 2 - 2 * start * b / n), 0)
    return prove(And(above, attained), covers="best gamma")


@slower.repaired
def with_the_given_step() -> Evidence:
    one = PLAIN_REPAIRED.subs(k, 1)
    return prove(And(one <= PLAIN_REPAIRED, k * one >= PLAIN_REPAIRED), [k >= 1], covers="gamma = 1/sqrt(T+1)")


better = Claim(
    "remark-5-better",
    SOURCE,
    "even if using an unbiased compression, using error-feedback gives significantly better rates [the displayed ones, any k "
    "and T]",
    repaired="for T large enough the repaired bound with feedback is the smaller one if and only if L sigma^2 (k - 2) > 2 f0; "
    "with rho = (T+1)^(-1/4) in B.3, if k > 1; for few steps it may be larger",
    expect="refuted",
)


@better.printed
def not_for_every_k_and_t() -> Evidence:
    return prove(PRINTED <= PLAIN, [k >= 1, T >= 0])


@better.picture
def the_two_displayed_rates(ax: Any) -> str:
    steps = np.unique(np.geomspace(1, 10**6, 200).round()).astype(int)
    for factor, color, mark in ((2, "#000000", "o"), (10, "#0072B2", "s"), (100, "#D55E00", "^")):
        values = {"T": steps, "k": factor, "f0": 0.5, "L": 1.0, "sigma": 1.0}
        look = {"color": color, "marker": mark, "markevery": 40, "markersize": 3}
        ax.plot(steps, REMARK_5.printed(**values), **look, label=f"$k = {factor}$, with feedback")
        ax.plot(steps, REMARK_5_PLAIN.printed(**values), **look, linestyle="--", label=f"$k = {factor}$, without")
    ax.set(xscale="log", yscale="log", xlabel="$T$ (log)", ylabel="displayed right sides (log)")
    ax.legend(loc="upper right", fontsize=6)
    return (
        "The two right sides that Remark 5 compares, for L = sigma = 1, f0 = 1/2: with feedback (solid) the larger one for "
        "few steps, the longer the larger k is, and in the end the smaller one if k is large."
    )


@better.repaired
def where_the_leading_term_is_smaller() -> Evidence:
    with_feedback, without = remark_4.leading(REPAIRED), remark_4.leading(PLAIN_REPAIRED)
    smaller = L * sigma**2 * (k - 2) > 2 * f0
    iff = And(Or(with_feedback >= without, smaller), Implies(smaller, with_feedback < without))
    return prove(iff, [k >= 1], covers="leading terms")


@better.repaired
def with_sgds_leading_term() -> Evidence:
    """theorem-2-proof-rho-0: EF's coefficient is SGD's, (2 f0 + L sigma^2)/2."""
    return prove(
        remark_4.leading(remark_4.SGD) < remark_4.leading(PLAIN_REPAIRED), [k > 1, L > 0, sigma > 0], covers="rho -> 0"
    )


@better.repaired
def few_steps() -> Evidence:
    """T = 0, L = sigma = 1, f0 = 1/2, k = 10."""
    at = {T: 0, L: 1, sigma: 1, f0: sp.Rational(1, 2), k: 10}
    return prove(REPAIRED.subs(at) > PLAIN_REPAIRED.subs(at), covers="few steps")


theorem_form = Claim(
    "remark-5-any-step",
    SOURCE + " with Theorem II (ours: for any gamma)",
    "with C = U/k and error feedback: min_t E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) + gamma L sigma^2 + 4 gamma^2 L^2 sigma^2 "
    "k (k - 1)",
)


@theorem_form.printed
def from_theorem_2() -> Evidence:
    right = 2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 + 4 * gamma**2 * L**2 * sigma**2 * k * (k - 1)
    return prove(
        Eq(sp.simplify(THEOREM_2.repaired.expression.subs(delta, 1 / k) - right), 0), kind="identity", covers="delta = 1/k"
    )


@theorem_form.printed
def by_b_5() -> Evidence:
    return the_two_hypotheses()


if __name__ == "__main__":
    main(__file__)
