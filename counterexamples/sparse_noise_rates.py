r"""Sparse noise, the learning rates of SGD and signSGD: those printed are best at some horizons, and in the end SGD wins.

Statement   "The best learning-rate for SGD [...] was found to be 0.001, and for SIGNSGD [...] was 0.01", and SIGNSGD is
            "faster than" SGD, on the toy problem of Figure 5.
Source      Appendix A.1, Figure 5; Section 4, "Faster convergence than SGD?"
Idea        Two rates of SGD differ by a p^T + b r^T + c. By Rolle that has at most two real zeros T (one if a and b have one
            sign), T = 0 is one, so the signs at two horizons decide all of them: in fractions. For signSGD the bracket of
            sparse_noise_sign.py is evaluated on boxes, of T or of gamma, that are cut until they decide, in intervals
            with outward rounding. No random number. By the lower side no step size saves signSGD at T = 10^8: the mean of
            its sign is only sqrt(2/pi) x/sigma, which costs it a factor pi/2 against SGD in the limit; its head start from
            the other 99 coordinates wears off.
Conventions x_0 = (1, ..., 1) and the horizons T are ours: the paper gives neither, and "powers of ten" is our reading of its
            grid: all of them, 10^k for every integer k. sign(0): no verdict depends on it.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence

laws = content.load(Path(__file__).with_name("sparse_noise.py"))
signs = content.load(Path(__file__).with_name("sparse_noise_sign.py"))
CAPTION, PROSE, IV, DIM = laws.CAPTION, laws.PROSE, laws.IV, laws.DIM
POWERS = tuple(Fraction(1, 10**k) for k in range(7))  # 1, 0.1, ..., 1e-6; the others by a bound of their own
PAPER_SGD, PAPER_SIGN = Fraction(1, 1000), Fraction(1, 100)  # the paper's best learning rates
T_BEST = 700  # a horizon at which all four printed rates are best
LIMIT = 20_000  # boxes, after which nothing is claimed


# -- boxes -----------------------------------------------------------------------------------------------------------------


def interval(step: Fraction) -> Any:
    return IV.mpf(step.numerator) / step.denominator


def at_all_horizons(good: Callable[[Any], Any], first: int, last: int) -> int | None:
    """How many boxes of T it took to see good(T) on first ... last; None if it was not seen."""
    boxes, stack = 0, [(first, last)]
    while stack:
        a, b = stack.pop()
        boxes += 1
        if good(IV.mpf([a, b])):
            continue
        if a == b or boxes > LIMIT:
            return None
        stack += [((a + b) // 2 + 1, b), (a, (a + b) // 2)]
    return boxes


def above_at_all_steps(bound: Callable[[Any], Any], value: float, end: float) -> int | None:
    """The same for bound(gamma) > value on 0 < gamma <= end."""
    edges = [0.0, *np.geomspace(1e-20, end, 40).tolist()]
    boxes, stack = 0, list(pairwise(edges))
    while stack:
        a, b = stack.pop()
        boxes += 1
        if bound(IV.mpf([a, b])).a > value:
            continue
        if a == 0 or boxes > LIMIT:
            return None
        middle = float(np.sqrt(a * b))
        stack += [(a, middle), (middle, b)]
    return boxes


def sgd_always_above(value: float, T: float) -> int | None:
    """E f(x_T) of SGD > value for every step size; from 0.5 on the last noise term alone gives step^2 sigma^2/2."""
    if value >= laws.SIGMA**2 / 8:
        return None
    return above_at_all_steps(lambda step: laws.sgd_mean(step, T), value, 0.5)


def sign_always_above(value: float, T: float) -> int | None:
    """The same for signSGD. Above 2, x_2 alternates between 1 and 1 - step, so |x_2| >= 1 and f >= 99/2."""
    if value >= (DIM - 1) / 2:
        return None
    return above_at_all_steps(lambda step: signs.sign_low(step, T), value, 2.0)


def good_step(mean: Callable[[Any, Any], Any], T: float) -> tuple[float, float]:
    """A good step size from a grid, and an upper bound of its `mean`."""
    grid = np.geomspace(0.01 / T, min(0.9, 1e4 / T), 4000)
    step = float(grid[mean(grid, T).argmin()])
    return step, float(mean(IV.mpf(step), T).b)


# -- the best learning rates -----------------------------------------------------------------------------------------------

best_sgd = Claim(
    "sparse-noise-best-sgd",
    CAPTION,
    "The best learning-rate for SGD [...] was found to be 0.001 [the best power of ten, at T = 700: one "
    "horizon for all four methods]",
    repaired="among powers of ten it is 0.001 if and only if 371 <= T <= 15476; before, 0.01 is better, and after, 0.0001",
)
FIRST, LAST = 371, 15_476


def sgd_winner(T: int) -> Fraction | None:
    """The best power of ten, exactly; None if it is none of POWERS.

    1 and more: f >= sigma^2/2. 10^-7 and less: E f >= 50 (1 - gamma)^(2T) >= 50 - 100 T gamma.
    """
    values = {step: laws.sgd_mean_exact(step, T) for step in POWERS[1:]}
    best = min(values, key=values.__getitem__)
    others = min(laws.SIGMA**2 / 2, DIM / 2 - DIM * T * Fraction(1, 10**7))
    return best if values[best] < others else None


def zeros(step: Fraction, other: Fraction) -> int:
    """How many T > 0, at most, have equal E f with both steps: changes of sign of (other's - step's) terms, less T = 0.

    The terms a p^T, b r^T and c in the order of their bases; dividing by one and taking the derivative loses a zero.
    """
    limits = {g: g**2 * Fraction(laws.SIGMA) ** 2 / (1 - (1 - g) ** 2) for g in (step, other)}
    terms = [((1 - g) ** 2, sign * (DIM - limits[g])) for g, sign in ((other, 1), (step, -1))]
    signed = [coefficient > 0 for _, coefficient in sorted([*terms, (Fraction(1), limits[other] - limits[step])])]
    return sum(a != b for a, b in pairwise(signed)) - 1


@best_sgd.printed
def at_one_horizon() -> Evidence:
    """In fractions."""
    best = {T: sgd_winner(T) for T in (100, T_BEST, 4000)}
    detail = "best power of ten: " + ", ".join(f"{None if g is None else float(g)} at T = {T}" for T, g in best.items())
    return Evidence("exact", "proved" if best[T_BEST] == PAPER_SGD else "refuted", detail, best)


@best_sgd.repaired
def no_rate_is_level_twice() -> Evidence:
    """So a rate that is behind at both ends of the window is behind inside, and one that passed 0.001 stays ahead."""
    found = {float(g): zeros(PAPER_SGD, g) for g in POWERS[1:] if g != PAPER_SGD}
    detail = "T > 0 at which a rate is level with 0.001, at most: " + ", ".join(f"{n} ({g:g})" for g, n in found.items())
    return Evidence("exact", "proved" if max(found.values()) <= 1 else "undecided", detail, found, covers="crossings")


@best_sgd.repaired
def the_ends_in_fractions() -> Evidence:
    """One step outside, at either end, its neighbour wins; one step inside it does; and 0.01 is ahead at T = 1."""
    wins = [sgd_winner(T) for T in (FIRST - 1, FIRST, LAST, LAST + 1)]
    own, large = (laws.sgd_mean_exact(step, 1) for step in (PAPER_SGD, Fraction(1, 100)))
    good = wins == [Fraction(1, 100), PAPER_SGD, PAPER_SGD, Fraction(1, 10_000)] and large < own
    told = ", ".join("none" if w is None else f"{float(w):g}" for w in wins)
    detail = f"best at T = {FIRST - 1}, {FIRST}, {LAST}, {LAST + 1}: {told}"
    return Evidence("exact", "proved" if good else "refuted", detail, {"best": wins}, covers="ends")


@best_sgd.repaired
def tiny_and_huge_rates_are_behind_inside() -> Evidence:
    """E f of 0.001 falls with T (D is above its limit), so its value at FIRST bounds it; 50 - 100 T gamma falls as well."""
    step, first = PAPER_SGD, laws.sgd_mean_exact(PAPER_SGD, FIRST)
    falls = step**2 * Fraction(laws.SIGMA) ** 2 / (1 - (1 - step) ** 2) < DIM
    tiny = DIM / 2 - DIM * LAST * Fraction(1, 10**7)
    good = falls and first < min(tiny, laws.SIGMA**2 / 2)
    detail = f"E f of 0.001 <= {float(first):.2f}; of 10^-7 or less >= {float(tiny):.2f}; of 1 or more >= 5000"
    return Evidence("exact", "proved" if good else "refuted", detail, {"first": first, "tiny": tiny}, covers="other powers")


best_sign = Claim(
    "sparse-noise-best-signsgd",
    CAPTION,
    "The best learning-rate for SIGNSGD [...] was 0.01 [the best power of ten, at T = 700: one horizon for all four methods]",
    repaired="among powers of ten it is 0.01 for every 92 <= T <= 30338, so at every T where SGD's is 0.001; at T = 50 it is "
    "0.1, at T = 40000 it is 0.001",
)


def sign_rest(T: Any) -> Any:
    """What signSGD has at least with the other powers of ten: 10 and more (T >= 1), and 10^-7 and less."""
    slow = signs.noiseless(interval(Fraction(1, 10**7)), T)[0]
    return slow if slow.b < (DIM - 1) / 2 else IV.mpf(DIM - 1) / 2


def sign_wins(step: Fraction, T: Any) -> bool:
    """Whether the upper bound of `step` is below all other lower bounds, on a box of T."""
    own, others = signs.sign_high(interval(step), T), [signs.sign_low(interval(g), T) for g in POWERS if g != step]
    return all(own.b < other.a for other in [*others, sign_rest(T)])


def sign_winner(T: int) -> Fraction | None:
    """The best power of ten, None if the brackets overlap."""
    return next((step for step in POWERS if sign_wins(step, IV.mpf(T))), None)


def told(best: dict[int, Fraction | None]) -> str:
    return "by the bracket: " + ", ".join(f"{None if g is None else float(g)} at T = {T}" for T, g in best.items())


@best_sign.printed
def at_that_horizon_too() -> Evidence:
    best = {T: sign_winner(T) for T in (50, T_BEST, 40_000)}
    return Evidence("exact", "proved" if best[T_BEST] == PAPER_SIGN else "undecided", told(best), best)


@best_sign.repaired
def the_brackets_do_not_overlap() -> Evidence:
    boxes = at_all_horizons(lambda T: sign_wins(PAPER_SIGN, T), 92, 30_338)
    detail = f"the others' lower bounds are above at all of T = 92 ... 30338: {boxes} boxes of T, outward rounding"
    return Evidence("exact", "proved" if boxes else "undecided", detail, {"boxes": boxes}, covers="window")


@best_sign.repaired
def at_two_other_horizons_it_is_another() -> Evidence:
    found = {T: sign_winner(T) for T in (50, 40_000)}
    good = found == {50: Fraction(1, 10), 40_000: Fraction(1, 1000)}
    outcome = "proved" if good else "undecided" if None in found.values() else "refuted"
    return Evidence("exact", outcome, told(found), found, covers="outside")


# -- signSGD against SGD ---------------------------------------------------------------------------------------------------

faster = Claim(
    "sparse-noise-signsgd-faster",
    CAPTION,
    "SIGNSGD [...] faster than [...] SGD, with the paper's learning rates 0.01 and 0.001 [smaller E f(x_t) at every "
    "1 <= t <= 100000]",
)


def sign_over_sgd(t: Any) -> Any:
    return signs.sign_high(interval(PAPER_SIGN), t) / laws.sgd_mean(interval(PAPER_SGD), t)


@faster.printed
def at_every_step_of_the_paper_s_rates() -> Evidence:
    boxes = at_all_horizons(lambda t: sign_over_sgd(t).b < 1, 1, 100_000)
    at = {T: float(sign_over_sgd(IV.mpf(T)).b) for T in (10, 100, 1000, 10_000, 100_000)}
    detail = "signSGD/SGD at most " + ", ".join(f"{v:.3f} (t = {T})" for T, v in at.items())
    detail += f"; below 1 on {boxes} boxes of t, outward rounding"
    return Evidence("exact", "proved" if boxes else "undecided", detail, at | {"boxes": boxes})


tuned = Claim(
    "sparse-noise-signsgd-tuned",
    f"{CAPTION} (ours: at every horizon, each tuned for it)",
    "SIGNSGD is faster than SGD on the toy problem at every horizon T, each with its own best constant learning rate for T",
    repaired="it is for T = 10, 100, ..., 10^6; at T = 10^8, 10^9, ..., 10^12 SGD with one step size is better "
    "than signSGD with any",
    expect="refuted",
)


@tuned.printed
def in_the_long_run_sgd_wins() -> Evidence:
    T = 1e8
    step, sgd = good_step(laws.sgd_mean, T)
    boxes = sign_always_above(sgd, T)
    detail = (
        f"T = 10^8: SGD with gamma = {step:.3g} has E f < {sgd:.4g}, signSGD more for every gamma > 0: {boxes} boxes of gamma"
    )
    data = {"T": T, "gamma": step, "SGD": sgd, "boxes": boxes}
    return Evidence("exact", "refuted" if boxes else "supported", detail, data)


def always(ahead: Any, behind: Callable[[float, float], int | None], powers: range, covers: str) -> Evidence:
    """One step size of `ahead` is below what `behind` reaches with any, at T = 10^k."""
    found: dict[str, Any] = {}
    for k in powers:
        step, value = good_step(ahead, 10.0**k)
        found[f"10^{k}"] = {"gamma": step, "E f": value, "boxes": behind(value, 10.0**k)}
    detail = ", ".join(f"{v['E f']:.3g} (T = {T}, gamma = {v['gamma']:.2g}, {v['boxes']} boxes)" for T, v in found.items())
    good = all(v["boxes"] for v in found.values())
    return Evidence("exact", "proved" if good else "undecided", f"less than the other ever has: {detail}", found, covers)


@tuned.repaired
def up_to_a_million_steps_sign_wins() -> Evidence:
    return always(signs.sign_high, sgd_always_above, range(1, 7), "early")


@tuned.repaired
def from_a_hundred_million_sgd_wins() -> Evidence:
    """The two best values are (sigma^2/8T)(1 + ln ...) and pi/2 times that: SGD/signSGD tends to 2/pi = 0.64, slowly."""
    return always(laws.sgd_mean, sign_always_above, range(8, 13), "late")


if __name__ == "__main__":
    main(__file__)
