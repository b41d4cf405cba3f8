"""Fashion-MNIST: four files in idx format, as they are or gzipped (Debian: dataset-fashion-mnist)."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import EfcheckError
from efcheck.train import _fetch

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
WHERE = "https://github.com/zalandoresearch/fashion-mnist, or Debian's package dataset-fashion-mnist"
SITE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
MD5 = dict(zip(FILES, (
    "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
    "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310",
), strict=True))  # fmt: skip
CLASSES, SHAPE = 10, (28, 28)
_LIMIT = 1 << 28  # bytes a file may unpack to; the largest has 47 million


def read(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, 1, 28, 28) and labels (n,), test images and labels. No MD5: Debian packs them anew.

    Raises
    ------
    EfcheckError
        If a file is absent, cut short or not an idx file of bytes, if there is no image or one of another size, or if images
        and labels do not fit.
    """
    found = []
    for images, labels in (FILES[:2], FILES[2:]):
        pictures, names = _array(_file(folder, images), 3), _array(_file(folder, labels), 1)
        if pictures.shape[1:] != SHAPE or not len(pictures):
            got = f"{len(pictures)} of {' x '.join(map(str, pictures.shape[1:]))}"
            raise EfcheckError(f"{folder / images} must have images of 28 x 28 pixels; got {got}. Get it from {WHERE}")
        if len(pictures) != len(names):
            raise EfcheckError(f"{folder / images} has {len(pictures)} images and {labels} has {len(names)} labels")
        if names.size and names.max() >= CLASSES:
            raise EfcheckError(f"{folder / labels} must have labels below {CLASSES}; got {names.max()}")
        found += [torch.from_numpy(pictures[:, None]), torch.from_numpy(names.astype(np.int64))]
    a, b, c, d = found
    return a, b, c, d


def download(folder: Path) -> None:
    """Fetch the files that are not there into `folder`, made if need be; each is checked by its published MD5.

    Raises EfcheckError, one line, without a network, or if what comes is not what was published; no such file is left then.
    """
    for name in FILES:
        if _there(folder, name) is None:
            _fetch.fetch(f"{SITE}{name}.gz", folder / f"{name}.gz", MD5[name])


def _there(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _file(folder: Path, name: str) -> Path:
    path = _there(folder, name)
    if path is None:
        raise EfcheckError(f"{folder} must hold Fashion-MNIST; got no {name}.gz there. Get it from {WHERE}, or pass --download")
    return path


def _array(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an idx file: 0, 0, 8, dimensions, then sizes as big-endian 32-bit numbers, then the entries."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(_LIMIT)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EfcheckError(f"{path} is damaged or cut short: {error}. Get it again from {WHERE}") from error
    except OSError as error:
        raise EfcheckError(f"{path} cannot be read: {error.strerror or error}") from error
    head = 4 + 4 * dimensions
    if len(raw) < head or raw[:4] != bytes((0, 0, 8, dimensions)):
        told = f"be an idx file of bytes with {dimensions} dimensions"
        raise EfcheckError(f"{path} must {told}; its first bytes are {raw[:4].hex()}")
    sizes = struct.unpack(f">{dimensions}I", raw[4:head])
    expected = head + int(np.prod(sizes, dtype=object))
    if len(raw) != expected:
        raise EfcheckError(f"{path} must have {expected} bytes by its header; got {len(raw)}. Get it again from {WHERE}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(sizes).copy()
