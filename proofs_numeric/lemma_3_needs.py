r"""Lemma 3 fails for a step size that is reduced, for p_t outside Q, on single runs, and for draws that are not fresh.

Statement   E||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2/delta^2, read more widely than its proof: gamma the step in use;
            C a compressor over some Q; without the expectation; "in expectation" without saying given what.
Source      Section 4, Lemma 3 and Assumption A; B.2; Section 6.1 for the decimated learning rates
Idea        The memory holds old, larger steps. C may do anything outside Q: the sign operator is a compressor over an interval
            and leaves an error of size 1 however small gamma g is. A random C is a contraction on average over its draws: a
            run may be unlucky for ever; and if the draw is made once and kept, every run is. The repaired statements follow
            from the steps of lemma_3.py, which are run again here.
Conventions e in the unit of x; sign(0) = 0 in the sign operator, which meets no 0.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

from sympy import And, Eq, Matrix, Symbol, symbols

from efcheck import bounds, content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

base = content.load(Path(__file__).with_name("lemma_3.py"))
LEMMA, q, w, gamma, sigma, m, n = base.LEMMA, base.q, base.w, base.gamma, base.sigma, base.m, base.n
HALF = Fraction(1, 2)
Vector = tuple[Fraction, ...]


def right_side(delta: Fraction, step: Fraction, scale2: Fraction) -> Fraction:
    """The printed right side on Fractions, sigma^2 = scale2."""
    value = LEMMA.printed.expression.subs({bounds.delta: delta, gamma: step, sigma: 1}) * scale2
    return Fraction(int(value.p), int(value.q))


def exceeds(left: Fraction, right: Fraction, story: str, **data) -> Evidence:
    """refuted if the left side is larger, as numbers."""
    shown = (str(v) if v.denominator == 1 else f"{v} = {float(v):.4g}" for v in (left, right))
    detail = "{}: left side {}, right side {}".format(story, *shown)
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"left": left, "right": right, **data})


changing = Claim(
    "lemma-3-needs-one-step-size",
    "Section 4, Lemma 3, read with the decimated learning rates of Section 6.1",
    "with a step size that is reduced: E||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2/delta^2, gamma the one in use [gamma_{t-1}]",
    repaired="with gamma the largest so far; for any steps sqrt(E||e_t||^2) <= sigma sum_{i<t} q^{t-i} gamma_i",
    expect="refuted",
)


@changing.printed
def the_memory_keeps_the_old_step() -> Evidence:
    """C(p) = p/2 in one dimension, g = 1, gamma = 1, then 1/100."""
    steps = [Fraction(1), Fraction(1, 100)]
    _, es = exact.ef_sgd(lambda t, x: (1,), (0,), steps, lambda p: (p[0] / 2,))
    right = right_side(Fraction(3, 4), steps[-1], Fraction(1))
    return exceeds(es[2][0] ** 2, right, "C(p) = p/2 (delta = 3/4), g = 1, gamma = 1, 1/100, t = 2", e=es[2][0])


@changing.picture
def the_memory_decays_by_q_alone(ax):
    share, cut, T = Fraction(9, 10), 25, 80
    steps = [Fraction(1) if t < cut else Fraction(1, 100) for t in range(T)]
    _, es = exact.ef_sgd(lambda t, x: (1,), (0,), steps, lambda p: (p[0] * (1 - share),))
    t = range(1, T + 1)
    for now, name, look in ((steps, "with the step in use", "--"), ([max(steps)] * T, "with the largest step", ":")):
        right = [float(right_side(1 - share**2, step, Fraction(1))) for step in now]
        ax.plot(t, right, linestyle=look, color="#D55E00" if look == "--" else "#009E73", label=f"right side {name}")
    ax.plot(t, [float(e) ** 2 for (e,) in es[1:]], color="#000000", label="$e_t^2$")
    ax.set(yscale="log", xlabel="$t$", ylabel="(log)", ylim=(1e-3, 1e4))
    ax.legend(loc="upper right", fontsize=6)
    return (
        f"C(p) = (1 - q) p with q = {share}, g = 1, and a step that falls from 1 to 1/100 at t = {cut}: the memory falls by "
        "q a step, the bound with the step in use at once."
    )


@changing.repaired
def the_sum_over_all_steps() -> Evidence:
    """S_t = sum_{i<t} q^{t-i} gamma_i sigma has S_{t+1} = q (S_t + gamma_t sigma): the next bound; S_0 = 0."""
    S = Symbol("S", nonnegative=True)
    return prove(base.grown(m, n) <= q * (S + gamma * sigma), [q < 1, m <= S, n <= sigma], covers="any steps")


@changing.repaired
def the_largest_step_will_do() -> Evidence:
    step = Symbol("gamma_t", nonnegative=True)
    hypotheses = [q < 1, w <= 1, n <= sigma, step <= gamma, m <= base.root(w)]
    return prove(
        And(q * (m + step * n) <= base.root(q * w), base.sharp(w) <= base.printed()), hypotheses, covers="largest step"
    )


domain = Claim(
    "lemma-3-needs-domain",
    "Section 4, Lemma 3 with Assumption A (compressor over Q)",
    "if C is a delta-approximate compressor over Q, then E||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2/delta^2",
    repaired="if moreover p_0, ..., p_{t-1} are in Q almost surely, as they are for Q = R^d",
    expect="refuted",
)


@domain.printed
def sign_over_an_interval() -> Evidence:
    """C = sign on R: |sign(x) - x| <= |x|/2 iff |x| is in [2/3, 2], so delta = 3/4 over that Q; gamma g = 1/100 is outside."""
    inside = all((exact.sign(x, 0) - x) ** 2 <= x * x / 4 for x in (Fraction(k, 30) for k in range(20, 61)))
    _, es = exact.ef_sgd(lambda t, x: (1,), (0,), [Fraction(1, 100)], lambda p: (exact.sign(p[0], 0),))
    right = right_side(Fraction(3, 4), Fraction(1, 100), Fraction(1))
    found = exceeds(es[1][0] ** 2, right, "C = sign, Q = [2/3, 2], delta = 3/4, g = 1, gamma = 1/100, t = 1", e=es[1][0])
    return found if inside else Evidence("witness", "undecided", "sign is not a 3/4-compressor over [2/3, 2]")


@domain.repaired
def inside_it_is_the_same_step() -> Evidence:
    return base.one_step_in_root_mean_squares()


@domain.repaired
def and_the_same_induction() -> Evidence:
    return base.solved_by_induction()


@domain.repaired
def with_the_printed_constant() -> Evidence:
    return base.at_most_as_printed()


path = Claim(
    "lemma-3-needs-expectation",
    "Section 4, Lemma 3 with Assumption A (randomized compressors are allowed, in expectation)",
    "the norm of the error is bounded [on every run]: ||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2/delta^2",
    repaired="in expectation over C's draws, if each is fresh given the past; on a run there is no bound, ||e_t|| may be as "
    "large as t gamma ||g||/sqrt(2) with positive probability",
    expect="refuted",
)


def unlucky(T: int) -> Fraction:
    """||e_T||^2 of random-1 (delta = 1/2) on g = (1, 1), gamma = 1, when entry 1 is never drawn: chance 2^-T."""
    _, es = exact.ef_sgd(lambda t, x: (1, 1), (0, 0), [1] * T, lambda p: (Fraction(0), p[1]))
    return sum((c * c for c in es[T]), Fraction(0))


@path.printed
def an_unlucky_run_goes_beyond() -> Evidence:
    return exceeds(
        unlucky(5), right_side(HALF, Fraction(1), Fraction(2)), "random-1, g = (1, 1), gamma = 1, t = 5, chance 1/32"
    )


@path.repaired
def without_a_bound() -> Evidence:
    """From e = (s, 0) the step p = (s + 1, 1) leaves (s + 1, 0): ||e_s||^2 = s^2 = s^2 ||g||^2/2."""
    s = Symbol("s", nonnegative=True)
    p = Matrix([s, 0]) + Matrix([1, 1])
    left = p - Matrix([0, p[1]])
    grows = And(Eq(left.dot(left), (s + 1) ** 2 * Matrix([1, 1]).dot(Matrix([1, 1])) / 2), left[1] == 0)
    good = all(unlucky(t) == t * t for t in range(8))
    return prove(And(good, grows), kind="identity", covers="no bound on a run")


@path.repaired
def in_expectation_it_holds() -> Evidence:
    """E over C given the past is the first inequality of `one_step_in_root_mean_squares`; then the induction of lemma-3."""
    return base.one_step_in_root_mean_squares()


SCRIPTS = (((1, 1, 1),) * 4, ((2, -1, 0), (0, 2, 1), (1, 0, 2), (-2, 1, 0)))


def kept_entry(i: int, p: Vector) -> Vector:
    """random-1 when entry i is drawn."""
    return tuple(c if j == i else 0 * c for j, c in enumerate(p))


def mean_square(script, sequences) -> Fraction:
    """The mean of ||e_T||^2 over equally likely sequences of drawn entries, gamma = 1."""
    total, count = Fraction(0), 0
    for picks in sequences:
        draw = iter(picks)
        rule = lambda p, draw=draw: kept_entry(next(draw), p)  # noqa: E731
        _, es = exact.ef_sgd(lambda t, x: script[t], (0,) * len(script[0]), [1] * len(script), rule)
        total, count = total + sum(c * c for c in es[-1]), count + 1
    return total / count


@path.repaired
def all_draws_of_a_small_case() -> Evidence:
    """random-1 (delta = 1/3) in R^3, 4 steps: E||e_4||^2 over all 81 sequences of fresh draws, two scripts of gradients."""
    found = []
    for script in SCRIPTS:
        left = mean_square(script, product(range(3), repeat=4))
        right = right_side(Fraction(1, 3), Fraction(1), Fraction(max(sum(c * c for c in g) for g in script)))
        found.append(left)
        if left > right:
            return Evidence("exact", "refuted", f"E||e_4||^2 = {left} > {right}", covers="one step")
    shown = ", ".join(map(str, found))
    return Evidence("exact", "supported", f"E||e_4||^2 = {shown} over all 81 sequences, two scripts", covers="one step")


fresh = Claim(
    "lemma-3-needs-fresh-draws",
    "Section 4, Assumption A and Lemma 3",
    "Randomized compressors satisfying the assumption in expectation [E||C(x) - x||^2 <= (1 - delta) ||x||^2 for all x] are "
    "also allowed [in Lemma 3]",
    repaired="if E[||C(p_t) - p_t||^2 | p_t] <= (1 - delta) ||p_t||^2: C's draw at t is made afresh, given the past",
    expect="refuted",
)


@fresh.printed
def a_draw_that_is_kept() -> Evidence:
    """random-1 in R^2, one draw for the whole run: E||C(x) - x||^2 = ||x||^2/2 for all x; the other entry is never sent."""
    x1, x2 = symbols("x1 x2", real=True)
    average = sum((x1 - a) ** 2 + (x2 - b) ** 2 for a, b in ((x1, 0), (0, x2))) / 2
    meets = average.expand() == ((x1**2 + x2**2) / 2).expand()
    T = 5
    left = mean_square(((1, 1),) * T, [(0,) * T, (1,) * T])
    right = right_side(HALF, Fraction(1), Fraction(2))
    found = exceeds(left, right, "one draw of an entry kept for the run, delta = 1/2, g = (1, 1), gamma = 1, E||e_5||^2")
    return found if meets else Evidence("witness", "undecided", "Assumption A is not met")


@fresh.repaired
def given_the_past_it_is_the_same_step() -> Evidence:
    """E||e_{t+1}||^2 = E[E[||C(p_t) - p_t||^2 | p_t]] <= q^2 E||p_t||^2: the first inequality of the one step."""
    return base.one_step_in_root_mean_squares()


@fresh.repaired
def and_the_same_induction_again() -> Evidence:
    return base.solved_by_induction()


@fresh.repaired
def and_the_same_constant() -> Evidence:
    return base.at_most_as_printed()


if __name__ == "__main__":
    main(__file__)
