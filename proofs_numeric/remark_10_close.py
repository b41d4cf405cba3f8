r"""Close in units of the step, and not relative to ||x_t||; a smaller step need not reduce the distance at once.

Statement   "the iterates of Algorithm 2 are always close to the linear span of the gradients": ||x_t - Pi x_t||^2 <=
            4 gamma^2 (1 - delta)/delta^2 max_{i in [t]} ||g_i||^2. "This distance further reduces as the algorithm progresses
            since the step-size gamma is typically reduced."
Source      Section 5.1, Remark 10
Idea        The display is what "close" means: remark_10.py proves it, and its right side does not grow with t, while the
            distance of SIGNSGD does. Relative to ||x_t|| nothing is said: 0 is in the span, and an iterate may be orthogonal to
            it. With steps gamma_t the bound is a sum over all old steps, which forgets them at the rate q: it follows gamma
            with a delay.
Conventions as in remark_10.py.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from sympy import And, Eq, Symbol, symbols

from efcheck import content
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

span = content.load(Path(__file__).with_name("_span.py"))
remark_10 = content.load(Path(__file__).with_name("remark_10.py"))
SECTION, q, w, gamma, HALF = remark_10.SECTION, remark_10.q, remark_10.w, remark_10.gamma, remark_10.HALF

# -- "always close", "further reduces" -----------------------------------------------------------------------------------------

close = Claim(
    "remark-10-close",
    SECTION,
    "the iterates of Algorithm 2 are always close to the linear span of the gradients [within the bound of the display, which "
    "does not grow with t; C contracts on every path]",
    repaired="within gamma q/(1 - q) max ||g_i|| for all t, q = sqrt(1 - delta), if C contracts on every path; SIGNSGD has no "
    "such bound: on f = -2 x_1 - x_2 its distance is t gamma/sqrt(5)",
)


@close.printed
@close.repaired
def the_sharp_bound_has_a_limit() -> Evidence:
    """q (1 - q^t)/(1 - q) <= q/(1 - q) for all t, and its square at most 4 (1 - delta)/delta^2, delta = 1 - q^2."""
    limit = q / (1 - q)
    found = prove(
        And(remark_10.sharp(w) <= limit, limit**2 <= remark_10.printed(1 - q**2, 1, 1)), [q < 1, w <= 1], covers="limit"
    )
    return span.named("q (1 - q^t)/(1 - q) <= q/(1 - q) <= 2 sqrt(1 - delta)/delta", found)


for part in (remark_10.it_starts_in_the_span, remark_10.x_minus_e_stays_in_the_span, remark_10.the_memory_bounds_the_distance):
    close.printed(close.repaired(part))
for part in (remark_10.one_step_of_the_memory, remark_10.solved_by_induction):
    close.printed(close.repaired(part))


@close.repaired
def signsgd_drifts_away() -> Evidence:
    """sign(g) = -(1, 1) at g = -(2, 1): x_t = t gamma (1, 1)."""
    t = Symbol("t", nonnegative=True)
    a = (Fraction(-2), Fraction(-1))
    off = span.distance2((t * gamma, t * gamma), a)
    runs = [span.distance2(x, a) for x in exact.sign_sgd(lambda s, x: a, (0, 0), [1] * 9)]
    same = all(run == Fraction(s * s, 5) for s, run in enumerate(runs))
    found = prove(And(Eq((off - (t * gamma) ** 2 / 5).expand(), 0), same), kind="identity", covers="SIGNSGD")
    return span.named("t gamma (1, 1) has distance^2 = (t gamma)^2/5 from the line of (2, 1); 8 exact steps agree", found)


relative = Claim(
    "remark-10-close-relative",
    "Section 5.1, Remark 10 (ours: close relative to ||x_t||)",
    "the iterates are close to the span relative to their own length: ||x_t - Pi x_t|| < ||x_t|| wherever x_t != 0",
    repaired="||x_t - Pi x_t|| <= ||x_t||, as 0 is in the span, with equality at an iterate that is orthogonal to the span",
    expect="refuted",
)


@relative.printed
def an_iterate_can_be_orthogonal_to_it() -> Evidence:
    """q = 1/2, C(p) = p - q p', gradients c_t (1, 0) with c = 1, -5/4, gamma = 1: all of x_2 is outside the span."""
    g, scale = (Fraction(1), Fraction(0)), (Fraction(1), Fraction(-5, 4))
    xs, _ = exact.ef_sgd(lambda t, x: (scale[t], Fraction(0)), (0, 0), [1, 1], remark_10.late_turn(HALF, Fraction(0)))
    left, size = span.distance2(xs[2], g), span.norm2(xs[2])
    detail = (
        f"C(p) = p - p'/2, g = (1, 0), (-5/4, 0), gamma = 1: x_2 = ({xs[2][0]}, {xs[2][1]}), distance^2 = {left} = ||x_2||^2"
    )
    return Evidence("witness", "refuted" if left == size > 0 else "supported", detail, {"x": xs[2], "left": left})


@relative.repaired
def zero_is_in_the_span() -> Evidence:
    """||x||^2 = ||Pi x||^2 + ||x - Pi x||^2."""
    inside, off = symbols("inside off", nonnegative=True)
    return span.named("||x - Pi x||^2 <= ||Pi x||^2 + ||x - Pi x||^2", prove(off <= inside + off, covers="at most"))


@relative.repaired
def the_orthogonal_iterate_is_exact() -> Evidence:
    found = an_iterate_can_be_orthogonal_to_it()
    return Evidence("witness", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="equality")


