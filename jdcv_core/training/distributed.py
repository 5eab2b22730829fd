"""Train one model in several processes, started by torchrun; each processes a share of a batch.

With one process, the functions do nothing, so the loop is the same for any number of processes.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from jdcv_core.errors import InputError

PATIENCE = timedelta(hours=12)
"""How long a process waits for process 0, which may be encoding a corpus. If a process fails,
torchrun ends the others immediately."""


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number, from 0. Only process 0 writes files and prints."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextmanager
def processes() -> Iterator[None]:
    """Join the other processes that torchrun started; do nothing if there are none.

    The backend is nccl on CUDA machines, with each process on the device of its LOCAL_RANK, and
    gloo elsewhere.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
        yield
        return
    if torch.cuda.is_available():
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise InputError(
                f"torchrun, process {local}",
                f"this machine has {torch.cuda.device_count()} CUDA devices",
                f"start at most {torch.cuda.device_count()} processes on this machine",
            )
        torch.cuda.set_device(local)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=torch.device("cuda", local))
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        wait()  # process 0 runs the key-value store that the others still use
    finally:
        gc.collect()  # a wrapped model that is still in memory keeps threads of the group alive
        dist.destroy_process_group()


def wrap(model: nn.Module, sharded: bool) -> nn.Module:
    """Wrap the model for several processes; with one process, return the model itself.

    sharded=False: DistributedDataParallel; each process holds all weights
    sharded=True:  FSDP2; each process holds a part of every layer (for gpt2-xl, whose optimiser
                   state may not fit on one GPU)
    """
    if world() == 1:
        return model
    if not sharded:
        return nn.parallel.DistributedDataParallel(model)
    from torch.distributed.fsdp import fully_shard

    for layers in [m for m in model.modules() if isinstance(m, nn.ModuleList)]:
        for layer in layers:
            if any(True for _ in layer.parameters()):
                fully_shard(layer)
    fully_shard(model)
    model.sharded = True  # type: ignore[assignment]
    return model


@contextmanager
def gradients_later(model: nn.Module, later: bool) -> Iterator[None]:
    """If `later`, a backward pass adds to this process's gradients and exchanges nothing."""
    if world() == 1:
        yield
    elif isinstance(model, nn.parallel.DistributedDataParallel):
        if later:
            with model.no_sync():
                yield
        else:
            yield
    else:
        model.set_requires_gradient_sync(not later)  # type: ignore[operator]
        yield


def share(index: Tensor) -> tuple[Tensor, bool]:
    """Return this process's part of a batch [pair], and whether that part is real.

    If there are more processes than pairs, some processes have no pair. They get the first pair of
    the batch, so that they make the same calls as the others, and the caller must not count it.
    """
    mine = index[rank() :: world()]
    return (mine, True) if len(mine) else (index[:1], False)


def total(values: list[float]) -> list[float]:
    """Sum each value over all processes, in float64."""
    if world() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=_device())
    dist.all_reduce(tensor)
    return tensor.tolist()


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes; a missing one counts as 0."""
    if world() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= world()


def gather_rows(values: np.ndarray) -> np.ndarray:
    """Sum an array over all processes; each process fills its own rows and leaves 0 elsewhere."""
    return np.array(total(values.tolist())) if world() > 1 else values


def from_first(value: Any) -> Any:
    """Return the value of process 0, which must be representable in JSON, on all processes."""
    if world() == 1:
        return value
    import json

    text = json.dumps(value).encode() if rank() == 0 else b""
    (length,) = total([float(len(text))])
    data = torch.zeros(int(length), dtype=torch.uint8, device=_device())
    if rank() == 0:
        data += torch.tensor(list(text), dtype=torch.uint8, device=_device())
    dist.broadcast(data, 0)
    return json.loads(bytes(data.cpu().tolist()))


@contextmanager
def first_alone() -> Iterator[None]:
    """Run the block in process 0 first; then the others run it and find its files on disk."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Wait until all processes have called this function."""
    total([0.0])


def same_number(batches: list[list[int]], sharded: bool) -> list[list[int]]:
    """Give every process the same number of batches if weights are sharded.

    With sharded weights, the processes exchange data in every call. A process with fewer batches
    gets extra batches at the end that consist of the first chunk; the caller must drop their
    results.
    """
    if not sharded or world() == 1:
        return batches
    most = torch.tensor([len(batches)], device=_device())
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return batches + [[0]] * (int(most.item()) - len(batches))


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
