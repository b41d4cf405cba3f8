"""docs/train.md and the README's part on training are true: the code runs, the commands and options named exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from in_process import efcheck

from efcheck.cli import cli
from efcheck.errors import MissingExtraError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "train.md"

try:
    from efcheck.train import manifest, paper
    from efcheck.train._cmd_diagnose import diagnose
    from efcheck.train._cmd_tables import tables
    from efcheck.train.logs import ALGORITHMS
except MissingExtraError:
    pytest.skip("torch is not installed", allow_module_level=True)


def commands(text: str) -> list[list[str]]:
    """The indented commands, without comments."""
    lines = re.findall(r"^    ((?:efcheck|python) .*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def known() -> dict[str, click.Command]:
    return {**cli.commands, "tables": tables, "diagnose": diagnose}


def test_the_code_of_the_page_runs_as_one_program() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 2
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    printed = done.stdout.splitlines()
    assert printed[0].startswith("17 bytes a step;")  # two scales of 4 bytes; 60 and 3 signs in 8 and 1
    assert [line.split()[0] for line in printed[1:]] == ["sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd"]


@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=["page", "README"])
def test_every_command_named_exists_with_its_options(page: Path) -> None:
    text, seen = page.read_text(encoding="utf-8"), 0
    for words in commands(text):
        if words[0] == "python":
            assert (ROOT / words[1]).is_file(), words
            continue
        command = known().get(words[1])
        if words[1] not in ("train", "tables", "diagnose"):
            continue
        assert command is not None
        options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in words if word.startswith("--")} <= options, words
        seen += 1
    assert seen >= 3
    train = known()["train"]
    told = set(re.findall(r"`(--[a-z-]+)", PAGE.read_text(encoding="utf-8")))
    assert told <= {name for parameter in train.params for name in parameter.opts}, told


def test_every_manifest_named_is_there() -> None:
    names = re.findall(r"experiments/[a-z0-9-]+\.toml", PAGE.read_text(encoding="utf-8"))
    assert names and all(manifest.load(ROOT / name).runs() for name in names)


def test_the_papers_numbers_on_the_page_are_those_of_its_tables() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines() if line.count("|") == 7
    ]
    start = next(i for i, cells in enumerate(rows) if cells[0].startswith("the paper: "))
    found = [tuple(map(float, cells[1:])) for cells in rows[start : start + 6]]
    wanted = [
        (batch, *(round(paper.numbers(e, batch, a)[0], 2) for a in ALGORITHMS))
        for e in reversed(paper.EXPERIMENTS)
        for batch in (128, 32, 8)
    ]
    assert found == wanted


def test_the_numbers_of_figure_2_on_the_page_are_those_of_the_log() -> None:
    text = PAGE.read_text(encoding="utf-8")
    path = re.search(r"results/[a-z0-9-]+/[a-z0-9-]+\.jsonl", text)
    assert path is not None
    cells = re.findall(r"^\| (\d) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    rows = [json.loads(line) for line in (ROOT / path[0]).read_text(encoding="utf-8").splitlines()[1:]]
    assert cells == [
        (str(r["epoch"]), f"{r['lr']:g}", f"{r['e_norm']:.4f}", f"{r['density_p']:.3f}", f"{r['density_g']:.3f}") for r in rows
    ]


def test_what_the_page_says_of_the_papers_numbers_beside_short_runs_is_what_the_table_shows() -> None:
    printed = efcheck("tables", ROOT / "results").stdout.split("\n\n")
    parts = {name: next(part for part in printed if part.startswith(f"{name} on CIFAR-10")) for name in ("VGG19", "ResNet18")}
    assert "paper (CIFAR-10)" in parts["VGG19"] and "No experiment of the paper has this network" in parts["ResNet18"]
    assert "CIFAR-10 numbers beside VGG19's" in PAGE.read_text(encoding="utf-8")
