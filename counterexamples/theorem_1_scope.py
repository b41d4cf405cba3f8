r"""How far Theorem I reaches: to every d >= 2, not to d = 1 or a full batch; the first half of contribution 1 is false.

Statement   "We can generalize the above counter-example to arbitrary dimensions and loss functions." "We construct a simple
            convex non-smooth counterexample where SIGNSGD cannot converge, even with the full batch (sub)-gradient and
            tuning the step-size. Another counterexample for a wide class of smooth convex functions proves that SIGNSGD with
            stochastic gradients cannot converge with batch-size one."
Source      Section 1, contribution 1; Section 3, Counterexample 2, Theorem I and the sentence before it
Idea        d = 1: the line x_0 + R s is the whole space; whether x* is reached depends on the loss. d >= 2: the rows
            s o (1 + e_i), i = 1, ..., d, are a basis of R^d, so every loss with its one minimum at 0 gives a member.
            Full batch: sign(grad f) is not bound to +-s, and the step ||g||_1/(d L) converges linearly on every smooth,
            strongly convex member. Convex f: outside a ball of radius r around x*, f - f* is at least its minimum on the
            sphere, so r(x_0) > 0 of Theorem I keeps f away from f*, too.
Conventions sign(0) inside the subgradient for the non-smooth example, in the update for the smooth class.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import Abs, And, Eq, Implies, Ne, Or, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.problems import SignAligned

aligned = content.load(Path(__file__).with_name("_aligned.py"))
theorem_1 = content.load(Path(__file__).with_name("theorem_1.py"))
x1, x2, gamma = symbols("x1 x2 gamma", real=True)
eps = Symbol("epsilon", positive=True)

# -- dimensions and losses -------------------------------------------------------------------------------------------------

general = Claim(
    "theorem-1-generalization",
    "Section 3, the sentence before Theorem I",
    "We can generalize the above counter-example to arbitrary dimensions and loss functions [as Theorem I, sign(0) = 0: "
    "Counterexample 3 is a member, and there are members in every d >= 2 with every loss l whose one minimum is at 0, "
    "l_i(r) = l(r - <a_i, x*>)]",
)
line_alone = Claim(
    "theorem-1-one-dimension",
    "(ours: is d >= 2 needed?) Section 3, Theorem I",
    "in d = 1, too, i) and ii) keep SIGNSGD from x*",
    repaired="in d = 1 the step |x - x*| reaches x* at once if r l_i'(r) > 0 for all r != 0, r = a_i (x - x*) (as for "
    "convex l_i with their one minimum at x*); else it may not be reached: l(r) = r^2/(1+r^4), a = 1, x_0 = 2, all steps >= 0",
    expect="refuted",
)


def one_dimensional_runs() -> Evidence:
    """d = 1, rows 1 and -2, x* = 0: gamma = |x| from several starts, under every draw and every loss."""
    starts = [Fraction(p, 3) for p in (-7, -1, 2, 5)]
    ends = []
    for (name, slope), x0, i in product(aligned.SLOPES.items(), starts, (0, 1)):
        if name != "double well":  # its minimum is not at 0
            g = aligned.fractional(((Fraction(1),), (Fraction(-2),)), slope, (i,))
            ends.append(exact.sign_sgd(g, (x0,), lambda t, x, g: abs(x[0]), T=1)[-1][0])
    solved = not any(ends)
    detail = f"d = 1, a = 1, -2, gamma = |x - x*|: x_1 = x* in {len(ends)} exact runs, all draws, four losses"
    return Evidence("witness", "refuted" if solved else "supported", detail, {"ends": ends}, covers="d = 1")


@line_alone.printed
def one_dimension_is_solved_at_once() -> Evidence:
    return one_dimensional_runs()


@line_alone.repaired
def those_runs_are_of_these_losses() -> Evidence:
    return aligned.slopes_are_derivatives().covering("d = 1")


@line_alone.repaired
def in_one_dimension_the_sign_points_to_the_optimum() -> Evidence:
    """l' has the sign of r = a (x - x*), so sign(l'(r) a) = sign(x - x*); x* = 0."""
    h, m = Symbol("h", real=True), Symbol("m", positive=True)
    ends = []
    for o in (1, -1):
        a = aligned.entry(o, 1, m)
        same_sign = Or(And(h > 0, a * x1 > 0), And(h < 0, a * x1 < 0))
        ends.append(Implies(same_sign, Eq(x1 - Abs(x1) * aligned.sgn(h * a, 0), 0)))
    return prove(And(*ends), covers="d = 1")


@line_alone.repaired
def a_bump_pushes_away() -> Evidence:
    """l has its one minimum at 0, but l' < 0 for r > 1: from x >= 2 the next x is x + gamma >= 2, and 4 for the step |x|."""
    x, g, step = Symbol("x", positive=True), Symbol("g", real=True), Symbol("gamma", nonnegative=True)
    loss = x1**2 / (1 + x1**4)
    least = And(Implies(Ne(x1, 0), loss > 0), Eq((loss.diff(x1) - aligned.rational_bump(x1)).simplify(), 0))
    away = And(aligned.rational_bump(x) < 0, Implies(g < 0, x - step * aligned.sgn(g, 0) >= x))
    return prove(And(least, away), [x >= 2], covers="the condition is needed")


