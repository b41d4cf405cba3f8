r"""Assumption B is a Lipschitz gradient with the same L; half of it, the upper inequality, is so for convex f only.

Statement   |f(y) - f(x) - <grad f(x), y - x>| <= L/2 ||y - x||^2 for all x, y (Assumption B), used in B.3 through "an alternate
            definition of smoothness": ||grad f(x) - grad f(y)|| <= L ||x - y||.
Source      Section 4, Assumption B; B.3
Idea        Lipschitz => B: f(x + h) - f(x) - <grad f(x), h> is the integral over s in [0, 1] of <grad f(x + s h) - grad f(x),
            h>, at most L s ||h||^2. B => Lipschitz with the same L and no integral: with h = y - x, v = grad f(y) - grad f(x)
            and z, w = (x + y)/2 -+ v/(2L), add four of the inequalities of B: from y up to z, from x down to z, from x up to
            w, from y down to w. All values of f cancel; what is left is (L/2) ||h||^2 - ||v||^2/(2L) >= 0.
Conventions Euclidean norm; f differentiable on R^d. z and w may lie anywhere: B is needed on R^d, as it is printed.
"""

from __future__ import annotations

from sympy import Abs, And, Eq, Implies, Integer, Integral, Not, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

SECTION = "Section 4, Assumption B"
L = Symbol("L", positive=True)
x, y = symbols("x y", real=True)  # one coordinate of two points
gx, gy = symbols("g_x g_y", real=True)  # that of their gradients
fx, fy, fz, fw = symbols("f_x f_y f_z f_w", real=True)


def upper(fa, ga, a, fb, b):
    """What the upper inequality from a to b leaves: f(a) + <g(a), b - a> + L/2 |b - a|^2 - f(b) >= 0."""
    return fa + ga * (b - a) + L / 2 * (b - a) ** 2 - fb


def lower(fa, ga, a, fb, b):
    """And the lower one: f(b) - f(a) - <g(a), b - a> + L/2 |b - a|^2 >= 0."""
    return fb - fa - ga * (b - a) + L / 2 * (b - a) ** 2


def probes():
    """The points z and w."""
    return (x + y) / 2 - (gy - gx) / (2 * L), (x + y) / 2 + (gy - gx) / (2 * L)


def four_inequalities():
    z, w = probes()
    up, down = upper(fy, gy, y, fz, z) + upper(fx, gx, x, fw, w), lower(fx, gx, x, fz, z) + lower(fy, gy, y, fw, w)
    return up + down


# -- the equivalence -----------------------------------------------------------------------------------------------------------

gradient = Claim(
    "assumption-b-gradient",
    "B.3 (an alternate definition of smoothness)",
    "Assumption B is equivalent to ||grad f(x) - grad f(y)|| <= L ||x - y|| for all x, y, with the same L",
)


@gradient.printed
def four_inequalities_bound_the_gradient() -> Evidence:
    """Their sum in one coordinate; all coordinates sum to (L^2 ||h||^2 - ||v||^2)/(2L) >= 0. The values of f cancel."""
    remainder = (L**2 * (y - x) ** 2 - (gy - gx) ** 2) / (2 * L)
    return prove(Eq((four_inequalities() - remainder).expand(), 0), kind="identity", covers="B => Lipschitz")


@gradient.printed
def and_the_sum_decides() -> Evidence:
    """H = ||h||^2, V = ||v||^2: a remainder >= 0 is ||v|| <= L ||h||."""
    h, v = symbols("h v", nonnegative=True)
    return prove(Implies((L**2 * h**2 - v**2) / (2 * L) >= 0, v <= L * h), covers="B => Lipschitz, norms")


@gradient.printed
def without_curvature() -> Evidence:
    """L = 0: then B holds with every l > 0, so v <= l h for all of them; l = v/(2h) gives v = 0."""
    h, v = symbols("h v", positive=True)
    return prove(v > v / (2 * h) * h, covers="L = 0")


@gradient.printed
def integrating_a_lipschitz_gradient() -> Evidence:
    """|<grad f(x + s h) - grad f(x), h>| <= L s ||h||^2 (Cauchy-Schwarz), and L s ||h||^2 over [0, 1] gives L/2 ||h||^2."""
    s, h, c, v = symbols("s h c v", nonnegative=True)
    integral = Integral(L * s * h**2, (s, 0, 1)).doit()
    pointwise = Implies(And(c <= v * h, v <= L * s * h), c <= L * s * h**2)
    return prove(And(Eq(integral, L / 2 * h**2), pointwise), covers="Lipschitz => B")


