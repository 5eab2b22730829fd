"""A row of the table: what the configuration says of it, and its training under one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from torch import nn

from experiments.schema import Config, scorer_of
from jdcv_core.chunking import chunk_documents
from jdcv_core.data.splits import Split
from jdcv_core.encoding.encode import Chunker, EncodeReport, encode_documents
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.lora_tuning import Tuning, trainable_module
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.months import month_from
from jdcv_core.scoring import count_parameters
from jdcv_core.training.loop import batches_of, make_plan
from jdcv_core.training.pairs import PairTensors, PairTokens
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnTokens, OnVectors, Trainable
from jdcv_core.types import Chunk, Dataset, Document
from research.aggregators.widened import Widened, hidden_for
from research.experience.experience_chunking import chunk_by_experience, chunk_facts

CHUNKERS: dict[str, Chunker] = {"tokens": chunk_documents, "experience": chunk_by_experience}
"""How documents may be cut (`chunking.by`)."""


@dataclass(frozen=True)
class Row:
    """name: in the table; scorer: its `_target_` and arguments; tuning: of the encoder; training:
    its own settings; encoder: the node that makes it; kind: variant or falsifier; view: the dotted
    name of the function through which it sees the chunk vectors; parameters: how many its scorer is
    widened to; pretrained: whether its encoder is first pretrained by contrast; months: the dotted
    name of the function through which it sees the months of experiences."""

    name: str
    scorer: dict[str, Any]
    tuning: Tuning
    training: TrainingSettings
    encoder: dict[str, Any]
    kind: str = "variant"
    view: str | None = None
    parameters: int | None = None
    pretrained: bool = False
    months: str | None = None


@dataclass(eq=False)
class Encoded:
    """An encoder and what it made of the documents before any training.

    matrices: chunk vectors [chunk, dim] by document id, not whitened
    chunks:   by document id; made when a first row needs them
    source:   the folder of a pretrained encoder
    by:       how documents were cut, a name in CHUNKERS
    reference: the month that "current" means; None: the newest in the CVs
    """

    encoder: Encoder
    matrices: dict[str, np.ndarray]
    report: EncodeReport
    documents: list[Document]
    _chunks: dict[str, list[Chunk]] | None = None
    source: Path = Path()
    by: str = "tokens"
    reference: int | None = None
    _facts: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None

    @property
    def chunks(self) -> dict[str, list[Chunk]]:
        if self._chunks is None:
            size, overlap = self.report.size, self.report.overlap
            cut = CHUNKERS[self.by](self.documents, self.encoder.tokenizer, size, overlap)
            self._chunks = {d.id: c for d, c in zip(self.documents, cut, strict=True)}
        return self._chunks

    @property
    def facts(self) -> dict[str, np.ndarray] | None:
        """The months of each chunk by document id (`chunking.chunk_facts`); None where documents
        were not cut by experience."""
        return None if self.by == "tokens" else self._facts_and_report()[0]

    def facts_report(self) -> dict[str, Any]:
        """How many experiences were read, and what was wrong with them."""
        return {} if self.by == "tokens" else self._facts_and_report()[1]

    def _facts_and_report(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        if self._facts is None:
            self._facts = chunk_facts(self.documents, self.chunks, self.reference)
        return self._facts


def rows_of(config: Config) -> list[Row]:
    """The rows in the order of the configuration; what a row does not say is the experiment's."""
    found = []
    for name, variant in config.variants.items():
        training = replace(config.training, **variant.get("training", {}))
        tuning, encoder = variant.get("tuning", "frozen"), variant.get("encoder", config.encoder)
        kind, view = variant.get("kind", "variant"), variant.get("view")
        pretrained = bool(variant.get("pretrained", False))
        row = Row(name, scorer_of(variant), tuning, training, encoder, kind, view)
        found.append(replace(row, pretrained=pretrained, months=variant.get("months")))
    return found


def with_equal_parameters(rows: Sequence[Row], dim: int) -> list[Row]:
    """The rows, each to be widened to the parameters of the largest scorer at this width."""
    most = max(count_parameters(make(row.scorer, dim=dim)) for row in rows)
    return [replace(row, parameters=most) for row in rows]