@general.printed
def a_sum_of_such_losses_has_one_minimum() -> Evidence:
    """f - f(x*) = sum of q_i >= 0, q_i = l(<a_i, x - x*>) - l(0), is 0 only if all q_i are; by induction on their number."""
    rest, q = symbols("rest q", nonnegative=True)
    return prove(Implies(Eq(rest + q, 0), And(Eq(rest, 0), Eq(q, 0))), covers="every such loss")


@general.printed
def the_iterates_stay_on_the_line() -> Evidence:
    return prove(aligned.on_the_line(0), covers="on x_0 + R s")


@general.printed
def the_rows_are_a_basis() -> Evidence:
    """Row i is s o (1 + e_i). If all <a_i, z> = 0, then with y = s o z and S = sum y: y_i = -S for all i, so S = -d S."""
    S, y, d = Symbol("S", real=True), Symbol("y", real=True), Symbol("d", positive=True)
    return prove(And(Implies(Eq(S, -d * S), Eq(S, 0)), Implies(And(Eq(S, 0), Eq(y + S, 0)), Eq(y, 0))), covers="d >= 2")


@general.printed
def four_losses_have_their_one_minimum_at_zero() -> Evidence:
    """Then f(x) = sum_i l(<a_i, x - x*>) is least if and only if all <a_i, x - x*> = 0: at x* alone. E = exp(r) stands for r
    in log(1+E) + log(1+1/E) - 2 log 2 = log((1+E)^2/(4E)), which is positive if and only if (1+E)^2 > 4E."""
    r, E = Symbol("r", real=True), Symbol("E", positive=True)
    losses = [aligned.LOSSES[name].subs(aligned.r, r) for name in ("squared", "huber", "absolute")]
    least = And(*(Implies(Ne(r, 0), loss > 0) for loss in losses))
    return prove(And(least, Implies(Ne(E, 1), (1 + E) ** 2 > 4 * E)), covers="losses")


@general.printed
def the_engine_certifies_them() -> Evidence:
    """SignAligned on these rows: d = 2, 3, 10, 100, four losses, a rank-d certificate each."""
    certified = []
    for d, loss in product((2, 3, 10, 100), ("squared", "logistic", "huber", "absolute")):
        s = np.where(np.arange(d) % 3 == 1, -1.0, 1.0)
        certified.append(SignAligned(s * (1 + np.eye(d)), loss, x_star=np.ones(d)).unique)
    outcome = "supported" if all(certified) else "refuted"
    detail = f"unique optimum certified for {sum(certified)} of {len(certified)} members, d = 2 to 100"
    return Evidence("search", outcome, detail, covers="d >= 2")


@general.printed
def counterexample_3_is_a_member() -> Evidence:
    """(1 + eps, -1 + eps) has the signs (1, -1), (-1 + eps, 1 + eps) the opposite ones, and they are a basis."""
    signs = And(1 + eps > 0, eps - 1 < 0)
    independent = Ne((1 + eps) ** 2 - (eps - 1) ** 2, 0)
    return prove(And(signs, independent), [eps < 1], covers="Counterexample 3")


# -- the batch -------------------------------------------------------------------------------------------------------------

batch = Claim(
    "theorem-1-batch",
    "(ours: is batch-size 1 needed?) Section 3, Theorem I",
    "batch-size 1 is needed: with the full batch, signSGD with an adaptive step converges to x*, linearly, on every smooth and "
    "strongly convex member, under every sign(0)",
)


