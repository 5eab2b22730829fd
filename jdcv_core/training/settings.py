"""Settings of how a row of the table is trained."""

from __future__ import annotations

from dataclasses import dataclass

from jdcv_core.errors import InputError


@dataclass
class TrainingSettings:
    """Settings of the training loop.

    steps:         updates of the weights
    token_budget:  tokens that the encoder processes in training; if given, it sets `steps`
    batch:         pairs in one forward and backward pass
    accumulation:  batches in one update
    balance:       final shares of No, Potential and Good Fit among the draws; null keeps the shares
                   of the data. Labels of two classes take two shares, or the outer two of three
    balance_until: share of the steps after which these shares are reached
    learning_rate: peak rate of the encoder, reached after `warmup`; it then falls linearly to 0
    head_factor:   ratio of the scorer's learning rate to the encoder's
    warmup:        share of the steps in which the rate rises
    weight_decay:  weight decay of AdamW, for matrices only
    clip:          largest norm of the gradient
    precision:     precision of the encoder in training: fp32, bf16 (autocast), or auto (bf16 where
                   the hardware multiplies it)
    gradient_checkpointing: use less memory and about a third more time
    lora_rank, lora_alpha, lora_dropout: settings of rows with `tuning: lora`
    sharded:       use FSDP2 instead of DDP with several processes
    evaluate_every: steps between two validations; the best weights are kept
    patience:      stop after so many validations without a better result; 0 never stops early
    log_every:     steps between two reports of loss, rate and speed
    checkpoint_every: steps between two checkpoints of a row whose encoder is trained
    """

    steps: int = 150
    token_budget: int | None = None
    batch: int = 64
    accumulation: int = 1
    balance: list[float] | None = None
    balance_until: float = 1.0
    learning_rate: float = 3e-4
    head_factor: float = 1.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    precision: str = "auto"
    gradient_checkpointing: bool = False
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    sharded: bool = False
    evaluate_every: int = 30
    patience: int = 0
    log_every: int = 10
    checkpoint_every: int = 30

    def check(self) -> None:
        """Raise InputError that names a setting outside its range."""
        least = {
            "steps": 1, "batch": 1, "accumulation": 1, "learning_rate": 0, "head_factor": 0,
            "warmup": 0, "weight_decay": 0, "clip": 0, "lora_rank": 1, "lora_alpha": 0,
            "lora_dropout": 0, "evaluate_every": 1, "patience": 0, "log_every": 1,
            "checkpoint_every": 1,
        }  # fmt: skip
        for name, smallest in least.items():
            value = getattr(self, name)
            if value < smallest:
                raise InputError(
                    f"training.{name}={value}", "it is too small", f"give {smallest} or more"
                )
        for name in ("warmup", "lora_dropout"):
            if getattr(self, name) > 1:
                cure = "it is a share: give 0 to 1"
                raise InputError(f"training.{name}={getattr(self, name)}", "it is too large", cure)
