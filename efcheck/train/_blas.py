"""Sums over the entries of a CPU tensor by BLAS, which SciPy brings along: several times as fast as torch's, a call costs less.

Sums in an order that a number of threads could change are made of blocks that BLAS never splits between threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.linalg import blas
from torch import Tensor

_BLOCK = 8192  # entries; from 10,000 on OpenBLAS may use threads
_EXACT = 1 << 24  # entries, of which a sum of ones in float32 is exact
_ASUM: dict[Any, Any] = {np.dtype(np.float32): blas.sasum, np.dtype(np.float64): blas.dasum}
_DOT: dict[Any, Any] = {np.dtype(np.float32): blas.sdot, np.dtype(np.float64): blas.ddot}


def entries(t: Tensor) -> Any:
    """The entries, in the order of memory, as a NumPy vector on it; None for tensors with gaps, and dtypes that BLAS lacks."""
    if (t.dtype is not torch.float32 and t.dtype is not torch.float64) or not t.is_cpu or not t.numel() < 2**31:
        return None
    if not t.is_contiguous():
        if not (t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)):
            return None
        t = t.permute(0, 2, 3, 1)
    return t.detach().numpy().reshape(-1)


def norm1(v: Any) -> float:
    """||v||_1 of entries"""
    asum, d = _ASUM[v.dtype], v.size
    if d <= _BLOCK:
        return float(asum(v)) if d else 0.0
    return float(sum(asum(v, min(_BLOCK, d - i), i) for i in range(0, d, _BLOCK)))


def no_zero(v: Any) -> bool:
    """Whether entries that are -1, 0 or 1 are never 0."""
    if v.size > _EXACT:
        return bool(np.all(v))
    return v.size == 0 or bool(_DOT[v.dtype](v, v) == v.size)


def surely_finite(g: Tensor) -> bool:
    """False if an entry is not finite; else true, unless products or sums overflow.

    The product of the first half with the second: memory is read at two places at a time. NaN and infinity stay what they
    are, or turn into each other, under any finite factor and sum.
    """
    v = entries(g)
    if v is None:
        return math.isfinite(float(g.sum(dtype=torch.float32 if g.element_size() < 4 else g.dtype)))
    n = (v.size + 1) // 2
    return n == 0 or math.isfinite(_DOT[v.dtype](v, v, n, 0, 1, v.size - n))
