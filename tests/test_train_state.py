"""EFSGD refuses a state or a group that it cannot use, in one line and with nothing changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from efcheck.compressors import Identity  # noqa: E402
from efcheck.errors import ArgumentError  # noqa: E402
from efcheck.train import EFSGD  # noqa: E402


def parameters() -> list[Any]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (5,))]


def stepped(make: Any) -> Any:
    params = parameters()
    optimizer = make(params)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return optimizer


def efsgd(params: Any) -> EFSGD:
    return EFSGD(params, 0.1, momentum=0.9)


def refused(state: Any, words: str) -> None:
    optimizer = stepped(efsgd)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ArgumentError, match=words) as found:
        optimizer.load_state_dict(state)
    assert "\n" not in str(found.value)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    assert all(torch.equal(after["state"][i][k], v) for i, kept in before["state"].items() for k, v in kept.items())


@pytest.mark.parametrize("name", ["memory", "momentum_buffer"])
@pytest.mark.parametrize(("other", "got"), [(torch.zeros(4), r"\(4,\)"), (torch.zeros(5, 1), r"\(5, 1\)"), (None, "NoneType")])
def test_a_buffer_of_another_shape_than_its_parameter_is_refused(name: str, other: Any, got: str) -> None:
    state = copy.deepcopy(stepped(efsgd).state_dict())
    state["param_groups"][0]["lr"] = 0.5
    state["state"][1][name] = other
    refused(state, rf"`state_dict` must have a {name} of shape \(5,\) for parameter 1; got {got}\.$")


def test_a_state_of_another_optimizer_is_refused() -> None:
    sgd = stepped(lambda params: torch.optim.SGD(params, 0.1, momentum=0.9)).state_dict()
    refused(sgd, "`state_dict` must be a state of EFSGD; got one whose group 0 has no momentum_at, .*steps")
    refused({}, "`state_dict` must be a state of EFSGD; got a dict without state and param_groups")


def test_one_vector_of_the_whole_model_has_feedback_for_all_groups_or_for_none() -> None:
    a, b = parameters()
    groups = [{"params": [a]}, {"params": [b], "feedback": False}]
    with pytest.raises(ArgumentError, match="`feedback` must be one for all groups when granularity is 'model'; got False"):
        EFSGD(groups, 0.1, granularity="model")
    EFSGD(groups, 0.1, granularity="group")


@pytest.mark.parametrize("key", ["compresor", "form", "granularity"])
def test_a_setting_that_is_none_of_a_group_is_named(key: str) -> None:
    a, b = parameters()
    optimizer = EFSGD([a], 0.1)
    with pytest.raises(ArgumentError, match=f"`params` must be groups with settings of lr, .*; got the key '{key}'"):
        optimizer.add_param_group({"params": [b], key: Identity()})
    assert len(optimizer.param_groups) == 1


def test_what_schedulers_leave_in_a_group_is_no_wrong_setting() -> None:
    a, b = parameters()
    first = EFSGD([{"params": [("a", a)]}], 0.1, momentum=0.9)
    torch.optim.lr_scheduler.OneCycleLR(first, 1.0, total_steps=10)
    torch.optim.swa_utils.SWALR(first, 0.05)
    (group,) = first.param_groups
    assert {"initial_lr", "max_lr", "swa_lr"} <= group.keys()
    again = EFSGD([{**group, "params": [b], "param_names": ["b"]}], 0.1)
    assert again.param_groups[0]["momentum"] == group["momentum"]


def test_a_copy_loads_a_state_and_takes_a_group() -> None:
    optimizer, (_, b) = stepped(efsgd), parameters()
    other = copy.deepcopy(optimizer)  # to the defaults of a copy torch adds a word of its own
    other.load_state_dict(optimizer.state_dict())
    other.add_param_group({"params": [b]})
    assert [group["lr"] for group in other.param_groups] == [0.1, 0.1]
