r"""Majority vote extends all three counterexamples; the sign of the mean of n workers does so on 2, on 1 for n = 1, 2, 6.

Statement   "our counterexamples extend to [...] multiple worker settings": n workers draw independent g_1 ... g_n at x_t.
            vote: x_{t+1} = x_t - gamma_t sign(sum_i sign(g_i));   mean: x_{t+1} = x_t - gamma_t sign(sum_i g_i).
Source      Section 1, Our contributions; Section 3, Counterexamples 1, 2 and 3
Idea        1: a vote of signs that are mostly -1 is mostly negative, for every n. The mean is positive iff more than n/5 of the
            workers draw 4: mostly not for n = 1, 2, 6; mostly so for all other n. Rarer spikes than one in 2n turn it back.
            2: all workers have the same full gradient, so both are signSGD.
            3: signs +-(1, -1) add up to k (1, -1): the vote stays on the line. Gradients add up to more: a_1 and a_2 have the
            mean epsilon (1, 1), so from n = 2 on the mean leaves the line, but for a constant step far above epsilon.
Conventions 1: before projection, as the identities of the paper (at the boundary nothing rises); sign(0) matters for n = 5, 10.
            2: sign(0) = +-1 in the subgradient. 3: sign(0) = 0 or -1 (workers and vote); with 1, a tie of two workers leads to
            x*. 2 and 3 are those that the counterexample itself needs.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import comb
from pathlib import Path

from sympy import And, Eq, Ge, Implies, Rational, Symbol, binomial, combsimp, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

plane = content.load(Path(__file__).with_name("_plane.py"))
sgn = plane.sgn
SECTION = "Section 1, Our contributions (ours: part of extension-verbatim, multiple workers); Section 3, Counterexample {}"
HALF, ONE = Fraction(1, 2), (Fraction(1), Fraction(1))
x1, x2 = Symbol("x1", real=True), Symbol("x2", real=True)
eps = Symbol("epsilon", positive=True)
gamma = Symbol("gamma", nonnegative=True)
n = Symbol("n", positive=True)


def chances(value: Callable[[int, int], int], workers: int, p: Fraction = Fraction(1, 4)) -> tuple[Fraction, Fraction]:
    """P(value < 0), P(value > 0), where value(j, n) is what is signed when j of n workers draw the spike (w.p. p each)."""
    mass = [comb(workers, j) * p**j * (1 - p) ** (workers - j) for j in range(workers + 1)]
    negative = sum((q for j, q in enumerate(mass) if value(j, workers) < 0), Fraction(0))
    return negative, sum((q for j, q in enumerate(mass) if value(j, workers) > 0), Fraction(0))


def vote(j: int, workers: int) -> int:
    """Sum of the signs in Counterexample 1 when j workers draw 4 and the others -1."""
    return j - (workers - j)


def total(j: int, workers: int) -> int:
    """Sum of the gradients in the same case."""
    return 4 * j - (workers - j)


def rises(value: Callable[[int, int], int], workers: int, zero: int) -> bool:
    """E f(x_{t+1}) > f(x_t) before projection, whatever x_t and gamma > 0: E sign < 0."""
    negative, positive = chances(value, workers)
    return positive - negative + zero * (1 - negative - positive) < 0


# -- Counterexample 1 ------------------------------------------------------------------------------------------------------

vote_1 = Claim(
    "extension-workers-vote-1",
    SECTION.format(1),
    "Counterexample 1 extends to the majority vote of n workers: before projection, E f(x_{t+1}) > f(x_t) for every n, "
    "gamma > 0 and sign(0)",
)


@vote_1.printed
def votes_counted() -> Evidence:
    wrong = [(k, zero) for k in range(1, 26) for zero in (-1, 0, 1) if not rises(vote, k, zero)]
    low = min(chances(vote, k)[0] for k in range(1, 26))
    detail = f"n = 1, ..., 25, every sign(0): E sign < 0; P(vote < 0) >= {low}" if not wrong else f"not for {wrong[0]}"
    return Evidence("exact", "refuted" if wrong else "supported", detail, covers="every n")


@vote_1.printed
def the_vote_is_the_sum_of_the_signs() -> Evidence:
    """Worker by worker: 4 has the sign 1, -1 the sign -1; for n = 1, ..., 8 and every outcome."""
    outcomes = [(j, [1] * j + [-1] * (n - j)) for n in range(1, 9) for j in range(n + 1)]
    same = all(vote(j, len(signs)) == sum(signs) for j, signs in outcomes)
    return Evidence("exact", "proved" if same else "refuted", f"{len(outcomes)} outcomes", covers="the vote")


@vote_1.printed
def pairs_of_outcomes() -> Evidence:
    """sign(0) = 1 is the worst case: the vote counts as + if j >= n/2 workers draw 4. Write n = 2h or 2h + 1.

    n odd: pair j = h+1+k with j = h-k: equal binomials, ratio of chances 3^-(2k+1) < 1. n even: pair j = h+k with h-1-k, so
    that only j = n, if anything, has no partner left; the binomials have the ratio (h+k+1)/(h-k) <= 2k+2 < 3^(2k+1), k <= h-1.
    For k = h, j = n = 2h: chance 4^-n has no partner; it is covered by the slack of the pair k = 0, see the next check.
    """
    h, k, w = Symbol("h", positive=True), Symbol("k", nonnegative=True), Symbol("w", positive=True)  # w = 3^(2k+1)
    ratio = Implies(h >= k + 1, (h + k + 1) <= (2 * k + 2) * (h - k))
    power = And(3 > 2, Implies(w > 2 * k + 2, 9 * w > 2 * k + 4))
    return prove(And(ratio, power), covers="every n")


@vote_1.printed
def ratios_of_their_binomials() -> Evidence:
    """C(2h, h+k)/C(2h, h-1-k), and its case k = 0 upside down; n odd: C(2h+1, h+1+k) = C(2h+1, h-k)."""
    h, k = symbols("h k", integer=True, positive=True)
    same = [
        combsimp(binomial(2 * h, h + k) / binomial(2 * h, h - 1 - k)) - (h + k + 1) / (h - k),
        combsimp(binomial(2 * h, h - 1) / binomial(2 * h, h)) - h / (h + 1),
        combsimp(binomial(2 * h + 1, h + 1 + k) / binomial(2 * h + 1, h - k)) - 1,
    ]
    return prove(And(*(Eq(difference.simplify(), 0) for difference in same)), kind="identity", covers="binomials")


@vote_1.printed
def the_unanimous_vote_is_covered() -> Evidence:
    """n = 2h: chance of j = h-1 minus that of j = h is at least 4^-n C(2h, h) 3^h (3 h/(h+1) - 1) > 4^-n, as w = 3^h >= 3."""
    h, w, c = Symbol("h", positive=True), Symbol("w", positive=True), Symbol("c", positive=True)
    return prove(c * w * (3 * h / (h + 1) - 1) > 1, [h >= 1, w >= 3, c >= 2], covers="the last outcome")


mean_1 = Claim(
    "extension-workers-mean-1",
    SECTION.format(1),
    "Counterexample 1 extends to the mean of n workers: before projection, E f(x_{t+1}) > f(x_t) for every n and gamma > 0",
    repaired="before projection it holds for n = 1, 2, 6 and no other n if sign(0) = 0 or 1, and for n = 1, 2, 5, 6, 10 if "
    "sign(0) = -1; with g = 2n+1 w.p. 1/(2n+1), else -1, it holds for every n and every sign(0)",
    expect="refuted",
)
HOLDS = {-1: {1, 2, 5, 6, 10}, 0: {1, 2, 6}, 1: {1, 2, 6}}
COUNTED = 80  # n up to here by enumeration, from 76 on by Cantelli's inequality


@mean_1.printed
def means_counted() -> Evidence:
    table = {k: chances(total, k) for k in range(1, 11)}
    fails = [k for k in table if not rises(total, k, -1)]  # sign(0) = -1 helps the claim most; n up to 10 is enough
    shown = ", ".join(f"{k}: {table[k][1]}" for k in (1, 2, 3, 4, 7))
    detail = f"P(mean > 0) for n = {shown}; f falls for n = {', '.join(map(str, fails))} even if sign(0) = -1"
    return Evidence("exact", "refuted" if fails else "supported", detail, {"fails": fails, "chances": table})


@mean_1.repaired
def which_n_hold() -> Evidence:
    found = {zero: {k for k in range(1, COUNTED + 1) if rises(total, k, zero)} for zero in (-1, 0, 1)}
    detail = "; ".join(f"sign(0) = {zero}: n = {sorted(ns)}" for zero, ns in found.items()) + f" of 1, ..., {COUNTED}"
    return Evidence("exact", "proved" if found == HOLDS else "refuted", detail, covers="n <= 80")


@mean_1.repaired
def none_beyond() -> Evidence:
    """Cantelli: P(mean <= 0) <= V/(V + mu^2) with mu = 1/4, V = 75/(16 n); below 1/2 for n > 75."""
    p = Rational(1, 4)
    mu, var = 4 * p - (1 - p), p * (1 - p) * 25 / n
    moments = And(Eq(mu, Rational(1, 4)), Eq(var, Rational(75, 16) / n))
    return prove(And(moments, var / (var + mu**2) < Rational(1, 2)), [n >= 76], covers="n > 75")


@mean_1.repaired
def rare_spikes() -> Evidence:
    """(1-p)^n >= 1 - n p > 1/2 with p = 1/(2n+1): nobody draws the spike, so all signs are -1. E g = p > 0."""
    p, r, j = 1 / (2 * n + 1), Symbol("r", nonnegative=True), Symbol("j", nonnegative=True)  # r stands for (1-p)^j
    facts = And(r * (1 - p) >= 1 - (j + 1) * p, 1 - n * p > Rational(1, 2), Eq(((2 * n + 1) * p - (1 - p)).simplify(), p))
    return prove(facts, [r >= 1 - j * p, n >= 1], covers="constants changed")


# -- Counterexample 2 ------------------------------------------------------------------------------------------------------


def same_as_one(sent: Callable) -> Evidence:
    """The sign of what n workers with the same gradient y send is sign(y), entry by entry."""
    y = Symbol("y", real=True)
    return prove(Eq(sgn(n * sent(y), 0), sgn(y, 0)), covers="same step")


def stays(zero: int) -> Evidence:
    """The line under one worker's signSGD, from anywhere with x1 + x2 > 0."""
    g, h = plane.gradient_2(eps, (x1, x2), lambda v: sgn(v, zero))
    a, b = x1 - gamma * sgn(g, 0), x2 - gamma * sgn(h, 0)
    return prove(Eq(a + b, x1 + x2), [x1 + x2 > 0, eps < 1], covers=f"line, zero={zero}")


