r"""Sign compressors on a CPU: every operation in place, by pieces of a tensor that stay in the cache.

    e <- e + gamma g + gamma lambda x   = p       two in-place passes; without a third buffer they are twice as fast
    s  = sum |e| / d
    Delta = the sign bit of e on the bits of s    two passes over integers, where copysign takes three times as long
    x <- x - Delta,  e <- e - Delta

The lines up to s are done for all pieces of the compressed vector, then the others: memory is passed over twice, where whole
tensors would be passed over some ten times.

All gradients are checked before anything is written. A p that overflows although its gradient is finite is found by its
scale: x is then left as it is, but the memory of that tensor holds p.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, check_gradients, first_not_finite, state_dtype

PIECE = 1 << 16  # entries: four float32 arrays of it take a MiB, a part of a core's own cache
_INTEGERS = {torch.float32: (torch.int32, -(2**31)), torch.float64: (torch.int64, -(2**63))}


class Scratch:
    """One buffer for each dtype, as large as the largest tensor that asked, and its views."""

    def __init__(self) -> None:
        self._flat: dict[torch.dtype, Tensor] = {}
        self._views: dict[Any, tuple[Tensor, Tensor]] = {}

    def like(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        """A tensor of its shape, strides and dtype with arbitrary entries, and the same memory as integers."""
        key = tensor.dtype, tensor.shape, tensor.stride()
        found = self._views.get(key)
        if found is None:
            found = self._views[key] = self._made(tensor)
        return found

    def _made(self, tensor: Tensor) -> tuple[Tensor, Tensor]:
        flat = self._flat.get(tensor.dtype)
        if flat is None or flat.numel() < tensor.numel():
            flat = self._flat[tensor.dtype] = torch.empty(tensor.numel(), dtype=tensor.dtype)
            self._views = {key: views for key, views in self._views.items() if key[0] != tensor.dtype}  # they hold the old one
        view = flat.as_strided(tensor.shape, torch.empty_like(tensor, device="meta").stride())
        return view, view.view(_INTEGERS[tensor.dtype][0])


@dataclass(frozen=True)
class _Piece:
    """Entries of x, g, e and m of one slot, on its memory."""

    x: Tensor
    g: Tensor
    e: Tensor | None
    m: Tensor | None


def step(units: Sequence[Unit], scratch: Scratch) -> None:
    """One step of all units, tensor by tensor; see above for what is written when."""
    check_gradients([slot for unit in units for slot in unit])
    for unit in units:
        work = [(slot, _pieces(slot)) for slot in unit if slot.x.numel()]
        found = [_corrected(slot, pieces, scratch) for slot, pieces in work]
        if found:
            scale = _scale(unit, [p for ps, _ in found for p in ps], [total for _, totals in found for total in totals])
            for (slot, pieces), (ps, _) in zip(work, found, strict=True):
                _send(slot, pieces, ps, scale, scratch)


def _pieces(slot: Slot) -> list[_Piece]:
    """At most PIECE entries each; the whole in one where the tensors do not lie alike."""
    tensors = (slot.x, slot.g, slot.e, slot.m)
    if not _alike(slot.x, tensors):
        return [_Piece(*tensors)]
    d = slot.x.numel()
    flat = [itertools.repeat(None) if t is None else torch.split(t.as_strided((d,), (1,)), PIECE) for t in tensors]
    return [_Piece(*part) for part in zip(*flat, strict=False)]  # x ends it


def _alike(x: Tensor, tensors: Sequence[Tensor | None]) -> bool:
    """Whether all are dense, with their entries in the same order."""
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return dense and all(t is None or t.stride() == x.stride() for t in tensors)


def _corrected(slot: Slot, pieces: Sequence[_Piece], scratch: Scratch) -> tuple[list[Tensor], list[Tensor]]:
    """p of each piece, in place of e or of the momentum buffer, new where there is neither; and ||p||_1 of each, 0-d."""
    lr, beta, decay, before, wide = slot.lr, slot.beta, slot.coupled, slot.before, state_dtype(slot.x)
    ps, sums = [], []
    for piece in pieces:
        u = piece.g
        if before:
            assert piece.m is not None
            u = piece.m.mul_(beta).add_(u)
            if decay:
                u.add_(piece.x, alpha=decay)
        if piece.e is not None:
            p = piece.e.add_(u, alpha=lr)
            if decay and not before:
                p.add_(piece.x, alpha=lr * decay)
        else:
            p = u if before else torch.add(u.to(wide), piece.x, alpha=decay)
        ps.append(p)
        sums.append(torch.abs(p, out=scratch.like(p)[0]).sum())
    return ps, sums


def _held(slot: Slot) -> Tensor:
    """p of the whole tensor, once all its pieces are corrected."""
    if slot.e is not None:
        return slot.e
    return slot.m if slot.before and slot.m is not None else slot.update()


def _scale(unit: Unit, ps: Sequence[Tensor], sums: list[Tensor]) -> Tensor:
    """||p||_1 / d of the unit from the ||p||_1 of its pieces, or for `Sign` 1 (0 for p = 0), 0-d, in the state's dtype."""
    total, d = (sums[0] if len(sums) == 1 else torch.stack(sums).sum()), sum(p.numel() for p in ps)
    if not math.isfinite(total.item()):
        first_not_finite(((slot, _held(slot)) for slot in unit), "corrected step", "Its parameter is not changed.")
        sums = [p.abs().to(torch.float64).sum() for p in ps]  # finite entries, too large a sum
        total = torch.stack(sums).sum()
    if not isinstance(unit[0].group["compressor"], ScaledSign):
        return (total > 0).to(ps[0].dtype)
    return (total / d).to(ps[0].dtype)


def _send(slot: Slot, pieces: Sequence[_Piece], ps: Sequence[Tensor], scale: Tensor, scratch: Scratch) -> None:
    """Delta into scratch, then x and e."""
    zero, lr, beta, shrink, after = int(slot.group["compressor"].zero), slot.lr, slot.beta, slot.decoupled, slot.after
    for piece, p in zip(pieces, ps, strict=True):
        delta = _signed(p, scale, zero, *scratch.like(p))
        if piece.e is None:
            delta.mul_(lr)
        else:
            piece.e.sub_(delta)
        if shrink:
            piece.x.mul_(1 - lr * shrink)
        if after:
            assert piece.m is not None
            delta = piece.m.mul_(beta).add_(delta)
        piece.x.sub_(delta)


def _signed(p: Tensor, scale: Tensor, zero: int, out: Tensor, bits: Tensor) -> Tensor:
    """out = scale sign(p), sign(+-0) = zero; bits is the memory of out."""
    if zero == 0:
        return torch.sign(p, out=out).mul_(scale)
    kind, sign_bit = _INTEGERS[p.dtype]
    if zero == 1:
        torch.add(p, 0.0, out=out)  # -0.0 + 0.0 = +0.0
        torch.bitwise_and(bits, sign_bit, out=bits)
        bits.bitwise_or_(scale.view(kind))
        return out
    torch.neg(p, out=out).add_(0.0)
    torch.bitwise_and(bits, sign_bit, out=bits)
    bits.bitwise_or_(scale.view(kind))
    return out.neg_()
