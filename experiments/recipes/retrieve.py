"""Recipe retrieve: index all CVs, search with every test JD, rerank, compare the systems."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from experiments.cells.row import (
    EncodedDataset,
    Row,
    encode,
    make,
    on_vectors,
    reads_words,
    rows_of,
    train_terms,
    train_whitening,
)
from experiments.figures import index_types_figure
from experiments.recipes.prepare import check_objectives, make_splits
from experiments.report import retrieval_table
from experiments.report.table import labels_note
from experiments.schema import Config, RetrieveConfig, as_config
from jdcv_core import records
from jdcv_core.data.demo.generate import demo_grades
from jdcv_core.data.splits import Split
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.intervals import query_difference, spread
from jdcv_core.evaluation.metrics import SEARCH
from jdcv_core.progress import progress
from jdcv_core.training.distributed import world
from jdcv_core.training.loop import train
from jdcv_core.types import Dataset, Qrels, Run
from research.retrieval.compare_index_types import compare_types
from research.retrieval.evaluation import retrieval_metrics
from research.retrieval.first_stage import first_stage
from research.retrieval.fused_scores import Weights
from research.retrieval.fusion import rrf
from research.retrieval.index_folder import IndexFolder
from research.retrieval.lexical import bm25_search, tfidf_search
from research.retrieval.matches import Match, make_matches
from research.retrieval.reranking import Reranker, scorer_reranker
from research.retrieval.search import Candidate, search_many
from research.retrieval.segment import Entry
from research.retrieval.simulated_vectors import Simulated
from research.retrieval.vector_index import INDEX_TYPES, check_index_type

FIRST, MAXSIM, BM25, TFIDF, FUSED, HYBRID = (
    "first stage", "MaxSim", "BM25", "TF-IDF cosine", "RRF of BM25 and MaxSim", "TF-IDF + MaxSim",
)  # fmt: skip
BASES = (FIRST, TFIDF)
"""Systems that the others are compared with."""
SHOWN, DEEP = 3, 10
"""Number of JDs that are shown and of CVs for each; DEEP is also the k of the metrics."""
RERANKED = 200
"""Number of the best CVs by words and vectors that a trained row ranks."""
LEAST, JDS = 100, 100
"""Smallest number of simulated CVs, and the number of simulated JDs."""


def run(composed: DictConfig) -> Path:
    """Run the whole experiment; return its folder of records.

    On the demo corpus, the formula judges every CV. On other data, the labels are the judgements,
    and a CV without a label counts as no fit; the metric `judged` is the share with a label.
    """
    config = cast(RetrieveConfig, as_config(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    rows = rows_of(config)
    if world() > 1:
        raise InputError("torchrun", "retrieval uses one process", "start it with python")
    index_types = config.index_types or list(INDEX_TYPES)
    for index_type in index_types:
        check_index_type(index_type)
    if config.scale is not None:
        return run_simulated(config, resolved, index_types, config.scale)
    dataset: Dataset = make(config.data)
    check_objectives(rows, dataset)
    if note := labels_note(dataset.facts):
        Console().print(f"• {note}", soft_wrap=True, highlight=False, markup=False)
    splits, _ = make_splits(config, dataset)
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    chunkings = list(
        {astuple(c): c for c in (config.chunking, *(r.chunking for r in rows))}.values()
    )
    reference = dataset.facts.get("reference")
    cuts = [encode(config.encoder, c, documents, config.cache_dir, reference) for c in chunkings]
    qrels = judgements(dataset, config)
    about = {"config_hash": records.config_hash(resolved), "git": records.git_state()}
    folder = records.start_record(config.runs_dir, config.experiment, resolved)
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    types = ""
    for seed in config.seeds:
        split = splits[config.split.kind, seed]
        asked = sorted({dataset.pairs[i].jd for i in split.test})
        with progress(f"Seed {seed}: searching by words", None):
            runs = by_words(dataset, asked)
        for chunking, encoded in zip(chunkings, cuts, strict=True):
            vectors = train_whitening(dataset, encoded.matrices, split)(encoded.matrices)
            cvs = entries_of(encoded, vectors, [d.id for d in dataset.side("cv")])
            jds = entries_of(encoded, vectors, asked)
            rerankers = {
                row.name: train_reranker(row, dataset, encoded, vectors, split, seed)
                for row in rows
                if row.chunking == chunking
            }
            label = "" if chunking == config.chunking else f", by {chunking.by}"
            if not label and seed == config.seeds[0]:
                build = index_builder(cvs)
                types = compared(folder, build, index_types, [jd.vectors for jd in jds], len(cvs))
            with tempfile.TemporaryDirectory() as space:
                index = IndexFolder.of(Path(space) / "index", cvs)
                own, examples = search(index, jds, rerankers, seed, label)
            runs |= own
        runs[FUSED] = rrf([runs[BM25], runs[MAXSIM]])
        for name in systems_of(runs):
            judged = {jd: qrels[jd] for jd in runs[name]}
            figures = retrieval_metrics(judged, runs[name], k=DEEP, relevant=GOOD)
            found.setdefault(name, []).append(figures)
            line = {"variant": name, "seed": seed, **about, "per_jd": figures}
            records.append_record(folder, line)
        if seed == config.seeds[0]:
            show(folder, jds, examples)
    table = table_of(found, sorted(qrels))
    facts = {
        "cvs": len(dataset.side("cv")),
        "chunks": sum(len(cuts[0].matrices[d.id]) for d in dataset.side("cv")),
        "judged": {jd: len(grades) for jd, grades in qrels.items()},
        "encoder": cuts[0].report.summary(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
    }
    records.write_text(folder, "table.json", json.dumps(table))
    text = f"{retrieval_table.markdown(table, facts, len(config.seeds))}\n{types}"
    return finished(folder, resolved, text, facts)


def systems_of(runs: Mapping[str, Run]) -> list[str]:
    """The systems in the order of the table: vectors, words, both, and then the rerankers."""
    first = [FIRST, MAXSIM, BM25, TFIDF, FUSED, HYBRID]
    return first + [name for name in runs if name not in first]


def entries_of(
    encoded: EncodedDataset, vectors: Mapping[str, np.ndarray], ids: Iterable[str]
) -> list[Entry]:
    """Make entries of documents, for an index or as queries.

    vectors: document id → whitened chunk vectors
    """
    return [Entry.of(i, encoded.documents[i], vectors[i]) for i in ids]


def train_reranker(
    row: Row,
    dataset: Dataset,
    encoded: EncodedDataset,
    vectors: Mapping[str, np.ndarray],
    split: Split,
    seed: int,
) -> Reranker:
    """Train the scorer of a row on the pairs of the split's training JDs.

    vectors: document id → whitened chunk vectors
    """
    words = None
    if reads_words(row):
        words = train_terms(dataset, encoded.tokens, split)(encoded.tokens)
    device, months = encoded.encoder.device, encoded.months
    model = on_vectors(row, dataset, vectors, device, seed, months, words)
    index = {part: torch.tensor(pairs) for part, pairs in split.parts().items()}
    with progress(f"Seed {seed}: training {row.name}", row.training.steps) as advance:
        train(model, index["train"], index["validation"], row.training, seed, advance=advance)
    if words is None:
        return scorer_reranker(model.scorer, "cv")
    return scorer_reranker(model.scorer, "cv", lambda entries, side: [words[e.id] for e in entries])


def by_words(dataset: Dataset, asked: Sequence[str]) -> dict[str, Run]:
    """Rank all CVs for some JDs by their words."""
    queries = {jd: dataset.documents[jd].text for jd in asked}
    texts = {d.id: d.text for d in dataset.side("cv")}
    found: dict[str, Run] = {
        BM25: bm25_search(queries, texts, len(texts)),
        TFIDF: tfidf_search(queries, texts, len(texts)),
    }
    return found


def search(
    index: IndexFolder,
    jds: Sequence[Entry],
    rerankers: Mapping[str, Reranker],
    seed: int,
    label: str = "",
) -> tuple[dict[str, Run], list[list[Match]]]:
    """Search with every system; return each system's run and the last system's first matches.

    label: what is added to the names of systems, if the index is not that of the experiment's
           chunks
    """
    everything = len(index)
    with progress(f"Seed {seed}: searching", None):
        runs: dict[str, Run] = {}
        if not label:
            runs[FIRST] = first_stage(index, {jd.id: jd.vectors for jd in jds})
        runs[f"{MAXSIM}{label}"] = as_run(jds, search_many(index, jds, everything))
        candidates = search_many(index, jds, everything, weights=Weights())
        runs[f"{HYBRID}{label}"] = as_run(jds, candidates)
    for name, reranker in rerankers.items():
        with progress(f"Seed {seed}: reranking by {name}", None):
            candidates = search_many(
                index, jds, everything, reranker=reranker, rerank=RERANKED, weights=Weights()
            )
        runs[f"+ {name}"] = as_run(jds, candidates)
    shown = zip(jds[:SHOWN], candidates, strict=False)
    return runs, [make_matches(index, jd, own[:DEEP]) for jd, own in shown]


def as_run(queries: Sequence[Entry], candidates: Sequence[Sequence[Candidate]]) -> Run:
    """Convert candidates to a run: query id → document id → score."""
    pairs = zip(queries, candidates, strict=True)
    return {query.id: {c.id: c.score for c in own} for query, own in pairs}


def show(folder: Path, jds: Sequence[Entry], examples: Sequence[Sequence[Match]]) -> None:
    """Print examples and write them into examples.json."""
    shown = []
    for jd, matches in zip(jds, examples, strict=False):
        retrieval_table.show_example(jd.id, jd.text, matches)
        shown.append(retrieval_table.example(jd.id, jd.text, matches))
    text = json.dumps(shown, indent=1, ensure_ascii=False)
    records.write_text(folder, "examples.json", text)


def index_builder(cvs: Sequence[Entry]) -> Callable[[Path, str], IndexFolder]:
    """Return a function that builds an index of the CVs: (folder, index type) → index."""
    return lambda folder, index_type: IndexFolder.of(folder, cvs, index_type)


def run_simulated(
    config: RetrieveConfig, resolved: dict[str, Any], index_types: Sequence[str], scale: Any
) -> Path:
    """Compare index types on simulated chunk vectors. scale: the number of CVs."""
    whole = isinstance(scale, int) or (isinstance(scale, float) and scale.is_integer())
    if not whole or scale < LEAST:
        raise InputError(f"scale={scale}", "it is not a valid number", f"give {LEAST} or more")
    cvs = int(scale)
    simulated = Simulated(cvs, seed=config.seeds[0])
    room, free = 2.2 * cvs * simulated.chunks * simulated.dim * 4, disk_usage(gettempdir()).free
    if room > free:
        what = f"{cvs:,} CVs take {room / 1e9:.0f} GB, but only {free / 1e9:.0f} GB are free"
        raise InputError(gettempdir(), what, "set TMPDIR to a larger disk, or give fewer CVs")
    folder = records.start_record(config.runs_dir, config.experiment, resolved)
    text = compared(folder, simulated.index, index_types, list(simulated.jds(JDS)), cvs)
    facts = {"cvs": cvs, "versions": records.versions(), "git": records.git_state()}
    return finished(folder, resolved, text, facts)


def finished(folder: Path, resolved: dict[str, Any], text: str, facts: Mapping[str, Any]) -> Path:
    """Print the table, write the last files, give the folder its final name, and return it."""
    records.write_text(folder, "table.md", text)
    records.write_text(folder, "facts.json", json.dumps(records.plain(facts)))
    records.write_text(folder, "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    folder = records.finish_record(folder)
    Console(width=200).print(text, markup=False, highlight=False)
    Console().print(f"Table, figure, examples: {folder}", highlight=False, soft_wrap=True)
    return folder


def compared(
    folder: Path,
    build: Callable[[Path, str], IndexFolder],
    index_types: Sequence[str],
    queries: Sequence[np.ndarray],
    cvs: int,
) -> str:
    """Measure index types, write index_types.json and .png into the folder, return the table."""
    k = min(cvs, 100, max(DEEP, cvs // 20))
    measured = compare_types(build, index_types, queries, k)
    rows = [{**asdict(m), "depth": asdict(m.depth)} for m in measured]
    records.write_text(folder, "index_types.json", json.dumps(rows))
    index_types_figure.draw(folder, measured, k, cvs)
    return retrieval_table.types_markdown(measured, k, cvs)


def judgements(dataset: Dataset, config: Config) -> Qrels:
    """Return the grades by JD and CV."""
    if "demo" in dataset.facts:
        return demo_grades(**{k: v for k, v in config.data.items() if k != "_target_"})
    qrels: dict[str, dict[str, int]] = {}
    for pair in dataset.pairs:
        qrels.setdefault(pair.jd, {})[pair.cv] = pair.label
    return qrels


def table_of(
    found: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]], jds: Sequence[str]
) -> dict[str, Any]:
    """Summarise each system and metric over seeds, and compare it with the BASES.

    The result has mean and deviation over seeds, and the difference to each base with its 95%
    interval over JDs and seeds.
    """
    cells = {
        name: {m: _matrix([seed[m] for seed in each], jds) for m in SEARCH}
        for name, each in found.items()
    }
    table: dict[str, Any] = {}
    for name, by_metric in cells.items():
        table[name] = {}
        for metric, values in by_metric.items():
            mean, deviation = spread(np.nanmean(values, axis=1).tolist())
            line: dict[str, Any] = {"mean": mean, "sd": None if np.isnan(deviation) else deviation}
            line["against"] = {
                base: query_difference(values, cells[base][metric])
                for base in BASES
                if base != name
            }
            table[name][metric] = line
    return table


def _matrix(seeds: Sequence[Mapping[str, float]], jds: Sequence[str]) -> np.ndarray:
    """Arrange values as [seed jd]; nan if a JD was not tested or has no relevant CV."""
    return np.array([[figures.get(jd, np.nan) for jd in jds] for figures in seeds])
