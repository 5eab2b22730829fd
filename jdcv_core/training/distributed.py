"""Training of one model by several processes, which torchrun starts; each has a share of a batch.

With one process all functions do nothing, so the loop is the same for one and for sixteen.
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
"""How long a process waits for process 0, which may be encoding a corpus. If one fails, torchrun
ends the others at once."""


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0. Only process 0 writes files and prints."""
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
                f"there are {torch.cuda.device_count()} CUDA devices for it",
                f"start at most {torch.cuda.device_count()} processes on this machine",
            )
        torch.cuda.set_device(local)
        dist.init_process_group("nccl", timeout=PATIENCE, device_id=torch.device("cuda", local))
    else:
        dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
        wait()  # process 0 holds the store that the others still use
    finally:
        gc.collect()  # a wrapped model that still exists keeps threads of the group alive
        dist.destroy_process_group()


def wrap(model: nn.Module, sharded: bool) -> nn.Module:
    """The model in a wrapper for several processes; the model itself with one process.

    sharded=False: DistributedDataParallel; each process holds all weights
    sharded=True:  FSDP2; each process holds a part of every layer (for gpt2-xl and its optimiser
                   state)
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
    """If `later`, a backward only adds to this process's gradients, without an exchange."""
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
    """This process's part of a batch [pair], and whether it is real.

    If a batch has fewer pairs than there are processes, some have none. They take its first pair,
    so that they make the same calls as the others, and must not count it.
    """
    mine = index[rank() :: world()]
    return (mine, True) if len(mine) else (index[:1], False)


def total(values: list[float]) -> list[float]:
    """The sum of each value over all processes, in float64."""
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
    """The sum over all processes; each gives an array with its rows, and 0 in the others."""
    return np.array(total(values.tolist())) if world() > 1 else values


def from_first(value: Any) -> Any:
    """The value of process 0, which JSON can hold, on all processes."""
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
    """Process 0 runs the block first, then the others, which find on disk what it has written."""
    if rank() > 0:
        wait()
    yield
    if rank() == 0:
        wait()


def wait() -> None:
    """Wait until all processes are here."""
    total([0.0])


def same_number(batches: list[list[int]], sharded: bool) -> list[list[int]]:
    """The same number of batches on every process if weights are sharded, since each call is an
    exchange between processes.

    Missing batches are replaced by batches of the first chunk alone, at the end; the caller must
    drop their results.
    """
    if not sharded or world() == 1:
        return batches
    most = torch.tensor([len(batches)], device=_device())
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return batches + [[0]] * (int(most.item()) - len(batches))


def _device() -> torch.device:
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
