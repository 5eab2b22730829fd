"""How a row of the table is trained."""

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
    balance:       final shares of No, Potential and Good Fit among the draws; null: as in the data.
                   Labels of two classes take two shares, or leave out the middle one of three
    balance_until: share of the steps after which these shares are reached
    learning_rate: the highest rate of the encoder, reached after `warmup` and falling linearly to 0
    head_factor:   the rate of the scorer is this many times as high
    warmup:        share of the steps
    weight_decay:  of AdamW, for matrices only
    clip:          the largest norm of the gradient
    precision:     of the encoder in training: fp32, bf16 (autocast) or auto (bf16 where it is fast)
    gradient_checkpointing: less memory for about a third more time
    lora_rank, lora_alpha, lora_dropout: of rows with `tuning: lora`
    sharded:       FSDP2 instead of DDP under several processes
    evaluate_every: steps between two validations; the best weights are kept
    patience:      validations without a better result after which training stops; 0: never
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
        """Raise InputError naming a setting that is out of its range."""
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
                    f"training.{name}={value}", "that is too little", f"give {smallest} or more"
                )
        for name in ("warmup", "lora_dropout"):
            if getattr(self, name) > 1:
                cure = "it is a share: give 0 to 1"
                raise InputError(f"training.{name}={getattr(self, name)}", "that is too much", cure)
