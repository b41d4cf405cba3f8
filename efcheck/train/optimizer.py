r"""EFSGD: SGD with any compressor and with error feedback, as a torch optimizer (Algorithms 1 and 2).

    u = g + lambda x                      weight decay, where it is coupled
    m = beta m + u                        momentum, where it is before the compressor; else m = u
    p = e + gamma m                       the corrected step, in the unit of x
    Delta = C(p),   e = p - Delta         what is sent, and what is remembered
    x = (1 - gamma lambda) x              weight decay, where it is decoupled
    v = beta v + Delta,   x = x - v       momentum, where it is after the compressor; else x = x - Delta

Without feedback Delta = gamma C(m), and there is no memory. By the lines above x - e is the virtual iterate, which plain SGD
with the same m would reach.

Source: Karimireddy et al. 2019, Algorithms 1 and 2; Section 6.1 for layer-wise compression.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import argument_error, integer, real
from efcheck.train import _compress, _forms, _general
from efcheck.train._slot import NonFiniteError as NonFiniteError
from efcheck.train._slot import Slot, Unit, state_dtype
from efcheck.train._state import check_keys, check_state

PLACES = {"momentum_at": ("before", "after"), "weight_decay_at": ("coupled", "decoupled")}
GRANULARITIES = ("tensor", "group", "model")
_KEPT = ("compressor", "feedback", "momentum_at", "weight_decay_at")  # of each group, fixed when it is made


class EFSGD(torch.optim.Optimizer):
    """SGD with a compressor, with or without error feedback.

    Parameters
    ----------
    params
        Tensors, named tensors, or groups. A group may have its own lr, momentum, weight_decay, compressor, feedback,
        momentum_at and weight_decay_at.
    lr : float or 0-d tensor
        gamma >= 0. A tensor on the parameters' device can change without the host's doing, as in a CUDA graph.
    compressor : callable (v, rng=None) -> v on one flat vector, for NumPy or for torch
        None is ScaledSign(). Identity, Sign, ScaledSign and TopK are computed in torch, others of efcheck in NumPy.
    feedback : bool
        Whether there is a memory.
    momentum, weight_decay : float
        beta in [0, 1) and lambda >= 0. 0 is none.
    momentum_at : {"before", "after"}
        Of the compressor.
    weight_decay_at : {"coupled", "decoupled"}
        Coupled: added to the gradient. Decoupled: x shrinks by 1 - gamma lambda.
    granularity : {"tensor", "group", "model"}
        What is one vector to the compressor. "tensor" is the paper's layer-wise compression; with "model" all groups need
        one compressor, and all or none feedback.
    form : {"auto", "eager", "compiled", "foreach", "triton"}
        How steps of Sign and ScaledSign are computed; the others have one form. See efcheck.train._forms.
    seed : int
        Of random compressors: step t of group i draws from default_rng((seed, i, t)).

    State of a parameter: "memory" (e, in the unit of x) and "momentum_buffer" (m or v), in the parameter's dtype, but float32
    for float16 and bfloat16; there x - e is the virtual iterate up to the rounding of x.

    A gradient that is not finite raises NonFiniteError before anything is written, on a CPU. On an accelerator nobody waits
    for the device: such a step changes nothing and is counted; `skipped_steps` reads the count. Where the gradients are finite
    but p overflows, "eager" and "compiled" raise it too, but x of that vector alone is sure to be left as it was.

    Examples
    --------
    >>> x = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    >>> optimizer = EFSGD([x], lr=0.5)
    >>> x.grad = torch.tensor([3.0, -1.0])
    >>> optimizer.step()
    >>> x.tolist(), optimizer.state[x]["memory"].tolist()
    ([0.0, 2.0], [0.5, 0.5])
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor,
        compressor: Any = None,
        *,
        feedback: bool = True,
        momentum: float = 0.0,
        momentum_at: str = "before",
        weight_decay: float = 0.0,
        weight_decay_at: str = "coupled",
        granularity: str = "tensor",
        form: str = "auto",
        seed: int = 0,
    ) -> None:
        self.granularity = _choice("granularity", granularity, GRANULARITIES)
        self.form = _choice("form", form, _forms.NAMES)
        self.algorithm: str | None = None  # the preset's name, where there is one
        self._run = _forms.Forms(form)
        defaults = {
            "lr": lr, "momentum": momentum, "momentum_at": momentum_at, "weight_decay": weight_decay,
            "weight_decay_at": weight_decay_at, "compressor": compressor, "feedback": feedback,
            "seed": integer("seed", seed, 0), "steps": 0,
        }  # fmt: skip
        _check_group(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its settings are checked, the missing ones are the optimizer's."""
        given = {**self.defaults, **param_group} if isinstance(param_group, dict) else self.defaults
        check_keys(given, self.defaults)
        _check_group(given)
        if isinstance(param_group, dict) and "compressor" in param_group:
            param_group["compressor"] = given["compressor"]
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if not p.is_floating_point():
                self.param_groups.pop()
                raise argument_error("params", "be real floating-point tensors", str(p.dtype))
        for name in ("compressor", "feedback") if self.granularity == "model" else ():  # p is in [x] with feedback, else in [g]
            if given[name] != self.param_groups[0][name]:
                self.param_groups.pop()
                raise argument_error(name, "be one for all groups when granularity is 'model'", given[name])

    @property
    def compressor(self) -> Any:
        """C of the first group."""
        return self.param_groups[0]["compressor"]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure`, if given, computes the gradients and returns the loss, which is returned.

        Raises NonFiniteError for a gradient that is not finite, ArgumentError for a sparse one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            _check_rate(group)  # a scheduler may have changed it
        units = self._units(create=True)
        self._run.step(units, lambda: [self._rng(unit[0].group) for unit in units])
        for group in self.param_groups:
            group["steps"] += 1
        return loss

    @torch.no_grad()
    def corrected_steps(self) -> list[tuple[Tensor, Tensor]]:
        """(parameter, p) for each parameter with a gradient, p = e + gamma m as the next step has it; changes nothing."""
        return [(slot.x, _step_of(slot)) for unit in self._units() for slot in unit]

    @torch.no_grad()
    def messages(self) -> list[tuple[Unit, list[Tensor], list[Tensor]]]:
        """For each compressed vector: its tensors' slots, p, and the Delta that the next step sends; changes nothing."""
        found = []
        for unit in self._units():
            ps = _general.corrected(unit)[1]
            deltas = _general.sent(unit, ps, self._rng(unit[0].group))
            scaled = [p if slot.e is not None else slot.steps() * p for slot, p in zip(unit, ps, strict=True)]
            found.append((unit, scaled, deltas))
        return found

    @torch.no_grad()
    def error_norm(self) -> float:
        """||e||_2 over all parameters; 0 without memory. The unit is that of x."""
        norms = [s["memory"].to(torch.float64).norm() for s in self.state.values() if "memory" in s]
        return math.hypot(*(float(n) for n in norms)) if norms else 0.0

    def message_bytes(self) -> int:
        """Bytes of one step's messages, one for each compressed vector, each padded to whole bytes by itself.

        Raises ArgumentError for a compressor that does not say how many bits it needs.
        """
        total = 0
        for group, size in self._sizes():
            bits = getattr(group["compressor"], "bits", None)
            if not callable(bits):
                raise argument_error("compressor", "have bits(d) to be counted", _compress.describe(group["compressor"]))
            total += -(-int(bits(size)) // 8) if size else 0
        return total

    def form_in_force(self) -> str:
        """What "auto" stands for here, or how the step is computed where `form` has no say."""
        return self._run.name([group["compressor"] for group in self.param_groups], self.param_groups[0]["params"])

    def counters(self) -> list[Tensor]:
        """Tensors on the device, besides the state, that steps write: for those who capture steps in a graph."""
        return self._run.counters()

    def skipped_steps(self) -> int:
        """How many steps on an accelerator met a gradient that was not finite; waits for the device."""
        return self._run.skipped()

    def __getstate__(self) -> dict[str, Any]:
        """For copy and pickle; what the forms keep between steps is made anew."""
        return {**super().__getstate__(), "granularity": self.granularity, "form": self.form, "algorithm": self.algorithm}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "form" in state:
            self._run = _forms.Forms(self.form)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with the compressors in words: torch.load reads it with its defaults."""
        found = super().state_dict()
        for group in found["param_groups"]:
            group["compressor"] = _compress.describe(group["compressor"])
            group["granularity"] = self.granularity
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what state_dict gave, bitwise; nothing of it is shared. The compressors must be the same.

        Raises ArgumentError, with nothing loaded, if it is no state of EFSGD, if compressor, feedback, granularity or the
        places of momentum and decay differ, or if a buffer has not its parameter's shape.
        """
        check_state(state_dict, self.defaults, self.param_groups)
        kept = [{name: group[name] for name in (*_KEPT, "lr")} for group in self.param_groups]
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=False):
            if saved.get("granularity", self.granularity) != self.granularity:
                raise argument_error("granularity", f"be {saved['granularity']}, as in the state", self.granularity)
            for name in _KEPT:
                mine = _compress.describe(group[name]) if name == "compressor" else group[name]
                if name in saved and saved[name] != mine:
                    raise argument_error(name, f"be {saved[name]}, as in the state", str(mine))
        super().load_state_dict(state_dict)
        for group, mine in zip(self.param_groups, kept, strict=True):
            lr = group["lr"]
            group.update(mine)
            group.pop("granularity", None)  # the optimizer's, not a group's
            group["lr"] = mine["lr"].copy_(lr) if isinstance(mine["lr"], Tensor) else lr
        places = [p for group in self.param_groups for p in group["params"]]
        numbers = [i for group in state_dict["param_groups"] for i in group["params"]]
        for i, p in zip(numbers, places, strict=True):  # torch casts the state to the parameter's dtype: undo that
            for name, value in state_dict["state"].get(i, {}).items():
                if isinstance(value, Tensor):
                    self.state[p][name] = value.detach().to(p.device, state_dtype(p), copy=True)

    def _units(self, create: bool = False) -> list[Unit]:
        """The tensors that have a gradient, by compressed vector; `create` makes the state that is missing."""
        index, groups = 0, list[list[Slot]]()
        for group in self.param_groups:
            slots = []
            names = group.get("param_names") or [""] * len(group["params"])
            for name, p in zip(names, group["params"], strict=True):
                if p.grad is not None:
                    slots.append(self._slot(index, name, p, group, create))
                index += 1
            groups.append(slots)
        if self.granularity == "tensor":
            return [[slot] for slots in groups for slot in slots]
        if self.granularity == "model":
            groups = [[slot for slots in groups for slot in slots]]
        return [slots for slots in groups if slots]

    def _slot(self, index: int, name: str, p: Tensor, group: dict[str, Any], create: bool) -> Slot:
        g = p.grad
        assert g is not None
        if g.layout is not torch.strided:
            raise argument_error("gradient", "be dense", f"{g.layout} of parameter {index}", "Pass sparse=False to the layer.")
        state: dict[str, Any] = self.state[p] if create else dict(self.state.get(p, {}))
        for key, wanted in (("memory", group["feedback"]), ("momentum_buffer", group["momentum"] != 0)):
            if wanted and key not in state:
                state[key] = torch.zeros_like(p, dtype=state_dtype(p), memory_format=torch.preserve_format)
        e = state["memory"] if group["feedback"] else None
        return Slot(index, name, p, g, e, state["momentum_buffer"] if group["momentum"] else None, group)

    def _rng(self, group: dict[str, Any]) -> np.random.Generator:
        place = next(i for i, other in enumerate(self.param_groups) if other is group)
        return np.random.default_rng((group["seed"], place, group["steps"]))

    def _sizes(self) -> Iterator[tuple[dict[str, Any], int]]:
        """(group, d) of each vector that is compressed when every parameter has a gradient."""
        sizes = [[p.numel() for p in group["params"] if p.requires_grad] for group in self.param_groups]
        if self.granularity == "model":
            yield self.param_groups[0], sum(map(sum, sizes))
            return
        for group, found in zip(self.param_groups, sizes, strict=True):
            for size in found if self.granularity == "tensor" else [sum(found)]:
                yield group, size


def _step_of(slot: Slot) -> Tensor:
    m = slot.update()
    return slot.steps() * m if slot.e is None else slot.corrected(m)


def _choice(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise argument_error(name, f"be one of {', '.join(map(repr, allowed))}", value)
    return value


def _check_rate(group: dict[str, Any]) -> None:
    """Raise ArgumentError for a step size that is no number >= 0, or that the parameters' dtypes cannot hold."""
    if isinstance(group["lr"], Tensor):
        return
    dtypes = {state_dtype(p) for p in group.get("params", ())}
    real("lr", group["lr"], 0, min((torch.finfo(dtype).max for dtype in dtypes), default=math.inf))


def _check_group(group: dict[str, Any]) -> None:
    """Raise ArgumentError for a setting that is out of range; the compressor becomes a callable."""
    lr = group["lr"]
    if isinstance(lr, Tensor):
        if lr.numel() != 1 or lr.dim() != 0 or not lr.is_floating_point():
            raise argument_error("lr", "be a number or a 0-d real tensor", f"a tensor of shape {tuple(lr.shape)}, {lr.dtype}")
        real("lr", float(lr), 0)
    else:
        group["lr"] = real("lr", lr, 0)
    group["momentum"] = real("momentum", group["momentum"], 0)
    if group["momentum"] >= 1:
        raise argument_error("momentum", "be in [0, 1)", group["momentum"])
    group["weight_decay"] = real("weight_decay", group["weight_decay"], 0)
    for name, allowed in PLACES.items():
        _choice(name, group[name], allowed)
    if not isinstance(group["feedback"], bool):
        raise argument_error("feedback", "be True or False", group["feedback"])
    group["compressor"] = _compress.checked(group["compressor"])


__all__ = ["EFSGD", "NonFiniteError"]
