"""OneBit: the mean of the entries >= 0 and the mean of those < 0 (Seide, Fu, Droppo, Li, Yu 2014, Section 2).

C(v) is the orthogonal projection of v on the span of the indicators of the two groups P and N, so ||C(v) - v||^2 =
||v||^2 - ||C(v)||^2 and ||C(v)||^2 = ||v_P||_1^2/|P| + ||v_N||_1^2/|N| >= ||v||_1^2 / d >= ||v||_2^2 / d
(Cauchy-Schwarz over the two groups): delta = 1/d, attained at one-hot v >= 0. Never worse than scaled sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor, row_mean
from efcheck.compressors.wire import Bits, Float32, bits_float, float_bits, narrow, scale32


@dataclass(frozen=True)
class OneBit(Compressor):
    """C(v)_i = mean of the entries of v_i's sign group, zeros among the positive; d + 64 bits.

    An absent group's mean is 0.

    Examples
    --------
    >>> OneBit()([3.0, 1.0, -4.0])
    array([ 2.,  2., -4.])
    """

    def _kernel(self, v: Array, u: Array) -> Array:
        positive, up, down = self._means(v)
        return np.where(positive, narrow(up, v.dtype), narrow(down, v.dtype))

    @staticmethod
    def _means(v: Array) -> tuple[NDArray[np.bool_], Array, Array]:
        """The mask of entries >= 0, and the two means in float64, (..., 1)."""
        wide = v.astype(np.float64)
        positive = wide >= 0
        count = positive.sum(axis=-1, keepdims=True)
        up = row_mean(np.where(positive, wide, 0.0), np.maximum(count, 1))
        down = -row_mean(np.where(positive, 0.0, -wide), np.maximum(v.shape[-1] - count, 1))
        return positive, up + 0.0, down

    def _delta(self, d: int) -> float:
        return 1 / d

    def _bits(self, d: int) -> int:
        return d + 64

    def _pack(self, v: Array, u: Array) -> Bits:
        positive, up, down = self._means(v)
        return np.concatenate([float_bits(scale32(up)), float_bits(scale32(down)), positive.astype(np.uint8)])

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return np.where(bits[64:] == 1, bits_float(bits[:32]), bits_float(bits[32:64]))
