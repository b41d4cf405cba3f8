r"""Lemma 9 is true of gradients of rows; X* is no linear subspace, and B.7 needs rows for columns and no other noise.

Statement   f(x) = ||A x - y||^2, A in R^{n x d}, d > n, y in {-1, 1}^n; X* = {f = 0} "forms a subspace"; argmin over X* of
            ||x||^2 is A^+ y = A^T (A A^T)^{-1} y. "The key property that SGD (with or without momentum) trivially satisfies is
            that the iterates always lie in the linear span of the gradients." Lemma 9: if they do, and the algorithm
            converges to a 0 loss solution, this is the minimum norm solution (maximum margin: lemma_9_margin.py).
Source      Section 5.1 and B.7 (which writes b for y)
Idea        grad f = 2 A^T (A x - y) lies in the row space R = Im A^T, a closed subspace (finite dimension): <c, x_t> = 0
            for every c in ker A, and so for the limit x. If x = A^T alpha and z both solve A x = y, then <z - x, x> =
            <A (z - x), alpha> = 0 and ||z||^2 = ||x||^2 + ||z - x||^2: x is the one solution of least norm, for any rank of A.
            d > n is not used; it does not give a solution either: two equal rows with opposite labels have none. The inverse of
            A A^T exists if and only if A has rank n: B.7 supposes it, and so does the formula (lemma_9_rank.py: without it).
Conventions small sizes are symbolic, entry by entry (n = 2, d = 3); the arguments above do not depend on the size.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from sympy import Abs, And, Eq, Implies, Matrix, Symbol, cancel, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

span = content.load(Path(__file__).with_name("_span.py"))
SECTION = "Section 5.1"
N, D = 2, 3
A = Matrix(N, D, lambda i, j: Symbol(f"a{i + 1}{j + 1}", real=True))
x = Matrix(symbols("x1:4", real=True))
z = Matrix(symbols("z1:4", real=True))
y = Matrix(symbols("y1:3", real=True))
alpha = Matrix(symbols("alpha1:3", real=True))
beta = Matrix(symbols("beta1:3", real=True))
labels = [Eq(c**2, 1) for c in y]
TWINS = Matrix([[1, 0, 0], [1, 0, 0]])  # over-parametrised (d = 3 > 2 = n), of rank 1


def loss(M, point, target):
    return sum(r**2 for r in M * point - target)


def gradient(M, point, target):
    """By differentiation, not by the formula that is to be checked."""
    at = Matrix(symbols(f"u1:{M.cols + 1}", real=True))
    f = loss(M, at, target)
    return Matrix([f.diff(c) for c in at]).subs(dict(zip(at, point, strict=True)), simultaneous=True)


def least_norm(M, target):
    """A^T (A A^T)^{-1} y, as printed."""
    return M.T * (M * M.T).inv() * target


def same(left, right):
    """Equality of two arrays of rational functions, entry by entry, where their denominators are not 0."""
    return And(*(Eq(cancel(a - b), 0) for a, b in zip(left, right, strict=True)))


def identical(text: str, relation, covers: str = "") -> Evidence:
    return span.named(text, prove(relation, kind="identity", covers=covers))


# -- the solutions -----------------------------------------------------------------------------------------------------------

solutions = Claim(
    "lemma-9-solutions",
    SECTION,
    "[over-parametrised: d > n] The set of solutions X* = {x: f(x) = 0} forms a subspace in R^d",
    repaired="X* is empty or an affine subspace, a solution plus ker A; labels of +-1 keep 0 out of it, so it is never "
    "linear; it can be empty even with d > n, and is not if A has rank n",
    expect="refuted",
)


@solutions.printed
def twice_a_solution_is_none() -> Evidence:
    """n = 1, d = 2, A = (1, 0): a subspace holds every multiple s x of its points."""
    s, row, target = Symbol("s", real=True), Matrix([[1, 0]]), Matrix(y[:1])
    point = Matrix(x[:2])
    closed = Implies(Eq(loss(row, point, target), 0), Eq(loss(row, s * point, target), 0))
    return span.named("f(x) = 0 gives f(s x) = 0, f = (x_1 - y_1)^2", prove(closed, labels[:1]))


@solutions.repaired
def affine_combinations_stay() -> Evidence:
    """The residual of s x + (1-s) z is s times that of x plus 1-s times that of z: 0 if both are."""
    s = Symbol("s", real=True)
    kept = same(A * (s * x + (1 - s) * z) - y, s * (A * x - y) + (1 - s) * (A * z - y))
    return identical("A (s x + (1-s) z) - y = s (A x - y) + (1-s) (A z - y)", kept, covers="affine")


@solutions.repaired
def two_solutions_differ_by_the_kernel() -> Evidence:
    return identical("(A x - y) - (A z - y) = A (x - z)", same((A * x - y) - (A * z - y), A * (x - z)), covers="affine, kernel")


@solutions.repaired
def zero_is_no_solution() -> Evidence:
    """f(0) = sum y_i^2, and each label's square is 1."""
    return span.named("f(0) > 0", prove(loss(A, Matrix.zeros(D, 1), y) > 0, labels, covers="without 0"))


