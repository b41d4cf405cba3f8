r"""Sign compressors on a CPU: every operation in place, by pieces of a tensor that stay in the cache.

    e <- e + gamma g + gamma lambda x   = p       two in-place passes; without a third buffer they are twice as fast
    s  = sum |e| / d
    h  = sign(e)                                  copysign takes three times as long; -1 and 1 where <h, h> = d: no entry is 0
    e <- e - s h,  x <- x - s h                   rounded once: s h is exact

The lines up to s are done for all pieces of the compressed vector, then the others: memory is passed over twice, where whole
tensors would be passed over some ten times. The second time begins with the pieces that the first touched last.

All gradients are checked before anything is written. A p that overflows although its gradient is finite is found by its
scale: x is then left as it is, but the memory of that tensor holds p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._blas import entries, no_zero, norm1
from efcheck.train._slot import Slot, Unit, check_gradients, first_not_finite, laid_as, state_dtype

PIECE = 1 << 19  # entries: four float32 arrays of it take 8 MiB of the cache; with less, calls cost more than they save


class _Rule(NamedTuple):
    """The settings of a group as numbers, read once a step."""

    lr: float
    beta: float
    coupled: float
    shrink: float  # by which x is multiplied; 1 is none
    before: bool
    after: bool
    zero: int


class _Piece(NamedTuple):
    """Entries of x, e and m of one slot, on its memory, and a place for their signs; h and e (or m) also as NumPy vectors."""

    x: Tensor
    e: Tensor | None
    m: Tensor | None
    h: Tensor
    signs: Any
    held: Any


class _Kept(NamedTuple):
    """The pieces of one slot, and what they were made of."""

    tensors: tuple[Tensor | None, ...]
    places: tuple[tuple[Any, ...], ...]
    pieces: list[_Piece]


class Pieces:
    """Tensors in pieces of at most PIECE entries; the whole in one where x, e and m do not lie alike. Kept between steps."""

    def __init__(self) -> None:
        self._signs: dict[torch.dtype, Tensor] = {}
        self._kept: dict[int, _Kept] = {}

    def of(self, slot: Slot) -> list[_Piece]:
        """The pieces of a slot; made anew where a tensor is another one, or its memory."""
        tensors = slot.x, slot.e, slot.m
        places = tuple((t.data_ptr(), t.shape, t.stride()) for t in tensors if t is not None)
        kept = self._kept.get(slot.index)
        if kept is None or kept.places != places or any(a is not b for a, b in zip(kept.tensors, tensors, strict=True)):
            kept = self._kept[slot.index] = _Kept(tensors, places, self._made(slot))
        return kept.pieces

    def _made(self, slot: Slot) -> list[_Piece]:
        d, tensors = slot.x.numel(), (slot.x, slot.e, slot.m)
        if d <= PIECE or not _alike(slot.x, tensors):
            return [self._piece(*tensors, slot.before)]
        split = [[None] * d if t is None else torch.split(t.as_strided((d,), (1,)), PIECE) for t in tensors]
        return [self._piece(x, e, m, slot.before) for x, e, m in zip(*split, strict=False) if x is not None]

    def _piece(self, x: Tensor, e: Tensor | None, m: Tensor | None, before: bool) -> _Piece:
        h = self._signs_like(x)
        p = e if e is not None else m if before else None
        return _Piece(x, e, m, h, entries(h), None if p is None else entries(p))

    def _signs_like(self, x: Tensor) -> Tensor:
        """Memory that all pieces share."""
        dtype, d = state_dtype(x), x.numel()
        if dtype not in self._signs or self._signs[dtype].numel() < d:
            self._signs[dtype] = torch.empty(max(d, PIECE), dtype=dtype)
        return self._signs[dtype].as_strided(x.shape, torch.empty_like(x, device="meta").stride())


def _alike(x: Tensor, tensors: Sequence[Tensor | None]) -> bool:
    """Whether all are dense, with their entries in the same order."""
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return dense and all(t is None or t.stride() == x.stride() for t in tensors)


def step(units: Sequence[Unit], kept: Pieces) -> None:
    """One step of all units, tensor by tensor; see above for what is written when."""
    check_gradients([slot for unit in units for slot in unit])
    by_group = {id(slot.group): slot for unit in units for slot in unit}
    rules = {key: _rule(slot) for key, slot in by_group.items()}
    for unit in reversed(units):  # the last gradients are in the cache still
        d, total, work = 0, 0.0, []
        for slot in unit:
            if size := slot.x.numel():
                pieces, rule = kept.of(slot), rules[id(slot.group)]
                ps, part = _corrected(rule, pieces, _gradients(slot, len(pieces)))
                work.append((slot, rule, pieces, ps))
                d, total = d + size, total + part
        if d:
            scale = _scale(unit, d, total, [ps for _, _, _, ps in work])
            for _, rule, pieces, ps in work:
                _send(rule, pieces, ps, scale)


def _rule(slot: Slot) -> _Rule:
    lr, zero = slot.lr, int(slot.group["compressor"].zero)
    return _Rule(lr, slot.beta, slot.coupled, 1 - lr * slot.decoupled, slot.before, slot.after, zero)


def _gradients(slot: Slot, pieces: int) -> Sequence[Tensor]:
    """g, in pieces like x."""
    if pieces == 1:
        return [slot.g]
    return torch.split(laid_as(slot.g, slot.x).as_strided((slot.x.numel(),), (1,)), PIECE)


def _corrected(rule: _Rule, pieces: Sequence[_Piece], gs: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """p of each piece, in place of e or of the momentum buffer, new where there is neither; and ||p||_1."""
    ps, total = [], 0.0
    for (x, e, m, _, _, held), g in zip(pieces, gs, strict=True):
        u = g
        if rule.before:
            assert m is not None
            u = m.mul_(rule.beta).add_(u)
            if rule.coupled:
                u.add_(x, alpha=rule.coupled)
        if e is not None:
            p = e.add_(u, alpha=rule.lr)
            if rule.coupled and not rule.before:
                p.add_(x, alpha=rule.lr * rule.coupled)
        else:
            p = u if rule.before else torch.add(u.to(state_dtype(x)), x, alpha=rule.coupled)
            held = held if rule.before else entries(p)
        ps.append(p)
        total += float(p.abs().sum()) if held is None else norm1(held)
    return ps, total


def _scale(unit: Unit, d: int, total: float, found: Sequence[Sequence[Tensor]]) -> float:
    """||p||_1 / d of a unit, ||p||_1 = total; for `Sign` 1 (0 for p = 0). NonFiniteError where an entry is not finite."""
    mean = total / d
    if not math.isfinite(total):
        first_not_finite(((slot, _held(slot)) for slot in unit), "corrected step", "Its parameter is not changed.")
        mean = sum((p.to(torch.float64).abs() / d).sum().item() for ps in found for p in ps)  # finite, too large a sum
    return mean if isinstance(unit[0].group["compressor"], ScaledSign) else float(total > 0)


def _held(slot: Slot) -> Tensor:
    """p of the whole tensor, once all its pieces are corrected."""
    if slot.e is not None:
        return slot.e
    return slot.m if slot.before and slot.m is not None else slot.update()


def _send(rule: _Rule, pieces: Sequence[_Piece], ps: Sequence[Tensor], scale: float) -> None:
    """Delta = s h, then x and e; the piece that was touched last comes first."""
    s = scale if pieces[0].e is not None else scale * rule.lr
    if s > torch.finfo(ps[0].dtype).max:
        s = math.inf  # torch takes no finite number that the dtype does not hold
    for (x, e, m, h, signs, _), p in zip(reversed(pieces), reversed(ps), strict=True):
        torch.sign(p, out=h)
        if rule.zero and not (no_zero(signs) if signs is not None else bool((h != 0).all())):
            h.masked_fill_(h == 0, rule.zero)
        if e is not None:
            e.sub_(h, alpha=s)
        if rule.shrink != 1:
            x.mul_(rule.shrink)
        if rule.after:
            assert m is not None
            x.sub_(m.mul_(rule.beta).add_(h, alpha=s))
        else:
            x.sub_(h, alpha=s)
