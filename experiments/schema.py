"""What a configuration may hold: one class for each recipe, and one for a row. Any other key is
refused by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from jdcv_core.training.settings import TrainingSettings
from research.contrastive.pretrain_settings import PretrainSettings

KINDS = ("variant", "falsifier")
"""What a row may be; floors and ceilings come from the recipe."""
FLOORS = (
    "majority", "random", "tfidf_cosine", "tfidf_logistic", "bm25", "cv_probe", "jd_probe",
)  # fmt: skip
NOT_THE_RESULT = (
    "resume", "reuse", "jobs", "estimate", "gpu_tflops", "tracker", "runs_dir", "cache_dir",
)  # fmt: skip
"""Keys that change what is shown or where it is kept, and no figure: not in the hash."""


@dataclass
class RowConfig:
    """A row of the table. What a row does not say is the experiment's.

    scorer:     the `_target_` of a scorer with its arguments, without `dim`
    kind:       variant, or falsifier: a control, which the correction for many comparisons leaves
                out
    tuning:     what of the encoder is trained: frozen (nothing), lora or full
    training:   settings that differ from the experiment's
    encoder:    another encoder than the experiment's
    chunking:   keys of `Chunking` that differ from the experiment's
    pretrained: whether the encoder is first pretrained by contrast on the training pairs of the
                split, for each seed
    view:       the dotted name of a function in research/falsifiers.py through which the row sees
                the chunk vectors
    months:     the same for the months of experiences
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


@dataclass
class Splitting:
    """How pairs are split.

    kind:      official, pair, cv, jd or disjoint
    fractions: of train, validation, test
    also:      further kinds, whose figures stand next to those of `kind`
    """

    kind: str = "jd"
    fractions: list[float] = field(default_factory=lambda: [0.7, 0.1, 0.2])
    also: list[str] = field(default_factory=list)


@dataclass
class Chunking:
    """How documents are cut.

    by:        tokens; experience: CVs are also cut where an experience begins, and scorers that
               weigh by months can be rows; requirement: JDs and CVs are cut at their lines, and
               CVs have months, too
    size:      most tokens in a chunk; null: as many as the encoder can read, at most 1,024 (64 by
               requirement)
    overlap:   tokens that a chunk repeats of the one before
    reference: the month that "current" means, as 2024-06; null: the data's own where it has one,
               else the newest that a CV names
    """

    by: str = "tokens"
    size: int | None = None
    overlap: int = 0
    reference: str | None = None


@dataclass
class Config:
    """What every experiment has.

    recipe:     match: train and compare rows on pairs. retrieve: index all CVs, search with the
                test JDs; rows are rerankers
    experiment: its name, the folder under runs_dir
    data, encoder: a `_target_` of jdcv_core with its arguments
    variants:   row name → a `RowConfig`
    rows:       names of the variants to train; null: all
    seeds:      one training of every variant each; a seed also fixes the split
    runs_dir:   where records go
    cache_dir:  where trained encoders and chunk vectors are kept
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
    floors:      what needs no training here, out of FLOORS
    compared:    figures whose difference to the baseline is tested
    pretraining: of the rows that are `pretrained`
    encoder_seeds: train an encoder that is trained here again for each seed, so that the intervals
                 include how much figures depend on that training; given weights stay as they are
    match_parameters: widen every scorer to the parameters of the largest, within 5%
    attribution: report how faithful attributions of each row's scores to chunks are, on the main
                 split
    save_models: keep each row's trained model of the first seed, for `jdcv score`
    sweep:       dotted key → values; the experiment is done at every point of their grid
    reuse:       take a cell (row, split, seed) that was trained before from the same data, vectors,
                 settings and code out of the cache
    jobs:        processes with one thread each that share the rows on stored vectors; 0: one a core
    resume:      auto: continue the newest unfinished experiment of the same configuration
    tracker:     local, wandb or tensorboard; local files are written in any case
    estimate:    only report what it will cost, on this machine and on a GPU of gpu_tflops TFLOP/s
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
    reuse: bool = True
    jobs: int = 1
    resume: str | None = None
    tracker: str = "local"
    estimate: bool = False
    gpu_tflops: float | None = None


@dataclass
class RetrieveConfig(Config):
    """Index all CVs and search with the test JDs.

    index_types: that are compared: names or factory strings of FAISS; null: every name
    scale:       compare index types on simulated chunk vectors of so many CVs, and nothing else
    """

    recipe: str = "retrieve"
    index_types: list[str] | None = None
    scale: float | None = None


CONFIGS: dict[str, type[Config]] = {"match": MatchConfig, "retrieve": RetrieveConfig}
for _name, _config in CONFIGS.items():
    ConfigStore.instance().store(group="recipe", name=_name, node=_config, package="_global_")


def as_config(composed: DictConfig) -> Config:
    """The typed form of a composed configuration whose keys were checked."""
    config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    config.variants = {name: RowConfig(**row) for name, row in config.variants.items()}
    config.cache_dir = str(Path(config.cache_dir).expanduser())
    return config
