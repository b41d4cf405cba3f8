"""`efcheck train` as a person runs it: killed, stopped, gone on with, and given what it cannot use."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import assert_same, metrics_of, write_idx

torch = pytest.importorskip("torch", reason="needs the extra train")

from in_process import efcheck  # noqa: E402

from efcheck.train import checkpoint  # noqa: E402

JPEG = Path(os.environ.get("EFCHECK_CIFAR10_JPEG", "/nowhere"))
TRAINING = ["--epochs", "10", "--batch-size", "4", "--algorithm", "ef-signsgd", "--seed", "7", "--checkpoint-every", "0.05"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idx(tmp_path_factory.mktemp("images"), train=200, test=50)


def words(images: Path, out: Path, *more: str) -> list[str]:
    places = ["--data-dir", str(images), "--out", str(out)]
    return ["train", "--data", "fashion-mnist", "--model", "cnn", *places, *TRAINING, *more]


@contextlib.contextmanager
def started(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command as a process group of its own, which does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "efcheck", *arguments], start_new_session=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options,
    )  # fmt: skip
    try:
        yield process
    finally:
        kill(process)
        process.communicate()


def kill(process: subprocess.Popen[str]) -> bool:
    """kill -9 to the whole process group; whether it was still running."""
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return alive


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until the file is there, or the process has ended."""
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert efcheck(*words(images, out)).returncode == 0
    return out


def assert_same_run(out: Path, undisturbed: Path) -> None:
    """The same metrics but for the clock, and the same bits in the last checkpoint."""
    assert metrics_of(out) == metrics_of(undisturbed)
    assert_same(checkpoint.read(out / "last.pt"), checkpoint.read(undisturbed / "last.pt"))


def newest_step(out: Path) -> int:
    """The step of the newest checkpoint, 0 if there is none."""
    state, _ = checkpoint.Keeper(out, 2.0).newest()
    return 0 if state is None else int(state["step"])


def resumed_from(output: str) -> int:
    """The step of "resumed from step N", 0 where there was nothing to resume."""
    line = next(line for line in output.splitlines() if line.startswith(("resumed from step", "nothing to resume")))
    return int(line.rsplit(" ", 1)[1]) if line.startswith("resumed") else 0


# --- kill -9


def test_a_run_killed_twice_ends_in_the_same_bits(images: Path, undisturbed: Path, tmp_path: Path) -> None:
    out, delays = tmp_path / "out", random.Random(1)
    steps = []
    for more in ((), ("--resume",)):
        before = (out / "last.pt").stat().st_mtime_ns if more else None
        with started(*words(images, out, *more)) as process:
            wait_for(out / "last.pt", process)
            last = out / "last.pt"
            while more and last.exists() and last.stat().st_mtime_ns == before and process.poll() is None:
                time.sleep(0.002)
            time.sleep(delays.uniform(0, 0.2))
            assert kill(process), process.communicate()
        steps.append(newest_step(out))
    done = efcheck(*words(images, out, "--resume"))
    assert done.returncode == 0, done.stderr
    assert resumed_from(done.stdout) == steps[1] > steps[0] > 0
    assert_same_run(out, undisturbed)


