r"""Scaled sign, the one-bit compressor of EF-signSGD (Algorithm 1, Lemma 8).

    C(v) = (||v||_1 / d) sign(v),   v in R^d

With |sign| = 1, <C(v), v> = ||v||_1^2 / d = ||C(v)||_2^2, so
||C(v) - v||^2 = ||v||^2 - ||v||_1^2 / d = (1 - phi(v)) ||v||^2;
with sign(0) = 0 it is at most that. phi(v) = ||v||_1^2 / (d ||v||_2^2) >= 1/d, with equality at one-hot
vectors: delta = 1/d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array, sign_convention, signed
from efcheck.compressors.base import Compressor, row_mean
from efcheck.compressors.signs import check_one_bit
from efcheck.compressors.wire import Bits, Float32, bits_float, float_bits, narrow, scale32


@dataclass(frozen=True)
class ScaledSign(Compressor):
    """One bit a coordinate and one fp32 scale: d + 32 bits, delta = 1/d.

    Parameters
    ----------
    zero : {-1, 0, 1}
        sign(0). A one-bit message has no zero, so `encode` needs +-1.

    Examples
    --------
    >>> ScaledSign()(np.array([3.0, -1.0]))
    array([ 2., -2.])
    """

    zero: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "zero", sign_convention(self.zero))

    def _kernel(self, v: Array, u: Array) -> Array:
        out = np.empty_like(v)
        self.compress_into(v, out)
        return out

    def compress_into(self, v: Array, out: Array, negative_zeros: bool = True) -> Array:
        """out = C(v), without validation and without a new array: v contiguous, out another array of its shape.

        negative_zeros: False promises that no entry of v is -0.0, which saves a look at all of them. Returns the scales
        (..., 1): |C(v)_i| where sign(v_i) is not 0, and not finite if v is not.
        """
        np.abs(v, out=out)
        scale = row_mean(out.astype(np.float64, copy=False), v.shape[-1])
        if v.dtype != np.float64:
            scale = narrow(scale, v.dtype)
        signed(v, scale, self.zero, out, negative_zeros)
        return scale

    def _delta(self, d: int) -> float:
        return 1 / d

    def _bits(self, d: int) -> int:
        return d + 32

    def _pack(self, v: Array, u: Array) -> Bits:
        check_one_bit(self.zero)
        scale = scale32(row_mean(np.abs(v).astype(np.float64), v.size))
        positive = v >= 0 if self.zero == 1 else v > 0
        return np.concatenate([float_bits(scale), positive.astype(np.uint8)])

    def _unpack(self, bits: Bits, d: int) -> Float32:
        scale = bits_float(bits[:32])
        return np.where(bits[32:] == 1, scale, -scale)
