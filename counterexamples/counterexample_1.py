r"""Counterexample 1: one-step identities hold away from the boundary, and what the projected methods converge to.

Statement   min over [-1, 1] of f(x) = x/4, with g = 4 w.p. 1/4 and -1 w.p. 3/4. "For SGD with any step-size gamma,
            E f(x_{t+1}) = f(x_t) - gamma/16 [...] for SIGNSGD with any fixed gamma, E f(x_{t+1}) = f(x_t) + gamma/8,
            i.e. the objective function increases in expectation for gamma >= 0."
Source      Section 3, Counterexample 1, Remark 1 and the sentences around them
Idea        The identities ignore the constraint that the example itself states: at x = 1 a projected signSGD step cannot
            increase f, at x = -1 a projected SGD step cannot decrease it. With gamma = 1/m and x_0 = 0 all iterates lie on
            the lattice {-1, ..., -1/m, 0, 1/m, ..., 1}, so the stationary laws are exact: signSGD's is geometric with ratio
            3 and sits at the worst end for every m; SGD's tightens around the best one as gamma -> 0, but for gamma = 1
            and 1/2 SGD, too, ends above its start.
Conventions none: g is never 0.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from sympy import And, Eq, Implies, Max, Min, Rational, Symbol

from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, dkw, prove
from efcheck.methods import SGD, SignSGD
from efcheck.problems import Linear1D
from efcheck.simulate import simulate

SECTION = "Section 3, Counterexample 1"
OUTCOMES = ((4, Rational(1, 4)), (-1, Rational(3, 4)))  # (g, probability)
x = Symbol("x", real=True)
gamma = Symbol("gamma", nonnegative=True)
feasible = And(x >= -1, x <= 1)


def f(z):
    """The objective, x/4."""
    return z / 4


def project(z):
    """Onto [-1, 1]."""
    return Min(Max(z, -1), 1)


def sgn(g: int) -> int:
    return (g > 0) - (g < 0)


def one_step(update: Callable[[int], object], constraint=lambda z: z):
    """E_t f(x_{t+1}) of x_{t+1} = constraint(x - gamma update(g)), as SymPy."""
    return sum(p * f(constraint(x - gamma * update(g))) for g, p in OUTCOMES)


# -- the stochastic gradient -------------------------------------------------------------------------------------------

mean = Claim("counterexample-1-mean", SECTION, "f(x) = (4x - x - x - x)/4 and E[g] = grad f(x) = 1/4")


@mean.printed
def the_four_pieces_add_up() -> Evidence:
    return prove(Eq((4 * x - x - x - x) / 4, f(x)), kind="identity", covers="f")


@mean.printed
def the_mean_is_the_gradient() -> Evidence:
    return prove(Eq(sum(p * g for g, p in OUTCOMES), f(x).diff(x)), kind="identity", covers="E[g]")


minimum = Claim("counterexample-1-minimum", SECTION, "the minimum over [-1, 1] is at x* = -1, and there only")


@minimum.printed
def everything_else_is_higher() -> Evidence:
    return prove(f(x) > Linear1D().f_star, [x > -1, x <= 1], covers="minimum")


@minimum.printed
def the_problem_has_that_minimum() -> Evidence:
    return prove(Eq(f(Rational(Linear1D().x_star[0])), Rational(Linear1D().f_star)), kind="identity", covers="problem")


remark = Claim(
    "counterexample-1-remark",
    "Remark 1",
    "the sign operator loses track of the magnitude: E[sign(g)] points against E[g], while |g| sign(g) has the mean of g",
)


@remark.printed
def the_magnitude_is_what_is_missing() -> Evidence:
    with_it = sum(p * abs(g) * sgn(g) for g, p in OUTCOMES)
    without = sum(p * sgn(g) for g, p in OUTCOMES)
    return prove(And(Eq(with_it, f(x).diff(x)), without * f(x).diff(x) < 0))


# -- the two one-step identities ---------------------------------------------------------------------------------------

sgd = Claim(
    "counterexample-1-sgd",
    SECTION,
    "SGD on [-1, 1], any gamma >= 0: E_t f(x_{t+1}) = f(x_t) - gamma/16",
    repaired="it holds before projection for all x, and with it where -1 + 4 gamma <= x <= 1 - gamma",
    expect="refuted",
)


@sgd.printed
def sgd_cannot_decrease_at_the_minimum() -> Evidence:
    return prove(Eq(one_step(lambda g: g, project), f(x) - gamma / 16), [feasible])


@sgd.repaired
def sgd_before_projection() -> Evidence:
    return prove(Eq(one_step(lambda g: g), f(x) - gamma / 16), kind="identity", covers="before projection")


@sgd.repaired
def sgd_away_from_the_boundary() -> Evidence:
    inside = [x - 4 * gamma >= -1, x + gamma <= 1]
    return prove(Eq(one_step(lambda g: g, project), f(x) - gamma / 16), inside, covers="with projection")


signsgd = Claim(
    "counterexample-1-signsgd",
    SECTION,
    "SIGNSGD on [-1, 1], any fixed gamma >= 0: E_t f(x_{t+1}) = f(x_t) + gamma/8",
    repaired="it holds before projection for all x, and with it where -1 + gamma <= x <= 1 - gamma",
    expect="refuted",
)


@signsgd.printed
def signsgd_cannot_increase_at_the_worst_point() -> Evidence:
    return prove(Eq(one_step(sgn, project), f(x) + gamma / 8), [feasible])


@signsgd.repaired
def signsgd_before_projection() -> Evidence:
    return prove(Eq(one_step(sgn), f(x) + gamma / 8), kind="identity", covers="before projection")


@signsgd.repaired
def signsgd_away_from_the_boundary() -> Evidence:
    return prove(Eq(one_step(sgn, project), f(x) + gamma / 8), [x - gamma >= -1, x + gamma <= 1], covers="with projection")


increase = Claim(
    "counterexample-1-increase",
    SECTION,
    "the objective increases in expectation for gamma >= 0 (SIGNSGD on [-1, 1])",
    repaired="it increases for gamma > 0 wherever x < 1 - gamma/3; while x - gamma >= -1, only there",
    expect="refuted",
)


@increase.printed
def not_at_gamma_zero_nor_at_the_worst_point() -> Evidence:
    return prove(one_step(sgn, project) > f(x), [feasible])


@increase.repaired
def it_increases_below_the_threshold() -> Evidence:
    return prove(one_step(sgn, project) > f(x), [feasible, gamma > 0, x < 1 - gamma / 3], covers="if")


@increase.repaired
def and_not_above_it() -> Evidence:
    return prove(one_step(sgn, project) <= f(x), [feasible, x - gamma >= -1, x >= 1 - gamma / 3], covers="only if")


# -- where the projected methods go --------------------------------------------------------------------------------------


def law(gradient: Callable[[int], int], m: int) -> list[Fraction]:
    """The stationary law on the 2m+1 points k/m of x <- project(x - gradient(g)/m), solved in fractions."""
    size = 2 * m + 1
    move = [[Fraction(0)] * size for _ in range(size)]
    for k in range(size):
        for g, p in OUTCOMES:
            move[k][min(max(k - gradient(g), 0), size - 1)] += Fraction(int(p.p), int(p.q))
    # pi (P - I) = 0 with the last equation replaced by sum pi = 1
    rows = [[move[j][i] - (i == j) for j in range(size)] + [Fraction(0)] for i in range(size - 1)]
    rows.append([Fraction(1)] * (size + 1))
    for i in range(size):
        pivot = next(r for r in range(i, size) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [v / rows[i][i] for v in rows[i]]
        for r in range(size):
            if r != i and rows[r][i]:
                factor = rows[r][i]
                rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i], strict=True)]
    return [row[-1] for row in rows]


def expected_gap(pi: list[Fraction]) -> Fraction:
    """E f - f* under the law."""
    m = (len(pi) - 1) // 2
    return sum((p * Fraction(k, 4 * m) for k, p in enumerate(pi)), Fraction(0))


limit = Claim(
    "counterexample-1-limit",
    "Section 3, first sentence and Counterexample 1",
    "with a fixed step size gamma >= 0 SIGNSGD does not converge even for simple one-dimensional linear functions",
    repaired="for every gamma > 0 and every t, E f(x_{t+1}) - f* >= 3 min(gamma, 2)/16 > 0, wherever it starts; it is as true "
    "of SGD (what differs is gamma -> 0, see counterexample-1-contrast). With gamma = 0 both stay at x_0, which may be x*",
    expect="refuted",
)


def stays_away(step: Callable[[int], int]):
    """E f(x_{t+1}) - f* is bounded below whatever x_t in [-1, 1] is: g = -1 leads up, w.p. 3/4, for SGD and signSGD alike."""
    bound = Rational(3, 16) * Min(gamma, 2)
    return And(one_step(step, project) + Rational(1, 4) >= bound, bound > 0)


@limit.printed
def not_with_step_zero() -> Evidence:
    return prove(one_step(sgn, project) > Rational(-1, 4), [feasible])


@limit.repaired
def signsgd_leaves_the_minimum_with_probability_three_quarters() -> Evidence:
    return prove(stays_away(sgn), [feasible, gamma > 0], covers="SIGNSGD")


@limit.repaired
def and_so_does_sgd() -> Evidence:
    return prove(stays_away(int), [feasible, gamma > 0], covers="SGD")


@limit.repaired
def with_step_zero_nothing_moves() -> Evidence:
    there = And(*(Eq(project(x - 0 * sgn(g)), x) for g, _ in OUTCOMES))
    return prove(there, [feasible], covers="gamma = 0")


contrast = Claim(
    "counterexample-1-contrast",
    SECTION,
    "for SGD with any step-size [the objective decreases]; on the other hand, for SIGNSGD with any fixed gamma it increases. "
    "Read on the constrained problem, as a statement about the stationary law (gamma = 1/m, from x_0 = 0)",
    repaired="SIGNSGD's stationary law is pi_k ~ 3^k, above the start for every m and tending to max f as gamma -> 0; "
    "SGD's objective is below the start and below f* + 5 gamma/2 for m = 3, 4, 6, 8, 16, 32, and above the start for "
    "gamma = 1 and 1/2",
    expect="refuted",
)
START = Fraction(1, 4)  # f(x_0) - f*


@contrast.printed
def large_steps_of_sgd_increase_the_objective_too() -> Evidence:
    gaps = {m: (expected_gap(law(int, m)), expected_gap(law(sgn, m))) for m in (8, 4, 2, 1)}
    wrong = {m: pair for m, pair in gaps.items() if not pair[0] < START < pair[1]}
    if not wrong:
        return Evidence("exact", "supported", "SGD < start < signSGD for gamma = 1, 1/2, 1/4, 1/8", gaps)
    m = min(wrong)
    detail = f"gamma = 1/{m}: E f - f* = {wrong[m][0]} (SGD) and {wrong[m][1]} (signSGD) under the stationary laws, start 1/4"
    return Evidence("witness", "refuted", detail, {"m": m, "SGD": wrong[m][0], "signSGD": wrong[m][1]})


@contrast.repaired
def the_geometric_law_balances_every_edge() -> Evidence:
    """Detailed balance of pi_k = 3^k across k -> k+1, any k: w stands for 3^k > 0. It implies stationarity for every m."""
    w = Symbol("w", positive=True)
    up, down = OUTCOMES[1][1], OUTCOMES[0][1]
    return prove(Eq(w * up, 3 * w * down), kind="identity", covers="signSGD's law")


@contrast.repaired
def the_solved_law_is_the_geometric_one() -> Evidence:
    """The linear system of the chain, solved in fractions without knowing the answer."""
    for m in (1, 2, 4, 8):
        weights = [Fraction(3) ** k for k in range(2 * m + 1)]
        if law(sgn, m) != [w / sum(weights) for w in weights]:
            return Evidence("exact", "refuted", f"the law for m = {m} is another one", covers="signSGD's law")
    return Evidence("exact", "proved", "solved law = 3^k/sum for m = 1, 2, 4, 8", covers="signSGD's law")


@contrast.repaired
def its_objective_has_a_closed_form() -> Evidence:
    """max f - E f = (gamma/4) (1/2 - (N+1)/(3^(N+1) - 1)), N = 2m, hence <= gamma/8 -> 0 and below 1/4 for every m.

    With J_N = sum_j j 3^(N-j), distance from the top times weight: J_{N+1} = 3 J_N + N + 1 and J_N = (3^(N+1) - 2N - 3)/4,
    by induction; w stands for 3^(N+1).
    """
    w, n = Symbol("w", positive=True), Symbol("N", nonnegative=True)
    series = (w - 2 * n - 3) / 4
    start = Eq(series.subs({w: 3, n: 0}), 0)
    induction = Eq(3 * series + n + 1, series.subs({w: 3 * w, n: n + 1}, simultaneous=True))
    mean = Eq(series / ((w - 1) / 2), Rational(1, 2) - (n + 1) / (w - 1))
    return prove(And(start, induction, mean), [w >= 3], covers="signSGD's objective")


@contrast.repaired
def it_is_above_the_start_for_every_m() -> Evidence:
    """max f - E f <= gamma/8 <= 1/8 with gamma = 1/m, m >= 1, while max f - f(x_0) = 1/4; the subtracted term is > 0."""
    m, w = Symbol("m", positive=True), Symbol("w", positive=True)
    below_max = (Rational(1, 2) - (2 * m + 1) / (w - 1)) / (4 * m)
    bounds = And(below_max <= 1 / (8 * m), below_max < Rational(1, 4))
    return prove(bounds, [m >= 1, w > 1], covers="signSGD above the start")


@contrast.repaired
def every_chain_reaches_one_state_and_may_stay_there() -> Evidence:
    """From every point g = -1 leads up, and at the top it stays (w.p. 3/4): one aperiodic class, so the law is the limit."""
    stays = And(Eq(project(1 + gamma), 1), Implies(x < 1, project(x + gamma) > x))
    return prove(stays, [feasible, gamma > 0], covers="the law is the limit")


@contrast.repaired
def the_closed_form_is_that_of_the_solved_laws() -> Evidence:
    gaps = {m: Fraction(1, 2) - expected_gap(law(sgn, m)) for m in (1, 2, 4, 8, 16)}
    formula = {m: Fraction(1, 4 * m) * (Fraction(1, 2) - Fraction(2 * m + 1, 3 ** (2 * m + 1) - 1)) for m in gaps}
    detail = "the closed form equals the mean of the solved law for m = 1, 2, 4, 8, 16"
    return Evidence("exact", "proved" if gaps == formula else "refuted", detail, gaps, covers="signSGD's objective")


@contrast.repaired
def sgd_tightens_with_gamma() -> Evidence:
    gaps = {m: expected_gap(law(int, m)) for m in (1, 2, 3, 4, 6, 8, 16, 32)}
    small = all(gap < min(START, Fraction(5, 2 * m)) for m, gap in gaps.items() if m >= 3)
    good = small and gaps[1] > START and gaps[2] > START
    detail = "E f - f* = " + ", ".join(f"{float(g):.4f} (gamma = 1/{m})" for m, g in gaps.items())
    return Evidence("exact", "proved" if good else "refuted", detail, gaps, covers="SGD's objective")


@contrast.repaired
def simulated_signsgd_follows_the_law(seed: int = 0) -> Evidence:
    return _simulated(SignSGD(1 / 8), sgn, seed).covering("signSGD's law")


@contrast.repaired
def simulated_sgd_follows_its_law(seed: int = 0) -> Evidence:
    return _simulated(SGD(1 / 8), int, seed).covering("SGD's objective")


def _simulated(method, step: Callable[[int], int], seed: int, runs: int = 4000, T: int = 600) -> Evidence:
    """x_T of independent runs against the exact law at T = 600, which is the stationary one to 1e-9; gamma = 1/8 is dyadic."""
    m = 8
    pi = np.array([float(p) for p in law(step, m)])
    last = simulate(Linear1D(), method, T, runs=runs, seed=seed, record=("x",), every=T)["x"][-1, :, 0]
    return dkw(last, np.arange(-m, m + 1) / m, pi)


@contrast.picture
def where_the_two_methods_live(left, right):
    m, sizes = 8, (1, 2, 3, 4, 6, 8, 16)
    steps, points = [1 / k for k in sizes], np.arange(-m, m + 1) / m
    for step, color, mark, name in ((sgn, "#D55E00", "s--", "signSGD"), (int, "#000000", "o-", "SGD")):
        look = {"fill": step is int, "hatch": "////" if step is sgn else "", "edgecolor": color}
        left.bar(points, [float(p) for p in law(step, m)], 0.9 / m, color=color, label=name, **look)
        right.plot(steps, [float(expected_gap(law(step, k))) for k in sizes], mark, color=color, label=name)
    left.set(xlabel="$x$", ylabel=rf"stationary probability, $\gamma = 1/{m}$")
    right.axhline(float(START), color="#6A6A6A", linewidth=0.8, linestyle=":", label="at the start")
    right.set(xlabel=r"$\gamma$ (log)", ylabel="stationary E $f - f^*$", xscale="log", ylim=(0, 0.55))
    left.legend(loc="upper center")
    right.legend(loc="upper center", bbox_to_anchor=(0.4, 0.75))
    return (
        f"Left: the solved stationary laws for gamma = 1/{m}: signSGD is near x = 1, where f is largest, SGD near x* = -1. "
        "Right: E f - f* under them: as gamma falls, SGD's goes to 0 and signSGD's to the largest value of f."
    )


if __name__ == "__main__":
    main(__file__)
