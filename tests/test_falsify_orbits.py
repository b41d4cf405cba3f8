"""Runs that go round after one step: few points whatever T is, found by programs, written once, checked to their end."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

from test_falsify_sdp import F, larger, run_script, search, steep

from efcheck.bounds import THEOREM_2
from efcheck.errors import ArgumentError
from efcheck.evidence import _falsify_sdp as sdp
from efcheck.evidence import _worst_case_sdp as solver
from efcheck.evidence import falsify, recheck
from efcheck.evidence._falsify_instance import read
from efcheck.evidence._falsify_replayed import Replayed
from efcheck.evidence._falsify_script import script
from efcheck.evidence._falsify_target import target
from efcheck.evidence._replay_instance import Instance as Run
from efcheck.evidence._replay_instance import around, slopes_bounded
from efcheck.evidence.worst_case import program


@pytest.fixture(scope="module")
def orbits() -> dict[str, Any]:
    """The scan knows nothing of where."""
    return {name: search(name) for name in ("theorem-2", "remark-4")}


@pytest.mark.parametrize("name", ["theorem-2", "remark-4"])
def test_a_bound_is_refuted_in_one_dimension_by_an_orbit_of_period_two(orbits: Any, name: str, tmp_path: Path) -> None:
    evidence = orbits[name]
    instance = read(json.loads(json.dumps(evidence.data["instance"])))
    assert evidence.outcome == "refuted" and isinstance(instance, Replayed) and instance.violated()
    assert instance.run.d == 1 and instance.run.period == 2 and instance.run.letters["T"] <= 60
    assert evidence.data["simulated"] == pytest.approx(float(instance.left()), rel=1e-9)
    assert run_script(tmp_path, script(instance)) == 0
    assert recheck(instance.to_json(), target(name, "repaired").side.expression).outcome == "undecided"


def test_an_orbit_is_written_once_and_read_to_its_end(orbits: Any) -> None:
    told = orbits["theorem-2"].data["instance"]["run"]
    run = Run.from_json(told)
    assert [len(told[part]) for part in ("x", "g", "f", "residual")] == [3, 3, 3, 3]
    assert len(run.x) == len(run.g) == len(run.f) == run.letters["T"] + 1 and len(run.residual) == run.letters["T"]
    assert run.x[1] == run.x[3] != run.x[2] and run.to_json() == told


@pytest.mark.parametrize(
    "change",
    [{"period": "-2"}, {"period": "3"}, {"period": "1000000000"}, {"f": ["1", "1"]}, {"residual": []}, {"period": "x"}],
    ids=["negative", "longer", "huge", "values", "messages", "text"],
)
def test_a_period_that_the_lists_do_not_have_is_one_line(orbits: Any, change: dict[str, Any]) -> None:
    told = orbits["theorem-2"].data["instance"]["run"]
    for letters in ({}, {"T": "1000000000"}):
        with pytest.raises(ArgumentError, match="what `replay` writes") as error:
            Run.from_json(told | change | {"letters": told["letters"] | letters})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "factor"),
    [(("g", 1, 0), F(7, 5)), (("residual", 0, 0), F(7, 5)), (("residual", 2, 0), F(7, 5)), (("f", 0), F(1, 2))],
    ids=["gradient", "first message", "last message", "value"],
)
def test_an_orbit_with_one_number_changed_refutes_nothing(orbits: Any, path: Any, factor: Fraction, tmp_path: Path) -> None:
    changed = larger(orbits["theorem-2"].data["instance"], *path, factor=factor)
    read_back = read(changed)
    assert recheck(changed).outcome == "undecided" and run_script(tmp_path, script(read_back)) == 1


def test_what_a_one_dimensional_function_keeps_everywhere_is_not_left_unsaid(orbits: Any) -> None:
    evidence = orbits["theorem-2"]
    instance = read(evidence.data["instance"])
    assert slopes_bounded(instance.run) and "elsewhere" not in evidence.detail
    text = script(instance)
    assert "elsewhere" not in text and "|f'| <= sigma between the x_t" in text


@pytest.mark.parametrize(("rise", "bounded"), [(F(7, 4), True), (F(-7, 4), True), (F(15, 8), False), (F(-15, 8), False)])
def test_a_slope_above_sigma_between_two_points_is_seen(rise: Fraction, bounded: bool) -> None:
    """f' rises to 1 and falls within 1/4 each: over 2 at most 2 - 1/4; an L-smooth f may rise by 4, a little faster."""
    assert slopes_bounded(steep(rise)) is bounded and not any("smooth" in why for why in steep(rise).broken())


