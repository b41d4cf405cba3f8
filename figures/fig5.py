"""Figure 5: sparse noise, the four methods with the paper's learning rates, and which rate is best at which horizon.

Claims  sparse-noise-faster: both sign methods are below SGD and EF-signSGD; sparse-noise-same-rate: those two are within
        5 % of each other; sparse-noise-best-sgd, -best-signsgd, -best-scaled, -best-ef: the printed rates are best at
        T = 700, others at other T; sparse-noise-repeats, -repeats-others: how wide the bands are.
        Left: mean and one standard deviation over 100 runs with the same noise for all methods, as in the paper; where
        mean - deviation is below 0 the band ends at the frame, and T = 2000 and x_0 = ones are ours. Right: mean f(x_T) against
        gamma; for SGD exact, for the others the mean of 1000 runs with 99 % intervals (2.6 standard errors).
Reads   nothing        Writes  fig5.{pdf,png,npz,json}        Time  6 s
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from efcheck import content, figure
from efcheck.compressors import ScaledSign
from efcheck.errors import EfcheckError
from efcheck.methods import EFSGD, SGD, SignSGD
from efcheck.problems import SparseNoise
from efcheck.simulate import simulate

SIZE = (6.75, 3.0)
PANELS = 2
HORIZONS = (100, 500, 2000)
RATES = {"SGD": 0.001, "signSGD": 0.01, "scaled signSGD": 0.01, "EF-signSGD": 0.001}  # the paper's
METHODS: dict[str, Callable[[Any], Any]] = {
    "SGD": SGD,
    "signSGD": SignSGD,
    "scaled signSGD": lambda gamma: SignSGD(gamma, scaled=True),
    "EF-signSGD": lambda gamma: EFSGD(gamma, ScaledSign()),
}
SHADES = dict(zip(RATES, (0.22, 0.25, 0.35, 0.18), strict=True))
FLOOR = 0.05  # of the left panel's axis


def claims() -> Any:
    """counterexamples/sparse_noise_runs.py: the reduction to two numbers, and the exact means."""
    folder = content.folder("counterexamples")
    if folder is None:
        raise EfcheckError("the folder counterexamples must be there; got neither a checkout nor an installed copy.")
    return content.load(folder / "sparse_noise_runs.py")


def compute(
    seed: int = 0, T: int = 2000, runs: int = 100, every: int = 10, sweep_runs: int = 1000, rates: int = 13
) -> dict[str, Any]:
    """ "t" (n,), "mean", "std" (methods, n); "gamma" (rates,), "sweep_mean", "sweep_error" (methods, horizons, rates).

    The sweep draws its own noise (seed + 1) on the two-number form; "sweep_error" is one standard error, 0 where exact.
    """
    data: dict[str, Any] = {"labels": np.array(list(RATES)), "rates": np.array(list(RATES.values())), "runs": runs}
    problem = SparseNoise()
    traces = [simulate(problem, METHODS[name](g), T, runs=runs, seed=seed, every=every) for name, g in RATES.items()]
    f = np.stack([trace["f"] for trace in traces])
    gammas = np.logspace(-4, -1, rates)
    horizons = np.array([h for h in HORIZONS if h < T] + [T])
    sweeps = [_sweep(name, gammas, horizons, sweep_runs, seed + 1) for name in RATES]
    data |= {"t": traces[0].t, "mean": f.mean(axis=2), "std": f.std(axis=2, ddof=1), "gamma": gammas}
    data |= {"horizons": horizons, "sweep_runs": sweep_runs}
    return data | {"sweep_mean": np.stack([m for m, _ in sweeps]), "sweep_error": np.stack([e for _, e in sweeps])}


def _sweep(name: str, gammas: Any, horizons: Any, runs: int, seed: int) -> tuple[Any, Any]:
    """E f(x_T) and its standard error, (horizons, rates); the same noise for every rate."""
    module = claims()
    if name == "SGD":
        mean = np.stack([module.exactly.sgd_mean(gammas, int(T)) for T in horizons])
        return mean, np.zeros_like(mean)
    common: dict[str, Any] = {"runs": runs, "seed": seed, "every": int(np.gcd.reduce(horizons))}
    traces = [simulate(module.Reduced(), module.reduced(name, float(g)), int(horizons[-1]), **common) for g in gammas]
    rows = np.searchsorted(traces[0].t, horizons)
    f = np.stack([trace["f"][rows] for trace in traces], axis=1)
    return f.mean(axis=2), f.std(axis=2, ddof=1) / np.sqrt(runs)


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """Left: f against t, band of one standard deviation. Right: f(x_T) against gamma, one line for each T."""
    left, right = axes
    for i, label in enumerate(data["labels"]):
        style, mean, std = figure.STYLES[str(label)], data["mean"][i], data["std"][i]
        name = rf"{label}, $\gamma = {data['rates'][i]:g}$"
        every = (len(mean) // 8 * i // 4, max(1, len(mean) // 8))
        left.fill_between(
            data["t"], np.maximum(mean - std, FLOOR / 10), mean + std, color=style.color, alpha=SHADES[str(label)], lw=0
        )
        left.plot(
            data["t"], mean, color=style.color, linestyle=style.linestyle, marker=style.marker, markevery=every, label=name
        )
        _rates(right, style, data, i)
    left.set_yscale("log")
    left.set_ylim(FLOOR, 90)
    left.set_xlim(0, data["t"][-1])
    left.set_xlabel("step $t$")
    left.set_ylabel(r"loss $f(x_t)$, log axis")
    left.text(0.03, 0.03, f"mean $\\pm$ 1 std, {int(data['runs'])} runs", transform=left.transAxes, fontsize=7)
    runs = f"SGD: exact. Others: mean of {int(data['sweep_runs'])}\nruns, bars: 99 % intervals"
    right.text(0.03, 0.64, runs, transform=right.transAxes, fontsize=6, va="bottom")
    right.set_xscale("log")
    right.set_yscale("log")
    right.set_ylim(0.25, 1500)
    right.set_xlabel(r"learning rate $\gamma$, log axis")
    right.set_ylabel(r"$\mathbb{E} f(x_T)$, log axis")
    left.figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    _widths(right, data)


def _rates(ax: Axes, style: figure.Style, data: Mapping[str, Any], i: int) -> None:
    for j, width in enumerate(_line_widths(data)):
        mean, error = data["sweep_mean"][i, j], 2.6 * data["sweep_error"][i, j]
        look = {"color": style.color, "linestyle": style.linestyle, "marker": style.marker, "linewidth": width}
        ax.errorbar(data["gamma"], mean, yerror(error), **look, markersize=2.5, elinewidth=0.8, zorder=3 + j)
        best = int(np.argmin(mean))
        ax.plot(data["gamma"][best], mean[best], style.marker, color=style.color, markersize=7, mfc="white", zorder=9)


def yerror(error: Any) -> Any:
    """None where nothing was estimated, so that no empty bars are drawn."""
    return error if error.any() else None


def _line_widths(data: Mapping[str, Any]) -> Any:
    return np.linspace(0.5, 1.6, len(data["horizons"]))


def _widths(ax: Axes, data: Mapping[str, Any]) -> None:
    """The key of the line widths, and of the open marker."""
    lines = [Line2D([], [], color="#555555", linewidth=w) for w in _line_widths(data)]
    names = [f"$T = {int(T)}$" for T in data["horizons"]]
    lines.append(Line2D([], [], color="#555555", marker="o", linestyle="", mfc="white", markersize=6))
    ax.legend(lines, [*names, "best of the grid"], loc="upper left", ncols=2, columnspacing=1.0)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--out DIR, --seed N, --from FILE.npz; returns the files written."""
    return figure.main(compute, draw, name="fig5", size=SIZE, argv=argv, panels=PANELS)


if __name__ == "__main__":
    main()
