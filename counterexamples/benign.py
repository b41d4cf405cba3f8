r"""Under benign conditions signSGD converges, with steps tuned to T; with one fixed step it need not.

Statement   "Under benign conditions - for example if i) the function f is smooth, and ii) the stochastic noise is gaussian or
            an extremely large batch-size is used (equal to the total number of iterations) - the algorithm can be shown to
            converge [Bernstein et al., 2018, 2019]."
Source      Section 3, first paragraph; to converge means there that the mean of ||grad f(x_t)||_1, or with Gaussian noise of
            sum_i |d_i| min(1, |d_i|/sigma_i), over t < T goes to 0 as T grows
Idea        f is smooth with constants L_i of its coordinates, L = sum L_i, and f - f* = F at x_0. One step:
            f_{t+1} <= f_t - gamma <d, sign(g)> + gamma^2 L/2, d = grad f(x_t). d_i sign(g_i) >= |d_i| - 2 |g_i - d_i|, whose
            mean is at least |d_i| - 2 sigma_i/sqrt(B) with batch-size B. For Gaussian noise d_i E sign(g_i) = |d_i| P(|Z| < z),
            z = |d_i|/sigma_i, and P(|Z| < z) is concave in z and above 2/3 at z = 1, so at least (2/3) min(1, z). Summed over
            t: the mean is at most F/(gamma T) + gamma L/2 + 2 sum sigma_i/sqrt(B), and 3/2 of its first two terms.
Conventions any sign(0). "Converge" as in the works that the sentence cites: of gradients, on average over T steps.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from sympy import Abs, And, Eq, Implies, Integral, Min, Ne, Rational, Symbol, erf, exp, oo, pi, series, sqrt, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

aligned = content.load(Path(__file__).with_name("_aligned.py"))
SOURCE = "Section 3, first paragraph (attributed to Bernstein et al., 2018, 2019)"
d, g, z = Symbol("d", real=True), Symbol("g", real=True), Symbol("z", positive=True)
F, L, gamma, T = symbols("F L gamma T", positive=True)

# -- one step --------------------------------------------------------------------------------------------------------------


def along(zero: int):
    """d_i sign(g_i): what a step takes off f in one coordinate, to first order, per gamma."""
    return d * aligned.sgn(g, zero)


def one_step() -> Evidence:
    """Coordinate by coordinate f falls by gamma d_i q_i up to L_i gamma^2 q_i^2/2, q_i = sign(g_i); and q_i^2 <= 1."""
    L_i, q = Symbol("L_i", positive=True), Symbol("q", real=True)
    return prove(-gamma * d * q + L_i * gamma**2 * q**2 / 2 <= -gamma * d * q + L_i * gamma**2 / 2, [q**2 <= 1], covers="step")


def sum_over_steps() -> Evidence:
    """If c gamma S_t <= F - F_t + t gamma^2 L/2 for the sum S_t of the first t means, the next step keeps it. As F_T >= 0 the
    mean S_T/T is at most (F/(gamma T) + gamma L/2)/c; c = 1, with Gaussian noise 2/3."""
    S, s, t = symbols("S s t", nonnegative=True)
    F_t, F_next, c = symbols("F_t F_next c", nonnegative=True)
    now, step = c * gamma * S <= F - F_t + t * gamma**2 * L / 2, F_next <= F_t - c * gamma * s + gamma**2 * L / 2
    after = c * gamma * (S + s) <= F - F_next + (t + 1) * gamma**2 * L / 2
    last = Implies(Eq(t, T), c * S / T <= F / (gamma * T) + gamma * L / 2)
    return prove(And(after, last), [now, step, c > 0], covers="mean over t")


def tends_to_0(extra, constant) -> Evidence:
    """gamma = 1/sqrt(T) (whatever F, L are): the bound times sqrt(T) is this constant."""
    bound = (F / (gamma * T) + gamma * L / 2 + extra).subs(gamma, 1 / sqrt(T))
    scaled = (bound * sqrt(T)).simplify()
    return prove(Eq((scaled - constant).simplify(), 0), kind="identity", covers="rate")


# -- i) a large batch ------------------------------------------------------------------------------------------------------

batch = Claim(
    "benign-large-batch",
    SOURCE,
    "if f is smooth and an extremely large batch-size is used (equal to the total number of iterations), SIGNSGD can be shown "
    "to converge [the mean of E ||grad f(x_t)||_1 over t < T is at most (F + L/2 + 2 sum sigma_i)/sqrt(T), gamma = 1/sqrt(T)]",
)


@batch.printed
def a_wrong_sign_costs_no_more_than_the_noise() -> Evidence:
    cost = And(*(along(zero) >= Abs(d) - 2 * Abs(g - d) for zero in aligned.CONVENTIONS))
    return aligned.worded("d sign(g) >= |d| - 2 |g - d|, every sign(0)", prove(cost, covers="noise"))


@batch.printed
def the_noise_of_a_batch() -> Evidence:
    """E|n| <= sqrt(E n^2) = sigma/sqrt(B): for every a > 0, |n| <= (n^2/a + a)/2, and with a = sigma/sqrt(B) the mean of this
    is a; B = T."""
    n, a, B = Symbol("n", real=True), Symbol("a", positive=True), Symbol("B", positive=True)
    second = Symbol("E_n2", nonnegative=True)
    mean = Implies(Eq(second, a**2), (second / a + a) / 2 <= a)
    return prove(And(Abs(n) <= (n**2 / a + a) / 2, mean, Eq(a**2 / B, (a / sqrt(B)) ** 2)), covers="batch")


@batch.printed
def the_step() -> Evidence:
    return one_step()


@batch.printed
def the_sum() -> Evidence:
    """With S_t the sum of E||grad f||_1 - 2 sum sigma_i/sqrt(T)."""
    return sum_over_steps()


@batch.printed
def the_rate() -> Evidence:
    total = Symbol("sigma", positive=True)
    return tends_to_0(2 * total / sqrt(T), F + L / 2 + 2 * total)


# -- ii) Gaussian noise ----------------------------------------------------------------------------------------------------

gaussian = Claim(
    "benign-gaussian",
    SOURCE,
    "if f is smooth and the stochastic noise is gaussian, SIGNSGD can be shown to converge [with batch-size 1: the mean of "
    "E sum_i |d_i| min(1, |d_i|/sigma_i), d = grad f(x_t), over t < T is at most (3/2) (F + L/2)/sqrt(T), gamma = 1/sqrt(T)]",
)


def chance():
    """P(|Z| < z) for a standard normal Z."""
    return erf(z / sqrt(2))


@gaussian.printed
def the_sign_is_right_more_often_than_wrong() -> Evidence:
    """g = d + sigma Z, d > 0: E sign(g) = P(Z > -z) - P(Z < -z) = P(|Z| < z) with z = d/sigma, the integral of the density;
    a zero has chance 0. So P(wrong sign) = (1 - P(|Z| < z))/2 < 1/2."""
    s = Symbol("s", real=True)
    density = exp(-(s**2) / 2) / sqrt(2 * pi)
    whole, right = Integral(density, (s, -oo, oo)).doit(), Integral(density, (s, -z, oo)).doit()
    same = And(Eq(whole, 1), Eq(((right - (whole - right)) - chance()).rewrite(erf).expand(), 0))
    return aligned.worded("E sign(d + sigma Z) = erf(d/(sigma sqrt(2)))", prove(same, kind="identity", covers="E sign"))


@gaussian.printed
def it_is_concave() -> Evidence:
    """Its second derivative is -z times the first, which is positive: so it lies above its chord from 0 to 1, and grows."""
    first = chance().diff(z)
    e = Symbol("e", positive=True)  # exp(-z^2/2)
    shape = And(Eq((first.diff(z) + z * first).simplify(), 0), Eq((first / exp(-(z**2) / 2)).simplify(), sqrt(2 / pi)))
    return prove(And(shape, Eq(chance().subs(z, 0), 0), -z * e < 0), covers="concave")


@gaussian.printed
def at_1_it_is_above_two_thirds() -> Evidence:
    """Alternating series of the integral of exp(-s^2/2) over [0, 1]: above its first four terms; sqrt(2/pi) > 0.797 as
    pi < 3.1416."""
    s = Symbol("s")
    terms = series(exp(-(s**2) / 2), s, 0, 8).removeO()
    below = Rational(Integral(terms, (s, 0, 1)).doit())
    factor = Rational(797, 1000)
    good = factor**2 * Rational(31416, 10000) < 2 and factor * below > Rational(2, 3)
    detail = f"P(|Z| < 1) > 0.797 * {below} = {float(factor * below):.5f} > 2/3"
    return Evidence("exact", "proved" if good else "refuted", detail, covers="2/3")


@gaussian.printed
def so_it_is_at_least_two_thirds_of_min_1_z() -> Evidence:
    """P the value at z, A > 2/3 the value at 1. Concave with value 0 at 0: P >= z A for z <= 1; and growing: P >= A beyond."""
    P, A = symbols("P A", positive=True)
    chord = [Implies(z <= 1, z * A <= P), Implies(z > 1, A <= P), Rational(2, 3) < A]
    return prove(Rational(2, 3) * Min(1, z) <= P, chord, covers="lower bound")


@gaussian.printed
def the_step_again() -> Evidence:
    return one_step()


@gaussian.printed
def the_sum_again() -> Evidence:
    return sum_over_steps()


@gaussian.printed
def the_rate_again() -> Evidence:
    return tends_to_0(0, F + L / 2)


# -- one fixed step --------------------------------------------------------------------------------------------------------

fixed = Claim(
    "benign-fixed-step",
    "(ours: without tuning the step-size to T) Section 3, first paragraph",
    "with f smooth and the full batch, SIGNSGD with one fixed step gamma > 0 converges to x*",
    repaired="the mean of ||grad f(x_t)||_1 over t < T is at most F/(gamma T) + gamma L/2, and no better in the limit: f = "
    "L x^2/2 from gamma/2 alternates between +-gamma/2 for ever, with |grad f| = gamma L/2",
    expect="refuted",
)


def alternating() -> Evidence:
    """f = x^2/2, gamma = 1, x_0 = 1/2: exact."""
    path = [x for (x,) in exact.sign_sgd(lambda t, x: x, (Fraction(1, 2),), [1] * 8)]
    stuck = {abs(x) for x in path} == {Fraction(1, 2)}
    detail = "f = x^2/2, full batch, gamma = 1: x_t = " + ", ".join(map(str, path[:4])) + ", ..."
    return Evidence("witness", "refuted" if stuck else "supported", detail, {"path": path}, covers="fixed step")


@fixed.printed
def it_alternates() -> Evidence:
    return alternating()


@fixed.repaired
def without_noise_the_step_falls_by_the_gradient() -> Evidence:
    """g = d: d sign(d) = |d|."""
    return prove(And(*(Eq(along(zero).subs(g, d), Abs(d)) for zero in aligned.CONVENTIONS)), covers="no noise")


@fixed.repaired
def the_step_once_more() -> Evidence:
    return one_step()


@fixed.repaired
def the_sum_once_more() -> Evidence:
    return sum_over_steps()


@fixed.repaired
def the_bound_is_attained_in_the_limit() -> Evidence:
    """x = +-gamma/2 goes to -+gamma/2, where |L x| = gamma L/2."""
    x, far = Symbol("x", real=True), gamma / 2
    to = x - gamma * aligned.sgn(L * x, 0)
    both = And(Eq(to.subs(x, far), -far), Eq(to.subs(x, -far), far), Eq(Abs(L * x).subs(x, far), gamma * L / 2))
    return prove(And(both, Ne(far, 0)), covers="attained")


if __name__ == "__main__":
    main(__file__)
