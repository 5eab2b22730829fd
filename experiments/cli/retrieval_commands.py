"""`jdcv index`, `search`, `rank` and `erase`: a folder of documents, made searchable."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import check_out, read_text
from jdcv_core.chunking import chunk_documents
from jdcv_core.data.sources import read_texts
from jdcv_core.errors import InputError
from jdcv_core.progress import console, progress
from jdcv_core.types import Document, Side

if TYPE_CHECKING:
    from jdcv_core.encoding.encoder import Encoder
    from jdcv_core.encoding.whitening import Whitening
    from research.retrieval.index_folder import IndexFolder
    from research.retrieval.search import Depth, Reranker
    from research.retrieval.segment import Entry

INDEX_EXAMPLES = """\
examples
  a folder of CVs, one text file each; the file's name is the id
    jdcv index --cvs cvs/ --index cvs.index
  again, after files were added or changed: only those are read
    jdcv index --cvs cvs/ --index cvs.index
  by the encoder of a trained model; compressed
    jdcv index --cvs cvs/ --index cvs.index --model runs/baseline/ID/models/lora --type ivf-rabitq
  JDs, to be searched with a CV
    jdcv index --jds jds/ --index jds.index
"""
SEARCH_EXAMPLES = """\
examples
  the ten best CVs for a JD, with the chunk pairs and the experiences that carried them
    jdcv search --index cvs.index --jd jd.txt
  among some CVs only (a file with an id a line), as JSON
    jdcv search --index cvs.index --jd jd.txt --only ids.txt --json
  reranked by the model that the index was made with
    jdcv search --index cvs.index --jd jd.txt --rerank 200
  JDs for a CV
    jdcv search --index jds.index --cv cv.txt
"""
RANK_EXAMPLES = """\
examples
  every JD of a folder, into a TREC run file
    jdcv rank --index cvs.index --jds jds/ --out run.txt
  a TREC-style folder (corpus/, queries/, qrels.tsv): indexed, searched and evaluated
    jdcv rank --trec folder/ --out run.txt
"""
ERASE_EXAMPLES = """\
examples
  take a person out: codes, vectors, text, id, and the cached vectors
    jdcv erase --index cvs.index --id 17
