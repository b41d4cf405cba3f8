"""The loop: rates, seeds, metrics, and that a run gone on with ends in the same bits."""

from __future__ import annotations

import itertools
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import assert_same, copied, random_images, without_clock

torch = pytest.importorskip("torch", reason="needs the extra train")

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import _eager, _general, _setup, checkpoint, logs, loop, metrics  # noqa: E402
from efcheck.train._blas import entries  # noqa: E402
from efcheck.train._settings import Settings  # noqa: E402
from efcheck.train._stop import Stopped, StopSign  # noqa: E402
from efcheck.train._watch import DivergedError, Watch  # noqa: E402
from efcheck.train.data import Data  # noqa: E402

ALGORITHMS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
SMALL = Settings(data="fashion-mnist", model="cnn", algorithm="ef-signsgd", batch_size=8, epochs=2, lr=0.02, seed=3)


def random_data(train: int = 28, test: int = 10) -> Data:
    return random_images("fashion-mnist", train, test, channels=1, side=16)


def finish(run: loop.Run, pause: list[dict[str, Any]] | None = None) -> loop.Run:
    """Train to the end, keeping a copy of the state at each pause."""
    while not run.finished:
        if pause is not None:
            pause.append(copied(run.state()))
        for _ in run.one_epoch():
            if pause is not None:
                pause.append(copied(run.state()))
    return run


def started(settings: Settings, data: Data | None = None) -> loop.Run:
    return loop.Run(settings, random_data() if data is None else data)


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    with _setup.deterministic(SMALL):
        yield


# --- the learning rate


