"""`efcheck tables`: the three readings by the statistics module, the printed numbers, and every file that is wrong."""

from __future__ import annotations

import json
import statistics
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import efcheck
from tiny_logs import ALGORITHMS, VGG19, first_line, row, write, write_accuracies

pytest.importorskip("torch", reason="needs the extra train")

from efcheck.errors import EfcheckError
from efcheck.train import logs
from efcheck.train.tables import collect, readings

# typed off the paper: SGDM's best mean test accuracy, the differences of scaled signSGD, signSGDM and EF-signSGD to it
TABLE_3 = {128: (75.35, -2.21, -3.15, -0.92), 32: (76.22, -3.04, -3.57, -0.79), 8: (74.91, -36.35, -6.6, -0.64)}
TABLE_4 = {128: (93.38, -1.31, -0.94, -0.68), 32: (93.42, -1.49, -1.54, -0.71), 8: (93.09, -20.22, -2.75, -0.27)}


def cell(told: dict[str, Any], algorithm: str, batch_size: int) -> dict[str, Any]:
    (found,) = [c for c in told["groups"][0]["cells"] if (c["algorithm"], c["batch_size"]) == (algorithm, batch_size)]
    return dict(found)


def test_the_three_readings_are_those_of_the_statistics_module(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    shares = {a: rng.uniform(0.4, 0.9, (3, 5)).tolist() for a in ("sgdm", "ef-signsgd")}
    for algorithm, found in shares.items():
        write_accuracies(tmp_path, algorithm, 32, found)
    told = collect(tmp_path).to_json()
    means = {}
    for algorithm, found in shares.items():
        by_epoch = [[100 * accuracy for accuracy in epoch] for epoch in zip(*found, strict=True)]
        best = max(range(5), key=lambda t: statistics.mean(by_epoch[t]))
        chosen = {
            "final": (by_epoch[-1], 5),
            "best of mean": (by_epoch[best], best + 1),
            "mean of best": ([100 * max(run) for run in found], None),
        }
        for name, (values, epoch) in chosen.items():
            reading = cell(told, algorithm, 32)["readings"][name]
            assert reading["accuracy"] == pytest.approx(statistics.mean(values), rel=1e-12), name
            assert reading["deviation"] == pytest.approx(statistics.stdev(values), rel=1e-9), name  # n - 1
            assert reading["deviation"] != pytest.approx(statistics.pstdev(values), rel=1e-3), name  # not n
            assert reading["epoch"] == epoch, name
            means[algorithm, name] = statistics.mean(values)
    for name in ("final", "best of mean", "mean of best"):
        gap = means["ef-signsgd", name] - means["sgdm", name]
        assert cell(told, "ef-signsgd", 32)["readings"][name]["gap"] == pytest.approx(gap, rel=1e-9)


def test_of_equal_best_means_the_first_counts_and_one_seed_has_no_deviation() -> None:
    found = readings([[0.5, 0.75, 0.75, 0.25]])
    assert found["best of mean"].epoch == 2
    assert [reading.deviation for reading in found.values()] == [None, None, None]


@pytest.mark.parametrize(
    ("network", "printed"),
    [
        (VGG19, TABLE_4),
        ({**VGG19, "data": "cifar100", "data_label": "CIFAR-100", "model": "resnet18"}, TABLE_3),
        ({**VGG19, "data": "cifar10-jpeg", "data_label": "CIFAR-10, JPEG copy"}, TABLE_4),
    ],
    ids=["table 4", "table 3", "the JPEG copy"],
)
def test_the_printed_numbers_stand_beside(
    tmp_path: Path, network: dict[str, Any], printed: dict[int, tuple[float, ...]]
) -> None:
    for batch in printed:
        for k, algorithm in enumerate(ALGORITHMS):
            write_accuracies(tmp_path, algorithm, batch, [[0.9 - k / 50, 0.8]], **network)
    code, out, _ = efcheck("tables", tmp_path, "--json", tmp_path / "t.json")
    told = json.loads((tmp_path / "t.json").read_text())
    for batch, (base, *gaps) in printed.items():
        for algorithm, gap in zip(ALGORITHMS, (0.0, *gaps), strict=True):
            assert cell(told, algorithm, batch)["paper"] == pytest.approx({"accuracy": base + gap, "gap": gap})
            assert (f"{base:.2f}" if algorithm == "sgdm" else f"{gap:+.2f}") in out
    remark = told["groups"][0]["remarks"][0]
    assert code == 0
    assert "2 epochs instead of 200" in remark and "1 replication instead of 3" in remark
    assert ("re-encoded as JPEG" in remark) == network["data"].endswith("-jpeg")
    assert ("paper (CIFAR-10)" in out) == network["data"].endswith("-jpeg")  # whose numbers they are, where not of this data


def test_the_papers_own_run_is_called_that_and_a_small_change_is_named(tmp_path: Path) -> None:
    for algorithm in ALGORITHMS:
        write_accuracies(tmp_path / "own", algorithm, 8, [[0.5 + s / 100] * 200 for s in range(3)], **VGG19)
        changed = {**VGG19, "limit_train": 5000, "augment": False, "precision": "bfloat16", "milestones": [90, 150]}
        write_accuracies(tmp_path / "not", algorithm, 8, [[0.5 + s / 100] * 200 for s in range(3)], **changed)
    assert collect(tmp_path / "own").groups[0].remarks() == ["The paper's Table 4, in all that the logs tell."]
    told = collect(tmp_path / "not").groups[0].remarks()[0]
    for words in ("5,000 training images only", "no crops and flips", "bfloat16", "drops after [90, 150]"):
        assert words in told


def test_another_network_has_no_printed_numbers_and_says_what_it_is(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 128, [[0.5], [0.6]], limit_train=15000)
    code, out, _ = efcheck("tables", tmp_path)
    assert code == 0
    assert "A small CNN on Fashion-MNIST, 1 epoch, 2 seeds, 15,000 training images only" in out
    assert "not comparable" in " ".join(out.split()) and "paper " not in out.replace("No experiment of the paper", "")


def test_a_test_that_everything_passes_is_said_to_tell_nothing(tmp_path: Path) -> None:
    write_accuracies(tmp_path / "all", "sgdm", 32, [[0.5, 1.0]])
    write_accuracies(tmp_path / "most", "sgdm", 32, [[0.5, 0.99]])
    assert "tells nothing apart" in collect(tmp_path / "all").groups[0].remarks()[0]
    assert "tells nothing apart" not in collect(tmp_path / "most").groups[0].remarks()[0]


def test_a_partial_folder_gives_a_partial_table_that_says_what_is_missing(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 32, [[0.5, 0.6, 0.7], [0.5, 0.6, 0.8]])
    write(tmp_path, first_line("ef-signsgd", 32), [row(1, 0.4), row(2, 0.5)])  # two of three epochs
    write(tmp_path, first_line("signsgdm", 32), [])
    cut = write(tmp_path, first_line("signsgdm", 32, 2), [row(1, 0.4)])
    cut.write_text(cut.read_text() + '{"epoch": 2, "step"')
    code, out, _ = efcheck("tables", tmp_path, "--json", tmp_path / "t.json")
    text, told = " ".join(out.split()), json.loads((tmp_path / "t.json").read_text())
    assert code == 0
    for words in (
        "absent: scaled signSGD, batch size 32: seeds 1, 2",
        "absent: EF-signSGD, batch size 32: seed 2",
        "unfinished (*): EF-signSGD, batch size 32: 2 of 3 epochs",
        "s2.jsonl:3: the last line is cut off",
        "50.00*",
    ):
        assert words in text, words
    assert cell(told, "ef-signsgd", 32)["readings"]["final"]["gap"] is None  # SGDM's has three epochs
    assert cell(told, "ef-signsgd", 32)["complete"] is False


def test_an_unfinished_run_counts_only_where_none_is_finished(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 32, [[0.5, 0.6, 0.7]])
    write(tmp_path, first_line("sgdm", 32, 2), [row(1, 0.1)])
    found = collect(tmp_path).to_json()["groups"][0]
    assert found["cells"][0]["seeds"] == [1] and found["cells"][0]["epochs"] == 3
    assert found["cells"][0]["readings"]["final"]["accuracy"] == pytest.approx(70)


def test_a_diverged_run_is_left_out_and_named(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 32, [[0.5, 0.6]])
    write(tmp_path, first_line("sgdm", 32, 2, epochs=2), [row(1, 0.1), row(2, 0.1, train_loss=None)])
    write(tmp_path, first_line("sgdm", 32, 3, epochs=2), [row(1, 0.4), row(2, None)])
    write(tmp_path, first_line("sgdm", 32, 4, epochs=2, stopped="the loss is nan"), [row(1, 0.2)])
    nan = write(tmp_path, first_line("sgdm", 32, 5, epochs=2), [row(1, 0.3), row(2, 0.2, test_loss=float("nan"))])
    found = collect(tmp_path)
    assert "NaN" in nan.read_text()
    assert found.to_json()["groups"][0]["cells"][0]["seeds"] == [1]
    assert [line.partition(": ")[2].partition(":")[0] for line in found.problems] == ["diverged"] * 4
    assert found.refused == []


def twice(path: Path) -> None:
    other = path.with_name("copy.jsonl")
    other.write_text(path.read_text().replace('"test_accuracy": 0.6', '"test_accuracy": 0.61'))


def edited(old: str, new: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return edit


def another_rate(path: Path) -> None:
    write(path.parent, first_line("sgdm", 32, 3, lr=0.2), [row(1, 0.3)])


def another_momentum(path: Path) -> None:
    write(path.parent, first_line("sgdm", 32, 3, optimizer={"algorithm": "sgdm", "momentum": 0.5}), [row(1, 0.3)])


def another_seeds_numbers(path: Path) -> None:
    lines = path.read_text().replace('"seed": 2', '"seed": 3')
    path.with_name("sgdm-b32-s3.jsonl").write_text(lines)


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a swapped seed": (edited('"seed": 2', '"seed": 1'), "s2.jsonl:1: must be the run that its name says"),
    "another seed, the same numbers": (another_seeds_numbers, "s3.jsonl:1: no replication of"),
    "a missing epoch": (edited('"epoch": 2', '"epoch": 3'), "s2.jsonl:3: `epoch` must be 2; got 3"),
    "an epoch twice": (edited('"epoch": 3', '"epoch": 2'), "s2.jsonl:4: `epoch` must be 3; got 2"),
    "more epochs than the run has": (edited('"epochs": 3', '"epochs": 2'), "s2.jsonl:4: `epoch` must be at most 2"),
    "one run twice with other numbers": (twice, "with other numbers"),
    "another rate": (another_rate, "s3.jsonl:1: no replication of"),
    "another momentum": (another_momentum, "s3.jsonl:1: no replication of"),
    "percent for a share": (edited('"test_accuracy": 0.6', '"test_accuracy": 60'), "`test_accuracy` must be a share in [0, 1]"),
    "a huge number": (edited('"test_accuracy": 0.6', f'"test_accuracy": 1{"0" * 400}'), "`test_accuracy` must be a share"),
    "a text for a number": (edited('"test_accuracy": 0.6', '"test_accuracy": "x"'), "must be a number or null; got 'x'"),
    "no accuracy": (edited('"test_accuracy"', '"accuracy"'), "`test_accuracy` must be a number or null; got 'nothing'"),
    "a negative loss": (edited('"test_loss": 1.5', '"test_loss": -1.5'), "`test_loss` must be >= 0"),
    "half a line in the middle": (edited(', "train_loss": 0.52', ""), "must be JSON"),
    "not JSON": (lambda path: path.write_text("hello\n"), "s2.jsonl:1: must be JSON"),
    "nested without end": (lambda path: path.write_text("[" * 100_000 + "\n"), "s2.jsonl:1: must be JSON"),
    "no first line": (lambda path: path.write_text(json.dumps(row(1)) + "\n"), 's2.jsonl:1: must be {"run": {...}}'),
    "an empty file": (lambda path: path.write_text(""), "s2.jsonl:1: must be a run's first line; got nothing whole"),
    "not UTF-8": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "s2.jsonl: cannot be read: not UTF-8"),
    "an unknown algorithm": (edited('"algorithm": "sgdm", "batch', '"algorithm": "adam", "batch'), "`algorithm` must be one"),
    "a rate of 0": (edited('"lr": 0.1, "optimizer"', '"lr": 0, "optimizer"'), "`lr` must be a number > 0"),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_a_wrong_file_is_one_line_exit_2_and_the_table_is_of_the_others(tmp_path: Path, planted: str) -> None:
    plant, words = PLANTED[planted]
    write_accuracies(tmp_path, "sgdm", 32, [[0.5, 0.4, 0.7], [0.5, 0.6, 0.8]])
    assert efcheck("tables", tmp_path)[0] == 0
    path = tmp_path / "sgdm-b32-s2.jsonl"
    if planted == "half a line in the middle":
        lines = path.read_text().splitlines()
        lines[2] = lines[2][:40]
        path.write_text("\n".join(lines) + "\n")
    else:
        plant(path)
    code, out, err = efcheck("tables", tmp_path)
    assert code == 2 and "Traceback" not in out + err
    (line,) = [line for line in out.splitlines() if words in line]
    assert line in collect(tmp_path).refused and line.startswith(str(tmp_path))
    assert "Fashion-MNIST" in out  # seed 1's table


def test_a_second_file_with_the_same_numbers_is_only_a_remark(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 32, [[0.5, 0.6]])
    whole = tmp_path / "sgdm-b32-s1.jsonl"
    part = whole.read_text().splitlines()[:2]
    (tmp_path / "earlier.jsonl").write_text("\n".join(part).replace('"step": 10', '"step": 10, "seconds": 3.5') + "\n")
    code, out, _ = efcheck("tables", tmp_path)
    assert code == 0 and "earlier.jsonl:1: the same run as" in out and "60.00" in out


def test_line_ends_a_byte_order_mark_and_other_columns_change_nothing(tmp_path: Path) -> None:
    write_accuracies(tmp_path / "a", "sgdm", 32, [[0.5, 0.6]])
    text = (tmp_path / "a" / "sgdm-b32-s1.jsonl").read_text().replace('"step"', '"colour": "red", "step"')
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "sgdm-b32-s1.jsonl").write_bytes(b"\xef\xbb\xbf" + text.rstrip("\n").replace("\n", "\r\n").encode())
    plain, other = (collect(tmp_path / name).to_json()["groups"][0]["cells"][0] for name in "ab")
    assert plain["readings"] == other["readings"]


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, first_line(epochs=40), [row(e, 0.5) for e in range(1, 41)])
    path.write_text(path.read_text().replace('"step"', " " * 500_000 + '"step"'))
    size = path.stat().st_size
    tracemalloc.start()
    found = logs.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.rows) == 40 and size > 20e6
    assert peak < size / 4


