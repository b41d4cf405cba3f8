"""Instances of efcheck falsify: float runs are the exact ones, hypotheses are checked, scripts and JSON say the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from efcheck import bounds
from efcheck.errors import ArgumentError
from efcheck.evidence import exact, recheck
from efcheck.evidence._falsify_convex import Delayed, Steady, families
from efcheck.evidence._falsify_instance import BrokenHypothesis, Instance, read
from efcheck.evidence._falsify_parts import Absolute, Chances, Factor, Huber, Table
from efcheck.evidence._falsify_script import script
from efcheck.evidence._falsify_search import Search, best_distance2
from efcheck.evidence._falsify_smooth import Fresh, Overshooting, Walk
from efcheck.evidence._falsify_target import NAMES, target

F = Fraction
ONE = F(1)
STORED = json.loads((Path(__file__).parents[1] / "proofs_numeric" / "instances" / "theorem-2.json").read_text())


def run_script(tmp_path: Path, text: str) -> int:
    """The exit code of the script, in isolated mode: no efcheck on its path."""
    path = tmp_path / "instance.py"
    path.write_text(text)
    return subprocess.run([sys.executable, "-I", str(path)], cwd=tmp_path, capture_output=True, check=False).returncode


def mean_steps(name: str = "theorem-2", **changes) -> Instance:
    """A hand-made run: the Huber function, C(p) = p/2."""
    goal = target(name)
    given = {"T": 3, "gamma": F(1, 2), "sigma": ONE, "q": F(1, 2), "function": Huber(ONE, ONE), "compressor": Factor(F(1, 2)),
             "x0": (F(2),)}  # fmt: skip
    return Instance(goal, **(given | changes))


# -- the float runs are the exact ones ---------------------------------------------------------------------------------


def points(family, T):
    """A few points of the grid, spread out."""
    grid = family.grid()
    return [grid[i] for i in range(0, len(grid), max(1, len(grid) // 12))]


@pytest.mark.parametrize(
    ("family", "times"),
    [
        (Overshooting(target("theorem-2"), short=True), (0, 3, 8)),
        (Overshooting(target("remark-4"), short=True), (0, 3, 8)),
        (Overshooting(target("theorem-2-index"), short=True, kick=True), (1, 4)),
        (Walk(target("remark-4-sgd")), (0, 3, 8)),
        (Walk(target("theorem-2")), (1, 5)),
        (Fresh(target("remark-5-unbiased"), lost=True), (0, 3)),
        (Fresh(target("remark-5-unbiased"), lost=False), (0, 3)),
        (Delayed(target("theorem-3"), None), (0, 1, 6)),
        (Delayed(target("theorem-3-average"), None), (1, 6)),
        (Steady(target("lemma-3")), (0, 1, 7)),
        (Steady(target("remark-10")), (1, 7)),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.target.name}" if hasattr(value, "target") else None,
)
def test_a_float_run_is_the_exact_run(family, times):
    some = points(family, times[-1])
    goal, checked = family.target, 0
    search = Search(goal, ONE, float("inf"), 0)
    for T, left, letters in family.rows(np.array(some, dtype=float)):
        if T not in times:
            continue
        right = search.right(*search.letters(T, letters)) * np.ones(len(some))
        for i, point in enumerate(some):
            for instance in family.instances(point, T):
                values = (instance.evaluate(goal.right), instance.scaled(F(1, 10**9)).left())
                assert float(values[0]) == pytest.approx(right[i], rel=1e-9, abs=1e-12)  # a few hundred float operations
                assert float(values[1]) == pytest.approx(left[i], rel=1e-9, abs=1e-12)
                checked += 1
        if times[-1] == T:
            break
    assert checked >= 8


def test_the_rounded_messages_keep_the_slope_for_ever():
    """The overshooting with |e| near q |p| becomes periodic, and |f'| = 1 up to any T."""
    goal = target("theorem-2", "repaired")
    family = Overshooting(goal, short=False)
    instances = list(family.instances((F(11, 10), F(9, 10), F(4)), 10**8 - 1))
    assert instances and all(i.scaled(F(1, 10**9)).left() == 1 for i in instances)


