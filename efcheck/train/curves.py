"""The curves of Figures 2, 4, 6 and 7 from result files: means over seeds and bands of one standard deviation.

Figures 4, 6 and 7 are one drawing: a row of panels for each of some metrics, a column for each batch size, the four
algorithms in each. A figure is drawn from the paper's experiment where its runs are there, else from the nearest one that
is, and says in the picture what it shows. The printed test accuracies stand at the right edge only where they are comparable.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from efcheck import content, figure
from efcheck.errors import argument_error
from efcheck.train import paper
from efcheck.train.logs import ALGORITHMS, NAMES, Log
from efcheck.train.tables import Group, collect

STYLES = dict(zip(ALGORITHMS, ("SGDm", "scaled signSGD", "signSGDm", "EF-signSGD"), strict=True))
LABELS = {
    "train_loss": "train loss",
    "test_loss": "test loss",
    "train_accuracy": "train accuracy, %",
    "test_accuracy": "test accuracy, %",
}
_MOST = 4  # columns
_LINE = 120  # letters of 6 points in 6.75 inches
_DATA = ("cifar10", "cifar10-jpeg", "cifar100", "fashion-mnist")  # nearest last resort last
_MODELS = ("vgg19", "resnet18", "cnn")


def main(
    compute: Callable[..., Any], draw: figure.Draw, name: str, size: figure.Size, argv: Sequence[str] | None
) -> list[Path]:
    """A figure's command line with --results DIR: the folder of result files, by default the committed ones."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--results")
    options, rest = parser.parse_known_args(argv)
    if options.results is not None:
        compute = partial(compute, results=options.results)
    return figure.main(compute, draw, name, size, rest)


def nearest(experiment: paper.Experiment, results: str | None, wanted: Callable[[Log], bool] = lambda log: True) -> Group:
    """The group of runs that is nearest to the paper's experiment.

    All training images before a part of them; then the paper's network; then its data; then the most epochs.

    Raises
    ------
    ArgumentError
        If there are no results, or none that is `wanted`.
    """
    place = content.folder("results") if results is None else Path(results)
    if place is None or not place.is_dir():
        got = "no folder results" if place is None else f"{place}, which is not there"
        raise argument_error("results", "be a folder with training results", got, "Make some with `efcheck train`.")
    groups = [group for group in collect(place).groups if any(wanted(log) for c in group.cells.values() for log in c.logs)]
    if not groups:
        raise argument_error("results", "hold runs that this figure can be drawn from", str(place))
    return min(groups, key=lambda group: _distance(group, experiment))


def _distance(group: Group, experiment: paper.Experiment) -> tuple[Any, ...]:
    run = group.run
    data = 0 if run["data"] == experiment.data else 1 + _place(_DATA, run["data"])
    model = 0 if run["model"] == experiment.model else 1 + _place(_MODELS, run["model"])
    epochs = max((cell.epochs for cell in group.cells.values()), default=0)
    return run.get("limit_train") is not None, model, data, -epochs, -len(group.cells)


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


def arrays(group: Group, experiment: paper.Experiment, metrics: Sequence[str]) -> dict[str, Any]:
    """For each metric (batch sizes, algorithms, seeds, epochs), NaN where absent; accuracies in percent.

    "batch_sizes", "algorithms", "paper" (batch sizes, algorithms): the printed test accuracy where it is comparable, else
    NaN; "note": what is shown, and what the paper has in its place.
    """
    batches = group.batch_sizes[:_MOST]
    seeds = max((len(cell.logs) for cell in group.cells.values()), default=0)
    epochs = max((len(log.rows) for cell in group.cells.values() for log in cell.logs), default=0)
    found: dict[str, Any] = {m: np.full((len(batches), len(ALGORITHMS), seeds, epochs), np.nan) for m in metrics}
    for (batch, algorithm), cell in group.cells.items():
        if batch in batches:
            for s, log in enumerate(cell.logs):
                for m in metrics:
                    scale = 100 if m.endswith("accuracy") else 1
                    at = batches.index(batch), ALGORITHMS.index(algorithm), s
                    found[m][at][: len(log.rows)] = scale * log.values(m)
    printed = [[_comparable(group, experiment, batch, a) for a in ALGORITHMS] for batch in batches]
    return {
        **found, "metrics": np.array(metrics), "batch_sizes": np.array(batches), "algorithms": np.array(ALGORITHMS),
        "paper": np.array(printed), "epochs": group.run["epochs"], "note": note(group, experiment),
    }  # fmt: skip


def _comparable(group: Group, experiment: paper.Experiment, batch: int, algorithm: str) -> float:
    """The printed accuracy, for the paper's network on its data or the JPEG copy of it, all images; else NaN."""
    whole = group.run.get("limit_train") is None and group.run.get("limit_test") is None
    printed = paper.numbers(experiment, batch, algorithm) if group.experiment == experiment and whole else None
    return float("nan") if printed is None else printed[0]


