r"""Sparse noise, the laws: SGD's best step depends on the sum of the variances, not on their maximum; the sign forgets sigma.

Statement   f(x) = ||x||^2/2 on R^100, g = x + N(0, 100^2) e_1 (Figure 5), and what "Faster convergence than SGD?" says of the
            noise in SGD and signSGD. The learning rates: sparse_noise_rates.py. The other two methods: sparse_noise_runs.py.
Source      Appendix A.1, Figure 5; Section 4, "Faster convergence than SGD?"
Idea        SGD decouples. With D = ||x_0||^2, V = sum of the variances, q = (1 - gamma)^2:
                E f(x_T) = D q^T/2 + gamma V (1 - q^T)/(2 (2 - gamma)).
            signSGD: 99 coordinates count down by gamma; the noisy one has E x'^2 = x^2 - 2 gamma |x| m + gamma^2 with
            m = 2 Phi(|x|/sigma) - 1 and c |x| (1 - x^2/(6 sigma^2)) <= m <= c |x|, c = sqrt(2/pi)/sigma. So, r = 1 - 2 gamma c,
                r^T + gamma (1 - r^T)/(2 c) <= E x_T^2 <= r^T + (gamma/(2 c) + M/(6 sigma^2)) (1 - r^T),
            M >= max_t E x_t^4: a narrow bracket, for all gamma at once.
Conventions x_0 = (1, ..., 1) and the horizons T are ours: the paper gives neither. sign(0): a noiseless coordinate that
            arrived counts as anything in [0, gamma], so no verdict depends on it. "gamma best" is by E f(x_T).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from sympy import And, Eq, Implies, Rational, Symbol, diff, exp, oo, pi, simplify, sqrt
from sympy.stats import E, Normal, variance

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove
from efcheck.methods import SignSGD
from efcheck.problems import SparseNoise
from efcheck.simulate import simulate

CAPTION, PROSE = "Appendix A.1, Figure 5", 'Section 4, "Faster convergence than SGD?"'
DIM, SIGMA = 100, 100.0
C = float(np.sqrt(2 / np.pi)) / SIGMA  # slope of 2 Phi(x/sigma) - 1 at 0
SLACK = 1e-9  # relative, in comparisons of floats: a million times what T log1p(gamma) rounds to
gamma, sigma, x = Symbol("gamma", positive=True), Symbol("sigma", positive=True), Symbol("x", real=True)


# -- closed forms --------------------------------------------------------------------------------------------------------


def power(base_less_one: Any, T: Any) -> Any:
    """(1 + base_less_one)^T, accurate for tiny base_less_one."""
    return np.exp(T * np.log1p(base_less_one))


def sgd_mean(step: Any, T: Any, V: float = SIGMA**2, D: float = DIM) -> Any:
    """E f(x_T) of SGD with 0 < step < 1."""
    q = power(-np.asarray(step), 2 * T)
    return D / 2 * q + step * V / (2 * (2 - step)) * (1 - q)


def sgd_mean_exact(step: Fraction, T: int) -> Fraction:
    """The same in fractions, by the sum of the noise terms rather than by its closed form."""
    q = (1 - step) ** 2
    limit = step**2 * Fraction(SIGMA) ** 2 / (1 - q)  # sum of step^2 sigma^2 q^t over all t
    return ((DIM - limit) * q**T + limit) / 2


def noiseless(step: Any, T: Any) -> tuple[Any, Any]:
    """f of signSGD's 99 coordinates without noise, between these: exact on the way down, |x| <= step after."""
    way = (DIM - 1) / 2 * np.maximum(1 - step * T, 0) ** 2
    return way, np.where(step * T < 1 - SLACK, way, (DIM - 1) / 2 * step**2)


def sign_low(step: Any, T: Any) -> Any:
    """A lower bound of E f(x_T) of signSGD, 0 < step <= 2."""
    r = power(-2 * step * C, T)
    return (r + step / (2 * C) * (1 - r)) / 2 + noiseless(step, T)[0]


