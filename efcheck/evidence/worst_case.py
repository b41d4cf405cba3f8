"""The worst case of a method over all functions, gradients and compressors, by semidefinite programming.

PEPit, Clarabel and SCS load at the first call; they are the extra `worst-case`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from efcheck.errors import ArgumentError, MissingExtraError, argument_error, integer, real
from efcheck.evidence.evidence import Evidence

if TYPE_CHECKING:
    from efcheck.evidence._worst_case_model import Model

QUANTITIES = ("error_norm", "gradient_norm", "suboptimality", "contraction")
METHODS = ("EFSGD", "CompressedSGD", "EF21")
SOLVERS = ("CLARABEL", "SCS")
LONGEST = 60
_COST = "Time grows as T^5: 0.1 s for 12, about 10 s for 30; longer runs are beyond a semidefinite program."
_DEFAULTS: dict[str, Any] = {"sigma": 1.0, "L": 1.0, "R": 1.0}
_UNITS = {"error_norm": "[x]^2", "gradient_norm": "[f]^2/[x]^2", "suboptimality": "[f]", "contraction": ""}
_SIZES = 1e-100, 1e100  # squares and products of two still fit into floats
LETTERS = {
    "error_norm": ("T", "delta", "gamma", "sigma"),
    "gradient_norm": ("T", "delta", "gamma", "sigma", "L", "f0"),
    "suboptimality": ("T", "delta", "gamma", "sigma", "R"),
    "contraction": ("T", "delta", "gamma", "L", "mu"),
}


def worst_case(
    quantity: str,
    *,
    T: int,
    delta: float,
    gamma: float,
    sigma: float | None = None,
    L: float | None = None,
    f0: float | None = None,
    R: float | None = None,
    mu: float | None = None,
    method: str = "EFSGD",
    solver: str = "CLARABEL",
    gram: bool = False,
) -> Evidence:
    r"""The largest value that `quantity` takes after T steps, in any dimension, with deterministic gradients g_t of f at x_t.

        error_norm     ||x_T - (x_0 - gamma (g_0 + ... + g_{T-1}))||^2, ||g_t|| <= sigma: of EF-SGD ||e_T||^2  (Lemma 3)
        gradient_norm  min_{0 <= t <= T} ||g_t||^2, f L-smooth, ||g_t|| <= sigma, f(x_0) - inf f <= f0; without f0 the
                       largest min_t ||g_t||^2 - 2 (f(x_0) - inf f)/(gamma (T+1))                              (Theorem II)
        suboptimality  f(xbar) - f(x*), xbar the mean of x_0, ..., x_T, f convex, all subgradients at most sigma,
                       ||x_0 - x*|| <= R                                                                      (Theorem III)
        contraction    V_T/V_0, f L-smooth and mu-strongly convex, from any memory; q = sqrt(1 - delta): of EF-SGD V =
                       ||x - e - x*||^2 + ||e||^2/q, of EF21 ||g||^2 + ||g - h||^2/q, without feedback f(x) - f*

    A compressor is any map with ||C(p) - p||^2 <= (1 - delta) ||p||^2. At a point that is met twice it may answer twice
    differently, as a random one may. ||g_t|| <= sigma is asked at the points of the run only.

    Parameters
    ----------
    quantity : str
        One of the above.
    T : int
        Steps, >= 0 (>= 1 for error_norm and contraction), at most 60. Time grows as T^5: 0.1 s for 12, about 10 s for 30.
    delta : float
        Contraction, in (0, 1].
    gamma, sigma, L : float; sigma and L may be None
        Step size [x]^2/[f], bound of the gradients [f]/[x], smoothness [f]/[x]^2; all > 0. gamma, sigma, gamma sigma and
        gamma L are in [1e-100, 1e100]. sigma, L and R are 1 where None; a letter that the quantity lacks must be left out.
    f0 : float or None
        f(x_0) - inf f > 0, [f]; None leaves it free.
    R : float or None
        ||x_0 - x*|| >= 0, [x].
    mu : float or None
        Strong convexity, in (0, L), for contraction.
    method : {"EFSGD", "CompressedSGD", "EF21"}
        As in efcheck.methods.
    solver : {"CLARABEL", "SCS"}
        SCS is for comparison: first order, slow and less exact.
    gram : bool
        Whether `data` also holds what attains the value.

    Returns
    -------
    Evidence
        Kind `sdp`; `supported` where the answer counts: gap and residuals, recomputed from the Gram matrix and the multipliers,
        below 1e-6 of the value, or of 1/100 of (gamma sigma)^2, sigma^2, gamma sigma^2 or 1 where it is smaller; else
        `undecided`. data: value (primal), dual, accuracy (what gap and residuals are worth together, in the value's unit: a
        value below it is rounding alone), unit, gap, primal_residual, dual_residual,
        status (the solver's own word), seconds, solver, version (of the solver), quantity, method, and the letters used.
        With gram: vectors, name -> (count, d), "x" "g" "p" "residual" (p - C(p)) and, for suboptimality, "mean" "slope", in
        their units, x* = 0, else x_0 = 0, d as small as the Gram matrix has it; numbers, name -> (count,), "f" and "f_mean",
        f* = 0; multipliers and kinds of the rows; gram, in units of gamma sigma and sigma.

    Raises
    ------
    ArgumentError
        If an argument is outside its domain.
    MissingExtraError
        If PEPit or the solver is not installed.

    Examples
    --------
    >>> found = worst_case("error_norm", T=2, delta=0.75, gamma=1.0)  # q = 1/2: (1/2 + 1/4)^2
    >>> found.outcome, round(found.data["value"], 6)
    ('supported', 0.5625)

    Source
    ------
    Drori and Teboulle 2014; Taylor, Hendrickx and Glineur 2017 (interpolation); Drori and Shamir 2020 (inf f); PEPit 2024.
    """
    letters = {"T": T, "delta": delta, "gamma": gamma, "sigma": sigma, "L": L, "f0": f0, "R": R, "mu": mu}
    used = checked(quantity, method, solver, letters)
    model, units = program(quantity, method, solver, used)
    from efcheck.evidence import _worst_case_sdp

    found = _worst_case_sdp.solve(model, solver)
    unit = units["value"]  # all these are >= 0: below, there is only rounding
    data = {"quantity": quantity, "method": method, **used, "value": max(found.primal, 0.0) * unit}
    data |= {"dual": max(found.dual, 0.0) * unit, "accuracy": found.accuracy * unit, "unit": _UNITS[quantity]}
    data |= {"gap": found.gap}
    data |= {"primal_residual": found.primal_residual, "dual_residual": found.dual_residual}
    data |= {"status": found.status, "seconds": found.seconds, "solver": solver, "version": version(solver.lower())}
    outcome, detail = "supported" if found.counts else "undecided", _line(data)
    if gram:
        vectors, numbers = model.named(model.factor(found.gram), found.values)
        data["vectors"] = {name: units[name] * array for name, array in vectors.items()}
        data["numbers"] = {name: units["f"] * array for name, array in numbers.items()}
        data |= {"gram": found.gram, "multipliers": found.multipliers, "kinds": model.kinds}
    return Evidence("sdp", outcome, detail, data, seconds=found.seconds)


def checked(quantity: str, method: str, solver: str, letters: Mapping[str, Any]) -> dict[str, Any]:
    """The letters that `quantity` uses, as numbers in their domains; None stands for the default."""
    for name, word, words in (("quantity", quantity, QUANTITIES), ("method", method, METHODS), ("solver", solver, SOLVERS)):
        if word not in words:
            raise argument_error(name, f"be one of {', '.join(words)}", word)
    least = 1 if quantity in ("error_norm", "contraction") else 0
    used: dict[str, Any] = {"T": integer("T", letters["T"], least, LONGEST, _COST)}
    for name, given in letters.items():
        if given is not None and name not in LETTERS[quantity]:
            raise argument_error(name, f"be left out: {quantity} has {', '.join(LETTERS[quantity])}", given)
    for name in LETTERS[quantity][1:]:
        value = _DEFAULTS.get(name) if letters[name] is None else letters[name]
        if name == "delta":
            used[name] = _share(value)
        elif name == "R":
            used[name] = real(name, value, 0.0)
        elif name == "f0" and value is None:
            used[name] = None
        elif name == "mu":
            used[name] = real(name, value, 0.0, used["L"], open_ends=True, hint="It is the strong convexity, mu < L.")
        else:
            used[name] = real(name, value, 0.0, open_ends=True)
    _sized(used)
    return used


def _sized(used: Mapping[str, Any]) -> None:
    """The units, and the letters in them, are no smaller and no larger than floats can be squared."""
    gamma, sigma = used["gamma"], used.get("sigma", 1.0)
    sizes = {"gamma": gamma, "sigma": sigma, "gamma sigma": gamma * sigma, "gamma L": gamma * used.get("L", 1.0)}
    for name, size in sizes.items():
        if not _SIZES[0] <= size <= _SIZES[1]:
            raise argument_error(name, "be in [1e-100, 1e100]", f"{size:g}")
    ratios = {
        "R/(gamma sigma)": used.get("R", 0.0) / (gamma * sigma),
        "f0/(gamma sigma^2)": (used.get("f0") or 0.0) / gamma / sigma**2,
    }
    for name, size in ratios.items():
        if size > _SIZES[1]:
            raise argument_error(name, "be at most 1e100", f"{size:g}")


def _share(delta: Any) -> float:
    try:
        number = real("delta", delta, 0.0, 1.0)
    except ArgumentError:
        number = 0.0
    if number == 0:
        raise argument_error("delta", "be a number in (0, 1]", delta)
    return number


def program(quantity: str, method: str, solver: str, used: Mapping[str, Any]) -> tuple[Model, dict[str, float]]:
    """The semidefinite program of checked letters in units where gamma = sigma = 1, and these units by name.

    `used` may hold the price of f0 and the period, see `Question`, too.
    """
    try:
        importlib.import_module(solver.lower())
        from efcheck.evidence._worst_case_model import Question
        from efcheck.evidence._worst_case_quantities import build
    except ImportError as error:
        hint = "Install efcheck[worst-case]" + (", and scs for this solver." if error.name == "scs" else ".")
        raise MissingExtraError(f"`worst_case` must have PEPit and a solver; got no module {error.name}. {hint}") from error
    gamma, sigma, q = used["gamma"], used.get("sigma", 1.0), math.sqrt(1 - used["delta"])
    x, f, f0, R = gamma * sigma, gamma * sigma**2, used.get("f0"), used.get("R", 1.0) / (gamma * sigma)
    sizes = (gamma * used.get("L", 1.0), gamma * used.get("mu", 0.0), None if f0 is None else f0 / f, R)
    period, T = used.get("period", 0), used["T"]
    asked = Question(
        quantity, method, 1 + period if period else T, used["delta"], *sizes, used.get("price", 2.0), period, last=T
    )
    value = {
        "error_norm": (q or 1.0) ** 2 * x**2,
        "gradient_norm": sigma**2,
        "suboptimality": f * max(R, 1.0),
        "contraction": 1.0,
    }
    sent = x if method == "EFSGD" else sigma
    return build(asked), {
        "x": x,
        "mean": x,
        "g": sigma,
        "slope": sigma,
        "f": f,
        "p": sent,
        "residual": sent,
        "value": value[quantity],
    }


def _line(data: Mapping[str, Any]) -> str:
    residual = max(data["primal_residual"], data["dual_residual"])
    told = ", ".join(f"{name} = {data[name]:g}" for name in LETTERS[data["quantity"]] if data[name] is not None)
    return (
        f"{data['quantity']} of {data['method']} at {told}: at most {data['dual']:.9g}, attained {data['value']:.9g}, both to "
        f"{data['accuracy']:.1e} (gap {data['gap']:.1e}, residuals {residual:.1e}; {data['solver']} {data['version']}: "
        f"{data['status']})"
    )
