"""Copy tensors to and from the device without waiting for the work that is under way."""

from __future__ import annotations

import torch
from torch import Tensor


def to_device(x: Tensor, device: str | torch.device) -> Tensor:
    """Copy a tensor from the CPU. A plain copy to a GPU waits until the GPU has nothing to do."""
    if torch.device(device).type == "cuda":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


class Arriving:
    """A copy to the CPU that has begun; `wait` returns it when it is complete."""

    def __init__(self, x: Tensor) -> None:
        self._copy = x.to("cpu", non_blocking=True)
        self._event: torch.cuda.Event | None = None
        if x.is_cuda:
            self._event = torch.cuda.Event()
            self._event.record(torch.cuda.current_stream(x.device))

    def wait(self) -> Tensor:
        if self._event is not None:
            self._event.synchronize()
        return self._copy
