"""Torch optimizers with error feedback that are right, each in a way of its own; no check may accuse them."""

from __future__ import annotations

from itertools import count
from typing import Any

import torch
from planted.optimizers import Right, WideMemoryCast, scaled_sign
from torch import Tensor

_SEEDS = count()


class OtherName(Right):
    """The memory is called something else."""

    def memory(self, p: Tensor) -> Tensor:
        return self.state[p].setdefault("carry", torch.zeros_like(p))


class OutOfState(Right):
    """The memory is an attribute, saved by methods of its own."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.kept: dict[Tensor, Tensor] = {}

    def memory(self, p: Tensor) -> Tensor:
        return self.kept.setdefault(p, torch.zeros_like(p))

    def state_dict(self) -> Any:
        return {**super().state_dict(), "kept": [self.kept.get(p) for g in self.param_groups for p in g["params"]]}

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "kept"})
        params = [p for g in self.param_groups for p in g["params"]]
        self.kept = {p: e.clone() for p, e in zip(params, state_dict["kept"], strict=True) if e is not None}


class Corrected(Right):
    """Keeps c = e + gamma g and the scale s; e = c - s sign(c) is rebuilt where it is needed."""

    def memory(self, p: Tensor) -> Tensor:
        c = self.state[p].get("c")
        return torch.zeros_like(p) if c is None else c - scaled_sign(c)

    def update(self, p: Tensor, group: Any) -> None:
        c = group["lr"] * self.direction(p, group) + self.memory(p)
        self.state[p]["c"] = c
        p.sub_(scaled_sign(c))


class Top(Right):
    """The largest entry of each tensor."""

    def compress(self, v: Tensor) -> Tensor:
        flat, out = v.reshape(-1), torch.zeros(v.numel(), dtype=v.dtype)
        if v.numel():
            i = flat.abs().argmax()
            out[i] = flat[i]
        return out.reshape(v.shape)


class RandomHalf(Right):
    """Every entry with probability 1/2, from torch's global generator."""

    def compress(self, v: Tensor) -> Tensor:
        return v * (torch.rand(v.shape) < 0.5)


class PrivateRandom(Right):
    """The same with a generator of its own, which is not in the checkpoint."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.generator = torch.Generator().manual_seed(next(_SEEDS))

    def compress(self, v: Tensor) -> Tensor:
        return v * (torch.rand(v.shape, generator=self.generator) < 0.5)


class Threshold(Right):
    """Sends what is larger than a threshold, perhaps nothing for a long time."""

    def compress(self, v: Tensor) -> Tensor:
        return torch.where(v.abs() > 0.5, v, torch.zeros_like(v))


class Overshoots(Right):
    """Twice the scaled sign: a bad compressor in correct feedback."""

    def compress(self, v: Tensor) -> Tensor:
        return 2 * scaled_sign(v)


class WholeModel(Right):
    """One scale for all tensors."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        pairs = [(p, g) for g in self.param_groups for p in g["params"] if p.grad is not None]
        if not pairs or not all(self.admits(p.grad) for p, _ in pairs):
            return loss
        vs = [g["lr"] * self.direction(p, g) + self.memory(p) for p, g in pairs]
        size = sum(v.abs().to(torch.float64).sum() for v in vs) / max(sum(v.numel() for v in vs), 1)
        for (p, _), v in zip(pairs, vs, strict=True):
            delta = torch.where(v >= 0, size, -size).to(v.dtype)
            p.sub_(delta)
            self.memory(p).copy_(v - delta)
        return loss


class Refuses(Right):
    """Raises on a gradient that is not finite, before anything is written."""

    def admits(self, grad: Tensor) -> bool:
        if not torch.isfinite(grad).all():
            raise FloatingPointError("a gradient is not finite")
        return True


class NoClosure(Right):
    """step takes no closure."""

    def step(self) -> Any:  # type: ignore[override]
        return super().step()


class Nesterov(Right):
    """g + beta m."""

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.5) -> None:
        super().__init__(params, lr, momentum=momentum)
        for group in self.param_groups:
            group["nesterov"] = True

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return p.grad + group["weight_decay"] * p + group["momentum"] * super().direction(p, group)


class Average(Right):
    """m = beta m + (1 - beta) g."""

    def direction(self, p: Tensor, group: Any) -> Tensor:
        g = p.grad + group["weight_decay"] * p
        if group["momentum"] == 0:
            return g
        m = self.state[p].setdefault("m", torch.zeros_like(p))
        return m.mul_(group["momentum"]).add_(g, alpha=1 - group["momentum"]).clone()


