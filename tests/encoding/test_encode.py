"""Each unique document, and each unique chunk, is encoded exactly once."""

import subprocess
import sys
import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pytest
from tiny_models import TEXTS, gpt2_model, save_gpt2

from jdcv_core.chunking import Cut, TokenChunker, chunk_document
from jdcv_core.encoding import encode
from jdcv_core.encoding.encode import encode_documents, vectors_of
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.errors import InputError
from jdcv_core.types import Document

DOCUMENTS = [
    Document(f"{side}:{n}", f"{side} {n}. " + text * (n + 1), f"pairs.csv, row {n + 2}")
    for n, text in enumerate(TEXTS)
    for side in ("cv", "jd")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture
def store(tmp_path):
    with VectorStore(tmp_path / "vectors.db") as opened:
        yield opened


def encoder_from(folder, **arguments):
    return gpt2(path=str(folder), **{"precision": "fp32", "device": "cpu", **arguments})


def test_the_matrices_are_the_chunks_vectors_in_order(folder, store):
    encoder = encoder_from(folder)
    encoded, report = encode_documents(DOCUMENTS, encoder, store, TokenChunker(32, 4))
    matrices = vectors_of(encoded)
    assert list(matrices) == [d.id for d in DOCUMENTS]
    unique = set()
    for document in DOCUMENTS:
        chunks = chunk_document(document, encoder.tokenizer, 32, 4)
        alone = np.concatenate([encoder.encode_chunks([c.tokens]) for c in chunks])
        np.testing.assert_allclose(matrices[document.id], alone, atol=1e-5)
        assert matrices[document.id].dtype == np.float32
        assert list(encoded[document.id].chunks) == chunks
        assert encoded[document.id].chunker == TokenChunker(32, 4)
        assert encoded[document.id].months is None
        unique |= {c.tokens for c in chunks}
    assert report.chunks_encoded == len(unique)
    assert report.tokens == sum(len(tokens) for tokens in unique)
    assert report.chunk_counts == {
        side: [len(matrices[d.id]) for d in DOCUMENTS if d.side == side] for side in ("cv", "jd")
    }


def test_what_is_stored_is_not_encoded_again_nor_the_model_loaded(folder, store):
    first, report = encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(32))
    assert (report.documents, report.documents_encoded, report.found_in_store) == (6, 6, 0)
    assert report.encoder_calls > 0
    fresh = encoder_from(folder)
    second, report = encode_documents(DOCUMENTS[::-1], fresh, store, TokenChunker(32))
    assert (report.documents, report.documents_encoded, report.found_in_store) == (6, 0, 6)
    assert (report.encoder_calls, report.chunks_encoded, report.tokens) == (0, 0, 0)
    assert fresh._module is None
    for key in first:
        np.testing.assert_array_equal(first[key].vectors, second[key].vectors)


def test_only_what_is_missing_is_encoded(folder, store):
    encode_documents(DOCUMENTS[:4], encoder_from(folder), store, TokenChunker(32))
    _, report = encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(32))
    assert (report.documents_encoded, report.found_in_store) == (2, 4)


def test_any_change_misses(folder, store, tmp_path):
    other = save_gpt2(tmp_path / "other")
    gpt2_model(seed=1).save_pretrained(other)

    def found(encoder=None, size=32, overlap=0, text=""):
        documents = [Document(d.id, d.text + text) for d in DOCUMENTS]
        encoder = encoder or encoder_from(folder)
        return encode_documents(documents, encoder, store, TokenChunker(size, overlap))[
            1
        ].found_in_store

    assert found() == 0
    assert found() == 6
    assert found(size=31) == 0
    assert found(overlap=1) == 0
    assert found(text="!") == 0
    assert found(encoder_from(folder, pooling="last")) == 0
    assert found(encoder_from(folder, precision="bf16")) == 0
    assert found(encoder_from(other)) == 0
    assert found() == 6


@pytest.mark.parametrize("group", [64, 1])
def test_chunks_that_documents_share_are_encoded_once(folder, store, monkeypatch, group):
    monkeypatch.setattr(encode, "GROUP", group)
    page = "abcdefgh" * 40  # 32-token windows of one page repeat, within and across documents
    documents = [Document("cv:1", page), Document("jd:1", page), Document("cv:2", page + "!")]
    encoder = encoder_from(folder)
    encoded, report = encode_documents(documents, encoder, store, TokenChunker(32))
    chunks = [c.tokens for d in documents for c in chunk_document(d, encoder.tokenizer, 32)]
    assert len(set(chunks)) < len(chunks)
    assert report.chunks_encoded == len(set(chunks))
    np.testing.assert_array_equal(encoded["cv:1"].vectors, encoded["jd:1"].vectors)


