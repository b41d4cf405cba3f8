r"""Sign compressors on a GPU in two fused kernels over all tensors, for float32, bfloat16 and float16 parameters.

    1.  sum |p| over each block of 4096 entries: reads x, g, e and the momentum buffer, writes one number a block
    2.  the sums of each compressed vector, in a fixed order: one program a vector
    3.  reads all again, writes x, e and the momentum buffer, if every sum is finite; otherwise nothing

What is read twice is written once, so a step that meets what is not finite changes nothing, and the host does not wait for
the device. gamma is read from the device. Addresses go to the device when they change; in a CUDA graph they do not.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator,no-untyped-def"
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from efcheck.compressors import ScaledSign
from efcheck.train._slot import Slot, Unit, state_dtype

BLOCK = 4096
_KINDS = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@triton.jit
def _corrected(at, row, here, mask, lr, beta, decay, KIND: tl.constexpr, FEEDBACK: tl.constexpr, BEFORE: tl.constexpr):
    """(x, m, p) of a block; `at` points at the tensor's addresses: x, g, e, m."""
    x = tl.load(tl.load(at + row * 4).to(tl.pointer_type(KIND)) + here, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(tl.load(at + row * 4 + 1).to(tl.pointer_type(KIND)) + here, mask=mask, other=0.0).to(tl.float32)
    m = g + decay * x
    if BEFORE:
        m += beta * tl.load(tl.load(at + row * 4 + 3).to(tl.pointer_type(tl.float32)) + here, mask=mask, other=0.0)
    p = m
    if FEEDBACK:
        p = tl.load(tl.load(at + row * 4 + 2).to(tl.pointer_type(tl.float32)) + here, mask=mask, other=0.0) + lr * m
    return x, m, p


@triton.jit
def _sizes(
    at, blocks, lrs, out, beta, decay, KIND: tl.constexpr, FEEDBACK: tl.constexpr, BEFORE: tl.constexpr, B: tl.constexpr
):
    """out[block] = sum |p|; blocks: (tensor, first entry, entries of the tensor, vector, group) of each."""
    block = tl.program_id(0)
    row, start, size = tl.load(blocks + block * 5), tl.load(blocks + block * 5 + 1), tl.load(blocks + block * 5 + 2)
    lr = tl.load(lrs + tl.load(blocks + block * 5 + 4))
    here = start + tl.arange(0, B)
    _, _, p = _corrected(at, row, here, here < size, lr, beta, decay, KIND, FEEDBACK, BEFORE)
    tl.store(out + block, tl.sum(tl.abs(p), axis=0))


@triton.jit
def _totals(sums, firsts, out, B: tl.constexpr):
    """out[vector] = the sum of its blocks, from firsts[vector] to firsts[vector + 1]."""
    vector = tl.program_id(0)
    first, last = tl.load(firsts + vector), tl.load(firsts + vector + 1)
    total = tl.zeros((B,), dtype=tl.float32)
    for start in range(first, last, B):
        here = start + tl.arange(0, B)
        total += tl.load(sums + here, mask=here < last, other=0.0)
    tl.store(out + vector, tl.sum(total, axis=0))


@triton.jit
def _apply(
    at, blocks, lrs, scales, ok, beta, decay, shrink, KIND: tl.constexpr, FEEDBACK: tl.constexpr, BEFORE: tl.constexpr,
    AFTER: tl.constexpr, ZERO: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """x, e and momentum of a block, if ok."""
    if tl.load(ok) != 0:
        block = tl.program_id(0)
        row, start, size = tl.load(blocks + block * 5), tl.load(blocks + block * 5 + 1), tl.load(blocks + block * 5 + 2)
        lr = tl.load(lrs + tl.load(blocks + block * 5 + 4))
        scale = tl.load(scales + tl.load(blocks + block * 5 + 3))
        here = start + tl.arange(0, B)
        mask = here < size
        x, m, p = _corrected(at, row, here, mask, lr, beta, decay, KIND, FEEDBACK, BEFORE)
        zero = ZERO * scale
        delta = tl.where(p > 0, scale, tl.where(p < 0, -scale, zero))
        buffer = tl.load(at + row * 4 + 3).to(tl.pointer_type(tl.float32)) + here
        if FEEDBACK:
            tl.store(tl.load(at + row * 4 + 2).to(tl.pointer_type(tl.float32)) + here, p - delta, mask=mask)
        else:
            delta = lr * delta
        if BEFORE:
            tl.store(buffer, m, mask=mask)
        if AFTER:
            delta += beta * tl.load(buffer, mask=mask, other=0.0)
            tl.store(buffer, delta, mask=mask)
        x = x * (1 - lr * shrink) - delta
        tl.store(tl.load(at + row * 4).to(tl.pointer_type(KIND)) + here, x.to(KIND), mask=mask)


@dataclass
class Tables:
    """What is on the device between steps: addresses, blocks, gamma of each group, sums."""

    device: Any = None
    known: dict[Any, tuple[Tensor, ...]] = field(default_factory=dict)
    captured: list[tuple[Tensor, ...]] = field(default_factory=list)

    def of(self, units: Sequence[Unit]) -> tuple[Tensor, ...]:
        """(addresses, blocks, firsts, sizes) for these tensors; copied to the device when anything has moved."""
        key = tuple((slot.x.data_ptr(), slot.g.data_ptr(), _address(slot.e), _address(slot.m)) for u in units for slot in u)
        if key not in self.known:
            if len(self.known) > 16:
                self.known.clear()
            self.known[key] = _tables(units, key)
        found = self.known[key]
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            self.captured.append(found)  # the graph reads them for as long as it lives
        return found


def fits(slots: Sequence[Slot]) -> bool:
    """Whether the kernels can take them: dense, the same strides, float32 state, one set of numbers but for gamma."""
    first = slots[0]
    numbers = (first.x.dtype, first.beta, first.coupled, first.decoupled, first.before, first.after, first.e is None)
    return first.x.dtype in _KINDS and all(
        (s.x.dtype, s.beta, s.coupled, s.decoupled, s.before, s.after, s.e is None) == numbers
        and s.group["compressor"] == first.group["compressor"] and _dense(s) and state_dtype(s.x) is torch.float32
        for s in slots
    )  # fmt: skip


def _dense(slot: Slot) -> bool:
    x = slot.x
    dense = x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))
    return dense and slot.g.dtype == x.dtype and all(t is None or t.stride() == x.stride() for t in (slot.g, slot.e, slot.m))


