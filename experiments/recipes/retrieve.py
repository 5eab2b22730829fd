"""Recipe retrieve: index all CVs, search with every test JD, rerank, compare the systems."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from experiments import validate
from experiments.cells.row import (
    Encoded,
    Row,
    encode,
    make,
    on_vectors,
    rows_of,
    train_whitening,
)
from experiments.figures import index_types_figure
from experiments.recipes.match import make_splits
from experiments.report import retrieval_table
from experiments.schema import Config
from jdcv_core import records
from jdcv_core.data.demo.generate import demo_grades
from jdcv_core.data.splits import Split
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.compare import query_difference, spread
from jdcv_core.progress import progress
from jdcv_core.training.distributed import world
from jdcv_core.training.loop import train
from jdcv_core.types import Dataset, Qrels, Run
from research.retrieval.compare_index_types import compare_types
from research.retrieval.evaluation import retrieval_metrics
from research.retrieval.first_stage import first_stage
from research.retrieval.fusion import rrf
from research.retrieval.index_folder import IndexFolder
from research.retrieval.lexical import bm25_search, tfidf_search
from research.retrieval.search import Candidate, Reranker, scorer_reranker, search_many
from research.retrieval.segment import Entry
from research.retrieval.simulated_vectors import Simulated
from research.retrieval.vector_index import INDEX_TYPES, FaissIndex

FIRST, MAXSIM, BM25, TFIDF, FUSED = (
    "first stage", "+ MaxSim", "BM25", "TF-IDF cosine", "RRF of BM25 and MaxSim",
)  # fmt: skip
SHOWN, DEEP = 3, 10
"""JDs that are shown, and CVs of each; DEEP is the k of the figures, too."""
METRICS = ("ndcg", "map", "mrr", "recall", "judged")
UNUSED = {
    "resume": None, "estimate": False, "tracker": "local", "save_models": False,
    "match_parameters": False, "attribution": False, "encoder_seeds": False,
}  # fmt: skip
"""Keys of an experiment that mean nothing here, with the value they must have."""
LEAST, JDS, TRIAL = 100, 100, 64
"""The fewest CVs of a simulated corpus, its JDs, and a width to try index types at."""
CHUNKS = 256
"""Tokens of a chunk unless the configuration says otherwise: several chunks a CV."""


def run(composed: DictConfig) -> Path:
    """The whole experiment; returns its folder of records.

    For each seed the rows are trained on the JDs of train, all CVs are indexed, and every JD of
    test is searched with. Judgements: on the demo corpus of every CV, by its formula; elsewhere the
    labels, and a CV without one counts as no fit, which `judged` says.
    """
    config = cast(Config, OmegaConf.to_object(composed))
    resolved = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True))
    validate.variants(config)
    rows = rows_of(config)
    check(config, rows)
    kinds = index_types(config)
    scale = config.data.pop("scale", None)
    if scale is not None:
        return run_simulated(config, resolved, kinds, scale)
    config.chunking.size = config.chunking.size or CHUNKS
    dataset: Dataset = make(config.data)
    splits, _ = make_splits(config, dataset)
    encoded = encode(config, config.encoder, [*dataset.side("cv"), *dataset.side("jd")])
    qrels = judgements(dataset, config)
    about = {"config_hash": records.config_hash(resolved), "git": records.git_state()}
    folder = records.start_record(config.runs_dir, config.experiment, resolved)
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    for seed in config.seeds:
        split = splits[config.split.kind, seed]
        vectors = train_whitening(dataset, encoded.matrices, split)(encoded.matrices)
        systems, shown = search_with(rows, dataset, encoded, vectors, split, seed)
        for name, ranked in systems.items():
            judged = {jd: qrels[jd] for jd in ranked}
            figures = retrieval_metrics(judged, ranked, k=DEEP, relevant=GOOD)
            found.setdefault(name, []).append(figures)
            line = {"variant": name, "seed": seed, **about, "per_jd": figures}
            records.append_record(folder, line)
        if seed == config.seeds[0]:
            retrieval_table.show_examples(shown)
            records.write_text(folder, "examples.json", retrieval_table.as_json(shown))
            entries = [Entry(d.id, vectors[d.id]) for d in dataset.side("cv")]
            queries = [vectors[jd] for jd in jds_of(dataset, split)]
            make_index = partial(_corpus_of, entries)
            types = compared(folder, make_index, kinds, queries, len(entries))
    table = table_of(found, sorted(qrels))
    facts = {
        "cvs": len(dataset.side("cv")),
        "chunks": sum(len(encoded.matrices[d.id]) for d in dataset.side("cv")),
        "judged": {jd: len(grades) for jd, grades in qrels.items()},
        "encoder": encoded.report.facts(),
        "versions": records.versions(),
        "data": {"name": dataset.name, **dataset.facts},
    }
    records.write_text(folder, "table.json", json.dumps(table))
    text = f"{retrieval_table.markdown(table, facts, len(config.seeds))}\n{types}"
    return finished(folder, resolved, text, facts)


def run_simulated(
    config: Config, resolved: dict[str, Any], kinds: Sequence[str], scale: Any
) -> Path:
    """Index types on simulated chunk vectors of so many CVs; no text is encoded."""
    whole = isinstance(scale, int) or (isinstance(scale, float) and scale.is_integer())
    if not whole or scale < LEAST:
        raise InputError(f"data.scale={scale}", "it is no number of CVs", f"give {LEAST} or more")
    cvs = int(scale)
    simulated = Simulated(cvs, seed=config.seeds[0])
    room, free = 2.2 * cvs * simulated.chunks * simulated.dim * 4, disk_usage(gettempdir()).free
    if room > free:
        what = f"an index of {cvs:,} CVs takes {room / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
        raise InputError(gettempdir(), what, "set TMPDIR to a larger disk, or give fewer CVs")
    folder = records.start_record(config.runs_dir, config.experiment, resolved)
    text = compared(folder, simulated.index, kinds, list(simulated.jds(JDS)), cvs)
    facts = {"cvs": cvs, "versions": records.versions(), "git": records.git_state()}
    return finished(folder, resolved, text, facts)


def finished(folder: Path, resolved: dict[str, Any], text: str, facts: Mapping[str, Any]) -> Path:
    """Print the table, write the last files and give the folder its name; returns it."""
    records.write_text(folder, "table.md", text)
    records.write_text(folder, "facts.json", json.dumps(records.plain(facts)))
    records.write_text(folder, "config.yaml", OmegaConf.to_yaml(OmegaConf.create(resolved)))
    folder = records.finish_record(folder)
    Console(width=200).print(text, markup=False, highlight=False)
    Console().print(f"Table, figure, examples: {folder}", highlight=False, soft_wrap=True)
    return folder


def compared(
    folder: Path,
    make: Callable[[Path, str], IndexFolder],
    kinds: Sequence[str],
    queries: Sequence[np.ndarray],
    cvs: int,
) -> str:
    """Measure index types; write index_types.json and .png into the folder, return the table."""
    k = min(cvs, 100, max(DEEP, cvs // 20))
    measured = compare_types(make, kinds, queries, k)
    rows = [{**asdict(m), "depth": asdict(m.depth)} for m in measured]
    records.write_text(folder, "index_types.json", json.dumps(rows))
    index_types_figure.draw(folder, measured, k, cvs)
    return retrieval_table.types_markdown(measured, k, cvs)


def index_types(config: Config) -> list[str]:
    """The index types that are compared; refused before the work where FAISS does not know one."""
    kinds = config.index_types or list(INDEX_TYPES)
    for kind in kinds:
        FaissIndex.make(TRIAL, kind, LEAST)
    return kinds


def _corpus_of(entries: Sequence[Entry], folder: Path, kind: str) -> IndexFolder:
    return IndexFolder.of(folder, entries, kind)


def check(config: Config, rows: Sequence[Row]) -> None:
    """Refuse what another recipe does and this one would silently leave out."""
    for key, value in UNUSED.items():
        if getattr(config, key) != value:
            what = "retrieval has no use for it"
            raise InputError(f"{key}={getattr(config, key)}", what, f"leave {key} out")
    if config.chunking.by != "tokens":
        what = "rerankers of a corpus see no months"
        raise InputError(f"chunking.by={config.chunking.by}", what, "write chunking.by=tokens")
    for row in rows:
        other = row.tuning != "frozen" or row.pretrained or row.encoder != config.encoder
        if other or row.view or row.months:
            what = "a reranker reads the vectors of the index as they are"
            cure = "leave out tuning, encoder, view, months and pretrained"
            raise InputError(f"variants.{row.name}", what, cure)
    if world() > 1:
        raise InputError("torchrun", "retrieval is the work of one process", "start it with python")


def judgements(dataset: Dataset, config: Config) -> Qrels:
    """Grades by JD and CV."""
    if "demo" in dataset.facts:
        return demo_grades(**{k: v for k, v in config.data.items() if k != "_target_"})
    qrels: dict[str, dict[str, int]] = {}
    for pair in dataset.pairs:
        qrels.setdefault(pair.jd, {})[pair.cv] = pair.label
    return qrels


def search_with(
    rows: Sequence[Row],
    dataset: Dataset,
    encoded: Encoded,
    vectors: Mapping[str, np.ndarray],
    split: Split,
    seed: int,
) -> tuple[dict[str, Run], list[dict[str, Any]]]:
    """The run of every system over the test JDs, and examples of the last reranker; vectors:
    whitened."""
    jds = jds_of(dataset, split)
    texts = {d.id: d.text for d in dataset.documents.values()}
    cvs = {d.id: d.text for d in dataset.side("cv")}
    with tempfile.TemporaryDirectory() as space:
        corpus = indexed(Path(space) / "index", encoded, vectors, cvs)
        queries = [Entry(jd, vectors[jd]) for jd in jds]
        everything = len(corpus)
        with progress(f"Seed {seed}: searching", None):
            maxsim = _run(jds, search_many(corpus, queries, everything))
            asked = {jd: texts[jd] for jd in jds}
            bm25 = bm25_search(asked, cvs, everything)
            systems: dict[str, Run] = {
                FIRST: first_stage(corpus, {jd: vectors[jd] for jd in jds}),
                MAXSIM: maxsim,
                BM25: bm25,
                TFIDF: tfidf_search(asked, cvs, everything),
                FUSED: rrf([bm25, maxsim]),
            }
        matches: list[list[Candidate]] = []
        for row in rows:
            reranker = trained(row, dataset, vectors, encoded.encoder.device, split, seed)
            with progress(f"Seed {seed}: reranking by {row.name}", None):
                matches = search_many(corpus, queries, everything, reranker=reranker)
            systems[f"+ {row.name}"] = _run(jds, matches)
        shown = [
            retrieval_table.example(corpus, texts[jd], spans(encoded, jd), found[:DEEP], jd)
            for jd, found in zip(jds[:SHOWN], matches, strict=False)
        ]
    return systems, shown


def jds_of(dataset: Dataset, split: Split) -> list[str]:
    """The JDs of test, which are searched with."""
    return sorted({dataset.pairs[i].jd for i in split.test})


def indexed(
    folder: Path, encoded: Encoded, vectors: Mapping[str, np.ndarray], cvs: Mapping[str, str]
) -> IndexFolder:
    """All CVs in a corpus of their own."""
    entries = [Entry(i, vectors[i], text, spans(encoded, i)) for i, text in cvs.items()]
    return IndexFolder.of(folder, entries)


def spans(encoded: Encoded, document: str) -> list[tuple[int, int]]:
    return [(chunk.start, chunk.end) for chunk in encoded.chunks[document]]


def trained(
    row: Row,
    dataset: Dataset,
    vectors: Mapping[str, np.ndarray],
    device: str,
    split: Split,
    seed: int,
) -> Reranker:
    """The scorer of a row, trained on the pairs of the split's training JDs; vectors: whitened."""
    model = on_vectors(row, dataset, vectors, device, seed)
    index = {part: torch.tensor(pairs) for part, pairs in split.parts().items()}
    with progress(f"Seed {seed}: training {row.name}", row.training.steps) as advance:
        train(model, index["train"], index["validation"], row.training, seed, advance=advance)
    return scorer_reranker(model.scorer, "cv")


def table_of(
    found: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]], jds: Sequence[str]
) -> dict[str, Any]:
    """Of each system and metric: mean and deviation over seeds, and the difference to the first
    stage with its 95% interval over JDs and seeds."""
    cells = {
        name: {m: _matrix([seed[m] for seed in each], jds) for m in METRICS}
        for name, each in found.items()
    }
    table: dict[str, Any] = {}
    for name, by_metric in cells.items():
        table[name] = {}
        for metric, values in by_metric.items():
            mean, deviation = spread(np.nanmean(values, axis=1).tolist())
            line: dict[str, Any] = {"mean": mean, "sd": None if np.isnan(deviation) else deviation}
            if name != FIRST:
                line["against"] = query_difference(values, cells[FIRST][metric])
            table[name][metric] = line
    return table


def _matrix(seeds: Sequence[Mapping[str, float]], jds: Sequence[str]) -> np.ndarray:
    """[seed jd], nan where a JD was not tested or has no relevant CV."""
    return np.array([[figures.get(jd, np.nan) for jd in jds] for figures in seeds])


def _run(jds: Sequence[str], found: Sequence[Sequence[Candidate]]) -> Run:
    return {jd: {m.id: m.score for m in matches} for jd, matches in zip(jds, found, strict=True)}
