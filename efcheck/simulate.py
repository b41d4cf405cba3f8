r"""Many runs of a method on a problem at once.

The runs are rows. They are cut into tiles of TILE rows, and each tile has its own streams of random numbers, keyed by
(seed, stream, tile): a run's numbers depend on (seed, run) alone. The last tile is filled up with rows that nobody sees,
so that every call on a tile has the same shape and rounds in the same way, however many runs were asked for. Tiles are
grouped into blocks that stay in cache; a block does all its T steps before the next one starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcheck._block import TILE, Block, Job
from efcheck.arrays import Array, finite, float_array
from efcheck.errors import argument_error, integer
from efcheck.methods import BestStep, Method

_CACHE_BYTES = 5_000_000  # for the five (rows, d) arrays of a step; measured: smaller blocks lose more to call overhead
_SCALARS = ("f", "e_norm", "g_norm", "density", "g_density", "span_distance")
_VECTORS = ("x", "e", "g")


@dataclass(frozen=True)
class Trace:
    """What a simulation recorded; time first.

    Attributes
    ----------
    t : (n,) int array
        0, every, 2 every, ..., and T.
    diverged, diverged_at : (runs,) arrays
        Whether, and with which t, x_t (or the memory) would first not have been finite; -1 if never. Such a run is frozen
        at x_{t-1}: its f and x stay, its g and densities are NaN from the step that broke it. f itself may overflow to inf
        before x does.
    """

    t: Array
    records: dict[str, Array] = field(repr=False)
    diverged_at: Array

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(runs,) bool."""
        return self.diverged_at >= 0

    @property
    def names(self) -> tuple[str, ...]:
        """What was recorded."""
        return tuple(self.records)

    def __getitem__(self, name: str) -> Array:
        """(n, runs), or (n, runs, d) for "x", "e" and "g"."""
        if name not in self.records:
            raise argument_error("name", f"be one of {', '.join(self.names)}", name, "Add it to `record`.")
        return self.records[name]


def simulate(
    problem: Any,
    method: Method,
    T: int,
    runs: int = 1,
    seed: int = 0,
    x0: Any = None,
    record: Sequence[str] = ("f",),
    every: int = 1,
    engine: str = "auto",
    dtype: Any = "float64",
    threads: int = 1,
    block: int | None = None,
    device: str = "cpu",
) -> Trace:
    """Run `method` on `problem` for T steps, many independent runs at once.

        g_t ~ gradient(x_t);   x_{t+1} = project(x_t - Delta_t);   e_{t+1} = p_t - Delta_t

    Parameters
    ----------
    problem
        One of efcheck.problems, or any object with d and gradient(x, rng); f, x0 and project where they are used.
    method : Method
        Its `gamma` may be an array (runs,): one run for each step size.
    T, runs, seed : int
        Steps >= 0, runs >= 1, seed >= 0. The same seed gives every method the same gradient noise, and a run's numbers
        depend on (seed, run) alone: not on runs, every, block, threads or engine.
    x0 : (d,), (runs, d), or a callable (rng, runs) -> (runs, d)
        Start; the problem's own by default. A callable draws for whole tiles of 16 runs, so it must treat rows alike.
    record : sequence of names
        "f", "x", "e", "e_norm", "g", "g_norm", "density" (of p_t, the vector that is signed or compressed),
        "g_density", "span_distance" (of x_t to the span of g_0 ... g_{t-1}). Those of g_t and p_t are NaN at t = T.
    every : int
        Record at t = 0, every, 2 every, ..., and T. Memory is that of the records, whatever T is.
    engine : {"auto", "numpy"}
    dtype : "float64" or "float32"
    threads : int
        Blocks run on so many threads.
    block : int or None
        Runs in a block (rounded up to whole tiles); by default as many as stay in cache.
    device : {"cpu"}

    Returns
    -------
    Trace

    Raises
    ------
    ArgumentError
        One line, for anything outside the above, a step size that is negative or not finite, an unknown record.

    Examples
    --------
    >>> from efcheck.methods import SGD
    >>> from efcheck.problems import Linear1D
    >>> trace = simulate(Linear1D(), SGD(0.5), T=100, runs=3)
    >>> trace["f"].shape, trace.diverged.any()
    ((101, 3), np.False_)
    """
    job = _checked(problem, method, T, runs, seed, x0, record, every, engine, dtype, threads, block, device)
    blocks = job.blocks()
    if job.threads == 1 or len(blocks) == 1:
        for start, stop in blocks:
            Block(job, start, stop).run()
    else:
        with ThreadPoolExecutor(job.threads) as pool:
            for done in [pool.submit(Block(job, start, stop).run) for start, stop in blocks]:
                done.result()
    return Trace(job.times, job.records, job.diverged_at)


