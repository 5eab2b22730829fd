"""What a contrastive step of our own costs, beside the plain step and sentence-transformers'.

The encoder is all-MiniLM-L6-v2 (extra `offline`); a document is its first chunk of 64 tokens, so
that every rival reads the same text and the plain step fits 24 GiB. One batch, forward and backward
in fp32, median of `--repeats` in turn after a small step of each, in one process. Last line: one
JSON object, with
  memory_ratio      peak memory of a cached step on 4,096 documents over that on 256, each in a
                    separate process; memory_ratio_added leaves out what the process had before
  cached_over_plain seconds, each document once, all weights trained; ..._lora: adapters only
  dedup_over_plain  seconds of the cached step, each document once, over those of the plain step on
                    the same pairs, each with its own two documents
  st_over_ours      seconds of CachedMultipleNegativesRankingLoss over those of the cached step

  python benchmarks/contrastive.py                       # 635 pairs of the demo corpus
  python benchmarks/contrastive.py --pairs pairs.csv     # of the hub dataset's columns
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
        step()  # or the first rival alone pays for pages and kernels that all use
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
    parser.add_argument("--pairs", help="CSV of labelled pairs; without it the demo corpus")
    parser.add_argument("--batch", type=int, default=635, help="pairs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the pairs")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def rivals(
    encoder: Encoder, dataset: Dataset, pairs: Sequence[Pair]
) -> dict[str, Callable[[], object]]:
    """Name → one step on the same pairs."""
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
    """Every pair of the batch is a positive, for the library has no other pairs."""
    return Pair(pair.cv, pair.jd, 2)


def each_pair(pairs: Sequence[Pair]) -> tuple[list[str], Contrast]:
    """The documents pair by pair, repeats and all: the usual in-batch loss."""
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
    """sentence-transformers' cached loss on the same token ids, with as many tokens at once."""
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
    """Median seconds of each, in turn, so that a busy minute hits all alike."""
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
    """Bytes of the process at its peak, and what a cached step on this many documents added."""
    encoder = sentence_transformer(precision="fp32", device="cpu", batch_tokens=MICRO_TOKENS)
    model = ContrastiveEncoder(trainable_module(encoder, "full"), encoder).train()
    rng = np.random.default_rng(0)
    documents = [[rng.integers(1000, 20_000, 32).tolist()] for _ in range(batch)]
    half = batch // 2
    contrast = Contrast.of(
        range(half), range(half, batch), [(i, half + i) for i in range(half)], [1.0] * half
    )
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of loading is none of the step's
    model.step(documents, contrast)
    return {"peak": memory("VmHWM"), "added": memory("VmHWM") - before}


def memory(name: str) -> int:
    """Bytes of this process, now (VmRSS) or at its peak (VmHWM); Linux alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


if __name__ == "__main__":
    main()
