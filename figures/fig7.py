"""Figure 7: losses and accuracies on train and test data, VGG19 on CIFAR-10 (Appendix A.5).

Claims  tables-always, tables-matches, tables-as-in-resnet.
        Mean over the replications and a band of one standard deviation, as in the paper. Where the paper's runs are not
        among the results, the nearest experiment is drawn, and the picture says which; printed test accuracies are marked
        where the network and the data are the paper's.
Reads   results/, or --results DIR        Writes  fig7.{pdf,png,npz,json}        Time  2 s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

SIZE = (6.75, 6.6)
PANELS = 1
METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
EXPERIMENT = 1  # of efcheck.train.paper.EXPERIMENTS: VGG19 on CIFAR-10


def compute(seed: int = 0, results: str | None = None) -> dict[str, Any]:
    """What efcheck.train.curves.arrays has: for each metric (batch sizes, algorithms, seeds, epochs). No chance is used."""
    from efcheck.train import curves, paper  # the list of figures must not need torch's extra

    experiment = paper.EXPERIMENTS[EXPERIMENT]
    return curves.arrays(curves.nearest(experiment, results), experiment, METRICS)


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """A row of panels for each metric, a column for each batch size."""
    from efcheck.train import curves

    curves.draw(axes, data)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--results DIR, --out DIR, --from FILE.npz; returns the files written."""
    from efcheck.train import curves

    return curves.main(compute, draw, "fig7", SIZE, argv)


if __name__ == "__main__":
    main()
