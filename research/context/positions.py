"""Positions for rows that are longer than an encoder's window: interpolated ones, or none."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from jdcv_core.errors import InputError


def stretch(module: nn.Module, count: int) -> None:
    """Give an encoder of GPT-2's class `count` positions, interpolated linearly, in place.

    The first and the last embedding stay. Training then adapts them (Chen et al. 2023, "Extending
    context window of large language models via position interpolation", arXiv 2306.15595, which
    interpolates rotary positions). A `count` that is not above the encoder's number changes
    nothing. Raises InputError for an encoder without learned positions.
    """
    table = table_of(module)
    if count <= table.num_embeddings:
        return
    old = table.weight.detach().T[None]  # [1 dim position]
    new = nn.functional.interpolate(old, size=count, mode="linear", align_corners=True)[0].T
    trained = table.weight.requires_grad
    table.weight = nn.Parameter(new.contiguous(), requires_grad=trained)
    table.num_embeddings = count


def drop(module: nn.Module) -> None:
    """Set all learned positions of an encoder to 0 and train them no more, in place.

    The causal mask still tells a decoder the order of tokens. The training that follows is the
    recalibration of Gelberg et al. 2025 (arXiv 2512.12167), who drop rotary positions.
    Raises InputError as `stretch` does.
    """
    table = table_of(module)
    with torch.no_grad():
        table.weight.zero_()
    table.weight.requires_grad_(False)


def table_of(module: Any) -> nn.Embedding:
    """Return the learned positions of GPT-2's class."""
    table = getattr(module, "wpe", None)
    if not isinstance(table, nn.Embedding):
        what = f"{type(module).__name__} has no learned positions"
        raise InputError("context", what, "take positions: restart, or a GPT-2")
    return table