def step(units: Sequence[Unit], tables: Tables) -> Tensor | None:
    """One step; a bool on the device: whether everything was finite, so that anything was written."""
    units = [[slot for slot in unit if slot.x.numel()] for unit in units]
    units = [unit for unit in units if unit]
    if not units:
        return None
    first, device = units[0][0], units[0][0].x.device
    addresses, blocks, firsts, sizes = tables.of(units)
    groups = list({id(slot.group): slot for unit in units for slot in unit}.values())
    lrs = torch.empty(len(groups), dtype=torch.float32, device=device)
    for i, slot in enumerate(groups):
        lr = slot.steps()
        lrs[i].copy_(lr) if isinstance(lr, Tensor) else lrs[i].fill_(lr)
    words = {"KIND": _KINDS[first.x.dtype], "FEEDBACK": first.e is not None, "BEFORE": first.before, "B": BLOCK}
    beta = first.beta if first.m is not None else 0.0
    sums = torch.empty(len(blocks), dtype=torch.float32, device=device)
    totals = torch.empty(len(units), dtype=torch.float32, device=device)
    _sizes[(len(blocks),)](addresses, blocks, lrs, sums, beta, first.coupled, **words)
    _totals[(len(units),)](sums, firsts, totals, B=1024)
    ok = torch.isfinite(totals).all()
    compressor = first.group["compressor"]
    scales = totals / sizes if isinstance(compressor, ScaledSign) else (totals > 0).to(torch.float32)
    _apply[(len(blocks),)](
        addresses, blocks, lrs, scales, ok.to(torch.int32), beta, first.coupled, first.decoupled,
        AFTER=first.after, ZERO=int(compressor.zero), **words,
    )  # fmt: skip
    return ok


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _tables(units: Sequence[Unit], addresses: Any) -> tuple[Tensor, ...]:
    device = units[0][0].x.device
    groups = {number: i for i, number in enumerate({id(slot.group): 0 for unit in units for slot in unit})}
    rows, firsts, row = [], [0], 0
    for vector, unit in enumerate(units):
        for slot in unit:
            size = slot.x.numel()
            rows += [(row, start, size, vector, groups[id(slot.group)]) for start in range(0, size, BLOCK)]
            row += 1
        firsts.append(len(rows))
    sizes = [sum(slot.x.numel() for slot in unit) for unit in units]

    def put(values: Any, dtype: torch.dtype) -> Tensor:
        return torch.tensor(values, dtype=dtype).to(device)

    return put(addresses, torch.int64), put(rows, torch.int64), put(firsts, torch.int64), put(sizes, torch.float32)
