"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE (settings given on a test win over them), and CIFAR in small."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tiny_cifar import Source

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=300, deadline=None, derandomize=True)
settings.register_profile("nightly", max_examples=5000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# Started in the background, a shell lets its children ignore Ctrl-C, and they would hand that on to the commands under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Source:
    from tiny_cifar import Source  # needs torch

    return Source("cifar10", monkeypatch)


@pytest.fixture
def cifar100(monkeypatch: pytest.MonkeyPatch) -> Source:
    from tiny_cifar import Source

    return Source("cifar100", monkeypatch)


@pytest.fixture(params=["cifar10", "cifar100"])
def source(request: pytest.FixtureRequest) -> Source:
    """Each of the two."""
    found: Source = request.getfixturevalue(request.param)
    return found