def test_the_best_step_is_the_least_point_of_theorem_3():
    """R/(gamma sigma) = sqrt((T+1) m): at it, a/gamma + b gamma is the repaired Remark 6."""
    T, q = 6, F(1, 3)
    distance2 = best_distance2(target("remark-6"), T, q)
    at = {"R": float(distance2) ** 0.5, "gamma": 1.0, "sigma": 1.0, "delta": float(1 - q**2), "T": T}
    best = bounds.REMARK_6.repaired(**{letter: at[letter] for letter in ("R", "sigma", "delta", "T")})
    assert bounds.THEOREM_3.printed(**at) == pytest.approx(best, rel=1e-12)  # ten float operations


def test_every_bound_has_a_family():
    for name in NAMES:
        goal = target(name)
        assert families(goal, lambda T, q, goal=goal: best_distance2(goal, T, q))


@pytest.mark.parametrize(
    ("family", "point", "T"),
    [
        (Fresh(target("remark-5-unbiased"), lost=True), (F(1, 2), F(1, 2), ONE), 3),
        (Fresh(target("remark-5-unbiased"), lost=False), (F(1, 2), F(1, 2), ONE), 3),
        (Walk(target("remark-4-sgd")), (F(3), F(2)), 8),
        (Walk(target("theorem-2")), (F(3), F(2)), 5),
        (Steady(target("remark-10")), (F(1, 2),), 3),
        (Overshooting(target("theorem-2-index"), short=True, kick=True), (F(4, 5), F(1, 4), F(0)), 2),
    ],
    ids=lambda value: f"{type(value).__name__}-{value.target.name}" if hasattr(value, "target") else None,
)
@pytest.mark.parametrize("above", [True, False])
def test_a_script_has_the_same_two_sides(family, point, T, above, tmp_path):
    """Its exit code changes where the scale does it: just below and just above left/right."""
    instance = next(family.instances(point, T))
    ratio = instance.scaled(F(1, 10**9)).left() / instance.right()
    scaled = instance.scaled(ratio * (F(10**6 - 1, 10**6) if above else 1))
    assert scaled.violated() is above
    assert run_script(tmp_path, script(scaled)) == (0 if above else 1)


# -- every hypothesis is checked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compressor": Factor(F(1, 3))}, "Assumption A"),
        ({"compressor": Factor(F(8, 5))}, "Assumption A"),
        ({"compressor": Chances(((ONE, F(1, 2)), (F(0), F(1, 3))))}, "Assumption A"),
        ({"compressor": Chances(((ONE, F(3, 2)), (F(1, 2), F(-1, 2))))}, "Assumption A"),
        ({"sigma": F(9, 10)}, "sigma"),
        ({"noise": "everywhere", "sigma": F(1, 2), "function": Huber(ONE, F(1))}, "sigma"),
        ({"q": ONE}, "range"),
        ({"gamma": F(0)}, "range"),
    ],
    ids=["too-short", "too-long", "chances", "negative-chance", "sigma", "noise", "q", "gamma"],
)
def test_a_run_outside_the_hypotheses_is_no_violation(changes, message):
    instance = mean_steps(**changes, scale=F(1, 10**6))
    assert mean_steps(scale=F(1, 10**6)).violated()
    with pytest.raises(BrokenHypothesis, match=message):
        instance.left()
    assert not instance.violated() and instance.evidence().outcome == "undecided"


