"""Make an encoder's weights or LoRA adapters trainable, and merge trained adapters."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any, Literal, get_args

import torch
from torch import nn

from jdcv_core.encoding.encoder import Encoder
from jdcv_core.errors import InputError, nearest

Tuning = Literal["frozen", "lora", "full"]
TUNINGS: tuple[Tuning, ...] = get_args(Tuning)


def trainable_module(
    encoder: Encoder, tuning: Tuning, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0
) -> nn.Module:
    """Copy the encoder's module in fp32; only the weights to be trained require gradients.

    tuning: "full" trains every weight. "lora" trains only adapters of `rank` for every matrix of
            the layers, W + alpha / rank * B A; B = 0 at the start, so that the outputs are
            unchanged before the first step (Hu et al. 2022, "LoRA", section 4.1). "frozen" trains
            nothing
    rank, alpha, dropout: settings of LoRA; the dropout is applied to the adapters' input

    The matrices A are drawn from torch's generator. Raises InputError for an unknown tuning and for
    a rank below 1, and RuntimeError if the number of adapted modules is not that of the matrices.
    """
    if tuning not in TUNINGS:
        raise InputError(f"tuning {tuning}", "it is unknown", nearest(tuning, list(TUNINGS)))
    module = encoder.network.load().to(encoder.device, torch.float32)
    module.requires_grad_(tuning == "full")
    if tuning == "lora":
        adapt(module, rank, alpha, dropout)
    return module


def adapt(module: nn.Module, rank: int, alpha: float, dropout: float) -> int:
    """Add a LoRA adapter to every matrix of the layers, in place. Returns how many were added.

    GPT-2's matrices are `Conv1D`, which stores the transpose of a `Linear` weight. A library that
    searches for `Linear` finds none of them and silently adapts nothing, so the caller checks the
    count.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    if rank < 1:
        raise InputError(f"lora rank {rank}", "the rank must be at least 1", "give 1 or more")
    names = matrices(module)
    settings = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # annotated int, used as a factor
        lora_dropout=dropout,
        target_modules=names,
        fan_in_fan_out=any(_is_conv1d(module.get_submodule(name)) for name in names),
    )
    inject_adapter_in_model(settings, module)
    adapted = sum(isinstance(m, LoraLayer) for m in module.modules())
    if not names or adapted != len(names):
        raise RuntimeError(f"{adapted} modules were adapted, of {len(names)} that should have been")
    return adapted


def matrices(module: nn.Module) -> list[str]:
    """List the names of the linear maps in the module: `Linear` and GPT-2's `Conv1D`."""
    return [n for n, m in module.named_modules() if isinstance(m, nn.Linear) or _is_conv1d(m)]


def merge(module: nn.Module) -> nn.Module:
    """Add every adapter to its matrix and remove it, in place; no module of peft remains."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()  # type: ignore[operator]
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, layer.get_base_layer())
    return module


def save_memory(module: nn.Module) -> None:
    """Switch on gradient checkpointing: keep each layer's input and recompute the rest.

    It needs far less memory and about one more forward pass (Chen et al. 2016). The gradient is the
    same, also with dropout. Raises InputError for an encoder that does not support it.
    """
    names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")  # new, old
    able = [getattr(m, name) for m in module.modules() for name in names if hasattr(m, name)]
    if not able:
        raise InputError(
            "training.gradient_checkpointing",
            f"{type(module).__name__} does not support it",
            "set it to false",
        )
    able[0]({"use_reentrant": False})


def with_module(encoder: Encoder, module: nn.Module) -> Encoder:
    """Copy the encoder with a trained fp32 module and the fingerprint of the new weights."""
    module = merge(module).requires_grad_(False).eval()
    digest = sha256()
    for name, weight in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    identity: dict[str, Any] = {**encoder.network.identity, "weights": digest.hexdigest()}
    network = replace(encoder.network, load=lambda: module, identity=identity)
    return replace(
        encoder, network=network, precision="fp32", calls=0, chunks_encoded=0, _module=None
    )


def _is_conv1d(module: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, Conv1D)
