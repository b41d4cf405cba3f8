"""Data sets: every form in which CIFAR comes, what is refused, pickles that are not run, downloads, idx files, the JPEG copy.

The archives are made here in the published layout with a few images a file; the table of checksums then has theirs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import struct
import tarfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from efcheck.errors import ArgumentError, EfcheckError  # noqa: E402
from efcheck.train import _cifar, _idx, _jpeg, _pickled, data  # noqa: E402

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


@pytest.fixture(params=["cifar10", "cifar100"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source(request.param, monkeypatch)


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source("cifar10", monkeypatch)


@pytest.fixture
def cifar100(monkeypatch: pytest.MonkeyPatch) -> Source:
    return Source("cifar100", monkeypatch)


def refused(name: str, folder: Path, pattern: str, download: bool = False) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(EfcheckError, match=pattern) as caught:
        data.load(name, folder, download)
    line = str(caught.value)
    assert "\n" not in line
    return line


# --- what is read


@pytest.mark.parametrize("form", FORMS)
def test_cifar_is_read_in_every_form(source: Source, form: str, tmp_path: Path) -> None:
    source.put(form, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = data.load(source.name, tmp_path)
    source.check(found)
    assert found.classes == source.layout.classes[-1] and found.label == source.layout.title
    assert found.mean == (0.4914, 0.4822, 0.4465) and found.std == (0.2023, 0.1994, 0.2010)
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked


def test_forms_are_looked_for_in_a_fixed_order(source: Source, tmp_path: Path) -> None:
    for form in FORMS:
        version, how = form.split()
        source.put(form, tmp_path)
        for later in FORMS[FORMS.index(form) + 1 :]:
            damaged = {name: b"" for name in source.form(later.split()[0]).files}
            source.put(later, tmp_path, damaged, published=False)
        source.check(data.load(source.name, tmp_path))
        for name in source.form(version).files if how != "archive" else [source.form(version).archive]:
            place = tmp_path / source.form(version).folder if how == "folder" else tmp_path
            (place / name).unlink()


def test_the_published_table_is_that_of_the_web_page() -> None:
    ten, hundred = _cifar.LAYOUTS["cifar10"], _cifar.LAYOUTS["cifar100"]
    assert ten.binary.md5 == "c32a1d4ab5d03f1284b67883e8d87530" and ten.python.md5 == "c58f30108f718f92721af3b95e74349a"
    assert hundred.binary.md5 == "03b5dce01913d631647c71ecec9e9cb8" and hundred.python.md5 == "eb9058c3a382ffc7106e4002c42a8d85"
    for layout, counts, sizes in ((ten, (10_000,) * 6, {30_730_000}), (hundred, (50_000, 10_000), {153_700_000, 30_740_000})):
        assert layout.counts == counts and {n * (3072 + len(layout.classes)) for n in counts} == sizes
        for form in (layout.binary, layout.python):
            assert len(form.files) == len(counts) and len(form.sums) in (0, len(counts))
        assert len(set(layout.python.sums)) == len(counts) and not layout.binary.sums


def test_the_python_batches_of_these_tests_are_what_numpy_reads(cifar10: Source) -> None:
    content = cifar10.files("python")["test_batch"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy 2 has moved the name
        there = pickle.loads(content, encoding="bytes")
    count = cifar10.layout.counts[-1]
    np.testing.assert_array_equal(there[b"data"], cifar10.images[-count:])
    assert there[b"labels"] == cifar10.labels[-count:, 0].tolist() and there[b"filenames"][0] == b"image_s_000000.png"


def test_an_array_in_fortran_order_is_read(cifar100: Source, tmp_path: Path) -> None:
    files, count = cifar100.files("python"), cifar100.layout.counts[-1]
    pixels = array(cifar100.images[-count:].tobytes(order="F"), (count, 3072), fortran=True)
    files["test"] = batch(b"fine_labels", cifar100.labels[-count:, -1].tolist(), pixels)
    cifar100.put("python archive", tmp_path, files)
    cifar100.check(data.load("cifar100", tmp_path))


def test_a_data_set_moves_to_another_device(cifar10: Source, tmp_path: Path) -> None:
    cifar10.put("binary files", tmp_path)
    moved = data.load("cifar10", tmp_path).to("meta")
    tensors = [moved.train_images, moved.train_labels, moved.test_images, moved.test_labels]
    assert all(t.device.type == "meta" for t in tensors) and moved.name == "cifar10"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["binary archive", "binary folder", "python archive", "python folder"])
def test_cifar_is_read_at_full_size(form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, layout in list(_cifar.LAYOUTS.items()):
        monkeypatch.setitem(COUNTS, name, layout.counts)
        source = Source(name, monkeypatch)
        source.put(form, tmp_path)
        source.check(data.load(name, tmp_path))


# --- what is refused


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "spoil", [cut, flip, lambda path: path.write_bytes(b"<html>")], ids=["truncated", "one bit", "another"]
)
@pytest.mark.parametrize("version", ["binary", "python"])
def test_an_archive_that_is_not_as_published_is_refused_before_use(
    source: Source, version: str, spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source.put(f"{version} archive", tmp_path)
    spoil(path)
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: pytest.fail("it was opened"))
    size = path.stat().st_size
    wanted = f"{path} must have the published MD5 {source.form(version).md5}; got [0-9a-f]{{32}} over {size} bytes: cut short"
    line = refused(source.name, tmp_path, wanted)
    assert line.endswith("Delete it and get it again from https://www.cs.toronto.edu/~kriz/cifar.html, or with --download")


def test_a_python_file_that_is_not_as_published_is_refused_before_use(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = source.put("python folder", tmp_path)
    monkeypatch.setattr(_pickled, "load", lambda file: pytest.fail("it was unpickled"))
    flip(place / source.layout.python.files[0])
    refused(source.name, tmp_path, "must have the published MD5")


@pytest.mark.parametrize("change", [b"", b"x"], ids=["short", "long"])
@pytest.mark.parametrize("form", ["binary archive", "binary folder", "python archive", "python folder"])
def test_a_file_of_another_size_is_refused(source: Source, form: str, change: bytes, tmp_path: Path) -> None:
    files = source.files(form.split()[0])
    last = list(files)[-1]
    files[last] = files[last] + change * 10_000 if change else files[last][:3000]
    source.put(form, tmp_path, files)
    refused(source.name, tmp_path, rf"{last} must have [0-9 to]+ bytes; got {len(files[last])}\. Delete it")


@pytest.mark.parametrize(("form", "place", "value", "highest"), [
    ("cifar10 binary folder", 0, 10, 9), ("cifar100 binary archive", 1, 100, 99), ("cifar100 binary folder", 0, 20, 19),
    ("cifar10 python archive", 0, 10, 9), ("cifar100 python folder", 1, -1, 99),
])  # fmt: skip
def test_a_label_out_of_range_is_refused(
    form: str, place: int, value: int, highest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, how = form.split(maxsplit=1)
    source = Source(name, monkeypatch)
    source.labels = source.labels.astype(np.int64)
    source.labels[3, place] = value
    files = source.files("python")
    if "binary" in how:
        source.labels = source.labels.astype(np.uint8)
        files = source.files("binary")
    source.put(how, tmp_path, files)
    refused(name, tmp_path, rf"must have labels in \[0, {highest}\]; image 3 has another\. Delete it")


def test_absent_data_says_which_file_to_get_from_where(source: Source, tmp_path: Path) -> None:
    archive = source.layout.binary.archive
    line = refused(source.name, tmp_path, f"{tmp_path} must hold {source.layout.title}; got no {archive} there")
    assert line.endswith(f"Get {archive} from https://www.cs.toronto.edu/~kriz/cifar.html, or pass --download")


@pytest.mark.parametrize("version", ["binary", "python"])
def test_a_file_that_is_missing_is_named(source: Source, version: str, tmp_path: Path) -> None:
    place = source.put(f"{version} folder", tmp_path)
    last = source.form(version).files[-1]
    (place / last).unlink()
    refused(
        source.name,
        tmp_path,
        f"{place} must hold all of {source.layout.title}; got no {last} there. Get {source.layout.binary.archive}",
    )


def test_an_archive_without_a_file_is_refused(source: Source, tmp_path: Path) -> None:
    files = source.files("binary")
    last = list(files)[-1]
    del files[last]
    source.put("binary archive", tmp_path, files)
    refused(source.name, tmp_path, f"must have the file {source.layout.binary.folder}/{last}; got none. Delete it")


@pytest.mark.parametrize("content", [b"", b"not a tar", gzip.compress(b"x" * 5000)], ids=["empty", "text", "gzip of text"])
def test_what_is_no_tar_is_refused_even_with_the_right_checksum(source: Source, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / source.layout.binary.archive
    path.write_bytes(content)
    source.publish("binary", path, {})
    refused(source.name, tmp_path, f"{path} cannot be read: .+ Delete it")


def test_an_archive_cut_short_is_refused_even_with_the_right_checksum(source: Source, tmp_path: Path) -> None:
    for version in ("binary", "python"):
        path = source.put(f"{version} archive", tmp_path)
        cut(path)
        source.publish(version, path, source.files(version))
        refused(source.name, tmp_path, f"{path} cannot be read: .+ Delete it|is refused, and nothing in it was run")
        path.unlink()


def test_members_that_leave_the_folder_are_harmless(cifar10: Source, tmp_path: Path) -> None:
    files = {f"cifar-10-batches-bin/{name}": content for name, content in cifar10.files("binary").items()}
    evil = {f"{up}evil/data_batch_1.bin": b"evil" for up in ("../", f"{tmp_path}/", "cifar-10-batches-bin/../../")}
    path = tmp_path / "in" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    path.write_bytes(tar({**files, **evil}, "cifar-10-batches-bin"))
    cifar10.publish("binary", path, cifar10.files("binary"))
    cifar10.check(data.load("cifar10", path.parent))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["cifar-10-binary.tar.gz", "in"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE], ids=["symlink", "link", "fifo", "device"]
)
def test_a_member_that_is_no_file_is_refused(cifar10: Source, kind: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(cifar10.files("binary")["test_batch.bin"])
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in cifar10.files("binary").items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            if name == "test_batch.bin":
                member.type, member.linkname = kind, str(secret)
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content))
    cifar10.publish("binary", path, cifar10.files("binary"))
    refused("cifar10", tmp_path, "must have the file cifar-10-batches-bin/test_batch.bin; got none")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_one_line(cifar10: Source, tmp_path: Path) -> None:
    cifar10.put("binary archive", tmp_path).chmod(0)
    refused("cifar10", tmp_path, "cannot be read: Permission denied")


@pytest.mark.parametrize(("name", "folder", "expected"), [
    ("cifar11", ".", "`data` must be one of cifar10, cifar100, fashion-mnist, cifar10-jpeg; got cifar11."),
    ("cifar10", "nowhere", "nowhere must be the folder that holds cifar10; got nothing there"),
    ("cifar100", "file", "file must be the folder that holds cifar100; got a file"),
])  # fmt: skip
def test_wrong_arguments_are_one_line(name: str, folder: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert expected in refused(name, tmp_path / folder, "must be")
    if name == "cifar11":
        with pytest.raises(ArgumentError):
            data.load(name, tmp_path)


# --- pickles


def makes(mark: Path) -> bytes:
    """The argument of a mkdir, as a unicode string."""
    path = str(mark).encode()
    return b"X" + struct.pack("<I", len(path)) + path


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


MKDIR: dict[str, Callable[[Path], bytes]] = {  # each makes the folder when it is unpickled freely
    "os.mkdir": lambda mark: b"cposix\nmkdir\n" + makes(mark) + b"\x85R",
    "os.mkdir by INST": lambda mark: b"(" + makes(mark) + b"iposix\nmkdir\n",
    "os.mkdir by OBJ": lambda mark: b"(cposix\nmkdir\n" + makes(mark) + b"o",
    "builtins.eval": lambda mark: b"cbuiltins\neval\n" + makes(Path(f"__import__('os').mkdir({str(mark)!r})")) + b"\x85R",
    "os.mkdir under numpy": lambda mark: short("numpy.lib._npyio_impl") + short("os.mkdir") + b"\x93" + makes(mark) + b"\x85R",
    "an object array": lambda mark: b"cnumpy\narray\n](cposix\nmkdir\n" + makes(mark) + b"\x85Re\x85R",
    "numpy.memmap": lambda mark: b"cnumpy\nmemmap\n(" + makes(mark) + short("uint8") + short("w+") + b"K\x00K\x08tR",
}
ODD: dict[str, tuple[bytes, str]] = {
    "an array of objects": (array(b"", (1,), b"O8"), "an array of another type than uint8"),
    "an array of floats": (array(b"12345678", (1,), b"f8"), "an array of another type than uint8"),
    "an array of more entries than bytes": (array(b"1", (1 << 30,)), "an array with more or fewer bytes than entries"),
    "an array of a negative side": (array(b"1", (-1, -1, 1)) + b"0" + array(b"", (-5,)), "more or fewer bytes"),
    "a name with a line break": (short("numpy") + short("a\nb") + b"\x93", r"it asks for 'numpy.a\\nb'"),
    "getattr": (b"c__builtin__\ngetattr\n", "it asks for '__builtin__.getattr'"),
    "numpy.load": (b"cnumpy\nload\n", "it asks for 'numpy.load'"),
    "numpy.core.multiarray.fromfile": (b"cnumpy.core.multiarray\nfromfile\n", "it asks for"),
    "numpy.dtype changed": (b"cnumpy\ndtype\n}" + text(b"_make") + b"K\x01sb", "it changes what it was given"),
    "numpy.dtype changed by slots": (b"cnumpy\ndtype\nN}" + short("_make") + b"K\x01s\x86b", "it changes what it was given"),
    "numpy.ndarray by NEWOBJ": (b"cnumpy\nndarray\n)\x81", r"it is no pickle of arrays \(UnpicklingError\)"),
    "a persistent id": (b"Pabc\n", r"it is no pickle of arrays \(UnpicklingError\)"),
    "an extension": (b"\x82\x07", r"it is no pickle of arrays \(ValueError\)"),
    "an unknown opcode": (b"\xff", r"it is no pickle of arrays \(UnpicklingError\)"),
    "the end": (b"(", r"it is no pickle of arrays"),
}


def padded(count: int, content: bytes) -> bytes:
    """A pickle as large as a batch, so that the size is not what is refused."""
    return b"\x80\x04" + text(bytes(count * 3072)) + b"0" + content + b"."


@pytest.mark.parametrize("form", ["python archive", "python folder"])
@pytest.mark.parametrize("evil", MKDIR)
def test_a_malicious_pickle_is_not_run_even_with_the_right_checksum(
    cifar10: Source, evil: str, form: str, tmp_path: Path
) -> None:
    mark, files = tmp_path / "executed", cifar10.files("python")
    files["test_batch"] = padded(5, MKDIR[evil](mark))
    cifar10.put(form, tmp_path / "in", files)
    refused("cifar10", tmp_path / "in", "test_batch is refused, and nothing in it was run: it asks for '")
    assert not mark.exists()


@pytest.mark.parametrize("evil", MKDIR)
def test_the_malicious_pickles_of_these_tests_do_run_elsewhere(evil: str, tmp_path: Path) -> None:
    pickle.loads(padded(5, MKDIR[evil](tmp_path / "executed")))
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_pickle_is_refused(cifar10: Source, odd: str, tmp_path: Path) -> None:
    files = cifar10.files("python")
    content, told = ODD[odd]
    files["data_batch_2"] = padded(5, content)
    cifar10.put("python archive", tmp_path, files)
    refused("cifar10", tmp_path, f"data_batch_2 is refused, and nothing in it was run: .*{told}")


@pytest.mark.parametrize(("content", "told"), [
    (padded(5, b"]"), r"data, a uint8 array of shape \(5, 3072\)"),
    (padded(5, b"}"), r"data, a uint8 array of shape \(5, 3072\)"),
    (batch(b"labels", [1] * 5, text(bytes(5 * 3072))), r"data, a uint8 array of shape \(5, 3072\)"),
    (batch(b"labels", [1] * 5, array(bytes(5 * 3072), (3072, 5))), r"data, a uint8 array of shape \(5, 3072\)"),
    (batch(b"labels", [1] * 4, array(bytes(5 * 3072), (5, 3072))), "labels, a list of 5 integers"),
    (batch(b"fine_labels", [1] * 5, array(bytes(5 * 3072), (5, 3072))), "labels, a list of 5 integers"),
    (batch(b"labels", [1] * 5, array(bytes(5 * 3072), (5, 3072))).replace(b"J\x01\x00\x00\x00", b"\x88"), "labels, a list"),
], ids=["a list", "an empty dict", "bytes for an array", "transposed", "a label less", "no labels", "booleans"])  # fmt: skip
def test_a_batch_with_other_things_in_it_is_refused(cifar10: Source, content: bytes, told: str, tmp_path: Path) -> None:
    cifar10.put("python folder", tmp_path, {**cifar10.files("python"), "data_batch_2": content})
    refused("cifar10", tmp_path, f"data_batch_2 must have {told}")


# --- downloads


@contextlib.contextmanager
def serving(status: int, body: bytes, length: int | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server at the place of the published page; the paths it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        monkeypatch.setattr(_cifar, "SITE", f"http://127.0.0.1:{server.server_port}/kriz/")
        monkeypatch.setenv("no_proxy", "*")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def published(source: Source, folder: Path) -> bytes:
    """The archive whose checksum is published, not left there."""
    path = source.put("binary archive", folder)
    content = path.read_bytes()
    path.unlink()
    return content


def test_a_download_is_read_and_not_repeated(source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body, folder = published(source, tmp_path), tmp_path / "new" / "folder"
    archive = source.layout.binary.archive
    with serving(200, body, None, monkeypatch) as asked:
        for _ in range(2):
            source.check(data.load(source.name, folder, download=True))
    assert asked == [f"/kriz/{archive}"]
    assert [p.name for p in folder.iterdir()] == [archive] and (folder / archive).read_bytes() == body


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_fetched_where_the_data_is(
    source: Source, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.put(form, tmp_path)
    with serving(500, b"", None, monkeypatch) as asked:
        source.check(data.load(source.name, tmp_path, download=True))
    assert not asked


@pytest.mark.parametrize(("status", "share", "told"), [
    (200, 0.9, "what came from http.*gz must have the published MD5 [0-9a-f]+; got [0-9a-f]+ over [0-9]+ bytes: cut short"),
    (200, -1.0, "what came from http.*gz must have the published MD5 [0-9a-f]+; got"),
    (404, 1.0, "http.*gz cannot be fetched into .*: HTTP Error 404: Not Found"),
], ids=["truncated", "wrong checksum", "404"])  # fmt: skip
def test_a_download_that_fails_leaves_nothing(
    cifar10: Source, status: int, share: float, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, folder = published(cifar10, tmp_path), tmp_path / "in"
    sent = body[: int(share * len(body))] if share > 0 else body[::-1]
    with serving(status, sent, len(body), monkeypatch):
        line = refused("cifar10", folder, told, download=True)
    assert line.endswith(f"Get cifar-10-binary.tar.gz into {folder} by hand")
    assert not list(folder.iterdir())


def test_no_network_is_one_line(cifar10: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(_cifar, "SITE", f"http://127.0.0.1:{port}/")
    refused(
        "cifar10", tmp_path, "cannot be fetched into .*: Connection refused. Get cifar-10-binary.tar.gz into", download=True
    )
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_one_line(cifar10: Source, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused("cifar10", tmp_path / "file", "cannot be fetched into .*: File exists", download=True)


def test_an_interrupted_download_leaves_nothing(cifar10: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    body, folder = published(cifar10, tmp_path), tmp_path / "in"
    monkeypatch.setattr(os, "fsync", interrupt)
    with serving(200, body, None, monkeypatch), pytest.raises(KeyboardInterrupt):
        data.load("cifar10", folder, download=True)
    assert not list(folder.iterdir())


def test_an_endless_download_ends(cifar10: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from efcheck.train import _fetch

    monkeypatch.setattr(_fetch, "_LIMIT", 1 << 20)
    body = bytes(1 << 23)
    with serving(200, body, None, monkeypatch):
        refused("cifar10", tmp_path, f"over {2 << 20} bytes", download=True)
    assert not list(tmp_path.iterdir())


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
    (3, gzip.compress(idx(np.array([0, 9, 10, 1], np.uint8))), "t10k-labels-idx1-ubyte must have labels below 10; got 10"),
], ids=["absent", "gzip cut short", "gzip damaged", "not gzipped", "a byte less", "a byte more", "a header that lies",
        "labels for images", "floats", "empty", "fewer labels", "label out of range"])  # fmt: skip
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


@pytest.mark.slow
@pytest.mark.skipif("EFCHECK_CIFAR10_JPEG" not in os.environ, reason="EFCHECK_CIFAR10_JPEG does not name the copy's folder")
def test_the_jpeg_copy_has_all_of_cifar10() -> None:
    found = data.load("cifar10-jpeg", os.environ["EFCHECK_CIFAR10_JPEG"])
    assert found.train_images.shape == (50_000, 3, 32, 32) and found.test_images.shape == (10_000, 3, 32, 32)
    assert torch.bincount(found.train_labels).tolist() == [5000] * 10
    assert torch.bincount(found.test_labels).tolist() == [1000] * 10
    mean = found.train_images.to(torch.float64).mean((0, 2, 3)) / 255
    assert (mean - torch.tensor(found.mean, dtype=torch.float64)).abs().max() < 0.002  # the published mean has four digits