@pytest.mark.parametrize(
    "instance",
    [
        mean_steps("remark-4", gamma=F(1, 3)),
        mean_steps("remark-4-sgd", gamma=F(1, 2)),
        mean_steps("remark-5-unbiased", gamma=F(1, 2)),
        mean_steps("remark-6", function=Absolute(ONE, F(0)), compressor=Factor(ONE)),
        mean_steps("theorem-2-index", T=0),
        mean_steps("theorem-3-average", T=0, function=Absolute(ONE, F(0))),
    ],
    ids=["step", "compressed", "biased", "best-step", "no-t", "no-average"],
)
def test_what_a_bound_supposes_besides_is_checked_too(instance):
    assert not instance.scaled(F(1, 10**6)).violated()


def test_an_unbiased_compressor_is_accepted_by_remark_5():
    """C = p with chance delta, else 0, is U/k with U = k p."""
    lost = Chances(((ONE, F(3, 4)), (F(0), F(1, 4))))
    assert mean_steps("remark-5-unbiased", compressor=lost).scaled(F(1, 10**6)).violated()


def test_the_run_by_hand():
    """f = |x|, gamma = 1, C(p) = p/2 from 2: x = 2, 3/2, 3/4; the mean is 17/12."""
    instance = mean_steps("theorem-3", T=2, gamma=ONE, function=Absolute(ONE, F(0)))
    assert instance.left() == F(17, 12)
    assert instance.right() == F(4, 6) + F(1, 2) + 2 * F(1, 2) / F(3, 4)


def test_the_stored_run_is_that_of_the_exact_engine():
    """Algorithm 2 of efcheck.evidence.exact on the same function and messages."""
    instance = read(STORED)
    gradient, table = instance.function.gradient, instance.compressor.messages
    xs, _ = exact.ef_sgd(lambda t, x: gradient(x), instance.x0, [instance.gamma] * instance.T, lambda p: table.get(p, p))
    assert min(gradient(x)[0] ** 2 for x in xs) == instance.left()
    values = {**instance.letters(), "T": instance.T}
    right = bounds.THEOREM_2.printed(**{letter: values[letter] for letter in bounds.THEOREM_2.printed.letters})
    assert float(instance.right()) == pytest.approx(right, rel=1e-12)  # ten float operations


def test_a_run_that_repeats_is_not_run_to_its_end():
    table = Table({(F(2),): (F(2),), (F(-2),): (F(-2),)})
    instance = mean_steps(T=10**12, gamma=F(2), q=F(0), x0=(ONE,), compressor=table)
    assert instance.scaled(F(1, 10**9)).left() == 1


# -- what is read and written ------------------------------------------------------------------------------------------

CHANGES = {
    "gamma": ("gamma, sigma, delta = ", lambda n: n * 2), "x_0": ("x_0 = ", lambda n: n / 7), "q": ("\nq = ", lambda n: n / 2),
}  # fmt: skip


@pytest.mark.parametrize("which", CHANGES)
def test_an_altered_script_exits_1(which, tmp_path):
    text = script(read(STORED))
    start, change = CHANGES[which]
    at = text.index(start) + len(start)
    number = re.compile(r"F\((\d+)(?:, (\d+))?\)").match(text, at)
    altered = change(F(int(number[1]), int(number[2] or 1)))
    new = text[:at] + f"F({altered.numerator}, {altered.denominator})" + text[number.end() :]
    assert run_script(tmp_path, text) == 0 and run_script(tmp_path, new) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("delta = F(5, 3), F(1), F(99, 100)", "delta = F(5, 3), F(1), F(1, 2)"),
        ("T = t = 45", "T = t = 9"),
        ("F(3, 2)", "F(1, 2)"),
        ("F(11, 6): F(2)", "F(11, 6): F(3)"),
    ],
)
def test_any_number_counts(old, new, tmp_path):
    text = script(read(STORED))
    assert old in text, "the instance has changed: adapt the numbers of this test"
    assert run_script(tmp_path, text.replace(old, new)) == 1