@pytest.mark.parametrize(("epochs", "constant"), [(1, False), (3, False), (3, True)])
def test_each_step_is_taken_with_its_rate(epochs: int, constant: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    run, seen = started(replace(SMALL, epochs=epochs, constant_lr=constant)), list[float]()
    step = run.optimizer.step
    monkeypatch.setattr(run.optimizer, "step", lambda: (seen.append(run.optimizer.param_groups[0]["lr"]), step())[1])
    finish(run)
    n = 4 * epochs
    wanted = [0.02 * 10.0 ** -(0 if constant else (2 * t >= n) + (4 * t >= 3 * n)) for t in range(n)]
    assert seen == pytest.approx(wanted, rel=1e-12) and len(set(seen)) == (1 if constant else 3)
    assert [row["lr"] for row in run.rows] == seen[::4]


# --- the same bits


def test_a_run_gone_on_with_from_any_pause_ends_in_the_same_bits() -> None:
    pauses: list[dict[str, Any]] = []
    whole = finish(started(SMALL), pauses)
    end = copied(whole.state())
    assert len(pauses) == 2 * (1 + 4 + 1) and {p["step"] for p in pauses} == set(range(9))  # 4 steps and 1 test batch an epoch
    for state in pauses:
        again = started(replace(SMALL))
        again.load(state)
        assert again.done == state["step"]
        finish(again)
        assert_same(end, copied(again.state()))
        assert [without_clock(row) for row in whole.rows] == [without_clock(row) for row in again.rows]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_with_augmentation_goes_on_in_the_same_bits(algorithm: str) -> None:
    settings = replace(SMALL, algorithm=algorithm, lr=0.001, augment=True)
    pauses: list[dict[str, Any]] = []
    end = copied(finish(started(settings), pauses).state())
    for k in (3, 8):
        again = started(settings)
        again.load(pauses[k])
        assert_same(end, copied(finish(again).state()))


@pytest.mark.parametrize("forgotten", ["optimizer", "tally", "model", "rows", "epoch_step"])
def test_a_checkpoint_that_forgets_something_is_noticed(forgotten: str) -> None:
    pauses: list[dict[str, Any]] = []
    end = copied(finish(started(SMALL), pauses).state())
    fresh = started(SMALL).state()
    again = started(SMALL)
    again.load({**pauses[8], forgotten: copied(fresh)[forgotten]})
    with pytest.raises(AssertionError):
        assert_same(end, copied(finish(again).state()))


def test_dropout_goes_on_in_the_same_bits_only_with_its_generator() -> None:
    settings = replace(SMALL, model="resnet18", dropout=0.3, batch_size=4, epochs=1)
    data = random_images("fashion-mnist", train=12, test=2, channels=3, side=8)
    pauses: list[dict[str, Any]] = []
    whole = finish(started(settings, data), pauses)
    for random, same in ((pauses[2]["random"], True), (pauses[0]["random"], False)):
        again = started(settings, data)
        again.load({**pauses[2], "random": random})
        finish(again)
        assert torch.equal(weights(whole), weights(again)) is same


def weights(run: loop.Run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    runs = [finish(started(replace(SMALL, epochs=1, seed=seed))) for seed in (3, 3, 4)]
    a, b, c = ({**run.state(), "random": None} for run in runs)
    assert_same(a, b)
    assert not torch.equal(weights(runs[0]), weights(runs[2])) and a["step"] == c["step"]


def test_each_use_of_chance_and_each_epoch_has_its_own_seed() -> None:
    seeds = {SMALL.seed_of(name, t) for name in ("model", "order", "augment", "dropout", "compressor") for t in range(20)}
    assert len(seeds) == 100
    assert replace(SMALL, seed=4).seed_of("order", 1) not in seeds
    assert replace(SMALL, algorithm="sgdm", lr=9.0, batch_size=1).seed_of("order", 1) in seeds


def test_the_global_generator_of_torch_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    loop.train(replace(SMALL, epochs=1), random_data(), tmp_path)
    assert torch.equal(torch.rand(3), expected)


# --- what is measured


def test_the_loss_and_accuracy_of_the_test_are_those_of_the_final_weights() -> None:
    run = finish(started(replace(SMALL, epochs=1)))
    run.model.eval()
    mean, std = 0.5, 0.25
    with torch.no_grad():
        scores = run.model((run.data.test_images.float() / 255 - mean) / std)
    loss = torch.nn.functional.cross_entropy(scores, run.data.test_labels)
    assert run.rows[0]["test_loss"] == pytest.approx(loss.item(), rel=1e-5)  # float32 sums in another order
    assert run.rows[0]["test_accuracy"] == (scores.argmax(1) == run.data.test_labels).double().mean().item()


def test_an_epoch_sees_every_image_once_in_an_order_of_seed_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    step = loop.Run._one_step
    monkeypatch.setattr(loop.Run, "_one_step", lambda self, index: (seen.append(index.tolist()), step(self, index))[1])
    finish(started(SMALL))
    first, second = [[i for index in part for i in index] for part in (seen[:4], seen[4:])]
    assert sorted(first) == sorted(second) == list(range(28)) and first != second
    assert [len(index) for index in seen[:4]] == [8, 8, 8, 4]
    n = len(seen)
    finish(started(replace(SMALL, algorithm="sgdm", lr=1e-5)))
    assert seen[n:] == seen[:n]


def test_a_line_of_metrics_has_the_promised_numbers(tmp_path: Path) -> None:
    run = loop.train(SMALL, random_data(), tmp_path)
    assert run.header["message_bytes"] > run.header["parameters"] / 8
    for t, row in enumerate(run.rows, start=1):
        assert (row["epoch"], row["step"]) == (t, 4 * t)
        assert row["bits"] == 8 * run.header["message_bytes"] * 4 * t
        assert set(row["layers"]) == {name for name, _ in run.model.named_parameters()}
        assert 0 < row["density_p"] <= 1 and 0 < row["density_g"] <= 1 and 0 < row["delta"] <= 1
        assert row["seconds"] > 0 and row["images_per_second"] > 0
    assert [row["lr"] for row in run.rows] == [0.02, 0.002]


def test_measured_steps_are_evenly_spread() -> None:
    assert metrics.measured_steps(1) == {0} and metrics.measured_steps(16) == set(range(16))
    steps = sorted(metrics.measured_steps(391))
    gaps = {b - a for a, b in itertools.pairwise(steps)}
    assert len(steps) == 16 and gaps <= {24, 25} and steps[0] == 12 and steps[-1] == 378


def test_sums_of_an_epoch_come_back_exactly() -> None:
    tally = metrics.Tally()
    for scale in (1.0, 1e-3, 1e3):
        tally.add(torch.tensor(scale / 3), torch.eye(4), torch.tensor([0, 1, 2, 0]))
    again = metrics.Tally(state=copied(tally.state()))
    assert again.means("train") == tally.means("train") and again.means("train")["train_accuracy"] == 0.75


def test_a_loss_that_is_not_finite_is_null_in_the_metrics(tmp_path: Path) -> None:
    tally = metrics.Tally()
    tally.add(torch.tensor(math.inf), torch.eye(2), torch.tensor([0, 1]))
    metrics.write(tmp_path, {"data": "x"}, [tally.means("test")])
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[1] == '{"test_loss": null, "test_accuracy": 1.0}'


# --- stopping


@pytest.fixture
def a_step_that_checks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, where the optimizer does not wait for the gradients."""
    for module in (_eager, _general):
        monkeypatch.setattr(module, "check_gradients", lambda slots: [entries(slot.g) for slot in slots])
        monkeypatch.setattr(module, "first_not_finite", lambda tensors, what, told: None)
    monkeypatch.setattr(loop, "Watch", lambda named: Watch(named, defer=True))


def diverging(run: loop.Run, layer: int, at: int) -> str:
    """Make a layer's gradient NaN at a step, counted from 1; its name."""
    name, parameter = list(run.model.named_parameters())[layer]
    parameter.register_hook(lambda gradient: gradient * (math.nan if run.done + 1 == at else 1.0))
    return name


def test_a_gradient_that_is_not_finite_is_named_with_its_step_and_layer_and_changes_nothing() -> None:
    run = started(SMALL)
    name, before = diverging(run, layer=2, at=3), list[torch.Tensor]()
    with pytest.raises(DivergedError, match=f"stopped at step 3: .* not finite is that of {name}") as error:
        for _ in run.one_epoch():
            before.append(weights(run).clone())
    assert "\n" not in str(error.value)
    assert torch.equal(before[-1], weights(run)) and len(before) == 2


@pytest.mark.usefixtures("a_step_that_checks_nothing")
def test_notes_that_are_read_later_name_the_same_step_and_layer() -> None:
    run = started(SMALL)
    name = diverging(run, layer=2, at=3)
    with pytest.raises(DivergedError, match=f"stopped at step 3: .* not finite is that of {name}"):
        for _ in run.one_epoch():
            pass
    assert run.done == 4 and not torch.isfinite(weights(run)).all()  # seen at the end of the epoch


@pytest.mark.usefixtures("a_step_that_checks_nothing")
def test_a_checkpoint_is_never_spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = loop.Run.__init__

    def planted(self: loop.Run, *arguments: Any) -> None:
        new(self, *arguments)
        diverging(self, layer=0, at=6)

    monkeypatch.setattr(loop.Run, "__init__", planted)
    monkeypatch.setattr(checkpoint, "_SHARE", 1.0)  # a checkpoint after every step, however long it takes
    with pytest.raises(DivergedError, match="stopped at step 6"):
        loop.train(SMALL, random_data(), tmp_path, every=0.0)
    state = loop.Keeper(tmp_path, 2.0).newest()[0]
    assert state is not None and state["step"] == 5
    assert all(torch.isfinite(value.double()).all() for value in state["model"].values())
    log = logs.read(tmp_path / "metrics.jsonl")
    assert len(log.rows) == 1 and log.run["stopped"].startswith("stopped at step 6") and log.diverged == 2


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_seen_where_every_gradient_is_finite(loss: float) -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.zeros(4)
    for defer in (False, True):
        watch = Watch([("w", parameter)], defer=defer)
        with pytest.raises(DivergedError, match=f"stopped at step 9: the loss is {loss}; every gradient is finite"):
            watch.step(9, torch.tensor(loss))
            watch.look()


def test_a_last_step_that_ruins_a_weight_is_seen_before_the_test() -> None:
    run = started(replace(SMALL, epochs=1))
    step = run.optimizer.step

    def ruined() -> None:
        step()
        if run.done == 3:
            next(run.model.parameters()).data[0, 0, 0, 0] = math.inf

    run.optimizer.step = ruined
    with pytest.raises(DivergedError, match=r"stopped after step 4: the weights of 0\.weight are not finite"):
        finish(run)


def test_finite_gradients_whose_sum_overflows_are_no_alarm() -> None:
    parameter = torch.nn.Parameter(torch.zeros(4))
    for defer in (False, True):
        parameter.grad = torch.full((4,), 3e38)
        watch = Watch([("w", parameter)], defer=defer)
        watch.step(1, torch.tensor(1.0))
        watch.look()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_in_the_same_bits(tmp_path: Path, signum: signal.Signals) -> None:
    whole = loop.train(SMALL, random_data(), _folder(tmp_path, "whole"))

    def interrupt(epoch: int, step: int, steps: int, row: dict[str, Any] | None) -> None:
        if (epoch, step) == (2, 2) and row is None:
            signal.raise_signal(signum)
            signal.raise_signal(signal.SIGINT)  # impatience

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    out, lines = _folder(tmp_path, "out"), []
    with pytest.raises(Stopped, match=signum.name):
        loop.train(SMALL, random_data(), out, progress=interrupt)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    again = loop.train(SMALL, random_data(), out, resume=True, tell=lines.append)
    assert lines[0] == "resumed from step 6"
    a, b = (loop.Keeper(folder, 2.0).newest()[0] for folder in (tmp_path / "whole", out))
    assert_same(a, b)
    assert_same(copied(whole.model.state_dict()), copied(again.model.state_dict()))


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSign() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.signum is None
    finally:
        signal.signal(signal.SIGINT, before)


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


# --- options


@pytest.mark.parametrize(("labels", "kept"), [([1, 0, 2, 0, 1, 2], [0, 1, 2]), ([0, 0, 1, 1, 2, 2], [0, 2, 4])], ids=str)
def test_few_images_are_the_first_or_spread_over_sorted_ones(labels: list[int], kept: list[int]) -> None:
    data = replace(random_data(train=6, test=3), train_labels=torch.tensor(labels))
    few = _setup.limited(data, 3, 9)
    assert torch.equal(few.train_images, data.train_images[kept]) and few.train_labels.tolist() == [labels[i] for i in kept]
    assert torch.equal(few.test_images, data.test_images)


def test_the_first_setting_that_differs_is_named() -> None:
    run = started(SMALL)
    with pytest.raises(ArgumentError, match=r"`--lr` must be 0.02, as in the run to go on with; got 0.03. Use another --out."):
        started(replace(SMALL, lr=0.03, seed=9)).load(run.state())


@pytest.mark.parametrize(("epochs", "before"), [(4, 8), (3, 6)], ids=["between epochs", "within an epoch"])
def test_official_resume_goes_back_to_the_best_weights_and_forgets_the_memory(epochs: int, before: int) -> None:
    settings = replace(SMALL, epochs=epochs, official_resume=True, lr=0.05)
    found = {}
    for name, run in (("official", started(settings)), ("plain", started(replace(settings, official_resume=False)))):
        best = (-1.0, weights(run).clone())
        while run.done < before:
            for _ in run.one_epoch():
                if run.done == before:
                    break
            if len(run.rows) == run.epoch - 1 and run.step == 0:
                best = max(best, (run.rows[-1]["test_accuracy"], weights(run).clone()), key=lambda pair: pair[0])  # the first
        assert run.optimizer.error_norm() > 0 and not torch.equal(weights(run), best[1])
        run._begin_step()
        found[name] = torch.equal(weights(run), best[1]), run.optimizer.error_norm() == 0
        assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.005, rel=1e-12)
    assert found == {"official": (True, True), "plain": (False, False)}


@pytest.mark.parametrize("epochs", [2, 3])
def test_official_resume_goes_on_in_the_same_bits(epochs: int) -> None:
    settings = replace(SMALL, epochs=epochs, official_resume=True)
    pauses: list[dict[str, Any]] = []
    end = copied(finish(started(settings), pauses).state())
    for state in pauses:
        again = started(settings)
        again.load(state)
        assert_same(end, copied(finish(again).state()))


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"channels_last": True}], ids=str)
def test_options_of_speed_change_little_and_go_on_in_the_same_bits(options: dict[str, Any]) -> None:
    settings, pauses = replace(SMALL, epochs=1, **options), list[dict[str, Any]]()
    whole = finish(started(settings), pauses)
    end = copied(whole.state())
    again = started(settings)
    again.load(pauses[3])
    assert_same(end, copied(finish(again).state()))
    plain = finish(started(replace(SMALL, epochs=1)))
    assert whole.rows[0]["train_loss"] == pytest.approx(plain.rows[0]["train_loss"], rel=0.1)  # bfloat16 has 8 bits
