"""The data sets: CIFAR-10 and CIFAR-100 from their official archives, Fashion-MNIST, and a JPEG copy of CIFAR-10.

Images stay uint8, (n, C, H, W), and whole on the device; augment.py makes batches of them. Nothing is ever unpickled freely.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from efcheck.errors import EfcheckError, argument_error

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)  # the authors', for CIFAR-100 too
FASHION_MEAN, FASHION_STD = (0.2860,), (0.3530,)  # of the 60,000 training images


@dataclasses.dataclass(frozen=True)
class Data:
    """Images (n, C, H, W) uint8, labels (n,) int64 in [0, classes); mean and std of a channel, in units of 255."""

    name: str
    label: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def to(self, device: torch.device | str) -> Data:
        """The same on another device."""
        tensors = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.type == "Tensor"}
        return dataclasses.replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


def load(name: str, folder: str | Path, download: bool = False) -> Data:
    """Read a data set from a folder.

    Parameters
    ----------
    name : {"cifar10", "cifar100", "fashion-mnist", "cifar10-jpeg"}
    folder : path
        Has the official archive, or what is in it: see the reader of each.
    download : bool
        Fetch what is missing, where there is a network; not the JPEG copy, which is not published.

    Raises
    ------
    EfcheckError
        If files are absent, cut short, or not what was published; the line says which file to get from where.
    """
    if name not in READERS:
        raise argument_error("data", f"be one of {', '.join(READERS)}", name)
    folder = Path(folder)
    if download:
        _download(name, folder)
    if not folder.is_dir():
        got = "a file" if folder.exists() else "nothing there"
        raise EfcheckError(f"{folder} must be the folder that holds {name}; got {got}. {_where(name)}")
    return READERS[name](folder)


def _download(name: str, folder: Path) -> None:
    if name == "fashion-mnist":
        from efcheck.train import _idx

        _idx.download(folder)
    elif name != "cifar10-jpeg":
        from efcheck.train import _cifar

        _cifar.download(name, folder)


def _where(name: str) -> str:
    """How to get a data set."""
    from efcheck.train import _cifar, _idx, _jpeg

    if name in _cifar.LAYOUTS:
        return _cifar.where(_cifar.LAYOUTS[name])
    return (
        f"Get its files from {_idx.WHERE}, or pass --download" if name == "fashion-mnist" else f"{_jpeg.FILE} is not published"
    )


def _cifar10(folder: Path) -> Data:
    from efcheck.train import _cifar

    return Data("cifar10", "CIFAR-10", 10, CIFAR_MEAN, CIFAR_STD, *_cifar.read("cifar10", folder))


def _cifar100(folder: Path) -> Data:
    from efcheck.train import _cifar

    return Data("cifar100", "CIFAR-100", 100, CIFAR_MEAN, CIFAR_STD, *_cifar.read("cifar100", folder))


def _fashion(folder: Path) -> Data:
    from efcheck.train import _idx

    return Data("fashion-mnist", "Fashion-MNIST", 10, FASHION_MEAN, FASHION_STD, *_idx.read(folder))


def _jpeg(folder: Path) -> Data:
    from efcheck.train import _jpeg

    return Data("cifar10-jpeg", "CIFAR-10, JPEG copy", 10, CIFAR_MEAN, CIFAR_STD, *_jpeg.read(folder))


READERS: dict[str, Callable[[Path], Data]] = {
    "cifar10": _cifar10, "cifar100": _cifar100, "fashion-mnist": _fashion, "cifar10-jpeg": _jpeg,
}  # fmt: skip
