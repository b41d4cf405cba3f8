"""Graphed steps: the numbers of the plain loop, nothing for the host to wait for, and nothing that moves between replays."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import assert_same, copied, random_images, without_clock

torch = pytest.importorskip("torch", reason="needs the extra train")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import _foreach, _forms, _general, _setup, _slot, algorithms, graphed, metrics  # noqa: E402
from efcheck.train._settings import Settings  # noqa: E402
from efcheck.train._watch import DivergedError  # noqa: E402
from efcheck.train.data import Data  # noqa: E402
from efcheck.train.graphed import Graphed, train_many  # noqa: E402
from efcheck.train.loop import Run  # noqa: E402

ALGORITHMS = ("sgdm", "scaled-signsgd", "signsgdm", "ef-signsgd")
# 13 batches of 2 and a smaller one; 4 are measured, so that there are full blocks of 2 between; gamma falls after 14 and 21
# of 28 steps, the second time within a block
SMALL = Settings(data="cifar10", model="cnn", algorithm="ef-signsgd", batch_size=2, epochs=2, lr=0.02, seed=3, augment=True)


def random_data(train: int = 27, test: int = 10) -> Data:
    return random_images("cifar10", train, test, channels=3, side=12)


def finish(run: Run) -> Run:
    while not run.finished:
        for _ in run.one_epoch():
            pass
    return run


def pauses(run: Run, n: int) -> None:
    """Train up to the n-th pause of an epoch."""
    for _ in itertools.islice(run.one_epoch(), n):
        pass


def assert_equal_runs(a: Run, b: Run) -> None:
    assert a.finished and b.finished
    assert_same([without_clock(row) for row in a.rows], [without_clock(row) for row in b.rows])
    assert_same(*({key: value for key, value in run.state().items() if key != "rows"} for run in (a, b)))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics, "_MEASURES", 4)
    with _setup.deterministic(SMALL):
        yield


# --- on a CPU, eagerly


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_bitwise_as_the_plain_loop(algorithm: str) -> None:
    settings = replace(SMALL, algorithm=algorithm)
    assert_equal_runs(finish(Graphed(settings, random_data(), steps=2)), finish(Run(settings, random_data())))


@pytest.mark.parametrize(
    "change",
    [{"augment": False}, {"precision": "bfloat16", "channels_last": True}, {"batch_size": 27}, {"batch_size": 200},
     {"official_resume": True, "epochs": 4}, {"constant_lr": True}],
    ids=["not augmented", "bfloat16", "one batch", "one smaller batch", "official resume", "constant rate"],
)  # fmt: skip
def test_bitwise_as_the_plain_loop_with(change: dict[str, Any]) -> None:
    settings = replace(SMALL, **change)
    assert_equal_runs(finish(Graphed(settings, random_data(), steps=3)), finish(Run(settings, random_data())))


def test_blocks_end_where_the_host_takes_part() -> None:
    run = Graphed(SMALL, random_data(), steps=2)
    run._begin_epoch()
    seen: list[tuple[int, int]] = []
    while run.step < run.steps:
        seen.append((run.step, run.advance()))
    assert sum(count for _, count in seen) == run.steps == 14
    assert 2 in {count for _, count in seen}
    assert all(run._measured.isdisjoint(range(first, first + count)) for first, count in seen if count > 1)
    assert seen[-1] == (13, 1)  # the smaller batch


@pytest.mark.parametrize(
    ("first", "second"), [(Graphed, Run), (Run, Graphed)], ids=["graphed then plain", "plain then graphed"]
)
def test_a_checkpoint_of_one_is_a_checkpoint_of_the_other(first: type[Run], second: type[Run]) -> None:
    run = first(SMALL, random_data())
    pauses(run, 6)
    other = second(SMALL, random_data())
    other.load(run.state())
    assert 0 < other.step < other.steps
    assert_equal_runs(finish(other), finish(Run(SMALL, random_data())))


def test_what_diverges_is_told_as_by_the_plain_loop() -> None:
    settings, told = replace(SMALL, algorithm="sgdm", lr=1e30), []
    for kind in (Run, Graphed):
        with pytest.raises(DivergedError) as caught:
            finish(kind(settings, random_data()))
        told.append(str(caught.value))
    assert told[0] == told[1] and "step" in told[0]


def test_steps_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="`steps` must be"):
        Graphed(SMALL, random_data(), steps=0)


# --- nothing waits: tensors on "meta" have no values, so that reading one raises


def on_meta(algorithm: str) -> Graphed:
    run = Graphed(replace(SMALL, algorithm=algorithm, device="meta"), random_data())
    run.optimizer._run = _forms.Forms("foreach")
    run._begin_epoch()
    run.captures, run.device = True, torch.device("cpu")  # autocast knows no "meta"; it is off
    run.model.train()
    return run


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_step_waits_for_nothing(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "_fused_sgd_", lambda *args, **kwargs: None)  # torch's own kernel knows no "meta"
    run = on_meta(algorithm)
    run._step(2)
    run._step(2)


@pytest.mark.parametrize("method", ["_note", "_scores_and_loss"])
def test_a_hidden_wait_is_seen(monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    run = on_meta("ef-signsgd")
    plain = getattr(run, method)
    monkeypatch.setattr(run, method, lambda *args: (bool(run._at == 0), plain(*args))[1])
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run._step(2)


# --- a graph on a CPU: operations are recorded with the tensors they met, and replayed on these


class Tape(TorchDispatchMode):
    """Records what runs on tensors, as capturing does: later calls of Python are not seen, places are those of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tensors((args, kwargs))}
        fresh = [None if t.untyped_storage().data_ptr() in given else t for t in tensors(out)]  # None: a view, or in place
        self.calls.append((func, args, kwargs or {}, fresh))
        return out

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, fresh in self.calls:
                for old, new in zip(fresh, tensors(func(*args, **kwargs)), strict=True):
                    if old is not None and old.numel():
                        old.detach().copy_(new)


