"""A checkpoint is restored bit for bit, or the previous one is; never a mixture of both."""

import itertools
import json
import os
import random
import shutil
import signal

import numpy as np
import pytest
import safetensors.torch
import torch
from failing_os import CALLS, FAULTS, error_of, failing_os, flip, watched_os
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from jdcv_core.errors import InputError
from jdcv_core.training.checkpoints import (
    flatten_optimizer,
    latest_checkpoint,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
    unflatten_optimizer,
)

CONFIG = {"seed": 0, "learning_rate": 5e-6, "betas": [0.9, 0.999], "tracker": None}


def tensors(step):
    draw = torch.Generator().manual_seed(step)
    return {
        "model": {"w": torch.randn(3, 4, generator=draw), "n": torch.tensor(step)},
        "optimizer": {"w.exp_avg": torch.randn(3, 4, generator=draw)},
    }


def state(step):
    return {"step": step, "best": 1 / (step + 2), "generator": 2**127 + step, "none": None}


def save(parent, step):
    """Save as training does: the best weights are those of step 1, which later steps link."""
    if step == 1:
        return save_checkpoint(
            parent, 1, tensors(1) | {"best": tensors(1)["model"]}, state(1), CONFIG
        )
    best = latest_checkpoint(parent) / "best.safetensors"
    return save_checkpoint(parent, step, tensors(step), state(step), CONFIG, {"best": best})


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if isinstance(tensor, dict):
            equal(found[name], tensor)
        else:
            assert found[name].dtype == tensor.dtype
            assert found[name].shape == tensor.shape
            assert torch.equal(found[name], tensor)


def step_of(parent):
    """Return the step of the newest checkpoint, after comparing it with the arguments of `save`."""
    found = load_checkpoint(latest_checkpoint(parent))
    equal(found.tensors, tensors(found.step) | {"best": tensors(1)["model"]})
    assert (found.state, found.config) == (state(found.step), CONFIG)
    for other in parent.glob("checkpoint-????????/"):
        load_checkpoint(other)  # everything with the name of a checkpoint is complete
    return found.step


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_every_kind_of_tensor_comes_back(tmp_path):
    table = torch.randn(5, 3, requires_grad=True)
    given = {
        "tied": table, "again": table, "rows": table[1:3], "turned": table.T, "number": table[2, 1],
        "bf16": torch.randn(3).bfloat16(), "fp16": torch.randn(2, 2).half(), "none": table[:0],
        "int64": torch.tensor(2**62), "bool": torch.tensor([True, False]),
        "bytes": torch.arange(9).byte(),
        "fp64": torch.tensor([1 / 3, float("nan"), -0.0], dtype=torch.float64),
    }  # fmt: skip
    folder = save_checkpoint(tmp_path, 7, {"a": given, "deep/b": {}}, {}, {})
    found = load_checkpoint(folder)
    assert found.tensors["a"]["fp64"].numpy().tobytes() == given.pop("fp64").numpy().tobytes()
    found.tensors["a"].pop("fp64")
    equal(found.tensors, {"a": given, "deep/b": {}})
    assert (found.folder, found.step) == (tmp_path / "checkpoint-00000007", 7)
    assert not any(t.requires_grad for t in found.tensors["a"].values())


def test_plain_state_comes_back_exactly_and_nan_as_none(tmp_path):
    given = {"a": [0.1, 1e-320, -0.0, 2**128 + 1, "ü"], "b": {"c": (1, None)}, "nan": float("nan")}
    found = load_checkpoint(save_checkpoint(tmp_path, 1, {}, given, {"x": float("nan")}))
    expected = {"a": given["a"], "b": {"c": [1, None]}, "nan": None}
    assert repr(found.state) == repr(expected)
    assert found.config == {"x": None}


