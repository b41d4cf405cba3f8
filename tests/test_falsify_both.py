"""efcheck falsify by families and by programs: what is told where both, or only one of them, can say something."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

pytest.importorskip("PEPit")
pytest.importorskip("clarabel")

from test_falsify_sdp import shorten

from efcheck.evidence import falsify


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


@pytest.mark.usefixtures("short")
def test_both_searches_say_how_far_they_came_where_a_bound_holds() -> None:
    evidence = falsify("lemma-3", "sharp")
    assert (evidence.kind, evidence.outcome) == ("search", "supported")
    assert "runs; largest" in evidence.detail and "programs over all functions" in evidence.detail


def test_where_no_program_is_about_the_bound_or_none_can_be_solved_the_families_are_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evidence = falsify("remark-6-sgd")
    assert evidence.outcome == "refuted" and "its step size depends on R" in evidence.data["scans"][1]
    monkeypatch.setitem(sys.modules, "clarabel", None)
    evidence = falsify("lemma-3")
    assert evidence.outcome == "supported" and "Install efcheck[worst-case]" in evidence.detail


@pytest.mark.usefixtures("short")
def test_programs_without_an_answer_leave_what_the_families_support_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    from efcheck.evidence import _worst_case_sdp as solver

    honest = solver.solve
    monkeypatch.setattr(solver, "solve", lambda model: replace(honest(model), gap=1.0))
    assert falsify("lemma-3", "sharp").outcome == "undecided"
    assert falsify("lemma-3", "sharp", by="families").outcome == "supported"
