r"""Counterexample 3 is true for sign(0) = 0 in the update, and false for sign(0) = 1; its gradient is half of grad f.

Statement   f(x) = <a_1, x>^2 + <a_2, x>^2, a_{1,2} = +-(1, -1) + eps (1, 1), 0 < eps < 1, stochastic gradient
            grad <a_i, x>^2 with i = 1 or 2, each w.p. 1/2. From x_0 = (1, 1), signSGD with any step-size sequence stays on
            x1 + x2 = 2 and f(x_t) >= f(x_0) almost surely.
Source      Section 3, Counterexample 3
Idea        g = 2 <a_i, x> a_i and sign(a_1) = (1, -1) = -sign(a_2), so sign(g) = +-(1, -1) unless <a_i, x> = 0. On the line
            x1 + x2 = 2 there is such a point for each i, and a step can lead there: then g = 0 and the convention decides.
            f = 2 v^2 + 2 eps^2 u^2 with u = x1 + x2, v = x1 - x2, so on the line f >= 8 eps^2 = f(x_0).
Conventions sign(0) in the update decides, and here it must be 0, where Counterexample 2 needed +-1 in its subgradient.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
from sympy import And, Eq, Ge, Implies, Or, Piecewise, Rational, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import BestStep, SignSGD
from efcheck.problems import LeastSquares2D
from efcheck.simulate import simulate

SECTION = "Section 3, Counterexample 3"
x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", nonnegative=True)
ROWS = ((1 + eps, -1 + eps), (-1 + eps, 1 + eps))


def inner(i: int, a=x1, b=x2):
    """<a_i, x>."""
    return ROWS[i][0] * a + ROWS[i][1] * b


def f(a, b):
    return inner(0, a, b) ** 2 + inner(1, a, b) ** 2


def gradient(i: int):
    """grad <a_i, x>^2 by differentiation, not by the formula that is to be checked."""
    square = inner(i) ** 2
    return square.diff(x1), square.diff(x2)


def sgn(v, zero: int):
    """sign(v) with sign(0) = zero, as SymPy."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def step(i: int, zero: int):
    """One signSGD step with the gradient of <a_i, x>^2."""
    g1, g2 = gradient(i)
    return x1 - gamma * sgn(g1, zero), x2 - gamma * sgn(g2, zero)


