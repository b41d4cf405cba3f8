"""Compressors with one bug each that shows only at some sizes, places, layouts or calls. PLANTED as in compressors.py."""

from __future__ import annotations

import zlib

import numpy as np
from planted.parts import count, scaled_sign, top, unit


def rounds_to_nearest(v):
    """A quantizer that forgot its dither."""
    size, r = unit(v)
    return (size * np.rint(4 * r) / 4).astype(v.dtype)


def seeded_by_its_input(v, rng):
    """The same vector is always rounded in the same way: given v there is nothing random."""
    own = np.random.default_rng(zlib.crc32(np.ascontiguousarray(v).tobytes()))
    return 2 * v * (own.random(v.shape) < 0.5)


def share_for_count(v, rng):
    """ceil(0.3 d) entries, divided by 0.3: right where 0.3 d is whole."""
    keep = np.argsort(rng.random(v.shape), axis=-1) < count(v.shape[-1])
    return np.where(keep, v / 0.3, 0 * v).astype(v.dtype)


def threshold_of_a_sample(v):
    """The threshold is the one of the first tenth of the entries."""
    part = np.abs(v[..., : max(1, v.shape[-1] // 10)])
    threshold = -np.sort(-part, axis=-1)[..., count(part.shape[-1], 0.1) - 1, None]
    return np.where(np.abs(v) >= threshold, v, 0 * v)


def wraps_around(v):
    """128 levels on each side in a signed byte: the largest positive entry becomes the most negative one."""
    size, r = unit(v)
    levels = np.rint(r * 128)
    return (size * np.where(levels == 128, -128, levels) / 128 + 0 * v).astype(v.dtype)


def second_axis(v):
    """axis=1 where the last one was meant: right on matrices."""
    return np.abs(v).mean(axis=min(1, v.ndim - 1), keepdims=True) * np.where(v >= 0, 1, -1).astype(v.dtype)


class WarmUp:
    """Sends everything in the first calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, v):
        self.calls += 1
        return v.copy() if self.calls <= 20 else scaled_sign(v)


class RoundRobin:
    """Another third of the entries at each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, v):
        self.calls += 1
        return v * ((np.arange(v.shape[-1]) + self.calls) % 3 == 0)


def guards_the_first_entry(v):
    if not np.isfinite(v[..., :1]).all():
        raise ValueError("v must be finite")
    return scaled_sign(np.nan_to_num(v))


def in_order_of_memory(v):
    """ravel("K"): the entries of a transposed or reversed array come in another order."""
    flat = v.ravel("K").reshape(v.shape)
    return top(flat, count(v.shape[-1]))


def threshold_of_a_sample_delta(d):
    return count(d, 0.1) / d


ROTATION = np.linalg.qr(np.random.default_rng(33).standard_normal((33, 33)))[0]


def rotated_sign(v):
    """Q^T sign(Q v), scaled, Q fixed: 2/pi is kept of vectors drawn at random, half of that is claimed of all."""
    return (scaled_sign(v @ ROTATION) @ ROTATION.T).astype(v.dtype)


PLANTED = {
    "a fixed rotation, delta of the mean": (rotated_sign, {"delta": 0.3, "dims": (33,)}, "contraction"),
    "rounds to the nearest level": (rounds_to_nearest, {"unbiased": True}, "unbiased"),
    "seeded by its input": (seeded_by_its_input, {"unbiased": True}, "unbiased"),
    "divides by the share, not by k/d": (share_for_count, {"unbiased": True}, "unbiased"),
    "threshold of a sample": (threshold_of_a_sample, {"delta": threshold_of_a_sample_delta}, "contraction"),
    "a signed byte wraps around": (wraps_around, {"delta": 0.9}, "contraction"),
    "second axis for the last": (second_axis, {}, "batch"),
    "sends everything at first": (WarmUp(), {}, "stateless"),
    "another third at each call": (RoundRobin(), {}, "stateless"),
    "guards the first entry": (guards_the_first_entry, {}, "nonfinite"),
    "entries in the order of memory": (in_order_of_memory, {}, "layout"),
}
