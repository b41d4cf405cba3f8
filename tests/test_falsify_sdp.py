"""efcheck falsify --by programs: what they find is replayed on Fractions; what holds is left standing, with its limits said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from in_process import efcheck

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

from efcheck import bounds
from efcheck.errors import ArgumentError
from efcheck.evidence import _falsify_sdp as sdp
from efcheck.evidence import falsify, recheck
from efcheck.evidence._falsify_instance import read
from efcheck.evidence._falsify_replayed import Replayed
from efcheck.evidence._falsify_script import script
from efcheck.evidence._falsify_target import READINGS, target
from efcheck.evidence._replay_instance import Instance as Run
from efcheck.evidence.replay import price, value_at

F = Fraction
ONE = F(1)
CASES = [("lemma-3", "sharp", F(99, 100)), ("theorem-2", "printed", F(1, 2)), ("theorem-3", "sharp", F(99, 100))]


def search(name: str, form: str = "printed", scale: Fraction = ONE, minutes: float = 5.0) -> Any:
    return sdp.search(target(name, form), scale, minutes, lambda *_: None)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """T up to 3: seconds."""
    patch.setattr(sdp, "_TIMES", (1, 2, 3))
    patch.setattr(sdp, "LAST", 3)
    patch.setattr(sdp, "_PERIODS", ())
    patch.setattr(sdp, "_MOVES", 20)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """A run against each quantity's bound, lowered."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return {name: search(name, form, scale) for name, form, scale in CASES}


def run_script(tmp_path: Path, text: str) -> int:
    """The exit code of the script, in isolated mode: no efcheck on its path."""
    path = tmp_path / "instance.py"
    path.write_text(text)
    return subprocess.run([sys.executable, "-I", str(path)], cwd=tmp_path, capture_output=True, check=False).returncode


# -- what is found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_a_lowered_bound_is_refuted_by_a_run_on_fractions_and_its_script(found: Any, name: str, tmp_path: Path) -> None:
    evidence = found[name]
    instance = read(json.loads(json.dumps(evidence.data["instance"])))
    assert (evidence.kind, evidence.outcome) == ("witness", "refuted") and isinstance(instance, Replayed)
    assert instance.violated() and evidence.data["ratio"] == float(instance.left() / instance.right()) > 1
    assert evidence.data["simulated"] == pytest.approx(float(instance.left()), rel=1e-9)
    assert instance.run.letters["T"] <= 3 and instance.run.d == 1
    assert run_script(tmp_path, script(instance)) == 0
    assert not replace(instance, scale=F(1)).violated()
    assert run_script(tmp_path, script(replace(instance, scale=F(1)))) == 1


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_what_is_found_is_compared_with_the_right_side_it_is_given(found: Any, name: str) -> None:
    data = found[name].data["instance"]
    assert recheck(data).outcome == "refuted"
    assert recheck(data, sp.Integer(10**6)).outcome == "undecided"


def of(name: str, run: Any, scale: Fraction = ONE, form: str = "printed") -> Replayed:
    return Replayed(target(name, form), run, scale)


def steep(rise: Fraction, L: int = 4) -> Any:
    """f' = 0 at -1 and 1, where f is 1 and 1 + rise; |f'| <= 1."""
    letters = {"T": 1, "delta": ONE, "gamma": ONE, "sigma": ONE, "L": F(L), "f0": None}
    return Run("gradient_norm", "EFSGD", letters, (F(-1),), ((F(0),), (F(0),)), ((F(-2),),), (ONE, ONE + rise))


def test_a_moment_bound_that_is_checked_at_the_iterates_only_is_said_to_be(found: Any) -> None:
    bad = of("theorem-2", steep(F(15, 8)), F(1, 10**6))
    assert "is not checked elsewhere" in bad.caution() and "is not checked elsewhere" in script(bad)
    assert not any("elsewhere" in evidence.detail for evidence in found.values())


def larger(told: dict[str, Any], *path: Any, factor: Fraction) -> dict[str, Any]:
    """With one number of the run changed."""
    changed = json.loads(json.dumps(told))
    at = changed["run"]
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = str(F(at[path[-1]]) * factor)
    return dict(changed)


@pytest.mark.parametrize(
    ("name", "path", "factor"),
    [
        ("lemma-3", ("g", 0, 0), F(11, 10)),
        ("lemma-3", ("residual", 0, 0), F(11, 10)),
        ("theorem-2", ("g", 0, 0), F(11, 10)),
        ("theorem-2", ("f", 0), F(9, 10)),
        ("theorem-3", ("x", 0, 0), F(11, 10)),
        ("theorem-3", ("mean", "f"), F(11, 10)),
        ("theorem-3", ("g", 0, 0), F(11, 10)),
    ],
)
def test_a_run_that_breaks_a_hypothesis_refutes_nothing(
    found: Any, name: str, path: Any, factor: Fraction, tmp_path: Path
) -> None:
    changed = larger(found[name].data["instance"], *path, factor=factor)
    assert recheck(changed).outcome == "undecided"
    assert run_script(tmp_path, script(read(changed))) == 1


