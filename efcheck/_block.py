"""Some consecutive runs of a simulation, all their steps; `simulate` checks the arguments and hands out the blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Any

import numpy as np

from efcheck.arrays import Array, Generator, finite, float_array, norm, row_dot, zeros
from efcheck.errors import argument_error
from efcheck.methods import SGD, BestStep, Method, State, checked_steps, is_adaptive, sees_gradient
from efcheck.span import GradientSpan

TILE = 16  # rows that share their streams of random numbers
_CHUNK = 64  # steps of noise drawn at once
_LONGEST = 256  # entries of a row that is stored by columns: more leave a block too few rows to gain
_NOISE, _COMPRESSOR, _START = range(3)  # streams


@dataclass(frozen=True)
class Job:
    """The checked arguments of one simulation and the arrays that its blocks fill."""

    problem: Any
    method: Method
    T: int
    runs: int
    seed: int
    x0: Any
    every: int
    d: int
    dtype: np.dtype[Any]
    threads: int
    rows: int
    times: Array
    records: dict[str, Array]
    diverged_at: Array

    def blocks(self) -> list[tuple[int, int]]:
        return [(start, min(start + self.rows, self.runs)) for start in range(0, self.runs, self.rows)]

    def streams(self, stream: int, start: int, rows: int) -> list[Generator]:
        """One generator for each tile of the rows from `start` on."""
        first = start // TILE
        keys = [np.random.SeedSequence(self.seed, spawn_key=(stream, first + i)) for i in range(rows // TILE)]
        return [np.random.Generator(np.random.SFC64(key)) for key in keys]


class Block:
    """Some consecutive runs, all T steps."""

    def __init__(self, job: Job, start: int, stop: int) -> None:
        self.job, self.start, self.real = job, start, stop - start
        self.rows = -(-self.real // TILE) * TILE
        self.tiles = [slice(i, i + TILE) for i in range(0, self.rows, TILE)]
        self.noise_streams = job.streams(_NOISE, start, self.rows)
        # scaled sign and plain SGD hand a NaN on to delta, where it is seen; others may hide it or refuse it
        self.hides_nan = not (isinstance(job.method, SGD) or hasattr(job.method.compressor, "compress_into"))
        self.scale: Array | None = None  # of the last message, where one number bounds it
        self.columns = _by_columns(job)  # whether (rows, d) is stored column by column
        self.recorded = bool(job.records.keys() & {"g", "g_norm", "density", "g_density"})
        self.frozen = np.zeros(self.rows, bool)
        self.kept: dict[str, Array] = {}
        self.rowwise = bool(getattr(job.problem, "rowwise", False))
        self.known = hasattr(job.problem, "sample") and hasattr(job.problem, "gradient_given")  # the noise apart from x
        self.project = _projection(job.problem)
        self.noise = self._noise()
        self.gradients = self._gradients()
        self.scaled_gradients = self._scaled_gradients()
        self.steps = self._steps()
        self.spans = [GradientSpan(job.d) for _ in range(self.real)] if "span_distance" in job.records else []

    def run(self) -> None:
        with np.errstate(all="ignore"):  # a run that overflows is an outcome, not a warning
            if self.columns and self.rows >= 300:  # fewer rows are faster with a buffer
                np.setbufsize(16)  # too small for NumPy to copy the rows' step sizes or scales once a column
            self._run()

    @cached_property
    def compressor_streams(self) -> list[Generator]:
        return self.job.streams(_COMPRESSOR, self.start, self.rows)

    def _run(self) -> None:
        job, method = self.job, self.job.method
        new = partial(zeros, self.rows, job.d, job.dtype, self.columns)
        x, g, delta, state = new(), new(), new(), method.buffers(new)
        x[...] = self._first_iterate()
        row = 0
        for t in range(job.T + 1):
            due = t % job.every == 0 or t == job.T
            if due:
                self._record_state(row, x, state)
            if t == job.T:
                break
            self._step(t, x, g, delta, state, row if due and self.recorded else None)
            row += due

    def _step(self, t: int, x: Array, g: Array, delta: Array, state: State, row: int | None) -> None:
        """One step in place; g and p, the vector that is signed or compressed, are recorded in `row`."""
        method = self.job.method
        p = method.propose(self._gradient(t, x, g, state), state)
        if self.hides_nan:
            self._freeze(t, p, x, state)
        method.direction(p, state, self._compress, delta)
        if method.linear:
            delta *= self.steps(t, x, g, delta)
        if method.linear or self.scale is None or not self.scale.max() < 1e150:  # also where it is NaN
            self._freeze(t, delta, x, state)
        x -= delta
        if self.project is not None:
            self.project(x)
        if row is not None:
            self._record_gradient(row, g, p)
        method.remember(p, delta, state)
        if self.kept:
            x[self.frozen] = self.kept["x"]
            if "e" in state:
                state["e"][self.frozen] = self.kept["e"]

    def _gradient(self, t: int, x: Array, g: Array, state: State) -> Array:
        """g, or gamma g in state["u"] of a method that is not linear; zero for a diverged run."""
        if self.scaled_gradients is not None:
            u = state["u"]
            self.scaled_gradients(x, self.steps(t, x, g, None), u)
            if self.kept:
                u[self.frozen] = 0.0
            return u
        self.gradients(x, g)
        if self.kept:
            g[self.frozen] = 0.0
        for span, gradient, off in zip(self.spans, g, self.frozen, strict=False):
            if not off and np.isfinite(gradient).all():
                span.update(gradient)
        return g if self.job.method.linear else np.multiply(g, self.steps(t, x, g, None), out=state["u"])

    def _freeze(self, t: int, v: Array, x: Array, state: State) -> None:
        """Freeze the runs whose row of v is not finite, before anything was written: x and e are those of time t."""
        # One fast pass, row by row: a long dot product would wake BLAS threads. It overflows above 1e154: a second look.
        if np.isfinite(row_dot(v, v)).all():
            return
        bad = ~np.isfinite(v).all(axis=1)
        # a finite v beyond 1e154 can still push x over the edge
        bad |= ~np.isfinite(np.abs(x).max(axis=1) + np.abs(v).max(axis=1))
        if not bad.any():
            return
        v[bad] = 0.0
        fresh = bad & ~self.frozen
        if fresh.any():
            real = fresh[: self.real].nonzero()[0]
            self.job.diverged_at[self.start + real] = t + 1
            now = self.frozen | fresh
            for name, buffer in (("x", x), ("e", state.get("e"))):
                if buffer is not None:
                    whole = buffer.copy()
                    if name in self.kept:
                        whole[self.frozen] = self.kept[name]
                    self.kept[name] = whole[now]
            self.frozen = now

    def _first_iterate(self) -> Array:
        job = self.job
        if callable(job.x0):
            streams = job.streams(_START, self.start, self.rows)
            x = np.concatenate([_drawn_start(job.x0, rng, job.d) for rng in streams])
        else:
            given = job.x0[self.start : self.start + self.real]
            x = np.concatenate([given, np.repeat(given[-1:], self.rows - self.real, axis=0)])
        return finite("x0", np.ascontiguousarray(x, dtype=job.dtype))  # float32 has a smaller range

    def _gradients(self) -> Callable[[Array, Array], None]:
        """gradients(x, out): one stochastic gradient for each row."""
        problem = self.job.problem
        if not self.known:

            def by_tile(x: Array, out: Array) -> None:
                for tile, rng in zip(self.tiles, self.noise_streams, strict=True):
                    out[tile] = _shaped("problem.gradient(x, rng)", problem.gradient(x[tile], rng), x[tile].shape)

            return by_tile
        parts = [slice(0, self.rows)] if self.rowwise else self.tiles

        def given(x: Array, out: Array) -> None:
            drawn = next(self.noise)
            for part in parts:
                problem.gradient_given(x[part], None if drawn is None else drawn[part], out=out[part])

        return given

    def _scaled_gradients(self) -> Callable[[Array, Any, Array], None] | None:
        """scaled_gradients(x, gamma, out): gamma g, of a problem that gives it at once, where nobody looks at g itself."""
        job, problem = self.job, self.job.problem
        looked_at = self.recorded or "span_distance" in job.records or sees_gradient(job.method.gamma)
        if job.method.linear or looked_at or not (self.rowwise and self.known):
            return None
        if "gamma" not in signature(problem.gradient_given).parameters:
            return None
        return lambda x, gamma, out: problem.gradient_given(x, next(self.noise), out=out, gamma=gamma)

    def _noise(self) -> Iterator[Any]:
        """The random numbers of each step, (rows, ...), drawn for many steps at once; the stream does not show it."""
        sample = self.job.problem.sample
        chunk = min(_CHUNK, max(self.job.T, 1))
        while True:
            drawn = [sample(rng, chunk, TILE) for rng in self.noise_streams]
            if drawn[0] is None:
                while True:
                    yield None
            yield from np.concatenate(drawn, axis=1)

    def _steps(self) -> Callable[[int, Array, Array, Any], Any]:
        """steps(t, x, g, direction): the step sizes, a scalar or a column, in the simulation's dtype."""
        gamma, kind = self.job.method.gamma, self.job.dtype
        if isinstance(gamma, BestStep):
            search = gamma.problem.line_search
            parts = [slice(0, self.rows)] if self.rowwise else self.tiles
            return lambda t, x, g, v: self._column(np.concatenate([search(x[part], v[part]) for part in parts]), kind)
        if not callable(gamma):
            constant = self._column(checked_steps(gamma), kind)
            return lambda t, x, g, v: constant
        if is_adaptive(gamma):
            return lambda t, x, g, v: self._column(self._adaptive(gamma, t, x, g), kind)
        return lambda t, x, g, v: self._column(checked_steps(gamma(t), f"gamma({t})"), kind)

    def _adaptive(self, rule: Callable[..., Any], t: int, x: Array, g: Array) -> Array:
        seen = [v[: self.real].view() for v in (x, g)]
        for v in seen:
            v.flags.writeable = False
        name, value = f"gamma({t}, x, g)", rule(t, *seen)
        if np.ndim(value) == 0:
            return checked_steps(value, name)
        if np.shape(value) == (self.job.runs,):  # one step for each run of the simulation, not of this block
            value = np.asarray(value)[self.start : self.start + self.real]
        if np.shape(value) != (self.real,):
            raise argument_error(name, f"be a number or have shape ({self.real},)", f"shape {np.shape(value)}")
        alive = np.where(self.frozen[: self.real], 0.0, value)  # what a rule says of a diverged run does not matter
        return np.concatenate([checked_steps(alive, name), np.zeros(self.rows - self.real)])

    def _column(self, steps: Array, kind: np.dtype[Any]) -> Any:
        if steps.ndim == 0:
            return kind.type(steps)
        if steps.shape == (self.job.runs,) and self.job.runs != self.rows:
            given = steps[self.start : self.start + self.real]
            steps = np.concatenate([given, np.repeat(given[-1:], self.rows - self.real)])
        if steps.shape != (self.rows,):
            raise argument_error("gamma", f"have shape ({self.job.runs},)", f"shape {steps.shape}")
        return steps.astype(kind)[:, None]

    def _compress(self, v: Array, out: Array) -> None:
        compressor = self.job.method.compressor
        kernel = getattr(compressor, "compress", None)
        if kernel is None:  # anybody's callable: by tile, so that its own rounding cannot depend on the number of runs
            for tile, rng in zip(self.tiles, self.compressor_streams, strict=True):
                out[tile] = _shaped("compressor(v, rng)", compressor(v[tile], rng), v[tile].shape)
        elif compressor.stochastic:
            for tile, rng in zip(self.tiles, self.compressor_streams, strict=True):
                out[tile] = kernel(v[tile], rng)
        elif hasattr(compressor, "compress_into"):
            self.scale = compressor.compress_into(v, out, self.job.method.negative_zeros)
        else:
            out[...] = kernel(v)

    def _record_state(self, row: int, x: Array, state: State) -> None:
        job, here = self.job, slice(self.start, self.start + self.real)
        e = state.get("e")
        for name, record in job.records.items():
            if name == "f":
                record[row, here] = self._f(x)
            elif name == "x":
                record[row, here] = x[: self.real]
            elif name == "e":
                record[row, here] = 0.0 if e is None else e[: self.real]
            elif name == "e_norm":
                record[row, here] = 0.0 if e is None else _norms(e[: self.real])
            elif name == "span_distance":
                record[row, here] = [s.distance(v) for s, v in zip(self.spans, x, strict=False)]

    def _record_gradient(self, row: int, g: Array, p: Array) -> None:
        from efcheck.compressors import density

        here = slice(self.start, self.start + self.real)
        measures: dict[str, Callable[[], Array]] = {
            "g": lambda: g[: self.real],
            "g_norm": lambda: _norms(g[: self.real]),
            "density": lambda: density(p[: self.real]),
            "g_density": lambda: density(g[: self.real]),
        }
        off = np.arange(self.start, self.start + self.real)[self.frozen[: self.real]]
        if off.size:  # these rows may not be finite, and density refuses that
            g, p = (np.where(self.frozen[:, None], v.dtype.type(0), v) for v in (g, p))
        for name in self.job.records.keys() & measures.keys():
            self.job.records[name][row, here] = measures[name]()
            self.job.records[name][row, off] = np.nan

    def _f(self, x: Array) -> Array:
        f = self.job.problem.f
        return (f(x) if self.rowwise else np.concatenate([f(x[tile]) for tile in self.tiles]))[: self.real]


