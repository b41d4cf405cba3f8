"""CIFAR-10 and CIFAR-100 as https://www.cs.toronto.edu/~kriz/cifar.html has them: binary or python, archive or extracted.

A binary record is one byte for each label (CIFAR-100: coarse, then fine) and 3 x 32 x 32 pixels. A python batch is a pickle of
Python 2: a dict with b"data", (n, 3072) uint8, and a list of labels. Archives, and files of the python version, are used only
if their MD5 is the published one; nothing is unpacked to the disk, and no name in a pickle is looked up.
"""

from __future__ import annotations

import dataclasses
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import EfcheckError
from efcheck.train import _fetch, _pickled

SITE = "https://www.cs.toronto.edu/~kriz/"
PIXELS = 3 * 32 * 32
_CHUNK = 1000  # records read at once
_SLACK = 256  # bytes an image of a python batch may take beyond its pixels: label and file name, about 32


@dataclasses.dataclass(frozen=True)
class Form:
    """An archive with its MD5, the folder in it, and the files there, the test set last; their MD5s where published."""

    archive: str
    md5: str
    folder: str
    files: tuple[str, ...]
    sums: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Layout:
    """A data set: classes of each label of a binary record (the last counts), its labels' key, images by file, two forms."""

    title: str
    classes: tuple[int, ...]
    key: bytes
    counts: tuple[int, ...]
    binary: Form
    python: Form


