"""Recipe match: encode once, train every variant for every seed, compare with the baseline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from experiments import checks, figures, report
from experiments.schema import Config
from jdcv_core import floors, records
from jdcv_core.data.near_duplicates import near_duplicate_groups
from jdcv_core.data.splits import Split, check_leaks, make_split, split_facts
from jdcv_core.encoding.encode import encode_documents
from jdcv_core.encoding.store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.evaluation.classification import (
    GOOD,
    apply_thresholds,
    classification_metrics,
    tune_thresholds,
)
from jdcv_core.evaluation.ranking import mean_over_queries, ndcg_per_query, qrels_and_run
from jdcv_core.progress import progress
from jdcv_core.scoring import count_parameters
from jdcv_core.training.loop import score_pairs, train_scorer
from jdcv_core.training.pairs import PairTensors
from jdcv_core.types import Dataset
from research.chunk_attention import ChunkAttention

CEILING = "ceiling (noise-free fit)"


@dataclass
class Cell:
    """One row of the table under one seed, before it is measured: scores [pair] of all pairs.

    kind: "variant", "floor" or "ceiling"; cuts: None where they are still to be tuned.
    """

    name: str
    kind: str
    scores: np.ndarray
    cuts: tuple[float, float] | None = None
    seconds: float = 0.0
    parameters: int = 0
    course: list[dict[str, float]] | None = None


def run(composed: DictConfig) -> Path:
    """The whole experiment; returns its folder of records.

    composed: a checked composition of `experiments.schema.Config`
    Raises InputError before anything is written if data, split or configuration are at fault.
    """
    config = cast(Config, OmegaConf.to_object(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    checks.variants(config)
    dataset: Dataset = make(config.data)
    splits, about_splits = split_by_seed(config, dataset)
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    encoder = make(config.encoder, documents=documents)
    store = VectorStore(Path(config.cache_dir) / "vectors.sqlite")
    chunking = config.chunking
    matrices, encoded = encode_documents(documents, encoder, store, chunking.size, chunking.overlap)
    facts = {
        "experiment": config.experiment,
        "baseline": config.baseline,
        "config": resolved,
        "config_hash": records.config_hash(resolved),
        "git": records.git_state(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
        "encoding": encoded.facts(),
        "splits": about_splits,
    }
    folder = records.start_record(config.runs_dir, config.experiment, resolved)
    report.show_facts(facts, folder)
    lines: list[dict[str, Any]] = []
    predictions: dict[str, list[Any]] = {}
    scorers: dict[str, torch.nn.Module] = {}
    for seed, split in splits.items():
        white = Whitening.fit(matrices, _documents(dataset, split.train))(matrices)
        for cell in cells(config, dataset, split, white, seed, scorers):
            line = measure(cell, dataset, split, seed, predictions)
            records.append_record(folder, {**line, **_provenance(facts)})
            lines.append(line)
    table = report.table(lines, predictions, facts)
    report.write(folder, table, facts, predictions, resolved)
    with progress("Drawing figures", None):
        figures.dataset_figures(folder, dataset, encoder.tokenizer, encoder.name)
        figures.table_figure(folder, table)
        figures.prediction_figures(folder, predictions)
        figures.attention_figure(folder, attention_examples(scorers, dataset, split, white))
    folder = records.finish_record(folder)
    report.show(table, folder)
    return folder


def split_by_seed(
    config: Config, dataset: Dataset
) -> tuple[dict[int, Split], dict[str, dict[str, Any]]]:
    """The split of each seed, checked for leaks, and what a reader must know of it."""
    groups = near_duplicate_groups(dataset.documents.values())
    splits, facts = {}, {}
    for seed in config.seeds:
        kind, fractions = config.split.kind, config.split.fractions
        split = make_split(dataset, kind, seed=seed, fractions=fractions, groups=groups)
        check_leaks(dataset, split, groups)
        splits[seed], facts[str(seed)] = split, split_facts(dataset, split, groups)
    return splits, facts


def make(node: dict[str, Any], **arguments: Any) -> Any:
    """Call a `_target_` with its configured arguments and these.

    The call is made here and not by Hydra, which would wrap an InputError in one of its own and
    turn dataclasses among the arguments into configurations.
    """
    return instantiate(node, _partial_=True, _convert_="all")(**arguments)


def cells(
    config: Config,
    dataset: Dataset,
    split: Split,
    vectors: dict[str, np.ndarray],
    seed: int,
    scorers: dict[str, torch.nn.Module],
) -> Iterator[Cell]:
    """Floors, ceiling and variants of one seed; the trained scorers stay in `scorers`.

    vectors: whitened chunk vectors [chunk, dim] by document id
    """
    pairs, train = dataset.pairs, split.train
    yield Cell("majority class", "floor", floors.majority(pairs, train), cuts=(0.25, 0.75))
    yield Cell("TF-IDF cosine", "floor", floors.tfidf_cosine(pairs, train, dataset.documents))
    yield Cell("CV-only probe", "floor", floors.one_side_probe(pairs, train, vectors, "cv"))
    yield Cell("JD-only probe", "floor", floors.one_side_probe(pairs, train, vectors, "jd"))
    if all(p.fit is not None for p in pairs):
        yield Cell(CEILING, "ceiling", np.array([p.fit for p in pairs], dtype=float))
    data = PairTensors.of(pairs, vectors)
    index = {part: torch.tensor(rows) for part, rows in split.parts().items()}
    steps = config.training.steps
    for name, variant in config.variants.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            scorer = make(variant, dim=data.cv.vectors.shape[-1])
        with progress(f"Seed {seed}: {name}", steps) as advance:
            trained = train_scorer(
                scorer, data, index["train"], index["validation"], config.training, seed, advance
            )
        scorers[name] = scorer
        scores = np.full(len(pairs), np.nan)
        for part in ("validation", "test"):
            scores[index[part].numpy()] = score_pairs(scorer, data, index[part])
        yield Cell(
            name,
            "variant",
            scores,
            trained.thresholds,
            trained.seconds,
            count_parameters(scorer),
            trained.course,
        )


def measure(
    cell: Cell, dataset: Dataset, split: Split, seed: int, predictions: dict[str, list[Any]]
) -> dict[str, Any]:
    """The figures of one cell on the test pairs; its rows are added to `predictions`."""
    validation, test = list(split.validation), list(split.test)
    labels = np.array([p.label for p in dataset.pairs])
    cuts = cell.cuts or tune_thresholds(cell.scores[validation], labels[validation])
    scores = cell.scores[test]
    predicted = apply_thresholds(scores, cuts)
    pairs = [dataset.pairs[i] for i in test]
    ndcg = ndcg_per_query(*qrels_and_run(pairs, scores), k=10)
    for pair, score, guess in zip(pairs, scores.tolist(), predicted.tolist(), strict=True):
        row = {
            "variant": cell.name,
            "seed": seed,
            "jd": pair.jd,
            "cv": pair.cv,
            "label": pair.label,
            "predicted": guess,
            "score": score,
        }
        for column, value in row.items():
            predictions.setdefault(column, []).append(value)
    return {
        "variant": cell.name,
        "kind": cell.kind,
        "seed": seed,
        "metrics": {
            **classification_metrics(labels[test], predicted, scores),
            "ndcg": mean_over_queries(ndcg),
        },
        "ndcg_per_jd": ndcg,
        "thresholds": list(cuts),
        "train_seconds": cell.seconds,
        "parameters": cell.parameters,
        "course": cell.course or [],
    }


def attention_examples(
    scorers: dict[str, torch.nn.Module],
    dataset: Dataset,
    split: Split,
    vectors: dict[str, np.ndarray],
    count: int = 3,
) -> list[tuple[str, np.ndarray]]:
    """(title, [JD chunk, CV chunk]) of a few Good Fit test pairs with the most chunks.

    The weights are those of the last scorer that has the term cross_jd; none without such a one.
    """
    able = [s for s in scorers.values() if isinstance(s, ChunkAttention) and "cross_jd" in s.terms]
    pairs = [dataset.pairs[i] for i in split.test if dataset.pairs[i].label == GOOD]
    pairs.sort(key=lambda p: (-len(vectors[p.jd]) * len(vectors[p.cv]), p.jd, p.cv))
    distinct = {p.jd: p for p in reversed(pairs)}  # the largest pair of each JD
    examples = []
    for pair in sorted(distinct.values(), key=pairs.index)[: count if able else 0]:
        data = PairTensors.of([pair], vectors)
        weights = able[-1].cross_attention(*data.sides(torch.tensor([0])))[0]
        examples.append((f"{pair.jd[:9]} reads {pair.cv[:9]}", weights.numpy()))
    return examples


def _documents(dataset: Dataset, index: Sequence[int]) -> list[str]:
    """The ids of the documents of some pairs."""
    return sorted({i for at in index for i in (dataset.pairs[at].cv, dataset.pairs[at].jd)})


def _provenance(facts: dict[str, Any]) -> dict[str, Any]:
    """What each line of a record repeats, so that it can be believed alone."""
    return {
        "experiment": facts["experiment"],
        "config_hash": facts["config_hash"],
        "git": facts["git"],
        "versions": facts["versions"],
        "data_fingerprint": facts["data"]["fingerprint"],
        "encoder": facts["encoding"],
    }
