"""Sign, the compressor of signSGD: C(v) = sign(v), without a scale.

It is not a contraction: for v = t 1 with t -> 0, ||C(v) - v||^2 / ||v||^2 = (1 - t)^2 / t^2 has no bound. It is biased.
Source: equation (signSGD), Section 2; the three conventions for sign(0) are this package's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array, sign, sign_convention
from efcheck.compressors.base import Compressor
from efcheck.compressors.wire import Bits, Float32
from efcheck.errors import argument_error


def check_one_bit(zero: int) -> None:
    """ArgumentError unless sign(0) fits one bit."""
    if zero == 0:
        raise argument_error("zero", "be -1 or 1 to encode", 0, "One bit has no zero; pass zero=1.")


@dataclass(frozen=True)
class Sign(Compressor):
    """C(v)_i = sign(v_i), sign(+-0) = `zero`; C(0) = 0. Neither delta nor omega; d bits.

    Parameters
    ----------
    zero : {-1, 0, 1}
        sign(0). `encode` needs +-1, and a vector that is not all zero.

    Examples
    --------
    >>> Sign(zero=1)([3.0, -1.0, 0.0])
    array([ 1., -1.,  1.])
    """

    zero: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "zero", sign_convention(self.zero))

    def _kernel(self, v: Array, u: Array) -> Array:
        out = sign(v, self.zero)
        if self.zero != 0:
            out *= (v != 0).any(axis=-1, keepdims=True)
        return out

    def _bits(self, d: int) -> int:
        return d

    def _pack(self, v: Array, u: Array) -> Bits:
        check_one_bit(self.zero)
        if not v.any():
            raise argument_error("v", "have a nonzero entry", "the zero vector", "One bit an entry cannot say zero.")
        return (v >= 0 if self.zero == 1 else v > 0).astype(np.uint8)

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return np.where(bits == 1, np.float32(1), np.float32(-1))
