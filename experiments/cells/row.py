"""A row of the table: its configuration, and its training under one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from torch import nn

from experiments.cells.cell_store import vectors_hash
from experiments.schema import Chunking, Config
from jdcv_core import registry
from jdcv_core.data.splits import Split
from jdcv_core.encoding.encode import (
    EncodeReport,
    encode_documents,
    months_of,
    tokens_of,
    vectors_of,
)
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.lora_tuning import Tuning, trainable_module
from jdcv_core.encoding.term_weights import TermWeights, Tokens
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.matcher import scorer_spec
from jdcv_core.scoring import count_parameters
from jdcv_core.training.loop import batches_of, make_plan
from jdcv_core.training.pairs import PairTensors, PairTokens
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnTokens, OnVectors, Trainable
from jdcv_core.types import Chunk, Dataset, Document, Encoded
from research.aggregators.widened import Widened, hidden_for
from research.context.on_rows import OnRows


@dataclass(frozen=True)
class Row:
    """A `schema.RowConfig` with its name and with the experiment's settings filled in.

    parameters: number of parameters to which its scorer is widened; None means no widening
    """

    name: str
    scorer: dict[str, Any]
    tuning: Tuning
    training: TrainingSettings
    encoder: dict[str, Any]
    chunking: Chunking = field(default_factory=Chunking)
    kind: str = "variant"
    view: str | None = None
    parameters: int | None = None
    pretrained: bool = False
    months: str | None = None
    context: dict[str, Any] | None = None


@dataclass(eq=False)
class EncodedDataset:
    """An encoder and the documents that it encoded before any training.

    documents: document id → `Encoded`; the vectors are not whitened
    matrices:  document id → the same vectors, [chunk, dim]
    months:    document id → [chunk, 4], if documents were cut by experience
    tokens:    document id → the token ids of each chunk
    vectors_hash, months_hash: hashes of `matrices` and `months`
    source:    the folder of a pretrained encoder
    """

    encoder: Encoder
    documents: dict[str, Encoded]
    report: EncodeReport
    source: Path = Path()

    def __post_init__(self) -> None:
        self.matrices = vectors_of(self.documents)
        self.months = months_of(self.documents)
        self.tokens = tokens_of(self.documents)
        self.vectors_hash = vectors_hash(self.matrices)
        self.months_hash = vectors_hash(self.months) if self.months else ""

    @property
    def chunks(self) -> dict[str, tuple[Chunk, ...]]:
        """Map each document id to its chunks."""
        return {i: own.chunks for i, own in self.documents.items()}


def rows_of(config: Config) -> list[Row]:
    """Return the rows that `config.rows` names, in the order of the configuration."""
    return [
        Row(
            name,
            row.scorer,
            row.tuning,  # type: ignore[arg-type]  # checked by `validate`
            replace(config.training, **row.training),
            row.encoder or config.encoder,
            replace(config.chunking, **row.chunking),
            row.kind,
            row.view,
            None,
            row.pretrained,
            row.months,
            row.context,
        )
        for name, row in config.variants.items()
        if config.rows is None or name in config.rows
    ]


def with_equal_parameters(rows: Sequence[Row], dim: int) -> list[Row]:
    """Set each row to be widened to the parameters of the largest scorer at this width."""
    most = max(count_parameters(make(row.scorer, dim=dim)) for row in rows)
    return [replace(row, parameters=most) for row in rows]


def make_scorer(row: Row, dim: int) -> nn.Module:
    """Make the scorer of a row, widened if the row requires it."""
    scorer = make(row.scorer, dim=dim)
    if row.parameters is None:
        return scorer
    hidden = hidden_for(count_parameters(scorer), row.parameters, dim)
    return Widened(scorer, dim, hidden) if hidden else scorer


def make(node: dict[str, Any], **arguments: Any) -> Any:
    """Call a `_target_` with its configured arguments and with `arguments`.

    Hydra does not make the call, because it would wrap an InputError in another error and turn
    dataclasses among the arguments into configurations.
    """
    return instantiate(node, _partial_=True, _convert_="all")(**arguments)


def spec_of(row: Row, dim: int) -> dict[str, Any]:
    """Describe the scorer of a row for a saved model: its name in the registry and its arguments.

    Raises InputError for a scorer that is not in the registry.
    """
    arguments = {k: v for k, v in row.scorer.items() if k != "_target_"}
    spec = scorer_spec(get_object(row.scorer["_target_"]), {"dim": dim, **arguments})
    scorer = make_scorer(row, dim)
    if isinstance(scorer, Widened):
        return scorer_spec(Widened, {"scorer": spec, "dim": dim, "hidden": scorer.up.out_features})
    return spec


def encode(
    node: dict[str, Any],
    chunking: Chunking,
    documents: list[Document],
    cache_dir: str,
    reference: str | None = None,
) -> EncodedDataset:
    """Make the encoder of a configuration node and encode all documents with it.

    reference: the month to which "current" refers, if `chunking` does not name one
    """
    encoder = make(node, documents=documents)
    arguments: dict[str, Any] = {"size": chunking.size, "overlap": chunking.overlap}
    if chunking.by != "tokens":
        arguments["reference"] = chunking.reference or reference
    chunker = registry.make("chunkers", {"name": chunking.by, "arguments": arguments})
    store = VectorStore(Path(cache_dir) / "vectors.sqlite")
    encoded, report = encode_documents(documents, encoder, store, chunker)
    encoder.release()
    return EncodedDataset(encoder, encoded, report)


def documents_of(dataset: Dataset, index: Sequence[int]) -> list[str]:
    """List the ids of the documents of the pairs at `index`."""
    return sorted({i for at in index for i in (dataset.pairs[at].cv, dataset.pairs[at].jd)})


def train_whitening(
    dataset: Dataset, matrices: Mapping[str, np.ndarray], split: Split
) -> Whitening:
    """Fit a whitening on the documents of the split's training pairs only."""
    return Whitening.fit(matrices, documents_of(dataset, split.train))


