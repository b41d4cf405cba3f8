r"""Sign compressors by torch.compile over the whole list of tensors, in two passes.

    1.  ||p||_1 of every compressed vector, from x, g, e and momentum; nothing is written. A gradient that is not finite shows
    2.  x, e and momentum, p computed once more: reading p back would cost what computing it does. Where a norm is not finite
        all keep their value, and another form makes the step, or says which entry is at fault

The learning rate is a tensor, so that changing it compiles nothing. Another set of tensors that have a gradient, momentum or
weight decay compiles once more. A C++ compiler is needed on a CPU.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, state_dtype

Tensors = list[Tensor]
ROW = 1024  # entries


class Settings(NamedTuple):
    """What the compiled code depends on for a group, other than gamma."""

    momentum: str  # "", "before" or "after"
    beta: float
    coupled: float
    decoupled: float
    scaled: bool
    zero: int
    lr: int  # place of its gamma


class Plan(NamedTuple):
    """What it depends on for one tensor, other than entries."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    state: torch.dtype
    feedback: bool
    of: Settings


def step(units: Sequence[Unit], fallback: Callable[[Sequence[Unit]], None]) -> None:
    """One step of all units; `fallback` makes it for those with a sum that is not finite, and says which entry is at fault."""
    units = [unit for unit in ([slot for slot in unit if slot.x.numel()] for unit in units) if unit]
    slots = [slot for unit in units for slot in unit]
    if not slots:
        return
    groups = {id(slot.group): slot for slot in slots}
    lrs = [torch.as_tensor(slot.group["lr"], dtype=torch.float64, device=slot.x.device) for slot in groups.values()]
    settings = {key: _settings(slot, i) for i, (key, slot) in enumerate(groups.items())}
    plans = tuple(tuple(_plan(slot, settings[id(slot.group)]) for slot in unit) for unit in units)
    written = _compiled(plans)(
        [slot.x.detach() for slot in slots], [slot.g.detach() for slot in slots],
        [slot.e for slot in slots if slot.e is not None], [slot.m for slot in slots if slot.m is not None], lrs,
    )  # fmt: skip
    if not written.item():
        fallback(units)


def _settings(slot: Slot, lr: int) -> Settings:
    compressor, momentum = slot.group["compressor"], slot.group["momentum_at"] if slot.m is not None else ""
    scaled, zero = isinstance(compressor, ScaledSign), int(compressor.zero)
    return Settings(momentum, slot.beta, slot.coupled, slot.decoupled, scaled, zero, lr)


def _plan(slot: Slot, settings: Settings) -> Plan:
    return Plan(slot.x.shape, slot.x.dtype, state_dtype(slot.x), slot.e is not None, settings)


@functools.lru_cache(maxsize=64)
def _compiled(plans: tuple[tuple[Plan, ...], ...]) -> Callable[..., Tensor]:
    """The compiled step. Its code object is its own: the compiler counts how often one is compiled, and gives up."""

    def run(xs: Tensors, gs: Tensors, es: Tensors, ms: Tensors, lrs: Tensors) -> Tensor:
        flat = [plan for unit in plans for plan in unit]
        left_es, left_ms = iter(es), iter(ms)
        states = [(next(left_es) if plan.feedback else None, next(left_ms) if plan.of.momentum else None) for plan in flat]
        tensors = [(x, g, *state) for x, g, state in zip(xs, gs, states, strict=True)]
        norms = iter([_norm(_corrected(plan, *t, lrs[plan.of.lr])[1]) for plan, t in zip(flat, tensors, strict=True)])
        totals = [functools.reduce(torch.add, [next(norms) for _ in unit]) for unit in plans]
        keep = torch.stack([torch.isfinite(total) for total in totals]).all()
        at = len(flat)
        for unit, total in zip(reversed(plans), reversed(totals), strict=True):  # the last ones are in the cache still
            d = sum(math.prod(plan.shape) for plan in unit)
            s = torch.where(keep, total / d if unit[0].of.scaled else (total > 0).to(total.dtype), 0.0)
            for plan in reversed(unit):
                at -= 1
                _write(plan, keep, s, *tensors[at], lrs[plan.of.lr])
        return keep

    code: CodeType = run.__code__.replace()
    own: Any = FunctionType(code, run.__globals__, run.__name__, run.__defaults__, run.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False, options={"size_asserts": False})  # its guards know the sizes


def _corrected(
    plan: Plan, x: Tensor, g: Tensor, e: Tensor | None, m: Tensor | None, lr: Tensor, keep: Tensor | None = None
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(m, p); p = e where `keep` is false."""
    u = g.to(plan.state)
    if plan.of.coupled:
        u = u + plan.of.coupled * x
    if m is not None and plan.of.momentum == "before":
        u = plan.of.beta * m + u
    sent = u if keep is None else torch.where(keep, u, 0.0)
    return u, (sent if e is None else e + lr * sent)


def _norm(p: Tensor) -> Tensor:
    """||p||_1, 0-d: a sum for each row, as one long sum waits for itself; two rows at a time, so that memory waits less."""
    if p.dim() == 4 and p.is_contiguous(memory_format=torch.channels_last):
        p = p.permute(0, 2, 3, 1)
    d = p.numel()
    if d < 4 * ROW or not p.is_contiguous():
        return p.abs().sum()
    flat, end = p.abs().reshape(-1), d - d % (2 * ROW)
    halves = flat[:end].reshape(2, -1, ROW)
    total: Tensor = (halves[0] + halves[1]).sum(1).sum()
    return total + flat[end:].sum() if end < d else total


def _write(
    plan: Plan, keep: Tensor, s: Tensor, x: Tensor, g: Tensor, e: Tensor | None, buffer: Tensor | None, lr: Tensor
) -> None:  # fmt: skip
    """x, e and momentum; where `keep` is false, s is 0 and nothing changes."""
    m, p = _corrected(plan, x, g, e, buffer, lr, keep)
    delta = s * torch.sign(p) if plan.of.zero == 0 else torch.where(p >= 0 if plan.of.zero == 1 else p > 0, s, -s)
    if e is not None:
        e.copy_(p - delta)
    else:
        delta = lr * delta
    if buffer is not None:
        if plan.of.momentum == "after":
            m = plan.of.beta * buffer + delta
            delta = torch.where(keep, m, 0.0)
        buffer.copy_(torch.where(keep, m, buffer))
    shrunk = x * torch.where(keep, 1 - lr * plan.of.decoupled, 1.0) if plan.of.decoupled else x
    x.copy_((shrunk - delta).to(plan.dtype))