def fractional(epsilon: Fraction, picks: tuple[int, ...]):
    """The stochastic gradient on Fractions, with i_t = picks[t]."""
    rows = ((1 + epsilon, -1 + epsilon), (-1 + epsilon, 1 + epsilon))

    def g(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        a = rows[picks[t]]
        e = 2 * (a[0] * x[0] + a[1] * x[1])
        return (e * a[0], e * a[1])

    return g


def fractional_f(epsilon: Fraction, x: tuple[Fraction, ...]) -> Fraction:
    u, v = x[0] + x[1], x[0] - x[1]
    return (v + epsilon * u) ** 2 + (-v + epsilon * u) ** 2


def explore(zero: int, holds, what: str, T: int = 3) -> Evidence:
    """Exact signSGD from (1, 1) over all picks of T gradients and all steps from {1/4, 1/2, 1}: does `holds` fail?"""
    epsilon = Fraction(1, 2)
    runs = 0
    sizes = (Fraction(1, 4), Fraction(1, 2), Fraction(1))
    for picks in product((0, 1), repeat=T):
        for gammas in product(sizes, repeat=T):
            path = exact.sign_sgd(fractional(epsilon, picks), (Fraction(1), Fraction(1)), list(gammas), zero=zero)
            runs += 1
            for t, x in enumerate(path):
                if not holds(epsilon, x):
                    detail = (
                        f"sign(0) = {zero}, epsilon = 1/2, i = {[i + 1 for i in picks[:t]]}, "
                        f"gamma = {', '.join(map(str, gammas[:t]))}: x_{t} = ({x[0]}, {x[1]}), "
                        f"f = {fractional_f(epsilon, x)}, f(x_0) = 2; so not {what}"
                    )
                    data = {"x": list(x), "picks": list(picks[:t]), "gamma": list(gammas[:t]), "zero": zero}
                    return Evidence("witness", "refuted", detail, data, covers=f"zero={zero}")
    return Evidence("exact", "supported", f"sign(0) = {zero}: {what} in {runs} exact runs", covers=f"zero={zero}")


def false_by_witness(found: Evidence) -> Evidence:
    """The exact witness against a statement proves that the statement is false; no witness found decides nothing."""
    return replace(found, outcome="proved" if found.outcome == "refuted" else "undecided")


def on_line(epsilon: Fraction, x) -> bool:
    return x[0] + x[1] == 2


def not_below(epsilon: Fraction, x) -> bool:
    return fractional_f(epsilon, x) >= fractional_f(epsilon, (Fraction(1), Fraction(1)))


# -- the gradient --------------------------------------------------------------------------------------------------------

multiple = Claim("counterexample-3-gradient", SECTION, "the stochastic gradient is e a_1 or e a_2 for some scalar e")


@multiple.printed
def the_scalar_is_twice_the_inner_product() -> Evidence:
    same = [Eq(g.expand(), (2 * inner(i) * a).expand()) for i in (0, 1) for g, a in zip(gradient(i), ROWS[i], strict=True)]
    return prove(And(*same), kind="identity")


unbiased = Claim(
    "counterexample-3-unbiased",
    "Section 1, E[g_t] = grad f(x_t); Section 3, Counterexample 3",
    "the stochastic gradient of Counterexample 3 has E[g] = grad f(x)",
    repaired="E[g] = grad f(x)/2",
    expect="refuted",
)


def expectation(factor):
    pairs = zip(gradient(0), gradient(1), (x1, x2), strict=True)
    return And(*(Eq(((a + b) / 2).expand(), (factor * f(x1, x2).diff(x)).expand()) for a, b, x in pairs))


@unbiased.printed
def a_factor_of_two_is_missing() -> Evidence:
    return prove(expectation(1), [eps < 1])


@unbiased.repaired
def it_is_half_the_gradient() -> Evidence:
    return prove(expectation(Rational(1, 2)), kind="identity")


# -- the sign, the line, the objective -----------------------------------------------------------------------------------

signs = Claim(
    "counterexample-3-sign",
    SECTION,
    "from x_0 = (1, 1): sign(g) = +-(1, -1)",
    repaired="sign(g) = +-(1, -1) wherever <a_i, x> != 0, x_0 among them; elsewhere g = 0 and its sign is the convention's",
    expect="refuted",
)


def antidiagonal(i: int):
    s1, s2 = (sgn(g, 0) for g in gradient(i))
    return And(Eq(s1, -s2), Or(Eq(s1, 1), Eq(s1, -1)))


@signs.printed
def a_step_leads_to_a_point_without_gradient() -> Evidence:
    """The sign at x_1, reached from x_0 = (1, 1) by the first gradient and some gamma."""
    a, b = (c.subs({x1: 1, x2: 1}) for c in step(0, 0))
    return prove(antidiagonal(0).subs({x1: a, x2: b}, simultaneous=True), [eps < 1])


@signs.repaired
def everywhere_else() -> Evidence:
    both = And(*(Implies(Or(inner(i) > 0, inner(i) < 0), antidiagonal(i)) for i in (0, 1)))
    return prove(both, [eps < 1], covers="g != 0")


@signs.repaired
def at_the_start_it_is_nonzero() -> Evidence:
    return prove(And(inner(0, 1, 1) > 0, inner(1, 1, 1) > 0), [eps < 1], covers="x_0")


def invariant(zero: int) -> Evidence:
    """x1 + x2 does not change, whatever i and gamma: the induction step for any step-size sequence."""
    stays = And(*(Eq(a + b, x1 + x2) for a, b in (step(0, zero), step(1, zero))))
    return prove(stays, [eps < 1], covers=f"zero={zero}")


line = Claim(
    "counterexample-3-line",
    SECTION,
    "SIGNSGD with any step-size sequence remains stuck along the line x1 + x2 = 2",
    repaired="it does for every step sequence and every draw if sign(0) = 0 in the update; not if sign(0) = +-1",
    expect="refuted",
)


@line.printed
def plus_one_leaves_it() -> Evidence:
    return explore(1, on_line, "x1 + x2 = 2")


@line.printed
def minus_one_leaves_it() -> Evidence:
    return explore(-1, on_line, "x1 + x2 = 2")


@line.printed
def zero_does_not() -> Evidence:
    return explore(0, on_line, "x1 + x2 = 2")


@line.repaired
def the_line_is_invariant_for_zero() -> Evidence:
    return invariant(0)


@line.repaired
def plus_one_leaves_it_from_the_start() -> Evidence:
    return false_by_witness(explore(1, on_line, "x1 + x2 = 2"))


@line.repaired
def minus_one_leaves_it_from_the_start() -> Evidence:
    return false_by_witness(explore(-1, on_line, "x1 + x2 = 2"))


stuck = Claim(
    "counterexample-3",
    SECTION,
    "from x_0 = (1, 1), for any step-size sequence: f(x_t) >= f(x_0) almost surely",
    repaired="true for every step sequence and every draw if sign(0) is 0 or -1 in the update; false if sign(0) = 1",
    expect="refuted",
)


@stuck.printed
def plus_one_is_refuted() -> Evidence:
    return explore(1, not_below, "f(x_t) >= f(x_0)")


@stuck.printed
def zero_is_not() -> Evidence:
    return explore(0, not_below, "f(x_t) >= f(x_0)")


@stuck.printed
def minus_one_is_not() -> Evidence:
    return explore(-1, not_below, "f(x_t) >= f(x_0)")


@stuck.repaired
def beyond_the_line_f_is_at_least_f_of_the_start() -> Evidence:
    return prove(Ge(f(x1, x2), f(1, 1)), [x1 + x2 >= 2], covers="consequence")


@stuck.repaired
def zero_keeps_the_line() -> Evidence:
    return invariant(0)


@stuck.repaired
def minus_one_never_comes_closer() -> Evidence:
    """x1 + x2 can only grow: g = 0 moves x by +gamma (1, 1)."""
    grows = And(*(a + b >= x1 + x2 for a, b in (step(0, -1), step(1, -1))))
    return prove(grows, [eps < 1], covers="zero=-1")


@stuck.repaired
def and_plus_one_falls_below() -> Evidence:
    return false_by_witness(explore(1, not_below, "f(x_t) >= f(x_0)"))


@stuck.picture
def the_paths(ax):
    script = content.figure("trajectories")
    data = script.compute()
    script.draw_one(ax, data, "least_squares")
    ax.figure.set_size_inches(4.4, 2.8)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return (
        f"One run of {data['least_squares_x'].shape[1] - 1} steps {data['least_squares_gamma0']}/sqrt(t+1) from x_0 = (1, "
        "1), with the same draws for all methods, sign(0) = 0 in the update: the sign methods stay on x1 + x2 = 2, where "
        "f(x_t) >= f(x_0)."
    )


best = Claim(
    "counterexample-3-best-step",
    "Section 3, before Counterexample 2 (adaptively chosen optimal step-sizes)",
    "from x_0 = (1, 1), with the best possible step at every iteration, SIGNSGD does not converge on Counterexample 3: "
    "x_t = x_0 for ever, under every sign(0)",
)


@best.printed
def the_best_point_of_the_line_is_the_diagonal() -> Evidence:
    """On x1 + x2 = c f = 2 v^2 + 2 eps^2 c^2 is least at v = 0."""
    c = Symbol("c", real=True)
    low = f(c / 2, c / 2)
    return prove(Implies(Eq(x1 + x2, c), f(x1, x2) >= low), [eps < 1], covers="line search")


@best.printed
def no_gradient_vanishes_there() -> Evidence:
    """So x_0 = (1, 1) is itself that point, sign(0) is never asked, and the best step is 0 for ever."""
    return prove(And(inner(0, 1, 1) > 0, inner(1, 1, 1) > 0), [eps < 1], covers="conventions")


@best.printed
def simulated_line_search_stays(seed: int = 0) -> Evidence:
    farthest = 0.0
    for zero in (-1, 0, 1):
        problem = LeastSquares2D(0.5)
        method = SignSGD(BestStep(problem), zero=zero)
        x = simulate(problem, method, 200, runs=200, seed=seed, record=("x",))["x"]
        farthest = max(farthest, float(np.abs(x - x[0]).max()))
    outcome = "supported" if farthest < 1e-12 else "undecided"  # a line search on numbers of size one: a few eps
    return Evidence("search", outcome, f"max |x_t - x_0| = {farthest:.1g} in 600 runs", covers="line search")


# -- the optimum ---------------------------------------------------------------------------------------------------------

minimum = Claim("counterexample-3-minimum", SECTION, "x* = (0, 0) is the one minimum of f")


@minimum.printed
def nothing_else_is_as_low() -> Evidence:
    elsewhere = Or(x1 > 0, x1 < 0, x2 > 0, x2 < 0)
    return prove(And(Eq(f(0, 0), 0), Implies(elsewhere, f(x1, x2) > 0)), [eps < 1])


smooth = Claim(
    "counterexample-3-smooth",
    "Section 3, between Counterexamples 2 and 3",
    "the example is smooth (and convex): 0 <= f(y) - f(x) - <grad f(x), y - x> <= (L/2) ||y - x||^2, with L = 8",
)


@smooth.printed
def both_sides() -> Evidence:
    y1, y2 = Symbol("y1", real=True), Symbol("y2", real=True)
    rest = f(y1, y2) - f(x1, x2) - f(x1, x2).diff(x1) * (y1 - x1) - f(x1, x2).diff(x2) * (y2 - x2)
    bound = 4 * ((y1 - x1) ** 2 + (y2 - x2) ** 2)
    return prove(And(rest >= 0, rest <= bound), [eps < 1])


if __name__ == "__main__":
    main(__file__)
