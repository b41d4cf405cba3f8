r"""How false Theorem II is: by up to a factor 1.079 in one dimension; and the proof's constant is the best one.

Statement   What the constants of Theorem II are worth; all of it ours. s = (1 - q)/(1 + q), q = sqrt(1 - delta).
Source      Section 4, Theorem II; B.3
Idea        Units L = sigma = 1, h = gamma. On the Huber function let x_t alternate between 1 and -1 with e_t = +-(1 - h/2):
            from x = 1, p = h + e = 1 + h/2, message 2, e' = p - 2 = -e, x' = -1. The contraction |e| <= q |p| is h >= 2 s. It
            is reached from e_0 = 0: x_0 = h/2 + k h with C(p) = (1 - q) p lets x_t fall while e_t -> h q/(1 - q), and this
            exceeds 1 - h/2 when h > 2 s. So |f'(x_t)| = 1 for all t, for every h > 2 s, and as T -> oo only the last two terms
            of the bound remain. At h = 2 s they are s + (1 - s^2)^2 as printed, 2 s + (1 - s^2)^2 as repaired, and with the
            sharp error norm h q/(1 - q) = 1 - s in place of Lemma 3 and rho = 1 - s in place of 1 exactly 1.
Conventions as in theorem_2.py; "as T -> oo" drops the term with f0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp
from sympy import And, Eq, Rational, Symbol, sqrt, symbols

from efcheck import content
from efcheck.bounds import THEOREM_2, L, T, delta, f0, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove

statement = content.load(Path(__file__).with_name("theorem_2.py"))
OURS = "Section 4, Theorem II (ours)"
s = Symbol("s", positive=True)
h = Symbol("h", positive=True)  # gamma L
w = Symbol("w", nonnegative=True)  # q^t
SHARE = (1 - s) / (1 + s)  # q


def limit_of(expression: Any, step: Any = 2 * s) -> Any:
    """The bound without f0 at L = sigma = 1, gamma = step, delta = 1 - q^2, as a function of s."""
    values = {f0: 0, L: 1, sigma: 1, gamma: step, delta: 1 - SHARE**2}
    return sp.factor(sp.simplify(expression.subs(values)))


# -- the orbit -----------------------------------------------------------------------------------------------------------

orbit = Claim(
    "theorem-2-constant-orbit",
    OURS,
    "for every delta in (0, 1) and 2 s < gamma L <= 2 there is a run without noise on a Huber function, in one dimension, with "
    "|f'(x_t)| = sigma for all t, s = (1 - q)/(1 + q)",
)


@orbit.printed
def it_repeats_within_assumption_a() -> Evidence:
    """From (x, e) = (1, 1 - h/2) with g = 1: the next state is (-1, -(1 - h/2)); then the mirror image. |e'| <= q |p|."""
    e = 1 - h / 2
    p = h + e
    mirrored = And(Eq((1 - 2) + 1, 0), Eq((p - 2 + e).expand(), 0))
    return prove(And(mirrored, e <= SHARE * p, -e <= SHARE * p), [s < 1, h >= 2 * s, h <= 2], covers="orbit")


@orbit.printed
def it_is_reached() -> Evidence:
    """h q/(1 - q) > 1 - h/2 iff h > 2 s, so |e_k| = 1 - h/2 is allowed after finitely many steps k.

    Before, x_t = h/2 + (k - t) h + h q (1 - q^t)/(1 - q) falls (w = q^t: each step adds h (q w - 1) < 0), so x_t >= x_k
    >= 1 and g_t = 1. The messages are a map: p_t = h + e_t grows, and stays below p = 1 + h/2 of the orbit while e_t < 1 - h/2.
    """
    q = SHARE
    memory = h * q * (1 - w) / (1 - q)
    reach = And(h * q / (1 - q) > 1 - h / 2, Eq(sp.simplify(q * (memory + h) - h * q * (1 - q * w) / (1 - q)), 0))
    falls = -h + (h * q * (1 - q * w) / (1 - q) - memory) < 0
    return prove(And(reach, falls), [s < 1, h > 2 * s, w <= 1], covers="reached")


