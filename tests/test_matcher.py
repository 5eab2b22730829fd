"""A matcher scores as the table did, also after saving, and runs nothing that a file names."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import save_gpt2

from jdcv_core.encoding.encode import encode_documents
from jdcv_core.encoding.encoder import Encoder
from jdcv_core.encoding.loaders import gpt2
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.folders import verify_folder, write_folder
from jdcv_core.matcher import KIND, VERSION, Matcher, build_scorer, score_batches
from jdcv_core.scoring import MeanPairs
from jdcv_core.types import LABELS, ChunkVectors, Document
from research.chunk_attention import ChunkAttention

WORDS = ("senior", "accountant", "general", "ledger", "python", "led", "a", "team of", "close")
SIZE, OVERLAP = 16, 3


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


SCORERS = {
    "mean": (MeanPairs, {"dim": 32}),
    "ordinal": (MeanPairs, {"dim": 32, "objective": "corn", "train_on": "chunk_pairs"}),
    "attention": (ChunkAttention, {"dim": 32, "heads": 2, "cross_cv": False}),
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def trained(model_folder) -> tuple[Encoder, Whitening, dict[str, np.ndarray]]:
    """What a recipe has after training: an encoder, a whitening, and whitened vectors by text."""
    encoder = gpt2(path=str(model_folder), precision="fp32", device="cpu")
    documents = [Document(f"cv:{i}", t) for i, t in enumerate(CVS)]
    documents += [Document(f"jd:{i}", t) for i, t in enumerate(JDS)]
    store = VectorStore(model_folder / "store.sqlite")
    matrices, _ = encode_documents(documents, encoder, store, SIZE, OVERLAP)
    assert max(map(len, matrices.values())) > 5
    whitening = Whitening.fit(matrices, sorted(matrices)[::2])
    white = whitening(matrices)
    return encoder, whitening, {d.text: white[d.id] for d in documents}


def matcher_of(trained, kind: str = "mean") -> Matcher:
    encoder, whitening, _ = trained
    target, arguments = SCORERS[kind]
    spec = {"target": f"{target.__module__}.{target.__name__}", "arguments": arguments}
    scorer = shaken(target(**arguments))
    return Matcher(encoder, whitening, scorer, spec, (0.4, 0.6), SIZE, OVERLAP, "the card")


@pytest.fixture(scope="module", params=SCORERS)
def matcher(request, trained) -> Matcher:
    return matcher_of(trained, request.param)


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory) -> Path:
    """The folder of a matcher; tests that change it take a copy."""
    return matcher_of(trained).save_pretrained(tmp_path_factory.mktemp("saved") / "matcher")


def by_hand(matcher: Matcher, trained) -> np.ndarray:
    """The score of each of PAIRS from the stored vectors, one pair at a time."""
    vectors = trained[2]
    scores = []
    for cv, jd in PAIRS:
        sides = (ChunkVectors.pad({"x": vectors[t]}, ["x"]) for t in (jd, cv))
        with torch.inference_mode():
            scores.append(torch.sigmoid(matcher.scorer(*sides)).item())
    return np.array(scores)


def test_the_scores_are_those_of_the_table(matcher, trained):
    wanted = by_hand(matcher, trained)
    assert wanted.std() > 0.02
    scores = matcher.score_many(PAIRS)
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    alone = [matcher.score(cv, jd) for cv, jd in PAIRS[::5]]
    np.testing.assert_allclose(alone, wanted[::5], atol=1e-5)
    assert all(isinstance(score, float) for score in alone)


def test_the_scores_are_the_same_after_saving_and_loading(matcher, trained, tmp_path):
    folder = matcher.save_pretrained(tmp_path / "deep" / "matcher")
    again = Matcher.from_pretrained(folder, device="cpu")
    np.testing.assert_allclose(again.score_many(PAIRS), by_hand(matcher, trained), atol=1e-5)
    assert again.score(*PAIRS[7]) == matcher.score(*PAIRS[7])
    same = ("cuts", "chunk_size", "overlap", "card", "scorer_spec")
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
    """Neither the files the encoder came from nor the place it was saved at are needed."""
    source = shutil.copytree(model_folder, tmp_path / "source")
    encoder = gpt2(path=str(source), precision="fp32", device="cpu")
    scorer = {"target": "jdcv_core.scoring.MeanPairs", "arguments": {"dim": 32}}
    whitening = Whitening(np.zeros(32), np.eye(32))
    matcher = Matcher(encoder, whitening, build_scorer(scorer), scorer, (0.4, 0.6), SIZE)
    score = matcher.score(*PAIRS[0])
    folder = matcher.save_pretrained(tmp_path / "matcher")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["matcher", "source"]  # nothing is left
    shutil.rmtree(source)
    moved = folder.rename(tmp_path / "moved")
    assert Matcher.from_pretrained(moved, device="cpu").score(*PAIRS[0]) == score
    assert "not recorded" in (moved / "README.md").read_text()


@settings(max_examples=15)
@given(st.lists(st.sampled_from(range(len(PAIRS))), max_size=12))
def test_other_pairs_order_and_repeats_change_no_score(trained, chosen):
    matcher = matcher_of(trained)
    wanted = by_hand(matcher, trained)[chosen]
    np.testing.assert_allclose(matcher.score_many([PAIRS[i] for i in chosen]), wanted, atol=1e-5)


def test_texts_that_differ_in_white_space_only_keep_their_own_scores(trained):
    matcher = matcher_of(trained)
    pairs = [("a ledger\n\nof  four", JDS[1]), ("a ledger of four", JDS[1])]
    scores = matcher.score_many(pairs)
    np.testing.assert_allclose(scores, [matcher.score(*pair) for pair in pairs], atol=1e-6)
    assert scores[0] != scores[1]


def test_each_document_is_encoded_once_and_a_store_saves_that(trained, tmp_path):
    matcher = matcher_of(trained)
    encoder = matcher.encoder
    chunks = {c.tokens for side, texts in (("cv", CVS), ("jd", JDS)) for t in texts
              for c in matcher.chunks(t, side)}  # fmt: skip
    before = encoder.chunks_encoded
    first = matcher.score_many(PAIRS)
    assert encoder.chunks_encoded - before == len(chunks)
    with VectorStore(tmp_path / "store.sqlite") as store:
        matcher.score_many(PAIRS[:8], store)
        before = encoder.calls
        matcher.score_many(PAIRS[:8], store)
        assert encoder.calls == before
        np.testing.assert_allclose(matcher.score_many(PAIRS, store), first, atol=1e-6)
    assert matcher.score_many([]).shape == (0,)


def test_modules_left_in_training_mode_do_not_blur_scores(trained):
    matcher = matcher_of(trained, "attention")
    wanted = matcher.score_many(PAIRS[:3]), matcher.score(*PAIRS[3])
    for call, want in (
        (matcher.score_many, wanted[0]),
        (lambda p: matcher.score(*p[0]), wanted[1]),
    ):
        matcher.encoder.module.train()
        matcher.scorer.train()
        pairs = PAIRS[:3] if call == matcher.score_many else [PAIRS[3]]
        np.testing.assert_allclose(call(pairs), want, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "said"),
    [("", "is empty"), (" \n\t", "is empty"), (None, "is empty"), (3, "int, not text"),
     ("a\0b", "binary"), ("\udc80", "UTF-8")],
)  # fmt: skip
@pytest.mark.parametrize("side", ["cv", "jd"])
def test_what_is_no_text_is_one_line_that_names_the_pair(trained, bad, said, side):
    matcher = matcher_of(trained)
    pair = (bad, JDS[0]) if side == "cv" else (CVS[0], bad)
    with pytest.raises(InputError, match=f"the {side.upper()} .*{said}"):
        matcher.score(*pair)
    with pytest.raises(InputError, match=f"^pair 2: the {side.upper()} .*{said}"):
        matcher.score_many([PAIRS[0], pair])
    with pytest.raises(InputError, match="^row 9: "):
        matcher.score_many([pair], places=["row 9"])


def test_a_very_long_text_has_more_chunks(trained):
    matcher = matcher_of(trained)
    long = text(7, 4_000)
    count = len(matcher.chunks(long, "cv"))
    assert count > 500
    assert "".join(long[c.start : c.end] for c in Matcher.chunks(
        Matcher(**{**vars(matcher), "overlap": 0}), long, "cv")) == long  # fmt: skip
    pairs = [(long, JDS[0]), PAIRS[1]]
    scores = matcher.score_many(pairs)
    np.testing.assert_allclose(scores, [matcher.score(*pair) for pair in pairs], atol=1e-5)


def test_labels_follow_the_cuts(trained):
    matcher = matcher_of(trained)
    scores = [0.0, 0.399, 0.4, 0.599, 0.6, 1.0]
    assert [matcher.label(s) for s in scores] == [n for n in LABELS for _ in range(2)]
    assert matcher.predict(*PAIRS[4]) == matcher.label(matcher.score(*PAIRS[4]))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30),
    st.integers(1, 60),
)
def test_batches_of_pairs_hold_each_once_within_the_budget(sizes, cells):
    batches = list(score_batches(sizes, cells))
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    for batch in batches:
        longest = [max(sizes[i][side] for i in batch) for side in (0, 1)]
        assert len(batch) == 1 or len(batch) * longest[0] * longest[1] <= cells


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.nn.Linear",  # an nn.Module, but not ours
        "jdcv_core.scoring.nn",  # not even a class
        "jdcv_core.scoring.nn.Linear",
        "jdcv_core.matcher.Matcher",  # ours, but no nn.Module
        "jdcv_core.matcher.importlib.import_module",
        "jdcv_core.encoding.saved_encoder.save_encoder",
        "jdcv_core.nowhere.Scorer",
        "jdcv_core..os.system",
        "jdcv_core",
        "jdcv_core_evil.Scorer",
        "research",
        "research.chunk_attention.",
        ".os.system",
        "",
        None,
        ["jdcv_core", "scoring"],
    ],
)
def test_a_file_cannot_name_anything_but_our_modules(target, monkeypatch):
    called = []
    monkeypatch.setattr("os.system", called.append)
    spec = {"target": target, "arguments": {"command": "echo"}}
    with pytest.raises(InputError, match="^here: ") as caught:
        build_scorer(spec, "here")
    assert not called
    assert "\n" not in str(caught.value)


def test_a_class_that_one_of_our_modules_only_imports_is_refused(monkeypatch):
    monkeypatch.setattr("jdcv_core.scoring.Linear", torch.nn.Linear, raising=False)
    spec = {
        "target": "jdcv_core.scoring.Linear",
        "arguments": {"in_features": 1, "out_features": 1},
    }
    with pytest.raises(InputError, match="there is no scorer"):
        build_scorer(spec)


def test_a_class_of_ours_that_is_no_module_is_not_made(tmp_path):
    path = str(tmp_path / "made.sqlite")
    with pytest.raises(InputError, match="there is no scorer"):
        build_scorer(
            {"target": "jdcv_core.encoding.vector_store.VectorStore", "arguments": {"path": path}}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [{}, {"dim": "wide"}, {"dim": 8, "depth": 2}, {"dim": -1}, 7])
def test_arguments_that_the_class_refuses_are_one_line(arguments):
    with pytest.raises(InputError, match="refuses its arguments"):
        build_scorer({"target": "jdcv_core.scoring.MeanPairs", "arguments": arguments})


def test_loading_imports_nothing_that_the_file_names(saved, tmp_path):
    """A folder whose manifest is in order, but was written by somebody else."""
    facts = verify_folder(saved, KIND, VERSION)
    files = {p.relative_to(saved).as_posix(): p for p in saved.rglob("*") if p.is_file()}
    del files["manifest.json"]

    def refused(name: str, changed: dict, **others) -> str:
        folder = write_folder(tmp_path / name, KIND, VERSION, files | others, facts | changed)
        with pytest.raises(InputError) as caught:
            Matcher.from_pretrained(folder)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    evil = {"target": "antigravity.fly", "arguments": {}}
    assert "is not a class of jdcv_core or research" in refused("evil", {"scorer": evil})
    assert "antigravity" not in sys.modules
    assert "not a matcher's settings" in refused("cuts", {"cuts": [0.7, 0.2]})
    assert "not a matcher's settings" in refused("few", {"cuts": [0.7]})
    assert "not a matcher's settings" in refused("size", {"chunk_size": "16"})
    assert "not a matcher's settings" in refused("precision", {"precision": "fp8"})
    assert "reads at most 64 tokens" in refused("window", {"chunk_size": 65})
    narrow = {"target": "jdcv_core.scoring.MeanPairs", "arguments": {"dim": 16}}
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


def test_a_spec_that_is_not_the_scorers_is_not_saved(trained, tmp_path):
    matcher = matcher_of(trained)
    target = "jdcv_core.scoring.MeanPairs"
    for spec in (
        {"target": target, "arguments": {"dim": 16}},
        {"target": target, "arguments": {"dim": object()}},
        {"target": "research.chunk_attention.ChunkAttention", "arguments": {"dim": 32}},
        {"target": "jdcv_core.scoring.MatchHead", "arguments": {"dim": 32}},
        {},
    ):
        matcher.scorer_spec = spec
        with pytest.raises(ValueError, match="scorer_spec"):
            matcher.save_pretrained(tmp_path / "matcher")

    class Doubled(MeanPairs):
        """The same weights, another score."""

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
        Matcher(**{**whole, "chunk_size": 65})
