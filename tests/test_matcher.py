"""A matcher scores as the table did, also after saving, and executes no code that a file names."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from tiny_models import save_gpt2

from jdcv_core.chunking import TokenChunker
from jdcv_core.data.normalise import document_id
from jdcv_core.encoding.encode import encode_documents, vectors_of
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.folders import verify_folder, write_folder
from jdcv_core.matcher import KIND, VERSION, Matcher
from jdcv_core.registry import make, register
from jdcv_core.scoring import MeanPairs, score_batches
from jdcv_core.types import LABELS, ChunkVectors, Document

WORDS = ("senior", "accountant", "general", "ledger", "python", "led", "a", "team of", "close")
CHUNKER = TokenChunker(16, 3)


def text(seed: int, words: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(WORDS, words))


CVS = [text(i, 5 + 9 * i) for i in range(6)]
JDS = [text(100 + i, 4 + 7 * i) for i in range(4)]
PAIRS = [(cv, jd) for cv in CVS for jd in JDS]


def shaken(scorer: torch.nn.Module) -> torch.nn.Module:
    numbers = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in scorer.parameters():
            weight += 0.2 * torch.randn(weight.shape, generator=numbers)
    return scorer.eval()


ATTENTION = {"name": "chunk_attention", "arguments": {"dim": 32, "heads": 2, "cross_cv": False}}
SCORERS = {
    "mean": {"name": "mean_pairs", "arguments": {"dim": 32}},
    "ordinal": {
        "name": "mean_pairs",
        "arguments": {"dim": 32, "objective": "corn", "train_on": "chunk_pairs"},
    },
    "attention": ATTENTION,
    "widened": {"name": "widened", "arguments": {"scorer": ATTENTION, "dim": 32, "hidden": 5}},
    "random chunk": {"name": "pooled", "arguments": {"dim": 32, "how": "random"}},
}


def scores_of(matcher: Matcher, pairs, **options) -> np.ndarray:
    cvs, jds = zip(*pairs, strict=True) if pairs else ((), ())
    return matcher.score_pairs(cvs=cvs, jds=jds, **options)


def score_of(matcher: Matcher, pair) -> float:
    return matcher.score(cv=pair[0], jd=pair[1])


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def trained(model_folder) -> tuple[Encoder, Whitening, dict[str, np.ndarray]]:
    """Return an encoder, a whitening, and whitened vectors by text, as after training."""
    encoder = gpt2(path=str(model_folder), precision="fp32", device="cpu")
    documents = [Document(document_id("cv", t), t) for t in CVS]
    documents += [Document(document_id("jd", t), t) for t in JDS]
    store = VectorStore(model_folder / "store.sqlite")
    matrices = vectors_of(encode_documents(documents, encoder, store, CHUNKER)[0])
    assert max(map(len, matrices.values())) > 5
    whitening = Whitening.fit(matrices, sorted(matrices)[::2])
    white = whitening(matrices)
    return encoder, whitening, {d.text: white[d.id] for d in documents}


def matcher_of(trained, kind: str = "mean") -> Matcher:
    encoder, whitening, _ = trained
    spec = SCORERS[kind]
    scorer = shaken(make("scorers", spec))
    return Matcher(encoder, whitening, scorer, spec, (0.4, 0.6), CHUNKER, "the card")


@pytest.fixture(scope="module", params=SCORERS)
def matcher(request, trained) -> Matcher:
    return matcher_of(trained, request.param)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory) -> Path:
    """The folder of a saved matcher; tests that change it make a copy."""
    return matcher_of(trained).save_pretrained(tmp_path_factory.mktemp("saved") / "matcher")


def by_hand(matcher: Matcher, trained) -> np.ndarray:
    """Compute the score of each of PAIRS from the stored vectors, one pair at a time."""
    vectors = trained[2]
    scores = []
    for cv, jd in PAIRS:
        sides = (
            ChunkVectors.pad({name: vectors[t]}, [name])
            for t, name in ((jd, document_id("jd", jd)), (cv, document_id("cv", cv)))
        )
        with torch.inference_mode():
            scores.append(torch.sigmoid(matcher.scorer(*sides)).item())
    return np.array(scores)


def test_the_scores_are_those_of_the_table(matcher, trained):
    wanted = by_hand(matcher, trained)
    assert wanted.std() > 0.02
    scores = scores_of(matcher, PAIRS)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    alone = [matcher.score(cv=cv, jd=jd) for cv, jd in PAIRS[::5]]
    np.testing.assert_allclose(alone, wanted[::5], atol=1e-5)
    assert all(isinstance(score, float) for score in alone)


def test_one_cut_gives_two_classes(trained):
    both = replace(matcher_of(trained), cuts=(0.5, 0.5))
    assert both.labels == ("No Fit", "Good Fit")
    assert [both.label(score) for score in (0.0, 0.49, 0.5, 1.0)] == ["No Fit"] * 2 + [
        "Good Fit"
    ] * 2
    assert matcher_of(trained).labels == LABELS
    ranked = both.rank(jd=JDS[0], cvs=CVS)
    assert {one.label for one in ranked} <= set(both.labels)


def test_the_scores_are_the_same_after_saving_and_loading(matcher, trained, tmp_path):
    folder = matcher.save_pretrained(tmp_path / "deep" / "matcher")
    again = Matcher.from_pretrained(folder, device="cpu")
    np.testing.assert_allclose(scores_of(again, PAIRS), by_hand(matcher, trained), atol=1e-5)
    assert again.score(cv=PAIRS[7][0], jd=PAIRS[7][1]) == matcher.score(
        cv=PAIRS[7][0], jd=PAIRS[7][1]
    )
    same = ("cuts", "chunker", "card", "scorer_spec")
    assert {a: getattr(again, a) for a in same} == {a: getattr(matcher, a) for a in same}
    np.testing.assert_array_equal(again.whitening.matrix, matcher.whitening.matrix)
    assert again.whitening.mean.dtype == np.float64
    assert (again.encoder.precision, again.encoder.name) == ("fp32", matcher.encoder.name)
    twice = again.save_pretrained(tmp_path / "twice")
    names = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    assert all((twice / name).read_bytes() == (folder / name).read_bytes() for name in names)


def test_the_precision_is_the_one_it_was_saved_with_unless_another_is_asked(
    trained, saved, model_folder, tmp_path
):
    assert Matcher.from_pretrained(saved).encoder.precision == "fp32"
    assert Matcher.from_pretrained(saved, precision="bf16").encoder.precision == "bf16"
    matcher = matcher_of(trained)
    matcher.encoder = gpt2(path=str(model_folder), precision="bf16", device="cpu")
    folder = matcher.save_pretrained(tmp_path / "matcher")
    assert Matcher.from_pretrained(folder).encoder.precision == "bf16"


def test_the_folder_alone_is_enough(model_folder, tmp_path):
    """Neither the encoder's original files nor the original location of the folder are needed."""
    source = shutil.copytree(model_folder, tmp_path / "source")
    encoder = gpt2(path=str(source), precision="fp32", device="cpu")
    spec = SCORERS["mean"]
    whitening = Whitening(np.zeros(32), np.eye(32))
    matcher = Matcher(encoder, whitening, make("scorers", spec), spec, (0.4, 0.6), CHUNKER)
    score = matcher.score(cv=PAIRS[0][0], jd=PAIRS[0][1])
    folder = matcher.save_pretrained(tmp_path / "matcher")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["matcher", "source"]  # nothing is left
    shutil.rmtree(source)
    moved = folder.rename(tmp_path / "moved")
    assert (
        Matcher.from_pretrained(moved, device="cpu").score(cv=PAIRS[0][0], jd=PAIRS[0][1]) == score
    )
    assert "not recorded" in (moved / "README.md").read_text()


