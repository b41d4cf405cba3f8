r"""Which draws give Figure 3, in closed form; its test loss does not go to 0, and its step sizes are not the fastest.

Statement   Contribution 3: "EF-SIGNSGD approaches the linear span of the past gradients. Therefore, unlike SIGNSGD, EF-SIGNSGD
            converges to the max-margin solution in over-parameterized least-squares." Section 5: SGD reaches the max-margin
            solution. Section 5.2: the step-size and beta "are tuned to obtain fastest convergence, but the results are
            representative across parameter choices"; EF-SIGNSGD's distance to the span "(and the test loss) goes to 0". A.6:
            n = 200, d = 6n, "100 data points each of dimension 1200 in the test and train".
Source      Sections 1, 5 and 5.2, Figure 3, A.6
Idea        In the four numbers of `_wilson.py`. The solution of least norm is A^T alpha with alpha = (a, ..., b, ...):
            (3k+1) a + l b = 1, k a + (3l+5) b = -1, so a = (4l+5)/D, b = -(4k+1)/D, D = 8kl + 15k + 3l + 5; every
            y_i alpha_i > 0, hence it is the max-margin solution; its test loss is mu a^2 + 25 (1 - mu) b^2 > 0, mu = m/n.
            With k > l, scaled SIGNSGD runs straight: x_t = (1 - r^t)/4 (1, 1, 1, -1), r = 1 - 16 gamma/d, for every n, k, l,
            because no residual changes its sign and ||g||_1 = 4 r^t whatever k is.
Conventions As in `generalization.py`.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import comb
from pathlib import Path

import numpy as np
from sympy import And, Eq, Implies, Rational, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.problems import wilson_data

wilson = content.load(Path(__file__).with_name("_wilson.py"))

F = Fraction
ALL = range(wilson.N + 1)
k, l = Symbol("k", nonnegative=True), Symbol("l", nonnegative=True)  # noqa: E741 -- the letters of the text
a, b, mu = Symbol("a", real=True), Symbol("b", real=True), Symbol("mu", real=True)
DET = 8 * k * l + 15 * k + 3 * l + 5
LEAST = And(Eq((3 * k + 1) * a + l * b, 1), Eq(k * a + (3 * l + 5) * b, -1))


def multipliers(ones: int, n: int = wilson.N) -> tuple[Fraction, Fraction]:
    """alpha of a point with y = 1 and of one with y = -1; 0 for a class without points."""
    rest = n - ones
    if ones == 0 or rest == 0:
        return (F(1, 3 * ones + 1), F(0)) if rest == 0 else (F(0), F(-1, 3 * rest + 5))
    det = 8 * ones * rest + 15 * ones + 3 * rest + 5
    return F(4 * rest + 5, det), F(-4 * ones - 1, det)


def least_norm(ones: int, n: int = wilson.N) -> tuple[Fraction, ...]:
    """The solution of least norm as (x1, x2, p, q)."""
    up, down = multipliers(ones, n)
    return ones * up - (n - ones) * down, ones * up + (n - ones) * down, up, down


# -- SGD and the max-margin solution --------------------------------------------------------------------------------------

margin = Claim(
    "generalization-max-margin",
    "Section 5; Section 5.1; contribution 3",
    "on the data of A.6 the solution of least norm is the max-margin solution, and SGD with step 1/2 converges to it",
)


@margin.printed
def every_point_is_a_support_vector() -> Evidence:
    """y_i alpha_i > 0 for both classes: the KKT conditions of min ||x|| with y_i <a_i, x> >= 1 hold at the interpolant."""
    return prove(Implies(LEAST, And(Eq(a * DET, 4 * l + 5), Eq(b * DET, -(4 * k + 1)), a > 0, b < 0)), covers="max margin")


@margin.printed
def sgd_contracts_on_every_draw() -> Evidence:
    """Residuals r <- (I - gamma K/n) r, K = [[3k+1, l], [k, 3l+5]]; Jury's conditions on trace and determinant, for every k.

    x_t stays in the span of the rows, so the limit of residual 0 is the solution of least norm.
    """
    gamma = F(1, 2)
    for ones in ALL:
        rest, step = wilson.N - ones, gamma / wilson.N
        rows = [[1 - step * (3 * ones + 1), -step * rest], [-step * ones, 1 - step * (3 * rest + 5)]]
        if ones == 0 or rest == 0:  # one class only: one residual
            stable = abs(rows[0][0] if rest == 0 else rows[1][1]) < 1
        else:
            trace, det = rows[0][0] + rows[1][1], rows[0][0] * rows[1][1] - rows[0][1] * rows[1][0]
            stable = abs(det) < 1 and abs(trace) < 1 + det
        if not stable:
            return Evidence("exact", "refuted", f"k = {ones}: the residuals do not contract", {"k": ones}, covers="SGD")
    return Evidence("exact", "proved", "both eigenvalues inside the unit circle for k = 0, ..., 100", covers="SGD")


test_limit = Claim(
    "generalization-test-limit",
    "Figure 3, caption; Section 5.2",
    "as its train loss and its distance to the span go to 0, EF-SIGNSGD's test loss goes to 0",
    repaired="it then goes to mu a^2 + 25 (1 - mu) b^2 > 0, with a = (4l+5)/D, b = -(4k+1)/D, D = 8kl + 15k + 3l + 5: that of "
    "SGD, and 0.0012 on a balanced draw",
    expect="refuted",
)


@test_limit.printed
def a_solution_in_the_span_has_a_positive_test_loss() -> Evidence:
    """Refuted on the balanced draw, k = l = m = 50: the limit is fixed by the two limits to 0, and it is not 0."""
    up, down = multipliers(50)
    loss = (up**2 + 25 * down**2) / 2
    return Evidence(
        "exact", "supported" if loss == 0 else "refuted", f"k = l = m = 50: the limit is {loss} = {float(loss):.4g}"
    )


@test_limit.repaired
def it_is_positive_on_every_draw() -> Evidence:
    loss = mu * a**2 + 25 * (1 - mu) * b**2
    return prove(Implies(LEAST, loss > 0), [mu >= 0, mu <= 1], covers="positive")


@test_limit.repaired
def the_test_residuals_are_the_private_coordinates() -> Evidence:
    x1, x2 = k * a - l * b, k * a + l * b
    same = And(Eq((x1 + 2 * x2 - 1) ** 2, a**2), Eq((-x1 + 2 * x2 + 1) ** 2, 25 * b**2))
    return prove(Implies(LEAST, same), covers="formula")


@test_limit.repaired
def the_balanced_draw_in_numbers() -> Evidence:
    up, down = multipliers(50)
    loss = (up**2 + 25 * down**2) / 2
    outcome = "proved" if abs(loss - F("0.0012")) <= F("0.00005") else "refuted"
    return Evidence("exact", outcome, f"{loss} = {float(loss):.5g}", covers="balanced")


@test_limit.repaired
def sgd_is_there_after_80_epochs() -> Evidence:
    states = wilson.paths(wilson.FIGURE_3["SGD"])[50]
    found, (up, down) = wilson.test_loss(states[-1], 50), multipliers(50)
    far = abs(found - (up**2 + 25 * down**2) / 2)
    return Evidence("exact", "proved" if far < F("1e-12") else "refuted", f"k = m = 50: off by {float(far):.1e}", covers="SGD")


# -- which draws ----------------------------------------------------------------------------------------------------------

separation = Claim(
    "generalization-separation",
    "Figure 3 (what separates the draws on which it appears)",
    "if the train half has more labels +1 than -1, scaled SIGNSGD with 0 < gamma < d/16 follows x_t = (1 - r^t)/4 (1, 1, 1, "
    "-1), r = 1 - 16 gamma/d; its test loss tends to (25 - 24 mu)/16, above 0.8 iff at most 50 of the 100 test labels are +1",
)
u, rest, n = Symbol("u", real=True), Symbol("r", positive=True), Symbol("n", positive=True)


@separation.printed
def one_step_along_the_line() -> Evidence:
    """At x = u (1, 1, 1, -1): residuals -+(1 - 4u), gradient signs (-, -, -, +), a step of 4 gamma (1 - 4u)/d."""
    up, down = u + 2 * u + u - 1, -u + 2 * u - 5 * u + 1
    g1, g2, gp, gq = k * up - l * down, k * up + l * down, up, down
    size = -g1 - 2 * g2 - k * gp + 5 * l * gq
    signs = And(g1 < 0, g2 < 0, gp < 0, gq > 0)
    return prove(And(signs, Eq(size, 4 * (k + l) * (1 - 4 * u))), [k > l, 4 * u < 1], covers="step")


@separation.printed
def the_remainder_shrinks_by_r() -> Evidence:
    gamma, d = Symbol("gamma", positive=True), Symbol("d", positive=True)
    new = u + gamma * 4 * (1 - 4 * u) / d
    factor = 1 - 16 * gamma / d
    return prove(And(Eq(1 - 4 * new, factor * (1 - 4 * u)), factor > 0, factor < 1), [16 * gamma < d], covers="induction")


@separation.printed
def the_limit_and_its_threshold() -> Evidence:
    """At u = 1/4 the test residuals are -1/4 and 5/4; 0.8 separates m = 50 from m = 51."""
    loss = mu * Rational(1, 16) + (1 - mu) * Rational(25, 16)
    halves = And(
        Implies(mu <= Rational(50, 100), loss > Rational(4, 5)), Implies(mu >= Rational(51, 100), loss < Rational(4, 5))
    )
    return prove(And(Eq(16 * loss, 25 - 24 * mu), halves), covers="limit")


@separation.printed
def the_exact_runs_are_on_it() -> Evidence:
    r = 1 - F(160, wilson.D)
    for ones in range(51, 101):
        for t, s in enumerate(wilson.paths(wilson.FIGURE_3["scaled signSGD"])[ones]):
            told = (1 - r**t) / 4
            if any(F(x, s.scale) != told * side for x, side in zip(s.x, (1, 1, 1, -1), strict=True) if side > 0 or s.l):
                return Evidence("exact", "refuted", f"k = {ones}, t = {t}", {"k": ones, "t": t}, covers="step")
    return Evidence("exact", "supported", "50 exact runs of 80 epochs, r = 13/15", covers="step")


# -- step sizes -----------------------------------------------------------------------------------------------------------

tuned = Claim(
    "generalization-tuned",
    "Section 5.2",
    "the step sizes of Figure 3 are tuned to obtain fastest convergence",
    repaired="with more labels +1 than -1 in the train half, scaled SIGNSGD with gamma = d/16 = 75 fits it exactly after one "
    "step, where 10 leaves (13/15)^160 = 1.1e-10 after 80; on the balanced half SGD is faster with 13/20 than with 1/2",
    expect="refuted",
)


def after(method, ones: int, T: int) -> Fraction:
    return wilson.path(method, ones, T)[-1].train_loss()


@tuned.printed
def seventy_five_is_faster_than_ten() -> Evidence:
    slow, fast = after(wilson.FIGURE_3["scaled signSGD"], 51, 1), after(wilson.scaled_signsgd(F(75)), 51, 1)
    detail = f"k = 51, after one epoch: train loss {slow} with gamma = 10, {fast} with gamma = 75"
    return Evidence("exact", "refuted" if fast < slow else "supported", detail, {"slow": slow, "fast": fast})


@tuned.repaired
def one_step_fits() -> Evidence:
    losses = [after(wilson.scaled_signsgd(F(wilson.D, 16)), ones, 1) for ones in range(51, 101)]
    return Evidence(
        "exact", "refuted" if any(losses) else "proved", "train loss 0 after one step, k = 51, ..., 100", covers="one step"
    )


@tuned.repaired
def ten_leaves_a_power() -> Evidence:
    losses = {after(wilson.FIGURE_3["scaled signSGD"], ones, 80) for ones in (51, 75, 100)}
    outcome = "proved" if losses == {F(13, 15) ** 160} else "refuted"
    return Evidence("exact", outcome, f"(13/15)^160 = {float(F(13, 15) ** 160):.2g}", covers="ten")


@tuned.repaired
def sgd_is_faster_with_a_longer_step() -> Evidence:
    half, longer = (after(wilson.sgd(gamma), 50, 80) for gamma in (F(1, 2), F(13, 20)))
    outcome = "proved" if longer < half else "refuted"
    return Evidence("exact", outcome, f"k = 50, 80 epochs: {float(half):.1e} and {float(longer):.1e}", covers="SGD")


representative = Claim(
    "generalization-representative",
    "Section 5.2",
    "the results are representative across parameter choices: a draw on which SIGNSGD's test loss is above 0.8 at the step "
    "size of the figure has it above 0.8 at other step sizes, too",
    repaired="at step sizes 2, 5, 10, 20 and 40, scaled SIGNSGD's test loss is above 0.8 with probability between 0.24 and "
    "0.36, EF-SIGNSGD's below 0.1 with probability at least 1 - 1e-7",
    expect="refuted",
)
STEPS = (F(2), F(5), F(10), F(20), F(40))


def test_table(method) -> list[tuple[Fraction, Fraction]]:
    return [wilson.path(method, ones)[-1].test_losses() for ones in ALL]


def mixed(pair: tuple[Fraction, Fraction], m: int) -> Fraction:
    return (m * pair[0] + (wilson.N - m) * pair[1]) / wilson.N


@representative.printed
def a_draw_that_changes_sides() -> Evidence:
    at10, at40 = (test_table(wilson.scaled_signsgd(gamma)) for gamma in (F(10), F(40)))
    draws = [(i, m) for i in ALL for m in ALL if mixed(at10[i], m) > F(4, 5) >= mixed(at40[i], m)]
    if not draws:
        return Evidence("exact", "supported", "no draw changes sides between gamma = 10 and 40")
    i, m = max(draws, key=lambda v: comb(wilson.N, v[0]) * comb(wilson.N, v[1]))
    losses = f"{float(mixed(at10[i], m)):.3f} at gamma = 10, {float(mixed(at40[i], m)):.3f} at 40"
    return Evidence("exact", "refuted", f"k = {i}, m = {m}: test loss {losses}", {"k": i, "m": m})


@representative.repaired
def scaled_signsgd_over_step_sizes() -> Evidence:
    found = []
    for gamma in STEPS:
        table = test_table(wilson.scaled_signsgd(gamma))
        found.append(wilson.probability(lambda i, m, t=table: mixed(t[i], m) > F(4, 5)))
    ok = all(F("0.24") < p < F("0.36") for p in found)
    detail = ", ".join(f"{float(p):.4f} at {g}" for p, g in zip(found, STEPS, strict=True))
    return Evidence("exact", "proved" if ok else "refuted", detail, {"probabilities": found}, covers="scaled SIGNSGD")


@representative.repaired
def ef_signsgd_over_step_sizes() -> Evidence:
    worst = F(0)
    for gamma in STEPS:
        table = test_table(wilson.ef_signsgd(gamma))
        worst = max(worst, 1 - wilson.probability(lambda i, m, t=table: mixed(t[i], m) < F(1, 10)))
    return Evidence(
        "exact", "proved" if worst <= F("1e-7") else "refuted", f"largest 1 - P: {float(worst):.2g}", covers="EF-SIGNSGD"
    )


# -- contribution 3 -------------------------------------------------------------------------------------------------------

third = Claim(
    "generalization-contribution",
    "Section 1, contribution 3",
    "EF-SIGNSGD approaches the linear span of the past gradients and converges to the max-margin solution in "
    "over-parameterized least-squares (any step size); SIGNSGD does not",
    repaired="not for a long step: it diverges. On the data of A.6 with step 10, EF-SIGNSGD comes within 1e-6 of the max-margin"
    " solution for every train half with both labels, ||e|| too; scaled SIGNSGD's limit is farther than 2 from it if k > l",
    expect="refuted",
    expect_repaired="supported",
)


def diverging() -> tuple[list[tuple[Fraction, ...]], list[tuple[Fraction, ...]]]:
    """f(x) = (x1 + x2 - 1)^2, n = 1 < d = 2, y = 1: EF-SIGNSGD with gamma = 1 from 0."""

    def g(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, Fraction]:
        r = 2 * (x[0] + x[1] - 1)
        return (r, r)

    return exact.ef_sgd(g, (0, 0), [1] * 6, exact.scaled_sign)


@third.printed
def a_long_step_diverges() -> Evidence:
    losses = [(x[0] + x[1] - 1) ** 2 for x in diverging()[0]]
    grows = all(v == 9 * w for w, v in pairwise(losses))
    detail = f"f(x) = (x1 + x2 - 1)^2, gamma = 1: f = {', '.join(map(str, losses[:4]))}, ..., times 9 at every step"
    return Evidence("exact", "refuted" if grows else "supported", detail, {"f": losses})


@third.repaired
def the_long_run_on_every_train_half() -> Evidence:
    """10,000 epochs of the four numbers, all k at once, in floats."""
    ones = np.arange(1, wilson.N)
    other, x, e = wilson.N - ones, np.zeros((4, wilson.N - 1)), np.zeros((4, wilson.N - 1))
    weights = np.stack([np.ones(wilson.N - 1), np.full(wilson.N - 1, 2), ones, 5 * other])
    for _ in range(10_000):
        up, down = x[0] + 2 * x[1] + x[2] - 1, -x[0] + 2 * x[1] + 5 * x[3] + 1
        p = 10 * np.stack([ones * up - other * down, ones * up + other * down, up, down]) / wilson.N + e
        sent = (weights * np.abs(p)).sum(0) / wilson.D * np.sign(p)
        x, e = x - sent, p - sent
    goal = np.array([[float(v) for v in least_norm(int(i))] for i in ones]).T
    far, memory = (float(np.sqrt((weights * v * v).sum(0)).max()) for v in (x - goal, e))
    outcome = "supported" if max(far, memory) < 1e-6 else "undecided"
    detail = f"largest ||x - x*|| {far:.1e}, largest ||e|| {memory:.1e}, k = 1, ..., 99"
    return Evidence("search", outcome, detail, {"distance": far, "memory": memory}, covers="EF-SIGNSGD")


@third.repaired
def scaled_signsgd_ends_elsewhere() -> Evidence:
    """x = (1, 1, 1, -1)/4 against the solution of least norm, with 1, 2, k and 5 l coordinates."""
    gaps = []
    for ones in range(51, wilson.N + 1):
        goal, weights = least_norm(ones), (1, 2, ones, 5 * (wilson.N - ones))
        gaps.append(sum(w * (F(s, 4) - v) ** 2 for w, s, v in zip(weights, (1, 1, 1, -1), goal, strict=True)))
    outcome = "proved" if min(gaps) > 4 else "refuted"
    return Evidence("exact", outcome, f"least distance {float(min(gaps)) ** 0.5:.3f}, k = 51, ..., 100", covers="SIGNSGD")


# -- the data -------------------------------------------------------------------------------------------------------------

data = Claim(
    "generalization-data",
    "A.6",
    "n = 200, d = 6n: the halves have 100 points each of dimension 1200; the columns 4 + 5(i-1), ..., 4 + 5(i-1) + 2(1 - y_i) "
    "fit, are private to point i, and the rows of a half are linearly independent",
)


@data.printed
def the_last_column_fits() -> Evidence:
    points = Symbol("n", integer=True)
    return prove(4 + 5 * (points - 1) + 4 <= 6 * points, [points >= 3], covers="columns")


@data.printed
def columns_of_two_points_do_not_meet() -> Evidence:
    i, j = Symbol("i", integer=True), Symbol("j", integer=True)
    return prove(4 + 5 * (i - 1) + 4 < 4 + 5 * (j - 1), [i >= 1, i < j], covers="private")


@data.printed
def the_gram_matrix_is_positive_definite() -> Evidence:
    """A A^T: 1 or 5 on differences within a class, and [[3k+1, l], [k, 3l+5]] on the two classes."""
    block = (3 * k + 1) * (3 * l + 5) - k * l
    return prove(And(Eq(block.expand(), DET), DET > 0, 3 * k + 1 > 0), covers="independent")


@data.printed
def drawn_data_are_like_this(seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    for _ in range(5):
        A, y, A_test, y_test = wilson_data(200, rng)
        both, labels = np.vstack([A, A_test]), np.concatenate([y, y_test])
        owned = both[:, 3:] != 0
        good = A.shape == A_test.shape == (100, 1200) and (both[:, 0] == labels).all() and (both[:, 1:3] == 1).all()
        good = good and owned.sum(0).max() == 1 and (owned.sum(1) == np.where(labels > 0, 1, 5)).all()
        if not good or np.linalg.matrix_rank(A) < 100:
            return Evidence("exact", "refuted", f"a draw with shapes {A.shape}, {A_test.shape}", covers="columns")
    return Evidence("exact", "supported", "5 draws of 200 points", covers="columns")


if __name__ == "__main__":
    main(__file__)
