r"""Figure 3 is one draw of its data: SIGNSGD's test loss is above 0.8 with probability 0.284, SIGNSGDM's best with 0.212.

Statement   Full batch, data of A.6. "In all four cases, the train loss quickly goes to 0. The distance to the linear span of
            gradients is quite large for SIGNSGD and SIGNSGDM. For EF-SIGNSGD it first increases to a certain limit and then
            goes to 0. The test error, almost exactly corresponding to the distance, goes down to 0. SIGNSGDM oscillates
            significantly because of the momentum term; the best test error is higher than 0.8." Caption: "SIGNSGD and
            SIGNSGDM have a high distance to the span, and do not generalize (test loss is higher than 0.8). Distance of
            EF-SIGNSGD to the linear span (and the test loss) goes to 0."
Source      Section 5.2, Figure 3; settings of the authors' notebook, whose remark is that the picture appears once every two
            or three times (`_wilson.py` has them)
Idea        A run depends on the data only through k, the number of labels +1 in the train half, and its test loss is linear in
            m, that of the test half: 101 exact runs of four integers a step decide every draw (`_wilson.py`).
Conventions sign(0) = 0; SIGNSGD is the scaled one, as in the notebook; losses are ||Ax - y||^2/n; a sentence without "on
            every draw" is read as one about every draw, and its repaired form says with which probability it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import comb
from pathlib import Path

import numpy as np

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import ScaledSign
from efcheck.evidence import Evidence, exact
from efcheck.methods import EFSGD, SGD, SignSGD
from efcheck.problems import LeastSquares, wilson_data
from efcheck.simulate import simulate

wilson = content.load(Path(__file__).with_name("_wilson.py"))

SECTION = "Section 5.2; Figure 3"
F = Fraction
HIGH, LOW = F(4, 5), F(1, 10)
DRAWS = 10_000
FALSE_ALARM = 1e-6


def final_losses(name: str) -> list[tuple[Fraction, Fraction]]:
    """For each k: the squared residual after 80 epochs of a test point with y = 1, and with y = -1."""
    return [states[-1].test_losses() for states in wilson.paths(wilson.FIGURE_3[name])]


def mixed(pair: tuple[Fraction, Fraction], m: int) -> Fraction:
    return (m * pair[0] + (wilson.N - m) * pair[1]) / wilson.N


Sentence = Callable[[int, int], bool]  # whether it holds on a draw with k and m labels +1 in the train and the test half


def final(name: str, holds: Callable[[Fraction], bool]) -> Sentence:
    """holds(test loss after the last epoch)."""
    last = final_losses(name)
    return lambda k, m: holds(mixed(last[k], m))


@lru_cache
def best_above(name: str) -> Sentence:
    """The test loss is above 0.8 at every epoch."""
    runs = [[s.test_losses() for s in states] for states in wilson.paths(wilson.FIGURE_3[name])]
    good = {(k, m) for k in range(wilson.N + 1) for m in range(wilson.N + 1) if all(mixed(pair, m) > HIGH for pair in runs[k])}
    return lambda k, m: (k, m) in good


def above(loss: Fraction) -> bool:
    return loss > HIGH


def below(loss: Fraction) -> bool:
    return loss < LOW


def told(share: Fraction, what: str) -> str:
    return (
        f"P({what}) = {float(share):.12g} = {share}"
        if 1 - share > F(1, 1000)
        else f"1 - P({what}) = {float(1 - share):.6g}, exactly {1 - share}"
    )


def on_every_draw(sentence: Sentence, what: str) -> Evidence:
    """The printed form: refuted by the likeliest draw on which it fails, proved where there is none."""
    share = wilson.probability(sentence)
    near = sorted(range(wilson.N + 1), key=lambda i: abs(2 * i - wilson.N))
    draws = sorted(((k, m) for k in near for m in near), key=lambda d: -comb(wilson.N, d[0]) * comb(wilson.N, d[1]))
    witness = next(((k, m) for k, m in draws if not sentence(k, m)), None)
    if witness is None:
        return Evidence("exact", "proved", f"{what} on every draw", covers=what)
    detail = f"not for k = {witness[0]}, m = {witness[1]}; {told(share, what)}"
    return Evidence("exact", "refuted", detail, {"k": witness[0], "m": witness[1], "probability": share}, covers=what)


def with_probability(sentence: Sentence, decimal: str, what: str) -> Evidence:
    """The repaired form: the exact probability, against the decimal of the statement to its last digit."""
    share, unit = wilson.probability(sentence), F(1, 10 ** len(decimal.partition(".")[2]))
    outcome = "proved" if abs(share - F(decimal)) <= unit / 2 else "refuted"
    return Evidence("exact", outcome, told(share, what), {"probability": share}, covers=what)


def nearly_surely(sentence: Sentence, most: str, what: str) -> Evidence:
    """The repaired form where the probability is next to 1: P(not) <= most."""
    share = wilson.probability(sentence)
    outcome = "proved" if 1 - share <= F(most) else "refuted"
    return Evidence("exact", outcome, told(share, what), {"probability": share}, covers=what)


# -- four numbers are enough ----------------------------------------------------------------------------------------------

reduction = Claim(
    "generalization-reduction",
    "Section 5.2; A.6 (what all exact runs below rest on)",
    "from x_0 = 0 a full-batch run depends on the data only through the number of labels +1 in the train half, and its test "
    "loss only through that in the test half",
)


def full_matrix(labels: list[int], n: int) -> np.ndarray:
    """The rows of A.6 for the first points of n, columns counted from 0; integers."""
    A = np.zeros((len(labels), 6 * n), int)
    for i, y in enumerate(labels):
        A[i, 0], A[i, 1:3], A[i, 3 + 5 * i : 3 + 5 * i + (1 if y > 0 else 5)] = y, 1, 1
    return A


@reduction.printed
def swapping_two_points_of_a_class_changes_nothing() -> Evidence:
    """The symmetry that makes coordinates equal: adjacent swaps of points of one class, with their columns, fix (A, y)."""
    checked = 0
    for k in range(wilson.N + 1):
        labels = [1] * k + [-1] * (wilson.N - k)
        A = full_matrix(labels, 2 * wilson.N)
        for i in (i for i in range(wilson.N - 1) if labels[i] == labels[i + 1]):
            columns, rows = np.arange(A.shape[1]), np.arange(len(A))
            here, there = slice(3 + 5 * i, 8 + 5 * i), slice(8 + 5 * i, 13 + 5 * i)
            columns[here], columns[there] = columns[there].copy(), columns[here].copy()
            rows[[i, i + 1]] = i + 1, i
            small = np.s_[i : i + 2]  # the other rows have zeros in both blocks and keep their places
            if (A[np.ix_(rows[small], columns)] != A[small]).any():
                return Evidence("exact", "refuted", f"k = {k}, points {i} and {i + 1}", {"k": k}, covers="symmetry")
            checked += 1
    return Evidence("exact", "proved", f"{checked} swaps, k = 0, ..., {wilson.N}", covers="symmetry")


def full_exact(name: str, labels: list[int], n: int, T: int) -> list[tuple[Fraction, ...]]:
    """The same run in all 6 n coordinates, in Fractions: no symmetry is used."""
    A, count = full_matrix(labels, n).tolist(), len(labels)

    def g(t: int, x: tuple[Fraction, ...]) -> list[Fraction]:
        r = [sum((a * b for a, b in zip(row, x, strict=True) if a), F(0)) - y for row, y in zip(A, labels, strict=True)]
        return [sum((r[i] * A[i][j] for i in range(count) if A[i][j]), F(0)) / count for j in range(6 * n)]

    x, e, m = [F(0)] * (6 * n), [F(0)] * (6 * n), [F(0)] * (6 * n)
    path = [tuple(x)]
    for t in range(T):
        v = g(t, path[-1])
        if name == "SGD":
            step = [F(1, 2) * b for b in v]
        elif name == "signSGDM":
            m = [b + F(9, 10) * a for a, b in zip(m, v, strict=True)]
            step = [F(1, 20) * exact.sign(b, 0) for b in m]
        else:
            p = [10 * b + (a if name == "EF-signSGD" else 0) for a, b in zip(e, v, strict=True)]
            step = list(exact.scaled_sign(p, 0))
            e = [a - b for a, b in zip(p, step, strict=True)]
        x = [a - b for a, b in zip(x, step, strict=True)]
        path.append(tuple(x))
    return path


@reduction.printed
def full_runs_in_fractions_agree() -> Evidence:
    """All coordinates, four methods, small halves with every mixture of labels: the four numbers are the run, exactly."""
    runs = 0
    for labels in ([1], [-1], [1, -1], [1, 1, -1], [-1, 1, -1], [1, -1, 1, 1, -1]):
        n, k, T = max(3, len(labels)), labels.count(1), 6
        for name, method in wilson.FIGURE_3.items():
            states = wilson.path(method, k, T, len(labels), 6 * n)
            for t, (x, s) in enumerate(zip(full_exact(name, labels, n, T), states, strict=True)):
                four = [F(a, s.scale) for a in s.x]
                told = [four[0], four[1], four[1]] + [F(0)] * (6 * n - 3)
                for i, y in enumerate(labels):
                    told[3 + 5 * i : 3 + 5 * i + (1 if y > 0 else 5)] = [four[2]] if y > 0 else [four[3]] * 5
                if list(x) != told:
                    return Evidence("exact", "refuted", f"{name}, labels {labels}, t = {t}", covers="symmetry")
            runs += 1
    return Evidence("exact", "supported", f"{runs} exact runs of 6 steps in all coordinates", covers="symmetry")


@reduction.printed
def the_simulator_agrees_at_full_size(seed: int = 0) -> Evidence:
    """Real draws, d = 1200, 80 epochs: x and test loss within 1e-9 of the exact run (rounding of 80 steps is about 1e-13)."""
    rng = np.random.default_rng(seed)
    methods = {"SGD": SGD(0.5), "scaled signSGD": SignSGD(10, scaled=True), "EF-signSGD": EFSGD(10, ScaledSign(zero=0))}
    worst = 0.0
    for name, method in methods.items():
        A, y, A_test, y_test = wilson_data(2 * wilson.N, rng)
        x = simulate(LeastSquares(A, y, mean=True), method, wilson.EPOCHS, record=("x",), every=wilson.EPOCHS)["x"][-1, 0]
        s = wilson.path(wilson.FIGURE_3[name], int((y > 0).sum()))[-1]
        four = [float(F(a, s.scale)) for a in s.x]
        private = [np.flatnonzero(row[3:]) + 3 for row in A]
        far = [abs(x[0] - four[0]), *abs(x[1:3] - four[1])]
        far += [np.abs(x[j] - (four[2] if v > 0 else four[3])).max() for j, v in zip(private, y, strict=True)]
        far += [abs(np.square(A_test @ x - y_test).mean() - float(wilson.test_loss(s, int((y_test > 0).sum()))))]
        worst = max(worst, float(np.max(far)))
    outcome = "supported" if worst < 1e-9 else "refuted"
    return Evidence(
        "search",
        outcome,
        f"largest difference to the exact runs after 80 epochs: {worst:.1e}",
        {"worst": worst},
        covers="symmetry",
    )


# -- the test loss --------------------------------------------------------------------------------------------------------


def simulated_losses(name: str, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Final test losses of so many draws of labels and halves, each train point with its own number, in floats."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(draws // 500):
        y = rng.permuted(np.where(rng.random((500, 2 * wilson.N)) < 0.5, -1.0, 1.0), axis=1)
        train, test = y[:, : wilson.N], y[:, wilson.N :]
        wide = np.where(train > 0, 1.0, 5.0)
        head, own = np.zeros((500, 2)), np.zeros((500, wilson.N))
        memory = np.zeros((500, wilson.N + 2))
        for _ in range(wilson.EPOCHS):
            r = train * head[:, :1] + 2 * head[:, 1:] + wide * own - train
            g = np.hstack([(train * r).sum(1, keepdims=True), r.sum(1, keepdims=True), r]) / wilson.N
            p = 10 * g + memory
            size = np.abs(p[:, :1]) + 2 * np.abs(p[:, 1:2]) + (wide * np.abs(p[:, 2:])).sum(1, keepdims=True)
            step = size / wilson.D * np.sign(p)
            if name == "EF-signSGD":
                memory = p - step
            head, own = head - step[:, :2], own - step[:, 2:]
        found.append(np.square(test * head[:, :1] + 2 * head[:, 1:] - test).mean(1))
    return np.concatenate(found)


def agrees(name: str, sentence: Sentence, holds: Callable[[np.ndarray], np.ndarray], what: str, seed: int) -> Evidence:
    """The exact probability is in the Clopper-Pearson interval of 10,000 simulated draws."""
    from scipy.special import betaincinv

    losses, share = simulated_losses(name, seed), wilson.probability(sentence)
    count, n = int(holds(losses).sum()), len(losses)
    low = float(betaincinv(count, n - count + 1, FALSE_ALARM / 2)) if count else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - FALSE_ALARM / 2)) if count < n else 1.0
    outcome = "supported" if low <= share <= high else "refuted"
    detail = f"{count} of {n} simulated draws; interval [{low:.5f}, {high:.5f}], false alarm {FALSE_ALARM:g}"
    return Evidence("statistics", outcome, detail, {"count": count, "low": low, "high": high}, covers=what)


scaled_high = "the final test loss of scaled signSGD > 0.8"
ef_low = "the final test loss of EF-signSGD < 0.1"

signsgd = Claim(
    "generalization-signsgd",
    "Figure 3, caption",
    "SIGNSGD does not generalize (test loss is higher than 0.8)",
    repaired="scaled SIGNSGD's test loss after 80 epochs is higher than 0.8 with probability 0.28434 over all draws",
    expect="refuted",
)


@signsgd.printed
def it_is_not_on_every_draw() -> Evidence:
    return on_every_draw(final("scaled signSGD", above), scaled_high)


@signsgd.repaired
def its_probability_enumerated() -> Evidence:
    return with_probability(final("scaled signSGD", above), "0.28434", scaled_high)


@signsgd.repaired
def ten_thousand_draws_agree(seed: int = 0) -> Evidence:
    return agrees("scaled signSGD", final("scaled signSGD", above), lambda v: v > 0.8, scaled_high, seed)


ef = Claim(
    "generalization-ef",
    "Section 5.2; Figure 3, caption",
    "EF-SIGNSGD's test loss goes down to 0, below 0.1 after the 80 epochs, on every draw",
    repaired="EF-SIGNSGD's test loss after 80 epochs is below 0.1 with probability at least 1 - 1.1e-11",
    expect="refuted",
)


@ef.printed
def there_are_draws_where_it_is_not() -> Evidence:
    return on_every_draw(final("EF-signSGD", below), ef_low)


@ef.repaired
def but_they_are_rare() -> Evidence:
    return nearly_surely(final("EF-signSGD", below), "1.1e-11", ef_low)


@ef.repaired
def ten_thousand_draws_of_ef_agree(seed: int = 0) -> Evidence:
    return agrees("EF-signSGD", final("EF-signSGD", below), lambda v: v < 0.1, ef_low, seed)


momentum = Claim(
    "generalization-signsgdm",
    "Section 5.2; Figure 3, caption",
    "SIGNSGDM's best test error is higher than 0.8",
    repaired="SIGNSGDM's test loss is above 0.8 at every epoch with probability 0.21180, at the last of 80 with 0.60516",
    expect="refuted",
)


@momentum.printed
def its_best_is_not_on_every_draw() -> Evidence:
    return on_every_draw(best_above("signSGDM"), "SIGNSGDM's test loss > 0.8 at every epoch")


@momentum.repaired
def the_best_enumerated() -> Evidence:
    return with_probability(best_above("signSGDM"), "0.21180", "SIGNSGDM's test loss > 0.8 at every epoch")


@momentum.repaired
def the_last_enumerated() -> Evidence:
    return with_probability(final("signSGDM", above), "0.60516", "SIGNSGDM's final test loss > 0.8")


whole = Claim(
    "generalization-picture",
    "Figure 3, caption; the notebook's remark that the picture appears once every two or three times",
    "Figure 3 appears: SIGNSGD's final and SIGNSGDM's best test loss are higher than 0.8, EF-SIGNSGD's is below 0.1",
    repaired="all of it appears with probability 0.21180; with SIGNSGDM's final test loss in place of its best, with 0.24467",
    expect="refuted",
)


def picture(of_signsgdm: Sentence) -> Sentence:
    parts = (final("scaled signSGD", above), of_signsgdm, final("EF-signSGD", below))
    return lambda k, m: all(part(k, m) for part in parts)


@whole.printed
def on_some_draws_only() -> Evidence:
    return on_every_draw(picture(best_above("signSGDM")), "the picture, SIGNSGDM's best")


@whole.repaired
def with_its_best() -> Evidence:
    return with_probability(picture(best_above("signSGDM")), "0.21180", "the picture, SIGNSGDM's best")


@whole.repaired
def with_its_last() -> Evidence:
    return with_probability(picture(final("signSGDM", above)), "0.24467", "the picture, SIGNSGDM's last")


if __name__ == "__main__":
    for name, holds, what in (("scaled signSGD", above, scaled_high), ("EF-signSGD", below, ef_low)):
        share = wilson.probability(final(name, holds))
        print(f"P({what}) = {share}\n  = {float(share):.15g}, 1 - P = {float(1 - share):.6g}")
    main(__file__)
