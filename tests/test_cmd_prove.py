"""efcheck prove: a reader's own inequality; what it prints, its exit codes, one line for every mistake."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from test_cmd_audit import efcheck, refused

from efcheck import show
from efcheck.cli import cli
from efcheck.errors import ArgumentError

K = "4*k*(k-1) <= 2*k**2"


def here(*arguments: str) -> Result:
    """In this process, without the wrapper that turns errors into lines."""
    return CliRunner().invoke(cli, ["prove", *arguments], standalone_mode=False)


def test_prove_prints_a_witness_in_round_numbers_and_exits_1() -> None:
    done = efcheck("prove", K, "--where", "k >= 1")
    assert (done.returncode, done.stdout, done.stderr) == (1, "refuted: false at k = 3: 24 <= 18\n", "")
    k = Fraction(3)
    assert not 4 * k * (k - 1) <= 2 * k**2 and (4 * k * (k - 1), 2 * k**2) == (24, 18)


@pytest.mark.parametrize(
    "where",
    [
        ["--where", "k >= 1", "--where", "k <= 2"],
        ["--where", "k >= 1 and k <= 2"],
        ["--where", "k>=1, k<=2"],
        ["--where", "1<=k<=2"],
    ],
    ids=["twice", "and", "comma", "chain"],
)
def test_prove_with_both_hypotheses_prints_proved_and_exits_0(where: list[str]) -> None:
    done = here(K, *where)
    assert done.return_value == 0 and done.output.startswith("proved: no counterexample exists, for all real k with ")


def test_prove_in_a_fresh_process_exits_0() -> None:
    done = efcheck("prove", K, "--where", "k >= 1", "--where", "k <= 2")
    assert done.returncode == 0 and done.stdout.startswith("proved: ") and done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["n**2 >= n", "--integer", "n"], 0, "proved"),
        (["n**2 >= n"], 1, "refuted: false at n = 1/2: 1/4 >= 1/2"),
        (["x + 1/x >= 2", "--positive", "x"], 0, "proved"),
        (["x + y/x >= 2*sqrt(y)", "--positive", "x,y"], 0, "proved"),
        (["x*y <= 0.495*(x**2 + y**2)"], 1, "refuted: false at x = 1, y = 1: 1 <= 99/100"),
        (["x*y <= 0.5*(x**2 + y**2)"], 0, "proved"),
        (["-x <= 1", "--where", "-x <= 0"], 0, "proved"),
        (["0 <= x <= 1"], 1, "refuted: false at x = 2: 2 <= 1\n"),
        (["x + 1 >= x and x**2 >= 1/4 and y < y + 1"], 1, "refuted: false at x = 0: 0 >= 1/4\n"),
        (["x <= 1 or x >= 3"], 1, "refuted: false at x = 2: the statement does not hold there\n"),
        (["x < x"], 1, "refuted: false wherever both sides are defined\n"),
        (["1 < 2 and 3 < 2"], 1, "refuted: false wherever both sides are defined\n"),
        (["abs(x + y) <= abs(x) + abs(y)"], 0, "proved"),
        (["sqrt(x)*sqrt(x) >= 0"], 0, "proved"),
        (["min(x, y) <= max(x, y) and sign(x) <= 1"], 0, "proved"),
    ],
)
def test_prove_decides(arguments: list[str], code: int, says: str) -> None:
    done = here(*arguments)
    assert done.exception is None and done.return_value == code and done.output.startswith(says), done


def test_undecided_gives_its_reason_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    done = here("x**(1/3) + x**(1/61) + x**(1/59) <= 3*x + y**(1/53)*z", "--positive", "x,y,z", "--timeout", "0.001")
    assert done.return_value == 1 and done.output.startswith("undecided: z3 could not tell in time")
    monkeypatch.setattr("efcheck.evidence.prove", lambda *_, **__: time.sleep(60))
    monkeypatch.setattr(show, "_at_most", lambda _, real=show._at_most: real(0.05))
    done = here("x <= y")
    assert done.return_value == 1 and done.output == "undecided: SymPy or z3 ran out of 20 s\n"


def test_the_record_holds_what_was_asked_and_found(tmp_path: Path) -> None:
    target = tmp_path / "proof.json"
    assert here(K, "--where", "k >= 1", "--integer", "k", "--json", str(target)).return_value == 1
    found = json.loads(target.read_text())
    assert found["relation"] == K and found["where"] == ["k >= 1"] and found["integer"] == ["k"] and found["positive"] == []
    assert found["outcome"] == "refuted" and found["data"]["witness"] == {"k": "3"} and found["efcheck"]
    assert [p.name for p in tmp_path.iterdir()] == ["proof.json"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["k^2 <= 1"], "'k^2' at column 1. Write ** for a power."),
        (["k <= 1", "--where", "k => 0"], "`where` must compare"),
        (["k <= 1", "--where", "k >= 2, k <= 1"], "`where` must be satisfiable; got k >= 2, k <= 1."),
        (["k <= 1", "--integer", "n"], "`integer` must name letters of the statement (k); got n."),
        (["k <= 1", "--timeout", "0"], "`timeout` must be a number in (0, 86400)"),
        (["k <= 1", "--timeout", "nan"], "`timeout`"),
        (["().__class__ <= 1"], "at column 1"),
    ],
)
def test_prove_refuses_bad_input(arguments: list[str], says: str) -> None:
    error = here(*arguments).exception
    assert isinstance(error, ArgumentError) and says in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["k^2 <= 1"], "Write ** for a power."),
        (["k <= 1", "--where", "k >= 2", "--where", "k <= 1"], "satisfiable"),
        ([], "RELATION"),
        (["k <= 1", "--nonsense"], "--nonsense"),
        (["k <= 1", "--json", "no/such/folder/a.json"], "no/such/folder"),
    ],
    ids=["caret", "hypotheses", "nothing", "option", "json"],
)
def test_prove_exits_2_with_one_line(arguments: list[str], says: str) -> None:
    assert says in refused(efcheck("prove", *arguments))


def test_help_gives_the_exit_codes() -> None:
    assert "0 proved, 1 refuted or" in CliRunner().invoke(cli, ["prove", "--help"]).output


def test_a_planted_constant_is_noticed() -> None:
    """The tight constants of B.2: 1 + 1/eta <= c/delta with c = 2; 1 % less is false."""
    line = "1 + 2*(1-delta)/delta <= {}/delta"
    assert here(line.format("2"), "--where", "0 < delta < 1").return_value == 0
    done = here(line.format("1.98"), "--where", "0 < delta < 1")
    assert done.return_value == 1 and done.output.startswith("refuted: false at delta = ")
