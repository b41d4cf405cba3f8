"""What TopK and RandomK share: the number of kept entries, their choice by rank, a message of (index, entry) pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcheck.arrays import Array
from efcheck.compressors.wire import Bits, Float32, bits_float, bits_integer, entries32, float_bits, integer_bits
from efcheck.errors import argument_error, integer, real


def kept_argument(k: Any) -> int | float:
    """`k` as an int >= 1, or as a float share in (0, 1]: its type decides."""
    hint = "An int counts entries, a float is a share of d."
    if isinstance(k, (float, np.floating)):
        share = real("k", k, 0, 1, hint=hint)
        if share == 0:
            raise argument_error("k", "be a share in (0, 1]", k, hint)
        return share
    return integer("k", k, 1, hint=hint)


def kept(k: int | float, d: int) -> int:
    """Entries kept in R^d; nine digits, so that 0.1 of 30 is 3 and not ceil(3.0000000000000004).

    >>> kept(0.1, 30), kept(1, 30), kept(1.0, 30)
    (3, 1, 30)
    """
    if isinstance(k, int):
        if k > d:
            raise argument_error("k", f"be in [1, {d}]", k, "Pass k = d for no compression.")
        return k
    return min(max(math.ceil(round(k * d, 9)), 1), d)


def largest(size: Array, k: int) -> NDArray[np.bool_]:
    """A mask of the k largest numbers on the last axis, ties kept in index order; exactly k."""
    d = size.shape[-1]
    if k == d:
        return np.ones(size.shape, dtype=np.bool_)
    threshold = np.partition(size, d - k, axis=-1)[..., d - k : d - k + 1]
    above, tied = size > threshold, size == threshold
    room = k - above.sum(axis=-1, keepdims=True)
    mask: NDArray[np.bool_] = above | (tied & (np.cumsum(tied, axis=-1) <= room))
    return mask


def pair_bits(k: int, d: int) -> int:
    """k (32 + ceil(log2 d)): an fp32 entry and an index each."""
    return k * (32 + (d - 1).bit_length())


def pack_pairs(values: Array, mask: NDArray[np.bool_]) -> Bits:
    """All indices, then all entries."""
    index = np.flatnonzero(mask)
    width = (mask.size - 1).bit_length()
    return np.concatenate([integer_bits(index, width), float_bits(entries32(values[index]))])


def unpack_pairs(bits: Bits, k: int, d: int) -> Float32:
    """The inverse of `pack_pairs`."""
    width = (d - 1).bit_length()
    index = bits_integer(bits[: k * width], width, k)
    if (index >= d).any():
        raise argument_error("payload", f"have indices below {d}", int(index.max()))
    out = np.zeros(d, dtype=np.float32)
    out[index] = bits_float(bits[k * width :])
    return out
