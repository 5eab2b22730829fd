"""What one person works on: CVs, a JD, a ranking. It is in memory and in one temporary folder, and
both go at the end of the session. Ours."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from experiments.demo.inert import id_of
from jdcv_core.data.documents.file_text import FileText
from jdcv_core.data.documents.reading import read_files
from jdcv_core.data.documents.refused import Refused
from jdcv_core.errors import InputError
from research.retrieval import Retriever

if TYPE_CHECKING:
    from jdcv_core.explanation import Explanation
    from jdcv_core.matcher import Matcher
    from research.retrieval.matches import Match

RERANKED = 2000
"""Most CVs that the trained model scores for one JD; words and vectors choose them."""
POOL = 2
"""As many times the length of the list are ranked, so that near-duplicates can be folded."""
LOCK = RLock()
"""Sessions are threads of one process; tokenizers and figures are for one thread at a time."""


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded. data: its content; read: its text without hidden text, and the
    report; with_hidden: its text with hidden text, or "" if there is none"""

    data: bytes
    read: FileText
    with_hidden: str = ""


@dataclass(frozen=True)
class Ranking:
    """The CVs for one JD.

    jd:      its text
    matches: the best distinct ones, best first
    scores:  id → score of every CV that was ranked, best first
    """

    jd: str
    matches: tuple[Match, ...]
    scores: Mapping[str, float]

    def place(self, name: str, score: float | None = None) -> int:
        """The rank of a CV, from 1; with another score than its own, if given. Equal scores are in
        the order of ids."""
        own = self.scores[name] if score is None else score
        ahead = ((-s, other) < (-own, name) for other, s in self.scores.items() if other != name)
        return 1 + sum(ahead)


@dataclass
class Desk:
    """The work of one session.

    shared:   the index that all sessions read and none changes
    uploads:  id → uploaded CV
    own:      the index of the uploaded CVs, in `folder`; None without one
    ranking:  the last one; None: nothing was searched, or CVs changed since
    """

    shared: Retriever
    uploads: dict[str, Upload] = field(default_factory=dict)
    own: Retriever | None = None
    use_own: bool = False
    jd: str = ""
    ranking: Ranking | None = None
    explained: dict[str, Explanation] = field(default_factory=dict)
    folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def index(self) -> Retriever:
        """The index that is searched."""
        return self.own if self.use_own and self.own is not None else self.shared

    @property
    def matcher(self) -> Matcher | None:
        """The trained model of the index; None if it was made without one."""
        return self.index.model.reader.matcher

    def put(self, files: Sequence[tuple[str, bytes]]) -> list[str]:
        """Replace the uploaded CVs. files: (name, content) of each.

        Returns a message for each file that cannot be read; the others are indexed.
        """
        faults = []
        self.drop_uploads()
        read = read_files([data for _, data in files])
        with_hidden = [at for at, found in enumerate(read) if getattr(found, "hidden", ())]
        kept = read_files([files[at][1] for at in with_hidden], hidden="keep")
        whole = {
            at: found.text
            for at, found in zip(with_hidden, kept, strict=True)
            if isinstance(found, FileText)
        }
        for at, ((name, data), found) in enumerate(zip(files, read, strict=True)):
            if isinstance(found, Refused):
                faults.append(str(InputError(name, found.what, found.cure)))
            else:
                key = id_of(name, frozenset(self.uploads))
                self.uploads[key] = Upload(data, found, whole.get(at, ""))
        if self.uploads:
            texts = {key: upload.read.text for key, upload in self.uploads.items()}
            self.folder = tempfile.TemporaryDirectory(prefix="jdcv-demo-")
            model = self.shared.model.reader.matcher
            with LOCK:
                place = Path(self.folder.name) / "index"
                self.own = Retriever.build(place, texts, model=model)
            self.use_own = True
        return faults

    def drop_uploads(self) -> None:
        """Forget the uploaded CVs, and remove their index from the disk."""
        self.uploads, self.own, self.use_own = {}, None, False
        self.forget_ranking()
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None

    def forget_ranking(self) -> None:
        self.ranking, self.explained = None, {}

    def search(self, jd: str, k: int) -> Ranking:
        """Rank the CVs for a JD. k: most matches. Raises InputError for a text without words."""
        index = self.index
        self.forget_ranking()
        with LOCK:
            rerank = min(len(index), RERANKED) if self.matcher is not None else 0
            run = index.rank({"jd": jd}, k=rerank or len(index), rerank=rerank)["jd"]
            pool = list(run)[: POOL * k]
            again = len(pool) if rerank else 0
            found = index.search(jd=jd, k=min(k, len(pool)), only=pool, rerank=again)
        self.jd, self.ranking = jd, Ranking(jd, tuple(found), run)
        return self.ranking

    def explain(self, name: str) -> Explanation:
        """`Matcher.explain` of a CV and the JD of the ranking; kept until the next search."""
        assert self.ranking is not None
        assert self.matcher is not None
        if name not in self.explained:
            with LOCK:
                text = self.index.text(name)
                self.explained[name] = self.matcher.explain(cv=text, jd=self.ranking.jd)
        return self.explained[name]
