r"""Sparse noise, signSGD: the sign forgets sigma, and scales down the signal too; its mean loss lies in a narrow bracket.

Statement   "using only the coordinate-wise sign of g as SIGNSGD does, might mitigate the effect of such 'bad' coordinates by
            effectively scaling down the noisy coordinates", and signSGD on the toy problem of Figure 5.
Source      Section 4, "Faster convergence than SGD?"; Appendix A.1, Figure 5
Idea        99 coordinates count down by gamma; the noisy one has E x'^2 = x^2 - 2 gamma |x| m + gamma^2 with
            m = 2 Phi(|x|/sigma) - 1 and c |x| (1 - x^2/(6 sigma^2)) <= m <= c |x|, c = sqrt(2/pi)/sigma. So, r = 1 - 2 gamma c,
                r^T + gamma (1 - r^T)/(2 c) <= E x_T^2 <= r^T + (gamma/(2 c) + M/(6 sigma^2)) (1 - r^T),
            M >= max_t E x_t^4: a narrow bracket, for all gamma at once. The proofs put SymPy's symbols into the functions
            that compute; the exact law of x_1 on its lattice checks the numbers.
Conventions x_0 = (1, ..., 1) and the horizons T are ours: the paper gives neither. sign(0): a noiseless coordinate that
            arrived counts as anything in [0, gamma], so no verdict depends on it.
"""

from __future__ import annotations

from fractions import Fraction
from math import erf
from pathlib import Path
from typing import Any

import numpy as np
from sympy import Abs, And, Eq, Implies, Rational, Symbol, diff, exp, oo, pi, simplify, sqrt
from sympy.stats import E, Normal

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import SignSGD
from efcheck.problems import SparseNoise
from efcheck.simulate import simulate

laws = content.load(Path(__file__).with_name("sparse_noise.py"))
CAPTION, PROSE, DIM, SIGMA, IV, power = laws.CAPTION, laws.PROSE, laws.DIM, laws.SIGMA, laws.IV, laws.power
gamma, sigma, x = laws.gamma, laws.sigma, laws.x


# -- closed forms: for floats, arrays, intervals and symbols ---------------------------------------------------------------


def slope(like: Any) -> Any:
    """c, the slope of 2 Phi(x/sigma) - 1 at 0: an interval if `like` is one."""
    return IV.sqrt(2 / IV.pi) / IV.mpf(SIGMA) if isinstance(like, IV.mpf) else float(np.sqrt(2 / np.pi)) / SIGMA


def larger(a: Any, b: Any) -> Any:
    """max(a, b), of intervals too."""
    if isinstance(a, IV.mpf):
        b = IV.mpf(b)
        return IV.mpf([max(a.a, b.a), max(a.b, b.b)])
    return np.maximum(a, b)


def lost(step: Any, c: Any) -> Any:
    """1 - r: what a step takes off E x_1^2."""
    return 2 * step * c


def sign_law(weight: Any, step: Any, c: Any, extra: Any = 0) -> Any:
    """The two sides of the bracket of E x_1^2, weight = r^T; extra = M/(6 sigma^2) in the upper one."""
    return weight + (step / (2 * c) + extra) * (1 - weight)


def fourth_moment(step: Any, T: Any) -> Any:
    """M: E x_1^4 from 1, by E x'^4 <= x^4 + 6 step^2 x^2 + step^4 and E x^2 <= 1 + step^2 t."""
    return 1 + 6 * step**2 * T + step**4 * T * (3 * T - 2)


def noiseless(step: Any, T: Any) -> tuple[Any, Any]:
    """f of signSGD's 99 coordinates without noise, between these: exact on the way down, |x| <= step after."""
    way = larger(1 - step * T, 0) ** 2
    return way * (DIM - 1) / 2, larger(way, step**2) * (DIM - 1) / 2


def sign_low(step: Any, T: Any) -> Any:
    """A lower bound of E f(x_T) of signSGD, 0 < step <= 2."""
    c = slope(step)
    return sign_law(power(-lost(step, c), T), step, c) / 2 + noiseless(step, T)[0]


def sign_high(step: Any, T: Any) -> Any:
    """An upper bound of it."""
    c = slope(step)
    extra = fourth_moment(step, T) / (6 * SIGMA**2)
    return sign_law(power(-lost(step, c), T), step, c, extra) / 2 + noiseless(step, T)[1]


