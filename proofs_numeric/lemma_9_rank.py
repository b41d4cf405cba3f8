r"""Without rank n the formula A^T (A A^T)^{-1} y does not exist; A^+ y is the shortest solution whenever there is one.

Statement   argmin over X* of ||x||^2 = A^+ y = A^T (A A^T)^{-1} y, here for any A in R^{n x d} with d > n
Source      Section 5.1 (ours: without rank n; lemma_9.py has the paper's statement, with it)
Idea        A^+ y is in the row space, and A A^+ y = A A^+ A z = A z = y if any z solves: then it is the shortest, for any rank
            (lemma_9.py). Two equal rows make det A A^T = 0, and with opposite labels there is no solution at all.
Conventions as in lemma_9.py.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from sympy import And, Matrix, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence

lemma_9 = content.load(Path(__file__).with_name("lemma_9.py"))

rank = Claim(
    "lemma-9-minimum-norm-rank",
    "Section 5.1 (ours: without rank n)",
    "for every A with d > n: argmin over x in X* of ||x||^2 = A^+ y = A^T (A A^T)^{-1} y",
    repaired="A^+ y is the one solution of least norm if there is a solution, whatever the rank of A; A^T (A A^T)^{-1} y is "
    "equal to it if and only if A has rank n (otherwise A A^T has no inverse), and then there is a solution for every y",
    expect="refuted",
)


def degenerate(target) -> Evidence:
    """The three expressions on two equal rows."""
    point, det = lemma_9.TWINS.pinv() * target, (lemma_9.TWINS * lemma_9.TWINS.T).det()
    left = lemma_9.loss(lemma_9.TWINS, point, target)
    wrong = left != 0 or det == 0
    detail = f"A = [(1, 0, 0), (1, 0, 0)], y = {tuple(target)}: A^+ y = {tuple(point)} has loss {left}, det A A^T = {det}: " + (
        "the third expression does not exist" if left == 0 else "X* is empty, so the first does not exist"
    )
    return Evidence("witness", "refuted" if wrong else "supported", detail, {"point": list(point), "loss": left, "det": det})


@rank.printed
def equal_rows_have_no_inverse() -> Evidence:
    return degenerate(Matrix([1, 1]))


@rank.printed
def opposite_labels_have_no_solution() -> Evidence:
    return degenerate(Matrix([1, -1]))


@rank.repaired
def a_solution_in_the_row_space_is_the_shortest() -> Evidence:
    return lemma_9.a_solution_in_the_row_space_is_the_shortest()


@rank.repaired
def the_pseudoinverse_solves_in_the_row_space() -> Evidence:
    """All A in {0, 1}^{2 x 3}, equal and opposite labels: A^+ y is in the row space, and solves if anything does."""
    count = 0
    for entries in product((0, 1), repeat=6):
        M = Matrix(2, 3, entries)
        for labels in ((1, 1), (1, -1)):
            target = Matrix(labels)
            point = M.pinv() * target
            solvable = M.row_join(target).rank() == M.rank()
            if M.col_join(point.T).rank() != M.rank() or solvable != (lemma_9.loss(M, point, target) == 0):
                return Evidence("witness", "refuted", f"A = {M.tolist()}, y = {tuple(target)}", covers="whatever the rank")
            count += 1
    return Evidence("exact", "supported", f"A^+ y is as said for {count} exact instances", covers="whatever the rank")


@rank.repaired
def penrose_conditions_put_it_there() -> Evidence:
    """P = A^+: P = P A P = (P A)^T P = A^T (P^T P) in the row space; A z = y gives A P y = A P A z = A z = y.

    Checked as matrices for P = C^T (C C^T)^{-1} (B^T B)^{-1} B^T, A = B C of rank 1 (B 2 x 1, C 1 x 3).
    """
    B, C = Matrix(symbols("b1:3", real=True)), Matrix([symbols("c1:4", real=True)])
    M = B * C
    P = C.T * (C * C.T).inv() * (B.T * B).inv() * B.T
    conditions = [(M * P * M, M), (P * M * P, P), ((P * M).T, P * M), ((M * P).T, M * P), (M.T * P.T * P, P)]
    text = "A P A = A, P A P = P, P A and A P symmetric, P = A^T P^T P, for A = B C of rank 1"
    return lemma_9.identical(text, And(*(lemma_9.same(a, b) for a, b in conditions)), covers="whatever the rank")


@rank.repaired
def and_without_rank_n_there_is_no_inverse() -> Evidence:
    """sum c_i a_i = 0 with c != 0 gives A A^T c = 0: here the second row is s times the first."""
    s = Symbol("s", real=True)
    M = Matrix([list(lemma_9.A[0, :]), list(s * lemma_9.A[0, :])])
    return lemma_9.identical("det A A^T = 0 for a_2 = s a_1", lemma_9.same([(M * M.T).det()], [0]), covers="rank < n")


@rank.repaired
def with_rank_n_it_is_the_printed_formula() -> Evidence:
    return lemma_9.with_rank_n_it_is_the_printed_formula()


@rank.repaired
def and_solves_for_every_y() -> Evidence:
    return lemma_9.independent_rows_have_one()


if __name__ == "__main__":
    main(__file__)
