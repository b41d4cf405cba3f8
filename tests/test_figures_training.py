"""Figures 2, 4, 6, 7: numbers by the statistics module; the picture says what it shows, all of it inside."""

from __future__ import annotations

import importlib.util
import json
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_logs import ALGORITHMS, CNN, VGG19, first_line, row, write, write_accuracies

pytest.importorskip("torch", reason="needs the extra train")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from efcheck import figure
from efcheck.errors import EfcheckError
from efcheck.train import curves

FOLDER = Path(__file__).parents[1] / "figures"
NAMES = ("fig2", "fig4", "fig6", "fig7")
JPEG = {**VGG19, "data": "cifar10-jpeg", "data_label": "CIFAR-10, JPEG copy"}
RESNET18 = {**VGG19, "data": "cifar100", "data_label": "CIFAR-100", "model": "resnet18"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"training_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results(folder: Path, batches: tuple[int, ...] = (128, 32), epochs: int = 4, **network: Any) -> Path:
    """Three seeds of each algorithm, random."""
    rng = np.random.default_rng(2)
    for batch in batches:
        for algorithm in ALGORITHMS:
            for seed in (1, 2, 3):
                rows = [
                    row(e, float(a), density_p=float(b), density_g=float(c), test_loss=float(2 - a))
                    for e, (a, b, c) in enumerate(rng.uniform(0.5, 0.9, (epochs, 3)), start=1)
                ]
                write(folder, first_line(algorithm, batch, seed, **{**CNN, **network, "epochs": epochs}), rows)
    return folder


def drawn(module: ModuleType, data: dict[str, Any]) -> Figure:
    """The drawing as figure.picture makes it."""
    import matplotlib

    with matplotlib.rc_context(fname=str(figure.STYLE_FILE)):
        drawing = Figure(figsize=module.SIZE, layout="constrained")
        canvas = FigureCanvasAgg(drawing)
        module.draw(list(drawing.subplots(1, module.PANELS, squeeze=False)[0]), figure._arrays(data))
        canvas.draw()
    return drawing


def test_means_and_deviations_are_those_of_the_statistics_module() -> None:
    values = np.random.default_rng(4).uniform(size=(3, 5))
    values[2, 3:] = np.nan
    values[1:, 4] = np.nan
    mean, deviation = curves.mean_and_deviation(values)
    for t in range(5):
        there = [v for v in values[:, t].tolist() if v == v]
        assert mean[t] == pytest.approx(statistics.mean(there), rel=1e-12)
        assert deviation[t] == pytest.approx(statistics.stdev(there) if len(there) > 1 else 0, rel=1e-9)
    assert np.isnan(curves.mean_and_deviation(np.full((2, 1), np.nan))[0]).all()


def test_the_arrays_are_the_files_numbers_in_percent(tmp_path: Path) -> None:
    data = script("fig7").compute(results=str(results(tmp_path)))
    for i, batch in enumerate((128, 32)):
        for j, algorithm in enumerate(ALGORITHMS):
            for s in (1, 2, 3):
                lines = (tmp_path / f"{algorithm}-b{batch}-s{s}.jsonl").read_text().splitlines()[1:]
                found = [json.loads(line) for line in lines]
                want = [100 * line["test_accuracy"] for line in found]
                np.testing.assert_allclose(data["test_accuracy"][i, j, s - 1], want, rtol=1e-14)
                np.testing.assert_array_equal(data["test_loss"][i, j, s - 1], [line["test_loss"] for line in found])


def test_the_curve_is_the_mean_and_the_band_one_deviation(tmp_path: Path) -> None:
    module = script("fig4")
    data = module.compute(results=str(results(tmp_path, batches=(32,))))
    panel = drawn(module, data).axes[1]  # test accuracy
    for line, bands, j in zip(panel.lines, panel.collections, range(4), strict=True):
        by_epoch = [v.tolist() for v in data["test_accuracy"][0, j].T]
        means = [statistics.mean(v) for v in by_epoch]
        np.testing.assert_allclose(line.get_ydata(), means, rtol=1e-12)
        for t, values in enumerate(by_epoch):
            corners = bands.get_paths()[0].vertices
            edges = sorted({round(float(y), 9) for x, y in corners if x == t + 1})
            assert edges[0] == pytest.approx(means[t] - statistics.stdev(values), rel=1e-8)
            assert edges[-1] == pytest.approx(means[t] + statistics.stdev(values), rel=1e-8)


@pytest.mark.parametrize(
    ("network", "name", "words"),
    [
        ({"limit_train": 15000}, "fig4", "A small CNN on Fashion-MNIST, 4 epochs, 3 seeds, 15,000 training images only. "
         "The paper: ResNet18 on CIFAR-100, 200 epochs"),
        ({"limit_train": 15000}, "fig7", "The paper: VGG19 on CIFAR-10, 200 epochs"),
        (JPEG, "fig7", "VGG19 on CIFAR-10, JPEG copy, 4 epochs, 3 seeds. The paper: VGG19 on CIFAR-10, 200 epochs"),
        (VGG19, "fig6", "VGG19 on CIFAR-10, 4 epochs, 3 seeds. The paper: ResNet18 on CIFAR-100"),
    ],
    ids=["cnn, fig4", "cnn, fig7", "JPEG copy", "the other network"],
)  # fmt: skip
def test_the_picture_says_what_it_shows_and_what_the_paper_has(
    tmp_path: Path, network: dict[str, Any], name: str, words: str
) -> None:
    module = script(name)
    data = module.compute(results=str(results(tmp_path, **network)))
    (text,) = [t for t in drawn(module, data).texts if "seeds" in t.get_text()]
    shown = " ".join(text.get_text().split())
    assert words in shown and "Bands: one standard deviation" in shown


def test_the_papers_own_runs_are_called_that(tmp_path: Path) -> None:
    for algorithm in ALGORITHMS:
        write_accuracies(tmp_path, algorithm, 128, [[0.5 + s / 10] * 200 for s in range(3)], **VGG19)
    note = script("fig7").compute(results=str(tmp_path))["note"]
    assert note == "VGG19 on CIFAR-10, 200 epochs, 3 seeds, as in the paper"


@pytest.mark.parametrize(
    ("network", "marked"), [(VGG19, True), (JPEG, True), ({**JPEG, "limit_train": 320}, False), (RESNET18, False), ({}, False)]
)
def test_printed_accuracies_are_marked_only_where_they_are_comparable(
    tmp_path: Path, network: dict[str, Any], marked: bool
) -> None:
    module = script("fig7")
    data = module.compute(results=str(results(tmp_path, batches=(128,), **network)))
    assert np.isfinite(data["paper"]).all() == marked and np.isfinite(data["paper"]).any() == marked
    if marked:
        assert data["paper"][0].tolist() == pytest.approx([93.38, 93.38 - 1.31, 93.38 - 0.94, 93.38 - 0.68])
    words = " ".join(t.get_text() for t in drawn(module, data).texts)
    assert ("printed best means" in " ".join(words.split())) == marked


def test_the_nearest_experiment_is_the_network_first_then_the_data(tmp_path: Path) -> None:
    results(tmp_path / "cnn", epochs=9)
    results(tmp_path / "jpeg", **JPEG)
    results(tmp_path / "resnet", **RESNET18)
    assert "JPEG copy" in script("fig7").compute(results=str(tmp_path))["note"]
    results(tmp_path / "other", **{**RESNET18, "data": "cifar10", "data_label": "CIFAR-10"})
    assert "VGG19 on CIFAR-10, JPEG copy" in script("fig7").compute(results=str(tmp_path))["note"]
    assert "ResNet18 on CIFAR-100" in script("fig4").compute(results=str(tmp_path))["note"].partition(".")[0]


def test_a_few_images_of_the_papers_network_are_no_figure_where_there_are_whole_runs(tmp_path: Path) -> None:
    results(tmp_path / "few", **JPEG, limit_train=320)
    assert "VGG19" in script("fig7").compute(results=str(tmp_path))["note"].partition(".")[0]
    results(tmp_path / "cnn")
    assert "A small CNN on Fashion-MNIST" in script("fig7").compute(results=str(tmp_path))["note"].partition(".")[0]


def test_figure_2_is_ef_signsgd_at_the_papers_batch_size_or_the_largest(tmp_path: Path) -> None:
    module = script("fig2")
    data = module.compute(results=str(results(tmp_path / "a", batches=(256, 128, 8))))
    assert data["batch_size"] == 128 and np.isnan(data["printed"])
    lines = (tmp_path / "a" / "ef-signsgd-b128-s2.jsonl").read_text().splitlines()[1:]
    np.testing.assert_array_equal(data["density_p"][1], [json.loads(line)["density_p"] for line in lines])
    assert module.compute(results=str(results(tmp_path / "b", batches=(32, 8))))["batch_size"] == 32
    assert module.compute(results=str(results(tmp_path / "c", batches=(128,), **JPEG)))["printed"] == 0.13


@pytest.mark.parametrize(
    ("name", "case"),
    [("fig2", "cnn"), ("fig2", "jpeg"), ("fig2", "partial"), ("fig4", "cnn"), ("fig6", "partial"), ("fig7", "jpeg")],
)
def test_all_words_are_inside_the_picture_and_each_curve_is_named(tmp_path: Path, name: str, case: str) -> None:
    module = script(name)
    network = {"cnn": {"limit_train": 15000, "limit_test": 2000}, "jpeg": JPEG, "partial": {}}[case]
    results(tmp_path, batches=(128, 32, 8, 4), **network)
    if case == "partial":
        for path in [*tmp_path.glob("sgdm-*"), tmp_path / "ef-signsgd-b128-s1.jsonl"]:
            path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
        for path in tmp_path.glob("signsgdm-b8-*"):
            path.unlink()
    drawing = drawn(module, module.compute(results=str(tmp_path)))
    labels = [label for ax in drawing.axes for label in (ax.xaxis.label, ax.yaxis.label)]
    for text in (*drawing.texts, *labels):
        box = text.get_window_extent()
        assert drawing.bbox.x0 - 1 <= box.x0 <= box.x1 <= drawing.bbox.x1 + 1, text.get_text()
        assert drawing.bbox.y0 - 1 <= box.y0 <= box.y1 <= drawing.bbox.y1 + 1, text.get_text()
    for note in drawing.texts:  # below the panels and their labels
        assert not any(note.get_window_extent().overlaps(label.get_window_extent()) for label in labels if label.get_text())
    legends = [*drawing.legends, *(ax.get_legend() for ax in drawing.axes if ax.get_legend() is not None)]
    (words,) = [{text.get_text() for text in legend.get_texts()} for legend in legends]
    assert len(words) == (2 if name == "fig2" else 4) + (name == "fig2" and case == "jpeg")
    for ax in drawing.axes:
        assert ax.get_xlabel() == "" or ax.get_xlabel().startswith("epoch, batch size")
    for legend in drawing.legends:
        assert not any(legend.get_window_extent().overlaps(ax.get_window_extent().padded(-2)) for ax in drawing.axes)


def test_main_writes_picture_data_and_record_and_a_redraw_is_the_same_to_the_byte(tmp_path: Path) -> None:
    module, place = script("fig4"), results(tmp_path / "results", batches=(32,))
    written = module.main(["--results", str(place), "--out", str(tmp_path / "1")])
    assert {path.suffix for path in written} == {".pdf", ".png", ".npz", ".json"}
    module.main(["--from", str(tmp_path / "1" / "fig4.npz"), "--out", str(tmp_path / "2")])
    for kind in ("png", "pdf"):
        assert (tmp_path / "1" / f"fig4.{kind}").read_bytes() == (tmp_path / "2" / f"fig4.{kind}").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_without_results_there_is_one_line(tmp_path: Path, name: str) -> None:
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(EfcheckError) as caught:
            script(name).compute(results=str(place))
        assert "results" in str(caught.value) and "\n" not in str(caught.value)