def test_the_newest_is_found_and_older_ones_are_removed(tmp_path):
    assert latest_checkpoint(tmp_path / "missing") is None
    assert latest_checkpoint(tmp_path) is None
    (tmp_path / "checkpoint-notes").mkdir()
    (tmp_path / ".checkpoint-00000009.1.jdcv-tmp").mkdir()  # belongs to process 1, which is running
    (tmp_path / "checkpoint-00000010").write_text("a file")
    (tmp_path / f".checkpoint-00000005.{os.getpid()}.jdcv-tmp").mkdir()
    for step in (1, 2, 3):
        folder = save(tmp_path, step)
        assert latest_checkpoint(tmp_path) == folder
        assert step_of(tmp_path) == step
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        "checkpoint-notes", ".checkpoint-00000009.1.jdcv-tmp", "checkpoint-00000010",
        "checkpoint-00000003",
    }  # fmt: skip


def test_steps_are_compared_as_numbers(tmp_path):
    for step in (99_999_999, 100_000_000):
        assert latest_checkpoint(tmp_path) != save_checkpoint(tmp_path, step, {}, {}, {})
    assert latest_checkpoint(tmp_path).name == "checkpoint-100000000"


def test_the_same_tensors_give_the_same_bytes(tmp_path):
    first = files(save(tmp_path / "a", 1))
    backwards = {stem: dict(reversed(group.items())) for stem, group in tensors(1).items()}
    given = {"best": tensors(1)["model"], **backwards}
    second = files(save_checkpoint(tmp_path / "b", 1, given, state(1), CONFIG))
    assert {n: b for n, b in first.items() if n != "manifest.json"} == {
        n: b for n, b in second.items() if n != "manifest.json"
    }


def test_a_checkpoint_of_this_step_is_not_changed(tmp_path):
    folder = save(tmp_path, 1)
    before = files(folder)
    assert save_checkpoint(tmp_path, 1, {"other": {}}, {}, {}) == folder
    assert files(folder) == before
    flip(folder / "model.safetensors", -1)
    with pytest.raises(InputError, match=r"model\.safetensors: it is altered"):
        save_checkpoint(tmp_path, 1, {}, {}, {})


def test_saving_before_a_later_checkpoint_is_refused(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 5)
    with pytest.raises(InputError, match="there is a later checkpoint than step 3. Resume from it"):
        save_checkpoint(tmp_path, 3, {}, {}, {})
    assert step_of(tmp_path) == 5


def test_the_best_weights_are_linked_with_their_original_hash(tmp_path):
    first = (save(tmp_path, 1) / "best.safetensors").stat().st_ino
    for step in (2, 3):
        assert (save(tmp_path, step) / "best.safetensors").stat().st_ino == first
    flip(latest_checkpoint(tmp_path) / "best.safetensors", -1)
    folder = save(tmp_path, 4)
    with pytest.raises(InputError, match=r"checkpoint-00000004/best\.safetensors: it is altered"):
        load_checkpoint(folder)
    with pytest.raises(InputError, match=r"other\.safetensors: it is not a checkpoint's file"):
        save_checkpoint(tmp_path, 5, {}, {}, {}, {"best": folder / "other.safetensors"})
    with pytest.raises(ValueError, match="best is given both"):
        save_checkpoint(tmp_path, 5, {"best": {}}, {}, {}, {"best": folder / "best.safetensors"})
    assert latest_checkpoint(tmp_path) == folder


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_damage_names_the_file_and_no_older_checkpoint_is_taken(tmp_path, name):
    shutil.copytree(save(tmp_path, 1), tmp_path / "copy")
    folder = save(tmp_path, 2)
    (tmp_path / "copy").rename(tmp_path / "checkpoint-00000001")
    flip(folder / name, -9)
    with pytest.raises(InputError, match=rf"checkpoint-00000002/{name}: it is altered"):
        load_checkpoint(latest_checkpoint(tmp_path))
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"checkpoint-00000002/{name}: it is missing"):
        load_checkpoint(latest_checkpoint(tmp_path))


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_nothing_is_parsed_before_its_hash_is_compared(tmp_path, monkeypatch, name):
    folder = save(tmp_path, 1)
    flip(folder / name, 9)
    parsed = []
    for home, parser in ((safetensors.torch, "load"), (json, "loads")):
        real = getattr(home, parser)
        monkeypatch.setattr(home, parser, lambda data, f=real: (parsed.append(data), f(data))[1])
    with pytest.raises(InputError, match=f"{name}: it is altered"):
        load_checkpoint(folder)
    assert parsed, "the manifest was"
    assert (folder / name).read_bytes() not in parsed