def sign_high(step: Any, T: Any) -> Any:
    """An upper bound: E x^4 <= M by E x'^4 <= x^4 + 6 step^2 x^2 + step^4 and E x^2 <= 1 + step^2 t."""
    r = power(-2 * step * C, T)
    M = 1 + 6 * step**2 * T + 3 * step**4 * T**2 + step**4 * T
    return (r + (step / (2 * C) + M / (6 * SIGMA**2)) * (1 - r)) / 2 + noiseless(step, T)[1]


# -- SGD is solved -------------------------------------------------------------------------------------------------------

solved = Claim(
    "sparse-noise-sgd",
    CAPTION,
    "the loss is ||x||^2/2 with gradient x, noise N(0, 100^2) in the first coordinate only: E f(x_T) of SGD is, for any x_0, "
    "D q^T/2 + gamma V (1 - q^T)/(2 (2 - gamma)), q = (1 - gamma)^2",
)


@solved.printed
def the_gradient_is_the_derivative() -> Evidence:
    return prove(Eq(diff(x**2 / 2, x), x), kind="identity", covers="gradient")


@solved.printed
def only_the_first_coordinate_is_noisy(seed: int = 0) -> Evidence:
    problem, rng = SparseNoise(), np.random.default_rng(seed)
    points, z = rng.normal(size=(200, problem.d)), rng.normal(size=200)
    noise = problem.gradient_given(points, z) - points
    good = problem.d == DIM and not noise[:, 1:].any() and np.allclose(noise[:, 0], SIGMA * z, rtol=1e-12, atol=1e-12)
    return Evidence("exact", "supported" if good else "refuted", "g - x = (100 z, 0, ..., 0)", covers="noise")


@solved.printed
def it_is_the_noise_of_the_simulated_problem_by_its_definition() -> Evidence:
    """E g = x and Var g_1 = sigma^2 for z ~ N(0, 1), by integration."""
    g = x + sigma * Normal("z", 0, 1)
    return prove(And(Eq(E(g), x), Eq(variance(g), sigma**2)), kind="identity", covers="noise")


@solved.printed
def the_closed_form_obeys_the_recursion() -> Evidence:
    """E x'^2 = q E x^2 + gamma^2 v per coordinate, so A = E||x||^2 has A' = q A + gamma^2 V; w is q^T, 1 at T = 0."""
    w, D, V = Symbol("w", positive=True), Symbol("D", nonnegative=True), Symbol("V", nonnegative=True)
    q = (1 - gamma) ** 2

    def A(weight):
        return D * weight + gamma * V * (1 - weight) / (2 - gamma)

    one_step = Eq(simplify(E(((1 - gamma) * x - gamma * sigma * Normal("z", 0, 1)) ** 2)), q * x**2 + gamma**2 * sigma**2)
    step = And(one_step, Eq(A(q * w), q * A(w) + gamma**2 * V), Eq(A(1), D))
    return prove(step, [gamma < 2], kind="identity", covers="recursion")


repeats = Claim(
    "sparse-noise-repeats",
    CAPTION,
    "repeated 100 times, mean and one standard deviation: for SGD (gamma = 0.001) the deviation of f(x_T) is above its mean "
    "for every T >= 2000, so a mean of 100 runs has a standard error above 10 %",
)


@repeats.printed
def the_deviation_exceeds_the_mean() -> Evidence:
    """x_1 ~ N(m, v), m^2 = w = q^T: Var(x_1^2/2) = v^2/2 + m^2 v, the rest does not vary; w falls with T."""
    w, late = Symbol("w", nonnegative=True), Rational(183, 10_000)
    step = Rational(1, 1000)
    v = step * 10_000 / (2 - step) * (1 - w)
    return prove(v**2 / 2 + w * v > (DIM * w / 2 + v / 2) ** 2, [w <= late], covers="w <= 0.0183")


