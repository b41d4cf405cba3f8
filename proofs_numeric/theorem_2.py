r"""Theorem II is false as printed: its noise term is half of its proof's, and a Huber function exceeds it from T = 39 on.

Statement   Algorithm 2 under Assumptions A, B, C, any gamma > 0: min_{t in [T]} E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) +
            gamma L sigma^2/2 + 4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2, f0 = f(x_0) - f*.
Source      Section 4, Theorem II with its proof sketch; B.3 (its lines are in theorem_2_proof.py)
Idea        B.3 with rho = 1 gives gamma L sigma^2. The difference is seen only when the first term has died out: let the
            message overshoot, so that x_t jumps between 1 and -1 on a Huber function of slope 1. Then |f'(x_t)| = 1 for all t,
            while the printed right side tends to less than 1. The audit finds such a run by a scan (`_huber.py`) and confirms
            it on Fractions; theorem_2_constant.py says where it comes from. The printed constant is right for delta = 1 and for
            T = 0. The repaired theorem, all with E: one step (B.3 up to its last displayed step), Lemma 3 in root mean squares,
            the sum.
Conventions [T] = {0, ..., T} except where said; e in the unit of x; f* = inf f, attained or not (inf = -oo makes the right side
            +oo); E over everything. E_t is linear and monotone, so it may be applied to inequalities that hold for each
            outcome.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from sympy import And, Symbol, symbols

from efcheck import content
from efcheck.bounds import THEOREM_2, L, T, delta, f0, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.errors import EfcheckError
from efcheck.evidence import Evidence, prove

huber = content.load(Path(__file__).with_name("_huber.py"))
instances = content.load(Path(__file__).with_name("_instances.py"))
SECTION = "Section 4, Theorem II"
PRINTED, REPAIRED = THEOREM_2.printed.expression, THEOREM_2.repaired.expression
q = Symbol("q", nonnegative=True)  # sqrt(1 - delta)
rho = Symbol("rho", positive=True)
G = Symbol("G", nonnegative=True)  # E||grad f(x_t)||^2
n = Symbol("n", positive=True)  # T + 1
F0, F1, inf = symbols("F_0 F_1 inf", real=True)  # E f(xt_t), E f(xt_{t+1}), f*


def noise(r: Any, square: Any) -> Any:
    """What one step may add to E f(xt): L gamma^2 sigma^2/2 + gamma L^2 E||e_t||^2/(2 rho)."""
    return L * gamma**2 * sigma**2 / 2 + gamma * L**2 * square / (2 * r)


# -- the theorem -----------------------------------------------------------------------------------------------------------

theorem = Claim(
    "theorem-2",
    SECTION,
    "min_{0 <= t <= T} E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) + gamma L sigma^2/2 + 4 gamma^2 L^2 sigma^2 (1 - "
    "delta)/delta^2",
    repaired="min_{0 <= t <= T} E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) + gamma L sigma^2 "
    "+ 4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2, for all T >= 0, gamma > 0, delta in (0, 1]",
    expect="refuted",
)


def first_violation(expression: Any, horizon: int = 60) -> tuple[int, Any] | None:
    """(T, instance) of the scan, exactly confirmed, and of period two from some step on."""
    hits = huber.violations(expression, horizon)
    return next(((t, found) for t, found in hits if found.period_two_from is not None), None)


@theorem.printed
def the_scan_finds_a_violation() -> Evidence:
    """Confirmed on Fractions; by the period it holds for every larger T, too, where the right side is only smaller."""
    hit = first_violation(PRINTED)
    if hit is None:
        return Evidence("search", "supported", "no run of the scan exceeds the printed right side up to T = 60")
    first, found = hit
    left, right = found.least(first), found.right(PRINTED, first)
    messages = ", ".join(f"C({p}) = {sent}" for p, sent in found.messages.items())
    detail = (
        f"f = x^2/2 for |x| <= 1, |x| - 1/2 beyond (L = 1), no noise, sigma = 1, gamma = {found.gamma}, delta = {found.delta}, "
        f"x_0 = {found.x0}, {messages}: |f'(x_t)| = 1 for all t (period 2 from t = {found.period_two_from}), "
        f"right side {float(right):.5f} < 1 at T = {first}, smaller after"
    )
    data = {"gamma": found.gamma, "delta": found.delta, "x0": found.x0, "messages": found.messages, "T": first}
    data |= {"left": left, "right": right, "x": found.xs[:4], "e": found.es[:4], "period_two_from": found.period_two_from}
    return Evidence("witness", "refuted" if left > right else "undecided", detail, data)


@theorem.picture
def the_slope_against_the_bounds(ax: Any) -> str:
    hit = first_violation(PRINTED)
    if hit is None:
        raise EfcheckError("the scan finds no run to draw")
    first, found = hit
    t = np.arange(len(found.xs))
    values = {"T": t, "gamma": float(found.gamma), "delta": float(found.delta), "sigma": 1.0, "L": 1.0}
    values["f0"] = float(huber.value(found.x0))
    ax.plot(t, [float(found.least(int(s))) for s in t], label="left side: the run")
    ax.plot(t, THEOREM_2.repaired(**values), color="#009E73", linestyle=":", label="right side, repaired")
    ax.plot(t, THEOREM_2.printed(**values), color="#D55E00", linestyle="--", label="right side, printed")
    ax.vlines(first, 0.9, 1, color="#6A6A6A", linewidth=0.8)
    ax.set(xlabel="$T$", ylabel=r"$\min_{t \leq T} |f'(x_t)|^2$ and bounds", ylim=(0.9, 2.2), xlim=(0, t[-1]))
    ax.legend(loc="upper right")
    return (
        f"The run of the scan, gamma = {found.gamma}, delta = {found.delta}: its squared slope is 1 for ever. The printed "
        f"right side is below it from T = {first} on (vertical line); the repaired one, with gamma L sigma^2, stays above."
    )


@theorem.printed
def efcheck_falsify_found_another() -> Evidence:
    return instances.again("theorem-2", PRINTED)


@theorem.repaired
def lemma_3_in_root_mean_squares() -> Evidence:
    """m_t = (E||e_t||^2)^(1/2): m_{t+1} <= q (m_t + gamma sigma) (Minkowski) keeps m_t <= 2 q gamma sigma/delta; m_0 = 0."""
    m = Symbol("m", nonnegative=True)
    bound = 2 * q * gamma * sigma / (1 - q**2)
    return prove(And(q * (m + gamma * sigma) <= bound, bound >= 0), [q < 1, m <= bound], covers="Lemma 3")


@theorem.repaired
def young_and_the_lipschitz_gradient() -> Evidence:
    """c = E<grad f(x_t) - grad f(xt_t), grad f(x_t)> <= a b, a^2 = G, b^2 <= L^2 E||e_t||^2 = L^2 m^2."""
    a, b, m = symbols("a b m", nonnegative=True)
    c = Symbol("c", real=True)
    return prove(c <= rho * a**2 / 2 + L**2 * m**2 / (2 * rho), [c <= a * b, b <= L * m], covers="rho")


@theorem.repaired
def one_step() -> Evidence:
    """Smoothness from xt_t to xt_{t+1} = xt_t - gamma g_t, then the bound on c: F_1 <= F_0 - gamma (1 - rho/2) G + noise."""
    c, square = Symbol("c", real=True), Symbol("S", nonnegative=True)
    descent = F0 - gamma * (G - c) + L * gamma**2 * sigma**2 / 2 >= F1
    young = c <= rho * G / 2 + L**2 * square / (2 * rho)
    return prove(F0 - gamma * (1 - rho / 2) * G + noise(rho, square) >= F1, [descent, young], covers="one step")


def summed(share: Any, N: Any) -> Any:
    """Induction of share gamma n least <= share gamma S_n <= E f(xt_0) - E f(xt_n) + n N, and its end for xt_0 = x_0."""
    S, least = symbols("S least", nonnegative=True)
    steps = Symbol("n", nonnegative=True)
    start = Symbol("f_start", real=True)
    after = share * gamma * (S + G) <= start - F1 + (steps + 1) * N
    hypotheses = [share * gamma * S <= start - F0 + steps * N, F0 - share * gamma * G + N >= F1]
    mean = (steps + 1) * least <= S + G
    return And(after, mean), [*hypotheses, steps * least <= S, least <= G]


@theorem.repaired
def the_sum_over_t() -> Evidence:
    """For any rho in (0, 2): share = 1 - rho/2, N = noise."""
    share, N = symbols("s N", nonnegative=True)
    return prove(*summed(share, N), covers="sum")


@theorem.repaired
def rho_one_gives_the_bound() -> Evidence:
    """gamma (T+1) least/2 <= f(x_0) - f* + (T+1) noise with rho = 1 and E||e_t||^2 <= 4 gamma^2 sigma^2 (1 - delta)/delta^2."""
    least, loose = Symbol("least", nonnegative=True), 4 * gamma**2 * sigma**2 * (1 - delta) / delta**2
    total = gamma * n * least / 2 <= f0 + n * noise(1, loose)
    return prove(least <= REPAIRED.subs(T, n - 1), [total, delta <= 1], covers="rho = 1")


@theorem.repaired
def the_scan_finds_none() -> Evidence:
    """The same scan, to a longer horizon."""
    largest = float(huber.scan(REPAIRED, 200).max())
    outcome = "supported" if largest < 1 else "undecided"
    return Evidence(
        "search", outcome, f"largest left/right in the scan up to T = 200: {largest:.3f}", {"ratio": largest}, "sum"
    )


@theorem.repaired
def the_scan_agrees_with_exact_runs() -> Evidence:
    """Rounding of 8 steps is below 1e-12; f of the Huber function has the slope that the scan uses."""
    far, count = huber.difference(REPAIRED)
    good = far < 1e-12 and count >= 10 and huber.is_antiderivative()
    detail = f"{count} exact runs of 8 steps: left/right as in the scan to {far:.0e}"
    return Evidence("exact", "supported" if good else "refuted", detail, {"difference": far}, "sum")


# -- the index set, and the ends of the range --------------------------------------------------------------------------------

index = Claim(
    "theorem-2-index",
    SECTION,
    "the minimum over t in [T] = {1, ..., T}, T >= 1 [as [n] is used in Theorem I, and [t] in Remark 10], even with the "
    "repaired constant; for T = 0 it is over nothing",
    repaired="the minimum over t in {0, ..., T}, T >= 0",
    expect="refuted",
)


def one_jump(share: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """T = 1 from x_0 = 0, the minimum of the Huber function, g_0 = +-1, C(p) = (1 + q) p, gamma = 1/(1 + q):
    gamma, left, right.
    """
    step = 1 / (1 + share)
    ends = [-(1 + share) * step * g for g in (Fraction(1), Fraction(-1))]
    left = sum(huber.exact_slope(x) ** 2 for x in ends) / 2
    run = huber.Instance(step, share, Fraction(0), {}, [], [])
    return step, left, run.right(REPAIRED, 1)


@index.printed
def the_first_step_leaves_the_minimum() -> Evidence:
    """q = 1/2, 1/3, ...; the first that exceeds the repaired right side exceeds the printed one, which is smaller."""
    for k in range(2, 12):
        share = Fraction(1, k)
        step, left, right = one_jump(share)
        if left > right:
            detail = (
                f"the Huber function (L = 1), x_0 = 0 = x*, g_0 = 1 or -1, C(p) = {1 + share} p (delta = {1 - share**2}), "
                f"gamma = {step}, T = 1: x_1 = 1 or -1, E|f'(x_1)|^2 = {left} > {right} = {float(right):.4f}, with gamma L "
                "sigma^2"
            )
            return Evidence("witness", "refuted", detail, {"gamma": step, "share": share, "left": left, "right": right})
    return Evidence("search", "supported", "one jump from the minimum stays below the bound for q = 1/2, ..., 1/11")


@index.printed
def efcheck_falsify_found_the_jump() -> Evidence:
    return instances.again("theorem-2-index", REPAIRED)


@index.repaired
def the_average_has_t_0_in_it() -> Evidence:
    return the_sum_over_t()


@index.repaired
def and_its_end() -> Evidence:
    return rho_one_gives_the_bound()


single = Claim(
    "theorem-2-T-0",
    SECTION + " at T = 0",
    "||grad f(x_0)||^2 <= 2 f0/gamma + gamma L sigma^2/2 + 4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2",
)


@single.printed
def no_memory_yet() -> Evidence:
    """e_0 = 0: f* <= E f(x_0 - gamma g_0) <= f(x_0) - gamma G + L gamma^2 sigma^2/2."""
    return prove(PRINTED.subs(T, 0) >= G, [f0 - gamma * G + L * gamma**2 * sigma**2 / 2 >= 0, delta <= 1])


uncompressed = Claim(
    "theorem-2-delta-1",
    SECTION + " at delta = 1",
    "for delta = 1 (C(p) = p): min_{0 <= t <= T} E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) + gamma L sigma^2/2",
    repaired="sharper, as in B.4: f0/(gamma (T+1)) + gamma L sigma^2/2",
)


@uncompressed.printed
@uncompressed.repaired
def the_sum_without_memory() -> Evidence:
    """e_t = 0, so F_1 <= F_0 - gamma G + L gamma^2 sigma^2/2: share = 1."""
    return prove(*summed(1, L * gamma**2 * sigma**2 / 2), covers="sum")


def end_without_memory(right: Any) -> Evidence:
    least = Symbol("least", nonnegative=True)
    return prove(least <= right, [gamma * n * least <= f0 + n * L * gamma**2 * sigma**2 / 2], covers="end")


@uncompressed.printed
def with_room_to_spare() -> Evidence:
    return end_without_memory(PRINTED.subs({delta: 1, T: n - 1}))


@uncompressed.repaired
def as_sgd() -> Evidence:
    return end_without_memory(f0 / (gamma * n) + gamma * L * sigma**2 / 2)


# -- the proof sketch --------------------------------------------------------------------------------------------------------

fraction = Claim(
    "theorem-2-sketch-fraction",
    SECTION + ", proof sketch",
    "Assumption A implies that at each iteration a delta-fraction of the gradient information is sent [||C(p)||^2 >= delta "
    "||p||^2]",
    repaired="||C(p)|| >= (1 - q) ||p|| >= (delta/2) ||p||, q = sqrt(1 - delta); the share delta is right where <C(p), p> = "
    "||C(p)||^2 (top-k, scaled sign, rank k)",
    expect="refuted",
)
size, length, inner = Symbol("p", positive=True), Symbol("a", nonnegative=True), Symbol("c", real=True)
CONTRACTION = [
    length**2 - 2 * inner + size**2 <= q**2 * size**2,
    inner <= length * size,
    q < 1,
]  # ||C(p) - p||^2 <= q^2 ||p||^2


@fraction.printed
def a_shrunk_message_sends_less() -> Evidence:
    """a = ||C(p)||, p = ||p||, c = <C(p), p>; on one line c = a p, C(p) = (1 - q) p, reaches (1 - q)^2 < 1 - q^2."""
    return prove(length**2 >= (1 - q**2) * size**2, CONTRACTION)


@fraction.repaired
def at_least_one_minus_q() -> Evidence:
    return prove(And(length >= (1 - q) * size, 2 * (1 - q) >= 1 - q**2), CONTRACTION, covers="all compressors")


@fraction.repaired
def projections_send_delta() -> Evidence:
    hypothesis = [length**2 - 2 * inner + size**2 <= q**2 * size**2, inner >= length**2, inner <= length**2]
    return prove(length**2 >= (1 - q**2) * size**2, hypothesis, covers="<C(p), p> = ||C(p)||^2")


delay = Claim(
    "theorem-2-sketch-delay",
    SECTION + ", proof sketch",
    "eventually, all the gradient information is transmitted, with a delay which depends on delta [once gradients are 0 from t "
    "on: ||e_{t+s}||^2 <= (1 - delta)^s ||e_t||^2]",
)


@delay.printed
def the_memory_decays() -> Evidence:
    """One step: ||e_{t+1}||^2 <= (1 - delta) ||e_t + 0||^2; w = (1 - delta)^s.

    While gradients come, Lemma 3 is all there is.
    """
    now, then, w = symbols("m2 M2 w", nonnegative=True)
    return prove((1 - delta) * now <= (1 - delta) * w * then, [now <= w * then, delta <= 1])


if __name__ == "__main__":
    main(__file__)