@orbit.printed
def the_scan_has_found_such_a_run() -> Evidence:
    hit = statement.first_violation(THEOREM_2.printed.expression)
    if hit is None:
        return Evidence("search", "undecided", "the scan of theorem-2 found none", covers="orbit")
    found = hit[1]
    start = found.period_two_from
    x, e = found.xs[start], found.es[start]
    same = abs(x) == 1 and abs(e) == 1 - found.gamma / 2 and e * x > 0
    detail = f"gamma = {found.gamma}, delta = {found.delta}: x = {x}, e = {e} = 1 - gamma/2, repeated from t = {start}"
    return Evidence("exact", "supported" if same else "undecided", detail, {"x": x, "e": e}, covers="orbit")


# -- ratios to the printed and to the repaired bound -----------------------------------------------------------------------

printed = Claim(
    "theorem-2-constant-printed",
    OURS,
    "as T -> oo the orbit exceeds the printed bound for every delta in (1 - (sqrt(5) - 2)^2, 1), about (0.944, 1); the largest "
    "ratio of left to right side on orbits is between 1.079 and 1.0792, near delta = 0.992",
)


@printed.printed
def one_number_decides() -> Evidence:
    """At gamma L = 2 s, the smallest step with this left side; the right side grows with the step."""
    as_printed = limit_of(THEOREM_2.printed.expression)
    return prove(Eq(sp.expand(as_printed - s - (1 - s**2) ** 2), 0), kind="identity", covers="right side")


@printed.printed
def below_one_for_delta_near_one() -> Evidence:
    """s > (sqrt(5) - 1)/2, which is q < sqrt(5) - 2."""
    golden = (sqrt(5) - 1) / 2
    same = Eq(sp.radsimp((1 - golden) / (1 + golden)), sqrt(5) - 2)
    return prove(And(s + (1 - s**2) ** 2 < 1, same), [s > golden, s < 1], covers="range of delta")


@printed.printed
def the_largest_ratio() -> Evidence:
    """No s is better than 1.0792, and s = 67/80 (delta = 1 - (13/147)^2 = 0.9922) is better than 1.079."""
    value = s + (1 - s**2) ** 2
    best = value.subs(s, Rational(67, 80)) * Rational(1079, 1000) < 1
    return prove(And(value * Rational(10792, 10000) > 1, best), [s <= 1], covers="largest ratio")


@printed.picture
def left_over_right_for_every_delta(ax: Any) -> str:
    share = np.linspace(0, 1, 400, endpoint=False)  # q
    at = (1 - share) / (1 + share)
    for bound, name, look in ((THEOREM_2.printed, "printed", "--"), (THEOREM_2.repaired, "repaired", ":")):
        right = np.broadcast_to(sp.lambdify(s, limit_of(bound.expression), "numpy")(at), at.shape)
        ax.plot(
            1 - share**2, 1 / right, color="#D55E00" if look == "--" else "#009E73", linestyle=look, label=f"{name} right side"
        )
    ax.axhline(1, color="#6A6A6A", linewidth=0.6)
    ax.set(xlabel=r"$\delta$", ylabel=r"left over right side, $T \to \infty$", xlim=(0, 1))
    ax.legend(loc="lower left")
    return (
        "The orbits with gamma L = 2 s, the smallest step that keeps |f'(x_t)| = sigma: ratio of sigma^2 to the right sides "
        "of Theorem II without f0. Above 1 the printed theorem is false: these orbits show it for delta near 1."
    )


repaired = Claim(
    "theorem-2-constant-repaired",
    OURS,
    "the orbits stay below the repaired bound, for all T; as T -> oo and delta -> 0 the ratio tends to 1: the constant 4 of "
    "the last term cannot be lowered, whatever the constant of gamma L sigma^2",
)


@repaired.printed
def they_stay_below() -> Evidence:
    """For every step h >= 2 s; the term with f0 only adds. The left side is 1."""
    right = limit_of(THEOREM_2.repaired.expression, h)
    return prove(right > 1, [s < 1, h >= 2 * s], covers="below")


