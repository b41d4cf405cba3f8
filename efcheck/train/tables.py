r"""Tables 1 to 4 from result files: three readings of a test accuracy, each with its deviation, beside the printed numbers.

a_s(t): the test accuracy in percent of the run with seed s after epoch t; T its last epoch; n the number of seeds.

    final          mean_s a_s(T)
    best of mean   max_t mean_s a_s(t), at its first t: what the paper reports (the caption of Table 1)
    mean of best   mean_s max_t a_s(t)

The deviation is over the seeds with n - 1, of what the mean is over (for "best of mean" of the a_s(t) at that t); none for one
seed. The paper's tables print the second reading alone, without a deviation. The gap is the reading of an algorithm minus
that of SGDM, in percentage points. Runs are averaged only if they differ in nothing but the seed; a cell with unfinished
runs and no finished one is read up to the last epoch that all of them have, says so, and has a gap only if SGDM's cell has as
many epochs.

Source: Tables 1 to 4 with captions; Sections 6.1 and A.3.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efcheck import __version__
from efcheck.errors import EfcheckError
from efcheck.train import paper
from efcheck.train.logs import ALGORITHMS, NAMES, Log, find
from efcheck.train.manifest import Manifest, Run

READINGS = ("final", "best of mean", "mean of best")
FIRST_ALONE = "sgdm"  # shown by its accuracy; the others by their gap to it


@dataclass(frozen=True)
class Reading:
    """A mean over seeds in percent, its deviation (None for one seed), and the epoch (None where each seed has its own)."""

    mean: float
    deviation: float | None
    epoch: int | None


@dataclass(frozen=True)
class Cell:
    """An algorithm at a batch size: the runs that count, and how many epochs of theirs."""

    algorithm: str
    batch_size: int
    logs: tuple[Log, ...]
    epochs: int
    complete: bool

    @property
    def readings(self) -> dict[str, Reading]:
        """By name; empty before the first epoch."""
        return readings(np.stack([log.values("test_accuracy")[: self.epochs] for log in self.logs])) if self.epochs else {}


@dataclass(frozen=True)
class Group:
    """The runs of one setting: a main table."""

    run: dict[str, Any]
    cells: dict[tuple[int, str], Cell]
    missing: list[str] = field(default_factory=list)

    @property
    def batch_sizes(self) -> list[int]:
        """Largest first, as in the paper."""
        return sorted({batch for batch, _ in self.cells}, reverse=True)

    @property
    def experiment(self) -> paper.Experiment | None:
        """The paper's, with this network on this data or its JPEG copy."""
        return paper.nearest(self.run)

    def gap(self, batch_size: int, algorithm: str, name: str) -> float | None:
        """The reading minus SGDM's; None where one is absent, or where they have not equally many epochs."""
        base, cell = self.cells.get((batch_size, FIRST_ALONE)), self.cells.get((batch_size, algorithm))
        if base is None or cell is None or not cell.epochs or base.epochs != cell.epochs:
            return None
        return cell.readings[name].mean - base.readings[name].mean

    @property
    def head(self) -> str:
        """ "VGG19 on CIFAR-10, 200 epochs, 2-3 seeds": network, data and runs in words."""
        seeds = sorted({len(cell.logs) for cell in self.cells.values() if cell.logs}) or [0]
        return paper.described(self.run, "-".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))))

    def remarks(self) -> list[str]:
        """What it is, compared with the paper, and what is missing: sentences."""
        apart = paper.differences(self.run)
        seeds = max((len(cell.logs) for cell in self.cells.values()), default=0)
        if seeds < paper.SEEDS:
            apart.append(f"{seeds} replication{'s' if seeds > 1 else ''} instead of {paper.SEEDS}")
        if self.experiment is None:
            told = "No experiment of the paper has this network on this data: its numbers are not comparable."
        elif apart:
            told = f"Not the paper's {self.experiment.tables} as run there: {'; '.join(apart)}."
        else:
            told = f"The paper's {self.experiment.tables}, in all that the logs tell."
        finals = [cell.readings["final"].mean for cell in self.cells.values() if cell.epochs]
        if finals and min(finals) == 100:
            told += " Every last test accuracy is 100 %: this test tells nothing apart (images of one class?)."
        return [told, *self.missing]


def readings(accuracy: Any) -> dict[str, Reading]:
    """The three readings of shares (seeds, epochs), in percent.

    >>> found = readings([[0.6, 0.8, 0.7], [0.7, 0.6, 0.9]])
    >>> [(name, round(r.mean, 6)) for name, r in found.items()]
    [('final', 80.0), ('best of mean', 80.0), ('mean of best', 85.0)]
    """
    a = 100 * np.asarray(accuracy, dtype=np.float64)
    at = int(np.argmax(a.mean(axis=0)))
    chosen = ((a[:, -1], a.shape[1]), (a[:, at], at + 1), (a.max(axis=1), None))
    return {
        name: Reading(float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else None, epoch)
        for name, (v, epoch) in zip(READINGS, chosen, strict=True)
    }


