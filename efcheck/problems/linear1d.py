"""Counterexample 1: a linear function on an interval with bimodal noise."""

from __future__ import annotations

import numpy as np

from efcheck.arrays import Array
from efcheck.problems.base import Problem, output


class Linear1D(Problem):
    """f(x) = x/4 on [-1, 1]; g = 4 with probability 1/4, else -1, so E[g] = 1/4.

    x0 = 0, x* = -1, f* = -1/4, E||g||^2 = 4.75. All constants are pure numbers.

    Examples
    --------
    >>> p = Linear1D()
    >>> p.f(np.array([[-1.0], [1.0]]))
    array([-0.25,  0.25])

    Source
    ------
    Karimireddy et al. 2019, Counterexample 1.
    """

    stochastic = True

    def __init__(self) -> None:
        self.d = 1
        self.x0, self.x_star, self.f_star = np.zeros(1), -np.ones(1), -0.25
        self.L, self.sigma = 0.0, float(np.sqrt(4.75))

    def _f(self, x: Array) -> Array:
        return x[..., 0] / 4

    def _mean_gradient(self, x: Array) -> Array:
        return np.full(x.shape, 0.25, dtype=x.dtype)

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        assert noise is not None
        g = output(x, out)
        g[..., 0] = np.where(noise < 0.25, 4.0, -1.0)
        return g

    def project(self, x: object) -> Array:
        return np.clip(self._points(x), -1, 1)

    def _line_search(self, x: Array, direction: Array) -> Array:
        x, direction = x[..., 0], direction[..., 0]
        descends = (direction > 0) & (x > -1)
        with np.errstate(over="ignore"):
            gamma = (np.clip(x, -1, None) + 1) / np.where(descends, direction, 1)
        return np.where(descends, np.minimum(gamma, np.finfo(gamma.dtype).max), 0).astype(x.dtype)
