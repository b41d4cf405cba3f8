r"""The tables: what a best mean accuracy is, and the sentences on training and on significance that they leave open.

Statement   "the best mean test accuracy percentage"; "significantly outperforms"; the sentences on training of Section 6.2.
Source      Tables 1, 3 and 4, captions; Figures 4, 6 and 7, captions; Sections 6, 6.1 and 6.2; Appendix A.3
Idea        The best of means over epochs lies between the last mean and the mean of the bests; a best on the test set is too
            good on average. Without standard deviations a lead is not significant or insignificant: the evidence says which
            deviation would decide it. Orders on the test set say nothing of orders in training: they agree and disagree.
Conventions a_i(t): test accuracy of run i after epoch t. Significant: Student's test with equal variances, two-sided, 5 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import sqrt
from pathlib import Path

from sympy import Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

printed = content.load(Path(__file__).with_name("_printed.py"))
tables = content.load(Path(__file__).with_name("tables.py"))
SIZES, RESNET, VGG, SIGN, EF, ROWS = printed.SIZES, printed.RESNET, printed.VGG, tables.SIGN, tables.EF, tables.ROWS
RUNS = 3

# -- what is reported ------------------------------------------------------------------------------------------------------

best_mean = Claim(
    "tables-best-mean",
    "Table 1, caption; Tables 3 and 4, captions (ours: what is the reported number?)",
    "the best mean test accuracy, max_t mean_i a_i(t), is at least the mean after the last epoch and at most the mean of the "
    "runs' best ones; the difference of two of them is at most the best mean difference; chosen on the test set, as the "
    "learning rates are, it is on average at least the accuracy of the best epoch on new data",
)


@best_mean.printed
def between_the_last_and_the_mean_of_the_bests() -> Evidence:
    """For each epoch t: a_i(t) <= M_i, M_i = max_t a_i(t), so the mean at t is at most that of M; the last t is one of them."""
    a, M = symbols("a1 a2 a3", real=True), symbols("M1 M2 M3", real=True)
    return prove(sum(a) / RUNS <= sum(M) / RUNS, [x <= y for x, y in zip(a, M, strict=True)], covers="order")


@best_mean.printed
def all_three_can_differ() -> Evidence:
    """Three runs over three epochs that peak one after another: last mean, best of the mean, mean of the bests."""
    runs = ((60, 72, 66), (63, 72, 66), (75, 66, 66))
    means = [Fraction(sum(column), len(runs)) for column in zip(*runs, strict=True)]
    found = [means[-1], max(means), Fraction(sum(map(max, runs)), len(runs))]
    good = found[0] < found[1] < found[2]
    detail = f"runs {runs}: last mean {found[0]}, best mean {found[1]}, mean of the bests {found[2]}"
    return Evidence("exact", "proved" if good else "refuted", detail, {"found": found}, "apart")


@best_mean.printed
def of_differences() -> Evidence:
    """A = max_t a(t) at s, B = max_t b(t) >= b(s): A - B <= a(s) - b(s) <= D = max_t (a - b)(t)."""
    A, B, b, D = symbols("A B b D", real=True)
    return prove(A - B <= D, [b <= B, A - b <= D], covers="difference")


@best_mean.printed
def chosen_on_the_test_set() -> Evidence:
    """For a fixed epoch s, best(w) >= a(s, w) for every draw w of the test set: so in the mean over w, here with two draws."""
    w = Symbol("w", nonnegative=True)
    a, best = symbols("a1 a2", real=True), symbols("best1 best2", real=True)
    on_average = w * best[0] + (1 - w) * best[1] >= w * a[0] + (1 - w) * a[1]
    return prove(on_average, [w <= 1, *(y >= x for x, y in zip(a, best, strict=True))], covers="selection")


# -- significance ----------------------------------------------------------------------------------------------------------

significant = Claim(
    "tables-significant",
    "Section 1, contribution 4; Figures 4, 6 and 7, captions",
    "EF-SIGNSGD [...] significantly outperforms the other sign-based methods [in the statistical sense: best mean test "
    "accuracy, three repetitions, each row of Tables 3 and 4]",
    repaired="as printed the leads are significant iff the standard deviation, the same for both methods, is below 0.57, 0.99, "
    "2.63 (Resnet18, batch-sizes 128, 32, 8), 0.11, 0.34, 1.09 (VGG19) percentage points, each within 0.01",
    expect="undecided",
)
# (table, batch size) -> standard deviation of the entries; the paper has them as shaded regions of figures only
DEVIATIONS: dict[tuple[str, int], Fraction] = {}
LEVEL = 0.05
LIMITS = dict(zip(ROWS, map(Fraction, ("0.57", "0.99", "2.63", "0.11", "0.34", "1.09")), strict=True))


def next_best(row: tuple[str, int]) -> Fraction:
    """EF-SIGNSGD's lead over the better of the other two, as printed."""
    return min(Fraction(printed.word(*row, EF)) - Fraction(printed.word(*row, method)) for method in SIGN)