@dataclass(frozen=True)
class Rate:
    """The tuning of one algorithm: rate -> (smallest test loss over the epochs, the last one), finished runs only."""

    algorithm: str
    losses: dict[float, tuple[float, float]]
    printed: float | None

    def best(self, reading: int) -> float | None:
        """The rate with the smallest test loss: reading 0 over the epochs, 1 at the last one; a diverged run never."""
        finite = {rate: pair[reading] for rate, pair in self.losses.items() if np.isfinite(pair[reading])}
        return min(finite, key=lambda rate: (finite[rate], rate)) if finite else None


@dataclass(frozen=True)
class Tuning:
    """The tuning runs of one setting: Table 2's column."""

    run: dict[str, Any]
    rates: list[Rate]
    missing: list[str]

    def remarks(self) -> list[str]:
        """What it is, compared with the paper; a best rate at an end of the grid; what is missing."""
        apart = paper.differences(self.run, paper.TUNING_EPOCHS)
        nearest = paper.nearest(self.run)
        told = "Not a tuning of the paper's." if nearest is None else f"Not Table 2 as run there: {'; '.join(apart)}."
        lines = ["Table 2, in all that the logs tell." if nearest is not None and not apart else told]
        for rate in self.rates:
            if len(rate.losses) > 1 and rate.best(0) in (min(rate.losses), max(rate.losses)):
                lines.append(f"{NAMES[rate.algorithm]}: the best rate is at an end of the rates that were run.")
        return [*lines, *self.missing]


@dataclass(frozen=True)
class Tables:
    """All that the files hold."""

    groups: list[Group]
    tunings: list[Tuning]
    missing: list[str]  # of the paper's tables, the ones without a run
    problems: list[str]  # of files that count, or could
    refused: list[str]  # of files that are wrong, or contradict others: left out

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, percent and percentage points; null where there is none."""
        from efcheck.train._tables_json import group, tuning

        told = {"groups": [group(g) for g in self.groups], "tunings": [tuning(t) for t in self.tunings]}
        lines = {"missing": self.missing, "problems": self.problems, "refused": self.refused}
        return {"efcheck": __version__, **told, **lines}


def collect(results: Path, manifest: Manifest | None = None) -> Tables:
    """Every table that the files under `results` allow; with a manifest its runs alone, and which of them are missing.

    Raises
    ------
    EfcheckError
        If the folder is not there, or no run is in it.
    """
    logs, problems, refused = find(results)
    if manifest is not None:
        logs, others = _of_manifest(logs, manifest)
        refused += others
    if not logs:
        what, got = "training runs", "none"
        if manifest is not None:
            names = [run.name for run in manifest.runs()]
            what, got = (
                f"runs of {manifest.name}",
                f"none of {len(names)}: {', '.join(names[:4])}{', ...' if names[4:] else ''}",
            )
        first = f"; {len(refused)} files are refused: {refused[0]}" if refused else ""
        raise EfcheckError(f"{results} must hold {what} (metrics.jsonl of `efcheck train`); got {got}{first}")
    by_setting: dict[Any, list[Log]] = defaultdict(list)
    for log in logs:
        problems += log.problems()
        by_setting[log.setting].append(log)
    groups, tunings = [], []
    for found in by_setting.values():
        expected = None if manifest is None else manifest.runs()
        if _is_tuning(found):
            tunings.append(_tuning(found, expected))
        else:
            groups.append(_group(found, expected, refused))
    return Tables(groups, tunings, [] if manifest is not None else _without_runs(groups, tunings), problems, refused)


def _without_runs(groups: Sequence[Group], tunings: Sequence[Tuning]) -> list[str]:
    """A line for each table of the paper that no run is for."""
    there = [group.experiment for group in groups]
    lines = [f"{e.tables} ({e.label}): no run is there" for e in paper.EXPERIMENTS if e not in there]
    return lines if tunings else [*lines, "Table 2 (tuning of the learning rates): no run is there"]


def _of_manifest(logs: Sequence[Log], manifest: Manifest) -> tuple[list[Log], list[str]]:
    """The manifest's runs; a line for each file in its folder that has the name of one and is another."""
    runs = manifest.runs()
    kept = [log for log in logs if any(run.matches(log.run) for run in runs)]
    by_name = {run.name.partition("-lr")[0]: run for run in runs if not run.grid}
    lines = [
        f"{log.path}:1: not {manifest.name}'s {log.name}: {'; '.join(by_name[log.name].differences(log.run))}; left out"
        for log in logs
        if log not in kept and log.name in by_name and manifest.name in log.path.parts
    ]
    return kept, lines


def _is_tuning(logs: Sequence[Log]) -> bool:
    """Constant rate, and more than one of them for an algorithm."""
    rates = {(log.run["algorithm"], log.run["lr"]) for log in logs}
    return bool(logs[0].run.get("constant_lr")) and len(rates) > len({algorithm for algorithm, _ in rates})


