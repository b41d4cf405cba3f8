r"""Counterexample 2 is true for sign(0) = +-1 inside the subgradient, and false for sign(0) = 0.

Statement   f(x) = eps |x1 + x2| + |x1 - x2|, 0 < eps < 1, subgradient
            g = sign(x1 + x2) eps (1, 1) + sign(x1 - x2) (1, -1). From x_0 = (1, 1), signSGD stays on x1 + x2 = 2, and
            f(x_t) >= f(x_0) for any step-size sequence.
Source      Section 3, Counterexample 2, Remark 2
Idea        With u = x1 + x2 > 0 and v = x1 - x2, g = (eps + s, eps - s) with s = sign(v). If s = +-1 then
            sign(g) = s (1, -1): u never changes and f = eps u + |v| >= eps u. But x_0 = (1, 1) has v = 0, and with
            sign(0) = 0 the subgradient there is eps (1, 1): the first step goes straight towards the optimum.
Conventions sign(0) inside the subgradient decides. In the update it does not matter: eps +- 1 and eps are not 0.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from sympy import Abs, And, Eq, Implies, Not, Or, Piecewise, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import BestStep, SignSGD
from efcheck.problems import NonSmooth2D
from efcheck.simulate import simulate

SECTION = "Section 3, Counterexample 2"
CONVENTIONS = (-1, 0, 1)
x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", nonnegative=True)


def sgn(v, zero: int):
    """sign(v) with sign(0) = zero, as SymPy."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def f(a, b):
    return eps * Abs(a + b) + Abs(a - b)


def subgradient(a, b, zero: int):
    u, v = sgn(a + b, zero), sgn(a - b, zero)
    return eps * u + v, eps * u - v


def step(zero: int, update_zero: int = 0):
    """One signSGD step from (x1, x2) with step size gamma."""
    g1, g2 = subgradient(x1, x2, zero)
    return x1 - gamma * sgn(g1, update_zero), x2 - gamma * sgn(g2, update_zero)


