"""Compare the cost of our cached contrastive step with a plain step and sentence-transformers.

The encoder is all-MiniLM-L6-v2 (extra `offline`). Each document is cut to its first 64 tokens, so
that all rivals read the same text and the plain step fits into 24 GiB. The forward and backward
pass of one batch is measured in fp32, in one process: all rivals run one small step, then take
turns; the result is the median of `--repeats`. The last line is one JSON object with
  memory_ratio      peak memory of a cached step on 4,096 documents / that on 256 documents, each
                    in a separate process; memory_ratio_added subtracts the memory before the step
  cached_over_plain seconds of the cached step / those of the plain step, each document once, all
                    weights trained; cached_over_plain_lora: only adapters trained
  dedup_over_plain  seconds of the cached step with each document once / those of the plain step on
                    the same pairs, in which every pair has its two documents
  st_over_ours      seconds of CachedMultipleNegativesRankingLoss / those of the cached step

  python benchmarks/contrastive.py                       # 635 pairs of the demo corpus
  python benchmarks/contrastive.py --pairs pairs.csv     # a table with the hub dataset's columns
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jdcv_core.chunking import chunk_documents
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.data.sources import resume_job_fit
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.loaders import sentence_transformer
from jdcv_core.encoding.lora_tuning import trainable_module
from jdcv_core.progress import progress
from jdcv_core.types import Dataset, Document, Pair
from research.contrastive.documents import ContrastiveEncoder
from research.contrastive.known_fits import Contrast, PairGraph, match_contrast

SIZE = 64
WARM_UP = 16
MICRO_TOKENS = 2048
SMALL, LARGE = 256, 4096


def main() -> None:
    options = arguments()
    if options.memory_of:
        print(json.dumps(memory_of(options.memory_of)))
        return
    dataset = resume_job_fit(options.pairs) if options.pairs else demo_corpus(cvs=120, jds=160)
    rng = np.random.default_rng(options.seed)
    pairs = [dataset.pairs[i] for i in rng.permutation(len(dataset.pairs))[: options.batch]]
    encoder = sentence_transformer(precision="fp32", device="cpu", batch_tokens=MICRO_TOKENS)
    for step in rivals(encoder, dataset, pairs[:WARM_UP]).values():
        step()  # otherwise only the first rival pays for shared memory pages and kernels
    seconds = race(rivals(encoder, dataset, pairs), options.repeats)
    used = {
        size: json.loads(
            subprocess.run(
                [sys.executable, __file__, "--memory-of", str(size)],
                capture_output=True, text=True, check=True,
            ).stdout.splitlines()[-1]
        )
        for size in (SMALL, LARGE)
    }  # fmt: skip
    documents = {i for p in pairs for i in (p.jd, p.cv)}
    found = {
        "benchmark": "contrastive",
        "data": dataset.name,
        "pairs": len(pairs),
        "documents": len(documents),
        "documents_per_pair_seen_once": len(documents) / (2 * len(pairs)),
        "threads": torch.get_num_threads(),
        "memory_ratio": used[LARGE]["peak"] / used[SMALL]["peak"],
        "memory_ratio_added": used[LARGE]["added"] / used[SMALL]["added"],
        "cached_over_plain": seconds["cached"] / seconds["plain"],
        "cached_over_plain_lora": seconds["cached, lora"] / seconds["plain, lora"],
        "dedup_over_plain": seconds["cached"] / seconds["plain, by pair"],
        "st_over_ours": seconds["sentence-transformers"] / seconds["cached"],
        "seconds": seconds,
    }
    print(json.dumps(found))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", help="CSV of labelled pairs (default: the demo corpus)")
    parser.add_argument("--batch", type=int, default=635, help="pairs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="seed of the pairs")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def rivals(
    encoder: Encoder, dataset: Dataset, pairs: Sequence[Pair]
) -> dict[str, Callable[[], object]]:
    """Return the rivals: name → a function that runs one step on the same pairs."""
    ids = sorted({i for p in pairs for i in (p.jd, p.cv)})
    first = first_chunks(encoder, [dataset.documents[i] for i in ids])
    once = match_contrast(PairGraph([good(p) for p in pairs]), ids)
    many, by_pair = each_pair(pairs)
    full = ContrastiveEncoder(trainable_module(encoder, "full"), encoder).eval()
    lora = ContrastiveEncoder(trainable_module(encoder, "lora"), encoder).eval()
    texts = {i: [first[i]] for i in ids}
    unique = [texts[i] for i in ids]
    repeated = [texts[i] for i in many]
    return {
        "plain": lambda: full.step(unique, once, cached=False),
        "cached": lambda: full.step(unique, once),
        "plain, lora": lambda: lora.step(unique, once, cached=False),
        "cached, lora": lambda: lora.step(unique, once),
        "plain, by pair": lambda: full.step(repeated, by_pair, cached=False),
        "sentence-transformers": library_step(encoder, first, pairs),
    }


def good(pair: Pair) -> Pair:
    """Label a pair as Good Fit, because the library supports only positive pairs."""
    return Pair(pair.cv, pair.jd, 2)


def each_pair(pairs: Sequence[Pair]) -> tuple[list[str], Contrast]:
    """Make the usual in-batch contrast, in which a document appears once for each of its pairs."""
    n = len(pairs)
    many = [p.jd for p in pairs] + [p.cv for p in pairs]
    positive = [(i, n + i) for i in range(n)]
    return many, Contrast.of(range(n), range(n, 2 * n), positive, [1.0] * n)


def first_chunks(encoder: Encoder, documents: Sequence[Document]) -> dict[str, Sequence[int]]:
    cut = chunk_documents(documents, encoder.tokenizer, min(SIZE, encoder.max_tokens))
    return {d.id: chunks[0].tokens for d, chunks in zip(documents, cut, strict=True)}


def library_step(
    encoder: Encoder, first: dict[str, Sequence[int]], pairs: Sequence[Pair]
) -> Callable[[], None]:
    """Make a step of sentence-transformers' cached loss, with the same token ids and batches."""
    from sentence_transformers.sentence_transformer.losses import (
        CachedMultipleNegativesRankingLoss,
    )

    model: Any = encoder.network.load().float().eval()
    loss = CachedMultipleNegativesRankingLoss(model, mini_batch_num_tokens=MICRO_TOKENS)

    def features(side: str) -> dict[str, torch.Tensor]:
        ids, mask, _ = encoder.rows([first[getattr(p, side)] for p in pairs])
        return {"input_ids": ids, "attention_mask": mask.long()}

    def step() -> None:
        model.zero_grad()
        loss([features("jd"), features("cv")], torch.zeros(len(pairs))).backward()

    return step


def race(rivals: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Measure median seconds of each rival; in turns, so that a busy machine slows all equally."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    with progress("Steps", repeats * len(rivals)) as advance:
        for _ in range(repeats):
            for name, step in rivals.items():
                started = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - started)
                advance(1, name)
    return {name: statistics.median(own) for name, own in times.items()}


def memory_of(batch: int) -> dict[str, int]:
    """Measure the process's peak bytes, and how many a cached step on `batch` documents added."""
    encoder = sentence_transformer(precision="fp32", device="cpu", batch_tokens=MICRO_TOKENS)
    model = ContrastiveEncoder(trainable_module(encoder, "full"), encoder).train()
    rng = np.random.default_rng(0)
    documents = [[rng.integers(1000, 20_000, 32).tolist()] for _ in range(batch)]
    half = batch // 2
    contrast = Contrast.of(
        range(half), range(half, batch), [(i, half + i) for i in range(half)], [1.0] * half
    )
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # exclude the peak of loading
    model.step(documents, contrast)
    return {"peak": memory("VmHWM"), "added": memory("VmHWM") - before}


def memory(name: str) -> int:
    """Return the bytes of this process, now (VmRSS) or at its peak (VmHWM); only on Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


if __name__ == "__main__":
    main()
