"""A trained model that scores two texts. One folder holds everything that it needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from jdcv_core import registry
from jdcv_core.atomic import scratch_folder
from jdcv_core.chunking import Chunker, check_window
from jdcv_core.data.normalise import document_id
from jdcv_core.data.rows import text_fault
from jdcv_core.encoding.encode import encode_documents, tokens_of
from jdcv_core.encoding.encoder import Encoder, Precision
from jdcv_core.encoding.saved_encoder import load_encoder, save_encoder
from jdcv_core.encoding.term_weights import TermWeights
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import apply_thresholds
from jdcv_core.explanation import Explanation, explain_pair
from jdcv_core.folders import MANIFEST, Listed, verify_folder, write_folder
from jdcv_core.model_card import model_card
from jdcv_core.progress import progress
from jdcv_core.scoring import score_encoded
from jdcv_core.types import LABELS, POTENTIAL, Document, Encoded, Side

KIND, VERSION = "matcher", 2
SCORER, WHITENING, CARD = "scorer.safetensors", "whitening.safetensors", "README.md"
WORDS = "words.safetensors"
CURE = "give a folder that Matcher.save_pretrained wrote, and the version of jdcv that wrote it"


@dataclass(frozen=True)
class Ranked:
    """A document in a ranking.

    id:    its key in the mapping that was given, or its position in the list, from 0
    score: in [0, 1]
    label: one of LABELS
    """

    id: Any
    score: float
    label: str


@dataclass
class Matcher:
    """Encoder, chunker, whitening and scorer that were trained together, with their cuts.

    encoder:     its module may have been trained in place
    whitening:   fitted on the vectors of the training documents by this encoder
    scorer:      an nn.Module, see `jdcv_core.scoring.Scorer`
    scorer_spec: {"name": the scorer's name in the registry, "arguments": its keyword arguments},
                 in JSON's own types
    cuts:        scores from which a pair is a Potential Fit and a Good Fit, low <= high; equal for
                 a model of two classes, No Fit and Good Fit
    chunker:     how documents are cut; every default is settled
    terms:       the weights of words, for a scorer that `reads_words`; else None
    card:        the text of README.md, see `model_card`

    Texts are read as in the data layer: unchanged and whole. Encoder and scorer are in evaluation
    mode after a call. Each call encodes each text once, even if it is in several pairs.

    >>> matcher = Matcher.from_pretrained("FOLDER")                       # doctest: +SKIP
    >>> matcher.score(cv="Python developer, ten years.", jd="Developer")  # doctest: +SKIP
    0.71
    """

    encoder: Encoder
    whitening: Whitening
    scorer: nn.Module
    scorer_spec: Mapping[str, Any]
    cuts: tuple[float, float]
    chunker: Chunker
    card: str = ""
    terms: TermWeights | None = None

    def __post_init__(self) -> None:
        encoder, chunker = self.encoder, self.chunker
        if chunker.size is None or None in chunker.arguments().values():
            raise ValueError(f"{chunker} leaves a setting open: take the chunker of an `Encoded`")
        check_window(chunker.size, chunker.overlap, encoder.max_tokens, encoder.name)
        if not self.cuts[0] <= self.cuts[1]:
            raise ValueError(f"the low cut {self.cuts[0]} is above the high cut {self.cuts[1]}")
        if self.whitening.matrix.shape != (encoder.dim, encoder.dim):
            raise ValueError(
                f"the whitening is {self.whitening.matrix.shape}, vectors have {encoder.dim}"
            )
        if getattr(self.scorer, "reads_words", False) and self.terms is None:
            raise ValueError("the scorer reads words, and the matcher has no weights for them")

    def score(self, *, cv: str, jd: str) -> float:
        """The score of one pair, in [0, 1]; for many pairs `score_pairs` is faster.

        Raises InputError for a text that is empty, white space only, or no text.
        """
        return float(self.score_pairs(cvs=[cv], jds=[jd])[0])

    def score_pairs(
        self,
        *,
        cvs: Sequence[str],
        jds: Sequence[str],
        store: VectorStore | None = None,
        places: Sequence[str] | None = None,
    ) -> np.ndarray:
        """The scores of pairs, float64 [pair] in [0, 1]: of cvs[i] with jds[i], for every i.

        store:  keeps the chunk vectors, so that a second call, or one after a kill, finds them.
                Only for an encoder whose weights are those of its files, as after `from_pretrained`
        places: what to call each pair in a message; None: pair 1, pair 2 …

        Raises InputError as `score` does, for the first such pair; ValueError for unequal lengths.
        """
        places = [f"pair {n}" for n in range(1, len(cvs) + 1)] if places is None else places
        named: dict[tuple[Side, str], str] = {}
        for place, cv, jd in zip(places, cvs, jds, strict=True):
            _check_text(cv, "cv", place)
            _check_text(jd, "jd", place)
            named.setdefault(("cv", cv), place)
            named.setdefault(("jd", jd), place)
        found = self._encode(named, store)
        pairs = [
            (found["cv", cv].document.id, found["jd", jd].document.id)
            for cv, jd in zip(cvs, jds, strict=True)
        ]
        return score_encoded(self.scorer, pairs, {e.document.id: e for e in found.values()})

    def rank(
        self,
        *,
        jd: str | None = None,
        cvs: Sequence[str] | Mapping[Any, str] | None = None,
        cv: str | None = None,
        jds: Sequence[str] | Mapping[Any, str] | None = None,
        store: VectorStore | None = None,
    ) -> list[Ranked]:
        """Documents by their score with one query, best first; equal scores keep their order.

        jd, cvs: rank CVs for a JD. cv, jds: rank JDs for a CV. Documents are a list of texts, or a
                 mapping from an id to a text
        store:   as of `score_pairs`

        Raises InputError as `score` does, ValueError unless one of the two pairs is given.

        >>> matcher = Matcher.from_pretrained("FOLDER")                        # doctest: +SKIP
        >>> matcher.rank(jd="Accountant", cvs={"ada": "Ledgers.", "bo": "Go."})  # doctest: +SKIP
        [Ranked(id='ada', score=0.62, label='Potential Fit'), Ranked(id='bo', score=0.08, ...)]
        """
        given = [name for name, value in locals().items() if name != "self" and value is not None]
        if [name for name in given if name != "store"] not in (["jd", "cvs"], ["cv", "jds"]):
            raise ValueError("rank takes jd= with cvs=, or cv= with jds=")
        many = cvs if jds is None else jds
        assert many is not None
        texts = dict(many) if isinstance(many, Mapping) else dict(enumerate(many))
        each, one = list(texts.values()), [jd or cv or ""] * len(texts)
        places = [f"{'cvs' if jds is None else 'jds'}[{i!r}]" for i in texts]
        if jds is None:
            scores = self.score_pairs(cvs=each, jds=one, store=store, places=places)
        else:
            scores = self.score_pairs(cvs=one, jds=each, store=store, places=places)
        order = np.argsort(-scores, kind="stable")
        ids = list(texts)
        return [Ranked(ids[i], float(scores[i]), self.label(float(scores[i]))) for i in order]

    def explain(self, *, cv: str, jd: str) -> Explanation:
        """Which chunks carry the score of a pair; the result prints itself.

        The effect of a chunk is the score minus the score without the chunk (leave-one-out). For a
        scorer with `evidence` the result also says which requirement of the JD is met, by which
        line of the CV, and which is missing: see `jdcv_core.requirements`. Raises InputError as
        `score` does.
        """
        (own,), (other,) = self.encode([cv], side="cv"), self.encode([jd], side="jd")
        return explain_pair(self.scorer, own, other, self.label)

    def encode(
        self,
        texts: Sequence[str],
        *,
        side: Side = "cv",
        store: VectorStore | None = None,
        places: Sequence[str] | None = None,
    ) -> list[Encoded]:
        """Each text as an `Encoded`: its chunks, and their whitened vectors.

        side: of the texts; a chunker may read CVs and JDs in different ways
        store, places: as of `score_pairs`

        These are the vectors that the scorer was trained on and that an index of this model holds.
        `Encoded.faults` says what the chunker could not read, such as dates of a CV, or that a CV
        is newer than the reference month of the model.
        Raises InputError as `score` does.
        """
        word = side.upper()
        many = (
            [f"{word} {n}" for n in range(1, len(texts) + 1)] if len(texts) > 1 else [f"the {word}"]
        )
        named: dict[tuple[Side, str], str] = {}
        for place, text in zip(places or many, texts, strict=bool(texts)):
            _check_text(text, side, place)
            named.setdefault((side, text), place)
        found = self._encode(named, store)
        return [found[side, text] for text in texts]

    def _encode(
        self, named: Mapping[tuple[Side, str], str], store: VectorStore | None
    ) -> dict[tuple[Side, str], Encoded]:
        """Encode each (side, text) once. named: (side, text) → its place, for messages."""
        if not named:
            return {}
        documents: dict[str, Document] = {}
        for (side, text), place in named.items():
            name = document_id(side, text)
            while name in documents:  # the same words with other white space
                name += "'"
            documents[name] = Document(name, text, place)
        if store is None:
            store = VectorStore(":memory:")
            self.encoder.module.eval()
        found, _ = encode_documents(documents.values(), self.encoder, store, self.chunker)
        white = self.whitening({i: e.vectors for i, e in found.items()})
        words = {} if self.terms is None else self.terms(tokens_of(found))
        return {
            key: replace(found[name], vectors=white[name], words=words.get(name))
            for key, name in zip(named, documents, strict=True)
        }

    def label(self, score: float) -> str:
        """The class of a score: one of LABELS, by the cuts."""
        return LABELS[int(apply_thresholds([score], self.cuts)[0])]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes that the model can return, without Potential Fit if the cuts are equal."""
        return tuple(n for n in LABELS if n != LABELS[POTENTIAL] or self.cuts[0] < self.cuts[1])

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write all that `from_pretrained` needs into a new folder; returns the folder.

        README.md, whitening.safetensors, scorer.safetensors, words.safetensors where the scorer
        reads words, encoder/ and manifest.json, which has the settings and every file's SHA-256.
        The folder is whole or not there, see `write_folder`. To change a file (the card, too),
        change the Matcher and save it again.
        Raises InputError if the folder exists or cannot be written, ValueError where scorer_spec
        does not describe the scorer, the chunker has no name in the registry, or the encoder cannot
        be saved.
        """
        folder = Path(folder)
        if folder.exists():  # said now, not after the encoder was written
            raise InputError(str(folder), "it exists already", "give another name, or move it away")
        state = {k: v.detach().cpu().clone() for k, v in self.scorer.state_dict().items()}
        _check_spec(self.scorer, self.scorer_spec, state)
        settings = {
            "scorer": dict(self.scorer_spec),
            "cuts": list(self.cuts),
            "chunker": chunker_spec(self.chunker),
            "precision": self.encoder.precision,
        }
        whitening = {"mean": self.whitening.mean, "matrix": self.whitening.matrix}
        whitening = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in whitening.items()}
        files: dict[str, bytes | Path | Listed] = {
            CARD: (self.card or model_card({})).encode(),
            WHITENING: safetensors.numpy.save(whitening),
            SCORER: safetensors.torch.save(state),
        }
        if self.terms is not None:
            files[WORDS] = safetensors.numpy.save(
                {"idf": self.terms.idf, "unseen": np.array([self.terms.unseen])}
            )
        try:
            with scratch_folder(folder.parent) as temporary:
                encoder_files = save_encoder(self.encoder, temporary)
                files |= {f"encoder/{name}": path for name, path in encoder_files.items()}
                return write_folder(folder, KIND, VERSION, files, settings)
        except OSError as error:
            what = f"it cannot be made ({error.strerror})"
            cure = "choose another folder, or change its permissions"
            raise InputError(str(folder), what, cure) from error

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, device: str = "auto", precision: Precision | None = None
    ) -> Matcher:
        """Read what `save_pretrained` wrote, after every file's SHA-256 was found right.

        Nothing outside the folder is read, and no network is used.

        device:    of the encoder, see `Encoder`; the scorer stays on the CPU
        precision: of the encoder; None: the one it was saved with, which gives the figures of the
                   card

        Raises InputError naming the file that is missing, altered or not ours.
        """
        folder = Path(folder)
        where = folder / MANIFEST
        settings = _check_settings(verify_folder(folder, KIND, VERSION), where)
        with progress("Reading the encoder", None):  # mostly imports
            encoder = load_encoder(folder / "encoder", precision or settings["precision"], device)
        scorer = registry.make("scorers", settings["scorer"], str(where))
        chunker = registry.make("chunkers", settings["chunker"], str(where))
        try:
            scorer.load_state_dict(safetensors.torch.load_file(folder / SCORER))
            tensors = safetensors.numpy.load_file(folder / WHITENING)
            return cls(
                encoder,
                Whitening(tensors["mean"], tensors["matrix"]),
                scorer.eval(),
                settings["scorer"],
                tuple(settings["cuts"]),
                chunker,
                (folder / CARD).read_text(encoding="utf-8"),
                _read_terms(folder / WORDS),
            )
        except (RuntimeError, TypeError, ValueError, KeyError, SafetensorError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                str(folder), f"its parts do not fit together ({error})", CURE
            ) from error


def _read_terms(path: Path) -> TermWeights | None:
    """What `save_pretrained` wrote of `terms`; the manifest says whether the file belongs here."""
    if not path.exists():
        return None
    tensors = safetensors.numpy.load_file(path)
    return TermWeights(tensors["idf"], float(tensors["unseen"][0]))


def scorer_spec(target: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """{"name", "arguments"} of a scorer's class, for `Matcher`.

    Raises InputError for a class that has no name in the registry.
    """
    name = registry.name_of("scorers", target)
    if name is None:
        what = "it has no name in the registry, so a saved model could not name it"
        cure = "add it to the entry points of your package: see jdcv_core/registry.py"
        raise InputError(f"scorer {target.__module__}.{target.__qualname__}", what, cure)
    return {"name": name, "arguments": dict(arguments)}


def chunker_spec(chunker: Chunker) -> dict[str, Any]:
    """{"name", "arguments"} of a chunker. Raises ValueError for one without a registered name."""
    name = registry.name_of("chunkers", type(chunker))
    if name is None:
        raise ValueError(f"{type(chunker).__name__} has no name in the registry")
    return {"name": name, "arguments": chunker.arguments()}


def _check_spec(
    scorer: nn.Module, spec: Mapping[str, Any], state: Mapping[str, torch.Tensor]
) -> None:
    """Refuse to save a scorer that could not be loaded again."""
    try:
        again = registry.make("scorers", json.loads(json.dumps(spec)), "scorer_spec")
        again.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"scorer_spec does not describe the scorer: {error}") from error
    if type(again) is not type(scorer):
        raise ValueError(f"scorer_spec is a {type(again).__name__}, not {type(scorer).__name__}")


def _check_text(text: Any, side: Side, where: str) -> None:
    """Check a text as the data layer does, but without a limit: a long text has more chunks."""
    if fault := text_fault(f"the {side.upper()}", text, sys.maxsize):
        raise InputError(where, fault[1], fault[2])


def _check_settings(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings as `save_pretrained` wrote them, or InputError."""
    try:
        low, high = settings["cuts"]
        sound = (
            float(low) <= float(high)
            and settings["precision"] in get_args(Precision)
            and all(isinstance(settings[key]["arguments"], dict) for key in ("scorer", "chunker"))
        )
    except (ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise InputError(str(path), "its settings are not those of a matcher", CURE)
    return settings
