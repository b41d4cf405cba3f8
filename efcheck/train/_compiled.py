r"""Sign compressors by torch.compile over the whole list of tensors: each is read twice, the second time from the cache.

    1.  the sum of every gradient: not finite if an entry is not
    2.  for each compressed vector: s = ||p||_1 / d;  then x, e and momentum, if all that is finite; else they keep their value,
        and the vector is left to another form

The learning rate is a tensor, so that changing it compiles nothing. Another set of tensors that have a gradient, momentum or
weight decay compiles once more. A C++ compiler is needed on a CPU.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, check_gradients, state_dtype

Tensors = list[Tensor]


@dataclass(frozen=True)
class Plan:
    """What the compiled code depends on for one tensor, other than its entries and gamma."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    state: torch.dtype
    feedback: bool
    momentum: str  # "", "before" or "after"
    beta: float
    coupled: float
    decoupled: float
    scaled: bool
    zero: int
    lr: int  # place of its gamma


def step(units: Sequence[Unit], fallback: Callable[[Sequence[Unit]], None]) -> None:
    """One step of all units; `fallback` makes it for those with a sum that is not finite, and says which entry is at fault."""
    units = [unit for unit in ([slot for slot in unit if slot.x.numel()] for unit in units) if unit]
    slots = [slot for unit in units for slot in unit]
    if not slots:
        return
    groups = list({id(slot.group): slot.group for slot in slots}.values())
    lrs = [torch.as_tensor(group["lr"], dtype=torch.float64, device=slots[0].x.device) for group in groups]
    place = {id(group): i for i, group in enumerate(groups)}
    plans = tuple(tuple(_plan(slot, place[id(slot.group)]) for slot in unit) for unit in units)
    run = _compiled(plans)
    empty = slots[0].x.new_empty(0)
    written = run(
        [slot.x.detach() for slot in slots], [slot.g.detach() for slot in slots],
        [empty if slot.e is None else slot.e for slot in slots], [empty if slot.m is None else slot.m for slot in slots], lrs,
    )  # fmt: skip
    left = [unit for unit, done in zip(units, written.tolist(), strict=True) if not done]
    if left:
        check_gradients(slots)
        fallback(left)


def _plan(slot: Slot, lr: int) -> Plan:
    compressor = slot.group["compressor"]
    momentum = slot.group["momentum_at"] if slot.m is not None else ""
    return Plan(
        tuple(slot.x.shape), slot.x.dtype, state_dtype(slot.x), slot.e is not None, momentum, slot.beta, slot.coupled,
        slot.decoupled, isinstance(compressor, ScaledSign), int(compressor.zero), lr,
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _compiled(plans: tuple[tuple[Plan, ...], ...]) -> Callable[..., Tensor]:
    """The compiled step. Its code object is its own: the compiler counts how often one is compiled, and gives up."""

    def run(xs: Tensors, gs: Tensors, es: Tensors, ms: Tensors, lrs: Tensors) -> Tensor:
        sums = torch.stack([g.sum(dtype=torch.float32) for g in gs]).sum()
        ok, written, start = torch.isfinite(sums), [], 0
        for unit in plans:
            at = range(start, start + len(unit))
            found = [_corrected(plan, xs[i], gs[i], es[i], ms[i], lrs[plan.lr]) for plan, i in zip(unit, at, strict=True)]
            total = functools.reduce(torch.add, [p.abs().sum() for _, p in found])
            s = total / sum(p.numel() for _, p in found) if unit[0].scaled else (total > 0).to(total.dtype)
            keep = ok & torch.isfinite(total)
            for plan, i, (m, p) in zip(unit, at, found, strict=True):
                _write(plan, keep, s, m, p, xs[i], es[i], ms[i], lrs[plan.lr])
            written.append(keep)
            start += len(unit)
        return torch.stack(written)

    code: CodeType = run.__code__.replace()
    own: Any = FunctionType(code, run.__globals__, run.__name__, run.__defaults__, run.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)


def _corrected(plan: Plan, x: Tensor, g: Tensor, e: Tensor, m: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
    """(m, p)"""
    u = g.to(plan.state)
    if plan.coupled:
        u = u + plan.coupled * x
    if plan.momentum == "before":
        u = plan.beta * m + u
    return u, (e + lr * u if plan.feedback else u)


def _write(plan: Plan, keep: Tensor, s: Tensor, m: Tensor, p: Tensor, x: Tensor, e: Tensor, buffer: Tensor, lr: Tensor) -> None:
    delta = s * torch.sign(p) if plan.zero == 0 else torch.where(p >= 0 if plan.zero == 1 else p > 0, s, -s)
    if plan.feedback:
        e.copy_(torch.where(keep, p - delta, e))
    else:
        delta = lr * delta
    if plan.momentum == "before":
        buffer.copy_(torch.where(keep, m, buffer))
    elif plan.momentum == "after":
        delta = plan.beta * buffer + delta
        buffer.copy_(torch.where(keep, delta, buffer))
    shrunk = x * (1 - lr * plan.decoupled) if plan.decoupled else x
    x.copy_(torch.where(keep, (shrunk - delta).to(plan.dtype), x))
