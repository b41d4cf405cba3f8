r"""Without feedback, scaled sign extends Counterexamples 2 and 3; top-1 and rank-1 extend none, but have examples of their own.

Statement   "our counterexamples extend to [...] even other biased compression schemes": x_{t+1} = x_t - gamma_t C(g_t) with
            C = scaled sign, top-1, rank-1 (the best approximation of the vector, seen as a matrix, of rank 1).
Source      Section 1, Our contributions; Section 3, Counterexamples 1, 2 and 3
Idea        In one dimension all three are the identity: SGD. A vector of R^2 is a matrix of rank 1: rank-1 is the identity
            there too. Scaled sign moves along the same line as sign. Top-1 keeps the entry of g with 1 + epsilon in it:
            x1 + x2 falls, and on Counterexample 3 the run converges to x* for every constant step up to 1/(2 (1+epsilon)^2).
            In other coordinates each has its counterexample: rows (epsilon, 1), (-epsilon, 1) hide x1 from top-1 for ever, and
            as diagonals of 2 x 2 matrices from rank-1.
Conventions 2: sign(0) = +-1 in the subgradient. 3 and the new examples: none; C(0) = 0, also for scaled sign (its norm is 0).
            Ties of top-1 go to the lower index; there are none below but for g = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
from sympy import Abs, And, Eq, Ge, Implies, Or, Piecewise, Rational, Symbol, sqrt

from efcheck.claims import Claim, main
from efcheck.compressors import LowRank, ScaledSign, TopK
from efcheck.evidence import Evidence, exact, prove

SECTION = "Section 1, Our contributions (extend to other biased compression schemes); Section 3, Counterexample {}"
HALF, START = Fraction(1, 2), (Fraction(1), Fraction(1))
x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", nonnegative=True)
ROWS = ((1 + eps, -1 + eps), (-1 + eps, 1 + eps))


def sgn(v, zero: int):
    """sign(v) with sign(0) = zero, as SymPy."""
    return Piecewise((1, v > 0), (-1, v < 0), (zero, True))


def scaled_sign(g):
    """(||g||_1/d) sign(g), with sign(0) = 1."""
    scale = sum(map(Abs, g)) / len(g)
    return [scale * sgn(a, 1) for a in g]


def top_1(g):
    """The larger entry in magnitude of a pair; a tie goes to the first."""
    first = Abs(g[0]) >= Abs(g[1])
    return [Piecewise((g[0], first), (0, True)), Piecewise((0, first), (g[1], True))]


def subgradient(zero: int):
    """Of Counterexample 2."""
    u, v = sgn(x1 + x2, zero), sgn(x1 - x2, zero)
    return eps * u + v, eps * u - v


def gradient(i: int, rows=ROWS):
    """2 a_i <a_i, x>, as in Counterexample 3."""
    e = rows[i][0] * x1 + rows[i][1] * x2
    return 2 * e * rows[i][0], 2 * e * rows[i][1]


def moved(sent) -> tuple:
    return x1 - gamma * sent[0], x2 - gamma * sent[1]


def compressed(g: Callable, steps: list[Fraction], compress: Callable, start=START) -> list[tuple[Fraction, ...]]:
    """Exact iterates of x_{t+1} = x_t - gamma_t C(g_t)."""
    return exact.sgd(lambda t, x: compress(g(t, x)), start, steps)


def exact_2(epsilon: Fraction, zero: int) -> Callable:
    def g(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        u, v = exact.sign(x[0] + x[1], zero), exact.sign(x[0] - x[1], zero)
        return (epsilon * u + v, epsilon * u - v)

    return g


def exact_3(rows, picks: tuple[int, ...]) -> Callable:
    def g(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        a = rows[picks[t]]
        e = 2 * (a[0] * x[0] + a[1] * x[1])
        return (e * a[0], e * a[1])

    return g


def top(p):
    """top-1 on Fractions."""
    return exact.top_k(p, 1)


# -- Counterexample 1: one dimension ---------------------------------------------------------------------------------------

NAMES = {"scaled-sign": "scaled sign", "top-1": "top-1", "rank-1": "rank-1"}
IN_ONE = {"scaled-sign": ScaledSign(), "top-1": TopK(1), "rank-1": LowRank(1, (1, 1))}


def first(key: str) -> Claim:
    return Claim(
        f"extension-compressor-{key}-1",
        SECTION.format(1),
        f"Counterexample 1 extends to {NAMES[key]} without feedback: E f(x_t) does not fall below f(x_0), for any gamma > 0",
        repaired=f"in one dimension {NAMES[key]} is the identity: the method is SGD, E f(x_{{t+1}}) = f(x_t) - gamma/16; on "
        "no problem in one dimension does it differ from SGD",
        expect="refuted",
    )


scaled_1, top_1_1, rank_1_1 = first("scaled-sign"), first("top-1"), first("rank-1")


def one_dimensional(key: str, g):
    """C(g) for one entry, by the formula of each compressor; rank-1: singular value times singular vectors."""
    if key == "scaled-sign":
        return scaled_sign([g])[0]
    return g if key == "top-1" else Abs(g) * Piecewise((1, g >= 0), (-1, True))


def mean_change(key: str):
    """E f(x_{t+1}) - f(x_t) with f = x/4 and g = 4 w.p. 1/4, else -1; no constraint."""
    p = Rational(1, 4)
    return -gamma / 4 * (p * one_dimensional(key, Rational(4)) + (1 - p) * one_dimensional(key, Rational(-1)))


def same_numbers(c, d: int, seed: int) -> Evidence:
    """The compressor of the library on vectors of all scales: C(v) = v to 4 eps relative (one norm, one product)."""
    v = np.random.default_rng(seed).standard_normal((500, d)) * 10.0 ** np.arange(-100, 100, 0.4)[:, None]
    worst = float((np.abs(c(v) - v).max(axis=1) / np.abs(v).max(axis=1)).max())
    outcome = "supported" if worst < 1e-14 else "refuted"
    return Evidence("search", outcome, f"500 random vectors: C(v) = v to {worst:.1g} relative", covers="identity")


for claim, key in ((scaled_1, "scaled-sign"), (top_1_1, "top-1"), (rank_1_1, "rank-1")):
    claim.printed(lambda key=key: prove(mean_change(key) >= 0, [gamma > 0]))
    claim.repaired(lambda key=key: prove(Eq(mean_change(key), -gamma / 16), kind="identity", covers="drift"))
    claim.repaired(lambda key=key: prove(Eq(one_dimensional(key, x1), x1), kind="identity", covers="identity"))
    claim.repaired(lambda seed=0, key=key: same_numbers(IN_ONE[key], 1, seed))
del claim, key


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
def least_on_the_line_of_2() -> Evidence:
    return prove(eps * Abs(x1 + x2) + Abs(x1 - x2) >= 2 * eps, [Eq(x1 + x2, 2)], covers="consequence")


@scaled_3.printed
def line_3() -> Evidence:
    """C(g) is antidiagonal, and 0 where g = 0, whatever the sign of a zero: its scale is 0 there."""
    sums = [sum(moved(scaled_sign(gradient(i)))) for i in (0, 1)]
    return prove(And(*(Eq(total, x1 + x2) for total in sums)), [eps < 1], covers="line")


@scaled_3.printed
def an_entry_vanishes_only_with_the_other() -> Evidence:
    """So sign(0) is asked only where the scale is 0."""
    pairs = [gradient(0), gradient(1)]
    return prove(And(*(Implies(Or(Eq(g, 0), Eq(h, 0)), Eq(Abs(g) + Abs(h), 0)) for g, h in pairs)), [eps < 1], covers="zeros")


@scaled_3.printed
def least_on_the_line_of_3() -> Evidence:
    f = 2 * (x1 - x2) ** 2 + 2 * eps**2 * (x1 + x2) ** 2
    whole = Eq((f - sum((r[0] * x1 + r[1] * x2) ** 2 for r in ROWS)).expand(), 0)
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
    rows, picks = ((HALF + 1, HALF - 1), (HALF - 1, HALF + 1)), (0, 1, 0, 1)
    x = compressed(exact_3(rows, picks), [Fraction(2, 9)] * 4, top)[-1]
    ratio = (2 * (x[0] - x[1]) ** 2 + 2 * HALF**2 * sum(x) ** 2) / 2
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
    f = sum((r[0] * x1 + r[1] * x2) ** 2 for r in HIDING)
    one = Implies(Or(x1 > 0, x1 < 0, x2 > 0, x2 < 0), f > 0)
    return prove(And(Eq(f.expand(), 2 * eps**2 * x1**2 + 2 * x2**2), one, f >= 2 * eps**2 * x1**2), covers="other f")


# -- rank-1 ----------------------------------------------------------------------------------------------------------------


def rank_claim(number: int, tail: str) -> Claim:
    return Claim(
        f"extension-compressor-rank-1-{number}",
        SECTION.format(number),
        f"Counterexample {number} extends to rank-1 without feedback: {ANY}",
        repaired="a vector of R^2 is a matrix of rank 1, so rank-1 is the identity: the method is SGD; on 2 x 2 matrices it "
        f"never moves X11 {tail}, and from X = E11, f(X_t) >= f(X_0) for any steps",
        expect="refuted",
    )


rank_2 = rank_claim(2, "if g = (epsilon sign(X11), sign(X22)) as a diagonal, of f = epsilon |X11| + |X22|, sign(0) = +-1")
rank_3 = rank_claim(3, "if g is 2 a_i <a_i, diag X> as a diagonal, a = (+-epsilon, 1), or 2 X12 E12 or 2 X21 E21")


@rank_2.printed
def subgradient_steps_of_2() -> Evidence:
    """The identity on R^2, gamma = 1/16: exact run with epsilon = 1/2."""
    xs = compressed(exact_2(HALF, 1), [Fraction(1, 16)] * 64, lambda p: p)
    values = [HALF * abs(a + b) + abs(a - b) for a, b in xs]
    outcome = "refuted" if min(values) < values[0] else "supported"
    detail = f"epsilon = 1/2, gamma = 1/16: min f(x_t) = {min(values)} (t <= 64), f(x_0) = {values[0]}"
    return Evidence("witness", outcome, detail, {"least": min(values)})


@rank_3.printed
def gradient_steps_of_3() -> Evidence:
    """The identity on R^2: every draw of 4 steps, gamma = 1/4, epsilon = 1/2."""
    rows, ratios = ((HALF + 1, HALF - 1), (HALF - 1, HALF + 1)), []
    for picks in product((0, 1), repeat=4):
        x = compressed(exact_3(rows, picks), [Fraction(1, 4)] * 4, lambda p: p)[-1]
        ratios.append((2 * (x[0] - x[1]) ** 2 + 2 * HALF**2 * sum(x) ** 2) / 2)
    outcome = "refuted" if min(ratios) < 1 else "supported"
    detail = f"epsilon = 1/2, gamma = 1/4: f(x_4)/f(x_0) between {float(min(ratios)):.3g} and {float(max(ratios)):.3g}"
    return Evidence("witness", outcome, detail, {"least": min(ratios), "largest": max(ratios)})


@rank_2.repaired
@rank_3.repaired
def a_row_has_rank_one() -> Evidence:
    """The one singular value is ||g||, the right vector g/||g||, and their product is g (and 0 for g = 0)."""
    norm = sqrt(x1**2 + x2**2)
    same = And(Eq((norm * (x1 / norm)).simplify(), x1), Eq((norm * (x2 / norm)).simplify(), x2))
    return prove(same, kind="identity", covers="identity")


@rank_2.repaired
@rank_3.repaired
def the_library_agrees(seed: int = 0) -> Evidence:
    pieces = [same_numbers(LowRank(1, shape), 2, seed) for shape in ((1, 2), (2, 1))]
    return next((piece for piece in pieces if piece.outcome != "supported"), pieces[0])


def diagonal_of_rank_one(g1, g2):
    """Rank-1 of diag(g1, g2) for |g1| < |g2| keeps g2 E22: the largest singular value is |g2|. Here: the share of E11."""
    return Piecewise((0, Abs(g1) < Abs(g2)), (g1, True))


def hidden(pairs) -> Evidence:
    """X11 stays for these diagonals (and for g = 0)."""
    return prove(And(*(Eq(diagonal_of_rank_one(a, b), 0) for a, b in pairs)), [eps < 1], covers="X11")


@rank_2.repaired
def x11_is_hidden_by_signs() -> Evidence:
    return hidden([(eps * sgn(x1, zero), sgn(x2, zero)) for zero in (1, -1)])


@rank_3.repaired
def x11_is_hidden_by_rows() -> Evidence:
    """x1, x2 stand for X11, X22; the other two gradients have no entry at 11 and are of rank 1."""
    return hidden([gradient(i, HIDING) for i in (0, 1)])


@rank_2.repaired
@rank_3.repaired
def the_price_of_x11() -> Evidence:
    y, z = Symbol("X12", real=True), Symbol("X21", real=True)
    smooth = 2 * eps**2 * x1**2 + 2 * x2**2 + y**2 + z**2
    return prove(And(smooth >= 2 * eps**2 * x1**2, eps * Abs(x1) + Abs(x2) >= eps * Abs(x1)), covers="consequence")


@rank_2.repaired
@rank_3.repaired
def the_library_keeps_the_larger_entry(seed: int = 0) -> Evidence:
    """LowRank on diag(g1, g2), |g1| < |g2|, against g2 E22."""
    rng = np.random.default_rng(seed)
    large = rng.choice([-1.0, 1.0], 500) * rng.uniform(0.1, 10, 500)
    v = np.zeros((500, 4))
    v[:, 0], v[:, 3] = large * rng.uniform(-0.99, 0.99, 500), large
    off = np.abs(LowRank(1, (2, 2))(v) - v * [0, 0, 0, 1]).max()
    outcome = "supported" if off < 1e-12 else "refuted"
    return Evidence("search", outcome, f"500 diagonals: off by {off:.1g}", covers="X11")


if __name__ == "__main__":
    main(__file__)