@repaired.printed
def the_gap_closes() -> Evidence:
    """2 s + (1 - s^2)^2 - 1 <= 2 s, and s -> 0 as delta -> 0."""
    at_best = limit_of(THEOREM_2.repaired.expression)
    form = Eq(sp.expand(at_best - 2 * s - (1 - s**2) ** 2), 0)
    return prove(And(form, 2 * s + (1 - s**2) ** 2 <= 1 + 2 * s), [s < 1], covers="tends to 1")


@repaired.printed
def four_is_needed() -> Evidence:
    """c1 gamma L sigma^2 + c4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2 with c4 < 4 is below 1 = left side for small s."""
    c1, c4 = symbols("c1 c4", positive=True)
    return prove(2 * c1 * s + c4 / 4 * (1 - s**2) ** 2 < 1, [s < 1, c4 < 4, 8 * c1 * s < 4 - c4], covers="constant 4")


@repaired.printed
def the_scan_stays_below_it() -> Evidence:
    """All runs of the scan, not only orbits; float arithmetic, far from 1."""
    return statement.the_scan_finds_none().covering("below")


# -- sharper forms -------------------------------------------------------------------------------------------------------

sharp = Claim(
    "theorem-2-constant-sharp",
    OURS,
    "min_t E||grad f(x_t)||^2 <= 2 f0/(gamma (T+1)) + gamma L sigma^2 + gamma^2 L^2 sigma^2 (1/(T+1)) sum_{t=0}^T E_t^2, "
    "E_t = q (1 - q^t)/(1 - q); the sum has the closed form of bounds.THEOREM_2.sharp, and it is at most the repaired one",
)
share = Symbol("q", nonnegative=True)


def error(power: Any) -> Any:
    """E_t with q^t = power."""
    return share * (1 - power) / (1 - share)


def square_sum(steps: Any, power: Any) -> Any:
    """sum over t < steps of E_t^2, power = q^steps."""
    return (share / (1 - share)) ** 2 * (steps - 2 * (1 - power) / (1 - share) + (1 - power**2) / (1 - share**2))


@sharp.printed
def the_memory_by_induction() -> Evidence:
    """m <= gamma sigma E_t gives q (m + gamma sigma) <= gamma sigma E_{t+1}; E_0 = 0."""
    m = Symbol("m", nonnegative=True)
    after = share * (m + gamma * sigma) <= gamma * sigma * error(share * w)
    hypotheses = [share < 1, m <= gamma * sigma * error(w)]
    return prove(And(after, Eq(error(1), 0)), hypotheses, covers="error norm")


@sharp.printed
def the_sum_has_its_closed_form() -> Evidence:
    """Induction over the number of steps; and bounds.py agrees at 16 points."""
    n = Symbol("n", positive=True)
    step = sp.simplify(square_sum(n + 1, share * w) - square_sum(n, w) - error(w) ** 2)
    rest = THEOREM_2.sharp.expression - THEOREM_2.repaired.expression.subs(delta, 1)
    points = [(a, Rational(1, b)) for a in (0, 1, 2, 5) for b in (2, 3, 4, 7)]
    values = {L: 1, sigma: 1, gamma: 1, f0: 0}
    same = [
        sp.simplify(rest.subs({**values, T: a, delta: 1 - b**2}) - square_sum(a + 1, b ** (a + 1)).subs(share, b) / (a + 1))
        == 0
        for a, b in points
    ]
    return prove(And(Eq(step, 0), Eq(square_sum(0, 1), 0), all(same)), [share < 1], kind="identity", covers="closed form")


@sharp.printed
def the_steps_add_up() -> Evidence:
    """As in theorem_2.py with a noise that depends on t: N_t = L gamma^2 sigma^2/2 + gamma L^2 E||e_t||^2/2, M their sum."""
    S, G, N, M = symbols("S G N M", nonnegative=True)
    F0, F1, start = symbols("F_0 F_1 f_start", real=True)
    hypotheses = [gamma * S / 2 <= start - F0 + M, F0 - gamma * G / 2 + N >= F1]
    return prove(gamma * (S + G) / 2 <= start - F1 + M + N, hypotheses, covers="sum")


