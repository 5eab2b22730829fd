"""Runs and qrels as TREC files, and foreign TREC-style folders of texts.

A run file has lines `query Q0 document rank score tag`, a qrels file `query 0 document grade`, with
spaces or tabs between the fields. trec_eval, ir-measures and other tools read them.

These tools order documents by their scores, not by the ranks of the file. trec_eval and whatever is
built on it reads a score as float32 and breaks ties by document id, descending. So the scores that
are written fall strictly, also as float32, and every tool sees the order of the ranks.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from jdcv_core.atomic import atomic_file
from jdcv_core.data.documents.file_text import HiddenMode
from jdcv_core.data.rows import hint
from jdcv_core.data.tables import bad_byte, is_unicode, text_lines
from jdcv_core.data.text_folder import MAX_CHARACTERS, composed, document_files, read_texts
from jdcv_core.errors import InputError, several
from jdcv_core.evaluation.ranking import ranking
from jdcv_core.types import Qrels, Run

RUN_LINE = "query Q0 document rank score tag"
QRELS_LINE = "query 0 document grade"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LARGEST = np.finfo(np.float32).max
SUBNORMAL = 0x7FFFFF
"""Float32 numbers between 0 and the smallest normal one."""
GRADE = re.compile(r"\d{1,9}", re.ASCII)


def write_run(path: str | Path, run: Run, tag: str) -> None:
    """Write a run file: queries in order of id, documents best first, ranks from 1.

    path: its folder must exist; a file of that name is replaced. The file is whole or not there
    run:  query id → document id → score; the order follows the tie rule (`ranking`). A score is
          written with all its digits, unless it would not fall strictly below the one before it
          when both are read as float32: then it is lowered by as little as possible, see
          `falling`. A query without a document has no line
    tag:  the system's name, one word

    Raises InputError for an id or tag that is not one word, a score that is not finite, a run
    without a document, and a file that cannot be written. `read_run` is the inverse, but for the
    scores that were lowered.
    """
    where = str(path)
    _check_word(where, "the tag", tag)
    check_ids(where, run, (document for own in run.values() for document in own))
    lines = []
    for query in sorted(run):
        for document, score in run[query].items():
            if not math.isfinite(score):
                what = f"query {query!r}, document {document!r}: the score is {score}"
                raise InputError(where, what, "give a finite score, or leave the document out")
        order = ranking(run[query])
        scores = falling([float(run[query][document]) for document in order])
        for rank, (document, score) in enumerate(zip(order, scores, strict=True), start=1):
            lines.append(f"{query} Q0 {document} {rank} {score!r} {tag}\n")
    _write(Path(path), lines, "run", "ranks no document")


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a run file: query id → document id → score, queries in the file's order and documents
    best first, in the order in which trec_eval and the tools that are built on it rank them.

    The scores decide the order; the ranks are not read. Of scores that are equal as float32, the
    document with the larger id is first, whatever the file's order is; the others are lowered by as
    little as possible (`falling`), so that figures of the run are those that the tools print for
    the file. Empty lines are skipped.
    Raises InputError naming the row for a line without six fields, a score that is no finite
    number, a document that occurs twice in a query, and bytes that are not UTF-8; and for a file
    that is empty or does not exist.
    """
    run: dict[str, dict[str, float]] = {}
    for place, (query, _, document, _, score, _) in _lines(Path(path), RUN_LINE):
        if not NUMBER.fullmatch(score) or not math.isfinite(float(score)):
            raise InputError(place, f"the score is {score[:60]!r}", "give a finite number")
        _add(run, place, query, document, float(score))
    return {query: _as_tools_rank(own) for query, own in run.items()}


