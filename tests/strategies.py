"""Hypothesis strategies for vectors; each promise in a docstring is tested in test_compressors.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

SCALES = (1e-200, 1e-4, 1.0, 1e4, 1e150)
KINDS = ("normal", "sparse", "tied", "one-hot", "two-scales", "zero", "negative", "listed")


@st.composite
def vectors(draw: Any, min_side: int = 1, max_side: int = 50, dtype: type = np.float64) -> NDArray[Any]:
    """Finite vectors of `dtype`: dense, with exact zeros of both signs, ties, one-hot, on two scales, all zero,
    negative, or listed small integers; in float64 times one of SCALES, in float32 times 1e-4, 1 or 1e4."""
    d = draw(st.integers(min_side, max_side))
    kind = draw(st.sampled_from(KINDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    v = rng.standard_normal(d)
    if kind == "sparse":
        v *= rng.integers(0, 2, d)
    elif kind == "tied":
        v = rng.integers(-1, 2, d).astype(float)
    elif kind == "one-hot":
        v = np.where(np.arange(d) == rng.integers(d), 1.0, 0.0)
    elif kind == "two-scales":
        v[rng.random(d) < 0.5] *= 1e-6
    elif kind == "zero":
        v[:] = 0.0
    elif kind == "negative":
        v = -np.abs(v)
    elif kind == "listed":
        head = draw(st.lists(st.integers(-9, 9), min_size=min(d, 8), max_size=min(d, 8)))
        v = np.resize(np.array(head, dtype=float), d)
    scales = SCALES if dtype is np.float64 else SCALES[1:4]
    out: NDArray[Any] = (v * draw(st.sampled_from(scales))).astype(dtype)
    return out
