"""The stand-alone script of an instance: fractions alone, the same checks as `_falsify_instance`, in plain text."""

from __future__ import annotations

from typing import Any

from sympy.printing.str import StrPrinter

from efcheck.evidence._falsify_instance import Instance
from efcheck.evidence._falsify_parts import oracle_source, quoted
from efcheck.evidence._falsify_replayed import Replayed
from efcheck.evidence._falsify_target import rootless


class _Printer(StrPrinter):  # type: ignore[misc]  # SymPy has no types
    """Rationals that stand by themselves as F(1, 2): 1/2 would be a float."""

    def _print_Rational(self, expr: Any) -> str:
        return f"F({expr.p}, {expr.q})"


_HEAD = '''"""{source}, {form}:

    {left}
        <= {right}

This run exceeds it{compared}. p_t = gamma g_t + e_t, x_(t+1) = x_t - C(p_t), e_(t+1) = p_t - C(p_t), e_0 = 0, in {dimension}.
Exact fractions; the exit code is 0 if and only if the run is within the hypotheses and the left side is larger than the right.
"""

import sys
from fractions import Fraction as F
from math import isqrt

T = t = {T}
gamma, sigma, delta = {gamma}, {sigma}, {delta}
q = {q}  # sqrt(1 - delta)
x_0 = {x0}


def require(true, what):
    if not true:
        print(f"not within the hypotheses: {{what}}")
        sys.exit(1)


'''

_LINE = '''

def step(states):
    """The states ({state}) that may follow, with their chances."""
    after = {{}}
    for ({state}), chance in states.items():
        gradients = oracle(x)
        require(sum(w * g for g, w in gradients) == gradient(x), "E g = f'(x)")
        require(sum(w * g**2 for g, w in gradients) <= sigma**2, "E g^2 <= sigma^2")
        for g, w in gradients:
            p = gamma * g + e
            sent = compress(p)
            check(p, sent)
            for c, v in sent:
                new = {new}
                after[new] = after.get(new, F(0)) + chance * w * v
    return after


def check(p, sent):
    """C(p) is c with chance v."""
    require(sum(v for _, v in sent) == 1 and all(v >= 0 for _, v in sent), "chances")
    require(sum(v * (c - p) ** 2 for c, v in sent) <= (1 - delta) * p**2, "E (C(p) - p)^2 <= (1 - delta) p^2")
{unbiased}

def left_side():
    states = {{({start}): F(1)}}
{body}

'''
_UNBIASED = """    require(sum(v * c for c, v in sent) == delta * p, "C = delta U with E U(p) = p")
    require(sum(v * c**2 for c, v in sent) <= delta * p**2, "E U(p)^2 <= p^2/delta")
"""
_BODIES = {
    "gradient": """    least, seen = None, set()
    for t in range(T + 1):
        if t >= {first}:
            square = sum(w * gradient(x) ** 2 for (x, _), w in states.items())
            least = square if least is None else min(least, square)
            if len(states) <= 2:  # once the states repeat, so does everything after
                key = frozenset(states.items())
                if key in seen:
                    break
                seen.add(key)
        if t < T:
            states = step(states)
    return least
""",
    "gap": """    for _ in range(T):
        states = step(states)
    return sum(w * (f(total / {count}) - f(x_star)) for (_, _, total), w in states.items())
""",
    "error": """    for _ in range(T):
        states = step(states)
    return sum(w * e**2 for (_, e), w in states.items())
""",
}
_PLANE = '''slope = {slope}  # f(x) = <slope, x>
messages = {{
{rows}}}


def inner(a, b):
    return a[0] * b[0] + a[1] * b[1]


def minus(a, b):
    return (a[0] - b[0], a[1] - b[1])


def left_side():
    """The distance^2 of x_T to the line of the gradients."""
    x, e = x_0, (F(0), F(0))
    require(x == (0, 0) and slope != (0, 0), "x_0 = 0")
    require(inner(slope, slope) <= sigma**2, "|g| <= sigma")
    for _ in range(T):
        p = (gamma * slope[0] + e[0], gamma * slope[1] + e[1])
        c = messages.get(p, p)
        require(inner(minus(c, p), minus(c, p)) <= (1 - delta) * inner(p, p), "|C(p) - p|^2 <= (1 - delta) |p|^2")
        x, e = minus(x, c), minus(p, c)
    return inner(x, x) - inner(x, slope) ** 2 / inner(slope, slope)


'''
_TAIL = """require(0 < delta <= 1 and q >= 0 and q**2 == 1 - delta and gamma > 0 and sigma >= 0 and T >= {first}, "ranges")
{letters}left = left_side(){power}
right = {scale}{right}
print("left side{squared}", left if left.denominator < 10**30 else float(left))
print("right side{squared}", right if right.denominator < 10**30 else float(right))
print(f"left/right{squared} = {{float(left / right) if right else float('inf'):.9g}}")
sys.exit(0 if left > right else 1)
"""


