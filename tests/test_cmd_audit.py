"""efcheck audit: exit codes, one line for every usage error, JSON whole or not at all, from any working directory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import in_process
import pytest

ROOT = Path(__file__).parents[1]
HEAD = "import time\nfrom efcheck.claims import Claim\nfrom efcheck.errors import MissingExtraError\n"
HEAD += "from efcheck.evidence import Evidence\n"


def efcheck(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "efcheck", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def write(path: Path, id: str, body: str) -> Path:
    path.write_text(f"{HEAD}c = Claim({id!r}, 'p. 1', 'a statement')\n@c.printed\ndef check():\n    {body}\n")
    return path


TRUE = "return Evidence('exact', 'proved', 'by hand')"
FALSE = "return Evidence('exact', 'refuted', 'by hand')"


def refused(done: subprocess.CompletedProcess[str] | in_process.Done) -> str:
    assert done.returncode == 2 and done.stdout == "", done
    assert done.stderr.startswith("efcheck: ") and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    return done.stderr


def test_audit_of_a_paper_claim_exits_0_writes_json_and_is_silent_on_stderr(tmp_path: Path) -> None:
    target = tmp_path / "audit.json"
    done = efcheck("audit", "--only", "counterexample-2-line", "--jobs", 1, "--json", target, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done
    assert "refuted" in done.stdout and "proved" in done.stdout
    found = json.loads(target.read_text())
    assert [c["id"] for c in found["claims"]] == ["counterexample-2-line"]
    assert [p.name for p in tmp_path.iterdir()] == ["audit.json"]


@pytest.mark.slow
def test_audit_only_counterexample_2_exits_0_with_all_its_claims(tmp_path: Path) -> None:
    done = efcheck("audit", "--only", "counterexample-2", "--json", tmp_path / "audit.json")
    assert done.returncode == 0 and done.stderr == "", done
    ids = [c["id"] for c in json.loads((tmp_path / "audit.json").read_text())["claims"]]
    assert len(ids) >= 6 and all(id.startswith("counterexample-2") for id in ids)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["no/such/path"], "no/such/path"),
        (["--only", "counterexample-22"], "counterexample-22"),
        (["--json", "no/such/folder/a.json"], "no/such/folder"),
        (["--json", "."], "directory"),
        (["--json", "claims.py", "more.py"], "claims.py"),
        (["--nonsense"], "--nonsense"),
        (["--jobs", "0"], "--jobs"),
        (["--seed", "-1"], "--seed"),
        (["."], "claim"),
    ],
    ids=["path", "id", "json-folder", "json-is-a-folder", "json-is-a-claim-file", "option", "jobs", "seed", "no-claims"],
)
def test_audit_refuses_bad_input_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    assert says in refused(in_process.efcheck("audit", *arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_command_is_refused_in_one_line() -> None:
    assert "nonsense" in refused(in_process.efcheck("nonsense"))


def test_audit_of_a_strangers_folder_exits_1_and_names_the_claim_that_differs(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    write(folder / "a.py", "their-true-one", TRUE)
    write(folder / "b.py", "their-false-one", FALSE)
    done = efcheck("audit", "theirs", "--jobs", 2, "--json", "audit.json", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == "", done
    assert "their-false-one: the printed statement is refuted; expected proved" in done.stdout
    assert "their-true-one: " not in done.stdout
    assert len(json.loads((tmp_path / "audit.json").read_text())["claims"]) == 2
    assert efcheck("audit", "theirs/a.py", cwd=tmp_path).returncode == 0


def test_audit_with_a_syntax_error_exits_1_and_names_file_and_line(tmp_path: Path) -> None:
    write(tmp_path / "a.py", "good", TRUE)
    (tmp_path / "b.py").write_text("x = 1\ny = (\n")
    done = efcheck("audit", tmp_path)
    assert done.returncode == 1 and "b.py:2: SyntaxError" in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_audit_allow_missing_forgives_a_missing_extra_only(tmp_path: Path) -> None:
    path = write(tmp_path / "a.py", "needy", "raise MissingExtraError('install efcheck[worst-case]')")
    done = efcheck("audit", path)
    assert done.returncode == 1 and "needy: could not run: install efcheck[worst-case]" in done.stdout
    assert efcheck("audit", path, "--allow-missing").returncode == 0
    write(path, "false-one", FALSE)
    assert efcheck("audit", path, "--allow-missing").returncode == 1


def test_a_claim_file_runs_by_itself() -> None:
    command = [sys.executable, "counterexamples/counterexample_1.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "" and " claims as printed: " in done.stdout


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("group", [False, True], ids=["parent", "terminal"])
def test_an_interrupted_audit_exits_130_at_once_with_one_line_and_no_json(tmp_path: Path, jobs: int, group: bool) -> None:
    """A terminal sends SIGINT to the whole process group, `kill` to the parent alone."""
    for name in "ab":
        body = f"open({str(tmp_path / f'{name}.started')!r}, 'w').close(); time.sleep(100); {TRUE}"
        write(tmp_path / f"{name}.py", f"slow-{name}", body)
    target = tmp_path / "audit.json"
    target.write_text("the old one")
    command = [sys.executable, "-m", "efcheck", "audit", tmp_path, "--jobs", str(jobs), "--json", target]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    try:
        waited_from = time.monotonic()
        while len(list(tmp_path.glob("*.started"))) < jobs and time.monotonic() < waited_from + 60:
            time.sleep(0.05)
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # the checks sleep for 100 s
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130 and out == ""
    assert err.startswith("efcheck: stopped") and err.count("\n") == 1
    assert target.read_text() == "the old one"
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == sorted([".json", ".py", ".py"] + [".started"] * jobs)
