"""Blockwise: one compressor a block, such as a layer; the paper's experiments work by layer (Section 6.1).

Squared errors of blocks add up, sum_b (1 - delta_b) ||v_b||^2 <= (1 - min delta_b) ||v||^2, so delta = min delta_b,
in the same way omega = max omega_b, and the bits add up (the messages are joined bit by bit, without padding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator
from efcheck.compressors.base import Compressor, as_compressor
from efcheck.compressors.wire import Bits, Float32
from efcheck.errors import argument_error, integer


@dataclass(frozen=True)
class Blockwise(Compressor):
    """C(v) = (C_1(v_1), ..., C_B(v_B)) of consecutive blocks of the given sizes.

    Parameters
    ----------
    inner : compressor or callable, or a sequence of them, one a block
    sizes : tuple of int
        Each >= 1; their sum is d.

    Examples
    --------
    >>> from efcheck.compressors import ScaledSign
    >>> Blockwise(ScaledSign(), (2, 1))([3.0, -1.0, 7.0])
    array([ 2., -2.,  7.])
    """

    inner: Any
    sizes: tuple[int, ...]
    _parts: tuple[Compressor, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            sizes = tuple(integer("sizes", size, 1) for size in self.sizes)
        except TypeError:
            raise argument_error("sizes", "be a sequence of integers >= 1", self.sizes) from None
        if not sizes:
            raise argument_error("sizes", "name at least one block", self.sizes)
        if isinstance(self.inner, Sequence):
            object.__setattr__(self, "inner", tuple(self.inner))
            if len(self.inner) != len(sizes):
                raise argument_error("inner", f"have {len(sizes)} compressors, one a block", f"{len(self.inner)}")
            parts = tuple(as_compressor(one) for one in self.inner)
        else:
            parts = (as_compressor(self.inner),) * len(sizes)
        for part, size in zip(parts, sizes, strict=True):
            part.check(size)
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "_parts", parts)
        object.__setattr__(self, "stochastic", any(part.stochastic for part in parts))
        object.__setattr__(self, "_opaque", any(part._opaque for part in parts))

    def check(self, d: int) -> None:
        """The sizes sum to d."""
        super().check(d)
        if sum(self.sizes) != d:
            raise argument_error("sizes", f"sum to d = {d}", f"a sum of {sum(self.sizes)}")

    def compress(self, v: Array, rng: Generator | None = None) -> Array:
        if not self._opaque:
            return super().compress(v, rng)
        rows = np.ascontiguousarray(v).reshape(-1, v.shape[-1])  # foreign draws are unknown: one vector after another
        out = np.empty_like(rows)
        for row, target in zip(rows, out, strict=True):
            for part, block, place in zip(self._parts, self._split(row), self._split(target), strict=True):
                place[...] = part.compress(block, rng)
        return out.reshape(v.shape)

    def _split(self, v: Array) -> list[Array]:
        return np.split(v, np.cumsum(self.sizes)[:-1], axis=-1)

    def _blocks(self, v: Array, u: Array) -> list[tuple[Compressor, Array, Array]]:
        """Each compressor with its block and its uniforms."""
        draws = [part._draws(size) for part, size in zip(self._parts, self.sizes, strict=True)]
        pieces = zip(self._parts, self._split(v), np.split(u, np.cumsum(draws)[:-1], axis=-1), strict=True)
        return [(part, np.ascontiguousarray(block), draw) for part, block, draw in pieces]

    def _kernel(self, v: Array, u: Array) -> Array:
        return np.concatenate([part._kernel(block, draw) for part, block, draw in self._blocks(v, u)], axis=-1)

    def _draws(self, d: int) -> int:
        return sum(part._draws(size) for part, size in zip(self._parts, self.sizes, strict=True))

    def _delta(self, d: int) -> float | None:
        each = [part._delta(size) for part, size in zip(self._parts, self.sizes, strict=True)]
        known = [delta for delta in each if delta is not None]
        return min(known) if len(known) == len(each) else None

    def _omega(self, d: int) -> float | None:
        each = [part._omega(size) for part, size in zip(self._parts, self.sizes, strict=True)]
        known = [omega for omega in each if omega is not None]
        return max(known) if len(known) == len(each) else None

    def _bits(self, d: int) -> int:
        return sum(part._bits(size) for part, size in zip(self._parts, self.sizes, strict=True))

    def _pack(self, v: Array, u: Array) -> Bits:
        return np.concatenate([part._pack(block, draw) for part, block, draw in self._blocks(v, u)])

    def _unpack(self, bits: Bits, d: int) -> Float32:
        ends = np.cumsum([part._bits(size) for part, size in zip(self._parts, self.sizes, strict=True)])[:-1]
        pieces = zip(self._parts, np.split(bits, ends), self.sizes, strict=True)
        return np.concatenate([part._unpack(piece, size) for part, piece, size in pieces])
