"""A diagnosis on a terminal, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from efcheck.train._warnings import shares
from efcheck.train.diagnose import Diagnosis
from efcheck.train.logs import NAMES
from efcheck.train.paper import label
from efcheck.train.trace import COLUMNS

_WIDTH, _LAYERS = 80, 5
_DOTS = 20  # rows, up to which each is marked: one row alone is no line
SIZE, PANELS = (6.75, 3.1), 3


def show(found: Diagnosis, console: Console | None = None) -> None:
    """Ranges, bounds that apply and how loose they are, those that do not and why, warnings, what cannot be said."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    console.print(Text(_head(found), style="bold"), soft_wrap=True)
    console.print(_ranges(found))
    if found.applied:
        console.print(Text("\nLemma 3, root of the bound over ||e||", style="bold"))
        console.print(_applied(found))
    for line in found.remarks:
        console.print(Text(line))
    console.print(Text("\nDo not apply", style="bold"))
    for name, why in found.not_applied.items():
        console.print(Text(f"{name}: {why}"))
    for head, lines, style in (
        ("Warnings", found.warnings or ["none"], "yellow"),
        ("Cannot be said", found.cannot, ""),
        ("The file", list(found.trace.problems), ""),
    ):
        if lines:
            console.print(Text(f"\n{head}", style="bold"))
            for line in lines:
                console.print(Text(line, style=style if found.warnings else ""))


def _head(found: Diagnosis) -> str:
    run, rows = found.trace.run, f"{found.trace.rows} row{'s' * (found.trace.rows != 1)} of {found.trace.source}"
    return f"{NAMES[run['algorithm']]}, {label(run)}, batch size {run['batch_size']}: {rows}" if run else rows


def _ranges(found: Diagnosis) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("first", "least", "median", "largest", "last"):
        table.add_column(name, justify="right")
    for name, numbers in found.ranges().items():
        table.add_row(COLUMNS[name], *(f"{value:.4g}" for value in numbers.values()))
    return table


def _applied(found: Diagnosis) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("form", "delta", "", "last bound", "least ratio", "median ratio"):
        table.add_column(name, justify="left" if name in ("form", "") else "right")
    for a in found.applied:
        table.add_row(a.form, f"{a.delta:.3g}", a.delta_from, *(f"{v:.4g}" for v in (a.last, a.least_ratio, a.median_ratio)))
    return table


def arrays(found: Diagnosis) -> dict[str, Any]:
    """What `draw` draws, as arrays."""
    trace = found.trace
    parts = [(name, share) for name, share in shares(trace).items() if np.isfinite(share).any()][:_LAYERS]
    data: dict[str, Any] = {name: values for name in COLUMNS if (values := trace.get(name)) is not None}
    data |= {"head": f"{_head(found)}{'. Means over each epoch' * bool(trace.run)}", "by_epoch": trace.by_epoch}
    data |= {"names": np.array(list(found.curves) or [""]), "layers": np.array([name for name, _ in parts] or [""])}
    data |= {f"bound_{i}": bound for i, bound in enumerate(found.curves.values())}
    return data | {f"share_{i}": share for i, (_, share) in enumerate(parts)}


def draw(axes: Sequence[Any], data: Mapping[str, Any]) -> None:
    """Three panels over the steps: delta and densities; ||e|| and Lemma 3, log axis; the layers' shares of ||e||^2."""
    t, dots = data["step"], {"marker": "."} if len(data["step"]) <= _DOTS else {}
    looks = (("delta", r"$\delta$", "-"), ("density_p", r"$\phi(p_t)$", "--"), ("density_g", r"$\phi(g_t)$", ":"))
    for name, words, line in looks:
        values = data.get(name)
        if values is not None and np.nanmin(values) < 0:  # of an unscaled sign, by hundreds: it would flatten the rest
            axes[0].plot([], [], " ", label=f"{words} from {np.nanmin(values):.3g} to {np.nanmax(values):.3g}")
        elif values is not None:
            axes[0].plot(t, values, linestyle=line, label=words, **dots)
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel(r"realised $\delta$, density $\phi$")
    _memory(axes[1], t, data, dots)
    for i, name in enumerate(data["layers"]):
        if f"share_{i}" in data:
            axes[2].plot(t, 100 * data[f"share_{i}"], label=str(name)[-22:], **dots)
    axes[2].set_ylabel(r"share of $\|e\|^2$, %")
    axes[2].set_ylim(0, None)
    for ax in axes:
        ax.set_xlabel("epoch" if data["by_epoch"] else "step $t$")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=5.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1)
        else:
            ax.text(0.5, 0.5, "nothing to draw in the log", transform=ax.transAxes, ha="center", color="0.4")
    axes[0].figure.supxlabel(str(data["head"])[-150:], fontsize=5.5)


def _memory(ax: Any, t: Any, data: Mapping[str, Any], dots: Mapping[str, str]) -> None:
    e = data.get("e_norm")
    if e is not None and (np.nan_to_num(e) > 0).any():
        ax.plot(t, e, color="#000000", label=r"$\|e_t\|$", zorder=3, **dots)
        for i, name in enumerate(data["names"]):
            if f"bound_{i}" in data:
                ax.plot(t, data[f"bound_{i}"], linewidth=0.8, linestyle=("--", ":", "-.", (0, (5, 1)))[i % 4], label=str(name))
        ax.set_yscale("log")
    ax.set_ylabel(r"$\|e_t\|$ and Lemma 3, log axis")