def falling(scores: Sequence[float]) -> list[float]:
    """Scores that fall strictly, also where they are read as float32.

    scores: finite, and each at most the one before it
    Returns as many scores. A score is kept to the bit if it is within the range of float32 and, as
    float32, below the one before it. Another one becomes the next smaller float32, as often as is
    needed; at the lower end of the range, the scores before it are raised instead. Numbers nearer
    to 0 than the smallest normal float32, 1.2e-38, count as 0, because some readers round them.

    >>> falling([0.5, 0.5, 0.1])
    [0.5, 0.4999999701976776, 0.1]
    """
    given = np.asarray(scores, dtype=np.float64)
    small = np.clip(given, -LARGEST, LARGEST).astype(np.float32)
    # Float32 numbers are counted from 0 up and down, so that neighbours differ by 1.
    size = np.maximum(np.abs(small).view(np.int32).astype(np.int64) - SUBNORMAL, 0)
    number = np.where(small < 0, -size, size)
    place = np.arange(len(given))
    lowered = np.minimum.accumulate(number + place) - place
    lowest = -int(LARGEST.view(np.int32) - SUBNORMAL) + place[::-1]
    lowered = np.maximum(lowered, lowest)
    bits = np.where(lowered == 0, 0, np.abs(lowered) + SUBNORMAL).astype(np.int32)
    written = np.copysign(bits.view(np.float32).astype(np.float64), lowered)
    keep = (lowered == number) & (np.abs(given) <= LARGEST)
    found: list[float] = np.where(keep, given, written).tolist()
    return found


def _as_tools_rank(scores: Mapping[str, float]) -> dict[str, float]:
    """The same documents best first, as trec_eval orders them, with scores that fall strictly."""
    with np.errstate(over="ignore"):
        small = {document: np.float32(score) for document, score in scores.items()}
    order = sorted(scores, key=lambda document: (small[document], document), reverse=True)
    return dict(zip(order, falling([scores[document] for document in order]), strict=True))


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    """Write a qrels file in the order of query ids, then document ids, with tabs between fields.

    path:  as for `write_run`
    qrels: query id → document id → grade, an integer from 0 to 999,999,999

    Raises InputError for an id that is not one word, another grade, qrels without a judgement, and
    a file that cannot be written. `read_qrels` is the inverse.
    """
    where = str(path)
    check_ids(where, qrels, (document for own in qrels.values() for document in own))
    lines = []
    for query in sorted(qrels):
        for document, grade in sorted(qrels[query].items()):
            if int(grade) != grade or not GRADE.fullmatch(str(int(grade))):
                what = f"query {query!r}, document {document!r}: the grade is {grade}"
                raise InputError(where, what, "give an integer from 0")
            lines.append(f"{query}\t0\t{document}\t{int(grade)}\n")
    _write(Path(path), lines, "qrels", "have no judgement")


def read_qrels(path: str | Path) -> dict[str, dict[str, int]]:
    """Read a qrels file: query id → document id → grade, in the file's order.

    Raises InputError naming the row for a line without four fields, a grade that is no integer from
    0, and a document that is judged twice in a query; also as `read_run` does.
    """
    qrels: dict[str, dict[str, int]] = {}
    for place, (query, _, document, grade) in _lines(Path(path), QRELS_LINE):
        if not GRADE.fullmatch(grade):
            raise InputError(place, f"the grade is {grade[:60]!r}", "give an integer from 0")
        _add(qrels, place, query, document, int(grade))
    return qrels


