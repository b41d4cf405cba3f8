"""`efcheck diagnose`: Lemma 3 by hand, each warning with a log that has it and one that has not, every file that is wrong."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import efcheck
from tiny_logs import first_line, row, write

pytest.importorskip("torch", reason="needs the extra train")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from efcheck.errors import EfcheckError
from efcheck.train import _diagnose_show as picture
from efcheck.train.diagnose import Diagnosis, diagnose
from efcheck.train.trace import read

EF = {"algorithm": "ef-signsgd", "compressor": "ScaledSign(zero=1)", "feedback": True, "momentum": 0.0, "momentum_at": None,
      "weight_decay": 5e-4, "weight_decay_at": "coupled", "granularity": "tensor"}  # fmt: skip


def called(*arguments: object) -> tuple[int, str, str]:
    code, out, err = efcheck(*arguments)
    return code, " ".join(out.split()), err


def table(path: Path, **columns: Sequence[float]) -> Path:
    lines = [",".join(columns), *(",".join(map(repr, line)) for line in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def simulated(steps: int = 60, d: int = 20, gamma: float = 0.1, worse: float = 1.0) -> dict[str, list[float]]:
    """EF-signSGD on random gradients, in plain Python: what a step-by-step log of it holds. `worse` multiplies ||e||."""
    rng = random.Random(5)
    e, found = [0.0] * d, {name: [] for name in ("step", "density", "delta", "e_norm", "lr", "grad_norm")}  # type: ignore[var-annotated]
    for t in range(steps):
        g = [rng.gauss(0.3, 1.0) for _ in range(d)]
        p = [gamma * a + b for a, b in zip(g, e, strict=True)]
        one, two = sum(map(abs, p)), sum(v * v for v in p)
        sent = [math.copysign(one / d, v) for v in p]
        lost = sum((a - b) ** 2 for a, b in zip(sent, p, strict=True))
        numbers = (t, one**2 / (d * two), 1 - lost / two, worse * math.hypot(*e), gamma, math.hypot(*g))
        for values, number in zip(found.values(), numbers, strict=True):
            values.append(number)
        e = [a - b for a, b in zip(p, sent, strict=True)]
    return found


def by_form(found: Diagnosis, origin: str = "logged") -> dict[str, Any]:
    return {a.form: a for a in found.applied if a.delta_from == origin}


def test_lemma_3_is_compared_as_by_hand_and_holds_for_a_run_that_is_what_it_says(tmp_path: Path) -> None:
    log = simulated()
    found = by_form(diagnose(read(table(tmp_path / "log.csv", **log))))
    delta, sigma, gamma = min(log["delta"]), max(log["grad_norm"]), 0.1
    q = math.sqrt(1 - delta)
    printed = [2 * q / delta * gamma * sigma / e for e in log["e_norm"] if e > 0]
    sharp = [gamma * sigma * sum(q**k for k in range(1, t + 1)) / e for t, e in enumerate(log["e_norm"]) if e > 0]
    for form, ratios in (("printed", printed), ("sharp", sharp)):
        assert found[form].delta == pytest.approx(delta, rel=1e-12)
        assert found[form].least_ratio == pytest.approx(min(ratios), rel=1e-9)
        assert found[form].median_ratio == pytest.approx(float(np.median(ratios)), rel=1e-9)
        assert found[form].least_ratio >= 1  # the lemma, on every step
    assert found["sharp"].least_ratio < found["printed"].least_ratio


def test_a_memory_above_lemma_3_is_warned_of(tmp_path: Path) -> None:
    code, out, _ = called("diagnose", table(tmp_path / "right.csv", **simulated()))
    assert code == 0 and "is above Lemma 3" not in out
    code, out, _ = called("diagnose", table(tmp_path / "wrong.csv", **simulated(worse=100)))
    assert code == 1 and "||e|| is above Lemma 3's printed bound" in out and "||e|| is above Lemma 3's sharp bound" in out


def test_a_bound_of_zero_below_the_memory_is_no_division_by_zero(tmp_path: Path) -> None:
    found = diagnose(read(table(tmp_path / "a.csv", step=[1, 2], delta=[1, 1], e_norm=[1, 1], lr=[0.1, 0.1], grad_norm=[1, 1])))
    assert any("which is 0" in line for line in found.warnings)
    json.dumps(found.to_json(), allow_nan=False)


def test_without_gradient_norms_the_least_sigma_is_given(tmp_path: Path) -> None:
    log = simulated()
    del log["grad_norm"]
    q = math.sqrt(1 - min(log["delta"]))
    needed = max(log["e_norm"]) * min(log["delta"]) / (2 * q * 0.1)
    (told,) = diagnose(read(table(tmp_path / "a.csv", **log))).remarks
    assert told.endswith(f"if sigma >= {needed:.3g}.")


def run_log(folder: Path, rows: int = 4, layers: dict[str, float] | None = None, optimizer: Any = None, **run: Any) -> Path:
    """A log of ours; `layers` have that memory in every epoch."""
    own = {"lr": 0.1, "density_g": 0.4, "density_p": 0.5, "delta": 0.5, "e_norm": 0.2, "g_norm": 2.0}
    kept = {n: {**own, "e_norm": e} for n, e in (layers or {}).items()}
    head = first_line("ef-signsgd", epochs=rows, optimizer=optimizer or EF, parameters=1000, **run)
    return write(folder, head, [row(i, **own, layers=kept) for i in range(1, rows + 1)])


def test_what_goes_in_is_named_for_what_it_is(tmp_path: Path) -> None:
    found = diagnose(read(run_log(tmp_path)))
    text = " ".join(found.remarks)
    assert "sigma = 2: the largest mean of ||g|| over the measured steps of an epoch." in text
    assert "an estimate" in text and "largest logged" not in text
    assert "at most 0.0005 ||x||" in text
    plain = " ".join(diagnose(read(table(tmp_path / "a.csv", **simulated()))).remarks)
    assert "the largest logged ||g||" in plain and "mean" not in plain and "decay" not in plain


def test_momentum_before_the_compressor_makes_sigma_larger(tmp_path: Path) -> None:
    before = diagnose(read(run_log(tmp_path / "a", optimizer={**EF, "momentum": 0.9, "momentum_at": "before"})))
    after = diagnose(read(run_log(tmp_path / "b", optimizer={**EF, "momentum": 0.9, "momentum_at": "after"})))
    ratio = by_form(before)["printed"].last / by_form(after)["printed"].last
    assert ratio == pytest.approx(10)  # ||m|| <= sigma / (1 - 0.9)


def test_what_lemma_8_guarantees_is_one_over_the_largest_tensor_and_only_for_a_scaled_sign(tmp_path: Path) -> None:
    sizes = {"a": 600, "b": 400}
    assert by_form(diagnose(read(run_log(tmp_path / "1", sizes=sizes))), "1/max d_i")["printed"].delta == pytest.approx(1 / 600)
    whole = {**EF, "granularity": "model"}
    found = by_form(diagnose(read(run_log(tmp_path / "2", optimizer=whole, sizes=sizes))), "1/d")
    assert found["printed"].delta == pytest.approx(1 / 1000)
    top = diagnose(read(run_log(tmp_path / "3", optimizer={**EF, "compressor": "TopK(k=3)"}, sizes=sizes)))
    assert {a.delta_from for a in top.applied} == {"logged"}


def test_a_run_without_feedback_meets_no_bound_of_feedback(tmp_path: Path) -> None:
    sgdm = {**EF, "algorithm": "sgdm", "compressor": "Identity()", "feedback": False, "momentum": 0.9, "momentum_at": "before"}
    found = diagnose(read(run_log(tmp_path, optimizer=sgdm)))
    assert "which this run has not" in found.not_applied["theorem-2"]
    assert "beta = 0.9" in found.not_applied["remark-4-sgd"]


def test_the_rate_that_falls_is_said_where_a_bound_needs_it_constant(tmp_path: Path) -> None:
    log = simulated()
    assert "not constant" not in diagnose(read(table(tmp_path / "a.csv", **log))).not_applied["theorem-2"]
    log["lr"] = [0.1] * 30 + [0.01] * 30
    assert "not constant" in diagnose(read(table(tmp_path / "b.csv", **log))).not_applied["theorem-2"]


STEPS = [float(t) for t in range(1, 41)]
FLAT = [1.0 + 0.01 * (-1) ** t for t in range(40)]
NOISY = np.random.default_rng(3).normal(1, 0.1, 40).tolist()


@pytest.mark.parametrize(
    ("memory", "rate", "warned"),
    [
        ([1.02**t for t in range(40)], [0.1] * 40, "memory grows"),
        ([*FLAT[:-1], 9.0], [0.1] * 40, "memory jumps"),
        ([1.005**t for t in range(40)], [0.1] * 40, ""),  # a trend, but of 14 %
        (FLAT, [0.1] * 40, ""),
        (NOISY, [0.1] * 40, ""),
        ([min(1.0, t / 10) for t in range(1, 41)], [0.1] * 40, ""),  # fills up, then stays
        ([0.1] * 20 + [1.0] * 20, [0.01] * 20 + [0.1] * 20, ""),  # follows the rate
    ],
    ids=["grows", "jumps", "a little", "flat", "noise", "fills up", "with the rate"],
)
def test_a_growing_memory_is_warned_of(tmp_path: Path, memory: list[float], rate: list[float], warned: str) -> None:
    found = diagnose(read(table(tmp_path / "a.csv", step=STEPS, e_norm=memory, lr=rate)))
    assert bool(found.warnings) == bool(warned)
    assert all(warned in line for line in found.warnings)


def test_too_few_rows_to_see_a_trend_are_said(tmp_path: Path) -> None:
    found = diagnose(read(table(tmp_path / "a.csv", step=[1, 2, 3], e_norm=[1, 10, 100], lr=[0.1, 0.1, 0.1])))
    assert found.warnings == [] and any("fewer than 8 rows" in line for line in found.cannot)


@pytest.mark.parametrize(
    ("delta", "warned"),
    [
        (0.002, "near its worst in the whole model"),
        (0.004, ""),
        (-780.0, "no compressor in the paper's sense"),
        (0.0, "no comp"),
    ],
)
def test_a_delta_near_its_worst_is_warned_of_and_one_below_zero_is_another_thing(
    tmp_path: Path, delta: float, warned: str
) -> None:
    head = first_line("signsgdm", epochs=3, parameters=1000, optimizer={**EF, "feedback": False})  # 3/d = 0.003
    found = diagnose(read(write(tmp_path, head, [row(i, delta=[0.5, delta, 0.5][i - 1]) for i in (1, 2, 3)])))
    assert [warned in line for line in found.warnings] == [True] * bool(warned)


def test_a_layers_delta_near_its_worst_is_seen_where_the_sizes_are_logged(tmp_path: Path) -> None:
    layers = {"a": {"delta": 0.02, "density_p": 0.02, "e_norm": 0.1}, "b": {"delta": 0.5, "density_p": 0.5, "e_norm": 0.1}}
    for sizes, expected in (({"a": 100, "b": 900}, 1), ({"a": 900, "b": 100}, 0), ({"a": "x", "b": 1}, 0)):
        head = first_line("ef-signsgd", epochs=1, parameters=1000, sizes=sizes, optimizer=EF)
        found = diagnose(read(write(tmp_path, head, [row(1, delta=0.5, layers=layers)])))
        assert len([line for line in found.warnings if "in layer a" in line]) == expected
        assert any("sizes are not logged" in line for line in found.cannot) == (sizes["a"] == "x")


@pytest.mark.parametrize(
    ("memories", "sizes", "warned"),
    [
        ((3.0, 1.0, 1.0), {"a": 200, "b": 400, "c": 400}, True),  # 9/11 of ||e||^2, a fifth of the parameters
        ((3.0, 1.0, 1.0), {"a": 800, "b": 100, "c": 100}, False),  # four fifths of the parameters
        ((1.0, 1.0, 1.0), {"a": 200, "b": 400, "c": 400}, False),
        ((3.0, 1.0, 1.0), None, True),
    ],
)
def test_a_layer_that_dominates_is_warned_of(tmp_path: Path, memories: Any, sizes: Any, warned: bool) -> None:
    more = {} if sizes is None else {"sizes": sizes}
    found = diagnose(read(run_log(tmp_path, layers=dict(zip("abc", memories, strict=True)), **more)))
    assert any(line.startswith("layer a dominates the memory: 82 %") for line in found.warnings) == warned


def test_a_delta_that_is_not_the_density_is_no_scaled_sign(tmp_path: Path) -> None:
    for delta, warned in ((0.5, False), (0.6, True)):
        layers = {"a": {"delta": delta, "density_p": 0.5}}
        found = diagnose(read(write(tmp_path, first_line("ef-signsgd", epochs=1), [row(1, layers=layers)])))
        assert any("not a scaled sign" in line for line in found.warnings) == warned


GOOD = "step,e_norm,lr\n1,0.5,0.1\n2,0.6,0.1\n"


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        ("", [], ":1: must name a column step or epoch; got nothing"),
        ("step;e_norm\n1;2\n", [], ":1: must name a column step or epoch; got step;e_norm"),
        ("step,e_norm\n", [], "must hold a row of numbers; got none"),
        (GOOD.replace("0.6", "x"), [], ":3: `e_norm` must be a number; got 'x'"),
        (GOOD.replace("0.6", "-1"), [], ":3: `e_norm` must be >= 0; got -1"),
        (GOOD.replace("\n2,", "\n1,"), [], ":3: `step` must grow from row to row; got 1"),
        (GOOD.replace("\n2,", "\nnan,"), [], ":3: `step` must grow from row to row; got nan"),
        (GOOD.replace("lr", "e_norm"), [], ":1: must have one column e_norm; got 2"),
        ("step,density,density_p\n1,0.5,0.5\n", [], "density or density_p, which are the same; got both"),
        (GOOD, ["--column", "memory=lr"], "`column` must name one of step"),
        (GOOD, ["--column", "e_norm=memory"], "`column` must be one of the file's columns, step, e_norm, lr; got memory"),
        (GOOD, ["--column", "e_norm"], "`column` must be NAME=COLUMN, each NAME once; got e_norm"),
        (GOOD, ["--picture", "run.svg"], "`picture` must end in .png or .pdf; got run.svg"),
        (GOOD, ["--json", "nowhere/a.json"], "nowhere must be a folder that can be written to"),
        ("step,lr\n1,\0\n", [], "cannot be read"),
    ],
)
def test_a_wrong_csv_or_option_is_one_line_and_exit_2(tmp_path: Path, text: str, more: list[str], words: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(text)
    if words == "cannot be read":
        path.write_bytes(b"\xff\xfes\x00")
    code, out, err = called("diagnose", path, *more)
    assert code == 2 and not out and err.count("\n") == 1 and words in err


def test_columns_are_found_by_the_name_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfepoch, memory ,note\r\n1,0.5,\xc3\xa4\r\n\r\n2,,b\r\n3,0.7\r\n")
    trace = read(tmp_path / "a.csv", {"e_norm": "memory"})
    assert trace.by_epoch and trace.columns["step"].tolist() == [1, 2, 3]
    np.testing.assert_array_equal(trace.columns["e_norm"], [0.5, np.nan, 0.7])
    assert called("diagnose", tmp_path / "a.csv", "--column", "e_norm=memory")[0] == 0


def test_a_log_of_ours_is_read_from_its_folder_and_its_flaws_are_told(tmp_path: Path) -> None:
    path = write(tmp_path, first_line("ef-signsgd", epochs=9), [row(1, e_norm=1.0)], "metrics.jsonl")
    path.write_text(path.read_text() + '{"epoch": 2')
    code, out, _ = called("diagnose", tmp_path)
    assert code == 0 and "the last line is cut off" in out and "1 of 9 epochs" in out
    for rows, words in (([], "must hold a finished epoch"), ([row(2)], "`epoch` must be 1; got 2")):
        write(tmp_path, first_line(), rows, "metrics.jsonl")
        code, out, err = called("diagnose", tmp_path)
        assert code == 2 and not out and words in err and err.count("\n") == 1
    with pytest.raises(EfcheckError, match="which is not there"):
        read(tmp_path / "none")


def test_rows_without_steps_and_layers_that_are_none_are_no_crash(tmp_path: Path) -> None:
    rows = [{**row(1, e_norm=1.0, delta=0.5), "step": None, "layers": {"a": 3}}, {**row(2, layers=[1]), "step": None}]
    trace = read(write(tmp_path, first_line("ef-signsgd", epochs=2, optimizer="x", sizes=5), rows))
    assert trace.by_epoch and trace.columns["step"].tolist() == [1, 2]
    json.dumps(diagnose(trace).to_json(), allow_nan=False)


@pytest.mark.parametrize("case", ["ours", "one row", "csv", "unscaled", "nothing"])
def test_the_picture_has_no_legend_over_a_curve_and_no_text_outside(tmp_path: Path, case: str) -> None:
    makers = {
        "ours": lambda: run_log(tmp_path, layers={"a": 1.0, "b": 2.0, "c": 3.0}, sizes={"a": 10, "b": 20, "c": 970}),
        "one row": lambda: run_log(tmp_path, rows=1),
        "csv": lambda: table(tmp_path / "a.csv", **simulated()),
        "unscaled": lambda: write(tmp_path, first_line("signsgdm", epochs=2), [row(i, delta=-700.0 - i) for i in (1, 2)]),
        "nothing": lambda: table(tmp_path / "a.csv", epoch=[1, 2], lr=[1, 1]),
    }
    found = diagnose(read(makers[case]()))
    drawing = Figure(figsize=picture.SIZE, layout="constrained")
    canvas = FigureCanvasAgg(drawing)
    axes = list(drawing.subplots(1, picture.PANELS))
    picture.draw(axes, picture.arrays(found))
    canvas.draw()
    for ax in axes:
        legend = ax.get_legend()
        assert legend is not None or ax.texts  # a panel without a curve says so
        if legend is not None:
            box = legend.get_window_extent()
            assert not box.overlaps(ax.get_window_extent().padded(-2))
            assert box.y1 <= drawing.bbox.y1 + 1
    (words,) = [text for text in drawing.texts if text.get_text()]
    assert drawing.bbox.x0 <= words.get_window_extent().x0 and words.get_window_extent().x1 <= drawing.bbox.x1
    assert axes[0].get_xlabel() == ("epoch" if case == "nothing" else "step $t$")


def test_the_command_writes_numbers_and_a_picture(tmp_path: Path) -> None:
    png, told = tmp_path / "a.png", tmp_path / "a.json"
    code, _, _ = called("diagnose", run_log(tmp_path), "--picture", png, "--json", told)
    assert code == 0 and png.read_bytes().startswith(b"\x89PNG")
    assert [a["form"] for a in json.loads(told.read_text())["lemma-3"]] == ["printed", "sharp"] * 2
