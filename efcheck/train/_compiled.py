r"""Sign compressors by torch.compile over the whole list of tensors: each is read twice, the second time from the cache.

    1.  the sum of every gradient: not finite if an entry is not
    2.  for each compressed vector: s = ||p||_1 / d;  then x, e and momentum, if all that is finite; else they keep their value

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
from efcheck.train._slot import Slot, Unit, check_gradients, first_not_finite, state_dtype

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


def step(units: Sequence[Unit], fallback: Callable[[], None]) -> None:
    """One step of all units; `fallback` makes it where finite gradients have a sum that is not."""
    slots = [slot for unit in units for slot in unit if slot.x.numel()]
    if not slots:
        return
    groups = list({id(slot.group): slot.group for slot in slots}.values())
    lrs = [torch.as_tensor(group["lr"], dtype=torch.float64, device=slots[0].x.device) for group in groups]
    place = {id(group): i for i, group in enumerate(groups)}
    plans = tuple(tuple(_plan(slot, place[id(slot.group)]) for slot in unit if slot.x.numel()) for unit in units)
    run = _compiled(tuple(plan for plan in plans if plan))
    empty = slots[0].x.new_empty(0)
    sums, scales = run(
        [slot.x.detach() for slot in slots], [slot.g.detach() for slot in slots],
        [empty if slot.e is None else slot.e for slot in slots], [empty if slot.m is None else slot.m for slot in slots], lrs,
    )  # fmt: skip
    if bool(torch.isfinite(sums + scales.sum())):
        return
    if not bool(torch.isfinite(sums)):
        check_gradients(slots)
        fallback()
        return
    left = [slot for unit, s in zip([u for u in units if any(t.x.numel() for t in u)], scales.tolist(), strict=True)
            if not abs(s) < float("inf") for slot in unit]  # fmt: skip
    first_not_finite(((slot, slot.corrected(slot.update())) for slot in left), "corrected step", "Its parameter is unchanged.")


def _plan(slot: Slot, lr: int) -> Plan:
    compressor = slot.group["compressor"]
    momentum = slot.group["momentum_at"] if slot.m is not None else ""
    return Plan(
        tuple(slot.x.shape), slot.x.dtype, state_dtype(slot.x), slot.e is not None, momentum, slot.beta, slot.coupled,
        slot.decoupled, isinstance(compressor, ScaledSign), int(compressor.zero), lr,
    )  # fmt: skip


@functools.lru_cache(maxsize=64)
def _compiled(plans: tuple[tuple[Plan, ...], ...]) -> Callable[..., tuple[Tensor, Tensor]]:
    """The compiled step. Its code object is its own: the compiler counts how often one is compiled, and gives up."""

    def run(xs: Tensors, gs: Tensors, es: Tensors, ms: Tensors, lrs: Tensors) -> tuple[Tensor, Tensor]:
        sums = torch.stack([g.sum(dtype=torch.float32) for g in gs]).sum()
        ok, scales, start = torch.isfinite(sums), [], 0
        for unit in plans:
            at = range(start, start + len(unit))
            found = [_corrected(plan, xs[i], gs[i], es[i], ms[i], lrs[plan.lr]) for plan, i in zip(unit, at, strict=True)]
            total = functools.reduce(torch.add, [p.abs().sum() for _, p in found])
            s = total / sum(p.numel() for _, p in found) if unit[0].scaled else (total > 0).to(total.dtype)
            keep = ok & torch.isfinite(total)
            for plan, i, (m, p) in zip(unit, at, found, strict=True):
                _write(plan, keep, s, m, p, xs[i], es[i], ms[i], lrs[plan.lr])
            scales.append(total.to(torch.float32))
            start += len(unit)
        return sums, torch.stack(scales)

    code: CodeType = run.__code__.replace()
    own: Any = FunctionType(code, run.__globals__, run.__name__, run.__defaults__, run.__closure__)
    return torch.compile(own, fullgraph=True, dynamic=False)  # type: ignore[no-any-return]


def _corrected(plan: Plan, x: Tensor, g: Tensor, e: Tensor, m: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
    """(m, p)"""
    u = g.to(plan.state)
    if plan.coupled:
        u = u + plan.coupled * x
    if plan.momentum == "before":
        u = plan.beta * m + u
    return u, (e + lr * u if plan.feedback else u)


def _write(plan: Plan, keep: Tensor, s: Tensor, m: Tensor, p: Tensor, x: Tensor, e: Tensor, buffer: Tensor, lr: Tensor) -> None:
    if plan.zero == 0:
        delta = s * torch.sign(p)
    else:
        delta = torch.where(p >= 0 if plan.zero == 1 else p > 0, s, -s)
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
