"""Checkpoints: any flipped bit is seen, and whenever the process dies one file is whole."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra train")

from efcheck.errors import EfcheckError  # noqa: E402
from efcheck.train import checkpoint  # noqa: E402
from efcheck.train.checkpoint import LAST, PREVIOUS, CheckpointError, Keeper  # noqa: E402


def state(step: int) -> dict[str, Any]:
    return {"step": step, "model": {"w": torch.full((3,), float(step))}, "rows": [{"epoch": 1, "loss": 0.1}]}


def keeper(folder: Path, every: float = 2.0) -> Keeper:
    return Keeper(folder, every)


def newest_step(folder: Path) -> int | None:
    found, _ = keeper(folder).newest()
    return None if found is None else int(found["step"])


def saved(folder: Path, *steps: int) -> Keeper:
    kept = keeper(folder)
    for step in steps:
        kept.save(state(step))
    return kept


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(data))


def test_a_checkpoint_comes_back_as_it_was_and_loads_with_plain_torch(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, state(7))
    for found in (checkpoint.read(path), torch.load(path, weights_only=True)):
        assert found["step"] == 7 and found["rows"] == [{"epoch": 1, "loss": 0.1}]
        assert torch.equal(found["model"]["w"], torch.full((3,), 7.0))


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, state(7))
    bits = 8 * path.stat().st_size
    chosen = set(random.Random(1).sample(range(bits), 1500)) | set(
        range(bits - 8 * 70, bits)
    )  # all of the digest and its length
    for bit in sorted(chosen):
        flip(path, bit)
        with pytest.raises(CheckpointError, match=r"a\.pt is damaged: its SHA-256"):
            checkpoint.read(path)
        flip(path, bit)
    assert checkpoint.read(path)["step"] == 7


def test_every_truncation_and_every_added_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.write(path, state(7))
    whole = path.read_bytes()
    for n in [*range(70), *range(70, len(whole), 37), len(whole) - 2, len(whole) - 1]:
        path.write_bytes(whole[:n])
        with pytest.raises(CheckpointError, match="damaged"):
            checkpoint.read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(path)


def test_a_file_of_torch_without_a_digest_is_refused(tmp_path: Path) -> None:
    torch.save(state(3), tmp_path / LAST)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(tmp_path / LAST)


def test_a_pickle_that_would_run_something_is_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    checkpoint.write(tmp_path / "a.pt", {"step": Malicious()})
    with pytest.raises(CheckpointError, match=r"a\.pt is no checkpoint"):
        checkpoint.read(tmp_path / "a.pt")
    assert not (tmp_path / "executed").exists()


def test_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2, 3)
    assert checkpoint.read(tmp_path / LAST)["step"] == 3
    assert checkpoint.read(tmp_path / PREVIOUS)["step"] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == [LAST, PREVIOUS]


@pytest.mark.parametrize("damage", ["truncate", "flip", "missing"])
def test_a_damaged_last_checkpoint_is_refused_and_the_previous_one_used(tmp_path: Path, damage: str) -> None:
    saved(tmp_path, 1, 2)
    last = tmp_path / LAST
    if damage == "truncate":
        last.write_bytes(last.read_bytes()[:-100])
    elif damage == "flip":
        flip(last, 4000)
    else:
        last.unlink()
    found, refused = keeper(tmp_path).newest()
    assert found is not None and found["step"] == 1
    assert len(refused) == (damage != "missing") and all("last.pt is damaged" in line for line in refused)


def test_two_damaged_checkpoints_are_an_error_and_stay_as_they_are(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    for name in (LAST, PREVIOUS):
        flip(tmp_path / name, 999)
    (tmp_path / "last.pt.writing").write_bytes(b"half")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=r"no checkpoint to go on from: .*last\.pt is damaged.*previous\.pt is damaged"):
        keeper(tmp_path).newest()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


class Killed(BaseException):
    """The process ends here."""


def die_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """The process dies before the given one of the calls that reach the disk: file sync, rename, rename, folder sync."""
    calls = 0

    def counted(real: Any) -> Any:
        def call(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > moment:
                raise Killed
            return real(*args)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(os, "replace", counted(os.replace))


@pytest.mark.parametrize("moment", range(5))
@pytest.mark.parametrize("last_is_damaged", [False, True], ids=["whole", "damaged"])
def test_a_death_at_any_moment_of_saving_leaves_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, last_is_damaged: bool
) -> None:
    kept = saved(tmp_path, 1, 2)
    if last_is_damaged:
        flip(tmp_path / LAST, 4000)
        kept = keeper(tmp_path)
        kept.newest()
    with monkeypatch.context() as patched:
        die_at(patched, moment)
        if moment < 3 or (moment == 3 and not last_is_damaged):  # a damaged file is not renamed: one call less
            with pytest.raises(Killed):
                kept.save(state(3))
        else:
            kept.save(state(3))
    assert newest_step(tmp_path) in ((1, 3) if last_is_damaged else (1, 2, 3))
    assert sorted(p.name for p in tmp_path.iterdir() if p.name not in (LAST, PREVIOUS)) == []
    saved_again = keeper(tmp_path)
    saved_again.newest()
    saved_again.save(state(4))
    assert newest_step(tmp_path) == 4


def test_a_full_disk_leaves_the_files_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = saved(tmp_path, 1, 2)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space left on device; the one of step 2 is whole") as error:
            kept.save(state(3))
    assert "\n" not in str(error.value)
    assert (newest_step(tmp_path), checkpoint.read(tmp_path / PREVIOUS)["step"]) == (2, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_a_limit_on_the_size_of_files_leaves_the_files_whole(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    code = (
        "import resource, torch\nfrom pathlib import Path\nfrom efcheck.train.checkpoint import Keeper\n"
        f"kept = Keeper(Path({str(tmp_path)!r}), 2.0)\nkept.newest()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n    kept.save({'step': 3, 'w': torch.zeros(100_000)})\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("CheckpointError checkpoint cannot be saved") and "File too large" in done.stdout, done
    assert newest_step(tmp_path) == 2 and len(list(tmp_path.iterdir())) == 2


def test_saving_takes_at_most_a_tenth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    write = checkpoint.write

    def slow(path: Path, told: dict[str, Any]) -> None:
        write(path, told)
        clock[0] += 3.0

    kept = keeper(tmp_path, every=2.0)
    monkeypatch.setattr(checkpoint, "write", slow)
    assert kept.affordable and not kept.due
    clock[0] = 2.0
    assert kept.due
    kept.save(state(1))  # took 3 s, until 5 s
    for now, expected in ((5.0, False), (31.9, False), (32.1, True)):
        clock[0] = now
        assert (kept.due, kept.affordable) == (expected, expected)


def test_only_one_process_holds_a_folder(tmp_path: Path) -> None:
    with checkpoint.only_one_run(tmp_path), pytest.raises(EfcheckError, match="`--out` must be a folder that no other run"):  # noqa: SIM117
        with checkpoint.only_one_run(tmp_path):
            pass
    with checkpoint.only_one_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_save_are_cleaned(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    shutil.copy(tmp_path / LAST, tmp_path / "last.pt.writing")
    assert newest_step(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == [LAST]
