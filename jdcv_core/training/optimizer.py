"""Parameter groups, and the learning rate over the steps."""

from __future__ import annotations

import torch
from torch import nn

from jdcv_core.training.settings import TrainingSettings


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """Make AdamW (Loshchilov & Hutter 2019) over `parameter_groups`."""
    return torch.optim.AdamW(parameter_groups(model, settings), lr=settings.learning_rate)


def parameter_groups(model: nn.Module, settings: TrainingSettings) -> list[dict]:
    """Split trained parameters into up to four groups: encoder or scorer, with or without decay.

    The learning rate of the scorer, which includes the match head, is `head_factor` times that of
    the pretrained encoder. Weight decay applies to matrices and embeddings. It does not apply to
    biases, gains of layer norms and single numbers, because it would move them away from the scale
    that the layer needs. Each group has a `name` for messages and tests, and `highest`, its rate at
    the end of the warm-up.
    """
    groups: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = "scorer" if "scorer" in name.split(".") else "encoder"
        decays = parameter.ndim >= 2
        group = groups.setdefault(
            f"{part}, {'decay' if decays else 'no decay'}",
            {
                "params": [],
                "weight_decay": settings.weight_decay if decays else 0.0,
                "highest": settings.learning_rate
                * (settings.head_factor if part == "scorer" else 1.0),
            },
        )
        group["params"].append(parameter)
    return [{"name": name, "lr": g["highest"], **g} for name, g in sorted(groups.items())]


def set_rate(optimizer: torch.optim.Optimizer, step: int, settings: TrainingSettings) -> float:
    """Set the learning rate of each group for the update `step` (counted from 0).

    The rates depend only on the step, so a resumed training has no schedule to restore. Returns the
    rate of the first group, which is the encoder's if the encoder is trained.
    """
    share = rate_share(step, settings)
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * share
    return optimizer.param_groups[0]["lr"]


def rate_share(step: int, settings: TrainingSettings) -> float:
    """Return the share of the peak rate: it rises linearly in the warm-up, then falls to 0.

    >>> s = TrainingSettings(steps=10, warmup=0.2)
    >>> [round(rate_share(i, s), 2) for i in range(10)]
    [0.5, 1.0, 1.0, 0.88, 0.75, 0.62, 0.5, 0.38, 0.25, 0.12]
    """
    warmup = max(1, round(settings.warmup * settings.steps))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (settings.steps - step) / max(1, settings.steps - warmup))