def make_scorer(row: Row, dim: int) -> nn.Module:
    """The scorer of a row, widened where the row says so."""
    scorer = make(row.scorer, dim=dim)
    if row.parameters is None:
        return scorer
    hidden = hidden_for(count_parameters(scorer), row.parameters, dim)
    return Widened(scorer, dim, hidden) if hidden else scorer


def make(node: dict[str, Any], **arguments: Any) -> Any:
    """Call a `_target_` with its configured arguments and these.

    The call is made here and not by Hydra, which would wrap an InputError in one of its own and
    turn dataclasses among the arguments into configurations.
    """
    return instantiate(node, _partial_=True, _convert_="all")(**arguments)


def encode(config: Config, node: dict[str, Any], documents: list[Document]) -> Encoded:
    """The encoder of a node and the chunk vectors of all documents, out of the store or made."""
    encoder = make(node, documents=documents)
    store = VectorStore(Path(config.cache_dir) / "vectors.sqlite")
    chunking = config.chunking
    matrices, report = encode_documents(
        documents, encoder, store, chunking.size, chunking.overlap, CHUNKERS[chunking.by]
    )
    encoder.release()
    reference = None if chunking.reference is None else month_from(chunking.reference)
    return Encoded(encoder, matrices, report, documents, by=chunking.by, reference=reference)


def documents_of(dataset: Dataset, index: Sequence[int]) -> list[str]:
    """The ids of the documents of some pairs."""
    return sorted({i for at in index for i in (dataset.pairs[at].cv, dataset.pairs[at].jd)})


def train_whitening(
    dataset: Dataset, matrices: Mapping[str, np.ndarray], split: Split
) -> Whitening:
    """Fitted on the documents of the split's training pairs; no other touches it."""
    return Whitening.fit(matrices, documents_of(dataset, split.train))


def on_vectors(
    row: Row,
    dataset: Dataset,
    matrices: Mapping[str, np.ndarray],
    device: str,
    seed: int,
    facts: Mapping[str, np.ndarray] | None = None,
) -> OnVectors:
    """The module that the loop trains on stored, whitened chunk vectors: random starts are drawn
    from the seed."""
    if row.view is not None:
        matrices = get_object(row.view)(matrices, seed)
    if row.months is not None and facts is not None:
        facts = get_object(row.months)(facts, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = make_scorer(row, next(iter(matrices.values())).shape[1])
    return OnVectors(scorer, PairTensors.of(dataset.pairs, matrices, facts), device)


def on_tokens(
    row: Row, dataset: Dataset, encoded: Encoded, whitening: Whitening, seed: int
) -> OnTokens:
    """The same for a row that trains the encoder, too."""
    settings = row.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = make_scorer(row, encoded.encoder.dim)
        module = trainable_module(
            encoded.encoder,
            row.tuning,
            settings.lora_rank,
            settings.lora_alpha,
            settings.lora_dropout,
        )
    return OnTokens(
        scorer,
        PairTokens.of(dataset.pairs, encoded.chunks),
        module,
        encoded.encoder,
        whitening,
        settings.precision,
        settings.gradient_checkpointing,
    )


def make_trainable(
    row: Row, encoded: Encoded, dataset: Dataset, whitening: Whitening, seed: int
) -> Trainable:
    """`on_vectors` or `on_tokens`, as the row says."""
    if row.tuning == "frozen":
        matrices = whitening(encoded.matrices)
        return on_vectors(row, dataset, matrices, encoded.encoder.device, seed)
    return on_tokens(row, dataset, encoded, whitening, seed)


def with_budget(
    settings: TrainingSettings, model: Trainable, train: np.ndarray
) -> TrainingSettings:
    """The settings with the `steps` that use up `token_budget`; as they are without a budget.

    By the mean work of the first 50 updates of seed 0, so that it is the same for every seed.
    """
    if settings.token_budget is None or model.unit != "tokens":
        return settings
    look = make_plan(model, train, replace(settings, steps=min(50, settings.steps)), seed=0)
    each = np.mean(
        [sum(map(model.work, batches_of(model, index, settings.batch))) for index in look]
    )
    return replace(settings, steps=max(1, round(settings.token_budget / each)))
