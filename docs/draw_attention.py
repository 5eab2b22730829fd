"""Draw the README's picture: a JD and a CV, chunk by chunk, and the attention between them.

    make figure
    python docs/draw_attention.py [cache_dir=FOLDER ...]

It trains chunk attention on the demo corpus by `+exp=chunk_attention` (one seed; the given
arguments are added), loads the saved model, and draws a test pair. The pair is a Good Fit, is
predicted as a Good Fit, has at most 4 × 6 chunks, and has the least even attention of such pairs.
A card shows the lines of its chunk that are most similar to the other document, by TF-IDF.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve
from sklearn.feature_extraction.text import TfidfVectorizer

from jdcv_core import LABELS, ChunkVectors, Encoded, Matcher, demo_corpus, make_split
from jdcv_core.evaluation.classification import GOOD
from jdcv_core.scoring import score_encoded
from jdcv_core.types import SIDES

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "images" / "attention.png"
ROWS = 'rows=["mean over chunk pairs","self + cross attention"]'
COLOURS = ("#4f6bed", "#e0653a", "#1f9d74", "#a64ac9")
INK, PALE = "#1f2430", "#8a91a3"
JDS, CVS = (3, 4), (4, 6)
"""Smallest and largest number of chunks of the drawn JD and CV."""


def train(folder: Path, arguments: list[str]) -> Matcher:
    """Train chunk attention by the experiment of that name."""
    command = [sys.executable, "experiments/run.py", "+exp=chunk_attention", ROWS]
    command += ["seeds=[0]", "save_models=true", f"runs_dir={folder}", *arguments]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    (saved,) = folder.glob("*/*/models/self-cross-attention*")
    return Matcher.from_pretrained(saved)


def attention(matcher: Matcher, cv: Encoded, jd: Encoded) -> np.ndarray:
    """Return the attention of JD chunk i to CV chunk k, [JD chunk, CV chunk]; rows sum to 1."""
    sides = [ChunkVectors.pad({"one": own.vectors}, ["one"]) for own in (jd, cv)]
    weights: torch.Tensor = matcher.scorer.cross_attention(*sides)[0]
    return weights.numpy()


def choose(matcher: Matcher) -> tuple[Encoded, Encoded, np.ndarray, float]:
    """Return JD, CV, attention and score of the pair to draw."""
    dataset = demo_corpus()
    test = [dataset.pairs[i] for i in make_split(dataset, "jd", seed=0).test]
    good = [pair for pair in test if pair.label == GOOD]
    texts = {i: dataset.documents[i].text for pair in good for i in (pair.cv, pair.jd)}
    known: dict[str, Encoded] = {}
    for side in SIDES:
        ids = [i for i in texts if i.startswith(side)]
        known |= dict(zip(ids, matcher.encode([texts[i] for i in ids], side=side), strict=True))
    scores = score_encoded(matcher.scorer, [(pair.cv, pair.jd) for pair in good], known)
    found = []
    for pair, score in zip(good, scores.tolist(), strict=True):
        cv, jd = known[pair.cv], known[pair.jd]
        fits = JDS[0] <= len(jd.chunks) <= JDS[1] and CVS[0] <= len(cv.chunks) <= CVS[1]
        if fits and matcher.label(score) == LABELS[GOOD]:
            weights = attention(matcher, cv, jd)
            found.append((float(weights.max(1).mean()), jd, cv, weights, score))
    _, jd, cv, weights, score = max(found, key=lambda each: each[0])
    return jd, cv, weights, score


def draw(jd: Encoded, cv: Encoded, weights: np.ndarray, score: float, label: str) -> None:
    """Write OUT: cards for the chunks, and curves whose width is the attention weight."""
    rows = max(weights.shape)
    words = TfidfVectorizer(stop_words="english").fit(
        line for own in (jd, cv) for line in own.document.text.splitlines()
    )
    figure, axis = plt.subplots(figsize=(12.6, 0.92 * rows + 1.2))
    figure.patch.set_facecolor("white")
    axis.set(xlim=(-0.05, 12.05), ylim=(-0.55, rows + 0.75))
    axis.axis("off")
    places = {}
    for side, own, left, width in (("JD", jd, 0.0, 4.5), ("CV", cv, 7.5, 4.5)):
        count = len(own.chunks)
        gap = rows / count
        title = "Job description" if side == "JD" else "CV"
        axis.text(left, rows + 0.4, title, fontsize=15, weight="bold", color=INK)
        axis.text(left + width, rows + 0.4, f"{count} chunks", fontsize=11, color=PALE, ha="right")
        other = words.transform([(cv if side == "JD" else jd).document.text])
        for at, chunk in enumerate(own.chunks):
            middle = rows - gap * (at + 0.5)
            colour = COLOURS[at if side == "JD" else int(weights[:, at].argmax())]
            lines = own.document.text[chunk.start : chunk.end].strip().splitlines()
            shared = (words.transform(lines) @ other.T).toarray()[:, 0]
            best = sorted(np.argsort(-shared, kind="stable")[:2])
            card(axis, left, middle, width, [lines[i] for i in best], colour)
            places[side, at] = (left + width if side == "JD" else left, middle)
    widest = weights.max()
    for i, k in sorted(np.ndindex(*weights.shape), key=lambda ik: weights[ik]):
        share = weights[i, k] / widest
        (x0, y0), (x1, y1) = places["JD", i], places["CV", k]
        middle = (x0 + x1) / 2
        curve = Curve([(x0, y0), (middle, y0), (middle, y1), (x1, y1)], [1, 4, 4, 4])
        look = {"linewidth": 0.4 + 9 * share, "alpha": 0.12 + 0.68 * share}
        axis.add_patch(PathPatch(curve, fill=False, edgecolor=COLOURS[i], capstyle="butt", **look))
    note = "width of a line: how much a JD chunk attends to a CV chunk"
    axis.text(0.0, -0.38, note, fontsize=10.5, color=PALE)
    look = {"fontsize": 12, "weight": "bold", "color": INK, "ha": "right"}
    axis.text(12.0, -0.38, f"score {score:.2f}   {label}", **look)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=150, bbox_inches="tight", pad_inches=0.15)
    plt.close(figure)


def card(
    axis: Axes, left: float, middle: float, width: float, lines: list[str], colour: str
) -> None:
    """Draw a rounded box with lines of a chunk."""
    look = {"boxstyle": "round,pad=0,rounding_size=0.09", "facecolor": "#f6f7fb"}
    corner = (left, middle - 0.37)
    axis.add_patch(FancyBboxPatch(corner, width, 0.74, edgecolor="#d9dce7", linewidth=1, **look))
    axis.plot(
        [left + 0.09] * 2,
        [middle - 0.24, middle + 0.24],
        color=colour,
        linewidth=4,
        solid_capstyle="round",
    )
    text = "\n".join(textwrap.shorten(line, 52, placeholder=" …") for line in lines)
    axis.text(left + 0.24, middle, text, fontsize=8.6, color=INK, va="center", linespacing=1.4)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        matcher = train(Path(folder), sys.argv[1:])
        jd, cv, weights, score = choose(matcher)
        draw(jd, cv, weights, score, matcher.label(score))
    print(f"wrote {OUT.relative_to(ROOT)}: {jd.document.id} and {cv.document.id}")


if __name__ == "__main__":
    main()
