"""Exact certificates: what the checker accepts is a proof, and what it must refuse it refuses."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cmd_audit import efcheck

from efcheck import content
from efcheck.errors import ArgumentError
from efcheck.evidence import certificate
from efcheck.evidence.certificate import Rejected, semidefinite, verify
from efcheck.evidence.certify import certify, text

FOLDER = Path(__file__).parents[1] / "proofs_numeric" / "certificates"
FILES = sorted(FOLDER.glob("*.json"))
certified = content.load(FOLDER.with_name("certified.py"))


def load(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def multipliers(found: Any) -> Iterator[tuple[str, int]]:
    return ((name, t) for name, texts in found["multipliers"].items() for t in range(len(texts)))


def accepted(found: Any) -> bool:
    try:
        verify(found)
    except Rejected:
        return False
    return True


def worst_value(found: Any) -> Fraction:
    """What the run on sigma |x| attains."""
    value = certified.largest_memory if found["statement"] == "lemma-3" else certified.largest_gap
    return value(found)[0]


def test_a_denominator_of_many_zeros_is_refused_and_not_read() -> None:
    found = load(FILES[0]) | {"bound": "1/" + "0" * 5000 + "1"}
    with pytest.raises(Rejected, match="of at most 60 digits"):
        verify(found)


def test_unrelated_denominators_that_would_take_hours_are_refused() -> None:
    draw = np.random.default_rng(0)
    odd = lambda n: "".join(map(str, draw.integers(1, 10, n)))  # noqa: E731
    by = {"compressor": [f"{10**59 + i}/1{odd(58)}" for i in range(60)], "moment": ["9." + odd(60) for _ in range(60)]}
    found = {
        "format": certificate.FORMAT, "statement": "lemma-3", "T": 60, "bound": "9", "multipliers": by,
        "parameters": {"delta": "1/" + odd(60), "gamma": "1/" + odd(60), "sigma": "0"},
    }  # fmt: skip
    with pytest.raises(Rejected, match="a common denominator of at most 200 digits"):
        verify(found)


def test_there_are_at_least_ten_of_both_kinds() -> None:
    statements = [load(file)["statement"] for file in FILES]
    assert len(FILES) >= 10 and set(statements) == {"lemma-3", "theorem-3"}


def test_each_proves_a_bound_that_a_run_attains() -> None:
    for file in FILES:
        found = load(file)
        assert verify(found) == Fraction(found["bound"]) >= worst_value(found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_is_refused_when_weakened(file: Path) -> None:
    found = load(file)
    lower = found | {"bound": str(worst_value(found) * Fraction(999, 1000))}
    with pytest.raises(Rejected, match="the multipliers give the bound"):
        verify(lower)
    for name, t in multipliers(found):
        old = found["multipliers"][name][t]
        assert Fraction(old) > 0  # every constraint is active
        for new in (-Fraction(old), Fraction(old) / 2):
            found["multipliers"][name][t] = str(new)
            assert not accepted(found), (name, t, new)
        found["multipliers"][name][t] = old
    assert accepted(found)


def test_a_lower_bound_with_multipliers_scaled_to_it_is_refused_by_the_form() -> None:
    found = load(FOLDER / "lemma-3-T5-delta19_100.json")
    found["bound"] = str(Fraction(found["bound"]) * Fraction(999, 1000))
    found["multipliers"]["moment"] = [str(Fraction(b) * Fraction(999, 1000)) for b in found["multipliers"]["moment"]]
    with pytest.raises(Rejected, match="semidefinite"):
        verify(found)


def feasible(rng: np.random.Generator, found: Any) -> float:
    """The bounded quantity of a random run in R^2 that meets every hypothesis; a greedy adversary half of the time."""
    delta, gamma, sigma = (float(Fraction(found["parameters"][name])) for name in ("delta", "gamma", "sigma"))
    T, theorem = found["T"], found["statement"] == "theorem-3"
    R = float(Fraction(found["parameters"].get("R", "1")))
    direct = rng.random() < 0.5
    side = np.array([1.0, 0.0]) if direct else rng.standard_normal(2)
    h = R * side / np.linalg.norm(side)
    e, moved, total = np.zeros(2), np.zeros(2), 0.0
    for _ in range(T + theorem):
        x = h - moved + e
        turn = side if direct else rng.standard_normal(2)
        g = sigma * turn / np.linalg.norm(turn)
        total += float(g @ x) / (T + 1)  # <g_t, x_t - x*> >= f(x_t) - f*, with equality for a max of affine pieces
        moved += gamma * g
        p = gamma * g + e
        noise = p if direct else rng.standard_normal(2)
        e = np.sqrt(1 - delta) * np.linalg.norm(p) * noise / max(np.linalg.norm(noise), 1e-300)
    return total if theorem else float(e @ e)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_altered_certificate_is_accepted_bounds_every_run(data: st.DataObject) -> None:
    found = load(data.draw(st.sampled_from([f for f in FILES if "T20" not in f.name])))
    numbers = st.fractions(Fraction(1, 4), 4, max_denominator=64)
    for _ in range(data.draw(st.integers(1, 3))):
        name, t = data.draw(st.sampled_from(list(multipliers(found))))
        found["multipliers"][name][t] = str(Fraction(found["multipliers"][name][t]) * data.draw(numbers))
    name = data.draw(st.sampled_from(["bound", *found["parameters"]]))
    place = found if name == "bound" else found["parameters"]
    place[name] = str(Fraction(place[name]) * data.draw(st.one_of(st.just(Fraction(1)), numbers)))
    if not accepted(found):
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    assert max(feasible(rng, found) for _ in range(20)) <= float(Fraction(found["bound"])) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "format"),
        ({"statement": "lemma-4"}, "statement must be one of lemma-3, theorem-3"),
        ({"T": 6}, "lengths"),
        ({"T": True}, "T must be an integer"),
        ({"T": 10**9}, "T must be an integer"),
        ({"bound": 1.0}, "rational number as text"),
        ({"bound": "nan"}, "rational number as text"),
        ({"bound": "1/0"}, "rational number as text"),
        ({"bound": "1e3"}, "rational number as text"),
        ({"parameters": {"delta": "2", "gamma": "1", "sigma": "1"}}, "0 < delta <= 1"),
        ({"parameters": {"delta": "1/2", "gamma": "1"}}, "parameters must be"),
        ({"multipliers": []}, "lists of lengths"),
        ({"note": "trust me"}, "and no others"),
    ],
)
def test_a_malformed_certificate_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Rejected, match=message) as error:
        verify(load(FOLDER / "lemma-3-T5-delta3_4.json") | change)
    assert "\n" not in str(error.value)


def test_convexity_multipliers_must_cancel_the_values_of_f() -> None:
    found = load(FOLDER / "theorem-3-T3-delta3_4.json")
    found["multipliers"]["convexity"][0] = "0.26"
    with pytest.raises(Rejected, match="do not cancel"):
        verify(found)


@given(st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=1, max_size=4))
def test_semidefinite_agrees_with_eigenvalues_also_where_they_vanish(rows: list[list[int]]) -> None:
    A = np.array(rows)
    gram = (A @ A.T).tolist()
    assert semidefinite([[Fraction(x) for x in row] for row in gram])
    for i in range(len(gram)):
        gram[i][i] -= 1
    least = np.linalg.eigvalsh(np.array(gram, dtype=float)).min()
    if abs(least) > 1e-9:
        assert semidefinite([[Fraction(x) for x in row] for row in gram]) == (least > 0)


def test_zero_pivots_need_zero_rows() -> None:
    one, nil = Fraction(1), Fraction(0)
    assert semidefinite([]) and semidefinite([[nil, nil], [nil, one]])
    assert not semidefinite([[nil, one], [one, one]])


def test_the_empty_lemma_is_certified_without_a_solver() -> None:
    assert verify(certify("lemma-3", 0, Fraction(1, 2))) == 0


def test_a_new_certificate_is_made_in_any_units_and_accepted() -> None:
    pytest.importorskip("cvxpy")
    q, gamma, sigma = Fraction(2, 3), Fraction(1, 7), Fraction(5)
    found = certify("lemma-3", 4, 1 - q**2, gamma, sigma)
    value = (gamma * sigma * q * (1 - q**4) / (1 - q)) ** 2
    assert value <= verify(found) <= value * (1 + Fraction(1, 10**5))
    found = certify("theorem-3", 2, 1 - q**2, gamma, sigma, gamma * sigma * 3)
    sharp = gamma * sigma**2 * (Fraction(3, 2) + Fraction(1, 2) + (q + q * (1 + q)) / 3)
    assert sharp <= verify(found) <= sharp * (1 + Fraction(1, 10**5))


def test_certify_refuses_what_it_cannot_state() -> None:
    for arguments, name in [
        (("lemma-4", 1, Fraction(1, 2)), "statement"),
        (("lemma-3", -1, Fraction(1, 2)), "T"),
        (("lemma-3", 1, Fraction(3, 2)), "delta"),
        (("lemma-3", 1, 0.5), "delta"),
        (("theorem-3", 1, Fraction(1, 2)), "R"),
        (("lemma-3", 1, Fraction(1, 2), Fraction(0)), "gamma"),
    ]:
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            certify(*arguments)  # type: ignore[arg-type]


@given(st.fractions(max_denominator=2000))
def test_text_is_exact(number: Fraction) -> None:
    assert Fraction(text(number)) == number


def test_the_claims_notice_a_planted_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert certified.no_memory_is_larger().outcome == certified.a_run_has_that_memory().outcome == "proved"
    loose = [copy.deepcopy(one) for one in certified.stored("lemma-3")]
    loose[0]["bound"] = str(Fraction(loose[0]["bound"]) * Fraction(10001, 10000))
    monkeypatch.setattr(certified, "stored", lambda statement: loose)
    assert certified.no_memory_is_larger().outcome == "proved"  # still true,
    assert certified.a_run_has_that_memory().outcome == "undecided"  # but not tight
    loose[0]["bound"] = str(worst_value(loose[0]) * Fraction(9999, 10000))
    assert certified.a_run_has_that_memory().outcome == "refuted"
    loose[1]["multipliers"]["moment"][0] = "0"
    assert certified.no_memory_is_larger().outcome == "undecided"


def test_the_command_says_what_is_proved_and_exits_by_it(tmp_path: Path) -> None:
    good = FILES[0]
    done = efcheck("verify-certificate", str(good))
    assert done.returncode == 0 and done.stdout.startswith("proved: lemma-3: E||e_") and done.stderr == ""
    found = load(good)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(found | {"bound": "0.001"}))
    done = efcheck("verify-certificate", str(bad))
    assert done.returncode == 1 and done.stdout.startswith("not proved: the multipliers give")
    bad.write_bytes(b"\xff{")
    done = efcheck("verify-certificate", str(bad))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "JSON" in done.stderr


def test_worst_case_writes_a_certificate_of_what_it_found(tmp_path: Path) -> None:
    pytest.importorskip("PEPit")
    file = tmp_path / "c.json"
    given = ["--T", "3", "--delta", "0.3", "--gamma", "1/7", "--R", "1/2", "--certificate", str(file)]
    done = efcheck("worst-case", "suboptimality", *given)
    assert done.returncode == 0, done.stderr
    at_most = float(done.stdout.split("at most ")[1].split(",")[0])
    assert at_most <= float(verify(load(file))) <= 1.001 * at_most and "above the worst case" in done.stdout
    for refused in (["gradient-norm", *given], ["error-norm", *given[:4], "--gamma", "sqrt(2)", *given[-2:]]):
        done = efcheck("worst-case", *refused)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "certifi" in done.stderr


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "twice.json"
    file.write_text(FILES[0].read_text().replace('"bound"', '"bound": "0.0001",\n "bound"'))
    done = efcheck("verify-certificate", str(file))
    assert done.returncode == 2 and "twice" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_checker_runs_alone_with_nothing_but_the_standard_library(tmp_path: Path) -> None:
    alone = tmp_path / "checker.py"
    alone.write_text(Path(certificate.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", "-S", alone, FILES[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("proved:"), done.stderr
    for arguments in ([], [tmp_path / "none.json"], [tmp_path]):
        done = subprocess.run([sys.executable, "-I", "-S", alone, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_a_solver_that_disagrees_refutes_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("PEPit")
    right = certified.worst_case

    def double(quantity: str, **given: Any) -> Any:
        found = right(quantity, **given)
        return dataclasses.replace(found, data={**found.data, "value": 2 * found.data["value"]})

    few = [one for one in certified.stored("lemma-3") if one["T"] <= 2]
    monkeypatch.setattr(certified, "stored", lambda statement: few)
    assert certified.a_solver_finds_the_same_memory().outcome == "supported"
    monkeypatch.setattr(certified, "worst_case", double)
    assert certified.a_solver_finds_the_same_memory().outcome == "refuted"
    assert certified.memory.audit(long=True).printed.verdict == "refuted"
