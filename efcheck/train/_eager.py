r"""Sign compressors on a CPU, without a compiler: BLAS in place, by blocks that stay in the cache.

    e <- e + gamma g + gamma lambda x   = p       axpy, twice
    s  = sum |e| / d                              asum
    h  = sign(e)                                  by torch; -1 and 1 where <h, h> = d: then no entry is 0
    e <- e - s h,  x <- x - s h                   axpy; rounded once: s h is exact

The lines up to s are done for all blocks of the compressed vector, then the others: memory is passed over twice, where whole
tensors would be passed over some ten times. The second time begins with the block that the first touched last.

All gradients are checked before anything is written. A p that overflows although its gradient is finite is found by its
scale: x is then left as it is, but the memory (and momentum, where that comes before) of that vector is not, and vectors
before it have had their step.

BLAS does it on one thread and adds up what begins at a multiple of 64 bytes, so that no bit depends on threads or addresses.
Vectors with tensors that BLAS cannot take (in half precision, with gaps, not lying alike in memory) are stepped by `_foreach`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train import _foreach
from efcheck.train._blas import ALIGNED, OF, aligned, entries, no_zero, norm1, one_thread
from efcheck.train._slot import Slot, Unit, check_gradients, first_not_finite

BLOCK = 1 << 17  # entries: four float32 arrays of it take 2 MiB


class _Rule(NamedTuple):
    """The settings of a group as numbers, read once a step."""

    lr: float
    beta: float
    coupled: float
    shrink: float  # by which x is multiplied; 1 is none
    before: bool
    after: bool
    zero: int


class _Block(NamedTuple):
    """Where it begins, how many entries it has, a part of p, and room for its signs."""

    start: int
    n: int
    p: Tensor
    signs: Tensor


class _Place(NamedTuple):
    """x, e and m of one slot as vectors on their memory; where p is e or m its blocks, and whether it is `aligned`."""

    x: Any
    e: Any
    m: Any
    blocks: Sequence[_Block] | None
    begins_aligned: bool


class Places:
    """Where the tensors of slots lie, and room for the signs of a block; kept between steps."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[tuple[Any, ...], _Place | None]] = {}
        self._signs: dict[torch.dtype, tuple[Tensor, Any]] = {}

    def of(self, slot: Slot) -> _Place | None:
        """Of a slot, found anew where a tensor is another one, or its memory; None where BLAS cannot go."""
        tensors = [t for t in (slot.x, slot.e, slot.m) if t is not None]
        key = slot.before, slot.e is None, *[(id(t), t.data_ptr(), t.dtype, t.shape, t.stride()) for t in tensors]
        kept = self._kept.get(slot.index)
        if kept is None or kept[0] != key:
            kept = self._kept[slot.index] = key, self._place(slot)
        return kept[1]

    def forget_others(self, slots: Sequence[Slot]) -> None:
        """Let go of tensors that are not among these."""
        if len(self._kept) > len(slots):
            self._kept = {slot.index: self._kept[slot.index] for slot in slots}

    def signs(self, dtype: torch.dtype) -> tuple[Tensor, Any]:
        """Room for the signs of a block, as a tensor and as a vector."""
        if dtype not in self._signs:
            h = torch.empty(BLOCK, dtype=dtype, device="cpu")
            self._signs[dtype] = h, entries(h)
        return self._signs[dtype]

    def blocks(self, p: Tensor) -> Sequence[_Block]:
        """The blocks of p, which has no gaps."""
        flat, (h, _) = p.detach().as_strided((p.numel(),), (1,)), self.signs(p.dtype)
        parts = torch.split(flat, BLOCK)
        return [_Block(i * BLOCK, part.numel(), part, h[: part.numel()]) for i, part in enumerate(parts)]

    def _place(self, slot: Slot) -> _Place | None:
        tensors = (slot.x, slot.e, slot.m)
        x, e, m = vectors = [None if t is None else entries(t) for t in tensors]
        if any(t is not None and (v is None or not _alike(t, slot.x)) for t, v in zip(tensors, vectors, strict=True)):
            return None
        p = slot.e if slot.e is not None else slot.m if slot.before else None
        return _Place(x, e, m, None, True) if p is None else _Place(x, e, m, self.blocks(p), p.data_ptr() % ALIGNED == 0)


def _alike(t: Tensor, x: Tensor) -> bool:
    return t.dtype == x.dtype and t.shape == x.shape and t.stride() == x.stride()


