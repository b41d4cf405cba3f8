r"""B.3 line by line: two lines lack an expectation, rho = 1 does not give the printed constant, rho -> 0 gives SGD's rate.

Statement   The recurrence of xt_t = x_t - e_t; the descent inequality; the "alternate definition of smoothness"; four
            inequalities that replace grad f(xt_t) by grad f(x_t); Lemma 3 put in; the average over t; "rho = 1 gives the result
            as stated in Theorem II"; "By choosing rho -> 0 as T -> oo [...] the asymptotic convergence [...] is in fact exactly
            the same as SGD".
Source      B.3; the sentence on grad f(xt_t) in the proof sketch of Theorem II
Idea        Lemma 3 bounds E||e_t||^2, not ||e_t||^2 on a path: a rare large gradient g_0 leaves a large e_1, after which the
            displayed step is false. The same holds for the average without E on its left. With E everywhere both are true. (The
            "mean-value inequality" is Young's: c <= rho a^2/2 + b^2/(2 rho).) rho: the bound is f0/(gamma n (1 - rho/2)) + L
            gamma sigma^2/(2 - rho) + K gamma^2/(rho (2 - rho)), n = T + 1. For rho = 1 the middle term is L gamma sigma^2. For
            gamma = n^(-1/2) and rho = n^(-1/4) it is SGD's (B.4) plus O(n^(-3/4)).
Conventions xt is the paper's x with a tilde; e in the unit of x; E_t given everything before g_t; a, b, ... are coordinates.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from sympy import And, Eq, Symbol, simplify, sqrt, symbols

from efcheck import content
from efcheck.bounds import LEMMA_3, REMARK_4_SGD, THEOREM_2, L, T, delta, f0, gamma, sigma
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, exact, prove

statement = content.load(Path(__file__).with_name("theorem_2.py"))
huber = statement.huber
SOURCE = "B.3"
rho = statement.rho
K = 4 * L**2 * sigma**2 * (1 - delta) / delta**2  # Lemma 3 times L^2/gamma^2
HALF = Fraction(1, 2)


def with_rho(r: Any, steps: Any) -> Any:
    """The last line of B.3, steps = T + 1."""
    return f0 / (gamma * steps * (1 - r / 2)) + L * gamma * sigma**2 / (2 - r) + gamma**2 * K / (r * (2 - r))


# -- the virtual sequence ----------------------------------------------------------------------------------------------------

recurrence = Claim(
    "theorem-2-proof-recurrence",
    SOURCE + " and the proof sketch",
    "xt_{t+1} = x_t - e_{t+1} - C(p_t) = x_t - p_t = xt_t - gamma g_t, xt_t = x_t - e_t",
)


@recurrence.printed
def in_each_coordinate() -> Evidence:
    x, e, g, sent = symbols("x e g Delta", real=True)
    p = gamma * g + e
    after = (x - sent) - (p - sent)
    second = x - (p - sent) - sent
    return prove(And(*(Eq((after - z).expand(), 0) for z in (second, x - p, (x - e) - gamma * g))), kind="identity")


descent = Claim(
    "theorem-2-proof-descent",
    SOURCE,
    "E_t f(xt_{t+1}) <= f(xt_t) + <grad f(xt_t), E_t[xt_{t+1} - xt_t]> + L/2 E_t||xt_{t+1} - xt_t||^2 "
    "= f(xt_t) - gamma <grad f(xt_t), E_t g_t> + L gamma^2/2 E_t||g_t||^2 "
    "<= f(xt_t) - gamma <grad f(xt_t), grad f(x_t)> + L gamma^2 sigma^2/2",
)


@descent.printed
def smoothness_for_each_outcome() -> Evidence:
    """Assumption B for two outcomes of probability w and 1 - w; E_t is linear and monotone for any law."""
    w = Symbol("w", nonnegative=True)
    now, ends, c = Symbol("f", real=True), symbols("f1 f2", real=True), symbols("c1 c2", real=True)
    n2 = symbols("n1 n2", nonnegative=True)
    each = [f <= now + a + L / 2 * b for f, a, b in zip(ends, c, n2, strict=True)]
    mean = [w * a + (1 - w) * b for a, b in (ends, c, n2)]
    return prove(mean[0] <= now + mean[1] + L / 2 * mean[2], [*each, w <= 1], covers="line 1")


@descent.printed
def the_step_is_minus_gamma_g() -> Evidence:
    """In each coordinate: a (-gamma g) = -gamma a g and (-gamma g)^2 = gamma^2 g^2; sums and E_t are linear."""
    a, g = symbols("a g", real=True)
    move = -gamma * g
    same = Eq(a * move + L / 2 * move**2, -gamma * a * g + L * gamma**2 / 2 * g**2)
    return prove(same, kind="identity", covers="line 2")


@descent.printed
def assumption_c() -> Evidence:
    """E_t g_t = grad f(x_t), E_t||g_t||^2 = N <= sigma^2; c = <grad f(xt_t), E_t g_t>."""
    now, c = symbols("f c", real=True)
    N = Symbol("N", nonnegative=True)
    right = now - gamma * c + L * gamma**2 * sigma**2 / 2
    return prove(now - gamma * c + L * gamma**2 / 2 * N <= right, [sigma**2 >= N], covers="line 3")


lipschitz = Claim(
    "theorem-2-proof-lipschitz",
    SOURCE + " and the proof sketch",
    "||grad f(x) - grad f(y)|| <= L ||x - y||, an alternate definition of smoothness: it follows from Assumption B",
    repaired="with Lemma 3, E||grad f(x_t) - grad f(xt_t)||^2 <= 4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2: this is the sense "
    "of grad f(x_t) ~ grad f(xt_t)",
)


@lipschitz.printed
def the_two_sides_meet_at_a_point() -> Evidence:
    """h = x - y, D = grad f(x) - grad f(y), S = <grad f(x) + grad f(y), h>/2, z = (x + y)/2 - D/(2 L).

    From y below, from x above: f(y) + <grad f(y), z - y> - L/2 ||z - y||^2 <= f(z) <= f(x) + <grad f(x), z - x> +
    L/2 ||z - x||^2. The difference of the outer sides is, in each coordinate, this; exchanging x and y turns S and f(x) - f(y).
    """
    gx, gy, h = symbols("g_x g_y h", real=True)
    ell = Symbol("L", positive=True)
    D = gx - gy
    v = -D / (2 * ell)
    from_y, from_x = h / 2 + v, -h / 2 + v
    outer = gy * from_y - ell / 2 * from_y**2 - gx * from_x - ell / 2 * from_x**2
    claimed = (gx + gy) * h / 2 + D**2 / (4 * ell) - ell * h**2 / 4
    return prove(Eq(simplify(outer - claimed), 0), kind="identity", covers="the point z")


@lipschitz.printed
def both_orders_added() -> Evidence:
    """f = f(y) - f(x): f + S + D^2/(4L) - L h^2/4 <= 0 and -f - S + D^2/(4L) - L h^2/4 <= 0."""
    f, S = symbols("f S", real=True)
    D, h = symbols("D h", nonnegative=True)
    ell = Symbol("L", positive=True)
    rest = D**2 / (4 * ell) - ell * h**2 / 4
    return prove(ell * h >= D, [f + S + rest <= 0, -f - S + rest <= 0], covers="sum")


@lipschitz.repaired
def lemma_3_put_in() -> Evidence:
    m, D = symbols("m D", nonnegative=True)
    loose = LEMMA_3.printed.expression
    return prove(L**2 * loose >= D, [delta <= 1, L**2 * m >= D, m <= loose])


replace = Claim(
    "theorem-2-proof-young",
    SOURCE,
    "with a = grad f(x_t), b = grad f(x_t) - grad f(xt_t), s = L gamma^2 sigma^2/2, any rho > 0: E_t f(xt_{t+1}) <= f(xt_t) - "
    "gamma ||a||^2 + s + gamma <b, a> <= f(xt_t) - gamma ||a||^2 + s + gamma rho/2 ||a||^2 + gamma/(2 rho) ||b||^2 <= [the "
    "same with gamma L^2/(2 rho) ||x_t - xt_t||^2] <= f(xt_t) - gamma (1 - rho/2) ||a||^2 + s + gamma L^2/(2 rho) ||e_t||^2",
)


@replace.printed
def the_inner_product_is_split() -> Evidence:
    """Coordinates u of grad f(x_t), v of grad f(xt_t): -v u = -u u + (u - v) u. An equality."""
    u, v = symbols("u v", real=True)
    return prove(Eq(-v * u, -u * u + (u - v) * u), kind="identity", covers="line 1")


@replace.printed
def young() -> Evidence:
    """<b, a> <= ||b|| ||a|| <= rho/2 ||a||^2 + ||b||^2/(2 rho)."""
    a, b = symbols("a b", nonnegative=True)
    c = Symbol("c", real=True)
    return prove(c <= rho / 2 * a**2 + b**2 / (2 * rho), [c <= a * b], covers="line 2")


@replace.printed
def lipschitz_and_the_memory() -> Evidence:
    """||b|| <= L ||x_t - xt_t|| and x_t - xt_t = e_t (line 4 is an equality)."""
    b, m, a = symbols("b m a", nonnegative=True)
    line_3 = gamma / (2 * rho) * b**2 <= gamma * L**2 / (2 * rho) * m**2
    line_4 = Eq(-gamma * a**2 + gamma * rho / 2 * a**2, -gamma * (1 - rho / 2) * a**2)
    return prove(And(line_3, line_4), [b <= L * m], covers="lines 3 and 4")


# -- where an expectation is missing -----------------------------------------------------------------------------------------

conditional = Claim(
    "theorem-2-proof-conditional",
    SOURCE,
    "Lemma 3 gives E_t f(xt_{t+1}) <= f(xt_t) - gamma (1 - rho/2) ||grad f(x_t)||^2 + L gamma^2 sigma^2/2 + "
    "gamma^3 L^2 sigma^2/(2 rho) 4 (1 - delta)/delta^2",
    repaired="E f(xt_{t+1}) <= E f(xt_t) - gamma (1 - rho/2) E||grad f(x_t)||^2 + [the same]: Lemma 3 is about E, not E_t",
    expect="refuted",
)


def rare_gradient(share: Fraction, step: Fraction) -> dict[str, Fraction]:
    """Huber function, x_0 = 1/q, C(p) = (1 - q) p, sigma^2 = 2, rho = 1; on the path g_0 = 1/(gamma q), of chance 1/g_0^2.

    Then xt_1 = 0, e_1 = x_1 = 1, and g_1 = f'(x_1) for certain: the two sides of the display at t = 1.
    """
    large = 1 / (step * share)
    chance = 1 / large**2
    other = (1 - chance * large) / (1 - chance)  # E g_0 = 1 = f'(x_0)
    xt, e = 1 / share - step * large, share * step * large
    slope = huber.exact_slope(xt + e)
    noise = step**2 + step**3 * 4 * share**2 / (1 - share**2) ** 2
    right = huber.value(xt) - step * HALF * slope**2 + noise
    moment = chance * large**2 + (1 - chance) * other**2
    return {"g0": large, "chance": chance, "other": other, "moment": moment, "e": e, "xt": xt, "x": xt + e,
            "left": huber.value(xt - step * slope), "right": right}  # fmt: skip


@conditional.printed
def a_rare_large_gradient_breaks_it() -> Evidence:
    share, step = HALF, Fraction(1, 10)
    run = rare_gradient(share, step)
    detail = (
        f"Huber function, x_0 = {1 / share}, gamma = {step}, delta = {1 - share**2}, C(p) = p/2, rho = 1, sigma^2 = 2; g_0 = "
        f"{run['g0']} with chance {run['chance']}, else {run['other']}: then xt_1 = {run['xt']}, x_1 = {run['x']}, and E_1 "
        f"f(xt_2) = {run['left']} > {run['right']} = {float(run['right']):.4f}"
    )
    bad = run["left"] > run["right"] and run["moment"] <= 2
    return Evidence("witness", "refuted" if bad else "supported", detail, run)


@conditional.repaired
def lemma_3_in_expectation() -> Evidence:
    return statement.lemma_3_in_root_mean_squares()


@conditional.repaired
def one_step_in_expectation() -> Evidence:
    """E E_t = E, so lines 1 to 4 hold with E; then E||e_t||^2 = m^2 <= its bound B^2."""
    m, B = symbols("m B", nonnegative=True)
    return prove(gamma * L**2 / (2 * rho) * m**2 <= gamma * L**2 / (2 * rho) * B**2, [m <= B], covers="one step")


average = Claim(
    "theorem-2-proof-average",
    SOURCE,
    "for rho < 2: (1/(T+1)) sum_{t=0}^T ||grad f(x_t)||^2 <= f0/(gamma (T+1) (1 - rho/2)) + L gamma sigma^2/(2 - rho) + "
    "4 gamma^2 L^2 sigma^2 (1 - delta)/(rho (2 - rho) delta^2)",
    repaired="with E||grad f(x_t)||^2 on the left, for all rho in (0, 2)",
    expect="refuted",
)


@average.printed
def one_path_is_above() -> Evidence:
    """SGD (delta = 1) on the Huber function from x_0 = 0, f0 = 0: g_0 = 1/gamma with chance gamma^2/2, minus it, else 0."""
    step = Fraction(1, 10)
    large, chance = 1 / step, step**2
    x1 = -step * large
    left = (huber.exact_slope(Fraction(0)) ** 2 + huber.exact_slope(x1) ** 2) / 2
    right = step  # rho = 1, L = sigma = 1
    detail = (
        f"SGD on the Huber function (L = 1), x_0 = 0, gamma = {step}, sigma = 1, T = 1, rho = 1, g_0 = 10 or -10 with chance "
        f"1/200 each, else 0: on the path g_0 = 10, x_1 = {x1}, left {left} > {right}"
    )
    bad = left > right and chance * large**2 <= 1
    return Evidence("witness", "refuted" if bad else "supported", detail, {"x1": x1, "left": left, "right": right})


@average.repaired
def the_sum() -> Evidence:
    return statement.the_sum_over_t()


@average.repaired
def and_the_division() -> Evidence:
    """The sum divided by gamma (T+1) (1 - rho/2); f(xt_{T+1}) >= f*."""
    mean, n = Symbol("mean", nonnegative=True), Symbol("n", positive=True)
    noise = L * gamma**2 * sigma**2 / 2 + gamma**3 * K / (2 * rho)
    total = gamma * (1 - rho / 2) * n * mean <= f0 + n * noise
    return prove(mean <= with_rho(rho, n), [total, delta <= 1, rho < 2], covers="division")


steps = Claim(
    "theorem-2-proof-steps",
    "Algorithm 2 and " + SOURCE,
    "the sum over t = 0, ..., T telescopes to f(xt_{T+1}), a step that Algorithm 2 takes (for t = 0, ..., T-1)",
    repaired="it is one more query and virtual step, g_T and xt_{T+1} = xt_T - gamma g_T, which any run can be given: "
    "f(xt_{T+1}) >= f*",
    expect="refuted",
)


@steps.printed
def the_algorithm_stops_before() -> Evidence:
    """The last index that the loop writes, for T = 1: x_1, e_1."""
    horizon = 1
    xs, _ = exact.ef_sgd(lambda t, x: x, (1,), [HALF] * horizon, lambda p: p)
    last, needed = len(xs) - 1, [t + 1 for t in range(horizon + 1)][-1]
    detail = f"T = {horizon}: Algorithm 2 ends with x_{last}, the sum with f(xt_{needed})"
    return Evidence("exact", "refuted" if last < needed else "supported", detail, {"T": horizon, "last": last})


@steps.repaired
def one_more_step_is_bounded_like_the_others() -> Evidence:
    return statement.one_step()


# -- rho -----------------------------------------------------------------------------------------------------------------

one = Claim(
    "theorem-2-proof-rho-1",
    SOURCE,
    "using rho = 1 gives the result as stated in Theorem II",
    repaired="it gives 2 f0/(gamma (T+1)) + gamma L sigma^2 + 4 gamma^2 L^2 sigma^2 (1 - delta)/delta^2",
    expect="refuted",
)


@one.printed
def the_noise_term_differs() -> Evidence:
    """The printed last line at rho = 1 against Theorem II."""
    return prove(Eq(with_rho(1, T + 1), THEOREM_2.printed.expression), [delta <= 1])


@one.repaired
def it_is_twice_as_large() -> Evidence:
    return prove(Eq(with_rho(1, T + 1), THEOREM_2.repaired.expression), [delta <= 1], kind="identity")


zero = Claim(
    "theorem-2-proof-rho-0",
    SOURCE,
    "by choosing rho -> 0 as T -> oo, the asymptotic convergence is exactly the same as SGD [the bounds, gamma = 1/sqrt(T+1)]",
    repaired="with rho = (T+1)^(-1/4): sqrt(T+1) times the bound is SGD's f0 + L sigma^2/2 plus at most (f0 + L sigma^2/2 + 4 "
    "L^2 sigma^2 (1 - delta)/delta^2)/(T+1)^(1/4); rho must fall more slowly than gamma: rho = 1/(T+1) leaves a bound that "
    "does not fall",
)


@zero.printed
@zero.repaired
def what_is_left_beside_sgd() -> Evidence:
    """r = (T+1)^(1/4), gamma = r^-2, rho = 1/r: r^2 times the bound = SGD's + (f0 + L sigma^2/2 + K)/(2 r - 1), r >= 1."""
    r = Symbol("r", positive=True)
    scaled = (r**2 * with_rho(1 / r, r**4)).subs(gamma, 1 / r**2)
    sgd = f0 + L * sigma**2 / 2
    rest = (sgd + K) / (2 * r - 1)
    as_printed = Eq(sgd, (REMARK_4_SGD.printed.expression * sqrt(T + 1)).simplify())
    identity = Eq(simplify(scaled - sgd - rest), 0)
    return prove(And(identity, as_printed, rest <= (sgd + K) / r), [r >= 1, delta <= 1], covers="rate")


@zero.repaired
def too_fast_is_useless() -> Evidence:
    """rho = 1/n with gamma = n^(-1/2): the last term alone is K/(2 - 1/n) >= K/2."""
    n = Symbol("n", positive=True)
    last = (gamma**2 * K / (rho * (2 - rho))).subs({gamma: 1 / sqrt(n), rho: 1 / n})
    return prove(last >= K / 2, [n >= 1, delta <= 1], covers="rho = 1/(T+1)")


if __name__ == "__main__":
    main(__file__)