"""


@dataclass
class Reader:
    """How texts become the chunk vectors of an index.

    model: the folder of a saved matcher; None: all-MiniLM-L6-v2 of the extra `offline`
    """

    encoder: Encoder
    whitening: Whitening | None
    size: int
    overlap: int
    model: Path | None
    matcher: Any = None

    @classmethod
    def load(cls, model: Path | None, size: int | None, device: str) -> Reader:
        with progress("Loading libraries", None):
            from jdcv_core.encoding.loaders import sentence_transformer
            from jdcv_core.matcher import Matcher
        if model is None:
            encoder = sentence_transformer(device=device, precision="fp32")
            return cls(encoder, None, size or min(256, encoder.max_tokens), 0, None)
        matcher = Matcher.from_pretrained(model, device)
        if size not in (None, matcher.chunk_size):
            what = f"the model reads chunks of {matcher.chunk_size} tokens"
            raise InputError("--chunk-size", what, "leave it out")
        encoder, whitening = matcher.encoder, matcher.whitening
        return cls(encoder, whitening, matcher.chunk_size, matcher.overlap, model, matcher)

    def settings(self) -> dict[str, Any]:
        """What an index must have been made with to be searched by this reader."""
        from jdcv_core.encoding.model_files import fingerprint

        white = self.whitening
        return {
            "encoder": self.encoder.fingerprint,
            "tokenizer": self.encoder.tokenizer_fingerprint,
            "whitening": ""
            if white is None
            else fingerprint(white.mean.tolist(), white.matrix.tolist()),
            "chunks": [self.size, self.overlap],
            "metric": "cosine",
        }

    def entries(self, texts: Mapping[str, str], side: Side, cache: Path | None) -> list[Entry]:
        """The documents with their vectors and the places of their chunks."""
        from jdcv_core.encoding.encode import encode_documents
        from jdcv_core.encoding.vector_store import VectorStore
        from research.retrieval.segment import Entry

        documents = [Document(f"{side}:{name}", text, name) for name, text in texts.items()]
        path = ":memory:" if cache is None else cache.expanduser() / "vectors.sqlite"
        with VectorStore(path) as store:
            matrices, _ = encode_documents(documents, self.encoder, store, self.size, self.overlap)
        if self.whitening is not None:
            matrices = self.whitening(matrices)
        cut = chunk_documents(documents, self.encoder.tokenizer, self.size, self.overlap)
        return [
            Entry(name, matrices[d.id], d.text, [(c.start, c.end) for c in chunks])
            for name, d, chunks in zip(texts, documents, cut, strict=True)
        ]

    def reranker(self, side: Side) -> Reranker:
        """The trained scorer, on the vectors that the index holds. side: of the documents."""
        from research.retrieval.search import scorer_reranker

        if self.matcher is None:
            what = "the index was made without a trained model"
            raise InputError("--rerank", what, "make the index with --model FOLDER")
        return scorer_reranker(self.matcher.scorer, side)


def add_commands(commands: Any) -> None:
    """Put the four commands into the parser of `jdcv`."""

    def command(name: str, run: Callable[..., None], text: str, examples: str) -> Any:
        found = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        found.set_defaults(command=run)
        return found.add_argument

    cache = Path("~/.cache/jdcv")
    add = command(
        "index", run_index, "make or bring up to date an index of documents", INDEX_EXAMPLES
    )
    add("--cvs", type=Path, metavar="FOLDER", help="text files (UTF-8), one CV each")
    add("--jds", type=Path, metavar="FOLDER", help="the same of JDs")
    add(
        "--index", type=Path, required=True, metavar="FOLDER", help="is made, or brought up to date"
    )
    add("--model", type=Path, metavar="FOLDER", help="a saved matcher; default: all-MiniLM-L6-v2")
    text = (
        "auto, flat, fp16, sq8, hnsw, ivf-flat, ivf-sq8, ivf-pq, ivf-rabitq or FAISS's own string"
    )
    add("--type", default="auto", metavar="NAME", help=f"{text}; default: %(default)s")
    add("--chunk-size", type=int, metavar="TOKENS", help="most tokens in a chunk; default: 256")
    _add_common(add, cache)

    add = command("search", run_search, "the best documents for one JD or CV", SEARCH_EXAMPLES)
    add("--index", type=Path, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--jd", type=Path, metavar="FILE", help="the text of a JD, to search CVs")
    add("--cv", type=Path, metavar="FILE", help="the text of a CV, to search JDs")
    add("--json", action="store_true", help="print JSON")
    _add_search(add, cache)

    add = command("rank", run_rank, "rank the index for every JD or CV of a folder", RANK_EXAMPLES)
    add("--index", type=Path, metavar="FOLDER", help="made by jdcv index")
    add("--jds", type=Path, metavar="FOLDER", help="text files of JDs, to rank CVs")
    add("--cvs", type=Path, metavar="FOLDER", help="text files of CVs, to rank JDs")
    add("--trec", type=Path, metavar="FOLDER", help="corpus/, queries/ and perhaps qrels.tsv")
    add("--qrels", type=Path, metavar="FILE", help="lines `query 0 document grade`, to evaluate")
    text = "the lowest grade that counts as relevant; default: %(default)s"
    add("--relevant", type=int, default=1, metavar="GRADE", help=text)
    add("--out", type=Path, required=True, metavar="FILE", help="the TREC run file to write")
    add("--force", action="store_true", help="replace the file --out if it is there")
    _add_search(add, cache, k=100)

    add = command("erase", run_erase, "take documents out of an index for good", ERASE_EXAMPLES)
    add("--index", type=Path, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--id", action="append", required=True, metavar="ID", help="may be given several times")
    add("--cache-dir", type=Path, default=cache, metavar="FOLDER", help="default: %(default)s")


def _add_common(add: Any, cache: Path) -> None:
    text = "of encoder and index: a torch device, or auto: CUDA where there is one"
    add("--device", default="auto", help=text)
    text = "keeps the chunk vectors; default: %(default)s"
    add("--cache-dir", type=Path, default=cache, metavar="FOLDER", help=text)


def _add_search(add: Any, cache: Path, k: int = 10) -> None:
    add("--k", type=int, default=k, help="documents for each query; default: %(default)s")
    text = "candidates that are scored exactly; default: %(default)s"
    add("--depth", type=int, default=2000, metavar="N", help=text)
    text = "hits that each chunk takes from the index; default: twice --depth"
    add("--hits", type=int, metavar="N", help=text)
    text = "lists that are probed (nprobe), or efSearch; default: an eighth of the lists"
    add("--effort", type=int, metavar="N", help=text)
    text = "the best N are scored by the model that the index was made with"
    add("--rerank", type=int, default=0, metavar="N", help=text)
    add("--only", type=Path, metavar="FILE", help="a file with an id a line: only these are found")
    add("--model", type=Path, metavar="FOLDER", help="where that model is now, if it was moved")
    _add_common(add, cache)


def run_index(arguments: argparse.Namespace) -> None:
    """`jdcv index`: read what is new or changed, and put it into the index."""
    from research.retrieval.index_folder import IndexFolder

    if (arguments.cvs is None) == (arguments.jds is None):
        raise InputError("jdcv index", "it needs one kind of documents", "give --cvs, or --jds")
    side: Side = "cv" if arguments.jds is None else "jd"
    texts = read_texts(arguments.cvs or arguments.jds)
    there = arguments.index.exists()
    corpus = IndexFolder(arguments.index) if there else None
    model = arguments.model
    if corpus is not None:
        _check_side(arguments.index, corpus, side)
        model = model or _model_of(corpus)
        known = {i: n for n, i in enumerate(corpus.ids)}
        texts = {
            i: t for i, t in texts.items() if i not in known or corpus.entry(known[i]).text != t
        }
        if not texts:
            print(f"{len(corpus)} documents, none is new or changed: {arguments.index}")
            return
    size = arguments.chunk_size
    if size is None and corpus is not None:
        size = corpus.settings["chunks"][0]
    reader = Reader.load(model, size, arguments.device)
    if corpus is not None:
        _check_reader(arguments.index, corpus, reader)
    entries = reader.entries(texts, side, arguments.cache_dir)
    if corpus is None:
        settings = {
            **reader.settings(),
            "side": side,
            "model": None if model is None else str(model.absolute()),
        }
        before = 0
        corpus = IndexFolder.of(arguments.index, entries, arguments.type, settings)
    else:
        before = len(corpus)
        corpus = corpus.put(entries, len(entries))
    added = len(corpus) - before
    print(
        f"{len(corpus)} documents ({added} new, {len(entries) - added} replaced), "
        f"{corpus.starts[-1]} chunks, type {corpus.settings['index_type']}: {arguments.index}"
    )


def run_search(arguments: argparse.Namespace) -> None:
    """`jdcv search`: the best documents for one text."""
    from experiments.report.retrieval_table import as_json, as_plain, lines
    from research.retrieval.search import search

    if (arguments.cv is None) == (arguments.jd is None):
        raise InputError("jdcv search", "it needs one text to search with", "give --jd, or --cv")
    asked: Side = "jd" if arguments.cv is None else "cv"
    text = read_text(arguments.jd or arguments.cv)
    corpus, reader, reranker, allowed = _opened(arguments, asked)
    query = reader.entries({"query": text}, asked, None)[0]
    depth = _depth(arguments)
    found = search(corpus, query, arguments.k, depth, allowed, reranker, arguments.rerank)
    shown = [as_plain(match, corpus, query.text, query.spans) for match in found]
    print(as_json(shown) if arguments.json else "\n".join(lines(shown)))


def run_rank(arguments: argparse.Namespace) -> None:
    """`jdcv rank`: a run file of all queries, evaluated where there are judgements."""
    from research.retrieval import trec
    from research.retrieval.search import search_many

    check_out(arguments.out, arguments.force)
    given = [n for n in ("index", "trec") if getattr(arguments, n) is not None]
    if len(given) != 1 or (given == ["index"]) == (arguments.jds is None and arguments.cvs is None):
        what = "it needs an index and queries, or a TREC-style folder"
        raise InputError("jdcv rank", what, "give --index with --jds or --cvs, or --trec alone")
    with ExitStack() as stack:
        asked: Side = "jd" if arguments.cvs is None else "cv"
        qrels = None if arguments.qrels is None else trec.read_qrels(arguments.qrels)
        if arguments.trec is not None:
            texts, queries, judged = trec.read_folder(arguments.trec)
            qrels = qrels or judged
            space = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            arguments.index = space / "index"
            reader = Reader.load(arguments.model, None, arguments.device)
            _index_texts(arguments, texts, reader)
        else:
            queries, reader = read_texts(arguments.jds or arguments.cvs), None
        corpus, reader, reranker, allowed = _opened(arguments, asked, reader)
        entries = reader.entries(queries, asked, arguments.cache_dir)
        with progress("Ranking", None):
            depth, most = _depth(arguments), arguments.rerank
            found = search_many(corpus, entries, arguments.k, depth, allowed, reranker, most)
    run = {
        e.id: {m.id: m.score for m in matches} for e, matches in zip(entries, found, strict=True)
    }
    trec.write_run(arguments.out, run, "jdcv")
    print(f"{len(run)} queries, {sum(map(len, run.values()))} lines: {arguments.out}")
    if qrels is not None:
        _show_metrics(qrels, run, arguments.relevant)


def run_erase(arguments: argparse.Namespace) -> None:
    """`jdcv erase`: the index, and the cached vectors of the same texts."""
    from jdcv_core.encoding.vector_store import VectorStore, vector_key
    from research.retrieval.index_folder import IndexFolder

    corpus = IndexFolder(arguments.index, verify=False)
    known = {i: n for n, i in enumerate(corpus.ids)}
    texts = [corpus.entry(known[i]).text for i in arguments.id if i in known]
    corpus = corpus.erase(arguments.id)
    path = arguments.cache_dir.expanduser() / "vectors.sqlite"
    forgotten = 0
    if path.exists():
        s = corpus.settings
        size, overlap = s["chunks"]
        keys = [vector_key(t, s["tokenizer"], size, overlap, s["encoder"]) for t in texts]
        with progress("Erasing cached vectors", None), VectorStore(path) as store:
            forgotten = store.erase_many(keys)
    print(
        f"{len(arguments.id)} erased, {len(corpus)} documents are left: {arguments.index}; "
        f"{forgotten} erased from {path}"
    )


def _index_texts(arguments: argparse.Namespace, texts: Mapping[str, str], reader: Reader) -> None:
    """An index of its own for one command."""
    from research.retrieval.index_folder import IndexFolder

    entries = reader.entries(texts, "cv", arguments.cache_dir)
    settings = {**reader.settings(), "side": "cv"}
    IndexFolder.of(arguments.index, entries, "auto", settings)


def _opened(
    arguments: argparse.Namespace, asked: Side, reader: Reader | None = None
) -> tuple[IndexFolder, Reader, Reranker | None, list[int] | None]:
    """The index, what reads its queries, and what was asked for."""
    from research.retrieval.index_folder import IndexFolder

    for name in ("k", "depth", "hits", "effort"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}", "it must be at least 1", "give 1 or more")
    if arguments.rerank < 0:
        raise InputError("--rerank", "it must not be below 0", "give 0 for no reranking")
    corpus = IndexFolder(arguments.index)
    side: Side = "cv" if asked == "jd" else "jd"
    _check_side(arguments.index, corpus, side)
    if reader is None:
        model = arguments.model or _model_of(corpus)
        reader = Reader.load(model, corpus.settings["chunks"][0], arguments.device)
    _check_reader(arguments.index, corpus, reader)
    kind, _, number = reader.encoder.device.partition(":")
    corpus.gpu = int(number or 0) if kind == "cuda" else None
    reranker = reader.reranker(side) if arguments.rerank else None
    return corpus, reader, reranker, _only(arguments.only, corpus)


def _only(path: Path | None, corpus: IndexFolder) -> list[int] | None:

    if path is None:
        return None
    known = {i: n for n, i in enumerate(corpus.ids)}
    numbers = []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and line.strip() not in known:
            what = f"the index has no document {line.strip()!r}"
            raise InputError(f"{path}, row {row}", what, "take the line out, or index it")
        numbers += [known[line.strip()]] if line.strip() else []
    return numbers


def _depth(arguments: argparse.Namespace) -> Depth:
    from research.retrieval.search import Depth

    hits = arguments.hits or 2 * arguments.depth
    return Depth(hits, arguments.depth, arguments.effort)


def _model_of(corpus: IndexFolder) -> Path | None:
    model = corpus.settings.get("model")
    return None if model is None else Path(model)


def _check_side(index: Path, corpus: IndexFolder, side: Side) -> None:
    found = corpus.settings.get("side", "?")
    if found != side:
        cure = "search it with --cv" if found == "jd" else "search it with --jd"
        raise InputError(str(index), f"it holds {found.upper()}s, not {side.upper()}s", cure)


def _check_reader(index: Path, corpus: IndexFolder, reader: Reader) -> None:
    """Refuse vectors of two encoders in one index."""
    for name, value in reader.settings().items():
        if corpus.settings.get(name) != value:
            what = f"it was made with another {name} than the one given"
            raise InputError(str(index), what, "give the --model it was made with, or make it anew")


def _show_metrics(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]], relevant: int
) -> None:
    from experiments.report.retrieval_table import HEADINGS
    from jdcv_core.evaluation.ranking import mean_over_queries
    from research.retrieval.evaluation import retrieval_metrics

    found = retrieval_metrics(qrels, run, k=10, relevant=relevant)
    line = ", ".join(f"{HEADINGS[m]} {mean_over_queries(v):.4f}" for m, v in found.items())
    print(f"{len(qrels)} judged queries: {line}")
    missing = len(set(qrels) - set(run))
    if missing:
        console.print(f"{missing} judged queries were not asked and count as 0", highlight=False)
