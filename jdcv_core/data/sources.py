"""Where labelled pairs come from: a table, the hub, a TREC-style folder. Each gives a Dataset."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jdcv_core.data.normalise import Row, assemble
from jdcv_core.data.rows import check_rows, hint, label_map
from jdcv_core.data.tables import SUFFIXES, Record, decode, read_table
from jdcv_core.data.text_folder import MAX_CHARACTERS, composed, document_files, read_document
from jdcv_core.errors import InputError, nearest
from jdcv_core.types import LABELS, Dataset

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
    max_characters: int = MAX_CHARACTERS,
    name: str | None = None,
) -> Dataset:
    """Labelled pairs from CSV, JSON Lines or Parquet files, one pair a row.

    path:           a file, or a folder that holds one train.* and one test.*
    columns:        the file's names of `cv`, `jd` and `label`
    labels:         the file's label values → name of LABELS or its index; None: those themselves
                    (case and spaces do not matter)
    test_path:      a second file; then the pairs of `path` are in the fold "train" and its are in
                    "test". Without it, and if `path` is a file, the pairs have no fold
    max_characters: the longest text that is taken
    name:           of the dataset; None: the file's or folder's

    Raises InputError for a file, column, text or label that cannot be used: one line with file,
    row and cure. Nothing is cut, skipped or guessed. What happens to duplicates: see `assemble`.
    """
    columns, known = _columns(columns), label_map(labels)
    rows: list[Row] = []
    files = _files(Path(path), Path(test_path) if test_path is not None else None)
    for file, fold in files:
        records = read_table(file, [columns[key] for key in HUB_COLUMNS])
        rows += check_rows(str(file), records, columns, known, max_characters, fold)
    if not rows:
        raise InputError(str(path), "there is no row below the header", "give labelled pairs")
    source = ", ".join(file.name for file, _ in files)
    return assemble(name or Path(path).stem, rows, {"source": source})


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
    columns, known = _columns(columns), label_map(labels)
    rows: list[Row] = []
    for fold, table in _fetch(repo_id, revision).items():
        where = f"{repo_id}, {fold}"
        for column in columns.values():
            if column not in table.column_names:
                cure = f"set `columns`; {nearest(column, table.column_names)}"
                raise InputError(where, f"there is no column {column!r}", cure)
        rows += check_rows(
            where, _hub_records(table, columns), columns, known, max_characters, fold
        )
    if counts is not None:
        check_counts(f"{repo_id}@{revision[:7]}", rows, counts)
    return assemble(repo_id.rpartition("/")[2], rows, {"source": f"{repo_id}@{revision}"})


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
    path: str | Path, *, max_characters: int = MAX_CHARACTERS, name: str | None = None
) -> Dataset:
    """Labelled pairs from a TREC-style folder: the JDs are the queries, the CVs the corpus.

    path: a folder with `corpus/ID` or `corpus/ID.txt` (CVs), `queries/ID` or `queries/ID.txt`
          (JDs), and `qrels.tsv` of lines `query 0 document grade`, separated by whitespace. The
          grades 0, 1, 2 are the labels
    The other arguments are those of `load_table`. Documents without a judgement are not read; the
    fact `unjudged` counts them.

    Raises InputError for a missing file or id, a line without four fields, another grade, and for
    texts as `load_table` does.
    """
    folder = Path(path)
    corpus, queries = document_files(folder / "corpus"), document_files(folder / "queries")
    qrels = folder / "qrels.tsv"
    grades = {str(grade): grade for grade in range(len(LABELS))}
    columns = {"cv": "the CV", "jd": "the JD", "label": "the grade"}
    texts: dict[Path, str] = {}
    records = _judgements(qrels, queries, corpus, texts, max_characters)
    rows = check_rows(str(qrels), records, columns, grades, max_characters)
    if not rows:
        raise InputError(str(qrels), "it has no judgement", "give lines `query 0 document grade`")
    unjudged = len(corpus) + len(queries) - len(texts)
    facts = {"source": f"{folder.name}/qrels.tsv", "unjudged": unjudged}
    return assemble(name or folder.name, rows, facts)


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


def _judgements(
    qrels: Path,
    queries: Mapping[str, Path],
    corpus: Mapping[str, Path],
    texts: dict[Path, str],
    max_characters: int,
) -> Iterator[Record]:
    """The records of a qrels file; every document is read once, into `texts`."""
    if not qrels.is_file():
        raise InputError(str(qrels), "there is no such file", "give lines `query 0 document grade`")
    for number, line in enumerate(qrels.read_bytes().splitlines(), start=1):
        fields = decode(line).split()
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
            if known[key] not in texts:
                texts[known[key]] = read_document(known[key], max_characters)
        yield place, (texts[corpus[document]], texts[queries[query]], grade)