def best_of_line() -> Evidence:
    return prove(plane.f_2(eps, (x1, x2)) >= 2 * eps, [Eq(x1 + x2, 2)], covers="consequence")


SECOND = (
    "Counterexample 2 extends to the {} of n workers: from (1, 1), for any n and step-size sequence, f(x_t) >= f(x_0) "
    "(sign(0) = +-1 in the subgradient)"
)
vote_2 = Claim("extension-workers-vote-2", SECTION.format(2), SECOND.format("majority vote"))
mean_2 = Claim("extension-workers-mean-2", SECTION.format(2), SECOND.format("mean"))
vote_2.printed(lambda: same_as_one(lambda y: sgn(y, 0)))
mean_2.printed(lambda: same_as_one(lambda y: y))
for claim in (vote_2, mean_2):
    claim.printed(lambda: stays(1))
    claim.printed(lambda: stays(-1))
    claim.printed(best_of_line)
del claim


# -- Counterexample 3 ------------------------------------------------------------------------------------------------------

ROWS = plane.rows_3(eps)


def gradient(i: int, a=x1, b=x2):
    return plane.gradient_of(ROWS[i], (a, b))


def f(a, b):
    return plane.f_of(ROWS, (a, b))


vote_3 = Claim(
    "extension-workers-vote-3",
    SECTION.format(3),
    "Counterexample 3 extends to the majority vote of n workers: from (1, 1), for any n and step-size sequence, f(x_t) >= "
    "f(x_0) almost surely (sign(0) = 0 or -1 for workers and vote; not if it is 1)",
)


