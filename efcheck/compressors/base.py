"""What every compressor shares: validation, the draws of a random one, bytes, and two measures of a compression.

delta   E||C(v) - v||_2^2 <= (1 - delta) ||v||_2^2 for every v in R^d  (Assumption A)
omega   E C(v) = v and E||C(v)||_2^2 <= (1 + omega) ||v||_2^2          (Remark 5)

An unbiased compressor has E||C(v) - v||^2 = E||C(v)||^2 - ||v||^2 <= omega ||v||^2, so delta = 1 - omega if omega < 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator, by_columns, finite_vectors, row_dot
from efcheck.compressors.wire import Bits, Float32
from efcheck.errors import argument_error, integer


class Compressor(ABC):
    """Base of all compressors. A subclass gives `_kernel`, and where it has a message `_bits`, `_pack`, `_unpack`.

    stochastic: whether a call needs `rng`. A call draws `_draws(d)` uniforms a vector, in C order, whatever their
    values: compressing a batch equals compressing its vectors one after another with the same generator.
    """

    stochastic: bool = False
    _opaque: bool = False  # wraps a foreign callable, whose draws are not known

    def __call__(self, v: Any, rng: Generator | None = None) -> Array:
        """C(v) of each vector on the last axis: (..., d) -> (..., d), a new array of v's dtype and unit.

        Raises ArgumentError if v is not finite, d does not fit, or `rng` is missing.
        """
        array = finite_vectors(v)
        self.check(array.shape[-1])
        self._check_rng(rng)
        return self.compress(array, rng)

    def compress(self, v: Array, rng: Generator | None = None) -> Array:
        """As a call, without validation: v is a finite float array (..., d) that fits."""
        v = np.ascontiguousarray(v)  # sums depend on the memory order
        return self._kernel(v, self._uniforms(v.shape, rng))

    def check(self, d: int) -> None:
        """ArgumentError if the compressor cannot act on R^d."""
        integer("d", d, 1)

    def delta(self, d: int) -> float | None:
        """The guaranteed contraction over R^d, None if there is none."""
        self.check(d)
        return self._delta(d)

    def omega(self, d: int) -> float | None:
        """The variance factor over R^d of an unbiased compressor, else None."""
        self.check(d)
        return self._omega(d)

    def bits(self, d: int) -> int:
        """Bits of one message."""
        self.check(d)
        return self._bits(d)

    def encode(self, v: Any, rng: Generator | None = None) -> bytes:
        """The message for one vector: ceil(bits(d) / 8) bytes.

        Raises ArgumentError also for a scale that is not a normal float32, or an entry that float32 loses.
        """
        array = finite_vectors(v)
        if array.ndim != 1:
            raise argument_error("v", "be one vector, shape (d,)", f"shape {array.shape}", "Encode row by row.")
        self.check(array.size)
        self._check_rng(rng)
        array = np.ascontiguousarray(array)
        bits = self._pack(array, self._uniforms(array.shape, rng))
        assert bits.size == self._bits(array.size)
        return np.packbits(bits).tobytes()

    def decode(self, payload: bytes, d: int) -> Float32:
        """The vector that a message means; equals C(v) bitwise for float32 v."""
        count = self.bits(d)
        expected = f"be bytes of length {-(-count // 8)}"
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise argument_error("payload", expected, type(payload).__name__)
        raw = bytes(payload)
        if len(raw) != -(-count // 8):
            raise argument_error("payload", expected, f"{len(raw)} bytes", f"A message for d = {d} has {count} bits.")
        return self._unpack(np.unpackbits(np.frombuffer(raw, np.uint8), count=count), d)

    @abstractmethod
    def _kernel(self, v: Array, u: Array) -> Array:
        """C(v) with the uniforms u (..., draws), on contiguous v."""

    def _draws(self, d: int) -> int:
        return d if self.stochastic else 0

    def _delta(self, d: int) -> float | None:
        omega = self._omega(d)
        return 1 - omega if omega is not None and omega < 1 else None

    def _omega(self, d: int) -> float | None:
        return None

    @abstractmethod
    def _bits(self, d: int) -> int: ...

    @abstractmethod
    def _pack(self, v: Array, u: Array) -> Bits: ...

    @abstractmethod
    def _unpack(self, bits: Bits, d: int) -> Float32: ...

    def _check_rng(self, rng: object) -> None:
        if self.stochastic and not isinstance(rng, np.random.Generator):
            got = "None" if rng is None else type(rng).__name__
            raise argument_error("rng", "be a numpy Generator", got, "Pass np.random.default_rng(seed).")

    def _uniforms(self, shape: tuple[int, ...], rng: Generator | None) -> Array:
        draws = self._draws(shape[-1])
        if draws == 0:
            return np.empty((*shape[:-1], 0))
        assert rng is not None
        return rng.random((*shape[:-1], draws))


class Foreign(Compressor):
    """Any callable (v, rng=None) -> v as the inner part of `Scaled` or `Blockwise`; it has no message."""

    _opaque = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def compress(self, v: Array, rng: Generator | None = None) -> Array:
        out = np.array(self.function(v, rng), dtype=v.dtype)
        if out.shape != v.shape:
            raise argument_error("inner", f"return the shape {v.shape} of its vectors", f"shape {out.shape}")
        return out

    def _kernel(self, v: Array, u: Array) -> Array:
        return self.compress(v)

    def _ask(self, name: str, d: int) -> Any:
        method = getattr(self.function, name, None)
        return method(d) if callable(method) else None

    def _delta(self, d: int) -> float | None:
        value = self._ask("delta", d)
        return None if value is None else float(value)

    def _omega(self, d: int) -> float | None:
        value = self._ask("omega", d)
        return None if value is None else float(value)

    def _bits(self, d: int) -> int:
        value = self._ask("bits", d)
        if value is None:
            raise self._no_message()
        return int(value)

    def _pack(self, v: Array, u: Array) -> Bits:
        raise self._no_message()

    def _unpack(self, bits: Bits, d: int) -> Float32:
        raise self._no_message()

    def _no_message(self) -> Exception:
        hint = "A plain callable has no message."
        return argument_error("inner", "be a compressor of efcheck to have bits", type(self.function).__name__, hint)


def as_compressor(inner: Any) -> Compressor:
    """`inner` itself, or a plain callable wrapped."""
    if isinstance(inner, Compressor):
        return inner
    if isinstance(inner, type) or not callable(inner):
        raise argument_error("inner", "be a compressor or a callable (v, rng=None) -> v", inner)
    return Foreign(inner)


@lru_cache(maxsize=32)
def _ones(d: int) -> Array:
    return np.ones(d)


def row_mean(x: Array, count: Any) -> Array:
    """sum(x) / count on the last axis of float64 x >= 0, kept as an axis; through max x where the sum overflows."""
    if by_columns(x):  # only in a simulation, where overflow is ignored already: saying so costs as much as the division
        mean: Array = np.add.reduce(x, axis=-1, keepdims=True)
        mean /= count
    else:
        with np.errstate(over="ignore"):
            mean = row_dot(x, _ones(x.shape[-1]))[..., None] / count
    if not mean.max(initial=0) < np.inf:
        top = x.max(axis=-1, keepdims=True)
        safe = np.where(top > 0, top, 1)
        with np.errstate(under="ignore"):
            scaled = (x / safe).sum(axis=-1, keepdims=True) / count
        mean = np.where(np.isfinite(mean), mean, np.minimum(scaled, 1) * top)
    return mean


def density(v: Any) -> Array:
    """phi(v) = ||v||_1^2 / (d ||v||_2^2) of each vector, (..., d) -> (...,): in [1/d, 1], and 0 for v = 0.

    Unit-free and unchanged by scaling; by Cauchy-Schwarz at most 1, with equality where all
    |v_i| are equal; 1/d at one-hot v.

    >>> float(density(np.array([4.0, 2.0])))
    0.9

    Source: Section 4.1, Lemma 8.
    """
    size = np.abs(finite_vectors(v)).astype(np.float64)
    top = size.max(axis=-1, keepdims=True)
    with np.errstate(under="ignore"):
        scaled = np.ascontiguousarray(size / np.where(top > 0, top, 1))
        square = np.square(scaled).sum(axis=-1)
    one = np.square(scaled.sum(axis=-1))
    return np.asarray(np.minimum(one / (size.shape[-1] * np.where(square > 0, square, 1)), 1.0))[()]


def realised_delta(c: Callable[..., Any], v: Any, rng: Generator | None = None) -> Array:
    """1 - ||C(v) - v||_2^2 / ||v||_2^2 of each vector, (..., d) -> (...,); 1 for v = 0. Computed on v / max|v|.

    >>> from efcheck.compressors import TopK
    >>> float(realised_delta(TopK(1), np.array([2.0, 1.0])))
    0.8
    """
    if not callable(c):
        raise argument_error("c", "be a callable (v, rng=None) -> v", c)
    array = finite_vectors(v)
    wide = array.astype(np.float64)
    top = np.abs(wide).max(axis=-1, keepdims=True)
    safe = np.where(top > 0, top, 1)
    out = np.asarray(c(array, rng)).astype(np.float64)
    with np.errstate(over="ignore", under="ignore"):
        scaled = wide / safe
        error = np.square(out / safe - scaled).sum(axis=-1)
        square = np.square(scaled).sum(axis=-1)
        ratio = 1 - error / np.where(square > 0, square, 1)
    return np.asarray(np.where(square > 0, ratio, 1.0))[()]
