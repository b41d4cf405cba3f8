"""Counterexample 2: a non-smooth function on which full-batch SIGNSGD is stuck on a line."""

from __future__ import annotations

import numpy as np

from efcheck.arrays import Array, sign, sign_convention
from efcheck.errors import real
from efcheck.problems.base import Problem, output
from efcheck.problems.steps import absolute_step


class NonSmooth2D(Problem):
    """f(x) = eps |x1 + x2| + |x1 - x2|, with a subgradient that is deterministic.

        g = eps sign(x1 + x2) (1, 1) + sign(x1 - x2) (1, -1),   sign(0) = zero

    Parameters
    ----------
    epsilon : number in (0, 1)
    zero : -1, 0 or 1
        The value of sign(0) inside the subgradient.

    Notes: x0 = (1, 1), x* = 0, ||g||^2 <= 2 + 2 eps^2, and f is not smooth.

    Examples
    --------
    >>> p = NonSmooth2D(0.5)
    >>> p.gradient(np.array([[1.0, 1.0], [2.0, 0.0]]))
    array([[ 0.5,  0.5],
           [ 1.5, -0.5]])

    Source
    ------
    Karimireddy et al. 2019, Counterexample 2.
    """

    def __init__(self, epsilon: float = 0.5, zero: int = 0) -> None:
        self.epsilon = real("epsilon", epsilon, 0, 1, open_ends=True)
        self.zero = sign_convention(zero)
        self.d = 2
        self.x0, self.x_star, self.f_star = np.ones(2), np.zeros(2), 0.0
        self.sigma = float(np.sqrt(2 + 2 * self.epsilon**2))

    def _f(self, x: Array) -> Array:
        return self.epsilon * np.abs(x[..., 0] + x[..., 1]) + np.abs(x[..., 0] - x[..., 1])

    def _mean_gradient(self, x: Array) -> Array:
        return self.gradient_given(x, None)

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        g = output(x, out)
        plus = self.epsilon * sign(x[..., 0] + x[..., 1], self.zero)
        minus = sign(x[..., 0] - x[..., 1], self.zero)
        g[..., 0] = plus + minus
        g[..., 1] = plus - minus
        return g

    def _line_search(self, x: Array, direction: Array) -> Array:
        both = [np.stack([v[..., 0] + v[..., 1], v[..., 0] - v[..., 1]], axis=-1) for v in (x, direction)]
        return absolute_step(both[0], both[1], np.array([self.epsilon, 1.0]))
