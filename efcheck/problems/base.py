"""The interface that every problem shares: an objective, its stochastic gradient and its known optimum."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator, float_array
from efcheck.errors import argument_error


class Problem(ABC):
    """min f(x) over a convex set, with gradients g(x) for given noise.

    Points have shape (..., d), usually (runs, d). [f] and [x] are free units; [g] = [f]/[x].

    Attributes
    ----------
    d, x0, x_star, f_star
        Dimension, start (d,), a minimiser (d,) and the minimum of f.
    L : float or None
        Smoothness of f, not of E[g], where the two differ; None if f is not smooth.
    sigma : float or None
        Bound of the second moment sqrt(E||g||^2) over the feasible set, None if there is none.
    rowwise : bool
        True if a row's bits do not depend on how many rows there are; False where BLAS is used.
    columns : bool
        True if x may be stored by columns, which is faster for many runs; a row's bits still depend on that row alone.
    """

    d: int
    x0: Array
    x_star: Array
    f_star: float
    L: float | None = None
    sigma: float | None = None
    rowwise: bool = True
    columns: bool = False
    stochastic: bool = False

    def f(self, x: Any) -> Array:
        """f(x), shape (...,), unit [f]."""
        return self._f(self._points(x))

    def mean_gradient(self, x: Any) -> Array:
        """E[g(x)], shape (..., d), a new array."""
        return self._mean_gradient(self._points(x))

    def gradient(self, x: Any, rng: Generator | None = None) -> Array:
        """One stochastic gradient per row; deterministic problems never touch `rng`."""
        points = self._points(x)
        noise = self.sample(rng, 1, int(np.prod(points.shape[:-1])))
        return self.gradient_given(points, None if noise is None else noise[0].reshape(points.shape[:-1]))

    def sample(self, rng: Generator | None, steps: int, runs: int) -> Array | None:
        """The random numbers of `steps` gradients of `runs` runs, (steps, runs) in C order; None if deterministic.

        Two calls with s1 and s2 steps draw the same numbers as one with s1 + s2.
        """
        if not self.stochastic:
            return None
        if rng is None:
            raise argument_error(
                "rng", "be a numpy.random.Generator", None, f"The gradients of {type(self).__name__} are stochastic."
            )
        return self._draw(rng, steps, runs)

    @abstractmethod
    def gradient_given(self, x: Array, noise: Array | None, out: Array | None = None) -> Array:
        """g(x) for given noise (...,), in x's dtype, into `out` if given; x is not modified. Not validated.

        `out` must not overlap x. Where a subclass also takes `gamma`, a number or a column (..., 1), it gives gamma g(x),
        with the bits of the product: EFSGD needs no more, and saves a pass.
        """

    def project(self, x: Any) -> Array:
        """The nearest feasible point of each row, a new array."""
        return self._points(x).copy()

    def line_search(self, x: Any, direction: Any) -> Array:
        """The smallest minimiser over gamma >= 0 of f(project(x - gamma direction)), shape (...,); 0 if no descent."""
        points, along = self._points(x), self._points(direction, "direction")
        try:
            points, along = np.broadcast_arrays(points, along)
        except ValueError:
            raise argument_error("direction", f"have the shape of `x`, {points.shape}", f"shape {along.shape}") from None
        return self._line_search(points, along)

    @abstractmethod
    def _f(self, x: Array) -> Array: ...

    @abstractmethod
    def _mean_gradient(self, x: Array) -> Array: ...

    def _draw(self, rng: Generator, steps: int, runs: int) -> Array:
        return rng.random((steps, runs))

    def _line_search(self, x: Array, direction: Array) -> Array:
        raise argument_error("problem", "have an exact line search", type(self).__name__, "Pass a step size or a schedule.")

    def _points(self, x: Any, name: str = "x") -> Array:
        array = float_array(name, x)
        if array.ndim == 0 or array.shape[-1] != self.d:
            raise argument_error(name, f"have shape (..., {self.d})", f"shape {array.shape}")
        return array


def output(x: Array, out: Array | None) -> Array:
    """`out`, or a new C-ordered array like x."""
    return np.empty(x.shape, dtype=x.dtype) if out is None else out
