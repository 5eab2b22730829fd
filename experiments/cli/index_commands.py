"""`jdcv index` and `jdcv erase`: an index is made, brought up to date, and documents leave it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import counted, read_folder_of_texts, say
from jdcv_core.data.documents.file_text import HiddenMode
from jdcv_core.data.text_folder import list_folder
from jdcv_core.errors import SHOWN, InputError, names
from jdcv_core.types import Side

if TYPE_CHECKING:
    from research.retrieval import Retriever


def run_index(arguments: argparse.Namespace) -> None:
    """`jdcv index`: make an index, or put what is new or changed into it."""
    if (arguments.cvs is None) == (arguments.jds is None):
        raise InputError("jdcv index", "it needs one kind of documents", "give --cvs, or --jds")
    side: Side = "cv" if arguments.jds is None else "jd"
    folder: Path = arguments.cvs or arguments.jds
    if arguments.index.exists():
        _update(arguments, folder, side)
    else:
        _make(arguments, folder, side)


def run_erase(arguments: argparse.Namespace) -> None:
    """`jdcv erase`: documents of an index, and the cached vectors of the same texts."""
    from research.retrieval import Retriever

    index = Retriever.open(arguments.index, cache_dir=arguments.cache_dir, verify=False)
    _erase(arguments, index, arguments.id, "erased")


def _make(arguments: argparse.Namespace, folder: Path, side: Side) -> None:
    from research.retrieval import Retriever

    texts = _texts(folder, arguments.hidden)
    index = Retriever.build(
        arguments.index,
        texts,
        model=arguments.model,
        side=side,
        index_type=arguments.type or "auto",
        chunk_size=arguments.chunk_size,
        device=arguments.device,
        cache_dir=arguments.cache_dir,
    )
    _say_state(index, f"{len(index)} new, 0 replaced", arguments.index)
    _say_duplicates(index)


def _update(arguments: argparse.Namespace, folder: Path, side: Side) -> None:
    """Bring an index up to date, or make it again with other options."""
    from research.retrieval import Retriever

    options = {"device": arguments.device, "cache_dir": arguments.cache_dir}
    index = Retriever.open(arguments.index, model=arguments.model, **options)
    if index.side != side:
        what = f"it holds {index.side.upper()}s, not {side.upper()}s"
        raise InputError(str(arguments.index), what, f"give --{index.side}s, or another --index")
    if not arguments.rebuild:
        _check_options(arguments, index)
    texts = _texts(folder, arguments.hidden)
    known = {index.index.id_of(name) for name in texts}
    gone = [name for name in index.ids if name not in known]
    if arguments.rebuild:
        kept = {} if arguments.prune else {name: index.text(name) for name in gone}
        index = _rebuilt(arguments, index, {**kept, **texts})
        _say_state(index, "made again", arguments.index)
        gone = [] if arguments.prune else gone
    else:
        added, replaced, unchanged = index.put(texts)
        if unchanged == len(texts):
            print(f"{len(index)} documents, none is new or changed: {arguments.index}")
        else:
            _say_state(index, f"{added} new, {replaced} replaced", arguments.index)
    if gone:
        have = "document has" if len(gone) == 1 else "documents have"
        print(f"{len(gone)} {have} no file any more: {names(gone)}")
        if arguments.prune:
            _erase(arguments, index, gone, "removed")
        else:
            print("  --prune removes them from the index")
    _say_duplicates(index)


def _texts(folder: Path, hidden: HiddenMode) -> dict[str, str]:
    """The texts of a folder; what is not read of it is said."""
    left_out = list_folder(folder).left_out
    texts = read_folder_of_texts(folder, hidden)
    if left_out:
        say(f"not read (hidden, or written by jdcv): {names(left_out)}")
    return texts


def _check_options(arguments: argparse.Namespace, index: Retriever) -> None:
    """Refuse options that differ from those that the index was made with."""
    from research.retrieval.vector_index import INDEX_TYPES, check_index_type

    def refuse(option: str, have: Any, asked: Any) -> None:
        what = f"it was made with {option} {have}, and {option} {asked} is given"
        cure = f"leave {option} out, or give --rebuild to make the index again"
        raise InputError(str(arguments.index), what, cure)

    kind = arguments.type
    if kind not in (None, "auto"):
        check_index_type(kind)
        if INDEX_TYPES.get(kind, kind) != INDEX_TYPES.get(index.index_type, index.index_type):
            refuse("--type", index.index_type, kind)
    if arguments.chunk_size not in (None, index.chunk_size):
        refuse("--chunk-size", index.chunk_size, arguments.chunk_size)
    if arguments.model is not None:
        index.model.check()


def _rebuilt(
    arguments: argparse.Namespace, index: Retriever, texts: Mapping[str, str]
) -> Retriever:
    """The index made again: with the options that are given, and otherwise those that it has."""
    from research.retrieval import Retriever

    model, size = arguments.model, arguments.chunk_size
    if model is None:
        model = index.model.location
        size = size or (index.chunk_size if model is None else None)
    return Retriever.build(
        arguments.index,
        texts,
        model=model,
        side=index.side,
        index_type=arguments.type or index.index_type,
        chunk_size=size,
        device=arguments.device,
        cache_dir=arguments.cache_dir,
        rebuild=True,
    )


def _erase(arguments: argparse.Namespace, index: Retriever, ids: list[str], done: str) -> None:
    before = len(index)
    forgotten = index.erase(ids)
    print(
        f"{before - len(index)} {done}, {len(index)} documents are left: {arguments.index}; "
        f"{forgotten} erased from {arguments.cache_dir.expanduser() / 'vectors.sqlite'}"
    )


def _say_state(index: Retriever, change: str, folder: Path) -> None:
    print(
        f"{len(index)} documents ({change}), {index.chunk_count} chunks, "
        f"type {index.index_type}: {folder}"
    )


def _say_duplicates(index: Retriever) -> None:
    """Print which documents have nearly the same text."""
    groups = index.near_duplicates()
    if not groups:
        return
    count = sum(map(len, groups))
    print(f"{count} documents are near-duplicates, in {counted(len(groups), 'group')}:")
    for first, *others in groups[:SHOWN]:
        print(f"  {first} = {names(others)}")
    if len(groups) > SHOWN:
        print(f"  and {len(groups) - SHOWN} more groups")
