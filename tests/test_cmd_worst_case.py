"""efcheck worst-case: the value, how far it is from the bounds, what --save writes, one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from in_process import efcheck
from test_cmd_audit import refused

from efcheck.bounds import LEMMA_3, THEOREM_2

pytest.importorskip("PEPit")

LEMMA = ["worst-case", "error-norm", "--T", "2", "--delta", "3/4", "--gamma", "1/10"]  # q = 1/2: (1/2 + 1/4)^2/100


def test_the_value_stands_beside_the_bounds() -> None:
    done = efcheck(*LEMMA)
    assert done.returncode == 0 and done.stderr == ""
    line, printed, repaired, sharp = done.stdout.splitlines()
    assert line.startswith("supported: error_norm of EFSGD at T = 2, delta = 0.75, gamma = 0.1, sigma = 1: at most 0.005625")
    assert float(printed.split()[1]) == pytest.approx(LEMMA_3.printed(delta=0.75, gamma=0.1, sigma=1.0))
    assert repaired.split()[1:] == printed.split()[1:]
    assert sharp.split()[1] == "0.005625" and sharp.endswith("= 1.000000")


def test_a_bound_that_is_exceeded_is_said_to_be() -> None:
    """Theorem II's printed noise term, at a point of a scan over delta and gamma; f(x_0) is free."""
    done = efcheck("worst-case", "gradient-norm", "--T", "14", "--delta", "199/200", "--gamma", "7/4")
    _, printed, repaired, _ = done.stdout.splitlines()
    assert printed.endswith("exceeded") and not repaired.endswith("exceeded")
    assert float(printed.split()[1]) == pytest.approx(
        THEOREM_2.printed(T=14, delta=0.995, gamma=1.75, L=1.0, sigma=1.0, f0=0.0), rel=1e-8
    )


def test_an_answer_that_does_not_count_has_no_ratio() -> None:
    """gamma L = 1e-30 is beyond the solver's digits."""
    done = efcheck("worst-case", "gradient-norm", "--T", "2", "--delta", "1/2", "--gamma", "1", "--L", "1e-30")
    assert (done.returncode == 0) is done.stdout.startswith("supported")
    assert ("worst case/bound" in done.stdout) is (done.returncode == 0)


@pytest.mark.parametrize(
    "letters",
    [
        ("2", "0.9", "1e-5", "--L", "1e-6"),
        ("3", "0.9", "1e-10"),
        ("2", "1", "1e-13"),
        ("3", "0.9", "1", "--f0", "1e-12"),
    ],
    ids=["tiny gamma L", "tiny gamma", "no loss", "tiny f0"],
)
def test_what_the_solver_cannot_tell_from_0_exceeds_no_bound(letters: tuple[str, ...], tmp_path: Path) -> None:
    T, delta, gamma, *more = letters
    saved = tmp_path / "a.json"
    done = efcheck("worst-case", "gradient-norm", "--T", T, "--delta", delta, "--gamma", gamma, *more, "--save", saved)
    assert "exceeded" not in done.stdout and "= -" not in done.stdout and "attained -" not in done.stdout
    found = json.loads(saved.read_text())
    for bound in found["bounds"].values():
        assert (bound["ratio"] is None) is (bound["value"] < 1e-6) and found["data"]["value"] < 1000 * found["data"]["accuracy"]


def test_one_file_is_not_for_two_things(tmp_path: Path) -> None:
    both = ("--save", tmp_path / "a.json", "--certificate", tmp_path / "." / "a.json")
    assert "must be two files" in refused(efcheck(*LEMMA, *both)) and list(tmp_path.iterdir()) == []


def test_a_certificate_where_nothing_is_lost_states_0(tmp_path: Path) -> None:
    words = ["worst-case", "error-norm", "--T", "2", "--delta", "1", "--gamma", "3", "--certificate", str(tmp_path / "a.json")]
    done = efcheck(*words)
    assert done.returncode == 0 and "E||e_2||^2 <= 0 (" in done.stdout and "above" not in done.stdout
    assert efcheck("verify-certificate", tmp_path / "a.json").returncode == 0


def test_a_certificate_that_is_not_found_says_why(tmp_path: Path) -> None:
    words = ["worst-case", "error-norm", "--T", "1", "--delta", "1/2", "--gamma", "1e-30", "--certificate", str(tmp_path / "a")]
    done = efcheck(*words)
    assert done.returncode == 2 and "of at most 60 digits" in done.stderr and done.stderr.count("\n") == 1


def test_other_methods_have_no_bound_beside_them(tmp_path: Path) -> None:
    done = efcheck(*LEMMA, "--method", "EF21", "--save", str(tmp_path / "a.json"))
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["bounds"] == {} and saved["data"]["method"] == "EF21"
    assert len(saved["data"]["vectors"]["x"]) == 3 and saved["kind"] == "sdp"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["worst-case", "error", "--T", "1", "--delta", "1", "--gamma", "1"], "`quantity` must be one of error_norm"),
        (["worst-case", "error-norm", "--T", "1", "--delta", "2", "--gamma", "1"], "`delta` must be a number in (0, 1]"),
        (["worst-case", "error-norm", "--T", "1", "--delta", "x", "--gamma", "1"], "`delta` must be"),
        (["worst-case", "error-norm", "--delta", "1", "--gamma", "1"], "--T"),
        ([*LEMMA, "--L", "2"], "`L` must be left out: error_norm has T, delta, gamma, sigma; got 2"),
        ([*LEMMA, "--f0", "1"], "`f0` must be left out"),
        ([*LEMMA, "--sigma", "1e170"], "`sigma` must be in [1e-100, 1e100]"),
        ([*LEMMA, "--sigma", "1e-170"], "`sigma` must be in [1e-100, 1e100]"),
        ([*LEMMA[:-1], "1e200"], "`gamma` must be in [1e-100, 1e100]"),
        ([*LEMMA[:-1], "1e-90", "--sigma", "1e-90"], "`gamma sigma` must be in"),
        (["worst-case", "gradient-norm", "--T", "1", "--delta", "1", "--gamma", "1", "--L", "1e101"], "`gamma L` must be in"),
        (
            ["worst-case", "gradient-norm", "--T", "1", "--delta", "1", "--gamma", "1e-9", "--f0", "1e99"],
            "`f0/(gamma sigma^2)`",
        ),
        (
            ["worst-case", "suboptimality", "--T", "1", "--delta", "1", "--gamma", "1e-9", "--R", "1e99"],
            "`R/(gamma sigma)` must",
        ),
        ([*LEMMA, "--save", "/nowhere/a.json"], "/nowhere must be a folder"),
    ],
    ids=[
        "quantity",
        "delta",
        "text",
        "no T",
        "L",
        "f0",
        "sigma",
        "tiny sigma",
        "gamma",
        "gamma sigma",
        "gamma L",
        "far f0",
        "far R",
        "folder",
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: list[str], says: str) -> None:
    assert says in refused(efcheck(*arguments))
