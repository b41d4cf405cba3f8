"""Pickles of Python 2 with uint8 arrays, numbers, text, lists and dicts, and nothing else.

A name in a pickle gets an object of this file, never one of NumPy's or Python's: what was written as an array is an Array here.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import IO, Any

import numpy as np


def load(file: IO[bytes]) -> Any:
    """What is in the pickle; text is bytes.

    Raises RefusedError for any other name or use, in one line; for a damaged pickle it names the error only.
    """
    try:
        return _Unpickler(file, encoding="bytes").load()
    except RefusedError:
        raise
    except Exception as error:  # whatever a pickle can break
        raise RefusedError(f"it is no pickle of arrays ({type(error).__name__})") from error


class RefusedError(Exception):
    """A pickle asks for what is not admitted."""


class _Named:
    """What a pickle gets for a name of NumPy's: to be called as the batches do, and nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise RefusedError("it changes what it was given")


class _DType:
    """dtype("u1"); its state says nothing more."""

    __slots__ = ()

    def __init__(self, code: Any, *_: Any) -> None:
        if code != b"u1":
            raise RefusedError("it has an array of another type than uint8")

    def __setstate__(self, state: Any) -> None:
        pass


class Array:
    """A uint8 array: shape, order and bytes."""

    __slots__ = ("fortran", "raw", "shape")

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[Any, ...] = (0,)
        self.fortran, self.raw = False, b""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, dtype, self.fortran, self.raw = state
        if type(dtype) is not _DType or type(self.raw) is not bytes or type(self.shape) is not tuple:
            raise RefusedError("it has an array of another type than uint8")
        if any(type(side) is not int for side in self.shape) or math.prod(self.shape) != len(self.raw):
            raise RefusedError("it has an array with more or fewer bytes than entries")

    def array(self) -> np.ndarray:
        """The entries, not writeable."""
        return np.frombuffer(self.raw, np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): Array, ("numpy._core.multiarray", "_reconstruct"): Array,
    ("numpy", "ndarray"): Array, ("numpy", "dtype"): _DType,
}  # fmt: skip


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise RefusedError(f"it asks for {ascii(f'{module}.{name}')[:60]}")
        return _Named(_KNOWN[module, name])
