"""The family of Theorem I: data whose rows all have the sign pattern +-s."""

from __future__ import annotations

from typing import Any

import numpy as np

from efcheck.arrays import Array, row_dot
from efcheck.errors import argument_error
from efcheck.problems.base import Problem, output
from efcheck.problems.least_squares import matrix, vector
from efcheck.problems.losses import Loss, as_loss
from efcheck.problems.optimum import minimise, multipliers
from efcheck.problems.steps import absolute_step, convex_step, quadratic_step


class SignAligned(Problem):
    """f(x) = sum_i phi(<a_i, x> - b_i), where sign(a_i) = orientation_i s with s in {-1, 1}^d.

        g = a_i phi'(<a_i, x> - b_i), i uniform on the n rows;   E[g] = grad f / n

    Parameters
    ----------
    A : (n, d) array, n >= 1, d >= 2
        No zero entries; every row has the signs +s or -s, s being those of the first row.
    loss : "squared", "logistic", "huber", "absolute", or a Loss
    b : (n,) array, optional
        Default A x_star, or 0 where no x_star is given.
    x_star : (d,) array, optional
        A minimiser. Checked against b if both are given; found if only b is.

    Attributes: s (d,), orientation (n,), and `unique`: True only if the minimiser is certified to be the only one
    (rank d of the rows with curvature at x*; for |r|, of the rows at their kink with multipliers inside (-1, 1)).

    Examples
    --------
    >>> p = SignAligned([[1.0, -2.0], [-3.0, 1.0]], x_star=[1.0, 1.0])
    >>> p.s, p.orientation, float(p.f(p.x0)), p.unique
    (array([ 1., -1.]), array([ 1., -1.]), 5.0, True)

    Source
    ------
    Karimireddy et al. 2019, Theorem I.
    """

    stochastic = True

    def __init__(self, A: Any, loss: Loss | str = "squared", b: Any = None, x_star: Any = None) -> None:
        self.A = matrix("A", A)
        self.n, self.d = self.A.shape
        if self.d < 2:
            raise argument_error("A", "have at least 2 columns", f"shape {self.A.shape}", "Theorem I needs d >= 2.")
        self.s, self.orientation = _orient(self.A)
        self.loss = as_loss(loss)
        given = None if x_star is None else vector("x_star", x_star, self.d, "One entry per column of `A`.")
        if b is None:
            self.x_star = np.zeros(self.d) if given is None else given
            self.b: Array = np.asarray(self.A @ self.x_star)
        else:
            self.b = vector("b", b, self.n, "One entry per row of `A`.")
            self.x_star = minimise(self.A, self.b, self.loss) if given is None else given
        self._single = self.A.astype(np.float32), self.b.astype(np.float32)
        self.x0 = np.zeros(self.d)
        self.unique = self._certify(checked=given is not None and b is not None)
        self.f_star = float(self._f(self.x_star))
        curvature, lipschitz = self.loss.curvature, self.loss.lipschitz
        self.L = None if curvature is None else curvature * float(np.linalg.norm(self.A, 2)) ** 2
        rms = float(np.sqrt(np.square(self.A).sum(axis=1).mean()))
        self.sigma = None if lipschitz is None else lipschitz * rms

    def _certify(self, checked: bool) -> bool:
        r = self.A @ self.x_star - self.b
        # Rounding of <a_i, x> - b_i: a few hundred eps times the size of its terms.
        size = np.abs(self.A) @ np.abs(self.x_star) + np.abs(self.b)
        zero = 1e-12 * float(size.max())
        u, remainder = multipliers(self.A, r, self.loss, zero)
        certain = True
        slack = 1e-7 * max(1.0, float(np.abs(u).max()))
        if checked and remainder > slack and self.loss.name == "absolute":
            # The multipliers of tied rows may converge slowly; the exact minimum of f decides.
            best = np.abs(self.A @ minimise(self.A, self.b, self.loss) - self.b).sum()
            remainder = 0.0 if np.abs(r).sum() <= best + 1e-12 * size.sum() else remainder
            certain = False
        if checked and remainder > slack:
            raise argument_error("x_star", "minimise f for this `b`", f"a relative gradient of {remainder:.1e}")
        if self.loss.name == "absolute":
            rows = (np.abs(r) <= zero) & (np.abs(u) < 1 - 1e-6) & (remainder <= 1e-8) & certain
        else:
            # Huber's kinks at |r| = 1 have curvature on one side only: not certified.
            rows = self.loss.second(r + 1e-9 * np.sign(r)) > 0
        return bool(rows.any()) and int(np.linalg.matrix_rank(self.A[rows])) == self.d

    def _data(self, x: Array) -> tuple[Array, Array]:
        return self._single if x.dtype == np.float32 else (self.A, self.b)

    def _residuals(self, x: Array, shift: bool = True) -> Array:
        A, b = self._data(x)
        r = np.empty((*x.shape[:-1], self.n), dtype=x.dtype)
        for i in range(self.n):
            r[..., i] = row_dot(x, A[i])
        return np.asarray(r - b) if shift else r

    def _f(self, x: Array) -> Array:
        return np.asarray(self.loss.value(self._residuals(x)).sum(axis=-1))

    def _mean_gradient(self, x: Array) -> Array:
        A, _ = self._data(x)
        u = self.loss.derivative(self._residuals(x))
        g = np.zeros(x.shape, dtype=x.dtype)
        for i in range(self.n):
            g += u[..., i, None] * A[i]
        return np.asarray(g / self.n)

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        assert noise is not None
        A, b = self._data(x)
        # u < 1, but u * n may round to n.
        i = np.minimum((noise * self.n).astype(np.intp), self.n - 1)
        rows = A[i]
        u = self.loss.derivative(row_dot(x, rows) - b[i])
        g = output(x, out)
        np.multiply(rows, u[..., None], out=g)
        return g

    def _line_search(self, x: Array, direction: Array) -> Array:
        r, s = self._residuals(x), self._residuals(direction, shift=False)
        if self.loss.name == "squared":
            return quadratic_step(np.asarray((r * s).sum(axis=-1)), np.asarray((s * s).sum(axis=-1)))
        if self.loss.name == "absolute":
            return absolute_step(r, s)
        return convex_step(r, s, self.loss.derivative)


def _orient(A: Array) -> tuple[Array, Array]:
    signs = np.sign(A)
    if (signs == 0).any():
        i, j = (int(k) for k in np.argwhere(signs == 0)[0])
        raise argument_error("A", "have no zero entry", f"{A[i, j]} at index {(i, j)}", "sign(a_i) must be +-s.")
    orientation = signs[:, 0] * signs[0, 0]
    wrong = (signs != orientation[:, None] * signs[0]).any(axis=1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise argument_error("A", "have rows with the signs +-s of row 0", f"other signs in row {i}")
    return signs[0], orientation
