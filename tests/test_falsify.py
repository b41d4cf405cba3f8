"""What efcheck falsify finds is a violation, and what holds is left standing, with the largest ratio told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from efcheck import bounds, content
from efcheck.errors import ArgumentError, EfcheckError
from efcheck.evidence import falsify, recheck
from efcheck.evidence._falsify_instance import read
from efcheck.evidence._falsify_script import script

F = Fraction
ONE = F(1)
INSTANCES = Path(__file__).parents[1] / "proofs_numeric" / "instances"
EXCEEDED = [
    "remark-4", "remark-5", "remark-5-plain", "remark-6", "remark-6-sgd", "theorem-2", "theorem-2-index",
    "theorem-3-average",
]  # fmt: skip
HOLDING = [
    ("lemma-3", "sharp", 0.999), ("theorem-3", "sharp", 0.999), ("theorem-3", "printed", 0.99), ("remark-10", "printed", 0.9),
    ("theorem-2", "repaired", 0.99), ("remark-6", "repaired", 0.95), ("remark-4-sgd", "printed", 0.99),
]  # fmt: skip


SHARP = [bound for bound in bounds.BOUNDS.values() if bound.sharp is not None]
LONG = {"theorem-2", "remark-4", "remark-5"}  # tight as delta -> 0: T = 99855, half a minute each


@pytest.fixture(scope="module")
def found():
    """Each refuted bound searched once, from a cold start."""
    return {name: falsify(name, by="families") for name in EXCEEDED}


def run_script(tmp_path: Path, text: str) -> int:
    """The exit code of the script, in isolated mode: no efcheck on its path."""
    path = tmp_path / "instance.py"
    path.write_text(text)
    return subprocess.run([sys.executable, "-I", str(path)], cwd=tmp_path, capture_output=True, check=False).returncode


# -- what is found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXCEEDED)
def test_a_refuted_bound_is_exceeded_by_an_instance_in_round_numbers(found, name):
    evidence = found[name]
    instance = read(json.loads(json.dumps(evidence.data["instance"])))
    assert (evidence.kind, evidence.outcome) == ("witness", "refuted")
    assert instance.left() > instance.right()
    assert len(instance.x0) == 1 and (60 if name != "remark-5" else 400) >= instance.T
    assert max(c.denominator for c in (instance.gamma, instance.delta, *instance.x0)) <= 1000


@pytest.mark.parametrize("name", EXCEEDED)
def test_its_script_exits_0_without_efcheck(found, name, tmp_path):
    assert run_script(tmp_path, script(read(found[name].data["instance"]))) == 0


@pytest.mark.parametrize("name", EXCEEDED)
def test_the_audit_carries_an_instance(found, name):
    stored = json.loads((INSTANCES / f"{name}.json").read_text())
    assert recheck(stored).outcome == "refuted"
    assert stored.keys() == found[name].data["instance"].keys()


def test_a_stored_instance_is_compared_with_the_right_side_it_is_given(found):
    data = found["theorem-2"].data["instance"]
    assert recheck(data, bounds.THEOREM_2.printed.expression).outcome == "refuted"
    assert recheck(data, bounds.THEOREM_2.repaired.expression).outcome == "undecided"


@pytest.mark.parametrize("name", EXCEEDED)
@pytest.mark.parametrize("key", ["gamma", "sigma", "T", "x0", "scale", "q"])
def test_a_number_beyond_all_floats_is_a_verdict_or_one_line(name, key):
    told = json.loads((INSTANCES / f"{name}.json").read_text())
    told[key] = ["1e400"] * len(told["x0"]) if key == "x0" else "1e400"
    try:
        repeats = (name, key) == ("theorem-2", "T")  # the run goes round: it may be as long as you like
        assert recheck(told).outcome == ("refuted" if repeats else "undecided")
    except ArgumentError as error:
        assert "\n" not in str(error)


def test_every_stored_instance_is_of_a_refuted_bound():
    assert sorted(path.stem for path in INSTANCES.glob("*.json")) == sorted(EXCEEDED)


def test_theorem_2_is_exceeded_without_noise_by_overshooting(found):
    instance = read(found["theorem-2"].data["instance"])
    assert instance.noise == "none" and 0 < instance.q < 1
    assert any(abs(c[0]) > abs(p[0]) for p, c in instance.compressor.messages.items())
    assert found["theorem-2"].data["largest_ratio"] > 1.07


@pytest.mark.parametrize(("name", "form", "least"), HOLDING)
def test_a_bound_that_holds_is_not_exceeded_and_the_largest_ratio_is_told(name, form, least):
    evidence = falsify(name, form, by="families")
    assert (evidence.kind, evidence.outcome) == ("search", "supported")
    assert least < evidence.data["ratio"] < 1 + 1e-9  # rounding of a float run of some hundred steps


@pytest.mark.parametrize("name", [pytest.param(b.name, marks=[pytest.mark.slow] * (b.name in LONG)) for b in SHARP])
def test_a_sharp_bound_times_99_percent_is_refuted_and_replayed(name, tmp_path):
    evidence = falsify(name, "sharp", scale="0.99", by="families")
    assert evidence.outcome == "refuted" and evidence.data["ratio"] > 1
    assert recheck(evidence.data["instance"]).outcome == "refuted"
    assert run_script(tmp_path, script(read(evidence.data["instance"]))) == 0
    unscaled = replace(read(evidence.data["instance"]), scale=ONE)
    assert not unscaled.violated()


@pytest.mark.parametrize("name", sorted({*bounds.BOUNDS} - {*EXCEEDED}))
def test_half_of_any_bound_that_holds_is_refuted_with_a_script(name, tmp_path):
    evidence = falsify(name, scale=F(1, 2), by="families")
    assert evidence.outcome == "refuted" and run_script(tmp_path, script(read(evidence.data["instance"]))) == 0
    assert not replace(read(evidence.data["instance"]), scale=ONE).violated()


@pytest.mark.parametrize("name", ["remark-4-sgd", "remark-5-unbiased", "theorem-3"])
def test_no_float_run_is_outside_the_hypotheses(name):
    """With half of the right side the largest ratio is twice as large, and not more."""
    assert falsify(name, scale=F(1, 2), by="families").data["largest_ratio"] <= 2 * (1 + 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), [("theorem-2", "repaired"), ("remark-4", "repaired")])
def test_a_repaired_bound_times_99_percent_is_refuted_near_delta_0(name, form, tmp_path):
    evidence = falsify(name, form, scale=F(99, 100), by="families")
    instance = read(evidence.data["instance"])
    assert evidence.outcome == "refuted" and instance.delta < F(1, 5)
    assert run_script(tmp_path, script(instance)) == 0
    assert not replace(instance, scale=ONE).violated()


def test_remark_5_with_an_unbiased_compressor_is_not_exceeded_by_these_families():
    """Only the derivation from Remark 4 is refuted: 2 k^2 itself stays open."""
    evidence = falsify("remark-5-unbiased", by="families")
    assert evidence.outcome == "supported" and 0.8 < evidence.data["ratio"] < 1


def test_the_search_reads_no_stored_answer():
    code = "import sys; from efcheck.evidence import falsify; print(falsify('theorem-3-average').outcome)"
    code += "; print('efcheck.content' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["refuted", "False"]


def test_equal_seeds_give_equal_evidence():
    first, second = (falsify("lemma-3", "sharp", seed=7, by="families") for _ in range(2))
    assert (first.detail, first.data) == (second.detail, second.data)


def test_the_time_limit_ends_the_search():
    evidence = falsify("theorem-2", "repaired", minutes=1e-6, by="families")
    assert evidence.outcome == "undecided"
    assert "no violation" in evidence.detail and "stopped by the time limit" in evidence.detail


def test_the_minimum_from_t_1_on_exceeds_the_repaired_right_side_in_either_form():
    """At t = 0 the gradient is 0 and a kick of noise throws x_1 out."""
    evidence = falsify("theorem-2-index", "repaired")
    assert evidence.outcome == "refuted" and read(evidence.data["instance"]).target.first == 1


def test_a_float_scale_is_the_decimal_that_it_prints():
    assert falsify("lemma-3", scale=0.1, by="families").data["instance"]["scale"] == "1/10"


def test_a_stored_instance_that_refutes_no_more_is_an_error():
    instances = content.load(INSTANCES.with_name("_instances.py"))
    assert instances.again("theorem-2", bounds.THEOREM_2.printed.expression).outcome == "refuted"
    with pytest.raises(EfcheckError, match=r"theorem-2\.json refutes theorem-2 no more"):
        instances.again("theorem-2", bounds.THEOREM_2.repaired.expression)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bound": "theorem-9"}, "`bound` must be one of lemma-3"),
        ({"bound": "remark-4-sgd", "form": "sharp"}, "`form` must be one of printed, repaired for remark-4-sgd"),
        ({"bound": "lemma-3", "scale": 0}, "`scale` must be a rational number > 0"),
        ({"bound": "lemma-3", "scale": "1e-400"}, "`scale` must be a rational number > 0, in"),
        ({"bound": "lemma-3", "scale": "1e99999999"}, "`scale` must be a rational number > 0, in"),
        ({"bound": "lemma-3", "scale": Decimal("1e-99999999")}, "`scale` must be a rational number > 0, in"),
        ({"bound": "lemma-3", "scale": "1e400"}, "`scale` must be a rational number > 0, in"),
        ({"bound": "lemma-3", "scale": "x"}, "`scale` must be a rational number > 0"),
        ({"bound": "lemma-3", "scale": float("nan")}, "`scale` must be a rational number > 0"),
        ({"bound": "lemma-3", "minutes": 0}, "`minutes` must be a finite number > 0"),
        ({"bound": "lemma-3", "by": "chance"}, "`by` must be one of both, families, programs; got chance"),
        ({"bound": "lemma-3", "seed": -1}, "`seed` must be an integer >= 0"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        falsify(**arguments)
