"""The toy problem of Figure 5: noise in a single coordinate."""

from __future__ import annotations

from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator, row_dot
from efcheck.errors import integer, real
from efcheck.problems.base import Problem, output
from efcheck.problems.steps import quadratic_step


class SparseNoise(Problem):
    """f(x) = ||x||^2 / 2, g = x + noise z e_1 with z ~ N(0, 1).

    Parameters
    ----------
    d : int >= 1
    noise : number >= 0
        Standard deviation of the first coordinate of g, unit [g].

    Notes: x0 = ones, x* = 0, L = 1; E||g||^2 = ||x||^2 + noise^2 has no bound, so sigma is None.

    Examples
    --------
    >>> p = SparseNoise(d=3, noise=10.0)
    >>> p.gradient_given(np.ones((1, 3)), np.array([-0.5]))
    array([[-4.,  1.,  1.]])

    Source
    ------
    Karimireddy et al. 2019, appendix A.1, Figure 5 (d = 100, noise = 100).
    """

    stochastic = True
    columns = True

    def __init__(self, d: int = 100, noise: float = 100.0) -> None:
        self.d = integer("d", d, 1)
        self.noise = real("noise", noise, 0)
        self.x0, self.x_star, self.f_star = np.ones(self.d), np.zeros(self.d), 0.0
        self.L = 1.0

    def _draw(self, rng: Generator, steps: int, runs: int) -> Array:
        return rng.standard_normal((steps, runs))

    def _f(self, x: Array) -> Array:
        return row_dot(x, x) / 2

    def _mean_gradient(self, x: Array) -> Array:
        return x.copy()

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None, gamma: Any = 1.0) -> Array:
        assert noise is not None
        g = output(x, out)
        np.multiply(x, gamma, out=g)
        first = x[..., 0] + (self.noise * noise).astype(x.dtype, copy=False)
        np.multiply(first[..., None], gamma, out=g[..., :1])
        return g

    def _line_search(self, x: Array, direction: Array) -> Array:
        return quadratic_step(row_dot(x, direction), row_dot(direction, direction))
