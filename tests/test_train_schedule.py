"""The learning rate of each step: A.3's shape for runs of any length, and the rates they start from."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra train")

from efcheck.errors import ArgumentError
from efcheck.train import schedule


@pytest.mark.parametrize(("epochs", "steps", "expected"), [(200, 391, (100, 150)), (4, 5, (2, 3)), (8, 1, (4, 6))])
def test_the_rate_falls_after_half_and_three_quarters_of_the_epochs(epochs: int, steps: int, expected: tuple[int, int]) -> None:
    assert schedule.milestones(epochs) == expected
    assert schedule.falls(epochs * steps) == tuple(steps * epoch for epoch in expected)


def test_the_rate_of_a_short_run_falls_within_an_epoch() -> None:
    assert [schedule.learning_rate(0.3, t, 8) for t in range(8)] == [0.3] * 4 + [0.03] * 2 + [0.003] * 2
    assert {schedule.learning_rate(0.3, t, 8, constant=True) for t in range(8)} == {0.3}
    assert schedule.milestones(1) == (0.5, 0.75) and schedule.learning_rate(0.3, 0, 1) == 0.3


def test_default_rates_are_table_2_scaled_by_the_batch_size() -> None:
    assert schedule.default_rate("signsgdm", "resnet18", 128) == 3.2e-4
    assert schedule.default_rate("signsgdm", "vgg19", 8) == 5.6e-5 / 16
    with pytest.raises(ArgumentError, match="`algorithm` must be one of sgdm"):
        schedule.default_rate("adam", "cnn", 128)