@vote_3.printed
def one_worker_sends_the_antidiagonal() -> Evidence:
    """(s, -s) wherever g != 0; where g = 0, both entries are sign(0)."""
    signs = [[sgn(g, 0) for g in gradient(i)] for i in (0, 1)]
    both = And(*(Eq(s, -r) for s, r in signs))
    nonzero = And(*(Implies(Eq(g, 0), Eq(h, 0)) for g, h in map(gradient, (0, 1))))
    return prove(And(both, nonzero), [eps < 1], covers="one worker")


@vote_3.printed
def votes_add_up_to_the_antidiagonal() -> Evidence:
    """k (1, -1) for sign(0) = 0: x1 + x2 stays. k (1, -1) - q (1, 1), q >= 0, for sign(0) = -1: it cannot fall."""
    k, q = Symbol("k", real=True), Symbol("q", nonnegative=True)
    zero = -1
    return prove(And(Eq(sgn(k, 0) + sgn(-k, 0), 0), sgn(k - q, zero) + sgn(-k - q, zero) <= 0), covers="vote")


@vote_3.printed
def there_f_is_at_least_that_of_the_start() -> Evidence:
    return prove(Ge(f(x1, x2), f(1, 1)), [x1 + x2 >= 2], covers="consequence")


def exact_f(epsilon: Fraction, x: tuple[Fraction, ...]) -> Fraction:
    return Fraction(plane.f_of(plane.rows_3(epsilon), x))