@batch.printed
def the_step_of_the_one_norm_contracts() -> Evidence:
    """G = ||g||_1, g = grad f. <g, sign(g)> = G and ||sign(g)||^2 <= d under every sign(0), so L-smoothness gives
    f_1 <= f_0 - gamma G + L gamma^2 d/2; G^2 >= ||g||^2 >= 2 mu (f_0 - f*). With gamma = G/(d L):
    f_1 - f* <= (1 - mu/(d L)) (f_0 - f*). Written with f* = 0, D = d L, mu <= L <= D."""
    f0, f1 = symbols("f0 f1", nonnegative=True)
    G, D, mu = symbols("G D mu", positive=True)
    step = G / D
    hypotheses = [f1 <= f0 - step * G + D * step**2 / 2, 2 * mu * f0 <= G**2, mu <= D]
    return prove(f1 <= (1 - mu / D) * f0, hypotheses, covers="rate")


@batch.printed
def the_sign_has_the_two_properties() -> Evidence:
    """v sign(v) = |v| and sign(v)^2 <= 1, coordinate by coordinate, for every sign(0)."""
    v = Symbol("v", real=True)
    signs = [aligned.sgn(v, zero) for zero in aligned.CONVENTIONS]
    return prove(And(*(And(Eq(v * q, Abs(v)), q**2 <= 1) for q in signs)), covers="sign(0)")


def full_batch(t: int, x: exact.Vector) -> exact.Vector:
    """grad f of Counterexample 3, epsilon = 1/2: f = 2 v^2 + u^2/2, u = x1 + x2, v = x1 - x2."""
    u, v = x[0] + x[1], x[0] - x[1]
    return (4 * v + u, -4 * v + u)


@batch.printed
def counterexample_3_itself_is_solved_exactly() -> Evidence:
    """From (2, 1), steps 1/2 and 3/2: first along (1, -1), then along (1, 1). No gradient on the way has a zero entry."""
    path = exact.sign_sgd(full_batch, (2, 1), [Fraction(1, 2), Fraction(3, 2)])
    asked = any(q == 0 for t, x in enumerate(path[:-1]) for q in full_batch(t, x))
    solved = path[-1] == (0, 0) and not asked
    detail = "Counterexample 3, epsilon = 1/2, full batch: " + ", ".join(f"({x[0]}, {x[1]})" for x in path)
    return Evidence("exact", "proved" if solved else "refuted", detail, {"path": path}, covers="Counterexample 3")


# -- contribution 1 --------------------------------------------------------------------------------------------------------

nonsmooth = Claim(
    "theorem-1-contribution-nonsmooth",
    "Section 1, contribution 1 (Counterexample 2)",
    "a simple convex non-smooth counterexample where SIGNSGD cannot converge, even with the full batch (sub)-gradient and "
    "tuning the step-size [Counterexample 2, under every sign(0) in the subgradient]",
    repaired="on f = epsilon |x1 + x2| + |x1 - x2|, 0 < epsilon < 1, with sign(0) = +-1 in the subgradient: from every start "
    "with u_0 = x1 + x2 != 0 and for all real steps, f(x_t) - f* >= epsilon |u_0|; with sign(0) = 0 two tuned steps solve it",
    expect="refuted",
)


def subgradient(a, b, zero: int):
    """Of epsilon |a + b| + |a - b|."""
    u, v = aligned.sgn(a + b, zero), aligned.sgn(a - b, zero)
    return eps * u + v, eps * u - v


def after(zero: int):
    """One signSGD step from (x1, x2); no entry of g is 0, so sign(0) in the update is not asked where u != 0, zero != 0."""
    return tuple(x - gamma * aligned.sgn(g, 0) for x, g in zip((x1, x2), subgradient(x1, x2, zero), strict=True))


def from_the_diagonal(zero: int) -> Evidence:
    """From (1, 1) with gamma = 1: is that x* = 0?"""
    there = [q.subs({x1: 1, x2: 1, gamma: 1}) for q in after(zero)]
    found = prove(Or(Ne(there[0], 0), Ne(there[1], 0)), [eps < 1], covers=f"zero={zero}")
    outcome = "refuted" if found.outcome == "refuted" else "supported"  # one start and one step support, not more
    return replace(found, kind="witness", outcome=outcome, detail=f"sign(0) = {zero}, x_0 = (1, 1), gamma = 1: {found.detail}")


@nonsmooth.printed
def zero_is_solved_in_one_step() -> Evidence:
    return from_the_diagonal(0)


@nonsmooth.printed
def plus_one_is_not() -> Evidence:
    return from_the_diagonal(1)


@nonsmooth.printed
def minus_one_is_not() -> Evidence:
    return from_the_diagonal(-1)


