"""Fashion-MNIST's idx files and the JPEG copy of CIFAR-10: what is read, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_cifar import refused

torch = pytest.importorskip("torch")

from efcheck.train import _idx, _jpeg, data  # noqa: E402

# --- Fashion-MNIST


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def fashion() -> list[np.ndarray]:
    """Training images and labels, test images and labels."""
    rng = np.random.default_rng(1)
    shapes = [(6, 28, 28), (6,), (4, 28, 28), (4,)]
    return [rng.integers(0, 256 if len(shape) == 3 else 10, shape, np.uint8) for shape in shapes]


@pytest.mark.parametrize("suffix", [".gz", ""], ids=["gzipped", "plain"])
def test_idx_files_are_read(suffix: str, tmp_path: Path) -> None:
    arrays = fashion()
    for name, values in zip(_idx.FILES, arrays, strict=True):
        (tmp_path / f"{name}{suffix}").write_bytes(gzip.compress(idx(values)) if suffix else idx(values))
    found = data.load("fashion-mnist", tmp_path)
    got = [found.train_images, found.train_labels, found.test_images, found.test_labels]
    for tensor, values in zip(got, arrays, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), values[:, None] if values.ndim == 3 else values)
    assert got[0].dtype == torch.uint8 and got[1].dtype == torch.int64 and found.classes == 10


@pytest.mark.parametrize(("file", "content", "told"), [
    (0, None, "must hold Fashion-MNIST; got no train-images-idx3-ubyte.gz there. Get it from https://github.com/zalandoresearch"),
    (0, gzip.compress(idx(fashion()[0]))[:-500], "train-images-idx3-ubyte.gz is damaged or cut short: .*Get it again from"),
    (1, b"\x1f\x8b" + bytes(40), "train-labels-idx1-ubyte.gz is damaged or cut short|cannot be read"),
    (2, b"plain", "t10k-images-idx3-ubyte.gz is damaged or cut short: Not a gzipped file"),
    (0, gzip.compress(idx(fashion()[0])[:-1]), "must have 4720 bytes by its header; got 4719. Get it again from"),
    (0, gzip.compress(idx(fashion()[0]) + b"1"), "must have 4720 bytes by its header; got 4721"),
    (0, gzip.compress(struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3)), "bytes by its header; got 16"),
    (0, gzip.compress(idx(fashion()[1])), "must be an idx file of bytes with 3 dimensions; its first bytes are 00000801"),
    (1, gzip.compress(b"\x00\x00\x0d\x01" + bytes(9)), "must be an idx file of bytes with 1 dimensions; .* are 00000d01"),
    (3, gzip.compress(b""), "must be an idx file of bytes with 1 dimensions; its first bytes are "),
    (1, gzip.compress(idx(fashion()[3])), "has 6 images and train-labels-idx1-ubyte has 4 labels"),
    (0, gzip.compress(idx(np.zeros((6, 32, 32), np.uint8))), "must have images of 28 x 28 pixels; got 6 of 32 x 32. Get it"),
    (2, gzip.compress(idx(np.zeros((0, 28, 28), np.uint8))), "must have images of 28 x 28 pixels; got 0 of 28 x 28. Get it"),
    (3, gzip.compress(idx(np.array([0, 9, 10, 1], np.uint8))), "t10k-labels-idx1-ubyte must have labels below 10; got 10"),
], ids=["absent", "gzip cut short", "gzip damaged", "not gzipped", "a byte less", "a byte more", "a header that lies",
        "labels for images", "floats", "empty", "fewer labels", "other pixels",
        "no images", "label out of range"])  # fmt: skip
def test_idx_files_that_are_damaged_are_refused(file: int, content: bytes | None, told: str, tmp_path: Path) -> None:
    for i, (name, values) in enumerate(zip(_idx.FILES, fashion(), strict=True)):
        if i != file:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
        elif content is not None:
            (tmp_path / f"{name}.gz").write_bytes(content)
    refused("fashion-mnist", tmp_path, told)


# --- the JPEG copy


def jpegs(sizes: dict[str, int]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of a copy with so many images of each part, and the images as Pillow reads them."""
    image = pytest.importorskip("PIL.Image")
    rng, arrays, pictures = np.random.default_rng(2), {}, {}
    for part, count in sizes.items():
        bodies, shown = [], []
        for _ in range(count):
            out = io.BytesIO()
            image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(out, "JPEG", quality=75)
            raw = out.getvalue()
            scan = raw.index(b"\xff\xda")
            start = scan + 2 + int.from_bytes(raw[scan + 2 : scan + 4], "big")
            arrays["header"] = np.frombuffer(raw[:start], np.uint8)
            bodies.append(raw[start:-2])
            shown.append(np.asarray(image.open(io.BytesIO(raw))).transpose(2, 0, 1))
        arrays[f"{part}_bytes"] = np.frombuffer(b"".join(bodies), np.uint8)
        arrays[f"{part}_len"] = np.array([len(body) for body in bodies], np.uint16)
        arrays[f"{part}_label"], pictures[part] = rng.integers(0, 10, count, np.uint8), np.stack(shown)
    return arrays, pictures