@repeats.printed
def and_w_is_that_small() -> Evidence:
    w = (1 - Fraction(1, 1000)) ** (2 * 2000)
    outcome = "proved" if w <= Fraction(183, 10_000) else "refuted"
    return Evidence("exact", outcome, f"0.999^4000 = {float(w):.5f}", covers="T >= 2000")


# -- which noise decides SGD's step ----------------------------------------------------------------------------------------

largest = Claim(
    "sparse-noise-max-variance",
    PROSE,
    "In standard SGD, gamma would be reduced to account for the maximum of these coordinate-wise variances (the best "
    "gamma for given x_0 and T depends on the variances through their maximum)",
    repaired="through their sum V, and it does not grow with V, at every horizon T and start; with one noisy coordinate V is "
    "the maximum",
    expect="refuted",
)


@largest.printed
def two_profiles_with_one_maximum() -> Evidence:
    """T = 1: E f = ((1 - gamma)^2 D + gamma^2 V)/2, so the best gamma is D/(D + V), by the root of the derivative."""
    best = {}
    for name, variances in {"one coordinate": [10_000], "two coordinates": [10_000] * 2, "one of 20000": [20_000]}.items():
        V = sum(variances)
        best[name] = Fraction(DIM, DIM + V)
        if (1 - best[name]) * -DIM + best[name] * V:
            return Evidence("exact", "undecided", "the best step is another one")
    differs = best["one coordinate"] != best["two coordinates"] == best["one of 20000"]
    detail = ", ".join(f"{step} ({name})" for name, step in best.items())
    return Evidence("witness", "refuted" if differs else "supported", f"T = 1, variance 10000 each: best gamma {detail}", best)


@largest.repaired
def the_objective_knows_only_the_sum() -> Evidence:
    """Coordinate by coordinate the recursion's solution is a_i^2 w + gamma s_i (1-w)/(2-gamma): three of them added."""
    w = Symbol("w", positive=True)
    a, s = ([Symbol(f"{name}{i}", nonnegative=True) for i in range(3)] for name in "as")
    total = sum(p**2 * w + gamma * v * (1 - w) / (2 - gamma) for p, v in zip(a, s, strict=True))
    D, V = sum(p**2 for p in a), sum(s)
    return prove(Eq(total, D * w + gamma * V * (1 - w) / (2 - gamma)), [gamma < 2], kind="identity", covers="sum")


@largest.repaired
def the_noise_term_grows_with_the_step() -> Evidence:
    """gamma/(2-gamma) and 1 - q^T grow on (0, 1): q falls. u, v are 1 - q^T at two steps."""
    other, u, v = Symbol("gamma2", positive=True), Symbol("u", positive=True), Symbol("v", positive=True)
    grows = And((1 - other) ** 2 < (1 - gamma) ** 2, other / (2 - other) * v > gamma / (2 - gamma) * u)
    return prove(grows, [gamma < other, other <= 1, u <= v], covers="monotone")


@largest.repaired
def so_a_larger_sum_never_prefers_a_larger_step() -> Evidence:
    """F = b + V n; if gamma' > gamma (n' > n) is no better at V, it is worse at every larger V. Beyond 1 no step is best:
    2 - gamma has the same q and less noise, gamma/(2 - gamma)."""
    b1, b2 = Symbol("b1", nonnegative=True), Symbol("b2", nonnegative=True)
    n1, n2, V, W = (Symbol(name, positive=True) for name in ("n1", "n2", "V", "W"))
    swap = Implies(b2 + V * n2 >= b1 + V * n1, b2 + W * n2 > b1 + W * n1)
    beyond = Implies(gamma > 1, gamma / (2 - gamma) > (2 - gamma) / gamma)
    return prove(And(swap, beyond), [n2 > n1, W > V, gamma < 2], covers="falls")


