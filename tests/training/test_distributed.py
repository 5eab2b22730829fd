"""Several processes give the same losses, weights and scores as one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tuned
import worker

WORKER = Path(__file__).parent / "worker.py"


def start(folder: Path, kind: str, processes: int, tunings: tuple[str, ...]) -> None:
    """Run the worker in `processes` processes with torchrun's variables; wait for all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(processes)}
    command = [sys.executable, str(WORKER), str(folder), kind, *tunings]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    try:
        said = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [p.returncode for p in started] == [0] * processes, "\n".join(said)[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the results of one process."""
    folder = tmp_path_factory.mktemp("together")
    tuned.encoder(folder / "model")
    worker.work(folder, "ddp", ["full", "lora", *tuned.ROWS])
    return folder


@pytest.mark.parametrize(
    ("kind", "processes", "tunings"),
    [
        pytest.param("ddp", 2, ("full", "prefix", "reader", "long"), marks=pytest.mark.slow),
        pytest.param("ddp", 3, ("full", "lora"), marks=pytest.mark.slow),
        pytest.param("fsdp", 2, ("full", "lora", "reader"), marks=pytest.mark.slow),
    ],
)
def test_the_same_global_batch_gives_the_same_losses_and_scores(folder, kind, processes, tunings):
    """Losses agree to 1e-5, and scores agree, although every process is killed once and resumed.

    Weights are compared by their scores: the gradient of the keys' bias consists of rounding errors
    (softmax does not depend on the bias), which AdamW turns into steps of full size.
    """
    start(folder, kind, processes, tunings)
    for tuning in tunings:
        names = (f"ddp-1-{tuning}", f"{kind}-{processes}-{tuning}")
        one, many = (json.loads((folder / f"{name}.json").read_text()) for name in names)
        for key in ("train_loss", "gradient_norm", "validation_loss", "learning_rate"):
            expected = [line[key] for line in one["course"] if key in line]
            found = [line[key] for line in many["course"] if key in line]
            assert len(expected) > 1
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        np.testing.assert_allclose(many["scores"], one["scores"], atol=1e-5)
        expected, found = (
            safetensors.torch.load_file(folder / f"{name}.safetensors") for name in names
        )
        assert found.keys() == expected.keys()
        for name, weight in expected.items():
            if not name.endswith("c_attn.bias"):
                np.testing.assert_allclose(found[name], weight, atol=2e-5)
