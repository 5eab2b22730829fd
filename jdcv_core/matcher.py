"""A trained model in use: two texts in, a score out. One folder holds everything that it needs."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from jdcv_core.chunking import check_window, chunk_document
from jdcv_core.data.rows import text_fault
from jdcv_core.encoding.encode import encode_documents
from jdcv_core.encoding.encoder import Encoder, Precision
from jdcv_core.encoding.precision import settle_precision
from jdcv_core.encoding.saved_encoder import load_encoder, save_encoder
from jdcv_core.encoding.vector_store import VectorStore
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.errors import InputError
from jdcv_core.evaluation.classification import apply_thresholds
from jdcv_core.folders import MANIFEST, Listed, verify_folder, write_folder
from jdcv_core.model_card import model_card
from jdcv_core.progress import progress
from jdcv_core.types import LABELS, Chunk, ChunkVectors, Document, Side

KIND, VERSION = "matcher", 1
SCORER, WHITENING, CARD = "scorer.safetensors", "whitening.safetensors", "README.md"
PACKAGES = ("jdcv_core", "research")
"""Where a scorer's class may come from: a file must not be able to call anything else."""
CELLS = 16_384
"""Most (pair, JD chunk, CV chunk) that are scored at once, padding included."""
CURE = "give a folder that Matcher.save_pretrained wrote, and the version of jdcv that wrote it"


