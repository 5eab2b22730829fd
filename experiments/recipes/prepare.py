"""Make what every recipe needs before the first training: checked splits and encoded documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import validate
from experiments.cells.row import EncodedDataset, Row, encode
from experiments.cells.row_cost import outline
from experiments.recipes import pretrained_encoders
from experiments.schema import Chunking, Config, MatchConfig
from jdcv_core.data.leaks import check_leaks
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.splits import Split, make_split, split_summary
from jdcv_core.errors import InputError
from jdcv_core.losses import NEED_THREE
from jdcv_core.training.distributed import first_alone
from jdcv_core.types import POTENTIAL, Dataset

PRETRAINED = {"_target_": "jdcv_core.encoding.saved_encoder.pretrained"}
Splits = dict[tuple[str, int], Split]
"""(kind, seed) → split."""


def make_splits(
    config: Config, dataset: Dataset
) -> tuple[Splits, dict[str, dict[str, dict[str, Any]]]]:
    """Make the split of each kind and seed, and check it for leaks.

    Returns the splits, and a summary of each for the reader, by kind and seed.
    """
    groups = near_duplicate_groups(dataset.documents.values())
    splits: Splits = {}
    about: dict[str, dict[str, dict[str, Any]]] = {}
    for kind in dict.fromkeys([config.split.kind, *config.split.also]):
        for seed in config.seeds:
            fractions = config.split.fractions
            split = make_split(dataset, kind, seed=seed, fractions=fractions, groups=groups)
            check_leaks(dataset, split, groups)
            splits[kind, seed] = split
            about.setdefault(kind, {})[str(seed)] = split_summary(dataset, split, groups)
    return splits, about


def check_objectives(rows: Sequence[Row], dataset: Dataset) -> None:
    """Refuse rows whose loss orders three classes where the labels have two, before anything is
    encoded."""
    ordinal = [row for row in rows if row.scorer.get("objective") in NEED_THREE]
    if not ordinal or POTENTIAL in dataset.classes:
        return
    others = ", ".join(row.name for row in rows if row not in ordinal)
    what = (
        f"objective={ordinal[0].scorer['objective']} is for ordered classes, and the labels have "
        "two: its questions (above No Fit? above Potential Fit?) are one"
    )
    cure = f"leave it out: 'rows=[{others}]'" if others else "take objective: mse or softmax"
    raise InputError(f"variants.{ordinal[0].name}", what, cure)


def check_widths(rows: Iterable[Row], dataset: Dataset) -> None:
    """Refuse rows whose encoders have vectors of several widths, before anything is encoded.

    Scorers of several widths cannot be widened to one number of parameters.
    """
    widths: dict[int, str] = {}
    seen: set[str] = set()
    for row in rows:
        if repr(row.encoder) not in seen:
            seen.add(repr(row.encoder))
            widths.setdefault(outline(row, dataset).dim, row.name)
    if len(widths) > 1:
        named = ", ".join(f"{dim} of {name!r}" for dim, name in sorted(widths.items()))
        what = f"the rows' encoders have vectors of several widths ({named})"
        raise InputError("match_parameters=true", what, "give rows=[…] of one width, or false")


def encode_rows(
    rows: Sequence[Row], config: MatchConfig, dataset: Dataset, splits: Mapping
) -> dict[tuple[str, int], EncodedDataset]:
    """Encode the documents for each row name and seed.

    Rows with the same encoder and chunking share them.
    """
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    reference = dataset.facts.get("reference")
    groups = {}
    if any(row.pretrained for row in rows):
        groups = near_duplicate_groups(dataset.documents.values())
    made: dict[str, EncodedDataset] = {}

    def encoded(node: dict[str, Any], chunking: Chunking) -> EncodedDataset:
        key = repr((node, chunking))
        if key not in made:
            with first_alone():  # process 0 trains or downloads the encoder and fills the store
                made[key] = encode(node, chunking, documents, config.cache_dir, reference)
        return made[key]

    found = {}
    for seed in config.seeds:
        for row in rows:
            node = dict(row.encoder)
            if config.encoder_seeds and validate.takes(row.encoder, "seed"):
                node |= {"seed": seed}
            if folder := node.get("init_from"):
                start = pretrained_encoders.of_seed(Path(folder), seed)
                pretrained_encoders.check_seen(start, splits, dataset, seed)
                node |= {"init_from": str(start)}
            found[row.name, seed] = encoded(node, row.chunking)
            if row.pretrained:
                base, split = found[row.name, seed], splits[config.split.kind, seed]
                start = pretrained_encoders.pretrained_folder(
                    Path(config.cache_dir), base, dataset, split, seed, config.pretraining, groups
                )
                precision = base.encoder.precision
                node = {**PRETRAINED, "init_from": str(start), "precision": precision}
                found[row.name, seed] = encoded(node, row.chunking)
                found[row.name, seed].source = start
    return found
