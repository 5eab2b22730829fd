"""What the chunks of a few test pairs have to do with their scores."""

from __future__ import annotations

import numpy as np
import torch

from jdcv_core.data.splits import Split
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import Dataset
from research.attribution import faithfulness
from research.chunk_attention import ChunkAttention

EXPLAINED = 200
"""Test pairs on which the faithfulness of attributions is measured."""


def attention_examples(
    model: OnVectors, dataset: Dataset, split: Split, count: int = 3
) -> list[tuple[str, np.ndarray]]:
    """(title, [JD chunk, CV chunk]) of a few Good Fit test pairs with the most chunks; none for a
    scorer without attention from JD to CV."""
    scorer = model.scorer
    if not (isinstance(scorer, ChunkAttention) and "cross_jd" in scorer.terms):
        return []
    good = [i for i in split.test if dataset.pairs[i].label == GOOD]
    jd, cv = (side.mask.sum(1).cpu() for side in (model.data.jd, model.data.cv))
    size = jd[model.data.jd_index] * cv[model.data.cv_index]
    good.sort(key=lambda i: (-int(size[i]), dataset.pairs[i].jd, dataset.pairs[i].cv))
    largest: dict[str, int] = {}
    for i in good:
        largest.setdefault(dataset.pairs[i].jd, i)
    examples = []
    for i in list(largest.values())[:count]:
        weights = scorer.cross_attention(*model.data.sides(torch.tensor([i])))[0]
        pair = dataset.pairs[i]
        examples.append((f"{pair.jd[:9]} reads {pair.cv[:9]}", weights.cpu().numpy()))
    return examples


def faithfulness_of(
    model: OnVectors, dataset: Dataset, split: Split, seed: int
) -> dict[str, dict[str, float]]:
    """`research.attribution.faithfulness` on EXPLAINED test pairs drawn by the seed."""
    rng = np.random.default_rng([seed, 2])
    index = np.sort(rng.permutation(np.array(split.test))[:EXPLAINED])
    jd, cv = model.data.sides(torch.from_numpy(index))
    return faithfulness(model.scorer, jd, cv, seed=seed)
