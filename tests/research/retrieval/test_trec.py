"""TREC files: what is written comes back, and what is wrong is refused in one line."""

import math

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from ir_measures import AP, RR, Judged, R, nDCG

from jdcv_core.errors import InputError
from jdcv_core.evaluation.ranking import ranking
from research.retrieval.evaluation import retrieval_metrics, tool_means
from research.retrieval.trec import (
    falling,
    read_folder,
    read_qrels,
    read_run,
    spelled_as,
    write_qrels,
    write_run,
)

# Any word; some that are alike, sort oddly, or are not English.
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(
    lambda word: word.split() == [word] and word[0] != "\ufeff"
) | st.sampled_from(["Q0", "0", "cv:1", "cv:10", "Müller", "inginer-ș", "工程师", "a\0b", "é", "é"])
scores = st.sampled_from([0.5, 0.0, -0.0, 1.0, 1 / 3]) | st.floats(
    allow_nan=False, allow_infinity=False
)


def of_queries(values):
    documents = st.dictionaries(words, values, min_size=1, max_size=8)
    return st.dictionaries(words, documents, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("trec") / "file"


@given(of_queries(scores), words)
def test_a_run_comes_back_best_first_and_but_for_ties_exactly(file, run, tag):
    write_run(file, run, tag)
    found = read_run(file)
    assert list(found) == sorted(run)
    for query, own in found.items():
        assert list(own) == ranking(run[query]) == ranking(own)
        given = [run[query][document] for document in own]
        assert list(own.values()) == falling(given)
        assert [math.copysign(1, s) for s in falling(given) if s] == [
            math.copysign(1, s) for s in own.values() if s
        ]
    ranks = [
        (line.split()[0], int(line.split()[3]))
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    ]
    assert ranks == [(q, r) for q in found for r in range(1, len(found[q]) + 1)]


@given(of_queries(st.integers(0, 999_999_999)))
def test_qrels_come_back_exactly(file, qrels):
    write_qrels(file, qrels)
    assert read_qrels(file) == qrels


def test_the_lines_are_those_of_the_format(tmp_path):
    write_run(tmp_path / "run", {"q2": {"b": 0.5, "a": 0.5, "c": np.float32(0.1)}}, "bm25")
    assert (tmp_path / "run").read_text() == (
        "q2 Q0 a 1 0.5 bm25\nq2 Q0 b 2 0.4999999701976776 bm25\n"
        "q2 Q0 c 3 0.10000000149011612 bm25\n"
    )
    write_qrels(tmp_path / "qrels", {"q2": {"b": 0, "a": np.int64(7)}})
    assert (tmp_path / "qrels").read_text() == "q2\t0\ta\t7\nq2\t0\tb\t0\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["qrels", "run"]


def test_another_reader_reads_the_same(tmp_path):
    run, qrels = {"q": {"a": 0.25, "b": 1e-300}}, {"q": {"b": 3, "a": 0}}
    write_run(tmp_path / "run", run, "x")
    write_qrels(tmp_path / "qrels", qrels)
    read = ir_measures.read_trec_run(str(tmp_path / "run"))
    assert {(d.query_id, d.doc_id): d.score for d in read} == {("q", "a"): 0.25, ("q", "b"): 1e-300}
    judged = ir_measures.read_trec_qrels(str(tmp_path / "qrels"))
    assert {(d.query_id, d.doc_id): d.relevance for d in judged} == {("q", "a"): 0, ("q", "b"): 3}


def test_tabs_spaces_empty_lines_marks_and_wrong_ranks_are_read(tmp_path):
    file = tmp_path / "run"
    file.write_bytes(b"\xef\xbb\xbfq\tQ0\tb\t1\t-1\tx\r\n\r\nq  0 a 1 +2.5E1 y \n")
    assert read_run(file) == {"q": {"b": -1.0, "a": 25.0}}
    file.write_bytes(b"q\t0\tb\t2\nq 0  a 04\n")
    assert read_qrels(file) == {"q": {"b": 2, "a": 4}}


RUN_FAULTS = {
    "": "run: it is empty. Give lines `query Q0 document rank score tag`.",
    "\n \n": "run: it is empty",
    "q Q0 a 1 0.5": "row 1: it has 5 fields, not 6",
    "q Q0 a 1 0.5 x y": "row 1: it has 7 fields, not 6",
    "q Q0 a 1 0.5 x\n\nq Q0 b 2 good x": "row 3: the score is 'good'. Give a finite number.",
    "q Q0 a 1 nan x": "row 1: the score is 'nan'",
    "q Q0 a 1 inf x": "row 1: the score is 'inf'",
    "q Q0 a 1 1e999 x": "row 1: the score is '1e999'",
    "q Q0 a 1 1_0 x": "row 1: the score is '1_0'",
    "q Q0 a 1 2 x\nq Q0 a 2 1 x": "row 2: the document 'a' occurs a second time in query 'q'",
    "q Q0 caf\udce9 1 2 x": "row 1: it is not valid UTF-8: byte 9 is 0xe9. Save the file as UTF-8.",
}
QRELS_FAULTS = {
    "": "qrels: it is empty. Give lines `query 0 document grade`.",
    "q 0 a": "row 1: it has 3 fields, not 4",
    "q 0 a 1\nq 0 b -1": "row 2: the grade is '-1'. Give an integer from 0.",
    "q 0 a 1.0": "row 1: the grade is '1.0'",
    "q 0 a ²": "row 1: the grade is '²'",
    "q 0 a 1\nq 0 a 1": "row 2: the document 'a' occurs a second time in query 'q'",
}


@pytest.mark.parametrize(
    ("name", "read", "text", "message"),
    [("run", read_run, *fault) for fault in RUN_FAULTS.items()]
    + [("qrels", read_qrels, *fault) for fault in QRELS_FAULTS.items()],
)
def test_bad_files_are_refused(tmp_path, name, read, text, message):
    file = tmp_path / name
    with pytest.raises(InputError, match=r"there is no such file\. Give lines") as raised:
        read(file)
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError) as raised:
        read(file)
    assert message in str(raised.value)
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("word", ["a b", "", "a\u00a0b", "a\n", "\x1f", "\ufeffa", "\udce9"])
def test_a_word_that_would_not_come_back_is_refused(tmp_path, word):
    file = tmp_path / "file"
    for write, values in (
        (write_run, ({word: {"a": 1.0}}, "x")),
        (write_run, ({"q": {word: 1.0}}, "x")),
        (write_run, ({"q": {"a": 1.0}}, word)),
        (write_qrels, ({word: {"a": 1}},)),
        (write_qrels, ({"q": {word: 1}},)),
    ):
        with pytest.raises(InputError, match="the (query's id|document's id|tag) '"):
            write(file, *values)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_and_leaves_the_old_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    for score in (math.nan, math.inf):
        with pytest.raises(InputError, match=f"query 'q', document 'a': the score is {score}"):
            write_run(file, {"q": {"a": score}}, "x")
    for run in ({}, {"q": {}}):
        with pytest.raises(InputError, match="the run ranks no document"):
            write_run(file, run, "x")
        with pytest.raises(InputError, match="the qrels have no judgement"):
            write_qrels(file, run)
    with pytest.raises(InputError, match="the grade is -1"):
        write_qrels(file, {"q": {"a": -1}})
    with pytest.raises(InputError, match="No such file"):
        write_run(tmp_path / "nowhere" / "file", {"q": {"a": 1.0}}, "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        write_run(tmp_path / "folder", {"q": {"a": 1.0}}, "x")
    assert file.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


@pytest.fixture
def folder(tmp_path):
    texts = {
        "corpus": {
            "1": "Schweißer für Rohre",
            "2.txt": "inginer și țesător",
            "工程师": "软件工程师",
        },
        "queries": {"q1.txt": "Schweißer", "q2": "Schweißer"},
    }
    for kind, files in texts.items():
        (tmp_path / kind).mkdir()
        for name, text in files.items():
            (tmp_path / kind / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_foreign_folder_is_read_with_its_ids(folder):
    corpus, queries, qrels = read_folder(folder)
    assert corpus == {"1": "Schweißer für Rohre", "2": "inginer și țesător", "工程师": "软件工程师"}
    assert queries == {"q1": "Schweißer", "q2": "Schweißer"}  # equal texts stay two queries
    assert qrels is None
    write_qrels(folder / "qrels.tsv", {"q2": {"工程师": 17, "1": 0}})
    assert read_folder(folder)[2] == {"q2": {"工程师": 17, "1": 0}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("corpus/1", b"caf\xe9", "corpus/1: the text is not valid UTF-8"),
        ("corpus/1", b"%PDF\0", "corpus/1: the text is binary"),
        ("queries/q1.txt", b" \n", "queries/q1.txt: the text is empty"),
        ("corpus/1", b"x" * 51, "corpus/1: the text has 51 characters, more than 50"),
        ("corpus/1.txt", b"x", "1 and 1.txt have the same id"),
        ("qrels.tsv", b"q1 0 3 1", "qrels.tsv: corpus/ has no document '3'. Known: 1, 2,"),
        ("qrels.tsv", b"q3 0 1 1", "qrels.tsv: queries/ has no document 'q3'. Known: q1, q2"),
        ("qrels.tsv", b"q1 0 1", "qrels.tsv, row 1: it has 3 fields"),
    ],
)
def test_a_bad_file_of_a_folder_is_refused_by_name(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_folder(folder, max_characters=50)
    assert message in str(raised.value)


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="corpus: there is no document"):
        read_folder(tmp_path)


MAGNITUDES = st.sampled_from(
    [1e-320, 1e-45, 1e-38, 1e-30, 1e-3, 1.0, 16777217.0, 1e30, 3.4e38, 1e300]
)
tied = st.builds(
    lambda sign, size, step: sign * size * (1 + step * 1e-9),
    st.sampled_from([-1, 0, 1]),
    MAGNITUDES,
    st.integers(0, 3),
)


def independent(file) -> dict[str, list[tuple[str, np.float32]]]:
    """Query → documents and float32 scores in the order of the file, by another reader."""
    found: dict[str, list[tuple[str, np.float32]]] = {}
    with np.errstate(over="ignore"):
        for line in file.read_text(encoding="utf-8").splitlines():
            query, _, document, rank, score, _ = line.split(" ")
            assert int(rank) == len(found.setdefault(query, [])) + 1
            found[query].append((document, np.float32(score)))
    return found


@given(
    st.dictionaries(
        st.sampled_from(["q1", "q2", "q3", "q4"]),
        st.dictionaries(st.sampled_from([f"d{n}" for n in range(40)]), tied, min_size=1),
        min_size=1,
    ),
    st.integers(0, 2**32),
)
def test_four_tools_agree_on_the_file_whatever_the_scores_are(file, run, seed):
    """Our figures, pytrec_eval, ir_measures, and the ranks that an independent reader finds."""
    rng = np.random.default_rng(seed)
    qrels = {q: {f"d{n}": int(rng.integers(0, 3)) for n in range(0, 40, 3)} for q in ("q1", "q2")}
    qrels["q5"] = {"d1": 1}
    qrels["q3"] = {"d1": 0, "d2": 0}
    write_run(file, run, "x")
    for query, own in independent(file).items():
        scores = [float(score) for _, score in own]
        assert all(a > b for a, b in zip(scores, scores[1:], strict=False))
        assert [document for document, _ in own] == ranking(run[query])
    ours = retrieval_metrics(qrels, run, relevant=1)
    assert retrieval_metrics(qrels, read_run(file), relevant=1) == ours
    means = tool_means(ours, run)
    read = list(ir_measures.read_trec_run(str(file)))
    names = {"ndcg": nDCG @ 10, "map": AP, "mrr": RR, "recall": R @ 10, "judged": Judged @ 10}
    theirs = ir_measures.calc_aggregate(list(names.values()), qrels, read)
    assert {n: pytest.approx(theirs[m]) for n, m in names.items()} == means["ir_measures"]
    keys = {"ndcg": "ndcg_cut_10", "map": "map", "mrr": "recip_rank", "recall": "recall_10"}
    parsed = {q: {d: float(s) for d, s in own} for q, own in independent(file).items()}
    found = pytrec_eval.RelevanceEvaluator(qrels, set(keys.values())).evaluate(parsed)
    if found:
        mean = {n: np.mean([own[k] for own in found.values()]) for n, k in keys.items()}
        assert {n: pytest.approx(v) for n, v in mean.items()} == means["trec_eval"]


@given(st.lists(tied, min_size=1, max_size=300))
def test_distinct_scores_keep_their_order_and_most_their_bits(scores):
    given = sorted(scores, reverse=True)
    found = falling(given)
    small = np.asarray(found, np.float32)
    assert (small[1:] < small[:-1]).all()
    assert falling(found) == found
    assert np.isfinite(small).all()
    apart = sorted({0.25 * n for n in range(50)}, reverse=True)
    assert falling(apart) == apart


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 3.5e38, -3.5e38, 1e300, -1e300, 1 / 3])
def test_a_thousand_equal_scores_fall_by_the_smallest_steps(value):
    found = np.asarray(falling([value] * 1000), np.float32)
    assert (found[1:] < found[:-1]).all()
    assert np.isfinite(found).all()
    if abs(value) == 1 / 3:
        assert (np.nextafter(found[:-1], np.float32(-1)) == found[1:]).all()