reduces = Claim(
    "remark-10-reduces",
    SECTION,
    "this distance further reduces as the algorithm progresses since the step-size gamma is typically reduced",
    repaired="its bound follows the step with a delay: B_{t+1} = q (B_t + gamma_t G) >= q B_t, from s on B_t <= q^{t-s} B_s + "
    "q/(1-q) max_{i>=s} gamma_i G, and gamma_t -> 0 makes it tend to 0; the distance itself may rise when gamma falls",
    expect="refuted",
)


def halved():
    """EF-SIGNSGD on f = (x_1 + 2 x_2 - 1)^2, gamma = 1/4, 1/4, 1/8: distance^2 for t = 0, ..., 3, and f."""
    a = (Fraction(1), Fraction(2))
    steps = [Fraction(1, 4), Fraction(1, 4), Fraction(1, 8)]
    xs, _ = exact.ef_sgd(remark_10.one_row(a), (0, 0), steps, exact.scaled_sign)
    return steps, [span.distance2(x, a) for x in xs]


@reduces.printed
def it_rises_when_the_step_is_halved() -> Evidence:
    steps, distances = halved()
    rises = distances[3] > distances[2] > 0 and steps[2] < steps[1]
    shown, gammas = (", ".join(map(str, values)) for values in (distances, steps))
    detail = f"EF-SIGNSGD on (x_1 + 2 x_2 - 1)^2, gamma = {gammas}: distance^2 = {shown}"
    return Evidence("witness", "refuted" if rises else "supported", detail, {"distance2": distances, "gamma": steps})


@reduces.repaired
def the_old_share_decays_and_the_new_one_is_small() -> Evidence:
    """B <= w B_s + q/(1-q) h with gamma_t G <= h gives q (B + gamma_t G) <= q w B_s + q/(1-q) h; at t = s w = 1."""
    now, then, new, h = symbols("B B_s n h", nonnegative=True)
    tail = q * h / (1 - q)
    slow = q * (now + new) >= q * now
    near = q * (now + new) <= q * w * then + tail
    found = prove(And(slow, near), [q < 1, w <= 1, new <= h, now <= w * then + tail], covers="bound")
    return span.named("q B <= q (B + n) <= q q^{t-s} B_s + q/(1 - q) h", found)


@reduces.repaired
def the_bound_is_the_sum_of_all_old_steps() -> Evidence:
    """||e_t|| <= sum_{i<t} q^{t-i} gamma_i ||g_i|| = S_t: S_{t+1} = q (S_t + gamma_t ||g_t||), with remark-10's one step."""
    m, S, n = symbols("m S n", nonnegative=True)
    starts = Eq(span.begin()[1], 0)
    found = prove(And(starts, q * (m + gamma * n) <= q * (S + gamma * n)), [q < 1, m <= S], covers="bound, one step")
    return span.named("||e_0|| = 0 and ||e_t|| <= S_t gives ||e_{t+1}|| <= S_{t+1}", found)


for part in (remark_10.it_starts_in_the_span, remark_10.x_minus_e_stays_in_the_span, remark_10.the_memory_bounds_the_distance):
    reduces.repaired(part)
reduces.repaired(remark_10.one_step_of_the_memory)


@reduces.repaired
def it_may_rise() -> Evidence:
    found = it_rises_when_the_step_is_halved()
    return Evidence("witness", "proved" if found.outcome == "refuted" else "undecided", found.detail, covers="may rise")


current = Claim(
    "remark-10-current-step",
    "Section 5.1, Remark 10 (ours: the display with reduced steps)",
    "with reduced steps: ||x_t - Pi x_t||^2 <= 4 gamma^2 (1 - delta)/delta^2 max ||g_i||^2, gamma the step in use at t",
    repaired="with gamma the largest step so far, max_{i<t} gamma_i, if C contracts on every path",
    expect="refuted",
)


@current.printed
def the_memory_keeps_the_old_step() -> Evidence:
    """f = -4 x_1 - 2 x_2 - x_3, top-1 (delta = 1/3), gamma = 1, then 1/100."""
    a, steps = (Fraction(-4), Fraction(-2), Fraction(-1)), [Fraction(1), Fraction(1, 100)]
    xs, _ = exact.ef_sgd(lambda t, x: a, (0, 0, 0), steps, remark_10.top_one)
    left, right = span.distance2(xs[2], a), remark_10.printed(Fraction(1, 3), steps[-1], span.norm2(a))
    detail = f"f = -4 x_1 - 2 x_2 - x_3, top-1, gamma = 1, 1/100: distance^2 = {left} = {float(left):.3f}, right side {right}"
    return Evidence("witness", "refuted" if left > right else "supported", detail, {"x": xs[2], "left": left, "right": right})


@current.repaired
def the_largest_step_will_do() -> Evidence:
    """The induction of remark-10 with gamma_t <= gamma."""
    m, n, G, step = symbols("m n G gamma_t", nonnegative=True)
    after = q * (m + step * n) <= gamma * G * remark_10.sharp(q * w)
    start = span.begin()[1] ** 2 <= (gamma * G * remark_10.sharp(1)) ** 2
    hypotheses = [q < 1, w <= 1, n <= G, step <= gamma, m <= gamma * G * remark_10.sharp(w)]
    found = prove(And(start, after), hypotheses, covers="induction over t")
    return span.named("||e_t|| <= gamma G q (1 - q^t)/(1 - q) with gamma_t <= gamma", found)


for part in (remark_10.it_starts_in_the_span, remark_10.x_minus_e_stays_in_the_span, remark_10.the_memory_bounds_the_distance):
    current.repaired(part)
current.repaired(remark_10.one_step_of_the_memory)


@current.repaired
def and_that_is_at_most_as_printed() -> Evidence:
    return remark_10.at_most_as_printed()


if __name__ == "__main__":
    main(__file__)
