"""Where labelled pairs come from: a table, the hub, a TREC-style folder. Each gives a Dataset."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jdcv_core.data.documents.file_text import Limits
from jdcv_core.data.documents.reading import read_all
from jdcv_core.data.labels import label_map, read_labels
from jdcv_core.data.normalise import Row, assemble
from jdcv_core.data.rows import check_rows, hint
from jdcv_core.data.tables import SUFFIXES, Record, read_table, text_lines
from jdcv_core.data.text_folder import MAX_CHARACTERS, composed, document_files
from jdcv_core.errors import InputError, names, nearest
from jdcv_core.progress import console
from jdcv_core.types import LABELS, Dataset

Part = tuple[str, str, list[Record]]
"""A file (or part of one source) for messages, its fold, and its records."""

HUB_COLUMNS = {"cv": "resume_text", "jd": "job_description_text", "label": "label"}
HUB_ID = "cnamuangtoun/resume-job-description-fit"
HUB_REVISION = "08978e21714984bb417547d2c0f9b477f5298163"
HUB_COUNTS = {"train": (3143, 1556, 1542), "test": (857, 444, 458)}
"""Rows per fold and label (No, Potential, Good) of HUB_ID at HUB_REVISION."""


def load_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] = HUB_COLUMNS,
    labels: Mapping[Any, int | str] | None = None,
    test_path: str | Path | None = None,
    files: bool = False,
    max_characters: int = MAX_CHARACTERS,
    name: str | None = None,
) -> Dataset:
    """Labelled pairs from CSV, JSON Lines or Parquet files, one pair a row.

    path:           a file, or a folder that holds one train.* and one test.*
    columns:        the file's names of `cv`, `jd` and `label`
    labels:         the file's label values → name of LABELS or its index; None: the names
                    themselves, 0, 1, 2, or two classes such as 0 and 1, no and yes, which are No
                    Fit and Good Fit (`labels.read_labels`); the fact `labels_read` says what was
                    read as what
    test_path:      a second file; then the pairs of `path` are in the fold "train" and its are in
                    "test". Without it, and if `path` is a file, the pairs have no fold
    files:          the columns of CV and JD have paths of files, relative to the table's folder, of
                    any kind that `read_file` reads; hidden text is left out
    max_characters: the longest text that is taken
    name:           of the dataset; None: the file's or folder's

    Raises InputError for a file, column, text or label that cannot be used, and for labels of one
    class: one line with file, row and cure. Nothing is cut or skipped. What happens to duplicates:
    see `assemble`.
    """
    columns, known = _columns(columns), _label_map(labels)
    tables = _files(Path(path), Path(test_path) if test_path is not None else None)
    wanted = [columns[key] for key in HUB_COLUMNS]
    parts = [(str(file), fold, list(read_table(file, wanted))) for file, fold in tables]
    if files:
        parts = [(t, fold, _read_paths(t, rows, max_characters)) for t, fold, rows in parts]
    if not any(records for _, _, records in parts):
        raise InputError(str(path), "there is no row below the header", "give labelled pairs")
    source = ", ".join(file.name for file, _ in tables)
    facts = {"source": source}
    return _dataset(
        name or Path(path).stem, str(path), parts, columns, known, max_characters, facts
    )


def load_hub(
    repo_id: str = HUB_ID,
    revision: str = HUB_REVISION,
    *,
    columns: Mapping[str, str] = HUB_COLUMNS,
    labels: Mapping[Any, int | str] | None = None,
    max_characters: int = MAX_CHARACTERS,
    counts: Mapping[str, Sequence[int]] | None = HUB_COUNTS,
) -> Dataset:
    """Labelled pairs from a dataset of the Hugging Face hub, read by `datasets.load_dataset`.

    repo_id, revision: which, pinned to a commit: give all 40 digits. Once downloaded, it is read
                       from the cache of `datasets`
    counts:            rows of each fold and label that are known to be there; None for a dataset
                       whose counts nobody knows
    The other arguments are those of `load_table`. The hub's splits are the folds.

    Raises InputError if it cannot be fetched (no network, no such id), if the counts differ, and
    for whatever `load_table` refuses.
    """
    columns, known = _columns(columns), _label_map(labels)
    parts: list[Part] = []
    for fold, table in _fetch(repo_id, revision).items():
        where = f"{repo_id}, {fold}"
        for column in columns.values():
            if column not in table.column_names:
                cure = f"set `columns`; {nearest(column, table.column_names)}"
                raise InputError(where, f"there is no column {column!r}", cure)
        parts.append((where, fold, list(_hub_records(table, columns))))
    facts = {"source": f"{repo_id}@{revision}"}
    name, where = repo_id.rpartition("/")[2], f"{repo_id}@{revision[:7]}"
    return _dataset(name, where, parts, columns, known, max_characters, facts, counts)


def resume_job_fit(path: str | Path | None = None) -> Dataset:
    """The dataset of `load_hub`, or its pairs out of a local file or folder (see `load_table`)."""
    return load_hub() if path is None else load_table(path)


def check_counts(where: str, rows: Sequence[Row], expected: Mapping[str, Sequence[int]]) -> None:
    """Refuse rows whose number per fold and label is not `expected` (fold → one number a label)."""
    found = Counter((row.get("fold", ""), row["label"]) for row in rows)
    folds = sorted({fold for fold, _ in found} | set(expected))
    for fold in folds:
        numbers = tuple(found[fold, label] for label in range(len(LABELS)))
        known = tuple(expected.get(fold, (0,) * len(LABELS)))
        if numbers != known:
            what = f"the fold {fold!r} has {numbers} rows of {LABELS}, not {known}"
            cure = "delete the copy in the cache and download it again, or check the revision"
            raise InputError(where, what, cure)


def load_trec(
    path: str | Path,
    *,
    labels: Mapping[Any, int | str] | None = None,
    max_characters: int = MAX_CHARACTERS,
    name: str | None = None,
) -> Dataset:
    """Labelled pairs from a TREC-style folder: the JDs are the queries, the CVs the corpus.

    path: a folder with `corpus/` (CVs) and `queries/` (JDs), one file for each, of any kind that
          `read_file` reads, with the ids of `list_folder`; and `qrels.tsv` of lines
          `query 0 document grade`, separated by whitespace. The grades 0, 1, 2, or 0 and 1 are the
          labels; others are mapped by `labels`
    The other arguments are those of `load_table`. Documents without a judgement are not read; the
    fact `unjudged` counts them.

    Raises InputError for a missing file or id, a line without four fields, another grade, and for
    texts as `load_table` does.
    """
    folder = Path(path)
    corpus, queries = document_files(folder / "corpus"), document_files(folder / "queries")
    qrels = folder / "qrels.tsv"
    known = _label_map(labels)
    columns = {"cv": "the CV", "jd": "the JD", "label": "the grade"}
    judged = list(_judgements(qrels, queries, corpus))
    paths = {path for _, *own, _ in judged for path in own}
    texts = _texts(paths, str(folder), max_characters)
    records = [(place, (texts[cv], texts[jd], grade)) for place, cv, jd, grade in judged]
    if not records:
        raise InputError(str(qrels), "it has no judgement", "give lines `query 0 document grade`")
    unjudged = len(corpus) + len(queries) - len(texts)
    facts = {"source": f"{folder.name}/qrels.tsv", "unjudged": unjudged}
    parts = [(str(qrels), "", records)]
    return _dataset(name or folder.name, str(qrels), parts, columns, known, max_characters, facts)


def _dataset(
    name: str,
    where: str,
    parts: Sequence[Part],
    columns: Mapping[str, str],
    known: Mapping[str, int] | None,
    max_characters: int,
    facts: Mapping[str, Any],
    counts: Mapping[str, Sequence[int]] | None = None,
) -> Dataset:
    """The records of all parts of a source as a Dataset; the labels are read from all of them.

    where: the source, for messages
    known: the user's mapping of labels, from `label_map`
    The other arguments are those of `load_table` and `load_hub`.
    """
    values = (label for _, _, records in parts for _, (_, _, label) in records)
    reading = read_labels(values, known)
    rows: list[Row] = []
    for file, fold, records in parts:
        rows += check_rows(file, records, columns, reading, max_characters, fold)
    if counts is not None:
        check_counts(where, rows, counts)
    dataset = assemble(name, rows, {**facts, **reading.facts()})
    reading.check_classes(where, dataset.classes)
    return dataset


def _label_map(labels: Mapping[Any, int | str] | None) -> dict[str, int] | None:
    return None if labels is None else label_map(labels)


def _columns(columns: Mapping[str, str]) -> dict[str, str]:
    for key in columns:
        if key not in HUB_COLUMNS:
            raise InputError("columns", f"{key!r} is unknown", nearest(key, list(HUB_COLUMNS)))
    for key in HUB_COLUMNS:
        if key not in columns:
            raise InputError("columns", f"{key!r} is missing", "name the column that holds it")
    return {key: columns[key] for key in HUB_COLUMNS}


def _files(path: Path, test_path: Path | None) -> list[tuple[Path, str]]:
    """The files to read, each with its fold."""
    for given in filter(None, (path, test_path)):
        if not given.exists():
            near = [p.name for p in _listing(given.parent) if p.suffix.lower() in SUFFIXES]
            cure = hint(given.name, near) if near else "check the path"
            raise InputError(str(given), "there is no such file or folder", cure)
    if not path.is_dir():
        return [(path, "")] if test_path is None else [(path, "train"), (test_path, "test")]
    if test_path is not None:
        raise InputError(str(path), "it is a folder, and test_path is given", "give two files")
    return [(_fold_file(path, fold), fold) for fold in ("train", "test")]


def _fold_file(folder: Path, fold: str) -> Path:
    there = _listing(folder)
    found = [p for p in there if p.stem == fold and p.suffix.lower() in SUFFIXES]
    if len(found) != 1:
        what = f"it holds {len(found)} files {fold}.* of {', '.join(SUFFIXES)}, not one"
        cure = hint(f"{fold}.csv", [p.name for p in there]) if there else "put them there"
        raise InputError(str(folder), what, cure)
    return found[0]


def _listing(folder: Path) -> list[Path]:
    """What a folder holds, without hidden files."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _fetch(repo_id: str, revision: str) -> Mapping[str, Any]:
    import datasets  # 2 seconds to import: only who loads from the hub pays

    try:
        return datasets.load_dataset(repo_id, revision=revision)
    except Exception as error:  # whatever fails in there (network, cache, parser), the cure is one
        reason = str(error).splitlines()[0] if str(error) else ""
        cure = (
            "connect to the network, or download its train.csv and test.csv elsewhere and give "
            "their folder: data=resume_job_fit data.path=FOLDER"
        )
        what = f"it cannot be fetched from the hub ({type(error).__name__}: {reason})"
        raise InputError(f"{repo_id}@{revision[:7]}", what, cure) from error


