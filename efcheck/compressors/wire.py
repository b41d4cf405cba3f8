"""The wire: float32 numbers and small integers as arrays of single bits, and what a float32 can carry."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcheck.arrays import Array
from efcheck.errors import argument_error

Bits = NDArray[np.uint8]
Float32 = NDArray[np.float32]
SMALLEST = float(np.finfo(np.float32).tiny)
LARGEST = float(np.finfo(np.float32).max)
RANGE = "[1.17549435e-38, 3.40282347e+38]"


def float_bits(x: Float32) -> Bits:
    """The 32 bits of each float32, most significant first.

    >>> float_bits(np.array([-0.0], np.float32))[:3]
    array([1, 0, 0], dtype=uint8)
    """
    return np.unpackbits(np.ascontiguousarray(x).ravel().astype(">f4").view(np.uint8))


def bits_float(bits: Bits) -> Float32:
    """The inverse of `float_bits`, one-dimensional."""
    return np.packbits(bits).view(">f4").astype(np.float32)


def integer_bits(numbers: NDArray[np.integer[Any]], width: int) -> Bits:
    """Each integer of [0, 2^width) as `width` bits, most significant first.

    >>> integer_bits(np.array([1, 2]), 3)
    array([0, 0, 1, 0, 1, 0], dtype=uint8)
    """
    shifts = np.arange(width - 1, -1, -1)
    return ((numbers.astype(np.int64)[:, None] >> shifts) & 1).astype(np.uint8).ravel()


def bits_integer(bits: Bits, width: int, count: int) -> NDArray[np.int64]:
    """The inverse of `integer_bits` for `count` numbers; width 0 gives zeros."""
    weights = np.int64(1) << np.arange(width - 1, -1, -1, dtype=np.int64)
    out: NDArray[np.int64] = bits.reshape(count, width).astype(np.int64) @ weights
    return out


def narrow(x: Array, dtype: np.dtype[Any]) -> Array:
    """`x` rounded to `dtype`, clipped to its largest number: a norm may exceed the range of its vector's dtype."""
    top = np.finfo(dtype).max
    return np.clip(x, -top, top).astype(dtype)


def scale32(x: Any, name: str = "scale") -> Float32:
    """A scale as float32, or an ArgumentError where it is neither 0 nor a normal float32."""
    wide = np.asarray(x)
    with np.errstate(all="ignore"):
        out = wide.astype(np.float32)
        size = np.abs(out.astype(np.float64))
    bad = (wide != 0) & ~((size >= SMALLEST) & (size <= LARGEST))
    if bad.any():
        raise argument_error(
            name, f"be 0 or of a size in {RANGE}, a normal float32", f"{float(wide[bad][0]):.9g}", "Rescale v."
        )
    return out


def entries32(x: Array) -> Float32:
    """Sent entries as float32, or an ArgumentError where a nonzero one overflows or loses digits below the range."""
    with np.errstate(all="ignore"):
        out = x.astype(np.float32)
    lost = ~np.isfinite(out) | ((np.abs(out) < np.float32(SMALLEST)) & (out.astype(np.float64) != x))
    if lost.any():
        where = int(np.argmax(lost))
        got = f"{float(x[where]):.9g} as sent entry {where}"
        raise argument_error("v", f"have sent entries that are 0 or of a size in {RANGE}", got, "Rescale v.")
    return out