def train_terms(dataset: Dataset, tokens: Mapping[str, Tokens], split: Split) -> TermWeights:
    """Counted in the documents of the split's training pairs; no other touches it."""
    return TermWeights.fit(tokens, documents_of(dataset, split.train))


def reads_words(row: Row) -> bool:
    """Whether the scorer of the row reads the words of chunks."""
    return bool(row.scorer.get("words"))


def on_vectors(
    row: Row,
    dataset: Dataset,
    matrices: Mapping[str, np.ndarray],
    device: str,
    seed: int,
    months: Mapping[str, np.ndarray] | None = None,
    words: Mapping[str, np.ndarray] | None = None,
) -> OnVectors:
    """Make the module that the loop trains on stored, whitened chunk vectors.

    Its initial weights are drawn with the seed.

    months: document id → [chunk, 4], if documents were cut by experience
    words:  document id → [chunk, term, 2], for a row that `reads_words`
    """
    if row.view is not None:
        matrices = get_object(row.view)(matrices, seed)
        words = words and get_object(row.view)(words, seed)
    if row.months is not None and months is not None:
        months = get_object(row.months)(months, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = make_scorer(row, next(iter(matrices.values())).shape[1])
    return OnVectors(scorer, PairTensors.of(dataset.pairs, matrices, months, words), device)


def on_tokens(
    row: Row, dataset: Dataset, encoded: EncodedDataset, whitening: Whitening, seed: int
) -> OnTokens:
    """Make the module that the loop trains if the row trains its encoder, too.

    For a row that reads a JD and a CV together, the caller fits the whitening (`fit_whitening`).
    """
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
    parts = (
        scorer,
        PairTokens.of(dataset.pairs, encoded.chunks),
        module,
        encoded.encoder,
        whitening,
        settings.precision,
        settings.gradient_checkpointing,
    )
    return OnTokens(*parts) if row.context is None else OnRows(*parts, reading=make(row.context))


def make_trainable(
    row: Row,
    encoded: EncodedDataset,
    dataset: Dataset,
    whitening: Whitening,
    seed: int,
    terms: TermWeights | None = None,
) -> Trainable:
    """Call `on_vectors` if the row's encoder is frozen, otherwise `on_tokens`."""
    if row.tuning == "frozen":
        matrices = whitening(encoded.matrices)
        words = terms(encoded.tokens) if terms is not None and reads_words(row) else None
        device, months = encoded.encoder.device, encoded.months
        return on_vectors(row, dataset, matrices, device, seed, months, words)
    return on_tokens(row, dataset, encoded, whitening, seed)


def with_budget(
    settings: TrainingSettings, model: Trainable, train: np.ndarray
) -> TrainingSettings:
    """Set `steps` so that training uses up `token_budget`; without a budget, change nothing.

    The steps are computed from the mean work of the first 50 updates of seed 0, so that they are
    the same for every seed.
    """
    if settings.token_budget is None or model.unit != "tokens":
        return settings
    look = make_plan(model, train, replace(settings, steps=min(50, settings.steps)), seed=0)
    each = np.mean(
        [sum(map(model.work, batches_of(model, index, settings.batch))) for index in look]
    )
    return replace(settings, steps=max(1, round(settings.token_budget / each)))
