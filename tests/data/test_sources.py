"""From files to datasets: what is read, and which message each bad input gets."""

import csv
import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jdcv_core.data.sources import (
    HUB_COLUMNS,
    HUB_COUNTS,
    HUB_ID,
    check_counts,
    load_hub,
    load_table,
    load_trec,
)
from jdcv_core.errors import InputError

HEADER = tuple(HUB_COLUMNS.values())
GOOD = [
    ("ten years of SQL", "needs SQL", "Good Fit"),
    ("paints houses", "needs SQL", "No Fit"),
    ("learns SQL", "needs SQL", "Potential Fit"),
]


def write(path, rows, header=HEADER):
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    elif path.suffix == ".parquet":
        columns = [list(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(dict(zip(header, columns, strict=True))), path)
    else:
        lines = (json.dumps(dict(zip(header, row, strict=True))) for row in rows)
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def refused(function, *arguments, **options):
    """The message; it is one line."""
    with pytest.raises(InputError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".parquet"])
def test_every_format_gives_the_same_dataset(tmp_path, suffix):
    dataset = load_table(write(tmp_path / f"pairs{suffix}", GOOD))
    text = {i: d.text for i, d in dataset.documents.items()}
    labels = {(text[p.cv], text[p.jd], p.label) for p in dataset.pairs}
    assert labels == {
        (cv, jd, ["No Fit", "Potential Fit", "Good Fit"].index(label)) for cv, jd, label in GOOD
    }
    assert dataset.name == "pairs"
    assert dataset.facts["source"] == f"pairs{suffix}"
    assert {p.fold for p in dataset.pairs} == {""}
    assert all(d.origin.startswith(f"pairs{suffix}, row ") for d in dataset.documents.values())
    again = load_table(write(tmp_path / "again.csv", GOOD))
    assert dataset.facts["fingerprint"] == again.facts["fingerprint"]


def test_a_folder_and_two_files_give_folds(tmp_path):
    write(tmp_path / "train.csv", GOOD[:2])
    write(tmp_path / "test.parquet", GOOD[2:])
    folder = load_table(tmp_path, name="mine")
    assert folder.name == "mine"
    assert sorted((p.label, p.fold) for p in folder.pairs) == [
        (0, "train"),
        (1, "test"),
        (2, "train"),
    ]
    files = load_table(tmp_path / "train.csv", test_path=tmp_path / "test.parquet")
    assert files.pairs == folder.pairs


@pytest.mark.parametrize("label", ["good fit", " Good  Fit", "GOODFIT", "good_fit", "Good-Fit"])
def test_names_are_read_without_regard_to_case_and_separators(tmp_path, label):
    rows = [("a", "b", label), ("c", "b", "No Fit")]
    dataset = load_table(write(tmp_path / "t.parquet", rows))
    assert sorted(p.label for p in dataset.pairs) == [0, 2]


def test_labels_and_columns_can_be_mapped(tmp_path):
    path = write(tmp_path / "t.csv", [("b", "yes", "a"), ("b", "no", "c")], ("job", "fit", "cv"))
    columns = {"cv": "cv", "jd": "job", "label": "fit"}
    dataset = load_table(path, columns=columns, labels={"YES": "Good Fit", "no": 0})
    assert sorted(p.label for p in dataset.pairs) == [0, 2]
    assert "'maybe' is not a label" in refused(load_table, path, labels={"yes": "maybe"})
    assert "ambiguous" in refused(load_table, path, labels={"yes": 2, "Yes": 1})
    assert "ambiguous" in refused(load_table, path, labels={True: 2, "yes": 0})
    assert "`labels` leaves it out. Known: no, yes" in refused(
        load_table,
        write(tmp_path / "u.csv", [("b", "nope", "a")], ("job", "fit", "cv")),
        columns=columns,
        labels={"yes": 2, "no": 0},
    )
    assert "did you mean 'label'" in refused(load_table, path, columns={"labl": "fit"}).lower()
    assert "'cv' is missing" in refused(load_table, path, columns={"jd": "job", "label": "fit"})


