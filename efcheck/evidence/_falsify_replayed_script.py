"""The stand-alone script of a replayed run: fractions alone, the checks of `_replay_instance`, in plain text."""

from __future__ import annotations

from collections.abc import Iterable

from efcheck.evidence._falsify_parts import Vector, quoted
from efcheck.evidence._falsify_replayed import Replayed
from efcheck.evidence._falsify_script import _Printer
from efcheck.evidence._replay_instance import slopes_bounded

_HEAD = '''"""{source}, {form}:

    {left}
        <= {right}

This run exceeds it. p_t = gamma g_t + e_t, x_(t+1) = x_t - C(p_t), e_(t+1) = p_t - C(p_t), e_0 = 0, in dimension {d}.
f is any function through the points, with these gradients and values; C any compressor with these messages: the inequalities
below say that there are such.{caution}
Exact fractions; the exit code is 0 if and only if the run is within the hypotheses and the left side is larger than the right.
"""

import sys
from fractions import Fraction as F
from math import isqrt

T = t = {T}
gamma, sigma, delta = {gamma}, {sigma}, {delta}
q = {q}  # sqrt(1 - delta)
{letters}x_0 = {x0}
g = {g}  # g_t = grad f(x_t)
e = {residual}  # e_(t+1) = p_t - C(p_t), what the message leaves out
f = {f}  # f(x_t){shift}
{again}

def require(true, what):
    if not true:
        print(f"not within the hypotheses: {{what}}")
        sys.exit(1)


def dot(a, b):
    return sum((u * v for u, v in zip(a, b)), F(0))


def combined(a, b, factor):
    """a + factor b."""
    return tuple(u + factor * v for u, v in zip(a, b))


def one_answer(asked, answers, what):
    seen = {{}}
    for question, answer in zip(asked, answers):
        require(seen.setdefault(question, answer) == answer, what)


require(0 < delta <= 1 and q >= 0 and q**2 == 1 - delta and gamma > 0 and sigma > 0, "ranges")
require(len(e) == T and len(g) == {count} and len(f) == {values}, "one gradient and value for each point")
x, p, memory = [x_0], [], tuple(F(0) for _ in x_0)
for slope, left_out in zip(g[:T], e):
    p.append(combined(memory, slope, gamma))
    require(dot(left_out, left_out) <= (1 - delta) * dot(p[-1], p[-1]), "||C(p) - p||^2 <= (1 - delta) ||p||^2")
    x.append(combined(combined(x[-1], p[-1], -1), left_out, 1))
    memory = left_out
require(all(dot(slope, slope) <= sigma**2 for slope in g), "||g|| <= sigma")
one_answer(p, e, "C is a map")
one_answer(x, g, "grad f is a map")
'''
_SMOOTH = """for i in range(T + 1):
    require(f[i] >= dot(g[i], g[i]) / (2 * L), "f >= 0 next to x_t")
    for j in range(T + 1):
        step, turn = combined(x[i], x[j], -1), combined(g[i], g[j], -1)
        least = f[j] + dot(combined(g[i], g[j], 1), step) / 2 - L * dot(step, step) / 4 + dot(turn, turn) / (4 * L)
        require(f[i] >= least, "an L-smooth function goes through x_i and x_j")
{slopes}f0 = f[0]  # f(x_0) - inf f, at most
left = min(dot(slope, slope) for slope in g)
"""
_SLOPES = """

def most(a, b, room):
    # the largest integral over `room` of a slope from a to b, at most sigma, that changes by L a unit at most
    peak = (a + b + L * room) / 2
    return (2 * peak**2 - a**2 - b**2) / (2 * L) - max(peak - sigma, F(0)) ** 2 / L


line = sorted({(at[0], slope[0], value) for at, slope, value in zip(x, g, f)})
for (at, a, value), (then, b, other) in zip(line, line[1:]):
    require(-most(-a, -b, then - at) <= other - value <= most(a, b, then - at), "|f'| <= sigma between the x_t")
"""
_AGAIN = """for some, count in ((g, T + 1), (e, T), (f, T + 1)):  # the last {period} again and again
    while len(some) < count:
        some.append(some[-{period}])
"""
_CONVEX = """mean = tuple(sum(column, F(0)) / (T + 1) for column in zip(*x))
slope, f_mean = {slope}, {f_mean}  # a subgradient and the value there
zero = tuple(F(0) for _ in x_0)
points = [*zip(x, g, f), (mean, slope, f_mean), (zero, zero, F(0))]  # x* = 0, f(x*) = 0
for a, _, value in points:
    for b, at_b, other in points:
        require(value >= other + dot(at_b, combined(a, b, -1)), "a convex function goes through the points")
require(dot(slope, slope) <= sigma**2, "||g|| <= sigma at the mean")
require(T > 0 or (slope, f_mean) == (g[0], f[0]), "the mean is x_0")
require(dot(x_0, x_0) <= R2, "||x_0 - x*|| <= R")
left = f_mean
"""
_ERROR = """left = dot(memory, memory)
"""
_TAIL = """right = {scale}{right}
print("left side", left if left.denominator < 10**30 else float(left))
print("right side", right if right.denominator < 10**30 else float(right))
print(f"left/right = {{float(left / right) if right else float('inf'):.9g}}")
sys.exit(0 if left > right else 1)
"""