@pytest.mark.parametrize(
    ("key", "value", "outcome"),
    [
        ("gamma", "1/3", "undecided"),
        ("sigma", "1/2", "undecided"),
        ("T", "5", "undecided"),
        ("x0", ["1/9"], "undecided"),
        ("left", "10", "refuted"),
        ("right", "1000", "refuted"),
    ],
)
def test_a_stored_instance_is_run_and_not_believed(key, value, outcome):
    assert recheck({**STORED, key: value}).outcome == outcome


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("bound", "theorem-9", "`bound` must be one of"),
        ("form", "best", "`form` must be one of"),
        ("delta", "1/2", "`delta` must be 1 - q"),
        ("T", "1/2", "whole T"),
        ("T", 45, "rational numbers as text"),
        ("gamma", "1/0", "rational numbers as text"),
        ("x0", "1", "rational numbers as text"),
        ("noise", "loud", "noise among"),
        ("function", {"kind": "sine"}, "`function` must be"),
        ("function", {"kind": "huber", "L": "-1", "slope": "1"}, "`L` must be > 0"),
        ("compressor", {"kind": "magic"}, "`compressor` must be"),
        ("compressor", {"kind": "table", "messages": [[["1"], ["1"]], [["1"], ["2"]]]}, "two messages"),
        ("compressor", {"kind": "factor"}, "what efcheck falsify writes"),
        ("scale", None, "rational numbers as text"),
        ("scale", "0", "`scale` must be a rational number > 0"),
        ("scale", "-1", "`scale` must be a rational number > 0"),
        ("x0", ["1", "0"], "`x0` must have the dimension"),
        ("compressor", {"kind": "table", "messages": [[["1", "0"], ["1", "0"]]]}, "`x0` must have the dimension"),
        ("compressor", {"kind": "table", "messages": [[["1"], ["1", "0"]]]}, "`messages` must have one dimension"),
    ],
)
def test_what_is_no_instance_is_one_clear_line(key, value, message):
    with pytest.raises(ArgumentError, match=message):
        recheck({**STORED, key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": "0", "noise": "everywhere"}, "`sigma` must be > 0 where there is noise"),
        ({"bound": "theorem-3", "function": {"kind": "linear", "slope": ["1"]}}, "`function` must have a least value"),
        (
            {"noise": "at zero", "x0": ["0", "0"], "function": {"kind": "linear", "slope": ["0", "0"]},
             "compressor": {"kind": "factor", "factor": "1"}},
            "`x0` must have the dimension",
        ),
    ],
    ids=["noise", "least", "plane"],
)  # fmt: skip
def test_parts_that_do_not_fit_are_one_clear_line(changes, message):
    with pytest.raises(ArgumentError, match=message):
        recheck({**STORED, **changes})


def test_noise_is_no_violation_of_remark_10():
    """The span of the gradients is that of the noise, too: a walk of noise stays in it."""
    walk = {"bound": "remark-10", "T": "5", "gamma": "1", "sigma": "1", "delta": "1", "q": "0", "x0": ["0"], "scale": "1",
            "function": {"kind": "linear", "slope": ["0"]}, "compressor": {"kind": "factor", "factor": "1"}}  # fmt: skip
    found = recheck({**STORED, **walk, "noise": "everywhere"})
    assert found.outcome == "undecided" and "noise" in found.detail


@pytest.mark.parametrize("form", ["printed", "repaired", "sharp"])
def test_a_reading_is_kept_in_every_form(form):
    """theorem-2-index takes its minimum from t = 1 on, theorem-3-average divides by T."""
    first, average = target("theorem-2-index", form), target("theorem-3-average", form)
    assert first.first == 1 and first.words().startswith("min_{1 <= t") and first.reading
    assert average.extra == -1 and average.words().endswith("/T) - f*")


@pytest.mark.parametrize("data", [None, [], {}, "text"])
def test_nor_is_anything_else(data):
    with pytest.raises(ArgumentError):
        recheck(data)
