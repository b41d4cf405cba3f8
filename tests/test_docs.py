"""docs/write-a-claim.md is true: its files, run in a folder of their own, give what the page prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from efcheck.claims import audit
from efcheck.report import differences

PAGE = Path(__file__).parents[1] / "docs" / "write-a-claim.md"
BROKEN = ("their_claims/unfinished.py", "their_claims/typo.py")


def blocks(language: str) -> list[tuple[str, str]]:
    """(what follows the language, the code) of each fenced block."""
    found = re.findall(rf"^```{language}[ ]?([^\n]*)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{PAGE} has no block of {language}"
    return found


def efcheck(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def folder(at: Path, broken: bool) -> Path:
    """The files of the page under `at`; without those that have an error unless `broken`."""
    for name, code in blocks("python"):
        if broken or name not in BROKEN:
            (at / name).parent.mkdir(exist_ok=True)
            (at / name).write_text(code)
    return at


def words(text: str) -> list[str]:
    """Its lines without what differs from run to run: widths and seconds."""
    lines = [" ".join(re.sub(r"[0-9.]+ s, seed", "S s, seed", line).split()) for line in text.splitlines()]
    return [line for line in lines if line]


def audited(at: Path, code: int) -> tuple[dict[str, Any], str]:
    done = efcheck("audit", "their_claims", "--jobs", "1", "--json", "audit.json", cwd=at)
    assert done.returncode == code and done.stderr == "", done
    return json.loads((at / "audit.json").read_text()), done.stdout


def verdicts(found: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {c["id"]: (c["printed"]["verdict"], c["repaired"] and c["repaired"]["verdict"]) for c in found["claims"]}


def test_the_commands_of_the_page_print_what_the_page_shows(tmp_path: Path) -> None:
    folder(tmp_path, broken=False)
    for _, text in blocks("console"):
        command, _, shown = text.partition("\n")
        name, *arguments = shlex.split(command.removeprefix("$ "))
        assert name == "efcheck"
        done = efcheck(*arguments, cwd=tmp_path)
        assert words(done.stdout) == words(shown) and done.stderr == ""
        assert done.returncode == (0 if arguments[0] == "audit" else 1)


def test_the_folder_of_the_page_gives_its_verdicts_and_a_witness(tmp_path: Path) -> None:
    found, _ = audited(folder(tmp_path, broken=False), 0)
    assert verdicts(found) == {"top-one": ("refuted", "proved"), "young": ("proved", None)}
    witness = found["claims"][0]["printed"]["evidence"][0]["data"]["witness"]
    v1, v2 = int(witness["v1"]), int(witness["v2"])
    assert 1000 * min(v1 * v1, v2 * v2) > 495 * (v1 * v1 + v2 * v2)  # by hand


def test_the_files_of_the_page_run_by_themselves(tmp_path: Path) -> None:
    folder(tmp_path, broken=False)
    for name in ("young", "top_one"):
        command = [sys.executable, f"their_claims/{name}.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and "1 claims as printed" in done.stdout, done


def test_a_folder_with_errors_names_file_and_line_runs_the_rest_and_exits_1(tmp_path: Path) -> None:
    found, printed = audited(folder(tmp_path, broken=True), 1)
    told = verdicts(found)
    assert told["top-one"] == ("refuted", "proved") and told["young"] == ("proved", None) and told["typo"][0] == "undecided"
    shown = words(blocks("text")[-1][1])
    assert len(shown) == 3 and set(shown) <= set(words(printed.replace(f"{tmp_path}/", ""))) and "Traceback" not in printed


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("top_one", 'expect="refuted"', 'expect="proved"', "top-one: the printed statement is refuted; expected proved"),
        ("top_one", "Rational(495, 1000)", "Rational(1, 2)", "top-one: the printed statement is proved; expected refuted"),
        (
            "top_one",
            "+ v2**2) / 2, covers",
            "+ v2**2) * Rational(99, 200), covers",
            "top-one: the repaired statement is refuted",
        ),
        ("top_one", "Fraction(1), Fraction(1)", "Fraction(1), Fraction(2)", "top-one: the repaired statement is refuted"),
        (
            "young",
            "(1 + 1 / eta) * b**2, c",
            "Rational(99, 100) * (1 + 1 / eta) * b**2, c",
            "young: the printed statement is refuted",
        ),
        ("young", "(eta * a - b)", "(eta * a + b)", "young: the printed statement is refuted; expected proved"),
    ],
    ids=["expect", "constant", "repaired constant", "instance", "young constant", "sign"],
)
def test_an_error_planted_in_the_page_is_noticed(tmp_path: Path, file: str, old: str, new: str, line: str) -> None:
    path = folder(tmp_path, broken=False) / "their_claims" / f"{file}.py"
    code = path.read_text().replace("from sympy import Eq, symbols", "from sympy import Eq, Rational, symbols")
    assert code.count(old) == 1
    path.write_text(code.replace(old, new))
    found = audit([path.parent])
    printed = "\n".join(differences(found))
    assert not found.passed() and line in printed and (file != "top_one" or old[:6] != "expect" or line in blocks("text")[0][1])


def test_a_strangers_folder_with_a_syntax_error(tmp_path: Path) -> None:
    """Written after the page by somebody else: one true claim, one constant 1 % too small, one file that is not Python."""
    place = tmp_path / "their_claims"
    place.mkdir()
    head = "from sympy import *\nfrom efcheck.claims import Claim\nfrom efcheck.evidence import prove\n"
    head += "x, y = symbols('x y', real=True)\n"
    claim = "c = Claim({id!r}, 'p. 3', 'a statement')\n@c.printed\ndef check():\n    return prove({relation})\n"
    (place / "a.py").write_text(head + claim.format(id="true-one", relation="2*x*y <= x**2 + y**2"))
    (place / "b.py").write_text(head + claim.format(id="tight-one", relation="2*x*y <= Rational(99, 100)*(x**2 + y**2)"))
    (place / "c.py").write_text(head + "\ndef check()\n    return 1\n")
    found, printed = audited(tmp_path, 1)
    assert verdicts(found) == {"true-one": ("proved", None), "tight-one": ("refuted", None)}
    assert "their_claims/c.py:6: SyntaxError: expected ':'" in printed and "Traceback" not in printed
    assert "tight-one: the printed statement is refuted; expected proved" in printed
    witness = found["claims"][1]["printed"]["evidence"][0]["data"]["witness"]
    assert {abs(int(v)) for v in witness.values()} == {1}
