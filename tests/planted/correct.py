"""Correct compressors that look unusual. CORRECT: name -> (object, arguments); no check may accuse one."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
from planted.parts import top
from scipy.fft import dct, idct

from efcheck.compressors import RandomK


def share(d, part=0.3):
    return max(1, math.ceil(part * d))


def size(v):
    """max |v| on the last axis."""
    return np.abs(v).max(axis=-1, keepdims=True)


def unit(v):
    """v / max|v|, and 0 for 0."""
    top = size(v)
    return v / np.where(top > 0, top, v.dtype.type(1))


def scaled_sign(v):
    return (size(v) * np.abs(unit(v)).mean(axis=-1, keepdims=True) * np.where(v >= 0, 1, -1)).astype(v.dtype)


class LearnedTable:
    """Each entry goes to the nearest number of a table that was fitted to some gradients, times max |v|."""

    def __init__(self):
        self.table = np.array([-1.0, -0.61, -0.27, -0.08, 0.0, 0.05, 0.24, 0.57, 1.0])

    def __call__(self, v):
        nearest = np.abs(unit(v)[..., None] - self.table).argmin(axis=-1)
        return (size(v) * self.table[nearest] * np.where(np.isfinite(v), 1, np.nan)).astype(v.dtype)


class LearnedCodebook:
    """A table of whole vectors for R^3 alone; other sizes are refused."""

    def __init__(self):
        self.words = np.random.default_rng(5).standard_normal((40, 3))

    def __call__(self, v):
        if v.shape[-1] != 3:
            raise ValueError(f"the codebook is for d = 3; got {v.shape[-1]}")
        if not np.isfinite(v).all():
            raise ValueError("v must be finite")
        words = self.words / np.linalg.norm(self.words, axis=-1, keepdims=True)
        fit = unit(v) @ words.T
        best = fit.argmax(axis=-1)
        along = np.take_along_axis(fit, best[..., None], axis=-1)
        return (size(v) * along * words[best]).astype(v.dtype)


def rotated_sign(v, rng):
    """Random signs and a cosine transform, then the scaled sign, then back."""
    flip = rng.choice([-1.0, 1.0], v.shape[-1])
    turned = dct(unit(v) * flip, norm="ortho", axis=-1)
    out = idct(scaled_sign(turned), norm="ortho", axis=-1) * flip
    return (size(v) * out).astype(v.dtype)


def top_k_with_shuffled_ties(v, rng):
    k = share(v.shape[-1])
    keep = np.lexsort((rng.random(v.shape), -np.abs(v)), axis=-1)[..., :k]
    out = np.zeros_like(v)
    np.put_along_axis(out, keep, np.take_along_axis(v, keep, axis=-1), axis=-1)
    return out if np.isfinite(v).all() else out * np.nan


def mask(v, rng):
    return v * (rng.random(v.shape) < 0.3)


class ScaledMask:
    def __init__(self, chance, tell=True):
        self.chance, self.tell = chance, tell

    def omega(self, d):
        return 1 / self.chance - 1 if self.tell else None

    def __call__(self, v, rng):
        return np.where(rng.random(v.shape) < self.chance, v / self.chance, 0).astype(v.dtype)


def one_mask_for_the_batch(v, rng):
    return v * (rng.random(v.shape[-1]) < 0.5)


class AllOrNothing:
    """v / p with chance p, else nothing: one bit where nothing is sent."""

    def __init__(self, chance):
        self.chance = chance

    def omega(self, d):
        return 1 / self.chance - 1

    def __call__(self, v, rng):
        return np.where(rng.random((*v.shape[:-1], 1)) < self.chance, v / self.chance, 0 * v).astype(v.dtype)


def seldom_all(v, rng):
    return np.where(rng.random((*v.shape[:-1], 1)) < 0.01, v, 0 * v)


class Ternary:
    def omega(self, d):
        return (math.sqrt(d) - 1) / 2

    def bits(self, d):
        return 32 + math.ceil(d * math.log2(3))

    def __call__(self, v, rng):
        return (size(v) * np.sign(v) * (rng.random(v.shape) < np.abs(unit(v)))).astype(v.dtype) + 0 * v


class NaturalCompression:
    """Randomly up or down to a power of two: omega = 1/8."""

    def omega(self, d):
        return 1 / 8

    def __call__(self, v, rng):
        fraction, exponent = np.frexp(np.abs(v))  # fraction in [1/2, 1)
        up = rng.random(v.shape) < 2 * fraction - 1
        return (np.sign(v) * np.ldexp(np.where(up, 1.0, 0.5), exponent) * np.where(np.isfinite(v), 1, np.nan)).astype(v.dtype)


class GaussianDither:
    """Noise of the vector's own size: unbiased, unbounded."""

    def omega(self, d):
        return 0.25

    def __call__(self, v, rng):
        noise = rng.standard_normal(v.shape) * (0.5 / math.sqrt(v.shape[-1]))
        return (v + size(v) * np.linalg.norm(unit(v), axis=-1, keepdims=True) * noise).astype(v.dtype)


