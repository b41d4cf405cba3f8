"""Trajectories in the plane on Counterexamples 2 and 3: who leaves the line x1 + x2 = 2 (Section 3).

Claims  counterexample-2, counterexample-3: signSGD, scaled or not, stays on the line; error feedback reaches x* = 0.
        EF21's theory asks for a smooth f: on Counterexample 2 it runs past x* for ever. Its estimate u is exact before
        x*; beyond, x1 - x2 still changes sign at every step, so g - u is (-3, 1) or (1, -3), with scaled sign (-2, 2)
        or (2, -2): u1 + u2 stays what it was before x*.
Reads   nothing        Writes  trajectories.{pdf,png,npz,json}        Time  2 s
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from efcheck import figure
from efcheck.compressors import ScaledSign, TopK
from efcheck.methods import EF21, EFSGD, SGD, SignSGD
from efcheck.problems import LeastSquares2D, NonSmooth2D
from efcheck.simulate import simulate

SIZE = (6.75, 2.7)
PANELS = 2
LOW, HIGH = -0.65, 2.0  # of both axes
METHODS: dict[str, Callable[[Any], Any]] = {
    "SGD": SGD,
    "signSGD": SignSGD,
    "scaled signSGD": lambda gamma: SignSGD(gamma, scaled=True),
    "signSGDm": lambda gamma: SignSGD(gamma, beta=0.9),
    "EF-signSGD": lambda gamma: EFSGD(gamma, ScaledSign()),
    "EF top-1": lambda gamma: EFSGD(gamma, TopK(1)),
    "EF21-sign": lambda gamma: EF21(gamma, ScaledSign()),
}


def decreasing(gamma0: float) -> Callable[[int], float]:
    """gamma_t = gamma0 / sqrt(t + 1), t from 0."""
    return lambda t: gamma0 / float(np.sqrt(t + 1))


def compute(seed: int = 0, T: int = 400, epsilon: float = 0.5, points: int = 101) -> dict[str, Any]:
    """Every method from (1, 1), with one step-size sequence for each problem and the same gradient noise.

    "nonsmooth_x", "least_squares_x": (methods, T + 1, 2); "..._f": f on the grid of "axis", rows along x2.
    """
    axis = np.linspace(-1.0, 2.6, points)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    data: dict[str, Any] = {"labels": np.array(list(METHODS)), "axis": axis, "epsilon": epsilon}
    problems = {"nonsmooth": NonSmooth2D(epsilon=epsilon, zero=1), "least_squares": LeastSquares2D(epsilon)}
    for name, gamma0 in (("nonsmooth", 0.15), ("least_squares", 0.15)):
        problem = problems[name]
        runs = [_trajectory(problem, make(decreasing(gamma0)), T, seed) for make in METHODS.values()]
        data |= {f"{name}_x": np.stack(runs), f"{name}_f": problem.f(grid).reshape(points, points)}
        data[f"{name}_gamma0"] = gamma0
    return data


def _trajectory(problem: Any, method: Any, T: int, seed: int) -> Any:
    x0 = np.array([1.0, 1.0])
    return simulate(problem, method, T, runs=1, seed=seed, x0=x0, record=("x",), every=1)["x"][:, 0]


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """A panel for each problem: contour lines of f, one path per method, its last iterate marked."""
    for ax, name in zip(axes, ("nonsmooth", "least_squares"), strict=True):
        draw_one(ax, data, name)
    for ax, number in zip(axes, (2, 3), strict=True):
        place = {"transform": ax.transAxes, "ha": "right", "va": "bottom", "zorder": 30}
        ax.text(0.98, 0.03, f"Counterexample {number}", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **place)
    handles, labels = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(handles, labels, loc="outside right center")


def draw_one(ax: Axes, data: Mapping[str, Any], name: str) -> None:
    """The panel of one problem, "nonsmooth" or "least_squares"."""
    _background(ax, data["axis"], data[f"{name}_f"])
    for order, (label, x) in enumerate(zip(data["labels"], data[f"{name}_x"], strict=True)):
        style = figure.STYLES[str(label)]
        line = {"color": style.color, "linestyle": style.linestyle, "linewidth": 1.1, "alpha": 0.9}
        ax.plot(x[:, 0], x[:, 1], **line, marker=style.marker, markevery=[-1], label=label, zorder=3 + order)
        if x[-1].min() < LOW:
            ax.text(-0.32, -0.52, "to ({:.1f}, {:.1f})".format(*x[-1]), color=style.color, fontsize=7, zorder=30)


def _background(ax: Axes, axis: Any, f: Any) -> None:
    ax.contour(axis, axis, f, levels=f.max() * np.linspace(0.05, 1, 10) ** 2, colors="#DCDCDC", linewidths=0.6, zorder=1)
    ax.plot([-1, 3], [3, -1], color="#9A9A9A", linewidth=0.6, zorder=2)
    ax.plot(0, 0, "*", color="black", markersize=9, zorder=20)
    ax.annotate("$x^*$", (0, 0), xytext=(7, -4), textcoords="offset points", va="top", zorder=20)
    ax.annotate("$x_0$", (1, 1), xytext=(6, 5), textcoords="offset points", zorder=20)
    ax.text(0.3, 1.74, "$x_1 + x_2 = 2$", color="#6A6A6A", fontsize=7, rotation=-45, ha="left", va="center", zorder=2)
    ax.set_aspect("equal")
    ax.set_xlim(LOW, HIGH)
    ax.set_ylim(LOW, HIGH)
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--out DIR, --seed N, --from FILE.npz; returns the files written."""
    return figure.main(compute, draw, name="trajectories", size=SIZE, argv=argv, panels=PANELS)


if __name__ == "__main__":
    main()
