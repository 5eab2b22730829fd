"""The keys of configurations: one class for each recipe, and one for a row.

An unknown key is refused by a message that names it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from jdcv_core.training.settings import TrainingSettings
from research.contrastive.pretrain_settings import PretrainSettings

KINDS = ("variant", "falsifier")
"""Kinds of configured rows; the recipe adds floors and a ceiling."""
FLOORS = (
    "majority", "random", "tfidf_cosine", "tfidf_logistic", "bm25", "cv_probe", "jd_probe",
)  # fmt: skip
NOT_THE_RESULT = (
    "resume", "reuse", "jobs", "estimate", "gpu_tflops", "tracker", "runs_dir", "cache_dir",
)  # fmt: skip
"""Keys that change no result, only what is shown or where it is stored; they are not hashed."""


@dataclass
class RowConfig:
    """A row of the table. A key that a row does not set has the experiment's value.

    scorer:     the `_target_` of a scorer with its arguments, without `dim`
    kind:       variant, or falsifier (a control, which is not part of Holm's correction)
    tuning:     which weights of the encoder are trained: frozen (none), lora or full
    training:   settings that differ from the experiment's
    encoder:    an encoder that replaces the experiment's
    chunking:   keys of `Chunking` that differ from the experiment's
    pretrained: whether the encoder is first pretrained by contrast on the training pairs of the
                split, for each seed
    view:       dotted name of a function in research/falsifiers.py that transforms the chunk
                vectors before the row reads them
    months:     dotted name of a function that transforms the months of experiences
    context:    the `_target_` of a reading (research/context/pair_rows.py): the trained encoder
                reads each JD and CV in one row; null reads every chunk alone
    """

    scorer: dict[str, Any] = MISSING
    kind: str = "variant"
    tuning: str = "frozen"
    training: dict[str, Any] = field(default_factory=dict)
    encoder: dict[str, Any] | None = None
    chunking: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    view: str | None = None
    months: str | None = None
    context: dict[str, Any] | None = None


@dataclass
class Splitting:
    """How pairs are split.

    kind:      official, pair, cv, jd or disjoint
    fractions: fractions of train, validation and test
    also:      further kinds of split, whose figures are shown next to those of `kind`
    """

    kind: str = "jd"
    fractions: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.2])
    also: list[str] = field(default_factory=list)


@dataclass
class Chunking:
    """How documents are cut into chunks.

    by:        tokens; experience, which also cuts CVs where an experience begins and allows rows
               whose scorers weight by months; or requirement, which cuts JDs and CVs at their lines
               and allows such rows, too
    size:      largest number of tokens in a chunk; null means as many as the encoder can read, at
               most 1,024 (64 by requirement)
    overlap:   number of tokens that a chunk repeats from the previous chunk
    reference: month to which "current" refers, such as 2024-06; null means the data's reference if
               it has one, otherwise the latest month that a CV names
    """

    by: str = "tokens"
    size: int | None = None
    overlap: int = 0
    reference: str | None = None


@dataclass
class Config:
    """Keys of every experiment.

    recipe:     match trains and compares rows on pairs. retrieve indexes all CVs and searches with
                the test JDs; its rows are rerankers
    experiment: name of the experiment and of its folder under runs_dir
    data, encoder: a `_target_` of jdcv_core with its arguments
    variants:   row name → a `RowConfig`
    rows:       names of the variants to train; null means all
    seeds:      every variant is trained once with each seed; the seed also determines the split
    runs_dir:   folder of records
    cache_dir:  folder of trained encoders and chunk vectors
    """

    recipe: str = MISSING
    experiment: str = "none"
    data: dict[str, Any] = MISSING
    encoder: dict[str, Any] = MISSING
    split: Splitting = field(default_factory=Splitting)
    chunking: Chunking = field(default_factory=Chunking)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    variants: dict[str, Any] = field(default_factory=dict)
    rows: list[str] | None = None
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    runs_dir: str = "runs"
    cache_dir: str = "~/.cache/jdcv"


@dataclass
class MatchConfig(Config):
    """Train and compare rows on pairs.

    baseline:    the row that the others are compared with
    floors:      names of floors to include, from FLOORS
    compared:    metrics whose difference to the baseline is tested
    pretraining: settings for the rows that are `pretrained`
    encoder_seeds: whether to train gpt2-mini again for each seed, so that the intervals include the
                 variation of its training; it has no effect on encoders with given weights
    match_parameters: whether to widen every scorer to the parameters of the largest, within 5%
    attribution: whether to measure how faithfully each row's scores can be attributed to chunks, on
                 the main split
    save_models: whether to keep each row's trained model of the first seed, for `jdcv score`
    sweep:       dotted key → values; the experiment is run at every point of their grid
    conditions:  name → (dotted key → value); the experiment is run under each, instead of a sweep
    reuse:       whether to take a cell (row, split, seed) from the cache if it was trained before
                 with the same data, vectors, settings and code
    jobs:        number of processes, with one thread each, that train rows on stored vectors; 0
                 means one per core
    resume:      auto continues the newest unfinished experiment with the same configuration
    tracker:     local, wandb or tensorboard; local files are always written
    estimate:    whether to print only an estimate of the cost, on this machine and on a GPU of
                 gpu_tflops TFLOP/s
    """

    recipe: str = "match"
    baseline: str = ""
    floors: list[str] = field(
        default_factory=lambda: ["majority", "tfidf_cosine", "cv_probe", "jd_probe"]
    )
    compared: list[str] = field(
        default_factory=lambda: ["weighted_f1", "distant", "auc_good", "ndcg"]
    )
    pretraining: PretrainSettings = field(default_factory=PretrainSettings)
    encoder_seeds: bool = False
    match_parameters: bool = False
    attribution: bool = False
    save_models: bool = False
    sweep: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    reuse: bool = True
    jobs: int = 1
    resume: str | None = None
    tracker: str = "local"
    estimate: bool = False
    gpu_tflops: float | None = None


@dataclass
class RetrieveConfig(Config):
    """Index all CVs and search with the test JDs.

    index_types: index types to compare: names or factory strings of FAISS; null means every name
    scale:       if given, only compare index types, on simulated chunk vectors of so many CVs
    """

    recipe: str = "retrieve"
    index_types: list[str] | None = None
    scale: float | None = None


CONFIGS: dict[str, type[Config]] = {"match": MatchConfig, "retrieve": RetrieveConfig}
for _name, _config in CONFIGS.items():
    ConfigStore.instance().store(group="recipe", name=_name, node=_config, package="_global_")


def as_config(composed: DictConfig) -> Config:
    """Convert a composed configuration whose keys were checked to its class."""
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    config.variants = {name: RowConfig(**row) for name, row in config.variants.items()}
    config.cache_dir = str(Path(config.cache_dir).expanduser())
    return config
