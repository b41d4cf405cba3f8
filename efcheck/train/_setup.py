"""What a run is made of: device, network, optimizer, and the line that describes them."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from efcheck import __version__
from efcheck.errors import argument_error
from efcheck.train import algorithms, schedule
from efcheck.train._settings import Settings, option
from efcheck.train.data import Data
from efcheck.train.models import MODELS


def device_named(name: str) -> str:
    """ "cpu" or "cuda"; "auto" is the GPU where there is one."""
    there = torch.cuda.is_available()
    if name not in ("auto", "cpu", "cuda"):
        raise argument_error("--device", "be one of auto, cpu, cuda", name)
    if name == "cuda" and not there:
        raise argument_error("--device", "be cpu, or cuda where torch sees a GPU", name)
    return ("cuda" if there else "cpu") if name == "auto" else name


def limited(data: Data, train: int | None, test: int | None) -> Data:
    """So many training and test images: the first, or evenly spread ones where the images are sorted by class."""
    a, b = _some(data.train_labels, train), _some(data.test_labels, test)
    return dataclasses.replace(
        data, train_images=data.train_images[a], train_labels=data.train_labels[a],
        test_images=data.test_images[b], test_labels=data.test_labels[b],
    )  # fmt: skip


def _some(labels: torch.Tensor, n: int | None) -> slice | torch.Tensor:
    """Which images `n` are; of sorted ones the first would be of one class."""
    total = len(labels)
    if n is None or n >= total:
        return slice(None)
    return torch.arange(n) * total // n if bool((labels.diff() >= 0).all()) else slice(n)


def model_options(settings: Settings, data: Data) -> dict[str, Any]:
    """What the network is told besides its classes.

    Raises
    ------
    ArgumentError
        If the network does not fit the data or the settings.
    """
    channels, size = data.train_images.shape[1:3]
    known = inspect.signature(MODELS[settings.model]).parameters
    fitting = {"channels": channels, "size": size, "dropout": settings.dropout}
    if channels != 3 and "channels" not in known:
        raise argument_error("--model", f"fit {data.label}, whose images have {channels} channel", settings.model, "Use cnn.")
    if settings.dropout and "dropout" not in known:
        raise argument_error("--dropout", f"be 0 for {settings.model}, which has none", settings.dropout)
    return {name: value for name, value in fitting.items() if name in known}


def build_model(settings: Settings, data: Data, device: torch.device) -> torch.nn.Module:
    """The network with the weights of the seed, on the device."""
    options = model_options(settings, data)
    torch.manual_seed(settings.seed_of("model"))
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    model: Any = MODELS[settings.model](data.classes, **options)
    found: torch.nn.Module = model.to(device=device, memory_format=layout)  # torch's stubs do not know this form
    return found


def build_optimizer(settings: Settings, model: torch.nn.Module) -> Any:
    """The algorithm, with nothing in its memory."""
    options = {"form": "compiled"} if settings.compile else {}
    return algorithms.make(settings.algorithm, model.parameters(), settings.lr, **options)


def header(settings: Settings, data: Data, model: torch.nn.Module, optimizer: Any) -> dict[str, Any]:
    """What describes the run in the first line of its metrics."""
    return {
        "efcheck": __version__,
        **settings.to_json(),
        "graphs": settings.captures,
        "data_label": data.label,
        "classes": data.classes,
        "images": [len(data.train_labels), len(data.test_labels)],
        "parameters": sum(p.numel() for p in model.parameters()),
        "sizes": {name: p.numel() for name, p in model.named_parameters()},
        "milestones": [] if settings.constant_lr else list(schedule.milestones(settings.epochs)),
        "optimizer": algorithms.describe(optimizer),
        "message_bytes": optimizer.message_bytes(),
        "hardware": hardware(settings.device),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def epochs(n: int) -> str:
    """ "1 epoch", "2 epochs"."""
    return f"{n} epoch{'s' if n != 1 else ''}"


def summary(head: Mapping[str, Any], settings: Settings) -> str:
    """The effective hyper-parameters in one line, and which of the settings has none."""
    parts = [f"{key} {value}" for key, value in head["optimizer"].items() if key not in ("algorithm", "name")]
    images, tests = head["images"]
    data = f"{head['data_label']} ({images:,} images{', augmented' if head['augment'] else ''}; {tests:,} to test)"
    dropout = f", dropout {head['dropout']:g}" if head["dropout"] else ""
    model = f"{head['model']} ({head['parameters']:,} parameters{dropout})"
    run = f"batch {head['batch_size']}, {epochs(head['epochs'])}, seed {head['seed']}, {head['device']}, {head['precision']}"
    drops = f"; lr / 10 after epochs {', '.join(f'{e:g}' for e in head['milestones'])}" if head["milestones"] else ""
    idle = f"; --graphs: none {'on a CPU' if settings.device == 'cpu' else 'with --compile'}"
    idle = idle if settings.graphs and not settings.captures else ""
    return f"{head['algorithm']} on {data}, {model}, {run}: {', '.join(parts)}{drops}{idle}"


def hardware(device: str) -> str:
    """The name of the GPU or of the CPU."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def named(found: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """What `measure` found, its layers under the names of the network's parameters."""
    layers = {names[key] if isinstance(key, int) else key: dict(value) for key, value in found["layers"].items()}
    return {**found, "layers": layers}


def require_same(settings: Settings, saved: Mapping[str, Any]) -> None:
    """An ArgumentError that names the first setting that is not as in the checkpoint."""
    different = settings.first_difference(saved)
    if different is not None:
        name, mine, theirs = different
        raise argument_error(option(name), f"be {theirs}, as in the run to go on with", mine, "Use another --out.")


@contextlib.contextmanager
def deterministic(settings: Settings) -> Iterator[None]:
    """The same settings give the same bits; torch's global state is as before afterwards."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    guard: Any = torch.utils.deterministic
    fill = guard.fill_uninitialized_memory
    was, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    flags = cudnn.deterministic, cudnn.benchmark
    try:
        torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(True, warn_only=settings.device == "cuda")
        guard.fill_uninitialized_memory = False
        cudnn.deterministic, cudnn.benchmark = True, False
        with torch.random.fork_rng(enabled=True):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(was, warn_only=warn)
        guard.fill_uninitialized_memory = fill
        cudnn.deterministic, cudnn.benchmark = flags
