"""Exact minimisers over gamma >= 0 of sum_k w_k phi(r_k - gamma s_k)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from efcheck.arrays import Array


def quadratic_step(inner: Array, square: Array) -> Array:
    """max(0, inner / square), the minimiser of gamma^2 square - 2 gamma inner; 0 where square = 0.

    >>> quadratic_step(np.array([2.0, -1.0, 0.0]), np.array([4.0, 1.0, 0.0]))
    array([0.5, 0. , 0. ])
    """
    good = (square > 0) & (inner > 0)
    return np.where(good, inner / np.where(good, square, 1), 0).astype(inner.dtype)


def absolute_step(r: Array, s: Array, w: Array | float = 1.0) -> Array:
    """Smallest minimiser of sum_k w_k |r_k - gamma s_k| on gamma >= 0: a weighted median of the kinks r_k / s_k.

    r, s : (..., n), w : (n,) positive.

    >>> absolute_step(np.array([1.0, 6.0]), np.array([1.0, 2.0]))
    array(3.)
    """
    weight = w * np.abs(s)
    kink = np.where(s != 0, r / np.where(s != 0, s, 1), 0)
    ahead = np.where(kink > 0, weight, 0)
    slope = (weight - 2 * ahead).sum(axis=-1)
    order = np.argsort(kink, axis=-1, kind="stable")
    kinks = np.take_along_axis(kink, order, axis=-1)
    after = slope[..., None] + 2 * np.cumsum(np.take_along_axis(ahead, order, axis=-1), axis=-1)
    # The exact last slope is sum(weight) >= 0; setting it guards against rounding.
    after[..., -1] = 0
    first = np.argmax((after >= 0) & (kinks > 0), axis=-1)
    step = np.take_along_axis(kinks, first[..., None], axis=-1)[..., 0]
    return np.asarray(np.where(slope < 0, step, 0), dtype=r.dtype)


def convex_step(r: Array, s: Array, derivative: Callable[[Array], Array]) -> Array:
    """Smallest minimiser of sum_k phi(r_k - gamma s_k), phi even and convex, by bisection to neighbouring floats.

    At gamma >= max_k r_k / s_k no term decreases any more, which closes the bracket.

    >>> convex_step(np.array([4.0, 4.0]), np.array([2.0, 2.0]), lambda u: u)
    array(2.)
    """
    kink = np.where(s != 0, r / np.where(s != 0, s, 1), 0)
    high = np.maximum(kink.max(axis=-1), 0)
    low = np.zeros_like(high)
    still = (s * derivative(r)).sum(axis=-1) > 0
    for _ in range(2200):  # float64 has fewer than 2200 binades, so this ends at neighbouring floats
        middle = low + (high - low) / 2
        active = (middle > low) & (middle < high) & still
        if not active.any():
            break
        descends = (s * derivative(r - middle[..., None] * s)).sum(axis=-1) > 0
        low = np.where(active & descends, middle, low)
        high = np.where(active & ~descends, middle, high)
    return np.asarray(np.where(still, high, 0), dtype=r.dtype)