@settings(max_examples=examples(15))
@given(st.lists(st.sampled_from(range(len(PAIRS))), max_size=12))
def test_other_pairs_order_and_repeats_change_no_score(trained, chosen):
    matcher = matcher_of(trained)
    wanted = by_hand(matcher, trained)[chosen]
    np.testing.assert_allclose(scores_of(matcher, [PAIRS[i] for i in chosen]), wanted, atol=1e-5)


def test_texts_that_differ_in_white_space_only_keep_their_own_scores(trained):
    matcher = matcher_of(trained)
    pairs = [("a ledger\n\nof  four", JDS[1]), ("a ledger of four", JDS[1])]
    scores = scores_of(matcher, pairs)
    np.testing.assert_allclose(scores, [score_of(matcher, pair) for pair in pairs], atol=1e-6)
    assert scores[0] != scores[1]


def test_each_document_is_encoded_once_and_a_store_saves_that(trained, tmp_path):
    matcher = matcher_of(trained)
    encoder = matcher.encoder
    chunks = {c.tokens for side, texts in (("cv", CVS), ("jd", JDS)) for t in texts
              for c in matcher.encode([t], side=side)[0].chunks}  # fmt: skip
    before = encoder.chunks_encoded
    first = scores_of(matcher, PAIRS)
    assert encoder.chunks_encoded - before == len(chunks)
    with VectorStore(tmp_path / "store.sqlite") as store:
        scores_of(matcher, PAIRS[:8], store=store)
        before = encoder.calls
        scores_of(matcher, PAIRS[:8], store=store)
        assert encoder.calls == before
        np.testing.assert_allclose(scores_of(matcher, PAIRS, store=store), first, atol=1e-6)
    assert scores_of(matcher, []).shape == (0,)


