"""`efcheck check`: exit codes, JSON, wrong usage in one line; and docs/check-your-compressor.md says what it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import in_process
import pytest

from efcheck.checks import CHECKS

PAGE = Path(__file__).parents[1] / "docs" / "check-your-compressor.md"
CODE = """
import numpy as np

def good(v):
    return np.abs(v).mean(axis=-1, keepdims=True) * np.where(v >= 0, 1, -1).astype(v.dtype)

def draws(v, rng):
    return v * (rng.random(v.shape) < 0.5)

class Part:
    def __init__(self, k=1):
        self.k = k
    def __call__(self, v):
        return v / 2

class Needy:
    def __init__(self, k):
        self.k = k

part, text = Part(2), "no function"

def make():
    return Part(2)

def fails():
    return Needy()

def hook(state, bucket):
    raise RuntimeError("this hook fails")

def method():
    from efcheck.compressors import TopK
    from efcheck.methods import EFSGD
    return EFSGD(0.1, TopK(1))
"""


def check(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", "check", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path


def test_a_correct_compressor_exits_0_and_writes_json(folder: Path) -> None:
    done = check("mine:good", "--dims", "2,3", "--json", "r.json", cwd=folder)
    assert done.returncode == 0 and done.stderr == "", done
    found = json.loads((folder / "r.json").read_text())
    assert found["passed"] and found["subject"] == "mine:good" and [r["name"] for r in found["results"]] == list(CHECKS)
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("mine:good", "--delta", "0.6"), "contraction"),
        (("mine:draws", "--unbiased"), "unbiased"),
        (("mine:part", "--delta", "0.8"), "contraction"),
    ],
    ids=["delta", "unbiased", "instance"],
)
def test_a_failure_exits_1_and_its_snippet_shows_it(folder: Path, arguments: tuple[str, ...], name: str) -> None:
    done = check(*arguments, "--dims", "2,3", "--json", "r.json", cwd=folder)
    assert done.returncode == 1 and done.stderr == ""
    failed = [r for r in json.loads((folder / "r.json").read_text())["results"] if r["outcome"] == "failed"]
    assert [r["name"] for r in failed] == [name] and failed[0]["reproduce"] in done.stdout
    again = subprocess.run(
        [sys.executable, "-c", failed[0]["reproduce"]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "AssertionError" in again.stderr


def test_a_class_is_called_without_arguments(folder: Path) -> None:
    done = check("mine:Part", "--delta", "0.75", "--dims", "2", cwd=folder)
    assert done.returncode == 0 and "tightest: delta = 0.75, claimed 0.75" in " ".join(done.stdout.split())


def test_a_function_without_arguments_is_a_factory(folder: Path) -> None:
    done = check("mine:make", "--delta", "0.75", "--dims", "2", cwd=folder)
    assert done.returncode == 0 and done.stdout.startswith("mine:make() (what the factory returned)")
    assert "tightest: delta = 0.75" in " ".join(done.stdout.split())
    done = check("mine:make", "--delta", "0.8", "--dims", "2", "--json", "r.json", cwd=folder)
    failed = [r for r in json.loads((folder / "r.json").read_text())["results"] if r["outcome"] == "failed"]
    assert done.returncode == 1 and [r["name"] for r in failed] == ["contraction"]
    again = subprocess.run(
        [sys.executable, "-c", failed[0]["reproduce"]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1 and "AssertionError" in again.stderr
    assert check("mine:method", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mine:fails",), "must be an object, or a function that makes one; got mine:fails. TypeError"),
        (("mine:good", "--unit", "g"), "--unit: for an optimizer or method; mine:good is a compressor"),
        (("mine:method", "--delta", "0.5"), "--delta: for a compressor; mine:method is an optimizer or method"),
        (("mine:hook", "--delta", "0.5"), "--delta: for a compressor; mine:hook is a communication hook"),
        (("mine:hook", "--state", "mine:absent"), "`state` must be 'module:name' of something that exists; got 'mine:absent'"),
        (("mine",), "`MODULE:OBJECT` must be MODULE:OBJECT, such as mypackage.compress:TopK; got mine."),
        (("mine:a-b",), "`MODULE:OBJECT` must be MODULE:OBJECT"),
        (
            ("absent:x",),
            "must name a module that can be imported; got absent:x. ModuleNotFoundError: No module named 'absent'.",
        ),
        (("mine:absent",), "AttributeError: module 'mine' has no attribute 'absent'."),
        (("mine:Needy",), "must be an object, or a class that needs no arguments; got mine:Needy. TypeError"),
        (("mine:text",), "`c` must be a compressor, a callable (v, rng=None) -> v; got no function."),
        (("mine:good", "--delta", "2"), "`delta` must be a number in (0, 1]; got 2.0."),
        (("mine:good", "--delta", "0"), "`delta` must be a number in (0, 1]; got 0.0."),
        (("mine:good", "--dims", "2,x"), "`dims` must be integers >= 1 between commas; got 2,x."),
        (("mine:good", "--dims", "0"), "`dims` must be an integer >= 1; got 0."),
        (("mine:good", "--json", "no/such/r.json"), "no/such must be a folder that can be written to"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    done = in_process.efcheck("check", *arguments, cwd=folder)
    assert done.returncode == 2 and done.stdout == "" and words in done.stderr
    assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr


def test_a_module_that_raises_is_one_line(folder: Path) -> None:
    (folder / "bad.py").write_text("1 / 0\n")
    done = check("bad:x", cwd=folder)
    assert done.returncode == 2 and "ZeroDivisionError: division by zero." in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("code", ["0", "3", ""])
def test_a_module_that_exits_is_one_line_and_exit_code_2(folder: Path, code: str) -> None:
    (folder / "exits.py").write_text(f"import sys\nsys.exit({code})\n")
    done = check("exits:x", cwd=folder)
    assert done.returncode == 2 and done.stdout == "" and "SystemExit" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.ddp
def test_a_communication_hook_runs_in_two_processes(folder: Path) -> None:
    pytest.importorskip("torch")
    done = check("planted.hooks:right", "--state", "planted.hooks:Memory", cwd=Path(__file__).parent)
    assert done.returncode == 0 and "replicas_identical" in done.stdout and done.stderr == ""
    done = check("mine:hook", cwd=folder)
    assert done.returncode == 1 and "this hook fails" in " ".join(done.stdout.split())


def test_what_is_declared_of_an_optimizer_reaches_its_check() -> None:
    pytest.importorskip("torch")
    after = "planted.optimizers:MomentumAfter"
    assert "momentum = 0.5: after the compressor" in " ".join(in_process.efcheck("check", after).stdout.split())
    done = in_process.efcheck("check", after, "--momentum", "before")
    assert done.returncode == 1 and "declared is before" in " ".join(done.stdout.split())


# the page


def own_part() -> str:
    """The page up to its section on optimizers, which has tests of its own."""
    return re.split(r"^## .*optimizer.*$", PAGE.read_text(), flags=re.MULTILINE | re.IGNORECASE)[0]


def blocks(language: str) -> list[tuple[str, str]]:
    found = re.findall(rf"^```{language}[ ]?([^\n]*)\n(.*?)^```$", own_part(), re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE} has no block of {language}"
    return found


def words(text: str) -> list[str]:
    """Its lines without what differs from machine to machine: widths, seconds, how much was done in them, slow calls."""
    text = re.sub(r"^note: a call takes .*? there$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [" ".join(re.sub(r"[0-9]+ cases, [0-9.]+ s", "N cases, S s", line).split()) for line in text.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    for name, code in blocks("python"):
        (tmp_path / name).write_text(code)
    return tmp_path


def test_the_commands_of_the_page_print_what_the_page_shows(page: Path) -> None:
    codes = []
    for _, text in blocks("console"):
        command, _, shown = text.partition("\n")
        name, verb, *arguments = shlex.split(command.removeprefix("$ "))
        assert (name, verb) == ("efcheck", "check")
        done = check(*arguments, cwd=page)
        assert words(done.stdout) == words(shown) and done.stderr == ""
        codes.append(done.returncode)
    assert codes == [0, 1]


def test_the_snippets_of_the_page_fail_as_it_says(page: Path) -> None:
    snippets = re.findall(r"^# \w+: to reproduce\n(.*?)\n\n", blocks("console")[1][1], re.MULTILINE | re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        done = subprocess.run([sys.executable, "-c", snippet], cwd=page, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "AssertionError" in done.stderr, done
        mended = snippet.replace("broken", "sparse").replace("TopQuarterOfTheSigned", "TopQuarter")
        done = subprocess.run([sys.executable, "-c", mended], cwd=page, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done


def test_the_test_file_of_the_page_passes(page: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_sparse.py"]
    done = subprocess.run(command, cwd=page, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and re.search(r"\d+ passed, \d+ skipped", done.stdout), done.stdout
