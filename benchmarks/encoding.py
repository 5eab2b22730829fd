"""Measure the speed of encoding: three comparisons, each within one run.

once      encoding every unique document once, against encoding it once for every pair
batching  batches of chunks of similar length, against batches in order of arrival, single chunks,
          and sentence-transformers' `encode` on the same weights and chunk texts
gemm      operations per second of a forward pass on long chunks, as a share of the rate of the
          model's matrix products alone, in fp32 and in bf16

Rivals take turns within each repeat, and the fastest repeat of each counts. The default model has
GPT-2's 124M shape and RANDOM weights: its vectors are meaningless, but its speed is that of GPT-2.
The last line of the output is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from jdcv_core.chunking import chunk_documents
from jdcv_core.encoding.encode import encode_documents
from jdcv_core.encoding.encoder import DTYPES, Encoder
from jdcv_core.encoding.gpt2_mini import save, train_tokenizer
from jdcv_core.encoding.loaders import gpt2, gpt2_config, sentence_transformer
from jdcv_core.encoding.precision import measure_precisions, settle_precision
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.progress import progress
from jdcv_core.types import Dataset, Pair

ROWS = 8
"""Number of chunks in a batch of the rivals, as in the prototype."""


def main() -> None:
    options = arguments()
    dataset = load(options.pairs)
    with tempfile.TemporaryDirectory() as folder:
        encoder = make_encoder(options.encoder, dataset, Path(folder) / "model")
        choice = measure_precisions(encoder)
        settle_precision(encoder)
        size = min(1024, encoder.max_tokens)
        figures: dict[str, Any] = {
            "benchmark": "encoding",
            "encoder": encoder.name,
            "data": dataset.name,
            "precision": encoder.precision,
            "fp32_over_bf16": choice["fp32"] / choice["bf16"],
            "threads": torch.get_num_threads(),
            "load_at_start": os.getloadavg()[0],
        }
        sample = (dataset, encoder, size, options.tokens, options.repeats)
        figures["once"] = once(*sample, Path(folder) / "vectors.db")
        figures["batching"] = batching(*sample, Path(folder) / "model")
        figures["gemm"] = gemm(encoder, size, options.repeats)
    figures["aims"] = judge(figures)
    show(figures)
    print(json.dumps(figures))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder",
        choices=("gpt2-random", "minilm"),
        default="gpt2-random",
        help="GPT-2's 124M shape with random weights, or the packaged MiniLM",
    )
    parser.add_argument("--pairs", help="a table of labelled pairs (CSV, JSONL, Parquet)")
    parser.add_argument("--tokens", type=int, default=12_000, help="size of the samples, in tokens")
    parser.add_argument("--repeats", type=int, default=2, help="repeats of each rival")
    return parser.parse_args()


def load(pairs: str | None) -> Dataset:
    """Load the pairs of a table, or the demo corpus."""
    if pairs is not None:
        from jdcv_core.data.sources import load_table

        return load_table(pairs)
    from jdcv_core.data.demo.generate import demo_corpus

    return demo_corpus()


def make_encoder(kind: str, dataset: Dataset, folder: Path) -> Encoder:
    if kind == "minilm":
        return sentence_transformer()
    from transformers import GPT2LMHeadModel

    texts = sorted({d.text for d in dataset.documents.values()})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(gpt2_config("gpt2"))
    save(folder, model, train_tokenizer(texts, 8192))  # fewer tokens than embeddings: same speed
    encoder = gpt2(path=str(folder))
    encoder.name = "GPT-2 124M, random weights"
    return encoder


def race(rivals: dict[str, Callable[[], object]], repeats: int, title: str) -> dict[str, float]:
    """Measure the seconds of each rival's fastest turn; turns alternate between the rivals."""
    best = dict.fromkeys(rivals, float("inf"))
    with progress(title, repeats * len(rivals)) as advance:
        for _ in range(repeats):
            for name, rival in rivals.items():
                start = time.perf_counter()
                rival()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                best[name] = min(best[name], time.perf_counter() - start)
                advance()
    return best


