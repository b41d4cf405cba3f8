"""A copy of CIFAR-10 re-encoded as JPEG of quality about 75, for development: close to CIFAR-10, and not it.

cifar10_jpeg.npz: image i of a part is `header`, the next `{part}_len[i]` bytes of `{part}_bytes`, and ff d9.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import EfcheckError, MissingExtraError
from efcheck.train._fetch import line

FILE = "cifar10_jpeg.npz"
CLASSES, _SHAPE = 10, (32, 32, 3)
_END = b"\xff\xd9"


def read(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (n, 3, 32, 32) and labels (n,), test images and labels.

    Raises
    ------
    EfcheckError
        If the file is absent or damaged.
    MissingExtraError
        If Pillow is not installed.
    """
    path = folder / FILE
    if not path.is_file():
        raise EfcheckError(f"{folder} must hold {FILE}; it is not there. CIFAR-10 itself is --data cifar10")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            a, b = _part(arrays, "train")
            c, d = _part(arrays, "test")
    except MissingExtraError:
        raise
    except Exception as error:  # zip, NumPy and Pillow have a dozen kinds of them for what is damaged
        raise EfcheckError(f"{path} is damaged: {line(error)}") from error
    return a, b, c, d


def _part(arrays: Any, part: str) -> tuple[Tensor, Tensor]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("cifar10-jpeg needs Pillow: pip install pillow") from error
    header, raw = arrays["header"].tobytes(), arrays[f"{part}_bytes"].tobytes()
    labels, sizes = _whole(arrays, f"{part}_label"), _whole(arrays, f"{part}_len")
    if len(labels) != len(sizes) or labels.min() < 0 or labels.max() >= CLASSES:
        raise ValueError(f"{part}_label must be one label in [0, {CLASSES}) for each image")
    ends = np.cumsum(sizes, dtype=np.int64)
    if sizes.min() < 0 or ends[-1] != len(raw):
        raise ValueError(f"{part}_bytes must have {ends[-1]} bytes by {part}_len; got {len(raw)}")
    images = np.empty((len(ends), *_SHAPE), np.uint8)
    start = 0
    for i, end in enumerate(ends.tolist()):
        image = np.asarray(Image.open(io.BytesIO(header + raw[start:end] + _END)))
        if image.shape != _SHAPE:
            raise ValueError(f"{part} image {i} must have shape {_SHAPE}; got {image.shape}")
        images[i], start = image, end
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels.astype(np.int64))


def _whole(arrays: Any, name: str) -> np.ndarray:
    """A vector of integers, one for each image."""
    found: np.ndarray = arrays[name]
    if found.dtype.kind not in "iu" or found.ndim != 1 or not found.size:
        raise ValueError(f"{name} must be integers, one for each image; got {found.dtype} of shape {found.shape}")
    return found
