"""Scaled: a compressor times a positive number a (Remark 5).

Unbiased inner: E||a C(v) - v||^2 = a^2 E||C(v)||^2 - 2 a ||v||^2 + ||v||^2 <= (1 - 2 a + a^2 (1 + omega)) ||v||^2, so
delta = 2 a - a^2 (1 + omega), largest at a = 1/(1 + omega) where it is 1/(1 + omega).
Biased inner with delta D: a C(v) - v = a (C(v) - v) + (a - 1) v, so by Minkowski in L2 the root mean square is at
most (a sqrt(1 - D) + |1 - a|) ||v||: delta = 1 - (a sqrt(1 - D) + |1 - a|)^2. Where neither is positive there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.compressors.base import Compressor, as_compressor
from efcheck.compressors.wire import Bits, Float32, narrow, scale32
from efcheck.errors import real


@dataclass(frozen=True)
class Scaled(Compressor):
    """C(v) = factor * inner(v). The factor is known to both sides: bits as `inner`.

    Parameters
    ----------
    inner : compressor, or any callable (v, rng=None) -> v
        A plain callable has no message, and no delta.
    factor : float
        Finite, > 0. On the wire, and for float32 v, it is rounded to float32.

    Examples
    --------
    >>> from efcheck.compressors import RandomK
    >>> Scaled(RandomK(1, unbiased=True), 0.25).delta(4)
    0.25
    """

    inner: Any
    factor: float
    _part: Compressor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        part = as_compressor(self.inner)
        object.__setattr__(self, "_part", part)
        object.__setattr__(self, "factor", real("factor", self.factor, 0, open_ends=True))
        object.__setattr__(self, "stochastic", part.stochastic)
        object.__setattr__(self, "_opaque", part._opaque)

    def check(self, d: int) -> None:
        """As `inner`."""
        self._part.check(d)

    def compress(self, v: Array, rng: Generator | None = None) -> Array:
        v = np.ascontiguousarray(v)
        return self._times(self._part.compress(v, rng))

    def _times(self, x: Array) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            x *= narrow(np.asarray(self.factor), x.dtype)
        return x

    def _kernel(self, v: Array, u: Array) -> Array:
        return self._times(self._part._kernel(v, u))

    def _draws(self, d: int) -> int:
        return self._part._draws(d)

    def _delta(self, d: int) -> float | None:
        a, omega, inner = self.factor, self._part._omega(d), self._part._delta(d)
        if omega is not None:
            value = a * (2 - a * (1 + omega))
        elif inner is None:
            return None
        elif a == 1:
            return inner
        else:
            value = 1 - min(a * math.sqrt(max(1 - inner, 0.0)) + abs(1 - a), 1.0) ** 2
        return value if value > 0 else None

    def _omega(self, d: int) -> float | None:
        return self._part._omega(d) if self.factor == 1 else None

    def _bits(self, d: int) -> int:
        return self._part._bits(d)

    def _pack(self, v: Array, u: Array) -> Bits:
        bits = self._part._pack(v, u)
        factor = float(scale32(self.factor, "factor"))
        scale32(np.abs(self._part._unpack(bits, v.size).astype(np.float64)).max() * factor, "factor * max|inner(v)|")
        return bits

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return self._times(self._part._unpack(bits, d)).astype(np.float32, copy=False)
