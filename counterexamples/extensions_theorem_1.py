r"""Theorem I extends to majority vote and scaled sign; with momentum, the mean of workers, top-1 or rank-1 a member is solved.

Statement   "our counterexamples extend to SIGNSGD with momentum, multiple worker settings, and even other biased compression
            schemes", where Theorem I is "another counterexample" (contribution 1): f = sum l_i(<a_i, x>), sign(a_i) = +-s.
Source      Section 1, Our contributions and contribution 1; Section 3, Theorem I; B.1
Idea        Votes +-s add up to k s, and scaled sign sends (||g||_1/d) (+-s): both stay on x_0 + R s, as signSGD does. What adds
            gradients before it takes signs leaves the line: at v = x1 - x2 = 0 of Counterexample 3 (a member, s = (1, -1))
            g_i = 2 epsilon u [+-(1, -1) + epsilon (1, 1)], u = x1 + x2, and the parts +-(1, -1) cancel. So the rule "go to
            v = 0 and wait there until the sign is +-(1, 1), then go to u = 0" reaches x* itself. Top-1 sets one coordinate to 0
            in each step; rank-1 is the identity on vectors: SGD, which projects on <a_i, x> = 0 and contracts.
Conventions sign(0) = 0 in the update, as Theorem I needs; scaled sign: any. No sign of a 0 is asked in the witnesses.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Or, Piecewise, Rational, Symbol

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

plane = content.load(Path(__file__).with_name("_plane.py"))
aligned = content.load(Path(__file__).with_name("_aligned.py"))
SECTION = "Section 1, Our contributions (ours: part of extension-verbatim); Section 3, Theorem I"
HALF, START = Fraction(1, 2), (Fraction(3), Fraction(1))
BETAS = {name: Fraction(name) for name in ("0.5", "0.9", "0.99")}
NEVER = "a.s. x_t does not converge to x*, for all members, step-sizes and almost every x_0"


def claim_of(key: str, name: str, **more: str) -> Claim:
    return Claim(f"extension-{key}", SECTION, f"Theorem I extends to {name}: {NEVER}", **more)


# -- on the line: majority vote and scaled sign ----------------------------------------------------------------------------

vote = claim_of("workers-vote-theorem-1", "the majority vote of n workers (sign(0) = 0)")
scaled = claim_of("compressor-scaled-sign-theorem-1", "scaled sign without feedback, under every sign(0)")


@vote.printed
def votes_are_multiples_of_s() -> Evidence:
    """One worker's sign in coordinate j is k s_j with the same k in all coordinates; so is the sum of two such, and of n by
    induction; and sign(k s_j) = sign(k) s_j."""
    k, q = Symbol("k", real=True), Symbol("q", real=True)
    one = [
        Eq(aligned.sgn(aligned.h * aligned.entry(o, s, aligned.mj), 0), o * aligned.sgn(aligned.h, 0) * s)
        for o, s, _ in aligned.orientations()
    ]
    more = [Eq(k * s + q * s, (k + q) * s) for s in (1, -1)]
    voted = [Eq(aligned.sgn(k * s, 0), aligned.sgn(k, 0) * s) for s in (1, -1)]
    return prove(And(*one, *more, *voted), covers="on x_0 + R s")


@scaled.printed
def scaled_signs_are_multiples_of_s() -> Evidence:
    """C(g)_j = scale sign(g_j), scale = |h| ||a_i||_1/d: 0 with h, so that sign(0) is not asked."""
    norm = Symbol("a", positive=True)  # ||a_i||_1/d
    scale = norm * Piecewise((aligned.h, aligned.h >= 0), (-aligned.h, True))
    same = [
        Eq(scale * aligned.sgn(aligned.h * aligned.entry(o, s, aligned.mj), zero), norm * aligned.h * o * s)
        for o, s, _ in aligned.orientations()
        for zero in aligned.CONVENTIONS
    ]
    return prove(And(*same), covers="on x_0 + R s")


@vote.printed
@scaled.printed
def the_distance_to_the_line_stays() -> Evidence:
    """theorem-1-necessary: y = x - x* changes by c s, so N - p^2/d with N = ||y||^2, p = <s, y> stays, and N is at least that:
    it is 0 only for x_0 in x* + R s, a null set for d >= 2."""
    N, p, c, d = Symbol("N", real=True), Symbol("p", real=True), Symbol("c", real=True), Symbol("d", positive=True)
    same = Eq((N + 2 * c * p + c**2 * d) - (p + c * d) ** 2 / d, N - p**2 / d)
    return prove(And(same, N - p**2 / d <= N), covers="distance")


# -- off the line: momentum and the mean of workers ------------------------------------------------------------------------


def to_the_optimum(t: int, x: exact.Vector, m: exact.Vector) -> Fraction:
    """For u, v >= 0: along (1, -1) to v = 0 if the sign leads there, at v = 0 along (1, 1) to u = 0 if so; else wait."""
    u, v = x[0] + x[1], x[0] - x[1]
    if m[0] > 0 > m[1]:
        return v / 2
    return u / 2 if v == 0 and m[0] > 0 and m[1] > 0 else Fraction(0)


def solved(sent: Callable, x0: exact.Vector, T: int) -> list[exact.Vector]:
    """The exact run x_0, ..., x* of the sign of what is sent, under the rule; empty if x* is not reached in T steps."""
    path = exact.sign_sgd(sent, x0, to_the_optimum, T=T)
    return path[: path.index((0, 0)) + 1] if (0, 0) in path else []


def momentum(b: Fraction, picks: list[int], sums: list[exact.Vector]) -> Callable:
    """m_t = g_t + b m_{t-1} on Counterexample 3, epsilon = 1/2, where i_t works against the part (1, -1) of m; notes both."""
    m, rows = [Fraction(0), Fraction(0)], plane.rows_3(HALF)

    def sent(t: int, x: exact.Vector) -> exact.Vector:
        both = [[p + b * q for p, q in zip(plane.gradient_of(a, x), m, strict=True)] for a in rows]
        picks.append(min((0, 1), key=lambda i: abs(both[i][0] - both[i][1])) if t else 0)
        m[:] = both[picks[-1]]
        sums.append(tuple(m))
        return sums[-1]

    return sent


def is_the_sum(b: Fraction, path: list[exact.Vector], picks: list[int], sums: list[exact.Vector]) -> bool:
    """m_t = sum of b^(t-s) g_s over s <= t, from the path and the draws."""
    rows = plane.rows_3(HALF)
    g = [plane.gradient_of(rows[i], x) for i, x in zip(picks, path, strict=False)]
    return all(sums[t][j] == sum(b ** (t - s) * g[s][j] for s in range(t + 1)) for t in range(len(path) - 1) for j in (0, 1))


def with_momentum(b: Fraction) -> Evidence:
    """From (3, 1). The chance of the draws is 2^-T > 0; no entry of any m is 0, so the same signs, and the same end, hold for
    all x_0 near (3, 1)."""
    picks: list[int] = []
    sums: list[exact.Vector] = []
    path = solved(momentum(b, picks, sums), START, 40)
    if not path or path[1] != (2, 2) or any(0 in m for m in sums[: len(path) - 1]) or not is_the_sum(b, path, picks, sums):
        return Evidence("exact", "supported", f"beta = {b}: x* is not reached in 40 steps", covers="witness")
    draws = "".join(str(i + 1) for i in picks[: len(path) - 1])
    detail = f"beta = {b}, Counterexample 3, epsilon = 1/2, x_0 = (3, 1), i = {draws}: (2, 2) at t = 1, x_{len(path) - 1} = x*"
    return Evidence("witness", "refuted", detail, {"path": path, "i": draws}, covers="witness")


def mean_of(n: int, T: int = 2) -> Evidence:
    """All n draw i = 1, then floor(n/2) of them."""
    one, two = plane.rows_3(HALF)

    def sent(t: int, x: exact.Vector) -> exact.Vector:
        j = n // 2 if t else n
        return tuple(j * p + (n - j) * q for p, q in zip(plane.gradient_of(one, x), plane.gradient_of(two, x), strict=True))

    path = solved(sent, START, T)
    detail = f"n = {n}, Counterexample 3, epsilon = 1/2: x_t = " + ", ".join(f"({x[0]}, {x[1]})" for x in path)
    if not path:
        return Evidence("exact", "supported", f"n = {n}: x* is not reached in {T} steps", covers=f"n={n}")
    return Evidence("witness", "refuted", detail, {"path": path}, covers=f"n={n}")


RULE = "an adaptive rule that takes Counterexample 3, a member, from all x_0 near (3, 1) to x* itself with positive probability"


def momentum_claim(name: str) -> Claim:
    said = f"SIGNSGDM with beta = {name}"
    return claim_of(f"momentum-theorem-1-beta-{name}", said, repaired=f"epsilon = 1/2: there is {RULE}", expect="refuted")


half, nine, many = (momentum_claim(name) for name in BETAS)
mean = claim_of(
    "workers-mean-theorem-1",
    "the mean of n >= 2 workers",
    repaired=f"epsilon = 1/2, every n >= 2: there is {RULE}, after two steps",
    expect="refuted",
)

for claim, value in zip((half, nine, many), BETAS.values(), strict=True):
    claim.printed(lambda b=value: with_momentum(b))
    claim.repaired(lambda b=value: aligned.false_by_witness(with_momentum(b)))
for k in range(2, 7):
    mean.printed(lambda k=k: mean_of(k))
    mean.repaired(lambda k=k: aligned.false_by_witness(mean_of(k)).covering("two steps"))
del claim, value, k


@mean.repaired
def half_of_them_cancel_for_every_n() -> Evidence:
    """At v = 0: j g_1 + (n-j) g_2 = 2 epsilon u [(2j-n) (1, -1) + n epsilon (1, 1)], and 2j-n is 0 (n even) or -1 (n odd)."""
    j, n, u = Symbol("j", real=True), Symbol("n", positive=True), Symbol("u", positive=True)
    one, two = (plane.gradient_of(a, (u / 2, u / 2)) for a in plane.rows_3(Rational(1, 2)))
    sums = [j * p + (n - j) * q for p, q in zip(one, two, strict=True)]
    return prove(And(*(s > 0 for s in sums)), [n >= 2, Or(Eq(2 * j, n), And(Eq(2 * j, n - 1), n >= 3))], covers="every n")


@mean.repaired
def the_first_step_leads_to_v_0() -> Evidence:
    """v, u > 0, all draw i = 1: the sign is (1, -1) and the step v/2; then the sign is (1, 1) and the step u/2."""
    u, v = Symbol("u", positive=True), Symbol("v", positive=True)
    x = ((u + v) / 2, (u - v) / 2)
    g = plane.gradient_of(plane.rows_3(Rational(1, 2))[0], x)
    after = And(Eq(x[0] - v / 2, u / 2), Eq(x[1] + v / 2, u / 2))
    return prove(And(g[0] > 0, g[1] < 0, after), covers="every start with u, v > 0")


# -- top-1 and rank-1 ------------------------------------------------------------------------------------------------------

top = claim_of(
    "compressor-top-1-theorem-1",
    "top-1 without feedback",
    repaired="on Counterexample 3, a member, an adaptive step-size takes top-1 from all x_0 with 0 < x_2 < 2 x_1 to x* with "
    "probability at least 1/4 (epsilon = 1/2)",
    expect="refuted",
)
rank = claim_of(
    "compressor-rank-1-theorem-1",
    "rank-1 without feedback",
    repaired="on vectors it is SGD: on Counterexample 3, a member, with epsilon = 1/2 and gamma = 1/(2 ||a||^2), x_t -> x* "
    "almost surely from every x_0",
    expect="refuted",
)


def coordinate_by_coordinate() -> Evidence:
    """From (3, 1), i = 1, 2: gamma_t = x_k/g_k > 0 at the entry k that top-1 keeps."""
    path, steps = [START], []
    for a in plane.rows_3(HALF):
        x, kept = path[-1], exact.top_k(plane.gradient_of(a, path[-1]), 1)
        steps += [p / q for p, q in zip(x, kept, strict=True) if q]
        path.append(tuple(p - steps[-1] * q for p, q in zip(x, kept, strict=True)))
    detail = "Counterexample 3, epsilon = 1/2, i = 1, 2: x_t = " + ", ".join(f"({a}, {b})" for a, b in path)
    outcome = "refuted" if path[-1] == (0, 0) and all(step > 0 for step in steps) else "supported"
    return Evidence("witness", outcome, detail, {"path": path}, covers="witness")


def projections_contract() -> Evidence:
    """x - a <a, x>/||a||^2 is never longer than x; after both draws in a row its square is at most 9/25 of what it was: this
    happens infinitely often almost surely."""
    x, rows = (Symbol("x1", real=True), Symbol("x2", real=True)), plane.rows_3(Rational(1, 2))

    def projected(a, y):
        return tuple(p - q / (2 * plane.inner(a, a)) for p, q in zip(y, plane.gradient_of(a, y), strict=True))

    both = [projected(rows[1 - i], projected(rows[i], x)) for i in (0, 1)]
    shorter = [plane.inner(y, y) <= plane.inner(x, x) for y in (projected(a, x) for a in rows)]
    smaller = [plane.inner(y, y) <= Rational(9, 25) * plane.inner(x, x) for y in both]
    return prove(And(*shorter, *smaller), covers="contraction")


@top.printed
def two_draws_end_at_the_optimum() -> Evidence:
    return coordinate_by_coordinate()


@top.repaired
def from_an_open_set() -> Evidence:
    """top-1 keeps entry 1 of g_1 (3/2 against 1/2), of the sign of x_1 as 3 x_1 > x_2; then entry 2 of g_2, at x_1 = 0."""
    a, b = Symbol("x1", positive=True), Symbol("x2", positive=True)
    one, two = plane.rows_3(Rational(1, 2))
    g, h = plane.gradient_of(one, (a, b)), plane.gradient_of(two, (0, b))
    return prove(And(g[0] > 0, g[0] ** 2 > g[1] ** 2, h[1] > 0, h[1] ** 2 > h[0] ** 2), [b < 2 * a], covers="open set")


@top.repaired
def and_does() -> Evidence:
    return aligned.false_by_witness(coordinate_by_coordinate())


@rank.printed
def sgd_converges() -> Evidence:
    found = projections_contract()
    outcome = "refuted" if found.outcome == "proved" else "supported"
    detail = (
        "Counterexample 3, epsilon = 1/2, gamma = 1/(2 ||a||^2) = 1/5: ||x||^2 falls to at most 9/25 after i = 1, 2 or 2, 1"
    )
    return Evidence("exact", outcome, detail, covers="contraction")


rank.repaired(projections_contract)


@half.repaired
@nine.repaired
@many.repaired
@mean.repaired
@top.repaired
@rank.repaired
def counterexample_3_is_a_member() -> Evidence:
    """Rows (3/2, -1/2), (-1/2, 3/2): signs +-(1, -1), linearly independent."""
    rows = plane.rows_3(HALF)
    return Evidence("exact", "proved" if aligned.is_member(rows) else "refuted", f"rows {rows}", covers="member")


if __name__ == "__main__":
    main(__file__)
