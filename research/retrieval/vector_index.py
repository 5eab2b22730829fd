"""Rows of vectors → the rows most like a query: FAISS behind a small protocol.

An index holds codes of vectors under row numbers and answers with inner products D and rows I.
Index types differ in what a code keeps of a vector and in how many codes a query is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jdcv_core.encoding.whitening import unit_rows as unit_rows
from jdcv_core.environment import openblas_kernels
from jdcv_core.errors import InputError, nearest
from research.retrieval.order import k_best

with openblas_kernels():
    import faiss

INDEX_TYPES = {
    "flat": "Flat",
    "fp16": "SQfp16",
    "sq8": "SQ8",
    "hnsw": "HNSW32",
    "ivf-flat": "IVF{lists},Flat",
    "ivf-sq8": "IVF{lists},SQ8",
    "ivf-pq": "RR{dim},IVF{lists},PQ{half}x4fs",
    "ivf-rabitq": "RR{dim},IVF{lists},RaBitQfs",
}
"""Name → FAISS's factory string. Any other factory string can be given instead of a name."""

SAMPLE = 64
"""Vectors a list that training needs at most; FAISS uses no more than 256, and warns below 39."""
EFFORT = 8
"""By default an IVF index searches one list in EFFORT."""
BLOCK = 16_384
"""Vectors that are rotated in one call."""
GPU_MOST = 2048
"""Rows, and lists, that FAISS's GPU indexes give at most in one search."""
TRIAL = 64
"""The width at which an index type is tried."""
SLACK = 16
"""Rows beyond k whose products a flat search computes again, so that rounding moves no row across
k."""


def check_index_type(index_type: str, dim: int = TRIAL) -> None:
    """Raises InputError for a name or factory string that FAISS does not know, or cannot make for
    vectors of a width."""
    FaissIndex.make(dim, index_type, 1000)


def use_threads(count: int) -> None:
    """Limit the threads of FAISS in this process. The default is one thread a core."""
    faiss.omp_set_num_threads(count)


