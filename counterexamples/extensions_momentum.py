r"""With momentum, Counterexample 1 extends for beta = 1/2 and not for 0.9 and 0.99; with rarer spikes it does for every beta.

Statement   "our counterexamples extend to SIGNSGD with momentum": m_t = g_t + beta m_{t-1}, x_{t+1} = x_t - gamma_t sign(m_t),
            beta = 0.5, 0.9, 0.99, on Counterexample 1: g = 4 w.p. 1/4, else -1, f(x) = x/4.
Source      Section 1, Our contributions; Section 2 (SIGNSGDM); Section 3, Counterexample 1
Idea        The drift of f is E sign(m). For beta = 1/2 the last four draws decide: m < 0 in most cases; P(m > 0) -> 112/247.
            For 0.9 and 0.99 m averages over so many draws that it is positive in most cases, and f falls. Rarer and larger
            spikes turn it for every beta: no spike among the last K draws has a chance above 1/2, and then m < 0.
Conventions any sign(0). Steps > 0 are fixed in advance. Before projection, as the identities of the paper (at the boundary
            nothing rises); what the constraint makes of it is a claim of its own, and simulated.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import log, sqrt

from sympy import And, Eq, Rational, Symbol

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove
from efcheck.methods import SignSGD
from efcheck.problems import Linear1D
from efcheck.simulate import simulate

SECTION = "Section 1, Our contributions (ours: part of extension-verbatim, momentum); Section 3, Counterexample 1"
HALF, NINE, MANY = Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)
SPIKE, REST, CHANCE = 4, -1, Fraction(1, 4)  # Counterexample 1: g = 4 w.p. 1/4, else -1
beta = Symbol("beta", positive=True)


def early(b: Fraction, t: int) -> tuple[Fraction, Fraction]:
    """P(m < 0), P(m > 0) after t draws from m = 0."""
    law = early_law(b, t)
    return sum((p for m, p in law.items() if m < 0), Fraction(0)), sum((p for m, p in law.items() if m > 0), Fraction(0))


def early_law(b: Fraction, t: int) -> dict[Fraction, Fraction]:
    """The law of m after t draws from m = 0, by enumeration of all of them."""
    law = {Fraction(0): Fraction(1)}
    for _ in range(t):
        new: dict[Fraction, Fraction] = {}
        for m, p in law.items():
            for g, q in ((SPIKE, CHANCE), (REST, 1 - CHANCE)):
                moved = g + b * m
                new[moved] = new.get(moved, Fraction(0)) + p * q
        law = new
    return law


def outward(p: int, q: int, up: int) -> int:
    """p/q rounded up for up = 1, down for up = -1."""
    return -(-p // q) if up == 1 else p // q


def late(b: Fraction, draws: int, grid: int) -> tuple[Fraction, Fraction]:
    """Lower bounds of P(m < 0), P(m > 0) that hold after t draws for every t >= draws, and in the stationary law.

    Whatever came before the last draws, m was between REST/(1-b) and SPIKE/(1-b). m -> g + b m is increasing: started at the
    lower end and rounded down to multiples of 1/grid, it stays below the true m for the same draws; likewise from above.
    """
    n, d = b.numerator, b.denominator
    bounds = []
    for up, end in ((1, SPIKE), (-1, REST)):
        law = {outward(end * grid * d, d - n, up): 1}  # in units of 1/grid
        for _ in range(draws):
            new: dict[int, int] = {}
            for k, w in law.items():
                for g, p in ((SPIKE, CHANCE.numerator), (REST, CHANCE.denominator - CHANCE.numerator)):
                    total = g * grid * d + n * k
                    moved = outward(total, d, up)
                    new[moved] = new.get(moved, 0) + p * w
            law = new
        bounds.append(Fraction(sum(w for k, w in law.items() if k * up < 0), CHANCE.denominator**draws))
    assert sum(bounds) <= 1, "two lower bounds of disjoint events"
    return bounds[0], bounds[1]


def drift_simulated(b: Fraction, rises: bool, seed: int, runs: int = 2000, T: int = 1000) -> Evidence:
    """E f(x_T) - f(x_0) on [-1, 1], gamma = 1/16: its sign, by Hoeffding's inequality for runs in [-1/4, 1/4]."""
    last = simulate(Linear1D(), SignSGD(1 / 16, beta=float(b)), T, runs=runs, seed=seed, every=T)["f"][-1]
    mean, width = float(last.mean()), 0.5 * sqrt(log(2 / 1e-6) / (2 * runs))
    outcome = "undecided" if abs(mean) <= width else "supported" if (mean > 0) == rises else "refuted"
    detail = f"beta = {b}, on [-1, 1], gamma = 1/16: E f(x_{T}) = {mean:+.3f} +- {width:.3f} (1 - 1e-6), f(x_0) = 0"
    return Evidence("statistics", outcome, detail, {"mean": mean, "width": width}, covers=f"beta = {b}")


