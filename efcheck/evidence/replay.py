"""A worst case made explicit: a function, a compressor and a run on rationals that exceeds a right side, checked exactly."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from efcheck.arrays import Array
from efcheck.errors import argument_error, integer
from efcheck.evidence._falsify_rational import rational
from efcheck.evidence.evidence import Evidence
from efcheck.evidence.worst_case import checked, program

if TYPE_CHECKING:
    from efcheck.evidence._replay_instance import Instance
    from efcheck.evidence._worst_case_model import Model

QUANTITIES = ("error_norm", "gradient_norm", "suboptimality")
_SLACKS = (1e-3, 1e-4, 1e-5, 1e-6)  # of every inequality, in units of gamma and sigma: more slack, rounder numbers
_DIGITS = (2, 3, 4, 6, 8)
_MOVED = 200  # coordinates that SLSQP moves in seconds


def replay(
    quantity: str,
    *,
    above: Any,
    T: int,
    delta: Any,
    gamma: Any,
    sigma: Any = None,
    L: Any = None,
    f0: Any = None,
    R: Any = None,
    method: str = "EFSGD",
    period: int = 0,
) -> Evidence:
    r"""Refute quantity <= above by an explicit run, if the worst case is larger.

    The program of `worst_case` is solved with every inequality tightened, then for a Gram matrix of low rank that still exceeds
    the right side; its points are moved into as few dimensions, and rounded to as few digits, as keep all hypotheses true on
    Fractions. Then a function through the points and a compressor with these messages are built and run by `simulate`.
    Gradients are bounded by sigma where the run asks for them; elsewhere those of a smooth function may be larger.

    Parameters
    ----------
    quantity, T, delta, gamma, sigma, L, f0, R, method
        As in `worst_case`; rationals, or floats, which are read as the decimals they print. `contraction` has no replay.
    period : int
        Above 0, only runs that go round after one step, x_{t + period} = x_t and e_{t + period} = e_t for t >= 1: few points
        for any T >= period. gradient_norm of EFSGD, f0 free.
    above : efcheck.bounds Side, SymPy expression in the paper's letters, or number
        The right side; f0 is f(x_0) - inf f of the run where it is left free.

    Returns
    -------
    Evidence
        Kind `witness`, `refuted`, with data: instance (all numbers as text of rationals), d, left and right (floats), digits,
        slack, simulated (the left side of the run by `simulate`). Kind `sdp` and `supported` where the worst case is not above
        the right side; `undecided` where it is, but no run was found, or no answer counts.

    Raises
    ------
    ArgumentError, MissingExtraError
        As in `worst_case`.

    Examples
    --------
    >>> from efcheck.bounds import LEMMA_3
    >>> found = replay("error_norm", above=0.99 * LEMMA_3.sharp.expression, T=2, delta="3/4", gamma=1)
    >>> found.kind, found.outcome, found.data["d"]
    ('witness', 'refuted', 1)
    """
    if quantity not in QUANTITIES:
        raise argument_error("quantity", f"be one of {', '.join(QUANTITIES)}", quantity)
    start = time.perf_counter()
    if period and (quantity, method, f0) != ("gradient_norm", "EFSGD", None):
        raise argument_error("period", "be 0 but for gradient_norm of EFSGD with f0 left free", period)
    given = {"delta": delta, "gamma": gamma, "sigma": sigma, "L": L, "f0": f0, "R": R}
    letters = {name: None if value is None else _rational(name, value) for name, value in given.items()}
    used = checked(quantity, method, "CLARABEL", {**{n: None if v is None else float(v) for n, v in letters.items()}, "T": T})
    given = {name: value for name, value in letters.items() if value is not None}
    ones = dict.fromkeys(("sigma", "L", "R"), Fraction(1))
    exact = {"T": used["T"]} | {name: given.get(name, ones.get(name)) for name in used if name != "T"}
    found = _search(quantity, method, used | {"period": integer("period", period, 0, used["T"])}, exact, above)
    return replace(found, seconds=time.perf_counter() - start)


def recheck(told: dict[str, Any], above: Any) -> Evidence:
    """The verdict of an instance of `replay` (data["instance"]): hypotheses and violation again, on Fractions alone.

    refuted: every hypothesis holds and the left side exceeds `above`. undecided: not so, and detail says why.
    """
    from efcheck.evidence._replay_instance import Instance

    instance = Instance.from_json(told)
    left, right = instance.left(), value_at(above, instance.letters | _start(instance))
    why = next(instance.broken(), None)
    shown = f"{float(left):.9g} and {float(right):.9g}"
    if why is None and not _exceeds(left, right):
        why = "the right side is not exceeded"
    data = {"left": left, "right": float(right), "d": instance.d}
    return Evidence("witness", "undecided" if why else "refuted", f"{why}: {shown}" if why else f"left and right {shown}", data)


def _search(quantity: str, method: str, used: Mapping[str, Any], exact: dict[str, Any], above: Any) -> Evidence:
    from efcheck.evidence import _worst_case_sdp as sdp

    priced = {**used, "price": price(above, exact)}
    model, units = program(quantity, method, "CLARABEL", priced)
    whole = sdp.solve(model)
    level = float(value_at(above, {**exact, "f0": exact.get("f0") or Fraction(0)})) / units["value"]
    about = f"{quantity} of {method}, worst case {whole.primal * units['value']:.9g}, right side {level * units['value']:.9g}"
    if not whole.counts:
        return Evidence("sdp", "undecided", f"{about}; the answer does not count: {whole.status}")
    if whole.dual <= level:
        return Evidence("sdp", "supported", f"{about}: not exceeded")
    for instance, slack, digits in _candidates(model, level, exact):
        right = value_at(above, exact | _start(instance))
        if _exceeds(instance.left(), right) and next(instance.broken(), None) is None:
            return _witness(instance, right, slack, digits)
    return Evidence("sdp", "undecided", f"{about}: exceeded, but no rational run was found")


def _start(instance: Instance) -> dict[str, Any]:
    """f(x_0) - inf f of the run, at most."""
    return {"f0": instance.f[0]} if instance.quantity == "gradient_norm" else {}


def price(above: Any, letters: Mapping[str, Any]) -> float:
    """What f(x_0) - inf f costs where it is free: `above` has the term price f0/(gamma (T + 1)); 2 where it is not linear."""
    import sympy as sp

    from efcheck.bounds import f0

    right = getattr(above, "expression", above)
    if letters.get("f0") is not None or f0 not in getattr(right, "free_symbols", ()):
        return 2.0
    slope = sp.diff(right, f0)
    if f0 in slope.free_symbols:
        return 2.0
    return float(value_at(slope, letters) * sp.Rational(letters["gamma"]) * (letters["T"] + 1))


def value_at(above: Any, letters: Mapping[str, Any]) -> Any:
    """The right side as an exact SymPy number."""
    import sympy as sp

    try:
        expression = sp.nsimplify(sp.sympify(getattr(above, "expression", above)), rational=True)
    except (TypeError, ValueError, AttributeError):  # SympifyError is a ValueError
        expression = None
    if not isinstance(expression, sp.Expr) or expression.has(sp.nan, sp.oo, -sp.oo, sp.zoo):
        hint = "Pass a form of a bound, as THEOREM_2.printed."
        raise argument_error("above", "be a right side: a Side, a SymPy expression or a finite number", above, hint)
    values = {**letters, "t": letters["T"]}
    free = {symbol: values.get(symbol.name) for symbol in expression.free_symbols}
    for symbol, value in free.items():
        if value is None:
            raise argument_error("above", f"be in the letters {', '.join(letters)}", symbol.name)
    return expression.subs({symbol: sp.Rational(value) for symbol, value in free.items()})


def _exceeds(left: Fraction, right: Any) -> bool:
    """left > right: exactly, or where `right` has roots at 60 digits, by more than a part in 10^40."""
    import sympy as sp

    if right.is_Rational:
        return left > Fraction(int(right.p), int(right.q))
    difference = (sp.Rational(left) - right).evalf(60, maxn=1000)
    return bool(difference > abs(right.evalf(60)) / 10**40)


def _candidates(model: Model, level: float, exact: dict[str, Any]) -> Iterator[tuple[Instance, float, int]]:
    """(run on rationals, slack, digits): few dimensions first, then much slack, then few digits."""
    from efcheck.evidence import _replay_rank as rank

    tight = {slack: rank.tightened(model, slack) for slack in _SLACKS}
    found = next(filter(None, (rank.low_rank(some, level) for some in tight.values())), None)
    if found is None:
        return
    free, values = found
    for d in range(1, free.shape[1] + 1):
        for slack, some in tight.items():
            points, numbers = free[:, :d], values
            if points.size <= _MOVED:
                points, numbers = rank.polished(some, points, numbers)
            if rank.excess(some, points, numbers) < slack / 2:
                for digits in _DIGITS:
                    yield _instance(model, *model.named(points, numbers), digits, exact), slack, digits


def _instance(
    model: Model, vectors: Mapping[str, Array], numbers: Mapping[str, Array], digits: int, exact: dict[str, Any]
) -> Instance:
    """Rounded in units of gamma and sigma, then in the reader's."""
    from efcheck.evidence._replay_instance import Instance, around

    def rational(value: float, unit: Fraction) -> Fraction:
        return Fraction(round(float(value) * 10**digits), 10**digits) * unit

    def points(name: str, unit: Fraction) -> tuple[tuple[Fraction, ...], ...]:
        return tuple(tuple(rational(c, unit) for c in row) for row in vectors[name])

    gamma, sigma, asked = exact["gamma"], exact["sigma"], model.question
    x, f = gamma * sigma, gamma * sigma**2
    sent = x if asked.method == "EFSGD" else sigma
    at_mean: dict[str, Any] = {}
    if "mean" in vectors:
        at_mean = {"slope": points("slope", sigma)[0], "f_mean": rational(numbers["f_mean"][0], f)}
    values = tuple(rational(v, f) for v in numbers["f"]) if "f" in numbers else ()
    g, residual = points("g", sigma), points("residual", sent)
    if asked.period:
        g = (*g[:-1], tuple(-sum(column) for column in zip(*g[1:-1], strict=True)))  # the rounding is closed, too
        g, residual, values = (around(some, asked.period, asked.last + 1) for some in (g, residual, values))
    return Instance(asked.quantity, asked.method, exact, points("x", x)[0], g, residual[: exact["T"]], values, **at_mean)


