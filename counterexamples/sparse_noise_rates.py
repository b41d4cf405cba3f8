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
TINY = POWERS[-1] / 10  # the largest of those left out below
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
    """E f(x_T) of SGD > value for every step size; from `end` on the last noise term alone gives step^2 sigma^2/2."""
    end = 0.5
    if value >= end**2 * laws.SIGMA**2 / 2:
        return None
    return above_at_all_steps(lambda step: laws.sgd_mean(step, T), value, end)


def sign_always_above(value: float, T: float) -> int | None:
    """The same for signSGD. From `end` on x_2, ..., x_100 alternate between 1 and 1 - step."""
    end = 2.0
    if value >= (DIM - 1) * min(1.0, end - 1) ** 2 / 2:
        return None
    return above_at_all_steps(lambda step: signs.sign_low(step, T), value, end)


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

    1 and more: E f >= step^2 sigma^2/2, as much as step 1 has. Those below POWERS: `at_least`.
    """
    values = {step: laws.sgd_mean_exact(step, T) for step in POWERS[1:]}
    best = min(values, key=values.__getitem__)
    rest = (laws.sgd_mean_exact(POWERS[0], T), at_least(T))
    return best if all(values[best] < other for other in rest) else None


def at_least(T: int) -> Fraction:
    """What steps up to TINY have: E f >= 50 (1 - step)^(2T) >= 50 - 100 T step."""
    return Fraction(DIM, 2) - DIM * T * TINY


def terms(step: Fraction, other: Fraction) -> list[tuple[Fraction, Fraction]]:
    """(base, coefficient) of 2 (E f of other - E f of step) = a p^T + b r^T + c, in the order of the bases p, r, 1."""
    limits = {g: g**2 * Fraction(laws.SIGMA) ** 2 / (1 - (1 - g) ** 2) for g in (step, other)}
    found = [((1 - g) ** 2, sign * (DIM - limits[g])) for g, sign in ((other, 1), (step, -1))]
    return sorted([*found, (Fraction(1), limits[other] - limits[step])])


def zeros(step: Fraction, other: Fraction) -> int:
    """How many T >= 0, at most, have equal E f with both steps: changes of sign in `terms`; T = 0 is one.

    Dividing by one base's power and taking the derivative loses a zero.
    """
    signed = [coefficient > 0 for _, coefficient in terms(step, other)]
    return sum(a != b for a, b in pairwise(signed))


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
    detail = "T >= 0 at which a rate is level with 0.001, at most: " + ", ".join(f"{n} ({g:g})" for g, n in found.items())
    return Evidence("exact", "proved" if max(found.values()) <= 2 else "undecided", detail, found, covers="crossings")


@best_sgd.repaired
def the_terms_are_those_of_the_law() -> Evidence:
    """Three coefficients, three horizons."""
    good = all(
        sum(c * base**T for base, c in terms(PAPER_SGD, g))
        == 2 * (laws.sgd_mean_exact(g, T) - laws.sgd_mean_exact(PAPER_SGD, T))
        for g in POWERS[1:]
        for T in (0, 1, 2)
    )
    return Evidence("exact", "proved" if good else "refuted", "2 E f, differences at T = 0, 1, 2", covers="crossings")


@best_sgd.printed
@best_sgd.repaired
def the_bound_of_tiny_rates_is_one() -> Evidence:
    """0 <= E f - bound <= 100 (T step)^2 + T (step sigma)^2/2 at step = TINY, T = 1 and T = LAST; TINY is the next power."""
    over = {T: laws.sgd_mean_exact(TINY, T) - at_least(T) for T in (1, LAST)}
    room = {T: DIM * (T * TINY) ** 2 + T * (TINY * Fraction(laws.SIGMA)) ** 2 / 2 for T in over}
    grid = all(a == 10 * b for a, b in pairwise([*POWERS, TINY])) and POWERS[0] == 1
    good = grid and all(0 <= over[T] <= room[T] for T in over)
    detail = ", ".join(f"{float(v):.2g} (T = {T})" for T, v in over.items())
    return Evidence("exact", "proved" if good else "refuted", f"E f of 10^-7 above its bound: {detail}", covers="other powers")


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
    tiny, large = at_least(LAST), laws.sgd_mean_exact(POWERS[0], FIRST)
    good = falls and first < tiny and first < large
    detail = f"E f of 0.001 <= {float(first):.2f}; of 10^-7 or less >= {float(tiny):.2f}; of 1 or more >= {large}"
    return Evidence("exact", "proved" if good else "refuted", detail, {"first": first, "tiny": tiny}, covers="other powers")


best_sign = Claim(
    "sparse-noise-best-signsgd",
    CAPTION,
    "The best learning-rate for SIGNSGD [...] was 0.01 [the best power of ten, at T = 700: one horizon for all four methods]",
    repaired="among powers of ten it is 0.01 for every 92 <= T <= 30338, so at every T where SGD's is 0.001; at T = 50 it is "
    "0.1, at T = 40000 it is 0.001",
)


def sign_rest(T: Any) -> list[Any]:
    """What signSGD has at least with the other powers of ten: 10 and more (|x_2| >= 1, as with no step), and TINY and less."""
    return [signs.noiseless(interval(step), T)[0] for step in (Fraction(0), TINY)]


def sign_wins(step: Fraction, T: Any) -> bool:
    """Whether the upper bound of `step` is below all other lower bounds, on a box of T."""
    own, others = signs.sign_high(interval(step), T), [signs.sign_low(interval(g), T) for g in POWERS if g != step]
    return all(own.b < other.a for other in [*others, *sign_rest(T)])


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


@tuned.picture
def the_best_reachable_loss(ax):
    horizons, ratio = 10.0 ** np.arange(1, 12.5, 0.5), []
    for T in horizons:
        grid = np.geomspace(0.01 / T, min(0.9, 1e4 / T), 4000)
        ratio.append([bound(grid, T).min() / laws.sgd_mean(grid, T).min() for bound in (signs.sign_low, signs.sign_high)])
    low, high = np.array(ratio).T
    ax.fill_between(horizons, low, high, color="#D55E00", alpha=0.4, linewidth=0)
    ax.plot(horizons, low, color="#D55E00", linestyle="--", marker="s", markersize=3)
    ax.axhline(1, color="#6A6A6A", linewidth=0.8)
    ax.axhline(np.pi / 2, color="#6A6A6A", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", xlabel="$T$ (log)", ylabel="best E $f(x_T)$, signSGD over SGD", ylim=(0, 1.7))
    return (
        "E f(x_T) of signSGD over that of SGD, each with its best step size of a grid for T: between the lower bound (line) "
        "and the upper one (shaded where it can be seen). Below 1 signSGD is ahead, above it SGD. Dotted: the limit pi/2."
    )


if __name__ == "__main__":
    main(__file__)