def step(units: Sequence[Unit], places: Places) -> None:
    """One step of all units, tensor by tensor; see above for what is written when."""
    units = [unit for unit in ([slot for slot in unit if slot.x.numel()] for unit in units) if unit]
    slots = [slot for unit in units for slot in unit]
    gradients = iter(check_gradients(slots))
    rules = {key: _rule(slot) for key, slot in {id(slot.group): slot for slot in slots}.items()}
    work, others = [], []
    for unit in units:
        found = [(rules[id(slot.group)], places.of(slot), next(gradients)) for slot in unit]
        if all(place and g is not None and _alike(slot.g, slot.x) for slot, (_, place, g) in zip(unit, found, strict=True)):
            work.append((unit, found))
        else:
            others.append(unit)
    places.forget_others(slots)
    _foreach.step(others)
    if work:
        with one_thread():
            for unit, found in reversed(work):  # the last gradients are in the cache still
                try:
                    _step(unit, found, places)
                finally:
                    _tell_torch(unit)


def _tell_torch(unit: Unit) -> None:
    """That x, e and m were written: it does not see what BLAS does."""
    for slot in unit:
        for t in (slot.x, slot.e, slot.m):
            if t is not None:
                torch.autograd.graph.increment_version(t)


def _step(unit: Unit, found: Sequence[tuple[_Rule, Any, Any]], places: Places) -> None:
    sent = [_corrected(rule, place, g, places) for rule, place, g in found]
    scale = _scale(unit, sum(place.x.size for _, place, _ in found), sent)
    for (rule, place, _), (blocks, _) in zip(found, sent, strict=True):
        _send(rule, place, blocks, scale, places.signs(blocks[0].p.dtype)[1])


def _rule(slot: Slot) -> _Rule:
    lr, zero = slot.lr, int(slot.group["compressor"].zero)
    return _Rule(lr, slot.beta, slot.coupled, 1 - lr * slot.decoupled, slot.before, slot.after, zero)


def _corrected(rule: _Rule, place: _Place, g: Any, places: Places) -> tuple[Sequence[_Block], float]:
    """The blocks of p, in place of e or of the momentum buffer, new where there is neither; and ||p||_1."""
    x, e, m, blocks, begins_aligned = place
    lr, beta, coupled, before = rule.lr, rule.beta, rule.coupled, rule.before
    d, (_, _, scal, axpy), total = x.size, OF[x.dtype], 0.0
    u = m if before else g
    if blocks is None:
        u = torch.from_numpy(g).clone().numpy() if coupled else aligned(g)
        if coupled:
            axpy(x, u, d, coupled)
        blocks = places.blocks(torch.from_numpy(u))
    p = u if e is None else e
    for i, n, _, _ in blocks:
        if before:
            scal(beta, m, n, i)
            axpy(g, m, n, 1.0, i, 1, i)
            if coupled:
                axpy(x, m, n, coupled, i, 1, i)
        if e is not None:
            axpy(u, e, n, lr, i, 1, i)
            if coupled and not before:
                axpy(x, e, n, lr * coupled, i, 1, i)
        total += norm1(p, i, n) if begins_aligned else norm1(aligned(p[i : i + n]), 0, n)
    return blocks, total


def _scale(unit: Unit, d: int, sent: Sequence[tuple[Sequence[_Block], float]]) -> float:
    """||p||_1 / d of a unit from its tensors' parts; for `Sign` 1 (0 for p = 0). NonFiniteError if an entry is not finite."""
    total = sum(part for _, part in sent)
    mean = total / d
    if not math.isfinite(total):
        first_not_finite(((slot, _held(slot)) for slot in unit), "corrected step", "Its parameter is not changed.")
        blocks = [block for blocks, _ in sent for block in blocks]  # finite, but too large a sum
        mean = sum((block.p.to(torch.float64).abs() / d).sum().item() for block in blocks)
    return mean if isinstance(unit[0].group["compressor"], ScaledSign) else float(total > 0)


def _held(slot: Slot) -> Tensor:
    """p of the whole tensor, once it is corrected."""
    if slot.e is not None:
        return slot.e
    return slot.m if slot.before and slot.m is not None else slot.update()


def _send(rule: _Rule, place: _Place, blocks: Sequence[_Block], scale: float, signs: Any) -> None:
    """Delta = s h, then x and e, from the last block to the first."""
    x, e, m = place.x, place.e, place.m
    beta, shrink, after, zero = rule.beta, rule.shrink, rule.after, rule.zero
    _, _, scal, axpy = OF[x.dtype]
    s = scale if e is not None else scale * rule.lr
    for i, n, p, h in reversed(blocks):
        torch.sign(p, out=h)
        if zero and not no_zero(signs, n):
            h.masked_fill_(h == 0, zero)
        if e is not None:
            axpy(signs, e, n, -s, 0, 1, i)
        if shrink != 1:
            scal(shrink, x, n, i)
        if after:
            scal(beta, m, n, i)
            axpy(signs, m, n, s, 0, 1, i)
            axpy(m, x, n, -1.0, i, 1, i)
        else:
            axpy(signs, x, n, -s, 0, 1, i)
