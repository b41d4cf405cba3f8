r"""The methods of the paper and their neighbours, as steps on (rows, d) buffers.

    SGD            m = g + beta m;  x <- x - gamma m
    SignSGD        m = g + beta m;  x <- x - gamma sign(m),  or gamma (||m||_1/d) sign(m) when scaled
    EFSGD          p = gamma g + e;  x <- x - C(p);  e <- p - C(p)          Algorithms 1 and 2; e in the unit of x
    CompressedSGD  x <- x - gamma C(g)                                      no feedback
    EF21           h <- h + C(g - h);  x <- x - gamma h                     h starts at C(g_0); unit of g

A step has two halves, so that the engine can look at the vector that is sent before anything is written:
`propose` gives the vector p that is compressed or signed, `direction` (times gamma, for all but EFSGD) the update.

Sources: Karimireddy et al. 2019 (Algorithms 1, 2; Sections 1, 2, 6.1); Richtarik, Sokolov, Fatkhullin 2021 (EF21).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np

from efcheck.arrays import Array, sign_convention, signed
from efcheck.errors import argument_error, real

State: TypeAlias = dict[str, Array]
Compress: TypeAlias = Callable[[Array, Array], None]  # compress(v, out): out = C(v), row by row
StepSize: TypeAlias = Any  # number, (runs,) array, t -> ..., (t, x, g) -> ..., or BestStep


class LineSearchable(Protocol):
    """What BestStep needs of a problem."""

    def line_search(self, x: Array, direction: Array) -> Array:
        """argmin over gamma >= 0 of f(project(x - gamma direction)) for each row."""
        ...


@dataclass(frozen=True)
class BestStep:
    """The best possible step at every iteration: exact line search of f along the update.

        gamma_t = argmin_{gamma >= 0} f(project(x_t - gamma direction_t))

    It knows f itself, which no algorithm does: a method that fails with it fails with every step-size rule of that kind.

    Parameters
    ----------
    problem
        One with `line_search`; the same problem that is simulated.
    """

    problem: LineSearchable

    def __post_init__(self) -> None:
        if isinstance(self.problem, type) or not hasattr(self.problem, "line_search"):
            raise argument_error("problem", "have line_search(x, direction)", type(self.problem).__name__)


class Method:
    """Base of the methods: the step size, and what a simulation must know of them."""

    gamma: StepSize
    compressor: Any = None
    linear: ClassVar[bool] = True  # the update is gamma times a direction that does not depend on gamma
    negative_zeros: ClassVar[bool] = True  # whether an entry of what `propose` gives may be -0.0

    def _check_gamma(self) -> None:
        gamma = self.gamma
        if isinstance(gamma, BestStep):
            if not self.linear:
                raise argument_error(
                    "gamma", f"be a number, array or rule for {type(self).__name__}", "BestStep",
                    "Its memory depends on gamma, so there is no line to search.",
                )  # fmt: skip
        elif callable(gamma):
            is_adaptive(gamma)
        else:
            checked_steps(gamma)

    def buffers(self, zeros: Callable[[], Array]) -> State:
        """The method's own memory at t = 0; zeros() is a new (rows, d) array. A method that is not linear has "u"."""
        return {}

    def propose(self, u: Array, state: State) -> Array:
        """The vector that is signed or compressed, from u = g, or u = state["u"] = gamma g of a method that is not linear.

        It may be u itself or a buffer of the state; a linear method leaves u as it is.
        """
        return u

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        """Write the update (divided by gamma if linear) into out."""
        raise NotImplementedError

    def remember(self, p: Array, delta: Array, state: State) -> None:
        """Update the memory after Delta was sent; p may be overwritten."""


class _Momentum(Method):
    beta: float

    def _check_beta(self) -> None:
        if not 0 <= real("beta", self.beta) < 1:
            raise argument_error("beta", "be in [0, 1)", self.beta)

    def buffers(self, zeros: Callable[[], Array]) -> State:
        return {"m": zeros()} if self.beta else {}

    def propose(self, u: Array, state: State) -> Array:
        if not self.beta:
            return u
        m = state["m"]
        m *= m.dtype.type(self.beta)
        m += u
        return m


@dataclass(frozen=True, eq=False)
class SGD(_Momentum):
    """x_{t+1} = project(x_t - gamma m_{t+1}), m_{t+1} = g_t + beta m_t.

    Parameters
    ----------
    gamma : number, (runs,) array, callable t -> ..., callable (t, x, g) -> ..., or BestStep
        Step size >= 0. An adaptive rule is called with some rows of x and g at a time, (rows, d), and gives a number or
        one step for each row: like the compressors it must treat every row by itself.
    beta : float in [0, 1)
        Momentum; 0 is plain SGD.
    """

    gamma: StepSize
    beta: float = 0.0

    def __post_init__(self) -> None:
        self._check_gamma()
        self._check_beta()

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        np.copyto(out, p)


