"""check_compressor: accuses no correct compressor, catches planted bugs by the intended check, and shows each failure."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from efcheck import check_compressor, compressors
from efcheck.checks import CHECKS, _behaviour, check_named
from efcheck.checks._compare import TOO_SLOW
from efcheck.checks._random import Clock
from efcheck.checks._source import PLACEHOLDER, source_of
from efcheck.checks._subject import Subject, refused
from efcheck.compressors import (
    QSGD,
    Blockwise,
    Identity,
    LowRank,
    OneBit,
    RandomK,
    Scaled,
    ScaledSign,
    Sign,
    TernGrad,
    TopK,
)
from efcheck.errors import ArgumentError

sys.path.insert(0, str(Path(__file__).parent))
from planted.compressors import PLANTED
from planted.correct import CORRECT

HERE = Path(__file__).parent
try:
    from planted.torch_compressors import CORRECT as TORCH_CORRECT
    from planted.torch_compressors import PLANTED as TORCH_PLANTED
except ImportError:
    TORCH_PLANTED, TORCH_CORRECT = {}, {}
needs_torch = pytest.mark.skipif(not TORCH_PLANTED, reason="needs torch")

ALL_PLANTED = {**PLANTED, **{f"torch: {name}": case for name, case in TORCH_PLANTED.items()}}
ALL_CORRECT = {**CORRECT, **{f"torch: {name}": case for name, case in TORCH_CORRECT.items()}}
FAST = ("learned table", "top-k with shuffled ties", "seldom mask without omega", "ternary", "float32 only",
        "plain numbers named delta and bits", "a step above 1", "a float32 scale, declared homogeneous",
        "error-compensated, declared", "raises on NaN", "symmetries in law")  # fmt: skip
OWN = (
    Identity(), Sign(), Sign(zero=1), ScaledSign(), ScaledSign(zero=0), TopK(1), TopK(2), TopK(0.3), RandomK(1), RandomK(0.3),
    RandomK(0.5, unbiased=True), LowRank(1, (2, 5)), QSGD(1), QSGD(16), TernGrad(), OneBit(), Scaled(TopK(0.5), 0.9),
    Scaled(RandomK(0.5, unbiased=True), 0.4), Blockwise(ScaledSign(), (5, 5)), Blockwise([QSGD(3), TernGrad()], (500, 500)),
)  # fmt: skip


@pytest.fixture
def quick(monkeypatch):
    """A twelfth of the time for the tests of random compressors: they lose power, not validity."""
    monkeypatch.setattr(Subject, "clock", lambda self, seconds: Clock(seconds / 12))


def failing(report):
    return [r.name for r in report if r.outcome == "failed"]


# planted bugs


@functools.cache
def intended(name):
    c, claims, check = ALL_PLANTED[name]
    return check_named(check, c, **claims)


@pytest.mark.parametrize("name", ALL_PLANTED)
def test_a_planted_bug_is_caught_by_the_intended_check(name):
    found = intended(name)
    assert found.outcome == "failed" and found.detail and found.reproduce, found


def test_there_are_enough_planted_bugs_and_correct_compressors():
    assert len(PLANTED) >= 40 and len(CORRECT) >= 20
    assert {case[2] for case in PLANTED.values()} == set(CHECKS), "each check has a bug that it must catch"


MARK = "# snippet: "
RUN = """
import json, sys
for name, snippet in json.load(sys.stdin):
    try:
        exec(snippet, {})
        print(json.dumps([name, "no failure"]))
    except BaseException as error:
        print(json.dumps([name, type(error).__name__]))
"""


def shown(snippets):
    """What each snippet raises in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN], input=json.dumps(snippets), capture_output=True, text=True,
        cwd=HERE, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('["')]
    return dict(map(json.loads, lines))


def test_a_failing_report_alone_shows_the_failure_in_a_fresh_interpreter():
    got = shown([(name, intended(name).reproduce) for name in ALL_PLANTED])
    assert set(got) == set(ALL_PLANTED)
    told = {name: ("AssertionError", "SystemExit" if name == "exits" else raised(name)) for name in got}
    assert not {name: what for name, what in got.items() if what not in told[name]}


def raised(name):
    """The exception that the check told, if any."""
    return next(iter(re.findall(r"\b([A-Z]\w*Error): ", intended(name).detail)), None)


def test_a_snippet_can_be_pasted_at_a_prompt():
    text = "import sys\n" + "".join(
        f"print('\\n{MARK}{name}', file=sys.stderr)\n{intended(name).reproduce}\n" for name in ALL_PLANTED if name != "exits"
    )
    done = subprocess.run(
        [sys.executable, "-i", "-q", "-W", "ignore"], input=text, capture_output=True, text=True, cwd=HERE, timeout=600,
        check=False,
    )  # fmt: skip
    errors = {name: set(re.findall(r"^(\w+Error)\b", rest, re.MULTILINE)) for name, _, rest in
              (part.partition("\n") for part in done.stderr.split(MARK)[1:])}  # fmt: skip
    assert set(errors) == set(ALL_PLANTED) - {"exits"}
    assert not {
        name: what for name, what in errors.items() if not what & {"AssertionError", raised(name)} or "SyntaxError" in what
    }


