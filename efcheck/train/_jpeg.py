"""A copy of CIFAR-10 re-encoded as JPEG of quality about 75, for development: close to CIFAR-10, and not it.

cifar10_jpeg.npz: image i of a part is `header`, the next `{part}_len[i]` bytes of `{part}_bytes`, and ff d9.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from efcheck.errors import EfcheckError, MissingExtraError

FILE = "cifar10_jpeg.npz"
CLASSES = 10
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
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise EfcheckError(f"{path} is damaged: {error}") from error
    return a, b, c, d


def _part(arrays: Any, part: str) -> tuple[Tensor, Tensor]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("cifar10-jpeg needs Pillow: pip install pillow") from error
    header, raw = arrays["header"].tobytes(), arrays[f"{part}_bytes"].tobytes()
    labels = torch.from_numpy(arrays[f"{part}_label"].astype(np.int64))
    inside = bool(((labels >= 0) & (labels < CLASSES)).all())
    if len(labels) != len(arrays[f"{part}_len"]) or not inside:
        raise ValueError(f"{part}_label must be one label in [0, {CLASSES}) for each image")
    ends = np.cumsum(arrays[f"{part}_len"], dtype=np.int64)
    images = np.empty((len(ends), 32, 32, 3), np.uint8)
    start = 0
    for i, end in enumerate(ends.tolist()):
        images[i] = np.asarray(Image.open(io.BytesIO(header + raw[start:end] + _END)))
        start = end
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels
