r"""What a training log says about error feedback: delta, density and ||e|| over time, and which of the paper's bounds apply.

Lemma 3 is the one that can be compared with a log:  E||e_t||^2 <= 4 (1 - delta) gamma^2 sigma^2 / delta^2, for all t. Here

    gamma   the largest learning rate so far: with gamma_t <= gamma the proof is the same
    sigma   the largest ||g|| that is logged, over 1 - beta where momentum comes before the compressor: ||m|| <= sigma/(1-beta)
    delta   the smallest that is logged; and what Lemma 8 guarantees for the scaled sign, 1/max_i d_i: it is applied tensor by
            tensor, sum_i ||C(p_i) - p_i||^2 = sum_i (1 - phi(p_i)) ||p_i||^2 <= (1 - min_i 1/d_i) ||p||^2

A row of `efcheck train` has means over a few steps of an epoch, where the lemma speaks of every step. The mean of ||g|| is at
most the root of the mean of ||g||^2, and the least mean delta at least the least delta: sigma and 1 - delta come out too
small, and with them the bound. The comparison is an estimate, and a ratio below 1 says that a hypothesis fails between the
logged steps, not that the lemma does. Ratios are of norms: root of the bound over ||e||. Without ||g|| the least sigma is
given that does not contradict the lemma.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from efcheck import __version__
from efcheck.train._warnings import all_warnings, shares
from efcheck.train.trace import COLUMNS, Column, Trace

_FOREVER = 1e9  # steps, where the log counts epochs only: the sharp bound grows with t to its limit
_MEANING = {
    "delta": "how much a message keeps, and every bound",
    "density_p": "the density of p_t",
    "density_g": "the density of the gradient",
    "e_norm": "the memory, and Lemma 3",
    "lr": "gamma, and Lemma 3",
    "g_norm": "sigma, and how loose Lemma 3 is",
}


@dataclass(frozen=True)
class Applied:
    """A bound on ||e|| in one form with one delta: its last value, and the least and the median of bound over observed."""

    form: str
    delta: float
    delta_from: str
    last: float
    least_ratio: float
    median_ratio: float


@dataclass(frozen=True)
class Diagnosis:
    """All that is found. `applied` holds Lemma 3's comparisons, `curves` them over time."""

    trace: Trace
    applied: list[Applied]
    curves: dict[str, Column]
    remarks: list[str]
    not_applied: dict[str, str]
    warnings: list[str]
    cannot: list[str]

    def ranges(self) -> dict[str, dict[str, float]]:
        """For each logged column: first, least, median, largest, last finite number."""
        found = {}
        for name in COLUMNS:
            values = self.trace.get(name)
            if values is not None and name != "step":
                v = values[np.isfinite(values)]
                numbers = (v[0], v.min(), np.median(v), v.max(), v[-1])
                found[name] = dict(zip(("first", "least", "median", "largest", "last"), map(float, numbers), strict=True))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; null where there is none."""
        last = {name: _plain(share[-1]) for name, share in shares(self.trace).items()}
        return {
            "efcheck": __version__, "source": self.trace.source, "rows": self.trace.rows, "ranges": self.ranges(),
            "lemma-3": [{k: _plain(v) for k, v in asdict(a).items()} for a in self.applied], "remarks": self.remarks,
            "not_applied": self.not_applied, "layer_shares_of_squared_memory": last, "warnings": self.warnings,
            "cannot_be_said": self.cannot, "problems": list(self.trace.problems),
        }  # fmt: skip


def diagnose(trace: Trace) -> Diagnosis:
    """Everything that the log allows to say."""
    warnings, blind = all_warnings(trace)
    missing = [f"{meaning}: no {COLUMNS[name]} is logged" for name, meaning in _MEANING.items() if trace.get(name) is None]
    applied, curves, remarks = _lemma_3(trace)
    for found in applied:
        if found.least_ratio < 1 and found.delta_from == "logged":
            times = f"{1 / found.least_ratio:.3g} times it" if found.least_ratio else "which is 0"
            warnings.append(
                f"||e|| is above Lemma 3's {found.form} bound, {times}: delta, ||g|| or the rate "
                "is worse between the logged steps than in them"
            )
    warnings += _not_lemma_8(trace)
    return Diagnosis(trace, applied, curves, remarks, _not_applied(trace), warnings, [*missing, *blind])


def _lemma_3(trace: Trace) -> tuple[list[Applied], dict[str, Column], list[str]]:
    """The comparisons, the bounds over time, and remarks on what was put in."""
    from efcheck.bounds import LEMMA_3

    e, lr, delta = (trace.get(name) for name in ("e_norm", "lr", "delta"))
    if e is None or not (e > 0).any():
        return [], {}, ["Lemma 3 says nothing here: there is no memory in the log (||e|| = 0, not finite, or not logged)."]
    if lr is None or delta is None:
        return [], {}, ["Lemma 3 cannot be compared: it needs the learning rate and delta."]
    if not np.nanmax(lr) > 0:
        return [], {}, ["Lemma 3 cannot be compared: it needs a learning rate > 0."]
    gamma = np.fmax.accumulate(np.where(np.isfinite(lr), lr, np.nan))
    gamma = np.where(gamma > 0, gamma, np.nanmax(lr))  # before the first that is logged
    t = np.full(trace.rows, _FOREVER) if trace.by_epoch else np.round(trace.columns["step"])
    sigma, remarks = _sigma(trace)
    applied, curves = [], {}
    deltas = {"logged": float(np.nanmin(delta))} | _guaranteed(trace)
    for origin, value in deltas.items():
        if not 0 < value <= 1:
            remarks.append(f"Lemma 3 needs delta in (0, 1]; {origin}: {value:g}.")
            continue
        if sigma is None:
            squared = np.asarray(LEMMA_3.printed(gamma=gamma, sigma=1.0, delta=value))
            needed = float(np.nanmax(e / np.sqrt(squared))) if squared.min() > 0 else float("inf")
            told = f"||g|| is not logged. With delta = {value:.3g} ({origin}) Lemma 3"
            remarks.append(f"{told} allows the logged ||e|| if sigma >= {needed:.3g}.")
            continue
        for form, side in (("printed", LEMMA_3.printed), ("sharp", LEMMA_3.sharp)):
            if side is None:
                continue
            given = {"gamma": gamma, "sigma": sigma, "delta": value, "t": t}
            bound = np.sqrt(np.asarray(side(**{letter: given[letter] for letter in side.letters})))
            there = np.isfinite(e) & (e > 0)
            ratio = bound[there] / e[there]
            curves[f"{form}, $\\delta$ = {value:.2g} ({origin})"] = bound
            applied.append(Applied(form, value, origin, float(bound[-1]), float(ratio.min()), float(np.median(ratio))))
    return applied, curves, remarks


def _guaranteed(trace: Trace) -> dict[str, float]:
    """Lemma 8 for the scaled sign: 1/d of the largest tensor, or of the model where it is not compressed by tensors."""
    if not str(trace.optimizer.get("compressor")).startswith("ScaledSign"):
        return {}
    if trace.optimizer.get("granularity") == "tensor" and trace.sizes:
        return {"1/max d_i": 1 / max(trace.sizes.values())}
    return {"1/d": 1 / trace.d} if trace.d else {}


def _sigma(trace: Trace) -> tuple[float | None, list[str]]:
    """The largest logged ||g||, over 1 - beta with momentum before the compressor; remarks on what it leaves out."""
    g = trace.get("g_norm")
    if g is None or not np.nanmax(g) > 0:
        return None, []
    found = trace.optimizer
    beta = _number(found.get("momentum")) if found.get("momentum_at") == "before" else 0.0
    sigma = float(np.nanmax(g)) / (1 - beta)
    what = "the largest mean of ||g|| over the measured steps of an epoch" if trace.run else "the largest logged ||g||"
    remarks = [f"sigma = {sigma:.3g}: {what}" + (f" over 1 - beta, beta = {beta:g}." if beta else ".")]
    if trace.run:
        remarks.append("Means understate sigma and 1 - delta, and with them the bound: an estimate.")
    decay = _number(found.get("weight_decay"))
    if decay and found.get("weight_decay_at") == "coupled":
        remarks.append(f"Weight decay is not in that ||g||: sigma is larger by at most {decay / (1 - beta):g} ||x||.")
    return sigma, remarks


def _number(value: Any) -> float:
    """Momentum or weight decay; 0 for what is no number in [0, 1)."""
    return float(value) if isinstance(value, int | float) and 0 <= value < 1 else 0.0


def _not_lemma_8(trace: Trace) -> list[str]:
    """For the scaled sign delta is the density of p, layer by layer, to float32's rounding (Lemma 8)."""
    if trace.run.get("algorithm") not in ("ef-signsgd", "scaled-signsgd"):
        return []
    wrong = [
        name
        for name, c in trace.layers.items()
        if np.nanmax(np.abs(c["delta"] - c["density_p"]), initial=0.0)
        > 1e-3  # sums of up to 10^7 float32 numbers, 6 digits kept
    ]
    return [f"delta is not the density of p in {len(wrong)} layers, {wrong[0]} first: not a scaled sign"] if wrong else []


