"""What a failing report of check_compressor gives to reproduce shows the failure, alone and in a fresh interpreter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from efcheck.checks import check_named
from efcheck.checks._source import PLACEHOLDER, source_of
from efcheck.compressors import QSGD, Blockwise, RandomK, Scaled, TernGrad, TopK

sys.path.insert(0, str(Path(__file__).parent))
from planted.cases import ALL_PLANTED, intended
from planted.compressors import PLANTED

HERE = Path(__file__).parent

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


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_PLANTED)
def test_a_snippet_shows_the_failure_in_a_process_of_its_own(name):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", intended(name).reproduce], capture_output=True, text=True, cwd=HERE, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode and (name == "exits" or (raised(name) or "AssertionError") in done.stderr), done.stderr


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


def test_a_class_that_its_module_does_not_have_is_not_imported_from_it():
    made = type("Made", (TopK,), {"__module__": "efcheck.compressors.topk"})(2)
    assert source_of(made).startswith(PLACEHOLDER.partition("{}")[0])