BAD_ROWS = {
    "unknown label": (
        ("a", "b", "Great Fit"),
        "label is 'Great Fit'.*Known: Good Fit, No Fit, Potential Fit",
    ),
    "no label": (("a", "b", ""), "label is empty"),
    "empty CV": (("", "b", "No Fit"), "resume_text is empty"),
    "whitespace JD": (("a", " \t\n\u00a0 ", "No Fit"), "job_description_text is empty"),
    "5 MB": (("word " * 1_000_000, "b", "No Fit"), "resume_text has 5,000,000 characters, more"),
    "NUL": (("a", "b\0c", "No Fit"), "job_description_text is binary"),
}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("fault", BAD_ROWS)
def test_a_bad_row_is_named_and_the_others_like_it_are_counted(tmp_path, suffix, fault):
    row, message = BAD_ROWS[fault]
    path = write(tmp_path / f"pairs{suffix}", [*GOOD, row, GOOD[0], row, row])
    told = refused(load_table, path)
    place = "row 4 (line 5)" if suffix == ".csv" else "row 4"
    assert told.startswith(f"{path}, {place}: ")
    assert re.search(message, told)
    assert "(and in 2 more rows)" in told
    assert len(told) < 400


def test_the_first_fault_is_told_and_others_of_its_kind_only_are_counted(tmp_path):
    rows = [GOOD[0], ("a", "b", "?"), ("", "b", "No Fit"), ("c", "b", "!")]
    told = refused(load_table, write(tmp_path / "t.jsonl", rows))
    assert "row 2: label is '?' (and in 1 more rows)" in told