@dataclass
class Matcher:
    """Encoder, whitening and scorer that were trained together, with their cuts between classes.

    encoder:     its module may have been trained in place
    whitening:   fitted on the vectors of the training documents by this encoder
    scorer:      a scorer of `jdcv_core` or `research`
    scorer_spec: {"target": import path of the scorer's class, "arguments": its keyword arguments},
                 all in JSON's own types
    cuts:        scores from which a pair is a Potential Fit and a Good Fit, low <= high
    chunk_size, overlap: of the chunks, in tokens
    card:        the text of README.md, see `model_card`

    Texts are read as the data layer reads them: as they are, nothing cut off. Encoder and scorer
    are in evaluation mode after a call.
    """

    encoder: Encoder
    whitening: Whitening
    scorer: nn.Module
    scorer_spec: Mapping[str, Any]
    cuts: tuple[float, float]
    chunk_size: int
    overlap: int = 0
    card: str = ""

    def __post_init__(self) -> None:
        encoder = self.encoder
        check_window(self.chunk_size, self.overlap, encoder.max_tokens, encoder.name)
        if not self.cuts[0] <= self.cuts[1]:
            raise ValueError(f"the low cut {self.cuts[0]} is above the high cut {self.cuts[1]}")
        if self.whitening.matrix.shape != (encoder.dim, encoder.dim):
            raise ValueError(
                f"the whitening is {self.whitening.matrix.shape}, vectors have {encoder.dim}"
            )

    def score(self, cv_text: str, jd_text: str) -> float:
        """The score of one pair, in [0, 1]; for many pairs `score_many` is faster.

        Raises InputError for a text that is empty, white space only, or no text.
        """
        chunks = {"cv": self.chunks(cv_text, "cv"), "jd": self.chunks(jd_text, "jd")}
        settle_precision(self.encoder)
        self.encoder.module.eval()
        vectors = {
            side: self.encoder.encode_chunks([c.tokens for c in cut])
            for side, cut in chunks.items()
        }
        return float(score_vectors(self.scorer, [("cv", "jd")], self.whitening(vectors))[0])

    def score_many(
        self,
        pairs: Iterable[tuple[str, str]],
        store: VectorStore | None = None,
        places: Sequence[str] | None = None,
    ) -> np.ndarray:
        """The scores of (CV text, JD text) pairs, float64 [pair] in [0, 1], in the order given.

        Each text is encoded once, in however many pairs it is. Equals `score`, to rounding.

        store:  keeps the chunk vectors, so that a second call, or one after a kill, finds them.
                Only for an encoder whose weights are those of its files, as after `from_pretrained`
        places: what to call each pair in a message; None: pair 1, pair 2 …

        Raises InputError as `score` does, for the first such pair.
        """
        pairs = list(pairs)
        places = [f"pair {n}" for n in range(1, len(pairs) + 1)] if places is None else places
        documents: dict[tuple[Side, str], Document] = {}
        wanted = []
        for place, (cv, jd) in zip(places, pairs, strict=True):
            texts: dict[Side, str] = {"cv": cv, "jd": jd}
            for side, text in texts.items():
                if (side, text) not in documents:
                    _check_text(text, side, place)
                    document = Document(f"{side}:{len(documents)}", text, place)
                    documents[side, text] = document
            wanted.append((documents["cv", cv].id, documents["jd", jd].id))
        if not wanted:
            return np.empty(0)
        if store is None:
            store = VectorStore(":memory:")
            self.encoder.module.eval()
        matrices, _ = encode_documents(
            documents.values(), self.encoder, store, self.chunk_size, self.overlap
        )
        return score_vectors(self.scorer, wanted, self.whitening(matrices))

    def chunks(self, text: str, side: Side) -> list[Chunk]:
        """The chunks that a text is read in. Raises InputError as `score` does."""
        where = f"the {side.upper()}"
        _check_text(text, side, where)
        document = Document(f"{side}:0", text, where)
        return chunk_document(document, self.encoder.tokenizer, self.chunk_size, self.overlap)

    def label(self, score: float) -> str:
        """The class of a score: one of LABELS, by the cuts."""
        return LABELS[int(apply_thresholds([score], self.cuts)[0])]

    def predict(self, cv_text: str, jd_text: str) -> str:
        """The class of a pair, one of LABELS."""
        return self.label(self.score(cv_text, jd_text))

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write all that `from_pretrained` needs into a new folder; returns it.

        README.md, whitening.safetensors, scorer.safetensors, encoder/ and manifest.json, which has
        the settings and every file's SHA-256. The folder is whole or not there, see `write_folder`.
        To change a file (the card, too), change the Matcher and save it anew.
        Raises InputError if the folder exists or cannot be written, ValueError where scorer_spec
        does not describe the scorer, or the encoder cannot be saved.
        """
        folder = Path(folder)
        if folder.exists():  # said now, not after the encoder was written
            raise InputError(str(folder), "it exists already", "give another name, or move it away")
        state = {k: v.detach().cpu().clone() for k, v in self.scorer.state_dict().items()}
        _check_spec(self.scorer, self.scorer_spec, state)
        settings = {
            "scorer": dict(self.scorer_spec),
            "cuts": list(self.cuts),
            "chunk_size": self.chunk_size,
            "overlap": self.overlap,
            "precision": self.encoder.precision,
        }
        whitening = {"mean": self.whitening.mean, "matrix": self.whitening.matrix}
        whitening = {k: np.ascontiguousarray(v, dtype=np.float64) for k, v in whitening.items()}
        files: dict[str, bytes | Path | Listed] = {
            CARD: (self.card or model_card({})).encode(),
            WHITENING: safetensors.numpy.save(whitening),
            SCORER: safetensors.torch.save(state),
        }
        with _beside(folder) as temporary:
            encoder_files = save_encoder(self.encoder, Path(temporary))
            files |= {f"encoder/{name}": path for name, path in encoder_files.items()}
            return write_folder(folder, KIND, VERSION, files, settings)

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
        settings = _check_settings(verify_folder(folder, KIND, VERSION), folder / MANIFEST)
        with progress("Reading the encoder", None):  # mostly imports
            encoder = load_encoder(folder / "encoder", precision or settings["precision"], device)
        scorer = build_scorer(settings["scorer"], str(folder / MANIFEST))
        try:
            scorer.load_state_dict(safetensors.torch.load_file(folder / SCORER))
            tensors = safetensors.numpy.load_file(folder / WHITENING)
            return cls(
                encoder,
                Whitening(tensors["mean"], tensors["matrix"]),
                scorer.eval(),
                settings["scorer"],
                tuple(settings["cuts"]),
                settings["chunk_size"],
                settings["overlap"],
                (folder / CARD).read_text(encoding="utf-8"),
            )
        except (RuntimeError, ValueError, KeyError, SafetensorError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                str(folder), f"its parts do not fit together ({error})", CURE
            ) from error


@torch.inference_mode()
def score_vectors(
    scorer: nn.Module, pairs: Sequence[tuple[str, str]], matrices: Mapping[str, np.ndarray]
) -> np.ndarray:
    """The scores of (CV id, JD id) pairs, float64 [pair] in [0, 1].

    scorer:   is in evaluation mode afterwards
    matrices: whitened chunk vectors [chunk, dim] by id
    """
    scorer.eval()
    device = str(next((p.device for p in scorer.parameters()), "cpu"))
    sizes = [(len(matrices[jd]), len(matrices[cv])) for cv, jd in pairs]
    scores = np.empty(len(pairs))
    for batch in score_batches(sizes, CELLS):
        cv, jd = (
            ChunkVectors.pad(matrices, [pairs[i][side] for i in batch]).to(device)
            for side in (0, 1)
        )
        scores[batch] = torch.sigmoid(scorer(jd, cv).double()).cpu().numpy()
    return scores


def score_batches(sizes: Sequence[tuple[int, int]], cells: int) -> Iterator[list[int]]:
    """Indices of pairs in batches of like size, largest first, so that memory runs out at once.

    sizes: (JD chunks, CV chunks) of each pair
    cells: most pairs * longest JD * longest CV in a batch; a pair with more goes alone
    """
    batch: list[int] = []
    longest = (0, 0)
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i], reverse=True):
        grown = (max(longest[0], sizes[i][0]), max(longest[1], sizes[i][1]))
        if batch and (len(batch) + 1) * grown[0] * grown[1] > cells:
            yield batch
            batch, grown = [], sizes[i]
        batch.append(i)
        longest = grown
    if batch:
        yield batch


def build_scorer(spec: Mapping[str, Any], where: str = "scorer") -> nn.Module:
    """A new scorer from {"target": import path, "arguments": keyword arguments}.

    Only an nn.Module that is defined in one of PACKAGES is made; nothing else is imported, nothing
    else is called. Raises InputError naming `where` for any other target, and for arguments that
    the class refuses.
    """
    target, arguments = spec.get("target"), spec.get("arguments", {})
    path = target.split(".") if isinstance(target, str) else []
    if len(path) < 2 or path[0] not in PACKAGES or not all(part.isidentifier() for part in path):
        what = f"its scorer {target!r} is not a class of {' or '.join(PACKAGES)}"
        raise InputError(where, what, "do not use this file unless you know who made it")
    try:
        found = getattr(importlib.import_module(".".join(path[:-1])), path[-1], None)
    except ImportError:
        found = None
    if not (isinstance(found, type) and issubclass(found, nn.Module) and _is_ours(found)):
        raise InputError(where, f"there is no scorer {target} here", CURE)
    try:
        return found(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(where, f"{target} refuses its arguments ({error})", CURE) from error


def _is_ours(found: type) -> bool:
    """Whether a class is defined in one of PACKAGES, not only imported there."""
    return found.__module__.partition(".")[0] in PACKAGES


def _check_spec(
    scorer: nn.Module, spec: Mapping[str, Any], state: Mapping[str, torch.Tensor]
) -> None:
    """Refuse to save what could not be read again."""
    try:
        again = build_scorer(json.loads(json.dumps(spec)), "scorer_spec")
        again.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"scorer_spec does not describe the scorer: {error}") from error
    if type(again) is not type(scorer):
        raise ValueError(f"scorer_spec is a {type(again).__name__}, not {type(scorer).__name__}")


def _check_text(text: Any, side: Side, where: str) -> None:
    """As the data layer does, but without an upper limit: a long text has more chunks."""
    if fault := text_fault(f"the {side.upper()}", text, sys.maxsize):
        raise InputError(where, fault[1], fault[2])


def _check_settings(settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """The settings as `save_pretrained` wrote them, or InputError."""
    try:
        low, high = settings["cuts"]
        sound = (
            isinstance(settings["chunk_size"], int)
            and isinstance(settings["overlap"], int)
            and float(low) <= float(high)
            and settings["precision"] in get_args(Precision)
            and isinstance(settings["scorer"], dict)
        )
    except (ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise InputError(str(path), "its facts are not a matcher's settings", CURE)
    return settings


def _beside(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in the same parent, so that files can be linked instead of copied.

    It is called as those of `folders` are, so that `remove_leftovers` knows it after a kill.
    """
    ending = f".{os.getpid()}.jdcv-tmp"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(ending, f".{folder.name}.encoder", folder.parent)
    except OSError as error:
        what = f"it cannot be made ({error.strerror})"
        raise InputError(str(folder), what, "choose another folder, or free its rights") from error
