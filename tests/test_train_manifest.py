"""experiments/*.toml name the paper's runs; a manifest refuses what it does not know; experiments/run.py stops and goes on."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_runs import metrics_of, write_idx

pytest.importorskip("torch", reason="needs the extra train")

import itertools

from efcheck.errors import EfcheckError
from efcheck.train.manifest import Manifest, Run, load

FOLDER = Path(__file__).parents[1] / "experiments"
MANIFESTS = sorted(FOLDER.glob("*.toml"))
METHODS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
# typed off Table 2, at batch size 128
RATES = {"vgg19-cifar10": (1.0e-2, 5.6e-2, 5.6e-5, 5.6e-2), "resnet18-cifar100": (1.0e-2, 5.6e-2, 3.2e-4, 5.6e-2)}
# A.3: 9 values equally spaced in logarithmic scale over 1e-5 to 1e1, as printed to two digits
GRID = ("1.0e-05", "5.6e-05", "3.2e-04", "1.8e-03", "1.0e-02", "5.6e-02", "3.2e-01", "1.8e+00", "1.0e+01")
SMALL = """
title = "small"
paper = ""
data = "fashion-mnist"
model = "cnn"
algorithms = ["sgdm", "ef-signsgd"]
batch_sizes = [8]
seeds = [1]
epochs = 6
constant_lr = false
momentum = 0.9
weight_decay = 5e-4
[lr]
sgdm = 0.4
ef-signsgd = 0.4
"""


def small(folder: Path, old: str = "", new: str = "", name: str = "small") -> Path:
    assert old in SMALL
    path = folder / f"{name}.toml"
    path.write_text(SMALL.replace(old, new) if old else SMALL + new)
    return path


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_each_manifest_loads_and_names_each_run_once(path: Path) -> None:
    found = load(path)
    names = [run.name for run in found.runs()]
    assert len(set(names)) == len(names) > 0
    assert {run.experiment for run in found.runs()} == {path.stem}


@pytest.mark.parametrize("name", RATES)
def test_the_papers_runs_are_those_of_section_6_and_a_3(name: str) -> None:
    found = load(FOLDER / f"{name}.toml")
    runs = {(run.algorithm, run.batch_size, run.seed): run for run in found.runs()}
    assert set(runs) == {(a, b, s) for a in METHODS for b in (128, 32, 8) for s in (1, 2, 3)}
    for (algorithm, batch, _), run in runs.items():
        best = dict(zip(METHODS, RATES[name], strict=True))[algorithm]
        assert run.lr == pytest.approx(best / {128: 1, 32: 4, 8: 16}[batch], rel=1e-12)  # "scaled down by 4 and 16"
        assert (run.epochs, run.constant_lr, dict(run.options)) == (200, False, {})
        assert f"{run.model}-{run.data}" == name
        assert run.settings()["augment"] is True


@pytest.mark.parametrize("name", RATES)
def test_the_tuning_is_the_papers_grid_for_100_epochs_at_a_constant_rate(name: str) -> None:
    found = load(FOLDER / f"{name}-tuning.toml")
    assert {(run.batch_size, run.epochs, run.constant_lr) for run in found.runs()} == {(128, 100, True)}
    for algorithm in METHODS:
        rates = [run.lr for run in found.runs() if run.algorithm == algorithm]
        assert tuple(f"{rate:.1e}" for rate in rates) == GRID
        steps = [b / a for a, b in itertools.pairwise(rates)]
        assert steps == pytest.approx([10 ** (6 / 8)] * 8, rel=1e-9)


def test_a_manifest_of_the_papers_is_none_of_a_copy_or_a_part() -> None:
    for path in MANIFESTS:
        found: Manifest = load(path)
        own = found.data in ("cifar10", "cifar100") and found.model in ("vgg19", "resnet18")
        assert bool(found.paper) == own, path.stem


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("", "[options]\nlimit_trains = 5\n", "`options.limit_trains` must not be there; the keys are limit_train"),
        ("", "[options]\nlimit_train = 0\n", "`options.limit_train` must be an integer >= 1; got 0"),
        ("", "[options]\nlimit_train = true\n", "`options.limit_train` must be a TOML int; got True"),
        ("", "[grid]\nlow = 1\nhigh = 2\ncount = 2\n", "`lr` must be there, or `grid` in its place; got both"),
        ("seeds = [1]", "seeds = [1]\nseed = 3", "`seed` must not be there"),
        ("seeds = [1]", "seeds = [1, 1]", "`seeds` must be a list without repetitions"),
        ("seeds = [1]", "seeds = [-1]", "`seeds` must be an integer >= 0; got -1"),
        ("seeds = [1]", "seeds = [true]", "`seeds` must be an integer >= 0; got True"),
        ("epochs = 6", "", "`epochs` must be there; got nothing"),
        ("epochs = 6", "epochs = 6.5", "`epochs` must be an integer >= 1; got 6.5"),
        ("constant_lr = false", "constant_lr = 0", "`constant_lr` must be true or false; got 0"),
        ('model = "cnn"', 'model = "alexnet"', "`model` must be one of resnet18, vgg19, cnn; got alexnet"),
        ('"sgdm", ', '"adam", ', "`algorithms` must be of sgdm"),
        ("sgdm = 0.4\n", "", "`lr.sgdm` must be there"),
        ("sgdm = 0.4", 'sgdm = "0.4"', "`lr.sgdm` must be a finite number > 0; got 0.4"),
        ("sgdm = 0.4", "sgdm = nan", "`lr.sgdm` must be a finite number > 0"),
        ("momentum = 0.9", "momentum = 0.8", "`momentum` must be 0.9, the paper's"),
        ("momentum = 0.9", "momentum = ", "must be TOML"),
        ("[lr]\nsgdm = 0.4\nef-signsgd = 0.4", "[grid]\nlow = 1\nhigh = 1.1\ncount = 30", "two runs named sgdm-b8-s1-lr"),
        ("[lr]\nsgdm = 0.4\nef-signsgd = 0.4", "[grid]\nlow = 2\nhigh = 1\ncount = 3", "`grid.high` must be above grid.low"),
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong_is_refused_in_one_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = small(tmp_path, old, new)
    with pytest.raises(EfcheckError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and words in message and "\n" not in message


def test_a_manifest_with_a_bad_name_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EfcheckError, match="`name` must be small letters"):
        load(small(tmp_path, name="Small Run"))
    with pytest.raises(EfcheckError, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_a_run_knows_its_own_file_and_what_another_differs_in() -> None:
    run = Run("x", "fashion-mnist", "cnn", "sgdm", 8, 1, 0.1, 6, options={"limit_train": 50, "device": "cuda"})
    own = {**run.settings(), "device": "cpu", "lr": 0.1 * (1 + 1e-12)}
    assert run.matches(own)
    assert replace(run, options={**run.options, "graphs": True}).matches({**own, "graphs": False})  # where nothing is captured
    assert run.differences({**own, "limit_train": None, "seed": 2}) == ["seed 2 instead of 1", "limit_train None instead of 50"]
    assert run.differences({**own, "lr": 0.2}) == ["lr 0.2 instead of 0.1"]


def command(folder: Path, manifest: Path, *more: str) -> list[str]:
    script = [sys.executable, str(FOLDER / "run.py"), str(manifest), "--data-dir", str(folder / "images")]
    return [*script, "--out", str(folder / "out"), *more]


def here(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of run.py, in this process."""
    spec = importlib.util.spec_from_file_location("experiments_run", FOLDER / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    code = module.main(words[2:])
    return (code, *capsys.readouterr())


def interrupted(words: list[str], first: Path) -> subprocess.Popen[str]:
    """run.py, told to stop as soon as its first run has an epoch."""
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        while process.poll() is None and not (first.is_file() and first.read_text().count("\n") > 1):
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process


def test_run_py_stops_at_ctrl_c_goes_on_and_skips_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(tmp_path / "images", train=320, test=16)
    manifest = small(tmp_path, "epochs = 6", "epochs = 5")
    words = command(tmp_path, manifest, "--keep", str(tmp_path / "kept"))
    first = tmp_path / "out" / "small" / "sgdm-b8-s1" / "metrics.jsonl"
    for _ in range(5):  # on a busy machine the first run may have ended before it was told to stop
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with interrupted(words, first) as process:
            out, err = process.communicate()
        if len(metrics_of(first.parent)) < 6:  # a first line and fewer than 5 epochs
            break
    assert process.returncode == 130 and err == "stopped by SIGINT in sgdm-b8-s1; the same command goes on\n", out + err
    code, out, err = here(words, capsys)
    assert (code, err) == (0, "") and "resumed from step" in out, out + err
    code, out, _ = here(words, capsys)
    assert code == 0 and out == "1/2 sgdm-b8-s1: done\n2/2 ef-signsgd-b8-s1: done\n"
    words[words.index(str(tmp_path / "out"))] = str(tmp_path / "undisturbed")
    assert here([*words[:-2], "--only", "sgdm-*"], capsys)[0] == 0
    assert metrics_of(first.parent) == metrics_of(tmp_path / "undisturbed" / "small" / "sgdm-b8-s1")
    assert sorted(p.name for p in (tmp_path / "kept" / "small").iterdir()) == ["ef-signsgd-b8-s1.jsonl", "sgdm-b8-s1.jsonl"]


def test_run_py_marks_a_diverged_run_and_goes_to_the_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(tmp_path / "images", train=64, test=16)
    words = command(tmp_path, small(tmp_path, "sgdm = 0.4", "sgdm = 1e30"))
    code, out, err = here(words, capsys)
    assert (code, err) == (0, "") and "stopped at step" in out
    files = [tmp_path / "out" / "small" / f"{a}-b8-s1" / "metrics.jsonl" for a in ("sgdm", "ef-signsgd")]
    told = [json.loads(file.read_text().splitlines()[0])["run"] for file in files]
    assert "stopped" in told[0] and "stopped" not in told[1]
    assert here(words, capsys)[1].startswith("1/2 sgdm-b8-s1: stopped at step")  # not tried again


def test_run_py_does_not_take_a_run_of_another_rate_for_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_idx(tmp_path / "images", train=64, test=16)
    only = ["--only", "sgdm-*"]
    assert here([*command(tmp_path, small(tmp_path)), *only], capsys)[0] == 0
    code, _, err = here([*command(tmp_path, small(tmp_path, "sgdm = 0.4", "sgdm = 0.2")), *only], capsys)
    assert code == 2 and "must be sgdm-b8-s1 of small; got lr 0.025 instead of 0.0125. Use another --out." in err


def test_run_py_says_in_one_line_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command(tmp_path, small(tmp_path))
    assert here([*words, "--list"], capsys) == (0, "1/2 sgdm-b8-s1: to do\n2/2 ef-signsgd-b8-s1: to do\n", "")
    for wrong in ([*words, "--only", "vgg*"], command(tmp_path, tmp_path / "no.toml")):
        code, out, err = here(wrong, capsys)
        assert (code, out, err.count("\n")) == (2, "", 1) and err.startswith("run: ")
    code, _, err = here(words, capsys)  # no images
    assert code == 2 and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--out", "--keep"])
def test_run_py_refuses_a_place_that_is_no_folder_before_any_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    write_idx(tmp_path / "images", train=64, test=16)
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", Path("/proc/nope")):
        code, out, err = here([*command(tmp_path, small(tmp_path)), option, str(place)], capsys)
        assert (code, out, err) == (2, "", f"run: `{option}` must be a folder that can be written to; got {place}.\n")
