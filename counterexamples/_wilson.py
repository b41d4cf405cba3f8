r"""The runs of Section 5.2 on the data of A.6, exactly: four integers a step, for every draw of the data.

Train half: k points with y = 1 (private column: one) and l with y = -1 (private columns: five). Swapping two points of one
class, with their columns, changes neither A nor y, and every method here treats all coordinates alike: from x_0 = 0 the
coordinates of one class stay equal. So x is (x1, x2, p, q), standing for 1, 2, k and 5 l coordinates; the others have
gradient 0 and, with sign(0) = 0, stay 0. With the residuals and the full-batch gradient A^T (Ax - y)/n

    r+ = x1 + 2 x2 + p - 1,   r- = -x1 + 2 x2 + 5 q + 1
    n g = (k r+ - l r-,  k r+ + l r-,  r+,  r-),   n = k + l,   ||g||_1 = |g1| + 2 |g2| + k |gp| + 5 l |gq|

The private columns of the test half are never touched, so a test point's residual is x1 + 2 x2 - 1 or -x1 + 2 x2 + 1, and
the test loss is linear in the number m of test points with y = 1. Labels are independent and fair: k and m are independent
Binomial(n, 1/2), and a probability over all draws is a sum of C(n, k) C(n, m) / 4^n.

Every x is kept as integers over one denominator: steps are rational, so nothing is rounded and every tie is a tie.
Settings of Figure 3 (the authors' notebook): 80 epochs, SGD 1/2, scaled sign 10, EF with scaled sign 10, signSGDM 1/20 with
beta = 9/10, loss ||Ax - y||^2/n, sign(0) = 0. The paper's momentum is m <- g + beta m; that of the notebook's code is
m <- m + beta g, without decay: NOTEBOOK_SIGNSGDM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, comb, floor

N, D, EPOCHS = 100, 1200, 80  # points in each half, dimension, steps
Four = tuple[int, int, int, int]
ZERO: Four = (0, 0, 0, 0)


@dataclass(frozen=True)
class State:
    """x = numerators / scale, of a train half with k and l points; e likewise, 0 where there is no memory."""

    k: int
    l: int  # noqa: E741 -- the letter of the text
    x: Four
    scale: int
    e: Four = ZERO

    @property
    def weights(self) -> Four:
        """How many coordinates each number stands for."""
        return (1, 2, self.k, 5 * self.l)

    @property
    def residuals(self) -> tuple[int, int]:
        """r+ and r-, times scale."""
        x1, x2, p, q = self.x
        return x1 + 2 * x2 + p - self.scale, -x1 + 2 * x2 + 5 * q + self.scale

    @property
    def gradient(self) -> Four:
        """n g, times scale."""
        up, down = self.residuals
        return (self.k * up - self.l * down, self.k * up + self.l * down, up, down)

    def train_loss(self) -> Fraction:
        """||Ax - y||^2 / n."""
        up, down = self.residuals
        return Fraction(self.k * up**2 + self.l * down**2, (self.k + self.l) * self.scale**2)

    def test_losses(self) -> tuple[Fraction, Fraction]:
        """The squared residual of a test point with y = 1, and with y = -1."""
        x1, x2, _, _ = self.x
        return Fraction((x1 + 2 * x2 - self.scale) ** 2, self.scale**2), Fraction(
            (-x1 + 2 * x2 + self.scale) ** 2, self.scale**2
        )


def origin(k: int, l: int) -> State:  # noqa: E741
    return State(k, l, ZERO, 1)


def mixed(losses: tuple[Fraction, Fraction], m: int, n: int = N) -> Fraction:
    """The mean over n test points, m of them with y = 1, of `State.test_losses`."""
    return (m * losses[0] + (n - m) * losses[1]) / n


def sign(v: int) -> int:
    """sign(0) = 0, NumPy's and the notebook's."""
    return (v > 0) - (v < 0)


def l1(v: Four, weights: Four) -> int:
    return sum(w * abs(a) for w, a in zip(weights, v, strict=True))


Method = Callable[[int, int, int], Iterator[State]]  # (k, l, d) -> x_0, x_1, ... without end


def sgd(gamma: Fraction) -> Method:
    def run(k: int, l: int, d: int) -> Iterator[State]:  # noqa: E741
        s, step = origin(k, l), Fraction(gamma, k + l)
        while True:
            yield s
            x = tuple(step.denominator * a - step.numerator * g for a, g in zip(s.x, s.gradient, strict=True))
            s = State(k, l, x, step.denominator * s.scale)

    return run


def scaled_signsgd(gamma: Fraction) -> Method:
    def run(k: int, l: int, d: int) -> Iterator[State]:  # noqa: E741
        s, step = origin(k, l), Fraction(gamma, (k + l) * d)
        while True:
            yield s
            size = step.numerator * l1(s.gradient, s.weights)
            x = tuple(step.denominator * a - size * sign(g) for a, g in zip(s.x, s.gradient, strict=True))
            s = State(k, l, x, step.denominator * s.scale)

    return run


def ef_signsgd(gamma: Fraction) -> Method:
    """Algorithm 1: p = gamma g + e, x <- x - (||p||_1/d) sign(p), e <- p - (||p||_1/d) sign(p)."""

    def run(k: int, l: int, d: int) -> Iterator[State]:  # noqa: E741
        s, step = origin(k, l), Fraction(gamma, k + l)
        while True:
            yield s
            p = tuple(step.numerator * g + step.denominator * b for g, b in zip(s.gradient, s.e, strict=True))
            sent = tuple(l1(p, s.weights) * sign(a) for a in p)
            x = tuple(d * step.denominator * a - b for a, b in zip(s.x, sent, strict=True))
            e = tuple(d * a - b for a, b in zip(p, sent, strict=True))
            s = State(k, l, x, d * step.denominator * s.scale, e)

    return run


def signsgdm(gamma: Fraction, beta: Fraction, decay: bool = True) -> Method:
    """x <- x - gamma sign(m) with m <- g + beta m, or the notebook's m <- m + beta g where decay is False."""

    def run(k: int, l: int, d: int) -> Iterator[State]:  # noqa: E741
        s, m, power = State(k, l, ZERO, gamma.denominator), ZERO, 1
        while True:
            yield s
            if decay:  # m times beta.denominator^t
                m = tuple(power * g + beta.numerator * b for g, b in zip(s.gradient, m, strict=True))
                power *= beta.denominator
            else:  # a positive factor in front of the sum changes no sign
                m = tuple(g + b for g, b in zip(s.gradient, m, strict=True))
            x = tuple(a - gamma.numerator * sign(b) for a, b in zip(s.x, m, strict=True))
            s = State(k, l, x, s.scale)

    return run


