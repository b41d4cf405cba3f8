"""BLAS on the entries of CPU tensors; SciPy brings it along. A call costs a tenth of one to torch, sums are far faster.

Updates are in place.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.linalg import blas
from threadpoolctl import ThreadpoolController
from torch import Tensor

ALIGNED = 64  # bytes
_SUMMED = 8192  # entries, for a sum in float32 to keep its digits


class Blas(NamedTuple):
    """The routines of one dtype: asum(x, n, at), dot(x, y, n, at, 1, at), scal(a, x, n, at), axpy(x, y, n, a, at, 1, at)."""

    asum: Any
    dot: Any
    scal: Any
    axpy: Any


OF = {
    np.dtype(np.float32): Blas(blas.sasum, blas.sdot, blas.sscal, blas.saxpy),
    np.dtype(np.float64): Blas(blas.dasum, blas.ddot, blas.dscal, blas.daxpy),
}


_lock = threading.Lock()


@functools.cache
def _controller() -> Any:
    return ThreadpoolController().select(user_api="blas")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """BLAS on one thread: with more, entries at the end of a thread's part can be rounded otherwise.

    The limit is the process's, so threads take turns. From threadpoolctl 3.8 on it is not set while another thread is within a
    `threadpool_limits` of its own.
    """
    with _lock, _controller().limit(limits=1):
        yield


def entries(t: Tensor) -> Any:
    """The entries, in the order of memory, as a NumPy vector on it; None for tensors with gaps, and dtypes that BLAS lacks.

    As ever with `numpy()`, the tensor's storage cannot be resized afterwards.
    """
    if (t.dtype is not torch.float32 and t.dtype is not torch.float64) or not t.is_cpu or t.is_neg() or t.numel() >= 2**31:
        return None
    if not t.is_contiguous():
        if not (t.dim() == 4 and t.is_contiguous(memory_format=torch.channels_last)):
            return None
        t = t.permute(0, 2, 3, 1)
    return (t.detach() if t.requires_grad else t).numpy().reshape(-1)


def aligned(v: Any) -> Any:
    """v, or a copy where its memory does not begin as torch allocates it: how BLAS adds up depends on that."""
    return v if v.ctypes.data % ALIGNED == 0 else torch.from_numpy(v).clone().numpy()


def norm1(v: Any, start: int, n: int) -> float:
    """||v[start : start + n]||_1 of an aligned vector."""
    asum, total = OF[v.dtype].asum, 0.0
    for i in range(start, start + n, _SUMMED):
        total += asum(v, min(_SUMMED, start + n - i), i)
    return total


def no_zero(v: Any, n: int) -> bool:
    """Whether the first n entries, all -1, 0 or 1, are never 0; n at most 2^24, the ones of which float32 adds up exactly."""
    return n == 0 or bool(OF[v.dtype].dot(v, v, n) == n)


def surely_finite(v: Any) -> bool:
    """True: all entries are finite. False: one is not, or products or sums overflow.

    The product of the first half with the second: memory is read at two places at a time. NaN and infinity stay what they
    are, or turn into each other, under any finite factor and sum.
    """
    n = (v.size + 1) // 2
    return n == 0 or math.isfinite(OF[v.dtype].dot(v, v, n, 0, 1, v.size - n))
