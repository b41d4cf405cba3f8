r"""What a run of error feedback must satisfy, whatever it compresses with: Algorithm 2 read off its iterates.

    u_t = g_t, plus what momentum and coupled weight decay make of it        the update that is to be sent
    Delta_t = x_t - x_{t+1}, less what decoupled decay and momentum after the compressor add      what was sent
    e_{t+1} + Delta_t = e_t + gamma_t u_t                                                         lines 5 to 8
    sum_{s<t} Delta_s + e_t = sum_{s<t} gamma_s u_s                                               telescoped

Nothing here needs to know the compressor. A memory in the unit of g obeys the same lines with Delta_t / gamma_t and gamma
left out; the two agree while gamma is constant (then e is gamma times the other) and part when it changes, but for one that
is multiplied by gamma_{t-1} / gamma_t whenever gamma changes: then gamma_t e_t is the memory of Algorithm 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from efcheck.arrays import Array

MOMENTA = (None, "before", "after")
DECAYS = (None, "coupled", "decoupled")
UNITS = ("x", "g")


@dataclass(frozen=True)
class Reading:
    """One way to read a method: where momentum and weight decay act, and the unit of the memory."""

    momentum: str | None = None
    decay: str | None = None
    unit: str = "x"
    dampened: bool = False  # momentum as an average, m = beta m + (1 - beta) g
    fixed: bool = False  # weight decay by lambda, whatever gamma
    late: bool = False  # decoupled decay after the step, (1 - gamma lambda)(x - Delta)

    def __str__(self) -> str:
        words = ["memory in the unit of " + {"x": "x"}.get(self.unit, "the gradient")]
        words += ["rescaled when gamma changes"] if self.unit == "rescaled" else []
        words += [f"momentum {self.momentum} the compressor"] if self.momentum else []
        words += [f"{self.decay} weight decay"] if self.decay else []
        return ", ".join(words)


@dataclass(frozen=True)
class Trace:
    """One tensor's run, flattened, in float64: x_0..x_T, e_0..e_T (None if unknown), g_0..g_{T-1}, gamma_0..gamma_{T-1}.

    beta, dampening, nesterov and decay (lambda) are the numbers in force; eps is the precision of x and of the memory.
    """

    x: Array
    e: Array | None
    g: Array
    gamma: Array
    beta: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    decay: float = 0.0
    eps: float = float(np.finfo(np.float64).eps)

    def until(self, T: int) -> Trace:
        """Its first T steps."""
        e = None if self.e is None else self.e[: T + 1]
        return replace(self, x=self.x[: T + 1], e=e, g=self.g[:T], gamma=self.gamma[:T])


def updates(trace: Trace, reading: Reading) -> Array:
    """u_t, (T, d), unit of g."""
    u = trace.g.copy()
    if reading.decay == "coupled":
        u += (trace.decay / trace.gamma[:, None] if reading.fixed else trace.decay) * trace.x[:-1]
    if reading.momentum != "before":
        return u
    m = np.zeros(u.shape[1:])
    dampening = trace.beta if reading.dampened else trace.dampening
    for t, g in enumerate(u.copy()):
        # torch's SGD takes the first gradient whole; an average does not
        m = trace.beta * m + (1 - dampening) * g if t or reading.dampened else g
        u[t] = g + trace.beta * m if trace.nesterov else m
    return u


def sent(trace: Trace, reading: Reading) -> Array:
    """Delta_t, (T, d), unit of x."""
    moved = trace.x[:-1] - trace.x[1:]
    if reading.decay == "decoupled" and reading.late:
        moved = trace.x[:-1] - trace.x[1:] / (1 - _shrink(trace, reading))
    elif reading.decay == "decoupled":
        moved = moved - _shrink(trace, reading) * trace.x[:-1]
    if reading.momentum != "after":
        return moved
    # v_t = beta v_{t-1} + share Delta_t, and x moves by v_t, or by share Delta_t + beta v_t with Nesterov's
    share = 1 - trace.beta if reading.dampened else 1.0
    delta, v = np.empty_like(moved), np.zeros(moved.shape[1:])
    for t, step in enumerate(moved):
        part = (step - trace.beta**2 * v) / (1 + trace.beta) if trace.nesterov else step - trace.beta * v
        v = trace.beta * v + part
        delta[t] = part / share
    return delta


def residual(trace: Trace, reading: Reading) -> Array:
    """sum Delta + e_t - sum gamma u, (T, d), for t = 1..T; in the unit of x, or of g when the memory has it."""
    assert trace.e is not None
    delta, u = _in_unit(trace, reading)
    e = _memory(trace, reading)
    out: Array = np.cumsum(delta, axis=0) + (e[1:] - e[0]) - np.cumsum(u, axis=0)
    return out


def tolerance(trace: Trace, reading: Reading) -> float:
    """Rounding of T sums of the numbers in the identity: 16 (T + 1) eps times the largest of them."""
    _, u = _in_unit(trace, reading)
    sizes = [np.abs(np.cumsum(np.abs(u), axis=0))]
    # x - x' is exact to eps |x|; in the unit of g that is divided by gamma
    sizes.append(np.abs(trace.x) / (trace.gamma.min() if reading.unit == "g" else 1.0))
    sizes += [np.abs(_memory(trace, reading))] if trace.e is not None else []
    slack = 1 / (1 - trace.beta) ** 2  # momentum after the compressor is divided out again
    return 16 * (len(trace.g) + 1) * trace.eps * slack * max(float(s.max(initial=0)) for s in sizes)


def misfit(trace: Trace, reading: Reading) -> float:
    """The largest residual over its tolerance: at most 1 where the identity holds. NaN counts as infinite."""
    if trace.g.size == 0:
        return 0.0
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        size = float(np.abs(residual(trace, reading)).max())
        if size == 0:
            return 0.0
        worst = size / tolerance(trace, reading)
    return worst if np.isfinite(worst) else float("inf")


def implied_memory(trace: Trace, reading: Reading) -> Array:
    """The e_t that would make the identity true, (T+1, d), unit of x: for methods that do not show their memory."""
    delta, u = _in_unit(trace, replace(reading, unit="x"))
    return np.concatenate([np.zeros((1, *delta.shape[1:])), np.cumsum(u - delta, axis=0)])


def readings(trace: Trace, momentum: str | None = "any", decay: str | None = "any", unit: str = "any") -> list[Reading]:
    """The readings that a trace's numbers leave open, the plainest first; "any" leaves a word open."""
    momenta = ((None,) if trace.beta == 0 else MOMENTA) if momentum == "any" else (momentum,)
    decays = ((None,) if trace.decay == 0 else DECAYS) if decay == "any" else (decay,)
    units = UNITS if unit == "any" else (unit,)
    found = [Reading(m, w, u) for m, w, u in product(momenta, decays, units)]
    found += [replace(r, dampened=True) for r in found if r.momentum]
    found += [replace(r, late=True) for r in found if r.decay == "decoupled" and trace.decay * trace.gamma.max() < 1]
    return found + [replace(r, fixed=True) for r in found if r.decay and (trace.decay < 1 or not r.late)]


