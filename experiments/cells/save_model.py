"""Save a trained row as a folder that `jdcv score` and `Matcher.from_pretrained` read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.cells.cell import Cell, measure
from experiments.cells.row import (
    EncodedDataset,
    Row,
    make_trainable,
    reads_words,
    spec_of,
    train_terms,
)
from experiments.trackers import slug
from jdcv_core.atomic import remove_leftovers
from jdcv_core.data.splits import Split
from jdcv_core.encoding.lora_tuning import trainable_module, with_module
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.evaluation.intervals import bootstrap
from jdcv_core.evaluation.metrics import CARD
from jdcv_core.matcher import Matcher
from jdcv_core.model_card import model_card
from jdcv_core.training.state import Weights
from jdcv_core.training.trainable import OnTokens
from jdcv_core.types import Dataset


def save_model(
    folder: Path,
    row: Row,
    weights: Weights,
    encoded: EncodedDataset,
    whitening: Whitening,
    cell: Cell,
    dataset: Dataset,
    split: Split,
    seed: int,
    facts: dict[str, Any],
    baseline: dict[str, Any] | None = None,
) -> None:
    """Write `folder/models/<row>`: weights, tokenizer, cuts between classes, and a model card.

    weights:  trained weights; this function merges adapters
    baseline: the record's line of the baseline row with the same seed
    """
    target = model_folder(folder, row.name)
    terms = train_terms(dataset, encoded.tokens, split) if reads_words(row) else None
    model = make_trainable(row, encoded, dataset, whitening, seed, terms)
    model.load_state_dict(weights, strict=False)
    remove_leftovers(target.parent)
    if target.exists():  # an interrupted experiment saved it
        return
    encoder = encoded.encoder
    module = model.module if isinstance(model, OnTokens) else trainable_module(encoder, "frozen")
    _, predictions = measure(cell, dataset, split, seed)
    card = model_card(
        {
            "name": f"{facts['experiment']}: {row.name}",
            "base": encoder.name,
            "parameters": encoder.parameters,
            "mode": row.tuning,
            "scorer": row.scorer["_target_"],
            "chunks": {"size": encoded.report.size, "overlap": encoded.report.overlap},
            "precision": "fp32",
            "data": facts["data"],
            "split": facts["splits"][split.kind][str(seed)],
            "seed": seed,
            "cuts": cell.cuts,
            "metrics": bootstrap(predictions, metrics=CARD),
            "interval": "95% bootstrap over the test JDs of this one training",
            "baseline": baseline
            and {
                "name": baseline["variant"],
                "metrics": {m: {"value": baseline["metrics"][m]} for m in CARD},
            },
            "experiment": facts["experiment"],
            "config_hash": facts["config_hash"],
            "git": facts["git"],
            "versions": facts["versions"],
        }
    )
    matcher = Matcher(
        encoder=with_module(encoder, module),
        whitening=whitening,
        scorer=model.scorer.cpu().eval(),
        scorer_spec=spec_of(row, encoder.dim),
        cuts=cell.cuts or (0.0, 0.0),
        chunker=next(iter(encoded.documents.values())).chunker,
        card=card,
        terms=terms,
    )
    matcher.save_pretrained(target)


def model_folder(folder: Path, name: str) -> Path:
    """Return the folder of a row's model within the folder of an experiment."""
    return folder / "models" / slug(name)