@nonsmooth.repaired
def u_never_changes() -> Evidence:
    both = And(*(Eq(sum(after(zero)), x1 + x2) for zero in (-1, 1)))
    return prove(both, [eps < 1, Ne(x1 + x2, 0)], covers="u_t = u_0")


@nonsmooth.repaired
def f_is_at_least_its_part_in_u() -> Evidence:
    """And f* = 0 at the origin."""
    return prove(eps * Abs(x1 + x2) + Abs(x1 - x2) >= eps * Abs(x1 + x2), covers="f >= epsilon |u_0|")


@nonsmooth.repaired
def two_tuned_steps_solve_it_for_zero() -> Evidence:
    """|v|/2 leads to v = 0 with u as before (no step is needed if v = 0 already); from there |u|/2 leads to 0."""
    a, b = after(0)
    u, v = x1 + x2, x1 - x2
    first = Implies(Ne(v, 0), And(Eq((a - b).subs(gamma, Abs(v) / 2), 0), Eq(a + b, u)))
    second = Implies(Eq(v, 0), And(*(Eq(q.subs(gamma, Abs(u) / 2), 0) for q in (a, b))))
    return prove(And(first, second), [eps < 1, Ne(u, 0)], covers="sign(0) = 0")


smooth = Claim(
    "theorem-1-contribution-smooth",
    "Section 1, contribution 1 (Theorem I)",
    "Another counterexample for a wide class of smooth convex functions proves that SIGNSGD with stochastic gradients cannot "
    "converge with batch-size one [there is such a class in every d >= 2, whatever sign(0) is, for almost every x_0]",
    repaired="for convex f under i), ii) and the conditions of theorem-1 on sign(0), d, s: a.s., for all draws and real steps, "
    "f(x_t) - f* >= min {f(z) - f*: ||z - x*|| = r(x_0)} > 0; such smooth f exist in every d >= 2. Without convexity "
    "f(x_t) -> f* is possible while x_t stays away from x*",
)


@smooth.repaired
def the_iterates_keep_their_distance() -> Evidence:
    return replace(theorem_1.the_distance_to_the_line_never_changes(), covers="r(x_0), sign(0) = 0")


@smooth.repaired
def along_the_line_for_zero() -> Evidence:
    return prove(aligned.on_the_line(0), covers="step, sign(0) = 0")


@smooth.printed
@smooth.repaired
def two_equal_signs_keep_it_for_every_convention() -> Evidence:
    return replace(theorem_1.equal_signs_keep_their_difference(), covers="step, two equal signs")


@smooth.printed
@smooth.repaired
def their_difference_is_a_distance() -> Evidence:
    return replace(theorem_1.their_difference_bounds_the_distance(), covers="r(x_0), two equal signs")


@smooth.printed
@smooth.repaired
def convexity_turns_distance_into_a_gap() -> Evidence:
    """z = x* + theta (x - x*), theta = r/||x - x*|| <= 1, is on the sphere: f(z) - f* <= theta (f(x) - f*) <= f(x) - f*.
    The sphere is compact and f - f* positive on it, as x* is the only optimum."""
    gap, at_z, theta = symbols("gap at_z theta", nonnegative=True)
    return prove(gap >= at_z, [at_z <= theta * gap, theta <= 1], covers="f")


@smooth.printed
@smooth.repaired
def there_are_such_functions() -> Evidence:
    """Squared losses on the rows s o (1 + e_i): a basis, so f is a positive definite quadratic. For s with two equal signs,
    (1, 1) in d = 2, no sign(0) leads to x*."""
    return replace(the_rows_are_a_basis(), covers="class")


@smooth.repaired
def a_loss_that_is_not_convex_lets_f_converge() -> Evidence:
    """l = r^2/(1+r^4) <= 1/r^2, f* = 0 at x* = 0 alone; both draws push (c + 1, -c + 1), c >= 2, away along s:
    gamma = 1 gives c + t after t steps, <a_i, x_t> >= 2 (c + t), f(x_t) <= 1/(c + t)^2 -> 0."""
    c, r = Symbol("c", positive=True), Symbol("r", positive=True)
    inner = [a[0] * (c + 1) + a[1] * (1 - c) for a in aligned.ROWS]
    pushed = And(*(And(p >= 2 * c, aligned.rational_bump(p) * a[0] < 0) for p, a in zip(inner, aligned.ROWS, strict=True)))
    return prove(And(pushed, r**2 / (1 + r**4) <= 1 / r**2), [c >= 2], covers="not convex")


if __name__ == "__main__":
    main(__file__)
