"""LowRank: the best approximation of a matrix by one of rank r (Eckart, Young 1936; PowerSGD aims at it).

||C(v) - v||_F^2 = s_{r+1}^2 + ... over min(m, n) singular values in falling order, at most the share 1 - r/min(m, n) of
||v||_F^2 = sum s_i^2: delta = r/min(m, n), attained where all singular values are equal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor
from efcheck.compressors.wire import Bits, Float32, bits_float, float_bits, narrow, scale32
from efcheck.errors import argument_error, integer


@dataclass(frozen=True)
class LowRank(Compressor):
    """C(v) = P Q^T, P = U_r diag(s_r), Q = V_r, of v as an (m, n) matrix in C order; 32 r (m + n) bits.

    Parameters
    ----------
    rank : int
        1 <= rank <= min(m, n).
    shape : (int, int)
        m, n with m n = d.

    Examples
    --------
    >>> LowRank(1, (2, 2))([2.0, 0.0, 0.0, 1.0]).round(12) + 0.0
    array([2., 0., 0., 0.])
    """

    rank: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        try:
            sides = tuple(self.shape)
        except TypeError:
            sides = ()
        if len(sides) != 2:
            raise argument_error("shape", "be two integers (m, n)", self.shape)
        m, n = (integer("shape", side, 1) for side in sides)
        object.__setattr__(self, "shape", (m, n))
        object.__setattr__(self, "rank", integer("rank", self.rank, 1, min(m, n)))

    def check(self, d: int) -> None:
        """m n = d."""
        super().check(d)
        if self.shape[0] * self.shape[1] != d:
            raise argument_error("shape", f"have m * n = d = {d}", self.shape)

    def _factors(self, v: Array) -> tuple[Array, Array, Array]:
        """P (runs, m, r) and Q^T (runs, r, n) in v's dtype, and the largest singular values in float64."""
        wide = v.reshape(-1, *self.shape).astype(np.float64)
        left, s, right = np.linalg.svd(wide, full_matrices=False)
        r = self.rank
        with np.errstate(under="ignore"):
            p = narrow(left[:, :, :r] * s[:, None, :r], v.dtype)
            q = narrow(right[:, :r, :], v.dtype)
        return np.ascontiguousarray(p), np.ascontiguousarray(q), s[:, 0]

    def _kernel(self, v: Array, u: Array) -> Array:
        p, q, _ = self._factors(v)
        return self._product(p, q).reshape(v.shape)

    @staticmethod
    def _product(p: Array, q: Array) -> Array:
        with np.errstate(under="ignore", over="ignore"):
            out: Array = p @ q
        return out

    def _delta(self, d: int) -> float:
        return self.rank / min(self.shape)

    def _bits(self, d: int) -> int:
        return 32 * self.rank * sum(self.shape)

    def _pack(self, v: Array, u: Array) -> Bits:
        p, q, top = self._factors(v)
        scale32(top, "largest singular value")
        with np.errstate(under="ignore"):
            return np.concatenate([float_bits(p.astype(np.float32)), float_bits(q.astype(np.float32))])

    def _unpack(self, bits: Bits, d: int) -> Float32:
        (m, n), r = self.shape, self.rank
        numbers = bits_float(bits)
        p, q = numbers[: m * r].reshape(1, m, r).copy(), numbers[m * r :].reshape(1, r, n).copy()
        return self._product(p, q).reshape(d).astype(np.float32, copy=False)