def _not_applied(trace: Trace) -> dict[str, str]:
    """Every other bound of the paper, and why this run does not meet its hypotheses."""
    found = trace.optimizer
    if found.get("feedback") is False:
        why = "is for error feedback, which this run has not"
        bare = f"is for SGD, without compressor and momentum; here {found.get('compressor')}, beta = {found.get('momentum')}"
        feedback = dict.fromkeys(("theorem-2", "remark-4", "remark-5", "theorem-3", "remark-6", "remark-10"), why)
        return feedback | dict.fromkeys(("remark-4-sgd", "remark-6-sgd"), f"{bare}; and it needs L, or a convex f")
    lr, delta = trace.get("lr"), trace.get("delta")
    steps = int(trace.columns["step"][-1])
    gamma = "?" if lr is None else f"{np.nanmax(lr):g}"
    least = f"{np.nanmin(delta):.3g}" if delta is not None and np.nanmin(delta) > 0 else "?"
    sigma = _sigma(trace)[0]
    T = "?" if trace.by_epoch else str(steps)
    told = f"T={T} gamma={gamma} delta={least} sigma={'?' if sigma is None else f'{sigma:.3g}'}"
    constant = "" if lr is None or np.nanmin(lr) == np.nanmax(lr) else "; and the rate is not constant here"
    return {
        "theorem-2": f"needs L and f(x_0) - f*, which no log holds, and a smooth f: ReLU networks have no L{constant}. "
        f"With numbers of yours: efcheck bound theorem-2 {told} f0=? L=?",
        "remark-4": "as theorem-2, and gamma = 1/sqrt(T+1)"
        + ("" if trace.by_epoch else f" = {1 / np.sqrt(steps + 1):.2g}")
        + f"; here it is {gamma}",
        "remark-5": "is for unbiased compressors, scaled; a scaled sign is biased",
        "theorem-3": "needs a convex f; the loss of a network is not convex",
        "remark-6": "needs a convex f, and its own gamma",
        "remark-10": "its right side is Lemma 3's, for x_t - x_0 and without weight decay; it says nothing once the gradients "
        "span the space",
    }


def _plain(value: Any) -> Any:
    if not isinstance(value, float):  # np.float64 is one
        return value
    return float(value) if np.isfinite(value) else None
