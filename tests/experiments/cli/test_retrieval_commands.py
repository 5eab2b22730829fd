"""`jdcv index`, `search`, `rank` and `erase` as a user types them, on a tiny trained model."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, save_matcher

from experiments.cli.main import main
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.matcher import Matcher
from research.retrieval import Retriever, tfidf_search
from research.retrieval.trec import read_run
from research.retrieval.words import words

CVS = {
    "lovelace": "Ada, accountant. Experience 08/2014-05/2015: ledgers, month-end close at Acme.",
    "bob": TEXTS[1] * 3,
    "zoë": "Zoë 😀 Buchhalterin: Berufserfahrung 03/2016 – heute, Monatsabschluss.",
    "李": "会计 五年经验 总账 月结。" * 4,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    whitening = Whitening(0.1 * rng.standard_normal(32), np.diag(rng.uniform(0.5, 2, 32)))
    return save_matcher(tmp_path_factory.mktemp("model"), whitening)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    """Each test has a folder, with the caches in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, texts in (("cvs", CVS), ("jds", {"j1": TEXTS[2], "j2": "Python developer."})):
        Path(folder).mkdir()
        for name, text in texts.items():
            Path(folder, f"{name}.txt").write_text(text, encoding="utf-8")


def did(capsys, *arguments) -> str:
    code = main([str(a) for a in arguments])
    out, error = capsys.readouterr()
    assert code == 0, error
    return out


