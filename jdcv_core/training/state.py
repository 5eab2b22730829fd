"""The state of a training between two updates: how it is saved to a checkpoint and restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from jdcv_core.errors import InputError
from jdcv_core.training import checkpoints
from jdcv_core.training.distributed import rank, wait, world
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import Trainable

Weights = Mapping[str, Tensor]


@dataclass
class Trained:
    """The results of training so far, in plain values; a checkpoint holds them unchanged.

    step:       number of updates done
    thresholds: cuts between classes, tuned at the best validation
    validation_weighted_f1, best_step: weighted F1 and step of the best validation
    looks_without_better: number of validations since the best one
    course:     log lines, one every `log_every` steps (step, train_loss: mean since the last line,
                learning_rate, gradient_norm) and one at every validation (step, validation_loss:
                mean squared error of the score, validation_weighted_f1)
    losses:     losses of the updates since the last line
    work:       number of tokens (each document counted once a batch) or of pairs processed in
                training; `unit` says which of the two
    seconds:    seconds of training, without interruptions
    """

    step: int = 0
    thresholds: tuple[float, float] = (0.0, 0.0)
    validation_weighted_f1: float = -1.0
    best_step: int = 0
    looks_without_better: int = 0
    course: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    work: int = 0
    unit: str = "pairs"
    seconds: float = 0.0

    def finished(self, settings: TrainingSettings) -> bool:
        """Return whether all steps are done or `patience` validations brought no better result."""
        patience = settings.patience
        return self.step >= settings.steps or 0 < patience <= self.looks_without_better


def trained_weights(whole: nn.Module) -> dict[str, Any]:
    """Copy the trained weights to the CPU, by name; on processes other than 0, return {}."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    found = cast(dict[str, Tensor], get_model_state_dict(whole, options=options))
    return {name: weight.detach().clone() for name, weight in found.items()}


def load_weights(whole: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load the weights of process 0 on all processes; the argument of the others is ignored."""
    options = StateDictOptions(full_state_dict=True, strict=False, broadcast_from_rank0=world() > 1)
    set_model_state_dict(whole, dict(weights), options=options)


def save_training(
    folder: Path,
    whole: nn.Module,
    optimizer: torch.optim.Optimizer,
    trained: Trained,
    best: Weights,
    config: Mapping[str, Any],
) -> None:
    """Write a checkpoint in process 0, while the others wait. Unchanged best weights are linked.

    Raises InputError if it cannot be written; the previous checkpoint then remains complete.
    """
    weights = trained_weights(whole)
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_optimizer_state_dict(whole, optimizer, options=options)
    if rank() == 0:
        tensors, groups = checkpoints.flatten_optimizer(state)
        before = checkpoints.latest_checkpoint(folder)
        files: dict[str, Weights] = {"weights": weights, "optimizer": tensors}
        unchanged = {}
        if best and before is not None and trained.best_step <= checkpoints.step_of(before):
            unchanged["best"] = before / "best.safetensors"
        elif best:
            files["best"] = best
        facts = {
            "trained": asdict(trained),
            "optimizer": groups,
            # GPU states are left out: every update seeds them, and the number of GPUs may change.
            "random": checkpoints.random_state() | {"cuda": []},
        }
        checkpoints.save_checkpoint(folder, trained.step, files, facts, config, unchanged)
    wait()


def restore_training(
    found: Path,
    whole: nn.Module,
    model: Trainable,
    optimizer: torch.optim.Optimizer,
    config: Mapping[str, Any],
) -> tuple[Trained, Weights]:
    """Restore a training from a verified checkpoint.

    Raises InputError if the checkpoint belongs to another training.
    """
    checkpoint = checkpoints.load_checkpoint(found)
    for key, value in config.items():
        if checkpoint.config.get(key) != value:
            raise InputError(
                str(found),
                f"it was made with another {key}",
                "remove the folder, or give the settings that it was made with",
            )
    state = checkpoint.state
    load_weights(whole, checkpoint.tensors["weights"])
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=world() > 1)
    shapes = {n: p.shape for n, p in model.named_parameters() if p.requires_grad}
    restored = checkpoints.unflatten_optimizer(
        checkpoint.tensors["optimizer"], state["optimizer"], shapes
    )
    set_optimizer_state_dict(whole, optimizer, restored, options=options)
    checkpoints.restore_random_state(state["random"])
    trained = Trained(**state["trained"])
    trained.thresholds = (trained.thresholds[0], trained.thresholds[1])
    return trained, checkpoint.tensors.get("best", {})
