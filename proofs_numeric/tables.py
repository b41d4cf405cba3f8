r"""Tables 1, 3, 4: EF-signSGD leads the sign methods in each row, and is below SGDM in each; it is not always much closer.

Statement   What the text and the captions say of Tables 1, 3 and 4 about the four methods, as far as the printed numbers
            decide it. What changes with the batch size: tables_batch_size.py.
Source      Tables 1, 3 and 4 with captions; Abstract; Section 1, contribution 4; Sections 6, 6.2, 7; Figures 4, 6, 7, captions
Idea        The numbers are entered once (_printed.py), with what they may stand for before rounding; each statement becomes
            comparisons that hold, or fail, at any rounding. A sentence with "much" or "matches" says how it is read.
Conventions gap = test accuracy of SGDM minus that of the method, in percentage points: the paper's generalization gap. SIGNSGD
            is the scaled one. What the numbers mean (means over three runs, the best epoch) is in tables-best-mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from sympy import Abs, And, Eq, Or, Rational, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

printed = content.load(Path(__file__).with_name("_printed.py"))
SIZES, METHODS, RESNET, VGG, Range = printed.SIZES, printed.METHODS, printed.RESNET, printed.VGG, printed.Range
SIGN = ("SIGNSGD", "SIGNSGDM")  # the other sign-based methods
EF, BOTH = "EF-SIGNSGD", (RESNET, VGG)
ROWS = [(table, size) for table in BOTH for size in SIZES]
Pairs = Iterable[tuple[Range, Range]]


def as_word(outcome: str, good: bool) -> str:
    """The outcome of a part that is not about the size of numbers."""
    return outcome if good else "refuted"


# -- the tables themselves -----------------------------------------------------------------------------------------------

agree = Claim("tables-agree", "Table 1 and Table 3 (ours: are they one table?)", "Tables 1 and 3 have the same entries")


@agree.printed
def entry_by_entry() -> Evidence:
    cells = [(size, method) for size in SIZES for method in METHODS]
    apart = [cell for cell in cells if printed.word("Table 1", *cell) != printed.word("Table 3", *cell)]
    detail = f"{len(cells)} entries, {len(apart)} of them different"
    return Evidence("exact", "refuted" if apart else "proved", detail, {"apart": apart})


rounding = Claim(
    "tables-rounding",
    "Table 1, Table 3 and Table 4 (ours: what can a printed number stand for?)",
    "SIGNSGD's accuracy for Resnet18 with batch-size 32 is in [73.165, 73.195]: 76.22 to half a unit, its gap 3.04 to a unit, "
    "whether the difference was rounded, or the two accuracies were",
)


@rounding.printed
def a_unit_covers_both() -> Evidence:
    """A printed difference r, unit 1: |r - (a - b)| <= 1/2, or r = A - B with A and B the rounded a and b."""
    a, b, A, B, r = symbols("a b A B r", real=True)
    half = Rational(1, 2)
    rounded = And(Abs(A - a) <= half, Abs(B - b) <= half, Eq(r, A - B))
    return prove(Abs(r - (a - b)) <= 1, [Or(Abs(r - (a - b)) <= half, rounded)], covers="a unit")


@rounding.printed
def the_ranges_in_use() -> Evidence:
    """The one of the statement, and that of a number with one decimal."""
    found, short = printed.accuracy(RESNET, 32, "SIGNSGD"), printed.gap(RESNET, 8, "SIGNSGDM")
    good = [found.low, found.high] == [Fraction("73.165"), Fraction("73.195")] and [short.low, short.high] == [
        Fraction("6.5"),
        Fraction("6.7"),
    ]
    return Evidence("exact", "proved" if good else "refuted", f"{found}; 6.6 stands for {short}", covers="ranges")


# -- EF-signSGD against the other sign methods -----------------------------------------------------------------------------

always = Claim(
    "tables-always",
    "Section 6; Section 6.2; Figures 4, 6 and 7, captions; Section 1, contribution 4",
    "EF-SIGNSGD with error feedback always outperforms the standard SIGNSGD and SIGNSGDM; the performance of SIGNSGD is always "
    "worse than EF-SIGNSGD; EF-SIGNSGD consistently [...] outperforms the other sign-based methods [in test accuracy, in each "
    "row of Tables 3 and 4]",
    repaired="by 0.6 percentage points or more over SIGNSGD, by 0.2 or more over SIGNSGDM",
)


def lead(table: str, size: int, other: str) -> Range:
    """Test accuracy of EF-SIGNSGD minus that of the other method."""
    return printed.gap(table, size, other) - printed.gap(table, size, EF)


def all_leads(methods: Iterable[str] = SIGN) -> list[Range]:
    return [lead(*row, method) for row in ROWS for method in methods]


@always.printed
def in_every_row() -> Evidence:
    return printed.compare(
        ((printed.exactly(0), found) for found in all_leads()), f"{printed.shown(RESNET)} / {printed.shown(VGG)}"
    )


@always.repaired
def by_how_much() -> Evidence:
    least = {"SIGNSGD": Fraction(6, 10), "SIGNSGDM": Fraction(2, 10)}
    pairs = [(printed.exactly(least[m]), lead(*row, m)) for row in ROWS for m in SIGN]
    told = "; ".join(f"{m}: {min((lead(*row, m) for row in ROWS), key=lambda r: r.low)}" for m in SIGN)
    return printed.compare(pairs, f"least leads: {told}")


smaller = Claim(
    "tables-smaller-gap",
    "Table 1, caption; Tables 3 and 4, captions; Section 6",
    "EF-SIGNSGD has a much smaller gap; its performance is much closer to SGD [a smaller one in each row, and a mean over the "
    "three rows of a table that is at most half of the others']",
    repaired="at most a third of the others'",
)


def total_gap(table: str, method: str) -> Range:
    """Three times the mean."""
    first, *rest = (printed.gap(table, size, method) for size in SIZES)
    return sum(rest, first)


@smaller.printed
def in_each_row() -> Evidence:
    return in_every_row().covering("each row")


def on_average(share: int) -> Evidence:
    """The mean gap, times `share`, is below the mean gap of each other method."""
    pairs = [(total_gap(t, EF).times(share), total_gap(t, m)) for t in BOTH for m in SIGN]
    told = "; ".join(f"{t}: " + ", ".join(f"{total_gap(t, m)} ({m})" for m in (EF, *SIGN)) for t in BOTH)
    return printed.compare(pairs, f"summed gaps {told}", "mean")


@smaller.printed
def half_of_it() -> Evidence:
    return on_average(2)


@smaller.repaired
def a_third_of_it() -> Evidence:
    return on_average(3)


feedback = Claim(
    "tables-feedback",
    "Abstract, last sentences; Section 7",
    "Our experiments [...] show that error-feedback improves [...] generalization; using error-feedback all such adverse "
    "effects can be mitigated [the gap of (scaled)SIGNSGD is smaller with it, in each row of Tables 3 and 4]",
    repaired="with it the gap is at most 0.54 of that without, in each row, and at most 1/50 at batch-size 8",
)


def shrinks(factor: Fraction, rows: Iterable[tuple[str, int]] = ROWS) -> Pairs:
    """The gap with feedback is below `factor` times that without."""
    return [(printed.gap(*row, EF), printed.gap(*row, "SIGNSGD").times(factor)) for row in rows]


@feedback.printed
def with_and_without() -> Evidence:
    told = " / ".join(printed.shown(table, ["SIGNSGD", EF]) for table in BOTH)
    return printed.compare(shrinks(Fraction(1)), told)


@feedback.repaired
def by_half_and_by_fifty() -> Evidence:
    last = [row for row in ROWS if row[1] == min(size for _, size in ROWS)]
    pairs = [*shrinks(Fraction(54, 100)), *shrinks(Fraction(1, 50), last)]
    return printed.compare(pairs, "0.54 of the gap without in each row, 1/50 of it at the smallest batch-size")


closer = Claim(
    "tables-much-closer",
    "Section 6.2; Table 4",
    "On the test dataset, the accuracy [...] is much closer to SGD than the other sign methods across batch-sizes and models "
    "(Tables 3, 4) [across: in each row by itself at most half of the next sign method's gap; for the mean over rows: "
    "tables-smaller-gap]",
    repaired="it is nearer to SGDM than to the next sign method in five rows of six; for VGG19 with batch-size 128 its gap is "
    "0.68 against the 0.94 of SIGNSGDM, more than 7/10 of it",
    expect="refuted",
)
CLOSE = (VGG, 128)


def halves(rows: Iterable[tuple[str, int]]) -> Pairs:
    return [(printed.gap(*row, EF).times(2), printed.gap(*row, method)) for row in rows for method in SIGN]


@closer.printed
def half_of_the_gap_everywhere() -> Evidence:
    return printed.compare(halves(ROWS), f"2 x gap of EF-SIGNSGD against the gaps of the others; {VGG}: {printed.shown(VGG)}")


@closer.repaired
def half_of_it_elsewhere() -> Evidence:
    return printed.compare(halves(row for row in ROWS if row != CLOSE), f"all rows but {CLOSE}", "five rows")


@closer.repaired
def seven_tenths_there() -> Evidence:
    pair = printed.gap(*CLOSE, "SIGNSGDM").times(Fraction(7, 10)), printed.gap(*CLOSE, EF)
    return printed.compare([pair], f"0.7 x gap of SIGNSGDM: {pair[0]}, gap of EF-SIGNSGD: {pair[1]}", "the sixth")


# -- EF-signSGD against SGDM -----------------------------------------------------------------------------------------------

matches = Claim(
    "tables-matches",
    "Section 1, contribution 4; Section 6.2 (almost matches); Figures 4, 6 and 7, captions (closely)",
    "EF-SIGNSGD [...] matches SGD [...] on test [best mean test accuracies within one percentage point, in each row]",
    repaired="within 0.93 points, but below SGDM in each of the six rows, by 0.26 points or more",
)
matches_in_some_row = Claim(
    "tables-matches-somewhere",
    "Section 1, contribution 4; Section 6.2 (ours: on both sides of SGDM, as it would be if only chance set them apart)",
    "EF-SIGNSGD reaches SGDM's best mean test accuracy in at least one row",
    repaired="in none of six; if a lead either way were equally likely in each row, that would have probability 1/64",
    expect="refuted",
)


def within(points: Fraction, rows: Iterable[tuple[str, int]] = ROWS) -> Pairs:
    return [(printed.gap(*row, EF), printed.exactly(points)) for row in rows]


@matches.printed
def within_one_point() -> Evidence:
    return printed.compare(within(Fraction(1)), f"gaps {printed.shown(RESNET, [EF])} / {printed.shown(VGG, [EF])}")


@matches.repaired
def the_largest_and_the_smallest() -> Evidence:
    below = [(printed.exactly(Fraction(255, 1000)), printed.gap(*row, EF)) for row in ROWS]
    return printed.compare([*within(Fraction(931, 1000)), *below], "between 0.255 and 0.931 in each row")


@matches_in_some_row.printed
def in_no_row() -> Evidence:
    """Refuted if it is surely false in every row."""
    found = [printed.less([(printed.gap(*row, EF), printed.exactly(0))]) for row in ROWS]
    outcome = "refuted" if set(found) == {"refuted"} else "proved" if "proved" in found else "undecided"
    return Evidence("exact", outcome, f"below SGDM in {found.count('refuted')} of {len(ROWS)} rows")


@matches_in_some_row.repaired
def a_coin_for_each_row() -> Evidence:
    chance = Fraction(1, 2 ** len(ROWS))
    good = in_no_row().outcome == "refuted" and chance == Fraction(1, 64)
    return Evidence("exact", as_word("proved", good), f"{len(ROWS)} rows below, of {len(ROWS)}: {chance} with fair coins")


# -- the two networks compared ---------------------------------------------------------------------------------------------

exactly_as = Claim(
    "tables-as-in-resnet",
    "Figure 7, caption; Tables 3 and 4",
    "On the test dataset, SIGNSGDM and the other algorithms behave exactly as in Resnet [the same order of the four test "
    "accuracies at each batch-size]",
    repaired="the same order at batch-sizes 32 and 8; at 128 SIGNSGD and SIGNSGDM change places: gaps 2.21 and 3.15 on "
    "Resnet18, 1.31 and 0.94 on VGG19",
    expect="refuted",
)


def ranking(table: str, size: int) -> list[str] | None:
    """The methods, best first; None if rounding could change it."""
    order = sorted(METHODS, key=lambda method: printed.gap(table, size, method).low)
    sure = printed.less(pairwise(printed.gap(table, size, method) for method in order)) == "proved"
    return order if sure else None


def same_order(sizes: Iterable[int]) -> Evidence:
    found = {size: [ranking(table, size) for table in BOTH] for size in sizes}
    outcomes = [None if None in pair else pair[0] == pair[1] for pair in found.values()]
    outcome = "refuted" if False in outcomes else "undecided" if None in outcomes else "proved"
    told = "; ".join(f"{size}: " + " / ".join(" > ".join(r or ["?"]) for r in pair) for size, pair in found.items())
    return Evidence("exact", outcome, f"Resnet18 / VGG19 at batch-size {told}", {"orders": found})


@exactly_as.printed
def at_each_batch_size() -> Evidence:
    return same_order(SIZES)


@exactly_as.repaired
def at_thirty_two_and_eight() -> Evidence:
    return same_order([32, 8]).covering("32 and 8")


@exactly_as.repaired
def the_two_change_places() -> Evidence:
    here, there = ([printed.gap(table, 128, method) for method in SIGN] for table in BOTH)
    return printed.compare(
        [tuple(here), tuple(reversed(there))], f"{printed.shown(RESNET, SIGN)} / {printed.shown(VGG, SIGN)}", "128"
    )


if __name__ == "__main__":
    main(__file__)
