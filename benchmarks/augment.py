r"""Speed of augmentation on one core, as a ratio within one run of this script.

Random 32 x 32 images of three channels: cropped after padding by 4, mirrored or not, normalised, in batches of 128.

    batches   efcheck.train.augment.Batches: one indexing a batch, of windows laid over the padded images
    loader    a torch Dataset that crops, flips and normalises a single image, and DataLoader(num_workers=0), which stacks them

A round is a pass of batches and a pass of the loader, one after the other, each in a random order; median, min and max over
the rounds of images a second and of the ratio are printed. What batches does once, before the first epoch, is told apart.
By process time where --cpu-time is given, which leaves out what other programs on the machine take.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from efcheck.train.augment import PAD, Batches
from efcheck.train.data import CIFAR_MEAN, CIFAR_STD, Data


class Single(Dataset[tuple[Tensor, Tensor]]):
    """One augmented image at a time, as data pipelines are usually written."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.mean, self.std = (torch.tensor(values).reshape(-1, 1, 1) for values in (data.mean, data.std))

    def __len__(self) -> int:
        return len(self.data.train_images)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        image = torch.nn.functional.pad(self.data.train_images[i], (PAD, PAD, PAD, PAD))
        down, right, mirrored = (int(torch.randint(n, ())) for n in (2 * PAD + 1, 2 * PAD + 1, 2))
        image = image[:, down : down + 32, right : right + 32]
        if mirrored:
            image = image.flip(-1)
        return (image.to(torch.float32) / 255 - self.mean) / self.std, self.data.train_labels[i]


def random_images(n: int) -> Data:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (n,), generator=generator)
    return Data("random", "random images", 10, CIFAR_MEAN, CIFAR_STD, pixels, labels, pixels[:1], labels[:1])


def by_batches(batches: Batches, size: int, epoch: int) -> None:
    """An epoch: its draws, its order, its batches and their labels."""
    generator = torch.Generator().manual_seed(epoch)
    n = len(batches.data.train_images)
    batches.begin_epoch(n, generator)
    for index in torch.randperm(n, generator=generator).split(size):
        batches(index)
        batches.data.train_labels[index]


def by_loader(loader: DataLoader[tuple[Tensor, Tensor]]) -> None:
    for _ in loader:
        pass


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure(images: int, share: int, size: int, rounds: int, clock: Callable[[], float]) -> dict[str, Any]:
    """The loader passes over every `share`-th part of the images only, as it is slow."""
    data = random_images(images)
    few = Single(random_images(max(size, images // share)))
    loader, made = DataLoader(few, batch_size=size, shuffle=True, num_workers=0), list[Batches]()
    once = timed(lambda: made.append(Batches(data)), clock)
    by_batches(made[0], size, 0)
    by_loader(loader)
    pairs = []
    for epoch in range(1, rounds + 1):
        fast = timed(functools.partial(by_batches, made[0], size, epoch), clock)
        pairs.append((images / fast, len(few) / timed(functools.partial(by_loader, loader), clock)))
    return {
        "images": images, "batch_size": size, "rounds": rounds, "seconds_before": once,
        "batches": spread([a for a, _ in pairs]), "loader": spread([b for _, b in pairs]),
        "ratio": spread([a / b for a, b in pairs]),
    }  # fmt: skip


def show(s: dict[str, float], form: str) -> str:
    return f"{s['median']:{form}} ({s['min']:{form}}..{s['max']:{form}})"


@click.command()
@click.option("--quick", is_flag=True, help="A smoke test: 2 rounds of 1,000 images; its figures mean little.")
@click.option("--rounds", default=11, show_default=True, type=click.IntRange(2))
@click.option("--batch-size", default=128, show_default=True, type=click.IntRange(1))
@click.option("--cpu-time", is_flag=True, help="Process time in place of the wall clock.")
@click.option("--json", "path", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also write FILE.")
def main(quick: bool, rounds: int, batch_size: int, cpu_time: bool, path: Path | None) -> None:
    """Measure augmented images a second; ratios within this run."""
    torch.set_num_threads(1)
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.absolute().parent}", param_hint="--json")
    clock = time.process_time if cpu_time else time.perf_counter
    report = measure(1_000 if quick else 50_000, 10, batch_size, 2 if quick else rounds, clock)
    report["machine"] = {
        "cpu": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 1,
        "capability": torch.backends.cpu.get_cpu_capability(), "python": platform.python_version(),
        "clock": "process time" if cpu_time else "wall clock",
    }  # fmt: skip
    click.echo(f"{report['images']:,} images in batches of {batch_size}: median (min..max) of {report['rounds']} rounds")
    click.echo(f"batches: {show(report['batches'], ',.0f')} images/s; {report['seconds_before']:.2f} s before the first epoch")
    click.echo(f"loader:  {show(report['loader'], ',.0f')} images/s")
    click.echo(f"batches over loader: {show(report['ratio'], '.1f')}")
    click.echo(", ".join(f"{k} {v}" for k, v in report["machine"].items()))
    if path is not None:
        (part := path.with_name(path.name + ".part")).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)


if __name__ == "__main__":
    main()
