r"""Sign compressors by torch._foreach operations: a few launches for all tensors, on a GPU where Triton is missing.

All that is new is computed before anything is written. On a GPU nobody waits for the device: where a sum is not finite, x, e
and momentum keep their value, and the step is counted. On a CPU what is not finite raises.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import UNCHANGED, Slot, Unit, check_gradients, first_not_finite, state_dtype


def step(units: Sequence[Unit]) -> Tensor | None:
    """One step of all units; None on a CPU, else whether everything was finite, as a bool on the device."""
    units = [unit for unit in ([slot for slot in unit if slot.x.numel()] for unit in units) if unit]
    slots = [slot for unit in units for slot in unit]
    if not slots:
        return None
    if slots[0].x.device.type == "cpu":
        check_gradients(slots)
    ms: dict[int, Tensor] = {}
    ps: dict[int, Tensor] = {}
    for batch in _batches(slots):
        for slot, m, p in zip(batch, *_corrected(batch), strict=True):
            ms[slot.index], ps[slot.index] = m, p
    totals, ok = _totals(units, ps)
    scales = {slot.index: scale for unit, scale in zip(units, _scales(units, totals), strict=True) for slot in unit}
    for batch in _batches(slots):
        of = [slot.index for slot in batch]
        _send(batch, [ms[i] for i in of], [ps[i] for i in of], [scales[i] for i in of], ok)
    return ok


def _batches(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Slots of one group and one dtype."""
    found: dict[tuple[int, torch.dtype], list[Slot]] = {}
    for slot in slots:
        found.setdefault((id(slot.group), slot.x.dtype), []).append(slot)
    return list(found.values())


def _corrected(batch: Sequence[Slot]) -> tuple[list[Tensor], list[Tensor]]:
    """(m, p) of each slot, new, or the gradient where it is one of them."""
    first, wide = batch[0], state_dtype(batch[0].x)
    us = [slot.g if slot.g.dtype == wide else slot.g.to(wide) for slot in batch]
    if first.coupled:
        us = list(torch._foreach_add(us, [slot.x.to(wide) for slot in batch], alpha=first.coupled))
    if first.before:
        us = list(torch._foreach_add(torch._foreach_mul([s.m for s in batch if s.m is not None], first.beta), us))
    if first.e is None:
        return us, us
    return us, list(torch._foreach_add([s.e for s in batch if s.e is not None], torch._foreach_mul(us, first.steps())))


def _totals(units: Sequence[Unit], ps: dict[int, Tensor]) -> tuple[list[Tensor], Tensor | None]:
    """||p||_1 of each unit, and on an accelerator whether all are finite.

    On a CPU, where one is not: NonFiniteError, or its sum in float64 if all entries are.
    """
    sums = dict(zip(ps, (p.sum() for p in torch._foreach_abs(list(ps.values()))), strict=True))
    totals = [_sum([sums[slot.index] for slot in unit]) for unit in units]
    ok = torch.isfinite(torch.stack(totals)).all()
    if ok.device.type != "cpu":
        return totals, ok
    if not bool(ok):
        entries = [(slot, ps[slot.index]) for unit in units for slot in unit]
        first_not_finite(entries, "corrected step", UNCHANGED)
        wide = [None if bool(torch.isfinite(t)) else [ps[slot.index].to(torch.float64) for slot in unit]
                for unit, t in zip(units, totals, strict=True)]  # fmt: skip
        totals = [t if p is None else _sum([q.abs().sum() for q in p]) for t, p in zip(totals, wide, strict=True)]
    return totals, None


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def _scales(units: Sequence[Unit], totals: list[Tensor]) -> list[Tensor]:
    """||p||_1 / d of each unit, or for `Sign` 1 (0 for p = 0), 0-d, in the state's dtype."""
    sizes = [sum(slot.x.numel() for slot in unit) for unit in units]
    means = torch._foreach_div(totals, sizes)
    return [
        (mean if isinstance(unit[0].group["compressor"], ScaledSign) else total > 0).to(state_dtype(unit[0].x))
        for unit, mean, total in zip(units, means, totals, strict=True)
    ]


def _send(batch: Sequence[Slot], ms: list[Tensor], ps: list[Tensor], scales: list[Tensor], ok: Tensor | None) -> None:
    first = batch[0]
    zero = int(first.group["compressor"].zero)
    deltas = list(torch._foreach_sign(ps))
    if zero:  # sign(sign(p) +- 1/2): 0 becomes +-1, the others stay
        torch._foreach_add_(deltas, 0.5 * zero)
        torch._foreach_sign_(deltas)
    torch._foreach_mul_(deltas, scales)
    if first.e is not None:
        _put([s.e for s in batch if s.e is not None], list(torch._foreach_sub(ps, deltas)), ok)
    else:
        torch._foreach_mul_(deltas, first.steps())
    buffers = [slot.m for slot in batch if slot.m is not None]
    if first.after:
        deltas = list(torch._foreach_add(torch._foreach_mul(buffers, first.beta), deltas))
    if buffers:
        _put(buffers, deltas if first.after else ms, ok)
    xs = [slot.x for slot in batch]
    shrunk = list(torch._foreach_mul(xs, 1 - first.steps() * first.decoupled)) if first.decoupled else xs
    if xs[0].dtype == deltas[0].dtype:
        _put(xs, list(torch._foreach_sub(shrunk, deltas)), ok)
    else:  # the sum is rounded once
        _put(xs, [x - d for x, d in zip(shrunk, deltas, strict=True)], ok)


def _put(old: list[Tensor], new: list[Tensor], ok: Tensor | None) -> None:
    if ok is not None:
        new = [torch.where(ok, b.to(a.dtype), a) for a, b in zip(old, new, strict=True)]
    torch._foreach_copy_(old, new)
