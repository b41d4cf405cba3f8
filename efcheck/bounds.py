r"""The right-hand sides of the paper's bounds, from one SymPy source: printed, repaired, sharp; LaTeX and arrays.

q = sqrt(1 - delta). A sum over t of q^t has its closed form here, so every bound is an expression in the paper's letters:

    T, t    steps, index (>= 0)          gamma     step size (> 0), [x]^2/[f]
    delta   contraction, in (0, 1]       sigma     root of the second moment of g, [f]/[x]
    f0      f(x_0) - f*, [f]             L         smoothness, [f]/[x]^2
    R       ||x_0 - x*||, [x]            k         second-moment factor of an unbiased compressor, >= 1

Values are float64, correct to 1e-10 of themselves also where the closed forms cancel (small delta, few steps); inf stands
for a value beyond the largest float64.

`printed` is what the paper has. `repaired` is what its proof gives where the printed bound fails, and the same expression
where it holds. `sharp` is the best known one, None where none is: for Lemma 3 and Theorem III attained or met by worst cases
computed numerically; for the others the same proof with the sharp error norm in place of Lemma 3.

Source: Karimireddy et al. 2019, Sections 4 and 5.1, B.2 to B.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from efcheck.arrays import Array
from efcheck.errors import argument_error

T = sp.Symbol("T", nonnegative=True, integer=True)
t = sp.Symbol("t", nonnegative=True, integer=True)
gamma = sp.Symbol("gamma", positive=True)
delta = sp.Symbol("delta", positive=True)
sigma = sp.Symbol("sigma", nonnegative=True)
f0 = sp.Symbol("f0", nonnegative=True)
L = sp.Symbol("L", nonnegative=True)
R = sp.Symbol("R", nonnegative=True)
k = sp.Symbol("k", positive=True)

_LETTERS = {s.name: s for s in (T, t, gamma, delta, sigma, f0, L, R, k)}
_TEX = {f0: "f_0"}
# (lowest value, whether it is allowed, highest value): the domain of each letter
_DOMAINS = {
    "T": (0, True, np.inf), "t": (0, True, np.inf), "gamma": (0, False, np.inf), "delta": (0, False, 1),
    "sigma": (0, True, np.inf), "f0": (0, True, np.inf), "L": (0, True, np.inf), "R": (0, True, np.inf), "k": (1, True, np.inf),
}  # fmt: skip
UNITS = {
    "T": "steps", "t": "steps", "gamma": "[x]^2/[f]", "delta": "", "sigma": "[f]/[x]", "f0": "[f]", "L": "[f]/[x]^2",
    "R": "[x]", "k": "",
}  # fmt: skip


@dataclass(frozen=True)
class Side:
    """One right-hand side. Calling it takes every letter of `letters` by name, numbers or arrays that broadcast."""

    left: str
    expression: Any

    @property
    def letters(self) -> tuple[str, ...]:
        """The names of its arguments, in alphabetical order."""
        return tuple(sorted(s.name for s in self.expression.free_symbols))

    @property
    def latex(self) -> str:
        """The whole inequality as LaTeX, without dollars."""
        return rf"{self.left} \le {sp.latex(self.expression, symbol_names=_TEX)}"

    def __call__(self, **values: Any) -> Array | np.float64:
        """The value in float64, of the common shape of the arguments.

        Raises ArgumentError for a letter that is missing, unknown or outside its domain.
        """
        names = self.letters
        for name in values.keys() - set(names):
            raise argument_error("letters", f"be {', '.join(names)}", name)
        for name in (n for n in names if n not in values):
            raise argument_error("letters", f"hold a value for each of {', '.join(names)}", f"no {name}")
        arrays = {name: _checked(name, values[name]) for name in names}
        try:
            shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
        except ValueError:
            shapes = ", ".join(f"{name} {a.shape}" for name, a in arrays.items() if a.shape)
            raise argument_error("letters", "have shapes that broadcast", shapes) from None
        found = _values(self.expression, {name: np.broadcast_to(a, shape).ravel() for name, a in arrays.items()})
        return np.float64(found[0]) if shape == () else found.reshape(shape)


@dataclass(frozen=True)
class Bound:
    """One bound of the paper in its forms.

    >>> LEMMA_3.printed(gamma=0.1, sigma=1.0, delta=0.5)
    np.float64(0.08000000000000002)
    >>> LEMMA_3.printed.letters
    ('delta', 'gamma', 'sigma')
    """

    name: str
    source: str
    quantity: str
    printed: Side
    repaired: Side
    sharp: Side | None = None

    @property
    def holds(self) -> bool:
        """Whether `repaired` is the printed expression itself."""
        return bool(sp.simplify(self.printed.expression - self.repaired.expression) == 0)

    @property
    def unit(self) -> str:
        """What the bounded quantity is measured in; where gamma = 1/sqrt(T+1), gamma's unit is 1: [x]^2 = [f]."""
        return _LEFT_UNITS[self.printed.left]

    @property
    def forms(self) -> Iterator[tuple[str, Side]]:
        """("printed", ...), ("repaired", ...) and, where known, ("sharp", ...)."""
        yield "printed", self.printed
        yield "repaired", self.repaired
        if self.sharp is not None:
            yield "sharp", self.sharp


