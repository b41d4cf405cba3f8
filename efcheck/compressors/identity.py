"""No compression: C(v) = v, delta = 1, omega = 0, 32 d bits (fp32 entries)."""

from __future__ import annotations

from dataclasses import dataclass

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor
from efcheck.compressors.wire import Bits, Float32, bits_float, entries32, float_bits


@dataclass(frozen=True)
class Identity(Compressor):
    """C(v) = v, sent as d float32 numbers. ||C(v) - v|| = 0, so delta = 1 and omega = 0.

    >>> Identity()([1.0, -2.0])
    array([ 1., -2.])
    """

    def _kernel(self, v: Array, u: Array) -> Array:
        return v.copy()

    def _omega(self, d: int) -> float:
        return 0.0

    def _bits(self, d: int) -> int:
        return 32 * d

    def _pack(self, v: Array, u: Array) -> Bits:
        return float_bits(entries32(v))

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return bits_float(bits)
