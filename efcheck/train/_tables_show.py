"""The tables on a terminal of 80 columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from efcheck.train import paper
from efcheck.train.logs import ALGORITHMS, NAMES
from efcheck.train.tables import FIRST_ALONE, READINGS, Cell, Group, Tables, Tuning

_WIDTH = 80


def show(found: Tables, console: Console | None = None) -> None:
    """Every table with its remarks, then one line for each problem."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    for group in found.groups:
        _print(console, group.head, _main(group), group.remarks())
    for tuning in found.tunings:
        _print(console, f"{paper.label(tuning.run)}: learning rates", _rates(tuning), tuning.remarks())
    for line in (*found.missing, *found.problems, *found.refused):
        console.print(Text(line), soft_wrap=True)


def _print(console: Console, head: str, table: Table, remarks: list[str]) -> None:
    console.print(Text(head[:1].upper() + head[1:], style="bold"), soft_wrap=True)
    console.print(table)
    for line in remarks:
        console.print(Text(line))
    console.print()


def _main(group: Group) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("batch", "test accuracy, %"):
        table.add_column(name)
    for algorithm in ALGORITHMS:
        table.add_column(NAMES[algorithm].replace("scaled ", "scaled\n"), justify="right", no_wrap=True)
    experiment = group.experiment
    exact = experiment is not None and experiment.data == group.run["data"]
    for batch in group.batch_sizes:
        for i, name in enumerate(READINGS):
            words = [_word(group, batch, algorithm, name) for algorithm in ALGORITHMS]
            table.add_row(str(batch) if i == 0 else "", name, *words)
        if experiment is not None and paper.numbers(experiment, batch, FIRST_ALONE) is not None:
            where = "paper" if exact else f"paper ({paper.DATA[experiment.data]})"
            table.add_row("", where, *(_printed(experiment, batch, a) for a in ALGORITHMS), style="italic")
    return table


def _word(group: Group, batch: int, algorithm: str, name: str) -> str:
    """SGDM: accuracy and deviation. The others: gap and the deviation of their accuracy, the accuracy where no gap is."""
    cell: Cell | None = group.cells.get((batch, algorithm))
    if cell is None or not cell.epochs:
        return "-"
    reading, gap = cell.readings[name], group.gap(batch, algorithm, name)
    value = f"{reading.mean:.2f}" if algorithm == FIRST_ALONE or gap is None else f"{gap:+.2f}"
    spread = "" if reading.deviation is None else f"±{reading.deviation:.2f}"
    return f"{value}{spread}{'' if cell.complete else '*'}"


def _printed(experiment: paper.Experiment, batch: int, algorithm: str) -> str:
    found = paper.numbers(experiment, batch, algorithm)
    if found is None:
        return "-"
    return f"{found[0]:.2f}" if algorithm == FIRST_ALONE else f"{found[1]:+.2f}"


def _rates(tuning: Tuning) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("rate with the smallest test loss", "over epochs", "at the last", "paper", "rates run"):
        table.add_column(name, justify="left" if "smallest" in name else "right")
    for rate in tuning.rates:
        words = [_rate(rate.best(0)), _rate(rate.best(1)), _rate(rate.printed), str(len(rate.losses))]
        table.add_row(NAMES[rate.algorithm], *words)
    return table


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
