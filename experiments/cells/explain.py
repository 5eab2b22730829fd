"""Explain the scores of a few test pairs by their chunks."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from jdcv_core.data.splits import Split
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.requirements import MATCHED, NEGLIGIBLE, PARTLY, numbers_of
from jdcv_core.training.trainable import OnVectors
from jdcv_core.types import ChunkVectors, Dataset
from research.chunk_attention import ChunkAttention
from research.deletion_test import faithfulness
from research.experience.experience_chunking import PLACE
from research.experience.scorers import MonthWeights

EXPLAINED = 200
"""Number of test pairs on which the faithfulness of attributions is measured."""
SEARCHED = 50
"""Number of test pairs among which an example of requirements is looked for."""


def attention_examples(
    model: OnVectors, dataset: Dataset, split: Split
) -> list[tuple[str, np.ndarray]]:
    """Return (title, [JD chunk, CV chunk]) of the 3 Good Fit test pairs with the most chunks.

    The pairs are of different JDs. The list is empty if the scorer has no attention from JD to CV.
    """
    scorer = model.scorer
    if not (isinstance(scorer, ChunkAttention) and "cross_jd" in scorer.terms):
        return []
    good = [i for i in split.test if dataset.pairs[i].label == GOOD]
    jd, cv = model.data.chunk_counts(torch.arange(len(dataset.pairs)))
    size = np.array(jd) * np.array(cv)
    good.sort(key=lambda i: (-int(size[i]), dataset.pairs[i].jd, dataset.pairs[i].cv))
    largest: dict[str, int] = {}
    for i in good:
        largest.setdefault(dataset.pairs[i].jd, i)
    examples = []
    for i in list(largest.values())[:3]:
        weights = scorer.cross_attention(*model.data.sides(torch.tensor([i])))[0]
        pair = dataset.pairs[i]
        examples.append((f"{pair.jd[:9]} reads {pair.cv[:9]}", weights.cpu().numpy()))
    return examples


def timeline_example(model: OnVectors, dataset: Dataset, split: Split) -> dict[str, Any]:
    """Describe the experiences of a Good Fit test pair with many experiences.

    Returns {"timeline": {...}} with the weight of each experience and its score when it is compared
    alone with the JD, or {} if the scorer does not weight by months.
    """
    months = getattr(model.scorer, "months", None)
    if not isinstance(months, MonthWeights) or model.data.cv.months is None:
        return {}
    good = [i for i in split.test if dataset.pairs[i].label == GOOD]
    if not good:
        return {}
    cvs = model.data.cv_index[good].tolist()
    count = [float(model.data.cv.months_of(i)[:, PLACE].nan_to_num(-1).max()) for i in cvs]
    index = torch.tensor([good[int(np.argmax(count))]])
    jd, cv = model.data.sides(index)
    assert cv.months is not None
    with torch.inference_mode():
        weight = months(cv)[0]
        found = []
        for place in range(int(cv.months[0, :, PLACE].nan_to_num(-1).max()) + 1):
            own = cv.months[0, :, PLACE] == place
            if not own.any():
                continue
            alone = ChunkVectors(cv.ids, cv.vectors[:, own], cv.mask[:, own], cv.months[:, own])
            score = model.scorer(jd, alone).sigmoid()
            found.append(
                {"place": place, "weight": float(weight[own].sum()), "score": float(score)}
            )
    pair = dataset.pairs[int(index)]
    return {"timeline": {"cv": pair.cv, "jd": pair.jd, "experiences": found}}


def requirements_example(model: OnVectors, dataset: Dataset, split: Split) -> dict[str, Any]:
    """Say which CV chunk meets which JD chunk for a Good Fit test pair that also lacks something.

    Returns {"requirements": {"cv", "jd", "score" and the fields of `requirements.Numbers`}}, or {}
    if the scorer has no `evidence`. Of the SEARCHED pairs with the fewest JD chunks it is the first
    one in which a requirement is matched and another one missing, else the first.
    """
    scorer = model.scorer
    good = [i for i in split.test if dataset.pairs[i].label == GOOD]
    if not good or not callable(getattr(scorer, "evidence", None)):
        return {}
    counts = model.data.chunk_counts(torch.arange(len(dataset.pairs)))[0]
    good.sort(key=lambda i: (int(counts[i]), dataset.pairs[i].jd, dataset.pairs[i].cv))
    chosen = None
    for i in good[:SEARCHED]:
        sides = model.data.sides(torch.tensor([i]))
        numbers = numbers_of(cast(Any, scorer), *sides)
        least = NEGLIGIBLE * max(numbers.importance)
        listed = [c for c, a in zip(numbers.covered, numbers.importance, strict=True) if a >= least]
        both = min(listed) < PARTLY and max(listed) >= MATCHED
        if chosen is None or both:
            with torch.inference_mode():
                score = float(scorer(*sides).sigmoid())
            pair = dataset.pairs[i]
            chosen = {"cv": pair.cv, "jd": pair.jd, "score": score, **numbers._asdict()}
        if both:
            break
    return {"requirements": chosen}


def faithfulness_of(
    model: OnVectors, dataset: Dataset, split: Split, seed: int
) -> dict[str, dict[str, float]]:
    """Run `research.deletion_test.faithfulness` on EXPLAINED test pairs drawn with the seed."""
    rng = np.random.default_rng([seed, 2])
    index = np.sort(rng.permutation(np.array(split.test))[:EXPLAINED])
    jd, cv = model.data.sides(torch.from_numpy(index))
    return faithfulness(model.scorer, jd, cv, seed=seed)