STEP_SIGNSGDM, BETA = Fraction(1, 20), Fraction(9, 10)
FIGURE_3: dict[str, Method] = {
    "SGD": sgd(Fraction(1, 2)),
    "scaled signSGD": scaled_signsgd(Fraction(10)),
    "signSGDM": signsgdm(STEP_SIGNSGDM, BETA),
    "EF-signSGD": ef_signsgd(Fraction(10)),
}


NOTEBOOK_SIGNSGDM = signsgdm(STEP_SIGNSGDM, BETA, decay=False)


def path(method: Method, k: int, T: int = EPOCHS, n: int = N, d: int = D) -> list[State]:
    """x_0, ..., x_T for k points with y = 1 among n."""
    states = method(k, n - k, d)
    return [next(states) for _ in range(T + 1)]


@lru_cache(maxsize=32)
def paths(method: Method, T: int = EPOCHS) -> tuple[tuple[State, ...], ...]:
    """The paths for k = 0, ..., N."""
    return tuple(tuple(path(method, k, T)) for k in range(N + 1))


def probability(holds: Callable[[int, int], bool], n: int = N) -> Fraction:
    """P(holds(k, m)) over all draws of the data, exactly."""
    total = sum(comb(n, k) * comb(n, m) for k in range(n + 1) for m in range(n + 1) if holds(k, m))
    return Fraction(total, 4**n)


def span_distance_squared(states: tuple[State, ...] | list[State], t: int) -> Fraction:
    """||x_t - Pi x_t||^2, Pi the projection onto the span of g_0, ..., g_{t-1}.

    Gradients are (r+ a+ + r- a-)/n with a+ = (k, k, 1, 0) and a- = (-l, l, 0, 1), so their span is at most a plane; it is a
    line as long as the (r+, r-) are parallel.
    """
    s = states[t]
    pairs = [u.residuals for u in states[:t] if any(u.gradient)]
    first = next(iter(pairs), None)
    if first is None:
        basis = []
    elif all(a * first[1] == b * first[0] for a, b in pairs) or 0 in (s.k, s.l):
        u = next(u for u in states[:t] if any(u.gradient))
        basis = [u.gradient]
    else:
        basis = [(s.k, s.k, 1, 0), (-s.l, s.l, 0, 1)]
    return residual_norm_squared(s.x, basis, s.weights) / s.scale**2


def residual_norm_squared(x: Four, basis: list[Four], weights: Four) -> Fraction:
    """||x||^2 minus that of its projection on one or two independent vectors, in the weighted inner product."""

    def dot(u: Four, v: Four) -> int:
        return sum(w * a * b for w, a, b in zip(weights, u, v, strict=True))

    whole = Fraction(dot(x, x))
    if not basis:
        return whole
    if len(basis) == 1:
        return whole - Fraction(dot(x, basis[0]) ** 2, dot(basis[0], basis[0]))
    u, v = basis
    a, b, c, s, t = dot(u, u), dot(u, v), dot(v, v), dot(x, u), dot(x, v)
    return whole - Fraction(c * s * s - 2 * b * s * t + a * t * t, a * c - b * b)


def last_losses(method: Method) -> list[tuple[Fraction, Fraction]]:
    """`State.test_losses` after the last epoch, for each k."""
    return [states[-1].test_losses() for states in paths(method)]


def range_above(losses: list[tuple[Fraction, Fraction]], level: Fraction, n: int = N) -> range:
    """The m for which all these losses, mixed, are above `level`: linear in m, so an interval."""
    low, high = 0, n
    for up, down in losses:
        if up == down:
            high = high if up > level else -1
            continue
        at = (level - down) * n / (up - down)
        if up > down:
            low = max(low, floor(at) + 1)
        else:
            high = min(high, ceil(at) - 1)
    return range(low, high + 1)


@lru_cache(maxsize=64)
def above_at_every_epoch(method: Method, level: Fraction) -> tuple[range, ...]:
    """For each k the m for which the test loss is above `level` at every epoch, x_0 included."""
    return tuple(range_above([s.test_losses() for s in states], level) for states in paths(method))


@lru_cache(maxsize=64)
def above_at_the_end(method: Method, level: Fraction) -> tuple[range, ...]:
    """The same after the last epoch alone."""
    return tuple(range_above([states[-1].test_losses()], level) for states in paths(method))
