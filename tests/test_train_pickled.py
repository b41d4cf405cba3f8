"""CIFAR's python version: pickles are read, and nothing in them is run."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_cifar import Source, array, batch, refused, text

torch = pytest.importorskip("torch")


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
