"""How tight the bounds are: worst cases by semidefinite programming over what is printed, repaired and sharp.

Claims  lemma-3, theorem-2, theorem-3 and their sharp forms. Marks are worst cases.
        (a) Lemma 3 and (c) Theorem III at gamma = R/(sigma (T+1)), over the printed bound: they lie on the curves, the sharp
        forms. (b) Theorem II with f(x_0) free, at the gamma L with the largest ratio: above 1 it is exceeded as printed; the
        repaired one never is. (d), (e) The step size that makes the largest f(xbar_T) - f* least, and that, delta = 1/2,
        R = sigma = 1. (f) One step on a smooth and strongly convex f, mu = L/10, at the best step size: by how much a Lyapunov
        function shrinks; the curves are the published rates (Berg Thomsen, Taylor, Dieuleveut 2025; for no feedback, gradient
        descent for L (1 + q) and mu (1 - q), q = sqrt(1 - delta)).
Reads   tightness.csv, the numbers of `compute` as solved; needs the extra worst-case only to solve anew
Writes  tightness.{pdf,png,npz,json}        Time  1 s; 10 min for `tightness.py --anew`
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from efcheck import bounds, figure
from efcheck.evidence import worst_case

SIZE = (6.75, 4.6)
PANELS = 1
SAVED = Path(__file__).with_suffix(".csv")
COLUMNS = ("panel", "method", "T", "delta", "gamma", "worst")
LOOKS = [figure.Style(c, s, m) for c, s, m in (("#0072B2", "-", "o"), ("#D55E00", "--", "s"), ("#009E73", "-.", "^"))]
SOLVER = "CLARABEL"
METHODS = ("EFSGD", "EF21", "CompressedSGD")
NAMES = {"EFSGD": "EF", "EF21": "EF21", "CompressedSGD": "no feedback"}
MU = 0.1  # of (f), L = 1
LEMMA, SMOOTH, CONVEX, STEPS, DELTAS = (1, 4, 30), (6, 12, 20), (1, 4, 12), (1, 2, 4, 8, 16), 8
Row = tuple[str, str, int, float, float, float]


def compute(
    seed: int = 0,
    lemma: tuple[int, ...] = LEMMA,
    smooth: tuple[int, ...] = SMOOTH,
    convex: tuple[int, ...] = CONVEX,
    methods: tuple[int, ...] = STEPS,
    deltas: int = DELTAS,
    source: str = SAVED.name,
    solver: str = SOLVER,
) -> dict[str, Any]:
    """The columns panel, method, T, delta, gamma, worst; from tightness.csv if it has these T and so many delta by this solver.

    lemma, smooth, convex, methods: the T of panels (a), (b), (c), (d) and (e), whose rows are "d"; deltas: how many in (a),
    (b), (c), (f). source: the csv, "" to solve anew. Units sigma = 1, R = 1, and L = 1 in (b), (f).
    """
    rows = saved(SAVED.with_name(source)) if source and SAVED.with_name(source).exists() and solver == SOLVER else []
    wanted = {(panel, T): deltas for panel, some in (("a", lemma), ("b", smooth), ("c", convex)) for T in some}
    wanted |= {("d", T): len(METHODS) for T in methods} | {("f", 1): len(METHODS) * deltas}
    counts = Counter((row[0], row[2]) for row in rows)
    if any(counts[key] != count for key, count in wanted.items()):
        rows = list(solved(lemma, smooth, convex, methods, deltas, solver))
    kept = [row for row in rows if (row[0], row[2]) in wanted]
    return {name: np.array(column) for name, column in zip(COLUMNS, zip(*kept, strict=True), strict=True)}


def saved(file: Path) -> list[Row]:
    """tightness.csv, all of it by SOLVER."""
    with file.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))[1:]
    return [(p, m, int(T), float(d), float(g), float(w)) for p, m, T, d, g, w in lines]


def save(rows: Iterable[Row]) -> None:
    """Write tightness.csv, nine digits."""
    lines = [",".join(COLUMNS), *(f"{p},{m},{T},{d:.9g},{g:.9g},{w:.9g}" for p, m, T, d, g, w in rows)]
    SAVED.write_text("\n".join(lines) + "\n", encoding="utf-8")


# -- worst cases -----------------------------------------------------------------------------------------------------------


def solved(lemma: Any, smooth: Any, convex: Any, methods: Any, deltas: int, solver: str = SOLVER) -> Iterable[Row]:
    """All rows, each from a solve that counts."""
    even, near = np.linspace(0.1, 0.9, deltas), 1 - np.logspace(-3.2, -0.7, deltas)
    for T in lemma:
        yield from (("a", "EFSGD", T, d, 1.0, value("error_norm", T=T, delta=d, gamma=1.0, solver=solver)) for d in even)
    for T in smooth:
        yield from (("b", "EFSGD", T, d, *largest_ratio(T, d, solver)) for d in near)
    for T in convex:
        step = 1 / (T + 1)
        given = {"T": T, "gamma": step, "solver": solver}
        yield from (("c", "EFSGD", T, d, step, value("suboptimality", delta=d, **given)) for d in even)
    for method in METHODS:
        yield from (("d", method, T, 0.5, *best_step(T, method, solver)) for T in methods)
    yield from rates(even, solver)


def rates(deltas: Any, solver: str = SOLVER) -> Iterable[Row]:
    """Panel (f)."""
    for method in METHODS:
        for d, step in zip(deltas, published(method, deltas)[0], strict=True):
            given = {"delta": d, "gamma": step, "mu": MU, "method": method, "solver": solver}
            yield "f", method, 1, d, step, value("contraction", T=1, **given)


def published(method: str, delta: Any) -> tuple[Any, Any]:
    """The best step size and its rate, with L = 1 and mu = MU."""
    q, s = np.sqrt(1 - delta), (1 - MU) / (1 + MU)
    if method == "CompressedSGD":
        low, high = (1 - q) * MU, 1 + q
        return 2 / (low + high), ((high - low) / (high + low)) ** 2
    rate = q + (1 - q) * s / 2 * ((1 - q) * s + np.sqrt(4 * q + ((1 - q) * s) ** 2))
    return 2 / (1 + MU) * (1 - q) / (1 + q), rate


def value(quantity: str, **letters: Any) -> float:
    """The worst case; an answer that does not count stops the figure."""
    found = worst_case(quantity, **letters)
    if found.outcome != "supported":
        raise ValueError(f"no answer that counts: {found.detail}")
    return float(found.data["value"])


def largest_ratio(T: int, delta: float, solver: str) -> tuple[float, float]:
    """gamma L with the largest worst case over the printed Theorem II, and the worst case there."""

    def ratio(step: float) -> float:
        right = bounds.THEOREM_2.printed(T=T, delta=delta, gamma=step, sigma=1.0, L=1.0, f0=0.0)
        return value("gradient_norm", T=T, delta=delta, gamma=step, solver=solver) / float(right)

    step = _peak(ratio, 0.3, 3.0)
    return step, value("gradient_norm", T=T, delta=delta, gamma=step, solver=solver)


def best_step(T: int, method: str, solver: str) -> tuple[float, float]:
    """gamma with the smallest worst f(xbar) - f*, and that, at delta = 1/2."""

    def gain(power: float) -> float:
        return -value("suboptimality", T=T, delta=0.5, gamma=10**power, method=method, solver=solver)

    step = 10 ** _peak(gain, -2.5, 0.5)
    return step, value("suboptimality", T=T, delta=0.5, gamma=step, method=method, solver=solver)


def _peak(f: Callable[[float], float], low: float, high: float) -> float:
    """The best of seven points, then of a bounded search between its neighbours."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(low, high, 7)
    best = int(np.argmax([f(x) for x in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(minimize_scalar(lambda x: -f(x), bounds=ends, method="bounded", options={"xatol": 0.01 * (high - low)}).x)


# -- picture ---------------------------------------------------------------------------------------------------------------


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """(a) Lemma 3, (b) Theorem II, (c) Theorem III; (d), (e), (f) three methods."""
    drawing: Any = axes[0].figure
    axes[0].remove()
    panels = drawing.subplots(2, 3).ravel()
    _over_printed(panels[0], data, "a", bounds.LEMMA_3)
    _smooth(panels[1], data)
    _over_printed(panels[2], data, "c", bounds.THEOREM_3)
    _best_steps(panels[3], data)
    _methods(panels[4], data)
    _rates(panels[5], data)
    panels[0].set_ylabel("worst case / bound")
    names = (
        "Lemma 3",
        "Theorem II",
        "Theorem III",
        "best step size",
        "worst case at the best step",
        "strongly convex, one step",
    )
    for ax, letter, name in zip(panels, "abcdef", names, strict=True):
        ax.text(0.0, 1.03, f"({letter}) {name}", transform=ax.transAxes, ha="left")


def _letters(form: bounds.Side, **values: Any) -> dict[str, Any]:
    given = {"sigma": 1.0, "R": 1.0, "L": 1.0, "f0": 0.0} | values
    return {letter: given[letter] for letter in form.letters}


def _part(data: Mapping[str, Any], panel: str, T: int | None = None, method: str = "EFSGD") -> dict[str, Any]:
    keep = (data["panel"] == panel) & (data["method"] == method) & ((data["T"] == T) if T is not None else True)
    return {name: data[name][keep] for name in COLUMNS}


def _steps(data: Mapping[str, Any], panel: str) -> list[int]:
    return sorted({int(T) for T in data["T"][data["panel"] == panel]})


def _at(side: bounds.Side, T: int, delta: Any, gamma: float) -> Any:
    return side(**_letters(side, T=T, t=T, delta=delta, gamma=gamma))


def _over_printed(ax: Axes, data: Mapping[str, Any], panel: str, bound: bounds.Bound) -> None:
    """Marks: worst cases; curves: the sharp form; both over the printed one."""
    assert bound.sharp is not None
    fine = np.linspace(0.02, 1 - 1e-6, 200)
    for look, T in zip(LOOKS, _steps(data, panel), strict=False):
        part = _part(data, panel, T)
        step = part["gamma"][0]
        sharp = _at(bound.sharp, T, fine, step) / _at(bound.printed, T, fine, step)
        ax.plot(fine, sharp, color=look.color, linestyle=look.linestyle, linewidth=0.9)
        right = _at(bound.printed, T, part["delta"], step)
        ax.plot(part["delta"], part["worst"] / right, look.marker, color=look.color, markersize=3, label=f"$T = {T}$")
    ax.legend(loc="upper right" if panel == "a" else "lower right", fontsize=6)
    ax.set(xlabel=r"compression $\delta$", xlim=(0, 1), ylim=(0, 1.1))


def _smooth(ax: Axes, data: Mapping[str, Any]) -> None:
    for look, T in zip(LOOKS, _steps(data, "b"), strict=False):
        part = _part(data, "b", T)
        for form, fill in (("printed", look.color), ("repaired", "white")):
            side = getattr(bounds.THEOREM_2, form)
            right = side(**_letters(side, T=T, delta=part["delta"], gamma=part["gamma"]))
            line = {"color": look.color, "linestyle": look.linestyle, "linewidth": 0.9, "marker": look.marker, "markersize": 3}
            label = f"$T = {T}$" if form == "printed" else None
            ax.plot(1 - part["delta"], part["worst"] / right, **line, markerfacecolor=fill, label=label)
    ax.axhline(1, color="0.5", linewidth=0.6)
    for label, fill in (("printed", "k"), ("repaired", "white")):
        ax.plot([], [], "ok", markersize=3, markerfacecolor=fill, label=f"over {label}")
    ax.set(xscale="log", xlabel=r"$1 - \delta$ (log)", ylim=(0, 1.1))
    ax.legend(loc="lower left", fontsize=6, labelspacing=0.3)


def _best_steps(ax: Axes, data: Mapping[str, Any]) -> None:
    for look, method in zip(LOOKS, METHODS, strict=True):
        part = _part(data, "d", method=method)
        line = {"color": look.color, "linestyle": look.linestyle, "linewidth": 0.9}
        ax.plot(part["T"] + 1, part["gamma"], **line, marker=look.marker, markersize=3, label=NAMES[method])
    counts = np.arange(0, max(_steps(data, "d")) + 1)
    side = bounds.REMARK_6.sharp
    tuned = 1 / ((counts + 1) * side(**_letters(side, T=counts, delta=0.5)))  # both terms of the bound are equal there
    ax.plot(counts + 1, tuned, color="0.4", linestyle=":", linewidth=1, label="of EF's sharp bound")
    ax.set(xscale="log", yscale="log", xlabel="$T + 1$ (log)", ylabel=r"$\gamma\,\sigma/R$ (log)")
    ax.set(xlim=(0.9, 20), xticks=[1, 2, 5, 10, 20])
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.legend(loc="lower left", fontsize=6)


def _rates(ax: Axes, data: Mapping[str, Any]) -> None:
    """Marks: worst cases; curves: published."""
    fine = np.linspace(0.02, 1, 200)
    for look, method in zip(LOOKS, METHODS, strict=True):
        part, size = _part(data, "f", method=method), 5 if method == "EF21" else 3  # EF and EF21 coincide
        ax.plot(fine, published(method, fine)[1], color=look.color, linestyle=look.linestyle, linewidth=0.9)
        fill = "none" if method == "EF21" else look.color
        ax.plot(part["delta"], part["worst"], look.marker, color=look.color, markersize=size, mfc=fill, label=NAMES[method])
    ax.set(xlabel=r"compression $\delta$", ylabel="rate of one step", xlim=(0, 1), ylim=(0.6, 1.02))
    ax.legend(loc="lower left", fontsize=6)


def _methods(ax: Axes, data: Mapping[str, Any]) -> None:
    for look, method in zip(LOOKS, METHODS, strict=True):
        part = _part(data, "d", method=method)
        line = {"color": look.color, "linestyle": look.linestyle, "linewidth": 0.9}
        ax.plot(part["T"] + 1, part["worst"], **line, marker=look.marker, markersize=3, label=NAMES[method])
    counts = np.arange(0, max(_steps(data, "d")) + 1)
    side = bounds.REMARK_6.sharp
    tuned = side(**_letters(side, T=counts, delta=0.5))
    ax.plot(counts + 1, tuned, color="0.4", linestyle=":", linewidth=1, label="sharp bound of EF")
    ax.set(xscale="log", yscale="log", xlabel="$T + 1$ (log)", ylabel=r"worst $f(\bar x_T) - f^*$ (log)")
    ax.set(xlim=(0.9, 20), ylim=(0.35, 1.05), xticks=[1, 2, 5, 10, 20], yticks=[0.4, 0.6, 0.8, 1.0])
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.yaxis.set_major_formatter("{x:.1f}")
    ax.minorticks_off()
    ax.legend(loc="lower left", fontsize=6)


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--out DIR, --seed N, --from FILE.npz; --anew solves everything again and writes tightness.csv."""
    given = list(sys.argv[1:] if argv is None else argv)
    if "--anew" in given:
        given.remove("--anew")
        save(solved(LEMMA, SMOOTH, CONVEX, STEPS, DELTAS))
    return figure.main(compute, draw, name="tightness", size=SIZE, argv=given, panels=PANELS)


if __name__ == "__main__":
    main()
