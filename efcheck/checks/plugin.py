"""A pytest plugin: `pytest -p efcheck.checks.plugin --efcheck MODULE:OBJECT` runs each check of a compressor as a test.

The option may be given several times. In a conftest.py, `pytest_plugins = ["efcheck.checks.plugin"]` does the same. For
optimizers and hooks call `check_error_feedback` and `check_comm_hook` in a test.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from efcheck.checks.command import instance, load, made
from efcheck.checks.compressor import CHECKS
from efcheck.checks.glue import run_check
from efcheck.errors import EfcheckError


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option --efcheck."""
    text = "A compressor, or its class or factory: each of efcheck's checks of it is a test."
    parser.getgroup("efcheck").addoption("--efcheck", action="append", default=[], metavar="MODULE:OBJECT", help=text)


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add the checks to what was collected."""
    for target in config.getoption("efcheck"):
        items += _items(session, target)


def _items(session: pytest.Session, target: str) -> Iterator[CheckItem]:
    try:
        found, source, _ = made(*load(target), target)
        compressor, _ = instance(found, target, source)
    except EfcheckError as error:
        raise pytest.UsageError(str(error)) from error
    for name in CHECKS:
        yield CheckItem.from_parent(session, name=f"{target}[{name}]", check=name, compressor=compressor)


class CheckItem(pytest.Item):
    """One check of one compressor."""

    def __init__(self, *, check: str, compressor: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check, self.compressor = check, compressor

    def runtest(self) -> None:
        run_check(self.check, self.compressor)

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """What the check says and what reproduces it, without the lines of the plugin."""
        return str(excinfo.value) if isinstance(excinfo.value, AssertionError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name
