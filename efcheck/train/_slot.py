r"""One tensor of a step, with its state and the settings of its group, and the arithmetic that all forms share.

u = g + lambda x                      lambda x only where weight decay is coupled
m = beta m + u                        where momentum is before the compressor, else m = u
p = e + gamma m,  Delta = C(p)        with feedback
p = m,            Delta = gamma C(p)  without; C(gamma m) = gamma C(m) wherever C is positively homogeneous
x = (1 - gamma lambda) x              where weight decay is decoupled
v = beta v + Delta,  x = x - v        where momentum is after the compressor, else x = x - Delta
e = p - Delta
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from efcheck.errors import ArgumentError, argument_error
from efcheck.train._blas import entries, surely_finite

UNCHANGED = "Nothing is changed: neither the parameters nor momentum nor memory."
_WIDE = {torch.float16: torch.float32, torch.bfloat16: torch.float32}


class NonFiniteError(ArgumentError):
    """A gradient, or what is made of it, is not finite. `index` is that parameter's place among all parameters."""

    def __init__(self, text: str, index: int) -> None:
        super().__init__(text)
        self.index = index


def state_dtype(x: Tensor) -> torch.dtype:
    """The dtype of memory and momentum of a parameter: its own, but float32 for float16 and bfloat16."""
    return _WIDE.get(x.dtype, x.dtype)


@dataclass(slots=True)  # frozen would take three times as long to make
class Slot:
    """A parameter with a gradient: x, g, e, the momentum buffer, and its group's settings."""

    index: int
    name: str
    x: Tensor
    g: Tensor
    e: Tensor | None
    m: Tensor | None
    group: dict[str, Any]

    @property
    def lr(self) -> float:
        return float(self.group["lr"])

    @property
    def beta(self) -> float:
        return float(self.group["momentum"])

    @property
    def coupled(self) -> float:
        """lambda, if it is added to the gradient."""
        return float(self.group["weight_decay"]) if self.group["weight_decay_at"] == "coupled" else 0.0

    @property
    def decoupled(self) -> float:
        """lambda, if x shrinks by it."""
        return float(self.group["weight_decay"]) if self.group["weight_decay_at"] == "decoupled" else 0.0

    @property
    def before(self) -> bool:
        """Whether momentum acts before the compressor."""
        return self.m is not None and self.group["momentum_at"] == "before"

    @property
    def after(self) -> bool:
        """Whether momentum acts after the compressor."""
        return self.m is not None and self.group["momentum_at"] == "after"

    def steps(self) -> Tensor | float:
        """gamma: a tensor where it lives on an accelerator, so that reading it does not wait for the device."""
        lr = self.group["lr"]
        return lr if isinstance(lr, Tensor) and lr.device.type != "cpu" else float(lr)

    def update(self) -> Tensor:
        """m, new, in the state's dtype; the momentum buffer is left as it is."""
        u = self.g.to(state_dtype(self.x))
        if self.coupled:
            u = u.add(self.x, alpha=self.coupled)
        if self.before:
            assert self.m is not None
            return self.m.mul(self.beta).add_(u)
        return u.clone() if u is self.g else u

    def corrected(self, m: Tensor) -> Tensor:
        """p, new."""
        return m.clone() if self.e is None else self.e + self.steps() * m


Unit = Sequence[Slot]  # the tensors that are compressed as one vector


def dense(x: Tensor) -> bool:
    """Whether x's entries fill its part of memory, each at a place of its own, in whatever order."""
    if x.is_contiguous():
        return True
    wanted = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size != 1 and stride != wanted:
            return False
        wanted *= size
    return True


def laid_as(t: Tensor, x: Tensor) -> Tensor:
    """t, its entries in memory in the order of x's, which is dense: for what goes by place and does not look at strides."""
    return t if t.stride() == x.stride() else torch.empty_like(x, dtype=t.dtype).copy_(t)


def first_not_finite(tensors: Iterable[tuple[Slot, Tensor]], what: str, told: str) -> None:
    """Raise NonFiniteError about the first tensor with an entry that is not finite; return if there is none."""
    for slot, tensor in tensors:
        good = torch.isfinite(tensor)
        if not bool(good.all()):
            where = tuple((~good).nonzero()[0].tolist())
            name = f"parameter {slot.index}" + (f" ({slot.name})" if slot.name else "")
            got = f"{float(tensor[where])} in {name}, entry {where[0] if len(where) == 1 else where}"
            raise NonFiniteError(str(argument_error(what, "be finite", got, told)), slot.index)


def check_gradients(slots: Sequence[Slot]) -> list[Any]:
    """NonFiniteError if a gradient is not finite, before anything is written; for CPU tensors. Returns their `entries`."""
    vectors = [entries(slot.g) for slot in slots]
    suspects = [
        slot for slot, v in zip(slots, vectors, strict=True)
        if not (surely_finite(v) if v is not None else math.isfinite(slot.g.sum(dtype=state_dtype(slot.g))))
    ]  # fmt: skip
    first_not_finite(((slot, slot.g) for slot in suspects), "gradient", UNCHANGED)
    return vectors
