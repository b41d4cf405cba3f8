"""CIFAR in its published files with a few images each, and a table of checksums that has theirs."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from efcheck.errors import EfcheckError  # noqa: E402
from efcheck.train import _cifar, data  # noqa: E402

COUNTS = {"cifar10": (7, 5, 6, 4, 3, 5), "cifar100": (11, 6)}
FORMS = [f"{version} {how}" for version in ("binary", "python") for how in ("archive", "folder", "files")]
MD5 = "0123456789abcdef0123456789abcdef"


def text(value: bytes) -> bytes:
    """A str as Python 2 pickles it: SHORT_BINSTRING or BINSTRING."""
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def array(raw: bytes, shape: tuple[int, ...], dtype: bytes = b"u1", fortran: bool = False) -> bytes:
    """An ndarray as NumPy under Python 2 pickles it."""
    sides = b"(" + b"".join(b"J" + struct.pack("<i", side) for side in shape) + b"t"
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    kind = (
        b"cnumpy\ndtype\n"
        + text(dtype)
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNN"
        + b"J\xff\xff\xff\xff" * 2
        + b"K\x00tb"
    )
    return made + b"(K\x01" + sides + kind + (b"\x88" if fortran else b"\x89") + text(raw) + b"tb"


def batch(key: bytes, labels: list[int], images: bytes) -> bytes:
    """A batch: a dict of text, numbers and an array; `images` is a pickled array."""
    numbers = b"](" + b"".join(b"J" + struct.pack("<i", label) for label in labels) + b"e"
    names = b"](" + b"".join(text(b"image_s_%06d.png" % i) for i in range(len(labels))) + b"e"
    pairs = [(b"batch_label", text(b"training batch 1 of 5")), (key, numbers), (b"data", images), (b"filenames", names)]
    return b"\x80\x02}(" + b"".join(text(k) + value for k, value in pairs) + b"u."


class Source:
    """Random images and labels of a data set in its published files, and the table that has their checksums."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        rng = np.random.default_rng(0)
        self.name, self._patch = name, monkeypatch
        self.layout = dataclasses.replace(_cifar.LAYOUTS[name], counts=COUNTS[name])
        n = sum(COUNTS[name])
        self.images = rng.integers(0, 256, (n, 3072), np.uint8)
        self.labels = np.stack([rng.integers(0, c, n, np.uint8) for c in self.layout.classes], axis=1)
        self.labels[:2] = [[c - 1 for c in self.layout.classes], [0] * len(self.layout.classes)]
        self._publish()

    def _publish(self) -> None:
        self._patch.setitem(_cifar.LAYOUTS, self.name, self.layout)

    def form(self, version: str) -> _cifar.Form:
        return self.layout.binary if version == "binary" else self.layout.python

    def files(self, version: str) -> dict[str, bytes]:
        """What is in each file."""
        found, start = {}, 0
        for file, count in zip(self.form(version).files, self.layout.counts, strict=True):
            part = slice(start, start := start + count)
            if version == "binary":
                found[file] = np.concatenate([self.labels[part], self.images[part]], axis=1).tobytes()
            else:
                pixels = array(self.images[part].tobytes(), (count, 3072))
                found[file] = batch(self.layout.key, self.labels[part, -1].tolist(), pixels)
        return found

    def put(self, form: str, folder: Path, files: dict[str, bytes] | None = None, published: bool = True) -> Path:
        """Write the files in this form and publish their checksums; the path of the archive, or of the files' folder."""
        version, how = form.split()
        files, kind = self.files(version) if files is None else files, self.form(version)
        folder.mkdir(exist_ok=True)
        if how == "archive":
            place = folder / kind.archive
            place.write_bytes(tar({f"{kind.folder}/{name}": content for name, content in files.items()}, kind.folder))
        else:
            place = folder / kind.folder if how == "folder" else folder
            place.mkdir(exist_ok=True)
            for name, content in files.items():
                (place / name).write_bytes(content)
        if published:
            self.publish(version, place, files)
        return place

    def publish(self, version: str, place: Path, files: dict[str, bytes]) -> None:
        form, sums = self.form(version), tuple(hashlib.md5(files[name]).hexdigest() for name in files)
        md5 = hashlib.md5(place.read_bytes()).hexdigest() if place.is_file() else MD5
        changed = dataclasses.replace(form, md5=md5, sums=sums if version == "python" else ())
        self.layout = dataclasses.replace(self.layout, **{version: changed})
        self._publish()

    def check(self, found: data.Data) -> None:
        train = sum(self.layout.counts[:-1])
        for images, labels, part in (
            (found.train_images, found.train_labels, slice(None, train)),
            (found.test_images, found.test_labels, slice(train, None)),
        ):
            assert images.dtype == torch.uint8 and labels.dtype == torch.int64 and images.is_contiguous()
            np.testing.assert_array_equal(images.numpy(), self.images[part].reshape(-1, 3, 32, 32))
            np.testing.assert_array_equal(labels.numpy(), self.labels[part, -1])


def tar(files: dict[str, bytes], folder: str) -> bytes:
    """A gzipped tar: the folder, a readme, and the files, not in order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        inside = tarfile.TarInfo(folder)
        inside.type = tarfile.DIRTYPE
        archive.addfile(inside)
        for name, content in [(f"{folder}/readme.html", b"<a href>"), *reversed(files.items())]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def refused(name: str, folder: Path, pattern: str, download: bool = False) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(EfcheckError, match=pattern) as caught:
        data.load(name, folder, download)
    line = str(caught.value)
    assert "\n" not in line
    return line
