"""QSGD: random rounding to levels of the 2-norm (Alistarh, Grubic, Li, Tomioka, Vojnovic 2017, Section 3.1, Lemma 3.1).

With r_i = s |v_i| / ||v||, the level l_i is floor(r_i), plus 1 with chance r_i - floor(r_i): E l_i = r_i: unbiased.
Var l_i <= min(1/4, r_i); the sum is at most d, and at most sum r_i = s ||v||_1 / ||v|| <= s sqrt(d); by ||v||^2 / s^2
this gives omega = min(d/s^2, sqrt(d)/s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array, norm
from efcheck.compressors.base import Compressor
from efcheck.compressors.wire import (
    Bits,
    Float32,
    bits_float,
    bits_integer,
    float_bits,
    integer_bits,
    narrow,
    scale32,
)
from efcheck.errors import integer


@dataclass(frozen=True)
class QSGD(Compressor):
    """C(v)_i = ||v||_2 sign(v_i) l_i / s, l_i in {0, ..., s}; 32 + d (1 + ceil(log2(s + 1))) bits; d uniforms a vector.

    Parameters
    ----------
    levels : int
        s >= 1, at most 2^31 - 1.

    Examples
    --------
    >>> QSGD(5)([3.0, -4.0], np.random.default_rng(0))
    array([ 3., -4.])
    """

    levels: int

    stochastic = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", integer("levels", self.levels, 1, 2**31 - 1))

    def _quantise(self, v: Array, u: Array) -> tuple[Array, Array]:
        """The norm, (..., 1), and the signed levels, both float64."""
        wide = v.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            scale = norm(wide)
            safe = np.where(scale > 0, np.minimum(scale, np.finfo(np.float64).max), 1)
            r = np.minimum(np.abs(wide) / safe * self.levels, self.levels)
        low = np.floor(r)
        return scale, np.copysign(low + (u < r - low), wide)

    def _value(self, scale: Array, level: Array) -> Array:
        with np.errstate(under="ignore"):
            out: Array = scale * (level / scale.dtype.type(self.levels))
        return out

    def _kernel(self, v: Array, u: Array) -> Array:
        scale, level = self._quantise(v, u)
        return self._value(narrow(scale, v.dtype), level.astype(v.dtype))

    def _omega(self, d: int) -> float:
        return min(d / self.levels**2, math.sqrt(d) / self.levels)

    def _bits(self, d: int) -> int:
        return 32 + d * (1 + self.levels.bit_length())  # ceil(log2(s + 1)) is the bit length of s

    def _pack(self, v: Array, u: Array) -> Bits:
        scale, level = self._quantise(v, u)
        numbers = integer_bits(np.abs(level).astype(np.int64), self.levels.bit_length())
        return np.concatenate([float_bits(scale32(scale)), np.signbit(level).astype(np.uint8), numbers])

    def _unpack(self, bits: Bits, d: int) -> Float32:
        level = bits_integer(bits[32 + d :], self.levels.bit_length(), d).astype(np.float32)
        signed = np.where(bits[32 : 32 + d] == 1, -level, level)
        return self._value(bits_float(bits[:32]), signed).astype(np.float32, copy=False)
