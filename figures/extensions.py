"""Which counterexamples extend to momentum, several workers and other compressors without feedback (Section 1).

Claims  extension-verbatim, and extension-momentum-..., extension-workers-..., extension-compressor-...: the verdicts of the
        grid are those of the audit; for Counterexample 1 that is whether f rises before projection. The numbers in it are
        simulated: mean of (f(x_T) - f*)/(f(x_0) - f*), steps 0.15/sqrt(t + 1), epsilon = 1/2, sign(0) = 1 in the subgradient of
        Counterexample 2, Counterexample 1 on [-1, 1], Theorem I on the member with rows (2, -1)/2, (-1, 3)/2, squared losses.
        Right: E sign on Counterexample 1, below 0 where f rises; a band from rounding the law of m outward (too thin to see
        for most beta), and exact values for n workers with sign(0) = 0.
Reads   nothing        Writes  extensions.{pdf,png,npz,json}        Time  10 s
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, comb, log
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from efcheck import content, figure
from efcheck.compressors import LowRank, ScaledSign, TopK
from efcheck.methods import CompressedSGD, SignSGD
from efcheck.problems import LeastSquares2D, Linear1D, NonSmooth2D, SignAligned
from efcheck.simulate import simulate

SIZE = (6.75, 3.3)
PANELS = 3
EXTENDS, FAILS = "#E69F00", "#FFFFFF"
SHARE = {"1": 0.25, "2": 1.0, "3": 0.5, "theorem-1": 0.5}  # of the draws that give the first of the two gradients
WORKERS = 3
LABELS = {"majority vote": f"vote, $n = {WORKERS}$", "mean of workers": f"mean, $n = {WORKERS}$"}
MEAN, VOTE = figure.Style("#0072B2", "-", "o"), figure.Style("#D55E00", "--", "s")


class Workers:
    """A problem whose gradient is what n workers send together: the mean of theirs, or the sum of their signs."""

    def __init__(self, inner: Any, share: float, n: int, voting: bool) -> None:
        self.inner, self.n, self.voting = inner, n, voting
        self.d, self.x0, self.rowwise, self.stochastic = inner.d, inner.x0, True, True
        mass = [comb(n, j) * share**j * (1 - share) ** (n - j) for j in range(n + 1)]
        self.cumulative = np.cumsum(mass)[:-1]
        self.f, self.project, self.f_star = inner.f, inner.project, inner.f_star

    def sample(self, rng: Any, steps: int, runs: int) -> NDArray[Any]:
        return np.asarray(rng.random((steps, runs)))

    def gradient_given(self, x: Any, noise: Any, out: Any = None) -> Any:
        """j workers, binomial, draw the first gradient (noise 0), the others the second (noise just below 1)."""
        j = np.searchsorted(self.cumulative, noise, side="right")[..., None]
        one, two = (self.inner.gradient_given(x, np.full(noise.shape, u)) for u in (0.0, 1 - 1e-9))
        if self.voting:
            one, two = np.sign(one), np.sign(two)
        out = np.empty_like(x) if out is None else out
        out[...] = (j * one + (self.n - j) * two) / (1 if self.voting else self.n)
        return out

    def gradient(self, x: Any, rng: Any = None) -> Any:
        return self.gradient_given(x, rng.random(x.shape[:-1]))


def study() -> ModuleType:
    """The claims, from the checkout or the installed package."""
    folder = content.folder("counterexamples")
    assert folder is not None
    return content.load(folder / "extensions.py")


def decreasing(t: int) -> float:
    return 0.15 / float(np.sqrt(t + 1))


def problem_of(number: str) -> Any:
    """Theorem I: x_0 - x* = (3, 2)/2, where f is least on x_0 + R s, s = (1, -1)."""
    if number == "theorem-1":
        return SignAligned([[1.0, -0.5], [-0.5, 1.5]], x_star=[-1.5, -1.0])
    return {"1": Linear1D(), "2": NonSmooth2D(0.5, zero=1), "3": LeastSquares2D(0.5)}[number]


def simulated(name: str, number: str, seed: int, T: int, runs: int) -> float:
    """Mean of (f(x_T) - f*)/(f(x_0) - f*)."""
    problem = problem_of(number)
    shape = (1, problem.d)
    beta = float(name.split()[1]) if name.startswith("momentum") else 0.0
    schemes: dict[str, Any] = {"scaled sign": ScaledSign(), "top-1": TopK(1), "rank-1": LowRank(1, shape)}
    method = CompressedSGD(decreasing, schemes[name]) if name in schemes else SignSGD(decreasing, beta=beta)
    f_star = problem.f_star
    if name in ("majority vote", "mean of workers"):
        problem = Workers(problem, SHARE[number], WORKERS, voting=name == "majority vote")
    f = simulate(problem, method, T, runs=runs, seed=seed, every=T)["f"] - f_star
    return float((f[-1] / f[0]).mean())


def momentum_drift(beta: float) -> tuple[float, float]:
    """Bounds of E sign(m) in the stationary law of Counterexample 1: m rounded down, and up, at every draw."""
    error = 0.05 if beta <= 0.9 else 0.5  # all roundings together move m by less; its standard deviation is above 5 there
    grid = error * (1 - beta)
    draws = 1 if beta == 0 else ceil(log(1e-4) / log(beta))
    bounds = []
    for rounded, end in ((np.floor, -1.0), (np.ceil, 4.0)):
        offset, size = int(np.floor(-1 / (1 - beta) / grid)) - 2, int(np.ceil(5 / (1 - beta) / grid)) + 6
        values = (np.arange(size) + offset) * grid
        law = np.zeros(size)
        law[int(rounded(end / (1 - beta) / grid)) - offset] = 1.0
        up, down = (np.clip(rounded((g + beta * values) / grid).astype(int) - offset, 0, size - 1) for g in (4, -1))
        for _ in range(draws):
            law = 0.25 * np.bincount(up, law, size) + 0.75 * np.bincount(down, law, size)
        bounds.append(float(law[values > grid / 2].sum() - law[values < -grid / 2].sum()))
    return bounds[0], bounds[1]


def workers_drift(n: int, voting: bool) -> float:
    """E sign of what n workers send on Counterexample 1, sign(0) = 0."""
    mass = [comb(n, j) * 0.25**j * 0.75 ** (n - j) for j in range(n + 1)]
    return sum(p * float(np.sign(2 * j - n if voting else 5 * j - n)) for j, p in enumerate(mass))


def compute(
    seed: int = 0, T: int = 2000, runs: int = 200, points: int = 100, top: float = 0.99, largest: int = 20
) -> dict[str, Any]:
    """ "verdict", "final": (methods, 4); "beta", "drift" (points, 2); "n", "mean", "vote"."""
    claims = study()
    names = [method.name for method in claims.METHODS]
    beta, n = np.linspace(0, top, points), np.arange(1, largest + 1)
    return {
        "runs": runs,
        "methods": np.array(names),
        "verdict": np.array([[claims.verbatim(m, k).outcome for k in claims.NUMBERS] for m in claims.METHODS]),
        "final": np.array([[simulated(name, k, seed, T, runs) for k in claims.NUMBERS] for name in names]),
        "beta": beta,
        "drift": np.array([momentum_drift(b) for b in beta]),
        "n": n,
        "mean": np.array([workers_drift(int(k), voting=False) for k in n]),
        "vote": np.array([workers_drift(int(k), voting=True) for k in n]),
    }


def draw(axes: Sequence[Axes], data: Mapping[str, Any]) -> None:
    """The grid, E sign(m) over beta, E sign over the number of workers."""
    _grid(axes[0], data)
    low, high = data["drift"].T
    axes[1].fill_between(data["beta"], low, high, color=MEAN.color, linewidth=0.8)
    axes[1].plot([0.5, 0.9, 0.99], np.interp([0.5, 0.9, 0.99], data["beta"], (low + high) / 2), "k^", markersize=4)
    axes[1].set_xlabel(r"momentum $\beta$")
    axes[1].set_ylabel(r"E sign$(m)$, Counterexample 1")
    for key, style, label in (("mean", MEAN, "mean"), ("vote", VOTE, "majority vote")):
        line = {"color": style.color, "linestyle": style.linestyle, "marker": style.marker}
        axes[2].plot(data["n"], data[key], **line, markersize=3, linewidth=1, label=label)
    axes[2].set_xlabel("workers $n$")
    axes[2].set_ylabel("E sign of the sum, Counterexample 1")
    axes[2].legend(loc="center right", bbox_to_anchor=(1.0, 0.36))
    for ax in axes[1:]:
        ax.axhline(0, color="#6A6A6A", linewidth=0.6)
        ax.set_ylim(-1.05, 1.05)
        ax.text(0.03, 0.98, "$f$ falls", transform=ax.transAxes, va="top", fontsize=7)
        ax.text(0.03, 0.02, "$f$ rises", transform=ax.transAxes, va="bottom", fontsize=7)


def _grid(ax: Axes, data: Mapping[str, Any]) -> None:
    rows, columns = data["verdict"].shape
    for i in range(rows):
        for k in range(columns):
            extends = data["verdict"][i, k] == "proved"
            look = {"facecolor": EXTENDS, "hatch": "///"} if extends else {"facecolor": FAILS}
            ax.add_patch(Rectangle((k, i), 1, 1, edgecolor="black", linewidth=0.5, **look))
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
            ax.text(k + 0.5, i + 0.5, _short(float(data["final"][i, k])), ha="center", va="center", fontsize=6, bbox=box)
    ax.set_xlim(0, columns)
    ax.set_ylim(rows, 0)
    ax.set_xticks(np.arange(columns) + 0.5, ["1", "2", "3", "Thm I"])
    ax.set_yticks(np.arange(rows) + 0.5, [LABELS.get(str(name), str(name)) for name in data["methods"]])
    ax.tick_params(length=0)
    first = "(1: hatched if $f$ rises before projection;\nnumber simulated on $[-1, 1]$)"
    ax.set_xlabel(f"Counterexample; mean of {data['runs']} runs of\n$(f(x_T) - f^*)/(f(x_0) - f^*)$\n{first}", fontsize=7)
    looks = [Patch(facecolor=EXTENDS, edgecolor="black", hatch="///", linewidth=0.5, label="extends")]
    looks.append(Patch(facecolor=FAILS, edgecolor="black", linewidth=0.5, label="does not"))
    ax.legend(handles=looks, loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=2, fontsize=7, frameon=False)


def _short(value: float) -> str:
    """Two digits, in at most six characters."""
    return f"{value:.2g}" if value >= 0.01 else f"{value:.1e}".replace("e-0", "e-")


def main(argv: Sequence[str] | None = None) -> list[Path]:
    """--out DIR, --seed N, --from FILE.npz; returns the files written."""
    return figure.main(compute, draw, name="extensions", size=SIZE, argv=argv, panels=PANELS)


if __name__ == "__main__":
    main()
