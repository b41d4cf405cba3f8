"""Least squares with the full-batch gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from efcheck.arrays import Array, finite, float_array
from efcheck.errors import argument_error
from efcheck.problems.base import Problem, output
from efcheck.problems.steps import quadratic_step


def matrix(name: str, value: Any) -> Array:
    """A finite float64 matrix (n, d), n and d >= 1, copied."""
    array = finite(name, float_array(name, value))
    if array.ndim != 2 or 0 in array.shape:
        raise argument_error(name, "be a matrix of shape (n, d), n and d >= 1", f"shape {array.shape}")
    return np.array(array, dtype=np.float64, order="C")


def vector(name: str, value: Any, size: int, hint: str) -> Array:
    """A finite float64 vector (size,), copied."""
    array = finite(name, float_array(name, value))
    if array.shape != (size,):
        raise argument_error(name, f"have shape ({size},)", f"shape {array.shape}", hint)
    return np.array(array, dtype=np.float64)


class LeastSquares(Problem):
    """Least squares over all n rows at once.

        f(x) = ||Ax - y||^2,          g = 2 A^T (Ax - y)
        f(x) = ||Ax - y||^2 / (2n),   g = A^T (Ax - y) / n     with mean=True

    In both cases g is grad f, and deterministic.

    Parameters
    ----------
    A : (n, d) array
    y : (n,) array
    mean : bool
        The scale of Figure 3's step sizes.

    Notes: x0 = 0, x* is the solution of least norm, L = 2 ||A||^2 (mean: ||A||^2 / n), spectral norm.

    Examples
    --------
    >>> p = LeastSquares([[1.0, 0.0]], [3.0])
    >>> float(p.f(p.x0)), p.gradient(p.x0), p.x_star
    (9.0, array([-6.,  0.]), array([3., 0.]))

    Source
    ------
    Karimireddy et al. 2019, section 5.2 and Figure 3.
    """

    rowwise = False

    def __init__(self, A: Any, y: Any, mean: bool = False) -> None:
        self.A = matrix("A", A)
        n, self.d = self.A.shape
        self.y = vector("y", y, n, "One label per row of `A`.")
        self.mean = bool(mean)
        self._scale = 1 / (2 * n) if self.mean else 1.0
        self._single = self.A.astype(np.float32), self.y.astype(np.float32)
        self.x0 = np.zeros(self.d)
        self.x_star = np.asarray(np.linalg.lstsq(self.A, self.y, rcond=None)[0])
        self.f_star = float(self._f(self.x_star))
        self.L = 2 * self._scale * float(np.linalg.norm(self.A, 2)) ** 2

    def _data(self, x: Array) -> tuple[Array, Array]:
        return self._single if x.dtype == np.float32 else (self.A, self.y)

    def _f(self, x: Array) -> Array:
        A, y = self._data(x)
        return self._scale * np.asarray(np.square(x @ A.T - y).sum(axis=-1))

    def _mean_gradient(self, x: Array) -> Array:
        return self.gradient_given(x, None)

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        A, y = self._data(x)
        g = output(x, out)
        np.matmul(x @ A.T - y, A, out=g)
        g *= 2 * self._scale
        return g

    def _line_search(self, x: Array, direction: Array) -> Array:
        A, y = self._data(x)
        r, s = x @ A.T - y, direction @ A.T
        return quadratic_step(np.asarray((r * s).sum(axis=-1)), np.asarray((s * s).sum(axis=-1)))
