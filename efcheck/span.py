"""The linear span of the gradients seen so far, and the distance of a point to it (Section 5.1, Theorem IV)."""

from __future__ import annotations

import math

import numpy as np

from efcheck.arrays import Array, finite, float_array
from efcheck.errors import argument_error, integer

RELATIVE_TOLERANCE = 1e-12  # of ||g||: two Gram-Schmidt passes leave about 1e-15 ||g|| of rounding in the residual
NOISE_FLOOR = 1e-13  # of the largest ||g|| seen: a gradient A^T(Ax - y) near 0 is itself rounding of that size


class GradientSpan:
    """An orthonormal basis of span(g_0, ..., g_{t-1}), one gradient at a time.

        r = (I - Q Q^T)^2 g,   Q <- [Q, r / ||r||]   if ||r|| > max(1e-12 ||g||, 1e-13 max_i ||g_i||)

    Classical Gram-Schmidt done twice ("twice is enough", Giraud et al. 2005): O(d rank) for each call.

    Parameters
    ----------
    d : int
        Dimension, >= 1.

    Examples
    --------
    >>> span = GradientSpan(2)
    >>> span.update(np.array([2.0, 0.0]))
    True
    >>> span.distance(np.array([5.0, 3.0])), span.rank
    (3.0, 1)
    """

    def __init__(self, d: int) -> None:
        self._d = integer("d", d, 1)
        self._basis: Array = np.empty((min(8, self._d), self._d))
        self._rank = 0
        self._largest = 0.0

    @property
    def rank(self) -> int:
        """Dimension of the span."""
        return self._rank

    @property
    def basis(self) -> Array:
        """(rank, d): orthonormal rows that span the gradients (a copy)."""
        return self._basis[: self._rank].copy()

    def update(self, g: Array) -> bool:
        """Add a gradient g, (d,), unit of g; True if the span grew. ArgumentError if g is not a finite (d,) vector."""
        v = self._vector("g", g)
        size, exponent = _norm(v)
        self._largest = max(self._largest, math.ldexp(size, exponent))
        if size == 0.0 or self._rank == self._d:
            return False
        residual = self._residual(np.ldexp(v, -exponent), passes=2)
        left, shift = _norm(residual)
        left = math.ldexp(left, shift)
        if left <= RELATIVE_TOLERANCE * size or math.ldexp(left, exponent) <= NOISE_FLOOR * self._largest:
            return False
        if self._rank == len(self._basis):
            grown = np.empty((min(2 * self._rank, self._d), self._d))
            grown[: self._rank] = self._basis
            self._basis = grown
        self._basis[self._rank] = residual / left
        self._rank += 1
        return True

    def distance(self, x: Array) -> float:
        """||x - Pi(x)||_2, unit of x; ||x|| while the span is {0}. ArgumentError if x is not a finite (d,) vector."""
        v = self._vector("x", x)
        size, exponent = _norm(v)
        if size == 0.0 or self._rank == self._d:
            return 0.0
        residual = self._residual(np.ldexp(v, -exponent), passes=1)
        left, shift = _norm(residual)
        if math.ldexp(left, shift) < 1e-3 * size:  # what is left is small: clean it from the rounding of the large part
            left, shift = _norm(self._residual(residual, passes=1))
        return math.ldexp(left, shift + exponent)

    def _residual(self, v: Array, passes: int) -> Array:
        q = self._basis[: self._rank]
        for _ in range(passes):
            v = v - (q @ v) @ q
        return v

    def _vector(self, name: str, value: Array) -> Array:
        v = float_array(name, value).astype(np.float64, copy=False)
        if v.shape != (self._d,):
            raise argument_error(name, f"have shape ({self._d},)", f"shape {v.shape}")
        return finite(name, v)


def _norm(v: Array) -> tuple[float, int]:
    """||v||_2 as (mantissa, exponent of two), so that no entry under- or overflows when squared."""
    top = float(np.abs(v).max(initial=0.0))
    if top == 0.0:
        return 0.0, 0
    exponent = math.frexp(top)[1]
    scaled = np.ldexp(v, -exponent)
    return math.sqrt(float(scaled @ scaled)), exponent