def test_the_default_size_is_the_encoders_window_and_a_larger_one_is_refused(folder, store):
    _, report = encode_documents(DOCUMENTS, encoder_from(folder), store)
    assert report.size == 64
    with pytest.raises(InputError, match=r"chunk size 65: .* reads at most 64 tokens"):
        encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(65))


def test_a_document_without_a_token_is_named_and_nothing_of_it_is_stored(folder, store):
    empty = Document("cv:9", "", "pairs.csv, row 9")
    with pytest.raises(InputError, match="pairs.csv, row 9"):
        encode_documents([empty], encoder_from(folder), store, TokenChunker(32))
    assert len(store) == 0


def test_an_id_that_comes_twice_is_refused(folder, store):
    with pytest.raises(ValueError, match="twice"):
        encode_documents(DOCUMENTS[:1] * 2, encoder_from(folder), store)


def test_the_report_is_plain_numbers(folder, store):
    _, report = encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(32))
    summary = report.summary()
    counts = report.chunk_counts["cv"]
    assert summary["chunk_counts"]["cv"]["max"] == max(counts)
    assert summary["chunk_counts"]["cv"]["of_one_chunk"] == counts.count(1)
    assert summary["encoder_calls"] == report.encoder_calls
    assert summary["precision"] == "fp32"


def test_without_documents_nothing_is_encoded(folder, store):
    matrices, report = encode_documents([], encoder_from(folder), store)
    assert (matrices, report.documents, report.encoder_calls) == ({}, 0, 0)
    assert report.summary()["chunk_counts"] == {}


def test_a_run_that_is_killed_keeps_the_groups_it_has_finished(folder, tmp_path):
    code = """
        import os, signal, sys
        from jdcv_core.encoding import encode
        from jdcv_core.encoding.loaders import gpt2
        from jdcv_core.encoding.vector_store import VectorStore
        from jdcv_core.types import Document

        encode.GROUP = 2
        store = VectorStore(sys.argv[2])
        documents = [Document(f"cv:{n}", f"the ledger of month {n}") for n in range(6)]
        encoder = gpt2(path=sys.argv[1], precision="fp32", device="cpu")
        whole = encoder.encode_chunks

        def dies_in_the_third_group(chunks, advance):
            if len(store) == 4:
                os.kill(os.getpid(), signal.SIGKILL)
            return whole(chunks, advance)

        encoder.encode_chunks = dies_in_the_third_group
        encode.encode_documents(documents, encoder, store)
        """
    path = tmp_path / "vectors.db"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(folder), str(path)],
        timeout=60,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    documents = [Document(f"cv:{n}", f"the ledger of month {n}") for n in range(6)]
    with VectorStore(path) as store:
        _, report = encode_documents(documents, encoder_from(folder), store)
    assert (report.found_in_store, report.documents_encoded) == (4, 2)


@dataclass(frozen=True)
class Halves:
    """A chunker of half the size.

    `turned`: the tokens of the first document's last chunk are in reverse order."""

    size: int = 32
    overlap: int = 0
    turned: bool = False

    def cut(self, documents, tokenizer, limit, reader=""):
        cut = TokenChunker(self.size // 2).cut(documents, tokenizer, limit, reader)
        if self.turned:
            last = cut.chunks[0][-1]
            cut.chunks[0][-1] = replace(last, tokens=last.tokens[::-1])
        return Cut(cut.chunks, self)


def test_vectors_are_found_by_the_chunks_whichever_chunker_makes_them(folder, store):
    encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(32))
    first, report = encode_documents(DOCUMENTS, encoder_from(folder), store, Halves())
    assert report.found_in_store == 0
    plain, report = encode_documents(DOCUMENTS, encoder_from(folder), store, TokenChunker(16))
    assert report.encoder_calls == 0
    assert all(np.array_equal(first[i].vectors, plain[i].vectors) for i in first)
    assert {e.chunker for e in first.values()} == {Halves()}
    _, report = encode_documents(DOCUMENTS, encoder_from(folder), store, Halves(turned=True))
    assert report.documents_encoded == 1
