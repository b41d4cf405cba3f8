"""What the eager form keeps between steps, and sums by BLAS."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ThreadpoolController = pytest.importorskip("threadpoolctl").ThreadpoolController

from efcheck.compressors import ScaledSign, Sign  # noqa: E402
from efcheck.train import EFSGD, NonFiniteError, _blas, _eager  # noqa: E402

SIZES = (0, 1, 2, 3, 8191, 8192, 8193, 20_001)


def stepped(optimizer: EFSGD, g: Any) -> list[Any]:
    """x and e after a step."""
    (p,) = optimizer.param_groups[0]["params"]
    p.grad = g.clone()
    optimizer.step()
    return [p.detach().clone(), optimizer.state[p]["memory"].clone()]


@pytest.mark.parametrize("block", [1 << 17, 4])
@pytest.mark.parametrize("swap", ["data", "state", "memory in place", "layout"])
def test_a_tensor_that_is_exchanged_between_steps_is_noticed(swap: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_eager, "BLOCK", block)
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
    assert len(optimizer._run._places._kept) == 1


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("block", [1 << 17, 4])
@pytest.mark.parametrize("zero", [-1, 0, 1])
def test_a_zero_in_any_block_has_the_sign_that_is_asked_for(
    zero: Any, block: int, feedback: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_eager, "BLOCK", block)
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
    monkeypatch.setattr(_eager, "BLOCK", 4)
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
    tolerance = 1e-6 if dtype == torch.float32 else 1e-14
    for start in {0, 1, d // 2} if d else {0}:
        assert _blas.norm1(v, start, d - start) == pytest.approx(float(t[start:].double().abs().sum()), rel=tolerance)
    signs = torch.sign(t)
    assert _blas.no_zero(_blas.entries(signs), d) and _blas.surely_finite(v)
    for place in {0, d // 2, d - 1} if d else ():
        signs[place], t[place] = 0, math.inf
        assert not _blas.no_zero(_blas.entries(signs), d) and not _blas.surely_finite(v)
        signs[place], t[place] = 1, 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blas_works_in_place_on_the_entries_it_is_given(dtype: Any) -> None:
    blas = _blas.OF[np.dtype(dtype)]
    x, y = np.arange(6, dtype=dtype), np.ones(6, dtype=dtype)
    blas.axpy(x, y, 2, 10.0, 3, 1, 1)
    assert y.tolist() == [1, 31, 41, 1, 1, 1]
    blas.scal(2.0, y, 2, 2)
    assert y.tolist() == [1, 31, 82, 2, 1, 1]


def set_blas_threads(limits: Any) -> Any:
    """Set the number of BLAS' threads and leave it there. Returns the libraries with the numbers that they had."""
    blas = ThreadpoolController().select(user_api="blas")
    found = blas.info()
    thread = threading.Thread(target=lambda: blas.limit(limits=limits))  # one that is gone has no more say in the number
    thread.start()
    thread.join()
    return found


