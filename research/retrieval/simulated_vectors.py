"""Simulated documents, to try retrieval at a scale for which there are no texts: chunk vectors, and
words (`simulated_words`) that go with the same occupations. Ours.

    v = unit(common + occupation + topic of the occupation + person + noise)

A CV has one occupation (2,000 of them, unevenly frequent) and in each chunk one of its 24 topics; a
JD likewise. All parts but the common one are normal with one spectrum, whose directions count
unequally. The variances are set so that cosines are near those of all-MiniLM-L6-v2 on 128-token
chunks of 333 real CVs and 197 JDs (mean ± deviation; test_simulated.py compares them):

    cosine of two chunks        real          simulated
    of one CV                   .44 ± .15     .48 ± .11
    of two CVs                  .25 ± .12     .26 ± .10
    of a JD and a CV            .23 ± .12     .26 ± .10

They are simpler than real vectors: 50 directions hold 73% of their variance about the mean, and 61%
of that of real vectors. So codes may lose more of real vectors than of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from research.retrieval.index_folder import IndexFolder
from research.retrieval.segment import Entry
from research.retrieval.simulated_words import CV_TOKENS, JD_TOKENS, draw_words
from research.retrieval.vector_index import unit_rows

OCCUPATIONS, TOPICS = 2000, 24
COMMON, OCCUPATION, TOPIC, PERSON, NOISE = 0.255, 0.14, 0.30, 0.07, 0.235
"""The share of each part in the squared length."""
BLOCK = 2048
"""CVs that are drawn together; each block has a seed."""


@dataclass(frozen=True)
class Simulated:
    """Simulated documents; the same arguments give the same vectors, block by block.

    cvs:               how many CVs
    chunks, jd_chunks: chunks of each CV and of each JD
    dim:               width of a vector
    """

    cvs: int
    chunks: int = 4
    jd_chunks: int = 2
    dim: int = 384
    seed: int = 0

    @property
    def blocks(self) -> int:
        return -(-self.cvs // BLOCK)

    def block(self, number: int) -> np.ndarray:
        """The CVs from number * BLOCK on: float32 [cv, chunk, dim], of unit length."""
        count = min(BLOCK, self.cvs - number * BLOCK)
        return self._draw(count, self.chunks, [self.seed, 1, number])

    def each(self) -> Iterator[np.ndarray]:
        """All blocks in order."""
        return (self.block(number) for number in range(self.blocks))

    def entries(self) -> Iterator[Entry]:
        """All CVs for an index, with words but without texts; ids are their numbers."""
        for number in range(self.blocks):
            seed = [self.seed, 1, number]
            count = min(BLOCK, self.cvs - number * BLOCK)
            words = draw_words(self._occupations(count, seed), CV_TOKENS, [*seed, 0])
            for at, vectors in enumerate(self.block(number)):
                yield Entry(f"{number * BLOCK + at:08d}", vectors, words=words[at])

    def index(self, folder: Path, index_type: str) -> IndexFolder:
        """All CVs in a new index, see `IndexFolder.create`."""
        sample = (vectors for block in self.each() for vectors in block)
        made = IndexFolder.create(folder, sample, self.cvs, index_type)
        return made.put(self.entries(), self.cvs)

    def jds(self, count: int) -> np.ndarray:
        """float32 [jd, chunk, dim], of unit length."""
        return self._draw(count, self.jd_chunks, [self.seed, 2])

    def queries(self, count: int) -> list[Entry]:
        """The same JDs with their words."""
        seed = [self.seed, 2]
        words = draw_words(self._occupations(count, seed), JD_TOKENS, [*seed, 0])
        jds = zip(self.jds(count), words, strict=True)
        return [Entry(str(n), vectors, words=own) for n, (vectors, own) in enumerate(jds)]

    def _occupations(self, count: int, seed: list[int]) -> np.ndarray:
        """The occupations that `_draw` gives documents: int [document]."""
        return np.random.default_rng(seed).choice(OCCUPATIONS, count, p=self._world[-1])

    def _draw(self, count: int, chunks: int, seed: list[int]) -> np.ndarray:
        deviation, rotation, common, occupations, topics, frequency = self._world
        rng = np.random.default_rng(seed)
        occupation = rng.choice(OCCUPATIONS, count, p=frequency)  # as `_occupations` draws them
        topic = rng.integers(0, TOPICS, (count, chunks))
        vectors = rng.standard_normal((count, chunks, self.dim), dtype=np.float32)
        vectors *= deviation * np.float32(NOISE**0.5)
        person = rng.standard_normal((count, 1, self.dim), dtype=np.float32)
        vectors += person * deviation * np.float32(PERSON**0.5)
        vectors += occupations[occupation][:, None] + topics[occupation[:, None], topic] + common
        flat = unit_rows(vectors.reshape(-1, self.dim) @ rotation)
        return flat.reshape(count, chunks, self.dim)

    @cached_property
    def _world(self) -> tuple[np.ndarray, ...]:
        """The parts that all documents share; the rotation turns directions away from the axes."""
        rng = np.random.default_rng([self.seed, 0])
        rank = np.arange(self.dim)
        spectrum = np.exp(-rank / 150) / (rank + 6)
        deviation = np.sqrt(spectrum / spectrum.sum()).astype(np.float32)
        rotation = np.linalg.qr(rng.standard_normal((self.dim, self.dim)))[0].astype(np.float32)
        common = rng.standard_normal(self.dim)
        common *= COMMON**0.5 / np.linalg.norm(common)

        def parts(share: float, *shape: int) -> np.ndarray:
            drawn = rng.standard_normal((*shape, self.dim), dtype=np.float32)
            return drawn * deviation * np.float32(share**0.5)

        occupations, topics = parts(OCCUPATION, OCCUPATIONS), parts(TOPIC, OCCUPATIONS, TOPICS)
        frequency = 1 / np.arange(1, OCCUPATIONS + 1) ** 0.7
        world = (deviation, rotation, common.astype(np.float32), occupations, topics)
        return (*world, frequency / frequency.sum())
