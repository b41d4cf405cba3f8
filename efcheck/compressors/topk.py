"""TopK: the k entries of largest magnitude (Stich, Cordonnier, Jaggi 2018, Definition 2.2).

The k largest squares hold at least the share k/d of their sum, so ||C(v) - v||^2 <= (1 - k/d) ||v||^2, with equality
where all |v_i| are equal: delta = k/d.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efcheck.arrays import Array
from efcheck.compressors.base import Compressor
from efcheck.compressors.sparse import kept, kept_argument, largest, pack_pairs, pair_bits, unpack_pairs
from efcheck.compressors.wire import Bits, Float32


@dataclass(frozen=True)
class TopK(Compressor):
    """C(v)_i = v_i if i in S(v) else 0, |S(v)| = k, ties kept in index order; delta = k/d, k (32 + ceil(log2 d)) bits.

    Parameters
    ----------
    k : int or float
        An int in [1, d], or a float share of d in (0, 1]: k = ceil(round(share * d, 9)).
        TopK(1) keeps one entry, TopK(1.0) all.

    Examples
    --------
    >>> TopK(2)([3.0, -1.0, 2.0])
    array([3., 0., 2.])
    """

    k: int | float

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", kept_argument(self.k))

    def check(self, d: int) -> None:
        """1 <= k <= d."""
        super().check(d)
        kept(self.k, d)

    def _kernel(self, v: Array, u: Array) -> Array:
        return np.where(largest(np.abs(v), kept(self.k, v.shape[-1])), v, v.dtype.type(0))

    def _delta(self, d: int) -> float:
        return kept(self.k, d) / d

    def _bits(self, d: int) -> int:
        return pair_bits(kept(self.k, d), d)

    def _pack(self, v: Array, u: Array) -> Bits:
        return pack_pairs(v, largest(np.abs(v), kept(self.k, v.size)))

    def _unpack(self, bits: Bits, d: int) -> Float32:
        return unpack_pairs(bits, kept(self.k, d), d)