def rising(b: Fraction, **expected: str) -> Claim:
    name = f"{float(b):g}"
    statement = (
        f"Counterexample 1 extends to SIGNSGDM with beta = {name}: before projection, E f(x_{{t+1}}) > E f(x_t) "
        "for all large t, for any steps > 0 fixed in advance"
    )
    return Claim(f"extension-momentum-1-beta-{name}", SECTION, statement, **expected)


SPIKES = (
    "before projection, E f(x_{t+1}) < E f(x_t) for all large t; with g = 2K+1 w.p. p = 1/(2K+1), else -1, "
    "K >= 1 + 8 beta^2/(1-beta)^2, E f(x_{t+1}) > E f(x_t) for all t, for each beta in (0, 1), any steps > 0 fixed in "
    "advance, and every sign(0)"
)
one_half = rising(HALF)
one_nine = rising(NINE, repaired=SPIKES, expect="refuted")
one_many = rising(MANY, repaired=SPIKES, expect="refuted")
constrained = Claim(
    "extension-momentum-1-constrained",
    f"(ours: with the projection) {SECTION}",
    "on [-1, 1] from x_0 = 0 with gamma = 1/16: E f(x_1000) > f(x_0) for beta = 0.5, E f(x_1000) < f(x_0) for 0.9 and 0.99",
    expect="supported",
)


@one_half.printed
def the_last_four_draws_decide() -> Evidence:
    """P(m_t < 0) > 1/2 at every t: exact for t < 4, by the last four draws for t >= 4 (so f rises at every single step)."""
    start = [early(HALF, t)[0] for t in (1, 2, 3)]
    after = late(HALF, 4, 1024)[0]
    good = min(*start, after) > HALF
    detail = f"P(m < 0) = {', '.join(map(str, start))} at t = 1, 2, 3 and >= {after} at every t >= 4, whatever sign(0) is"
    return Evidence("exact", "proved" if good else "refuted", detail, {"early": start, "late": after}, covers="drift")


@one_half.printed
def the_enumerated_laws_have_the_moments_of_a_sum() -> Evidence:
    """m_t = sum of b^i g_i over i < t, independent: E m = E g (1 - b^t)/(1 - b), Var m = Var g (1 - b^2t)/(1 - b^2)."""
    mean, square = (CHANCE * SPIKE**k + (1 - CHANCE) * REST**k for k in (1, 2))
    good, b = True, HALF
    for t in (1, 2, 3):
        law = early_law(b, t)
        first, second = (sum(p * m**k for m, p in law.items()) for k in (1, 2))
        good &= sum(law.values()) == 1 and first == mean * (1 - b**t) / (1 - b)
        good &= second - first**2 == (square - mean**2) * (1 - b ** (2 * t)) / (1 - b**2)
    return Evidence("exact", "proved" if good else "refuted", "mass, mean and variance at t = 1, 2, 3", covers="drift")


@one_half.printed
def the_stationary_chance_is_112_of_247() -> Evidence:
    """m > 0 iff the digits U = 0.b_t b_{t-1} ... exceed 1/5 = 0.0011 0011 ...: P = 7/16 + (9/256) P."""
    q = Rational(CHANCE.numerator, CHANCE.denominator)
    p = (q + (1 - q) * q) / (1 - (1 - q) ** 2 * q**2)
    low, high = late(HALF, 12, 64)
    inside = low <= 1 - Fraction(int(p.p), int(p.q)) and high <= Fraction(int(p.p), int(p.q)) and p == Rational(112, 247)
    detail = f"P(m > 0) = {p} = {float(p):.4f}; brackets: P(m < 0) >= {float(low):.4f}, P(m > 0) >= {float(high):.4f}"
    return Evidence("exact", "proved" if inside else "refuted", detail, covers="limit")


@constrained.printed
def simulated_runs_end_above_the_start(seed: int = 0) -> Evidence:
    return drift_simulated(HALF, True, seed)


@constrained.printed
def simulated_runs_of_nine_fall(seed: int = 0) -> Evidence:
    return drift_simulated(NINE, False, seed)


@constrained.printed
def simulated_runs_of_ninety_nine_fall(seed: int = 0) -> Evidence:
    return drift_simulated(MANY, False, seed)


def positive_in_the_long_run() -> Evidence:
    positive = late(NINE, 40, 20)[1]
    outcome = "refuted" if positive > HALF else "undecided"
    detail = f"P(m_t > 0) >= {float(positive):.4f} for every t >= 40 (exact rational bracket): f falls"
    return Evidence("exact", outcome, detail, {"at_least": positive}, covers="drift")


