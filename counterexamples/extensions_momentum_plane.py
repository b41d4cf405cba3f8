r"""With momentum, Counterexamples 2 and 3 do not extend as they stand; with a constant step and a small epsilon they do.

Statement   "our counterexamples extend to SIGNSGD with momentum": m_t = g_t + beta m_{t-1}, x_{t+1} = x_t - gamma_t sign(m_t),
            beta = 0.5, 0.9, 0.99, on Counterexamples 2 and 3: from (1, 1), f(x_t) >= f(x_0) for any step-size sequence.
Source      Section 1, Our contributions; Section 2 (SIGNSGDM); Section 3, Counterexamples 2 and 3
Idea        m adds up what the signs of single gradients ignore. On the line m = A (1, -1) + D (1, 1), where D grows while A
            alternates; where |A| < D, sign(m) = (1, 1) and one step leads near x*. If epsilon > (1-beta)/(1+beta) this is so
            after two steps. Below that, in 2, a constant step alternates for ever, A staying ahead; other step sequences still
            leave the line, but none does if epsilon < 1 - 2 beta. In 3 a constant step far above epsilon alternates for ever.
Conventions 2: sign(0) = +-1 in the subgradient, as Counterexample 2 itself needs. 3: sign(0) = 0 in the update, as it itself
            needs. The proofs and witnesses never ask for the sign of a zero in the update.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove
from efcheck.methods import SignSGD
from efcheck.problems import LeastSquares2D
from efcheck.simulate import simulate

plane = content.load(Path(__file__).with_name("_plane.py"))
SECTION = "Section 1, Our contributions (ours: part of extension-verbatim, momentum); Section 3, Counterexample {}"
HALF, NINE, MANY = Fraction(1, 2), Fraction(9, 10), Fraction(99, 100)
START = (Fraction(1), Fraction(1))
beta = Symbol("beta", positive=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", positive=True)


def with_momentum(gradient: Callable, b: Fraction) -> Callable:
    """The gradient oracle replaced by m_t = g_t + b m_{t-1}; for one exact run, whose steps come in order."""
    m: list[Fraction] = []

    def momentum(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        g = gradient(t, x)
        m[:] = [a + b * old for a, old in zip(g, m or [Fraction(0)] * len(g), strict=True)]
        return tuple(m)

    return momentum


def gradient_2(epsilon: Fraction, zero: int) -> Callable:
    return lambda t, x: plane.gradient_2(epsilon, x, lambda v: exact.sign(v, zero))


def gradient_3(epsilon: Fraction, picks: tuple[int, ...]) -> Callable:
    """2 a_i <a_i, x> with i_t = picks[t] in {0, 1}."""
    return lambda t, x: plane.gradient_of(plane.rows_3(epsilon)[picks[t]], x)


def f_2_half(x: tuple[Fraction, ...]) -> Fraction:
    return Fraction(plane.f_2(HALF, x))


def f_3(epsilon: Fraction, x: tuple[Fraction, ...]) -> Fraction:
    return Fraction(plane.f_of(plane.rows_3(epsilon), x))


def below(gradient: Callable, f: Callable, b: Fraction, gammas: list[Fraction], what: str, covers: str) -> Evidence:
    """The exact run from (1, 1): does f(x_t) fall below a hundredth of f(x_0)?"""
    xs = exact.sign_sgd(with_momentum(gradient, b), START, gammas)
    values = [f(x) / f(xs[0]) for x in xs]
    t = min(range(len(xs)), key=values.__getitem__)
    outcome = "refuted" if values[t] < Fraction(1, 100) else "supported" if min(values) >= 1 else "undecided"
    where = f"x_{t} = ({xs[t][0]}, {xs[t][1]})" if t < 5 else f"at t = {t}"
    detail = f"beta = {b}, {what}: f(x_t)/f(x_0) = {float(values[t]):.2g} {where}"
    return Evidence("witness", outcome, detail, {"x": list(xs[t]), "t": t, "gamma": gammas[:t]}, covers=covers)


def run(gradient: Callable, b: Fraction, gammas: list[Fraction], zero: int = 0) -> list[tuple[Fraction, ...]]:
    """x_0 = (1, 1), x_1, ... of SIGNSGDM on Fractions."""
    return exact.sign_sgd(with_momentum(gradient, b), START, gammas, zero=zero)


# -- Counterexample 2 ------------------------------------------------------------------------------------------------------


def threshold(b: Fraction) -> Fraction:
    """The epsilon below which a constant step stays on the line of Counterexample 2."""
    return (1 - b) / (1 + b)


def half_of_it(b: Fraction) -> Fraction:
    return threshold(b) / 2


def is_half_of_it(b: Fraction, epsilon: Fraction) -> bool:
    """2 epsilon = (1-beta)/(1+beta), as the claims say."""
    return 2 * epsilon * (1 + b) == 1 - b


def second(b: Fraction) -> Claim:
    name = f"{float(b):g}"
    return Claim(
        f"extension-momentum-2-beta-{name}",
        SECTION.format(2),
        f"Counterexample 2 extends to SIGNSGDM with beta = {name}: from (1, 1), f(x_t) >= f(x_0) for any step-size sequence "
        "(sign(0) = +-1 in the subgradient)",
        repaired="for beta in (0, 1), from (1, 1): for each constant step f(x_t) >= f(x_0) if epsilon < (1-beta)/(1+beta), "
        "and x_2 has left the line if epsilon is larger; for any step sequence f(x_t) >= f(x_0) if epsilon < 1 - 2 beta; "
        f"for beta = {name} and epsilon at half of (1-beta)/(1+beta) some steps lead to f(x_t) < f(x_0)/100",
        expect="refuted",
    )


two_half, two_nine, two_many = second(HALF), second(NINE), second(MANY)


def two_steps(b: Fraction) -> Evidence:
    """epsilon = 1/2: x_1 = (1 - h, 1 + h), and m_1 = ((beta-1) + epsilon (1+beta), (1-beta) + epsilon (1+beta)) > 0."""
    gammas = [Fraction(1, 1000), Fraction(1)]
    pieces = [below(gradient_2(HALF, z), f_2_half, b, gammas, "epsilon = 1/2", f"zero={z}") for z in (1, -1)]
    return next((piece for piece in pieces if piece.outcome != "refuted"), pieces[0])


def slow_steps(b: Fraction, epsilon: Fraction) -> list[Fraction]:
    """Steps that wait on one side of x1 = x2 until A is large, change sides, wait until |A| < D, and then use it.

    The waiting time is searched in floating point; the run that uses the steps is exact. Written for sign(0) = 1; for -1
    the same steps give the mirrored run.
    """
    small, beta_, level = Fraction(1, 10**8), float(b), float(epsilon)
    for wait in range(2, 400):
        a, c = 0.0, 0.0
        for s in (1, -1, *[1] * wait):
            a, c = s + beta_ * a, 1 + beta_ * c
        gammas = [small, Fraction(1), *[small] * (wait - 1), 1 - (wait - 1) * small]  # v: -2h, 2 - 2h, ..., -2h
        while a > level * c * 0.9:
            a, c, gammas = -1 + beta_ * a, 1 + beta_ * c, [*gammas, small]
        if abs(a) < 0.9 * level * c:
            return [*gammas[:-1], Fraction(1)]
    return []


def slow_witness(b: Fraction) -> Evidence:
    epsilon = half_of_it(b)
    what = f"epsilon = {epsilon}, steps that wait"
    pieces = [
        below(gradient_2(epsilon, z), lambda x: plane.f_2(epsilon, x), b, slow_steps(b, epsilon), what, "other steps")
        for z in (1, -1)
    ]
    worst = next((piece for piece in pieces if piece.outcome != "refuted"), pieces[0])
    good = worst.outcome == "refuted" and is_half_of_it(b, epsilon)
    return replace(worst, outcome="proved" if good else "undecided")


for claim, value in ((two_half, HALF), (two_nine, NINE), (two_many, MANY)):
    claim.printed(lambda b=value: two_steps(b))
    claim.repaired(lambda b=value: slow_witness(b))
del claim, value


@two_half.repaired
@two_nine.repaired
@two_many.repaired
def a_constant_step_alternates() -> Evidence:
    """A_t = z (-1)^t a_t, D_t = epsilon c_t, z = sign(0): sign(m_t) = z (-1)^t (1, -1), so x_t is (1, 1) for even t, else
    (1 - z gamma, 1 + z gamma), where the subgradient's sign is -z. By induction, with w = beta^(t+1):
    a_t = (1 + w)/(1+beta) for even t, (1 - w)/(1+beta) for odd t, c_t = (1 - w)/(1-beta), and a_t > epsilon c_t.
    """
    w = Symbol("w", positive=True)
    even, odd, c = (1 + w) / (1 + beta), (1 - w) / (1 + beta), (1 - w) / (1 - beta)
    next_ones = [
        Eq((1 - beta * even - odd.subs(w, beta * w)).simplify(), 0),
        Eq((1 - beta * odd - even.subs(w, beta * w)).simplify(), 0),
        Eq((1 + beta * c - c.subs(w, beta * w)).simplify(), 0),
    ]
    start = [Eq(even.subs(w, beta).simplify(), 1), Eq(c.subs(w, beta).simplify(), 1)]
    ahead = And(even > eps * c, odd > eps * c)
    below_it = eps * (1 + beta) < 1 - beta
    return prove(And(*start, *next_ones, ahead), [beta < 1, w <= beta, below_it], covers="constant step")


@two_half.repaired
@two_nine.repaired
@two_many.repaired
def exact_runs_with_a_constant_step() -> Evidence:
    """200 steps of 1/10, epsilon just below the threshold: two points; just above it: x_2 is off the line."""
    for b in (HALF, NINE, MANY):
        for zero in (1, -1):
            for factor, inside in ((Fraction(99, 100), True), (Fraction(101, 100), False)):
                g = gradient_2(threshold(b) * factor, zero)
                xs = run(g, b, [Fraction(1, 10)] * (200 if inside else 2))
                if inside != (len(set(xs)) == 2 and all(sum(x) == 2 for x in xs)):
                    detail = f"beta = {b}, sign(0) = {zero}, epsilon = {factor} of the threshold: {len(set(xs))} points"
                    return Evidence("witness", "refuted", detail, covers="constant step")
    return Evidence("exact", "supported", "12 exact runs alternate or leave as predicted", covers="constant step")


@two_half.repaired
@two_nine.repaired
@two_many.repaired
def above_the_threshold_two_steps_leave() -> Evidence:
    """m_1 = epsilon (1+beta) (1, 1) + z (beta-1) (1, -1) has two positive entries, for z = +-1 and any steps > 0."""
    d, a = eps * (1 + beta), 1 - beta
    return prove(And(d - a > 0, d + a > 0), [beta < 1, eps * (1 + beta) > 1 - beta], covers="above the threshold")


@two_half.repaired
@two_nine.repaired
@two_many.repaired
def small_momentum_stays_for_any_steps() -> Evidence:
    """A_t = s_t + beta A_{t-1}, |A_{t-1}| <= c <= 1/(1-beta), D_t = epsilon (1 + beta c): |A_t| >= 1 - beta c > D_t."""
    c = Symbol("c", nonnegative=True)
    return prove(1 - beta * c > eps * (1 + beta * c), [beta < 1, c * (1 - beta) <= 1, eps < 1 - 2 * beta], covers="any steps")


@two_half.repaired
@two_nine.repaired
@two_many.repaired
def on_the_line_the_start_is_the_minimum() -> Evidence:
    x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
    return prove(plane.f_2(eps, (x1, x2)) >= 2 * eps, [Eq(x1 + x2, 2)], covers="consequence")


# -- Counterexample 3 ------------------------------------------------------------------------------------------------------


def third(b: Fraction) -> Claim:
    name = f"{float(b):g}"
    return Claim(
        f"extension-momentum-3-beta-{name}",
        SECTION.format(3),
        f"Counterexample 3 extends to SIGNSGDM with beta = {name}: from (1, 1), for any step-size sequence, f(x_t) >= f(x_0) "
        "almost surely (sign(0) = 0 in the update)",
        repaired="for every beta in (0, 1) and constant gamma, if epsilon (2 + 2 epsilon + gamma) < gamma (1-beta)^2: from "
        "(1 + gamma/2, 1 - gamma/2) x_t alternates between this point and its mirror image for every draw, also with the "
        "mean of n workers' gradients, so f(x_t) = f(x_0) for ever; "
        f"for beta = {name}, epsilon at half of (1-beta)/(1+beta), some steps and draws from (1, 1) give f(x_t) < f(x_0)/100",
        expect="refuted",
    )


three_half, three_nine, three_many = third(HALF), third(NINE), third(MANY)


def two_draws(b: Fraction) -> Evidence:
    """i = 1, 2 with epsilon = 1/2, gamma = 1/1000, 1; it has probability 1/4."""
    gammas = [Fraction(1, 1000), Fraction(1)]
    return below(gradient_3(HALF, (0, 1)), lambda x: f_3(HALF, x), b, gammas, "epsilon = 1/2, i = 1, 2", "witness")


def mostly_small(b: Fraction, seed: int) -> Evidence:
    """f(x_T)/f(x_0) of signSGDM with gamma_t = 0.15/sqrt(t+1), epsilon = 1/2; rounding is 1e-13 of f(x_0)."""
    method = SignSGD(lambda t: 0.15 / (t + 1) ** 0.5, beta=float(b), zero=0)
    trace = simulate(LeastSquares2D(0.5), method, 5000, runs=100, seed=seed, every=5000)
    worst = float((trace["f"][-1] / trace["f"][0]).max())
    outcome = "refuted" if worst < 0.05 else "undecided"
    detail = f"beta = {b}, epsilon = 1/2, gamma = 0.15/sqrt(t+1): f(x_5000)/f(x_0) <= {worst:.1g} in all 100 runs"
    return Evidence("search", outcome, detail, {"worst": worst}, covers="usual steps")


def cancelling(b: Fraction, epsilon: Fraction) -> tuple[int, ...]:
    """Draws, oldest first, whose signs add up to |sum beta^i s_i| < (epsilon/2) sum beta^i: chosen backwards, greedily."""
    signs, total, weight, c = [1], Fraction(1), b, Fraction(1)
    while abs(total) >= epsilon * c / 2:
        signs.append(-1 if total > 0 else 1)
        total, c, weight = total + signs[-1] * weight, c + weight, weight * b
    return tuple((1 - s) // 2 for s in reversed(signs))


def small_witness(b: Fraction) -> Evidence:
    epsilon = half_of_it(b)
    picks = cancelling(b, epsilon)
    gammas = [Fraction(1, 10**7)] * (len(picks) - 1) + [Fraction(1)]
    what = f"epsilon = {epsilon}, i = {''.join(str(i + 1) for i in picks)}"
    found = below(gradient_3(epsilon, picks), lambda x: f_3(epsilon, x), b, gammas, what, "small epsilon")
    good = found.outcome == "refuted" and is_half_of_it(b, epsilon)
    return replace(found, outcome="proved" if good else "undecided")


for claim, value in ((three_half, HALF), (three_nine, NINE), (three_many, MANY)):
    claim.printed(lambda b=value: two_draws(b))
    claim.printed(lambda seed=0, b=value: mostly_small(b, seed))
    claim.repaired(lambda b=value: small_witness(b))
del claim, value


@three_half.repaired
@three_nine.repaired
@three_many.repaired
def the_gradient_in_the_coordinates_of_the_line() -> Evidence:
    """g/2 = (v + s epsilon u) (1, -1) + epsilon (epsilon u + s v) (1, 1), s = 1 for i = 1, -1 for i = 2."""
    u, v = Symbol("u", real=True), Symbol("v", real=True)
    x = ((u + v) / 2, (u - v) / 2)
    same = []
    for s, row in zip((1, -1), plane.rows_3(eps), strict=True):
        g = plane.gradient_of(row, x)
        across, along = v + s * eps * u, eps * (eps * u + s * v)
        same += [Eq((g[0] / 2 - across - along).expand(), 0), Eq((g[1] / 2 + across - along).expand(), 0)]
    f = 2 * v**2 + 2 * eps**2 * u**2  # so f(x_t) = f(x_0) at the mirror image
    same.append(Eq((plane.f_of(plane.rows_3(eps), x) - f).expand(), 0))
    return prove(And(*same), kind="identity", covers="coordinates")


@three_half.repaired
@three_nine.repaired
@three_many.repaired
def the_alternation_wins() -> Evidence:
    """u = 2, v_t = (-1)^t gamma, A_t = (-1)^t gamma a_t + P_t, r_t in [-1, 1] the mean of s: a_t = 1 - beta a_{t-1} stays in
    [1-beta, 1], |P_t| <= 2 epsilon/(1-beta), |D_t| <= epsilon (2 epsilon + gamma)/(1-beta); so |A_t| > |D_t| at every t.
    P and D stand for |P_t| and |D_t|, of which the next are at most 2 epsilon + beta P, epsilon (2 epsilon + gamma) + beta D.
    """
    a, p, d = Symbol("a", real=True), Symbol("P", nonnegative=True), Symbol("D", nonnegative=True)
    big_p, big_d = 2 * eps, eps * (2 * eps + gamma)  # times 1/(1-beta)
    now = [beta < 1, a >= 1 - beta, a <= 1, p * (1 - beta) <= big_p, d * (1 - beta) <= big_d]
    first = prove(And(1 - beta * a >= 1 - beta, 1 - beta * a <= 1), now, covers="alternation")
    second_ = prove((2 * eps + beta * p) * (1 - beta) <= big_p, now, covers="alternation")
    third_ = prove((eps * (2 * eps + gamma) + beta * d) * (1 - beta) <= big_d, now, covers="alternation")
    last = prove(gamma * a - p > d, [*now, eps * (2 + 2 * eps + gamma) < gamma * (1 - beta) ** 2], covers="alternation")
    return next((piece for piece in (first, second_, third_) if piece.outcome != "proved"), last)


def alternating_run(b: Fraction, picks: tuple[int, ...], factor: Fraction) -> set[tuple[Fraction, ...]]:
    """The points of an exact run of constant step 1/4 with epsilon = factor gamma (1-b)^2/3 <= half of what is allowed."""
    step = Fraction(1, 4)
    epsilon = factor * step * (1 - b) ** 2 / 3
    start = (1 + step / 2, 1 - step / 2)
    return set(exact.sign_sgd(with_momentum(gradient_3(epsilon, picks), b), start, [step] * len(picks)))


@three_half.repaired
@three_nine.repaired
@three_many.repaired
def exact_runs_alternate() -> Evidence:
    """Equal draws, alternating ones and a mixture, 40 steps each."""
    sequences = ((0,) * 40, (1,) * 40, (0, 1) * 20, (1, 0) * 20, (0, 0, 1, 1, 1) * 8)
    for b in (HALF, NINE, MANY):
        for picks in sequences:
            if len(alternating_run(b, picks, Fraction(9, 10))) != 2:
                return Evidence("witness", "refuted", f"beta = {b}, i = {picks}: more than two points", covers="alternation")
    return Evidence("exact", "supported", "15 exact runs visit two points", covers="alternation")


if __name__ == "__main__":
    main(__file__)
