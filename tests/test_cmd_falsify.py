"""The command efcheck falsify: exit codes, what it writes, one line for wrong usage."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from in_process import efcheck

from efcheck import bounds, cli
from efcheck.evidence import recheck
from efcheck.evidence._falsify_target import READINGS


def test_the_command_writes_the_instance_and_its_script(tmp_path):
    code, out, err = efcheck("falsify", "remark-6-sgd", "--out", str(tmp_path / "new" / "folder"))
    written = tmp_path / "new" / "folder"
    assert (code, err) == (0, "") and out.startswith("refuted: remark-6-sgd")
    assert sorted(p.name for p in written.iterdir()) == ["remark-6-sgd.json", "remark-6-sgd.py"]
    assert recheck(json.loads((written / "remark-6-sgd.json").read_text())).outcome == "refuted"
    alone = subprocess.run([sys.executable, "-I", str(written / "remark-6-sgd.py")], capture_output=True, check=False)
    assert alone.returncode == 0 and b"left/right (both squared) = 4" in alone.stdout


def test_the_command_exits_1_and_writes_nothing_where_a_bound_holds(tmp_path):
    code, out, err = efcheck("falsify", "lemma-3", "--form", "sharp", "--by", "families", "--out", str(tmp_path))
    assert (code, err) == (1, "") and "largest left side over right side 1.000000" in out
    assert list(tmp_path.iterdir()) == []


def test_where_a_bound_is_not_exceeded_its_other_readings_are_named():
    code, out, _ = efcheck("falsify", "theorem-3", "--by", "families")
    assert code == 1 and "another reading: theorem-3-average, the sum over T + 1 points divided by T" in out


def test_a_folder_in_the_place_of_a_file_is_seen_before_the_search(tmp_path, monkeypatch):
    (tmp_path / "remark-6.py").mkdir()
    monkeypatch.setattr("efcheck.evidence.falsify", None)
    code, out, err = efcheck("falsify", "remark-6", "--out", str(tmp_path))
    assert (code, out) == (2, "") and "remark-6.py must be a file" in err and err.count("\n") == 1


def test_a_script_of_squares_says_so(tmp_path):
    code, _, _ = efcheck("falsify", "remark-6", "--out", str(tmp_path))
    alone = subprocess.run([sys.executable, "-I", str(tmp_path / "remark-6.py")], capture_output=True, text=True, check=False)
    assert code == alone.returncode == 0
    assert alone.stdout.count("(both squared)") == 3
    assert "both sides squared" in (tmp_path / "remark-6.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "`bound` must be one of lemma-3"),
        (["theorem-9"], "`bound` must be one of lemma-3"),
        (["lemma-3", "--form", "best"], "--form"),
        (["lemma-3", "--minutes", "0"], "`minutes` must be"),
        (["lemma-3", "--minutes", "x"], "--minutes"),
        (["lemma-3", "--by", "chance"], "--by"),
        (["lemma-3", "--scale", "-1"], "`scale` must be"),
        (["lemma-3", "--seed", "-1"], "`seed` must be"),
        (["lemma-3", "extra"], "extra"),
        (["lemma-3", "--out", "/dev/null/folder"], "/dev/null/folder must be a folder"),
        (["lemma-3", "--out", "/dev/null"], "must be a folder"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments, message):
    code, out, err = efcheck("falsify", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_an_interrupt_leaves_files_whole(tmp_path, monkeypatch):
    (tmp_path / "lemma-3.json").write_text("old")
    monkeypatch.setattr("efcheck.evidence._falsify_search.scans", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    code, _, err = efcheck("falsify", "lemma-3", "--out", str(tmp_path))
    assert code == 130 and "whole" in err
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("lemma-3.json", "old")]


def test_a_bound_with_readings_says_which_one_it_took():
    code, out, _ = efcheck("falsify", "remark-5-unbiased", "--by", "families")
    assert code == 1 and "read as: for C = U/k alone" in out and "another reading: remark-5, for every C" in out


def test_the_list_names_every_bound_and_reading():
    code, out, _ = efcheck("falsify", "--list")
    assert code == 0 and out.split() == list(dict.fromkeys([*bounds.BOUNDS, *READINGS]))


def test_the_help_names_the_options():
    shown = CliRunner().invoke(cli.cli, ["falsify", "--help"]).output
    assert all(option in shown for option in ("--out", "--minutes", "--form", "--scale", "--seed", "--by", "--list"))
