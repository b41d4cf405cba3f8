"""Batches against a loop by image: crops, mirrors, normalisation; every window occurs; draws go by the image."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train.augment import Batches  # noqa: E402
from efcheck.train.data import CIFAR_MEAN, CIFAR_STD, Data  # noqa: E402

WINDOWS = 81
EPS = float(np.finfo(np.float32).eps)


def images(n: int, channels: int = 3, height: int = 32, width: int = 32) -> Data:
    """Random images; the last image of the training set is a test image, too."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (n, channels, height, width), np.uint8))
    labels = torch.from_numpy(rng.integers(0, 10, n))
    mean, std = (CIFAR_MEAN, CIFAR_STD) if channels == 3 else ((0.286,) * channels, (0.353,) * channels)
    return Data("random", "random images", 10, mean, std, pixels, labels, pixels[-1:], labels[-1:])


def batches(data: Data, seed: int, augment: bool = True) -> Batches:
    found = Batches(data, augment)
    found.begin_epoch(len(data.train_images), torch.Generator().manual_seed(seed))
    return found


def normalised(data: Data, image: np.ndarray) -> np.ndarray:
    """(image / 255 - mean) / std of one image, in float64."""
    mean, std = (np.array(values)[:, None, None] for values in (data.mean, data.std))
    return (image / 255 - mean) / std


def cropped(image: np.ndarray, down: int, right: int, mirrored: bool) -> np.ndarray:
    """The window at (down, right) of the image, or of its mirror image, with 4 zeros around it; by the pixel."""
    height, width = image.shape[1:]
    out = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            row, column = y + down - 4, x + right - 4
            if 0 <= row < height and 0 <= column < width:
                out[:, y, x] = image[:, row, width - 1 - column if mirrored else column]
    return out


def close(data: Data, found: torch.Tensor, image: np.ndarray) -> None:
    """Within rounding of image * (1 / (255 std)) - mean / std: three operations on numbers up to max |mean| / std + 1 / std."""
    size = max((m + 1) / s for m, s in zip(data.mean, data.std, strict=True))
    np.testing.assert_allclose(found.numpy().astype(np.float64), normalised(data, image), rtol=0, atol=4 * EPS * size)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (2, 5, 9)], ids=str)
def test_a_batch_is_that_of_the_slow_loop(shape: tuple[int, int, int]) -> None:
    data = images(40, *shape)
    found = batches(data, 3)
    draws = torch.randint(2 * WINDOWS, (40,), generator=torch.Generator().manual_seed(3)).tolist()
    index = torch.tensor([5, 0, 39, 17, 17, 21])
    batch = found(index)
    assert batch.dtype == torch.float32 and batch.shape == (6, *shape)
    for i, row in zip(index.tolist(), batch, strict=True):
        place, mirrored = divmod(draws[i], 2)
        close(data, row, cropped(data.train_images[i].numpy(), *divmod(place, 9), bool(mirrored)))


def chosen(n: int, seed: int) -> np.ndarray:
    """(n, 3): down, right, mirrored of each image, read off images whose channels are a pixel's row and column."""
    grid = torch.stack(torch.meshgrid(torch.arange(20), torch.arange(20), indexing="ij")).to(torch.uint8)
    same, labels = grid.expand(n, 2, 20, 20).contiguous(), torch.zeros(n, dtype=torch.int64)
    data = Data("rows and columns", "", 10, (0.0, 0.0), (1.0, 1.0), same, labels, same[:1], labels[:1])
    found = (batches(data, seed)(torch.arange(n))[:, :, 10, 10:12] * 255).round().long().numpy()
    down, mirrored = found[:, 0, 0] - 6, found[:, 1, 1] < found[:, 1, 0]
    right = np.where(mirrored, 19 - found[:, 1, 0], found[:, 1, 0]) - 6
    return np.stack([down, right, mirrored], axis=1)


def test_every_window_and_both_mirrors_occur_equally_often() -> None:
    """Chi-squared of 162 outcomes in 16,200 draws: mean 161, deviation 18; outside of 161 +- 90 by chance below 1e-5."""
    draws = chosen(100 * 2 * WINDOWS, 7)
    assert draws.min() == 0 and draws.max(0).tolist() == [8, 8, 1]
    counts = np.bincount(np.ravel_multi_index(tuple(draws.T), (9, 9, 2)), minlength=2 * WINDOWS)
    assert len(counts) == 2 * WINDOWS and counts.min() > 0
    assert 161 - 90 < ((counts - 100) ** 2 / 100).sum() < 161 + 90


def test_pictures_depend_on_seed_epoch_and_image_alone() -> None:
    data = images(50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    whole = batches(data, 11)(torch.arange(50))
    parts = batches(data, 11)
    for index in order.split(7):
        assert torch.equal(parts(index), whole[index])
    assert not torch.equal(batches(data, 12)(torch.arange(50)), whole)
    parts.begin_epoch(50, torch.Generator().manual_seed(12))
    assert torch.equal(parts(order), batches(data, 12)(torch.arange(50))[order])


def test_an_epoch_that_is_gone_on_with_has_the_same_pictures() -> None:
    data, order = images(30), torch.arange(30).flip(0)
    first = batches(data, 4)
    before = [first(index) for index in order.split(8)]
    resumed = batches(data, 4)  # begins the epoch anew and skips the first batches
    for index, batch in list(zip(order.split(8), before, strict=True))[2:]:
        assert torch.equal(resumed(index), batch)


def test_draws_come_from_the_given_generator_alone() -> None:
    data = images(20)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = batches(data, 5)
    found(torch.arange(20))
    assert torch.equal(torch.get_rng_state(), before)
    pixels = data.train_images.clone()
    found(torch.arange(20)).zero_()
    assert torch.equal(data.train_images, pixels) and not bool((found(torch.arange(20)) == 0).all())


def test_without_augmentation_images_are_only_normalised() -> None:
    data = images(12)
    found = batches(data, 1, augment=False)
    for i, row in enumerate(found(torch.arange(12))):
        close(data, row, data.train_images[i].numpy())
    before = torch.Generator().manual_seed(1)
    state = before.get_state()
    found.begin_epoch(12, before)
    assert torch.equal(before.get_state(), state)


@pytest.mark.parametrize("augment", [True, False])
def test_test_images_are_only_normalised(augment: bool) -> None:
    data = images(12)
    found = batches(data, 1, augment).test(slice(0, 1))
    assert found.shape == (1, 3, 32, 32)
    close(data, found[0], data.test_images[0].numpy())


def test_wrong_calls_are_one_line() -> None:
    data = images(4)
    with pytest.raises(ArgumentError, match=r"^`begin_epoch` must be called before the first batch; got no call\.$"):
        Batches(data)(torch.arange(2))
    with pytest.raises(ArgumentError, match=r"^`n` must be the 4 training images; got 3\.$"):
        Batches(data).begin_epoch(3, torch.Generator())


def test_the_benchmark_runs(tmp_path: Path) -> None:
    script, out = Path(__file__).parent.parent / "benchmarks" / "augment.py", tmp_path / "found.json"
    done = subprocess.run([sys.executable, script, "--quick", "--json", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "batches over loader: " in done.stdout, done.stderr
    report = json.loads(out.read_text())
    assert report["rounds"] == 2 and all(report[name]["min"] > 0 for name in ("batches", "loader", "ratio"))
