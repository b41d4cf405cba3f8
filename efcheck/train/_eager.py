r"""Sign compressors on a CPU: every operation in place, one scratch tensor as large as the largest parameter.

    e <- e + gamma g + gamma lambda x   = p       two in-place passes; without a third buffer they are twice as fast
    s  = sum |e| / d
    Delta = the sign bit of e on the bits of s    two passes over integers, where copysign takes three times as long
    x <- x - Delta,  e <- e - Delta

All gradients are checked before anything is written. A p that overflows although its gradient is finite is found by its
scale: x is then left as it is, but the memory of that tensor holds p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, check_gradients, first_not_finite

_INTEGERS = {torch.float32: (torch.int32, -(2**31)), torch.float64: (torch.int64, -(2**63))}


class Scratch:
    """One buffer for each dtype, as large as the largest tensor that asked."""

    def __init__(self) -> None:
        self._flat: dict[torch.dtype, Tensor] = {}

    def like(self, tensor: Tensor) -> Tensor:
        """A tensor of its shape, strides and dtype with arbitrary entries."""
        flat = self._flat.get(tensor.dtype)
        if flat is None or flat.numel() < tensor.numel():
            flat = self._flat[tensor.dtype] = torch.empty(tensor.numel(), dtype=tensor.dtype)
        if tensor.is_contiguous():
            return flat[: tensor.numel()].view(tensor.shape)
        return flat.as_strided(tensor.shape, torch.empty_like(tensor, device="meta").stride())


def step(units: Sequence[Unit], scratch: Scratch) -> None:
    """One step of all units, tensor by tensor; see above for what is written when."""
    check_gradients([slot for unit in units for slot in unit])
    for unit in units:
        ps, sums = [], []
        for slot in unit:
            ps.append(p := _corrected(slot))
            sums.append(torch.abs(p, out=scratch.like(p)).sum())
        scale = _scale(unit, ps, sums)
        for slot, p in zip(unit, ps, strict=True):
            if p.numel():
                _send(slot, p, scale, scratch)


def _corrected(slot: Slot) -> Tensor:
    """p, in place of e or of the momentum buffer; a new tensor where there is neither."""
    if slot.before:
        assert slot.m is not None
        m = slot.m.mul_(slot.beta).add_(slot.g)
        if slot.coupled:
            m.add_(slot.x, alpha=slot.coupled)
        return m if slot.e is None else slot.e.add_(m, alpha=slot.lr)
    if slot.e is None:
        return slot.update()
    p = slot.e.add_(slot.g, alpha=slot.lr)
    return p.add_(slot.x, alpha=slot.lr * slot.coupled) if slot.coupled else p


def _scale(unit: Unit, ps: Sequence[Tensor], sums: list[Tensor]) -> Tensor:
    """||p||_1 / d of the unit from the ||p||_1 of its tensors, or for `Sign` 1 (0 for p = 0), 0-d, in the state's dtype."""
    total, d = (sums[0] if len(sums) == 1 else torch.stack(sums).sum()), sum(p.numel() for p in ps)
    if not math.isfinite(total.item()):
        first_not_finite(zip(unit, ps, strict=True), "corrected step", "Its parameter is not changed.")
        sums = [p.abs().to(torch.float64).sum() for p in ps]  # finite entries, too large a sum
        total = torch.stack(sums).sum()
    if not isinstance(unit[0].group["compressor"], ScaledSign):
        return (total > 0).to(ps[0].dtype)
    return (total / max(d, 1)).to(ps[0].dtype)


def _send(slot: Slot, p: Tensor, scale: Tensor, scratch: Scratch) -> None:
    """Delta into scratch, then x and e."""
    delta = _signed(p, scale, int(slot.group["compressor"].zero), scratch.like(p))
    if slot.e is None:
        delta.mul_(slot.lr)
    else:
        slot.e.sub_(delta)
    if slot.decoupled:
        slot.x.mul_(1 - slot.lr * slot.decoupled)
    if slot.after:
        assert slot.m is not None
        delta = slot.m.mul_(slot.beta).add_(delta)
    slot.x.sub_(delta)


def _signed(p: Tensor, scale: Tensor, zero: int, out: Tensor) -> Tensor:
    """out = scale sign(p), sign(+-0) = zero."""
    if zero == 0:
        return torch.sign(p, out=out).mul_(scale)
    kind, sign_bit = _INTEGERS[p.dtype]
    bits = out.view(kind)
    if zero == 1:
        torch.add(p, 0.0, out=out)  # -0.0 + 0.0 = +0.0
        torch.bitwise_and(bits, sign_bit, out=bits)
        bits.bitwise_or_(scale.view(kind))
        return out
    torch.neg(p, out=out).add_(0.0)
    torch.bitwise_and(bits, sign_bit, out=bits)
    bits.bitwise_or_(scale.view(kind))
    return out.neg_()