@runtime_checkable
class VectorIndex(Protocol):
    """What a first stage needs of an index, whether it is in this process or on a server."""

    def __len__(self) -> int: ...

    def search(
        self,
        queries: np.ndarray,
        k: int,
        effort: int | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k rows of largest inner product with each query.

        queries: float32 [query, dim]
        effort:  lists that an IVF index probes, or efSearch of HNSW; None: the index's default
        allowed: row numbers int64 that may be found; None: all
        Returns D float32 [query, k], descending, and I int64 [query, k] the rows; -1 and -inf where
        fewer were found.
        """
        ...


class FaissIndex:
    """One FAISS index, on the CPU or copied to a GPU; inner product.

    index_type: a name in INDEX_TYPES, or a factory string of FAISS

    A flat index is exact: the products that FAISS found are computed again in float64 and rounded
    to float32, and equal scores are in the order of their rows. So its answers do not depend on
    FAISS's blocks or threads. The codes of other types are not exact, and neither is their order of
    near ties.
    """

    def __init__(self, index_type: str, index: Any) -> None:
        self.index_type = index_type
        self.index = index
        self._longest: float | None = None
        self._gpu: Any = None

    @classmethod
    def make(cls, dim: int, index_type: str, expected: int) -> FaissIndex:
        """An empty index.

        dim:        width of the vectors
        index_type: a name in INDEX_TYPES, or a factory string of FAISS
        expected:   how many vectors there will be. It decides the number of lists: the power of two
                    nearest to 2 * sqrt(expected), and at least 39 vectors a list

        Raises InputError for a name or factory string that FAISS does not know.
        """
        lists = 2 ** max(0, round(np.log2(2 * max(expected, 1) ** 0.5)))
        lists = max(1, min(lists, expected // 39))
        text = INDEX_TYPES.get(index_type, index_type).format(dim=dim, half=dim // 2, lists=lists)
        prefix = "" if "IVF" in text else "IDMap,"
        try:
            index = faiss.index_factory(dim, prefix + text, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as fault:
            known = nearest(index_type, list(INDEX_TYPES))
            cure = f"give a factory string of FAISS, or a name; {known}"
            what = f"FAISS makes no index of it for {dim} dimensions"
            raise InputError(f"index type {index_type!r}", what, cure) from fault
        made = cls(index_type, index)
        made._expect_few()
        return made

    def __len__(self) -> int:
        return int(self.index.ntotal)

    @property
    def dim(self) -> int:
        return int(self.index.d)

    @property
    def lists(self) -> int:
        """Lists of an IVF index; 0 of another."""
        ivf = self._ivf()
        return 0 if ivf is None else int(ivf.nlist)

    @property
    def sample(self) -> int:
        """Vectors that `train` should be given: 0 where there is nothing to train."""
        if self.index.is_trained:
            return 0
        return SAMPLE * (self.lists or 1024)

    def train(self, vectors: np.ndarray, overwrite: bool = False) -> None:
        """Fit centroids and quantisers to a sample, float32 [row, dim]. FAISS uses a fixed seed, so
        the same sample and number of threads give the same index.

        overwrite: a rotation may be applied to the sample in place; FAISS would make a copy
        """
        if self.index.is_trained:
            return
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        rotation = self._rotation()
        if rotation is None or not overwrite:
            self.index.train(vectors)
            return
        rotation.train(vectors)
        for at in range(0, len(vectors), BLOCK):
            vectors[at : at + BLOCK] = rotation.apply(vectors[at : at + BLOCK])
        self._inner().train(vectors)
        self.index.is_trained = True

    def to_gpu(self, device: int) -> bool:
        """Copy the index to a GPU and search there from now on. Returns whether that was possible:
        there is a GPU, and FAISS's GPU build has the index type (flat, ivf-flat, ivf-sq8, but not
        the types with fast scan).

        The CPU still does what the GPU cannot: filters, and more than GPU_MOST lists. The next
        change of the index drops the copy.
        """
        if faiss.get_num_gpus() <= device:
            return False
        self._resources = faiss.StandardGpuResources()
        try:
            found = faiss.index_cpu_to_gpu(self._resources, device, self.index)
        except RuntimeError:
            return False
        inner = found.index if isinstance(found, faiss.IndexIDMap) else found
        if isinstance(faiss.downcast_index(inner), faiss.GpuIndex):
            self._gpu = found
        return self._gpu is not None

    def empty(self) -> FaissIndex:
        """An index with the same training and no rows. Indexes of one training can be joined."""
        copy = faiss.clone_index(self.index)
        copy.reset()
        return FaissIndex(self.index_type, copy)

    def add(self, vectors: np.ndarray, rows: np.ndarray) -> None:
        """Add vectors float32 [row, dim] under row numbers int64 [row], each used once."""
        if len(vectors):
            self._longest = self._gpu = None
            self.index.add_with_ids(np.ascontiguousarray(vectors, dtype=np.float32), rows)

    def join(self, other: FaissIndex, offset: int) -> bool:
        """Move all rows of another index of the same training here and add `offset` to their
        numbers. The other index is empty afterwards, so no memory is used twice. Returns False and
        does nothing where the index type cannot be joined (HNSW)."""
        mine, theirs = self._inner(), other._inner()
        try:
            mine.check_compatible_for_merge(theirs)
            _append_to_full_blocks(mine, theirs, offset)
            mine.merge_from(theirs, offset)
        except RuntimeError:
            return False
        self.index.ntotal = mine.ntotal
        self._longest = self._gpu = None
        return True

    def search(
        self,
        queries: np.ndarray,
        k: int,
        effort: int | None = None,
        allowed: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `VectorIndex.search`. A GPU search, which has no filter, finds at most
        GPU_MOST - SLACK rows."""
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, max(1, len(self)))
        if allowed is not None:
            allowed = np.unique(np.asarray(allowed, dtype=np.int64))
            k = min(k, max(1, len(allowed)))
        if len(self) == 0 or (allowed is not None and len(allowed) == 0):
            shape = (len(queries), k)
            return np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        parameters = _Parameters(self, effort, allowed)
        if parameters.gpu:
            k = min(k, GPU_MOST - SLACK)
        if INDEX_TYPES.get(self.index_type) == "Flat":
            return self._exact(queries, k, parameters)
        found, rows = self._rough(queries, k, parameters)
        return np.where(rows < 0, -np.inf, found).astype(np.float32), rows

    def nbytes(self) -> int:
        """Bytes of the codes, row numbers and training, as `save` writes them."""
        writer = faiss.VectorIOWriter()
        faiss.write_index(self.index, writer)
        return int(writer.data.size())

    def save(self, path: Path) -> None:
        """Write the index into a file. Raises OSError where that fails."""
        try:
            faiss.write_index(self.index, str(path))
        except RuntimeError as fault:
            raise OSError(f"{path}: {str(fault).splitlines()[0]}") from fault

    @classmethod
    def load(cls, path: Path, index_type: str) -> FaissIndex:
        """Read what `save` wrote. FAISS trusts its files, so compare the hash of the file first.

        Raises InputError for a file that FAISS cannot read.
        """
        try:
            return cls(index_type, faiss.read_index(str(path)))
        except RuntimeError as fault:
            cure = "put a whole copy in its place, or build the index again"
            raise InputError(str(path), "FAISS cannot read it", cure) from fault

    def _inner(self) -> Any:
        """The index behind a rotation, or the index itself if there is no rotation."""
        index = faiss.downcast_index(self.index)
        return (
            faiss.downcast_index(index.index)
            if isinstance(index, faiss.IndexPreTransform)
            else index
        )

    def _expect_few(self) -> None:
        """Let FAISS train on few vectors, as of a small corpus, without a warning for each of its
        quantisers."""
        inner = self._inner()
        for owner in (inner, getattr(inner, "pq", inner)):
            if hasattr(owner, "cp"):
                owner.cp.min_points_per_centroid = 1

    def _rotation(self) -> Any:
        """The random rotation before the index, if it is the only transform before the index."""
        index = faiss.downcast_index(self.index)
        if not isinstance(index, faiss.IndexPreTransform) or index.chain.size() != 1:
            return None
        found = faiss.downcast_VectorTransform(index.chain.at(0))
        return found if isinstance(found, faiss.RandomRotationMatrix) else None

    def _ivf(self) -> Any:
        inner = self._inner()
        return inner if hasattr(inner, "nlist") else None

    def _rough(
        self, queries: np.ndarray, k: int, parameters: _Parameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """The answer as FAISS gives it."""
        on_gpu = parameters.gpu and k <= GPU_MOST
        engine = self._gpu if on_gpu else self.index
        found: tuple[np.ndarray, np.ndarray] = engine.search(
            queries, k, params=None if on_gpu and self._ivf() is None else parameters.cpu
        )
        return found

    def _exact(
        self, queries: np.ndarray, k: int, parameters: _Parameters
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k best by float64 products rounded to float32, ties in the order of rows.

        The error of FAISS's float32 products is at most `margin`. More rows are fetched until the
        last one is further than that below the k-th, so that no row outside can belong inside.
        """
        stored = faiss.downcast_index(self._inner().index)
        numbers = faiss.vector_to_array(self._inner().id_map)
        vectors = faiss.rev_swig_ptr(stored.get_xb(), stored.ntotal * stored.d)
        vectors = vectors.reshape(stored.ntotal, stored.d)
        if self._longest is None:
            self._longest = float(np.sqrt(np.einsum("rd,rd->r", vectors, vectors).max()))
        norms = np.linalg.norm(queries, axis=1) * self._longest
        margin = 2 * stored.d * np.finfo(np.float32).eps * norms
        order = np.argsort(numbers, kind="stable")
        out = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1)
        todo, fetch = np.arange(len(queries)), k + SLACK
        while len(todo):
            fetch = min(fetch, stored.ntotal)
            rough, rows = self._rough(queries[todo], fetch, parameters)
            again = []
            for at, query in enumerate(todo):
                real = rows[at][rows[at] >= 0]
                whole = len(real) < fetch or fetch == stored.ntotal
                if not whole and rough[at, k - 1] - rough[at, -1] <= margin[query]:
                    again.append(query)
                    continue
                real = np.sort(real)
                places = order[np.searchsorted(numbers, real, sorter=order)]
                exact = np.einsum(
                    "rd,d->r", vectors[places].astype(np.float64), queries[query].astype(np.float64)
                ).astype(np.float32)
                best = np.argsort(-exact, kind="stable")[:k]
                out[0][query, : len(best)], out[1][query, : len(best)] = exact[best], real[best]
            todo, fetch = np.array(again, dtype=int), fetch * 4
        return out


class _Parameters:
    """FAISS's parameters of one search; it also keeps alive the Python objects that they point at.

    cpu: SearchParameters; gpu: whether the GPU can do this search
    """

    def __init__(self, index: FaissIndex, effort: int | None, allowed: np.ndarray | None) -> None:
        selected = {}
        if allowed is not None:
            self._bits = np.zeros(int(allowed[-1]) // 8 + 1, np.uint8)
            np.bitwise_or.at(
                self._bits, allowed // 8, np.left_shift(1, allowed % 8).astype(np.uint8)
            )
            self._selector = selected["sel"] = faiss.IDSelectorBitmap(self._bits)
        lists = 0
        ivf = index._ivf()
        if ivf is not None:
            lists = min(ivf.nlist, effort or max(1, ivf.nlist // EFFORT))
            parameters = faiss.IVFSearchParameters(nprobe=lists, **selected)
        elif "HNSW" in INDEX_TYPES.get(index.index_type, index.index_type):
            parameters = faiss.SearchParametersHNSW(efSearch=effort or 64, **selected)
        else:
            parameters = faiss.SearchParameters(**selected)
        self._inner = parameters
        if isinstance(faiss.downcast_index(index.index), faiss.IndexPreTransform):
            parameters = faiss.SearchParametersPreTransform(index_params=parameters)
        self.cpu = parameters
        self.gpu = index._gpu is not None and allowed is None and lists <= GPU_MOST


def _append_to_full_blocks(mine: Any, theirs: Any, offset: int) -> None:
    """Move the lists that FAISS (1.15.1) would write outside of its memory.

    Fast-scan codes lie in blocks of `n_per_block` rows and `block_size` bytes. If a list has a
    multiple of `block_size` rows, `BlockInvertedLists::add_entries` copies too much, and to a wrong
    place, because it mixes up rows and bytes. All blocks of such a list are full, so the blocks of
    the other index can be appended as they are. A list that is moved here is empty in
    `theirs` afterwards, and `merge_from`, which adds up the row counts, skips it.
    """
    if not (hasattr(mine, "invlists") and hasattr(theirs, "invlists")):
        return
    to, source = (faiss.downcast_InvertedLists(i.invlists) for i in (mine, theirs))
    if not isinstance(to, faiss.BlockInvertedLists):
        return
    for at in range(to.nlist):
        old = to.list_size(at)
        new = source.list_size(at)
        if old == 0 or old % to.block_size or new == 0:
            continue
        start = old // to.n_per_block * to.block_size
        size = -(-new // to.n_per_block) * to.block_size
        to.resize(at, old + new)
        codes = faiss.rev_swig_ptr(to.get_codes(at), start + size)
        codes[start:] = faiss.rev_swig_ptr(source.get_codes(at), size)
        rows = faiss.rev_swig_ptr(to.get_ids(at), old + new)
        rows[old:] = faiss.rev_swig_ptr(source.get_ids(at), new) + offset
        source.resize(at, 0)


def joined(indexes: Sequence[FaissIndex], offsets: Sequence[int]) -> list[tuple[FaissIndex, int]]:
    """The same rows in as few indexes as the index type allows (one; for HNSW all of them), each
    with the offset to add to its row numbers.

    offsets: for each index, the number of its row 0 among the rows of all
    """
    if not indexes:
        return []
    first = indexes[0]
    pairs = zip(indexes[1:], offsets[1:], strict=True)
    if offsets[0] == 0 and all(first.join(other, offset) for other, offset in pairs):
        return [(first, 0)]
    return list(zip(indexes, offsets, strict=True))


def search_all(
    indexes: Sequence[tuple[VectorIndex, int]],
    queries: np.ndarray,
    k: int,
    effort: int | None = None,
    allowed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k best rows of several indexes together, as `VectorIndex.search`; `indexes` as `joined`
    returns them."""
    scores = [np.empty((len(queries), 0), np.float32)]
    rows = [np.empty((len(queries), 0), np.int64)]
    for index, offset in indexes:
        own = allowed
        if allowed is not None and len(indexes) > 1:
            own = allowed[(allowed >= offset) & (allowed < offset + len(index))] - offset
        d, i = index.search(queries, k, effort, own)
        scores.append(d)
        rows.append(np.where(i < 0, i, i + offset))
    if len(scores) == 2:
        return scores[1], rows[1]
    d, i = np.concatenate(scores, axis=1), np.concatenate(rows, axis=1)
    places = [k_best(*of_query, k) for of_query in zip(d, i, strict=True)]
    best = np.array(places, dtype=np.int64).reshape(len(queries), -1)
    return np.take_along_axis(d, best, 1), np.take_along_axis(i, best, 1)
