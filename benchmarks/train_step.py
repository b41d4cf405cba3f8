r"""Speed of one optimizer step, as ratios within one run of this script. One thread.

The tensors of ResNet18 with 100 classes (62, 11,220,132 parameters), weight decay 5e-4 on. The unit is a step of torch's fused
SGD with momentum, torch.optim.SGD(momentum=0.9, fused=True). Against it:

    eager, compiled, foreach   EFSGD with scaled sign, by tensor, each form
    signsgdm, eager            sign of the momentum, without feedback
    loop                       error feedback as research code is written: by tensor, a new tensor for every operation,
                               norm(p=1) and sign; this is also what "times the loop" is relative to

A round is: SGD, the form, the loop, one after the other, so that a ratio is taken between neighbours; the median, min and max
of the rounds' ratios are printed. Gradients are given once and not changed. The first steps, which compile, are not counted.
By process time where --cpu-time is given, which leaves out what other programs on the machine take.

Before that the forms must agree after three steps: the scales to 1e-5, and at most one sign in 10,000 flipped.

Packing: pack_signs and unpack_signs of all tensors of the message, in 10^9 entries a second, and as a share of reading (sum).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import click
import torch
from rich.console import Console
from rich.table import Table

from efcheck.compressors import Sign
from efcheck.train import EFSGD, packing
from efcheck.train.models import resnet18

GAMMA, DECAY, BETA = 0.05, 5e-4, 0.9


class Loop:
    """Error feedback by the line, as its formulas are written."""

    def __init__(self, params: list[torch.nn.Parameter]) -> None:
        self.params, self.memory = params, [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self) -> None:
        for i, p in enumerate(self.params):
            assert p.grad is not None
            gradient = p.grad.clone()
            gradient.add_(p, alpha=DECAY)
            corrected = self.memory[i] + GAMMA * gradient
            delta = corrected.norm(p=1) / corrected.numel() * torch.sign(corrected)
            p.sub_(delta)
            self.memory[i] = corrected - delta


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    params = [torch.nn.Parameter(p.detach().contiguous()) for p in resnet18(100).parameters()]
    for p in params:
        p.grad = 0.01 * torch.randn(p.shape)
    return params


def subjects(foreach: bool) -> dict[str, Any]:
    """Optimizers over tensors of their own."""
    found: dict[str, Any] = {
        "eager": EFSGD(parameters(), GAMMA, weight_decay=DECAY, form="eager"),
        "compiled": EFSGD(parameters(), GAMMA, weight_decay=DECAY, form="compiled"),
        "signsgdm, eager": EFSGD(parameters(), GAMMA, Sign(), feedback=False, momentum=BETA, weight_decay=DECAY, form="eager"),
    }
    if foreach:
        found["foreach"] = EFSGD(parameters(), GAMMA, weight_decay=DECAY, form="foreach")
    return found


def sent(optimizer: EFSGD) -> list[torch.Tensor]:
    """Delta of a step, seen from outside."""
    params = optimizer.param_groups[0]["params"]
    before = [p.detach().clone() for p in params]
    optimizer.step()
    return [b - p.detach() for b, p in zip(before, params, strict=True)]


def check_agreement(forms: dict[str, Any]) -> None:
    """The memory and the message of the third step, form by form."""
    messages = {}
    for name in [n for n in ("eager", "compiled", "foreach") if n in forms]:
        for _ in range(2):
            forms[name].step()
        messages[name] = [m for _, _, deltas in forms[name].messages() for m in deltas]
    reference = messages["eager"]
    for name, found in messages.items():
        flipped = sum(int((a.sign() != b.sign()).sum()) for a, b in zip(reference, found, strict=True))
        scale = max(abs(float(b.abs().max() / a.abs().max()) - 1) for a, b in zip(reference, found, strict=True))
        if not (scale <= 1e-5 and flipped <= 1e-4 * sum(a.numel() for a in reference)):
            raise SystemExit(f"{name} differs from eager: scales by {scale:.2g}, {flipped} signs flipped")


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    work()
    return clock() - start


def spread(values: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure_steps(forms: dict[str, Any], rounds: int, clock: Callable[[], float]) -> list[dict[str, Any]]:
    params = parameters()
    sgd = torch.optim.SGD(params, lr=GAMMA, momentum=BETA, weight_decay=DECAY, fused=True)
    loop, found = Loop(parameters()), []
    for warm in (sgd, loop, *forms.values()):
        warm.step()
        warm.step()
    for name, form in {**forms, "loop": loop}.items():
        seconds: list[tuple[float, float, float]] = []
        for _ in range(rounds):
            seconds.append((timed(sgd.step, clock), timed(form.step, clock), timed(loop.step, clock)))
        found.append({
            "form": name, "milliseconds": spread([1e3 * b for _, b, _ in seconds]),
            "over_sgd": spread([b / a for a, b, _ in seconds]), "times_the_loop": spread([c / b for _, b, c in seconds]),
        })  # fmt: skip
    return found


def measure_packing(rounds: int, clock: Callable[[], float]) -> list[dict[str, Any]]:
    v = torch.randn(11_220_132)
    bits = packing.pack_signs(v)
    works: dict[str, Callable[[], Any]] = {
        "pack_signs": lambda: packing.pack_signs(v), "unpack_signs": lambda: packing.unpack_signs(bits, v.shape),
    }  # fmt: skip
    found = []
    for name, work in works.items():
        work()
        pairs = [(timed(v.sum, clock), timed(work, clock)) for _ in range(rounds)]
        found.append({
            "name": name, "entries_per_s": spread([v.numel() / b for _, b in pairs]),
            "share_of_reading": spread([a / b for a, b in pairs]),
        })  # fmt: skip
    return found


def show(s: dict[str, Any], digits: int, scale: float = 1) -> str:
    median, low, high = (f"{scale * s[key]:.{digits}f}" for key in ("median", "min", "max"))
    return f"{median} ({low}..{high})"


def print_report(report: dict[str, Any]) -> None:
    console = Console(width=120)
    table = Table(
        "form", title=f"One step on {report['parameters']:,} parameters: median (min..max) of {report['rounds']} rounds"
    )
    for column in ("ms", "over fused SGDM", "times the loop"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in report["steps"]:
        table.add_row(r["form"], show(r["milliseconds"], 1), show(r["over_sgd"], 2), show(r["times_the_loop"], 2))
    console.print(table)
    for r in report["packing"]:
        console.print(
            f"{r['name']}: {show(r['entries_per_s'], 2, 1e-9)} * 10^9 entries/s, "
            f"{show(r['share_of_reading'], 0, 100)} % of reading the vector",
            highlight=False,
        )
    console.print(", ".join(f"{k} {v}" for k, v in report["machine"].items()), highlight=False)


@click.command()
@click.option("--quick", is_flag=True, help="A smoke test: 2 rounds; its figures mean little.")
@click.option("--rounds", default=31, show_default=True, type=click.IntRange(2))
@click.option("--cpu-time", is_flag=True, help="Process time in place of the wall clock.")
@click.option("--json", "path", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Also write FILE.")
def main(quick: bool, rounds: int, cpu_time: bool, path: Path | None) -> None:
    """Measure the optimizer's step and packing; ratios within this run."""
    torch.set_num_threads(1)
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"no such folder: {path.absolute().parent}", param_hint="--json")
    clock, rounds = time.process_time if cpu_time else time.perf_counter, 2 if quick else rounds
    forms = subjects(foreach=True)
    check_agreement(forms)
    report: dict[str, Any] = {
        "machine": {"cpu": platform.processor() or platform.machine(), "torch": torch.__version__,
                    "capability": torch.backends.cpu.get_cpu_capability(), "python": platform.python_version(), "threads": 1,
                    "clock": "process time" if cpu_time else "wall clock"},
        "rounds": rounds, "parameters": sum(p.numel() for p in parameters()),
    }  # fmt: skip
    report["steps"] = measure_steps(forms, rounds, clock)
    report["packing"] = measure_packing(rounds, clock)
    print_report(report)
    if path is not None:
        (part := path.with_name(path.name + ".part")).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        os.replace(part, path)


if __name__ == "__main__":
    main()
