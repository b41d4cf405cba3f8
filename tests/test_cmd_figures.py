"""efcheck figures: the list, one figure into a folder, one line for every usage error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(p.stem for p in (ROOT / "figures").glob("*.py") if not p.name.startswith("_"))


def efcheck(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", "figures", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_figures_list_names_every_script_with_a_sentence(tmp_path: Path) -> None:
    done = efcheck("--list", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == NAMES and all(about for _, about in lines)
    assert list(tmp_path.iterdir()) == []


def test_figures_writes_picture_data_and_record_and_names_them(tmp_path: Path) -> None:
    done = efcheck("fig1", "--out", "drawn/here", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done
    written = sorted(p.name for p in (tmp_path / "drawn" / "here").iterdir())
    assert written == ["fig1.json", "fig1.npz", "fig1.pdf", "fig1.png"]
    assert done.stdout.startswith("fig1: ") and all(name in done.stdout for name in written)
    json.loads((tmp_path / "drawn" / "here" / "fig1.json").read_text())


def test_a_figure_that_cannot_be_drawn_is_one_line_and_the_others_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = efcheck("fig4", "fig1", "--results", "runs", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout.startswith("fig1: ")
    assert done.stderr.startswith("fig4: runs must hold training runs") and done.stderr.count("\n") == 1
    assert {p.stem for p in (tmp_path / "out").iterdir()} == {"fig1"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nosuch"], "nosuch"),
        (["fig1", "nosuch"], "nosuch"),
        (["--nonsense"], "--nonsense"),
        (["--out", "file"], "file"),
    ],
    ids=["name", "second-name", "option", "out-is-a-file"],
)
def test_figures_refuses_bad_input_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    (tmp_path / "file").write_text("")
    done = efcheck(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("efcheck: ") and done.stderr.count("\n") == 1 and says in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
