"""Runs of anybody's torch optimizer with gradients that are given, and where it keeps its memory."""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.errors import MissingExtraError, argument_error

# names under which optimizers keep the memory of error feedback; the first that fits is taken
MEMORY_NAMES = (
    "e", "error", "errors", "memory", "residual", "residuals", "error_memory", "error_feedback", "error_buffer", "err",
)  # fmt: skip
MEMORY_PARTS = ("error", "memor", "resid", "err_")


def import_torch() -> ModuleType:
    """torch, or an error that names the extra."""
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError("torch is not installed: pip install 'efcheck[train]'") from None


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global generator at `seed` inside, as it was outside."""
    torch = import_torch()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class TorchRun:
    """One optimizer on parameters x0 of given shapes; x() and e() are flat float64 arrays, one for each parameter."""

    def __init__(self, lab: TorchLab, x0: Sequence[Array], gammas: Sequence[float], dtype: str = "float64") -> None:
        self.lab, self.torch = lab, import_torch()
        self.dtype = getattr(self.torch, dtype)
        self.params = [self.torch.nn.Parameter(self.tensor(x)) for x in x0]
        self.optimizer = lab.make(self.params, gammas)
        self.steps = 0
        self.error: Exception | None = None  # of the probe's steps

    def tensor(self, value: Any, dtype: Any = None) -> Any:
        """`value` as a new tensor with the strides of the array, in the run's dtype."""
        array = np.array(value, np.float64, order="C")
        made = self.torch.from_numpy(array).to(dtype or self.dtype)
        return made.t().contiguous().t() if np.isfortran(value) else made

    def step(self, grads: Sequence[Any]) -> None:
        for p, g in zip(self.params, grads, strict=True):
            p.grad = None if g is None else self.tensor(g).reshape(p.shape)
        if not demands_closure(self.optimizer):
            return self.advance()

        def closure() -> Any:
            for p, g in zip(self.params, grads, strict=True):
                p.grad = None if g is None else self.tensor(g).reshape(p.shape)
            return self.torch.zeros(())

        self.advance(closure)

    def advance(self, closure: Any = None) -> None:
        """A step with the gradients that are there; one that demands a closure gets one, which changes nothing."""
        self.steps += 1
        if closure is None and not demands_closure(self.optimizer):
            self.optimizer.step()
        else:
            self.optimizer.step(closure or (lambda: self.torch.zeros(())))

    def set_gamma(self, gamma: float) -> None:
        for group in self.optimizer.param_groups:
            set_number(group, "lr", gamma)

    def x(self) -> list[Array]:
        return [self.array(p) for p in self.params]

    def array(self, tensor: Any) -> Array:
        """A tensor as a flat float64 array."""
        return np.array(tensor.detach().to(self.torch.float64).reshape(-1).numpy())

    def e_tensors(self) -> list[Any] | None:
        """The memory's tensors, None for a parameter that has none yet; None if the optimizer shows no memory at all."""
        found = [self.lab.find(self.optimizer, p) for p in self.params]
        if all(tensor is None for tensor in found) and (self.lab.memory is None or self._begun()):
            return None
        return found

    def _begun(self) -> bool:
        """Whether a memory would be there by now: some state is, or, where a wrapper shows no state, a step was made."""
        state = getattr(self.optimizer, "state", None)
        return self.steps > 0 if state is None else any(state.values())

    def e(self) -> list[Array] | None:
        found = self.e_tensors()
        if found is None:
            return [np.zeros(p.numel()) for p in self.params] if self.lab.zero else None
        sign = self.lab.sign
        return [np.zeros(p.numel()) if t is None else sign * self.array(t) for p, t in zip(self.params, found, strict=True)]

    def disturb_memory(self, by: Sequence[Array]) -> bool:
        """Add to the memory in place; False if that is not possible or does not show."""
        found = self.e_tensors() or []
        if not found or any(tensor is None for tensor in found):
            return False
        before = self.e()
        with self.torch.no_grad():
            for tensor, part in zip(found, by, strict=True):
                tensor.add_(self.torch.tensor(np.ravel(part).tolist(), dtype=tensor.dtype).reshape(tensor.shape))
        return any((a != b).any() for a, b in zip(before or [], self.e() or [], strict=True))

    def numbers(self, tensor: int) -> dict[str, Any]:
        """What a Trace must know of a tensor's settings, and the precision of parameter and memory."""
        group = next(g for g in self.optimizer.param_groups if any(p is self.params[tensor] for p in g["params"]))
        kinds = [self.dtype, *(t.dtype for t in (self.e_tensors() or []) if t is not None)]
        return {
            "beta": self.lab.number(group, "momentum"),
            "dampening": float(group.get("dampening", 0.0) or 0.0),
            "nesterov": bool(group.get("nesterov", False)),
            "decay": self.lab.number(group, "weight_decay"),
            "eps": max(float(self.torch.finfo(kind).eps) for kind in kinds),
        }


