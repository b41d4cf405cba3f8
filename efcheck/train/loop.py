"""The training loop: epochs of batches, tests, metrics and checkpoints; every run can be stopped and gone on with.

What a run computes depends on its settings alone: the order of an epoch's images and their augmentation come from
(seed, epoch), dropout from a generator whose state is in the checkpoints. So a run that was killed and resumed ends with
the same bits, on the same machine with the same versions, as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from efcheck.train import _setup, logs, metrics, schedule
from efcheck.train._settings import Settings
from efcheck.train._stop import Stopped, StopSign
from efcheck.train._watch import DivergedError, Watch
from efcheck.train.augment import Batches
from efcheck.train.checkpoint import CheckpointError, Keeper
from efcheck.train.data import Data
from efcheck.train.measure import measure
from efcheck.train.optimizer import NonFiniteError

_TEST_BATCH = 500


class Progress(Protocol):
    """Shown what is being done: epoch, step in it, steps of it, and the last line of metrics."""

    def __call__(self, epoch: int, step: int, steps: int, row: dict[str, Any] | None) -> None: ...


class Run:
    """A run at some step.

    Parameters
    ----------
    settings : Settings
    data : Data
        On the CPU; limited and moved to the device here.
    """

    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings = settings
        self.device = torch.device(settings.device)
        self.data = _setup.limited(data, settings.limit_train, settings.limit_test).to(self.device)
        self.model = _setup.build_model(settings, self.data, self.device)
        self._forward = torch.compile(self.model) if settings.compile else self.model
        self.optimizer = self._new_optimizer()
        self.header = _setup.header(settings, self.data, self.model, self.optimizer)
        self._batches = Batches(self.data, augment=settings.augment)
        self._watch = Watch(self.model.named_parameters())
        self._names = [name for name, _ in self.model.named_parameters()]
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Any] | None = None  # weights with the best test accuracy, for official_resume
        self.epoch, self.step = 1, 0  # the next step to do: epochs count from 1, steps of an epoch from 0
        self.tally = metrics.Tally(self.device)
        n = len(self.data.train_labels)
        self.steps = -(-n // settings.batch_size)
        self.total = settings.epochs * self.steps
        self._measured = metrics.measured_steps(self.steps)

    @property
    def done(self) -> int:
        """Steps taken since the start."""
        return (self.epoch - 1) * self.steps + self.step

    @property
    def finished(self) -> bool:
        """Whether all epochs are over."""
        return self.epoch > self.settings.epochs

    def one_epoch(self) -> Iterator[None]:
        """Do what is left of this epoch, its test and its line of metrics; pauses after each batch."""
        order = self._begin_epoch()
        size = self.settings.batch_size
        self.model.train()
        while self.step < self.steps:
            start = time.perf_counter()
            self._one_step(order[self.step * size : (self.step + 1) * size])
            self.tally.training += time.perf_counter() - start
            yield
        self.look()
        self._watch.weights(self.done)
        yield from self._test()

    def look(self) -> None:
        """Raise DivergedError if a step so far had a loss, a gradient or a corrected step that is not finite."""
        self._watch.look()
        if self.device.type != "cpu" and (skipped := self.optimizer.skipped_steps()):
            raise DivergedError(
                f"stopped by step {self.done}: in {skipped} of the steps gradient or corrected step was not finite"
            )

    def _begin_epoch(self) -> torch.Tensor:
        """Set the generators; the order of this epoch's images."""
        s, epoch = self.settings, self.epoch
        if self.step == 0:
            torch.manual_seed(s.seed_of("dropout", epoch))
        n = len(self.data.train_labels)
        self._batches.begin_epoch(n, torch.Generator().manual_seed(s.seed_of("augment", epoch)))
        order = torch.randperm(n, generator=torch.Generator().manual_seed(s.seed_of("order", epoch)))
        return order.to(self.device)

    def _rate(self, done: int) -> float:
        """The learning rate of the step after `done` others."""
        return schedule.learning_rate(self.settings.lr, done, self.total, self.settings.constant_lr)

    def _begin_step(self) -> None:
        """Set the learning rate; where it has just fallen, official_resume goes back to the best weights so far."""
        rate = self._rate(self.done)
        if self.settings.official_resume and self.best and rate < self._rate(self.done - 1):
            self.model.load_state_dict(self.best["model"])
            self.optimizer = self._new_optimizer()
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def _one_step(self, index: torch.Tensor) -> None:
        self._begin_step()
        images, labels = self._batches(index), self.data.train_labels[index]
        self.optimizer.zero_grad(set_to_none=True)
        scores, loss = self._scores_and_loss(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._watch.step(self.done + 1, loss)
        try:
            if self.step in self._measured:
                self.tally.measured.append(_setup.named(measure(self.optimizer), self._names))
            self.optimizer.step()
        except NonFiniteError as error:  # on a CPU: nothing has changed yet
            raise self._watch.diverged(self.done + 1, loss.item(), error.index) from error
        self.tally.add(loss, scores, labels)
        self.step += 1

    def _scores_and_loss(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(b, classes) scores and their mean cross-entropy, in float32 whatever the network computes in."""
        s = self.settings
        if s.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.precision == "bfloat16"):
            scores = self._forward(images)
        scores = scores.float()
        return scores, F.cross_entropy(scores, labels)

    def _test(self) -> Iterator[None]:
        """Test, add the epoch's line of metrics, and turn to the next epoch; pauses after each batch."""
        tally = metrics.Tally(self.device)
        self.model.eval()
        for first in range(0, len(self.data.test_labels), _TEST_BATCH):
            part = slice(first, first + _TEST_BATCH)
            labels = self.data.test_labels[part]
            with torch.no_grad():
                scores, loss = self._scores_and_loss(self._batches.test(part), labels)
            tally.add(loss, scores, labels)
            yield
        self._end_epoch(tally)

    def _end_epoch(self, test: metrics.Tally) -> None:
        done, first = self.done, self.done - self.steps
        row = {"epoch": self.epoch, "step": done, "lr": self._rate(first), **self.tally.means("train"), **test.means("test")}
        row |= self.tally.measures()
        row["bits"] = 8 * self.header["message_bytes"] * done
        row["seconds"] = self.tally.seconds
        row["images_per_second"] = self.tally.images / max(self.tally.training, 1e-9)
        if self.settings.official_resume and (self.best is None or row["test_accuracy"] > self.best["accuracy"]):
            weights = {key: value.clone() for key, value in self.model.state_dict().items()}
            self.best = {"accuracy": row["test_accuracy"], "model": weights}
        self.rows.append(row)
        self.epoch, self.step, self.tally = self.epoch + 1, 0, metrics.Tally(self.device)

    def _new_optimizer(self) -> Any:
        s = self.settings
        return _setup.build_optimizer(s, self.model)

    def state(self) -> dict[str, Any]:
        """All that the rest of the run depends on: tensors, numbers and text, for torch.load(weights_only=True)."""
        found = {
            "settings": self.settings.to_json(), "epoch": self.epoch, "epoch_step": self.step, "step": self.done,
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "best": self.best,
            "tally": self.tally.state(), "rows": self.rows, "random": torch.get_rng_state(),
        }  # fmt: skip
        if self.device.type == "cuda":
            found["random_cuda"] = torch.cuda.get_rng_state(self.device)
        return found

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises
        ------
        ArgumentError
            If it is of a run with other settings; the first that differs is named.
        """
        _setup.require_same(self.settings, state["settings"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.step = state["epoch"], state["epoch_step"]
        self.rows, self.best = state["rows"], state["best"]
        self.tally = metrics.Tally(self.device, state["tally"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"], self.device)


def train(
    settings: Settings, data: Data, out: Path, *, resume: bool = False, every: float = 2.0,
    tell: Callable[[str], None] = lambda line: None, progress: Progress = lambda epoch, step, steps, row: None,
) -> Run:  # fmt: skip
    """Train until the last epoch; the files in `out` are whole at any moment.

    Parameters
    ----------
    settings, data
        What is computed.
    out : Path
        A folder that exists, held by this process (`checkpoint.only_one_run`).
    resume : bool
        Go on from the checkpoint in `out`.
    every : float
        Seconds between checkpoints.
    tell
        Called with each line that a person should see.

    Raises
    ------
    Stopped
        After SIGINT or SIGTERM, with the state saved.
    DivergedError
        If the loss or a gradient is not finite; the last checkpoint is from before, and the log has "stopped".
    CheckpointError
        If a checkpoint cannot be read or written.
    """
    with _setup.deterministic(settings), StopSign() as stop:
        run, keeper = _run(settings, data), Keeper(out, every)
        if resume:
            _resume(run, keeper, tell)
        tell(_setup.summary(run.header, settings))
        metrics.write(out, run.header, run.rows)
        try:
            while not run.finished:
                _one_epoch(run, keeper, stop, progress)
                if run.finished or keeper.affordable:
                    keeper.save(run.state())
                metrics.write(out, run.header, run.rows)
                progress(run.epoch - 1, run.steps, run.steps, run.rows[-1])
        except DivergedError as error:
            metrics.write(out, {**run.header, "stopped": str(error)}, run.rows)
            raise
        return run


def _run(settings: Settings, data: Data) -> Run:
    """The run, its steps in CUDA graphs where the settings say so."""
    if not settings.graphs:
        return Run(settings, data)
    from efcheck.train.graphed import Graphed  # which is made of Run

    return Graphed(settings, data)


def _one_epoch(run: Run, keeper: Keeper, stop: StopSign, progress: Progress) -> None:
    """An epoch, with checkpoints when they are due."""
    tally, before = run.tally, time.perf_counter()
    for _ in run.one_epoch():
        now = time.perf_counter()
        tally.seconds, before = tally.seconds + now - before, now
        progress(run.epoch, run.step, run.steps, None)
        if stop.signum is not None or keeper.due:
            run.look()
            keeper.save(run.state())
        if stop.signum is not None:
            raise Stopped(stop.signum)


def _resume(run: Run, keeper: Keeper, tell: Callable[[str], None]) -> None:
    """Go on from the newest whole checkpoint, or say that there is none."""
    state, refused = keeper.newest()
    for line in refused:
        tell(f"{line}; the previous checkpoint is used")
    if state is None:
        path = keeper.folder / metrics.FILE
        if path.exists() and (rows := len(logs.read(path).rows)):  # without its checkpoints, a result that was kept
            raise CheckpointError(f"{path} has {rows} epochs but there is no checkpoint. Use another --out")
        tell(f"nothing to resume in {keeper.folder}: starts anew")
        return
    run.load(state)
    tell(f"resumed from step {run.done}")