@pytest.mark.parametrize("make", [False, True], ids=["no folder", "an empty folder"])
def test_without_a_run_there_is_one_line_and_exit_2(tmp_path: Path, make: bool) -> None:
    place = tmp_path / "results"
    if make:
        place.mkdir()
    code, out, err = efcheck("tables", place)
    assert code == 2 and not out and err.count("\n") == 1 and "results" in err


def test_the_papers_tables_without_a_run_are_named(tmp_path: Path) -> None:
    write(tmp_path, first_line("sgdm", 32, model="resnet18", data="cifar100"), [row(1)])
    found = collect(tmp_path)
    absent = ["Table 4 (VGG19 on CIFAR-10): no run is there", "Table 2 (tuning of the learning rates): no run is there"]
    assert found.missing == absent == found.to_json()["missing"]
    assert "\n".join(absent) in efcheck("tables", tmp_path)[1]


def test_a_manifest_names_what_is_missing_and_what_only_has_the_name(tmp_path: Path) -> None:
    toml = tmp_path / "small.toml"
    toml.write_text(
        'title = "x"\npaper = ""\ndata = "fashion-mnist"\nmodel = "cnn"\nalgorithms = ["sgdm", "ef-signsgd"]\n'
        "batch_sizes = [32]\nseeds = [1, 2]\nepochs = 2\nconstant_lr = false\nmomentum = 0.9\nweight_decay = 5e-4\n"
        "[lr]\nsgdm = 0.4\nef-signsgd = 0.4\n"
    )
    write_accuracies(tmp_path / "small", "sgdm", 32, [[0.5, 0.6]])
    write(tmp_path / "small", first_line("ef-signsgd", 32, epochs=3), [row(1)])
    write_accuracies(tmp_path / "else", "signsgdm", 8, [[0.5, 0.6]])  # no run of the manifest, not in its folder: not shown
    code, out, _ = efcheck("tables", tmp_path, "--manifest", toml)
    text = " ".join(out.split())
    assert code == 2
    assert "absent: EF-signSGD, batch size 32: seeds 1, 2" in text and "absent: SGDM, batch size 32: seed 2" in text
    assert "ef-signsgd-b32-s1.jsonl:1: not small's ef-signsgd-b32-s1: epochs 3 instead of 2; left out" in text
    assert "batch size 8" not in text