@dataclass(frozen=True)
class TorchLab:
    """Fresh runs of one optimizer: how to make it, where it keeps its memory, and how to write a run down.

    memory: a key of the state, a callable (optimizer, parameter) -> tensor or None, or None where there is none to see.
    """

    factory: Callable[..., Any]
    name: str
    gamma: float
    memory: Any = None
    fixed: Mapping[str, float] | None = None  # numbers that the optimizer does not keep in its groups
    zero: bool = False  # everything is sent: the memory is 0
    sign: int = 1  # -1 for an optimizer that keeps -e

    def make(self, params: Sequence[Any], gammas: Sequence[float]) -> Any:
        """The optimizer over `params`; more than one distinct gamma makes one group for each parameter."""
        if len(set(gammas)) > 1:
            given: Any = [{"params": [p], "lr": gamma} for p, gamma in zip(params, gammas, strict=True)]
        else:
            given = list(params)
        optimizer = build(self.factory, given, self.gamma)
        if len(set(gammas)) == 1:
            for group in optimizer.param_groups:
                set_number(group, "lr", gammas[0])
        return optimizer

    def start(
        self,
        x0: Sequence[Array],
        gammas: Sequence[float],
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
        dtype: str = "float64",
    ) -> TorchRun:
        """A new run, with torch's generator at `seed`. Settings go to every group that has them; a tuple has one for each."""
        import_torch().manual_seed(seed)
        run = TorchRun(self, x0, gammas, dtype)
        for i, group in enumerate(run.optimizer.param_groups):
            for name, value in (settings or {}).items():
                if name in group:
                    set_number(group, name, value[i] if isinstance(value, tuple) else value)
        return run

    def has(self, setting: str) -> bool:
        """Whether the groups hold the setting."""
        return setting in self._group()

    def value(self, setting: str) -> float:
        """The setting's value as the factory gives it."""
        return self.number(self._group(), setting)

    def number(self, group: Mapping[str, Any], setting: str) -> float:
        """The setting in force."""
        return float((self.fixed or {}).get(setting, group.get(setting, 0.0)) or 0.0)

    def _group(self) -> Mapping[str, Any]:
        made: Mapping[str, Any] = self._made().param_groups[0]
        return made

    def numbers_named(self) -> list[str]:
        """The names of the groups' numbers that are not 0."""
        group = self._group()
        return [name for name, v in group.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and v]

    def _made(self) -> Any:
        torch = import_torch()
        return build(self.factory, [torch.nn.Parameter(torch.zeros(2))], self.gamma)

    def find(self, optimizer: Any, p: Any) -> Any:
        """The memory of parameter p, None if it has none yet."""
        if self.memory is None:
            return None
        if callable(self.memory):
            return self.memory(optimizer, p)
        return _state(optimizer, p).get(self.memory)

    def script(self, x0: Array, gs: Array, gammas: Array, settings: Mapping[str, float]) -> str:
        """Python that repeats a run of one tensor and prints both sides of the identity; blocks end as a prompt needs it."""
        head, make = written(self.factory, "make")
        rows = list(zip(gammas.tolist(), gs.tolist(), strict=True))
        minus = "-" if self.sign < 0 else ""
        shown = "e = " + (f"{minus}optimizer.state[x].get({self.memory!r}, 0)" if isinstance(self.memory, str) else "0")
        if callable(self.memory):
            memory_head, memory = written(self.memory, "memory")
            head, shown = head + [line for line in memory_head if line not in head], f"e = {minus}{memory}(optimizer, x)"
        set_all = [f"    group[{name!r}] = {value!r}" for name, value in settings.items() if self.has(name)]
        loop = ["for group in optimizer.param_groups:", *set_all, ""] if set_all else []
        closure = "lambda: torch.zeros(())" if demands_closure(self._made()) else ""
        return "\n".join([
            "import torch", *head, "torch.set_printoptions(precision=12)",
            f"x0 = torch.tensor({x0.tolist()}, dtype=torch.float64)", "x = torch.nn.Parameter(x0.clone())",
            f"optimizer = {call_text(self.factory, make, self.gamma)}", *loop, "total = 0",
            f"for gamma, g in {rows}:", "    optimizer.param_groups[0]['lr'] = gamma",
            "    x.grad, before = torch.tensor(g, dtype=torch.float64), x.data.clone()", f"    optimizer.step({closure})",
            "    total = total + gamma * torch.tensor(g, dtype=torch.float64)", "", shown,
            "last, both = before - x.data, x0 - x.data + e", 'print("the last step sent:", last)',
            'print("sent + memory:", both)', 'print("sum of gamma g:", total)',
        ])  # fmt: skip