def _checked(name: str, value: Any) -> Array:
    low, closed, high = _DOMAINS[name]
    whole = name in ("T", "t")
    expected = f"be {'an integer ' if whole else ''}in {'[' if closed else '('}{low}, {high}{']' if np.isfinite(high) else ')'}"
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "iufO":  # NumPy would take True, 1j and "1"
            raise TypeError
        if given.dtype.kind == "O":  # fractions; float refuses None, which astype would make NaN
            given = np.array([float(v) for v in given.ravel()]).reshape(given.shape)
        array = given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise argument_error(name, f"{expected}, a number or an array", value) from None
    inside = np.isfinite(array) & (array <= high) & ((array >= low) if closed else (array > low))
    if whole:
        inside &= array == np.floor(array)
    if not inside.all():
        index = tuple(int(i) for i in np.argwhere(~np.atleast_1d(inside))[0])
        where = "" if array.ndim == 0 else f" at index {index[0] if len(index) == 1 else index}"
        raise argument_error(name, expected, f"{np.atleast_1d(array)[index]:g}{where}")
    return array


@lru_cache(maxsize=256)
def _compiled(expression: Any, names: tuple[str, ...], module: str) -> Any:
    return sp.lambdify([_LETTERS[name] for name in names], expression, module)


def _values(expression: Any, arrays: dict[str, Array]) -> Array:
    """In float64 where that is enough, else with as many digits as it takes."""
    with np.errstate(all="ignore"):
        found = np.array(_compiled(expression, tuple(arrays), "numpy")(*arrays.values()), dtype=np.float64)
    delicate = _delicate(expression, arrays)
    if delicate.any():
        precise = _compiled(expression, tuple(arrays), "mpmath")
        rows = zip(*(a[delicate].tolist() for a in arrays.values()), strict=True)
        found[delicate] = [_precisely(precise, tuple(arrays), row) for row in rows]
    return found


def _delicate(expression: Any, arrays: dict[str, Array]) -> Any:
    """Where float64 would overflow or vanish on the way, or a closed form loses digits: 1 - q and 1 - q^T near 0."""
    found: Any = np.any([(a != 0) & ((a < 1e-40) | (a > 1e40)) for a in arrays.values()], axis=0)
    if any(power.exp.free_symbols for power in expression.atoms(sp.Pow)):
        share = arrays["delta"] if "delta" in arrays else 1 / arrays["k"]
        found |= (share < 1e-3) | (share * (arrays["T" if "T" in arrays else "t"] + 1) < 0.5)
        if "k" in arrays:
            found |= arrays["k"] < 1.05
    return found


def _precisely(function: Any, names: tuple[str, ...], row: tuple[float, ...]) -> float:
    """The value with digits enough for 1 - delta and its squares; mpmath's exponents have no limits."""
    spread = max((abs(np.log10(v)) for name, v in zip(names, row, strict=True) if name in ("delta", "k")), default=0.0)
    with mpmath.workdps(40 + 3 * int(spread)):
        value = function(*map(mpmath.mpf, row))
        return float(value) if value < mpmath.mpf(2) ** 1024 else float("inf")


def _bound(name: str, source: str, quantity: str, left: str, printed: Any, repaired: Any = None, sharp: Any = None) -> Bound:
    fixed = printed if repaired is None else repaired
    return Bound(name, source, quantity, Side(left, printed), Side(left, fixed), None if sharp is None else Side(left, sharp))


def error_sum(steps: Any) -> Any:
    """q (1 - q^steps)/(1 - q): the largest ||e_steps||/(gamma sigma), a geometric series with q = sqrt(1 - delta)."""
    q = sp.sqrt(1 - delta)
    return q * (1 - q**steps) / (1 - q)


_q = sp.sqrt(1 - delta)
# (1/(T+1)) sum_{t=0}^{T} of error_sum(t) and of its square
_mean_error = _q / (1 - _q) * (1 - (1 - _q ** (T + 1)) / ((1 - _q) * (T + 1)))
_mean_square = (_q / (1 - _q)) ** 2 * (
    1 - (2 * (1 - _q ** (T + 1)) / (1 - _q) - (1 - _q ** (2 * T + 2)) / (1 - _q**2)) / (T + 1)
)
_loose = 4 * (1 - delta) / delta**2  # Lemma 3 over gamma^2 sigma^2
_half = sp.Rational(1, 2)
_root = sp.sqrt(T + 1)
_GRADIENT = r"\min_{0 \le t \le T} \mathbb{E}\|\nabla f(x_t)\|^2"
_GAP = r"\mathbb{E} f(\bar x_T) - f^*"
_ERROR, _DISTANCE = r"\mathbb{E}\|e_t\|^2", r"\|x_t - \Pi x_t\|^2"
_LEFT_UNITS = {_GRADIENT: "[f]^2/[x]^2", _GAP: "[f]", _ERROR: "[x]^2", _DISTANCE: "[x]^2"}