def test_modules_in_training_mode_do_not_change_scores(trained):
    matcher = matcher_of(trained, "attention")
    wanted = scores_of(matcher, PAIRS[:4])
    for call, want in (
        (lambda: scores_of(matcher, PAIRS[:4]), wanted),
        (lambda: score_of(matcher, PAIRS[3]), wanted[3]),
        (lambda: matcher.explain(cv=PAIRS[3][0], jd=PAIRS[3][1]).score, wanted[3]),
    ):
        matcher.encoder.module.train()
        matcher.scorer.train()
        np.testing.assert_allclose(call(), want, atol=1e-6)


def test_a_ranking_is_by_score_and_keeps_the_order_of_ties(trained):
    matcher = matcher_of(trained)
    scores = scores_of(matcher, [(cv, JDS[1]) for cv in CVS])
    ranked = matcher.rank(jd=JDS[1], cvs=[*CVS, CVS[2]])
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)
    assert sorted(r.id for r in ranked) == list(range(len(CVS) + 1))
    places = [r.id for r in ranked]
    assert places.index(len(CVS)) == places.index(2) + 1  # the copy of CV 2 comes after CV 2
    for r in ranked:
        assert r.score == pytest.approx(scores[r.id % (len(CVS) + 1) if r.id < len(CVS) else 2])
        assert r.label == matcher.label(r.score)
    named = matcher.rank(cv=CVS[3], jds=dict(zip("abcd", JDS, strict=True)))
    assert {r.id for r in named} == set("abcd")
    best = max(range(4), key=lambda i: matcher.score(cv=CVS[3], jd=JDS[i]))
    assert named[0].id == "abcd"[best]
    assert matcher.rank(jd=JDS[0], cvs=[]) == []
    with pytest.raises(ValueError, match="rank takes"):
        matcher.rank(jd=JDS[0], jds=JDS)
    with pytest.raises(InputError, match=r"cvs\['x'\]: the CV is empty"):
        matcher.rank(jd=JDS[0], cvs={"x": " "})


def test_an_explanation_is_leave_one_out(trained):
    matcher = matcher_of(trained, "attention")
    cv, jd = CVS[5], JDS[3]
    found = matcher.explain(cv=cv, jd=jd)
    assert found.score == pytest.approx(matcher.score(cv=cv, jd=jd), abs=1e-6)
    assert len(found.cv) > 2
    (own,), (other,) = matcher.encode([cv], side="cv"), matcher.encode([jd], side="jd")
    for at, effect in enumerate(found.cv):
        rest = np.delete(own.vectors, at, axis=0)
        sides = [ChunkVectors.pad({"x": x}, ["x"]) for x in (other.vectors, rest)]
        with torch.inference_mode():
            without = float(torch.sigmoid(matcher.scorer(*sides)))
        assert effect.text == cv[effect.start : effect.end]
        assert effect.effect == pytest.approx(found.score - without, abs=1e-5)
    assert {e.nearest for e in found.cv} <= set(range(len(found.jd)))
    printed = str(found)
    assert printed.startswith(f"score {found.score:.3f} ({found.label})")
    assert len(printed.splitlines()) == 3 + len(found.cv) + len(found.jd)
    only = matcher.explain(cv=CVS[0], jd=JDS[0])
    assert len(only.jd) == 1
    assert np.isnan(only.jd[0].effect)
    assert "only" in str(only)