class WideMemoryKept(WideMemoryCast):
    """A float32 memory for parameters of low precision that survives load_state_dict."""

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        for i, p in enumerate(p for g in self.param_groups for p in g["params"]):
            if i in state_dict["state"]:
                self.state[p]["e"] = state_dict["state"][i]["e"].clone()


class SendsFloat32Scale(Right):
    """The scale travels as float32, and the memory knows it."""

    def compress(self, v: Tensor) -> Tensor:
        return torch.where(v >= 0, 1.0, -1.0).to(v.dtype) * v.abs().float().mean().to(v.dtype) if v.numel() else v.clone()


class TrueNorm(Right):
    """Reports the memory's norm."""

    @property
    def memory_norm(self) -> float:
        return float(sum(s["e"].square().sum() for s in self.state.values()) ** 0.5)


class Rescaled(Right):
    """A memory in the unit of g, multiplied by gamma_old / gamma_new when gamma changes: Algorithm 2."""

    def update(self, p: Tensor, group: Any) -> None:
        if group["lr"] == 0:
            return
        e, state = self.memory(p), self.state[p]
        e.mul_(state.get("lr", group["lr"]) / group["lr"])
        state["lr"] = group["lr"]
        v = self.direction(p, group) + e
        delta = self.compress(v)
        p.sub_(delta, alpha=group["lr"])
        e.copy_(v - delta)


class EverySecond(Right):
    """Collects at one step, sends at the next."""

    def update(self, p: Tensor, group: Any) -> None:
        e, state = self.memory(p), self.state[p]
        state["t"] = state.get("t", 0) + 1
        v = group["lr"] * self.direction(p, group) + e
        delta = self.compress(v) if state["t"] % 2 == 0 else torch.zeros_like(v)
        p.sub_(delta)
        e.copy_(v - delta)


class OneBuffer(Right):
    """All memories lie in one flat tensor, made at the start."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        every = [p for group in self.param_groups for p in group["params"]]
        self.flat = torch.zeros(sum(p.numel() for p in every), dtype=every[0].dtype)
        self.parts = dict(zip(every, self.flat.split([p.numel() for p in every]), strict=True))

    def memory(self, p: Tensor) -> Tensor:
        return self.parts[p].view(p.shape)

    def state_dict(self) -> Any:
        return {**super().state_dict(), "flat": self.flat}

    def load_state_dict(self, state_dict: Any) -> None:
        self.flat.copy_(state_dict["flat"])
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "flat"})


class TwoParts(Right):
    """e = whole numbers + rest, in two tensors."""

    def memory(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "whole" not in state:
            state["whole"], state["rest"] = torch.zeros_like(p), torch.zeros_like(p)
        return state["whole"] + state["rest"]

    def update(self, p: Tensor, group: Any) -> None:
        v = group["lr"] * self.direction(p, group) + self.memory(p)
        delta = self.compress(v)
        p.sub_(delta)
        self.state[p]["whole"].copy_(torch.round(v - delta))
        self.state[p]["rest"].copy_(v - delta - self.state[p]["whole"])


class Pairs(Right):
    """A scale for each two entries."""

    def compress(self, v: Tensor) -> Tensor:
        return torch.cat([scaled_sign(part) for part in v.reshape(-1).split(2)]).reshape(v.shape) if v.numel() else v.clone()


class Clipped(Right):
    """Sends what fits between -0.1 and 0.1."""

    def compress(self, v: Tensor) -> Tensor:
        return v.clamp(-0.1, 0.1)


class Negated(Right):
    """Keeps C(p) - p."""

    def update(self, p: Tensor, group: Any) -> None:
        e = self.memory(p)
        v = group["lr"] * self.direction(p, group) - e
        delta = self.compress(v)
        p.sub_(delta)
        e.copy_(delta - v)


class DecayAfter(Right):
    """Decoupled decay after the step, (1 - gamma lambda)(x - Delta)."""

    def update(self, p: Tensor, group: Any) -> None:
        super().update(p, {**group, "weight_decay": 0.0})
        p.mul_(1 - self.share(group))

    def share(self, group: Any) -> float:
        return float(group["lr"] * group["weight_decay"])


class DecayAfterFixed(DecayAfter):
    """The same by lambda, whatever gamma."""

    def share(self, group: Any) -> float:
        return float(group["weight_decay"])


class DecayFixed(DecayAfterFixed):
    """(1 - lambda) x - Delta."""

    def update(self, p: Tensor, group: Any) -> None:
        p.mul_(1 - self.share(group))
        Right.update(self, p, {**group, "weight_decay": 0.0})
