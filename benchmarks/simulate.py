r"""Speed of the simulator and of the span, as ratios within one run of this script. One core, NumPy alone.

Part 1: `simulate` on SparseNoise(d = 100). The unit is the coordinate update: one coordinate of one run's x, one step;
a call makes runs * T * d of them. A call is timed whole: checks, random numbers, T steps, f at every t. Against

    (a) a plain loop over runs and steps, as research code is written: 4 runs, every vector operation a NumPy call on
        (d,), the loss appended to a list at every step, since that is what is plotted (so does the authors' own code for
        this problem: github.com/epfml/error-feedback-SGD, utils/coord_opt.py); its whole time per coordinate update.
        Ratio = updates/s of simulate over those of the loop: > 1 is faster. With --lean neither records f before the
        last step.
    (b) the copy bandwidth of the machine: np.copyto of a 256 MB array, bytes read plus bytes written, in GB/s (10^9).
        Fraction = 32 bytes * updates/s over it: 32 bytes are four float64 (say x and g, each read and written).
        Runs are simulated in blocks that stay in cache, so this is a scale and no bound: it may exceed 100 %.

A round is loop, simulate, copy, one after the other; the ratios are taken within a round, and the median, min and max
over the rounds are printed. Steps are chosen beforehand so that a measurement lasts about 0.3 s (the loop 0.15 s).
With the noise set to 0, loop and simulate must first give the same x (QSGD draws its own numbers: not compared).

Part 2: GradientSpan, d = 1200, T = 1000 Gaussian gradients, update and distance at every step, in seconds; against
np.linalg.lstsq on all gradients so far at t = 50, 150, ..., 950, each standing for the 100 steps around it.
Ratio = seconds of lstsq over seconds of the span. Error = |distance - lstsq's distance| / ||x||, at those t.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import click
import numpy as np
from rich.console import Console
from rich.table import Table

import efcheck
from efcheck.compressors import QSGD, ScaledSign, TopK
from efcheck.methods import EF21, EFSGD, SGD, CompressedSGD, SignSGD
from efcheck.problems import SparseNoise
from efcheck.simulate import simulate
from efcheck.span import GradientSpan

D, NOISE, GAMMA, LOOP_RUNS, BYTES_PER_UPDATE, SPAN_TOLERANCE = 100, 100.0, 0.01, 4, 32, 1e-9


def scaled_sign(v, rng):
    return np.abs(v).sum() / len(v) * np.sign(v)


def top10(v, rng):
    out = np.zeros_like(v)
    keep = np.argpartition(np.abs(v), -10)[-10:]
    out[keep] = v[keep]
    return out


def qsgd4(v, rng):
    size = np.sqrt(v @ v)
    r = 4 * np.abs(v) / size
    low = np.floor(r)
    return size * np.sign(v) * (low + (rng.random(len(v)) < r - low)) / 4


def loss(x):
    return 0.5 * np.sum(x**2)


def loop_sgd(x, T, rng, noise, lean, compress=None, beta=0.0):
    m, losses = np.zeros_like(x), []
    for _ in range(T):
        if not lean:
            losses.append(loss(x))
        g = x.copy()
        g[0] += noise * rng.standard_normal()
        m = beta * m + g if beta else g
        x = x - GAMMA * (m if compress is None else compress(m, rng))
    return x


def loop_ef(x, T, rng, noise, lean, compress, ef21=False):
    e, losses = np.zeros_like(x), []  # e is h in EF21
    for _ in range(T):
        if not lean:
            losses.append(loss(x))
        g = x.copy()
        g[0] += noise * rng.standard_normal()
        if ef21:
            e = e + compress(g - e, rng)
            x = x - GAMMA * e
        else:
            p = GAMMA * g + e
            delta = compress(p, rng)
            x = x - delta
            e = p - delta
    return x


METHODS: list[tuple[str, Any, Callable[..., Any], dict[str, Any]]] = [
    ("SGD", SGD(GAMMA), loop_sgd, {}),
    ("SGD, beta = 0.9", SGD(GAMMA, beta=0.9), loop_sgd, {"beta": 0.9}),
    ("SignSGD", SignSGD(GAMMA), loop_sgd, {"compress": lambda v, rng: np.sign(v)}),
    ("SignSGD, scaled", SignSGD(GAMMA, scaled=True), loop_sgd, {"compress": scaled_sign}),
    ("SignSGD, beta = 0.9", SignSGD(GAMMA, beta=0.9), loop_sgd, {"compress": lambda v, rng: np.sign(v), "beta": 0.9}),
    ("EFSGD(ScaledSign)", EFSGD(GAMMA, ScaledSign()), loop_ef, {"compress": scaled_sign}),
    ("EFSGD(TopK(10))", EFSGD(GAMMA, TopK(10)), loop_ef, {"compress": top10}),
    ("EFSGD(QSGD(4))", EFSGD(GAMMA, QSGD(4)), loop_ef, {"compress": qsgd4}),
    ("CompressedSGD(ScaledSign)", CompressedSGD(GAMMA, ScaledSign()), loop_sgd, {"compress": scaled_sign}),
    ("EF21(ScaledSign)", EF21(GAMMA, ScaledSign()), loop_ef, {"compress": scaled_sign, "ef21": True}),
]


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def steps_for(work: Callable[[int], Any], target: float) -> int:
    """T for which work(T) lasts about `target` seconds; a multiple of the 64 steps whose noise is drawn at once."""
    T = 16
    work(T)  # warms up
    while (took := seconds(lambda: work(T))) < target / 4:  # noqa: B023 -- called at once
        T *= 2
    return T if (T := max(16, round(T * target / took))) < 64 else -(-T // 64) * 64


def ours(method: Any, T: int, runs: int, lean: bool) -> None:
    trace = simulate(SparseNoise(D, NOISE), method, T, runs, record=("f",), every=T if lean else 1, threads=1)
    assert not trace.diverged.any()


def plain(loop: Callable[..., Any], options: dict[str, Any], T: int, lean: bool) -> None:
    for run in range(LOOP_RUNS):
        loop(np.ones(D), T, np.random.default_rng(run), NOISE, lean, **options)


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": float(np.median(values)), "min": min(values), "max": max(values), "rounds": values}


def show(s: dict[str, Any], unit: str, digits: int, scale: float = 1) -> str:
    median, low, high = (f"{scale * s[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median}{unit} ({low}..{high})"


def measure_methods(sizes: list[int], rounds: int, target: float, megabytes: int, lean: bool) -> list[dict[str, Any]]:
    source, sink, found = np.ones(megabytes * 125_000), np.zeros(megabytes * 125_000), []
    np.copyto(sink, source)
    for name, method, loop, options in METHODS:
        if options.get("compress") is not qsgd4:
            x0 = np.random.default_rng(0).standard_normal(D)
            x = simulate(SparseNoise(D, 0.0), method, 50, x0=x0, record=("x",), every=50)["x"][-1, 0]
            if not (far := np.abs(x - loop(x0, 50, np.random.default_rng(0), 0.0, True, **options)).max()) <= 1e-9:
                raise SystemExit(f"{name}: without noise, the plain loop and simulate differ by {far:.3g}")
        loop_T = steps_for(lambda T, loop=loop, options=options: plain(loop, options, T, lean), target / 2)
        for runs in sizes:
            T = steps_for(lambda T, method=method, runs=runs: ours(method, T, runs, lean), target)
            rate, loop_rate, copy = [], [], []
            for _ in range(rounds):
                loop_rate.append(LOOP_RUNS * loop_T * D / seconds(lambda f=loop, o=options, T=loop_T: plain(f, o, T, lean)))
                rate.append(runs * T * D / seconds(lambda m=method, T=T, n=runs: ours(m, T, n, lean)))
                copy.append(2 * source.nbytes / seconds(lambda: np.copyto(sink, source)))
            found.append({
                "method": name, "runs": runs, "T": T, "loop_runs": LOOP_RUNS, "loop_T": loop_T,
                "updates_per_s": spread(rate), "loop_updates_per_s": spread(loop_rate),
                "copy_bytes_per_s": spread(copy),
                "ratio_to_loop": spread([a / b for a, b in zip(rate, loop_rate, strict=True)]),
                "fraction_of_copy": spread([BYTES_PER_UPDATE * a / b for a, b in zip(rate, copy, strict=True)]),
            })  # fmt: skip
    return found


def measure_span(d: int, T: int, rounds: int) -> dict[str, Any]:
    *gradients, x = G = np.random.default_rng(0).standard_normal((T + 1, d))
    stride = T // 10
    sample, span_s, lstsq_s, worst = range(stride // 2, T, stride), [], [], 0.0

    for _ in range(rounds):
        start, span, distances = time.perf_counter(), GradientSpan(d), []
        for g in gradients:
            span.update(g)
            distances.append(span.distance(x))
        span_s.append(time.perf_counter() - start)
        total = 0.0
        for t in sample:
            A = G[:t].T
            start = time.perf_counter()
            distance = float(np.linalg.norm(x - A @ np.linalg.lstsq(A, x, rcond=None)[0]))
            total += stride * (time.perf_counter() - start)
            worst = max(worst, abs(distances[t - 1] - distance) / float(np.linalg.norm(x)))
        lstsq_s.append(total)
    return {
        "d": d, "T": T, "lstsq_at": list(sample), "steps_each": stride, "largest_relative_error": worst,
        "span_s": spread(span_s), "lstsq_s": spread(lstsq_s),
        "ratio": spread([b / a for a, b in zip(span_s, lstsq_s, strict=True)]),
    }  # fmt: skip


def print_report(report: dict[str, Any]) -> None:
    console, s = Console(width=120), report["span"]
    table = Table("method", title=f"Updates on SparseNoise, d = {D}: median (min..max) of {report['rounds']} rounds")
    for column in ("runs", "10^6 updates/s", "loop, 10^6/s", "ratio to the loop", "share of copy"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in report["methods"]:
        ours, loop = (f"{r[key]['median'] / 1e6:.1f}" for key in ("updates_per_s", "loop_updates_per_s"))
        share = show(r["fraction_of_copy"], " %", 1, 100)
        table.add_row(r["method"], f"{r['runs']:,}", ours, loop, show(r["ratio_to_loop"], "", 1), share)
    console.print(table)
    copies = spread([v / 1e9 for r in report["methods"] for v in r["copy_bytes_per_s"]["rounds"]])
    lines = [
        f"Copy: {show(copies, ' GB/s', 2)}, read and written, array of {report['copy_megabytes']} MB, all rounds.",
        f"Span, d = {s['d']}, T = {s['T']}, update and distance at every step: {show(s['span_s'], ' s', 2)}.",
        f"lstsq at t = {', '.join(map(str, s['lstsq_at']))}, each standing for {s['steps_each']} steps: "
        f"{show(s['lstsq_s'], ' s', 2)}.",
        f"Ratio {show(s['ratio'], '', 1)} of {len(s['ratio']['rounds'])} rounds. "
        f"Largest error {s['largest_relative_error']:.2g} ||x||, must be below {SPAN_TOLERANCE:g}.",
        ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in report["machine"].items())
        + f"; took {report['seconds']:.0f} s",
    ]
    console.print("\n".join(lines), highlight=False, markup=False)


@click.command()
@click.option("--quick", is_flag=True, help="A smoke test: small sizes, 2 rounds; its figures mean little.")
@click.option("--lean", is_flag=True, help="Nobody records f on the way: simulate against the barest loop.")
@click.option("--json", "path", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also write FILE.")
def main(quick: bool, lean: bool, path: Path | None) -> None:
    """Measure the simulator and the span; ratios within this run."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.absolute().parent}", param_hint="--json")
    if pinned := hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    info = Path("/proc/cpuinfo")
    models = [v for v in info.read_text().splitlines() if v.startswith("model name")] if info.exists() else []
    machine = {
        "cpu": models[0].split(":", 1)[1].strip() if models else platform.machine(), "cores": os.cpu_count(),
        "used": 1, "pinned": pinned, "system": platform.platform(terse=True), "python": platform.python_version(),
        "numpy": np.__version__, "efcheck": efcheck.__version__,
    }  # fmt: skip
    start, rounds, megabytes = time.perf_counter(), 2 if quick else 7, 16 if quick else 256
    report: dict[str, Any] = {"machine": machine, "lean": lean, "rounds": rounds, "copy_megabytes": megabytes}
    sizes = [16, 100] if quick else [100, 1_000, 10_000]
    report["methods"] = measure_methods(sizes, rounds, 0.01 if quick else 0.3, megabytes, lean)
    report["span"] = measure_span(120, 100, 2) if quick else measure_span(1200, 1000, 3)
    report["seconds"] = time.perf_counter() - start
    print_report(report)
    if path is not None:
        (part := path.with_name(path.name + ".part")).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)  # whole or not at all
    if not report["span"]["largest_relative_error"] < SPAN_TOLERANCE:
        raise SystemExit("The span's distance differs from that of lstsq.")


if __name__ == "__main__":
    main()
