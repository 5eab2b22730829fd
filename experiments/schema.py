"""What a configuration may hold; any other key is refused by name."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from jdcv_core.training.settings import TrainingSettings

ROW_KEYS = ("tuning", "training", "encoder")
"""What a row may say beside its scorer."""

NOT_THE_RESULT = ("resume", "estimate", "gpu_tflops", "tracker", "runs_dir", "cache_dir")
"""Keys that change what is shown or where it is kept, and no figure: not in the hash."""


def scorer_of(variant: Any) -> dict[str, Any]:
    """The part of a variant that makes its scorer."""
    return {key: value for key, value in variant.items() if key not in ROW_KEYS}


@dataclass
class Splitting:
    """kind: official, pair, cv, jd or disjoint; fractions: train, validation, test."""

    kind: str = "jd"
    fractions: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.2])


@dataclass
class Chunking:
    """size: most tokens in a chunk; null: 1,024, or what the encoder can read.
    overlap: tokens that a chunk repeats of the one before."""

    size: int | None = None
    overlap: int = 0


@dataclass
class Config:
    """One experiment.

    experiment: its name, the folder under runs_dir
    data, encoder: a `_target_` of jdcv_core with its arguments
    variants:   row name → the `_target_` of a scorer with its arguments, without `dim`; and, where
                the row differs in them, `tuning` (frozen, lora or full: what of the encoder is
                trained), `training` (settings), `encoder`
    rows:       names of the variants to run; null: all
    baseline:   the row that the others are compared with
    seeds:      one training of every variant each; a seed also fixes the split
    save_models: keep each row's trained model of the first seed, for `jdcv score`
    resume:     auto: go on with the newest unfinished experiment of the same configuration
    tracker:    local, wandb or tensorboard; local files are written in any case
    estimate:   only say what it will cost, on this machine and on a GPU of gpu_tflops TFLOP/s
    runs_dir:   where records go
    cache_dir:  where trained encoders and chunk vectors are kept
    """

    experiment: str = "none"
    data: dict[str, Any] = MISSING
    encoder: dict[str, Any] = MISSING
    split: Splitting = field(default_factory=Splitting)
    chunking: Chunking = field(default_factory=Chunking)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[str] | None = None
    baseline: str = ""
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    save_models: bool = False
    resume: str | None = None
    tracker: str = "local"
    estimate: bool = False
    gpu_tflops: float | None = None
    runs_dir: str = "runs"
    cache_dir: str = "~/.cache/jdcv"


ConfigStore.instance().store(name="schema", node=Config)