def read_folder(
    path: str | Path, max_characters: int = MAX_CHARACTERS, hidden: HiddenMode = "drop"
) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]] | None]:
    """Read a TREC-style folder: its texts by id, and its judgements.

    path:           a folder with `corpus/` and `queries/`, one file for each text, of any kind that
                    `read_file` reads, and optionally `qrels.tsv` (see `read_qrels`)
    max_characters: most characters of a text
    hidden:         "drop" leaves hidden text out, "keep" leaves it in

    Returns (corpus, queries, qrels): document id → text, query id → text, and the judgements, or
    None if there is no such file. Unlike `load_trec` it takes any grade and documents without a
    judgement, and keeps equal texts with different ids apart.
    Raises InputError naming the file for a text that is empty, binary, too long or not UTF-8; for a
    missing folder; for a judgement of a query or document that does not exist.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(str(folder), "there is no such folder", "check the path")
    sides = {kind: document_files(folder / kind) for kind in ("corpus", "queries")}
    file = folder / "qrels.tsv"
    qrels = read_qrels(file) if file.exists() else None
    for query, grades in (qrels or {}).items():
        _check_known(file, query, sides["queries"], "queries")
        for document in grades:
            _check_known(file, document, sides["corpus"], "corpus")
    corpus, queries = (read_texts(folder / kind, max_characters, hidden) for kind in sides)
    return corpus, queries, qrels


def _lines(path: Path, pattern: str) -> Iterator[tuple[str, list[str]]]:
    """The place and the fields of each line that is not empty."""
    if not path.is_file():
        raise InputError(str(path), "there is no such file", f"give lines `{pattern}`")
    width, empty = len(pattern.split()), True
    for number, text in enumerate(text_lines(path), start=1):
        fields = text.split()
        if not fields:
            continue
        empty, place = False, f"{path}, row {number}"
        if bad := bad_byte(text):
            raise InputError(place, f"it is not valid UTF-8: {bad}", "save the file as UTF-8")
        if len(fields) != width:
            what = f"it has {len(fields)} fields, not {width}"
            raise InputError(place, what, f"write `{pattern}`")
        yield place, fields
    if empty:
        raise InputError(str(path), "it is empty", f"give lines `{pattern}`")


def _add(
    found: dict[str, dict[str, float]] | dict[str, dict[str, int]],
    place: str,
    query: str,
    document: str,
    value: float | int,
) -> None:
    own = found.setdefault(query, {})
    if document in own:
        what = f"the document {document!r} occurs a second time in query {query!r}"
        raise InputError(place, what, "remove one of the two rows")
    own[document] = value  # type: ignore[assignment]


def spelled_as(
    judged: Qrels, run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """The run with its ids written as in the judgements where they differ in their form of Unicode
    (composed or decomposed): tools compare bytes.

    Raises InputError where the judgements have an id in two forms.
    """
    spelling: dict[str, str] = {}
    for key in (*judged, *(document for grades in judged.values() for document in grades)):
        if (other := spelling.setdefault(composed(key), key)) != key:
            what = f"{other!r} and {key!r} differ only in their form of Unicode"
            raise InputError("the judgements", what, "write an id in one form")
    return {
        spelling.get(composed(query), query): {
            spelling.get(composed(document), document): score for document, score in own.items()
        }
        for query, own in run.items()
    }


def check_ids(where: str, queries: Iterable[str], documents: Iterable[str]) -> None:
    """Raises one InputError for all ids that a TREC file cannot hold, such as those with white
    space."""
    words = {"the query's id": queries, "the document's id": documents}
    found = [_word_fault(kind, word) for kind, own in words.items() for word in dict.fromkeys(own)]
    if faults := [(where, *fault) for fault in found if fault]:
        raise several(where, "{} ids cannot be written into a TREC file", faults)


def _check_known(file: Path, key: str, known: dict[str, Path], kind: str) -> None:
    if composed(key) not in known:
        raise InputError(str(file), f"{kind}/ has no document {key!r}", hint(key, known))


def _check_word(where: str, what: str, word: str) -> None:
    if fault := _word_fault(what, word):
        raise InputError(where, *fault)


def _word_fault(what: str, word: str) -> tuple[str, str] | None:
    """What is wrong with a word that would be read as several fields, as none, or as another word,
    and the cure."""
    if word.split() != [word]:
        fault = "is empty" if not word else "has white space, which separates fields in a TREC file"
        return f"{what} {word!r} {fault}", "give one word, such as a-b for 'a b'"
    if not is_unicode(word) or word.startswith("\ufeff"):  # a byte order mark is lost in reading
        return f"{what} {word!r} is not plain Unicode text", "rename it"
    return None


def _write(path: Path, lines: Sequence[str], kind: str, nothing: str) -> None:
    if not lines:
        raise InputError(str(path), f"the {kind} {nothing}", "give at least one")
    try:
        with atomic_file(path) as file:
            file.writelines(lines)
    except OSError as error:
        raise InputError(str(path), f"{error.strerror}", "choose another place") from error
