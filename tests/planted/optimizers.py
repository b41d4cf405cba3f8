"""Torch optimizers with error feedback: one that is right, and variants with one bug each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def scaled_sign(v: Tensor) -> Tensor:
    """(||v||_1 / d) sign(v), sign(0) = 1; the mean in float32, so that float16 does not overflow."""
    if v.numel() == 0:
        return v.clone()
    scale = v.abs().to(torch.promote_types(v.dtype, torch.float32)).mean()
    return torch.where(v >= 0, scale, -scale).to(v.dtype)


class Right(torch.optim.Optimizer):
    """EF-signSGD: coupled weight decay, momentum before the compressor, memory in the unit of x; NaN skips the step."""

    def __init__(self, params: Any, lr: float = 0.1, weight_decay: float = 0.0, momentum: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.groups():
            for p in group["params"]:
                if p.grad is not None and self.admits(p.grad):
                    self.update(p, group)
        return loss

    def groups(self) -> Any:
        return self.param_groups

    def admits(self, grad: Tensor) -> bool:
        return bool(torch.isfinite(grad).all())

    def compress(self, v: Tensor) -> Tensor:
        return scaled_sign(v)

    def memory(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "e" not in state:
            state["e"] = torch.zeros_like(p)
        return state["e"]

    def direction(self, p: Tensor, group: Any) -> Tensor:
        g = p.grad + group["weight_decay"] * p
        if group["momentum"] == 0:
            return g
        state = self.state[p]
        state["m"] = g if "m" not in state else group["momentum"] * state["m"] + g
        return state["m"]

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(v - delta)


class MemoryNeverUsed(Right):
    """Allocated, filled, never read."""

    def update(self, p: Tensor, group: Any) -> None:
        v = group["lr"] * self.direction(p, group)
        delta = self.compress(v)
        p.sub_(delta)
        self.memory(p).copy_(v - delta)


class MemoryNeverFilled(Right):
    """Allocated and read, never written."""

    def update(self, p: Tensor, group: Any) -> None:
        p.sub_(self.compress(group["lr"] * self.direction(p, group) + self.memory(p)))


class NoMemory(Right):
    """Compression without feedback."""

    def update(self, p: Tensor, group: Any) -> None:
        p.sub_(self.compress(group["lr"] * self.direction(p, group)))


class MemoryOfGradient(Right):
    """The memory has the unit of g: another algorithm when gamma changes."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(group["lr"] * delta)
        e.copy_(v - delta)


class MemoryScaledTwice(Right):
    """gamma (g + e) with e in the unit of x: the memory shrinks by gamma at each step."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * (self.direction(p, group) + e)
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(v - delta)


class MemoryDecays(Right):
    """e <- 0.9 (p - Delta): a discount that Algorithm 2 does not have."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, group)
        self.memory(p).mul_(0.9)


class MemoryOfSign(Right):
    """The memory holds p - sign(p), what is sent is scaled: the scale is missing in one of two code paths."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + e
        p.sub_(self.compress(v))
        e.copy_(v - torch.sign(v))


class FirstStepTenfold(Right):
    """The scale is forgotten at the first step."""

    def update(self, p: Tensor, group: Any) -> None:
        first = "e" not in self.state[p]
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) + e
        delta = self.compress(v) * (10 if first else 1)
        p.sub_(delta)
        e.copy_(v - delta)


class SumForMean(Right):
    """||v||_1 sign(v), without the 1/d."""

    def compress(self, v: Tensor) -> Tensor:
        return scaled_sign(v) * v.numel()


class SignOfZero(Right):
    """torch.sign: "one bit" of three values."""

    def compress(self, v: Tensor) -> Tensor:
        return v.abs().mean() * torch.sign(v) if v.numel() else v.clone()


class MovesWithoutGradient(Right):
    """sign(0) = 1 with a scale that is bounded from below."""

    def compress(self, v: Tensor) -> Tensor:
        scale = v.abs().to(torch.float64).mean().clamp(min=1e-3) if v.numel() else v.sum()
        return torch.where(v >= 0, scale, -scale).to(v.dtype)


class DecayIgnored(Right):
    """weight_decay is accepted and never used."""

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return super().direction(p, {**group, "weight_decay": 0.0})


class DecayOutsideMemory(Right):
    """Weight decay is inside what is compressed and left out of the memory: the sign swallows it."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, {**group, "weight_decay": 0.0}) + e
        delta = self.compress(v + group["lr"] * group["weight_decay"] * p)
        p.sub_(delta)
        e.copy_(v - self.compress(v))


class DecayDecoupled(Right):
    """Decoupled where coupled is declared."""

    def update(self, p: Tensor, group: Any) -> None:
        p.mul_(1 - group["lr"] * group["weight_decay"])
        super().update(p, {**group, "weight_decay": 0.0})