# -- what the sign does to the noise ---------------------------------------------------------------------------------------

scaling = Claim(
    "sparse-noise-sign-scales",
    PROSE,
    "using only the coordinate-wise sign of g might mitigate the effect of 'bad' coordinates by effectively scaling down the "
    "noisy coordinates: signSGD's noise adds gamma^2 a step to E x^2, whatever sigma, where SGD's adds gamma^2 sigma^2",
    repaired="it does, and scales down the signal as well: E[x' | x] = x - gamma (2 Phi(x/sigma) - 1), with "
    "c |x| (1 - x^2/(6 sigma^2)) <= 2 Phi(|x|/sigma) - 1 <= c |x|, c = sqrt(2/pi)/sigma",
)
m = Symbol("m", real=True)  # 2 Phi(x/sigma) - 1, the mean of sign(g)


@scaling.printed
def one_signed_step() -> Evidence:
    """P(g > 0) = (1 + m)/2: the second moment of x - gamma sign(g); sigma enters through the drift m alone."""
    after = (1 + m) / 2 * (x - gamma) ** 2 + (1 - m) / 2 * (x + gamma) ** 2
    return prove(Eq(after, x**2 - 2 * gamma * x * m + gamma**2), kind="identity", covers="sign")


@scaling.printed
def one_plain_step() -> Evidence:
    after = E((x - gamma * (x + sigma * Normal("z", 0, 1))) ** 2)
    return prove(Eq(simplify(after), (1 - gamma) ** 2 * x**2 + gamma**2 * sigma**2), kind="identity", covers="SGD")


@scaling.repaired
def the_mean_of_the_sign_is_bracketed() -> Evidence:
    """With y = |x|/sigma: 2 Phi(y) - 1 = sqrt(2/pi) int_0^y exp(-s^2/2) ds and 1 - s^2/2 <= exp(-s^2/2) <= 1.

    Those follow from k(u) = exp(-u) - 1 + u: k(0) = 0 and k' = 1 - exp(-u) >= 0; w stands for exp(-u) in (0, 1].
    """
    u, y, w = Symbol("u", nonnegative=True), Symbol("y", nonnegative=True), Symbol("w", positive=True)
    k = exp(-u) - 1 + u
    facts = [k.subs(u, 0) == 0, simplify(diff(k, u) - (1 - exp(-u))) == 0]
    facts += [simplify((1 - y**2 / 2).integrate((y, 0, x)) - x * (1 - x**2 / 6)) == 0]
    facts += [simplify(sqrt(2 / pi) * exp(-(u**2) / 2).integrate((u, 0, oo)) - 1) == 0]
    found = prove(And(1 - w >= 0, w > 0), [w <= 1])
    return Evidence("identity", found.outcome if all(facts) else "refuted", "exp(-u) >= 1 - u, integrated", covers="bracket")


@scaling.repaired
def the_drift_is_gamma_times_it() -> Evidence:
    after = (1 + m) / 2 * (x - gamma) + (1 - m) / 2 * (x + gamma)
    return prove(Eq(after, x - gamma * m), kind="identity", covers="drift")


bracket = Claim(
    "sparse-noise-signsgd",
    CAPTION,
    "E f(x_T) of signSGD lies between the two closed forms of this file's header, for 0 < gamma <= 2 and every T",
)


@bracket.printed
def the_lower_recursion() -> Evidence:
    """With m <= c|x|: E x'^2 >= r x^2 + gamma^2; from 1 that gives w + gamma (1-w)/(2c), w = r^T; r > 0 keeps the order."""
    c, w, X = Symbol("c", positive=True), Symbol("w", positive=True), Symbol("X", nonnegative=True)
    r = 1 - 2 * gamma * c

    def A(weight):
        return weight + gamma / (2 * c) * (1 - weight)

    drift = Implies(And(m >= 0, m <= c * X), X**2 - 2 * gamma * X * m + gamma**2 >= r * X**2 + gamma**2)
    solved = And(Eq(A(r * w), r * A(w) + gamma**2), Eq(A(1), 1))
    return prove(And(drift, solved), [gamma <= 2, c <= Rational(1, 100)], covers="low")