def test_the_number_of_threads_changes_no_bit() -> None:
    results = []
    for threads in (1, 2):
        torch.manual_seed(0)
        p = torch.nn.Parameter(torch.randn(300_001))
        optimizer = EFSGD([p], 0.1, weight_decay=0.1, momentum=0.9, form="eager")
        before, found = torch.get_num_threads(), set_blas_threads(threads)
        torch.set_num_threads(threads)
        try:
            for _ in range(3):
                p.grad = torch.randn(300_001)
                optimizer.step()
        finally:
            torch.set_num_threads(before)
            set_blas_threads(found)
        results.append(torch.stack([p.detach(), optimizer.state[p]["memory"]]))
    assert torch.equal(*results)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"feedback": False},
        {"feedback": False, "weight_decay": 0.1},
        {"momentum": 0.9},
        {"feedback": False, "momentum": 0.9},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_where_a_tensor_begins_in_memory_changes_no_bit(
    dtype: torch.dtype, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """BLAS adds up from the next address that is a multiple of 32 or so."""
    monkeypatch.setattr(_eager, "BLOCK", 4096)
    torch.manual_seed(0)
    x, g = torch.randn(10_001).to(dtype), torch.randn(10_001).to(dtype)

    def at(offset: int, t: torch.Tensor) -> torch.Tensor:
        return torch.zeros(10_010, dtype=dtype)[offset : offset + 10_001].copy_(t)

    results = []
    for offset in range(9):
        p = torch.nn.Parameter(at(offset, x))
        optimizer = EFSGD([p], 0.1, form="eager", **words)
        for _ in range(3):
            p.grad = at(offset, g)
            optimizer.step()
            state = optimizer.state[p]
            for name in state:
                state[name] = at(offset, state[name])
        results.append(p.detach())
    assert all(torch.equal(results[0], other) for other in results)


def test_entries_are_the_memory_of_a_tensor_without_gaps() -> None:
    t = torch.arange(24.0).reshape(2, 3, 2, 2)
    for laid in (t, t.to(memory_format=torch.channels_last)):
        v = _blas.entries(laid)
        v[0] = 100.0
        assert laid.flatten()[0] == 100 and sorted(v[1:]) == list(range(1, 24))
    assert _blas.entries(torch.zeros(4, 4)[:, ::2]) is None
    assert _blas.entries(torch.zeros(3, dtype=torch.bfloat16)) is None


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_gradients_that_blas_cannot_read_are_checked_too(bad: float) -> None:
    for g in (torch.zeros(3, dtype=torch.bfloat16), torch.zeros(3, 2)[:, 0]):
        p = torch.nn.Parameter(torch.zeros_like(g))
        p.grad = g
        g[1] = bad
        with pytest.raises(NonFiniteError, match="in parameter 0, entry 1"):
            EFSGD([p], 0.1, form="eager").step()


def test_vectors_that_blas_cannot_take_stand_beside_those_it_takes() -> None:
    torch.manual_seed(0)
    xs = [torch.randn(20), torch.randn(20).to(torch.bfloat16), torch.randn(4, 5).t(), torch.randn(20, dtype=torch.float64)]
    gs = [torch.randn(x.shape).to(x.dtype) for x in xs]
    for granularity in ("tensor", "model"):
        results = []
        for form in ("eager", "foreach"):
            params = [torch.nn.Parameter(x.clone()) for x in xs]
            for p, g in zip(params, gs, strict=True):
                p.grad = g.clone()
            optimizer = EFSGD(params, 0.1, form=form, granularity=granularity)
            optimizer.step()
            optimizer.step()
            results.append([p.detach() for p in params])
        for one, other in zip(*results, strict=True):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("words", [{}, {"feedback": False}, {"momentum": 0.9}], ids=str)
@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float64), (torch.float64, torch.float32)], ids=str)
def test_one_vector_of_two_precisions(dtypes: tuple[torch.dtype, ...], words: dict[str, Any]) -> None:
    results = []
    for form in ("eager", "foreach"):
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(50).to(dtype)) for dtype in dtypes]
        optimizer = EFSGD(params, 0.1, form=form, granularity="model", **words)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(50).to(p.dtype)
            optimizer.step()
        assert form == "foreach" or all(place is not None for _, place in optimizer._run._places._kept.values())
        results.append([p.detach() for p in params])
    assert all(torch.allclose(one, other, rtol=1e-5, atol=1e-6) for one, other in zip(*results, strict=True))


def test_autograd_is_not_told_of_what_a_failed_step_has_not_written() -> None:
    params = [torch.nn.Parameter(torch.ones(3)) for _ in range(2)]  # the last is stepped first
    params[0].grad, params[1].grad = torch.ones(3), torch.full((3,), 3e38)
    optimizer = EFSGD(params, 10.0, form="eager")
    before = [p._version for p in params]
    with pytest.raises(NonFiniteError, match="in parameter 1"):
        optimizer.step()
    assert params[0]._version == before[0] and torch.equal(params[0], torch.ones(3))


