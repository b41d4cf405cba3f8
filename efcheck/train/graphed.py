r"""A run whose steps are CUDA graphs: the host launches many steps by one call, and waits for none of them.

One step reads and writes fixed places on the device, and nothing of it passes through the host:

    index = order[at B + (0..B-1)]                  order: this epoch's images;  at: a counter on the device
    images = augment(index);  loss, scores          as in `Run`
    gradients -> their fixed places;  note what is not finite;  EFSGD step with gamma from the device
    tally += loss, hits;  at += 1

K such steps are one graph, and one step is another, for what is left before a step that the host must take part in: a
measured one, or a smaller last batch, which run eagerly. Graphs are captured when first needed, after a few eager steps on a
side stream, as CUDA asks; what these changed is put back, so that a run's numbers do not depend on them. On a CPU the same
steps run eagerly, and the run is bitwise as `Run`.

Between two pauses of `one_epoch` the state is as of any run: a checkpoint of one is a checkpoint of the other.
Source: the capture rules of torch.cuda.graph (static addresses, no wait for the device, one stream for warm-up and capture).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from efcheck.errors import argument_error, integer
from efcheck.train import _setup, schedule
from efcheck.train._settings import Settings
from efcheck.train.data import Data
from efcheck.train.loop import Run
from efcheck.train.measure import measure
from efcheck.train.optimizer import EFSGD, NonFiniteError

STEPS = 10  # of a graph
_WARM = 3  # eager steps before a capture, on its stream: cuDNN, cuBLAS and Triton allocate and compile in them


class Graphed(Run):
    """A `Run` that launches up to `steps` steps at once.

    Parameters
    ----------
    settings, data
        As for `Run`. With settings.compile, or on a CPU, nothing is captured.
    steps : int
        K >= 1, the steps of one graph.
    """

    def __init__(self, settings: Settings, data: Data, steps: int = STEPS) -> None:
        self.block = integer("steps", steps, 1)
        self._graphs: dict[int, Callable[[], None]] = {}
        super().__init__(settings, data)
        self.captures = self.device.type == "cuda" and not settings.compile
        n, device = len(self.data.train_labels), self.device
        self._order = torch.zeros(n, dtype=torch.int64, device=device)
        self._draws = torch.zeros(n, dtype=torch.int64, device=device)
        self._places = torch.arange(settings.batch_size, device=device)
        self._at = torch.zeros((), dtype=torch.int64, device=device)
        # torch's fused SGD reads a float32 from the device; on a CPU nothing is to be rounded
        self._gamma = torch.zeros((), dtype=torch.float32 if device.type == "cuda" else torch.float64, device=device)
        self._loss, self._correct = self.tally.loss.clone(), self.tally.correct.clone()
        self._params = list(self.model.parameters())
        self._gradients = [torch.zeros_like(p) for p in self._params]
        for p, gradient in zip(self._params, self._gradients, strict=True):
            p.grad = gradient
        self._bad_step = torch.zeros((), dtype=torch.int64, device=device)  # of this epoch, from 1; 0: none so far
        self._bad = torch.zeros(1 + len(self._params), device=device)  # that step's loss and largest gradients
        self._full = n // settings.batch_size  # batches that are not smaller

    def one_epoch(self) -> Iterator[None]:
        """As `Run`'s; pauses after each launch."""
        self._begin_epoch()
        self.model.train()
        while self.step < self.steps:
            start = time.perf_counter()
            self.advance()
            self.tally.training += time.perf_counter() - start
            yield
        start = time.perf_counter()
        self.look()  # on a GPU the steps are done only now
        self.tally.training += time.perf_counter() - start
        self._watch.weights(self.done)
        yield from self._test()

    def advance(self) -> int:
        """Launch the next steps of this epoch; how many. All or one of a graph, or one that the host takes part in."""
        self._begin_step()
        free = self._free()
        if free == 0:
            self._eager(min(self.settings.batch_size, len(self._order) - self.step * self.settings.batch_size))
            return 1
        count = self.block if free >= self.block else 1
        if self.captures:
            self._replay(count)
        else:
            for _ in range(count):
                self._eager(self.settings.batch_size)
        return count

    def look(self) -> None:
        """As `Run`'s; waits for the device."""
        step = int(self._bad_step)
        if step:
            loss, *largest = self._bad.tolist()
            index = next((i for i, value in enumerate(largest) if not math.isfinite(value)), None)
            raise self._watch.diverged((self.epoch - 1) * self.steps + step, loss, index)
        super().look()

    def load(self, state: dict[str, Any]) -> None:
        """As `Run`'s. The optimizer's state gets new addresses, so what was captured is forgotten."""
        self._graphs.clear()
        self._bad_step.fill_(0)
        super().load(state)

    def _new_optimizer(self) -> Any:
        self._graphs.clear()
        return super()._new_optimizer()

    def _begin_step(self) -> None:
        """As `Run`'s; the rate into its place."""
        super()._begin_step()
        self._gamma.fill_(self.optimizer.param_groups[0]["lr"])

    def _begin_epoch(self) -> Tensor:
        """The epoch's order, draws and counters into their places."""
        order = super()._begin_epoch()
        self._order.copy_(order)
        self._at.fill_(self.step)
        if self.settings.augment:
            drawn = self._batches._draws
            assert drawn is not None
            self._batches._draws = self._draws.copy_(drawn)
        self._loss.copy_(self.tally.loss)
        self._correct.copy_(self.tally.correct)
        self.tally.loss, self.tally.correct = self._loss, self._correct
        return order

    def _free(self) -> int:
        """Full batches up to the next step that is measured, or that has another learning rate."""
        ends = [step for step in self._measured if step >= self.step]
        if not self.settings.constant_lr:
            ends += [self.step + first - self.done for first in schedule.falls(self.total) if first > self.done]
        return max(min([*ends, self._full]) - self.step, 0)

    def _eager(self, size: int) -> None:
        measured = self.step in self._measured
        self._step(size, measured)
        self.step += 1
        if measured:  # the host has waited for the device
            self.look()

    def _step(self, size: int, measured: bool = False) -> None:
        """One step on the next `size` images; without `measured`, on a GPU, nothing waits."""
        index = self._order[self._at * self.settings.batch_size + self._places[:size]]
        labels = self.data.train_labels[index]
        scores, loss = self._scores_and_loss(self._batches(index), labels)
        gradients = torch.autograd.grad(loss, self._params)
        torch._foreach_copy_(self._gradients, gradients)
        if self.captures:
            self._note(loss)
        else:
            self._watch.step(self.done + 1, loss)
        try:
            with self._rate_on_device():
                if measured:
                    self.tally.measured.append(_setup.named(measure(self.optimizer), self._names))
                self.optimizer.step()
        except NonFiniteError as error:  # on a CPU: nothing has changed yet
            raise self._watch.diverged(self.done + 1, loss.item(), error.index) from error
        self.tally.add(loss, scores, labels)
        self._at.add_(1)

    def _note(self, loss: Tensor) -> None:
        """Keep loss and largest gradients of the first step at which one is not finite."""
        largest = torch._foreach_norm(self._gradients, math.inf)
        found = torch.stack([loss.detach(), *largest])
        fresh = ~torch.isfinite(found).all() & (self._bad_step == 0)
        self._bad.copy_(torch.where(fresh, found, self._bad))
        self._bad_step.copy_(torch.where(fresh, self._at + 1, self._bad_step))

    @contextlib.contextmanager
    def _rate_on_device(self) -> Iterator[None]:
        """The optimizer reads gamma from `_gamma`; elsewhere, as in checkpoints, it is a number."""
        groups = self.optimizer.param_groups if self.captures else []
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = self._gamma
        try:
            yield
        finally:
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate

    def _replay(self, count: int) -> None:
        if count not in self._graphs:
            self._graphs[count] = self._captured(count)
        self._graphs[count]()
        self.step += count
        self.tally.images += count * self.settings.batch_size
        for group in self.optimizer.param_groups:
            group["steps"] += count

    def _captured(self, count: int) -> Callable[[], None]:
        """What replays `count` steps; nothing is changed by making it."""

        def work() -> None:
            for _ in range(count):
                self._step(self.settings.batch_size)

        def warm() -> None:
            for _ in range(_WARM):
                self._at.zero_()  # there may be fewer steps left of the epoch
                self._step(self.settings.batch_size)
            self._at.zero_()

        with self._put_back():
            return captured(work, warm)

    @contextlib.contextmanager
    def _put_back(self) -> Iterator[None]:
        """Undo what steps change: tensors, counters of the host, generators. State that is new is zero, as EFSGD makes it."""
        before = {id(t): (t, t.detach().clone()) for t in self._changing()}
        images, counts = self.tally.images, [group["steps"] for group in self.optimizer.param_groups]
        random = torch.get_rng_state()
        random_cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        try:
            yield
        finally:
            with torch.no_grad():
                for t in self._changing():
                    if id(t) in before:
                        t.copy_(before[id(t)][1])
                    else:
                        t.zero_()
            self.tally.images = images
            for group, steps in zip(self.optimizer.param_groups, counts, strict=True):
                group["steps"] = steps
            torch.set_rng_state(random)
            if random_cuda is not None:
                torch.cuda.set_rng_state(random_cuda, self.device)

    def _changing(self) -> list[Tensor]:
        """All tensors that a step writes and a later one reads."""
        state = [value for found in self.optimizer.state.values() for value in found.values() if isinstance(value, Tensor)]
        own = [self._at, self._bad_step, self._bad, self.tally.loss, self.tally.correct]
        counters = self.optimizer.counters() if isinstance(self.optimizer, EFSGD) else []
        return [*self._params, *self.model.buffers(), *state, *own, *counters]