class ErrorCompensated:
    """What was lost is added to the next call, as it says."""

    stateful = True

    def __init__(self):
        self.memory = {}

    def __call__(self, v):
        p = v + self.memory.get(v.shape, np.zeros_like(v))
        out = scaled_sign(p)
        self.memory[v.shape] = p - out
        return out


def low_rank(v):
    """One power iteration on v as a matrix of about sqrt(d) rows, padded."""
    d = v.shape[-1]
    m = math.isqrt(d - 1) + 1
    flat = np.zeros((*v.shape[:-1], m * m))
    flat[..., :d] = unit(v)
    a = flat.reshape(*v.shape[:-1], m, m)
    q = a.mT @ (a @ np.cos(np.arange(1.0, m + 1))[:, None])
    q = q / np.maximum(np.linalg.norm(q, axis=-2, keepdims=True), 1e-300)
    return (size(v) * ((a @ q) @ q.mT).reshape(*v.shape[:-1], m * m)[..., :d]).astype(v.dtype)


def float32_only(v):
    if v.dtype != np.float32:
        raise TypeError("float32 only")
    return scaled_sign(v)


def raises_on_nan(v):
    if not np.isfinite(v).all():
        raise FloatingPointError("not finite")
    return scaled_sign(v)


def propagates_by_hand(v):
    bad = ~np.isfinite(v).all(axis=-1, keepdims=True)
    return np.where(bad, np.nan, scaled_sign(np.where(bad, 0, v))).astype(v.dtype)


def through_float16(v):
    out = unit(v).astype(np.float16).astype(v.dtype) * size(v)
    return out + 0 * v


def single_vectors(v):
    (d,) = v.shape
    out = np.zeros_like(v)
    best = np.argsort(-np.abs(v), kind="stable")[: share(d)]
    out[best] = v[best]
    return out if np.isfinite(v).all() else out * np.nan


