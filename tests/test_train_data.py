"""CIFAR: every form in which it comes, and what is refused."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_cifar import COUNTS, FORMS, Source, array, batch, refused, tar

torch = pytest.importorskip("torch")

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import _cifar, _pickled, data  # noqa: E402

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