def tensors(nested: Any) -> list[Any]:
    return [t for t in torch.utils._pytree.tree_leaves(nested) if isinstance(t, torch.Tensor)]


def taped(work: Callable[[], None], warm: Callable[[], None]) -> Callable[[], None]:
    warm()
    with (tape := Tape()):
        work()
    return tape.replay


def emulated(settings: Settings, monkeypatch: pytest.MonkeyPatch, steps: int = 2) -> Graphed:
    """A run whose captured steps are replayed from a tape, and whose optimizer steps as on a GPU, but for what waits."""
    monkeypatch.setattr(graphed, "captured", taped)
    monkeypatch.setattr(_slot.Slot, "steps", lambda slot: slot.group["lr"])  # not read by the host
    monkeypatch.setattr(_foreach, "check_gradients", lambda slots: None)
    monkeypatch.setattr(_general, "check_gradients", lambda slots: None)
    make = algorithms.make
    monkeypatch.setattr(_setup, "build_optimizer", lambda s, model: make(s.algorithm, model.parameters(), s.lr, form="foreach"))
    run = Graphed(settings, random_data(), steps)
    run.captures = True
    return run


def eager(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Graphed:
    """The same without a tape."""
    run = emulated(settings, monkeypatch)
    monkeypatch.setattr(run, "_replay", lambda count: [run._eager(settings.batch_size) for _ in range(count)])
    return run


@pytest.mark.parametrize("official", [False, True], ids=["", "official resume"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_replays_are_as_eager_steps(algorithm: str, official: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SMALL, algorithm=algorithm, official_resume=official)
    run = finish(emulated(settings, monkeypatch))
    assert isinstance(run, Graphed) and set(run._graphs) == {1, 2}
    assert type(run.optimizer.param_groups[0]["lr"]) is float
    assert_equal_runs(run, finish(eager(settings, monkeypatch)))


def test_replays_of_a_resumed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = emulated(SMALL, monkeypatch)
    pauses(run, 6)
    other = emulated(SMALL, monkeypatch)
    for _ in other.one_epoch():  # captured before it is loaded
        pass
    other.load(run.state())
    assert not other._graphs
    assert_equal_runs(finish(other), finish(eager(SMALL, monkeypatch)))


@pytest.mark.parametrize("name", ["_order", "_gamma", "_draws"])
def test_what_moves_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: what a graph reads is a new tensor in each epoch."""
    run = emulated(SMALL, monkeypatch)
    begin = run._begin_epoch

    def moved() -> Any:
        setattr(run, name, getattr(run, name).clone())
        return begin()

    monkeypatch.setattr(run, "_begin_epoch", moved)
    with pytest.raises(AssertionError):
        assert_equal_runs(finish(run), finish(eager(SMALL, monkeypatch)))


@pytest.mark.parametrize("kept", ["weights", "buffers", "memory", "loss"])
def test_traces_of_warming_up_are_seen(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: something that the first eager steps have changed is not put back."""
    run = emulated(SMALL, monkeypatch)
    changing = run._changing

    def others() -> list[Any]:
        memory = [state["memory"] for state in run.optimizer.state.values()]
        left = {"weights": run._params, "buffers": list(run.model.buffers()), "memory": memory, "loss": [run.tally.loss]}[kept]
        return [t for t in changing() if all(t is not other for other in left)]

    monkeypatch.setattr(run, "_changing", others)
    with pytest.raises(AssertionError):
        assert_equal_runs(finish(run), finish(eager(SMALL, monkeypatch)))


def test_what_is_not_finite_within_a_graph_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    run = emulated(SMALL, monkeypatch)
    run._begin_epoch()
    run.model.train()
    while 2 not in run._graphs or run._free() < 2:
        run.advance()
    run.look()
    step, before = run.step, copied(run.state())
    with torch.no_grad():
        run._params[0].fill_(math.inf)
    assert run.advance() == 2
    with pytest.raises(DivergedError, match=rf"stopped at step {step + 1}: .* is that of 0\.weight"):
        run.look()
    run.load(before)
    run.look()


@pytest.mark.parametrize(("planted", "seen"), [(1, 2), (13, 14)], ids=["when measured", "at the end"])
def test_the_device_is_looked_at(planted: int, seen: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = emulated(SMALL, monkeypatch)
    with pytest.raises(DivergedError, match="step 1: the loss is inf"):
        for _ in run.one_epoch():
            if run.step == planted:
                run._bad_step.fill_(1), run._bad.fill_(math.inf)
    assert run.step == seen


def test_warming_up_draws_nothing() -> None:
    run, before = Graphed(SMALL, random_data()), torch.get_rng_state()
    with run._put_back():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


# --- several runs


def test_several_runs_are_each_as_alone() -> None:
    choices = [replace(SMALL, seed=seed, algorithm=name) for seed, name in enumerate(ALGORITHMS)]
    runs, paused = [Graphed(settings, random_data()) for settings in choices], []
    train_many(runs, paused.append)
    assert paused[:4] == runs  # in turn
    for run, settings in zip(runs, choices, strict=True):
        alone = finish(Run(settings, random_data()))
        assert_same([without_clock(row) for row in run.rows], [without_clock(row) for row in alone.rows])
        assert_same(run.state()["model"], alone.state()["model"])


def test_runs_that_would_share_a_generator_are_refused() -> None:
    run = Graphed(SMALL, random_data())
    run.settings = replace(SMALL, dropout=0.5)
    with pytest.raises(ArgumentError, match="`runs` must have no dropout"):
        train_many([run, run])
    train_many([])


# --- the benchmark


@pytest.mark.slow
def test_the_benchmark_runs_without_a_gpu(tmp_path: Path) -> None:
    script, out = Path(__file__).parent.parent / "benchmarks" / "train.py", tmp_path / "found.json"
    words = ["--model", "cnn", "--batch-size", "8", "--runs", "2", "--seconds", "1", "--slice", "0.02", "--json", str(out)]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, env=hidden, check=False)
    assert done.returncode == 0 and "There was no GPU" in done.stdout, done.stderr
    subjects = json.loads(out.read_text())["configurations"][0]["subjects"]
    assert [s["name"] for s in subjects] == ["plain", "eager", "graphed", "graphed, 2", "graphed, SGDM"]
    assert all(s["milliseconds"]["min"] > 0 for s in subjects)


# --- on a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
class TestOnAGPU:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_graphs_are_as_eager_steps(self, algorithm: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = replace(SMALL, algorithm=algorithm, device="cuda", precision=precision, channels_last=True)
        run, other = Graphed(settings, random_data(), steps=2), Graphed(settings, random_data(), steps=2)
        monkeypatch.setattr(other, "_replay", lambda count: [other._eager(settings.batch_size) for _ in range(count)])
        finish(run)
        assert set(run._graphs) == {1, 2}
        assert_equal_runs(run, finish(other))

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_losses_are_those_of_the_plain_loop(self, algorithm: str) -> None:
        settings = replace(SMALL, algorithm=algorithm, device="cuda", epochs=1)
        ours, plain = (finish(kind(settings, random_data())).rows[-1] for kind in (Graphed, Run))
        assert ours["train_loss"] == pytest.approx(plain["train_loss"], rel=1e-3)

    def test_a_step_waits_for_nothing(self) -> None:
        run = Graphed(replace(SMALL, device="cuda"), random_data())
        run._begin_epoch()
        run._step(2)
        torch.cuda.synchronize()
        try:
            torch.cuda.set_sync_debug_mode("error")
            run._step(2)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_dropout_draws_what_it_draws_eagerly(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = replace(SMALL, model="resnet18", dropout=0.3, device="cuda", epochs=1)
        run, other = Graphed(settings, random_data(), steps=2), Graphed(settings, random_data(), steps=2)
        finish(run)
        monkeypatch.setattr(other, "_replay", lambda count: [other._eager(settings.batch_size) for _ in range(count)])
        assert_equal_runs(run, finish(other))

    def test_a_resumed_run(self) -> None:
        settings = replace(SMALL, device="cuda")
        run = Graphed(settings, random_data(), steps=2)
        pauses(run, 6)
        other = Graphed(settings, random_data(), steps=2)
        other.load(run.state())
        assert_equal_runs(finish(other), finish(Graphed(settings, random_data(), steps=2)))

    def test_several_runs_are_each_as_alone(self) -> None:
        choices = [replace(SMALL, seed=seed, device="cuda") for seed in range(4)]
        runs = [Graphed(settings, random_data()) for settings in choices]
        train_many(runs)
        for run, settings in zip(runs, choices, strict=True):
            alone = finish(Graphed(settings, random_data()))
            assert_same(run.state()["model"], alone.state()["model"])