@pytest.fixture(scope="module")
def runs() -> dict[str, Any]:
    """Two steps of each kind, q = 1/10, above half of the bound."""
    half, letters = sp.Rational(1, 2), {"T": 2, "delta": "99/100", "gamma": 1}
    smooth = sdp.replay("gradient_norm", above=half * bounds.THEOREM_2.printed.expression, L=1, **letters)
    convex = sdp.replay("suboptimality", above=half * bounds.THEOREM_3.sharp.expression, R=3, **letters)
    told = {"theorem-2": smooth.data["instance"], "theorem-3": convex.data["instance"]}
    return {
        name: of(name, Run.from_json(run), F(1, 2), "sharp" if name == "theorem-3" else "printed") for name, run in told.items()
    }


@pytest.mark.parametrize("name", ["theorem-2", "theorem-3"])
@pytest.mark.parametrize("by", [F(1), F(-1, 4)])
def test_values_that_no_function_has_refute_nothing(runs: Any, name: str, by: Fraction, tmp_path: Path) -> None:
    good, f = runs[name], runs[name].run.f
    assert good.violated() and run_script(tmp_path, script(good)) == 0
    bad = replace(good, run=replace(good.run, f=(f[0], f[1] + by, *f[2:])), scale=F(1, 100))
    assert bad.left() > bad.right() and "function goes through" in " ".join(bad.run.broken())
    assert not bad.violated() and run_script(tmp_path, script(bad)) == 1


def errors(delta: Fraction, second: Fraction) -> Any:
    """Two steps with p = 1, of which the messages leave 0 and `second`."""
    letters = {"T": 2, "delta": delta, "gamma": ONE, "sigma": ONE}
    return Run("error_norm", "EFSGD", letters, (F(0),), ((ONE,), (ONE,)), ((F(0),), (second,)))


def test_a_compressor_that_answers_twice_differently_refutes_nothing(tmp_path: Path) -> None:
    bad = of("lemma-3", errors(F(3, 4), F(1, 2)), F(1, 100))
    assert bad.left() > bad.right() and bad.broken() == "the compressor answers twice differently at t = 1"
    assert run_script(tmp_path, script(bad)) == 1


def test_a_step_or_a_compression_that_the_bound_is_not_about_refutes_nothing(runs: Any, tmp_path: Path) -> None:
    run = runs["theorem-2"].run
    for name, why in (("remark-4", "gamma is not 1/sqrt(T + 1)"), ("theorem-2", None)):
        assert of(name, run).broken() == why
    at_root = replace(run, letters=run.letters | {"T": 0}, g=run.g[:1], f=run.f[:1], residual=())
    assert of("remark-4-sgd", at_root).broken() == "a message is compressed"
    bad = of("remark-4-sgd", at_root, F(1, 100))
    assert bad.left() > bad.right() and run_script(tmp_path, script(bad)) == 1