@pytest.mark.parametrize("form", ["eager", "foreach"])
def test_autograd_notices_that_a_step_has_written(form: str) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = EFSGD([p], 0.1, form=form)
    loss = (p**3).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_blas_has_one_thread_during_a_step_and_its_own_number_afterwards() -> None:
    blas = ThreadpoolController().select(user_api="blas")
    with blas.limit(limits=2):  # a library built without threads keeps one
        before = [lib.num_threads for lib in blas.lib_controllers]
        with _blas.one_thread():
            assert {lib.num_threads for lib in blas.lib_controllers} == {1}
        assert [lib.num_threads for lib in blas.lib_controllers] == before


def test_threads_that_step_at_once_leave_blas_its_number() -> None:
    def step() -> None:
        p = torch.nn.Parameter(torch.zeros(1000))
        p.grad = torch.ones(1000)
        optimizer = EFSGD([p], 0.1, form="eager")
        for _ in range(100):
            optimizer.step()

    found = set_blas_threads(2)
    try:
        before = ThreadpoolController().select(user_api="blas").info()
        threads = [threading.Thread(target=step) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ThreadpoolController().select(user_api="blas").info() == before
    finally:
        set_blas_threads(found)


def test_a_gradient_of_less_precision_is_widened_first() -> None:
    g, results = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16), []
    for form in ("eager", "foreach"):
        p = torch.nn.Parameter(torch.zeros(1000))
        if not hasattr(p, "grad_dtype"):
            pytest.skip("needs a torch with grad_dtype")
        p.grad_dtype = torch.bfloat16
        p.grad = g.clone()
        EFSGD([p], 0.1, form=form).step()
        results.append(p.detach())
    p = torch.nn.Parameter(torch.zeros(1000))
    p.grad = g.float()
    EFSGD([p], 0.1, form="foreach").step()
    assert all(torch.allclose(r, p.detach(), rtol=1e-6) for r in results)


@pytest.mark.parametrize("form", ["eager", "foreach"])
def test_a_gradient_with_the_negative_bit_is_read(form: str) -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch._neg_view(torch.tensor([1.0, -2.0, 3.0]))
    EFSGD([p], 1.0, form=form).step()
    assert p.tolist() == [2.0, -2.0, 2.0]


def test_the_default_device_is_for_other_tensors() -> None:
    p = torch.nn.Parameter(torch.zeros(3))
    p.grad = torch.tensor([1.0, -2.0, 3.0])
    optimizer = EFSGD([p], 1.0, form="eager")
    torch.set_default_device("meta")
    try:
        optimizer.step()
    finally:
        torch.set_default_device(None)
    assert p.tolist() == [-2.0, 2.0, -2.0]


def test_a_memory_of_another_shape_is_refused_before_anything_is_written() -> None:
    p = torch.nn.Parameter(torch.zeros(6))
    optimizer = EFSGD([p], 1.0, form="eager")
    stepped(optimizer, torch.arange(6.0))
    e = optimizer.state[p]["memory"].clone()
    p.data, p.grad = torch.zeros(3), torch.ones(3)
    with pytest.raises(RuntimeError, match="size"):
        optimizer.step()
    assert torch.equal(optimizer.state[p]["memory"], e) and not p.any()


@pytest.mark.parametrize("change", ["transposed memory", "another dtype on the same memory"])
def test_another_reading_of_the_same_memory_is_noticed(change: str) -> None:
    results = []
    for form in ("eager", "foreach"):
        buffer = torch.zeros(8)
        p = torch.nn.Parameter(buffer[:4].view(2, 2))
        optimizer = EFSGD([p], 1.0, form=form)
        stepped(optimizer, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        if change == "transposed memory":
            optimizer.state[p]["memory"].t_()
            g = torch.ones(2, 2)
        else:
            buffer.zero_()
            optimizer.state.clear()
            p.data, g = buffer.view(torch.float64).view(2, 2), torch.ones(2, 2, dtype=torch.float64)
            p.grad = None
        results.append(stepped(optimizer, g))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_nothing_is_kept_of_a_parameter_that_is_no_longer_stepped() -> None:
    params = [torch.nn.Parameter(torch.zeros(4)) for _ in range(2)]
    optimizer = EFSGD(params, 1.0, form="eager")
    for p in params:
        p.grad = torch.ones(4)
    optimizer.step()
    params[1].grad = None
    optimizer.step()
    assert list(optimizer._run._places._kept) == [0]
