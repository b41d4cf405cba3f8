"""efcheck audit --mutate: what is planted, what counts as noticed, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from efcheck.errors import EfcheckError
from efcheck.mutation.places import Source, engine_sources
from efcheck.mutation.run import Mutation, Planted, mutate

ROOT = Path(__file__).parents[1]
HEAD = '''"""A file of claims."""
from sympy import Abs, And, Eq, Symbol
from efcheck.claims import Claim, main
from efcheck.evidence import Evidence, prove
x, y = Symbol("x", real=True), Symbol("y", real=True)
'''
GOOD = '''
def square(z):
    """z**2 and not z**3."""
    return z**2

good = Claim("good", "p. 1", "(x + 1)^2 = x^2 + 2 x + 1")

@good.printed
def it_expands() -> Evidence:
    return prove(Eq(square(x + 1).expand(), x**2 + 2 * x + 1), kind="identity")
'''
HOLE = """
def triple(a):
    return 3 * a

hole = Claim("hole", "p. 2", "three times two is six")

@hole.printed
def it_is_not_zero() -> Evidence:
    return Evidence("exact", "proved" if triple(2) else "refuted", "not zero")
"""
LOOSE = """
loose = Claim("loose", "p. 3", "x^2 <= 5 x^2, and seven times nothing is nothing")

@loose.printed
def by_far() -> Evidence:
    return prove(And(x**2 <= 5 * x**2, Eq(7 * (x - x), 0)), [x**2 <= 3])
"""
ENDLESS = """
def countdown(n):
    while n:
        n = n - 2
    return n

endless = Claim("endless", "p. 4", "it ends")

@endless.printed
def it_ends() -> Evidence:
    return Evidence("exact", "proved" if countdown(6) == 0 else "refuted", "at 0")
"""
FALSE = """
false = Claim("false", "p. 5", "x^2 = 3 x", expect="refuted")

@false.printed
def not_at_one() -> Evidence:
    return prove(Eq(x**2, 3 * x))