def script(instance: Instance | Replayed) -> str:
    """Python text that needs no package."""
    if isinstance(instance, Replayed):
        from efcheck.evidence import _falsify_replayed_script

        return _falsify_replayed_script.script(instance)
    goal = instance.target
    plane = len(instance.x0) == 2
    x0 = f"({', '.join(map(quoted, instance.x0))})" if plane else quoted(instance.x0[0])
    times = f"{instance.scale} times the {goal.form} right side" if instance.scale != 1 else f"as {goal.form}"
    source = goal.bound.source + (f" ({goal.reading})" if goal.reading else "")
    head = _HEAD.format(
        source=source, form=times, left=goal.words(), right=goal.side.expression, T=instance.T,
        gamma=quoted(instance.gamma), sigma=quoted(instance.sigma), delta=quoted(instance.delta), q=quoted(instance.q),
        x0=x0, dimension="the plane" if plane else "one dimension",
        compared=", here both sides squared" if goal.power == 2 else "",
    )  # fmt: skip
    return head + (_plane(instance) if plane else _line(instance)) + _tail(instance)


def _line(instance: Instance) -> str:
    goal = instance.target
    parts = [instance.function.source(), instance.compressor.source(), oracle_source(instance.noise)]
    sums = goal.quantity == "gap"
    step = _LINE.format(
        state="x, e, total" if sums else "x, e", start="x_0, F(0), x_0" if sums else "x_0, F(0)",
        new="(x - c, p - c, total + x - c)" if sums else "(x - c, p - c)",
        unbiased=_UNBIASED if goal.unbiased else "",
        body=_BODIES[goal.quantity].format(first=goal.first, count="T" if goal.extra else "(T + 1)"),
    )  # fmt: skip
    return "\n\n".join(parts) + step


def _plane(instance: Instance) -> str:
    data = instance.compressor.to_json().get("messages", [])
    rows = "".join(f"    ({', '.join(map(_text, p))}): ({', '.join(map(_text, c))}),\n" for p, c in data)
    return _PLANE.format(slope=f"({', '.join(map(quoted, instance.function.gradient(instance.x0)))})", rows=rows)


def _text(number: str) -> str:
    return f"F({number.replace('/', ', ')})"


def _tail(instance: Instance) -> str:
    goal, printer = instance.target, _Printer()
    names = {s.name for s in goal.right.free_symbols} | ({"R2"} if goal.step == "best" else set())
    lines = []
    if "f0" in names:
        lines.append("f0 = f(x_0) - f(x_star)")
    if "R2" in names:
        lines.append("R2 = (x_0 - x_star) ** 2")
    if "k" in names:
        lines.append("k = 1 / delta")
    if not goal.compressed:
        lines.append('require(delta == 1, "no compression")')
    if "root" in names:
        lines += ["root = F(isqrt(T + 1))", 'require(root**2 == T + 1, "T + 1 is a square")']
    if goal.step == "root":
        lines.append('require(gamma**2 * (T + 1) == 1, "gamma = 1/sqrt(T + 1)")')
    if goal.step == "best":
        least2 = printer.doprint(rootless(goal.best.expression, 2))
        lines.append(f"least2 = {least2}  # the square of the least right side of Theorem III over gamma")
        lines.append('require((gamma * (T + 1)) ** 2 * least2 == R2**2, "gamma is the best step")')
    return _TAIL.format(
        first=max(goal.first, -goal.extra), letters="".join(line + "\n" for line in lines),
        power=" ** 2  # both sides are squared" if goal.power == 2 else "",
        squared=" (both squared)" if goal.power == 2 else "",
        scale="" if instance.scale == 1 else f"{quoted(instance.scale)} ** {goal.power} * ",
        right=printer.doprint(goal.right) if instance.scale == 1 else f"({printer.doprint(goal.right)})",
    )  # fmt: skip
