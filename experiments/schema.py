"""What a configuration may hold; any other key is refused by name."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING

from jdcv_core.training.settings import TrainingSettings
from research.contrastive.pretrain_settings import PretrainSettings

ROW_KEYS = ("tuning", "training", "encoder", "view", "months", "kind", "pretrained")
"""What a row may say beside its scorer."""
KINDS = ("variant", "falsifier")
"""What a row may be; floors and ceilings come from the recipe."""
CHUNK_BY = ("tokens", "experience")
"""Where documents may be cut."""
FLOORS = (
    "majority", "random", "tfidf_cosine", "tfidf_logistic", "bm25", "cv_probe", "jd_probe",
)  # fmt: skip

NOT_THE_RESULT = (
    "resume", "reuse", "jobs", "estimate", "gpu_tflops", "tracker", "runs_dir", "cache_dir",
)  # fmt: skip
"""Keys that change what is shown or where it is kept, and no figure: not in the hash."""


def scorer_of(variant: Any) -> dict[str, Any]:
    """The part of a variant that makes its scorer."""
    return {key: value for key, value in variant.items() if key not in ROW_KEYS}


@dataclass
class Splitting:
    """kind: official, pair, cv, jd or disjoint; fractions: train, validation, test;
    also: further kinds, whose figures stand beside those of `kind`."""

    kind: str = "jd"
    fractions: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.2])
    also: list[str] = field(default_factory=list)


@dataclass
class Chunking:
    """size: most tokens in a chunk; null: 1,024, or what the encoder can read.
    overlap: tokens that a chunk repeats of the one before.
    by: tokens, or experience: CVs are also cut where an experience begins, and scorers that weigh
    by months can be rows.
    reference: the month that "current" means, as 2024-06; null: the data's own where it has one,
    else the newest that a CV names."""

    size: int | None = None
    overlap: int = 0
    by: str = "tokens"
    reference: str | None = None


@dataclass
class Config:
    """One experiment.

    experiment: its name, the folder under runs_dir
    recipe:     match: train and compare rows on pairs. retrieve: index all CVs, search with the
                test JDs; rows are rerankers
    data, encoder: a `_target_` of jdcv_core with its arguments
    variants:   row name → the `_target_` of a scorer with its arguments, without `dim`; and, where
                the row differs in them, `tuning` (frozen, lora or full: what of the encoder is
                trained), `training` (settings), `encoder`, `view` (a function of
                research/falsifiers.py through which it sees the chunk vectors), `months` (the same
                for the months of experiences), `kind` (variant,
                or falsifier: a control, which the correction for many comparisons leaves out),
                `pretrained` (true: its encoder is first pretrained by contrast on the training
                pairs of the split, anew for each seed)
    pretraining: of the rows that are `pretrained`
    rows:       names of the variants to run; null: all
    floors:     what needs no training here, out of FLOORS
    baseline:   the row that the others are compared with
    compared:   figures whose difference to the baseline is tested
    seeds:      one training of every variant each; a seed also fixes the split
    encoder_seeds: train an encoder that is trained here anew for each seed, so that the intervals
                know how much figures hang on that training; given weights are what they are
    match_parameters: widen every scorer to the parameters of the largest, within 5%
    attribution: say of each row how faithful attributions of its scores to chunks are, on the main
                split
    save_models: keep each row's trained model of the first seed, for `jdcv score`
    reuse:      take a cell (row, split, seed) that was trained before from the same data, vectors,
                settings and code out of the cache
    sweep:      dotted key → values; the experiment is run at every point of their grid
    jobs:       processes with one thread each that share the rows on stored vectors; 0: one a core
    resume:     auto: go on with the newest unfinished experiment of the same configuration
    index_types: that retrieve compares: names or factory strings of FAISS; null: every name
    tracker:    local, wandb or tensorboard; local files are written in any case
    estimate:   only say what it will cost, on this machine and on a GPU of gpu_tflops TFLOP/s
    runs_dir:   where records go
    cache_dir:  where trained encoders and chunk vectors are kept
    """

    experiment: str = "none"
    recipe: str = "match"
    data: dict[str, Any] = MISSING
    encoder: dict[str, Any] = MISSING
    split: Splitting = field(default_factory=Splitting)
    chunking: Chunking = field(default_factory=Chunking)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    pretraining: PretrainSettings = field(default_factory=PretrainSettings)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[str] | None = None
    floors: list[str] = field(
        default_factory=lambda: ["majority", "tfidf_cosine", "cv_probe", "jd_probe"]
    )
    baseline: str = ""
    compared: list[str] = field(
        default_factory=lambda: ["weighted_f1", "distant", "auc_good", "ndcg"]
    )
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    encoder_seeds: bool = False
    match_parameters: bool = False
    attribution: bool = False
    save_models: bool = False
    sweep: dict[str, Any] = field(default_factory=dict)
    index_types: list[str] | None = None
    reuse: bool = True
    jobs: int = 1
    resume: str | None = None
    tracker: str = "local"
    estimate: bool = False
    gpu_tflops: float | None = None
    runs_dir: str = "runs"
    cache_dir: str = "~/.cache/jdcv"


ConfigStore.instance().store(name="schema", node=Config)
