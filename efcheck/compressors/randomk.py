"""RandomK: k entries drawn without replacement (Stich, Cordonnier, Jaggi 2018, Definition 2.2).

Each index is kept with chance k/d, so E||C(v) - v||^2 = (1 - k/d) ||v||^2: delta = k/d, exact for every v.
Times d/k it is unbiased, with E||C(v)||^2 = (d/k)^2 (k/d) ||v||^2: omega = d/k - 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor
from efcheck.compressors.sparse import kept, kept_argument, largest, pack_pairs, pair_bits, unpack_pairs
from efcheck.compressors.wire import Bits, Float32
from efcheck.errors import argument_error


@dataclass(frozen=True)
class RandomK(Compressor):
    """C(v)_i = v_i if i in S else 0, S the ranks of d uniforms; times d/k if `unbiased`. k (32 + ceil(log2 d)) bits.

    Parameters
    ----------
    k : int or float
        As in TopK.
    unbiased : bool
        False: delta = k/d, no omega. True: omega = d/k - 1, delta = 1 - omega where omega < 1.

    Examples
    --------
    >>> RandomK(2, unbiased=True)([1.0, 1.0, 1.0], np.random.default_rng(0)).sum()
    np.float64(3.0)
    """

    k: int | float
    unbiased: bool = False

    stochastic = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", kept_argument(self.k))
        if not isinstance(self.unbiased, (bool, np.bool_)):
            raise argument_error("unbiased", "be True or False", self.unbiased)

    def check(self, d: int) -> None:
        """1 <= k <= d."""
        super().check(d)
        kept(self.k, d)

    def _values(self, v: Array) -> Array:
        if not self.unbiased:
            return v
        d = v.shape[-1]
        with np.errstate(over="ignore"):
            return v * v.dtype.type(d / kept(self.k, d))

    def _kernel(self, v: Array, u: Array) -> Array:
        return np.where(largest(u, kept(self.k, v.shape[-1])), self._values(v), v.dtype.type(0))

    def _delta(self, d: int) -> float | None:
        return super()._delta(d) if self.unbiased else kept(self.k, d) / d

    def _omega(self, d: int) -> float | None:
        return d / kept(self.k, d) - 1 if self.unbiased else None

    def _bits(self, d: int) -> int:
        return pair_bits(kept(self.k, d), d)

    def _pack(self, v: Array, u: Array) -> Bits:
        return pack_pairs(self._values(v), largest(u, kept(self.k, v.size)))

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return unpack_pairs(bits, kept(self.k, d), d)
