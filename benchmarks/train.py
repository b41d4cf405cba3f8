r"""Speed of training on a GPU, as ratios within one run of this script: images a second and milliseconds a step.

Subjects, on random images of 3 x 32 x 32 that are augmented by crop and flip (speed does not depend on what they show):

    plain           error feedback as research code is written: a DataLoader over single images, a loop over tensors with new
                    tensors for every operation, .item() of loss and hits at every step. The unit.
    eager           `Run` of efcheck: data on the device, EFSGD's fused form, nothing read back but every 16th step
    graphed         `Graphed`: the same steps in CUDA graphs
    graphed, n      n such runs at once, each on its own stream; a step is one step of each of them
    graphed, SGDM   torch.optim.SGD(momentum=0.9, fused=True) in place of EFSGD, in the same graphs: what the compressor and the
                    memory cost

All in bfloat16 with channels-last, on a GPU. The densities that `efcheck train` measures at 16 steps of an epoch are left out.
Ratio = images/s over those of "plain". A round takes all subjects one after the other; median, min and max of the rounds'
ratios are printed. Each measurement takes about `slice` seconds, after a warm-up that is not counted; captures are not
counted either. Peak memory is what the allocator holds for a subject at most, minus what was there before.

--seconds bounds the whole: each configuration (network, batch size) gets an equal share of what is left and at least one
round; where nothing is left it is left out, but for the first.
Without a GPU the small network runs in float32, so that the script is tested; its figures say nothing about a GPU.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import click
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from efcheck.train import _setup
from efcheck.train._settings import Settings
from efcheck.train.data import CIFAR_MEAN, CIFAR_STD, Data
from efcheck.train.graphed import STEPS, Graphed, interleave
from efcheck.train.loop import Run

GAMMA, DECAY, BETA = 1e-3, 5e-4, 0.9
GPU, SMALL = ("resnet18", "vgg19"), ("cnn",)


class Images(Dataset):
    """One augmented, normalised image and its label."""

    def __init__(self, data: Data) -> None:
        self.images, self.labels = data.train_images, data.train_labels
        self.mean, self.std = (torch.tensor(v).reshape(3, 1, 1) for v in (data.mean, data.std))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        y, x, mirrored = (int(torch.randint(n, ())) for n in (9, 9, 2))
        image = torch.nn.functional.pad(self.images[i], (4, 4, 4, 4))[:, y : y + 32, x : x + 32]
        image = image.flip(-1) if mirrored else image
        return (image / 255 - self.mean) / self.std, self.labels[i]


class Plain:
    """The unit."""

    def __init__(self, settings: Settings, data: Data, workers: int) -> None:
        self.run = Run(settings, data)  # its network and forward pass
        self.params = list(self.run.model.parameters())
        self.memory = [torch.zeros_like(p) for p in self.params]
        self.loader = DataLoader(
            Images(data), settings.batch_size, shuffle=True, drop_last=True, num_workers=workers,
            pin_memory=settings.device == "cuda", persistent_workers=workers > 0,
        )  # fmt: skip
        self.batches = self._batches()
        self.losses: list[float] = []

    def _batches(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def step(self) -> None:
        images, labels = (t.to(self.run.device, non_blocking=True) for t in next(self.batches))
        self.run.model.zero_grad()
        scores, loss = self.run._scores_and_loss(images, labels)
        loss.backward()
        with torch.no_grad():
            for i, p in enumerate(self.params):
                assert p.grad is not None
                corrected = self.memory[i] + GAMMA * p.grad.clone().add_(p, alpha=DECAY)
                delta = corrected.norm(p=1) / corrected.numel() * torch.sign(corrected)
                p.sub_(delta)
                self.memory[i] = corrected - delta
        self.losses.append(loss.item())
        self.losses.append((scores.argmax(1) == labels).sum().item())


@dataclass
class Subject:
    """Something that trains: `pieces(n)` does at least n steps of `runs` runs, and counts them."""

    name: str
    pieces: Callable[[int], int]
    runs: int = 1
    memory: int = 0
    seconds: list[float] = field(default_factory=list)  # of a step, by round


def plain(settings: Settings, data: Data, workers: int) -> Subject:
    loop = Plain(settings, data, workers)

    def pieces(n: int) -> int:
        for _ in range(n):
            loop.step()
        return n

    return Subject("plain", pieces)


def eager(settings: Settings, data: Data) -> Subject:
    run = Run(settings, data)
    run._measured = frozenset()
    order = begin(run)

    def pieces(n: int) -> int:
        nonlocal order
        for _ in range(n):
            if run.step == run.steps:
                order = begin(run)
            run._one_step(order[run.step * settings.batch_size : (run.step + 1) * settings.batch_size])
        return n

    return Subject("eager", pieces)


def graphed(settings: Settings, data: Data, count: int = 1, sgdm: bool = False) -> Subject:
    runs = [Graphed(replace(settings, seed=seed), data) for seed in range(count)]
    for run in runs:
        run._measured = frozenset()
        if sgdm:
            params = run.model.parameters()
            run.optimizer = torch.optim.SGD(params, lr=GAMMA, momentum=BETA, weight_decay=DECAY, fused=True)
            run.optimizer.param_groups[0]["steps"] = 0  # which Graphed counts
        begin(run)

    def some(run: Graphed, n: int) -> Iterator[None]:
        while n > 0:
            if run.step == run.steps:
                begin(run)
            n -= run.advance()
            yield

    def pieces(n: int) -> int:
        n = -(-n // runs[0].block) * runs[0].block
        interleave([some(run, n) for run in runs], settings.device)
        return n

    return Subject("graphed, SGDM" if sgdm else f"graphed, {count}" if count > 1 else "graphed", pieces, count)


def begin(run: Run) -> torch.Tensor:
    run.step = 0
    run.model.train()
    return run._begin_epoch()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def made(make: Callable[[], Subject], device: str) -> Subject:
    """A subject that has warmed up, with the memory it takes."""
    cuda = device == "cuda"
    before = torch.cuda.memory_allocated() if cuda else 0
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    subject = make()
    subject.pieces(2 * STEPS)  # the first of them is captured
    wait(device)
    subject.memory = torch.cuda.max_memory_allocated() - before if cuda else 0
    return subject


def timed(subject: Subject, n: int, device: str) -> float:
    """Seconds of a step."""
    wait(device)
    start = time.perf_counter()
    done = subject.pieces(n)
    wait(device)
    return (time.perf_counter() - start) / done


def measure(
    settings: Settings, data: Data, counts: tuple[int, ...], workers: int, until: float, piece: float
) -> dict[str, Any]:
    """All subjects in turn until the time is over, at least once."""
    device = settings.device
    makes: list[Callable[[], Subject]] = [lambda: eager(settings, data)]
    makes += [lambda n=n: graphed(settings, data, n) for n in (1, *counts)]  # type: ignore[misc]
    makes.append(lambda: graphed(settings, data, sgdm=True))
    subjects = [made(make, device) for make in makes]
    # last: its loader's thread pins memory, which nobody may do while a graph is captured
    subjects.insert(0, made(lambda: plain(settings, data, workers), device))
    steps = [max(int(piece / timed(subject, 20, device)), 10) for subject in subjects]
    while True:
        start = time.perf_counter()
        for subject, n in zip(subjects, steps, strict=True):
            subject.seconds.append(timed(subject, n, device))
        now = time.perf_counter()
        if now + (now - start) > until:
            break
    return {
        "model": settings.model, "batch_size": settings.batch_size, "rounds": len(subjects[0].seconds),
        "subjects": [row(subject, subjects[0], settings.batch_size) for subject in subjects],
    }  # fmt: skip


def row(subject: Subject, unit: Subject, size: int) -> dict[str, Any]:
    pairs = list(zip(subject.seconds, unit.seconds, strict=True))
    return {
        "name": subject.name, "runs": subject.runs, "milliseconds": spread([1e3 * s for s, _ in pairs]),
        "images_per_s": spread([subject.runs * size / s for s, _ in pairs]),
        "times_plain": spread([subject.runs * u / s for s, u in pairs]), "peak_bytes": subject.memory,
    }  # fmt: skip


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def random_data(n: int) -> Data:
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 3, 32, 32), generator=g, dtype=torch.uint8)
    labels = torch.randint(0, 10, (n,), generator=g)
    return Data("cifar10", "random images", 10, CIFAR_MEAN, CIFAR_STD, images, labels, images[:500], labels[:500])


def print_report(report: dict[str, Any]) -> None:
    console = Console(width=120)
    for found in report["configurations"]:
        table = Table(
            "subject", title=f"{found['model']}, batch {found['batch_size']}: median (min..max) of {found['rounds']} rounds"
        )
        for column in ("ms a step", "images/s", "times plain", "peak MB"):
            table.add_column(column, justify="right", no_wrap=True)
        for r in found["subjects"]:
            memory = f"{r['peak_bytes'] / 1e6:.0f}" if r["peak_bytes"] else "-"
            table.add_row(r["name"], show(r["milliseconds"], 2), show(r["images_per_s"], 0), show(r["times_plain"], 2), memory)
        console.print(table)
    for left in report["left_out"]:
        console.print(f"{left}: left out, the time was over", highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in report["machine"].items()), highlight=False)
    if report["machine"]["device"] == "cpu":
        console.print("There was no GPU: these figures test the script and say nothing about one.", highlight=False)


def show(s: dict[str, float], digits: int) -> str:
    return "{} ({}..{})".format(*(f"{s[key]:,.{digits}f}" for key in ("median", "min", "max")))


@click.command()
@click.option("--seconds", default=540.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Of the whole.")
@click.option("--batch-size", "sizes", multiple=True, type=click.IntRange(1), default=(128, 32, 8), show_default=True)
@click.option("--model", "models", multiple=True, type=click.Choice(GPU + SMALL), help="By default both large ones, on a GPU.")
@click.option("--runs", "counts", multiple=True, type=click.IntRange(2), default=(2, 4, 8), show_default=True, help="At once.")
@click.option("--workers", default=4, show_default=True, type=click.IntRange(0), help="Of the DataLoader, on a GPU.")
@click.option("--slice", "piece", default=0.5, show_default=True, type=click.FloatRange(0, min_open=True), help="Seconds.")
@click.option("--json", "path", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also write FILE.")
def main(
    seconds: float, sizes: tuple[int, ...], models: tuple[str, ...], counts: tuple[int, ...], workers: int, piece: float,
    path: Path | None,
) -> None:  # fmt: skip
    """Measure training steps; ratios within this run."""
    until = time.perf_counter() + seconds
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.absolute().parent}", param_hint="--json")
    device = _setup.device_named("auto")
    cuda = device == "cuda"
    models = models or (GPU if cuda else SMALL)
    base = Settings(
        data="cifar10", model="cnn", algorithm="ef-signsgd", batch_size=128, epochs=1000, lr=GAMMA, seed=0, device=device,
        precision="bfloat16" if cuda else "float32", channels_last=cuda, augment=True,
    )  # fmt: skip
    report: dict[str, Any] = {
        "machine": {"device": device, "hardware": _setup.hardware(device), "torch": torch.__version__,
                    "python": platform.python_version(), "precision": base.precision, "steps of a graph": STEPS},
        "configurations": [], "left_out": [],
    }  # fmt: skip
    choices = [(model, size) for size in sizes for model in models]
    with _setup.deterministic(base):
        for i, (model, size) in enumerate(choices):
            now = time.perf_counter()
            if now >= until and report["configurations"]:
                report["left_out"].append(f"{model}, batch {size}")
                continue
            share = now + (until - now) / (len(choices) - i)
            settings = replace(base, model=model, batch_size=size)
            data = random_data(-(-(50_000 if cuda else 5_000) // (STEPS * size)) * STEPS * size)  # whole graphs alone
            report["configurations"].append(measure(settings, data, counts, workers if cuda else 0, share, piece))
            if path is not None:  # whatever is cut off later is kept
                write(path, report)
            if cuda:
                torch.cuda.empty_cache()
    print_report(report)
    if path is not None:
        write(path, report)


def write(path: Path, report: dict[str, Any]) -> None:
    (part := path.with_name(path.name + ".part")).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    main()
