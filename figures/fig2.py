r"""Figure 2: the density of the gradient and of the corrected step while a network trains with EF-signSGD (Section 4.1).

Claims  network-density-figure: the caption has a least phi(g_t + e_t) above 0.13, VGG19 on CIFAR-10, batch size 128.
        phi(v) = ||v||_1^2 / (d ||v||_2^2) over all parameters. Our p_t = gamma g_t + e_t (Alg. 1) has e in units of x: while
        gamma is constant its density is that of the caption's g_t + e_t, e in units of g. Each epoch's point is a mean
        over a few steps of it, so a least value over all steps may be lower. Where VGG19's runs are not among the results,
        the nearest are drawn, and the picture says so; 0.13 is marked for VGG19 on CIFAR-10 or the JPEG copy alone.
Reads   results/, or --results DIR        Writes  fig2.{pdf,png,npz,json}        Time  2 s
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from efcheck import content, figure

SIZE = figure.HALF_WIDTH
PANELS = 1
EXPERIMENT = 1  # of efcheck.train.paper.EXPERIMENTS: VGG19 on CIFAR-10
ALGORITHM, BATCH_SIZE = "ef-signsgd", 128
LINE = 76  # letters of 5.5 points in 3.25 inches
LOOKS = {
    "density_p": {"color": "#0072B2", "linestyle": "-", "marker": "^", "label": r"$\phi(\gamma g_t + e_t)$"},
    "density_g": {"color": "#D55E00", "linestyle": "--", "marker": "s", "label": r"$\phi(g_t)$"},
}


def compute(seed: int = 0, results: str | None = None) -> dict[str, Any]:
    """ "density_g", "density_p" (seeds, epochs), "batch_size", "note", and "printed": 0.13 or NaN. No chance is used.

    The batch size is 128, else the largest with runs of EF-signSGD.
    """
    from efcheck.train import curves, paper  # the list of figures must not need torch's extra

    experiment = paper.EXPERIMENTS[EXPERIMENT]
    group = curves.nearest(experiment, results, lambda log: log.run["algorithm"] == ALGORITHM and len(log.rows) > 0)
    batches = [b for b in group.batch_sizes if (b, ALGORITHM) in group.cells and group.cells[b, ALGORITHM].logs]
    batch = BATCH_SIZE if BATCH_SIZE in batches else batches[0]
    logs = group.cells[batch, ALGORITHM].logs
    found = {key: np.full((len(logs), max(len(log.rows) for log in logs)), np.nan) for key in LOOKS}
    for key, values in found.items():
        for row, log in zip(values, logs, strict=True):
            row[: len(log.rows)] = log.values(key)
    comparable = group.experiment == experiment and batch == BATCH_SIZE
    return {
        **found,
        "batch_size": batch,
        "note": curves.note(group, experiment),
        "printed": _printed() if comparable else np.nan,
    }


def _printed() -> float:
    """What the caption says phi(g_t + e_t) exceeds."""
    place = content.folder("proofs_numeric")
    return float(content.load(place / "networks.py").LEAST_DENSITY) if place is not None else float("nan")


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """Both densities against the epoch."""
    from efcheck.train import curves

    ax = axes[0]
    for key, look in LOOKS.items():
        curves.band(ax, data[key], ALGORITHM, **look)
    if np.isfinite(data["printed"]):
        ax.axhline(
            data["printed"], color="0.4", linewidth=0.7, linestyle=":", label=f"{float(data['printed']):g} of the caption"
        )
    ax.set_ylim(0, None)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_xlabel(f"epoch, batch size {int(data['batch_size'])}")
    ax.set_ylabel(r"density $\phi$, epoch's mean")
    ax.legend(loc="best")
    shown, _, paper = str(data["note"]).partition(". ")
    told = [*textwrap.wrap(shown, LINE), f"{paper}. " * bool(paper) + "Bands: one standard deviation"]
    ax.figure.supxlabel("\n".join(told), fontsize=5.5)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--results DIR, --out DIR, --from FILE.npz; returns the files written."""
    from efcheck.train import curves

    return curves.main(compute, draw, "fig2", SIZE, argv)


if __name__ == "__main__":
    main()
