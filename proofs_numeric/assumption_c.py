r"""Assumption C bounds the second moment, not the variance: it excludes every strongly convex f and the paper's least squares.

Statement   "For any x, our query for a stochastic gradient returns g such that E[g] = grad f(x) and E||g||^2 <= sigma^2",
            introduced as an assumption on "the variance of the stochastic gradient".
Source      Section 4, Assumption C; the problems of Sections 3 and 5.2, of A.1
Idea        E||g||^2 = ||grad f(x)||^2 + variance, so ||grad f(x)|| <= sigma for every x: f is sigma-Lipschitz. A strongly
            convex f has ||grad f(x) - grad f(y)|| >= mu ||x - y||, with no bound; so has any quadratic that is not affine. The
            proofs query g at x_0, ..., x_T only: the bound there is enough, but sigma then belongs to the run.
Conventions R^d without constraints, but for Counterexample 1, which has [-1, 1]. sign(0) is any number in [-1, 1] in |.|'.
"""

from __future__ import annotations

from fractions import Fraction

from sympy import And, Eq, Implies, Max, Min, Symbol, symbols

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

SECTION = "Section 4, Assumption C"
sigma = Symbol("sigma", positive=True)
eps = Symbol("epsilon", positive=True)


# -- what it says --------------------------------------------------------------------------------------------------------------

bounded = Claim(
    "assumption-c-bounded-gradient",
    "Section 4, Assumption C (ours: what it implies)",
    "Assumption C implies ||grad f(x)|| <= sigma for every x, so |f(x) - f(y)| <= sigma ||x - y||; and the variance of g is at "
    "most sigma^2 - ||grad f(x)||^2",
)


def split(second, mean):
    """The variance E(g - E g)^2 of one coordinate, from E g^2 and E g."""
    return second - mean**2


@bounded.printed
def the_second_moment_splits() -> Evidence:
    """E(g - c)^2 = E g^2 - 2 c E g + c^2 at c = E g, each coordinate; any law, by linearity of E."""
    second, mean, c = symbols("s m c", real=True)
    centred = second - 2 * c * mean + c**2
    return prove(Eq(centred.subs(c, mean), split(second, mean)), kind="identity", covers="variance")


@bounded.printed
def a_variance_is_not_negative() -> Evidence:
    """G = ||grad f(x)||, V = the variance >= 0, G^2 + V <= sigma^2; equality G = sigma only without noise."""
    G, V = symbols("G V", nonnegative=True)
    implied = And(sigma >= G, sigma**2 - G**2 >= V, Implies(Eq(G, sigma), Eq(V, 0)))
    return prove(implied, [sigma**2 >= G**2 + V], covers="gradient")


@bounded.printed
def the_mean_value_theorem() -> Evidence:
    """f(y) - f(x) = <grad f(z), y - x> for a z between them: at most ||grad f(z)|| ||y - x||."""
    G, h = symbols("G h", nonnegative=True)
    c = Symbol("c", real=True)
    return prove(c**2 <= sigma**2 * h**2, [sigma >= G, c**2 <= G**2 * h**2], covers="Lipschitz")


variance = Claim(
    "assumption-c-variance",
    "Section 4, before Assumption B",
    "We employ standard assumptions of [...] the variance of the stochastic gradient [Assumption C asks for no more than "
    "E||g - grad f(x)||^2 <= sigma^2]",
    repaired="Assumption C asks more: it is implied by variance <= v and ||grad f|| <= G everywhere, sigma^2 = v + G^2, and "
    "implies both with v = G^2 = sigma^2",
    expect="refuted",
)


def square_function(x):
    """f = x^2/2 without noise: the variance and the second moment of g = x."""
    return 0 * x, x**2


@variance.printed
def no_noise_and_no_bound() -> Evidence:
    """Variance 0 <= sigma^2 for all x, and yet E g^2 = x^2 > sigma^2 at x = 2 sigma, for every sigma."""
    x = Symbol("x", real=True)
    noise, second = square_function(x)
    found = prove(And(noise <= sigma**2, (second > sigma**2).subs(x, 2 * sigma)))
    outcome = "refuted" if found.outcome == "proved" else "supported"
    detail = "f = x^2/2, g = x: variance 0 for all x, but E g^2 = 4 sigma^2 > sigma^2 at x = 2 sigma, whatever sigma is"
    return Evidence("witness", outcome, detail)


@variance.repaired
def both_ways() -> Evidence:
    G, V, g, v = symbols("G V g v", nonnegative=True)
    to_c = Implies(And(g >= G, v >= V), g**2 + v >= G**2 + V)
    from_c = Implies(sigma**2 >= G**2 + V, And(sigma**2 >= V, sigma**2 >= G**2))
    return prove(And(to_c, from_c))


# -- what it excludes ----------------------------------------------------------------------------------------------------------

strongly = Claim(
    "assumption-c-strongly-convex",
    "Section 4, Assumption C (ours: what it excludes)",
    "no strongly convex f on R^d meets Assumption C, with any sigma",
)


@strongly.printed
def two_points_far_apart() -> Evidence:
    """mu ||h||^2 <= <v, h> for h = x - y, v = the gradients' difference; ||v|| <= 2 sigma gives ||h|| <= 2 sigma/mu."""
    mu = Symbol("mu", positive=True)
    h, v, c = symbols("h v c", nonnegative=True)
    close = h <= 2 * sigma / mu
    return prove(close, [mu * h**2 <= c, c <= v * h, v <= 2 * sigma])