@gradient.printed
def quadratics_have_the_same_constant() -> Evidence:
    """f = a x^2/2: B is |a|/2 h^2 <= L/2 h^2, Lipschitz is |a h| <= L |h|; both iff |a| <= L."""
    a, h = Symbol("a", real=True), Symbol("h", positive=True)
    b_holds, lipschitz = Abs(a * h**2 / 2) <= L / 2 * h**2, Abs(a * h) <= L * h
    same = Eq(a * (x + h) ** 2 / 2 - a * x**2 / 2 - a * x * h, a * h**2 / 2)
    both = And(Implies(b_holds, Abs(a) <= L), Implies(Abs(a) <= L, And(b_holds, lipschitz)), Implies(lipschitz, Abs(a) <= L))
    return prove(And(same, both), covers="Lipschitz => B")


# -- one side ------------------------------------------------------------------------------------------------------------------

half = Claim(
    "assumption-b-one-side",
    "Section 4, Assumption B; B.3, first display",
    "smoothness as the first line of B.3 uses it, f(y) <= f(x) + <grad f(x), y - x> + L/2 ||y - x||^2 for all x, y, is enough "
    "for ||grad f(x) - grad f(y)|| <= L ||x - y||",
    repaired="for convex f it is; for other f both sides of Assumption B are needed: -a x^2/2 has the upper inequality with "
    "every L > 0, and a gradient of constant a",
    expect="refuted",
)


def concave(a, h):
    """f = -a x^2/2: the upper inequality's slack over a step h, and the gradient's change."""
    return L / 2 * h**2 + a / 2 * h**2, a * h


@half.printed
def a_concave_function() -> Evidence:
    """f = -a x^2/2 with a > L: the slack is (L + a) h^2/2 > 0, the gradient changes by a |h|."""
    a, h = symbols("a h", positive=True)
    slack, change = concave(a, h)
    return prove(Implies(slack >= 0, change <= L * h))


@half.repaired
def convexity_is_the_lower_side() -> Evidence:
    """f(y) >= f(x) + <grad f(x), y - x> is more than the lower inequality asks; then the four inequalities apply."""
    value, slope, h = Symbol("f", real=True), Symbol("s", real=True), Symbol("h", nonnegative=True)
    return prove(Implies(value >= slope, value - slope >= -L / 2 * h**2), covers="convex")


@half.repaired
def and_both_sides_bound_the_gradient() -> Evidence:
    return four_inequalities_bound_the_gradient().covering("four inequalities")


@half.repaired
def and_their_sum_decides() -> Evidence:
    return and_the_sum_decides().covering("norms")


@half.repaired
def the_concave_one_in_numbers() -> Evidence:
    """f = -x^2 (a = 2), L = 1, from 0 to 2: slack 6 >= 0, but the gradient changes by 4 > 2."""
    slack, change = (v.subs(L, 1) for v in concave(Integer(2), Integer(2)))
    good = slack == 6 and change == 4
    detail = f"f = -x^2, L = 1: slack {slack} >= 0, |f'(2) - f'(0)| = {change} > 2"
    return Evidence("witness", "proved" if good else "undecided", detail, covers="both sides needed")


# -- both at once --------------------------------------------------------------------------------------------------------------

differentiable = Claim(
    "assumption-b-gradient-unique",
    "Section 4, Assumption B (ours: which vector is grad f(x)?)",
    "if |f(x + h) - f(x) - <g, h>| <= L/2 ||h||^2 for all h, then f is differentiable at x and g is its gradient: Assumption B "
    "asserts differentiability, so no kink such as |x| meets it with any L",
)


@differentiable.printed
def two_slopes_are_one() -> Evidence:
    """Two such vectors: |<g - g', h>| <= L ||h||^2 for all h; h = s (g - g') gives V <= L s V for all s > 0, so V = 0."""
    V = Symbol("V", positive=True)
    s = 1 / (2 * L)
    return prove(s * V > L * s**2 * V, covers="unique")


@differentiable.printed
def a_kink_has_no_slope() -> Evidence:
    """|h| - g h <= L/2 h^2 for h = +-s, s > 0: both give 1 <= L s/2, false for s = 1/L; differentiability is the definition."""
    g, s = Symbol("g", real=True), 1 / L
    return prove(Not(And(s - g * s <= L / 2 * s**2, s + g * s <= L / 2 * s**2)), covers="kink")


if __name__ == "__main__":
    main(__file__)