def test_a_snippet_whose_bug_is_mended_shows_nothing(tmp_path):
    snippet = intended("scale by the sum").reproduce
    mended = snippet.replace(
        "from planted.compressors import scale_by_the_sum as c", "from planted.compressors import scaled_sign as c"
    )
    assert mended != snippet and shown([("bug", snippet), ("mended", mended)]) == {
        "bug": "AssertionError",
        "mended": "no failure",
    }


@pytest.mark.parametrize(
    ("bug", "check", "mended"),
    [("random levels of the whole batch", "batch", "lambda v, rng=None: np.where(rng.random(v.shape) < 0.5, 2 * v, 0 * v)")],
)
def test_a_snippet_that_compares_laws_shows_the_bug_and_accuses_no_correct_code(bug, check, mended):
    snippet = intended(bug).reproduce
    assert ALL_PLANTED[bug][2] == check and "the two laws differ" in snippet
    right = re.sub(r"^(from planted.*|c = .*)$", f"c = {mended}", snippet, flags=re.MULTILINE)
    assert right != snippet
    assert shown([("bug", snippet), ("mended", right)]) == {"bug": "AssertionError", "mended": "no failure"}


def test_code_that_computes_in_float32_is_told_so_and_unscaled_signs_are_not():
    def narrow(v):
        return (v.astype(np.float32) * np.float32(0.7)).astype(v.dtype)

    found = check_named("finite", narrow)
    assert found.outcome == "failed" and found.detail.endswith(
        "; it seems to compute in float32: let it refuse float64, or name this check in expected_failed"
    )
    assert not Subject(Sign(zero=1)).precision_note(np.array([1e150]))
    assert not Subject(narrow).precision_note(np.array([1.0]))


def test_an_object_without_a_name_to_import_has_a_placeholder_in_its_snippet():
    def local(v):
        return -v

    found = check_named("contraction", local, delta=0.5)
    assert PLACEHOLDER.partition("{}")[0] in found.reproduce and "assert value <=" in found.reproduce
    scope = {"c": local}
    with pytest.raises(AssertionError):
        exec(found.reproduce, scope)


def test_sources_give_equal_objects():
    for c in (
        TopK(2),
        Blockwise([QSGD(3), TernGrad()], (2, 2)),
        Scaled(RandomK(0.5, unbiased=True), 0.4),
        PLANTED["biased rounding"][0],
    ):
        scope = {}
        exec(source_of(c), scope)
        assert type(scope["c"]) is type(c) and (scope["c"] == c or vars(scope["c"]) == vars(c))


# correct compressors


@pytest.mark.parametrize("name", FAST)
def test_a_correct_compressor_is_not_accused(name, quick):
    c, claims = CORRECT[name]
    report = check_compressor(c, **claims)
    assert report.passed, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_CORRECT)
def test_a_correct_compressor_is_not_accused_over_50_seeds(name):
    c, claims = ALL_CORRECT[name]
    for seed in range(50):
        report = check_compressor(c, **claims, seed=seed)
        assert report.passed, f"seed {seed}\n{report}"


@needs_torch
@pytest.mark.parametrize("name", TORCH_CORRECT)
def test_a_correct_torch_compressor_is_not_accused(name, quick):
    c, claims = TORCH_CORRECT[name]
    report = check_compressor(c, **claims, dims=(1, 7, 100))
    assert report.passed, str(report)


@pytest.mark.parametrize("c", OWN, ids=repr)
def test_every_compressor_of_ours_passes_everything_declared_for_it(c, quick):
    report = check_compressor(c, dims=(1, 3, 10, 200) if not isinstance(c, Blockwise) else (sum(c.sizes),))
    assert report.passed, str(report)
    if callable(getattr(c, "delta", None)) and any(c.delta(d) is not None for d in (10, 200) if works(c, d)):
        assert report["contraction"].outcome == "passed"
    if not isinstance(c, (Sign, ScaledSign)) or c.zero:
        assert report["encode"].outcome == "passed" and report["bits"].outcome == "passed"


def works(c, d):
    try:
        c.check(d)
    except ArgumentError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("c", OWN, ids=repr)
def test_every_compressor_of_ours_passes_a_thorough_check(c):
    report = check_compressor(c, thorough=True)
    assert report.passed, str(report)


def test_every_class_of_compressors_is_among_those_checked():
    classes = {x for x in vars(compressors).values() if isinstance(x, type) and issubclass(x, compressors.Compressor)}
    assert {type(c) for c in OWN} == classes - {compressors.Compressor}


# claims