def _witness(instance: Instance, right: Any, slack: float, digits: int) -> Evidence:
    """Run it by `simulate`, too: an explicit function and compressor do what the rationals say."""
    left, simulated = float(instance.left()), run(instance)
    data = {"instance": instance.to_json(), "d": instance.d, "left": left, "right": float(right), "slack": slack}
    data |= {"digits": digits, "simulated": simulated}
    same = abs(simulated - left) <= 1e-9 * abs(left)
    told = ", ".join(f"{name} = {value}" for name, value in instance.letters.items() if value is not None)
    detail = (
        f"{instance.quantity} of {instance.method} at {told}: {left:.9g} > {float(right):.9g} on an explicit function and "
        f"compressor in dimension {instance.d}, every hypothesis exact on rationals of {digits} digits"
    )
    if not same:
        return Evidence("witness", "undecided", f"{detail}; but `simulate` gives {simulated:.9g}", data)
    return Evidence("witness", "refuted", detail, data)


def run(instance: Instance) -> float:
    """The left side of `instance` by `simulate`, on the explicit function and compressor, in floats."""
    from efcheck import methods
    from efcheck.evidence._replay_parts import Table
    from efcheck.simulate import simulate

    problem = function(instance)
    table = Table(_floats(instance.p), _floats(instance.residual))
    method = getattr(methods, instance.method)(float(instance.letters["gamma"]), table)
    x0 = np.array([float(c) for c in instance.x0])
    trace = simulate(problem, method, instance.letters["T"], x0=x0, record=("x", "g"))
    x = trace["x"][:, 0]
    g = problem.mean_gradient(x)
    if instance.quantity == "gradient_norm":
        return float(np.square(g).sum(axis=1).min())
    if instance.quantity == "suboptimality":
        return float(problem.f(x.mean(axis=0)) - problem.f(np.zeros(instance.d)))
    return float(np.square(x[-1] - x[0] + float(instance.letters["gamma"]) * g[:-1].sum(axis=0)).sum())


def function(instance: Instance) -> Any:
    """The problem that `instance` runs on: `MaxAffine`, `Envelope`, or for error_norm a `Field` of gradients."""
    from efcheck.evidence import _replay_parts as parts

    if instance.quantity == "error_norm":
        return parts.Field(_floats(instance.x[:-1]), _floats(instance.g), np.zeros(len(instance.g)))
    x, g, f = zip(*instance.points, strict=True)
    through = _floats(x), _floats(g), np.array([float(v) for v in f])
    if instance.quantity == "suboptimality":
        return parts.MaxAffine(*through)
    return parts.Envelope(*through, float(instance.letters["L"]))


def _floats(vectors: Any) -> Array:
    return np.array([[float(c) for c in v] for v in vectors])


def _rational(name: str, value: Any) -> Fraction:
    try:
        return rational(value)
    except ValueError:
        raise argument_error(name, "be a rational number", value) from None
