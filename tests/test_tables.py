"""Tables 1, 3 and 4: an altered entry changes the verdicts that rest on it, and those only; the numbers by hand."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from efcheck import content
from efcheck.claims import collect

FOLDER = Path(__file__).parents[1] / "proofs_numeric"
NAMES = ("tables", "tables_batch_size", "tables_limits")
printed, tables, batches, limits = (content.load(FOLDER / f"{name}.py") for name in ("_printed", *NAMES))
CLAIMS = {claim.id: claim for name in NAMES for claim in collect(FOLDER / f"{name}.py")}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


def alter(monkeypatch: pytest.MonkeyPatch, table: str, old: str, new: str) -> None:
    text = printed.TABLES[table]
    assert text.count(old) == 1
    monkeypatch.setitem(printed.TABLES, table, text.replace(old, new))


# --- numbers and rounding


def test_printed_numbers_stand_for_what_rounds_to_them() -> None:
    assert printed.around("75.35", Fraction(1, 2)) == printed.Range(Fraction(75345, 1000), Fraction(75355, 1000))
    assert printed.gap("Table 1", 8, "SIGNSGDM") == printed.Range(Fraction(65, 10), Fraction(67, 10))
    accuracy = printed.accuracy("Table 3", 32, "SIGNSGD")
    assert accuracy.low == Fraction("73.165") and accuracy.high == Fraction("73.195")


def test_differences_of_rounded_numbers_are_inside_the_ranges() -> None:
    """Accuracies 75.354 and 73.136 print as 75.35 and 73.14: a printed difference of 2.21 or of 2.22, the true one is 2.218."""
    for shown in ("-2.21", "-2.22"):
        stands_for = -printed.around(shown, Fraction(1))
        assert stands_for.low <= Fraction("75.354") - Fraction("73.136") <= stands_for.high


def test_a_comparison_that_rounding_decides_is_undecided() -> None:
    first, second, third = (printed.around(word, Fraction(1)) for word in ("0.70", "0.71", "0.73"))
    assert [printed.less([pair]) for pair in ((first, third), (third, first), (first, second))] == [
        "proved",
        "refuted",
        "undecided",
    ]
    assert printed.less([]) == "undecided" and printed.less([(first, second), (third, first)]) == "refuted"
    assert "rounding decides" in printed.compare([(first, second)], "x").detail


def test_ranges_are_kept_by_arithmetic() -> None:
    one, two = printed.Range(Fraction(1), Fraction(2)), printed.Range(Fraction(5), Fraction(7))
    assert two - one == printed.Range(Fraction(3), Fraction(6)) and (-one).low == -2 and one.times(3).high == 6


def test_the_facts_of_the_refutations_by_hand() -> None:
    assert Fraction("75.35") - Fraction("2.21") == Fraction("73.14") < Fraction("73.18") == Fraction("76.22") - Fraction("3.04")
    assert Fraction("0.68") < Fraction("0.71") and 2 * Fraction("0.68") > Fraction("0.94") > 0
    assert Fraction("2.21") < Fraction("3.15") and Fraction("1.31") > Fraction("0.94")


# --- planted errors

PLANTED = [  # claim, table, entry, planted entry, verdicts with it
    ("tables-agree", "Table 1", "-3.04", "-3.05", ["refuted"]),
    ("tables-rounding", "Table 3", "-3.04", "-3.14", ["refuted"]),
    ("tables-always", "Table 4", "-0.68", "-0.98", ["refuted", "refuted"]),
    ("tables-always", "Table 4", "-0.68", "-0.94", ["undecided", "refuted"]),
    ("tables-smaller-gap", "Table 4", "-0.27", "-1.99", ["refuted", "refuted"]),
    ("tables-feedback", "Table 3", "-2.21", "-0.90", ["refuted", "refuted"]),
    ("tables-feedback", "Table 3", "-36.35", "-6.35", ["proved", "refuted"]),
    ("tables-much-closer", "Table 4", "-0.68", "-0.38", ["proved", "refuted"]),
    ("tables-much-closer", "Table 3", "-0.92", "-1.92", ["refuted", "refuted"]),
    ("tables-matches", "Table 3", "-0.92", "-1.02", ["refuted", "refuted"]),
    ("tables-matches", "Table 4", "-0.27", "-0.07", ["proved", "refuted"]),
    ("tables-matches-somewhere", "Table 4", "-0.27", "0.27", ["proved", "refuted"]),
    ("tables-as-in-resnet", "Table 4", "-1.31", "-0.84", ["proved", "refuted"]),
    ("tables-as-in-resnet", "Table 4", "-1.54", "-1.44", ["refuted", "refuted"]),
    ("tables-as-in-resnet", "Table 4", "-1.54", "-1.50", ["refuted", "undecided"]),
    ("tables-gap-decreases-resnet", "Table 3", "-0.79", "-0.97", ["refuted"]),
    ("tables-gap-decreases-vgg", "Table 4", "-0.71", "-0.51", ["proved", "refuted"]),
    ("tables-gap-and-rate", "Table 4", "-0.27", "-0.03", ["refuted", "refuted"]),
    ("tables-gap-increases", "Table 4", "-1.54", "-0.64", ["refuted"]),
    ("tables-metrics", "Table 3", "-3.04", "-3.24", ["proved", "refuted"]),
    ("tables-metrics", "Table 4", "-20.22", "-0.22", ["refuted", "refuted"]),
    ("tables-drop", "Table 1", "-6.6", "-6.5", ["refuted", "undecided"]),
    ("tables-drop", "Table 1", "-3.57", "-3.07", ["refuted", "proved"]),
]


@pytest.mark.parametrize(("id", "table", "old", "new", "expected"), PLANTED)
def test_an_altered_entry_changes_the_verdict(
    id: str, table: str, old: str, new: str, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = verdicts(id)
    alter(monkeypatch, table, old, new)
    assert verdicts(id) == expected != before


def test_a_gap_in_proportion_to_the_rate_would_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    alter(monkeypatch, "Table 4", "-0.27", "-0.02")
    alter(monkeypatch, "Table 3", "-0.64", "-0.04")
    assert verdicts("tables-gap-and-rate")[0] == "proved"


def test_swapped_columns_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printed, "METHODS", ("SGDM", "EF-SIGNSGD", "SIGNSGDM", "SIGNSGD"))
    for id in ("tables-always", "tables-smaller-gap", "tables-feedback", "tables-gap-decreases-resnet"):
        assert verdicts(id)[0] == "refuted"


def test_ranges_without_an_error_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = printed.around
    monkeypatch.setattr(printed, "around", lambda word, units: right(word, units / 2))
    assert verdicts("tables-rounding") == ["refuted"]


def test_swapped_rows_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`SIZES` of the claims stays, so that every entry is read from the wrong row."""
    monkeypatch.setattr(printed, "SIZES", (8, 32, 128))
    assert verdicts("tables-gap-increases") == ["refuted"] and verdicts("tables-drop")[0] == "refuted"


