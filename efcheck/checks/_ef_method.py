"""Runs of a method of efcheck.methods with gradients that are given, stepped as the simulator steps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.methods import Method


class MethodRun:
    """One run of a method on one vector for each tensor; the tensors are rows of their own buffers."""

    def __init__(self, method: Method, x0: Sequence[Array], gammas: Sequence[float], seed: int) -> None:
        self.method, self.gammas = method, list(gammas)
        self.xs = [np.array(x, np.float64).reshape(1, -1) for x in x0]
        self.states = [method.buffers(partial(np.zeros_like, x)) for x in self.xs]
        self.rng = np.random.default_rng(seed)

    def step(self, grads: Sequence[Array | None]) -> None:
        """x and e after one step; a tensor without gradient rests."""
        for x, g, gamma, state in zip(self.xs, grads, self.gammas, self.states, strict=True):
            if g is None:
                continue
            delta = np.empty_like(x)
            u = np.array(g, np.float64).reshape(1, -1)
            if not self.method.linear:
                u = np.multiply(u, gamma, out=state["u"])
            p = self.method.propose(u, state)
            self.method.direction(p, state, self._compress, delta)
            if self.method.linear:
                delta *= gamma
            x -= delta
            self.method.remember(p, delta, state)

    def set_gamma(self, gamma: float) -> None:
        self.gammas = [gamma] * len(self.gammas)

    def x(self) -> list[Array]:
        return [x[0].copy() for x in self.xs]

    def e(self) -> list[Array]:
        """The memory; zeros for a method that has none, which is right if and only if it sends all of gamma g."""
        return [
            state["e"][0].copy() if "e" in state else np.zeros(x.size) for x, state in zip(self.xs, self.states, strict=True)
        ]

    def disturb_memory(self, by: Sequence[Array]) -> bool:
        """Add to the memory; False if there is none."""
        for state, part in zip(self.states, by, strict=True):
            if "e" in state:
                state["e"] += np.ravel(part)
        return any("e" in state for state in self.states)

    def numbers(self, tensor: int) -> dict[str, Any]:
        """What a Trace must know of the tensor's settings."""
        return {"beta": float(getattr(self.method, "beta", 0.0))}

    def _compress(self, v: Array, out: Array) -> None:
        out[...] = self.method.compressor(v, self.rng)


@dataclass(frozen=True)
class MethodLab:
    """Fresh runs of one method, and how to write one down."""

    method: Method
    name: str

    def start(
        self, x0: Sequence[Array], gammas: Sequence[float], seed: int = 0, settings: Mapping[str, float] | None = None
    ) -> MethodRun:
        return MethodRun(self.method, x0, gammas, seed)

    def has(self, setting: str) -> bool:
        """Whether a setting can be changed after the method was made."""
        return False

    def value(self, setting: str) -> float:
        """The setting's value as the method was made."""
        return float(getattr(self.method, "beta", 0.0)) if setting == "momentum" else 0.0

    def script(self, x0: Array, gs: Array, gammas: Array, settings: Mapping[str, float]) -> str:
        """Python that repeats a run of one tensor and prints both sides of the identity."""
        lines = [
            "import numpy as np",
            "from efcheck.checks._ef_method import MethodRun",
            *_imports(self.method),
            f"method = {source(self.method)}",
            f"x0 = np.array({x0.tolist()})",
            "run = MethodRun(method, [x0], [1.0], seed=0)",
            "total = 0",
            f"for gamma, g in {list(zip(gammas.tolist(), gs.tolist(), strict=True))}:",
            "    before = run.x()[0]",
            "    run.set_gamma(gamma)",
            "    run.step([np.array(g)])",
            "    total = total + gamma * np.array(g)",
            "",  # ends the block where this is pasted into a prompt
            "last, both, e = before - run.x()[0], x0 - run.x()[0] + run.e()[0], run.e()[0]",
            'print("the last step sent:", last)',
            'print("sent + memory:", both)',
            'print("sum of gamma g:", total)',
        ]
        return "\n".join(lines)


def source(value: Any) -> str:
    """Python that makes `value`, for methods and compressors of efcheck; the repr of anything else."""
    if not is_dataclass(value):
        return "0.125" if callable(value) and not hasattr(value, "delta") else repr(value)
    inner = ", ".join(f"{field.name}={source(getattr(value, field.name))}" for field in fields(value) if field.init)
    return f"{type(value).__name__}({inner})"


def _imports(method: Method) -> list[str]:
    compressor = getattr(method, "compressor", None)
    lines = [f"from {type(method).__module__} import {type(method).__name__}"]
    while compressor is not None:
        module = getattr(type(compressor), "__module__", "")
        lines.append(f"from {module} import {type(compressor).__name__}")
        compressor = getattr(compressor, "inner", None)
    return lines


class Overflowing:
    """A problem whose gradient is not finite at one step; x does not matter."""

    def __init__(self, bad: float, at: int, d: int) -> None:
        self.bad, self.at, self.d, self.t = bad, at, d, -1

    def gradient(self, x: Array, rng: np.random.Generator) -> Array:
        """(t + 1) (1, -2, 3, ...), and `bad` in its first entry at the step `at`."""
        self.t += 1
        g = (1.0 + self.t) * np.where(np.arange(self.d) % 2, -1.0, 1.0) * (1 + np.arange(self.d))
        if self.t == self.at:
            g[0] = self.bad
        return np.broadcast_to(g, x.shape).astype(x.dtype)