def exact_run(epsilon: Fraction, draws: list[tuple[int, int]], steps: list[Fraction], start=ONE, voting=False, zero=0):
    """Iterates when, at step t, draws[t] = (workers with i = 1, workers with i = 2)."""

    def sent(t: int, x: tuple[Fraction, ...]) -> tuple[Fraction, ...]:
        gs = [plane.gradient_of(a, x) for a in plane.rows_3(epsilon)]
        if voting:
            gs = [tuple(exact.sign(g, zero) for g in pair) for pair in gs]
        return tuple(draws[t][0] * a + draws[t][1] * b for a, b in zip(*gs, strict=True))

    return exact.sign_sgd(sent, start, steps, zero=zero)


@vote_3.printed
def exact_votes() -> Evidence:
    """All draws of three steps, n = 2 and 3, zero = 0, -1, 1."""
    least = {}
    for zero, k in product((0, -1, 1), (2, 3)):
        for js in product(range(k + 1), repeat=3):
            steps = [HALF, Fraction(1, 4), HALF]
            xs = exact_run(HALF, [(j, k - j) for j in js], steps, voting=True, zero=zero)
            least[zero] = min(least.get(zero, Fraction(2)), *(exact_f(HALF, x) for x in xs))
    good = least[0] >= 2 and least[-1] >= 2 and least[1] < 2
    detail = "least f(x_t) (f(x_0) = 2): " + ", ".join(f"{value} (sign(0) = {zero})" for zero, value in least.items())
    return Evidence("exact", "proved" if good else "refuted", detail, covers="conventions")