def test_the_slopes_agree_with_a_linear_program() -> None:
    """The largest integral of a slope on a grid of 200 cells."""
    rng = np.random.default_rng(0)
    for _ in range(12):
        a, b = (F(int(k), 10) for k in rng.integers(-9, 10, 2))
        room, L = abs(a - b) / 2 + F(int(rng.integers(1, 20)), 10), 2
        n = 200
        turn = np.eye(n, n + 1, 1) - np.eye(n, n + 1)
        step = L * float(room) / n
        weights = np.array([0.5, *[1.0] * (n - 1), 0.5]) * float(room) / n
        ends = [(float(a),) * 2, *[(-1.0, 1.0)] * (n - 1), (float(b),) * 2]
        found = linprog(-weights, A_ub=np.vstack([turn, -turn]), b_ub=np.full(2 * n, step), bounds=ends)
        most = F(-float(found.fun))
        run = steep(F(0), L)
        for rise, bounded in ((most - F(1, 500), True), (most + F(1, 50), False)):
            line = Run("gradient_norm", "EFSGD", run.letters, (F(0),), ((a,), (b,)), ((a + room,),), (F(9), F(9) + rise))
            assert line.x[1] == (room,) and slopes_bounded(line) is bounded


@pytest.mark.parametrize("period", [2, 3])
def test_an_orbit_closes_and_is_no_worse_than_the_worst_run_of_so_many_steps(period: int) -> None:
    at = {"T": 5, "delta": 0.8, "gamma": 1.0, "sigma": 1.0, "L": 1.7, "f0": None}
    values = []
    for more in ({}, {"period": period}):
        model, _ = program("gradient_norm", "EFSGD", "CLARABEL", at | more)
        found = solver.solve(model)
        assert found.counts
        values.append(found.primal)
    named, _ = model.named(model.factor(found.gram), found.values)
    assert len(named["x"]) == len(named["g"]) == len(named["residual"]) == 1 + period
    assert named["g"][1:].sum(axis=0) == pytest.approx(0, abs=1e-9) and np.array_equal(
        named["residual"][0], named["residual"][-1]
    )
    assert 0.1 < values[1] <= values[0] + 1e-6


def test_an_orbit_that_does_not_close_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounded as if the gradients of a period did not add up to 0, the points drift apart, and f fits no more."""
    monkeypatch.setattr(
        "efcheck.evidence._replay_instance.around", lambda some, period, count: around(some[::-1], period, count)
    )
    found = sdp.replay("gradient_norm", above=THEOREM_2.printed, T=45, delta="99/100", gamma=1, L="5/3", period=2)
    assert found.outcome == "undecided" and "no rational run" in found.detail


def test_a_period_is_for_the_gradient_norm_of_ef_sgd_alone() -> None:
    for change in ({"quantity": "error_norm"}, {"method": "EF21"}, {"f0": 1}, {"period": 5}, {"period": -1}):
        call: dict[str, Any] = {"quantity": "gradient_norm", "above": F(1), "T": 4, "delta": F(1, 2), "gamma": 1, "period": 2}
        with pytest.raises(ArgumentError, match="`period` must"):
            sdp.replay(**(call | change))


def test_of_two_violations_the_one_of_fewer_steps_is_told_and_both_searches_are(orbits: Any) -> None:
    evidence = falsify("theorem-2")
    assert evidence.outcome == "refuted" and recheck(evidence.data["instance"]).outcome == "refuted"
    assert evidence.data["T"] <= orbits["theorem-2"].data["T"]
    assert [line.split(" ", 1)[1].split(",")[0] for line in evidence.data["scans"]] == [
        "runs of low-dimensional families",
        "programs over all functions and compressors",
    ]