LAYOUTS = {
    "cifar10": Layout(
        "CIFAR-10", (10,), b"labels", (10_000,) * 6,
        Form("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin",
             (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")),
        Form("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py",
             (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
             ("c99cafc152244af753f735de768cd75f", "d4bba439e000b95fd0a9bffe97cbabec", "54ebc095f3ab1f0389bbae665268c751",
              "634d18415352ddfa80567beed471001a", "482c414d41f54cd18b22e5b47cb7c3cb", "40351d587109b95175f43aff81a1287e")),
    ),
    "cifar100": Layout(
        "CIFAR-100", (20, 100), b"fine_labels", (50_000, 10_000),
        Form("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", "cifar-100-binary", ("train.bin", "test.bin")),
        Form("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python", ("train", "test"),
             ("16019d7e3df5f24257cddd939b257f8d", "f0ef6b0ae62326f3e7ffdfab6717acfc")),
    ),
}  # fmt: skip


def read(name: str, folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, 3, 32, 32) and labels (n,), test images and labels, of "cifar10" or "cifar100" (its fine labels).

    Raises EfcheckError, one line, if it is absent, damaged, or not what was published.
    """
    layout = LAYOUTS[name]
    images = np.empty((sum(layout.counts), PIXELS), np.uint8)
    labels = np.empty(len(images), np.int64)
    form, place = _find(layout, folder)
    fill, ends = _binary if form is layout.binary else _python, np.cumsum(layout.counts).tolist()
    try:
        for i, path, file, size in _files(form, place):
            part = slice(ends[i] - layout.counts[i], ends[i])
            fill(layout, path, file, size, images[part], labels[part])
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise EfcheckError(f"{place} cannot be read: {_fetch.line(error)}. {_again()}") from error
    pictures, names = torch.from_numpy(images.reshape(-1, 3, 32, 32)), torch.from_numpy(labels)
    train = len(images) - layout.counts[-1]
    return pictures[:train], names[:train], pictures[train:], names[train:]


def download(name: str, folder: Path) -> None:
    """Fetch the binary archive into `folder`, made if need be, unless the data is there in some form.

    Raises EfcheckError, one line, without a network, or if what comes is not what was published; no file is left then.
    """
    layout, form = LAYOUTS[name], LAYOUTS[name].binary
    if not _find_or_none(layout, folder):
        _fetch.fetch(SITE + form.archive, folder / form.archive, form.md5)


def _find_or_none(layout: Layout, folder: Path) -> tuple[Form, Path] | None:
    """The first form that is there, and its archive or the folder that has its files."""
    for form in (layout.binary, layout.python):
        if (folder / form.archive).is_file():
            return form, folder / form.archive
        for inside in (folder / form.folder, folder):
            if all((inside / file).is_file() for file in form.files):
                return form, inside
    return None


def where(layout: Layout) -> str:
    """How to get it."""
    return f"Get {layout.binary.archive} from {SITE}cifar.html, or pass --download"


def _find(layout: Layout, folder: Path) -> tuple[Form, Path]:
    if found := _find_or_none(layout, folder):
        return found
    told = f"{folder} must hold {layout.title}; got no {layout.binary.archive} there"
    for form in (layout.binary, layout.python):
        for inside in (folder / form.folder, folder):
            have = [(inside / file).is_file() for file in form.files]
            if any(have):
                told = f"{inside} must hold all of {layout.title}; got no {form.files[have.index(False)]} there"
    raise EfcheckError(f"{told}. {where(layout)}")


def _files(form: Form, place: Path) -> Iterator[tuple[int, str, IO[bytes], int]]:
    """Number, name, open file and size of each file of a form; nothing is unpacked to the disk."""
    if place.is_dir():
        for i, name in enumerate(form.files):
            with (place / name).open("rb") as file:
                if form.sums:
                    _fetch.check(str(place / name), file, form.sums[i], _again())
                yield i, str(place / name), file, os.fstat(file.fileno()).st_size
        return
    left = {f"{form.folder}/{name}": i for i, name in enumerate(form.files)}
    with place.open("rb") as whole:
        _fetch.check(str(place), whole, form.md5, _again())
        with tarfile.open(fileobj=whole, mode="r:gz") as tar:
            for member in tar:
                opened = tar.extractfile(member) if member.name in left and member.isreg() else None
                if opened:
                    yield left.pop(member.name), f"{place}: {member.name}", opened, member.size
    if left:
        raise EfcheckError(f"{place} must have the file {next(iter(left))}; got none. {_again()}")


def _binary(layout: Layout, path: str, file: IO[bytes], size: int, images: np.ndarray, labels: np.ndarray) -> None:
    """Fill images and labels of one file from its records."""
    head = len(layout.classes)
    wanted = len(images) * (head + PIXELS)
    if size != wanted:
        raise EfcheckError(f"{path} must have {wanted} bytes; got {size}. {_again()}")
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK]
        raw = file.read(len(part) * (head + PIXELS))
        if len(raw) != len(part) * (head + PIXELS):
            raise EfcheckError(f"{path} ends before its {wanted} bytes. {_again()}")
        records = np.frombuffer(raw, np.uint8).reshape(len(part), -1)
        _in_range(path, records[:, :head], layout.classes, start)
        part[:], labels[start : start + _CHUNK] = records[:, head:], records[:, head - 1]


def _python(layout: Layout, path: str, file: IO[bytes], size: int, images: np.ndarray, labels: np.ndarray) -> None:
    """Fill images and labels of one file from its pickle."""
    n = len(images)
    if not n * PIXELS <= size <= n * (PIXELS + _SLACK):
        raise EfcheckError(f"{path} must have {n * PIXELS} to {n * (PIXELS + _SLACK)} bytes; got {size}. {_again()}")
    try:
        batch = _pickled.load(file)
    except _pickled.RefusedError as error:
        raise EfcheckError(f"{path} is refused, and nothing in it was run: {error}. {_again()}") from error
    data, names = (batch.get(b"data"), batch.get(layout.key)) if type(batch) is dict else (None, None)
    if type(data) is not _pickled.Array or data.shape != (n, PIXELS):
        raise EfcheckError(f"{path} must have data, a uint8 array of shape {(n, PIXELS)}. {_again()}")
    if type(names) is not list or len(names) != n or any(type(label) is not int for label in names):
        raise EfcheckError(f"{path} must have {layout.key.decode()}, a list of {n} integers. {_again()}")
    _in_range(path, np.array(names, object)[:, None], layout.classes[-1:], 0)
    images[:], labels[:] = data.array(), names


def _in_range(path: str, labels: np.ndarray, classes: tuple[int, ...], start: int) -> None:
    bad = ((labels < 0) | (labels >= np.array(classes))).astype(bool)
    if bad.any():
        i, column = (int(k) for k in np.argwhere(bad)[0])
        raise EfcheckError(f"{path} must have labels in [0, {classes[column] - 1}]; image {start + i} has another. {_again()}")


def _again() -> str:
    return f"Delete it and get it again from {SITE}cifar.html, or with --download"
