"""Estimate the operations, memory and hours of each row of an experiment before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from experiments.cells.row import Row, documents_of, make
from experiments.report import cost_table
from experiments.schema import MatchConfig
from jdcv_core.chunking import settled_size
from jdcv_core.data.splits import Split
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.outline import count_tokens, gpt2_outline, mini_outline
from jdcv_core.encoding.precision import multiplies_bf16
from jdcv_core.progress import progress
from jdcv_core.scoring import count_parameters
from jdcv_core.training.cost import (
    Estimate,
    Work,
    estimate,
    matmul_rate,
    skeleton_of,
    training_flops,
)
from jdcv_core.training.sampling import balanced_plan, natural_plan
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.types import Dataset

OUTLINES = {
    "jdcv_core.encoding.loaders.gpt2": gpt2_outline,
    "jdcv_core.encoding.gpt2_mini.gpt2_mini": mini_outline,
}
"""Encoders that must be downloaded or trained first → functions that outline them instead."""
LOOKED_AT = 20  # number of updates whose tokens are counted


def show_rows(
    rows: Sequence[Row], dataset: Dataset, splits: dict[int, Split], config: MatchConfig
) -> list[Estimate]:
    """Print and return the estimated cost of the rows over all seeds."""
    found: list[Estimate] = []
    kind, here = "cpu", 0.0
    with progress("Estimating", len(rows) + 1) as advance:
        for row in rows:
            encoder = outline(row, dataset)
            if not found:
                kind = torch.device(encoder.device).type
                here = matmul_rate(encoder.device, in_bf16(row.training, encoder))
                advance()
            work = work_of(row, encoder, dataset, splits, config)
            skeleton = _skeleton(row, encoder)
            found.append(estimate(work, skeleton, here, kind, config.gpu_tflops))  # type: ignore[arg-type]
            advance()
    cost_table.show(found, here, kind, config.gpu_tflops)
    return found


def outline(row: Row, dataset: Dataset) -> Encoder:
    """Make the row's encoder, or its outline if the weights are not on this machine yet."""
    node = row.encoder
    given = {k: v for k, v in node.items() if k != "_target_"}
    if node["_target_"] in OUTLINES and not given.get("path"):
        return OUTLINES[node["_target_"]](**given)
    return make(node, documents=[*dataset.side("cv"), *dataset.side("jd")])


def work_of(
    row: Row, encoder: Encoder, dataset: Dataset, splits: dict[int, Split], config: MatchConfig
) -> Work:
    """Count the tokens that the row's encoder processes over all seeds, and the size of batches."""
    settings = row.training
    size = settled_size(row.chunking.size, row.chunking.overlap, encoder.max_tokens)
    tokens = {i: count_tokens(encoder, d.text) for i, d in dataset.documents.items()}
    chunks = [n for total in tokens.values() for n in _cut(total, size)]
    usual = round(float(np.average(chunks, weights=chunks)))  # length of a token's chunk
    if row.tuning == "frozen":
        training, evaluation, rows = sum(tokens.values()), 0, encoder.batch_tokens or usual
        rows = max(1, rows // usual)
    else:
        training = evaluation = 0
        largest = 0.0
        for seed, split in splits.items():
            each, most = _tokens_of_updates(row, dataset, split, tokens, seed)
            steps = settings.steps
            if settings.token_budget is not None:
                steps = max(1, round(settings.token_budget / each))
            looks = -(-steps // settings.evaluate_every)
            training += round(each * steps)
            evaluation += looks * _tokens_of(row, dataset, split.validation, tokens)
            evaluation += _tokens_of(row, dataset, split.test, tokens)
            largest = max(largest, most)
        rows = max(1, round(largest / usual))
    skeleton = _skeleton(row, encoder)
    scorer = count_parameters(make(row.scorer, dim=encoder.dim))
    special = len(encoder.network.prefix) + len(encoder.network.suffix)
    return Work(
        name=row.name,
        tuning=row.tuning,
        tokens=training,
        eval_tokens=evaluation,
        row_tokens=usual + special,
        rows=rows,
        parameters=sum(p.numel() for p in skeleton.parameters()) + scorer,
        trained=count_parameters(skeleton) + scorer,
        checkpointing=settings.gradient_checkpointing,
        bf16=in_bf16(settings, encoder),
    )


def flops_of(row: Row, encoder: Encoder, tokens: int, eval_tokens: int, row_tokens: int) -> float:
    """Count the operations of a finished cell in the same way as the estimate."""
    skeleton = _skeleton(row, encoder)
    work = Work(
        row.name, row.tuning, tokens, eval_tokens, row_tokens, 1, 0, 0,
        row.training.gradient_checkpointing,
    )  # fmt: skip
    return training_flops(work, skeleton)


def in_bf16(settings: TrainingSettings, encoder: Encoder) -> bool:
    """Return whether training will run the encoder in bf16; see `OnTokens`."""
    fast = encoder.device != "cpu" or multiplies_bf16()
    return settings.precision == "bf16" or (settings.precision == "auto" and fast)


def _skeleton(row: Row, encoder: Encoder) -> Any:
    settings = row.training
    return skeleton_of(
        encoder, row.tuning, settings.lora_rank, settings.lora_alpha, settings.lora_dropout
    )


def _tokens_of_updates(
    row: Row, dataset: Dataset, split: Split, tokens: dict[str, int], seed: int
) -> tuple[float, float]:
    """Return the mean tokens of an update and the largest batch's; see `_tokens_of`."""
    settings = row.training
    labels = np.array([p.label for p in dataset.pairs])
    train, size = np.array(split.train), settings.batch * settings.accumulation
    steps = min(LOOKED_AT, settings.steps)
    if settings.balance is None:
        plan = natural_plan(train, np.ones(len(labels)), size, steps, seed)
    else:
        plan = balanced_plan(train, labels, size, steps, seed, settings.balance)
    batches = []
    for index in plan:
        pairs = sorted(index.tolist(), key=lambda i: dataset.pairs[i].cv)
        batches += [pairs[at : at + settings.batch] for at in range(0, size, settings.batch)]
    costs = [_tokens_of(row, dataset, batch, tokens) for batch in batches]
    return sum(costs) / len(plan), max(costs)


def _tokens_of(row: Row, dataset: Dataset, index: Sequence[int], tokens: dict[str, int]) -> int:
    """Count the tokens of pairs in one batch: each document once, or both of each pair if the row
    reads them together."""
    if row.context is not None:
        pairs = [dataset.pairs[i] for i in index]
        return sum(tokens[pair.cv] + tokens[pair.jd] for pair in pairs)
    return sum(tokens[i] for i in documents_of(dataset, index))


def _cut(total: int, size: int) -> list[int]:
    """Return the lengths of a document's chunks."""
    whole, rest = divmod(total, size)
    return [size] * whole + ([rest] if rest else [])
