"""The cost of a message and the two networks: counts recomputed by hand, planted errors refuted."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from efcheck import content
from efcheck.claims import collect
from efcheck.compressors import Blockwise, ScaledSign

FOLDER = Path(__file__).parents[1] / "proofs_numeric"
communication, networks, shapes = (content.load(FOLDER / f"{name}.py") for name in ("communication", "networks", "_networks"))
CLAIMS = {claim.id: claim for name in ("communication", "networks") for claim in collect(FOLDER / f"{name}.py")}


def verdicts(id: str) -> list[str]:
    return [form.verdict for form in CLAIMS[id].audit().forms]


# --- the networks


def test_parameters_tensors_and_whole_bytes_of_both_networks() -> None:
    """Each tensor filled up to whole bytes, with a scale of four bytes."""
    expected = {"VGG19": (20_040_522, 66, 2_505_330), "Resnet18": (11_220_132, 62, 1_402_765)}
    for name, numbers in expected.items():
        sizes = shapes.sizes(name)
        assert (sum(sizes), len(sizes), sum(-(-d // 8) + 4 for d in sizes)) == numbers


def test_vgg19_by_its_formula() -> None:
    """9 a b + b weights and biases, 2 b of the normalisation, over neighbours a, b; then 512 x 10 + 10."""
    widths = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 8]
    assert sum(shapes.sizes("VGG19")) == sum(9 * a * b + 3 * b for a, b in pairwise(widths)) + 5130


def test_a_network_without_its_shortcuts_or_with_one_layer_less_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "DEPTH", 1)
    assert verdicts("network-depth")[1] == "refuted" and verdicts("communication-factor")[1] == "refuted"
    assert verdicts("network-over-parameterized")[1] == "refuted"
    monkeypatch.setattr(shapes, "DEPTH", 2)
    monkeypatch.setattr(shapes, "VGG_LAYERS", (64, *shapes.VGG_LAYERS))
    assert verdicts("network-depth")[1] == "refuted" and verdicts("communication-orders")[1] == "refuted"


def test_more_images_than_parameters_is_not_over_parameterized(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "TRAIN_IMAGES", 20_000_000)
    assert verdicts("network-over-parameterized") == ["refuted", "refuted"]


def test_a_low_density_is_not_much_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "LEAST_DENSITY", Fraction(1, 10**5))
    assert verdicts("network-density") == ["refuted", "refuted"]


def test_the_split_density_by_hand() -> None:
    """Layers of 2 and 3: v = (1, 0 | 1, 1, 1) has ||v||_1 = ||v||_2^2 = 4."""
    assert networks.split((2, 3), 0) == (Fraction(16, 5 * 4), Fraction(1, 2))


def test_a_density_that_every_vector_has_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdicts("network-density-figure") == ["undecided"]
    for value, expected in ((Fraction(0), "proved"), (Fraction(1), "refuted")):
        monkeypatch.setattr(networks, "LEAST_DENSITY", value)
        assert verdicts("network-density-figure") == [expected]


def test_two_images_are_fitted_by_hand() -> None:
    """z = 3 and 5, labels 1 and 7: b = 1, w = 1/2 gives 1 and 2; then b = 4, w = 5."""
    units = networks.fitted([(3,), (5,)], [1, 7])
    assert units == [(1, Fraction(1, 2)), (4, 5)]
    assert [networks.network(units, z) for z in (3, 5)] == [1, 7]
    assert networks.projected((1, 2)) == 1 + 2 * 256


def test_a_network_that_ignores_its_units_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "network", lambda units, z: Fraction(0))
    assert verdicts("network-fits-any-labels")[0] == "refuted"
    monkeypatch.setattr(shapes, "IMAGE", 16)
    assert verdicts("network-fits-any-labels")[1] == "refuted"


# --- the message


def test_the_factor_is_computed_by_hand() -> None:
    assert communication.saving([100]) == Fraction(3200, 132)
    assert communication.saving([60, 40]) == Fraction(3200, 164)
    assert communication.saving([100], bits=64) == Fraction(6400, 132)


def test_double_precision_would_make_the_printed_factor_true(monkeypatch: pytest.MonkeyPatch) -> None:
    right = communication.saving
    monkeypatch.setattr(communication, "saving", lambda sizes, bits=64: right(sizes, bits))
    assert verdicts("communication-factor")[0] == "proved"


def test_a_scale_of_another_length_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(communication, "FLOAT", 64)
    assert verdicts("communication-factor")[1] == "refuted" and verdicts("communication-factor-above") == ["refuted"]
    assert verdicts("communication-formula")[0] == "refuted" and verdicts("communication-negligible")[0] == "refuted"


def test_a_compressor_that_counts_a_bit_less_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScaledSign, "bits", lambda self, d: d + 31)
    assert verdicts("communication-factor-above") == ["refuted"]
    monkeypatch.setattr(Blockwise, "bits", lambda self, d: d + 32)
    assert verdicts("communication-formula")[0] == "refuted"


def test_a_message_that_is_decoded_wrongly_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Blockwise.decode

    def wrong(self: Blockwise, payload: bytes, d: int) -> Any:
        return -right(self, payload, d)

    monkeypatch.setattr(Blockwise, "decode", wrong)
    assert verdicts("communication-formula")[0] == "refuted"


def test_three_patterns_a_coordinate_by_hand() -> None:
    assert [communication.patterns(2, zero) for zero in (-1, 0, 1)] == [4, 8, 4]


def test_with_a_sign_for_zero_there_are_no_more_values_than_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    right = communication.patterns
    monkeypatch.setattr(communication, "patterns", lambda d, zero: right(d, 1))
    assert verdicts("communication-formula-zero") == ["supported", "refuted"]


@pytest.mark.parametrize(("level", "d"), [(1, 3), (16, 32), (31, 992)])
def test_another_threshold_is_refuted(level: int, d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(communication.FIRST, Fraction(level), d)
    assert verdicts("communication-factor-above") == ["refuted"]


def test_shallow_wide_layers_are_needed_for_the_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "sizes", lambda name: (10,) * 100)
    assert verdicts("communication-orders") == ["refuted", "refuted"]
    assert verdicts("communication-negligible")[1] == "refuted"