def note(group: Group, experiment: paper.Experiment) -> str:
    """ "A small CNN on Fashion-MNIST, 10 epochs, 3 seeds. The paper: ResNet18 on CIFAR-100, 200 epochs" """
    if group.experiment == experiment and not paper.differences(group.run):
        return f"{group.head}, as in the paper"
    return f"{group.head}. The paper: {experiment.label}, {paper.EPOCHS} epochs"


def mean_and_deviation(values: Any) -> tuple[Any, Any]:
    """Over seeds (axis 0) that have the epoch: mean, NaN where there is none, and deviation with n - 1, 0 for one seed.

    >>> mean_and_deviation(np.array([[1.0, 2.0], [3.0, np.nan]]))
    (array([2., 2.]), array([1.41421356, 0.        ]))
    """
    there = np.isfinite(values)
    n = there.sum(axis=0)
    mean = np.where(n > 0, np.where(there, values, 0).sum(axis=0) / np.maximum(n, 1), np.nan)
    squares = np.where(there, np.square(values - mean), 0).sum(axis=0)
    return mean, np.sqrt(squares / np.maximum(n - 1, 1))


def band(ax: Axes, values: Any, algorithm: str, **look: Any) -> None:
    """The mean of (seeds, epochs) against the epoch, with a band of one standard deviation."""
    style = figure.STYLES[STYLES[algorithm]]
    mean, deviation = mean_and_deviation(values)
    if not np.isfinite(mean).any():
        return
    epoch = np.arange(1, len(mean) + 1)
    look = {"color": style.color, "linestyle": style.linestyle, "marker": style.marker, "label": NAMES[algorithm], **look}
    every = max(1, len(mean) // 6)
    ax.plot(epoch, mean, markevery=(every // 2, every), markersize=2.5, linewidth=1.0, **look)
    ax.fill_between(epoch, mean - deviation, mean + deviation, color=look["color"], alpha=0.2, lw=0)


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """A row of panels for each metric, a column for each batch size; the axis that is given is replaced by them."""
    metrics, batches = [str(m) for m in data["metrics"]], data["batch_sizes"]
    drawing: Any = axes[0].figure
    axes[0].remove()
    grid = drawing.subplots(len(metrics), len(batches), squeeze=False, sharex=True)
    for i, metric in enumerate(metrics):
        for j, batch in enumerate(batches):
            ax = grid[i][j]
            for k, algorithm in enumerate(data["algorithms"]):
                band(ax, data[metric][j, k], str(algorithm))
            _limits(ax, data[metric][j], metric)
            if metric == "test_accuracy":
                _marks(ax, data["paper"][j], data["algorithms"])
            ax.set_xlim(0, 1.03 * int(data["epochs"]))  # the last markers whole
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            if i == len(metrics) - 1:
                ax.set_xlabel(f"epoch, batch size {batch}")
            if j == 0:
                ax.set_ylabel(LABELS[metric])
    handles = {label: handle for ax in grid.flat for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    drawing.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=len(handles))
    words = textwrap.wrap(_words(data), _LINE)
    drawing.text(0.005, 0.003, "\n".join(words), fontsize=6, ha="left", va="bottom")
    part = (0.05 + 0.11 * len(words)) / drawing.get_figheight()  # inches for a line of 6 points
    drawing.get_layout_engine().set(rect=(0, part, 1, 1 - part))


def _words(data: Mapping[str, Any]) -> str:
    marks = ". Ticks at the right: printed best means" if np.isfinite(data["paper"]).any() else ""
    return f"{data['note']}. Bands: one standard deviation{marks}."


def _limits(ax: Axes, values: Any, metric: str) -> None:
    """From a little under the 5 % quantile: what the first epochs do must not flatten the rest."""
    finite = values[np.isfinite(values)]
    if len(finite) and metric.endswith("accuracy"):
        low, high = np.quantile(finite, 0.05), finite.max()
        ax.set_ylim(max(0.0, low - 0.05 * (high - low) - 0.5), min(100.0, high + 0.1 * (high - low) + 0.5))
    elif len(finite):
        ax.set_ylim(0, 1.05 * np.quantile(finite, 0.97) + 1e-3)


def _marks(ax: Axes, printed: Any, algorithms: Any) -> None:
    """Short ticks at the right edge, in the colours of the algorithms; one below the panel is named there."""
    low, high = ax.get_ylim()
    low = min([low, *(value - 1 for value in printed if value > low - 0.5 * (high - low))])
    ax.set_ylim(low, max([high, *(value + 1 for value in printed if np.isfinite(value))]))
    for value, algorithm in zip(printed, algorithms, strict=True):
        color = figure.STYLES[STYLES[str(algorithm)]].color
        if value >= low:
            ax.axhline(value, xmin=0.94, xmax=1, color=color, linewidth=1.4)
        elif np.isfinite(value):
            ax.annotate(f"{value:.1f}", (0.99, 0.02), xycoords="axes fraction", ha="right", fontsize=6, color=color)