@solutions.repaired
def twins_with_opposite_labels_have_none() -> Evidence:
    found = prove(loss(TWINS, x, Matrix([1, -1])) >= 2, covers="can be empty")
    return span.named("f(x) >= 2 for two equal rows with opposite labels", found)


@solutions.repaired
def independent_rows_have_one() -> Evidence:
    return identical("A A^T (A A^T)^{-1} y = y", same(A * least_norm(A, y), y), covers="rank n")


@solutions.repaired
def the_inverse_exists_if_the_rank_is_n() -> Evidence:
    """det A A^T is the sum of the squared n x n minors (Cauchy-Binet): not 0 if and only if one of them is not."""
    minors = [A.extract([0, 1], list(c)).det() for c in ((0, 1), (0, 2), (1, 2))]
    squares = same([(A * A.T).det()], [sum(m**2 for m in minors)])
    return identical("det A A^T is the sum of the squared n x n minors", squares, covers="rank n, the inverse")


norm = Claim(
    "lemma-9-minimum-norm",
    SECTION,
    "argmin over x in X* of ||x||^2 = A^+ y = A^T (A A^T)^{-1} y [rank A = n, as B.7 supposes and the inverse presupposes]",
)


@norm.printed
def a_solution_in_the_row_space_is_the_shortest() -> Evidence:
    """||z||^2 - ||x||^2 - ||z - x||^2 = 2 <A z - A x, alpha> for x = A^T alpha: 0 if A z = A x, for every rank of A."""
    point = A.T * alpha
    left = z.dot(z) - point.dot(point) - (z - point).dot(z - point)
    text = "||z||^2 - ||x||^2 - ||z - x||^2 = 2 <A z - A x, alpha> for x = A^T alpha"
    return identical(text, same([left], [2 * (A * z - A * point).dot(alpha)]), covers="shortest")


@norm.printed
def the_formula_is_a_solution_in_the_row_space() -> Evidence:
    return independent_rows_have_one()


@norm.printed
def the_inverse_is_there() -> Evidence:
    return the_inverse_exists_if_the_rank_is_n()


@norm.printed
def with_rank_n_it_is_the_printed_formula() -> Evidence:
    """Penrose's four conditions, which have one solution P, for P = A^T (A A^T)^{-1}: A P = I gives three of them."""
    P = A.T * (A * A.T).inv()
    relation = And(same(A * P, Matrix.eye(N)), same((P * A).T, P * A))
    return identical("A P = I and (P A)^T = P A for P = A^T (A A^T)^{-1}, so P = A^+", relation, covers="A^+")


# -- B.7 ---------------------------------------------------------------------------------------------------------------------

