"""figures/tightness.py: the saved numbers are worst cases, and the picture shows what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_figures import script

from efcheck.bounds import LEMMA_3, REMARK_6, THEOREM_2, THEOREM_3

tightness = script("tightness")


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return dict(tightness.compute())


def part(data: dict[str, Any], panel: str) -> dict[str, Any]:
    return {name: column[data["panel"] == panel] for name, column in data.items()}


def test_lemma_3_and_theorem_3_lie_on_their_sharp_forms(data: dict[str, Any]) -> None:
    """Nine digits are saved; the solver has 1e-6."""
    a, c = part(data, "a"), part(data, "c")
    assert a["worst"] == pytest.approx(LEMMA_3.sharp(t=a["T"], delta=a["delta"], gamma=1.0, sigma=1.0), rel=1e-6)
    assert c["worst"] == pytest.approx(
        THEOREM_3.sharp(T=c["T"], delta=c["delta"], gamma=c["gamma"], sigma=1.0, R=1.0), rel=1e-6
    )


def test_theorem_2_is_exceeded_as_printed_from_some_T_on_and_never_repaired(data: dict[str, Any]) -> None:
    b = part(data, "b")
    letters = {"T": b["T"], "delta": b["delta"], "gamma": b["gamma"], "L": 1.0, "sigma": 1.0, "f0": 0.0}
    printed, repaired = b["worst"] / THEOREM_2.printed(**letters), b["worst"] / THEOREM_2.repaired(**letters)
    largest = [printed[b["T"] == T].max() for T in sorted(set(b["T"].tolist()))]
    assert largest == sorted(largest) and largest[0] < 1 < largest[-1]
    assert repaired.max() < 1


def test_no_step_size_does_better_than_the_tuned_sharp_bound_says_by_much(data: dict[str, Any]) -> None:
    """The best worst case of EF-SGD is at most the bound at its own step, the tuned one."""
    d = part(data, "d")
    own = d["method"] == "EFSGD"
    tuned = REMARK_6.sharp(T=d["T"][own], delta=0.5, sigma=1.0, R=1.0)
    assert (d["worst"][own] <= tuned * (1 + 1e-3)).all()  # the step is found to 1 % of its range
    assert np.diff(d["worst"][own]).max() < 0


def test_a_step_is_worth_the_published_rate(data: dict[str, Any]) -> None:
    f = part(data, "f")
    for method in tightness.METHODS:
        own = f["method"] == method
        step, rate = tightness.published(method, f["delta"][own])
        assert f["gamma"][own] == pytest.approx(step, rel=1e-8) and f["worst"][own] == pytest.approx(rate, rel=1e-6)


def test_the_best_step_is_the_one_of_the_sharp_bound_or_near(data: dict[str, Any]) -> None:
    """It is found to 1 % of three decades; the least is flat."""
    d = part(data, "d")
    own = d["method"] == "EFSGD"
    tuned = 1 / ((d["T"][own] + 1) * REMARK_6.sharp(T=d["T"][own], delta=0.5, sigma=1.0, R=1.0))
    assert np.abs(np.log(d["gamma"][own] / tuned)).max() < np.log(2)


@pytest.mark.parametrize("panel", ["a", "b", "c", "d", "f"])
def test_the_saved_numbers_are_worst_cases(panel: str, data: dict[str, Any]) -> None:
    pytest.importorskip("PEPit")
    quantity = {"a": "error_norm", "b": "gradient_norm", "c": "suboptimality", "d": "suboptimality", "f": "contraction"}[panel]
    some, more = part(data, panel), {"mu": tightness.MU} if panel == "f" else {}
    rows = [i for i in range(len(some["T"])) if some["T"][i] <= 6]
    for i in rows[:: max(1, len(rows) // 4)]:
        letters = {
            "T": int(some["T"][i]),
            "delta": some["delta"][i],
            "gamma": some["gamma"][i],
            "method": str(some["method"][i]),
        }
        assert tightness.value(quantity, **letters, **more) == pytest.approx(some["worst"][i], rel=1e-5)


def test_other_sizes_are_solved_anew() -> None:
    pytest.importorskip("PEPit")
    found = tightness.compute(lemma=(2,), smooth=(1,), convex=(2,), methods=(1,), deltas=2)
    assert set(found["T"][found["panel"] == "a"].tolist()) == {2} and len(found["T"]) == 2 + 2 + 2 + 3 + 6
    assert (found["worst"] > -1e-6).all()


def test_as_many_deltas_as_are_asked_for() -> None:
    """The saved rows have eight."""
    pytest.importorskip("PEPit")
    assert len(tightness.saved(tightness.SAVED)) > 0
    found = tightness.compute(lemma=(1,), smooth=(), convex=(1,), methods=(1,), deltas=3)
    assert sorted(found["delta"][found["panel"] == "a"]) == pytest.approx([0.1, 0.5, 0.9])


def test_the_record_names_the_source_and_the_solver(tmp_path: Path) -> None:
    tightness.main(["--out", str(tmp_path)])
    told = json.loads((tmp_path / "tightness.json").read_text())["parameters"]
    assert told["source"] == "tightness.csv" and told["solver"] == "CLARABEL"


def test_an_answer_that_does_not_count_stops_the_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    from efcheck.evidence import Evidence

    monkeypatch.setattr(tightness, "worst_case", lambda *a, **k: Evidence("sdp", "undecided", "planted"))
    with pytest.raises(ValueError, match="no answer that counts: planted"):
        tightness.value("error_norm", T=1, delta=0.5, gamma=1.0)
