r"""The limit of Section 5.2 is the solution of least norm; its test loss is small and not 0; max-margin is a matter of signs.

Statement   Contribution 3: "EF-SIGNSGD approaches the linear span of the past gradients. Therefore, unlike SIGNSGD, EF-SIGNSGD
            converges to the max-margin solution in over-parameterized least-squares." Section 5: SGD reaches the max-margin
            solution, SIGNSGD does not. Figure 3: EF-SIGNSGD's distance to the span "(and the test loss) goes to 0". A.6:
            n = 200, d = 6n, "100 data points each of dimension 1200 in the test and train".
Source      Sections 1, 5 and 5.2, Figure 3, A.6
Idea        In the four numbers of `_wilson.py`. The solution of least norm is A^T alpha with alpha = (a, ..., b, ...):
            (3k+1) a + l b = 1, k a + (3l+5) b = -1, so a = (4l+5)/D, b = -(4k+1)/D, D = 8kl + 15k + 3l + 5; every
            y_i alpha_i > 0, hence it is the max-margin solution; its test loss is mu a^2 + 25 (1 - mu) b^2 > 0, mu = m/n.
Conventions As in `generalization.py`.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import comb
from pathlib import Path

import numpy as np
from sympy import And, Eq, Implies, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, dkw, prove
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


def limit_loss(share, up, down):
    """The test loss at the interpolant, `share` of the test points with y = 1."""
    return share * up**2 + 25 * (1 - share) * down**2


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
        after = wilson.paths(wilson.FIGURE_3["SGD"])[ones][1]
        moved = all(F(r, after.scale) == b - a for r, (a, b) in zip(after.residuals, rows, strict=True))  # from (-1, 1)
        if not (stable and moved):
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
    loss = limit_loss(F(1, 2), *multipliers(50))
    return Evidence(
        "exact", "supported" if loss == 0 else "refuted", f"k = l = m = 50: the limit is {loss} = {float(loss):.4g}"
    )


@test_limit.repaired
def the_multipliers_solve_the_equations() -> Evidence:
    """(3k + 1) a + l b = 1 and k a + (3l + 5) b = -1 for k + l = n; a class without points has the multiplier 0. n <= 12."""
    for n in range(1, 13):
        for ones in range(n + 1):
            (up, down), rest = multipliers(ones, n), n - ones
            first = (3 * ones + 1) * up + rest * down == 1 if ones else up == 0
            second = ones * up + (3 * rest + 5) * down == -1 if rest else down == 0
            if not (first and second):
                return Evidence("exact", "refuted", f"not for k = {ones}, l = {rest}", covers="formula")
    return Evidence("exact", "proved", "every split of n <= 12 points", covers="formula")


@test_limit.repaired
def it_is_positive_on_every_draw() -> Evidence:
    return prove(Implies(LEAST, limit_loss(mu, a, b) > 0), [mu >= 0, mu <= 1], covers="positive")


@test_limit.repaired
def the_test_residuals_are_the_private_coordinates() -> Evidence:
    x1, x2 = k * a - l * b, k * a + l * b
    same = And(Eq((x1 + 2 * x2 - 1) ** 2, a**2), Eq((-x1 + 2 * x2 + 1) ** 2, 25 * b**2))
    return prove(Implies(LEAST, same), covers="formula")


@test_limit.repaired
def the_balanced_draw_in_numbers() -> Evidence:
    loss = limit_loss(F(1, 2), *multipliers(50))
    outcome = "proved" if abs(loss - F("0.0012")) <= F("0.00005") else "refuted"
    return Evidence("exact", outcome, f"{loss} = {float(loss):.5g}", covers="balanced")


@test_limit.repaired
def sgd_is_there_after_80_epochs() -> Evidence:
    states = wilson.paths(wilson.FIGURE_3["SGD"])[50]
    far = abs(wilson.mixed(states[-1].test_losses(), 50) - limit_loss(F(1, 2), *multipliers(50)))
    return Evidence("exact", "proved" if far < F("1e-12") else "refuted", f"k = m = 50: off by {float(far):.1e}", covers="SGD")


# -- contribution 3 -------------------------------------------------------------------------------------------------------

third = Claim(
    "generalization-contribution",
    "Section 1, contribution 3",
    "EF-SIGNSGD approaches the linear span of the past gradients. Therefore, unlike SIGNSGD, EF-SIGNSGD converges to the "
    "max-margin solution in over-parameterized least-squares",
    repaired="the limit that it names is the solution of least norm, and that is of maximum margin iff every y_i alpha_i >= 0. "
    "On the data of A.6 it is; there EF-SIGNSGD with step 10 comes within 1e-6 of it in 10,000 epochs, ||e|| too, for every "
    "train half with both labels, and scaled SIGNSGD's limit is farther than 2 from it if k > l",
    expect="refuted",
    expect_repaired="supported",
)
ROWS, LABELS, SEPARATOR = ((1, 0, 0), (-2, -1, 0)), (1, -1), (1, 0, 0)  # n = 2 < d = 3


def interpolant() -> tuple[list[Fraction], list[Fraction]]:
    """alpha and A^T alpha with A A^T alpha = y, for two rows."""
    a, b, c = (sum(F(u * v) for u, v in zip(ROWS[i], ROWS[j], strict=True)) for i, j in ((0, 0), (0, 1), (1, 1)))
    det = a * c - b * b
    alpha = [(c * LABELS[0] - b * LABELS[1]) / det, (a * LABELS[1] - b * LABELS[0]) / det]
    return alpha, [alpha[0] * u + alpha[1] * v for u, v in zip(*ROWS, strict=True)]


@third.printed
def least_norm_is_not_maximum_margin() -> Evidence:
    """Whatever reaches loss 0 inside the span ends at A^T alpha; another separator is shorter, so its margin is larger."""
    alpha, x = interpolant()
    fits = [sum(F(u) * v for u, v in zip(row, x, strict=True)) for row in ROWS]
    margins = [y * sum(u * v for u, v in zip(row, SEPARATOR, strict=True)) for row, y in zip(ROWS, LABELS, strict=True)]
    ours, theirs = sum(v * v for v in x), sum(v * v for v in SEPARATOR)
    shorter = fits == list(LABELS) and min(margins) >= 1 and theirs < ours
    detail = (
        f"a = {ROWS[0]}, {ROWS[1]}, y = {LABELS}: A^+ y = ({', '.join(map(str, x))}) has norm^2 {ours}; w = {SEPARATOR} has "
    )
    detail += f"y_i <a_i, w> >= 1 and norm^2 {theirs}, a larger margin"
    return Evidence("witness", "refuted" if shorter else "undecided", detail, {"x": x, "w": SEPARATOR, "alpha": alpha})


@third.repaired
def the_margin_is_a_matter_of_signs() -> Evidence:
    """On A.6 both y_i alpha_i are positive, on the witness, A A^T alpha = y = +-1, one is negative."""
    alpha, x = interpolant()
    fits = LABELS == (1, -1) == tuple(sum(F(u) * v for u, v in zip(row, x, strict=True)) for row in ROWS)
    negative = min(y * v for y, v in zip(LABELS, alpha, strict=True)) < 0
    positive = all(up > 0 > down for up, down in (multipliers(i) for i in range(1, wilson.N)))
    return Evidence("exact", "proved" if fits and negative and positive else "refuted", "k = 1, ..., 99", covers="margin")


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
    "fit, are private to point i, the rows of a half are independent; labels are set uniformly, the split is random",
    expect="supported",
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
    """5 draws of 200 points, entry by entry."""
    rng = np.random.default_rng(seed)
    for _ in range(5):
        A, y, A_test, y_test = wilson_data(200, rng)
        both, labels = np.vstack([A, A_test]), np.concatenate([y, y_test])
        owned = both[:, 3:] != 0
        good = A.shape == A_test.shape == (100, 1200) and (both[:, 0] == labels).all() and (both[:, 1:3] == 1).all()
        good = good and owned.sum(0).max() == 1 and (owned.sum(1) == np.where(labels > 0, 1, 5)).all()
        if not good or np.linalg.matrix_rank(A) < 100:
            return Evidence("exact", "refuted", f"a draw with shapes {A.shape}, {A_test.shape}", covers="draws")
    return Evidence("exact", "supported", "5 draws of 200 points", covers="draws")


@data.printed
def labels_are_fair_and_halves_independent(seed: int = 0) -> Evidence:
    """(k, m) of 4,000 draws of 20 points against the product of two Binomial(10, 1/2)."""
    rng, n, found = np.random.default_rng(seed), 10, []
    for _ in range(4000):
        _, y, _, y_test = wilson_data(2 * n, rng)
        found.append((n + 1) * float((y > 0).sum()) + float((y_test > 0).sum()))
    law = [F(comb(n, i) * comb(n, j), 4**n) for i in range(n + 1) for j in range(n + 1)]
    return replace(dkw(found, np.arange(len(law), dtype=float), law), covers="labels")


if __name__ == "__main__":
    main(__file__)