column = Claim(
    "lemma-9-column",
    "B.7",
    "the stochastic gradient for f is of the form sum alpha_i A_{i,:}, where A_{i,:} indicates the ith column of A",
    repaired="it is a combination of the *rows* of A, sum alpha_i a_i = A^T alpha, if it is the gradient of f or of any "
    "weighted sum of rows' losses: alpha_i = 2 w_i (<a_i, x> - y_i)",
    expect="refuted",
)


@column.printed
def columns_have_another_length() -> Evidence:
    g = gradient(A, x, y)
    outcome = "refuted" if A.col(0).shape != g.shape else "supported"
    return Evidence("witness", outcome, f"n = 2, d = 3: a column is in R^{A.col(0).rows}, the gradient in R^{g.rows}")


@column.repaired
def any_weights_give_rows() -> Evidence:
    """The gradient of sum w_i (<a_i, x> - y_i)^2, by differentiation: w = 1 is the full batch, w = n e_i one row of it."""
    w = symbols("w1:3", real=True)
    f = sum(c * r**2 for c, r in zip(w, A * x - y, strict=True))
    weights = Matrix([2 * c * r for c, r in zip(w, A * x - y, strict=True)])
    text = "the gradient of sum w_i (<a_i, x> - y_i)^2 is A^T alpha, alpha_i = 2 w_i (<a_i, x> - y_i)"
    return identical(text, same([f.diff(c) for c in x], A.T * weights))


noise = Claim(
    "lemma-9-noise",
    "B.7 (ours: any stochastic gradient of Assumption C)",
    "any stochastic gradient for f [E g = grad f, Assumption C] is of the form sum alpha_i a_i; so Lemma 9 holds for it",
    repaired="there is one with E g = grad f and iterates in the span of its gradients, that has loss 0 after one "
    "step and ends at a solution of larger norm: Lemma 9 needs gradients in the row space",
    expect="refuted",
)


def multiplicative(sign: int, point: tuple[Fraction, ...]) -> tuple[Fraction, Fraction]:
    """f = (x_1 - 1)^2 on R^2, A = (1, 0): g = grad f + sign 2 (x_1 - 1) (0, 1), sign = +-1 w.p. 1/2 each."""
    r = 2 * (point[0] - 1)
    return (r, sign * r)


def noisy_run(sign: int):
    """x_0 = 0, gamma = 1/2, three steps."""
    return exact.sgd(lambda t, p: multiplicative(sign, p), (0, 0), [Fraction(1, 2)] * 3)


def noisy_solutions() -> list[Fraction]:
    """||x_3||^2 of both runs if both have loss 0, lie on the line of g_0, and the two gradients average to grad f."""
    lengths = []
    for sign in (1, -1):
        end, first = noisy_run(sign)[-1], multiplicative(sign, (Fraction(0), Fraction(0)))
        if end[0] != 1 or end[0] * first[1] != end[1] * first[0]:
            return []
        lengths.append(sum(c * c for c in end))
    here = (Fraction(3), Fraction(5))
    average = [sum(pair) / 2 for pair in zip(multiplicative(1, here), multiplicative(-1, here), strict=True)]
    return lengths if average == [4, 0] else []


@noise.printed
def noise_outside_the_rows_is_allowed() -> Evidence:
    lengths = noisy_solutions()
    shown = ", ".join(map(str, lengths))
    detail = f"f = (x_1 - 1)^2, g = 2 (x_1 - 1) (1, +-1), gamma = 1/2: x_1 = (1, +-1), f = 0, ||x||^2 = {shown}, least 1"
    return Evidence("witness", "refuted" if lengths and min(lengths) > 1 else "supported", detail, {"norm2": lengths})