@dataclass(frozen=True, eq=False)
class SignSGD(_Momentum):
    """x_{t+1} = project(x_t - gamma sign(m_{t+1})), times ||m||_1/d when `scaled` (Sections 1, 2 and 6.1).

    Parameters
    ----------
    gamma, beta
        As in SGD; gamma has the unit of x, and that of SGD when scaled.
    scaled : bool
        The scaled signSGD of Section 6.1.
    zero : {-1, 0, 1}
        sign(0) in the update.
    """

    gamma: StepSize
    beta: float = 0.0
    scaled: bool = False
    zero: int = 0

    def __post_init__(self) -> None:
        self._check_gamma()
        self._check_beta()
        sign_convention(self.zero)

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        if self.scaled:
            np.abs(p, out=out)
            scale: Any = out.mean(axis=-1, keepdims=True)
        else:
            scale = p.dtype.type(1)
        signed(p, scale, self.zero, out)


@dataclass(frozen=True, eq=False)
class EFSGD(Method):
    """Algorithm 2 (Algorithm 1 with ScaledSign): p = gamma g + e; x <- x - C(p); e <- p - C(p).

    Parameters
    ----------
    gamma : number, (runs,) array, callable t -> ..., or callable (t, x, g) -> ...
        Step size >= 0; it is inside the memory, so e has the unit of x.
    compressor : callable (v, rng=None) -> v
        Any of efcheck.compressors, or your own.
    """

    gamma: StepSize
    compressor: Any
    linear: ClassVar[bool] = False
    # a + b and a - b round to -0.0 only from a = -0.0: e_0 = +0.0, so p = gamma g + e never is, so e = p - C(p) never is
    negative_zeros: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_compressor(self.compressor)
        self._check_gamma()

    def buffers(self, zeros: Callable[[], Array]) -> State:
        return {"e": zeros(), "u": zeros()}

    def propose(self, u: Array, state: State) -> Array:
        u += state["e"]
        return u

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        compress(p, out)

    def remember(self, p: Array, delta: Array, state: State) -> None:
        p -= delta  # in place, the fastest way; then the two buffers change their names
        state["e"], state["u"] = p, state["e"]


@dataclass(frozen=True, eq=False)
class CompressedSGD(Method):
    """x_{t+1} = project(x_t - gamma C(g_t)): compression without feedback. Parameters as in EFSGD, and BestStep."""

    gamma: StepSize
    compressor: Any

    def __post_init__(self) -> None:
        _check_compressor(self.compressor)
        self._check_gamma()

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        compress(p, out)


@dataclass(frozen=True, eq=False)
class EF21(Method):
    """h_t = h_{t-1} + C(g_t - h_{t-1}), h_{-1} = 0, so h_0 = C(g_0); x_{t+1} = project(x_t - gamma h_t).

    Parameters as in EFSGD, and BestStep. h estimates the gradient and has its unit; there is no memory in the unit of x.
    """

    gamma: StepSize
    compressor: Any

    def __post_init__(self) -> None:
        _check_compressor(self.compressor)
        self._check_gamma()

    def buffers(self, zeros: Callable[[], Array]) -> State:
        return {"h": zeros(), "p": zeros()}

    def propose(self, u: Array, state: State) -> Array:
        return np.subtract(u, state["h"], out=state["p"])

    def direction(self, p: Array, state: State, compress: Compress, out: Array) -> None:
        compress(p, out)
        state["h"] += out
        np.copyto(out, state["h"])


def checked_steps(value: Any, where: str = "gamma") -> Array:
    """`value` as a float array, 0-d or (runs,), of finite steps >= 0; else an ArgumentError that names the first bad one."""
    try:
        steps = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        steps = np.asarray(math.nan)
    if steps.ndim > 1:
        raise argument_error(where, "be a number or an array (runs,)", f"shape {steps.shape}")
    bad = ~(np.isfinite(steps) & (steps >= 0))
    if isinstance(value, bool) or bad.any():
        if steps.ndim == 0:
            raise argument_error(where, "be finite and >= 0", value)
        index = int(np.argmax(bad))
        raise argument_error(where, "be finite and >= 0", f"{steps[index]} at index {index}")
    return steps


def is_adaptive(rule: Callable[..., Any]) -> bool:
    """True for a rule (t, x, g) -> step, False for a schedule t -> step, by the arguments that it requires."""
    try:
        parameters = inspect.signature(rule).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = sum(p.default is p.empty for p in positional)
    takes_one = bool(positional) or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if required == 3 or (required < 2 and takes_one):
        return required == 3
    raise argument_error("gamma", "be a rule t -> step or (t, x, g) -> step", f"one with {required} required arguments")


def sees_gradient(gamma: StepSize) -> bool:
    """Whether the step size is computed from x and g: a rule (t, x, g) -> step, or BestStep."""
    return isinstance(gamma, BestStep) or (callable(gamma) and is_adaptive(gamma))


def _check_compressor(compressor: Any) -> None:
    if isinstance(compressor, type) or not callable(compressor):
        raise argument_error("compressor", "be a callable (v, rng=None) -> v", compressor, "For example ScaledSign().")
