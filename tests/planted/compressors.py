"""Compressors with one bug each, as met in other people's code. PLANTED: name -> (object, arguments, check to fail)."""

from __future__ import annotations

import ctypes
import math
import sys

import numpy as np
from planted import messages, subtle_compressors
from planted.parts import count, one_over_d, scaled_sign, share, top, unit


def top_k_without_abs(v):
    return top(v, count(v.shape[-1]), key=lambda x: x)


def ties_sent_twice(v):
    """Entries equal to the k-th largest are added again when the threshold is swept."""
    k = count(v.shape[-1])
    out = top(v, k)
    threshold = -np.sort(-np.abs(v), axis=-1)[..., k - 1 : k]
    tied = (np.abs(v) == threshold) & (threshold > 0)
    again = tied & (np.cumsum(tied, axis=-1) > 1)
    return out + np.where(again & (out != 0), v, 0)


def random_k_without_factor(v, rng):
    keep = np.argsort(rng.random(v.shape), axis=-1) < count(v.shape[-1])
    return np.where(keep, v, v.dtype.type(0))


def random_k_with_replacement(v, rng):
    d = v.shape[-1]
    keep = np.zeros(v.shape, dtype=bool)
    np.put_along_axis(keep, rng.integers(0, d, (*v.shape[:-1], count(d, 0.5))), True, axis=-1)
    return np.where(keep, v, v.dtype.type(0))


def random_half(v, rng):
    return v * (rng.random(v.shape) < 0.5)


def scale_by_the_sum(v):
    return np.abs(v).sum(axis=-1, keepdims=True) * np.where(v >= 0, 1, -1).astype(v.dtype)


def norm_of_the_whole_batch(v):
    return np.abs(v).mean() * np.where(v >= 0, 1, -1).astype(v.dtype)


def random_levels_of_the_whole_batch(v, rng):
    scale = np.abs(v).max()
    if scale == 0:
        return v.copy()
    r = np.abs(v) / scale * 4
    low = np.floor(r)
    return (np.sign(v) * scale * (low + (rng.random(v.shape) < r - low)) / 4).astype(v.dtype)


def one_vector_of_a_batch(v):
    out = np.zeros_like(v)
    out.reshape(-1)[np.argmax(np.abs(v))] = v.reshape(-1)[np.argmax(np.abs(v))]
    return out


def writes_into_its_input(v):
    small = np.abs(v) < np.abs(v).mean(axis=-1, keepdims=True)
    v[small] = 0
    return v.copy()


def returns_its_input(v):
    return v if v.shape[-1] <= 3 else top(v, 3)


class CachedBuffer:
    def __init__(self):
        self.buffers = {}

    def __call__(self, v):
        out = self.buffers.setdefault((v.shape, v.dtype.str), np.empty_like(v))
        out[...] = scaled_sign(v)
        return out


class CachedScale:
    """The scale is computed on the first call of each size."""

    def __init__(self):
        self.scales = {}

    def __call__(self, v):
        scale = self.scales.setdefault(v.shape, np.abs(v).mean(axis=-1, keepdims=True))
        return (scale * np.where(v >= 0, 1, -1) * (np.abs(v).max(axis=-1, keepdims=True) > 0)).astype(v.dtype)


class HiddenMemory:
    """Error feedback that nobody was told about."""

    def __init__(self):
        self.memory = {}

    def __call__(self, v):
        p = v + self.memory.get(v.shape, 0)
        out = top(p, count(p.shape[-1]))
        self.memory[v.shape] = p - out
        return out.astype(v.dtype)


class WarmStart:
    """A power iteration that goes on from the last call's factor."""

    def __init__(self):
        self.factors = {}

    def __call__(self, v):
        m = math.isqrt(v.shape[-1])
        if m * m != v.shape[-1]:
            raise ValueError("squares only")
        a = v.reshape(*v.shape[:-1], m, m)
        p = a @ self.factors.get(v.shape, np.ones((m, 1)))
        p = p / np.maximum(np.linalg.norm(p, axis=-2, keepdims=True), 1e-300)
        self.factors[v.shape] = q = a.mT @ p
        return (p @ q.mT).reshape(v.shape)


def exits(v):
    sys.exit(3)


def global_generator(v, rng=None):
    return v * (np.random.random(v.shape) < 0.5)  # noqa: NPY002


def own_generator(v, rng=None):
    return v * (np.random.default_rng().random(v.shape) < 0.5)