LEMMA_3 = _bound(
    "lemma-3", "Lemma 3, Section 4", "the memory's squared norm", _ERROR,
    _loose * gamma**2 * sigma**2, sharp=gamma**2 * sigma**2 * error_sum(t) ** 2,
)  # fmt: skip
THEOREM_2 = _bound(
    "theorem-2", "Theorem II, Section 4", "the least gradient norm of EF-SGD, f smooth", _GRADIENT,
    2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 / 2 + gamma**2 * L**2 * sigma**2 * _loose,
    2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 + gamma**2 * L**2 * sigma**2 * _loose,
    2 * f0 / (gamma * (T + 1)) + gamma * L * sigma**2 + gamma**2 * L**2 * sigma**2 * _mean_square,
)  # fmt: skip
REMARK_4 = _bound(
    "remark-4", "Remark 4, Section 4", "EF-SGD with gamma = 1/sqrt(T+1)", _GRADIENT,
    (4 * f0 + L * sigma**2) / (2 * _root) + L**2 * sigma**2 * _loose / (T + 1),
    (2 * f0 + L * sigma**2) / _root + L**2 * sigma**2 * _loose / (T + 1),
    (2 * f0 + L * sigma**2) / _root + L**2 * sigma**2 * _mean_square / (T + 1),
)  # fmt: skip
REMARK_4_SGD = _bound(
    "remark-4-sgd", "Remark 4, Section 4; B.4", "SGD with gamma = 1/sqrt(T+1)", _GRADIENT,
    (2 * f0 + L * sigma**2) / (2 * _root),
)  # fmt: skip
REMARK_5 = _bound(
    "remark-5", "Remark 5, Section 4", "EF-SGD with U/k, gamma = 1/sqrt(T+1)", _GRADIENT,
    (4 * f0 + L * sigma**2) / (2 * _root) + 2 * L**2 * sigma**2 * k**2 / (T + 1),
    (2 * f0 + L * sigma**2) / _root + 4 * L**2 * sigma**2 * k * (k - 1) / (T + 1),
    (2 * f0 + L * sigma**2) / _root + L**2 * sigma**2 * _mean_square.subs(delta, 1 / k) / (T + 1),
)  # fmt: skip
REMARK_5_PLAIN = _bound(
    "remark-5-plain", "Remark 5, Section 4", "SGD with U and no feedback, gamma = 1/sqrt(T+1)", _GRADIENT,
    (f0 + L * k * sigma**2) / (2 * _root),
    (2 * f0 + L * k * sigma**2) / (2 * _root),
)  # fmt: skip
THEOREM_3 = _bound(
    "theorem-3", "Theorem III, Section 4", "the suboptimality of EF-SGD, f convex", _GAP,
    R**2 / (2 * gamma * (T + 1)) + gamma * sigma**2 * (_half + 2 * _q / delta),
    sharp=R**2 / (2 * gamma * (T + 1)) + gamma * sigma**2 * (_half + _mean_error),
)  # fmt: skip
REMARK_6 = _bound(
    "remark-6", "Remark 6, Section 4", "EF-SGD with the best gamma, f convex", _GAP,
    R * sigma / (2 * _root) * sp.sqrt(1 + 4 * _q / delta),
    R * sigma / _root * sp.sqrt(1 + 4 * _q / delta),
    R * sigma / _root * sp.sqrt(1 + 2 * _mean_error),
)  # fmt: skip
REMARK_6_SGD = _bound(
    "remark-6-sgd", "Remark 6, Section 4", "SGD with the best gamma, f convex", _GAP,
    R * sigma / (2 * _root),
    R * sigma / _root,
)  # fmt: skip
REMARK_10 = _bound(
    "remark-10", "Remark 10, Section 5.1", "the squared distance to the span; sigma = max ||g_i||, i < t", _DISTANCE,
    _loose * gamma**2 * sigma**2, sharp=gamma**2 * sigma**2 * error_sum(t) ** 2,
)  # fmt: skip

BOUNDS = {b.name: b for b in (LEMMA_3, THEOREM_2, REMARK_4, REMARK_4_SGD, REMARK_5, REMARK_5_PLAIN,
                              THEOREM_3, REMARK_6, REMARK_6_SGD, REMARK_10)}  # fmt: skip


def named(name: str) -> Bound:
    """The bound of that name.

    >>> named("theorem-2").holds
    False
    """
    if name not in BOUNDS:
        raise argument_error("name", f"be one of {', '.join(BOUNDS)}", name)
    return BOUNDS[name]
