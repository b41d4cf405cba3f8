"""TernGrad: random rounding to {-1, 0, 1} times the largest magnitude (Wen et al. 2017, Section 3, equation 2).

Unbiased, with E||C(v)||^2 = max|v| ||v||_1. Let max|v| = 1 and the others sum to S: the ratio to ||v||^2 is at most
(1 + S) / (1 + S^2/(d-1)), largest at S = sqrt(d) - 1 (others 1/(sqrt(d)+1)), where it is (sqrt(d) + 1)/2.
So omega = (sqrt(d) - 1)/2, attained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor
from efcheck.compressors.wire import Bits, Float32, bits_float, float_bits, scale32


@dataclass(frozen=True)
class TernGrad(Compressor):
    """C(v)_i = max|v| sign(v_i) b_i, b_i = 1 with chance |v_i| / max|v|; 2 d + 32 bits; d uniforms a vector.

    Examples
    --------
    >>> TernGrad()([2.0, 0.0, -2.0], np.random.default_rng(0))
    array([ 2.,  0., -2.])
    """

    stochastic = True

    def _kernel(self, v: Array, u: Array) -> Array:
        top = np.abs(v).max(axis=-1, keepdims=True)
        return np.where(self._keep(v, u, top), np.copysign(top, v), v.dtype.type(0))

    @staticmethod
    def _keep(v: Array, u: Array, top: Array) -> NDArray[np.bool_]:
        with np.errstate(under="ignore"):
            share = np.abs(v).astype(np.float64) / np.where(top > 0, top, 1)
        keep: NDArray[np.bool_] = u < share
        return keep

    def _omega(self, d: int) -> float:
        return (math.sqrt(d) - 1) / 2

    def _bits(self, d: int) -> int:
        return 2 * d + 32

    def _pack(self, v: Array, u: Array) -> Bits:
        top = np.abs(v).max(keepdims=True)
        parts = [float_bits(scale32(top)), np.signbit(v).astype(np.uint8), self._keep(v, u, top).astype(np.uint8)]
        return np.concatenate(parts)

    def _unpack(self, bits: Bits, d: int) -> Float32:
        top = bits_float(bits[:32])
        return np.where(bits[32 + d :] == 1, np.where(bits[32 : 32 + d] == 1, -top, top), np.float32(0))