def script(instance: Replayed) -> str:
    """Python text that needs no package."""
    run, goal, period = instance.run, instance.target, instance.run.period
    letters, few = run.letters, 1 + period if period else len(run.x)
    own = {"gradient_norm": "L", "suboptimality": "R"}.get(run.quantity)
    shift = {"L": ", inf f being 0 or more", "R": ", f(x*) being 0", None: ""}[own]
    head = _HEAD.format(
        source=goal.bound.source, form=f"{instance.scale} times the {goal.form} right side",
        left=goal.words(), right=goal.side.expression, d=run.d, T=letters["T"], q=quoted(instance.q),
        caution=f"\n{instance.caution()}." if instance.caution() else "",
        gamma=quoted(letters["gamma"]), sigma=quoted(letters["sigma"]), delta=quoted(letters["delta"]),
        letters="" if own is None else f"{own} = {quoted(letters[own])}\n" + ("R2 = R**2\n" if own == "R" else ""),
        x0=_vector(run.x0), g=_rows(map(_vector, run.g[:few])), residual=_rows(map(_vector, run.residual[:few])),
        again=_AGAIN.format(period=period) if period else "",
        f=_rows(map(quoted, run.f[:few])), shift=shift,
        count="T" if own is None else "T + 1", values="0" if own is None else "T + 1",
    )  # fmt: skip
    return head + _body(instance) + _tail(instance)


def _body(instance: Replayed) -> str:
    run = instance.run
    if run.slope is None or run.f_mean is None:
        return _SMOOTH.format(slopes=_SLOPES if slopes_bounded(run) else "") if run.f else _ERROR
    return _CONVEX.format(slope=_vector(run.slope), f_mean=quoted(run.f_mean))


def _tail(instance: Replayed) -> str:
    goal = instance.target
    right, lines = goal.right, []
    if "k" in {s.name for s in right.free_symbols}:
        lines.append("k = 1 / delta")
    if not goal.compressed:
        lines.append('require(delta == 1, "no compression")')
    if goal.step == "root":
        lines += ['require(gamma**2 * (T + 1) == 1, "gamma = 1/sqrt(T + 1)")', "root = F(isqrt(T + 1))"]
    text = _Printer().doprint(right)
    end = (
        _TAIL.format(scale="", right=text)
        if instance.scale == 1
        else _TAIL.format(scale=f"{quoted(instance.scale)} * ", right=f"({text})")
    )
    return "".join(line + "\n" for line in lines) + end


def _vector(v: Vector) -> str:
    return f"({', '.join(map(quoted, v))},)"


def _rows(texts: Iterable[str]) -> str:
    rows = "".join(f"    {text},\n" for text in texts)
    return f"[\n{rows}]" if rows else "[]"
