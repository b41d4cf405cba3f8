"""What EFSGD asks of a saved state and of a group, before anything of it is taken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from efcheck.errors import argument_error

# what a group may have besides the optimizer's own settings: torch's words, and what its schedulers leave there
_TORCHS = (
    "params", "param_names", "differentiable", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum", "swa_lr",
)  # fmt: skip
_BUFFERS = ("memory", "momentum_buffer")


def check_keys(group: Mapping[str, Any], own: Iterable[str]) -> None:
    """Raise ArgumentError for a setting of a group that the optimizer has not, as a misspelt one."""
    settings = [name for name in own if name not in ("steps", *_TORCHS)]
    for key in group:
        if key not in (*settings, "steps", *_TORCHS):
            raise argument_error("params", f"be groups with settings of {', '.join(settings)}", f"the key {key!r}")


def check_state(state: Any, own: Iterable[str], groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise ArgumentError for what is no state of EFSGD, or has a buffer of another shape than its parameter.

    The numbers of groups and of parameters are torch's to compare.
    """
    known = isinstance(state, Mapping) and {"state", "param_groups"} <= state.keys()
    if not known:
        raise argument_error("state_dict", "be a state of EFSGD", f"a {type(state).__name__} without state and param_groups")
    for i, group in enumerate(state["param_groups"]):
        missing = [name for name in own if name not in group and name not in _TORCHS]
        if missing:
            raise argument_error("state_dict", "be a state of EFSGD", f"one whose group {i} has no {', '.join(missing)}")
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    places = [p for group in groups for p in group["params"]]
    for place, (number, p) in enumerate(zip(numbers, places, strict=False)):
        for name in _BUFFERS:
            buffer, wanted = state["state"].get(number, {}).get(name, p), tuple(p.shape)
            if not isinstance(buffer, Tensor) or buffer.shape != p.shape:
                got = tuple(buffer.shape) if isinstance(buffer, Tensor) else type(buffer).__name__
                raise argument_error("state_dict", f"have a {name} of shape {wanted} for parameter {place}", f"{got}")
