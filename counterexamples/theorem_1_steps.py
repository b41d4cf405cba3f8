r"""The steps of B.1 hold where l_i' is not zero; where it is, sign(0) decides what the next iterate is.

Statement   g_t = a_i l_i'(<a_i, x>), so sign(g_t) = sign(a_i) sign(l_i'(<a_i, x>)) = +-s, x_{t+1} = x_t +- gamma s, and the
            iterates of SIGNSGD can only move along the direction s.
Source      Appendix B.1; Section 1 for E[g_t] = grad f(x_t)
Idea        No entry of a_i is 0, so the entries of g = h a_i vanish together, where h = l_i'(<a_i, x>) = 0: then sign(g) is
            zero (1, ..., 1). For sign(0) = 0 that is no step, and s_j x_j - s_k x_k is invariant for every pair j, k: the
            induction step, in any dimension, for any h (any loss), any i and any real gamma.
Conventions sign(0) in the update: for +-1 the line is left.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import And, Eq, Function, Implies, Ne, Or, Subs, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

aligned = content.load(Path(__file__).with_name("_aligned.py"))
PROOF = "Appendix B.1, proof of Theorem I"
xj, xk, h, gamma = aligned.xj, aligned.xk, aligned.h, aligned.gamma
mj, mk = aligned.mj, aligned.mk


gradient = Claim("theorem-1-gradient", PROOF, "g_t = a_i l_i'(<a_i, x>) for i = i_t")


@gradient.printed
def it_is_the_chain_rule() -> Evidence:
    same, loss, r = [], Function("l"), Symbol("r", real=True)
    for d in (1, 2, 3):
        a, x = symbols(f"a1:{d + 1}", real=True), symbols(f"x1:{d + 1}", real=True)
        inner = sum(p * q for p, q in zip(a, x, strict=True))
        slope = Subs(loss(r).diff(r), r, inner)
        same += [Eq((loss(inner).diff(q) - p * slope).doit().simplify(), 0) for p, q in zip(a, x, strict=True)]
    return aligned.worded("the chain rule, d = 1, 2, 3", prove(And(*same), kind="identity"))


unbiased = Claim(
    "theorem-1-unbiased",
    "Section 1, E[g_t] = grad f(x_t); Theorem I",
    "the stochastic gradient of Theorem I, grad l_i(<a_i, x>) with i uniform, has E[g] = grad f(x), f = sum_i l_i(<a_i, x>)",
    repaired="E[g] = grad f(x)/n",
    expect="refuted",
)


def expectation(n: int, factor):
    """E[g_j] = factor (grad f)_j for n rows."""
    terms = [p * q for p, q in zip(symbols(f"h1:{n + 1}", real=True), symbols(f"a1:{n + 1}", real=True), strict=True)]
    return Eq(sum(t / n for t in terms), factor * sum(terms))


@unbiased.printed
def a_factor_of_n_is_missing() -> Evidence:
    return prove(And(expectation(1, 1), expectation(2, 1)))


@unbiased.repaired
def it_is_one_nth() -> Evidence:
    return prove(And(*(expectation(n, Fraction(1, n)) for n in (1, 2, 3, 4))), kind="identity", covers="n <= 4")


@unbiased.repaired
def for_every_n() -> Evidence:
    """Term by term: if E and S are the sums of the first k terms t/n and t with E = S/n, the next term keeps it; both start
    at 0."""
    n = Symbol("n", positive=True)
    E, S, t = symbols("E S t", real=True)
    return prove(Implies(Eq(E, S / n), Eq(E + t / n, (S + t) / n)), covers="every n")


signs = Claim(
    "theorem-1-sign",
    PROOF,
    "sign(g_t) = sign(a_i) sign(l_i'(<a_i, x>)) = +-s",
    repaired="sign(g_t) = +-s wherever l_i'(<a_i, x>) != 0; elsewhere g_t = 0 and all entries of its sign are sign(0)",
    expect="refuted",
)


def plus_or_minus_s(zero: int):
    """For two coordinates: the signs of g are both s, or both -s."""
    same = []
    for o, s, r in aligned.orientations():
        a, b = aligned.sgn(h * aligned.entry(o, s, mj), zero), aligned.sgn(h * aligned.entry(o, r, mk), zero)
        same.append(Or(And(Eq(a, s), Eq(b, r)), And(Eq(a, -s), Eq(b, -r))))
    return And(*same)


@signs.printed
def a_gradient_can_vanish() -> Evidence:
    return prove(And(*(plus_or_minus_s(zero) for zero in aligned.CONVENTIONS)), covers="sign of g")


@signs.printed
def and_does_in_a_run() -> Evidence:
    """Not only at x*: from (3, 1) one step of length 1 leads to (2, 2), where l_1' = 0."""
    path = exact.sign_sgd(aligned.on_rows((0, 0)), (3, 1), [1])
    g = aligned.on_rows((0, 0))(1, path[1])
    at = f"x_1 = ({path[1][0]}, {path[1][1]}), g_1 = ({g[0]}, {g[1]})"
    detail = f"a_1 = (1, -1), squared loss, x* = 0, x_0 = (3, 1), i = 1, gamma = 1: {at}"
    return Evidence("witness", "supported" if any(g) else "refuted", detail, {"x": path[1], "g": g}, covers="reached")