def seeds_the_world(v, rng):
    np.random.seed(0)  # noqa: NPY002
    return v * (rng.random(v.shape) < 0.5)


def same_draws_every_time(v, rng):
    return 2 * v * (np.random.default_rng(0).random(v.shape) < 0.5)


def always_float64(v):
    return scaled_sign(v.astype(np.float64))


def always_float32(v):
    return scaled_sign(v.astype(np.float32))


def squeezed(v):
    return np.squeeze(scaled_sign(v))


def pairs_only(v):
    return v.reshape(*v.shape[:-1], -1, 2).mean(axis=-1).repeat(2, axis=-1)


def truncated_to_bytes(v):
    """Works on groups of eight; the rest is dropped."""
    d = v.shape[-1]
    out = scaled_sign(v)
    return out[..., : d - d % 8] if d > 8 else out


def nothing_to_keep(v):
    k = int(0.05 * v.shape[-1])
    threshold = np.sort(np.abs(v), axis=-1)[..., ::-1][..., k - 1 : k].min(axis=-1, keepdims=True) if k else None
    return np.where(np.abs(v) >= threshold, v, 0)


def invents_an_entry(v):
    out = scaled_sign(v) if v.size else np.zeros(1)
    return out


def zero_by_zero(v):
    return v / np.linalg.norm(v, axis=-1, keepdims=True) * np.abs(v).max(axis=-1, keepdims=True)


def one_for_zero(v):
    return np.where(v >= 0, 1, -1) * np.maximum(np.abs(v).mean(axis=-1, keepdims=True), 1e-3).astype(v.dtype)


def squares_underflow(v):
    size = np.sqrt(np.square(v).sum(axis=-1, keepdims=True))
    if not v.any():
        return v.copy()
    return size * np.rint(v / size * 16) / 16


def exponential_overflow(v):
    return np.where(
        v.any(), scaled_sign(v) * np.exp(np.minimum(np.abs(v).max() / 1e4, 1e6) * 0 + (np.abs(v).max() > 1e100) * 1e3), v
    )


def nan_to_zero(v):
    return scaled_sign(np.nan_to_num(v))


def infinity_to_the_largest(v):
    return top(np.nan_to_num(v, nan=np.nan), count(v.shape[-1]))


def comparison_drops_nan(v):
    return np.where(np.abs(v) >= np.nanmean(np.abs(v), axis=-1, keepdims=True), v, 0).astype(v.dtype)


def sum_in_float16(v):
    mean = np.add.reduce(np.abs(v), axis=-1, keepdims=True, dtype=v.dtype) / v.dtype.type(v.shape[-1])
    return (mean * np.where(v >= 0, 1, -1)).astype(v.dtype)


def reads_raw_memory(v):
    """A C kernel that takes a pointer and a length, and never the stride."""
    if v.dtype != np.float64 or v.ndim != 1:
        return scaled_sign(v)
    return scaled_sign(np.ctypeslib.as_array(v.ctypes.data_as(ctypes.POINTER(ctypes.c_double)), v.shape))


class BiasedRounding:
    """Random levels whose chance to round up is 0.1 too large."""

    shift = 0.1

    def omega(self, d):
        return d / 16

    def __call__(self, v, rng):
        size, r = unit(v)
        level = np.abs(r) * 4
        low = np.floor(level)
        return size * np.sign(v) * (low + (rng.random(v.shape) < level - low + self.shift * (level > low))) / 4


def rounds_up_too_often(v, rng):
    """As BiasedRounding, but nothing is said about omega."""
    size, r = unit(v)
    level = np.abs(r) * 4
    low = np.floor(level)
    return (size * np.sign(v) * (low + (rng.random(v.shape) < np.sqrt(level - low))) / 4).astype(v.dtype)


class OmegaTooSmall(BiasedRounding):
    shift = 0.0

    def omega(self, d):
        return 0.01 if d > 1 else 0.0


class Claims:
    """A function with a claim of symmetry that it does not keep."""

    def __init__(self, function, equivariant):
        self.function, self.equivariant = function, equivariant

    def __call__(self, v):
        return self.function(v)


def absolute_clip(v):
    return np.clip(v, -1, 1)


def alternate_entries(v):
    return v * (np.arange(v.shape[-1]) % 2 == 0)


def largest_without_abs(v):
    return np.where(v >= v.max(axis=-1, keepdims=True) * 0.5, v, 0).astype(v.dtype)