def fractional_subgradient(epsilon: Fraction, zero: int):
    """The same subgradient on Fractions, for exact runs."""

    def gradient(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        u, v = exact.sign(x[0] + x[1], zero), exact.sign(x[0] - x[1], zero)
        return (epsilon * u + v, epsilon * u - v)

    return gradient


def fractional_f(epsilon: Fraction, x: tuple[Fraction, ...]) -> Fraction:
    return epsilon * abs(x[0] + x[1]) + abs(x[0] - x[1])


def exact_run(zero: int, gammas: list[Fraction], epsilon: Fraction = Fraction(1, 2)):
    """signSGD from (1, 1) on Fractions."""
    return exact.sign_sgd(fractional_subgradient(epsilon, zero), (Fraction(1), Fraction(1)), gammas)


def first_below_start(zero: int, epsilon: Fraction = Fraction(1, 2)) -> Evidence:
    """Exact runs from (1, 1) with constant, decreasing and alternating steps: is f(x_t) < f(x_0) anywhere?"""
    schedules = {
        "1": [Fraction(1)] * 4,
        "1/4": [Fraction(1, 4)] * 40,
        "1/(t+1)": [Fraction(1, t + 1) for t in range(40)],
        "1, 1/3, 1, 1/3, ...": [Fraction(1, 1 + 2 * (t % 2)) for t in range(40)],
    }
    start, steps, on_line = fractional_f(epsilon, (Fraction(1), Fraction(1))), 0, True
    for name, gammas in schedules.items():
        for t, x in enumerate(exact_run(zero, gammas, epsilon)):
            steps += 1
            on_line = on_line and sum(x) == 2
            if fractional_f(epsilon, x) < start:
                detail = (
                    f"sign(0) = {zero}, epsilon = {epsilon}, gamma = {name}: x_{t} = ({x[0]}, {x[1]}), "
                    f"f(x_{t}) = {fractional_f(epsilon, x)} < f(x_0) = {start}"
                )
                return Evidence("witness", "refuted", detail, {"x": list(x), "t": t, "zero": zero}, covers=f"zero={zero}")
    line_too = " and x1 + x2 = 2" if on_line else ""
    detail = f"sign(0) = {zero}: f(x_t) >= f(x_0){line_too} at {steps} exact iterates of {len(schedules)} schedules"
    return Evidence("exact", "supported", detail, covers=f"zero={zero}")


# -- the statement about the sign ----------------------------------------------------------------------------------------


def sign_is_the_antidiagonal(zero: int):
    g1, g2 = subgradient(x1, x2, zero)
    s1, s2 = sgn(g1, 0), sgn(g2, 0)
    return And(Eq(s1, -s2), Eq(Abs(s1), 1))


signs = Claim(
    "counterexample-2-sign",
    SECTION,
    "for any x with x1 + x2 > 0: sign(g(x)) = +-(1, -1)",
    repaired="it holds for x1 != x2 under every sign(0), and for x1 = x2 if and only if sign(0) = +-1 in the subgradient",
    expect="refuted",
)


@signs.printed
def on_the_diagonal_sign_zero_decides() -> Evidence:
    return prove(sign_is_the_antidiagonal(0), [x1 + x2 > 0, eps < 1], covers="sign(0) = 0")


@signs.repaired
def off_the_diagonal() -> Evidence:
    everywhere = [x1 + x2 > 0, eps < 1, Or(x1 > x2, x1 < x2)]
    return prove(And(*(sign_is_the_antidiagonal(z) for z in CONVENTIONS)), everywhere, covers="off the diagonal")


@signs.repaired
def with_a_two_valued_sign() -> Evidence:
    both = And(sign_is_the_antidiagonal(-1), sign_is_the_antidiagonal(1))
    return prove(both, [x1 + x2 > 0, eps < 1], covers="sign(0) = +-1")


@signs.repaired
def with_three_values_never_on_the_diagonal() -> Evidence:
    return prove(Not(sign_is_the_antidiagonal(0)), [Eq(x1, x2), x1 + x2 > 0, eps < 1], covers="sign(0) = 0 on the diagonal")


def error_is_the_diagonal(zero: int):
    return And(*(Eq(g - sgn(g, 0), eps) for g in subgradient(x1, x2, zero)))


ignored = Claim(
    "counterexample-2-error",
    "Remark 2; Figure 1",
    "the sign operator consistently ignores e = epsilon (1, 1): g(x) - sign(g(x)) = e wherever x1 + x2 > 0",
    repaired="it holds for x1 != x2 under every sign(0), and for x1 = x2 if sign(0) = +-1 in the subgradient",
    expect="refuted",
)


@ignored.printed
def on_the_diagonal_the_error_is_another() -> Evidence:
    return prove(error_is_the_diagonal(0), [x1 + x2 > 0, eps < 1], covers="sign(0) = 0")


@ignored.repaired
def the_error_off_the_diagonal() -> Evidence:
    everywhere = [x1 + x2 > 0, eps < 1, Or(x1 > x2, x1 < x2)]
    return prove(And(*(error_is_the_diagonal(z) for z in CONVENTIONS)), everywhere, covers="off the diagonal")


@ignored.repaired
def the_error_with_a_two_valued_sign() -> Evidence:
    both = And(error_is_the_diagonal(-1), error_is_the_diagonal(1))
    return prove(both, [x1 + x2 > 0, eps < 1], covers="sign(0) = +-1")


# -- the invariant and its consequence -----------------------------------------------------------------------------------


def invariant(zero: int) -> Evidence:
    """If u > 0 then u stays: the induction step for any step-size sequence, adaptive ones included."""
    a, b = step(zero)
    return prove(Eq(a + b, x1 + x2), [x1 + x2 > 0, eps < 1], covers=f"zero={zero}")


line = Claim(
    "counterexample-2-line",
    SECTION,
    "started at (1, 1), the iterates of SIGNSGD lie along the line x1 + x2 = 2",
    repaired="they do for any steps if sign(0) = +-1 in the subgradient; if sign(0) = 0 the first step gamma > 0 leaves it",
    expect="refuted",
)


@line.printed
def the_first_step_leaves_the_line_if_sign_of_zero_is_zero() -> Evidence:
    a, b = step(0)
    at_start = {x1: 1, x2: 1}
    return prove(Eq((a + b).subs(at_start), 2), [eps < 1], covers="sign(0) = 0, first step")


@line.repaired
def the_line_is_invariant_for_plus_one() -> Evidence:
    return invariant(1)


@line.repaired
def the_line_is_invariant_for_minus_one() -> Evidence:
    return invariant(-1)


@line.repaired
def it_is_left_for_zero() -> Evidence:
    a, b = step(0)
    at_start = {x1: 1, x2: 1}
    return prove(Eq((a + b).subs(at_start), 2 - 2 * gamma), [eps < 1], covers="zero=0")


stuck = Claim(
    "counterexample-2",
    SECTION,
    "from x_0 = (1, 1), for any step-size sequence: f(x_t) >= f(x_0)",
    repaired="from (1, 1) it is true for any step-size sequence if sign(0) = +-1 in the subgradient; if sign(0) = 0, then from "
    "any start with u_0 = x1 + x2 > 0: u_t = u_0 and f(x_t) >= epsilon u_0 > 0 as long as no earlier iterate met x1 = x2",
    expect="refuted",
)


@stuck.printed
def numpys_sign_is_refuted() -> Evidence:
    return first_below_start(0)


@stuck.printed
def plus_one_is_not() -> Evidence:
    return first_below_start(1)


@stuck.printed
def minus_one_is_not() -> Evidence:
    return first_below_start(-1)


@stuck.repaired
def on_the_line_the_start_is_the_minimum() -> Evidence:
    """f >= f(x_0) = 2 eps wherever x1 + x2 = 2; with the invariant below this is the statement."""
    return prove(f(x1, x2) >= 2 * eps, [Eq(x1 + x2, 2)], covers="consequence")


@stuck.repaired
def invariant_for_plus_one() -> Evidence:
    return invariant(1)


@stuck.repaired
def invariant_for_minus_one() -> Evidence:
    return invariant(-1)


@stuck.repaired
def invariant_for_zero_off_the_diagonal() -> Evidence:
    """u stays and v moves by 2 gamma s, s = +-1. So for steps fixed in advance v_t = 0 needs v_0 in the countable set of sums
    of +-2 gamma_i: almost no start."""
    a, b = step(0)
    moves = Eq(a - b, x1 - x2 - 2 * gamma * sgn(x1 - x2, 0))
    return prove(And(Eq(a + b, x1 + x2), moves), [x1 + x2 > 0, eps < 1, Or(x1 > x2, x1 < x2)], covers="zero=0")


@stuck.repaired
def off_the_diagonal_f_stays_above_its_part_in_u() -> Evidence:
    return prove(f(x1, x2) >= eps * (x1 + x2), [x1 + x2 > 0], covers="consequence for sign(0) = 0")


# -- tuning the step -----------------------------------------------------------------------------------------------------


@stuck.picture
def what_the_sign_forgets_and_where_it_leads(left, right):
    """Figure 1, and the paths from (1, 1)."""
    content.figure("fig1").draw([left], content.figure("fig1").compute())
    script = content.figure("trajectories")
    data = script.compute()
    script.draw_one(right, data, "nonsmooth")
    right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return (
        "Left (Figure 1): for two points with x1 + x2 > 0, gradients g, their signs s (dashed) and what is lost, e = "
        f"epsilon (1, 1). Right: {data['nonsmooth_x'].shape[1] - 1} steps {data['nonsmooth_gamma0']}/sqrt(t+1) from x_0 = "
        "(1, 1), epsilon = 1/2, sign(0) = 1: signSGD, scaled or not, never leaves x1 + x2 = 2; SGD and both methods with "
        "error feedback come to x*."
    )


adaptive = Claim(
    "counterexample-2-adaptive",
    "Section 3, before Counterexample 2; Remark 2",
    "even with adaptive step-sizes (e.g. decreasing, or adaptively chosen optimal step-sizes) SIGNSGD does not converge",
    repaired="true for every rule, from every start with u_0 = x1 + x2 > 0, if sign(0) = +-1 in the subgradient: "
    "f(x_t) >= epsilon u_0 > 0; if sign(0) = 0, the optimal steps reach x* in at most two iterations from all these starts",
    expect="refuted",
)


@adaptive.printed
def the_best_first_step_ends_at_the_optimum() -> Evidence:
    path = exact_run(0, [Fraction(1)])
    hit = path[1] == (0, 0)
    detail = f"sign(0) = 0, gamma_0 = 1: x_0 = (1, 1), x_1 = ({path[1][0]}, {path[1][1]})"
    return Evidence("witness", "refuted" if hit else "supported", detail, {"x": list(path[1])})


@adaptive.repaired
def adaptive_rules_keep_u_for_plus_one() -> Evidence:
    return invariant(1)


@adaptive.repaired
def adaptive_rules_keep_u_for_minus_one() -> Evidence:
    return invariant(-1)


@adaptive.repaired
def f_is_bounded_below_by_its_part_in_u() -> Evidence:
    return prove(f(x1, x2) >= eps * (x1 + x2), [x1 + x2 > 0], covers="f >= epsilon u_0")


@adaptive.repaired
def these_steps_are_the_optimal_ones() -> Evidence:
    """f after a step of |v|/2 off the diagonal, of u/2 on it, is at most f after any other step."""
    a, b = step(0)
    after = f(a, b)
    off, on = Or(x1 > x2, x1 < x2), Eq(x1, x2)
    off_best = Implies(off, after >= after.subs(gamma, Abs(x1 - x2) / 2))
    on_best = Implies(on, after >= after.subs(gamma, (x1 + x2) / 2))
    return prove(And(off_best, on_best), [x1 + x2 > 0, eps < 1], covers="zero=0, optimal")


@adaptive.repaired
def two_optimal_steps_suffice_for_zero() -> Evidence:
    """gamma_0 = |v|/2 leads to the diagonal (nothing to do there if v = 0), gamma_1 = u/2 from there to 0."""
    a, b = step(0)
    to_diagonal = Implies(Or(x1 > x2, x1 < x2), Eq((a - b).subs(gamma, Abs(x1 - x2) / 2), 0))
    to_optimum = Implies(
        Eq(x1, x2),
        And(Eq(a.subs(gamma, (x1 + x2) / 2), 0), Eq(b.subs(gamma, (x1 + x2) / 2), 0)),
    )
    return prove(And(to_diagonal, to_optimum), [x1 + x2 > 0, eps < 1], covers="zero=0")


@adaptive.repaired
def the_line_search_is_stuck_in_simulation() -> Evidence:
    """Line search along the update from (2, 1/2), sign(0) = 1: f falls to epsilon u_0 and no further."""
    ratios = []
    for epsilon in (0.01, 0.5, 0.99):
        problem = NonSmooth2D(epsilon, zero=1)
        trace = simulate(problem, SignSGD(BestStep(problem)), 100, x0=np.array([2.0, 0.5]))
        ratios.append(float(trace["f"].min() / (2.5 * epsilon)))
    outcome = "supported" if min(ratios) >= 1 - 1e-12 else "undecided"  # f is a sum of two terms of size one: a few eps
    return Evidence("search", outcome, f"least f(x_t)/(epsilon u_0) = {min(ratios):.12g} with line search", covers="zero=1")


# -- the optimum, and error feedback ---------------------------------------------------------------------------------------

minimum = Claim("counterexample-2-minimum", SECTION, "f is convex with its one minimum at x* = (0, 0)")


@minimum.printed
def nothing_else_is_as_low() -> Evidence:
    elsewhere = Or(x1 > 0, x1 < 0, x2 > 0, x2 < 0)
    return prove(And(Eq(f(0, 0), 0), Implies(elsewhere, f(x1, x2) > 0)), [eps < 1], covers="minimum")


@minimum.printed
def the_subgradient_inequality_holds() -> Evidence:
    """f(y) >= f(x) + <g(x), y - x> for every sign(0) in [-1, 1]: convexity, and that g is a subgradient."""
    y1, y2 = Symbol("y1", real=True), Symbol("y2", real=True)
    at_y = f(y1, y2)
    holds = []
    for zero in CONVENTIONS:
        g1, g2 = subgradient(x1, x2, zero)
        holds.append(at_y >= f(x1, x2) + g1 * (y1 - x1) + g2 * (y2 - x2))
    return prove(And(*holds), [eps < 1], covers="convexity")


if __name__ == "__main__":
    main(__file__)