@given(of_queries(st.sampled_from([0.5, 0.5 + 1e-12, 0.25, 1e-46, 0.0, 1e39, 1e40])))
def test_a_foreign_file_is_ranked_as_the_tools_rank_it(file, run):
    """pytrec_eval says at which rank it sees each document."""
    lines = [f"{q} Q0 {d} 1 {s!r} x" for q, own in run.items() for d, s in own.items()]
    file.write_text("\n".join(lines), encoding="utf-8")
    found = read_run(file)
    for query, own in run.items():
        if any("\0" in document for document in own):
            continue  # C ends a text there
        for document in own:
            judged = pytrec_eval.RelevanceEvaluator({"q": {document: 1}}, {"recip_rank"})
            rank = round(1 / judged.evaluate({"q": own})["q"]["recip_rank"])
            assert list(found[query]).index(document) + 1 == rank
    write_run(file, found, "x")
    assert read_run(file) == found


def test_ids_are_written_as_the_judgements_spell_them():
    composed, apart = "Zo\xeb", "Zoe\u0308"
    assert spelled_as({"q": {apart: 1}}, {"q": {composed: 0.5, "a": 1.0}}) == {
        "q": {apart: 0.5, "a": 1.0}
    }
    with pytest.raises(InputError, match="differ only in their form of Unicode"):
        spelled_as({"q": {apart: 1, composed: 0}}, {"q": {composed: 0.5}})