def refused(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.fixture
def index(capsys, model) -> str:
    assert "4 new" in did(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    return "x"


def test_the_index_is_brought_up_to_date(capsys, index, model):
    assert "none is new or changed" in did(capsys, "index", "--cvs", "cvs", "--index", index)
    Path("cvs/lovelace.txt").write_text("Ada left for Paris.", encoding="utf-8")
    Path("cvs/new.txt").write_text("Somebody new.", encoding="utf-8")
    assert "1 new, 1 replaced" in did(capsys, "index", "--cvs", "cvs", "--index", index)
    found = Retriever.open(index)
    assert {name: found.text(name) for name in found.ids} == CVS | {
        "lovelace": "Ada left for Paris.",
        "new": "Somebody new.",
    }


def test_a_search_shows_pairs_and_experiences(capsys, index):
    arguments = ("search", "--index", index, "--jd", "jds/j1.txt", "--k", 3)
    found = json.loads(did(capsys, *arguments, "--json"))
    assert len(found) == 3
    assert [f["score"] for f in found] == sorted((f["score"] for f in found), reverse=True)
    for match in found:
        squeezed = " ".join(CVS[match["id"]].split())
        assert all(pair["document"].rstrip("…") in squeezed for pair in match["pairs"])
        assert all(pair["query"].rstrip("…") in TEXTS[2] for pair in match["pairs"])
    everything = json.loads(did(capsys, *arguments[:-1], 9, "--json"))
    ada = next(f for f in everything if f["id"] == "lovelace")
    assert any("08/2014-05/2015" in e for e in ada["experiences"])
    shown = did(capsys, *arguments)
    numbers = "  ".join(f"{name} {found[0][name]:.4f}" for name in ("score", "words", "maxsim"))
    assert shown.splitlines()[0] == f"  1. {found[0]['id']}  {numbers}"
    assert all(set(match["common"]) <= set(words(TEXTS[2])) for match in found)


def test_words_or_vectors_alone_are_searched_and_ranked(capsys, index):
    asked = ("search", "--index", index, "--jd", "jds/j1.txt", "--json")
    by_words = json.loads(did(capsys, *asked, "--words"))
    scores = tfidf_search({"q": TEXTS[2]}, CVS, 9)["q"]
    assert {f["id"]: f["score"] for f in by_words if f["score"]} == pytest.approx(scores)
    assert all(f["maxsim"] is None and f["pairs"] == [] for f in by_words)
    by_vectors = json.loads(did(capsys, *asked, "--vectors"))
    assert all(f["score"] == f["maxsim"] and f["words"] is None for f in by_vectors)
    assert "Leave both out" in refused(capsys, *asked, "--words", "--vectors")
    told = did(capsys, "rank", "--index", index, "--jds", "jds", "--out", "run.txt", "--words")
    assert "by words 1.00, vectors 0.00: run.txt" in told
    assert read_run("run.txt")["j1"] == pytest.approx({f["id"]: f["score"] for f in by_words})


def test_weights_are_fitted_to_judgements_and_kept(capsys, index):
    Path("qrels").write_text("j1 0 bob 1\nj2 0 lovelace 1\n", encoding="utf-8")
    asked = ("rank", "--index", index, "--jds", "jds", "--out", "run.txt", "--fit")
    assert "it needs judgements" in refused(capsys, *asked)
    asked += ("--qrels", "qrels")
    assert "Leave --words and --vectors out" in refused(capsys, *asked, "--words")
    assert main([str(a) for a in asked]) == 0
    told = capsys.readouterr()
    weights = Retriever.open(index).weights
    assert f"fitted weights: {weights}; MAP" in told.err
    assert f"by {weights}: run.txt" in told.out


def test_reranked_scores_are_those_of_the_model(capsys, index, model):
    arguments = ("--index", index, "--jd", "jds/j2.txt", "--rerank", 4, "--json")
    found = json.loads(did(capsys, "search", *arguments))
    matcher = Matcher.from_pretrained(model, "cpu")
    expected = {name: matcher.score(cv=text, jd="Python developer.") for name, text in CVS.items()}
    assert {f["id"]: pytest.approx(f["score"], abs=1e-5) for f in found} == expected
    assert [f["id"] for f in found] == sorted(expected, key=lambda i: -expected[i])


def test_jds_are_found_for_a_cv(capsys, model):
    did(capsys, "index", "--jds", "jds", "--index", "y", "--model", model)
    found = json.loads(
        did(capsys, "search", "--index", "y", "--cv", "cvs/bob.txt", "--rerank", 2, "--json")
    )
    matcher = Matcher.from_pretrained(model, "cpu")
    expected = {"j1": matcher.score(cv=CVS["bob"], jd=TEXTS[2])}
    expected["j2"] = matcher.score(cv=CVS["bob"], jd="Python developer.")
    assert {f["id"]: pytest.approx(f["score"], abs=1e-5) for f in found} == expected
    assert "holds JDs, not CVs" in refused(capsys, "search", "--index", "y", "--jd", "jds/j1.txt")


def test_only_some_are_found(capsys, index):
    Path("ids").write_text("李\nbob\n", encoding="utf-8")
    arguments = ("search", "--index", index, "--jd", "jds/j1.txt", "--json", "--only", "ids")
    assert {f["id"] for f in json.loads(did(capsys, *arguments))} == {"李", "bob"}
    Path("ids").write_text("bob\nbobb\n", encoding="utf-8")
    assert "ids, row 2: the index has no document 'bobb'" in refused(capsys, *arguments)


def test_a_foreign_folder_is_indexed_searched_and_evaluated_by_one_command(capsys, model):
    for kind, source in (("corpus", "cvs"), ("queries", "jds")):
        Path("trec", kind).mkdir(parents=True)
        for file in Path(source).iterdir():
            Path("trec", kind, file.stem).write_bytes(file.read_bytes())
    Path("trec/qrels.tsv").write_text("j1\t0\tlovelace\t3\nj1 0 bob 0\nj2\t0\tbob\t1\n")
    said = did(capsys, "rank", "--trec", "trec", "--model", model, "--out", "run.txt")
    assert "2 queries, 8 lines, by words 0.80, vectors 0.20: run.txt" in said
    assert "2 judged queries: nDCG@10 " in said
    run = read_run("run.txt")
    did(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    did(capsys, "rank", "--index", "x", "--jds", "jds", "--out", "again.txt")
    assert read_run("again.txt") == run
    assert "is there already" in refused(
        capsys, "rank", "--trec", "trec", "--model", model, "--out", "run.txt"
    )


def test_nothing_is_left_of_who_was_erased(capsys, index):
    def traces() -> set[str]:
        files = [p for folder in (index, "home") for p in Path(folder).rglob("*") if p.is_file()]
        return {
            name
            for name, needle in {"id": b"lovelace", "text": b"month-end close at Acme"}.items()
            if any(needle in p.read_bytes() for p in files)
        }

    def cached() -> int:
        with VectorStore("home/.cache/jdcv/vectors.sqlite") as store:
            return len(store)

    assert cached() == 4
    assert traces() == {"id", "text"}
    assert len(Retriever.open(index)) == 4
    said = did(capsys, "erase", "--index", index, "--id", "lovelace")
    assert said.startswith("1 erased, 3 documents are left: x; 1 erased from ")
    assert traces() == set()
    assert cached() == 3
    assert "no document 'lovelace'" in refused(
        capsys, "erase", "--index", index, "--id", "lovelace"
    )


def test_vectors_of_another_whitening_are_refused(capsys, index, tmp_path, model):
    """Of the same encoder and the same matrix, about another mean."""
    matrix = Matcher.from_pretrained(model, "cpu").whitening.matrix
    other = save_matcher(tmp_path / "other", Whitening(np.ones(32), matrix))
    line = refused(capsys, "search", "--index", index, "--jd", "jds/j1.txt", "--model", other)
    assert line.startswith("Error: x: it was made with another whitening")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("index", "--index", "x"), "Give --cvs, or --jds"),
        (("index", "--cvs", "nowhere", "--index", "x"), "nowhere: there is no document"),
        (("search", "--index", "nowhere", "--jd", "jds/j1.txt"), "nowhere: there is no such index"),
        (("search", "--index", "jds", "--jd", "jds/j1.txt"), "jds: it is no index"),
        (("search", "--index", "x"), "Give --jd, or --cv"),
        (("search", "--index", "x", "--jd", "jds/j1.txt", "--hits", "-1"), "--hits: it must be at"),
        (("rank", "--out", "run.txt"), "Give --index with --jds or --cvs, or --trec alone"),
    ],
)
def test_a_mistake_is_named_in_one_line(capsys, arguments, message):
    assert message in refused(capsys, *arguments)
