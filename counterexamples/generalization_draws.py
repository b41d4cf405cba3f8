r"""Which draws give Figure 3: those with more labels +1 than -1 in the train half and at most half in the test half, mostly.

Statement   "The step-size gamma and (where applicable) the momentum parameter beta are tuned to obtain fastest convergence, but
            the results are representative across parameter choices." Figure 3 as a whole; the notebook's remark that it appears
            once every two or three times.
Source      Section 5.2, Figure 3
Idea        With k > l, scaled SIGNSGD runs straight: x_t = (1 - r^t)/4 (1, 1, 1, -1), r = 1 - 16 gamma/d, for every n, k, l,
            because no residual changes its sign and ||g||_1 = 4 r^t whatever k is; its test loss tends to (25 - 24 mu)/16,
            mu = m/n. All else by enumeration, as in `generalization.py`.
Conventions As in `generalization.py`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Implies, Rational, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

study = content.load(Path(__file__).with_name("generalization.py"))
wilson = study.wilson

F = Fraction
ALL = range(wilson.N + 1)
NOTEBOOK = wilson.NOTEBOOK_SIGNSGDM

# -- the whole picture ----------------------------------------------------------------------------------------------------

whole = Claim(
    "generalization-picture",
    "Figure 3, caption; the notebook's remark on it",
    "Figure 3 appears [whatever the draw]: SIGNSGD's final and SIGNSGDM's best test loss are higher than 0.8, EF-SIGNSGD's "
    "final one is below 0.1",
    repaired="it appears with probability 0.21180 (0.24467 with SIGNSGDM's final loss in place of its best); with the "
    "notebook's momentum with 0.21710 (0.28135): less often than once in three times",
    expect="refuted",
)


def picture(of_signsgdm) -> study.Sentence:
    parts = (study.final("scaled signSGD", study.above), of_signsgdm, study.final("EF-signSGD", study.below))
    return lambda k, m: all(part(k, m) for part in parts)


def as_published() -> study.Sentence:
    return picture(study.best_above(study.paper_momentum()))


@whole.printed
def on_some_draws_only() -> Evidence:
    return study.whatever_the_draw(as_published(), "the picture")


@whole.picture
def one_draw_on_which_it_appears(left, middle, right):
    script = content.figure("fig3")
    data = script.compute()
    script.draw((left, middle, right), data)
    return (
        f"Figure 3 on the first draw from seed 0 on which it appears, number {int(data['tried'])}: distance to the span of "
        "the gradients, train and test loss (grey line: 0.8)."
    )


@whole.picture
def all_draws(left, middle, right):
    script = content.figure("fig3_draws")
    script.draw((left, middle, right), script.compute())
    return (
        "All draws at once, with their exact weights. Left: test loss over the epochs, median and 90 % band. Middle: the "
        "share of draws below a final test loss. Right: the draws (k, m) on which scaled signSGD ends above 0.8 (shaded); "
        "about 75 % and 99 % of all draws are inside the dashed and the dotted curve."
    )


@whole.repaired
def with_its_best() -> Evidence:
    return study.with_probability(as_published(), "0.21180", "the picture")


@whole.repaired
def with_its_last() -> Evidence:
    sentence = picture(study.last_above(study.paper_momentum()))
    return study.with_probability(sentence, "0.24467", "the picture with SIGNSGDM's last")


@whole.repaired
def with_the_notebooks_best() -> Evidence:
    return study.with_probability(picture(study.best_above(NOTEBOOK)), "0.21710", "the notebook's picture")


@whole.repaired
def with_the_notebooks_last() -> Evidence:
    return study.with_probability(picture(study.last_above(NOTEBOOK)), "0.28135", "the notebook's picture with SIGNSGDM's last")


# -- what separates the draws ---------------------------------------------------------------------------------------------

separation = Claim(
    "generalization-separation",
    "(ours: what separates the draws on which SIGNSGD's test loss is above 0.8) Figure 3",
    "with k > l and 0 < gamma < d/16, scaled SIGNSGD follows x_t = (1 - r^t)/4 (1, 1, 1, -1), r = 1 - 16 gamma/d; its test "
    "loss tends to (25 - 24 mu)/16, above 0.8 iff at most 50 of the 100 test labels are +1. In the figure so it is after 80 "
    "epochs for k > 50: 0.24842 of the 0.28434; for 41 <= k <= 50 iff m is at most 40 to 46, for 4 <= k <= 40 only if m <= 29",
)
k, l = Symbol("k", nonnegative=True), Symbol("l", nonnegative=True)  # noqa: E741 -- the letters of the text
u, mu = Symbol("u", real=True), Symbol("mu", real=True)


@separation.printed
def one_step_along_the_line() -> Evidence:
    """At x = u (1, 1, 1, -1): residuals -+(1 - 4u), gradient signs (-, -, -, +), a step of 4 gamma (1 - 4u)/d."""
    up, down = u + 2 * u + u - 1, -u + 2 * u - 5 * u + 1
    g1, g2, gp, gq = k * up - l * down, k * up + l * down, up, down
    size = -g1 - 2 * g2 - k * gp + 5 * l * gq
    signs = And(g1 < 0, g2 < 0, gp < 0, gq > 0)
    return prove(And(signs, Eq(size, 4 * (k + l) * (1 - 4 * u))), [k > l, 4 * u < 1], covers="step")


@separation.printed
def the_remainder_shrinks_by_r() -> Evidence:
    gamma, d = Symbol("gamma", positive=True), Symbol("d", positive=True)
    new = u + gamma * 4 * (1 - 4 * u) / d
    factor = 1 - 16 * gamma / d
    return prove(And(Eq(1 - 4 * new, factor * (1 - 4 * u)), factor > 0, factor < 1), [16 * gamma < d], covers="induction")


@separation.printed
def the_limit_and_its_threshold() -> Evidence:
    """At u = 1/4 the test residuals are -1/4 and 5/4; 0.8 separates m = 50 from m = 51."""
    loss = mu * Rational(1, 16) + (1 - mu) * Rational(25, 16)
    halves = And(
        Implies(mu <= Rational(50, 100), loss > Rational(4, 5)), Implies(mu >= Rational(51, 100), loss < Rational(4, 5))
    )
    return prove(And(Eq(16 * loss, 25 - 24 * mu), halves), covers="limit")


@separation.printed
def the_exact_runs_are_on_it() -> Evidence:
    r = 1 - F(160, wilson.D)
    for ones in range(51, 101):
        for t, s in enumerate(wilson.paths(wilson.FIGURE_3["scaled signSGD"])[ones]):
            point = (1 - r**t) / 4
            if any(F(x, s.scale) != point * side for x, side in zip(s.x, (1, 1, 1, -1), strict=True) if side > 0 or s.l):
                return Evidence("exact", "refuted", f"k = {ones}, t = {t}", {"k": ones, "t": t}, covers="step")
    return Evidence("exact", "supported", "50 exact runs of 80 epochs, r = 13/15", covers="step")


@separation.printed
def the_rule_in_the_figure() -> Evidence:
    high = study.final("scaled signSGD", study.above)
    wrong = [(i, m) for i in range(51, 101) for m in ALL if high(i, m) != (m <= 50)]
    share = wilson.probability(lambda i, m: i > 50 and m <= 50)
    largest = {i: max((m for m in ALL if high(i, m)), default=-1) for i in range(51)}
    good = not wrong and abs(share - F("0.24842")) <= F("0.000005") and max(largest[i] for i in range(4, 41)) == 29
    good = good and {largest[i] for i in range(41, 51)} == {40, 41, 46} and {largest[i] for i in range(4, 16)} == {-1}
    good = good and all(high(i, m) == (m <= largest[i]) for i in range(41, 51) for m in ALL)
    detail = f"0 mismatches for k > 50; P(k > 50, m <= 50) = {float(share):.6g}; largest m for k = 40, 44, 46, 48, 50: "
    detail += ", ".join(str(largest[i]) for i in (40, 44, 46, 48, 50))
    return Evidence("exact", "proved" if good else "refuted", detail, {"largest": largest, "wrong": wrong}, covers="figure")


# -- step sizes and momentum ----------------------------------------------------------------------------------------------

tuned = Claim(
    "generalization-tuned",
    "Section 5.2",
    "the step-size is tuned to obtain fastest convergence [no other of 5, 10, 20, 40 leaves scaled SIGNSGD a smaller train "
    "loss after 80 epochs, nor 13/20 in place of 1/2 SGD, on a balanced train half]",
    repaired="on the balanced half 40 leaves scaled SIGNSGD 1e-24 times the train loss that 10 leaves; SGD reaches 1e-10 after "
    "11 epochs with 13/20, after 16 with 1/2; with k > l scaled SIGNSGD with d/16 = 75 fits the train half after one step",
    expect="refuted",
)


def train_loss(method, ones: int, T: int = wilson.EPOCHS) -> Fraction:
    return wilson.path(method, ones, T)[-1].train_loss()


@tuned.printed
def forty_is_faster_than_ten() -> Evidence:
    ten, forty = (train_loss(wilson.scaled_signsgd(F(gamma)), 50) for gamma in (10, 40))
    detail = f"k = 50: train loss {float(ten):.2g} with gamma = 10, {float(forty):.2g} with gamma = 40"
    return Evidence("exact", "refuted" if forty < ten else "supported", detail, {"10": float(ten), "40": float(forty)})


@tuned.repaired
def by_so_much() -> Evidence:
    ten, forty = (train_loss(wilson.scaled_signsgd(F(gamma)), 50) for gamma in (10, 40))
    outcome = "proved" if forty <= F("1e-24") * ten else "refuted"
    return Evidence("exact", outcome, f"k = 50: ratio {float(forty / ten):.2g}", covers="scaled SIGNSGD")


@tuned.repaired
def sgd_is_faster_with_a_longer_step() -> Evidence:
    first = [
        next(t for t, s in enumerate(wilson.path(wilson.sgd(gamma), 50)) if s.train_loss() < F("1e-10"))
        for gamma in (F(1, 2), F(13, 20))
    ]
    return Evidence(
        "exact", "proved" if first == [16, 11] else "refuted", f"epochs to 1e-10: {first[0]} and {first[1]}", covers="SGD"
    )


@tuned.repaired
def one_step_fits() -> Evidence:
    losses = [train_loss(wilson.scaled_signsgd(F(wilson.D, 16)), ones, 1) for ones in range(51, 101)]
    elsewhere = float(train_loss(wilson.scaled_signsgd(F(wilson.D, 16)), 49))
    detail = f"train loss 0 after one step for k = 51, ..., 100 (with k = 49 it is {elsewhere:.1e} after 80: not for tuning)"
    return Evidence("exact", "refuted" if any(losses) else "proved", detail, covers="one step")


representative = Claim(
    "generalization-representative",
    "Section 5.2",
    "the results are representative across parameter choices [step sizes 2, 5, 10, 20: EF-SIGNSGD's final test loss is at "
    "most 0.1 with probability at least 1 - 1e-7, scaled SIGNSGD's above 0.5 with at least 0.98]",
    repaired="(sharper) the level 0.8 is less robust: scaled SIGNSGD's final test loss is above it with probability 0.356 at "
    "gamma = 2 and 0.248 at 40; SIGNSGDM's best, over gamma in {1/100, 1/20, 1/10} and beta in {0, 1/2, 9/10, 99/100}, with "
    "0.21 to 0.31, its final one with 0.21 to 0.87",
)
STEPS = (2, 5, 10, 20)
GRID = [(gamma, beta) for gamma in (F(1, 100), F(1, 20), F(1, 10)) for beta in (F(0), F(1, 2), F(9, 10), F(99, 100))]


def share_above(method, level: Fraction) -> Fraction:
    """P(final test loss > level)."""
    good = wilson.above_at_the_end(method, level)
    return wilson.probability(lambda i, m: m in good[i])


@representative.printed
def feedback_over_step_sizes() -> Evidence:
    rest = [share_above(wilson.ef_signsgd(F(gamma)), study.LOW) for gamma in STEPS]
    outcome = "proved" if max(rest) <= F("1e-7") else "refuted"
    detail = "P(above 0.1): " + ", ".join(f"{float(p):.2g} at {gamma}" for p, gamma in zip(rest, STEPS, strict=True))
    return Evidence("exact", outcome, detail, covers="EF-SIGNSGD")


@representative.printed
def scaled_sign_over_step_sizes() -> Evidence:
    shares = [share_above(wilson.scaled_signsgd(F(gamma)), F(1, 2)) for gamma in STEPS]
    outcome = "proved" if min(shares) >= F("0.98") else "refuted"
    detail = "P(above 0.5): " + ", ".join(f"{float(p):.5f} at {gamma}" for p, gamma in zip(shares, STEPS, strict=True))
    return Evidence("exact", outcome, detail, covers="scaled SIGNSGD")


@representative.repaired
def the_level_of_the_caption() -> Evidence:
    low, high = (share_above(wilson.scaled_signsgd(F(gamma)), study.HIGH) for gamma in (40, 2))
    good = abs(high - F("0.356")) <= F("0.0005") and abs(low - F("0.248")) <= F("0.0005")
    return Evidence(
        "exact", "proved" if good else "refuted", f"{float(high):.5f} at 2, {float(low):.5f} at 40", covers="scaled SIGNSGD"
    )


@representative.repaired
def momentum_over_its_parameters() -> Evidence:
    methods = [wilson.signsgdm(gamma, beta) for gamma, beta in GRID]
    last = [share_above(method, study.HIGH) for method in methods]
    best = [wilson.probability(study.best_above(method)) for method in methods]
    low, high = F("0.21"), (F("0.31"), F("0.87"))
    good = min(*best, *last) >= low and max(best) <= high[0] and max(last) <= high[1] and max(last) > F("0.86")
    rows = [f"({g}, {b}): {float(p):.4f}, {float(q):.4f}" for (g, b), p, q in zip(GRID, best, last, strict=True)]
    data = {"gamma, beta": GRID, "best": best, "last": last}
    return Evidence("exact", "proved" if good else "refuted", "best, last at " + "; ".join(rows), data, covers="SIGNSGDM")


if __name__ == "__main__":
    main(__file__)