mean_3 = Claim(
    "extension-workers-mean-3",
    SECTION.format(3),
    "Counterexample 3 extends to the mean of n workers: from (1, 1), for any n and step-size sequence, f(x_t) >= f(x_0) almost "
    "surely",
    repaired="for no n >= 2 and epsilon: gamma_0 = epsilon (n-2)/n, gamma_1 = 1 reach f(x_2) = ((n-2)/n)^2 f(x_0) with "
    "positive probability; for every n, constant gamma, epsilon (2 + 2 epsilon + gamma) < gamma: from "
    "(1 + gamma/2, 1 - gamma/2) x_t alternates between this point and its mirror image for every draw",
    expect="refuted",
)


def two_steps(workers: int, epsilon: Fraction) -> Evidence:
    """First all workers draw i = 1, then all but one (but for n = 2 the first step is 0)."""
    steps = [epsilon * Fraction(workers - 2, workers), Fraction(1)]
    xs = exact_run(epsilon, [(workers, 0), (workers - 1, 1)], steps)
    ratio = exact_f(epsilon, xs[2]) / exact_f(epsilon, xs[0])
    detail = f"n = {workers}, epsilon = {epsilon}: x_2 = ({xs[2][0]}, {xs[2][1]}), f(x_2)/f(x_0) = {ratio}"
    return Evidence("witness", "refuted" if ratio < 1 else "supported", detail, {"x": list(xs[2])}, covers=f"n={workers}")


for k in range(2, 11):
    mean_3.printed(lambda k=k: two_steps(k, HALF))
del k


@mean_3.repaired
def two_steps_for_every_n() -> Evidence:
    """x_1 = (1 - h, 1 + h), h = epsilon (n-2)/n; there n-1 gradients i = 1 and one i = 2 add up to two positive entries."""
    h = eps * (n - 2) / n
    first = And(gradient(0, 1, 1)[0] > 0, gradient(0, 1, 1)[1] < 0)
    one, two = gradient(0, 1 - h, 1 + h), gradient(1, 1 - h, 1 + h)
    sums = [((n - 1) * a + b).simplify() for a, b in zip(one, two, strict=True)]
    ratio = Eq((f(-h, h) - ((n - 2) / n) ** 2 * f(1, 1)).simplify(), 0)
    return prove(And(first, sums[0] > 0, sums[1] > 0, ratio), [eps < 1, n >= 2], covers="two steps")


@mean_3.repaired
def a_large_constant_step_alternates() -> Evidence:
    """u = 2, v = +-gamma, r in [-1, 1]: the mean is 2 [(v + 2 epsilon r)(1, -1) + epsilon (2 epsilon + r v)(1, 1)]."""
    v, r = Symbol("v", real=True), Symbol("r", real=True)
    point = (1 + v / 2, 1 - v / 2)
    means = [((1 + r) * a + (1 - r) * b) / 2 for a, b in zip(gradient(0, *point), gradient(1, *point), strict=True)]
    here, there = [m.subs(v, gamma) for m in means], [m.subs(v, -gamma) for m in means]
    ahead = And(here[0] > 0, here[1] < 0, there[0] < 0, there[1] > 0)
    return prove(ahead, [r >= -1, r <= 1, eps * (2 + 2 * eps + gamma) < gamma], covers="alternation")


@mean_3.repaired
def exact_runs_alternate() -> Evidence:
    """All draws of three steps for n = 1, ..., 4; gamma = 1/4, epsilon = 1/10."""
    step, epsilon, runs = Fraction(1, 4), Fraction(1, 10), 0
    start, allowed = (1 + step / 2, 1 - step / 2), 0 < epsilon * (2 + 2 * epsilon + step) < step
    for k in range(1, 5):
        for js in product(range(k + 1), repeat=3):
            xs = exact_run(epsilon, [(j, k - j) for j in js], [step] * 3, start=start)
            runs += 1
            if not allowed or xs != [start, start[::-1]] * 2:
                return Evidence("witness", "refuted", f"n = {k}, j = {js}: the run leaves its two points", covers="alternation")
    return Evidence("exact", "supported", f"{runs} exact runs alternate", covers="alternation")


if __name__ == "__main__":
    main(__file__)