def p_value(lead: Fraction, deviation: Fraction) -> float:
    """Of a difference of the means of two groups of RUNS with this standard deviation, two-sided; it grows with the latter."""
    from scipy.special import stdtr

    return 2 * float(stdtr(2 * RUNS - 2, -float(lead / deviation) / sqrt(2 / RUNS)))


@significant.printed
def it_depends_on_deviations_that_are_not_printed() -> Evidence:
    p = {row: p_value(next_best(row), deviation) for row, deviation in DEVIATIONS.items()}
    missing = [row for row in ROWS if row not in p]
    outcome = "refuted" if any(value >= LEVEL for value in p.values()) else "undecided" if missing else "supported"
    leads = ", ".join(f"{float(next_best(row)):g} ({row[0]}, {row[1]})" for row in ROWS)
    detail = f"no deviations are printed for {len(missing)} of {len(ROWS)} rows; leads over the next sign method: {leads}"
    return Evidence("statistics", outcome, detail, {"p": list(p.values())})


@significant.repaired
def the_deviation_that_would_decide() -> Evidence:
    """p < 5 % with 0.01 less, p > 5 % with 0.01 more; floating point errs by less than 1e-9."""
    step = Fraction(1, 100)
    p = [(p_value(next_best(row), s - step), p_value(next_best(row), s + step)) for row, s in LIMITS.items()]
    good = list(LIMITS) == ROWS and all(low < LEVEL < high for low, high in p)
    told = ", ".join(f"{100 * low:.2f} % and {100 * high:.2f} %" for low, high in p)
    return Evidence("exact", "proved" if good else "refuted", f"p on either side: {told}", {"p": p})


# -- training --------------------------------------------------------------------------------------------------------------

training = Claim(
    "tables-training",
    "Section 6.2; Section 6; Section 6.1; Section 1, contribution 4; Figures 6 and 7, captions",
    "On the train dataset, both the accuracy and the losses is better for EF-SIGNSGD than for SGD for all batch-sizes and "
    "models; even SIGNSGD is faster than SGDM on VGG19 for batch-size 128; SIGNSGDM is significantly worse than even SIGNSGD "
    "on CIFAR-100 for batch-sizes 128 and 32; on CIFAR-10 it is faster than SGDM (though still slower than EF-SIGNSGD); the "
    "losses behave very similar to the accuracies; for batch-size 8, SIGNSGD becomes extremely unstable; the unscaled SIGNSGD "
    "was observed to perform worse than the scaled version",
    expect="undecided",
)
# what the text says of training: better, worse, rows
ORDERS = (
    (EF, "SGDM", ROWS),
    ("SIGNSGD", "SGDM", [(VGG, 128)]),
    ("SIGNSGD", "SIGNSGDM", [(RESNET, 128), (RESNET, 32)]),
    ("SIGNSGDM", "SGDM", [(VGG, size) for size in SIZES]),
    (EF, "SIGNSGDM", [(VGG, size) for size in SIZES]),
)


def reversed_on_test(better: str, worse: str, rows: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The rows in which the method that is said to train better has surely the lower test accuracy."""
    return [row for row in rows if printed.less([(printed.gap(*row, worse), printed.gap(*row, better))]) == "proved"]


@training.printed
def test_accuracies_do_not_tell() -> Evidence:
    """Were every order the same on the test set, the tables would speak for the sentences; a reversed one is no objection."""
    count = sum(len(list(rows)) for *_, rows in ORDERS)
    opposite = sum(len(reversed_on_test(*order)) for order in ORDERS)
    detail = (
        f"the tables hold test accuracies only; of the {count} orders that the text gives for training {opposite} are reversed "
        f"on test, {count - opposite} are not: this needs training runs, not part of this audit yet"
    )
    return Evidence("search", "undecided" if opposite else "supported", detail, {"orders": count, "reversed": opposite})


if __name__ == "__main__":
    main(__file__)
