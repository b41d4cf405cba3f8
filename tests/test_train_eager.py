"""What the eager form keeps between steps, and sums by BLAS."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from efcheck.compressors import ScaledSign, Sign  # noqa: E402
from efcheck.train import EFSGD, NonFiniteError, _blas, _eager  # noqa: E402

SIZES = (0, 1, 2, 3, 8191, 8192, 8193, 20_001)


def stepped(optimizer: EFSGD, g: Any) -> list[Any]:
    """x and e after a step."""
    (p,) = optimizer.param_groups[0]["params"]
    p.grad = g.clone()
    optimizer.step()
    return [p.detach().clone(), optimizer.state[p]["memory"].clone()]


@pytest.mark.parametrize("piece", [1 << 19, 4])
@pytest.mark.parametrize("swap", ["data", "state", "memory in place", "layout"])
def test_a_tensor_that_is_exchanged_between_steps_is_noticed(swap: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_eager, "PIECE", piece)
    torch.manual_seed(0)
    x, gs, new = torch.randn(2, 3, 4, 4), [torch.randn(2, 3, 4, 4) for _ in range(3)], torch.randn(2, 3, 4, 4)
    results = []
    for fresh in (False, True):  # with what was kept, and by an optimizer that has kept nothing
        p = torch.nn.Parameter(x.clone())
        optimizer = EFSGD([p], 0.1, form="eager")
        stepped(optimizer, gs[0])
        if swap == "data":
            p.data = new.clone()
        elif swap == "state":
            optimizer.state[p]["memory"] = new.clone()
        elif swap == "memory in place":
            optimizer.state[p]["memory"].data = new.clone()
        else:
            p.data = p.data.to(memory_format=torch.channels_last)
        if fresh:
            memory, optimizer = optimizer.state[p]["memory"], EFSGD([p], 0.1, form="eager")
            optimizer.state[p]["memory"] = memory
        results.append([stepped(optimizer, g) for g in gs[1:]])
    for one, other in zip(*results, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_what_is_kept_keeps_no_memory_of_another_size_alive() -> None:
    p = torch.nn.Parameter(torch.zeros(10))
    optimizer = EFSGD([p], 0.1, form="eager")
    for d in (10, 1000, 10):
        p.data, p.grad = torch.zeros(d), torch.ones(d)
        optimizer.state.clear()
        optimizer.step()
        assert p.tolist() == pytest.approx([-0.1] * d)
    assert len(optimizer._run._pieces._kept) == 1


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("piece", [1 << 19, 4])
@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_a_zero_in_any_piece_has_the_sign_that_is_asked_for(
    zero: Any, piece: int, feedback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_eager, "PIECE", piece)
    for place in range(9):
        p = torch.nn.Parameter(torch.zeros(9))
        p.grad = torch.ones(9)
        p.grad[place] = -0.0 if place % 2 else 0.0
        EFSGD([p], 1.0, ScaledSign(zero=zero), feedback=feedback, form="eager").step()
        expected = [-8 / 9] * 9
        expected[place] = -8 / 9 * zero
        assert p.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 9, 10])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_entry_that_is_not_finite_is_found_at_any_place(d: int, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_eager, "PIECE", 4)
    for place in range(d):
        p = torch.nn.Parameter(torch.zeros(d))
        p.grad = torch.zeros(d)  # zero times infinity
        p.grad[place] = value
        optimizer = EFSGD([p], 0.1, form="eager")
        with pytest.raises(NonFiniteError, match=rf"in parameter 0, entry {place}\b"):
            optimizer.step()
        assert not p.any() and not optimizer.state[p]["memory"].any()


def test_gradients_whose_products_overflow_are_gradients() -> None:
    p = torch.nn.Parameter(torch.zeros(4))
    p.grad = torch.tensor([1e30, 1e30, 1e30, -1e30])
    EFSGD([p], 1.0, form="eager").step()
    assert torch.allclose(p, torch.tensor([-1e30, -1e30, -1e30, 1e30]))


def test_a_step_beyond_the_range_of_the_dtype_is_infinite_as_in_torch() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.full((3,), 1e20)
    EFSGD([p], 1e30, feedback=False, form="eager").step()
    assert p.tolist() == [-math.inf] * 3


@pytest.mark.parametrize("compressor", [Sign(), ScaledSign()])
def test_float64_is_summed_as_float64(compressor: Any) -> None:
    p = torch.nn.Parameter(torch.zeros(20_001, dtype=torch.float64))
    p.grad = torch.linspace(-1, 2, 20_001, dtype=torch.float64)
    expected = float(np.abs(p.grad.numpy()).mean()) if isinstance(compressor, ScaledSign) else 1.0
    EFSGD([p], 1.0, compressor, form="eager").step()
    assert float(p.detach().abs().max()) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", SIZES)
def test_sums_by_blas(d: int, dtype: Any) -> None:
    t = torch.randn(d, dtype=dtype, generator=torch.Generator().manual_seed(d))
    v = _blas.entries(t)
    assert _blas.norm1(v) == pytest.approx(float(t.double().abs().sum()), rel=1e-6 if dtype == torch.float32 else 1e-14)
    signs = torch.sign(t)
    assert _blas.no_zero(_blas.entries(signs)) and _blas.surely_finite(t)
    for place in {0, d // 2, d - 1} if d else ():
        signs[place], t[place] = 0, math.inf
        assert not _blas.no_zero(_blas.entries(signs)) and not _blas.surely_finite(t)
        signs[place], t[place] = 1, 1


def test_entries_are_the_memory_of_a_tensor_without_gaps() -> None:
    t = torch.arange(24.0).reshape(2, 3, 2, 2)
    for laid in (t, t.to(memory_format=torch.channels_last)):
        v = _blas.entries(laid)
        v[0] = 100.0
        assert laid.flatten()[0] == 100 and sorted(v[1:]) == list(range(1, 24))
    assert _blas.entries(torch.zeros(4, 4)[:, ::2]) is None
    assert _blas.entries(torch.zeros(3, dtype=torch.bfloat16)) is None
    assert not _blas.surely_finite(torch.tensor([[1.0, math.inf], [1.0, 1.0]])[:, 1])
    assert not _blas.surely_finite(torch.tensor([1.0, math.nan], dtype=torch.bfloat16))
