"""Any compressor, by tensor or over several: new values for all tensors first, and only then is anything written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.optim.sgd import sgd

from efcheck.train._compress import torch_form
from efcheck.train._slot import UNCHANGED, Slot, Unit, check_gradients, dense, first_not_finite, laid_as


def corrected(unit: Unit) -> tuple[list[Tensor], list[Tensor]]:
    """(m, p) of each tensor of the unit, new tensors in the state's dtype."""
    ms = [slot.update() for slot in unit]
    return ms, [slot.corrected(m) for slot, m in zip(unit, ms, strict=True)]


def sent(unit: Unit, ps: Sequence[Tensor], rng: np.random.Generator) -> list[Tensor]:
    """Delta of each tensor, new: C of the whole unit as one vector; an empty vector is sent as it is."""
    flat = torch.cat([p.reshape(-1) for p in ps]) if len(ps) > 1 else ps[0].reshape(-1)
    if flat.numel() == 0:
        return [torch.zeros_like(p) for p in ps]
    out = torch_form(unit[0].group["compressor"])(flat, rng)
    pieces = torch.split(out, [p.numel() for p in ps])
    deltas = [piece.reshape(p.shape) for piece, p in zip(pieces, ps, strict=True)]
    return [d if slot.e is not None else slot.steps() * d for slot, d in zip(unit, deltas, strict=True)]


def step(units: Sequence[Unit], rngs: Sequence[np.random.Generator]) -> Tensor | None:
    """One step of all units. On a CPU what is not finite raises; on an accelerator such a step changes nothing.

    Returns None on a CPU, else whether everything was finite, as a bool on the device.
    """
    found = [corrected(unit) for unit in units]
    everything = [(slot, p) for unit, (_, ps) in zip(units, found, strict=True) for slot, p in zip(unit, ps, strict=True)]
    ok = finite(everything)
    if ok is not None:
        found = [(ms, [torch.where(ok, p, 0) for p in ps]) for ms, ps in found]
    deltas = [sent(unit, ps, rng) for unit, (_, ps), rng in zip(units, found, rngs, strict=True)]
    if ok is None:
        first_not_finite(
            ((slot, d) for unit, ds in zip(units, deltas, strict=True) for slot, d in zip(unit, ds, strict=True)),
            "compressor's result", UNCHANGED,
        )  # fmt: skip
    for unit, (ms, ps), ds in zip(units, found, deltas, strict=True):
        for slot, m, p, delta in zip(unit, ms, ps, ds, strict=True):
            _write(slot, m, p, delta, ok)
    return ok


def finite(pairs: Sequence[tuple[Slot, Tensor]]) -> Tensor | None:
    """None on a CPU, where what is not finite raises; else a bool on the device, for which nobody waits."""
    if not pairs:
        return None
    if pairs[0][1].device.type == "cpu":
        first_not_finite(((slot, slot.g) for slot, _ in pairs), "gradient", UNCHANGED)
        first_not_finite(pairs, "corrected step", UNCHANGED)
        return None
    return torch.stack([torch.isfinite(p).all() for _, p in pairs]).all()


def _write(slot: Slot, m: Tensor, p: Tensor, delta: Tensor, ok: Tensor | None) -> None:
    if slot.before:
        assert slot.m is not None
        _put(slot.m, m, ok)
    if slot.e is not None:
        _put(slot.e, p - delta, ok)
    if slot.after:
        assert slot.m is not None
        delta = slot.m.mul(slot.beta).add_(delta)
        _put(slot.m, delta, ok)
    x = slot.x.mul(1 - slot.steps() * slot.decoupled) if slot.decoupled else slot.x
    _put(slot.x, x - delta, ok)


def _put(old: Tensor, new: Tensor, ok: Tensor | None) -> None:
    old.copy_(new if ok is None else torch.where(ok, new.to(old.dtype), old))


def plain(slot: Slot) -> bool:
    """Whether torch's own fused SGD makes this step: nothing is compressed or remembered, dtypes agree, x has no gaps and
    shape and strides are one; but for the gradient's strides, see `laid_as`."""
    x, g, m = slot.x, slot.g, slot.m
    alike = g.shape == x.shape and (m is None or (m.shape == x.shape and m.stride() == x.stride()))
    return slot.e is None and not slot.after and alike and x.dtype in (torch.float32, torch.float64) and dense(x)


def plain_step(slots: Sequence[Slot]) -> Tensor | None:
    """x - gamma (beta m + g + lambda x) by torch's fused kernel, for slots of one group; returns as `step` does."""
    first = slots[0]
    if first.x.device.type == "cpu":
        check_gradients(slots)
        ok = found_inf = None
    else:
        ok = torch.isfinite(torch.stack(torch._foreach_norm([slot.g for slot in slots], float("inf")))).all()
        found_inf = (~ok).to(torch.float32)
    if first.decoupled:
        shrink = 1 - first.steps() * first.decoupled
        for slot in slots:
            slot.x.mul_(shrink) if ok is None else slot.x.copy_(torch.where(ok, slot.x * shrink, slot.x))
    sgd(
        [slot.x for slot in slots], [laid_as(slot.g, slot.x) for slot in slots],
        [slot.m if slot.before else None for slot in slots],
        fused=True, foreach=False, has_sparse_grad=False, grad_scale=None, found_inf=found_inf,
        weight_decay=first.coupled, momentum=first.beta if first.before else 0.0, lr=first.group["lr"],
        dampening=0.0, nesterov=False, maximize=False,
    )  # fmt: skip
    return ok
