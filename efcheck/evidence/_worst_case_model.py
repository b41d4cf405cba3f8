"""A worst case as a semidefinite program: what is asked, the program as arrays, and its translation from PEPit.

    maximise    <W, G> + a'F + c                          over Gram matrices G >= 0 and function values F
    subject to  <W_i, G> + A_i'F + c_i <= 0               for every row i

G holds the inner products of the free points. A symmetric matrix is a vector of n (n+1)/2 entries, its upper triangle
column after column, off-diagonal ones times sqrt(2), so that <W, G> is a dot product.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PEPit import Expression, Point
from PEPit.tools.expressions_to_matrices import expression_to_sparse_matrices

from efcheck.arrays import Array

_NOISE = 1e-9  # eigenvalues below this share of the largest are the solver's


@dataclass(frozen=True)
class Question:
    """What is asked, in the units x: gamma sigma, g: sigma, f: gamma sigma^2.

    So gamma = sigma = 1, and L, mu, f0, R stand for gamma L, gamma mu, f0/(gamma sigma^2) (None: free), R/(gamma sigma).
    price: where f0 is free, price f0/(gamma (T + 1)) is subtracted, 2 f0/(gamma (T + 1)) in Theorem II.
    period: where it is > 0, T is 1 + period, and x_T and e_T are x_1 and e_1 again: the run goes round for ever, and the price
    is that of `last` steps.
    """

    quantity: str
    method: str
    T: int
    delta: float
    L: float
    mu: float
    f0: float | None
    R: float
    price: float = 2.0
    period: int = 0
    last: int = 0

    @property
    def steps(self) -> int:
        """T of the bound."""
        return self.last if self.period else self.T

    @property
    def q(self) -> float:
        """sqrt(1 - delta)."""
        return math.sqrt(1 - self.delta)


@dataclass(frozen=True)
class Form:
    """<W_i, G> + A_i'F + c_i for i = 0, ..., k - 1: W (k, n (n+1)/2), A (k, m), c (k,)."""

    W: Array
    A: Array
    c: Array

    def at(self, gram: Array, values: Array) -> Array:
        """(k,) numbers at a Gram matrix (n, n) and function values (m,)."""
        return np.asarray(self.W @ svec(gram) + self.A @ values + self.c)

    def size(self, gram: Array, values: Array) -> Array:
        """(k,): the sum of the magnitudes of what `at` adds up."""
        return np.asarray(np.abs(self.W) @ np.abs(svec(gram)) + np.abs(self.A) @ np.abs(values) + np.abs(self.c))


@dataclass(frozen=True)
class Model:
    """The program, and how the named vectors and numbers depend on what is free.

    kinds: what each row says: metric, moment, compressor, f, or start. vectors: name -> (count, n), rows of coefficients
    of the free points. numbers: name -> Form.
    """

    question: Question
    objective: Form
    rows: Form
    kinds: tuple[str, ...]
    vectors: dict[str, Array]
    numbers: dict[str, Form]

    @property
    def n(self) -> int:
        """Free points."""
        return math.isqrt(2 * self.rows.W.shape[1])

    @staticmethod
    def factor(gram: Array) -> Array:
        """(n, d): free points with these inner products, d the rank, the axes of most weight first."""
        size, axes = np.linalg.eigh(gram)
        kept = size > _NOISE * max(float(size[-1]), 1e-300)
        return np.asarray((axes[:, kept] * np.sqrt(size[kept]))[:, ::-1])

    def named(self, free: Array, values: Array) -> tuple[dict[str, Array], dict[str, Array]]:
        """The named vectors, (count, d), and the named numbers, (count,), at free points (n, d) and values."""
        gram = free @ free.T
        return (
            {name: rows @ free for name, rows in self.vectors.items()},
            {name: form.at(gram, values) for name, form in self.numbers.items()},
        )


def svec(matrix: Array) -> Array:
    """(n, n) symmetric -> (n (n+1)/2,)."""
    j, i = np.tril_indices(len(matrix))
    return np.asarray(matrix[i, j] * np.where(i == j, 1.0, math.sqrt(2)))


def smat(vector: Array) -> Array:
    """The inverse of `svec`."""
    n = math.isqrt(2 * len(vector))
    j, i = np.tril_indices(n)
    matrix = np.zeros((n, n))
    matrix[i, j] = matrix[j, i] = vector / np.where(i == j, 1.0, math.sqrt(2))
    return matrix


def translate(
    question: Question,
    metrics: Sequence[Any],
    constraints: Mapping[str, Sequence[Any]],
    vectors: Mapping[str, Sequence[Any]],
    numbers: Mapping[str, Sequence[Any]],
    paid: Any = None,
) -> Model:
    """PEPit's expressions as arrays; the objective is the least of `metrics`, minus `paid`."""
    least = Expression(is_leaf=True)
    kinds = ["metric"] * len(metrics) + [kind for kind, some in constraints.items() for _ in some]
    rows = [least - metric for metric in metrics] + [c.expression for some in constraints.values() for c in some]
    assert all(c.equality_or_inequality == "inequality" for some in constraints.values() for c in some)
    objective = least if paid is None else least - paid
    return Model(
        question,
        _form([objective]),
        _form(rows),
        tuple(kinds),
        {name: np.array([_coefficients(p) for p in points]).reshape(-1, Point.counter) for name, points in vectors.items()},
        {name: _form(some) for name, some in numbers.items()},
    )


def _coefficients(point: Any) -> Array:
    found = np.zeros(Point.counter)
    for leaf, weight in point.decomposition_dict.items():
        found[leaf.counter] += weight
    return found


def _form(expressions: Sequence[Any]) -> Form:
    n, m, k = Point.counter, Expression.counter, len(expressions)
    W, A, c = np.zeros((k, n * (n + 1) // 2)), np.zeros((k, m)), np.zeros(k)
    for row, expression in enumerate(expressions):
        low, high, weights, places, factors, c[row] = expression_to_sparse_matrices(expression)
        i, j = np.minimum(low, high).astype(int), np.maximum(low, high).astype(int)
        np.add.at(W[row], j * (j + 1) // 2 + i, np.where(i == j, 1.0, math.sqrt(2)) * weights)
        np.add.at(A[row], places.astype(int), factors)
    return Form(W, A, c)
