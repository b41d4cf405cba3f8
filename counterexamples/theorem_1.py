r"""Theorem I is true for sign(0) = 0 in the update, and false in two dimensions for sign(0) = +-1; it needs a law of x_0.

Statement   f(x) = sum_i l_i(<a_i, x>) on R^d, d >= 2, has one optimum x*, and sign(a_i) = +-s for all i, s in {-1, 1}^d. Then
            signSGD with g = grad l_i(<a_i, x>), i uniform, does not converge to x* a.s. for any adaptive sequence of
            step-sizes, even with random initialization.
Source      Section 3, Theorem I; Appendix B.1
Idea        Let h = l_i'(<a_i, x>). No entry of a_i is 0, so sign(g) = sign(h) sign(a_i) = +-s if h != 0, and if h = 0 then
            g = 0 and sign(g) = zero (1, ..., 1). With sign(0) = 0 the iterates stay on x_0 + R s, and their distance to x* is
            at least r(x_0) = dist(x_0, x* + R s), for every draw and all real steps at once: the null set of bad x_0 does not
            depend on them. With sign(0) = +-1 they stay on x_0 + span(s, 1): for d >= 3, or s = +-(1, 1), that is again
            a null set, since two entries s_j = s_k exist and x_j - x_k never changes. For d = 2 and s = +-(1, -1) it is the
            whole plane, and a rule that steps to a zero of h, then along (1, 1), reaches x* from a half plane.
            The l_i need be neither convex, nor smooth, nor alike, and i need not be uniform: any h and any i will do.
            The induction step itself is in theorem_1_steps.py.
Conventions sign(0) in the update decides for d = 2 only. l_i' is any selection of subgradients where l_i has a kink.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import Abs, And, Eq, Implies, Ne, Not, Or, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

aligned = content.load(Path(__file__).with_name("_aligned.py"))
THEOREM, PROOF = "Section 3, Theorem I", "Appendix B.1, proof of Theorem I"
xj, xk, h, gamma = aligned.xj, aligned.xk, aligned.h, aligned.gamma
mj, mk = aligned.mj, aligned.mk


def to_the_optimum(zero: int) -> Callable[[int, exact.Vector, exact.Vector], Fraction]:
    """The adaptive rule for ROWS: along s to the diagonal if the sign leads there, from it to 0; otherwise wait."""

    def rule(t: int, x: exact.Vector, g: exact.Vector) -> Fraction:
        u, v = x[0] + x[1], x[0] - x[1]
        if any(g):
            return abs(v) / 2 if v * g[0] > 0 else Fraction(0)
        return abs(u) / 2 if v == 0 and u * zero > 0 else Fraction(0)

    return rule


def reaching(zero: int, x0: exact.Vector, T: int = 8) -> tuple[Fraction, list[exact.Vector]]:
    """The share of all 2^T draws after which x_T = x* = 0, and the shortest such path."""
    hits, best = 0, []
    for picks in product((0, 1), repeat=T):
        path = exact.sign_sgd(aligned.on_rows(picks), x0, to_the_optimum(zero), zero=zero, T=T)
        if not any(path[-1]):
            hits += 1
            short = path[: path.index(path[-1]) + 1]
            best = short if not best or len(short) < len(best) else best
    return Fraction(hits, 2**T), best


def hit(zero: int) -> Evidence:
    """Exact runs on ROWS from (3, 1), or (-3, -1) for sign(0) = -1: is x* reached although x_0 is not on x* + R s?"""
    x0 = (Fraction(3 * (zero or 1)), Fraction(zero or 1))
    share, path = reaching(zero, x0)
    covers = f"zero={zero}"
    if not path or not aligned.is_member(aligned.ROWS):
        return Evidence(
            "exact", "supported", f"sign(0) = {zero}: x* is not reached by any of 256 draws on a member", covers=covers
        )
    route = ", ".join(f"({x[0]}, {x[1]})" for x in path)
    detail = (
        f"sign(0) = {zero}, d = 2, squared losses, a = (1, -1), (2, -1), x* = 0: x_t = {route}; "
        f"{share} of all draws are at x* by t = 8"
    )
    return Evidence("witness", "refuted", detail, {"path": path, "share": share, "zero": zero}, covers=covers)


necessary = Claim(
    "theorem-1-necessary",
    PROOF,
    "SIGNSGD can converge only if there exists gamma* with x_0 = x* + gamma* s [under every sign(0) in the update]",
    repaired="it is so for sign(0) = 0, where ||x_t - x*|| >= dist(x_0, x* + R s) for all t, with equality possible; for "
    "sign(0) = +-1 it can converge only if x_0 is in x* + span(s, 1)",
    expect="refuted",
)


@necessary.printed
def plus_one_converges_from_elsewhere() -> Evidence:
    return hit(1)


@necessary.printed
def minus_one_converges_from_elsewhere() -> Evidence:
    return hit(-1)


@necessary.printed
def zero_was_not_seen_to() -> Evidence:
    return hit(0)


@necessary.repaired
def the_distance_to_the_line_never_changes() -> Evidence:
    """With y = x - x*, N = ||y||^2, p = <s, y>, ||s||^2 = d: dist(y, R s)^2 = N - p^2/d is the same for y + c s, and <= N.

    The step from x_t to x_{t+1} is of that form (theorem-1-line), so ||x_t - x*|| >= dist(x_t, x* + R s) = r(x_0)."""
    N, p, c = symbols("N p c", real=True)
    d = Symbol("d", integer=True, positive=True)
    same = Eq((N + 2 * c * p + c**2 * d) - (p + c * d) ** 2 / d, N - p**2 / d)
    return prove(And(same, N - p**2 / d <= N), covers="distance")


@necessary.repaired
def the_step_for_zero_is_along_s() -> Evidence:
    return prove(aligned.on_the_line(0), covers="sign(0) = 0")


@necessary.repaired
def nothing_orthogonal_to_the_span_changes() -> Evidence:
    """For w orthogonal to s and to (1, ..., 1), <w, x> is what it was; so x* must have the value of x_0."""
    wx, ws, w1, alpha, beta = symbols("w_x w_s w_1 alpha beta", real=True)
    stays = Eq(wx - alpha * ws - beta * w1, wx)
    return prove(stays, [Eq(ws, 0), Eq(w1, 0)], covers="span")


@necessary.repaired
def the_step_is_in_the_span() -> Evidence:
    return prove(And(*(aligned.step_form(zero) for zero in aligned.CONVENTIONS)), covers="sign(0) = +-1")


@necessary.repaired
def the_bound_is_attained() -> Evidence:
    """ROWS from (3, 1): dist(x_0, R (1, -1))^2 = (3+1)^2/2 = 8, and x_1 = (2, 2)."""
    path = exact.sign_sgd(aligned.on_rows((0,)), (3, 1), [1])
    square = sum(q * q for q in path[1])
    detail = f"||x_1 - x*||^2 = {square}, r^2 = 8"
    return Evidence("exact", "proved" if square == 8 else "undecided", detail, covers="equality")


# -- the exceptional set ---------------------------------------------------------------------------------------------------

measure = Claim("theorem-1-measure", PROOF, "the measure of {x* + gamma* s} in R^d for d >= 2 is 0")


@measure.printed
def small_cubes_cover_a_piece_of_it() -> Evidence:
    """N cubes of side 2r, r = R/N, around the points with gamma* = -R+r, -R+3r, ..., R-r cover the piece |gamma*| <= R."""
    c, r = Symbol("c", real=True), Symbol("r", positive=True)
    near = And(*(Implies(Abs(gamma - c) <= r, Abs((xj + gamma * s) - (xj + c * s)) <= r) for s in (1, -1)))
    return aligned.worded("cubes of side 2r cover the line", prove(near, covers="cover"))


@measure.printed
def their_volume_vanishes() -> Evidence:
    """N cubes of side 2R/N: N (2R/N)^d = (2R)^d v_d, v_d = N^(1-d); v_2 = 1/N and v_{d+1} = v_d/N, so that v_d <= 1/N for all
    d >= 2 by induction. Countably many such pieces make up the line."""
    d = Symbol("d", integer=True, positive=True)
    N, R, v = symbols("N R v", positive=True)
    share = N * (2 * R / N) ** d / (2 * R) ** d
    follows = (share.subs(d, d + 1) / share).simplify()
    facts = And(Eq(share.subs(d, 2).simplify(), 1 / N), Implies(v <= 1 / N, v * follows <= 1 / N))
    return aligned.worded("their volume (2R)^d N^(1-d) goes to 0", prove(facts, [N >= 1], covers="volume"))


exception = Claim(
    "theorem-1-exception",
    "(ours: is the condition of B.1 sufficient?)",
    "from every x_0 = x* + gamma* s SIGNSGD can converge to x* with steps >= 0",
    repaired="it can if f is convex: the step |gamma*|, taken at the first i with sign(g) = sign(gamma*) s, reaches x*, with "
    "probability 1; without convexity it may be impossible for steps >= 0 (a step gamma* < 0 of the other sign may do it)",
    expect="refuted",
)


def away_for_ever() -> Evidence:
    """ROWS, from (2, -2) = x* + 2 s: every sign points away from x* for both i, however far x goes along s."""
    c = Symbol("c", positive=True)
    outward = []
    for a in aligned.ROWS:
        along = c * (a[0] - a[1])  # <a, c s>, at least 2c
        g = Symbol("g", real=True)  # the first entry of the gradient; its sign is all that counts
        outward += [aligned.rational_bump(along) * a[0] < 0, Implies(g < 0, c - gamma * aligned.sgn(g, 0) >= c)]
    found = prove(And(*outward), [c >= 2, gamma >= 0])
    outcome = "refuted" if found.outcome == "proved" else "supported"
    detail = (
        "l = r^2/(1+r^4), a = (1, -1), (2, -1), x_0 = (2, -2): -g_1 > 0 > -g_2 at all (c, -c), c >= 2, so c never decreases "
        "for steps >= 0 (gamma = -2 would lead to x*)"
    )
    return replace(found, kind="witness", outcome=outcome, detail=detail)


@exception.printed
def a_loss_that_is_not_convex_pushes_away() -> Evidence:
    return away_for_ever()


@exception.repaired
def some_gradient_points_along_it() -> Evidence:
    """Convexity gives 0 < f(x_0) - f* <= <grad f(x_0), gamma* s> = sum_i q_i; then one q_i = h_i gamma* <a_i, s> > 0. By
    induction on n: if a sum with one more term is positive, that term is or the rest is."""
    rest, q = symbols("rest q", real=True)
    return prove(Implies(rest + q > 0, Or(rest > 0, q > 0)), covers="some i")


@exception.repaired
def one_step_of_that_length_ends_there() -> Evidence:
    """Coordinate j of x_0 - x* is c s_j; q_i = h c o_i (m_i1 + ... + m_id) > 0. In a wrong draw the step is 0."""
    c, total = Symbol("c", real=True), Symbol("M", positive=True)
    ends = []
    for o, s, _ in aligned.orientations():
        after = aligned.moved(xj, o, s, mj, 0).subs({xj: c * s, gamma: Abs(c)}, simultaneous=True)
        ends.append(Implies(h * c * o * total > 0, Eq(after, 0)))
    return prove(And(*ends), covers="one step")


@exception.repaired
def convexity_is_needed() -> Evidence:
    return replace(aligned.false_by_witness(away_for_ever()), covers="not convex")


# -- the theorem -----------------------------------------------------------------------------------------------------------

theorem = Claim(
    "theorem-1",
    THEOREM,
    "under i) and ii), d >= 2: SIGNSGD with batch-size 1 does not converge to x* a.s. for any adaptive sequence of "
    "step-sizes, even with random initialization [with a density; under every sign(0) in the update]",
    repaired="let the law of x_0 give measure 0 to every hyperplane (a hypothesis left out: one with a density does so, one on "
    "x* + R s does not), and let sign(0) = 0 in the update, or d >= 3, or s = +-(1, 1). Then a.s., for all draws and all real "
    "steps at once, ||x_t - x*|| >= r(x_0) > 0 for all t. For d = 2, s = +-(1, -1), sign(0) = +-1 there is a member that an "
    "adaptive rule solves from a half plane",
    expect="refuted",
)


@theorem.printed
def plus_one_reaches_the_optimum_from_a_half_plane() -> Evidence:
    return hit(1)


@theorem.printed
def minus_one_reaches_the_optimum_from_a_half_plane() -> Evidence:
    return hit(-1)


@theorem.picture
def two_conventions_from_one_start(ax):
    axis = np.linspace(-2, 4, 121)
    first, second = np.meshgrid(axis, axis)
    f = sum((float(a) * first + float(b) * second) ** 2 for a, b in aligned.ROWS)
    ax.contour(axis, axis, f, levels=f.max() * np.linspace(0.05, 1, 10) ** 2, colors="#DCDCDC", linewidths=0.6)
    x0, picks = (Fraction(3), Fraction(1)), (0, 1, 1, 0, 1, 0, 0, 1) * 5
    rules = {0: [Fraction(3, 2 * (t + 1)) for t in range(len(picks))], 1: to_the_optimum(1)}
    for zero, rule in rules.items():
        path = exact.sign_sgd(aligned.on_rows(picks), x0, rule, zero=zero, T=len(picks))
        look = {"color": "#D55E00", "linestyle": "--", "marker": "s"} if zero else {"color": "#000000", "marker": "o"}
        ax.plot(*np.array(path, dtype=float).T, **look, markersize=3, label=f"sign(0) = {zero}", zorder=3 + zero)
    ax.axline(tuple(map(float, x0)), slope=-1, color="#9A9A9A", linewidth=0.6)
    ax.plot(0, 0, "*", color="#000000", markersize=9, zorder=9)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", xlim=(-1, 4), ylim=(-1, 3.5), aspect="equal")
    ax.legend(loc="lower right")
    return (
        "The member with rows (1, -1), (2, -1), squared losses, from x_0 = (3, 1): with sign(0) = 0 and steps 3/(2 (t+1)) "
        "signSGD moves along x_0 + R s (grey line) and not to x* (star). With sign(0) = 1 a step ends where l_1' = 0, and "
        "the next leads to x*."
    )


@theorem.repaired
def a_law_on_the_line_will_not_do() -> Evidence:
    """The hypothesis left out. sign(0) = 0; x_0 uniform on {s, 2s, 3s}, gamma = |x_1|: random, and one step is enough for all
    starts and draws."""
    ends = set()
    for c, i in product((1, 2, 3), (0, 1)):
        path = exact.sign_sgd(aligned.on_rows((i,)), (c, -c), lambda t, x, g: abs(x[0]), T=1)
        ends.add(path[-1])
    solved = ends == {(0, 0)} and aligned.is_member(aligned.ROWS)
    detail = (
        "sign(0) = 0, a = (1, -1), (2, -1), x_0 = c (1, -1) with c = 1, 2, 3 at random, gamma = |x_1|: x_1 = x* in all cases"
    )
    found = Evidence("witness", "refuted" if solved else "supported", detail, {"ends": list(ends)})
    return aligned.false_by_witness(found).covering("hypothesis left out: law of x_0")


@theorem.repaired
def for_zero_the_distance_to_the_line_is_kept() -> Evidence:
    return replace(the_distance_to_the_line_never_changes(), covers="sign(0) = 0, r(x_0) = dist(x_0, x* + R s)")


@theorem.repaired
def for_zero_the_step_is_along_the_line() -> Evidence:
    """r(x_0) > 0 unless s_1 (x_0 - x*)_1 = s_2 (x_0 - x*)_2: a hyperplane."""
    return prove(aligned.on_the_line(0), covers="sign(0) = 0, step")


@theorem.repaired
def among_three_signs_two_are_equal() -> Evidence:
    r, s, t = symbols("r s t", real=True)
    two = [Eq(q**2, 1) for q in (r, s, t)]
    return prove(Or(Eq(r, s), Eq(s, t), Eq(r, t)), two, covers="d >= 3, two signs")


@theorem.repaired
def equal_signs_keep_their_difference() -> Evidence:
    """x_j - x_k is invariant for s_j = s_k, whatever sign(0) is."""
    kept = (
        aligned.moved(xj, o, s, mj, z) - aligned.moved(xk, o, s, mk, z)
        for o, s, _ in aligned.orientations()
        for z in aligned.CONVENTIONS
    )
    return prove(And(*(Eq(d, xj - xk) for d in kept)), covers="two equal signs, step")


@theorem.repaired
def their_difference_bounds_the_distance() -> Evidence:
    """r(x_0) = |(x_0 - x*)_j - (x_0 - x*)_k| / sqrt(2), zero on a hyperplane only; rest: the other squares of x - x*."""
    rest = Symbol("rest", nonnegative=True)
    return prove((xj - xk) ** 2 / 2 <= xj**2 + xk**2 + rest, covers="two equal signs, r(x_0)")


@theorem.repaired
def two_steps_with_the_first_row_end_at_the_optimum() -> Evidence:
    """The rule of `to_the_optimum` for every x_0 with zero u > 0, u = x1 + x2, v = x1 - x2: with i = 1 |v|/2 leads to v = 0,
    from there u/2 to 0. For i = 2 it waits (on the diagonal g_2 != 0) or does the same, and at 0 it stays, as u = 0. So
    P(x_t != x*) <= (t+1)/2^t."""
    u, v = symbols("u v", real=True)
    ends = []
    for zero in (-1, 1):
        slope = aligned.sgn(2 * v, zero)  # of g_1 = 2 v (1, -1)
        a, b = (u + v) / 2 - Abs(v) / 2 * slope, (u - v) / 2 - Abs(v) / 2 * aligned.sgn(-2 * v, zero)
        ends.append(Implies(Ne(v, 0), And(Eq(a, u / 2), Eq(b, u / 2))))
        ends.append(Implies(u * zero > 0, Eq(u / 2 - Abs(u) / 2 * aligned.sgn(0 * u, zero), 0)))
        ends.append(Implies(u * zero > 0, Not(Eq((aligned.ROWS[1][0] + aligned.ROWS[1][1]) * u, 0))))
    return prove(And(*ends), covers="d = 2, sign(0) = +-1")


@theorem.repaired
def exact_runs_reach_it_as_often_as_promised(T: int = 8) -> Evidence:
    bound, shares = 1 - Fraction(T + 1, 2**T), []
    for zero, (p, q) in product((-1, 1), ((3, 1), (5, -2), (-1, 4), (7, 7))):
        shares.append(reaching(zero, (Fraction(zero * p, 3), Fraction(zero * q, 3)), T)[0])
    good = min(shares) >= bound
    detail = f"least share of all draws at x* by t = {T}: {min(shares)}; promised {bound}"
    return Evidence("exact", "proved" if good else "refuted", detail, {"shares": shares}, covers="witness")


if __name__ == "__main__":
    main(__file__)