def test_invalid_utf8_is_told_with_its_row(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(",".join(HEADER).encode() + b"\nna\xefve,b,No Fit\ncaf\xe9,b,No Fit\n")
    told = refused(load_table, path)
    assert told.startswith(
        f"{path}, row 1 (line 2): resume_text is not valid UTF-8: byte 3 is 0xef (and in 1 more"
    )


def test_a_text_that_is_no_text_is_refused(tmp_path):
    assert "resume_text is a int, not text" in refused(
        load_table, write(tmp_path / "t.jsonl", [(3, "b", 0)])
    )


def test_nothing_to_read_is_refused(tmp_path):
    assert "no row" in refused(load_table, write(tmp_path / "t.csv", []))
    conflict = [("a", "b", "No Fit"), ("a", "b", "Good Fit")]
    told = refused(load_table, write(tmp_path / "u.csv", conflict))
    assert told.startswith("u.csv: ")
    assert "no pair is left of 2 rows (1 pairs have conflicting labels)" in told


def test_missing_files_name_the_nearest(tmp_path):
    write(tmp_path / "pairs.csv", GOOD)
    assert "did you mean 'pairs.csv'" in refused(load_table, tmp_path / "pair.csv").lower()
    assert "no such file" in refused(load_table, tmp_path / "nowhere" / "pairs.csv")
    for number in range(50):
        (tmp_path / f"other{number}.csv").touch()
    told = refused(load_table, tmp_path / "pair.csv")
    assert "pairs.csv" in told
    assert len(told) < 400


def test_a_folder_must_hold_one_file_a_fold(tmp_path):
    write(tmp_path / "train.csv", GOOD)
    assert "0 files test.*" in refused(load_table, tmp_path)
    write(tmp_path / "test.csv", GOOD)
    write(tmp_path / "test.jsonl", GOOD)
    assert "2 files test.*" in refused(load_table, tmp_path)
    assert "test_path" in refused(load_table, tmp_path, test_path=tmp_path / "test.csv")


def test_the_counts_of_the_hub_are_checked():
    rows = [
        {"cv": "", "jd": "", "label": label, "fold": fold}
        for fold, counts in HUB_COUNTS.items()
        for label, count in enumerate(counts)
        for _ in range(count)
    ]
    assert (len(rows), sum(r["fold"] == "train" for r in rows)) == (8000, 6241)
    check_counts("hub", rows, HUB_COUNTS)
    assert "'test' has (857, 444, 457)" in refused(check_counts, "hub", rows[:-1], HUB_COUNTS)
    extra = [*rows, {"cv": "", "jd": "", "label": 0, "fold": "more"}]
    assert "'more' has (1, 0, 0)" in refused(check_counts, "hub", extra, HUB_COUNTS)


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """`datasets` offline, with an empty cache."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.usefixtures("hub_cache")
def test_without_network_the_hub_says_how_to_use_a_copy():
    told = refused(load_hub, "nobody/no-such-dataset")
    assert told.startswith("nobody/no-such-dataset@08978e2: it cannot be fetched from the hub (")
    assert "data.path=FOLDER" in told
    assert HUB_ID == "cnamuangtoun/resume-job-description-fit"


@pytest.mark.usefixtures("hub_cache")
def test_the_hub_loader_reads_a_dataset_folder_like_load_table(tmp_path):
    folder = tmp_path / "hub"
    folder.mkdir()
    write(folder / "train.csv", GOOD[:2])
    write(folder / "test.csv", GOOD[2:])
    counts = {"train": (1, 0, 1), "test": (0, 1, 0)}
    dataset = load_hub(str(folder), counts=counts)
    assert dataset.pairs == load_table(folder).pairs
    assert "'test' has (0, 1, 0) rows" in refused(load_hub, str(folder))
    told = refused(load_hub, str(folder), columns={**HUB_COLUMNS, "cv": "resume"})
    assert "no column 'resume'" in told


@pytest.fixture
def trec(tmp_path):
    for kind, texts in (
        ("corpus", {"1": "SQL", "2.txt": "paint", "3": "unjudged"}),
        ("queries", {"q1": "needs SQL"}),
    ):
        (tmp_path / kind).mkdir()
        for name, text in texts.items():
            (tmp_path / kind / name).write_text(text)
    (tmp_path / "qrels.tsv").write_text("q1 0 1 2\nq1\t0\t2\t0\n\n")
    return tmp_path


def test_a_trec_folder_is_read(trec):
    dataset = load_trec(trec)
    text = {i: d.text for i, d in dataset.documents.items()}
    pairs = {(text[p.cv], text[p.jd], p.label) for p in dataset.pairs}
    assert pairs == {("SQL", "needs SQL", 2), ("paint", "needs SQL", 0)}
    assert dataset.facts["unjudged"] == 1
    assert dataset.name == trec.name


TREC_FAULTS = {
    "grade": ("q1 0 1 3", "qrels.tsv, row 1: the grade is '3'. Known: "),
    "fields": ("q1 0 1 2\nq1 1 2", "qrels.tsv, row 2: it has 3 fields, not four"),
    "document": ("q1 0 9 2", "qrels.tsv, row 1: corpus/ has no document '9'"),
    "query": ("q2 0 1 2", "qrels.tsv, row 1: queries/ has no document 'q2'. Known: q1."),
    "outside": ("q1 0 ../queries/q1 2", "corpus/ has no document '../queries/q1'"),
    "nothing": ("\n", "qrels.tsv: it has no judgement"),
    "conflict": ("q1 0 1 2\nq1 0 1 0", "no pair is left of 2 rows"),
}


@pytest.mark.parametrize("fault", TREC_FAULTS)
def test_bad_qrels_are_refused(trec, fault):
    qrels, message = TREC_FAULTS[fault]
    (trec / "qrels.tsv").write_text(qrels)
    assert message in refused(load_trec, trec)


def test_bad_trec_documents_are_refused(trec):
    (trec / "corpus" / "1").write_bytes(b"caf\xe9")
    assert "corpus/1: the text is not valid UTF-8" in refused(load_trec, trec)
    (trec / "corpus" / "1").write_bytes(b"%PDF\0")
    assert "corpus/1: the text is binary" in refused(load_trec, trec)
    (trec / "corpus" / "1").write_text(" \n")
    assert "corpus/1: the text is empty" in refused(load_trec, trec)
    (trec / "corpus" / "1").write_text("x" * 11)
    assert "11 characters, more than 10" in refused(load_trec, trec, max_characters=10)
    (trec / "corpus" / "1.txt").write_text("SQL")
    assert "1 and 1.txt have the same id" in refused(load_trec, trec)
    (trec / "qrels.tsv").unlink()
    (trec / "corpus" / "1.txt").unlink()
    assert "qrels.tsv: there is no such file" in refused(load_trec, trec)
    assert "there is no document" in refused(load_trec, trec / "nowhere")


def test_the_real_pairs(shared_data):
    dataset = load_table(shared_data / "resume_job_fit" / "pairs.csv")
    facts = dataset.facts
    assert (facts["rows"], facts["pairs"], facts["cvs"], facts["jds"]) == (635, 635, 333, 197)
    assert list(facts["label_counts"].values()) == [314, 296, 25]
    assert facts["duplicates_merged"] == facts["conflicts_dropped"] == 0
