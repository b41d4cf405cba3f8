"""`efcheck diagnose` of logs that hold what is not finite, below zero, too large, or of a run that was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import efcheck
from tiny_logs import first_line, row, write

pytest.importorskip("torch", reason="needs the extra train")

from efcheck.train.diagnose import diagnose
from efcheck.train.logs import read as read_log
from efcheck.train.trace import read


def called(*arguments: object) -> tuple[int, str, str]:
    code, out, err = efcheck("diagnose", *arguments)
    return code, " ".join(out.split()), err


def file(folder: Path, text: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("bad", ["inf", "nan", "-inf", "1e999"])
@pytest.mark.parametrize("name", ["step", "epoch"])
def test_a_memory_that_is_not_finite_is_warned_of_with_its_first_step(tmp_path: Path, bad: str, name: str) -> None:
    path = file(tmp_path, f"{name},e_norm,lr\n1,,.1\n2,0.5,.1\n3,{bad},.1\n4,0.6,.1\n5,{bad},.1\n")
    code, out, _ = called(path, "--json", tmp_path / "a.json")
    assert code == 1 and f"||e|| is not finite, first in the row of {name} 3" in out
    assert json.loads((tmp_path / "a.json").read_text())["ranges"]["e_norm"]["largest"] == 0.6


def test_a_memory_of_ours_that_is_null_is_warned_of_and_one_that_is_absent_is_not(tmp_path: Path) -> None:
    rows = [row(1, e_norm=1.0), row(2, e_norm=None), row(3)]
    found = diagnose(read(write(tmp_path / "a", first_line("ef-signsgd"), rows)))
    assert found.warnings == ["||e|| is not finite, first in the row of step 20"]
    rows[1] = row(2)
    assert diagnose(read(write(tmp_path / "b", first_line("ef-signsgd"), rows))).warnings == []


@pytest.mark.parametrize("name", ["lr", "grad_norm", "density", "delta"])
def test_what_is_infinite_elsewhere_is_refused_with_file_and_line(tmp_path: Path, name: str) -> None:
    columns = {"step": "2", "e_norm": "0.5", "lr": "0.1", "delta": "0.5", "grad_norm": "1", "density": "0.5"}
    lines = [",".join(columns), ",".join({**columns, "step": "1"}.values()), ",".join({**columns, name: "inf"}.values())]
    path = file(tmp_path, "\n".join(lines))
    assert called(path) == (2, "", f"efcheck: {path}:3: `{name}` must be finite; got inf\n")


@pytest.mark.parametrize("name", ["step", "epoch"])
@pytest.mark.parametrize("bad", ["inf", "1e308"])
def test_a_step_that_is_no_count_is_one_line(tmp_path: Path, name: str, bad: str) -> None:
    path = file(tmp_path, f"{name},e_norm,lr,delta,grad_norm\n1,.5,.1,.5,1\n{bad},.5,.1,.5,1\n")
    assert called(path) == (2, "", f"efcheck: {path}:3: `{name}` must be at most 2^53; got {bad}\n")


@pytest.mark.parametrize("bad", [float("inf"), 1e308])
def test_steps_of_a_log_of_ours_that_are_no_count_are_epochs(tmp_path: Path, bad: float) -> None:
    rows = [{**row(e, e_norm=0.05, delta=0.5, g_norm=1.0), "step": step} for e, step in ((1, 1), (2, bad))]
    path = write(tmp_path, first_line("ef-signsgd", epochs=2), rows)
    assert read(path).by_epoch and called(path)[0] == 0


def test_a_delta_below_zero_is_read_and_warned_of(tmp_path: Path) -> None:
    code, out, _ = called(file(tmp_path, "step,delta\n1,0.5\n2,-7.5\n"))
    assert code == 1 and "no compressor in the paper's sense: delta = -7.5 <= 0" in out


def test_the_suffix_of_a_csv_may_be_in_capitals(tmp_path: Path) -> None:
    assert called(file(tmp_path, "step,delta\n1,0.5\n", "LOG.CSV"))[0] == 0


def test_a_run_that_stopped_is_warned_of_in_its_words(tmp_path: Path) -> None:
    run = first_line("ef-signsgd", stopped="stopped at step 15: the loss is inf; every gradient is finite")
    path = write(tmp_path, run, [row(1, e_norm=1.0)])
    code, out, _ = called(path)
    assert code == 1 and "Warnings the run stopped at step 15: the loss is inf; every gradient is finite" in out
    assert ":2: diverged: stopped at step 15" in out and "left out" not in out
    assert read_log(path).problems()[0].endswith("; left out")  # of the tables, that is
    code, out, err = called(write(tmp_path / "none", run, []))
    assert code == 2 and not out and err.count("\n") == 1
    assert "must hold a finished epoch; got none: the run stopped at step 15: the loss is inf" in err


def test_a_run_with_a_loss_that_is_null_has_diverged(tmp_path: Path) -> None:
    found = diagnose(read(write(tmp_path, first_line(), [row(1), row(2, None)])))
    assert found.warnings == ["the run diverged: a loss or an accuracy of epoch 2 is not finite"]