def _hub_records(table: Any, columns: Mapping[str, str]) -> Iterator[Record]:
    for number, row in enumerate(table, start=1):
        yield f"row {number}", tuple(row[columns[key]] for key in HUB_COLUMNS)


def _read_paths(table: str, records: Sequence[Record], max_characters: int) -> list[Record]:
    """The records of a table with the texts of the files that they name."""
    folder = Path(table).parent
    for place, (cv, jd, _) in records:
        for value in (cv, jd):
            if not isinstance(value, str) or not value.strip():
                what = "it names no file"
                raise InputError(f"{table}, {place}", what, "give a path, or leave `files` out")
    named = [(place, folder / cv.strip(), folder / jd.strip(), x) for place, (cv, jd, x) in records]
    texts = _texts({path for _, *paths, _ in named for path in paths}, table, max_characters)
    return [(place, (texts[cv], texts[jd], label)) for place, cv, jd, label in named]


def _texts(files: Iterable[Path], where: str, max_characters: int) -> dict[Path, str]:
    """The text of each file; how many have hidden text, which is left out, is said."""
    named = {path: str(path) for path in sorted(files)}
    read = read_all(named, where, limits=Limits(characters=max_characters))
    with_hidden = [path.name for path, found in read.items() if found.hidden]
    if with_hidden:
        line = f"{where}: hidden text of {len(with_hidden)} files is left out: {names(with_hidden)}"
        console.print(line, style="yellow", soft_wrap=True, markup=False, highlight=False)
    return {path: found.text for path, found in read.items()}


def _judgements(
    qrels: Path, queries: Mapping[str, Path], corpus: Mapping[str, Path]
) -> Iterator[tuple[str, Path, Path, str]]:
    """The place, the files of CV and JD, and the grade of each line of a qrels file."""
    if not qrels.is_file():
        raise InputError(str(qrels), "there is no such file", "give lines `query 0 document grade`")
    for number, line in enumerate(text_lines(qrels), start=1):
        fields = line.split()
        if not fields:
            continue
        place = f"row {number}"
        if len(fields) != 4:
            what = f"it has {len(fields)} fields, not four"
            raise InputError(f"{qrels}, {place}", what, "write `query 0 document grade`")
        query, _, document, grade = map(composed, fields)
        for key, known, kind in ((query, queries, "queries"), (document, corpus, "corpus")):
            if key not in known:
                what = f"{kind}/ has no document {key!r}"
                raise InputError(f"{qrels}, {place}", what, hint(key, known))
        yield place, corpus[document], queries[query], grade