def once(
    dataset: Dataset, encoder: Encoder, size: int, budget: int, repeats: int, path: Path
) -> dict[str, Any]:
    """Compare encoding unique documents through the store with encoding both of every pair."""
    documents = list(dataset.documents.values())
    cut = dict(
        zip(dataset.documents, chunk_documents(documents, encoder.tokenizer, size), strict=True)
    )
    tokens = {i: sum(len(c.tokens) for c in chunks) for i, chunks in cut.items()}
    pairs = sample_pairs(dataset.pairs, tokens, budget // 2)
    unique = [dataset.documents[i] for i in dict.fromkeys(i for p in pairs for i in (p.cv, p.jd))]
    counters = []

    def per_document() -> None:
        path.unlink(missing_ok=True)
        with VectorStore(path) as store:
            first = encode_documents(unique, encoder, store, size)[1]
            again = encode_documents(unique, encoder, store, size)[1]
        counters.append((first.documents_encoded, first.chunks_encoded, again.encoder_calls))

    def per_pair() -> None:
        for pair in pairs:
            encoder.encode_chunks([c.tokens for i in (pair.cv, pair.jd) for c in cut[i]])

    encoder.run([cut[unique[0].id][0].tokens])  # the first call allocates
    seconds = race({"document": per_document, "pair": per_pair}, repeats, "Once per document")
    per_pair_tokens = sum(tokens[p.cv] + tokens[p.jd] for p in dataset.pairs)
    chunks = len({c.tokens for d in unique for c in cut[d.id]})
    return {
        "documents": len(documents),
        "pairs": len(dataset.pairs),
        "tokens_per_pair_over_per_document": per_pair_tokens / sum(tokens.values()),
        "sample_pairs": len(pairs),
        "sample_documents": len(unique),
        "sample_tokens_per_pair_over_per_document": sum(tokens[p.cv] + tokens[p.jd] for p in pairs)
        / sum(tokens[d.id] for d in unique),
        "sample_seconds": seconds,
        "sample_speedup": seconds["pair"] / seconds["document"],
        "each_document_once": set(counters) == {(len(unique), chunks, 0)},
        "calls_when_stored": counters[-1][2],
    }


def sample_pairs(pairs: Sequence[Pair], tokens: dict[str, int], budget: int) -> list[Pair]:
    """Take the first CVs with all their pairs, up to a budget of tokens counted for each pair."""
    by_cv: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_cv.setdefault(pair.cv, []).append(pair)
    chosen: list[Pair] = []
    for group in by_cv.values():
        chosen += group
        if sum(tokens[p.cv] + tokens[p.jd] for p in chosen) >= budget:
            break
    return chosen


def batching(
    dataset: Dataset, encoder: Encoder, size: int, budget: int, repeats: int, folder: Path
) -> dict[str, Any]:
    """Compare batches by length with batches in arrival order, single chunks, and the library.

    Our batches are measured twice: with the encoder's budget of tokens, and with a budget of `ROWS`
    full chunks, which the arrival order and the library use.
    """
    chunks, texts = sample_chunks(dataset, encoder, size, budget)
    library = library_model(encoder, folder, size)
    arrival = [chunks[at : at + ROWS] for at in range(0, len(chunks), ROWS)]

    def ours(batch_tokens: int | None) -> None:
        encoder.batch_tokens = batch_tokens
        encoder.encode_chunks(chunks)
        encoder.batch_tokens = None

    rivals: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(None),
        "ours_same_budget": lambda: ours(ROWS * size),
        "arrival": lambda: [encoder.run(batch) for batch in arrival],
        "one_at_a_time": lambda: [encoder.run([chunk]) for chunk in chunks],
        "library": lambda: library.encode(texts, batch_size=ROWS, show_progress_bar=False),
    }
    library.encode(texts[:1])
    seconds = race(rivals, repeats, "Batching")
    lengths = [len(chunk) for chunk in chunks]
    like = [[lengths[i] for i in b] for b in encoder.batches(lengths)]
    alike = [lengths[at : at + ROWS] for at in range(0, len(chunks), ROWS)]
    return {
        "chunks": len(chunks),
        "tokens": sum(lengths),
        "seconds": seconds,
        "tokens_per_second": sum(lengths) / seconds["ours"],
        "padded_over_real": {"ours": padded(like), "arrival": padded(alike)},
        "arrival_over_ours": seconds["arrival"] / seconds["ours"],
        "arrival_over_ours_same_budget": seconds["arrival"] / seconds["ours_same_budget"],
        "one_at_a_time_over_ours": seconds["one_at_a_time"] / seconds["ours"],
        "library_over_ours": seconds["library"] / seconds["ours"],
    }