def _by_columns(job: Job) -> bool:
    """Whether a block is stored by columns: EF-SGD with scaled sign, whose one number a row is then spread faster.

    Sums depend on it, so it may depend on neither runs, records nor threads.
    """
    able = not job.method.linear and hasattr(job.method.compressor, "compress_into") and not sees_gradient(job.method.gamma)
    return able and job.d <= _LONGEST and job.dtype == np.float64 and bool(getattr(job.problem, "columns", False))


def _projection(problem: Any) -> Callable[[Array], None] | None:
    """Projection in place, or None where the problem has no constraint."""
    from efcheck.problems.base import Problem

    project = getattr(problem, "project", None)
    if project is None or getattr(type(problem), "project", None) is Problem.project:
        return None
    return lambda x: np.copyto(x, project(x))


def _drawn_start(x0: Callable[..., Any], rng: Generator, d: int) -> Array:
    start = finite("x0(rng, runs)", float_array("x0(rng, runs)", x0(rng, TILE)))
    if start.shape != (TILE, d):
        hint = f"It is called with runs = {TILE}, a whole tile, and the runs beyond those asked for are not kept."
        raise argument_error("x0(rng, runs)", f"have shape (runs, {d})", f"shape {start.shape} for runs = {TILE}", hint)
    return start


def _norms(v: Array) -> Array:
    return norm(np.ascontiguousarray(v))[:, 0]  # sums depend on the memory order


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """What somebody's function returned, if it has the shape of its rows: assignment would broadcast anything else."""
    if np.shape(value) != shape:
        raise argument_error(name, "return the shape of its first argument, (runs, d)", f"shape {np.shape(value)} for {shape}")
    return value
