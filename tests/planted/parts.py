"""Parts that planted compressors are built from; correct in themselves."""

from __future__ import annotations

import math

import numpy as np


def scaled_sign(v):
    return np.abs(v).mean(axis=-1, keepdims=True).astype(v.dtype) * np.where(v >= 0, 1, -1).astype(v.dtype)


def one_over_d(d):
    return 1 / d


def count(d, share=0.3):
    return max(1, math.ceil(share * d))


def share(d):
    return count(d) / d


def top(v, k, key=np.abs):
    keep = np.argsort(-key(v), axis=-1, kind="stable")[..., :k]
    out = np.zeros_like(v)
    np.put_along_axis(out, keep, np.take_along_axis(v, keep, axis=-1), axis=-1)
    return out


def unit(x):
    size = np.abs(x).max(axis=-1, keepdims=True)
    return size, np.divide(x, size, out=np.zeros_like(x), where=size > 0)
