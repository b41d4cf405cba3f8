"""docs/worst-cases.md is true: its commands, run in a folder of their own in the order of the page, exit with 0."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

PAGE = Path(__file__).parents[1] / "docs" / "worst-cases.md"


def blocks(language: str) -> list[str]:
    """The fenced blocks of that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = shlex.split(command)
    start = [sys.executable, "-m", "efcheck"] if program == "efcheck" else [sys.executable]
    return subprocess.run([*start, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_commands_of_the_page_exit_with_0_and_write_what_it_says(tmp_path: Path) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 9
    for command in commands:
        done = run(command, tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), command
    assert {"found/theorem-2.json", "found/theorem-2.py", "lemma.json"} <= {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")
    }


def test_the_python_of_the_page_prints_what_it_shows(tmp_path: Path) -> None:
    (code,), (shown,) = blocks("python"), blocks("text")
    (tmp_path / "page.py").write_text(code)
    done = run("python page.py", tmp_path)
    assert (done.stdout, done.stderr) == (shown, "")