def cantelli_in_the_long_run(b: Fraction = MANY, t: int = 200) -> Evidence:
    """P(m_t <= 0) <= V/(V + mu^2), and V_t/mu_t^2 = 75 (1+b^t)(1-b)/((1+b)(1-b^t)) falls with t."""
    mean = CHANCE * SPIKE + (1 - CHANCE) * REST
    var = CHANCE * (1 - CHANCE) * (SPIKE - REST) ** 2
    ratio = var / mean**2 * (1 + b**t) * (1 - b) / ((1 + b) * (1 - b**t))
    outcome = "refuted" if mean > 0 and ratio < 1 else "undecided"
    detail = f"P(m_t > 0) >= {float(1 / (1 + ratio)):.3f} for every t >= {t} (Cantelli's inequality, exact moments): f falls"
    return Evidence("exact", outcome, detail, {"ratio": float(ratio)}, covers="drift")


@one_nine.printed
def most_m_are_positive_for_nine() -> Evidence:
    return positive_in_the_long_run()


@one_many.printed
def most_m_are_positive_for_ninety_nine() -> Evidence:
    return cantelli_in_the_long_run()


def contrary(found: Evidence) -> Evidence:
    """What refutes that f rises proves that it falls."""
    return replace(found, outcome="proved" if found.outcome == "refuted" else "undecided", covers="falls")


@one_nine.repaired
def it_falls_for_nine() -> Evidence:
    return contrary(positive_in_the_long_run())


@one_many.repaired
def it_falls_for_ninety_nine() -> Evidence:
    return contrary(cantelli_in_the_long_run())


@one_nine.repaired
@one_many.repaired
def without_a_spike_m_is_negative() -> Evidence:
    """No spike among the last K: m <= -(1-w)/(1-beta) + w (2K+1)/(1-beta), w = beta^K; negative iff w (2K+2) < 1. For t < K
    draws without a spike m is negative anyway, and (1-p)^t >= (1-p)^K.
    """
    w, k = Symbol("w", positive=True), Symbol("K", positive=True)
    bound = (-(1 - w) + w * (2 * k + 1)) / (1 - beta)
    return prove(bound < 0, [beta < 1, w * (2 * k + 2) < 1], covers="m < 0")


@one_nine.repaired
@one_many.repaired
def a_power_grows_faster_than_its_binomial_bound() -> Evidence:
    """(1+s)^K >= 1 + K s + K(K-1) s^2/2, s = 1/beta - 1: equal at K = 1, and the step of the induction."""
    s, k = Symbol("s", positive=True), Symbol("K", positive=True)
    lower = 1 + k * s + k * (k - 1) * s**2 / 2
    return prove(And(Eq(lower.subs(k, 1), 1 + s), lower.subs(k, k + 1) <= lower * (1 + s)), [k >= 1], covers="binomial bound")


@one_nine.repaired
@one_many.repaired
def such_a_window_exists() -> Evidence:
    """beta^K (2K+2) < 1 if the binomial bound of beta^-K exceeds 2K+2."""
    s, k = Symbol("s", positive=True), Symbol("K", positive=True)
    return prove(1 + k * s + k * (k - 1) * s**2 / 2 > 2 * k + 2, [k >= 1 + 8 / s**2], covers="window")


@one_nine.repaired
@one_many.repaired
def no_spike_is_likely_and_the_mean_is_positive() -> Evidence:
    """(1-p)^K >= 1 - K p (induction), K p = K/(2K+1) < 1/2; E g = p > 0."""
    k, r = Symbol("K", positive=True), Symbol("r", nonnegative=True)  # r stands for (1-p)^j >= 1 - j p
    p, j = 1 / (2 * k + 1), Symbol("j", nonnegative=True)
    grows = r * (1 - p) >= 1 - (j + 1) * p
    facts = And(grows, 1 - k * p > Rational(1, 2), Eq(((2 * k + 1) * p - (1 - p)).simplify(), p))
    return prove(facts, [r >= 1 - j * p, k >= 1], covers="chance")


@one_nine.repaired
@one_many.repaired
def windows_in_numbers() -> Evidence:
    windows = {HALF: 4, NINE: 45, MANY: 750}
    good = all(b**k * (2 * k + 2) < 1 and (1 - Fraction(1, 2 * k + 1)) ** k > HALF for b, k in windows.items())
    detail = "; ".join(f"beta = {b}: g = {2 * k + 1} w.p. 1/{2 * k + 1}, else -1, K = {k}" for b, k in windows.items())
    return Evidence("exact", "proved" if good else "refuted", detail, covers="numbers")


if __name__ == "__main__":
    main(__file__)