def _group(logs: Sequence[Log], expected: list[Run] | None, refused: list[str]) -> Group:
    by_cell: dict[tuple[int, str], list[Log]] = defaultdict(list)
    for log in logs:
        by_cell[log.run["batch_size"], log.run["algorithm"]].append(log)
    cells, seeds = {}, {log.run["seed"] for log in logs}
    for key, found in by_cell.items():
        cells[key] = _cell(key[1], key[0], _alike(found, refused))
    if expected is None:
        wanted = {(b, a, s) for b, _ in by_cell for a in ALGORITHMS for s in seeds}
    else:
        wanted = {(run.batch_size, run.algorithm, run.seed) for run in expected}
    there = {(log.run["batch_size"], log.run["algorithm"], log.run["seed"]) for log in logs}
    return Group(logs[0].run, cells, [*_absent(wanted - there), *_short_cells(cells, logs[0].run["epochs"])])


def _alike(logs: list[Log], refused: list[str]) -> list[Log]:
    """Those that are replications of the first: the same rate and hyper-parameters, another seed and other numbers."""
    first, kept = logs[0], list[Log]()
    for log in logs:
        twin = next((other for other in kept if log.rows and other.rows and log.same_numbers(other)), None)
        if _hyper(log) != _hyper(first):
            refused.append(f"{log.path}:1: no replication of {first.path}: another rate or optimizer; left out")
        elif twin is not None:
            refused.append(f"{log.path}:1: no replication of {twin.path}: another seed, the same numbers; left out")
        else:
            kept.append(log)
    return kept


def _hyper(log: Log) -> str:
    """Rate and optimizer, but for the form in which it is computed."""
    optimizer = log.run.get("optimizer") or {}
    return json.dumps([log.run["lr"], {key: optimizer[key] for key in sorted(optimizer) if key != "form"}])


def _cell(algorithm: str, batch_size: int, logs: list[Log]) -> Cell:
    """Finished runs where there are any, else the unfinished ones, up to the epoch that all have; no diverged one."""
    sound = [log for log in logs if log.diverged is None]
    done = [log for log in sound if log.complete]
    used = tuple(done or [log for log in sound if log.rows])
    epochs = min((len(log.rows) for log in used), default=0)
    return Cell(algorithm, batch_size, used, epochs, bool(done))


def _absent(runs: set[tuple[int, str, int]]) -> list[str]:
    """ "absent: EF-signSGD, batch size 8: seeds 2, 3" """
    cells: dict[tuple[int, str], list[int]] = defaultdict(list)
    for batch, algorithm, seed in runs:
        cells[batch, algorithm].append(seed)
    order = sorted(cells, key=lambda key: (-key[0], ALGORITHMS.index(key[1])))
    return [
        f"absent: {NAMES[a]}, batch size {b}: seed{'s' * (len(cells[b, a]) > 1)} {', '.join(map(str, sorted(cells[b, a])))}"
        for b, a in order
    ]


def _short_cells(cells: dict[tuple[int, str], Cell], epochs: int) -> list[str]:
    lines, seeds = [], max((len(cell.logs) for cell in cells.values()), default=0)
    for (batch, algorithm), cell in sorted(cells.items(), key=lambda item: (-item[0][0], ALGORITHMS.index(item[0][1]))):
        who = f"{NAMES[algorithm]}, batch size {batch}"
        if not cell.epochs:
            lines.append(f"nothing to read: {who}")
        elif not cell.complete:
            lines.append(f"unfinished (*): {who}: {cell.epochs} of {epochs} epochs; no gap but to equally many")
        elif len(cell.logs) < seeds:
            lines.append(f"fewer finished seeds: {who}: {len(cell.logs)} of {seeds}")
    return lines


def _tuning(logs: Sequence[Log], expected: list[Run] | None) -> Tuning:
    nearest = paper.nearest(logs[0].run)
    rates, missing = [], []
    for algorithm in ALGORITHMS:
        found = [log for log in logs if log.run["algorithm"] == algorithm]
        finished = [log for log in found if log.complete or log.diverged is not None]
        by_rate: dict[float, list[Log]] = defaultdict(list)
        for log in finished:
            by_rate[log.run["lr"]].append(log)
        losses = {rate: _losses(same) for rate, same in sorted(by_rate.items())}
        printed = paper.best_rate(nearest, algorithm) if nearest is not None else None
        rates.append(Rate(algorithm, losses, printed))
        wanted = {r.lr for r in expected or () if r.algorithm == algorithm}
        wanted |= {log.run["lr"] for log in (found if expected else logs)}
        gone = sorted(w for w in wanted if not any(np.isclose(w, rate, rtol=1e-9, atol=0) for rate in losses))
        if gone:
            missing.append(f"absent or unfinished: {NAMES[algorithm]} with rate {', '.join(f'{rate:.2g}' for rate in gone)}")
    return Tuning(logs[0].run, rates, missing)


def _losses(logs: Sequence[Log]) -> tuple[float, float]:
    """The test loss, mean over seeds: its minimum over the epochs, and the last; infinite where a run diverged."""
    if any(log.diverged is not None for log in logs):
        return float("inf"), float("inf")
    mean = np.stack([log.values("test_loss") for log in logs]).mean(axis=0)
    return float(mean.min()), float(mean[-1])
