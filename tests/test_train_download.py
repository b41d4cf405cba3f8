"""Downloads: checked, whole or not there."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_cifar import FORMS, Source, refused

torch = pytest.importorskip("torch")

from efcheck.train import _cifar, _idx, data  # noqa: E402

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
        for module in (_cifar, _idx):
            monkeypatch.setattr(module, "SITE", f"http://127.0.0.1:{server.server_port}/kriz/")
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


def test_fashion_mnist_is_fetched_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(struct.pack(">HBBI", 0, 8, 1, 3) + bytes(3))
    for name in _idx.FILES:
        monkeypatch.setitem(_idx.MD5, name, hashlib.md5(body).hexdigest())
    (tmp_path / _idx.FILES[1]).touch()
    with serving(200, body, None, monkeypatch) as asked:
        refused("fashion-mnist", tmp_path, f"{_idx.FILES[0]}.gz must be an idx file of bytes with 3 dimensions", download=True)
        assert asked == [f"/kriz/{name}.gz" for name in _idx.FILES if name != _idx.FILES[1]]
        monkeypatch.setitem(_idx.MD5, _idx.FILES[1], "0" * 32)
        (tmp_path / _idx.FILES[1]).unlink()
        refused("fashion-mnist", tmp_path, f"{_idx.FILES[1]}.gz must have the published MD5 0+; got", download=True)
    assert not (tmp_path / f"{_idx.FILES[1]}.gz").exists()
