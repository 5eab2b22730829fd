"""Interrupted training ends with the weights, optimiser and course of uninterrupted training."""

import json
import signal
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import tuned

from jdcv_core.errors import InputError
from jdcv_core.training.checkpoints import latest_checkpoint
from jdcv_core.training.loop import Stopped, train
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.state import Trained


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tuned.encoder(tmp_path_factory.mktemp("model"))


class Killed(Exception):
    pass


def run(
    encoder, folder: Path, stop_after: int | None = None, settings=tuned.SETTINGS, tuning="full"
) -> tuple[dict[str, torch.Tensor], Trained]:
    """Train a new model, or stop with an error right after the step `stop_after`."""
    data = tuned.tokens()
    model = tuned.model(encoder, data, tuning)
    done = -1 if stop_after is None else stop_after

    def advance(steps: int = 1, note: str | None = None) -> None:
        nonlocal done
        done -= steps
        if done == 0:
            raise Killed

    trained = train(model, *tuned.parts(data), settings, 5, folder, advance=advance)
    return {k: v.detach().clone() for k, v in model.state_dict().items()}, trained


def digests(folder: Path) -> dict[str, str]:
    """Hash the files of the last checkpoint, without the seconds that training took."""
    last = latest_checkpoint(folder)
    found = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in last.glob("*.safetensors")
    }
    state = json.loads((last / "state.json").read_text())
    del state["trained"]["seconds"], state["random"]
    return {**found, "state": json.dumps(state, sort_keys=True)}


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("full", *tuned.ROWS)]


@pytest.mark.parametrize("tuning", [*SLOW, "lora"])
def test_killed_after_any_step_it_ends_in_the_same_weights(encoder, tuning, tmp_path):
    expected, whole = run(encoder, tmp_path / "whole", tuning=tuning)
    for step in (1, 3, 4, 8, 11, 12):
        folder = tmp_path / f"killed-{step}"
        with pytest.raises(Killed):
            run(encoder, folder, stop_after=step, tuning=tuning)
        found, trained = run(encoder, folder, tuning=tuning)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert (trained.course, trained.thresholds) == (whole.course, whole.thresholds)
        assert (trained.step, trained.best_step, trained.work) == (12, whole.best_step, whole.work)
        assert digests(folder) == digests(tmp_path / "whole")


def test_killed_again_and_again(encoder, tmp_path):
    expected, _ = run(encoder, tmp_path / "whole")
    # It stops three steps after each start; a checkpoint is made every second step.
    settings = TrainingSettings(**{**vars(tuned.SETTINGS), "checkpoint_every": 2})
    deaths = 0
    while True:
        before = latest_checkpoint(tmp_path / "killed")
        start = int(before.name[-8:]) if before else 0
        try:
            found, _ = run(encoder, tmp_path / "killed", start + 3, settings)
            break
        except Killed:
            deaths += 1
    assert deaths == 5
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_comparison_can_fail(encoder, tmp_path):
    """Another seed of dropout, or another number of steps, gives other weights."""
    expected, _ = run(encoder, tmp_path / "a")
    shorter = TrainingSettings(**{**vars(tuned.SETTINGS), "steps": 11})
    other, _ = run(encoder, tmp_path / "b", settings=shorter)
    assert not all(torch.equal(other[name], expected[name]) for name in expected)
    assert digests(tmp_path / "a") != digests(tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_stops(encoder, number, tmp_path):
    data = tuned.tokens()
    steps = 0

    def advance(count: int = 1, note: str | None = None) -> None:
        nonlocal steps
        steps += count
        if steps == 4:  # no checkpoint is due at 4 or 5
            signal.raise_signal(number)

    model = tuned.model(encoder, data)
    before = signal.getsignal(number)
    with pytest.raises(Stopped):
        train(model, *tuned.parts(data), tuned.SETTINGS, 5, tmp_path / "a", advance=advance)
    assert signal.getsignal(number) == before
    assert latest_checkpoint(tmp_path / "a").name == "checkpoint-00000005"
    found, _ = run(encoder, tmp_path / "a")
    expected, _ = run(encoder, tmp_path / "whole")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_finished_training_is_not_trained_again(encoder, tmp_path):
    expected, whole = run(encoder, tmp_path)
    found, again = run(encoder, tmp_path)
    assert again.seconds == whole.seconds
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_checkpoint_of_another_training_is_refused(encoder, tmp_path):
    with pytest.raises(Killed):
        run(encoder, tmp_path, stop_after=6)
    other = TrainingSettings(**{**vars(tuned.SETTINGS), "learning_rate": 2e-3})
    with pytest.raises(InputError, match="another settings"):
        run(encoder, tmp_path, settings=other)


def test_a_damaged_checkpoint_is_an_error_that_names_the_file(encoder, tmp_path):
    with pytest.raises(Killed):
        run(encoder, tmp_path, stop_after=6)
    path = latest_checkpoint(tmp_path) / "optimizer.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(InputError, match="optimizer.safetensors"):
        run(encoder, tmp_path)


def test_patience_stops_early_and_the_best_is_kept(encoder, tmp_path):
    settings = TrainingSettings(
        **{**vars(tuned.SETTINGS), "steps": 200, "evaluate_every": 2, "patience": 3}
    )
    _, trained = run(encoder, tmp_path, settings=settings)
    assert trained.step < 200
    assert trained.step == trained.best_step + 3 * 2