def padded_blocks(v):
    """Scaled sign in blocks of eight, the last one padded with zeros that do not count."""
    d = v.shape[-1]
    n = -(-d // 8)
    wide = np.zeros((*v.shape[:-1], n * 8), v.dtype)
    wide[..., :d] = v
    counts = np.minimum(8, d - 8 * np.arange(n))[:, None]
    blocks = wide.reshape(*v.shape[:-1], n, 8)
    scale = np.abs(blocks).sum(axis=-1, keepdims=True) / counts
    return (scale * np.where(blocks >= 0, 1, -1)).reshape(wide.shape)[..., :d].astype(v.dtype)


def half_of_the_largest(v):
    return np.where(np.abs(v) >= 0.5 * size(v), v, 0 * v)


def half_of_the_largest_delta(d):
    return 1 / (1 + (d - 1) / 4)  # worst: 1 and d - 1 entries just below 1/2


def fixed_projection(v):
    """On a fixed subspace of a third of the dimensions, the same in every run."""
    d = v.shape[-1]
    basis = np.linalg.qr(np.random.default_rng(d).standard_normal((d, share(d))))[0] if d < 200 else np.eye(d)[:, : share(d)]
    return (((v / np.where(size(v) > 0, size(v), 1)) @ basis) @ basis.T * size(v)).astype(v.dtype)


def nothing(v):
    return 0 * v


class Keyword:
    """The generator is a parameter of another name, without a default."""

    def delta(self, d):
        return 0.5

    def __call__(self, v, source):
        return v * (source.random(v.shape) < 0.5)


class StepAndBits:
    """A uniform quantizer: `bits` of an entry and the step `delta` are plain numbers, and no claims."""

    def __init__(self, bits, delta):
        self.bits, self.delta = bits, delta

    def __call__(self, v):
        return (np.rint(unit(v) / self.delta) * self.delta * size(v)).astype(v.dtype) + 0 * v


class SingleScale:
    """Levels times a scale that is sent as float32."""

    equivariant = ("scale", "sign")

    def __call__(self, v):
        top = size(v)
        sent = np.where((top > 1e-30) & (top < 1e30), np.float32(np.clip(top, 1e-30, 1e30)), top)
        return (np.rint(unit(v) * 7) / 7 * sent).astype(v.dtype) + 0 * v


class Odd:
    """Declares all symmetries."""

    equivariant = ("scale", "permutation", "sign")

    def __call__(self, v):
        return half_of_the_largest(v)


class OddInLaw:
    """Random, and symmetric in law alone."""

    equivariant = ("scale", "permutation", "sign")
    stochastic = True

    def __call__(self, v, rng):
        return v * (rng.random(v.shape) < 0.3)


def one_dither_for_all(v, rng):
    """Randomly up or down to a quarter of max |v|, by one uniform number for all entries of a vector."""
    level = 4 * np.abs(unit(v))
    up = rng.random((*v.shape[:-1], 1)) < level - np.floor(level)
    return (size(v) * np.sign(v) * (np.floor(level) + up) / 4).astype(v.dtype) + 0 * v


def antithetic(v, rng):
    """Neighbours in a batch are sent by u and 1 - u: each alone is twice a random half, together they are not independent."""
    rows = v.reshape(-1, v.shape[-1])
    u = np.repeat(rng.random((len(rows) // 2 + 1, v.shape[-1])), 2, axis=0)[: len(rows)]
    u[1::2] = 1 - u[1::2]
    return (2 * rows * (u < 0.5)).astype(v.dtype).reshape(v.shape)


class Lognormal:
    """v times a lognormal number of mean 1: unbiased, heavy tails."""

    def omega(self, d):
        return math.expm1(1)

    def __call__(self, v, rng):
        return (v * np.exp(rng.standard_normal((*v.shape[:-1], 1)) - 0.5)).astype(v.dtype)


def nearest_power_of_two(v):
    fraction, exponent = np.frexp(np.abs(v))
    nearest = np.ldexp(np.where(fraction < 0.75, 0.5, 1.0), exponent)
    return (np.sign(v) * nearest * np.where(np.isfinite(v), 1, np.nan)).astype(v.dtype)


class Memoised:
    """Keeps its last result and hands out copies of it: a state that nobody sees."""

    def __init__(self):
        self.known = {}

    def __call__(self, v):
        key = (v.shape, v.dtype.str, v.tobytes())
        if key not in self.known:
            self.known = {key: scaled_sign(v)}
        return self.known[key].copy()


class Forwards:
    """A wrapper that has all its claims from what it wraps."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        if name == "inner" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __call__(self, v, rng=None):
        return self.inner(v, rng)


def by_columns(v):
    """The result is stored by columns."""
    return np.asfortranarray(scaled_sign(v))


def largest_frequencies(v):
    """The largest third of the cosine coefficients."""
    c = dct(unit(v), norm="ortho", axis=-1)
    return (size(v) * idct(top(c, share(v.shape[-1])), norm="ortho", axis=-1)).astype(v.dtype) + 0 * v


CORRECT = {
    "learned table": (LearnedTable(), {}),
    "learned codebook for d = 3": (LearnedCodebook(), {}),
    "random rotation before the sign": (rotated_sign, {"delta": lambda d: 1 / d}),
    "top-k with shuffled ties": (top_k_with_shuffled_ties, {"delta": lambda d: share(d) / d}),
    "random mask": (mask, {"delta": 0.3}),
    "scaled random mask": (ScaledMask(0.3), {}),
    "scaled random mask without omega": (ScaledMask(0.1, tell=False), {"unbiased": True}),
    "seldom mask without omega": (ScaledMask(0.002, tell=False), {"unbiased": True}),
    "one mask for the batch": (one_mask_for_the_batch, {"delta": 0.5}),
    "all or nothing": (AllOrNothing(0.02), {}),
    "seldom all": (seldom_all, {"delta": 0.01}),
    "ternary": (Ternary(), {}),
    "natural compression": (NaturalCompression(), {}),
    "Gaussian dither": (GaussianDither(), {}),
    "error-compensated, declared": (ErrorCompensated(), {}),
    "low rank by a power iteration": (low_rank, {}),
    "float32 only": (float32_only, {"delta": lambda d: 1 / d}),
    "raises on NaN": (raises_on_nan, {"delta": lambda d: 1 / d}),
    "propagates by hand": (propagates_by_hand, {"delta": lambda d: 1 / d}),
    "through float16": (through_float16, {"delta": 0.999}),
    "single vectors only": (single_vectors, {"delta": lambda d: share(d) / d}),
    "padded blocks": (padded_blocks, {"delta": lambda d: 1 / min(d, 8)}),
    "half of the largest": (half_of_the_largest, {"delta": half_of_the_largest_delta}),
    "fixed projection": (fixed_projection, {}),
    "nothing": (nothing, {}),
    "generator of another name": (Keyword(), {}),
    "plain numbers named delta and bits": (StepAndBits(4, 1 / 7), {}),
    "a step above 1": (StepAndBits(0, 3.0), {}),
    "a float32 scale, declared homogeneous": (SingleScale(), {}),
    "all symmetries": (Odd(), {}),
    "symmetries in law": (OddInLaw(), {}),
    "a copy": (copy.copy, {"delta": 1.0}),
    "one dither for all entries": (one_dither_for_all, {"unbiased": True}),
    "antithetic in a batch": (antithetic, {"unbiased": True}),
    "lognormal": (Lognormal(), {}),
    "nearest power of two": (nearest_power_of_two, {"delta": 8 / 9}),
    "memoised": (Memoised(), {"delta": lambda d: 1 / d}),
    "forwards its claims": (Forwards(RandomK(0.3)), {}),
    "stored by columns": (by_columns, {"delta": lambda d: 1 / d}),
    "largest frequencies": (largest_frequencies, {"delta": lambda d: share(d) / d}),
    "a partial of a ufunc": (functools.partial(np.multiply, 0.5), {"delta": 0.75}),
}
