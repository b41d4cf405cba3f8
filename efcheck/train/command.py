"""`efcheck train`: what it does once its options are parsed."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich import progress as rich_progress
from rich.console import Console

from efcheck.errors import argument_error, integer, real
from efcheck.report import make_folder
from efcheck.train import checkpoint, schedule
from efcheck.train import data as datasets
from efcheck.train._settings import MOST, Settings, option
from efcheck.train._setup import device_named, epochs, model_options
from efcheck.train._stop import Stopped
from efcheck.train._watch import DivergedError
from efcheck.train.loop import Run, train

_REFRESH = 0.1  # seconds between two drawings of the bar


def run(options: dict[str, Any], folder: Path, out: Path, *, resume: bool, every: float, download: bool) -> int:
    """Train as the options say; the exit code: 0 trained, 1 not finite, 128 + the signal's number when stopped.

    Raises
    ------
    EfcheckError
        In one line, if an option, the data, OUT or a checkpoint is not as it must be. Nothing is written then.
    """
    settings = settings_of(options)
    real(option("checkpoint_every"), every, 0)
    if checkpoint.holds_run(out) and not resume:
        raise argument_error(option("out"), "be a folder without a run", str(out), "Pass --resume, or another --out.")
    data = datasets.load(settings.data, folder, download)
    model_options(settings, data)  # refuses what does not fit, before OUT is made
    make_folder(out)
    paths = f"--data-dir {shlex.quote(str(folder))} --out {shlex.quote(str(out))}"
    again = f"efcheck train {settings.options()} {paths} --checkpoint-every {every:g} --resume"
    try:
        with checkpoint.only_one_run(out), _Bar(settings.epochs) as bar:
            found = train(settings, data, out, resume=resume, every=every, tell=bar.tell, progress=bar)
    except Stopped as stop:
        click.echo(f"efcheck: stopped by {stop}; the state is saved. To go on: {again}", err=True)
        return 128 + stop.signum
    except DivergedError as error:
        click.echo(f"efcheck: {error}", err=True)
        return 1
    say(_result(found, out))
    if found.rows[-1]["test_loss"] is None:
        click.echo(f"efcheck: the test loss after epoch {len(found.rows)} is not finite. A smaller --lr may help", err=True)
        return 1
    return 0


def say(line: str) -> None:
    """Print a line; where nobody reads any more, the run goes on in silence."""
    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings, with the defaults that depend on others filled in.

    Raises
    ------
    ArgumentError
        Naming the option.
    """
    given = dict(options)
    if given["lr"] is None:
        size = integer(option("batch_size"), given["batch_size"], 1, MOST)
        given["lr"] = schedule.default_rate(given["algorithm"], given["model"], size)
    if given["augment"] is None:
        given["augment"] = given["data"].startswith("cifar")
    return Settings(**{**given, "device": device_named(given["device"])})


class _Bar:
    """A bar on a terminal; in a pipe only the lines."""

    def __init__(self, epochs: int) -> None:
        self._console = Console(stderr=True)
        self._shown, self._epochs, self._drawn = sys.stderr.isatty(), epochs, 0.0
        columns = ("{task.description}", rich_progress.BarColumn(), rich_progress.MofNCompleteColumn())
        left = rich_progress.TimeRemainingColumn()
        self._bar = rich_progress.Progress(*columns, left, console=self._console, transient=True, disable=not self._shown)
        self._task = self._bar.add_task("training", total=None)

    def __enter__(self) -> _Bar:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def tell(self, line: str) -> None:
        """Print a line; above the bar where there is one."""
        if self._shown:
            self._bar.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            say(line)

    def __call__(self, epoch: int, step: int, steps: int, row: dict[str, Any] | None) -> None:
        if not self._shown:
            return
        if row is not None:
            self.tell(f"epoch {epoch}: {_words(row)}, {row['images_per_second']:.0f} images/s")
        elif (now := time.monotonic()) - self._drawn >= _REFRESH:
            self._drawn = now
            name = f"epoch {epoch} of {self._epochs}" + (", test" if step == steps else "")
            self._bar.update(self._task, description=name, completed=step, total=steps)


def _words(row: dict[str, Any]) -> str:
    """Losses and accuracies of an epoch."""
    parts = [
        f"{kind} loss {'not finite' if row[f'{kind}_loss'] is None else format(row[f'{kind}_loss'], '.4f')}, "
        f"accuracy {100 * row[f'{kind}_accuracy']:.2f} %"
        for kind in ("train", "test")
    ]
    return "; ".join(parts)


def _result(found: Run, out: Path) -> str:
    seconds = sum(row["seconds"] for row in found.rows)
    return f"{epochs(len(found.rows))} in {seconds:.1f} s: {_words(found.rows[-1])}; {out / 'metrics.jsonl'}"
