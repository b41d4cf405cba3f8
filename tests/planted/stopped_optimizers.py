"""Torch optimizers that are right until something ordinary happens: an overflow, another group, a change of rate, a load."""

from __future__ import annotations

from typing import Any

import torch
from planted.optimizers import Right
from torch import Tensor


class MomentumSwallowsNan(Right):
    """The buffer of momentum is updated before it is looked at: after one NaN every step is skipped."""

    def admits(self, grad: Tensor) -> bool:
        return True

    def update(self, p: Tensor, group: Any) -> None:
        if torch.isfinite(self.direction(p, group)).all():
            e, g = self.memory(p), self.state[p].get("m", p.grad) if group["momentum"] else p.grad + group["weight_decay"] * p
            v = group["lr"] * g + e
            delta = self.compress(v)
            p.sub_(delta)
            e.copy_(v - delta)


class BadForEver(Right):
    """A flag that is set at the first overflow and never reset."""

    bad = False

    def admits(self, grad: Tensor) -> bool:
        self.bad = self.bad or not bool(torch.isfinite(grad).all())
        return not self.bad


class SendsNothingAfter(Right):
    """After an overflow it sends what C makes of zeros, and forgets the gradients."""

    stopped = False

    def admits(self, grad: Tensor) -> bool:
        finite = bool(torch.isfinite(grad).all())
        self.stopped = self.stopped or not finite
        return finite

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return super().direction(p, group) * (0.0 if self.stopped else 1.0)


class MomentumOfFirstGroup(Right):
    """Momentum is read from the first group for all."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, {**group, "momentum": self.param_groups[0]["momentum"]})


class DecayOfFirstGroup(Right):
    """Weight decay is read from the first group for all."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, {**group, "weight_decay": self.param_groups[0]["weight_decay"]})


class DecayOrMomentum(Right):
    """The branch with momentum forgets the decay."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, {**group, "weight_decay": 0.0 if group["momentum"] else group["weight_decay"]})


class NoFeedbackInHalf(Right):
    """In float16 and bfloat16 what is left is dropped."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, group)
        if p.element_size() < 4:
            self.memory(p).zero_()


class KeepsItsOwnMemory(Right):
    """The memory is cached outside the state, and a load is seen only by an optimizer that has none yet."""

    def memory(self, p: Tensor) -> Tensor:
        kept = self.__dict__.setdefault("kept", {})
        if p not in kept:
            kept[p] = super().memory(p)
        self.state[p]["e"] = kept[p]
        return kept[p]


class NormOfLastGroup(Right):
    """Reports the norm of the last group's memory."""

    @property
    def memory_norm(self) -> float:
        return float(sum(self.memory(p).square().sum() for p in self.param_groups[-1]["params"]) ** 0.5)


class RescaledAtAnyRate(Right):
    """A memory in the unit of g, multiplied by gamma_old / gamma_new: not a number where a schedule starts or ends at 0."""

    def update(self, p: Tensor, group: Any) -> None:
        e, state = self.memory(p), self.state[p]
        e.mul_(self.factor(torch.tensor(state.get("lr", group["lr"])) / group["lr"]))
        state["lr"] = group["lr"]
        v = self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(delta, alpha=group["lr"])
        e.copy_(v - delta)

    def factor(self, ratio: Tensor) -> Tensor:
        return ratio


class RescaledDownward(RescaledAtAnyRate):
    """The same, but never by less than 1."""

    def factor(self, ratio: Tensor) -> Tensor:
        return torch.nan_to_num(ratio).clamp(min=1)