"""


def source(tmp_path: Path, *parts: str) -> Path:
    path = tmp_path / "claims.py"
    path.write_text(HEAD + "".join(parts))
    return path


def planted(found: Mutation, function: str) -> list[Planted]:
    return [p for p in found.planted if p.place.function == function]


def all_changes(path: Path) -> set[str]:
    read = Source(path, path.name)
    return {f"{p.old} -> {c.new}" for p in read.places for c in p.changes}


# -- what is planted -----------------------------------------------------------------------------------------------------------


def test_constants_exponents_signs_and_terms_of_a_relation_are_places(tmp_path: Path) -> None:
    changes = all_changes(source(tmp_path, GOOD))
    assert {"2 -> 3", "2 -> 1", "z + 1" not in changes and "x + 1 -> ((x) - (1))", "x + 1 -> (x)"} <= changes
    assert "x**2 + 2 * x -> (x ** 2)" in changes


def test_texts_hypotheses_thresholds_tolerances_and_indices_are_not(tmp_path: Path) -> None:
    body = '''
c = Claim("c7", "p. 17", "text 27")

def helper(v, tol=37):
    """47"""
    assert v[57] > 0, "67"
    if v[0] > 77:
        raise ValueError(f"{87}")
    return v[97] * (1 + 1e-9)

@c.printed
def check() -> Evidence:
    inside = [x > 107]
    rows = sum(range(117))
    if helper([rows]) > 127:
        return Evidence("exact", "refuted", "", {"n": 137})
    return prove(x > 147, [x > 157, *inside], covers="167", timeout_s=177)
'''
    changes = all_changes(source(tmp_path, body))
    assert {change.split(" -> ")[0] for change in changes} == {"147"}


def test_random_instances_are_not_places(tmp_path: Path) -> None:
    body = "\ndef draw(rng):\n    return 3 * rng.random()\n\ndef fixed(z):\n    return 4 * z\n"
    assert {c.split(" -> ")[0] for c in all_changes(source(tmp_path, body))} == {"4"}


def test_every_change_of_engine_and_content_compiles_and_is_another_program() -> None:
    sources = engine_sources(ROOT / "efcheck")
    sources += [Source(p, p.name) for p in sorted((ROOT / "proofs_numeric").glob("*.py"))]
    for read in sources:
        for place in read.places[::31]:
            for change in place.changes:
                text = read.mutated(place, change)
                compile(text, read.name, "exec")
                assert text != read.text and change.new in read.diff(place, change)


def test_the_algorithms_have_the_errors_that_matter() -> None:
    sources = {s.name: s for s in engine_sources(ROOT / "efcheck")}

    def diffs(name: str, function: str) -> list[str]:
        read = sources[name]
        places = [p for p in read.places if p.function == function]
        return [f"{p.old} -> {c.new}" for p in places for c in p.changes]

    exact = "efcheck/evidence/exact.py"
    assert "gamma * a + b -> (gamma * a)" in diffs(exact, "ef_sgd"), "a feedback that forgets"
    assert "i -> -(i)" in diffs(exact, "top_k"), "a tie to the higher index"
    assert any(d.endswith("-> (sum((abs(q) for q in vector), Fraction(0)))") for d in diffs(exact, "scaled_sign")), "no /d"
    assert any(d.endswith("-> pass") for d in diffs("efcheck/methods.py", "EFSGD.remember")), "a memory that is not kept"
    assert len(sources["efcheck/bounds.py"].places) > 200


# -- what is noticed -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Mutation:
    path = source(tmp_path_factory.mktemp("toy"), GOOD, HOLE, LOOSE, ENDLESS, FALSE)
    return mutate([path], mutants=100, patience=0.5)


def test_errors_in_a_claim_that_is_checked_are_noticed_by_its_verdict(toy: Mutation) -> None:
    here = planted(toy, "square") + planted(toy, "it_expands")
    assert len(here) >= 6 and all(p.noticed in ("verdict", "error") and p.by.startswith("good printed") for p in here)


def test_a_hole_is_not_noticed_and_not_explained(toy: Mutation) -> None:
    missed = [p for p in planted(toy, "triple") if not p.noticed]
    assert missed and not any(p.reason for p in missed) and not toy.passed


def test_a_change_to_a_weaker_true_statement_is_no_error_and_the_next_one_is_planted(toy: Mutation) -> None:
    five = next(p for p in planted(toy, "by_far") if p.place.old == "5")
    assert five.noticed == "verdict" and five.change.new == "(-5)"


def test_where_every_change_is_proved_true_the_reason_says_so(toy: Mutation) -> None:
    seven = next(p for p in planted(toy, "by_far") if p.place.old == "7")
    assert not seven.noticed and "is proved: loose" in seven.reason


def test_an_error_that_never_ends_is_stopped_and_reported_as_such(toy: Mutation) -> None:
    assert {p.noticed for p in planted(toy, "countdown")} >= {"time"}


def test_a_false_statement_is_not_drawn_from(toy: Mutation) -> None:
    assert toy.refutations == 2 and not planted(toy, "not_at_one")


def test_what_no_check_runs_is_counted(tmp_path: Path) -> None:
    found = mutate([source(tmp_path, GOOD, "\ndef nobody(z):\n    return 5 * z\n")], mutants=1)
    assert found.unreached == {f"{tmp_path.name}/claims.py": 1} and len(found.planted) == 1


def test_a_constant_of_the_module_reaches_the_checks_that_use_it(tmp_path: Path) -> None:
    body = (
        GOOD + "\nONE = 1\nTWO = ONE + ONE\n\n@good.printed\ndef twice() -> Evidence:\n    return prove(Eq(TWO * x, 2 * x))\n"
    )
    found = mutate([source(tmp_path, body)], mutants=100, keep=lambda place: place.function == "")
    assert {p.place.old for p in found.planted} == {"1", "ONE + ONE"} and found.share == 1


def test_a_check_that_is_a_lambda_rests_on_what_its_statement_uses(tmp_path: Path) -> None:
    body = GOOD + "\nFACTORS = {'twice': 2, 'thrice': 3}\n\ndef registered(factor):\n"
    body += "    good.printed(lambda: prove(Eq(factor * x - 5 * x, (factor - 5) * x), kind='identity'))\n\n"
    body += "for name, factor in FACTORS.items():\n    registered(factor)\n"
    body += "    good.printed(lambda n=name, f=factor: prove(Eq(f, {'twice': 2, 'thrice': 3}[n]), kind='identity'))\n"
    found = mutate([source(tmp_path, body)], mutants=100, keep=lambda place: place.function in ("", "registered"))
    lines = {(p.place.function, p.place.old) for p in found.planted}
    assert {("", "2"), ("", "3"), ("registered", "factor - 5"), ("registered", "factor * x")} <= lines
    assert found.share == 1


def test_an_error_in_a_sibling_that_is_loaded_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "_shared.py").write_text("def double(z):\n    return 2 * z\n")
    body = (
        "from pathlib import Path\nfrom efcheck import content\nshared = content.load(Path(__file__).with_name('_shared.py'))\n"
    )
    body += "c = Claim('c', 'p. 1', '2 x')\n\n@c.printed\ndef twice():\n    return prove(Eq(shared.double(x), x + x))\n"
    found = mutate([source(tmp_path, body)], mutants=100, keep=lambda place: "_shared" in place.file)
    assert len(found.planted) == 1 and found.share == 1


def test_the_same_seed_plants_the_same_and_a_larger_number_plants_more(tmp_path: Path) -> None:
    path = source(tmp_path, GOOD)
    few, again, more = (mutate([path], mutants=n, jobs=j, seed=3) for n, j in ((3, 1), (3, 2), (5, 1)))
    assert [p.diff for p in few.planted] == [p.diff for p in again.planted]
    assert {p.diff for p in few.planted} < {p.diff for p in more.planted}


def test_a_reason_that_is_written_down_explains_and_keeps_nothing_else_quiet(tmp_path: Path) -> None:
    path = source(tmp_path, HOLE)
    bare = mutate([path], mutants=10)
    first = next(p for p in bare.planted if not p.reason and not p.noticed)
    entry = f'[[change]]\nfile = "{first.place.file}"\nfunction = "triple"\n'
    change = f'changes = ["[{first.place.old} -> {first.change.new}]"]\nreason = "by design"\n'
    (tmp_path / "equivalent_changes.toml").write_text(entry + change)
    told = mutate([path], mutants=10)
    assert [p.reason for p in told.planted if p.diff == first.diff] == ["by design"]
    assert sum(bool(p.reason) for p in told.planted) == 1 and told.share == bare.share
    (tmp_path / "equivalent_changes.toml").write_text("[[change]]\nfile = 3\n")
    with pytest.raises(EfcheckError, match="equivalent_changes"):
        mutate([path], mutants=1)


def test_a_check_that_fails_as_it_is_stops_it_at_once(tmp_path: Path) -> None:
    with pytest.raises(EfcheckError, match=r"must pass before errors are planted.*ZeroDivisionError"):
        mutate([source(tmp_path, "\nc = Claim('c', 'p', 's')\n\n@c.printed\ndef bad():\n    return 1 / 0\n")])


# -- the command -------------------------------------------------------------------------------------------------------------


def efcheck(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", "audit", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_the_command_exits_0_if_all_is_noticed_and_writes_no_file_but_the_json(tmp_path: Path) -> None:
    source(tmp_path, GOOD)
    done = efcheck("--mutate", "claims.py", "--json", "found.json", "--jobs", 2, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done
    assert "noticed, 100.0 %" in done.stdout and '"share": 1.0' in (tmp_path / "found.json").read_text()
    assert {p.name for p in tmp_path.iterdir()} <= {"claims.py", "found.json", "__pycache__"}


def test_the_command_exits_1_and_shows_file_line_and_change_of_a_hole(tmp_path: Path) -> None:
    source(tmp_path, HOLE)
    done = efcheck("--mutate", "claims.py", cwd=tmp_path)
    assert done.returncode == 1 and "not explained" in done.stdout
    assert "claims.py:8 " in done.stdout and "return [3 -> " in done.stdout


@pytest.mark.parametrize("wrong", [("--mutants", "3"), ("--mutate", "--only", "good"), ("--mutate", "--mutants", "0")])
def test_the_command_refuses_what_does_not_go_together(tmp_path: Path, wrong: tuple[str, ...]) -> None:
    source(tmp_path, GOOD)
    done = efcheck("claims.py", *wrong, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("efcheck: ") and done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="looks at /proc")
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    source(tmp_path, "import time\n" + GOOD + "\n@good.printed\ndef slow():\n    time.sleep(60)\n    return it_expands()\n")
    command = [sys.executable, "-m", "efcheck", "audit", "--mutate", "claims.py", "--jobs", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(running(tmp_path)) < 4 and time.monotonic() < until:  # the command, two workers, a check
        time.sleep(0.1)
    assert len(running(tmp_path)) >= 4
    process.send_signal(signal.SIGINT)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130 and words.count("\n") == 1
    assert running(tmp_path) == []


def running(folder: Path) -> list[int]:
    """Processes whose working directory it is."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if Path(os.readlink(entry)) == folder:
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


# -- the paper ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sample_of_errors_in_the_paper_s_claims_is_noticed() -> None:
    found = mutate(mutants=60, jobs=2, seed=7)
    assert found.places > 2000 and len(found.planted) == 60
    assert found.share >= 0.85, [p.diff for p in found.planted if not p.noticed]


@pytest.mark.slow
def test_errors_in_the_algorithms_and_problems_that_are_simulated_are_noticed() -> None:
    found = mutate(mutants=60, jobs=2, seed=7, keep=lambda p: p.file.startswith("efcheck/") and "bounds" not in p.file)
    assert len(found.planted) == 60
    assert found.share >= 0.9, [p.diff for p in found.planted if not p.noticed]