@pytest.mark.parametrize("factor", [1.2, 1.01])
def test_contraction_alone_catches_a_delta_that_is_too_large(factor):
    report = check_compressor(ScaledSign(), delta=lambda d: factor / d, dims=(2, 10))
    assert failing(report) == ["contraction"]
    assert report["contraction"].number < report["contraction"].bound


def test_the_largest_delta_is_found_where_none_is_claimed():
    def top_one(v):
        keep = np.arange(v.shape[-1]) == np.abs(v).argmax(axis=-1)[..., None]
        return np.where(keep, v, 0 * v)

    for d, c in ((2, top_one), (7, top_one), (5, lambda v: OneBit()(v))):
        found = check_named("contraction", c, dims=(d,))
        assert found.outcome == "skipped" and found.number == pytest.approx(1 / d, rel=1e-3), found


def test_no_delta_holds_for_the_unscaled_sign():
    found = check_named("contraction", Sign(zero=1), dims=(3,))
    assert found.outcome == "skipped" and "none above 0 would hold" in found.detail and found.number == -np.inf


def test_a_delta_above_one_is_refused_as_a_number_and_fails_as_a_function():
    for delta in (0.0, -0.1, 1.5, float("nan"), "x", True):
        with pytest.raises(ArgumentError, match="`delta` must be a number in"):
            check_compressor(ScaledSign(), delta=delta)
    assert failing(check_compressor(Identity(), delta=lambda d: 1.1, dims=(2,))) == ["contraction"]


def test_a_claim_that_is_no_number_fails_its_check_alone():
    class Odd:
        def delta(self, d):
            return "much"

        def __call__(self, v):
            return v + 0.0

    assert failing(check_compressor(Odd(), dims=(2, 3))) == ["contraction"]


def test_dimensions_that_a_compressor_refuses_are_named_and_no_failure():
    report = check_compressor(TopK(3), dims=(2, 3, 8))
    assert report.passed and "refuses d = 2: ArgumentError: `k` must be in [1, 2]; got 3." in report["sizes"].detail
    report = check_compressor(TopK(30), dims=(2, 3))
    assert failing(report) == ["sizes"] and all(r.outcome == "skipped" for r in report if r.name != "sizes")


def test_slow_random_compressors_are_not_compared_in_law(monkeypatch):
    s = Subject(PLANTED["random levels of the whole batch"][0], dims=(3, 5))
    s.cost = dict.fromkeys(s.cost, 0.02)
    calls = []
    monkeypatch.setattr(_behaviour, "same_law", lambda *_: calls.append(1))
    found = _behaviour.batch(s)
    assert not calls and found.outcome == "passed" and found.detail == TOO_SLOW
    s = Subject(CORRECT["symmetries in law"][0], dims=(3, 5))
    s.cost = dict.fromkeys(s.cost, 0.02)
    assert _behaviour.symmetry(s, "scale").outcome == "skipped"


def test_an_error_on_purpose_is_told_from_a_slip():
    def raised(f):
        try:
            f()
        except Exception as error:
            return error

    def purpose():
        raise ValueError("no")

    def check():
        assert [] != []

    assert refused(raised(purpose)) and refused(raised(check)) and refused(raised(lambda: TopK(3)([1.0])))
    assert not refused(raised(lambda: np.partition([1.0], -2))) and not refused(raised(lambda: {}["x"]))
    assert not refused(raised(lambda: np.max(np.array([])))) and not refused(raised(lambda: np.linalg.cholesky(-np.eye(2))))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dims": ()}, "`dims` must name at least one"),
        ({"dims": (0,)}, "`dims` must be an integer >= 1"),
        ({"dims": 3}, "`dims` must be a sequence"),
        ({"seed": -1}, "`seed` must be an integer >= 0"),
        ({"expected_failed": {"speed": "slow"}}, "`expected_failed` must name checks"),
        ({"expected_failed": ["finite"]}, "`expected_failed` must be a mapping of check to reason"),
    ],
)
def test_bad_arguments_are_one_line(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        check_compressor(ScaledSign(), **arguments)


def test_a_class_or_a_number_is_no_compressor():
    for c in (ScaledSign, 3, None):
        with pytest.raises(ArgumentError, match="`c` must be a compressor"):
            check_compressor(c)


def test_expected_failures_are_strict():
    known = {"contraction": "an upper bound of somebody else's"}
    assert check_compressor(ScaledSign(), delta=0.9, dims=(3,), expected_failed=known).passed
    assert not check_compressor(ScaledSign(), delta=0.3, dims=(3,), expected_failed=known).passed


def test_equal_seeds_give_equal_results():
    def plain(report):
        return [(r.name, r.outcome, r.detail, r.number, r.reproduce) for r in report]

    for c in (ScaledSign(), LowRank(1, (2, 2))):
        assert plain(check_compressor(c, dims=(2, 4))) == plain(check_compressor(c, dims=(2, 4)))


def test_global_generators_are_as_before():
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    check_compressor(PLANTED["seeds the global generator"][0], dims=(2,))
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002
