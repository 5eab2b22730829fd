"""The front door of retrieval: an index of CVs or JDs that reads texts and returns matches.

from research.retrieval import Retriever
index = Retriever.build("cvs.index", {"17": "…", "18": "…"}, model="FOLDER")
print(*index.search(jd="…", k=10), sep="\\n")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jdcv_core.data.text_folder import composed
from jdcv_core.errors import InputError
from jdcv_core.progress import console, progress
from jdcv_core.scripts import MOST_UNFIT
from jdcv_core.types import SIDES, Qrels, Side
from research.retrieval import copies
from research.retrieval.evaluation import retrieval_metrics
from research.retrieval.fit_weights import GRID, FittedWeights, fit_weights
from research.retrieval.fused_scores import REFERENCE, WORDS, Weights
from research.retrieval.index_folder import IndexFolder
from research.retrieval.index_model import IndexModel, location_of
from research.retrieval.matches import Match, make_matches
from research.retrieval.search import Candidate, Depth, search_many
from research.retrieval.segment import Entry
from research.retrieval.text_reader import TextReader, check_texts, store_path
from research.retrieval.vector_index import check_index_type

if TYPE_CHECKING:
    from jdcv_core.matcher import Matcher

FIT_CURE = "give judgements of these queries"


class Change(NamedTuple):
    """How many documents `Retriever.put` added, replaced, and left as they were."""

    added: int
    replaced: int
    unchanged: int


class Retriever:
    """A folder of CVs that is searched with JDs, or of JDs that is searched with CVs.

    Make one with `build` or `open`. The model that reads texts is loaded when the first text is
    read, so opening an index and erasing documents need no model.

    folder: of the index
    side:   of its documents, cv or jd
    ids:    of its documents
    model:  by which it reads texts, see `IndexModel`
    cache_dir: the folder of the vector store, as given to `build` or `open`

    >>> from research.retrieval import Retriever
    >>> cvs = {"ada": "Accountant: ledgers, month-end close.", "bo": "Go and Python services."}
    >>> index = Retriever.build("cvs.index", cvs, model="runs/baseline/matcher")  # doctest: +SKIP
    >>> index.search(jd="We are looking for an accountant.", k=1)                 # doctest: +SKIP
    [<Match 'ada' score=1.0000 words=0.2891 maxsim=0.6312>]
    >>> index.put({"cy": "Nurse in an intensive care unit."})                     # doctest: +SKIP
    Change(added=1, replaced=0, unchanged=0)
    >>> index.erase(["bo"]), index.ids                                            # doctest: +SKIP
    (0, ['ada', 'cy'])
    """

    def __init__(
        self,
        index: IndexFolder,
        model: Matcher | str | Path | None = None,
        device: str = "auto",
        cache_dir: str | Path | None = None,
    ) -> None:
        """Prefer `build` or `open`. index: made by `build`; the others are those of `open`."""
        self.index = index
        self.folder = index.folder
        self.cache_dir = cache_dir
        self.model = IndexModel(index.folder, index.settings, model, device)

    @classmethod
    def build(
        cls,
        folder: str | Path,
        texts: Mapping[str, str],
        *,
        model: Matcher | str | Path | None = None,
        side: Side = "cv",
        index_type: str = "auto",
        chunk_size: int | None = None,
        device: str = "auto",
        cache_dir: str | Path | None = None,
        rebuild: bool = False,
    ) -> Retriever:
        """Make a new index.

        folder:     must not exist, or be an index if `rebuild` is True
        texts:      id → text of each document
        model:      a Matcher whose weights are those of its files, the folder of a saved one, or
                    None for all-MiniLM-L6-v2 of the extra `offline`, which has no reranker. The
                    index remembers the folder
        side:       of the documents; the other side is the query
        index_type: auto (flat up to 100,000 chunks, ivf-pq above), another name in
                    `vector_index.INDEX_TYPES`, or a factory string of FAISS
        chunk_size: most tokens in a chunk; None: that of the model, 64 for all-MiniLM-L6-v2
        device:     of encoder and index: a torch device, or auto: CUDA if there is a GPU
        cache_dir:  a folder in which chunk vectors are kept, so that a text is encoded once even
                    after a kill; None: they are not kept
        rebuild:    replace an index that exists by this one, in one step: a kill leaves the old one
                    or the new one. Cached vectors that only the old one used are erased

        Raises InputError if the folder exists, and for texts that are missing or empty, an unknown
        index type, a chunk size that the model does not have, or a model that cannot be loaded.
        """
        folder = Path(folder)
        if side not in SIDES:
            raise InputError(f"side={side!r}", "there is no such side", "give cv or jd")
        if folder.exists() and not rebuild:
            raise InputError(str(folder), "it exists already", "give another name")
        old = IndexFolder(folder) if folder.exists() else None
        if not texts:
            raise InputError(str(folder), "there is no document", "give at least one")
        _check_names(texts)
        if index_type != "auto":
            check_index_type(index_type)
        reader = TextReader.load(model, size=chunk_size, device=device)
        if index_type != "auto":
            check_index_type(index_type, reader.encoder.dim)
        entries = reader.entries(texts, side, cache_dir)
        sample = list(texts.values())[:: max(1, len(texts) // REFERENCE)]
        settings = {**reader.settings(), "side": side, "model": location_of(model)}
        settings["unfit_share"] = reader.unfit_share(sample)
        if old is None:
            index = IndexFolder.of(folder, entries, index_type, settings)
        else:
            keys = {old.entry(number).key for number in range(len(old))}
            _forget(cache_dir, sorted(keys - {entry.key for entry in entries}))
            index = old.rebuild(entries, index_type, settings)
        made = cls(index, model, device, cache_dir)
        made.model.loaded = reader
        return made

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        model: Matcher | str | Path | None = None,
        device: str = "auto",
        cache_dir: str | Path | None = None,
        verify: bool = True,
    ) -> Retriever:
        """Open an index that `build` made.

        model:  the model that the index was made with, if its folder was moved; None: the folder
                that the index remembers
        verify: compare every file with its SHA-256 now; otherwise a change compares what it reads
        device, cache_dir: see `build`

        Raises InputError for a folder that is no index, or has a file that is missing or altered.
        """
        return cls(IndexFolder(Path(folder), verify=verify), model, device, cache_dir)

    def search(
        self,
        *,
        jd: str | None = None,
        cv: str | None = None,
        k: int = 10,
        only: Iterable[str] | None = None,
        depth: Depth | None = None,
        rerank: int = 0,
        distinct: bool = True,
        weights: Weights | None = None,
    ) -> list[Match]:
        """The k best documents for one text, best first; equal scores are in the order of ids.

        jd, cv: the query: a JD for an index of CVs, a CV for an index of JDs
        k:      most documents to return, ≥ 1
        only:   ids of the documents that may be found; None: all
        depth:  how many documents are compared, see `Depth`
        rerank: so many of the best are scored and ordered by the trained model, and the others are
                left out; 0: words and vectors decide
        distinct: of documents with nearly the same text (see `copies`) only the best is returned,
                and its `copies` names those of the others that are among the candidates; False:
                each of them takes a place
        weights: of words and vectors; None: those of the index (`weights`), or words alone for a
                query that the encoder does not know, or if the model is not there any more; then a
                line on stderr says so. `WORDS` alone need no model

        Returns one `Match` for each document. Raises InputError for a query of the wrong side or
        without text, an id that is not in the index, another model than the one that the index was
        made with, and for `rerank` without a trained model.
        """
        if (jd is None) == (cv is None):
            raise InputError("search", "it needs one text", "give jd= or cv=")
        self.check_query_side("jd" if cv is None else "cv")
        text = jd or cv or ""
        how = k, only, depth, rerank, distinct, weights
        (query,), (found,) = self._search({"query": text}, None, *how)
        matches = make_matches(self.index, query, found)
        if rerank:
            documents = [self.index.entry(candidate.document) for candidate in found]
            explain = partial(self.model.reader.requirements, query, side=self.side)
            matches = [
                replace(match, requirements=explain(document))
                for match, document in zip(matches, documents, strict=True)
            ]
        return matches

    def rank(
        self,
        queries: Mapping[str, str],
        k: int = 100,
        *,
        only: Iterable[str] | None = None,
        depth: Depth | None = None,
        rerank: int = 0,
        distinct: bool = False,
        weights: Weights | None = None,
    ) -> dict[str, dict[str, float]]:
        """A run: for each query the scores of its k best documents, best first.

        queries: id → text, JDs for an index of CVs and the reverse
        distinct: False, because judgements are of single documents: a copy that is left out counts
                  as not found
        The other arguments, and errors, are those of `search`; but vectors of queries are kept in
        the vector store, too. `trec.write_run` writes a run, `evaluation.retrieval_metrics`
        evaluates it.
        """
        how = k, only, depth, rerank, distinct, weights
        entries, found = self._search(queries, self.cache_dir, *how)
        return _run(entries, found)

    def fit(self, queries: Mapping[str, str], qrels: Qrels, relevant: int = 1) -> FittedWeights:
        """Choose the weights of words and vectors by judgements, and keep them in the index.

        queries:  id → text
        qrels:    query id → document id → grade, of some of the queries
        relevant: the lowest grade that counts as relevant

        The metric is the mean average precision; see `fit_weights`. Raises InputError if no query
        has a relevant document, and as `search` does.
        """
        judged = {query: text for query, text in queries.items() if query in qrels}
        if not judged:
            raise InputError("the judgements", "they are of other queries", FIT_CURE)
        own = {query: qrels[query] for query in judged}
        asked: Side = "jd" if self.side == "cv" else "cv"
        entries = self.model.reader.entries(judged, asked, self.cache_dir)
        values = {}
        self.index.gpu = self.model.gpu
        with progress("Fitting weights", len(GRID) + 1) as advance:
            for weights in (*GRID, Weights()):
                found = search_many(self.index, entries, len(self), weights=weights)
                values[weights] = retrieval_metrics(own, _run(entries, found), 10, relevant)["map"]
                advance()
        try:
            fitted = fit_weights(values)
        except ValueError as fault:
            raise InputError("the judgements", str(fault), FIT_CURE) from fault
        self.index = self.index.with_settings({"weights": asdict(fitted.weights)})
        return fitted

    def put(self, texts: Mapping[str, str]) -> Change:
        """Add documents, and replace those whose text changed. After a kill all or none are there.

        texts: id → text. An id that differs from one of the index only in its form of Unicode is
               that document. Raises InputError as `build` and `search` do.
        """
        _check_names(texts)
        texts = {self.index.id_of(name) or name: text for name, text in texts.items()}
        changed = {
            name: text
            for name, text in texts.items()
            if name not in self.index.numbers or self.text(name) != text
        }
        before = len(self)
        if changed or self.index.outdated:
            entries = (
                self.model.reader.entries(changed, self.side, self.cache_dir) if changed else []
            )
            self.index = self.index.put(entries, len(entries))
        added = len(self) - before
        return Change(added, len(changed) - added, len(texts) - len(changed))

    def erase(self, ids: Iterable[str]) -> int:
        """Remove documents for good: codes, vectors, texts, signatures and ids from the index, and
        the vectors of the same texts from the vector store of `cache_dir`.

        ids: an id that is given twice counts once
        Returns how many were removed from the vector store. Raises InputError for ids that are not
        in the index, and while another process changes it, before anything is removed.
        """
        forgotten = 0

        def forget(keys: list[str]) -> None:
            nonlocal forgotten
            forgotten = _forget(self.cache_dir, keys)

        self.index = self.index.erase(ids, forget)
        return forgotten

    def near_duplicates(self) -> list[list[str]]:
        """Groups of ids with nearly the same text, each of two or more; see `copies.groups`. The
        ids of a group, and the groups, are sorted."""
        signatures = self.index.signatures(np.arange(len(self)))
        found = copies.groups(signatures)
        return sorted(sorted(self.index.ids[at] for at in group) for group in found)

    @property
    def side(self) -> Side:
        """The side of the documents, cv or jd."""
        side: Side = self.index.settings["side"]
        return side

    @property
    def ids(self) -> list[str]:
        """The ids of the documents."""
        return list(self.index.ids)

    @property
    def chunk_count(self) -> int:
        """The number of chunks of all documents."""
        return int(self.index.starts[-1])

    @property
    def chunk_size(self) -> int:
        """Most tokens in a chunk."""
        size: int = self.index.settings["chunker"]["arguments"]["size"]
        return size

    @property
    def index_type(self) -> str:
        """The FAISS index, see `build`."""
        index_type: str = self.index.settings["index_type"]
        return index_type

    @property
    def weights(self) -> Weights:
        """The weights of words and vectors that a search takes: those of `fit`, or the default; or
        words alone if the encoder does not know the script of most of the documents."""
        settings = self.index.settings
        if settings.get("unfit_share", 0.0) > MOST_UNFIT:
            return WORDS
        return Weights(**settings.get("weights", {}))

    def text(self, name: str) -> str:
        """The text of a document. Raises InputError for an id that is not in the index."""
        return self.index.entry(self.index.number_of(name)).text

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        size = f"{len(self)} {self.side.upper()}s, {self.chunk_count} chunks"
        return f"<Retriever {self.folder}: {size}, {self.index_type}>"

    def check_query_side(self, side: Side) -> None:
        """Raises InputError if queries of a side cannot be asked here, such as a CV among CVs."""
        if side == self.side:
            other = "CV" if side == "jd" else "JD"
            what = f"it holds {side.upper()}s, not {other}s"
            raise InputError(str(self.folder), what, f"search it with a {other}")

    def _search(
        self,
        queries: Mapping[str, str],
        cache_dir: str | Path | None,
        k: int,
        only: Iterable[str] | None,
        depth: Depth | None,
        rerank: int,
        distinct: bool,
        weights: Weights | None,
    ) -> tuple[list[Entry], list[list[Candidate]]]:
        """The queries as entries, and what each of them finds."""
        if k < 1:
            raise InputError(f"k={k}", "it must be at least 1", "give 1 or more")
        if rerank < 0:
            raise InputError(f"rerank={rerank}", "it must not be below 0", "give 0 for none")
        allowed = None if only is None else self.index.numbers_of(only)
        if weights is None:
            weights = self._usable_weights(queries, rerank)
        asked: Side = "jd" if self.side == "cv" else "cv"
        reranker = self.model.reader.reranker(self.side) if rerank else None
        if weights.vectors or reranker is not None:
            entries = self.model.reader.entries(queries, asked, cache_dir)
        else:
            check_texts(queries)
            entries = [Entry(i, np.empty((0, 0), np.float32), text) for i, text in queries.items()]
        self.index.gpu = self.model.gpu
        with progress("Searching", None):
            found = search_many(
                self.index,
                entries,
                k,
                depth,
                allowed,
                reranker,
                rerank,
                distinct=distinct,
                weights=weights,
            )
        return entries, found

    def _usable_weights(self, queries: Mapping[str, str], rerank: int) -> Weights:
        """The weights of the index, or words alone where vectors cannot be had or say nothing."""
        weights = self.weights
        if weights == WORDS:
            if self.index.settings.get("unfit_share", 0.0) > MOST_UNFIT:
                self.model.check()
                _say("the encoder does not know the script of most documents: words alone decide")
            return weights
        if not rerank and (missing := self.model.missing()):
            _say(f"{missing}: words alone decide")
            return WORDS
        if weights.vectors and self.model.reader.unfit_share(queries.values()) > MOST_UNFIT:
            _say("the encoder does not know the script of the query: words alone decide")
            return WORDS
        return weights


def _say(text: str) -> None:
    console.print(f"• {text}", style="yellow", soft_wrap=True, markup=False, highlight=False)


def _run(
    queries: Sequence[Entry], found: Sequence[Sequence[Candidate]]
) -> dict[str, dict[str, float]]:
    return {e.id: {c.id: c.score for c in own} for e, own in zip(queries, found, strict=True)}


def _forget(cache_dir: str | Path | None, keys: list[str]) -> int:
    """Erase vectors from the store of a cache folder, if there is one; returns how many."""
    if cache_dir is None or not store_path(cache_dir).exists():
        return 0
    from jdcv_core.encoding.vector_store import VectorStore

    with progress("Erasing cached vectors", None), VectorStore(store_path(cache_dir)) as store:
        return store.erase_many(keys)


def _check_names(texts: Iterable[str]) -> None:
    """Raises InputError for two ids that differ only in their form of Unicode."""
    seen: dict[str, str] = {}
    for name in texts:
        if (other := seen.setdefault(composed(name), name)) != name:
            what = f"{other!r} and {name!r} differ only in their form of Unicode"
            raise InputError("the ids", what, "rename one of them")
