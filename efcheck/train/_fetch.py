"""Checksums, and files from the network: whole and as published, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from efcheck.errors import EfcheckError

_LIMIT = 1 << 28  # bytes of a download; the largest archive here has 170.5 million
_TIMEOUT = 30.0  # seconds without a byte


def fetch(url: str, path: Path, md5: str) -> None:
    """Write what is at `url` to `path`, whose folder is made if need be.

    Raises EfcheckError, in one line, if it cannot be fetched or its MD5 is another; `path` is not touched then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    by_hand = f"Get {path.name} into {path.parent} by hand"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, part.open("w+b") as file:
            while file.tell() <= _LIMIT and (piece := answer.read(1 << 20)):
                file.write(piece)
            check(f"what came from {url}", file, md5, by_hand)
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:  # urllib's errors are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise EfcheckError(f"{url} cannot be fetched into {path.parent}: {line(error)}. {by_hand}") from error
    finally:
        if part.exists():
            part.unlink()


def check(name: str, file: IO[bytes], md5: str, hint: str) -> None:
    """Raise EfcheckError unless the file has this MD5; it is at its beginning afterwards."""
    file.seek(0)
    got = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()  # type: ignore[arg-type]
    if got != md5:
        size = file.seek(0, os.SEEK_END)
        told = f"{name} must have the published MD5 {md5}; got {got} over {size} bytes: cut short, damaged or another file"
        raise EfcheckError(f"{told}. {hint}")
    file.seek(0)


def line(error: BaseException) -> str:
    """What went wrong, in one line."""
    reason = getattr(error, "reason", None)  # of a URLError: an OSError or a text
    shown = line(reason) if isinstance(reason, Exception) else getattr(error, "strerror", None) or str(error)
    return " ".join(shown.split()) or type(error).__name__
