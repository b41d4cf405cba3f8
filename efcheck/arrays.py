"""What every array function here shares: types, validation, sign with a stated convention, sums that do not overflow."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from efcheck.errors import argument_error

Array: TypeAlias = NDArray[np.floating[Any]]
Generator: TypeAlias = np.random.Generator
_TOP64, _TOP32 = np.int64(-(2**63)), np.int32(-(2**31))  # the sign bit


def float_array(name: str, value: Any) -> Array:
    """`value` as a float32 or float64 array of its own dtype; integers become float64. Never copies needlessly."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise argument_error(name, "be an array of numbers", "rows of unequal length") from None
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    if array.dtype.kind != "f":
        raise argument_error(name, "be an array of real numbers", f"dtype {array.dtype}")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)


def finite(name: str, array: Array) -> Array:
    """`array` itself, or an ArgumentError that names its first entry that is not finite."""
    good = np.isfinite(array)
    if not good.all():
        index = tuple(int(i) for i in np.argwhere(~good)[0])
        raise argument_error(name, "be finite", f"{array[index]} at index {index if len(index) != 1 else index[0]}")
    return array


def finite_vectors(value: Any, name: str = "v") -> Array:
    """Finite floats of shape (..., d), d >= 1: vectors on the last axis."""
    array = float_array(name, value)
    if array.ndim == 0:
        raise argument_error(name, "have shape (..., d)", "a scalar", "Pass a vector, or vectors on the last axis.")
    if array.shape[-1] == 0:
        raise argument_error(name, "have at least one entry on its last axis", f"shape {array.shape}")
    return finite(name, array)


def sign(v: Array, zero: int) -> Array:
    """sign(v) with sign(+-0) = zero, a new array of v's dtype. NaN gives NaN only for zero = 0."""
    if zero == 0:
        return np.sign(v)
    one = v.dtype.type(1)
    return np.where(v >= 0, one, -one) if zero == 1 else np.where(v > 0, one, -one)


def signed(v: Array, scale: Any, zero: int, out: Array, negative_zeros: bool = True) -> None:
    """out = scale sign(v) with sign(+-0) = zero; scale >= 0 is a number or a column; out may not be v.

    negative_zeros: False promises that no entry of v is -0.0.
    """
    if zero == 0:
        np.sign(v, out=out)
        out *= scale
        return
    bits, top = (np.int64, _TOP64) if v.dtype == np.float64 else (np.int32, _TOP32)
    if zero == 1 and not (negative_zeros and v.view(bits).min(initial=0) == top):
        # no -0.0, whose bits are the least integer: then the sign bit is the sign, and scale >= 0 has none of its own
        np.bitwise_and(v.view(bits), top, out=out.view(bits))
        np.bitwise_or(out.view(bits), np.asarray(scale, v.dtype).view(bits), out=out.view(bits))
    elif zero == 1:  # -0.0 + 0.0 is +0.0: copysign then sees one zero only, of the convention's sign
        np.add(v, v.dtype.type(0), out=out)
        np.copysign(scale, out, out=out)
    else:
        np.subtract(v.dtype.type(0), v, out=out)
        np.copysign(scale, out, out=out)
        np.negative(out, out=out)


def zeros(rows: int, d: int, dtype: np.dtype[Any], columns: bool) -> Array:
    """Zeros (rows, d), stored by columns or by rows, from the start of a cache line on: wide loads then touch one line."""
    size = rows * d * dtype.itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    flat = raw[start : start + size].view(dtype)
    return flat.reshape(d, rows).T if columns else flat.reshape(rows, d)


def by_columns(x: Array) -> bool:
    """Whether the columns of the matrix x are contiguous, and its rows are not."""
    return x.ndim == 2 and x.flags.f_contiguous and not x.flags.c_contiguous


def row_dot(x: Array, y: Array) -> Array:
    """sum_j x_j y_j on the last axis, (...,): a row's bits do not depend on how many rows there are.

    A dot product for each row is the fastest such sum; above 8192 entries BLAS may cut it by its number of threads, and
    in float32 it rounds more than a pairwise sum: there the pairwise sum is taken. Of a matrix stored by columns all rows
    are summed at once, from j = 1 to d.
    """
    if x.dtype == np.float64 and y.dtype == np.float64 and x.shape[-1] <= 8192:
        if by_columns(x):
            return np.asarray(np.einsum("ij,ij->i", x, y))
        return np.asarray(np.vecdot(np.ascontiguousarray(x), np.ascontiguousarray(y)))
    return np.asarray(np.multiply(x, y, order="C").sum(axis=-1))


def sign_convention(value: Any) -> int:
    """`zero` as one of -1, 0, 1."""
    if value not in (-1, 0, 1) or isinstance(value, bool):
        raise argument_error("zero", "be -1, 0 or 1", value, "It is the value of sign(0).")
    return int(value)


def norm(v: Array) -> Array:
    """||v||_2 on the last axis, kept as a dimension of size one; scaled, so neither 1e-200 nor 1e200 is lost."""
    top = np.abs(v).max(axis=-1, keepdims=True)
    safe = np.where(top > 0, top, 1).astype(v.dtype)
    scaled = v / safe
    size: Array = top * np.sqrt(np.square(scaled).sum(axis=-1, keepdims=True))
    return size
