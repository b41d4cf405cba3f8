"""Small problems with numbers of few digits, the recording of a run on them, and the compressor a run is compared with."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from efcheck.arrays import Array
from efcheck.checks._ef_trace import Trace
from efcheck.checks.report import calling

Shape = tuple[int, ...]
PLAIN = {"momentum": 0.0, "weight_decay": 0.0}  # what can be switched off is, except where it is the point
SMALL: tuple[Shape, ...] = ((1,), (2,), (3,))


class Message:
    """A compressor as a function on flat float64 vectors, whether it is written for NumPy or for torch.

    random: whether it draws; then runs are not compared with it.
    """

    def __init__(self, compressor: Callable[..., Any]) -> None:
        self.compressor = compressor
        try:
            parameters = inspect.signature(compressor).parameters.values()
            self.takes_rng = any(p.name == "rng" or p.kind is p.VAR_KEYWORD for p in parameters)
        except (TypeError, ValueError):
            self.takes_rng = False
        declared = getattr(compressor, "stochastic", None)
        self.declared_random = declared if isinstance(declared, bool) else None

    def __call__(self, p: Array, seed: int = 0) -> Array:
        """C(p), flat."""
        rng = {"rng": np.random.default_rng(seed)} if self.takes_rng else {}
        try:
            out = self.compressor(np.array(p, np.float64), **rng)
        except (AttributeError, TypeError, RuntimeError):
            if "torch" not in sys.modules:
                raise
            torch = sys.modules["torch"]
            out = self.compressor(torch.tensor(p.tolist(), dtype=torch.float64), **rng)
        out = out.tolist() if hasattr(out, "detach") else out
        return np.asarray(out, np.float64).reshape(-1)

    def random(self, p: Array) -> bool:
        """Whether it gives different answers on p."""
        if self.declared_random is not None:
            return self.declared_random
        return any((self(p, seed) != self(p, 0)).any() for seed in range(1, 4))


@dataclass(frozen=True)
class Problem:
    """x_0 and g_0..g_{T-1} for each tensor."""

    x0: list[Array]
    gs: list[list[Array]]

    @property
    def T(self) -> int:
        return len(self.gs)


@dataclass(frozen=True)
class Context:
    """What every check knows: the lab, what was declared, and the compressor if there is one."""

    lab: Any
    gamma: float
    seed: int
    message: Message | None = None
    momentum: str | None = "any"
    decay: str | None = "any"
    unit: str = "x"
    whole: bool = False  # the compressor acts on all tensors at once
    shapes: tuple[Shape, ...] = ((), (1,), (3,), (2, 3), (4, 1), (2, 1, 2, 2), (0,))
    base: tuple[Shape, ...] = ((5,),)
    pair: tuple[Shape, ...] = ((3,), (2, 2))
    free: bool = True  # any shape will do
    T: int = 6
    reported: Any = None  # callable optimizer -> the norm that it reports


def problem(shapes: Sequence[Shape], T: int, seed: int) -> Problem:
    """Multiples of 1/16 with distinct sizes within a tensor and no zeros, so that no compressor stands at a tie."""
    rng = np.random.default_rng(seed)

    def drawn(shape: Shape) -> Array:
        d = int(np.prod(shape))
        sizes = rng.choice(np.arange(5, max(64, 2 * d + 5)), size=d, replace=False) / 16
        out: Array = (sizes * rng.choice([-1.0, 1.0], size=d)).reshape(shape)
        return out

    x0 = [drawn(shape) for shape in shapes]
    return Problem(x0, [[drawn(shape) for shape in shapes] for _ in range(T)])


def record(
    context: Context,
    case: Problem,
    gammas: Sequence[float] | float | None = None,
    settings: Mapping[str, Any] = PLAIN,
    rates: Sequence[float] | None = None,
) -> list[Trace]:
    """The traces of all tensors. gammas: of each step; rates: of each tensor, constant."""
    steps = np.broadcast_to(np.asarray(context.gamma if gammas is None else gammas, np.float64), (case.T,))
    first = list(rates) if rates is not None else [float(steps[0])] * len(case.x0)
    run = context.lab.start(case.x0, first, context.seed, settings)
    xs, es = [run.x()], [run.e()]
    for gamma, grads in zip(steps, case.gs, strict=True):
        if rates is None:
            run.set_gamma(float(gamma))
        with calling("finite gradients", _script(context, case, steps, settings)):
            run.step(grads)
        xs.append(run.x())
        es.append(run.e())
    traces = []
    for i in range(len(case.x0)):
        x = np.stack([x[i] for x in xs])
        known = [e[i] for e in es if e is not None]
        e = np.stack([np.zeros_like(x[0])] * (len(es) - len(known)) + known) if known else None
        g = np.stack([np.ravel(grads[i]) for grads in case.gs])
        gamma = steps if rates is None else np.full(case.T, rates[i])
        traces.append(Trace(x, e, g, np.asarray(gamma, np.float64), **run.numbers(i)))
    return traces


def _script(context: Context, case: Problem, gammas: Array, settings: Mapping[str, Any], upto: int | None = None) -> str:
    """Python for a problem of one tensor."""
    if len(case.x0) != 1:
        return ""
    gs = np.stack([grads[0] for grads in case.gs])[:upto]
    return str(context.lab.script(case.x0[0], gs, np.asarray(gammas)[:upto], settings))


def script(
    context: Context,
    case: Problem,
    claim: str,
    gammas: Any = None,
    settings: Mapping[str, Any] = PLAIN,
    T: int | None = None,
) -> str:
    """Python that repeats the first T steps of a problem of one tensor and asserts the claim, on both, total, last and e."""
    steps = np.broadcast_to(np.asarray(context.gamma if gammas is None else gammas, np.float64), (case.T,))
    text = _script(context, case, steps, settings, T)
    return f"{text}\n{claim}" if text else ""