@sharp.printed
def it_is_never_larger() -> Evidence:
    """E_t^2 <= 4 q^2/(1 - q^2)^2 for each t."""
    return prove(error(w) ** 2 <= 4 * share**2 / (1 - share**2) ** 2, [share < 1, w <= 1], covers="at most the repaired one")


best = Claim(
    "theorem-2-constant-best-rho",
    OURS,
    "for every rho in (0, 2): min_t E||grad f(x_t)||^2 <= f0/(gamma (T+1) (1 - rho/2)) + gamma L sigma^2/(2 - rho) + gamma^2 "
    "L^2 sigma^2 q^2/((1-q)^2 rho (2 - rho)); for every delta in (0, 1) the last two terms at rho = 1 - s are sigma^2 at gamma "
    "L = 2 s: the orbits' left side, so that the ratio tends to 1 as gamma L -> 2 s from above and T -> oo",
)


def last_terms(step: Any, r: Any) -> Any:
    """gamma L/(2 - rho) + (gamma L)^2 q^2/((1 - q)^2 rho (2 - rho))."""
    return step / (2 - r) + (step * SHARE / (1 - SHARE)) ** 2 / (r * (2 - r))


@best.printed
def the_bound_holds() -> Evidence:
    """theorem_2.py's step and sum hold for every rho;
    here E||e_t||^2 <= gamma^2 sigma^2 q^2/(1 - q)^2, from E_t <= q/(1 - q).
    """
    return prove(error(w) <= share / (1 - share), [share < 1, w <= 1], covers="bound")


@best.printed
def one_step_for_every_rho() -> Evidence:
    return statement.one_step()


@best.printed
def the_sum_for_every_rho() -> Evidence:
    return statement.the_sum_over_t()


@best.printed
def it_is_attained() -> Evidence:
    """Exactly 1 at h = 2 s, rho = 1 - s."""
    return prove(Eq(sp.simplify(last_terms(2 * s, 1 - s) - 1), 0), [s < 1], kind="identity", covers="attained")


constant_step = Claim(
    "theorem-2-constant-sgd",
    "B.3, last sentence, for a fixed step size",
    "by choosing rho -> 0 as T -> oo, the asymptotic convergence of EF-SGD is exactly the same as SGD [for a fixed gamma, "
    "which Theorem II allows: limsup of the least squared gradient norm at most gamma L sigma^2/2, SGD's bound]",
    repaired="for a fixed gamma and delta < 1 it is not: for 2 s < gamma L < 2, s = (1 - q)/(1 + q), EF-SGD may keep sigma^2 "
    "for all t, where SGD's limit is at most gamma L sigma^2/2 < sigma^2",
    expect="refuted",
)


@constant_step.printed
def the_orbit_stays_above() -> Evidence:
    hit = statement.first_violation(THEOREM_2.printed.expression)
    if hit is None:
        return Evidence("search", "supported", "the scan found no run that stays above gamma L sigma^2/2")
    found = hit[1]
    left, right = found.least(len(found.xs) - 1), found.gamma / 2
    run = f"theorem-2's run, gamma = {found.gamma}, delta = {found.delta}"
    detail = f"{run}: |f'(x_t)|^2 = {left} for all t, gamma L sigma^2/2 = {right}"
    bad = left > right and found.period_two_from is not None
    return Evidence("witness", "refuted" if bad else "supported", detail, {"left": left, "right": right})


@constant_step.repaired
def for_every_delta_below_one() -> Evidence:
    """SGD's bound at gamma L = 2 s is s; the orbits (theorem-2-constant-orbit) have 1 for all h > 2 s."""
    return prove(h / 2 < 1, [s < 1, h > 2 * s, h < 2], covers="SGD's bound is below")


@constant_step.repaired
def the_orbit_exists() -> Evidence:
    return it_repeats_within_assumption_a()


if __name__ == "__main__":
    main(__file__)
