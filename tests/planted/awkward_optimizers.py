"""Torch optimizers for tests of error feedback that are right, with settings, state or closures of their own kind."""

from __future__ import annotations

from typing import Any

import torch
from planted.optimizers import Right
from torch import Tensor


class FixedDecay(Right):
    """Coupled decay under a key of its own, that nothing switches off but the number itself."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "wd": 0.01})

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return p.grad + group["wd"] * p


class Wrapped:
    """Holds an optimizer and passes on what it is asked, but shows no state, as wrappers for several workers do."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        self.inner = Right(params, lr)
        self.param_groups = self.inner.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.inner.step(closure)

    def zero_grad(self, *args: Any) -> None:
        self.inner.zero_grad(*args)

    def state_dict(self) -> Any:
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: Any) -> None:
        self.inner.load_state_dict(state_dict)
        self.param_groups = self.inner.param_groups


class ForgetsMomentum(Right):
    """An overflow in any gradient skips all tensors and starts their momentum anew."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        every = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if closure is not None or all(torch.isfinite(g).all() for g in every):
            return super().step(closure)
        for state in self.state.values():
            state.pop("m", None)
        return None


class DecayPastMomentum(Right):
    """Momentum averages the gradient alone; decay is added to it, on the way to the compressor."""

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return super().direction(p, {**group, "weight_decay": 0.0}) + group["weight_decay"] * p


class SendsHalf(Right):
    """Sends bfloat16: of parameters that are bfloat16 nothing is left, and the memory is 0."""

    def compress(self, v: Tensor) -> Tensor:
        return v.to(torch.bfloat16).to(v.dtype)


class DemandsClosure(Right):
    """step has to be given a closure."""

    def step(self, closure: Any) -> Any:
        return super().step(closure)


class RaisesOnVectors(Right):
    """Takes matrices only, and says so."""

    def update(self, p: Tensor, group: Any) -> None:
        if p.dim() < 2:
            raise ValueError("matrices only")
        super().update(p, group)


class MatricesOnly(Right):
    """Vectors are stepped by plain SGD."""

    def update(self, p: Tensor, group: Any) -> None:
        if p.dim() < 2:
            p.sub_(group["lr"] * self.direction(p, group))
        else:
            super().update(p, group)


class OtherWords(Right):
    """Momentum is called beta."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "beta": 0.5})

    def direction(self, p: Tensor, group: Any) -> Tensor:
        return super().direction(p, {"weight_decay": 0.0, "momentum": group["beta"]})