@noise.repaired
def the_witness_is_exact() -> Evidence:
    """Loss 0 makes g = 0, so the run stays there; (1, 0) is the solution in the row space. Moment: g = 0 from t = 1 on."""
    lengths, least = noisy_solutions(), least_norm(Matrix([[1, 0]]), Matrix([1]))
    good = bool(lengths) and all(length > least.dot(least) for length in lengths)
    shown = ", ".join(map(str, lengths))
    detail = f"||x||^2 = {shown} on the two paths, {least.dot(least)} is least"
    return Evidence("exact", "proved" if good else "undecided", detail)


unique = Claim(
    "lemma-9-unique",
    "B.7",
    "A A^T alpha* = b: since the rank of A is n, A A^T is full-rank, and there is a unique solution alpha* and x*",
)


@unique.printed
def the_quadratic_form_is_a_norm() -> Evidence:
    """c^T A A^T c = ||A^T c||^2, and A^T c = 0 only for c = 0 if the rows are independent."""
    squares = same([(alpha.T * A * A.T * alpha)[0]], [(A.T * alpha).dot(A.T * alpha)])
    return identical("c^T A A^T c = ||A^T c||^2", squares, covers="alpha*")


@unique.printed
def two_solutions_in_the_row_space_are_one() -> Evidence:
    """0 if both solve; for every rank."""
    p, r = A.T * alpha, A.T * beta
    relation = same([(p - r).dot(p - r)], [(alpha - beta).dot(A * p - A * r)])
    return identical("||x - z||^2 = <alpha - beta, A x - A z> for x = A^T alpha, z = A^T beta", relation, covers="x*")


wlog = Claim(
    "lemma-9-wlog",
    "B.7",
    "assume without loss of generality that the rows of A are linearly independent [Lemma 9 supposes a 0 loss solution]",
)


@wlog.printed
def a_dependent_row_adds_no_condition() -> Evidence:
    """a_3 = s a_1 + t a_2. One solution p exists: then every z that solves the first two rows solves the third."""
    s, t = symbols("s t", real=True)
    third = s * A[0, :] + t * A[1, :]
    given = third.dot(z) - third.dot(x)
    rows = s * (A[0, :].dot(z) - A[0, :].dot(x)) + t * (A[1, :].dot(z) - A[1, :].dot(x))
    return identical(
        "<s a_1 + t a_2, z - p> = s <a_1, z - p> + t <a_2, z - p>", same([given], [rows]), covers="the same solutions"
    )


@wlog.printed
def nor_a_direction_to_the_row_space() -> Evidence:
    s, t, c = symbols("s t c", real=True)
    third = s * A[0, :] + t * A[1, :]
    relation = same(A.T * alpha + c * third.T, A.T * (alpha + c * Matrix([s, t])))
    return identical("A^T alpha + c a_3 = A^T (alpha + c (s, t))", relation, covers="the same span")


# -- Lemma 9 -----------------------------------------------------------------------------------------------------------------

lemma = Claim(
    "lemma-9",
    "Section 5.1, Lemma 9",
    "given any over-parametrised least-squares problem, if the iterates always lie in the linear span of the gradients [of f "
    "or of its rows] and converge to a 0 loss solution, this is the minimum norm solution",
)


@lemma.printed
def gradients_are_in_the_row_space() -> Evidence:
    return any_weights_give_rows().covering("iterates in the row space")


@lemma.printed
def the_limit_is_in_it() -> Evidence:
    """c in ker A: <c, x_t> = 0, |<c, x_t> - <c, x>| <= ||c|| ||x_t - x|| = k h; let h = |<c, x>|/(2k)."""
    product_, k = Symbol("p", real=True), Symbol("k", positive=True)
    found = prove(Implies(Abs(product_) <= k * Abs(product_) / (2 * k), Eq(product_, 0)), covers="the limit in the row space")
    return span.named("|<c, x>| <= k h with h = |<c, x>|/(2k) gives <c, x> = 0", found)


@lemma.printed
def and_the_solution_there_is_the_shortest() -> Evidence:
    return a_solution_in_the_row_space_is_the_shortest()


if __name__ == "__main__":
    main(__file__)