def sample_chunks(
    dataset: Dataset, encoder: Encoder, size: int, budget: int
) -> tuple[list[tuple[int, ...]], list[str]]:
    """Return tokens and texts of the chunks of random documents of both sides."""
    documents = list(dataset.documents.values())
    chunks: list[tuple[int, ...]] = []
    texts: list[str] = []
    for i in np.random.default_rng(0).permutation(len(documents)):
        for chunk in chunk_documents([documents[i]], encoder.tokenizer, size)[0]:
            chunks.append(chunk.tokens)
            texts.append(documents[i].text[chunk.start : chunk.end])
        if sum(map(len, chunks)) >= budget:
            break
    return chunks, texts


def padded(batches: Sequence[Sequence[int]]) -> float:
    """Compute the number of tokens with padding / the number of real tokens."""
    return sum(len(b) * max(b) for b in batches) / sum(map(sum, batches))


def library_model(encoder: Encoder, folder: Path, size: int) -> Any:
    """Make a SentenceTransformer with the encoder's weights, pooling, window and precision."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    if not folder.is_dir():
        return encoder.network.load().to(encoder.device, DTYPES[encoder.precision])
    words = Transformer(str(folder), max_seq_length=size)
    words.tokenizer.pad_token = words.tokenizer.eos_token
    modules = [words, Pooling(encoder.dim, pooling_mode="mean")]
    return SentenceTransformer(modules=modules).to(encoder.device, DTYPES[encoder.precision])


def gemm(encoder: Encoder, size: int, repeats: int) -> dict[str, Any]:
    """Measure which share of the rate of matrix products a forward pass on long chunks reaches."""
    rows = len(encoder.batches([encoder.network.window] * 64)[0])
    generator = np.random.default_rng(0)
    chunks = generator.integers(encoder.tokenizer.get_vocab_size(), size=(rows, size)).tolist()
    batch = encoder.rows(chunks)
    length = batch[0].shape[1]
    chosen = encoder.precision
    encoder.set_precision("fp32")
    shapes = matrix_shapes(encoder.module)
    products = 2 * rows * length * sum(a * b for a, b in shapes)
    operations = products + attention_operations(encoder.module, rows, length)
    rivals: dict[str, Callable[[], object]] = {}
    for name, dtype in DTYPES.items():
        module = encoder.network.load().to(encoder.device, dtype).eval()
        drawn = partial(torch.randn, dtype=dtype, device=encoder.device)
        matrices = {shape: drawn(shape) for shape in set(shapes)}
        inputs = {a: drawn((rows * length, a)) for a, _ in shapes}
        rivals[f"forward_{name}"] = partial(encoder.network.vectors, module, *batch)
        rivals[f"gemm_{name}"] = partial(multiply, shapes, inputs, matrices)
    encoder.set_precision(chosen)
    with torch.inference_mode():
        seconds = race(rivals, repeats + 2, "Share of the GEMM rate")
    figures: dict[str, Any] = {"rows": rows, "tokens_per_row": length, "operations": operations}
    for name in DTYPES:
        rate, bound = operations / seconds[f"forward_{name}"], products / seconds[f"gemm_{name}"]
        figures[name] = {
            "tokens_per_second": rows * length / seconds[f"forward_{name}"],
            "forward_gflops": rate / 1e9,
            "gemm_gflops": bound / 1e9,
            "share": rate / bound,
        }
    figures["share"] = figures[chosen]["share"]
    return figures


def multiply(
    shapes: Sequence[tuple[int, int]],
    inputs: dict[int, torch.Tensor],
    matrices: dict[tuple[int, int], torch.Tensor],
) -> None:
    """Compute only the matrix products of a forward pass."""
    for shape in shapes:
        _ = inputs[shape[0]] @ matrices[shape]


def matrix_shapes(module: nn.Module) -> list[tuple[int, int]]:
    """List (in, out) of every matrix that multiplies all tokens (BERT's pooler reads only one)."""
    from transformers.pytorch_utils import Conv1D

    shapes = []
    for name, part in module.named_modules():
        if isinstance(part, nn.Linear) and "pooler" not in name:
            shapes.append((part.in_features, part.out_features))
        elif isinstance(part, Conv1D):
            shapes.append((part.nx, part.nf))
    return shapes


def attention_operations(module: nn.Module, rows: int, length: int) -> int:
    """Count the operations of Q K^T and of weights V; a decoder needs only keys up to the query."""
    config: Any = next(m.config for m in module.modules() if hasattr(m, "config"))
    seen = length * (length + 1) // 2 if config.model_type == "gpt2" else length * length
    return 4 * rows * seen * config.hidden_size * config.num_hidden_layers


def judge(figures: dict[str, Any]) -> dict[str, bool]:
    """Return for each aim of the toolkit whether it is reached."""
    once, batching, gemm = (figures[name] for name in ("once", "batching", "gemm"))
    faster = max(DTYPES, key=lambda name: gemm[name]["tokens_per_second"])
    return {
        "each unique document exactly once, then never": once["each_document_once"],
        "1.3 x arrival order": batching["arrival_over_ours"] >= 1.3,
        "80% of the GEMM rate on long chunks": gemm["share"] >= 0.8,
        "the faster precision was chosen": figures["precision"] == faster,
    }


def show(figures: dict[str, Any]) -> None:
    once, batching, gemm = (figures[name] for name in ("once", "batching", "gemm"))
    table = Table("figure", "value", title=f"{figures['encoder']} on {figures['data']}")
    lines = {
        "precision chosen": figures["precision"],
        "tokens read pair by pair / document by document": (
            f"{once['tokens_per_pair_over_per_document']:.1f}"
        ),
        f"seconds of {once['sample_pairs']} pairs / of their documents": (
            f"{once['sample_speedup']:.1f}"
        ),
        "encoder calls when all is stored": once["calls_when_stored"],
        "arrival order / ours (seconds)": f"{batching['arrival_over_ours']:.2f}",
        "the same with one batch budget": f"{batching['arrival_over_ours_same_budget']:.2f}",
        "one chunk at a time / ours": f"{batching['one_at_a_time_over_ours']:.2f}",
        "sentence-transformers' encode / ours": f"{batching['library_over_ours']:.2f}",
        "tokens/s, mixed chunks": f"{batching['tokens_per_second']:,.0f}",
    }
    for name in DTYPES:
        part = gemm[name]
        lines[f"tokens/s, long chunks, {name}"] = f"{part['tokens_per_second']:,.0f}"
        lines[f"share of the GEMM rate, {name}"] = (
            f"{part['share']:.0%} of {part['gemm_gflops']:,.0f} GFLOP/s"
        )
    for aim, reached in figures["aims"].items():
        lines[f"aim: {aim}"] = "yes" if reached else "NO"
    for name, value in lines.items():
        table.add_row(name, str(value))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
