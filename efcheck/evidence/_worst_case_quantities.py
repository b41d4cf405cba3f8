"""The worst cases that can be asked for, in PEPit's language: points, gradients and messages, and what binds them.

A compressor is p - C(p) = q r with ||r|| <= ||p||, q = sqrt(1 - delta): one form for all delta, 1 included, well scaled
near it. Units as in `Question`: gamma = sigma = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from PEPit import PEP, Expression, Point
from PEPit.functions import ConvexLipschitzFunction, SmoothFunction, SmoothStronglyConvexFunction

from efcheck.evidence._worst_case_model import Model, Question, translate

State = tuple[Any, Any, Any]

# -- one step of each method: (x_t, g_t, memory, p_t - C(p_t)) -> p_t, x_{t+1}, new memory


def _ef_sgd(x: Any, g: Any, e: Any, residual: Any) -> State:
    """p = g + e; x - C(p); e = p - C(p)."""
    p = g + e
    return p, x - p + residual, residual


def _compressed_sgd(x: Any, g: Any, nothing: Any, residual: Any) -> State:
    """x - C(g)."""
    return g, x - g + residual, nothing


def _ef21(x: Any, g: Any, h: Any, residual: Any) -> State:
    """h + C(g - h), which is g - residual; x minus that."""
    new = g - residual
    return g - h, x - new, new


STEPS: dict[str, Callable[..., State]] = {"EFSGD": _ef_sgd, "CompressedSGD": _compressed_sgd, "EF21": _ef21}


class _Run:
    """T steps of a method with free gradients and messages, and the contraction of each message."""

    def __init__(self, asked: Question, x0: Any, memory: Any, unit: float = 1.0) -> None:
        """unit: about the size of the gradients."""
        self.x: list[Any] = [x0]
        self.g: list[Any] = []
        self.p: list[Any] = []
        self.r: list[Any] = []
        self.contractions = []
        for t in range(asked.T):  # gradients that add up to 0 and the same memory close a period
            closes = asked.period and t == asked.T - 1
            self.g.append(-sum(self.g[1:], _zero()) if closes else unit * Point())
            self.r.append(self.r[0] if closes else Point())
            p, x, memory = STEPS[asked.method](self.x[-1], self.g[-1], memory, asked.q * self.r[-1])
            self.p.append(p)
            self.x.append(x)
            self.contractions.append(self.r[-1] ** 2 <= p**2)
        self.vectors = {"x": self.x, "g": self.g, "p": self.p, "residual": [asked.q * r for r in self.r]}


def _zero() -> Any:
    return Point(is_leaf=False, decomposition_dict={})


def _number(value: float) -> Any:
    return Expression(is_leaf=False, decomposition_dict={1: float(value)})


def _interpolated(kind: Any, points: Iterable[Any], **constants: float) -> list[Any]:
    """The conditions under which a function of that class goes through all (x, g, f)."""
    function = kind(**constants)
    for point in points:
        function.add_point(point)
    function.set_class_constraints()
    return list(function.list_of_class_constraints)


# -- the quantities ------------------------------------------------------------------------------------------------------------


def _error_norm(asked: Question) -> Model:
    """||x_T - (x_0 - g_0 - ... - g_{T-1})||^2/q^2: e_T of EF-SGD; of the others, what they have lost on the way."""
    run = _Run(asked, _zero(), _zero())
    lost = (run.x[-1] + sum(run.g, _zero())) / (asked.q or 1.0)
    constraints = {"moment": [g**2 <= 1 for g in run.g], "compressor": run.contractions}
    return translate(asked, [lost**2], constraints, run.vectors, {})


def _gradient_norm(asked: Question) -> Model:
    """min_t ||g_t||^2, f smooth, inf f = 0: f(x_t) >= ||g_t||^2/(2L) (Drori and Shamir 2020); f(x_0) <= f0, or paid."""
    run = _Run(asked, _zero(), _zero())
    if asked.period:
        run.x.pop()  # the first of its period again
    else:
        run.g.append(Point())
    f = [Expression(is_leaf=True) for _ in run.x]
    constraints = {
        "moment": [g**2 <= 1 for g in run.g],
        "compressor": run.contractions,
        "f": _interpolated(SmoothFunction, zip(run.x, run.g, f, strict=True), L=asked.L),
        "infimum": [g**2 / (2 * asked.L) <= v for g, v in zip(run.g, f, strict=True)],
        "start": [] if asked.f0 is None else [f[0] <= asked.f0],
    }
    paid = asked.price / (asked.steps + 1) * f[0] if asked.f0 is None else None
    return translate(asked, [g**2 for g in run.g], constraints, run.vectors, {"f": f}, paid)


def _suboptimality(asked: Question) -> Model:
    """f(mean of the x_t) - f(x*), f convex with slopes at most 1, ||x_0 - x*|| <= R; x* = 0, f(x*) = 0."""
    start, unit = Point(), max(asked.R, 1.0)  # free points and values of size about 1
    run = _Run(asked, asked.R * start, _zero())
    run.g.append(Point())
    f = [unit * Expression(is_leaf=True) for _ in run.x]
    points = [*zip(run.x, run.g, f, strict=True), (_zero(), _zero(), _number(0))]
    mean, slope, at_mean = points[0]
    if asked.T:  # else the mean is x_0 itself
        mean, slope, at_mean = sum(run.x, _zero()) / (asked.T + 1), Point(), unit * Expression(is_leaf=True)
        points.append((mean, slope, at_mean))
    constraints = {
        "f": _interpolated(ConvexLipschitzFunction, points, M=1.0),
        "compressor": run.contractions,
        "start": [start**2 <= 1],
    }
    vectors = run.vectors | {"mean": [mean], "slope": [slope]}
    return translate(asked, [at_mean / unit], constraints, vectors, {"f": f, "f_mean": [at_mean]})


def _contraction(asked: Question) -> Model:
    """V_T for V_0 <= 1, f smooth and strongly convex, x* = 0, f(x*) = 0, with a free memory at the start."""
    run, points, before, after = _RATES[asked.method](asked)
    constraints = {
        "f": _interpolated(SmoothStronglyConvexFunction, [*points, (_zero(), _zero(), _number(0))], L=asked.L, mu=asked.mu),
        "compressor": run.contractions,
        "start": [before <= 1],
    }
    return translate(asked, [after], constraints, run.vectors, {"f": [f for _, _, f in points]})


Rate = tuple[_Run, list[Any], Any, Any]  # run, (x, g, f) of f, V_0, V_T; free points and values of size about 1 where V = 1


def _ef_sgd_rate(asked: Question) -> Rate:
    """V = ||x - e - x*||^2 + ||e||^2/q, e = q r."""
    r = Point() if asked.q else _zero()
    run = _Run(asked, Point(), asked.q * r, asked.L)
    points = [(x, g, asked.L * Expression(is_leaf=True)) for x, g in zip(run.x[:-1], run.g, strict=True)]
    lyapunov = [(x - asked.q * s) ** 2 + asked.q * s**2 for x, s in ((run.x[0], r), (run.x[-1], run.r[-1]))]
    return run, points, *lyapunov


def _compressed_sgd_rate(asked: Question) -> Rate:
    """V = f(x) - f*."""
    unit = math.sqrt(asked.L)
    run = _Run(asked, Point() / unit, _zero(), unit)
    run.g.append(unit * Point())
    points = [(x, g, Expression(is_leaf=True)) for x, g in zip(run.x, run.g, strict=True)]
    return run, points, points[0][2], points[-1][2]


def _ef21_rate(asked: Question) -> Rate:
    """V = ||g||^2 + ||g - h||^2/q, h = g - q r; x_1 = x_0 - h_0, then T estimates."""
    x, g, r = Point() / asked.L, Point(), Point() if asked.q else _zero()
    h = g - asked.q * r
    run = _Run(asked, x - h, h)
    run.x.pop()  # x_{T+1}, which nobody asks for
    points = [(x, g, Expression(is_leaf=True) / asked.L) for x, g in zip([x, *run.x], [g, *run.g], strict=True)]
    lyapunov = [g**2 + asked.q * s**2 for g, s in ((g, r), (run.g[-1], run.r[-1]))]
    return run, points, *lyapunov


_RATES: dict[str, Callable[[Question], Rate]] = {
    "EFSGD": _ef_sgd_rate,
    "CompressedSGD": _compressed_sgd_rate,
    "EF21": _ef21_rate,
}
QUANTITIES: dict[str, Callable[[Question], Model]] = {
    "error_norm": _error_norm,
    "gradient_norm": _gradient_norm,
    "suboptimality": _suboptimality,
    "contraction": _contraction,
}


def build(asked: Question) -> Model:
    """The program of a question."""
    PEP()  # PEPit counts points and values in its classes; this starts them at 0
    return QUANTITIES[asked.quantity](asked)
