r"""Without feedback, scaled sign extends Counterexamples 2 and 3; top-1 extends none, but has an example of its own.

Statement   "our counterexamples extend to [...] even other biased compression schemes": x_{t+1} = x_t - gamma_t C(g_t) with
            C = scaled sign, top-1 (rank-1: extensions_rank_1.py).
Source      Section 1, Our contributions; Section 3, Counterexamples 1, 2 and 3
Idea        In one dimension both are the identity: SGD. Scaled sign moves along the same line as sign. Top-1 keeps the entry
            of g with 1 + epsilon in it: x1 + x2 falls, and on Counterexample 3 the run converges to x* for every constant step
            up to 1/(2 (1+epsilon)^2). In other coordinates it has its counterexample: rows (epsilon, 1), (-epsilon, 1) hide x1
            from it for ever.
Conventions 2: sign(0) = +-1 in the subgradient. 3 and the new examples: none; C(0) = 0, also for scaled sign (its norm is 0).
            Ties of top-1 go to the lower index; there are none below but for g = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from sympy import Abs, And, Eq, Ge, Implies, Ne, Or, Piecewise, Rational, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.compressors import ScaledSign, TopK
from efcheck.evidence import Evidence, exact, prove

plane = content.load(Path(__file__).with_name("_plane.py"))
SECTION = "Section 1, Our contributions (ours: part of extension-verbatim, other biased schemes); Section 3, Counterexample {}"
HALF, START = Fraction(1, 2), (Fraction(1), Fraction(1))
x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", nonnegative=True)
ROWS = plane.rows_3(eps)
sgn = plane.sgn


def scaled_sign(g):
    """(||g||_1/d) sign(g), with sign(0) = 1."""
    scale = sum(map(Abs, g)) / len(g)
    return [scale * sgn(a, 1) for a in g]


def top_1(g):
    """The largest entry in magnitude, the others 0; a tie goes to the first."""
    kept = (And(*(Abs(a) >= Abs(b) for b in g[j:]), *(Abs(a) > Abs(b) for b in g[:j])) for j, a in enumerate(g))
    return [Piecewise((a, keep), (0, True)) for a, keep in zip(g, kept, strict=True)]


def subgradient(zero: int):
    """Of Counterexample 2."""
    return plane.gradient_2(eps, (x1, x2), lambda v: sgn(v, zero))


def gradient(i: int, rows=ROWS):
    """2 a_i <a_i, x>, as in Counterexample 3."""
    return plane.gradient_of(rows[i], (x1, x2))


def moved(sent) -> tuple:
    return x1 - gamma * sent[0], x2 - gamma * sent[1]


def compressed(g: Callable, steps: list[Fraction], compress: Callable, start=START) -> list[tuple[Fraction, ...]]:
    """Exact iterates of x_{t+1} = x_t - gamma_t C(g_t)."""
    return exact.sgd(lambda t, x: compress(g(t, x)), start, steps)


def exact_2(epsilon: Fraction, zero: int) -> Callable:
    return lambda t, x: plane.gradient_2(epsilon, x, lambda v: exact.sign(v, zero))


def exact_3(epsilon: Fraction, picks: tuple[int, ...]) -> Callable:
    return lambda t, x: plane.gradient_of(plane.rows_3(epsilon)[picks[t]], x)


def top(p):
    """top-1 on Fractions."""
    return exact.top_k(p, 1)


# -- Counterexample 1: one dimension ---------------------------------------------------------------------------------------


def first(key: str, name: str) -> Claim:
    return Claim(
        f"extension-compressor-{key}-1",
        SECTION.format(1),
        f"Counterexample 1 extends to {name} without feedback: before projection, E f(x_{{t+1}}) >= f(x_t), for any gamma > 0",
        repaired=f"in one dimension {name} is the identity: the method is SGD, E f(x_{{t+1}}) = f(x_t) - gamma/16 before "
        "projection; on no problem in one dimension does it differ from SGD",
        expect="refuted",
    )


scaled_1, top_1_1 = first("scaled-sign", "scaled sign"), first("top-1", "top-1")


def mean_change(compress: Callable):
    """E f(x_{t+1}) - f(x_t) with f = x/4 and g = 4 w.p. 1/4, else -1; no constraint. `compress` takes a list of one entry."""
    p = Rational(1, 4)
    return -gamma / 4 * (p * compress([Rational(4)])[0] + (1 - p) * compress([Rational(-1)])[0])


def same_numbers(c, d: int, seed: int) -> Evidence:
    """The compressor of the library on vectors of all scales: C(v) = v to 4 eps relative (one norm, one product)."""
    v = np.random.default_rng(seed).standard_normal((500, d)) * 10.0 ** np.arange(-100, 100, 0.4)[:, None]
    worst = float((np.abs(c(v) - v).max(axis=1) / np.abs(v).max(axis=1)).max())
    outcome = "supported" if worst < 1e-14 else "refuted"
    return Evidence("search", outcome, f"500 random vectors: C(v) = v to {worst:.1g} relative", covers="identity")


def drift_of(claim: Claim, compress: Callable) -> None:
    """The drift refutes the printed sentence, and is that of SGD."""
    claim.printed(lambda: prove(mean_change(compress) >= 0, [gamma > 0]))
    claim.repaired(lambda: prove(Eq(mean_change(compress), -gamma / 16), kind="identity", covers="drift"))


drift_of(scaled_1, lambda g: scaled_sign(g))
drift_of(top_1_1, lambda g: top_1(g))
scaled_1.repaired(lambda: prove(Eq(scaled_sign([x1])[0], x1), kind="identity", covers="identity"))
top_1_1.repaired(lambda: prove(Eq(top_1([x1])[0], x1), kind="identity", covers="identity"))
scaled_1.repaired(lambda seed=0: same_numbers(ScaledSign(), 1, seed))
top_1_1.repaired(lambda seed=0: same_numbers(TopK(1), 1, seed))


@top_1_1.repaired
@scaled_1.repaired
def rational_entries() -> Evidence:
    """The compressors of the exact runs, too, change no single entry."""
    values = [Fraction(p, q) for p in range(-6, 7) for q in (1, 2, 7)]
    same = all(exact.top_k([v], 1) == (v,) == exact.scaled_sign([v]) for v in values)
    return Evidence("exact", "supported" if same else "refuted", f"{len(values)} rational entries are kept", covers="identity")


# -- scaled sign in the plane ----------------------------------------------------------------------------------------------

ANY = "from (1, 1), f(x_t) >= f(x_0) for any step-size sequence"
scaled_2 = Claim(
    "extension-compressor-scaled-sign-2",
    SECTION.format(2),
    f"Counterexample 2 extends to scaled sign without feedback: {ANY} (sign(0) = +-1 in the subgradient)",
)
scaled_3 = Claim(
    "extension-compressor-scaled-sign-3",
    SECTION.format(3),
    f"Counterexample 3 extends to scaled sign without feedback: {ANY} almost surely, under every sign(0)",
)


def line_2(zero: int) -> Evidence:
    a, b = moved(scaled_sign(subgradient(zero)))
    return prove(Eq(a + b, x1 + x2), [x1 + x2 > 0, eps < 1], covers=f"line, zero={zero}")


scaled_2.printed(lambda: line_2(1))
scaled_2.printed(lambda: line_2(-1))


@scaled_2.printed
@scaled_3.printed
def it_projects_on_the_line_of_its_signs() -> Evidence:
    """C(g) is the point nearest to g on the line of (sign g_1, sign g_2): <g - C(g), C(g)> = 0, and not 0 unless g is."""
    g, sent = (x1, x2), scaled_sign((x1, x2))
    right_angle = Eq(sum((a - c) * c for a, c in zip(g, sent, strict=True)), 0)
    return prove(And(right_angle, Implies(Ne(x1, 0), Ne(sent[0], 0))), covers="scaled sign")


@scaled_2.printed
def the_gradient_of_2_is_a_subgradient() -> Evidence:
    """f(y) >= f(x) + <g(x), y - x> for all x and y: f and g are those of Counterexample 2."""
    y = (Symbol("y1", real=True), Symbol("y2", real=True))
    rise = plane.f_2(eps, y) - plane.f_2(eps, (x1, x2))
    below = [rise >= sum(g * (b - a) for g, a, b in zip(subgradient(z), (x1, x2), y, strict=True)) for z in (1, -1)]
    return prove(And(*below), [eps < 1], covers="subgradient")


@scaled_2.printed
def least_on_the_line_of_2() -> Evidence:
    return prove(plane.f_2(eps, (x1, x2)) >= 2 * eps, [Eq(x1 + x2, 2)], covers="consequence")


@scaled_3.printed
def line_3() -> Evidence:
    """C(g) is antidiagonal, and 0 where g = 0, whatever the sign of a zero: its scale is 0 there."""
    sums = [sum(moved(scaled_sign(gradient(i)))) for i in (0, 1)]
    return prove(And(*(Eq(total, x1 + x2) for total in sums)), [eps < 1], covers="line")


@scaled_3.printed
def an_entry_vanishes_only_with_the_other() -> Evidence:
    """So sign(0) is asked only where the scale is 0."""
    pairs = [gradient(0), gradient(1)]
    return prove(And(*(Implies(Or(Eq(g, 0), Eq(h, 0)), And(Eq(g, 0), Eq(h, 0))) for g, h in pairs)), [eps < 1], covers="zeros")


@scaled_3.printed
def least_on_the_line_of_3() -> Evidence:
    f = 2 * (x1 - x2) ** 2 + 2 * eps**2 * (x1 + x2) ** 2
    whole = Eq((f - plane.f_of(ROWS, (x1, x2))).expand(), 0)
    return prove(And(whole, Implies(Eq(x1 + x2, 2), Ge(f, 8 * eps**2))), covers="consequence")


# -- top-1 in the plane ----------------------------------------------------------------------------------------------------

top_2 = Claim(
    "extension-compressor-top-1-2",
    SECTION.format(2),
    f"Counterexample 2 extends to top-1 without feedback: {ANY} (sign(0) = +-1 in the subgradient)",
    repaired="while x1 + x2 > 0 every step takes gamma (1 + epsilon) off x1 + x2, and gamma = 1/(1+epsilon) reaches x* in two; "
    "on f(x) = epsilon |x1| + |x2| with sign(0) = +-1 it never moves x1: from (1, 0), f(x_t) >= f(x_0) for any steps",
    expect="refuted",
)


@top_2.printed
def two_steps_to_the_optimum() -> Evidence:
    for zero in (1, -1):
        xs = compressed(exact_2(HALF, zero), [Fraction(2, 3)] * 2, top)
        if any(xs[2]):
            return Evidence("exact", "supported", f"sign(0) = {zero}: x_2 = {xs[2]}", covers="witness")
    detail = f"sign(0) = +-1, epsilon = 1/2, gamma = 2/3: x_1 = ({xs[1][0]}, {xs[1][1]}), x_2 = (0, 0) = x*"
    return Evidence("witness", "refuted", detail, {"x": list(xs[2])}, covers="witness")


@top_2.repaired
def the_sum_falls() -> Evidence:
    sums = [sum(moved(top_1(subgradient(zero)))) for zero in (1, -1)]
    return prove(And(*(Eq(s, x1 + x2 - gamma * (1 + eps)) for s in sums)), [x1 + x2 > 0, eps < 1], covers="sum")


@top_2.repaired
def the_optimum_after_two_steps() -> Evidence:
    """From (1, 1) to (0, 1) for sign(0) = 1, to (1, 0) for -1; from there to 0, off the diagonal, where zero is not asked."""
    reached = []
    for zero, corner in ((1, (0, 1)), (-1, (1, 0))):
        for start, end in (((1, 1), corner), (corner, (0, 0))):
            kept = top_1([g.subs({x1: start[0], x2: start[1]}) for g in subgradient(zero)])
            reached += [Eq(z - k / (1 + eps), w) for z, k, w in zip(start, kept, end, strict=True)]
    return prove(And(*reached), [eps < 1], covers="two steps")


@top_2.repaired
def x1_is_hidden() -> Evidence:
    steps = [moved(top_1((eps * sgn(x1, zero), sgn(x2, zero)))) for zero in (1, -1)]
    least = eps * Abs(x1) + Abs(x2) >= eps * Abs(x1)
    return prove(And(least, *(Eq(a, x1) for a, _ in steps)), [eps < 1], covers="another function")


HIDING = ((eps, 1), (-eps, 1))
top_3 = Claim(
    "extension-compressor-top-1-3",
    SECTION.format(3),
    f"Counterexample 3 extends to top-1 without feedback: {ANY} almost surely",
    repaired="it converges to x* almost surely for every constant step gamma in (0, 1/(2 (1+epsilon)^2)]; with the rows "
    "(epsilon, 1), (-epsilon, 1) it never moves x1: from (1, 0), f(x_t) >= f(x_0) for any steps and draws, although f is "
    "smooth with its one minimum at 0",
    expect="refuted",
)


@top_3.printed
def alternating_draws() -> Evidence:
    """i = 1, 2, 1, 2 with gamma = 2/9, epsilon = 1/2: each step minimises over its coordinate."""
    x = compressed(exact_3(HALF, (0, 1, 0, 1)), [Fraction(2, 9)] * 4, top)[-1]
    ratio = plane.f_of(plane.rows_3(HALF), x) / plane.f_of(plane.rows_3(HALF), START)
    detail = f"epsilon = 1/2, gamma = 2/9, i = 1, 2, 1, 2: x_4 = ({x[0]}, {x[1]}), f(x_4)/f(x_0) = {ratio}"
    return Evidence("witness", "refuted" if ratio < 1 else "supported", detail, {"x": list(x)})


@top_3.repaired
def it_keeps_the_diagonal_entry() -> Evidence:
    """x_i <- (1-h) x_i + h q x_j with h = 2 gamma (1+epsilon)^2, q = (1-epsilon)/(1+epsilon); x_j stays."""
    h, q = 2 * gamma * (1 + eps) ** 2, (1 - eps) / (1 + eps)
    one, two = (moved(top_1(gradient(i))) for i in (0, 1))
    wanted = [(one[0], (1 - h) * x1 + h * q * x2), (one[1], x2), (two[1], (1 - h) * x2 + h * q * x1), (two[0], x1)]
    return prove(And(*(Eq(a, b) for a, b in wanted)), [eps < 1], covers="step")


@top_3.repaired
def each_coordinate_contracts() -> Evidence:
    """|x_1|, |x_2| <= M stays, and after i = 1, 2 in a row both are <= (1 - h (1-q)) M: almost surely infinitely often."""
    h, q, m = Symbol("h", positive=True), Symbol("q", positive=True), Symbol("M", nonnegative=True)
    new = Abs((1 - h) * x1 + h * q * x2)
    small = And(new <= (1 - h * (1 - q)) * m, 1 - h * (1 - q) < 1, 1 - h * (1 - q) >= 0)
    return prove(small, [h <= 1, q < 1, Abs(x1) <= m, Abs(x2) <= m], covers="contraction")


@top_3.repaired
def x1_is_hidden_from_every_draw() -> Evidence:
    steps = [moved(top_1(gradient(i, HIDING))) for i in (0, 1)]
    return prove(And(*(Eq(a, x1) for a, _ in steps)), [eps < 1], covers="other rows")


@top_3.repaired
def it_has_one_minimum_and_a_price_for_x1() -> Evidence:
    f = plane.f_of(HIDING, (x1, x2))
    one = Implies(Or(x1 > 0, x1 < 0, x2 > 0, x2 < 0), f > 0)
    return prove(And(Eq(f.expand(), 2 * eps**2 * x1**2 + 2 * x2**2), one, f >= 2 * eps**2 * x1**2), covers="other f")


if __name__ == "__main__":
    main(__file__)