def _checked(
    problem: Any, method: Any, T: Any, runs: Any, seed: Any, x0: Any, record: Any, every: Any,
    engine: Any, dtype: Any, threads: Any, block: Any, device: Any,
) -> Job:  # fmt: skip
    d = integer("problem.d", getattr(problem, "d", None), 1)
    if isinstance(method, type) or not isinstance(method, Method):
        raise argument_error("method", "be a method of efcheck.methods", method, "For example SGD(0.1).")
    T, runs = integer("T", T, 0), integer("runs", runs, 1)
    seed, every, threads = integer("seed", seed, 0), integer("every", every, 1), integer("threads", threads, 1)
    if engine not in ("auto", "numpy"):
        raise argument_error("engine", "be 'auto' or 'numpy'", engine)
    if device != "cpu":
        raise argument_error("device", "be 'cpu'", device)
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float64, np.float32):
        raise argument_error("dtype", "be 'float64' or 'float32'", dtype)
    names = _record_names(record, problem)
    gamma = method.gamma
    if not callable(gamma) and not isinstance(gamma, BestStep) and np.ndim(gamma) and np.shape(gamma) != (runs,):
        raise argument_error("gamma", f"have shape ({runs},), one step size for each run", f"shape {np.shape(gamma)}")
    if hasattr(method.compressor, "check"):
        method.compressor.check(d)
    block = max(1, _CACHE_BYTES // (5 * kind.itemsize * d)) if block is None else integer("block", block, 1)
    even = -(-runs // -(-runs // block))  # blocks of equal size
    rows = -(-even // TILE) * TILE
    times = np.arange(0, T + 1, every)
    times = times if times[-1] == T else np.append(times, T)
    n = len(times)
    shapes = {name: (n, runs, d) if name in _VECTORS else (n, runs) for name in names}
    records = {name: np.full(shape, np.nan, kind) for name, shape in shapes.items()}
    start = _start(problem, x0, runs, d)
    return Job(problem, method, T, runs, seed, start, every, d, kind, threads, rows, times, records, np.full(runs, -1))


def _record_names(record: Any, problem: Any) -> list[str]:
    if not isinstance(record, Iterable):
        raise argument_error("record", f"name some of {', '.join(_SCALARS + _VECTORS)}", record)
    names = [record] if isinstance(record, str) else list(record)
    for name in names:
        if name not in _SCALARS + _VECTORS:
            raise argument_error("record", f"name some of {', '.join(_SCALARS + _VECTORS)}", name)
    if "f" in names and not hasattr(problem, "f"):
        raise argument_error("problem", "have f(x) when 'f' is recorded", type(problem).__name__)
    return list(dict.fromkeys(names))


def _start(problem: Any, x0: Any, runs: int, d: int) -> Any:
    if callable(x0):
        return x0
    start = finite("x0", float_array("x0", getattr(problem, "x0", np.zeros(d)) if x0 is None else x0))
    if start.shape not in ((d,), (runs, d)):
        raise argument_error("x0", f"have shape ({d},) or ({runs}, {d})", f"shape {start.shape}")
    return np.broadcast_to(start, (runs, d))
