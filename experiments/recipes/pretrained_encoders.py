"""Pretrain encoders by contrast for rows, and check that no test pair was used for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cells.row import EncodedDataset, train_whitening
from jdcv_core.atomic import atomic_folder
from jdcv_core.data.splits import NEVER_SHARED, Split
from jdcv_core.encoding.lora_tuning import with_module
from jdcv_core.encoding.model_files import fingerprint
from jdcv_core.encoding.saved_encoder import save_encoder
from jdcv_core.encoding.whitening import unit_rows
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.evaluation.intervals import query_difference, spread
from jdcv_core.progress import progress
from jdcv_core.training.distributed import from_first, rank, wait
from jdcv_core.types import Dataset
from research.contrastive.pretrain_settings import PretrainSettings
from research.contrastive.pretraining import pretrain

RECIPE = 1  # increase when the same settings no longer give the same weights
SEEN, COURSE = "seen.json", "course.json"
DEPTH = 10
"""The k of recall@k in the table of retrieval by chunk vectors."""


def pretrained_folder(
    cache: Path,
    base: EncodedDataset,
    dataset: Dataset,
    split: Split,
    seed: int,
    settings: PretrainSettings,
    groups: Mapping[str, str],
) -> Path:
    """Return the folder of the base encoder pretrained on the training pairs of a split.

    The folder is found under a hash of everything that determines the encoder, or it is made now
    (complete or not at all). Next to the encoder it holds course.json, the course of training, and
    seen.json, the pairs of training, so that no later experiment tests on one of them
    (`check_seen`). With several processes, all of them train, and process 0 saves.
    """
    train = [dataset.pairs[i] for i in split.train]
    encoder = base.encoder
    key = fingerprint(
        RECIPE, encoder.weights_fingerprint, encoder.tokenizer_fingerprint, base.report.size,
        base.report.overlap, asdict(settings), seed, [[p.jd, p.cv, p.label] for p in train],
    )  # fmt: skip
    folder = cache / "contrastive" / key[:20]
    if from_first(folder.is_dir()):
        return folder
    chunks = {i: [chunk.tokens for chunk in own] for i, own in base.chunks.items()}
    texts = {i: document.text for i, document in dataset.documents.items()}
    validation = [dataset.pairs[i] for i in split.validation]
    with progress(f"Seed {seed}: pretraining {encoder.name}", settings.steps) as advance:
        module, course = pretrain(
            encoder, chunks, train, validation, settings, seed, groups, texts, advance
        )
    trained = with_module(encoder, module)
    trained.name = f"{encoder.name}, pretrained"
    if rank() > 0:
        wait()
        return folder
    with atomic_folder(folder) as temporary:
        save_encoder(trained, temporary)
        seen = {"seed": seed, "split": split.kind, "pairs": [[p.jd, p.cv] for p in train]}
        (temporary / SEEN).write_text(json.dumps(seen), encoding="utf-8")
        (temporary / COURSE).write_text(json.dumps(course), encoding="utf-8")
    wait()
    return folder


def of_seed(folder: Path, seed: int) -> Path:
    """Return the folder, or its subfolder `seed-<seed>` if it holds an encoder for each seed.

    Raises InputError if it holds only encoders of other seeds.
    """
    seeds = sorted(path.name.removeprefix("seed-") for path in folder.glob("seed-*"))
    if not seeds:
        return folder
    if str(seed) not in seeds:
        cure = f"give seeds=[{','.join(seeds)}]"
        raise InputError(str(folder), f"it has no encoder for seed {seed}", cure)
    return folder / f"seed-{seed}"


def check_seen(folder: str | Path, splits: Mapping[tuple[str, int], Split], dataset: Dataset,
               seed: int) -> None:  # fmt: skip
    """Refuse an encoder that was pretrained on validation or test data of a split of this seed.

    Its pretraining must not have used a pair of validation or test, nor a document that this kind
    of split keeps out of training. Raises InputError that names the split. An encoder without
    seen.json was not pretrained on labelled pairs by this toolkit, and is accepted.
    """
    path = Path(folder) / SEEN
    if not path.exists():
        return
    seen = json.loads(path.read_text(encoding="utf-8"))
    pairs = {tuple(pair) for pair in seen["pairs"]}
    documents = {i for pair in pairs for i in pair}
    for (kind, own), split in splits.items():
        if own != seed:
            continue
        later = [dataset.pairs[i] for i in (*split.validation, *split.test)]
        shared = [f"the pair {p.jd} {p.cv}" for p in later if (p.jd, p.cv) in pairs]
        for side, p in product(NEVER_SHARED.get(kind, ()), later):
            if getattr(p, side) in documents:
                shared.append(f"the document {getattr(p, side)}")
        if shared:
            what = (
                f"it was pretrained on {len(shared)} pairs or documents of test or validation of "
                f"split '{kind}', seed {seed}, such as {min(shared)}"
            )
            cure = f"take split.kind={seen['split']} seeds=[{seen['seed']}], or pretrain for this"
            raise InputError(str(folder), what, cure)


def retrieval(
    vectors: Mapping[tuple[str, int], Mapping[str, np.ndarray]],
    dataset: Dataset,
    splits: Mapping[int, Split],
    names: Mapping[str, str],
    baseline: str,
) -> list[dict[str, Any]]:
    """Compute recall@10 of the CVs of a JD for each encoder, with chunk vectors and no scorer.

    All CVs of the seed's test pairs are candidates, and the Good Fits of the JD are relevant; a CV
    without a label counts as not relevant. The score of a CV is the mean over the JD's chunks of
    the largest cosine with a chunk of the CV, after whitening by the training documents.

    vectors:  (row name, seed) → document id → chunk vectors
    splits:   seed → split
    names:    name of an encoder → name of a row that has it
    baseline: name of the encoder to compare with
    Returns for each encoder its name, recall (mean over seeds), sd, seeds, and the difference to
    the baseline's recall (`intervals.query_difference`).
    """
    jds = sorted({p.jd for p in dataset.pairs})
    cells = {}
    for name, row in names.items():
        cells[name] = np.stack(
            [_recall(vectors[row, seed], dataset, split, jds) for seed, split in splits.items()]
        )
    found = []
    for name, own in cells.items():
        each = np.nanmean(own, axis=1).tolist()
        mean, deviation = spread(each)
        line = {"encoder": name, "recall": mean, "sd": deviation, "seeds": each}
        if name != baseline:
            against = query_difference(own, cells[baseline])
            line["against"] = {key: against[key] for key in ("difference", "low", "high")}
        found.append(line)
    return found


def _recall(
    vectors: Mapping[str, np.ndarray], dataset: Dataset, split: Split, jds: list[str]
) -> np.ndarray:
    """Compute recall@10 of each JD, [jd]; nan without a Good Fit in test."""
    matrices = train_whitening(dataset, vectors, split)(vectors)
    unit = {i: unit_rows(m) for i, m in matrices.items()}
    test = [dataset.pairs[i] for i in split.test]
    cvs = sorted({p.cv for p in test})
    good: dict[str, set[str]] = {}
    for p in test:
        if p.label == GOOD:
            good.setdefault(p.jd, set()).add(p.cv)
    found = np.full(len(jds), np.nan)
    for at, jd in enumerate(jds):
        if jd in good:
            scores = np.array([(unit[jd] @ unit[cv].T).max(1).mean() for cv in cvs])
            first = np.lexsort((np.arange(len(cvs)), -scores))[:DEPTH]
            found[at] = len(good[jd] & {cvs[i] for i in first}) / len(good[jd])
    return found
