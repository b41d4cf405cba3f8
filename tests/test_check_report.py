"""Reports of checks: outcomes, expected failures, exceptions of the code under test, table and JSON."""

from __future__ import annotations

import json

import pytest

from efcheck.checks.report import WIDTH, CheckReport, Result, calling, failed, passed, run_checks, skipped
from efcheck.errors import ArgumentError


def raises():
    with calling("v = np.ones(2)", "c(np.ones(2))"):
        raise ZeroDivisionError("by [bold]zero[/]\nand more")


def slips():
    return [][0]


CHECKS = [
    ("good", lambda: passed("fine", count=3)),
    ("silent", lambda: None),
    ("bad", lambda: failed("delta = 0.1, claimed 0.2", "assert False", number=0.1, bound=0.2, count=4, seed=7)),
    ("raises", raises),
    ("slips", slips),
    ("absent", lambda: skipped("no bits")),
]


def report(expected: dict[str, str] | None = None, checks: list = CHECKS) -> CheckReport:
    return run_checks("a subject", checks, expected)


def test_each_check_gives_one_result_with_its_name_and_outcome() -> None:
    found = report()
    assert [r.name for r in found] == [name for name, _ in CHECKS] and len(found) == 6
    assert [r.outcome for r in found] == ["passed", "passed", "failed", "failed", "failed", "skipped"]
    assert found["bad"].number == 0.1 and found["bad"].bound == 0.2 and found["bad"].seed == 7 and found["good"].count == 3
    assert not found.passed and [r.name for r in found.failures] == ["bad", "raises", "slips"]
    assert all(r.seconds >= 0 for r in found)
    with pytest.raises(KeyError):
        found["nothing"]


def test_an_exception_of_the_code_under_test_is_told_with_its_input() -> None:
    found = report()
    assert found["raises"].detail == "raised ZeroDivisionError: by [bold]zero[/] and more on v = np.ones(2)"
    assert found["raises"].reproduce == "c(np.ones(2))"
    assert found["slips"].detail == "raised IndexError: list index out of range"


def test_an_expected_failure_is_no_failure_of_the_report_and_one_that_passes_is() -> None:
    reasons = {"bad": "known", "raises": "known", "slips": "known"}
    assert report(reasons).passed and report(reasons)["bad"].expected == "known"
    strict = report({**reasons, "good": "was broken once"})
    assert not strict.passed and [r.name for r in strict.failures] == ["good"]
    assert "1 passed though expected to fail" in str(strict)
    assert report({**reasons, "absent": "known"}).passed


def test_a_report_in_which_nothing_ran_is_not_passed() -> None:
    assert not report(checks=CHECKS[-1:]).passed and not report(checks=[]).passed


@pytest.mark.parametrize("expected", [{"nothing": "x"}, {"bad": ""}, {"bad": 3}], ids=["unknown", "empty", "number"])
def test_expected_failures_that_name_no_check_or_give_no_reason_are_refused(expected) -> None:
    with pytest.raises(ArgumentError, match="`expected_failed` must"):
        report(expected)


def test_the_table_fits_80_columns_and_ends_with_one_line_of_counts() -> None:
    checks = [*CHECKS, ("long", lambda: failed("word " * 60 + "x" * 200, "assert 1 == 2"))]
    text = str(report({"bad": "known"}, checks))
    table, _, snippets = text.partition("\n\n")
    assert all(len(line) <= WIDTH for line in table.splitlines())
    assert "by [bold]zero[/]" in table and "(expected to fail: known)" in " ".join(table.split())
    assert "# raises: to reproduce\nc(np.ones(2))" in snippets
    assert text.splitlines()[-1].startswith("2 passed, 4 failed (1 as expected), 1 skipped; ")
    assert len(text.splitlines()[-1]) <= WIDTH


def test_json_is_plain_and_complete() -> None:
    checks = [("endless", lambda: failed("x", number=float("inf"), bound=0.5)), *CHECKS]
    found = json.loads(json.dumps(report(None, checks).to_json(), allow_nan=False))
    assert found["subject"] == "a subject" and found["passed"] is False
    assert found["counts"] == {"passed": 2, "failed": 4, "skipped": 1, "cases": 9}
    assert found["results"][0]["number"] == "inf" and set(found["results"][0]) == set(Result.__dataclass_fields__)
