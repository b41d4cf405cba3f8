"""efcheck.claims: verdicts from evidence, expectations in both directions, errors with file and line, the JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efcheck.claims import Audit, Claim, audit
from efcheck.errors import ArgumentError, MissingExtraError
from efcheck.evidence import Evidence
from efcheck.report import differences

HEAD = "from efcheck.claims import Claim\nfrom efcheck.evidence import Evidence\n"


def piece(outcome: str, covers: str = "") -> Evidence:
    return Evidence("exact", outcome, f"it is {outcome}", covers=covers)


def claim_text(id: str, outcome: str = "proved", expect: str = "proved", name: str = "c") -> str:
    return (
        f"{name} = Claim({id!r}, 'p. 1', 'a statement', expect={expect!r})\n"
        f"@{name}.printed\ndef check_of_{name}():\n    return Evidence('exact', {outcome!r}, 'by hand')\n"
    )


def write(folder: Path, name: str, *claims: str) -> Path:
    path = folder / name
    path.write_text(HEAD + "".join(claims))
    return path


@pytest.mark.parametrize(
    ("pieces", "verdict"),
    [
        ([], "undecided"),
        ([piece("proved")], "proved"),
        ([piece("supported"), piece("proved")], "proved"),
        ([piece("supported", "a"), piece("proved", "b")], "supported"),
        ([piece("undecided", "a"), piece("proved", "b")], "undecided"),
        ([piece("proved", "a"), piece("refuted", "b")], "refuted"),
        ([piece("undecided"), piece("refuted")], "refuted"),
    ],
    ids=["none", "proved", "same-part", "two-parts", "one-part-open", "one-part-refuted", "refuted-beats-open"],
)
def test_a_claim_combines_its_evidence_into_the_verdict(pieces: list[Evidence], verdict: str) -> None:
    claim = Claim("c", "p. 1", "a statement", expect=verdict)
    for found in pieces:
        claim.printed(lambda found=found: found)
    result = claim.audit()
    assert result.printed.verdict == verdict and result.as_expected and result.repaired is None
    assert len(result.printed.evidence) == len(pieces)
    if pieces:
        assert result.printed.deciding is not None and result.printed.deciding.outcome == verdict


def test_printed_and_repaired_forms_have_verdicts_of_their_own() -> None:
    claim = Claim("c", "p. 1", "too much", repaired="enough", expect="refuted", expect_repaired="supported")
    claim.printed(lambda: piece("refuted"))
    claim.repaired(lambda: piece("supported"))
    result = claim.audit()
    assert [form.verdict for form in result.forms] == ["refuted", "supported"] and result.as_expected


def test_a_check_with_a_seed_parameter_gets_the_audits_seed() -> None:
    claim = Claim("c", "p. 1", "a statement")
    got = []

    @claim.printed
    def check(seed: int = 0) -> Evidence:
        got.append(seed)
        return piece("proved")

    claim.audit(seed=7)
    assert got == [7]


@pytest.mark.parametrize(("outcome", "expect"), [("refuted", "proved"), ("proved", "refuted"), ("supported", "proved")])
def test_a_verdict_that_differs_from_the_expected_one_fails_and_names_the_claim(
    tmp_path: Path, outcome: str, expect: str
) -> None:
    write(tmp_path, "one.py", claim_text("odd-one", outcome, expect))
    found = audit([tmp_path])
    assert not found.passed() and not found.passed(allow_missing=True)
    assert differences(found) == [f"odd-one: the printed statement is {outcome}; expected {expect}"]


def test_a_check_that_raises_names_file_and_line_and_fails(tmp_path: Path) -> None:
    path = write(tmp_path, "broken.py", claim_text("good"), claim_text("bad", name="d").replace("return", "1 / 0; return"))
    line = 1 + next(i for i, text in enumerate(path.read_text().splitlines()) if "1 / 0" in text)
    found = audit([path])
    assert not found.passed(allow_missing=True)
    assert found.results[1].errors == (f"{path}:{line}: ZeroDivisionError: division by zero",)
    assert found.results[1].printed.verdict == "undecided" and found.results[0].as_expected
    assert any(str(path) in text and text.startswith("bad: ") for text in differences(found))


def test_a_check_that_raises_fails_even_if_its_other_checks_give_the_expected_verdict() -> None:
    claim = Claim("c", "p. 1", "a statement")
    claim.printed(lambda: piece("proved"))
    claim.printed(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    result = claim.audit()
    assert result.printed.verdict == "proved" and not result.as_expected
    assert not Audit((result,), (), 0, 0.0).passed()


def test_a_check_that_returns_no_evidence_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path, "none.py", claim_text("c").replace("return Evidence", "Evidence"))
    found = audit([path])
    assert not found.passed()
    assert "must return Evidence; got NoneType" in found.results[0].errors[0]
    assert str(path) in found.results[0].errors[0]


def test_a_file_with_a_syntax_error_is_named_with_its_line_and_the_others_run(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = (\n")
    write(tmp_path, "b.py", claim_text("good"))
    found = audit([tmp_path])
    assert [r.id for r in found.results] == ["good"] and found.results[0].as_expected
    assert len(found.errors) == 1 and found.errors[0].startswith(f"{tmp_path / 'a.py'}:2: SyntaxError: ")
    assert not found.passed() and found.errors[0] in found.to_json()["errors"]


def test_a_file_that_raises_while_loading_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n\nraise RuntimeError('no data')\n")
    assert audit([tmp_path]).errors == (f"{tmp_path / 'a.py'}:3: RuntimeError: no data",)


def test_duplicate_ids_fail_and_name_both_files(tmp_path: Path) -> None:
    first, second = write(tmp_path, "a.py", claim_text("same")), write(tmp_path, "b.py", claim_text("same"))
    found = audit([tmp_path])
    assert found.errors == (f"{second}: claim id same is already in {first}",)
    assert len(found.results) == 1 and not found.passed()


def lacking(outcome: str | None = None, expect: str = "proved") -> Claim:
    """A claim with one check that lacks an extra, and one with `outcome`."""
    claim = Claim("c", "p. 1", "a statement", expect=expect)

    @claim.printed
    def needs_more() -> Evidence:
        raise MissingExtraError("needs the extra worst-case")

    if outcome is not None:
        claim.printed(lambda: piece(outcome))
    return claim


def test_a_missing_extra_is_undecided_and_forgiven_only_on_request() -> None:
    result = lacking().audit()
    found = Audit((result,), (), 0, 0.0)
    assert result.printed.verdict == "undecided" and result.missing_extras == ("needs the extra worst-case",)
    assert not found.passed() and found.passed(allow_missing=True)
    assert "c: could not run: needs the extra worst-case" in differences(found)


def test_a_missing_extra_does_not_forgive_a_refutation() -> None:
    found = Audit((lacking("refuted").audit(),), (), 0, 0.0)
    assert found.results[0].printed.verdict == "refuted"
    assert not found.passed(allow_missing=True)


def test_a_repaired_check_without_a_repaired_statement_is_refused() -> None:
    claim = Claim("c", "p. 1", "a statement")
    with pytest.raises(ArgumentError, match=r"`repaired` must be a statement of claim c; got None\."):
        claim.repaired(lambda: piece("proved"))
    with pytest.raises(ArgumentError, match="`repaired` must be a statement when expect_repaired is given"):
        Claim("c", "p. 1", "a statement", expect_repaired="proved")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"id": "c", "expect": "true"}, "expect"),
        ({"id": "c", "repaired": "r", "expect_repaired": "yes"}, "expect_repaired"),
        ({"id": ""}, "id"),
        ({"id": "two words"}, "id"),
    ],
    ids=["expect", "expect-repaired", "empty-id", "id-with-a-space"],
)
def test_claim_refuses_invalid_arguments(arguments: dict[str, str], name: str) -> None:
    with pytest.raises(ArgumentError, match=rf"`{name}` must be .*; got "):
        Claim(**{"source": "p. 1", "statement": "a statement", **arguments})


def test_json_has_exactly_the_keys_of_the_design(tmp_path: Path) -> None:
    repaired = "Claim('b', 'p. 2', 's', repaired='r', expect='refuted')"
    text = claim_text("b", "refuted", name="d").replace(claim_text("b", name="d").splitlines()[0], f"d = {repaired}")
    text += "@d.repaired\ndef holds():\n    return Evidence('exact', 'proved', 'by hand', {'x': 1})\n"
    write(tmp_path, "a.py", claim_text("a"), text)
    found = json.loads(json.dumps(audit([tmp_path], seed=3).to_json(), allow_nan=False))
    assert list(found) == ["efcheck", "seed", "seconds", "claims"] and found["seed"] == 3
    form = ["verdict", "expected", "evidence"]
    for claim in found["claims"]:
        assert list(claim) == ["id", "source", "statement", "printed", "repaired"]
        assert list(claim["printed"]) == form
    assert found["claims"][0]["repaired"] is None
    assert list(found["claims"][1]["repaired"]) == ["statement", *form]
    for evidence in found["claims"][1]["repaired"]["evidence"]:
        assert list(evidence) == ["kind", "outcome", "covers", "detail", "data", "seconds"]


def test_one_and_two_processes_give_the_same_verdicts_in_the_same_order() -> None:
    only = ["counterexample-3-line", "counterexample-1-tuning", "counterexample-1-mean"]
    one, two = (audit(only=only, jobs=jobs, seed=1) for jobs in (1, 2))

    def timeless(found: Audit) -> list[object]:
        return [(r.id, f.verdict, [(e.detail, e.outcome) for e in f.evidence]) for r in found.results for f in r.forms]

    assert timeless(one) == timeless(two) and len(one.results) == 3 and one.passed()


def test_only_selects_a_claim_and_those_under_it_but_no_longer_word(tmp_path: Path) -> None:
    write(tmp_path, "a.py", *(claim_text(id, name=f"c{i}") for i, id in enumerate(("a-1", "a-1-line", "a-10", "a"))))
    assert [r.id for r in audit([tmp_path], only="a-1").results] == ["a-1", "a-1-line"]
    assert [r.id for r in audit([tmp_path], only=["a-10", "a-1-line"]).results] == ["a-1-line", "a-10"]
    with pytest.raises(ArgumentError, match=r"`only` must name a claim \(a-1, .*\); got a-1-li\."):
        audit([tmp_path], only="a-1-li")


def test_a_path_that_does_not_exist_or_holds_no_claim_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="It does not exist"):
        audit([tmp_path / "nowhere"])
    with pytest.raises(ArgumentError, match="`path` must hold at least one claim"):
        audit([tmp_path])


def test_progress_is_called_once_a_claim(tmp_path: Path) -> None:
    write(tmp_path, "a.py", claim_text("a"), claim_text("b", name="d"))
    calls: list[tuple[str, int, int]] = []
    audit([tmp_path], progress=lambda *call: calls.append(call))
    assert calls == [("a", 1, 2), ("b", 2, 2)]


def test_thorough_checks_run_only_on_request(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(
        "from efcheck.claims import Claim, thorough\n"
        "from efcheck.evidence import Evidence\n"
        "c = Claim('long', 'here', 'a statement')\n"
        "@c.printed\n"
        "def short():\n"
        "    return Evidence('exact', 'proved', 'short')\n"
        "@c.printed\n"
        "@thorough\n"
        "def long():\n"
        "    return Evidence('sdp', 'refuted', 'long')\n"
    )
    assert audit([file]).results[0].printed.verdict == "proved"
    assert audit([file], long=True).results[0].printed.verdict == "refuted"
