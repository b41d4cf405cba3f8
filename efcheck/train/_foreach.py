r"""Sign compressors by torch._foreach operations: a few launches for all tensors, on a GPU where Triton is missing.

On a GPU nobody waits for the device: where a gradient is not finite, gamma and the scales are 0 and beta is 1, so that x, e
and momentum keep their value, and the step is counted. On a CPU it raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, check_gradients, state_dtype

Scalar = Any  # a number, or a 0-d tensor of the device


def step(units: Sequence[Unit]) -> Tensor | None:
    """One step of all units; None on a CPU, else whether the gradients were finite, as a bool on the device."""
    units = [[slot for slot in unit if slot.x.numel()] for unit in units]
    slots = [slot for unit in units for slot in unit]
    if not slots:
        return None
    ok, gs = _safe(slots)
    ps: dict[int, Tensor] = {}
    for batch in _batches(slots):
        ps.update(zip((slot.index for slot in batch), _corrected(batch, gs, ok), strict=True))
    scales: dict[int, Tensor] = {}
    for unit in units:
        if unit:
            scale = _scale(unit, [ps[slot.index] for slot in unit])
            scales.update({slot.index: scale if ok is None else torch.where(ok, scale, 0) for slot in unit})
    for batch in _batches(slots):
        _send(batch, [ps[slot.index] for slot in batch], [scales[slot.index] for slot in batch], ok)
    return ok


def _safe(slots: Sequence[Slot]) -> tuple[Tensor | None, dict[int, Tensor]]:
    """Whether all gradients are finite, and gradients that are."""
    gs = [slot.g if slot.g.dtype == state_dtype(slot.x) else slot.g.to(state_dtype(slot.x)) for slot in slots]
    ok = None
    if slots[0].x.device.type == "cpu":
        check_gradients(slots)
    else:
        ok = torch.isfinite(torch.stack(torch._foreach_norm(gs, float("inf")))).all()
        gs = [torch.where(ok, g, 0) for g in gs]
    return ok, {slot.index: g for slot, g in zip(slots, gs, strict=True)}


def _batches(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Slots of one group and one dtype."""
    found: dict[tuple[int, torch.dtype], list[Slot]] = {}
    for slot in slots:
        found.setdefault((id(slot.group), slot.x.dtype), []).append(slot)
    return list(found.values())


def _gamma(slot: Slot, ok: Tensor | None) -> Scalar:
    gamma = slot.steps()
    return gamma if ok is None else torch.where(ok, gamma, 0.0)


def _corrected(batch: Sequence[Slot], gs: dict[int, Tensor], ok: Tensor | None) -> list[Tensor]:
    """p of each slot; momentum before the compressor is brought up to date."""
    first = batch[0]
    us = [gs[slot.index] for slot in batch]
    if first.coupled:
        us = list(torch._foreach_add(us, [slot.x.to(state_dtype(slot.x)) for slot in batch], alpha=first.coupled))
    if first.before:
        buffers = [slot.m for slot in batch if slot.m is not None]
        torch._foreach_mul_(buffers, first.beta if ok is None else torch.where(ok, first.beta, 1.0))
        torch._foreach_add_(buffers, us if ok is None else torch._foreach_mul(us, ok.to(us[0].dtype)))
        us = buffers
    if first.e is None:
        return us
    return list(torch._foreach_add([s.e for s in batch if s.e is not None], torch._foreach_mul(us, _gamma(first, ok))))


def _scale(unit: Unit, ps: Sequence[Tensor]) -> Tensor:
    total = torch.stack([p.abs().sum() for p in ps]).sum()
    if isinstance(unit[0].group["compressor"], ScaledSign):
        return total / sum(p.numel() for p in ps)
    return (total > 0).to(total.dtype)


def _send(batch: Sequence[Slot], ps: list[Tensor], scales: list[Tensor], ok: Tensor | None) -> None:
    first = batch[0]
    zero = int(first.group["compressor"].zero)
    deltas = list(torch._foreach_sign(ps))
    if zero:  # sign(sign(p) +- 1/2): 0 becomes +-1, the others stay
        torch._foreach_add_(deltas, 0.5 * zero)
        torch._foreach_sign_(deltas)
    deltas = [d.mul_(s) for d, s in zip(deltas, scales, strict=True)]
    if first.e is not None:
        torch._foreach_copy_([s.e for s in batch if s.e is not None], torch._foreach_sub(ps, deltas))
    else:
        torch._foreach_mul_(deltas, _gamma(first, ok))
    if first.after:
        buffers = [slot.m for slot in batch if slot.m is not None]
        torch._foreach_mul_(buffers, first.beta if ok is None else torch.where(ok, first.beta, 1.0))
        torch._foreach_add_(buffers, deltas)
        deltas = buffers if ok is None else list(torch._foreach_mul(buffers, ok.to(buffers[0].dtype)))
    xs = [slot.x for slot in batch]
    if first.decoupled:
        torch._foreach_mul_(xs, 1 - _gamma(first, ok) * first.decoupled)
    if xs[0].dtype == deltas[0].dtype:
        torch._foreach_sub_(xs, deltas)
    else:  # the sum is rounded once
        torch._foreach_copy_(xs, [x - d for x, d in zip(xs, deltas, strict=True)])