def test_the_jpeg_copy_is_read(tmp_path: Path) -> None:
    arrays, pictures = jpegs({"train": 5, "test": 3})
    np.savez(tmp_path / _jpeg.FILE, **arrays)
    found = data.load("cifar10-jpeg", tmp_path, download=True)  # there is nothing to fetch
    for part, images, labels in (
        ("train", found.train_images, found.train_labels), ("test", found.test_images, found.test_labels),
    ):  # fmt: skip
        np.testing.assert_array_equal(images.numpy(), pictures[part])
        np.testing.assert_array_equal(labels.numpy(), arrays[f"{part}_label"])
        assert images.is_contiguous() and labels.dtype == torch.int64
    assert "JPEG copy" in found.label


@pytest.mark.parametrize("damage", ["absent", "no zip", "cut short", "no array", "no header", "objects", "label", "labels"])
def test_a_jpeg_copy_that_is_damaged_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / _jpeg.FILE
    arrays, _ = jpegs({"train": 2, "test": 2})
    if damage == "no array":
        del arrays["test_label"]
    elif damage == "no header":
        arrays["header"] = arrays["header"][10:]
    elif damage == "objects":
        arrays["test_bytes"] = np.array([{}], object)
    elif damage == "label":
        arrays["test_label"][1] = 10
    elif damage == "labels":
        arrays["test_label"] = arrays["test_label"][:1]
    np.savez(path, **arrays)
    if damage == "cut short":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "no zip":
        path.write_bytes(b"no zip")
    elif damage == "absent":
        path.unlink()
    told = "must hold cifar10_jpeg.npz; it is not there" if damage == "absent" else f"{path} is damaged: "
    refused("cifar10-jpeg", tmp_path, told)


def npz(**members: bytes) -> bytes:
    """A zip file of these members."""
    with zipfile.ZipFile(out := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return out.getvalue()


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize(("content", "told"), [
    (b"", "No data left in file"),
    (npz(header=bytes(5000)).replace(b"\x08\x00", b"\x63\x00"), "compression"),
    (npz(header=npy("{'descr': (((")), "."),
    (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n") + b"1", "."),
], ids=["empty", "a method of compression that is none", "a header that is cut", "an array"])  # fmt: skip
def test_a_jpeg_copy_that_numpy_cannot_read_is_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    path = tmp_path / _jpeg.FILE
    path.write_bytes(content)
    refused("cifar10-jpeg", tmp_path, f"^{path} is damaged: .*{told}")


def test_a_jpeg_copy_whose_deflated_bytes_are_damaged_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    path, content = tmp_path / _jpeg.FILE, bytearray(npz(header=bytes(range(256)) * 20))
    content[50:80] = b"\xff" * 30
    path.write_bytes(content)
    refused("cifar10-jpeg", tmp_path, f"^{path} is damaged: Error -3 while decompressing data")


@pytest.mark.parametrize(("name", "change", "told"), [
    ("train_label", lambda v: v.astype(float) + 0.5, "train_label must be integers, one for each image; got float64 of shape"),
    ("train_label", lambda v: v[0], r"train_label must be integers, .*; got uint8 of shape \(\)"),
    ("test_label", lambda v: v.astype(int) - 10, r"test_label must be one label in \[0, 10\) for each image"),
    ("test_len", lambda v: v[:0], r"test_len must be integers, one for each image; got uint16 of shape \(0,\)"),
    ("train_len", lambda v: np.array(3), r"train_len must be integers, .*; got int64 of shape \(\)"),
    ("test_bytes", lambda v: v[:-5], r"test_bytes must have [0-9]+ bytes by test_len; got [0-9]+"),
])  # fmt: skip
def test_a_jpeg_copy_with_arrays_that_do_not_fit_is_one_line(name: str, change: Any, told: str, tmp_path: Path) -> None:
    arrays, _ = jpegs({"train": 2, "test": 2})
    arrays[name] = change(arrays[name])
    np.savez(tmp_path / _jpeg.FILE, **arrays)
    refused("cifar10-jpeg", tmp_path, f"is damaged: {told}")


@pytest.mark.slow
@pytest.mark.skipif("EFCHECK_CIFAR10_JPEG" not in os.environ, reason="EFCHECK_CIFAR10_JPEG does not name the copy's folder")
def test_the_jpeg_copy_has_all_of_cifar10() -> None:
    found = data.load("cifar10-jpeg", os.environ["EFCHECK_CIFAR10_JPEG"])
    assert found.train_images.shape == (50_000, 3, 32, 32) and found.test_images.shape == (10_000, 3, 32, 32)
    assert torch.bincount(found.train_labels).tolist() == [5000] * 10
    assert torch.bincount(found.test_labels).tolist() == [1000] * 10
    mean = found.train_images.to(torch.float64).mean((0, 2, 3)) / 255
    assert (mean - torch.tensor(found.mean, dtype=torch.float64)).abs().max() < 0.002  # the published mean has four digits
