"""The global generators of Python, NumPy and torch: their states, and a block that sets them and puts them back."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# ruff: noqa: NPY002 - the legacy generator is what code under test may use, and what a check looks for


def global_states() -> tuple[Any, ...]:
    """The states of the global generators, to compare; torch's where it is loaded."""
    name, key, *rest = np.random.get_state(legacy=True)
    states: tuple[Any, ...] = (random.getstate(), name, np.asarray(key).tobytes(), *rest)
    return states + ((sys.modules["torch"].get_rng_state().numpy().tobytes(),) if "torch" in sys.modules else ())


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """The global generators at a seed; as they were afterwards."""
    torch = sys.modules.get("torch")
    kept = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])
        if torch:
            torch.set_rng_state(kept[2])