def test_a_tuning_chooses_the_smallest_test_loss_and_says_when_the_grid_ends_there(tmp_path: Path) -> None:
    losses = {1e-3: (2.0, 1.9), 1e-2: (0.8, 1.2), 1e-1: (1.0, 0.9), 1.0: (None, None)}
    for lr, (first, last) in losses.items():
        for algorithm in ("sgdm", "ef-signsgd"):
            pair = (first, last) if algorithm == "sgdm" else ((last, first) if lr > 1e-3 else (0.1, 0.1))
            run = first_line(algorithm, lr=lr, epochs=2, constant_lr=True)
            write(tmp_path, run, [row(i, 0.5, test_loss=v) for i, v in enumerate(pair, 1)], f"{algorithm}-{lr}.jsonl")
    (tuning,) = collect(tmp_path).tunings
    best = {rate.algorithm: (rate.best(0), rate.best(1)) for rate in tuning.rates}
    assert best["sgdm"] == (1e-2, 1e-1)  # 0.8 over the epochs; 0.9 at the last one; the diverged one never
    assert best["ef-signsgd"] == (1e-3, 1e-3)
    assert best["signsgdm"] == (None, None)
    assert next(line for line in tuning.remarks() if "end of the rates" in line).startswith("EF-signSGD")
    json.dumps(collect(tmp_path).to_json(), allow_nan=False)


def test_an_output_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    write_accuracies(tmp_path, "sgdm", 32, [[0.5]])
    code, out, err = efcheck("tables", tmp_path, "--json", tmp_path / "nowhere" / "t.json")
    assert code == 2 and not out and err.count("\n") == 1
    with pytest.raises(EfcheckError, match="is not there"):
        collect(tmp_path / "nowhere")
