"""check_error_feedback: right methods and optimizers are accused of nothing, each planted bug is caught by its check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from in_process import efcheck
from planted.optimizer_cases import ALSO, BUGS

from efcheck.checks.error_feedback import check_error_feedback
from efcheck.compressors import QSGD, Identity, LowRank, OneBit, RandomK, ScaledSign, TernGrad, TopK
from efcheck.errors import ArgumentError
from efcheck.methods import EF21, EFSGD, SGD, CompressedSGD, SignSGD


def names(report: Any) -> list[str]:
    return [r.name for r in report.failures]


def told(report: Any) -> str:
    return "; ".join(f"{r.name}: {r.detail}" for r in report.failures)


METHODS = [SGD(0.1), SGD(0.1, beta=0.9)]
METHODS += [
    EFSGD(0.1, c) for c in (ScaledSign(), ScaledSign(zero=0), TopK(1), TopK(0.5), RandomK(1), QSGD(4), TernGrad(), OneBit())
]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_our_methods_with_feedback_pass(method: Any) -> None:
    report = check_error_feedback(method)
    assert report.passed, told(report)
    assert report["telescoping"].outcome == "passed" and report["non_finite"].outcome == "passed"


@pytest.mark.parametrize("where", ["before", "after"])
def test_plain_sgd_is_error_feedback_with_the_identity_and_its_momentum_is_before_and_after(where: str) -> None:
    """Where nothing is lost on the way, momentum before the compressor is momentum after it."""
    report = check_error_feedback(SGD(0.1, beta=0.9), momentum=where)
    assert report.passed and report["compression"].outcome == "passed" and report["momentum"].outcome == "passed"
    assert names(check_error_feedback(SGD(0.1, beta=0.9), momentum=None)) == ["momentum"]


@pytest.mark.parametrize("method", [CompressedSGD(0.1, TopK(1)), SignSGD(0.1), EF21(0.1, TopK(1))], ids=str)
def test_methods_that_are_not_algorithm_2_are_found_out(method: Any) -> None:
    assert {"memory", "telescoping"} <= set(names(check_error_feedback(method)))


def test_shapes_restrict_the_checks_to_what_a_compressor_can_take() -> None:
    method = EFSGD(0.1, LowRank(1, (4, 3)))
    assert not check_error_feedback(method).passed
    report = check_error_feedback(method, shapes=[(4, 3)])
    assert report.passed, told(report)


def test_a_claimed_compressor_that_is_another_one_is_noticed() -> None:
    report = check_error_feedback(EFSGD(0.1, TopK(1)), TopK(2), shapes=[(5,)])
    assert names(report) == ["first_step"] and report["compression"].detail == "rests on first_step, which fails"


def test_expected_failures_are_strict() -> None:
    method = CompressedSGD(0.1, TopK(1))
    failing = {name: "no feedback" for name in names(check_error_feedback(method))}
    assert check_error_feedback(method, expected_failed=failing).passed
    assert not check_error_feedback(EFSGD(0.1, TopK(1)), expected_failed={"telescoping": "it is not"}).passed


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((3,), "`subject` must be a method of efcheck.methods or a factory params -> torch optimizer; got 3."),
        ((SGD(0.1), 3), "`compressor` must be a callable"),
        ((SGD(0.1), TopK), "`compressor` must be a callable"),
    ],
)
def test_bad_arguments_are_one_line(arguments: Any, line: str) -> None:
    with pytest.raises(ArgumentError) as error:
        check_error_feedback(*arguments)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("unit", "y"),
        ("momentum", "during"),
        ("weight_decay", "both"),
        ("granularity", "bit"),
        ("gamma", 0),
        ("shapes", []),
        ("shapes", [3]),
        ("expected_failed", ["telescoping"]),
        ("memory", 3),
    ],
)
def test_bad_words_name_the_argument(word: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=f"`{word}` must"):
        check_error_feedback(SGD(0.1), **{word: value})


def test_the_reproduction_of_a_method_runs_by_itself_and_shows_two_sides() -> None:
    failure = check_error_feedback(CompressedSGD(0.1, TopK(1)))["telescoping"]
    left, right = two_sides(failure.reproduce)
    assert failure.number == pytest.approx(np.abs(left - right).max()) and failure.number > failure.bound


def two_sides(code: str) -> tuple[np.ndarray, np.ndarray]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 1 and "AssertionError" in done.stderr, done.stderr
    text = "".join(c if c in "0123456789.e+-: \n" else " " for c in done.stdout.replace("e sent", "").split("sent + memory")[1])
    left, _, right = text.partition(":")[2].partition(":")
    numbers = [[float(w) for w in part.split() if w.strip("e+-.:")] for part in (left, right)]
    d = min(len(n) for n in numbers)
    return np.array(numbers[0][:d]), np.array(numbers[1][:d])


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)}


# --- torch ------------------------------------------------------------------------------------------------------------


def optimizers() -> Any:
    pytest.importorskip("torch")
    from planted import awkward_optimizers as awkward
    from planted import optimizers as planted
    from planted import stopped_optimizers as stopped
    from planted import subtle_optimizers as subtle
    from planted import unusual_optimizers as unusual

    return SimpleNamespace(**vars(planted) | vars(subtle) | vars(stopped) | vars(unusual) | vars(awkward))


@pytest.mark.parametrize(("name", "options", "check"), BUGS, ids=[name for name, _, _ in BUGS])
def test_a_planted_bug_is_caught_by_its_check_and_what_reproduces_it_shows_it(
    name: str, options: dict[str, Any], check: str
) -> None:
    report = check_error_feedback(getattr(optimizers(), name), **options)
    assert set(names(report)) == {check} | ALSO.get(name, set()), str(report)
    json.dumps(report.to_json(), allow_nan=False)
    for failure in report.failures:
        with pytest.raises((AssertionError, RuntimeError)):
            exec(failure.reproduce, {})


def right(planted: Any) -> list[tuple[Any, dict[str, Any]]]:
    import torch

    c = planted.scaled_sign
    return [
        (planted.Right, {"compressor": ScaledSign(), "weight_decay": "coupled"}),
        (planted.Right, {"compressor": c, "momentum": "before"}),
        (lambda ps: planted.Right(ps, 0.1, 0.01, 0.9), {"compressor": c, "momentum": "before", "weight_decay": "coupled"}),
        (planted.OtherName, {}),
        (planted.OutOfState, {"memory": lambda opt, p: opt.kept.get(p)}),
        (planted.Corrected, {"memory": lambda opt, p: opt.memory(p), "compressor": c}),
        (planted.Top, {"compressor": TopK(1)}),
        (planted.RandomHalf, {}),
        (planted.PrivateRandom, {}),
        (planted.Threshold, {}),
        (planted.Overshoots, {}),
        (planted.WholeModel, {"compressor": ScaledSign(), "granularity": "model"}),
        (planted.Refuses, {}),
        (planted.NoClosure, {}),
        (planted.Nesterov, {"momentum": "before"}),
        (planted.Average, {"momentum": "before"}),
        (planted.WideMemoryKept, {}),
        (planted.SendsFloat32Scale, {"compressor": ScaledSign()}),
        (planted.TrueNorm, {}),
        (planted.MemoryOfGradient, {"unit": "g"}),
        (planted.DecayDecoupled, {"weight_decay": "decoupled"}),
        (planted.MomentumAfter, {"momentum": "after"}),
        (planted.MomentumAfter, {}),
        (planted.Rescaled, {}),
        (planted.EverySecond, {}),
        (planted.OneBuffer, {"memory": lambda opt, p: opt.memory(p)}),
        (planted.TwoParts, {"memory": lambda opt, p: opt.memory(p)}),
        (planted.Pairs, {}),
        (planted.Clipped, {}),
        (planted.Negated, {"compressor": ScaledSign()}),
        (planted.Negated, {"memory": lambda opt, p: opt.state[p].get("e")}),
        (planted.DecayAfter, {"weight_decay": "decoupled"}),
        (planted.DecayFixed, {"weight_decay": "decoupled"}),
        (planted.DecayAfterFixed, {}),
        (planted.FixedDecay, {"decay": 0.01, "weight_decay": "coupled", "compressor": c}),
        (planted.ForgetsMomentum, {"momentum": "before"}),
        (planted.DecayPastMomentum, {"weight_decay": "coupled"}),
        (planted.SendsHalf, {}),
        (planted.DemandsClosure, {"compressor": c}),
        (planted.MatricesOnly, {"shapes": [(2, 3)]}),
        (planted.OtherWords, {"beta": 0.5, "momentum": "before"}),
        (planted.Wrapped, {"memory": lambda opt, p: opt.inner.state[p].get("e")}),
        (torch.optim.SGD, {"compressor": Identity()}),
        (lambda ps: torch.optim.SGD(ps, 0.1, 0.9, weight_decay=0.01, nesterov=True), {"compressor": Identity()}),
        (lambda ps: torch.optim.SGD(ps, 0.1, 0.9, dampening=0.5, foreach=True), {"compressor": Identity()}),
    ]


@pytest.mark.parametrize("seed", [0, pytest.param(range(1, 50), marks=pytest.mark.slow)], ids=["one seed", "50 seeds"])
@pytest.mark.parametrize("index", range(45))
def test_right_but_unusual_optimizers_are_accused_of_nothing(index: int, seed: Any) -> None:
    factory, options = right(optimizers())[index]
    for s in [seed] if isinstance(seed, int) else seed:
        report = check_error_feedback(factory, **options, seed=s)
        assert report.passed, (s, told(report))
        assert report["telescoping"].outcome == "passed"


def test_a_bug_is_named_for_what_it_is() -> None:
    planted = optimizers()
    found = {
        "MemoryOfGradient": ("learning_rate", "unit of the gradient"),
        "DecayIgnored": ("weight_decay", "ignored"),
        "DecayDecoupled": ("weight_decay", "decoupled"),
        "MemoryNotSaved": ("state_dict", "not in the state_dict"),
        "WideMemoryCast": ("low_precision", "casts the memory from torch.float32 to torch.bfloat16"),
    }
    for name, (check, words) in found.items():
        options = {"weight_decay": "coupled"} if name == "DecayDecoupled" else {}
        assert words in check_error_feedback(getattr(planted, name), **options)[check].detail
    tenfold = check_error_feedback(planted.FirstStepTenfold, ScaledSign())["first_step"].detail
    assert "a factor of 10" in tenfold


def test_the_reproduction_of_an_optimizer_runs_by_itself_and_shows_two_sides() -> None:
    failure = check_error_feedback(optimizers().MemoryDecays)["telescoping"]
    left, right = two_sides(failure.reproduce)
    assert left.size and failure.number == pytest.approx(np.abs(left - right).max(), rel=1e-3)
    assert failure.number > failure.bound


def test_torchs_generator_is_left_as_it_was() -> None:
    planted = optimizers()
    import torch

    torch.manual_seed(7)
    before = torch.get_rng_state()
    check_error_feedback(planted.RandomHalf)
    assert torch.equal(before, torch.get_rng_state())


def test_an_optimizer_that_shows_no_memory_needs_a_compressor_or_a_name() -> None:
    with pytest.raises(ArgumentError, match="`memory` must say where the optimizer keeps e"):
        check_error_feedback(optimizers().NoMemory)


def test_a_misspelt_memory_is_one_line_with_the_keys_that_there_are() -> None:
    with pytest.raises(ArgumentError, match="`memory` must be a key of the optimizer's state, of 'e'; got nope"):
        check_error_feedback(optimizers().Right, memory="nope")


def test_an_optimizer_that_cannot_be_checked_as_it_is_given_is_one_line_with_the_reason() -> None:
    planted = optimizers()
    with pytest.raises(ArgumentError, match=r"`memory` must be kept for a vector too; .* Pass shapes=\[\(2, 3\)\]"):
        check_error_feedback(planted.MatricesOnly)
    with pytest.raises(ArgumentError, match=r"`memory` must be kept for a vector too"):
        check_error_feedback(planted.MatricesOnly, memory="e")
    with pytest.raises(ArgumentError, match=r"step raised ValueError: matrices only on a vector of 5 entries"):
        check_error_feedback(planted.RaisesOnVectors)
    assert "beta= or decay= if 'beta' is momentum or decay" in check_error_feedback(planted.OtherWords)["telescoping"].detail


@pytest.mark.parametrize("name", ["MemoryDecays", "DecaysLater", "RescaledTheOtherWay", None])
def test_what_reproduces_a_failure_can_be_pasted_into_a_prompt(name: str | None) -> None:
    subject = CompressedSGD(0.1, TopK(1)) if name is None else getattr(optimizers(), name)
    (code, *_) = [r.reproduce for r in check_error_feedback(subject).failures if r.name in ("telescoping", "learning_rate")]
    paths = "import sys; sys.path[:0] = " + repr([p for p in sys.path if p]) + "\n"
    done = subprocess.run([sys.executable, "-i", "-q"], input=paths + code + "\n", capture_output=True, text=True, timeout=120)
    assert "for gamma, g in" in code and "SyntaxError" not in done.stderr and "NameError" not in done.stderr, done.stderr
    assert done.stderr.count("Error") == 1 and "AssertionError" in done.stderr, done.stderr


def test_an_instance_instead_of_a_factory_is_one_line_with_a_hint() -> None:
    planted = optimizers()
    import torch

    with pytest.raises(ArgumentError, match=r"Pass a function that makes it: lambda params"):
        check_error_feedback(planted.Right([torch.nn.Parameter(torch.zeros(2))]))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [(n, o) for n, o, _ in BUGS], ids=[n for n, _, _ in BUGS])
def test_what_reproduces_a_failure_shows_it_in_a_process_of_its_own(name: str, options: dict[str, Any]) -> None:
    for failure in check_error_feedback(getattr(optimizers(), name), **options).failures:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", failure.reproduce], capture_output=True, text=True, timeout=600,
            cwd=Path(__file__).parent,
        )  # fmt: skip
        assert done.returncode and re.search(r"^(AssertionError|RuntimeError)\b", done.stderr, re.MULTILINE), done.stderr


# --- the section on optimizers of docs/check-your-compressor.md ---------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "check-your-compressor.md"


def section(tmp_path: Path) -> dict[str, str]:
    """The section's blocks by their first words; its files are written."""
    text = PAGE.read_text().partition("\n## A torch optimizer\n")[2]
    found = re.findall(r"^```(?:python|console) ?([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, code in found:
        if name.endswith(".py"):
            (tmp_path / name).write_text(code)
    return dict(found)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=300, env=environment())


def words(text: str) -> list[str]:
    return [" ".join(re.sub(r"[0-9.]+ s$", "S s", line).split()) for line in text.splitlines() if line.split()]


def test_the_pages_optimizer_is_reported_as_the_page_shows_and_mended_as_it_says(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    blocks = section(tmp_path)
    command, _, shown = blocks[""].partition("\n")
    assert command == "$ efcheck check ef_sign:EFSign"
    done = run("-m", "efcheck", "check", "ef_sign:EFSign", cwd=tmp_path)
    assert done.returncode == 1 and words(done.stdout) == words(shown), done.stdout + done.stderr
    code, new = (tmp_path / "ef_sign.py").read_text(), blocks["mended"]
    old = code[code.index("                    p = g + e\n") : code.index("                    e.copy_(")]
    (tmp_path / "ef_sign.py").write_text(code.replace(old, new))
    again = efcheck("check", "ef_sign:EFSign", cwd=tmp_path)
    assert again.returncode == 0 and " 0 failed" in again.stdout, again.stdout


@pytest.mark.slow
def test_the_pages_tests_of_an_optimizer_pass(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    section(tmp_path)
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ef_sign.py", cwd=tmp_path)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout
