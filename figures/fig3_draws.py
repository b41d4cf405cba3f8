"""Figure 3 over all draws of its data, weighted exactly: test loss over the epochs, at the end, and which draws exceed 0.8.

Claims  generalization-signsgd, generalization-ef, generalization-signsgdm, generalization-picture, generalization-separation
        (counterexamples/generalization*.py). A run depends on the data only through k and m, the numbers of labels +1 in the
        train and in the test half, both Binomial(100, 1/2): 101 exact runs are all of them.
Reads   nothing        Writes  fig3_draws.{pdf,png,npz,json}        Time  3 s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from efcheck import content, figure

SIZE = (6.75, 2.6)
PANELS = 3
NAMES = {"SGD": "SGD", "scaled signSGD": "scaled signSGD", "signSGDM": "signSGDm", "EF-signSGD": "EF-signSGD"}
QUANTILES = (0.05, 0.5, 0.95)


def compute(seed: int = 0) -> dict[str, Any]:
    """Nothing is random. "weight" (101, 101) of each (k, m); "final" (methods, 101, 101) test loss after 80 epochs.

    "band" (methods, 3, 81): the 5 %, 50 % and 95 % quantiles of the test loss over all draws, at each epoch.
    """
    wilson = content.load(Path(__file__).resolve().parents[1] / "counterexamples" / "_wilson.py")
    size = wilson.N + 1
    single = np.array([comb(wilson.N, k) / 2**wilson.N for k in range(size)])
    weight, share = np.outer(single, single), np.arange(size) / wilson.N
    final, band = [], []
    for method in wilson.FIGURE_3.values():
        pairs = np.array([[[float(v) for v in s.test_losses()] for s in states] for states in wilson.paths(method)])
        losses = pairs[..., :1] * share + pairs[..., 1:] * (1 - share)  # (k, t, m)
        final.append(losses[:, -1])
        band.append([_quantiles(losses[:, t], weight) for t in range(losses.shape[1])])
    return {
        "method": np.array(list(NAMES.values())), "weight": weight, "final": np.array(final),
        "band": np.array(band).transpose(0, 2, 1),
    }  # fmt: skip


def _quantiles(values: np.ndarray, weight: np.ndarray) -> list[float]:
    order = np.argsort(values, axis=None)
    below = np.cumsum(weight.ravel()[order])
    return [float(values.ravel()[order[min(np.searchsorted(below, q), order.size - 1)]]) for q in QUANTILES]


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """Bands over the epochs; the distribution at the end; the (k, m) plane for scaled signSGD, with circles around about
    75 % and 99 % of all draws."""
    for name, band, final in zip(data["method"], data["band"], data["final"], strict=True):
        style = figure.STYLES[str(name)]
        look = {"color": style.color, "linestyle": style.linestyle}
        t = np.arange(band.shape[1])
        axes[0].fill_between(t, band[0], band[2], color=style.color, alpha=0.18, linewidth=0)
        axes[0].plot(t, band[1], **look, marker=style.marker, markevery=(3, 16), markersize=3, label=str(name))
        order = np.argsort(final, axis=None)
        share = np.cumsum(data["weight"].ravel()[order])
        axes[1].plot(final.ravel()[order], share, **look, drawstyle="steps-post")
    axes[0].set(xlabel="epoch $t$", ylabel="test loss: median and 90 % band", ylim=(0, 3))
    axes[0].legend(loc="upper right", fontsize=6)
    axes[1].set(xlabel="test loss after 80 epochs (log)", ylabel="share of all draws below", xscale="log", xlim=(1e-4, 5))
    axes[1].axvline(0.8, color="0.5", linewidth=0.6)
    _plane(axes[2], data)


def _plane(ax: Axes, data: Mapping[str, Any]) -> None:
    scaled = data["final"][[str(name) for name in data["method"]].index("scaled signSGD")]
    ax.contourf(scaled.T, levels=[0.8, np.inf], colors=["#E69F00"], alpha=0.5)
    ax.contour(scaled.T, levels=[0.8], colors="k", linewidths=0.8)
    peak = data["weight"].max()
    levels = peak * np.exp(-0.5 * np.array([9.21, 2.77]))  # a normal law has 99 % and 75 % of its mass inside
    ax.contour(data["weight"].T, levels=levels, colors="0.35", linewidths=0.7, linestyles=[":", "--"])
    ax.text(62, 33, "above 0.8", ha="center", fontsize=6)
    ax.text(36, 66, "below", ha="center", fontsize=6)
    ax.set(xlim=(30, 70), ylim=(30, 70), xlabel="labels $+1$ in the train half, $k$", ylabel="in the test half, $m$")
    ax.set_aspect("equal")


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """The command line: `figures/fig3_draws.py --help`."""
    return figure.main(compute, draw, "fig3_draws", SIZE, argv, panels=PANELS)


if __name__ == "__main__":
    main()