@pytest.mark.slow
def test_a_run_killed_at_any_of_twenty_random_moments_ends_in_the_same_bits(
    images: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Moments over the whole life of the process: a fourth before the first checkpoint, the others after it."""
    chosen, steps, total = random.Random(20), [], newest_step(undisturbed)
    with started(*words(images, tmp_path / "timed")) as process:
        begin = time.monotonic()
        wait_for(tmp_path / "timed" / "last.pt", process)
        first = time.monotonic() - begin
        process.wait()
        length = time.monotonic() - begin - first
    for i in range(20):
        out = tmp_path / str(i)
        early, share = i % 4 == 0, chosen.random()
        for attempt in range(5):
            shutil.rmtree(out, ignore_errors=True)
            with started(*words(images, out)) as process:
                if early:
                    time.sleep(share * first)
                else:
                    wait_for(out / "last.pt", process)
                    time.sleep(share * length * 0.8**attempt)
                if kill(process) and (early or newest_step(out) < total):
                    break
        else:
            pytest.fail("the run always ended before it was killed")
        code, output, error = efcheck(*words(images, out, "--resume"))
        assert code == 0, error
        steps.append(resumed_from(output))
        assert_same_run(out, undisturbed)
    print("resumed from steps", steps)
    assert sum(0 < step < total for step in steps) >= 10 and len(set(steps)) >= 8


# --- Ctrl-C and SIGTERM


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(images: Path, undisturbed: Path, tmp_path: Path, signum: signal.Signals) -> None:
    out = tmp_path / "out with a space"
    with started(*words(images, out)) as process:
        wait_for(out / "last.pt", process)
        process.send_signal(signum)
        process.send_signal(signum)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    (line,) = error.splitlines()
    head, _, command = line.partition("To go on: efcheck ")
    assert head == f"efcheck: stopped by {signum.name}; the state is saved. "
    import shlex

    code, output, error = efcheck(*shlex.split(command))
    assert code == 0 and resumed_from(output) > 0, error
    assert_same_run(out, undisturbed)


# --- what a person sees


def test_in_a_pipe_there_are_only_the_lines(images: Path, tmp_path: Path) -> None:
    code, output, error = efcheck(*words(images, tmp_path / "out", "--epochs", "1"))
    assert (code, error) == (0, "")
    first, last = output.splitlines()
    assert first.startswith("ef-signsgd on ") and "weight_decay 0.0005" in first
    assert last.startswith("1 epoch in ") and last.endswith("metrics.jsonl")


def test_a_finished_run_gone_on_with_does_nothing_more(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert efcheck(*words(images, out, "--epochs", "1"))[0] == 0
    before = (out / "last.pt").read_bytes(), (out / "metrics.jsonl").read_bytes()
    code, output, _ = efcheck(*words(images, out, "--epochs", "1", "--resume"))
    assert code == 0 and "resumed from step 50" in output
    assert ((out / "last.pt").read_bytes(), (out / "metrics.jsonl").read_bytes()) == before


def test_a_first_line_describes_the_run(images: Path, undisturbed: Path) -> None:
    run = json.loads((undisturbed / "metrics.jsonl").read_text().splitlines()[0])["run"]
    assert [run[key] for key in ("data", "model", "algorithm")] == ["fashion-mnist", "cnn", "ef-signsgd"]
    assert (run["batch_size"], run["seed"]) == (4, 7)
    assert run["lr"] == 0.32 * 4 / 128 and run["milestones"] == [5, 7.5] and run["threads"] == 1 and run["augment"] is False
    assert run["optimizer"]["weight_decay"] == 5e-4 and run["message_bytes"] > 0 and run["torch"] == torch.__version__


# --- refusals


def refused(*arguments: str, code: int = 2) -> str:
    """The one line of a command that is refused."""
    got, _, error = efcheck(*arguments)
    assert got == code and error.startswith("efcheck: ") and error.count("\n") == 1, (got, error)
    return error


def test_a_folder_with_a_run_is_refused_without_resume(undisturbed: Path, images: Path) -> None:
    before = {p: p.read_bytes() for p in undisturbed.iterdir()}
    assert "Pass --resume, or another --out." in refused(*words(images, undisturbed))
    assert {p: p.read_bytes() for p in undisturbed.iterdir()} == before


def test_other_settings_are_refused_by_name(undisturbed: Path, images: Path) -> None:
    before = {p: p.read_bytes() for p in undisturbed.iterdir()}
    line = refused(*words(images, undisturbed, "--resume", "--lr", "0.5", "--seed", "1"))
    assert "`--lr` must be 0.01, as in the run to go on with; got 0.5" in line
    assert {p: p.read_bytes() for p in undisturbed.iterdir()} == before


def test_nothing_to_resume_starts_anew(images: Path, tmp_path: Path) -> None:
    code, output, _ = efcheck(*words(images, tmp_path / "new", "--resume", "--epochs", "1"))
    assert code == 0 and output.startswith("nothing to resume in ")


def test_results_without_a_checkpoint_are_not_overwritten(undisturbed: Path, images: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed / "metrics.jsonl", tmp_path / "metrics.jsonl")
    assert "has 10 epochs but there is no checkpoint" in refused(*words(images, tmp_path, "--resume"))
    assert (tmp_path / "metrics.jsonl").read_bytes() == (undisturbed / "metrics.jsonl").read_bytes()


def test_a_damaged_checkpoint_is_told_and_the_previous_one_used(undisturbed: Path, images: Path, tmp_path: Path) -> None:
    out = shutil.copytree(undisturbed, tmp_path / "out")
    whole, step = (out / "last.pt").read_bytes(), checkpoint.read(out / "previous.pt")["step"]
    (out / "last.pt").write_bytes(whole[: len(whole) // 2])
    code, output, _ = efcheck(*words(images, out, "--resume"))
    assert code == 0
    assert "last.pt is damaged" in output.splitlines()[0] and "the previous checkpoint is used" in output.splitlines()[0]
    assert resumed_from(output) == step > 0  # 500 where the test of the last epoch was saved midway
    assert_same_run(out, undisturbed)


def test_two_damaged_checkpoints_are_refused_and_nothing_is_touched(undisturbed: Path, images: Path, tmp_path: Path) -> None:
    out = shutil.copytree(undisturbed, tmp_path / "out")
    for name in ("last.pt", "previous.pt"):
        data = bytearray((out / name).read_bytes())
        data[len(data) // 3] ^= 4
        (out / name).write_bytes(data)
    before = {p: p.read_bytes() for p in out.iterdir()}
    assert "no checkpoint to go on from" in refused(*words(images, out, "--resume"))
    assert {p: p.read_bytes() for p in out.iterdir()} == before


def test_two_processes_do_not_share_a_folder(images: Path, tmp_path: Path) -> None:
    tmp_path.joinpath("out").mkdir()
    with checkpoint.only_one_run(tmp_path / "out"):
        assert "no other run is writing to" in refused(*words(images, tmp_path / "out"))


def test_a_limit_on_the_size_of_files_is_one_line_and_leaves_the_files_whole(
    images: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert efcheck(*words(images, out, "--epochs", "1"))[0] == 0
    shutil.rmtree(out)
    with started(*words(images, out)) as process:
        wait_for(out / "last.pt", process)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1000, 1000))
        _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and error.count("\n") == 1 and "File too large" in error
    assert efcheck(*words(images, out, "--resume"))[0] == 0
    assert_same_run(out, undisturbed)


def test_a_run_that_diverges_says_where(images: Path, tmp_path: Path) -> None:
    line = refused(*words(images, tmp_path / "out", "--lr", "1e30", "--algorithm", "sgdm"), code=1)
    assert "stopped at step " in line and "not finite" in line


def test_a_last_step_that_ruins_the_weights_is_told(images: Path, tmp_path: Path) -> None:
    more = ("--lr", "3e38", "--algorithm", "sgdm", "--epochs", "1", "--batch-size", "200")
    line = refused(*words(images, tmp_path / "out", *more), code=1)  # the weights are finite, what they give is not
    assert line == "efcheck: the test loss after epoch 1 is not finite. A smaller --lr may help\n"


def test_a_reader_that_goes_away_does_not_stop_the_run(images: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "efcheck", *words(images, tmp_path / "out", "--epochs", "1")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=120) == 0 and process.stderr is not None and process.stderr.read() == ""
    assert len(metrics_of(tmp_path / "out")) == 2


def test_graphs_are_the_same_run_where_there_is_no_gpu(images: Path, undisturbed: Path, tmp_path: Path) -> None:
    code, output, _ = efcheck(*words(images, tmp_path / "out", "--graphs"))
    assert code == 0 and output.splitlines()[0].endswith("; --graphs: none on a CPU")
    states = [checkpoint.read(out / "last.pt")["model"] for out in (tmp_path / "out", undisturbed)]
    assert_same(*states)
    assert metrics_of(tmp_path / "out") == metrics_of(undisturbed)  # "graphs" is false in both: nothing is captured
    assert efcheck(*words(images, tmp_path / "out", "--graphs", "--resume"))[0] == 0


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--batch-size", "0"], "`--batch-size` must be an integer in [1, 2147483647]; got 0."),
        (["--epochs", "0"], "`--epochs` must be an integer in [1, 2147483647]; got 0."),
        (["--lr", "nan"], "`--lr` must be a number in (0, 3.40282e+38); got nan."),
        (["--lr", "0"], "`--lr` must be a number in (0, 3.40282e+38); got 0.0."),
        (["--threads", "1025"], "`--threads` must be an integer in [1, 1024]; got 1025."),
        (["--seed", "-1"], "`--seed` must be an integer in [0, 9223372036854775807]; got -1."),
        (["--limit-train", "0"], "`--limit-train` must be an integer in [1, 2147483647]; got 0."),
        (["--dropout", "1.5"], "`--dropout` must be a number in [0, 1]; got 1.5."),
        (["--checkpoint-every", "-1"], "`--checkpoint-every` must be a finite number >= 0; got -1.0."),
        (["--model", "vgg19"], "`--model` must fit Fashion-MNIST, whose images have 1 channel; got vgg19. Use cnn."),
        (["--dropout", "0.5"], "`--dropout` must be 0 for cnn, which has none; got 0.5."),
        (["--constant-lr", "--official-resume"], "`--official-resume` must go without --constant-lr"),
        (["--epochs", "1", "--official-resume"], "`--official-resume` must go without --epochs 1"),
        (["--lr", "1e39"], "`--lr` must be a number in (0, 3.40282e+38); got 1e+39."),
        (["--batch-size", "99999999999999999999"], "`--batch-size` must be an integer in [1, 2147483647]"),
        (["--algorithm", "adam"], "Invalid value for '--algorithm'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_options_are_one_line(images: Path, tmp_path: Path, more: list[str], expected: str) -> None:
    assert expected in refused(*words(images, tmp_path / "out", *more))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line(images: Path, tmp_path: Path) -> None:
    line = refused(*words(images, tmp_path, "--device", "cuda"))
    assert "`--device` must be cpu, or cuda where torch sees a GPU" in line


def test_a_wrong_folder_is_one_line(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        refused(*words(folder, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_of_images_is_one_line(images: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(images, tmp_path / "images")
    path = copy / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5000])
    assert "train-images" in refused(*words(copy, tmp_path / "out"))


def test_an_archive_with_another_checksum_is_one_line_and_its_pickles_are_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "executed"),)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Malicious()))
    arguments = ["train", "--data", "cifar10", "--data-dir", str(tmp_path), "--model", "cnn", "--algorithm", "sgdm"]
    refused(*arguments, "--out", str(tmp_path / "out"))
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    shutil.rmtree(folder)
    refused(*arguments, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out").exists()
