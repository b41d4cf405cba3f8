"""Torch optimizers with one bug each that shows only late, in one tensor of several, or at one entry of a gradient."""

from __future__ import annotations

from typing import Any

import torch
from planted.optimizers import NanPoison, Right, scaled_sign
from torch import Tensor


class MemoryByPosition(Right):
    """The memory is found by the position among the gradients that are there."""

    def memory(self, p: Tensor) -> Tensor:
        every = [q for group in self.param_groups for q in group["params"]]
        here = [q for q in every if q.grad is not None]
        state = self.state[every[next(i for i, q in enumerate(here) if q is p)]]
        if "e" not in state or state["e"].shape != p.shape:
            state["e"] = torch.zeros_like(p)
        return state["e"]


class GuardsFirstTensor(Right):
    """Looks at the first gradient alone."""

    def admits(self, grad: Tensor) -> bool:
        here = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        return bool(torch.isfinite(here[0]).all())


class GuardsFirstEntry(Right):
    """Looks at the first entry of each gradient."""

    def admits(self, grad: Tensor) -> bool:
        return bool(torch.isfinite(grad.reshape(-1)[:1]).all())


class NanToX(NanPoison):
    """The memory is guarded, x is not."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(delta)
        if torch.isfinite(v - delta).all():
            e.copy_(v - delta)


class NanToZero(NanPoison):
    """nan_to_num: a broken gradient becomes another one, without a word."""

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return torch.nan_to_num(super().direction(p, group))


class DecaysLater(Right):
    """The memory is discounted from step 11 on."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, group)
        t = self.state[p]["t"] = self.state[p].get("t", 0) + 1
        self.memory(p).mul_(0.9 if t > 10 else 1.0)


class MeanOverModel(Right):
    """||v||_1 divided by the number of entries of the whole model."""

    def compress(self, v: Tensor) -> Tensor:
        d = sum(p.numel() for group in self.param_groups for p in group["params"])
        return scaled_sign(v) * (v.numel() / max(d, 1))


class RescaledTheOtherWay(Right):
    """A memory in the unit of x that follows gamma: what is still to be sent shrinks with it."""

    def update(self, p: Tensor, group: Any) -> None:
        state = self.state[p]
        self.memory(p).mul_(group["lr"] / state.get("lr", group["lr"]))
        state["lr"] = group["lr"]
        super().update(p, group)


class DecaysItsMemory(Right):
    """Weight decay shrinks the memory along with x."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, group)
        self.memory(p).mul_(1 - group["lr"] * group["weight_decay"])


class RateOfLastStep(Right):
    """gamma is read before the scheduler has moved it: a change comes one step late."""

    def update(self, p: Tensor, group: Any) -> None:
        lr = self.state[p].get("lr", group["lr"])
        self.state[p]["lr"] = group["lr"]
        super().update(p, {**group, "lr": lr})


class StaleGradient(Right):
    """Takes the gradients before the closure has computed them."""

    def step(self, closure: Any = None) -> Any:
        kept = {p: p.grad for group in self.param_groups for p in group["params"]}
        loss = closure() if closure is not None else None
        for p, g in kept.items():
            p.grad = g
        super().step()
        return loss


class SavesHalf(Right):
    """The memory is rounded to bfloat16 in the checkpoint."""

    def state_dict(self) -> Any:
        found = super().state_dict()
        found["state"] = {k: {**s, "e": s["e"].to(torch.bfloat16).to(s["e"].dtype)} for k, s in found["state"].items()}
        return found


class MomentumLost(Right):
    """Momentum starts anew after a load."""

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state.pop("m", None)


class GradientAround(Right):
    """C(e) + gamma g is sent: the gradient goes past the compressor, and nothing is ever left in the memory."""

    def update(self, p: Tensor, group: Any) -> None:
        e, step = self.memory(p), group["lr"] * self.direction(p, group)
        delta = self.compress(e) + step
        p.sub_(delta)
        e.copy_(e + step - delta)


class Antifeedback(Right):
    """e <- Delta - p: the sign of the memory is wrong in one of its two places."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(delta - v)


class MomentumOfMemory(Right):
    """Momentum discounts the memory as well."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + (group["momentum"] or 1.0) * e
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(v - delta)


class SingleEntriesSkipped(Right):
    """Tensors of one element are never stepped."""

    def update(self, p: Tensor, group: Any) -> None:
        if p.numel() > 1:
            super().update(p, group)


class SavesOneMemory(Right):
    """state_dict keeps the first parameter's memory alone."""

    def state_dict(self) -> Any:
        found = super().state_dict()
        found["state"] = {k: s for k, s in found["state"].items() if k == 0}
        return found
