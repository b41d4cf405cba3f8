"""efcheck bound: printed, repaired and sharp values of a theorem at the reader's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from in_process import efcheck
from rich.console import Console
from test_cmd_audit import refused

from efcheck import bounds, show
from efcheck.cli import cli
from efcheck.errors import ArgumentError

THEOREM_2 = ["theorem-2", "T=99", "gamma=1/100", "f0=2", "L=10", "sigma=1", "delta=1/2"]
# 2*2/(0.01*100) + noise + 4 * 0.01^2 * 10^2 * (1/2)/(1/4): the printed noise term is 0.05, the repaired one 0.1
PRINTED, REPAIRED = 4 + 0.05 + 0.08, 4 + 0.1 + 0.08


def here(*arguments: str) -> Result:
    """In this process, without the wrapper that turns errors into lines."""
    return CliRunner().invoke(cli, ["bound", *arguments], standalone_mode=False)


def test_bound_prints_the_three_forms_side_by_side_and_says_which_is_false() -> None:
    done = efcheck("bound", *THEOREM_2)
    assert done.returncode == 0 and done.stderr == "" and "\x1b" not in done.stdout
    title, head, values, letters = done.stdout.splitlines()
    assert title == "theorem-2: the least gradient norm of EF-SGD, f smooth (Theorem II, Section 4)"
    assert head.split() == ["printed", "(false)", "repaired", "sharp", "unit"]
    words = values.split()
    assert words[:2] == ["at", "most"] and words[-1] == "[f]^2/[x]^2"
    assert [float(w) for w in words[2:4]] == pytest.approx([PRINTED, REPAIRED], rel=1e-5)
    assert 4.1 < float(words[4]) < REPAIRED
    assert letters.startswith("at L = 10 [f]/[x]^2, T = 99 steps, delta = 1/2, f0 = 2 [f], gamma = 1/100 [x]^2/[f]")


def test_a_bound_that_holds_is_not_called_false() -> None:
    output = here("theorem-3", "T=3", "gamma=1/2", "R=2", "sigma=1", "delta=1").output
    assert "(false)" not in output and output.splitlines()[2].split() == ["at", "most", "1.25", "1.25", "1.25", "[f]"]


def test_false_comes_from_the_bound_not_from_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = bounds.BOUNDS["lemma-3"]
    twice = bounds.Side(planted.repaired.left, 2 * planted.repaired.expression)
    monkeypatch.setitem(bounds.BOUNDS, "lemma-3", bounds.Bound("lemma-3", "", "", planted.printed, twice, planted.sharp))
    assert "printed (false)" in here("lemma-3", "gamma=1", "sigma=1", "delta=1/2").output


@pytest.mark.parametrize(
    ("value", "is_"),
    [("1/1200", 1 / 1200), ("1e-3", 1e-3), ("0.1", 0.1), ("sqrt(2)/2", 0.5**0.5), ("2**-10", 2.0**-10), (" 3 ", 3.0)],
)
def test_values_may_be_expressions(value: str, is_: float) -> None:
    found = show.bound_values(bounds.LEMMA_3, {"gamma": value, "sigma": "1", "delta": "1/2"})
    assert found["letters"]["gamma"]["value"] == pytest.approx(is_, rel=1e-15)
    assert found["printed"]["value"] == pytest.approx(8 * is_**2, rel=1e-14)


def test_the_sharp_form_says_which_letter_it_needs() -> None:
    assert "needs t" in here("lemma-3", "gamma=1", "sigma=1", "delta=1/2").output
    assert "none known" in here("remark-4-sgd", "T=3", "f0=1", "L=1", "sigma=1").output
    words = here("lemma-3", "gamma=1", "sigma=1", "delta=3/4", "t=2").output.splitlines()[2].split()
    assert [float(w) for w in words[2:5]] == pytest.approx([16 / 9, 16 / 9, (0.5 + 0.25) ** 2], rel=1e-5)


def test_a_value_too_large_for_a_float_is_said_to_be() -> None:
    found = show.bound_values(bounds.LEMMA_3, {"gamma": "1e200", "sigma": "1", "delta": "1/2"})
    assert found["printed"]["value"] == "inf" and json.dumps(found, allow_nan=False)
    assert "beyond 1.8e308" in here("lemma-3", "gamma=1e200", "sigma=1", "delta=1/2").output


def test_the_record_holds_letters_values_and_formulas(tmp_path: Path) -> None:
    target = tmp_path / "bound.json"
    assert here(*THEOREM_2, "--json", str(target)).return_value == 0
    found = json.loads(target.read_text())
    assert found["name"] == "theorem-2" and found["unit"] == "[f]^2/[x]^2" and found["printed_holds"] is False
    assert found["letters"]["gamma"] == {"given": "1/100", "value": 0.01, "unit": "[x]^2/[f]"}
    assert found["printed"]["value"] == pytest.approx(PRINTED) and found["repaired"]["value"] == pytest.approx(REPAIRED)
    assert found["sharp"]["value"] == bounds.THEOREM_2.sharp(T=99, gamma=0.01, f0=2, L=10, sigma=1, delta=0.5)
    assert found["printed"]["latex"] == bounds.THEOREM_2.printed.latex and found["sharp"]["needs"] == []
    assert here("remark-6-sgd", "T=0", "R=1", "sigma=1", "--json", str(target)).return_value == 0
    found = json.loads(target.read_text())
    assert found["sharp"] is None and (found["printed"]["value"], found["repaired"]["value"]) == (0.5, 1.0)


def test_list_names_every_bound_with_its_letters() -> None:
    done = efcheck("bound", "--list")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 1 + len(bounds.BOUNDS)
    for line, (name, bound) in zip(lines[1:], bounds.BOUNDS.items(), strict=True):
        assert line.split()[:2] == [name, "holds" if bound.holds else "false"] and bound.unit in line
        assert all(f" {letter} " in line for _, side in bound.forms for letter in side.letters)


def test_on_a_terminal_the_table_fits_a_narrow_window() -> None:
    console = Console(width=80, force_terminal=True, record=True)
    show.print_bound(show.bound_values(bounds.THEOREM_2, dict(v.split("=") for v in THEOREM_2[1:])), console)
    assert "printed (false)" in console.export_text()


REFUSED = {
    "missing": (THEOREM_2[:4], "letter=value for L, T, delta, f0, gamma, sigma; got no L, delta, sigma."),
    "sharp": (["lemma-3", "gamma=1"], "for delta, gamma, sigma and, for the sharp form, t; got no delta, sigma."),
    "strange": ([*THEOREM_2, "k=2"], "L, T, delta, f0, gamma, sigma; got k."),
    "domain": ([*THEOREM_2[:-1], "delta=3/2"], "`delta` must be in (0, 1]; got 1.5."),
    "whole": (["remark-6-sgd", "T=5/2", "R=1", "sigma=1"], "`T` must be an integer in [0, inf); got 2.5."),
    "text": (["remark-6-sgd", "T=x", "R=1", "sigma=1"], "`T` must be a number, or an expression of numbers"),
    "python": (["remark-6-sgd", "T=().__class__", "R=1", "sigma=1"], "got '().__class__' at column 1."),
    "caret": (["remark-6-sgd", "T=2^5", "R=1", "sigma=1"], "Write ** for a power."),
    "huge": (["remark-6-sgd", "T=1", "R=1e400", "sigma=1"], "`R` must be 0 or between 5e-324 and 1.8e308 in size; got 1e400."),
    "tiny": (["remark-6-sgd", "T=1", "R=1e-400", "sigma=1"], "`R` must be 0 or between"),
    "no equals sign": (["remark-6-sgd", "5"], "`letters` must be letter=value, each letter once; got 5."),
    "no value": (["remark-6-sgd", "T="], "each letter once; got T=."),
    "twice": (["remark-6-sgd", "T=1", "T=2"], "each letter once; got T=2."),
    "name": (["theorem-9"], "`name` must be one of lemma-3, theorem-2,"),
    "no name": ([], "`name` must be one of lemma-3, theorem-2,"),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bound_refuses_bad_input(arguments: list[str], says: str) -> None:
    error = here(*arguments).exception
    assert isinstance(error, ArgumentError) and says in str(error) and "\n" not in str(error), error


@pytest.mark.parametrize("arguments", [THEOREM_2[:4], ["theorem-9"], [*THEOREM_2, "--json", "no/such/folder/a.json"]])
def test_bound_exits_2_with_one_line(arguments: list[str]) -> None:
    assert refused(efcheck("bound", *arguments))