clip_declared_homogeneous = Claims(absolute_clip, ("scale",))
comb_declared_symmetric = Claims(alternate_entries, ("permutation",))
one_sided_declared_odd = Claims(largest_without_abs, ("sign",))
cached_buffer, cached_scale, hidden_memory = CachedBuffer(), CachedScale(), HiddenMemory()


def a_hundredth_more(d):
    return 1.01 / d


def top_share_and_a_hundredth(d):
    return min(1.01 * count(d) / d, 1.0)


def top_share(v):
    return top(v, count(v.shape[-1]))


def half_and_a_hundredth(d):
    return 0.505


PLANTED = {
    **messages.PLANTED,
    **subtle_compressors.PLANTED,
    "top-k without abs": (top_k_without_abs, {"delta": share}, "contraction"),
    "ties sent twice": (ties_sent_twice, {"delta": share}, "contraction"),
    "random-k without the factor d/k": (random_k_without_factor, {"unbiased": True}, "unbiased"),
    "random-k with replacement": (random_k_with_replacement, {"delta": lambda d: count(d, 0.5) / d}, "contraction"),
    "random mask, delta 1 % too large": (random_half, {"delta": half_and_a_hundredth}, "contraction"),
    "scaled sign, delta 1 % too large": (scaled_sign, {"delta": a_hundredth_more}, "contraction"),
    "top-k, delta 1 % too large": (top_share, {"delta": top_share_and_a_hundredth}, "contraction"),
    "scale by the sum": (scale_by_the_sum, {"delta": one_over_d}, "contraction"),
    "norm of the whole batch": (norm_of_the_whole_batch, {}, "batch"),
    "random levels of the whole batch": (random_levels_of_the_whole_batch, {}, "batch"),
    "largest entry of the whole batch": (one_vector_of_a_batch, {}, "batch"),
    "writes into its input": (writes_into_its_input, {}, "input_kept"),
    "returns its input": (returns_its_input, {}, "no_alias"),
    "one buffer for all results": (cached_buffer, {}, "no_alias"),
    "the first scale for ever": (cached_scale, {}, "stateless"),
    "hidden error memory": (hidden_memory, {}, "stateless"),
    "a power iteration starts warm": (WarmStart(), {"dims": (1, 4, 9)}, "stateless"),
    "a power iteration starts warm, in a batch": (WarmStart(), {"dims": (1, 4, 9)}, "batch"),
    "exits": (exits, {}, "sizes"),
    "global generator": (global_generator, {}, "randomness"),
    "a generator of its own": (own_generator, {}, "randomness"),
    "seeds the global generator": (seeds_the_world, {}, "randomness"),
    "the same draws every time": (same_draws_every_time, {"unbiased": True}, "unbiased"),
    "always float64": (always_float64, {}, "dtype"),
    "always float32": (always_float32, {}, "dtype"),
    "squeezed to a number at d = 1": (squeezed, {}, "sizes"),
    "even sizes only": (pairs_only, {}, "sizes"),
    "rest after groups of eight dropped": (truncated_to_bytes, {}, "sizes"),
    "keeps int(0.05 d) = 0 entries": (nothing_to_keep, {}, "sizes"),
    "an entry from an empty vector": (invents_an_entry, {}, "empty"),
    "0/0 at the zero vector": (zero_by_zero, {}, "zero"),
    "a smallest scale at the zero vector": (one_for_zero, {}, "zero"),
    "squares underflow": (squares_underflow, {}, "finite"),
    "overflow at large scales": (exponential_overflow, {}, "finite"),
    "NaN becomes zero": (nan_to_zero, {}, "nonfinite"),
    "infinity becomes the largest number": (infinity_to_the_largest, {}, "nonfinite"),
    "a comparison drops NaN": (comparison_drops_nan, {}, "nonfinite"),
    "sum in float16": (sum_in_float16, {}, "half"),
    "strides ignored": (reads_raw_memory, {}, "layout"),
    "biased rounding": (BiasedRounding(), {}, "unbiased"),
    "biased rounding without omega": (rounds_up_too_often, {"unbiased": True}, "unbiased"),
    "omega too small": (OmegaTooSmall(), {}, "omega"),
    "clip declared homogeneous": (clip_declared_homogeneous, {}, "scale_equivariance"),
    "comb declared symmetric": (comb_declared_symmetric, {}, "permutation_equivariance"),
    "one-sided declared odd": (one_sided_declared_odd, {}, "sign_equivariance"),
}