@pytest.mark.parametrize(
    ("bad", "said"),
    [("", "is empty"), (" \n\t", "is empty"), (None, "is empty"), (3, "int, not text"),
     ("a\0b", "binary"), ("\udc80", "UTF-8")],
)  # fmt: skip
@pytest.mark.parametrize("side", ["cv", "jd"])
def test_an_argument_that_is_not_a_text_is_reported_with_its_pair(trained, bad, said, side):
    matcher = matcher_of(trained)
    pair = (bad, JDS[0]) if side == "cv" else (CVS[0], bad)
    with pytest.raises(InputError, match=f"the {side.upper()} .*{said}"):
        score_of(matcher, pair)
    with pytest.raises(InputError, match=f"^pair 2: the {side.upper()} .*{said}"):
        scores_of(matcher, [PAIRS[0], pair])
    with pytest.raises(InputError, match="^row 9: "):
        scores_of(matcher, [pair], places=["row 9"])


def test_a_very_long_text_has_more_chunks(trained):
    matcher = matcher_of(trained)
    long = text(7, 4_000)
    (encoded,) = matcher.encode([long])
    assert len(encoded.chunks) > 500
    assert {encoded.chunks[0].start, encoded.chunks[-1].end} == {0, len(long)}
    pairs = [(long, JDS[0]), PAIRS[1]]
    scores = scores_of(matcher, pairs)
    np.testing.assert_allclose(scores, [score_of(matcher, pair) for pair in pairs], atol=1e-5)


def test_labels_follow_the_cuts(trained):
    matcher = matcher_of(trained)
    scores = [0.0, 0.399, 0.4, 0.599, 0.6, 1.0]
    assert [matcher.label(s) for s in scores] == [n for n in LABELS for _ in range(2)]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30),
    st.integers(1, 600),
)
def test_batches_of_pairs_hold_each_once_within_the_budget(sizes, cells):
    batches = list(score_batches(sizes, cells))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        longest = [max(sizes[i][side] for i in batch) for side in (0, 1)]
        assert len(batch) == 1 or len(batch) * sum(longest) ** 2 <= cells


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "torch.nn.Linear",
        "jdcv_core.scoring.MeanPairs",
        "jdcv_core.scoring:MeanPairs",
        "MeanPairs",
        "tokens",  # a chunker
        "",
        None,
        7,
        ["mean_pairs"],
    ],
)
def test_a_file_cannot_name_anything_but_what_is_registered(name, monkeypatch):
    called = []
    monkeypatch.setattr("os.system", called.append)
    with pytest.raises(InputError, match="^here: there is no scorer") as caught:
        make("scorers", {"name": name, "arguments": {"command": "echo"}}, "here")
    assert not called
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arguments", [{}, {"dim": "wide"}, {"dim": 8, "depth": 2}, {"dim": -1}, 7])
def test_arguments_that_the_class_refuses_are_one_line(arguments):
    with pytest.raises(InputError, match="refuses its arguments"):
        make("scorers", {"name": "mean_pairs", "arguments": arguments})