# --- what stays open


def test_significance_is_decided_once_deviations_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    id = "tables-significant"
    monkeypatch.setattr(limits, "DEVIATIONS", dict.fromkeys(tables.ROWS, Fraction(1, 10)))
    assert verdicts(id)[0] == "supported"
    monkeypatch.setattr(limits, "DEVIATIONS", {tables.ROWS[3]: Fraction(12, 100)})
    assert verdicts(id)[0] == "refuted"
    monkeypatch.setattr(limits, "DEVIATIONS", {tables.ROWS[3]: Fraction(1, 10)})
    assert verdicts(id)[0] == "undecided"


def test_the_deviation_that_decides_is_students() -> None:
    """Two groups of three, t(4) at 97.5 % = 2.776: a lead of 0.26 needs a deviation below 0.26/(2.776 sqrt(2/3))."""
    assert limits.next_best(("Table 4", 128)) == Fraction("0.26")
    assert limits.p_value(Fraction("0.26"), Fraction(0.26 / (2.776445 * (2 / 3) ** 0.5))) == pytest.approx(0.05, rel=1e-5)


def test_another_limit_or_number_of_runs_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(limits.LIMITS, tables.ROWS[5], Fraction("1.07"))
    assert verdicts("tables-significant")[1] == "refuted"
    monkeypatch.undo()
    monkeypatch.setattr(limits, "RUNS", 4)
    assert verdicts("tables-significant")[1] == "refuted"


def test_training_would_be_supported_if_no_order_were_reversed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ORDERS", limits.ORDERS[2:3])
    assert verdicts("tables-training") == ["supported"]


def test_a_best_mean_above_the_mean_of_the_bests_is_refuted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RUNS", -3)
    assert verdicts("tables-best-mean") == ["refuted"]