@strongly.printed
def and_there_are_such_points() -> Evidence:
    """In R^d two points at distance 3 sigma/mu exist: the bound above excludes them."""
    mu = Symbol("mu", positive=True)
    return prove(3 * sigma / mu > 2 * sigma / mu, covers="points")


@strongly.printed
def strong_convexity_twice() -> Evidence:
    """f(y) >= f(x) + <g_x, y-x> + mu/2 ||h||^2 and the same with x, y swapped add up to <v, h> >= mu ||h||^2."""
    mu, H = symbols("mu H", nonnegative=True)
    fx, fy, a, b = symbols("f_x f_y a b", real=True)  # a = <g_x, h>, b = <g_y, h>, h = x - y
    return prove(a - b >= mu * H, [fy >= fx - a + mu / 2 * H, fx >= fy + b + mu / 2 * H], covers="monotone")


own = Claim(
    "assumption-c-own-problems",
    "Section 4 with Sections 3, 5.2 and A.1",
    "the theorems' assumption of a moment bound is met by the problems that the paper poses [Counterexamples 1, 2, 3; the "
    "least squares of Section 5.2; the sparse noise of A.1]",
    repaired="Counterexamples 1 and 2 do, with sigma^2 = 19/4 and 2 (1 + epsilon^2); Counterexample 3, least squares with A != "
    "0 and the quadratic of A.1 do not, with any sigma. There sigma is a bound along the run: E||g_t||^2 <= sigma^2 for all t",
    expect="refuted",
)


def third(x1, x2, e):
    """E||g||^2 of Counterexample 3, g = 2 a_i <a_i, x> with a_1 = (1, -1) + e (1, 1), a_2 = -(1, -1) + e (1, 1)."""
    rows = ((1 + e, -1 + e), (-1 + e, 1 + e))
    return sum(4 * (a * x1 + b * x2) ** 2 * (a**2 + b**2) for a, b in rows) / 2


@own.printed
def counterexample_3_has_no_sigma() -> Evidence:
    """E||g||^2 at s (1, -1) is 32 s^2 (1 + epsilon^2), above sigma^2 at s = sigma, for every sigma."""
    s = Symbol("s", positive=True)
    moment = third(s, -s, eps)
    closed = Eq((moment - 32 * s**2 * (1 + eps**2)).expand(), 0)
    found = prove(And(closed, (moment > sigma**2).subs(s, sigma)), [eps < 1])
    outcome = "refuted" if found.outcome == "proved" else "supported"
    number = third(Fraction(1), Fraction(-1), Fraction(1, 2))
    detail = f"Counterexample 3: E||g||^2 = 32 s^2 (1 + epsilon^2) at x = (s, -s), not bounded; epsilon = 1/2, s = 1: {number}"
    return Evidence("witness", outcome, detail, {"moment": number})


@own.repaired
def counterexample_1_meets_it() -> Evidence:
    """g = 4 with chance 1/4, -1 with 3/4: E g = 1/4 = f', E g^2 = 19/4, at every x."""
    quarter = Fraction(1, 4)
    mean, second = (quarter * 4**k + (1 - quarter) * (-1) ** k for k in (1, 2))
    return prove(And(mean == quarter, second == Fraction(19, 4)), kind="identity", covers="Counterexample 1")


@own.repaired
def counterexample_2_meets_it() -> Evidence:
    """g = epsilon u (1, 1) + v (1, -1) with u, v in [-1, 1]: ||g||^2 = 2 epsilon^2 u^2 + 2 v^2."""
    u, v = symbols("u v", real=True)
    square = (eps * u + v) ** 2 + (eps * u - v) ** 2
    return prove(square <= 2 * (1 + eps**2), [u >= -1, u <= 1, v >= -1, v <= 1], covers="Counterexample 2")


@own.repaired
def counterexample_3_does_not() -> Evidence:
    found = counterexample_3_has_no_sigma()
    return Evidence("witness", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="Counterexample 3")


@own.repaired
def nor_does_any_quadratic() -> Evidence:
    """On a line x + s u with u^T Hessian u = h != 0 the slope is a + h s, at s = (2 sigma - a)/h it is 2 sigma > sigma.

    Least squares with A != 0 has h = 2 ||A u||^2 for a u with A u != 0; A.1 has f = ||x||^2/2 and noise on top.
    """
    a, h = Symbol("a", real=True), Symbol("h", positive=True)
    s = (2 * sigma - a) / h
    return prove((a + h * s) ** 2 > sigma**2, covers="quadratics")


@own.repaired
def along_the_run_is_enough() -> Evidence:
    """Every use of C in B.2, B.3, B.6 is of E||g_t||^2 and, by Jensen, of ||E_t g_t||^2 <= E_t||g_t||^2 at x_t."""
    return a_variance_is_not_negative().covering("along the run")


possible = Claim(
    "assumption-c-possible",
    "Section 4, Assumptions B and C (ours: can they be met together?)",
    "Assumptions B (L = 1) and C (sigma = 1) hold together for a convex f with a minimum: Huber's, f' = max(-1, min(1, x))",
)


@possible.printed
def huber_meets_both() -> Evidence:
    """|f'(x) - f'(y)| <= |x - y| (assumption-b-gradient), |f'| <= 1, and f'(0) = 0 with f' nondecreasing: a minimum at 0."""
    x, y = symbols("x y", real=True)

    def slope(v):
        return Max(-1, Min(1, v))

    lipschitz = (slope(x) - slope(y)) ** 2 <= (x - y) ** 2
    monotone = Implies(x >= y, slope(x) >= slope(y))
    return prove(And(lipschitz, slope(x) ** 2 <= 1, monotone, Eq(slope(0), 0)))


if __name__ == "__main__":
    main(__file__)