def captured(work: Callable[[], None], warm: Callable[[], None]) -> Callable[[], None]:
    """Run `warm` eagerly, then capture `work`; the call that replays it on the current stream.

    Each graph has its own memory, for what lives within a step.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        warm()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        work()
    return graph.replay


def interleave(works: Sequence[Iterator[None]], device: torch.device | str = "cpu") -> None:
    """Exhaust all iterators in turn, a piece of each; on a GPU each on its own stream, so that their kernels overlap.

    What was done before is waited for first, and all of them at the end.
    """
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.synchronize()
    streams = [torch.cuda.Stream(device) if cuda else None for _ in works]  # type: ignore[no-untyped-call]
    left = list(zip(works, streams, strict=True))
    while left:
        going = []
        for work, stream in left:
            with torch.cuda.stream(stream) if stream is not None else contextlib.nullcontext():
                for _ in work:
                    going.append((work, stream))
                    break
        left = going
    if cuda:
        torch.cuda.synchronize()


def train_many(runs: Sequence[Graphed], pause: Callable[[Graphed], None] = lambda run: None) -> None:
    """Train several runs to their ends on one device; each as it would be alone.

    Parameters
    ----------
    runs
        Made within `_setup.deterministic` and not started or loaded; of one device, without dropout, whose generator they
        would share.
    pause
        Called with a run after each of its launches, to save it or to raise; on a GPU within that run's stream.

    Raises
    ------
    ArgumentError
        For runs of several devices, or with dropout.
    DivergedError
        If one of them does.
    """
    devices = sorted({run.settings.device for run in runs})
    if len(devices) > 1:
        raise argument_error("runs", "be on one device", ", ".join(devices))
    if any(run.settings.dropout for run in runs):
        raise argument_error("runs", "have no dropout, whose generator they would share", "some with dropout")

    def epochs(run: Graphed) -> Iterator[None]:
        while not run.finished:
            for _ in run.one_epoch():
                pause(run)
                yield

    if runs:
        interleave([epochs(run) for run in runs], devices[0])
