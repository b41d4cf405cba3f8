"""Hypothesis strategies for vectors that are hard on a compressor. Each promise in a docstring has its test."""

from __future__ import annotations

from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._inputs import SCALES
from efcheck.errors import MissingExtraError, argument_error, integer

try:
    from hypothesis import strategies as st
except ImportError as _error:  # pragma: no cover - the strategies are for those who use Hypothesis
    raise MissingExtraError("efcheck.checks.strategies needs hypothesis: pip install hypothesis") from _error

KINDS = ("generic", "one-hot", "equal", "tied", "near-tied", "two-scale", "heavy", "sparse", "negative", "integers", "zero")


def _entries(kind: str, d: int, rng: np.random.Generator) -> Any:
    if kind == "one-hot":
        return np.where(np.arange(d) == rng.integers(d), rng.choice([-1.0, 1.0]), 0.0)
    if kind == "equal":
        return np.full(d, rng.choice([-1.0, 1.0]))
    if kind == "tied":
        return rng.choice([-1.0, 1.0], d)
    if kind == "near-tied":
        return rng.choice([-1.0, 1.0], d) * (1 + 1e-9 * rng.standard_normal(d))
    if kind == "two-scale":
        return rng.standard_normal(d) * rng.choice([1e-6, 1.0], d)
    if kind == "heavy":
        return rng.standard_cauchy(d)
    if kind == "sparse":
        return rng.standard_normal(d) * (rng.random(d) < 0.2) * rng.choice([-1.0, 1.0])
    if kind == "negative":
        return -np.abs(rng.standard_normal(d))
    if kind == "integers":
        return rng.integers(-9, 10, d).astype(np.float64)
    return rng.standard_normal(d) if kind == "generic" else np.zeros(d)


@st.composite
def vectors(
    draw: Any, min_d: int = 1, max_d: int = 50, dtype: Any = np.float64, kinds: tuple[str, ...] = KINDS, scaled: bool = True
) -> Array:
    """Finite vectors, shape (d,), min_d <= d <= max_d.

    generic (normal), one-hot, all equal, tied (+-1), near-tied (to 1e-9), two-scale (1 and 1e-6), heavy (Cauchy), sparse
    (exact zeros), negative, small integers, zero; times one of 1e-200, 1e-4, 1, 1e4, 1e150 in float64, of 1e-4, 1, 1e4 in
    float32, unless `scaled` is False.

    Raises ArgumentError for sizes, dtypes or kinds that do not exist.
    """
    low = integer("min_d", min_d, 1)
    high = integer("max_d", max_d, low)
    name = np.dtype(dtype).name
    if name not in SCALES:
        raise argument_error("dtype", "be float32 or float64", name)
    if not kinds or any(kind not in KINDS for kind in kinds):
        raise argument_error("kinds", f"be of {', '.join(KINDS)}", kinds)
    d = draw(st.integers(low, high))
    kind = draw(st.sampled_from(kinds))
    entries = _entries(kind, d, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    scale = draw(st.sampled_from(SCALES[name])) if scaled else 1.0
    out: Array = (entries * scale).astype(dtype)
    return out


@st.composite
def batches(draw: st.DrawFn, /, max_rows: int = 5, **vector: Any) -> Array:
    """1 to max_rows vectors of the same d, shape (rows, d), each of its own kind and scale; arguments as of `vectors`."""
    low, high = vector.pop("min_d", 1), vector.pop("max_d", 50)
    d = draw(st.integers(integer("min_d", low, 1), integer("max_d", high, low)))
    rows = draw(st.integers(1, integer("max_rows", max_rows, 1)))
    return np.stack([draw(vectors(d, d, **vector)) for _ in range(rows)])