@pytest.mark.parametrize(("code", "how"), FAULTS)
def test_after_a_failure_at_any_call_a_complete_checkpoint_remains(tmp_path, code, how):
    save(tmp_path, 1)
    seen, steps = set(), set()
    for step in itertools.count(2):
        with failing_os(step - 1, code, how) as failed:
            report = error_of(lambda to=step: save(tmp_path, to))
        assert bool(report) == bool(failed)
        seen |= {*failed[:1]}
        steps.add(step_of(tmp_path) - step)
        assert save(tmp_path, step).name == f"checkpoint-{step:08d}"
        assert step_of(tmp_path) == step
        assert len([*tmp_path.iterdir()]) == 1
        if not failed:
            break
    assert seen == {*CALLS} - {"replace"}
    assert steps == {-1, 0}


def killed_at(parent, at):
    """Save step 2 in a child that is killed at its call number `at`; return whether it was."""

    def act(number, name, args, do):
        if number == at:
            if name == "write":  # half of it is written
                os.pwrite(args[0], bytes(args[1][: len(args[1]) // 2]), 0)
            os.kill(os.getpid(), signal.SIGKILL)
        return do()

    child = os.fork()
    if child == 0:
        try:
            with watched_os(act):
                save(parent, 2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status != 0


def test_a_kill_at_any_call_leaves_the_old_state_or_the_new_one(tmp_path):
    """Send SIGKILL before each call that changes a file, in turn; then save again."""
    save(tmp_path / "base", 1)
    shutil.copytree(tmp_path / "base", tmp_path / "whole")
    expected = files(save(tmp_path / "whole", 2))
    found = []
    for at in itertools.count(1):
        parent = tmp_path / str(at)
        shutil.copytree(tmp_path / "base", parent)
        killed = killed_at(parent, at)
        found.append(step_of(parent))
        assert files(save(parent, 2)) == expected
        assert len([*parent.iterdir()]) == 1, "leftovers are gone"
        if not killed:
            break
    assert found == sorted(found)
    assert {*found} == {1, 2}
    assert len(found) > 25


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        self.head = nn.Linear(3, 1)
        self.frozen = nn.Linear(3, 1).requires_grad_(False)

    def forward(self, x):
        return self.head(self.body(x))


def small(amsgrad=False):
    torch.manual_seed(3)
    model = Small()
    groups = [
        {"params": [*model.body.parameters()], "weight_decay": 0.01},
        {"params": [*model.head.parameters()], "lr": 5e-3, "weight_decay": 0.0},
    ]
    return model, torch.optim.AdamW(groups, lr=5e-4, betas=(0.9, 0.98), amsgrad=amsgrad)


def update(model, optimizer, steps):
    draw = torch.Generator().manual_seed(steps)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4, generator=draw)).square().mean().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.97


def shapes(model):
    return {n: tuple(p.shape) for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("amsgrad", [False, True])
def test_a_restored_adamw_equals_an_uninterrupted_one(tmp_path, amsgrad):
    model, optimizer = small(amsgrad)
    update(model, optimizer, 3)
    whole = StateDictOptions(full_state_dict=True)
    held, facts = flatten_optimizer(get_optimizer_state_dict(model, optimizer, options=whole))
    assert held["head.weight.step"] == 3
    folder = save_checkpoint(
        tmp_path, 3, {"model": model.state_dict(), "optimizer": held}, {"optimizer": facts}, {}
    )
    update(model, optimizer, 4)

    found = load_checkpoint(folder)
    again, fresh = small(amsgrad)
    again.load_state_dict(found.tensors["model"])
    parts = unflatten_optimizer(found.tensors["optimizer"], found.state["optimizer"], shapes(again))
    set_optimizer_state_dict(again, fresh, parts, options=whole)
    update(again, fresh, 4)
    equal(again.state_dict(), dict(model.state_dict()))
    for mine, theirs in zip(again.parameters(), model.parameters(), strict=True):
        equal(fresh.state[mine], optimizer.state[theirs])
    settings = [
        [{**group, "params": None, "betas": (*group["betas"],)} for group in o.param_groups]
        for o in (fresh, optimizer)
    ]
    assert settings[0] == settings[1]


def test_unflattening_is_the_exact_inverse():
    model, optimizer = small()
    update(model, optimizer, 2)
    given = get_optimizer_state_dict(model, optimizer)
    held, facts = flatten_optimizer(given)
    found = unflatten_optimizer(held, json.loads(json.dumps(facts)))
    assert found["param_groups"] == given["param_groups"]
    equal(found["state"], given["state"])
    assert all("frozen" not in name for name in held)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda held, now: held.pop("head.bias.exp_avg"), "tensor head.bias.exp_avg is missing"),
        (lambda held, now: held.update(x=held["head.bias.step"]), "tensor x is not expected"),
        (
            lambda held, now: held.update({"head.bias.exp_avg": torch.zeros(2)}),
            r"head.bias.exp_avg has shape \(2,\), but \(1,\) is expected",
        ),
        (
            lambda held, now: held.update({"head.bias.step": torch.zeros(1)}),
            r"head.bias.step has shape \(1,\), but \(\) is expected",
        ),
        (lambda held, now: now.pop("head.bias"), "parameter head.bias is not expected"),
        (lambda held, now: now.update(x=(1,)), "parameter x is missing"),
        (
            lambda held, now: now.update({"head.weight": (1, 4)}),
            r"head.weight.exp_avg has shape \(1, 3\), but \(1, 4\) is expected",
        ),
    ],
)
def test_an_optimiser_state_that_does_not_fit_names_what_does_not(spoil, message):
    model, optimizer = small()
    update(model, optimizer, 1)
    held, facts = flatten_optimizer(get_optimizer_state_dict(model, optimizer))
    now = shapes(model)
    unflatten_optimizer(held, facts, now)
    spoil(held, now)
    with pytest.raises(InputError, match=f"the optimiser's state: {message}. Resume with"):
        unflatten_optimizer(held, facts, now)


