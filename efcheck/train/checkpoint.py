"""Files of a run that survive kill -9, a full disk and a flipped bit: OUT/last.pt and OUT/previous.pt.

A file is what torch.save writes (a zip that torch.load(weights_only=True) reads) whose end comment is the SHA-256, in
hexadecimal, of every byte before it. So any flipped bit and any truncation is found, and nothing in it is executed.

    write beside the files, fsync  ->  last.pt becomes previous.pt  ->  the new file becomes last.pt

Each arrow is one rename: whenever the process dies, last.pt or previous.pt is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from efcheck.errors import EfcheckError, argument_error

LAST, PREVIOUS = "last.pt", "previous.pt"
_WRITING = "last.pt.writing"
_COMMENT = 64  # hexadecimal digits of a SHA-256
_SHARE = 0.1  # of the time may go into saving


class CheckpointError(EfcheckError):
    """A checkpoint cannot be written or read."""


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint and wait until the disk has it. Not atomic by itself: see `Keeper.save`."""
    buffer = io.BytesIO()  # torch.save into the file itself would turn a full disk into an error without a reason
    torch.save(state, buffer)
    zipped = buffer.getbuffer()
    if bytes(zipped[-2:]) != b"\0\0":
        raise AssertionError("torch.save ended its zip in another way than with an empty comment")
    length = _COMMENT.to_bytes(2, "little")
    digest = hashlib.sha256(zipped[:-2])
    digest.update(length)
    with path.open("wb") as file:
        for part in (zipped[:-2], length, digest.hexdigest().encode()):
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> dict[str, Any]:
    """The state in a checkpoint, its tensors on the CPU.

    Raises
    ------
    CheckpointError
        If there is none, or if a byte of it is not as it was written; the line says which.
    """
    try:
        with path.open("rb") as file:
            rest, digest = max(os.fstat(file.fileno()).st_size - _COMMENT, 0), hashlib.sha256()
            while rest and (chunk := file.read(min(rest, 1 << 20))):
                digest.update(chunk)
                rest -= len(chunk)
            if file.read() != digest.hexdigest().encode():
                raise CheckpointError(f"{path} is damaged: its SHA-256 is not the one at its end")
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except CheckpointError:
        raise
    except Exception as error:  # whatever torch.load raises on a file with a right digest that is not a checkpoint
        raise CheckpointError(f"{path} is no checkpoint: {str(error).splitlines()[0]}") from error


class Keeper:
    """The checkpoints of one folder: when to save, how, and which one to go on from.

    Parameters
    ----------
    folder : Path
        OUT.
    every : float
        Seconds between checkpoints; longer where a checkpoint takes more than a tenth of that.
    """

    def __init__(self, folder: Path, every: float) -> None:
        self.folder, self.every = folder, every
        self.step: int | None = None  # of the last checkpoint that is known to be whole
        self._last_is_whole = False
        self._saved_at, self._took = time.monotonic(), 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return time.monotonic() - self._saved_at >= max(self.every, self._rest)

    @property
    def affordable(self) -> bool:
        """Whether another checkpoint would keep to a tenth of the time; the first always does."""
        return self.step is None or time.monotonic() - self._saved_at >= self._rest

    @property
    def _rest(self) -> float:
        return self._took * (1 / _SHARE - 1)

    def save(self, state: dict[str, Any]) -> None:
        """Make `state` the last checkpoint, and the last one the previous.

        Raises
        ------
        CheckpointError
            If it cannot be written; the files there before are whole.
        """
        start = time.monotonic()
        fresh, last = self.folder / _WRITING, self.folder / LAST
        try:
            write(fresh, state)
            if self._last_is_whole:  # a damaged last.pt must not take the place of the whole previous.pt
                os.replace(last, self.folder / PREVIOUS)
            os.replace(fresh, last)
            _sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)
            whole = "no checkpoint was written before" if self.step is None else f"the one of step {self.step} is whole"
            raise CheckpointError(f"checkpoint cannot be saved in {self.folder}: {error.strerror}; {whole}") from error
        self._last_is_whole, self.step = True, int(state["step"])
        self._saved_at = time.monotonic()
        self._took = self._saved_at - start

    def newest(self) -> tuple[dict[str, Any] | None, list[str]]:
        """The state to go on from, None if there is no checkpoint, and a line for each file that was refused.

        Raises
        ------
        CheckpointError
            If there are checkpoints and none of them is whole. Nothing is touched then.
        """
        refused: list[str] = []
        for name in (LAST, PREVIOUS):
            path = self.folder / name
            if not path.exists():
                continue
            try:
                state = read(path)
            except CheckpointError as error:
                refused.append(str(error))
                continue
            (self.folder / _WRITING).unlink(missing_ok=True)
            self._last_is_whole, self.step = name == LAST, int(state["step"])
            return state, refused
        if refused:
            raise CheckpointError(f"no checkpoint to go on from: {'; '.join(refused)}")
        (self.folder / _WRITING).unlink(missing_ok=True)
        return None, []


def holds_run(folder: Path) -> bool:
    """Whether a run has left its checkpoints or its metrics in this folder."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS, "metrics.jsonl"))


@contextlib.contextmanager
def only_one_run(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the system lets go of it however the process ends.

    Raises
    ------
    ArgumentError
        If another process holds it.
    """
    import fcntl  # not on Windows

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise argument_error("--out", "be a folder that no other run is writing to", str(folder)) from error
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    """The renames themselves reach the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