def lattice_mean(step: float, T: int) -> float:
    """E x_1^2/2 by the law of x_1 on 1 + step Z, step by step: P(sign g = 1) = Phi(x/sigma)."""
    reach = min(T, int(8 * np.sqrt(T)) + 10)  # eight deviations of a free walk
    points = 1 + step * np.arange(-reach, reach + 1)
    up = np.array([(1 - erf(z / SIGMA / np.sqrt(2))) / 2 for z in points])
    law = np.zeros(len(points))
    law[reach] = 1.0
    for _ in range(T):
        new = np.zeros_like(law)
        new[1:] += (law * up)[:-1]
        new[:-1] += (law * (1 - up))[1:]
        law = new
    assert abs(law.sum() - 1) < 1e-9
    return float(law @ points**2) / 2


# -- what the sign does to the noise ---------------------------------------------------------------------------------------

scaling = Claim(
    "sparse-noise-sign-scales",
    PROSE,
    "using only the coordinate-wise sign of g as SIGNSGD does, might mitigate the effect of such 'bad' coordinates by "
    "effectively scaling down the noisy coordinates [signSGD's noise adds gamma^2 a step to E x^2, whatever sigma, where SGD's "
    "adds gamma^2 sigma^2]",
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

    Those follow from k(u) = exp(-u) - 1 + u: k(0) = 0 and k' = 1 - exp(-u). What is checked is these four identities; that
    exp(-u) <= 1 for u >= 0, so that k grows, and that an integral keeps the order, are the textbook steps.
    """
    u, y = Symbol("u", nonnegative=True), Symbol("y", nonnegative=True)
    k = exp(-u) - 1 + u
    facts = [k.subs(u, 0) == 0, simplify(diff(k, u) - (1 - exp(-u))) == 0]
    facts += [simplify((1 - y**2 / 2).integrate((y, 0, x)) - x * (1 - x**2 / 6)) == 0]
    facts += [simplify(sqrt(2 / pi) * exp(-(u**2) / 2).integrate((u, 0, oo)) - 1) == 0]
    detail = "exp(-u) >= 1 - u, integrated: four identities; monotone integrals are textbook"
    return Evidence("identity", "proved" if all(facts) else "refuted", detail, covers="bracket")


@scaling.repaired
def the_drift_is_gamma_times_it() -> Evidence:
    after = (1 + m) / 2 * (x - gamma) + (1 - m) / 2 * (x + gamma)
    return prove(Eq(after, x - gamma * m), kind="identity", covers="drift")


bracket = Claim(
    "sparse-noise-signsgd",
    f"{CAPTION} (ours: signSGD solved)",
    "E f(x_T) of signSGD (x_0 = ones) lies between the two closed forms of this file's header, with the 99 noiseless "
    "coordinates added, for 0 < gamma <= 2 and every T",
)


@bracket.printed
def the_lower_recursion() -> Evidence:
    """With m <= c|x|: E x'^2 >= r x^2 + gamma^2; from 1 that gives w + gamma (1-w)/(2c), w = r^T; r > 0 keeps the order."""
    c, w, X = Symbol("c", positive=True), Symbol("w", positive=True), Symbol("X", nonnegative=True)
    r = 1 - lost(gamma, c)

    def A(weight):
        return sign_law(weight, gamma, c)

    drift = Implies(And(m >= 0, m <= c * X), X**2 - 2 * gamma * X * m + gamma**2 >= r * X**2 + gamma**2)
    solved = And(Eq(A(r * w), r * A(w) + gamma**2), Eq(A(1), 1))
    return prove(And(drift, solved), [gamma <= 2, c <= Rational(1, 100)], covers="low")


@bracket.printed
def the_upper_recursion() -> Evidence:
    """With m >= c|x|(1 - x^2/(6 s)), s = sigma^2, and E x^4 <= M."""
    c, w, s, M = (Symbol(name, positive=True) for name in ("c", "w", "s", "M"))
    X = Symbol("X", nonnegative=True)
    r = 1 - lost(gamma, c)
    drift = Implies(
        m >= c * X * (1 - X**2 / (6 * s)),
        X**2 - 2 * gamma * X * m + gamma**2 <= r * X**2 + gamma**2 + gamma * c * X**4 / (3 * s),
    )

    def A(weight):
        return sign_law(weight, gamma, c, M / (6 * s))

    solved = And(Eq(A(r * w), r * A(w) + gamma**2 + gamma * c * M / (3 * s)), Eq(A(1), 1))
    return prove(And(drift, solved), [gamma <= 2, c <= Rational(1, 100)], covers="high")


@bracket.printed
def the_fourth_moment() -> Evidence:
    """E x'^4 <= x^4 + 6 gamma^2 x^2 + gamma^4 as x m >= 0; added up over t with E x^2 <= 1 + gamma^2 t it gives M."""
    T = Symbol("T", nonnegative=True)
    after = (1 + m) / 2 * (x - gamma) ** 4 + (1 - m) / 2 * (x + gamma) ** 4
    grows = Implies(x * m >= 0, after <= x**4 + 6 * gamma**2 * x**2 + gamma**4)

    def M(t):
        return fourth_moment(gamma, t)

    more = M(T + 1) - M(T) - 6 * gamma**2 * (1 + gamma**2 * T) - gamma**4
    return prove(And(grows, Eq(more.expand(), 0), Eq(M(0), 1)), covers="fourth moment")


@bracket.printed
def the_coordinates_without_noise() -> Evidence:
    """Down by gamma while x >= gamma, then never out of [-gamma, gamma], whatever sign(0) = z; above 2, |1 - gamma| >= 1."""
    z = Symbol("z", real=True)
    moves = And(Implies(x > 0, Abs(x - gamma) <= gamma), Implies(x < 0, Abs(x + gamma) <= gamma))
    stays = Implies(Abs(x) <= gamma, And(moves, Implies(Abs(z) <= 1, Abs(gamma * z) <= gamma)))
    return prove(And(stays, Implies(gamma >= 2, Abs(1 - gamma) >= 1)), covers="noiseless")


@bracket.printed
def exact_runs_without_noise_lie_between() -> Evidence:
    """99 coordinates in fractions: on both bounds on the way down, gamma = 1/10; between them after, gamma = 3/10; T = 4."""
    found = {}
    for step in (Fraction(1, 10), Fraction(3, 10)):
        end = exact.sign_sgd(lambda t, y: y, (1,) * (DIM - 1), [step] * 4)[-1]
        found[str(step)] = (*map(float, noiseless(float(step), 4)), float(sum(y * y for y in end) / 2))
    (low, high, f), (least, most, late) = found.values()
    good = max(abs(low - f), abs(high - f)) < 1e-12 and least <= late <= most
    good = good and abs(most - 99 * 0.09 / 2) < 1e-12  # gamma^2 each
    return Evidence("exact", "supported" if good else "refuted", f"(low, high, f): {found}", covers="noiseless")


@bracket.printed
def the_exact_law_lies_between() -> Evidence:
    """The code's two numbers, without the 99 coordinates, around the law on the lattice: a wrong code refutes."""
    found = {}
    for step, T in ((0.01, 100), (0.01, 3000), (0.1, 300), (0.001, 2000)):
        way, after = noiseless(step, T)
        found[f"gamma = {step}, T = {T}"] = (
            float(sign_low(step, T) - way),
            lattice_mean(step, T),
            float(sign_high(step, T) - after),
        )
    good = all(low * (1 - 1e-9) <= mean <= high * (1 + 1e-9) and high < 1.03 * low for low, mean, high in found.values())
    detail = "; ".join(f"{low:.5f} <= {mean:.5f} <= {high:.5f} ({at})" for at, (low, mean, high) in found.items())
    detail = f"E x_1^2/2: {detail}; rounding of 3000 steps below 1e-9"
    return Evidence("exact", "supported" if good else "refuted", detail, found, covers="high")


@bracket.printed
def simulated_means_lie_between(seed: int = 0) -> Evidence:
    """960 runs of the whole problem: outside by eight standard errors (1e-15 by the normal law) would refute."""
    worst = -np.inf
    for step in (0.01, 0.1):
        f = simulate(SparseNoise(), SignSGD(step), 400, runs=960, seed=seed, every=400, block=96)["f"][-1]
        sd = f.std() / np.sqrt(len(f))
        low, high = (float(bound(step, 400)) for bound in (sign_low, sign_high))
        worst = max(worst, (low - f.mean()) / sd, (f.mean() - high) / sd)
    outcome = "supported" if worst < 8 else "refuted"
    detail = f"mean of 960 runs above the bracket's nearer end by {worst:.1f} standard errors at most (inside if negative)"
    return Evidence("statistics", outcome, detail, {"worst": float(worst)}, covers="low")


if __name__ == "__main__":
    main(__file__)
