"""Counterexample 3: a smooth least-squares problem on which stochastic SIGNSGD is stuck on a line."""

from __future__ import annotations

import numpy as np

from efcheck.arrays import Array
from efcheck.errors import real
from efcheck.problems.base import Problem, output
from efcheck.problems.steps import quadratic_step


class LeastSquares2D(Problem):
    """f(x) = <a_1, x>^2 + <a_2, x>^2 with a_{1,2} = +-(1, -1) + eps (1, 1).

        g = 2 a_i <a_i, x>, i = 1 or 2 with probability 1/2;   E[g] = sum_i a_i <a_i, x> = grad f / 2

    The mean gradient is half of grad f, as in the paper's definition of g. L = 8 is that of f (E[g] has 4).

    Parameters
    ----------
    epsilon : number in (0, 1)

    Examples
    --------
    >>> p = LeastSquares2D(0.5)
    >>> float(p.f(p.x0)), p.mean_gradient(p.x0)
    (2.0, array([1., 1.]))

    Source
    ------
    Karimireddy et al. 2019, Counterexample 3.
    """

    stochastic = True

    def __init__(self, epsilon: float = 0.5) -> None:
        self.epsilon = real("epsilon", epsilon, 0, 1, open_ends=True)
        self.A = np.array([[1 + self.epsilon, -1 + self.epsilon], [-1 + self.epsilon, 1 + self.epsilon]])
        self.d = 2
        self.x0, self.x_star, self.f_star = np.ones(2), np.zeros(2), 0.0
        self.L = 8.0

    def _products(self, x: Array) -> tuple[Array, Array]:
        p, q = 1 + self.epsilon, -1 + self.epsilon
        return p * x[..., 0] + q * x[..., 1], q * x[..., 0] + p * x[..., 1]

    def _f(self, x: Array) -> Array:
        first, second = self._products(x)
        return first * first + second * second

    def _mean_gradient(self, x: Array) -> Array:
        p, q = 1 + self.epsilon, -1 + self.epsilon
        first, second = self._products(x)
        return np.stack([p * first + q * second, q * first + p * second], axis=-1)

    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        assert noise is not None
        g = output(x, out)
        p, q = x.dtype.type(1 + self.epsilon), x.dtype.type(-1 + self.epsilon)
        picked = noise < 0.5
        a, b = np.where(picked, p, q), np.where(picked, q, p)
        e = 2 * (a * x[..., 0] + b * x[..., 1])
        g[..., 0] = a * e
        g[..., 1] = b * e
        return g

    def _line_search(self, x: Array, direction: Array) -> Array:
        (r1, r2), (s1, s2) = self._products(x), self._products(direction)
        return quadratic_step(np.asarray(r1 * s1 + r2 * s2), np.asarray(s1 * s1 + s2 * s2))
