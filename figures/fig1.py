"""Figure 1: what the sign forgets (Section 3, Counterexample 2).

Claims  counterexample-2: wherever x1 + x2 > 0, sign(g) = +-(1, -1), and the error g - sign(g) = epsilon (1, 1) is lost
Reads   nothing        Writes  fig1.{pdf,png,npz,json}        Time  1 s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from efcheck import figure
from efcheck.problems import NonSmooth2D

SIZE = figure.HALF_WIDTH
PANELS = 1
ERROR_RED = "#C1121F"


def compute(seed: int = 0, epsilon: float = 0.5, points: int = 241) -> dict[str, Any]:
    """Gradients and their signs at a point on either side of x1 = x2, and f on a grid. Nothing is random.

    "x", "g", "sign", "error": (2, 2), a row for each point; "f": (points, points) on the grid of "axis", rows along x2.
    """
    problem = NonSmooth2D(epsilon=epsilon)
    x = np.array([[1.05, 0.45], [0.45, 1.05]])
    g = problem.gradient(x, np.random.default_rng(seed))
    axis = np.linspace(-2.6, 2.6, points)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    f = problem.f(grid).reshape(points, points)
    return {"epsilon": epsilon, "x": x, "g": g, "sign": np.sign(g), "error": g - np.sign(g), "axis": axis, "f": f}


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """Both gradients, their signs and errors, as arrows from one origin, over the contour lines of f."""
    (ax,) = axes
    ax.contour(data["axis"], data["axis"], data["f"], levels=np.arange(0.5, 5, 0.5), colors="#DCDCDC", linewidths=0.6)
    ax.axhline(0, color="#9A9A9A", linewidth=0.5, zorder=1)
    ax.axvline(0, color="#9A9A9A", linewidth=0.5, zorder=1)
    origin = np.zeros(2)
    for g, sign, error in zip(data["g"], data["sign"], data["error"], strict=True):
        _arrow(ax, origin, sign, "black", (0, (4, 2)))
        _arrow(ax, origin, g, "black", "-")
        _arrow(ax, sign, sign + error, ERROR_RED, "-")
    ax.plot(0, 0, "o", color="black", markersize=2.5, zorder=4)
    _labels(ax, data)
    ax.set_aspect("equal")
    ax.set_xlim(-2.0, 2.55)
    ax.set_ylim(-1.6, 1.95)
    ax.set_xticks([-1, 0, 1, 2])
    ax.set_yticks([-1, 0, 1])
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")


def _labels(ax: Axes, data: Mapping[str, Any]) -> None:
    side = {"fontsize": 8, "zorder": 5, "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}}
    right, left = (0, 1) if data["g"][0, 0] > data["g"][1, 0] else (1, 0)
    ax.text(*(data["g"][right] * 0.62 + [0.0, -0.2]), r"$\mathbf{g}$", ha="center", va="center", **side)
    ax.text(*(data["g"][left] * 0.62 + [-0.2, 0.0]), r"$\mathbf{g}$", ha="center", va="center", **side)
    ax.text(*(data["sign"][right] * 0.62 + [-0.1, -0.1]), r"$\mathbf{s}$", ha="right", va="top", **side)
    ax.text(*(data["sign"][left] * 0.62 + [-0.1, -0.1]), r"$\mathbf{s}$", ha="right", va="top", **side)
    for row, shift, align in ((right, [0.12, -0.1], "left"), (left, [-0.1, 0.12], "right")):
        middle = data["sign"][row] + data["error"][row] / 2 + shift
        ax.text(*middle, r"$\mathbf{e}$", color=ERROR_RED, ha=align, va="center", **side)


def _arrow(ax: Axes, start: Any, end: Any, color: str, linestyle: Any) -> None:
    """A line that carries the style and a solid head, for a dashed head would be torn."""
    tail = start + (end - start) * (1 - 0.1 / np.linalg.norm(end - start))
    ax.plot(*np.stack([start, tail], axis=1), color=color, linestyle=linestyle, linewidth=1.3, zorder=3)
    head = {"arrowstyle": "-|>", "color": color, "linewidth": 0, "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    back = start + (end - start) * 0.8
    ax.annotate("", xy=end, xytext=back, arrowprops=head, zorder=3)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--out DIR, --seed N, --from FILE.npz; returns the files written."""
    return figure.main(compute, draw, name="fig1", size=SIZE, argv=argv, panels=PANELS)


if __name__ == "__main__":
    main()