def test_a_delta_whose_root_is_no_rational_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`delta` must be 1 - q\\^2 with a rational q; got 1/2"):
        read(of("lemma-3", errors(F(3, 4), F(0))).to_json() | {"run": errors(F(1, 2), F(0)).to_json()})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"run": {}}, "what `replay` writes"),
        ({"bound": "theorem-2"}, "`run` must be one that theorem-2 is about"),
        ({"bound": "theorem-9"}, "`bound` must be one of"),
        ({"scale": "1e99999999"}, "what efcheck falsify writes"),
        ({"scale": None}, "what efcheck falsify writes"),
    ],
)
def test_what_is_no_instance_is_one_line(found: Any, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says) as error:
        recheck(found["lemma-3"].data["instance"] | {"form": "printed"} | change)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_theorem_2_as_printed_is_refuted_without_orbits_in_fewer_steps_than_by_families(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan knows nothing of where; the direct search finds its violation at a larger T."""
    monkeypatch.setattr(sdp, "_PERIODS", ())
    evidence = search("theorem-2")
    instance = read(evidence.data["instance"])
    assert evidence.outcome == "refuted" and isinstance(instance, Replayed) and instance.run.period == 0
    assert instance.run.letters["T"] <= 16 < int(falsify("theorem-2", by="families").data["instance"]["T"])
    assert run_script(tmp_path, script(instance)) == 0
    assert recheck(instance.to_json(), bounds.THEOREM_2.repaired.expression).outcome == "undecided"


# -- what holds ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("name", "least"), [("lemma-3", 0.999), ("theorem-3", 0.999), ("theorem-2", 0.2)])
def test_a_bound_that_holds_is_not_refuted_and_the_limits_of_the_scan_are_told(name: str, least: float) -> None:
    evidence = search(name, "sharp")
    assert (evidence.kind, evidence.outcome) == ("sdp", "supported"), evidence.detail
    assert least < evidence.data["ratio"] < 1 + 1e-6
    assert evidence.data["T"] == [1, 2, 3] and evidence.detail.endswith("No proof for other T, nor between the points")


@pytest.mark.slow
def test_the_repaired_theorem_2_is_not_refuted() -> None:
    assert search("theorem-2", "repaired").outcome == "supported"


@pytest.mark.usefixtures("short")
def test_an_answer_that_does_not_count_leaves_the_bound_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    from efcheck.evidence import _worst_case_sdp as solver

    honest = solver.solve
    monkeypatch.setattr(
        solver, "solve", lambda model: replace(honest(model), gap=1.0) if model.question.T == 2 else honest(model)
    )
    evidence = search("lemma-3", "sharp")
    assert evidence.outcome == "undecided" and evidence.data["failed"] > 0 and "did not count" in evidence.detail


@pytest.mark.usefixtures("short")
def test_a_violation_that_no_run_confirms_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    from efcheck.evidence.evidence import Evidence

    monkeypatch.setattr(sdp, "replay", lambda *_, **__: Evidence("sdp", "undecided", ""))
    evidence = search("lemma-3", "sharp", F(1, 2))
    assert evidence.outcome == "undecided" and "no run on rationals confirms" in evidence.detail


def test_the_time_limit_ends_the_scan() -> None:
    evidence = search("theorem-2", minutes=1e-6)
    assert evidence.outcome == "undecided" and "stopped by the time limit" in evidence.detail


# -- the ratio, and what can be asked --------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [F(1, 2), F(1), F(3)])
def test_f0_costs_what_it_costs_on_the_right_side(scale: Fraction) -> None:
    """2 scale f0/(gamma (T + 1)): the price is 2 scale; a right side without f0, or not linear in it, keeps 2."""
    letters = {"T": 3, "gamma": F(1, 7), "L": F(2), "sigma": F(3), "delta": F(1, 2), "f0": None}
    right = sp.Rational(scale) * bounds.THEOREM_2.printed.expression
    assert price(right, letters) == pytest.approx(2 * float(scale))
    assert price(right + bounds.f0**2, letters) == price(sp.Integer(1), letters) == 2
    assert price(right, letters | {"f0": F(1)}) == 2


def test_the_ratio_is_above_1_where_a_run_exceeds_the_right_side() -> None:
    """T = 0: f0 + 1/4 with f0 = 1/2 is less than ||g||^2 = 1; had f0 its whole price, 1 - 2 f0 = 0 would seem the most."""
    state = sdp.Search(target("theorem-2"), F(1, 2), 1e18, lambda *_: None)
    at = sdp.Point(0, F(1, 100), F(1))
    found = sdp.replay("gradient_norm", above=state.right, **state.letters(at))
    assert state.ratio(at) > 1.9 and found.outcome == "refuted"
    twice = sdp.Search(target("theorem-2"), F(2), 1e18, lambda *_: None)
    assert twice.ratio(at) < 1


def test_the_step_of_a_corollary_is_the_one_it_names() -> None:
    state = sdp.Search(target("remark-4"), F(1), 1e18, lambda *_: None)
    letters = state.letters(sdp.Point(8, F(1, 2), F(3, 4)))
    assert letters == {"T": 8, "delta": F(3, 4), "gamma": F(1, 3), "L": F(9, 4)}
    assert value_at(state.right, letters | {"sigma": F(1), "f0": F(0)}).is_Rational


REFUSED = ["remark-10", "remark-6", "remark-6-sgd", "remark-5-unbiased", "theorem-2-index", "theorem-3-average"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_bound_without_a_program_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"`bound` must be one with a semidefinite program; got {name}: ") as error:
        search(name)
    assert "\n" not in str(error.value)


def test_every_other_bound_has_one() -> None:
    for name in {*bounds.BOUNDS, *READINGS} - {*REFUSED}:
        assert sdp.reason(target(name)) == ""


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short")
def test_the_command_writes_what_the_programs_find(tmp_path: Path) -> None:
    code, out, err = efcheck(
        "falsify", "lemma-3", "--by", "programs", "--form", "sharp", "--scale", "0.99", "--out", str(tmp_path)
    )
    assert (code, err) == (0, "") and out.startswith("refuted: lemma-3 sharp times 99/100")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["lemma-3.json", "lemma-3.py"]
    assert recheck(json.loads((tmp_path / "lemma-3.json").read_text())).outcome == "refuted"
    assert (
        subprocess.run([sys.executable, "-I", str(tmp_path / "lemma-3.py")], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.usefixtures("short")
def test_the_command_exits_1_where_no_ratio_is_above_1(tmp_path: Path) -> None:
    code, out, err = efcheck("falsify", "lemma-3", "--by", "programs", "--form", "sharp", "--out", str(tmp_path))
    assert (code, err, list(tmp_path.iterdir())) == (1, "", []) and "No proof for other T" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["remark-10", "--by", "programs"], "`bound` must be one with a semidefinite program"),
        (["lemma-3", "--by", "programs", "--scale", "0"], "`scale` must be"),
        (["lemma-3", "--by", "programs", "--scale", "1e99999999"], "`scale` must be"),
        (["lemma-3", "--by", "programs", "--minutes", "0"], "`minutes` must be"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments: list[str], message: str) -> None:
    code, out, err = efcheck("falsify", *arguments)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_without_the_solver_it_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "clarabel", None)
    code, _, err = efcheck("falsify", "lemma-3", "--by", "programs")
    assert code == 2 and "Install efcheck[worst-case]" in err and err.count("\n") == 1