def best_reading(traces: Sequence[Trace], choices: Sequence[Reading]) -> tuple[Reading, float]:
    """The first reading under which the identity holds for all traces, or the one nearest to it, and its misfit."""
    scored = [(max(misfit(trace, reading) for trace in traces), reading) for reading in choices]
    for worst, reading in scored:
        if worst <= 1:
            return reading, worst
    worst, reading = min(scored, key=lambda pair: pair[0])
    return reading, worst


def first_failure(trace: Trace, reading: Reading) -> tuple[int, float, float]:
    """(t, residual, tolerance) of the first time t >= 1 at which the identity fails."""
    for t in range(1, len(trace.g) + 1):
        part = trace.until(t)
        if misfit(part, reading) > 1:
            return t, float(np.abs(residual(part, reading)[-1]).max()), tolerance(part, reading)
    return len(trace.g), 0.0, tolerance(trace, reading)


def _shrink(trace: Trace, reading: Reading) -> Array:
    """gamma_t lambda, or lambda for a fixed decay, (T, 1)."""
    gamma = trace.gamma[:, None]
    return trace.decay * (np.ones_like(gamma) if reading.fixed else gamma)


def _memory(trace: Trace, reading: Reading) -> Array:
    """e_t; gamma e_t, with the gamma of the step that made it, where the unit is "rescaled".

    A step with gamma = 0 can rescale nothing: the gamma before it stays.
    """
    assert trace.e is not None
    if reading.unit != "rescaled":
        return trace.e
    last = np.maximum.accumulate(np.where(trace.gamma != 0, np.arange(trace.gamma.size), 0))
    gamma = trace.gamma[last]
    return np.concatenate([trace.e[:1] * gamma[0], trace.e[1:] * gamma[:, None]])


def _in_unit(trace: Trace, reading: Reading) -> tuple[Array, Array]:
    """(Delta, gamma u), or (Delta / gamma, u) for a memory in the unit of g."""
    delta, u, gamma = sent(trace, reading), updates(trace, reading), trace.gamma[:, None]
    return (delta / gamma, u) if reading.unit == "g" else (delta, gamma * u)