def test_another_package_called_research_is_named(tmp_path):
    """A user's folder research/ precedes ours on the import path."""
    (tmp_path / "research").mkdir()
    (tmp_path / "research" / "__init__.py").write_text("")
    code = """
import sys
# An editable install finds submodules in a way that an ordinary one does not have.
sys.meta_path[:] = [finder for finder in sys.meta_path if "Editable" not in repr(finder)]
from jdcv_core.registry import make
make("scorers", {"name": "chunk_attention", "arguments": {"dim": 8}}, "manifest.json")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    said = done.stderr.strip().splitlines()[-1]
    assert "Python finds 'research' at" in said
    assert str(tmp_path / "research" / "__init__.py") in said


def test_a_name_belongs_to_one_class():
    class Mine(MeanPairs): ...

    with pytest.raises(ValueError, match="belongs to jdcv_core.scoring.MeanPairs"):
        register("scorers", "mean_pairs", Mine)
    register("scorers", "mean_pairs", MeanPairs)


def test_loading_imports_nothing_that_the_file_names(saved, tmp_path):
    """The folder has a valid manifest but was written by another program."""
    facts = verify_folder(saved, KIND, VERSION)
    files = {p.relative_to(saved).as_posix(): p for p in saved.rglob("*") if p.is_file()}
    del files["manifest.json"]

    def refused(name: str, changed: dict, **others) -> str:
        folder = write_folder(tmp_path / name, KIND, VERSION, files | others, facts | changed)
        with pytest.raises(InputError) as caught:
            Matcher.from_pretrained(folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    evil = {"name": "antigravity.fly", "arguments": {}}
    assert "there is no scorer 'antigravity.fly' here" in refused("evil", {"scorer": evil})
    assert "there is no chunker" in refused("cutter", {"chunker": evil})
    assert "antigravity" not in sys.modules
    assert "not those of a matcher" in refused("cuts", {"cuts": [0.7, 0.2]})
    assert "not those of a matcher" in refused("few", {"cuts": [0.7]})
    for size in ("16", None):
        chunker = {"name": "tokens", "arguments": {"size": size}}
        assert "do not fit together" in refused(f"size {size}", {"chunker": chunker})
    assert "not those of a matcher" in refused("precision", {"precision": "fp8"})
    assert "reads at most 64 tokens" in refused(
        "window", {"chunker": {"name": "tokens", "arguments": {"size": 65}}}
    )
    narrow = {"name": "mean_pairs", "arguments": {"dim": 16}}
    assert "do not fit together" in refused("narrow", {"scorer": narrow})
    assert "do not fit together" in refused("junk", {}, **{"whitening.safetensors": b"junk"})
    note = json.dumps({"name": "x", "kind": "other", "dim": 32}).encode()
    assert "does not describe an encoder" in refused("kind", {}, **{"encoder/encoder.json": note})


@pytest.mark.parametrize(
    "name",
    ["scorer.safetensors", "whitening.safetensors", "encoder/model.safetensors",
     "encoder/tokenizer.json", "README.md", "manifest.json"],
)  # fmt: skip
def test_one_altered_bit_or_a_missing_file_is_named(saved, tmp_path, name):
    folder = shutil.copytree(saved, tmp_path / "copy")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        Matcher.from_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=name):
        Matcher.from_pretrained(folder)


def test_a_spec_of_another_scorer_is_not_saved(trained, tmp_path):
    matcher = matcher_of(trained)
    for spec in (
        {"name": "mean_pairs", "arguments": {"dim": 16}},
        {"name": "mean_pairs", "arguments": {"dim": object()}},
        {"name": "chunk_attention", "arguments": {"dim": 32}},
        {"name": "match_head", "arguments": {"dim": 32}},
        {},
    ):
        matcher.scorer_spec = spec
        with pytest.raises(ValueError, match="scorer_spec"):
            matcher.save_pretrained(tmp_path / "matcher")

    class Doubled(MeanPairs):
        """A scorer with the same weights and another score."""

    matcher = matcher_of(trained)
    matcher.scorer = Doubled(32)
    with pytest.raises(ValueError, match="scorer_spec is a MeanPairs, not Doubled"):
        matcher.save_pretrained(tmp_path / "matcher")
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_overwritten_and_faults_leave_nothing(
    trained, saved, tmp_path, monkeypatch
):
    matcher = matcher_of(trained)
    with pytest.raises(InputError, match="it exists already"):
        matcher.save_pretrained(saved)
    with pytest.raises(InputError, match="cannot be made"):
        matcher.save_pretrained(saved / "README.md" / "below")

    def full(*arguments):
        raise InputError("matcher", "no space is left", "free some")

    monkeypatch.setattr("jdcv_core.matcher.write_folder", full)
    with pytest.raises(InputError, match="no space"):
        matcher.save_pretrained(tmp_path / "matcher")
    assert not list(tmp_path.iterdir())


def test_parts_that_do_not_fit_are_refused_at_once(trained):
    whole = vars(matcher_of(trained))
    with pytest.raises(ValueError, match="low cut"):
        Matcher(**{**whole, "cuts": (0.6, 0.4)})
    with pytest.raises(ValueError, match="whitening"):
        Matcher(**{**whole, "whitening": Whitening(np.zeros(8), np.eye(8))})
    with pytest.raises(InputError, match="reads at most 64"):
        Matcher(**{**whole, "chunker": TokenChunker(65)})
    with pytest.raises(ValueError, match="leaves a setting open"):
        Matcher(**{**whole, "chunker": TokenChunker()})
