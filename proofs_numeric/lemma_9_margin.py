r"""The least-norm solution is not the maximum-margin one in general; it is if and only if every point is a support vector.

Statement   The solution of least norm is "of particular interest [...] as this corresponds to the maximum margin solution in
            the dual"; Lemma 9: "this solution corresponds to the minimum norm/maximum margin solution".
Source      Section 5.1 and Lemma 9; A.6 for the data of Section 5.2
Reading     The plainest one: x = A^+ y separates the points a_i with labels y_i with the largest margin
            min_i y_i <a_i, x>/||x||, that is, x is the shortest w with y_i <a_i, w> >= 1 for all i (hard-margin SVM).
Idea        With b_i = y_i a_i the least-norm solution is the shortest w with <b_i, w> = 1: the constraint is an equality, so in
            the dual the multipliers lambda_i = y_i alpha_i, alpha = (A A^T)^{-1} y, are free, where a margin wants
            lambda_i >= 0. If they are: <w, x> = sum lambda_i <b_i, w> >= sum lambda_i = ||x||^2 for every feasible w, so
            ||w||^2 >= ||x||^2 + ||w - x||^2. If lambda_j < 0: walk along v in the row space with <b_j, v> = 1 and <b_i, v> = 0
            for i != j; <x, v> = lambda_j, all constraints stay met, and the norm falls.
Conventions rank A = n, so that alpha exists; labels +-1.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
from sympy import And, Eq, Ge, Implies, Matrix, Min, Piecewise, Symbol, linear_eq_to_matrix, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove
from efcheck.problems import wilson_data

span = content.load(Path(__file__).with_name("_span.py"))
SECTION = "Section 5.1 and Lemma 9"
k = Symbol("k", integer=True, nonnegative=True)  # points labelled 1 in the train half
l = Symbol("l", integer=True, nonnegative=True)  # noqa: E741  points labelled -1
ROWS = Matrix([[1, 0, 0], [-2, -1, 0]])
LABELS = Matrix([1, -1])
ENTRIES = (-1, 0, 1, 2)  # with two positive sizes, or no <b_1, b_2> exceeds ||b_1||^2 and no multiplier is negative


def least_norm(A, y):
    """A^T alpha, alpha = (A A^T)^{-1} y."""
    return A.T * (A * A.T).inv() * y


def signed_rows(A, y):
    """b_i = y_i a_i."""
    return Matrix([list(y[i] * A[i, :]) for i in range(A.rows)])


def squared_margin(A, y, w):
    """(min_i y_i <a_i, w>)^2 / ||w||^2 of a w that separates the points; None if it does not."""
    low = min(signed_rows(A, y) * w)
    return low**2 / w.dot(w) if low > 0 else None


def multipliers(A, y):
    """lambda_i = y_i alpha_i."""
    return list((signed_rows(A, y) * signed_rows(A, y).T).inv() * Matrix.ones(A.rows, 1))


# -- in general --------------------------------------------------------------------------------------------------------------

margin = Claim(
    "lemma-9-margin",
    SECTION,
    "the solution of smallest norm, A^+ y, corresponds to the maximum margin solution [the separator of largest margin]",
    repaired="with rank A = n it does if and only if y_i alpha_i >= 0 for all i, alpha = (A A^T)^{-1} y, that is, if all "
    "points can be support vectors; its own margin is 1/||A^+ y|| in any case",
    expect="refuted",
)


@margin.printed
def another_separator_has_a_larger_margin() -> Evidence:
    """n = 2, d = 3: a_1 = (1, 0, 0) labelled 1 and a_2 = (-2, -1, 0) labelled -1; w = a_1 against the least-norm solution."""
    x, w = least_norm(ROWS, LABELS), Matrix([1, 0, 0])
    ours, other = squared_margin(ROWS, LABELS, x), squared_margin(ROWS, LABELS, w)
    worse = ours is not None and other is not None and other > ours
    detail = f"a = (1, 0, 0), (-2, -1, 0), y = (1, -1): A^+ y = {tuple(x)} has margin^2 {ours}, w = {tuple(w)} has {other}"
    data = {"x": list(x), "w": list(w), "margin2": [ours, other], "multipliers": multipliers(ROWS, LABELS)}
    return Evidence("witness", "refuted" if worse else "supported", detail, data)


@margin.picture
def the_two_separators(ax):
    points = np.array(ROWS, dtype=float)[:, :2]
    for point, label in zip(points, LABELS, strict=True):
        ax.plot(*point, "P" if label > 0 else "_", color="#000000", markersize=9, zorder=5)
    across = np.array([-4.0, 4.0])
    for w, name, color, look in (
        (least_norm(ROWS, LABELS), "least norm", "#D55E00", "--"),
        (Matrix([1, 0, 0]), "$w$", "#0072B2", "-"),
    ):
        unit = np.array(w, dtype=float)[:2, 0] / float(w.norm())
        reach = float(squared_margin(ROWS, LABELS, w)) ** 0.5
        for shift, width in ((0, 1.3), (-reach, 0.5), (reach, 0.5)):
            ends = shift * unit[:, None] + np.array([-unit[1], unit[0]])[:, None] * across
            ax.plot(
                *ends, color=color, linestyle=look, linewidth=width, label=f"{name}: margin {reach:.3g}" if shift == 0 else None
            )
    ax.set(xlim=(-3, 2), ylim=(-2, 2), xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return (
        "The two points (plus and minus: their labels), the separator of the least-norm solution and that of w = (1, 0, 0), "
        "each with its margin on both sides (thin). The least-norm one has both points on its margin, and a smaller one."
    )


@margin.repaired
def with_multipliers_of_one_sign_nothing_is_shorter() -> Evidence:
    """Term by term: lambda_i (<b_i, w> - 1) >= 0; so h = <w, x> - ||x||^2 >= 0, and ||w||^2 = ||x||^2 + 2h + ||w - x||^2."""
    lam, m = Symbol("lambda_i", nonnegative=True), Symbol("m_i", real=True)
    h, x2, w2, r2 = symbols("h x2 w2 r2", nonnegative=True)
    term = Implies(m >= 1, lam * (m - 1) >= 0)
    shorter = Implies(Eq(r2, w2 - 2 * (h + x2) + x2), Ge(w2, x2 + r2))
    text = "lambda_i (<b_i, w> - 1) >= 0 for lambda_i >= 0; so ||w||^2 >= ||x||^2 + ||w - x||^2"
    return span.named(text, prove(And(term, shorter), covers="if"))


@margin.repaired
def with_a_negative_one_the_norm_falls() -> Evidence:
    """x + s v with s = -lambda_j/||v||^2 > 0: <b_j, .> = 1 + s, the others stay 1, ||.||^2 = ||x||^2 - lambda_j^2/||v||^2."""
    lam, v2, x2 = Symbol("lambda_j", negative=True), Symbol("v2", positive=True), Symbol("x2", positive=True)
    s = -lam / v2
    text = "||x + s v||^2 < ||x||^2 and <b_j, x + s v> = 1 + s >= 1 for s = -lambda_j/||v||^2"
    return span.named(text, prove(And(x2 + 2 * s * lam + s**2 * v2 < x2, 1 + s >= 1), covers="only if"))


@margin.repaired
def the_direction_exists() -> Evidence:
    """v = B^T K^{-1} e_j, K = B B^T: B v = e_j, and <x, v> = lambda_j for x = B^T lambda; n = 2, d = 3, entry by entry."""
    B = Matrix(2, 3, symbols("b1:7", real=True))
    lam = Matrix(symbols("lambda1:3", real=True))
    V = B.T * (B * B.T).inv()
    unit = (B * V - Matrix.eye(2)).applyfunc(lambda c: c.cancel())
    inner = (B.T * lam).T * V - lam.T
    zeros = [Eq(c.cancel(), 0) for c in (*unit, *inner)]
    text = "B v = e_j and <x, v> = lambda_j for v = B^T (B B^T)^{-1} e_j"
    return span.named(text, prove(And(*zeros), kind="identity", covers="only if, the direction"))


@margin.repaired
def every_pair_of_points_by_its_support_sets() -> Evidence:
    """n = 2, Gram matrix (a b; b c) of b_1, b_2: the shortest feasible w is b_1/a, b_2/c or x, whichever is feasible."""
    a, c = symbols("a c", positive=True)
    b = Symbol("b", real=True)
    x2 = (a - 2 * b + c) / (a * c - b**2)
    far = x2 + 1  # stands for "not feasible": x always is
    best = Min(x2, Piecewise((1 / a, b >= a), (far, True)), Piecewise((1 / c, b >= c), (far, True)))
    good = And(c - b >= 0, a - b >= 0)  # lambda = (c - b, a - b)/(ac - b^2)
    found = prove(And(Implies(good, Ge(best, x2)), Implies(best >= x2, good)), [a * c > b**2], covers="if")
    return span.named("n = 2: ||x||^2 <= the best support set's if and only if c >= b and a >= b", found)


@margin.repaired
def its_own_margin_is_the_inverse_of_its_norm() -> Evidence:
    """<b_i, x> = 1 for all i."""
    B = Matrix(2, 3, symbols("b1:7", real=True))
    point = B.T * (B * B.T).inv() * Matrix.ones(2, 1)
    found = prove(And(*(Eq((r - 1).cancel(), 0) for r in B * point)), kind="identity", covers="its margin")
    return span.named("<b_i, x> = 1 for all i", found)


@margin.repaired
def small_data_agree() -> Evidence:
    """All pairs of signed points of the cube with rank 2: lambda >= 0 if and only if no support set gives more margin."""
    points = [p for p in product(ENTRIES, repeat=3) if any(p)]
    split = [0, 0]
    for p, r in product(points, points):
        a, b, c = (sum(u * v for u, v in zip(s, t, strict=True)) for s, t in ((p, p), (p, r), (r, r)))
        if a * c == b * b:
            continue
        lam = (Fraction(c - b, a * c - b * b), Fraction(a - b, a * c - b * b))
        alone = [Fraction(1, s) for s in (a, c) if b >= s]
        shortest = not alone or min(alone) >= sum(lam)  # ||x||^2 = sum lambda_i
        if shortest != (min(lam) >= 0):
            return Evidence("witness", "refuted", f"b_1 = {p}, b_2 = {r}: lambda = {lam}", covers="only if")
        split[shortest] += 1
    detail = f"{split[1]} pairs where it is the maximum-margin solution, {split[0]} where it is not"
    data = {"is": split[1], "is not": split[0]}
    return Evidence("exact", "supported" if min(split) else "undecided", detail, data, covers="only if")


# -- the data of Section 5.2 -------------------------------------------------------------------------------------------------

wilson = Claim(
    "lemma-9-margin-wilson",
    "Section 5.1 with the data of A.6",
    "on the data of Section 5.2 the minimum norm solution is the maximum margin solution, for every split and all labels",
)


def gram(one: int, other: int, same: bool) -> int:
    """<a_i, a_j> of A.6 for labels y_i, y_j: y_i y_j from column 1, 1 + 1 from columns 2, 3, and the private ones if i = j."""
    private = 1 + 2 * (1 - one) if same else 0
    return one * other + 2 + private


def wilson_alpha():
    """The solution of A A^T alpha = y: one value for the labels 1 and one for the labels -1."""
    plus, minus = symbols("plus minus", real=True)
    first = (gram(1, 1, True) - gram(1, 1, False)) * plus + k * gram(1, 1, False) * plus + l * gram(1, -1, False) * minus - 1
    own = gram(-1, -1, True) - gram(-1, -1, False)
    second = own * minus + l * gram(-1, -1, False) * minus + k * gram(1, -1, False) * plus + 1
    system, right = linear_eq_to_matrix([first, second], [plus, minus])
    return system.inv() * right


@wilson.printed
def all_multipliers_are_positive() -> Evidence:
    """lambda = (alpha_+, -alpha_-) = (4l + 5, 4k + 1)/((3k + 1)(3l + 5) - kl) > 0: every point is a support vector."""
    plus, minus = wilson_alpha()
    det = (3 * k + 1) * (3 * l + 5) - k * l
    formula = And(Eq((plus * det - 4 * l - 5).simplify(), 0), Eq((minus * det + 4 * k + 1).simplify(), 0))
    return span.named("alpha_+ > 0 > alpha_-", prove(And(formula, plus > 0, -minus > 0), covers="signs"))


@wilson.printed
def the_rows_are_independent() -> Evidence:
    """Each point has a private column of its own, so A A^T has an inverse: eigenvalues >= least private count, 1."""
    least = min(gram(y, y, True) - gram(y, y, False) for y in (1, -1))
    shared = all(gram(p, q, False) == p * q + 2 for p in (1, -1) for q in (1, -1))
    good = least >= 1 and shared  # A A^T = y y^T + 2 1 1^T + diag(private counts), the first two positive semidefinite
    return Evidence("exact", "proved" if good else "refuted", f"A A^T = y y^T + 2 11^T + D, D >= {least}", covers="rank n")


@wilson.printed
def drawn_data_have_this_gram_matrix(seed: int = 0) -> Evidence:
    """Integers in float64: exact."""
    rng = np.random.default_rng(seed)
    for n in (4, 10, 40, 200):
        A, y, _, _ = wilson_data(n, rng)
        ys = [int(c) for c in y]
        want = np.array([[gram(p, q, i == j) for j, q in enumerate(ys)] for i, p in enumerate(ys)])
        if not np.array_equal(A @ A.T, want):
            return Evidence("exact", "refuted", f"another Gram matrix for n = {n}", covers="the data")
        count = {k: ys.count(1), l: ys.count(-1)}
        alpha = [c.subs(count) for c in wilson_alpha()]
        residual = want @ np.array([float(alpha[0] if c > 0 else alpha[1]) for c in ys]) - np.array(ys)
        if np.abs(residual).max() > 1e-10:  # n terms of size below one: some hundred eps
            return Evidence("exact", "refuted", f"alpha does not solve A A^T alpha = y for n = {n}", covers="the data")
    return Evidence(
        "exact", "proved", "drawn train halves for n = 4, 10, 40, 200 have the Gram matrix of A.6", covers="the data"
    )


if __name__ == "__main__":
    main(__file__)