def build(factory: Callable[..., Any], given: Any, gamma: float) -> Any:
    """factory(given), with lr=gamma where an optimizer's class demands one; an ArgumentError if it is no optimizer."""
    optimizer = factory(given, lr=gamma) if needs_lr(factory) else factory(given)
    if not (hasattr(optimizer, "param_groups") and callable(getattr(optimizer, "step", None))):
        raise argument_error("subject", "be a factory params -> torch optimizer", f"one that made {type(optimizer).__name__}")
    return optimizer


def demands_closure(optimizer: Any) -> bool:
    """Whether `step` has an argument `closure` that must be given."""
    try:
        closure = inspect.signature(optimizer.step).parameters.get("closure")
    except (TypeError, ValueError):
        return False
    return closure is not None and closure.default is closure.empty and closure.kind is not closure.VAR_POSITIONAL


def needs_lr(factory: Callable[..., Any]) -> bool:
    """Whether `lr` is an argument of a class or function that must be given, or of a class that has a default."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return False
    lr = parameters.get("lr")
    return lr is not None and lr.default is lr.empty


def call_text(factory: Callable[..., Any], name: str, gamma: float) -> str:
    return f"{name}([x], lr={gamma})" if needs_lr(factory) else f"{name}([x])"


def set_number(group: dict[str, Any], name: str, value: float) -> None:
    """group[name] = value, inside the tensor where the group keeps one."""
    if hasattr(group.get(name), "fill_"):
        group[name].fill_(value)
    else:
        group[name] = value


def find_memory(optimizer: Any, params: Sequence[Any]) -> tuple[str | None, list[str]]:
    """The state's key that is named like a memory and has the parameter's shape, and all keys of that shape."""
    keys: list[str] = []
    for p in params:
        for key, value in _state(optimizer, p).items():
            if getattr(value, "shape", None) == p.shape and isinstance(key, str) and key not in keys:
                keys.append(key)
    named = [name for name in MEMORY_NAMES if name in keys]
    named += [key for key in keys if any(part in key.lower() for part in MEMORY_PARTS)]
    return (named[0] if named else None), keys


def state_keys(run: TorchRun) -> list[str]:
    """The names in the state of the run's parameters."""
    return list(dict.fromkeys(key for p in run.params for key in _state(run.optimizer, p) if isinstance(key, str)))


def _state(optimizer: Any, p: Any) -> Mapping[Any, Any]:
    """The state of parameter p, empty where a wrapper of an optimizer shows none."""
    found: Mapping[Any, Any] = getattr(optimizer, "state", {}).get(p, {})
    return found


def written(value: Any, kind: str) -> tuple[list[str], str]:
    """(import lines, name) of a class or function; a line to fill in, and `kind`, where it cannot be imported."""
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    try:
        pickle.dumps(value)
        importable = isinstance(name, str) and "." not in name and module not in (None, "__main__", "builtins")
    except Exception:
        importable = False
    if importable:
        return [f"from {module} import {name}"], str(name)
    label = str(name or type(value).__name__)
    return [f"{kind} = ...  # put here what was checked: {module}.{label}"], kind
