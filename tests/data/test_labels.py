"""Which label values are read as which classes, and the message for each set that is refused."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdcv_core.data.labels import label_key, label_map, read_labels
from jdcv_core.data.sources import HUB_COLUMNS, load_table, load_trec
from jdcv_core.errors import InputError

TWO = [
    (0, 1), ("0", "1"), (0.0, 1.0), ("0.0", "1.0"), ("0", "1."), ("00", "01"), (False, True),
    ("False", "True"), ("FALSE", "TRUE"), ("no", "yes"), ("No", "Yes"), ("n", "y"), ("F", "T"),
    ("no match", "match"), ("No-Match", "Match"), ("not fit", "fit"), ("Unfit", "Fit"),
    ("not relevant", "relevant"), ("irrelevant", "Relevant"), (-1, 1), ("-1", "+1"),
    ("negative", "positive"), ("Reject", "Hire"), ("rejected", "shortlisted"), ("No Fit", "Fit"),
    ("No Fit", "Good Fit"), (0, 2), ("unsuitable", "suitable"), ("fail", "pass"),
    ("nein", "ja"), ("No", "Sí"), ("non", "oui"),
]  # fmt: skip
"""(the value of No Fit, that of Good Fit)"""


def table(path, labels, column=None):
    """A Parquet file with one pair for each label, in which the values keep their types."""
    texts = [f"text {i}" for i in range(len(labels))]
    columns = dict(zip(HUB_COLUMNS.values(), (texts, ["a job"] * len(labels)), strict=False))
    columns["label"] = pa.array(labels) if column is None else column
    pq.write_table(pa.table(columns), path)
    return path


def classes(path, values, **options):
    """The class of each label, in the order given."""
    dataset = load_table(table(path, values), **options)
    of = {dataset.documents[p.cv].text: p.label for p in dataset.pairs}
    return [of[f"text {i}"] for i in range(len(values))]


def refused(path, values, **options):
    with pytest.raises(InputError) as caught:
        load_table(table(path, values), **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450
    return str(caught.value)


@pytest.mark.parametrize(("no", "good"), TWO)
def test_two_classes_are_no_and_good_fit(tmp_path, no, good):
    path = tmp_path / "t.parquet"
    assert classes(path, [good, no, no, good]) == [2, 0, 0, 2]
    dataset = load_table(path)
    assert dataset.classes == (0, 2)
    if {no, good} != {"No Fit", "Good Fit"}:
        read = dataset.facts["labels_read"]
        assert [read[str(no)], read[str(good)]] == ["No Fit", "Good Fit"]


@pytest.mark.parametrize("three", [(0, 1, 2), ("0", "1", "2"), ("0.0", "1.0", "2.0"),
                                   ("No Fit", "potential fit", "GOOD FIT")])  # fmt: skip
def test_three_classes_keep_their_order(tmp_path, three):
    assert classes(tmp_path / "t.parquet", [*three, *three]) == [0, 1, 2] * 2


def test_the_three_names_leave_no_fact(tmp_path):
    path = table(tmp_path / "t.parquet", ["No Fit", "Potential Fit", "Good Fit"])
    assert "labels_read" not in load_table(path).facts


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ((1, 2, 3), "label is 3.*data.labels={1: No Fit, 2: Potential Fit, 3: Good Fit}"),
        ((0, 1, 2, 3), "label is 3.*{0: No Fit, 1: Potential Fit, 2: Potential Fit, 3: Good Fit}"),
        ((1, 2, 3, 4, 5), "label is 3.*{1: No Fit, 2: Potential Fit, .*, 5: Good Fit}"),
        ((-1, 0, 1), "label is -1.*{-1: No Fit, 0: Potential Fit, 1: Good Fit}"),
        ((1, 2), "label is 1.*{1: No Fit, 2: Good Fit}"),
        ((0.0, 0.5, 1.0), "label is 0.5.*{0.0: No Fit, 0.5: Potential Fit, 1.0: Good Fit}"),
        (("Good Fit", "No Fit", "2"), "row 3: label is '2'"),
        (("no", "yes", "maybe"), "row 3: label is 'maybe'.*{maybe: Potential Fit, no: No Fit, yes"),
        (("no", "yes", "y"), "{no: No Fit, y: Good Fit, yes: Good Fit}"),
        (("0", "1", "yes"), "row 3: label is 'yes'"),
        (("yes", "fit"), "label is 'yes'"),
        (("No Fit", "Potential Fit"), "No Fit and Potential Fit alone.*Potential Fit: Good Fit}"),
        (("Potential Fit", "Good Fit"), "{Good Fit: Good Fit, Potential Fit: No Fit}"),
        ((1, 1), "every label is 1: one class"),
        ((0, 0), "every label is 0: one class"),
        (("yes", "Yes"), "one class"),
        ((True, True), "one class"),
        (("0", "1", ""), "row 3: label is empty"),
        ((0.0, 1.0, None), "row 3: label is empty"),
        ((0.0, 1.0, float("nan")), "row 3: label is empty"),
        (tuple(i / 100 for i in range(100)), "the file has 100 different values"),
    ],
)
def test_other_sets_are_refused_with_the_mapping_to_write(tmp_path, labels, told):
    message = refused(tmp_path / "t.parquet", [*labels])
    assert message.startswith(str(tmp_path / "t.parquet"))
    assert re.search(told, message), message


@pytest.mark.parametrize(
    ("labels", "mapping", "read"),
    [
        ((0, 1), {0: 0, 1: 2}, [0, 2]),
        (("0", "1"), {0: "No Fit", 1: "Good Fit"}, [0, 2]),
        ((0, 1), {0: 2, 1: 0}, [2, 0]),
        ((0.0, 1.0), {0: 0, 1: 2}, [0, 2]),
        ((False, True), {False: 0, True: 2}, [0, 2]),
        (("no", "yes"), {False: 0, True: 2}, [0, 2]),  # YAML reads an unquoted yes as a boolean
        (("true", "false"), {"TRUE": 2, "false": 0}, [2, 0]),
        ((0, 1, 2, 3), {0: 0, 1: 1, 2: 1, 3: 2}, [0, 1, 1, 2]),
        ((0.0, 0.5, 1.0), {0: 0, 0.5: 1, 1: 2}, [0, 1, 2]),
        (("Good Fit", "2", "No Fit"), {"Good Fit": 2, 2: 2, "No Fit": 0}, [2, 2, 0]),
    ],
)
def test_keys_of_a_mapping_may_be_numbers_booleans_and_texts(tmp_path, labels, mapping, read):
    assert classes(tmp_path / "t.parquet", [*labels], labels=mapping) == read


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (
            {0: 0},
            "row 2: label is 1, and `labels` leaves it out. Known: 0; add it: "
            "'data.labels={0: No Fit, 1: LABEL}'",
        ),
        ({0: 0, 1: 3}, "labels, 1: 3 is not a label. Give one of No Fit (0), Potential Fit (1), "),
        ({0: 0, 1: True}, "labels, 1: True is not a label"),
        ({0: 2, 1: 2}, "every label (0, 1) is read as Good Fit: one class"),
        ({0: 0, 1: 1}, "No Fit and Potential Fit alone (0, 1), and two classes are No and Good"),
        ({0: 0, "0.0": 2, 1: 2}, "labels, '0.0': it is ambiguous"),
        ([0, 1], "labels: [0, 1] is no mapping"),
        ("binary", "labels: 'binary' is no mapping"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused(tmp_path, mapping, told):
    assert told in refused(tmp_path / "t.parquet", [0, 1], labels=mapping)


def test_all_files_of_a_source_are_read_alike(tmp_path):
    """Of three classes the test file has two: they are not taken for binary labels."""
    table(tmp_path / "train.parquet", [0, 1, 2])
    table(tmp_path / "test.parquet", [0, 1])
    dataset = load_table(tmp_path)
    assert dataset.classes == (0, 1, 2)
    assert {p.label for p in dataset.pairs if p.fold == "test"} <= {0, 1}


def qrels(folder, grades):
    (folder / "queries").mkdir()
    (folder / "queries" / "q").write_text("a job")
    (folder / "corpus").mkdir()
    for i in range(len(grades)):
        (folder / "corpus" / f"d{i}").write_text(f"text {i}")
    (folder / "qrels.tsv").write_text("\n".join(f"q 0 d{i} {g}" for i, g in enumerate(grades)))
    return folder


@pytest.mark.parametrize(
    ("grades", "labels", "read"),
    [("010", None, [0, 0, 2]), ("012", None, [0, 1, 2]),
     ("0123", {0: 0, 1: 1, 2: 1, 3: 2}, [0, 1, 1, 2])],
)  # fmt: skip
def test_grades_of_qrels_are_read_by_the_same_rules(tmp_path, grades, labels, read):
    dataset = load_trec(qrels(tmp_path, grades), labels=labels)
    assert sorted(p.label for p in dataset.pairs) == read


@pytest.mark.parametrize(("grades", "told"), [("11", "one class"), ("0123", "the grade is '3'")])
def test_grades_that_cannot_be_read_are_refused(tmp_path, grades, told):
    with pytest.raises(InputError, match=told):
        load_trec(qrels(tmp_path, grades))


@given(st.integers(-(10**6), 10**6))
def test_the_spelling_of_a_number_does_not_matter(number):
    spellings = (number, float(number), str(number), f"{number}.0", f" {number} ", f"{number}.")
    assert {label_key(s) for s in spellings} == {str(number)}


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 2)))
def test_a_mapping_is_read_as_it_is_written(mapping):
    keys = {label_key(k) for k in mapping}
    if len(keys) == len(mapping):
        known = label_map(mapping)
        assert all(known[label_key(k)] == v for k, v in mapping.items())
        assert read_labels(mapping, known).known == known