@signs.repaired
def it_is_s_where_the_slope_is_not_zero() -> Evidence:
    return prove(And(*(plus_or_minus_s(zero) for zero in aligned.CONVENTIONS)), [Ne(h, 0)], covers="h != 0")


@signs.repaired
def it_is_the_convention_elsewhere() -> Evidence:
    constant = And(
        *(Eq(aligned.sgn(h * aligned.entry(o, s, mj), z), z) for o, s, _ in aligned.orientations() for z in aligned.CONVENTIONS)
    )
    return prove(constant, [Eq(h, 0)], covers="h = 0")


line = Claim(
    "theorem-1-line",
    PROOF,
    "x_{t+1} = x_t +- gamma s and the iterates of SIGNSGD can only move along the direction s [under every sign(0) in the "
    "update]",
    repaired="x_{t+1} - x_t is +-gamma s, or -gamma sign(0) (1, ..., 1) where l_i' = 0: for sign(0) = 0 every iterate is on "
    "x_0 + R s, for +-1 on x_0 + span(s, 1); for every draw, and for every sequence of real steps",
    expect="refuted",
)


@line.printed
def a_zero_of_the_slope_leaves_it_for_plus_one() -> Evidence:
    return prove(aligned.on_the_line(1), covers="zero=1")


@line.printed
def a_zero_of_the_slope_leaves_it_for_minus_one() -> Evidence:
    return prove(aligned.on_the_line(-1), covers="zero=-1")


@line.printed
def it_is_kept_for_zero() -> Evidence:
    return prove(aligned.on_the_line(0), covers="zero=0")


@line.repaired
def the_induction_step_for_zero() -> Evidence:
    return prove(aligned.on_the_line(0), covers="zero=0")


@line.repaired
def every_step_is_in_the_span() -> Evidence:
    return prove(And(*(aligned.step_form(zero) for zero in aligned.CONVENTIONS)), covers="span")


def rules(s: tuple[int, ...]) -> dict[str, Callable[[int, exact.Vector, exact.Vector], Fraction]]:
    """Adaptive rules of every kind: of t, of x, of g, and one that steps onto a hyperplane of its choice."""
    return {
        "1/(t+1)": lambda t, x, g: Fraction(1, t + 1),
        "|x_1|/2 + 1": lambda t, x, g: abs(x[0]) / 2 + 1,
        "||g||_1/8": lambda t, x, g: sum(map(abs, g)) / 8,
        "onto <s, x> = 0": lambda t, x, g: abs(sum(a * b for a, b in zip(s, x, strict=True))) / len(s),
    }


@line.repaired
def exact_runs_stay_on_it(seed: int = 0) -> Evidence:
    """d random rows in R^d, d = 2, 3, 5: every slope, every rule, all d^T draws, and no rounding: equal is equal."""
    rng, runs = np.random.default_rng(seed), 0
    for (d, T), (name, slope) in product({2: 4, 3: 3, 5: 2}.items(), aligned.SLOPES.items()):
        s = tuple(int(q) for q in rng.choice((-1, 1), d))
        sizes = [[Fraction(int(m), 4) for m in rng.integers(1, 9, d)] for _ in range(d)]
        rows = [tuple(aligned.entry(int(o), q, m) for q, m in zip(s, row, strict=True))
                for o, row in zip(rng.choice((-1, 1), d), sizes, strict=True)]  # fmt: skip
        x0 = tuple(Fraction(int(q), 3) for q in rng.integers(-9, 10, d))
        for (rule, gammas), picks in product(rules(s).items(), product(range(d), repeat=T)):
            path = exact.sign_sgd(aligned.fractional(rows, slope, picks), x0, gammas, zero=0, T=T)
            runs += 1
            if any(aligned.off_line(x, s) != aligned.off_line(x0, s) for x in path):
                data = {"rows": rows, "picks": picks, "path": path}
                return Evidence("witness", "refuted", f"{name}, gamma = {rule}, d = {d}: off the line", data, covers="zero=0")
    return Evidence("exact", "supported", f"on x_0 + R s in {runs} exact runs, d = 2, 3, 5", covers="zero=0")


if __name__ == "__main__":
    main(__file__)