def test_a_state_that_is_not_a_tensor_is_reported():
    with pytest.raises(TypeError, match=r"w\.step: expected a tensor, got int"):
        flatten_optimizer({"state": {"w": {"step": 1}}, "param_groups": []})
    with pytest.raises(TypeError, match="Tensor is not a plain value"):
        flatten_optimizer({"state": {}, "param_groups": [{"lr": torch.tensor(1.0)}]})


def draws():
    return (
        [random.random(), random.gauss(0, 1), random.getrandbits(70)],
        [np.random.rand(), np.random.randn(), np.random.randint(1000)],  # noqa: NPY002
        [*torch.rand(3).tolist(), *torch.randn(17).tolist(), *torch.randperm(9).tolist()],
    )


@pytest.mark.parametrize("drawn", range(3))
def test_restored_generators_continue_their_sequences(tmp_path, drawn):
    before = random_state()
    for _ in range(drawn):  # one gauss keeps a second one for later
        draws()
    random.gauss(0, 1)
    np.random.randn()  # noqa: NPY002
    torch.randn(1)
    folder = save_checkpoint(tmp_path, 1, {}, {"random": random_state()}, {})
    expected = draws(), draws()
    for _ in range(5):
        draws()
    restore_random_state(load_checkpoint(folder).state["random"])
    assert (draws(), draws()) == expected
    restore_random_state(before)
    assert random_state() == before


def test_random_states_of_other_gpus_are_refused_before_any_is_restored(monkeypatch):
    gpus = [torch.arange(16, dtype=torch.uint8), torch.arange(16, 32, dtype=torch.uint8)]
    restored = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.extend)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    saved = random_state()
    restore_random_state(saved)
    assert [t.tolist() for t in restored] == [t.tolist() for t in gpus]
    expected = draws()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    now = random_state()
    with pytest.raises(InputError, match="those of 2 GPUs, but this process sees 1. Resume"):
        restore_random_state(saved)
    assert random_state() == now
    restore_random_state({**saved, "cuda": []})
    assert draws() == expected