class MomentumAfter(Right):
    """Momentum on what was decompressed, where "before" is declared."""

    def update(self, p: Tensor, group: Any) -> None:
        e, state = self.memory(p), self.state[p]
        v = group["lr"] * self.direction(p, {**group, "momentum": 0.0}) + e
        delta = self.compress(v)
        state["v"] = delta if "v" not in state else group["momentum"] * state["v"] + delta
        p.sub_(state["v"])
        e.copy_(v - delta)


class MomentumIgnored(Right):
    """It has the setting and does not look at it."""

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return super().direction(p, {**group, "momentum": 0.0})


class FirstGroupOnly(Right):
    """Only the first parameter group is stepped."""

    def groups(self) -> Any:
        return self.param_groups[:1]


class RateOfFirstGroup(Right):
    """All groups use the first one's learning rate."""

    def groups(self) -> Any:
        return [{**group, "lr": self.param_groups[0]["lr"]} for group in self.param_groups]


class SharedMemory(Right):
    """One memory for all tensors of one size."""

    def memory(self, p: Tensor) -> Tensor:
        if "e" not in self.state[p]:
            same = [s["e"] for q, s in self.state.items() if "e" in s and q.shape == p.shape]
            self.state[p]["e"] = same[0] if same else torch.zeros_like(p)
        return self.state[p]["e"]


class FlattensWithView(Right):
    """view(-1) on a tensor that is not contiguous."""

    def update(self, p: Tensor, group: Any) -> None:
        p.view(-1)
        super().update(p, group)


class MissingMeansZero(Right):
    """A parameter without gradient is stepped with a zero gradient."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
        return super().step(closure)


class ClosureIgnored(Right):
    """step(closure) does not call it."""

    def step(self, closure: Any = None) -> Any:
        return super().step(None)


class LossNotReturned(Right):
    """step(closure) returns nothing."""

    def step(self, closure: Any = None) -> Any:
        super().step(closure)


class ClosureWithoutGrad(Right):
    """The closure runs under no_grad."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure is not None else None
        super().step()
        return loss


class MemoryNotSaved(Right):
    """state_dict leaves the memory out."""

    def state_dict(self) -> Any:
        found = super().state_dict()
        found["state"] = {k: {n: v for n, v in s.items() if n != "e"} for k, s in found["state"].items()}
        return found


class MemoryReset(Right):
    """load_state_dict starts with an empty memory."""

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state.pop("e", None)


class WideMemoryCast(Right):
    """A float32 memory for parameters of low precision, which the base class's load_state_dict casts down."""

    def memory(self, p: Tensor) -> Tensor:
        if "e" not in self.state[p]:
            kind = torch.promote_types(p.dtype, torch.float32)
            self.state[p]["e"] = torch.zeros_like(p, dtype=kind)
        return self.state[p]["e"]

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group).to(e.dtype) + e
        delta = self.compress(v)
        p.sub_(delta.to(p.dtype))
        e.copy_(v - delta)


class HalfMemory(Right):
    """The memory of float32 parameters is float16."""

    def memory(self, p: Tensor) -> Tensor:
        if "e" not in self.state[p]:
            self.state[p]["e"] = torch.zeros_like(p, dtype=torch.float16)
        return self.state[p]["e"]


class SumsInHalf(Right):
    """||v||_1 in the tensor's own precision: it overflows in float16."""

    def compress(self, v: Tensor) -> Tensor:
        return torch.where(v >= 0, 1.0, -1.0).to(v.dtype) * (v.abs().sum() / max(v.numel(), 1))


class NanPoison(Right):
    """Steps on whatever it is given."""

    def admits(self, grad: Tensor) -> bool:
        return True


class InfPoison(Right):
    """Looks for NaN, not for inf."""

    def admits(self, grad: Tensor) -> bool:
        return not bool(torch.isnan(grad).any())


class RemembersBeforeItLooks(NanPoison):
    """Claims to work with a GradScaler by itself, and steps on the overflow all the same."""

    _step_supports_amp_scaling = True

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        scale = getattr(self, "grad_scale", None)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None and scale is not None:
                    p.grad.div_(scale).nan_to_num_(posinf=0.0)
        return super().step(closure)


class ChangesGradient(Right):
    """Adds the weight decay, and the memory, to p.grad in place."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = p.grad.add_(p, alpha=group["weight_decay"]).mul_(group["lr"]).add_(e)
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(v - delta)


class WrongNorm(Right):
    """Reports the norm of the last tensor's memory."""

    def memory_norm(self) -> float:
        return float([s["e"] for s in self.state.values()][-1].norm())
