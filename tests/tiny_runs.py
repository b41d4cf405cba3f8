"""Small data sets of random images, and what two runs must share to be called the same."""

from __future__ import annotations

import gzip
import io
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from efcheck.train.data import Data

CLOCK = ("seconds", "images_per_second")


def write_idx(folder: Path, train: int = 64, test: int = 16, seed: int = 0) -> Path:
    """Fashion-MNIST's four files with random images: bright spots whose place depends on the class."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for name, n in (("train", train), ("t10k", test)):
        labels = np.arange(n, dtype=np.uint8) % 10
        images = rng.integers(0, 128, (n, 28, 28), dtype=np.uint8)
        images[np.arange(n), 2 * labels, 2 * labels] = 255
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(struct.pack(">HBBIII", 0, 8, 3, n, 28, 28) + images.tobytes())
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb", compresslevel=1) as file:
            file.write(struct.pack(">HBBI", 0, 8, 1, n) + labels.tobytes())
    return folder


def random_images(name: str, train: int, test: int, channels: int, side: int) -> Data:
    """Random images in place of a data set."""
    import torch

    from efcheck.train.data import Data

    g = torch.Generator().manual_seed(5)

    def images(n: int) -> torch.Tensor:
        return torch.randint(0, 256, (n, channels, side, side), generator=g, dtype=torch.uint8)

    mean, std = (0.5,) * channels, (0.25,) * channels
    labels = [torch.randint(0, 10, (n,), generator=g) for n in (train, test)]
    return Data(name, "random images", 10, mean, std, images(train), labels[0], images(test), labels[1])


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """A state as a checkpoint holds it."""
    import torch

    torch.save(state, buffer := io.BytesIO())
    return dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))


def without_clock(row: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics without its two clock-dependent numbers."""
    return {key: value for key, value in row.items() if key not in CLOCK}


def metrics_of(out: Path) -> list[dict[str, Any]]:
    """The lines of OUT/metrics.jsonl, without the clock."""
    return [without_clock(json.loads(line)) for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_same(a: Any, b: Any, path: str = "state") -> None:
    """Bitwise equality of nested states: tensors, numbers, text."""
    import torch

    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape, path
        assert a.detach().cpu().numpy().tobytes() == b.detach().cpu().numpy().tobytes(), path
    elif isinstance(a, dict):
        assert list(a) == list(b), path
        for key in a:
            if key not in (*CLOCK, "training"):
                assert_same(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{i}]")
    else:
        assert a == b, path