@bracket.printed
def the_upper_recursion() -> Evidence:
    """With m >= c|x|(1 - x^2/(6 s)), s = sigma^2, and E x^4 <= M."""
    c, w, s, M = (Symbol(name, positive=True) for name in ("c", "w", "s", "M"))
    X = Symbol("X", nonnegative=True)
    r = 1 - 2 * gamma * c
    drift = Implies(
        m >= c * X * (1 - X**2 / (6 * s)),
        X**2 - 2 * gamma * X * m + gamma**2 <= r * X**2 + gamma**2 + gamma * c * X**4 / (3 * s),
    )

    def A(weight):
        return weight + (gamma / (2 * c) + M / (6 * s)) * (1 - weight)

    solved = And(Eq(A(r * w), r * A(w) + gamma**2 + gamma * c * M / (3 * s)), Eq(A(1), 1))
    return prove(And(drift, solved), [gamma <= 2, c <= Rational(1, 100)], covers="high")


@bracket.printed
def the_fourth_moment() -> Evidence:
    """E x'^4 <= x^4 + 6 gamma^2 x^2 + gamma^4 as x m >= 0; added up over t with E x^2 <= 1 + gamma^2 t it stays below M."""
    T = Symbol("T", nonnegative=True)
    after = (1 + m) / 2 * (x - gamma) ** 4 + (1 - m) / 2 * (x + gamma) ** 4
    grows = Implies(x * m >= 0, after <= x**4 + 6 * gamma**2 * x**2 + gamma**4)

    def M(t):
        return 1 + 6 * gamma**2 * t + 3 * gamma**4 * t**2 + gamma**4 * t

    return prove(
        And(grows, M(T + 1) - M(T) >= 6 * gamma**2 * (1 + gamma**2 * T) + gamma**4, Eq(M(0), 1)), covers="fourth moment"
    )


@bracket.printed
def the_coordinates_without_noise() -> Evidence:
    """Down by gamma while x >= gamma, then never out of [-gamma, gamma], whatever sign(0) = z; above 2, |1 - gamma| >= 1."""
    z = Symbol("z", real=True)
    way = Implies(x > 0, Eq(x - gamma * 1, x - gamma))
    stays = And(
        Implies(And(x > 0, x <= gamma), And(x - gamma <= 0, x - gamma >= -gamma)),
        Implies(And(x < 0, x >= -gamma), And(x + gamma >= 0, x + gamma <= gamma)),
        Implies(And(z >= -1, z <= 1), And(-gamma * z <= gamma, -gamma * z >= -gamma)),
        Implies(gamma >= 2, And(1 - gamma <= -1, Eq(1 - gamma + gamma, 1))),
    )
    return prove(And(way, stays), covers="noiseless")


@bracket.printed
def simulated_means_lie_between(seed: int = 0) -> Evidence:
    """960 runs of the whole problem; within six standard errors, by the normal law of a mean of bounded numbers."""
    worst = 0.0
    for step in (0.01, 0.1):
        f = simulate(SparseNoise(), SignSGD(step), 400, runs=960, seed=seed, every=400, block=96)["f"][-1]
        sd = f.std() / np.sqrt(len(f))
        low, high = (float(bound(step, 400)) for bound in (sign_low, sign_high))
        worst = max(worst, (low - f.mean()) / sd, (f.mean() - high) / sd)
    outcome = "supported" if worst < 6 else "undecided"
    return Evidence("statistics", outcome, f"mean of 960 runs outside the bracket by {worst:.1f} standard errors", covers="low")


if __name__ == "__main__":
    main(__file__)
