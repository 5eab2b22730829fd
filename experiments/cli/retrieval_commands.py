"""`jdcv index`, `search`, `rank` and `erase`: a folder of documents, made searchable."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import check_out, read_text, say
from jdcv_core.data.text_folder import read_texts
from jdcv_core.errors import InputError
from jdcv_core.types import Side

if TYPE_CHECKING:
    from research.retrieval import Retriever

INDEX_EXAMPLES = """\
examples
  a folder of CVs, one text file each; the name of a file is its id
    jdcv index --cvs cvs/ --index cvs.index
  the same after files were added or changed: only these are read
    jdcv index --cvs cvs/ --index cvs.index
  with the encoder of a trained model; compressed
    jdcv index --cvs cvs/ --index cvs.index --model runs/baseline/ID/models/lora --type ivf-rabitq
  JDs, to be searched with a CV
    jdcv index --jds jds/ --index jds.index
"""
SEARCH_EXAMPLES = """\
examples
  the ten best CVs for a JD, with the chunk pairs and experiences that matched
    jdcv search --index cvs.index --jd jd.txt
  among some CVs only (a file with one id on each line), as JSON
    jdcv search --index cvs.index --jd jd.txt --only ids.txt --json
  reranked by the model that the index was made with
    jdcv search --index cvs.index --jd jd.txt --rerank 200
  JDs for a CV
    jdcv search --index jds.index --cv cv.txt
"""
RANK_EXAMPLES = """\
examples
  every JD of a folder, into a TREC run file
    jdcv rank --index cvs.index --jds jds/ --out run.txt
  a TREC-style folder (corpus/, queries/, qrels.tsv): index, search and evaluate it
    jdcv rank --trec folder/ --out run.txt
"""
ERASE_EXAMPLES = """\
examples
  remove a person: codes, vectors, text, id, and the cached vectors
    jdcv erase --index cvs.index --id 17
"""
CACHE = Path("~/.cache/jdcv")


def add_commands(commands: Any) -> None:
    """Add the four commands to the parser of `jdcv`."""

    def command(name: str, run: Callable[..., None], text: str, examples: str) -> Any:
        found = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        found.set_defaults(command=run)
        return found.add_argument

    add = command("index", run_index, "make or update an index of documents", INDEX_EXAMPLES)
    add("--cvs", type=Path, metavar="FOLDER", help="text files (UTF-8), one CV each")
    add("--jds", type=Path, metavar="FOLDER", help="text files of JDs instead of CVs")
    add("--index", type=Path, required=True, metavar="FOLDER", help="the index to make or update")
    add("--model", type=Path, metavar="FOLDER", help="a saved matcher; default: all-MiniLM-L6-v2")
    names = "auto, flat, fp16, sq8, hnsw, ivf-flat, ivf-sq8, ivf-pq, ivf-rabitq"
    text = f"{names} or a factory string of FAISS; default: %(default)s"
    add("--type", default="auto", metavar="NAME", help=text)
    add(
        "--chunk-size",
        type=int,
        metavar="TOKENS",
        help="most tokens in a chunk; default: what the encoder reads",
    )
    _add_common(add)

    add = command("search", run_search, "find the best documents for a text", SEARCH_EXAMPLES)
    add("--index", type=Path, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--jd", type=Path, metavar="FILE", help="the text of a JD, to search CVs")
    add("--cv", type=Path, metavar="FILE", help="the text of a CV, to search JDs")
    add("--json", action="store_true", help="print JSON")
    _add_search(add)

    add = command("rank", run_rank, "rank documents for every text of a folder", RANK_EXAMPLES)
    add("--index", type=Path, metavar="FOLDER", help="made by jdcv index")
    add("--jds", type=Path, metavar="FOLDER", help="text files of JDs, to rank CVs")
    add("--cvs", type=Path, metavar="FOLDER", help="text files of CVs, to rank JDs")
    add("--trec", type=Path, metavar="FOLDER", help="corpus/, queries/, and optionally qrels.tsv")
    add("--qrels", type=Path, metavar="FILE", help="lines `query 0 document grade`, to evaluate")
    text = "the lowest grade that counts as relevant; default: %(default)s"
    add("--relevant", type=int, default=1, metavar="GRADE", help=text)
    add("--out", type=Path, required=True, metavar="FILE", help="the TREC run file to write")
    add("--force", action="store_true", help="replace the file --out if it exists")
    _add_search(add, k=100)

    add = command("erase", run_erase, "remove documents from an index for good", ERASE_EXAMPLES)
    add("--index", type=Path, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--id", action="append", required=True, metavar="ID", help="may be given several times")
    add("--cache-dir", type=Path, default=CACHE, metavar="FOLDER", help="default: %(default)s")


def _add_common(add: Any) -> None:
    text = "of encoder and index: a torch device, or auto: CUDA if there is a GPU"
    add("--device", default="auto", help=text)
    text = "keeps the chunk vectors; default: %(default)s"
    add("--cache-dir", type=Path, default=CACHE, metavar="FOLDER", help=text)


def _add_search(add: Any, k: int = 10) -> None:
    add("--k", type=int, default=k, help="documents for each query; default: %(default)s")
    text = "candidates that are scored exactly; default: %(default)s"
    add("--depth", type=int, default=2000, metavar="N", help=text)
    text = "hits that each chunk takes from the index; default: twice --depth"
    add("--hits", type=int, metavar="N", help=text)
    text = "lists that are probed (nprobe), or efSearch; default: an eighth of the lists"
    add("--effort", type=int, metavar="N", help=text)
    text = "the best N are scored by the model that the index was made with"
    add("--rerank", type=int, default=0, metavar="N", help=text)
    text = "a file with one id on each line: only these documents can be found"
    add("--only", type=Path, metavar="FILE", help=text)
    text = "the folder of that model, if it was moved"
    add("--model", type=Path, metavar="FOLDER", help=text)
    _add_common(add)


def run_index(arguments: argparse.Namespace) -> None:
    """`jdcv index`: make an index, or put what is new or changed into it."""
    from research.retrieval import Retriever

    if (arguments.cvs is None) == (arguments.jds is None):
        raise InputError("jdcv index", "it needs one kind of documents", "give --cvs, or --jds")
    side: Side = "cv" if arguments.jds is None else "jd"
    texts = read_texts(arguments.cvs or arguments.jds)
    options = {"device": arguments.device, "cache_dir": arguments.cache_dir}
    size = arguments.chunk_size
    if not arguments.index.exists():
        index = Retriever.build(
            arguments.index,
            texts,
            model=arguments.model,
            side=side,
            index_type=arguments.type,
            chunk_size=size,
            **options,
        )
        added, replaced = len(index), 0
    else:
        index = Retriever.open(arguments.index, model=arguments.model, **options)
        index.check_query_side("jd" if side == "cv" else "cv")
        if size not in (None, index.chunk_size):
            what = f"its chunks have at most {index.chunk_size} tokens"
            raise InputError(str(arguments.index), what, "leave --chunk-size out")
        added, replaced, unchanged = index.put(texts)
        if unchanged == len(texts):
            print(f"{len(index)} documents, none is new or changed: {arguments.index}")
            return
    print(
        f"{len(index)} documents ({added} new, {replaced} replaced), {index.chunk_count} chunks, "
        f"type {index.index_type}: {arguments.index}"
    )


def run_search(arguments: argparse.Namespace) -> None:
    """`jdcv search`: the best documents for one text."""
    if (arguments.cv is None) == (arguments.jd is None):
        raise InputError("jdcv search", "it needs one text to search with", "give --jd, or --cv")
    cv = None if arguments.cv is None else read_text(arguments.cv)
    jd = None if arguments.jd is None else read_text(arguments.jd)
    index = _opened(arguments, "jd" if cv is None else "cv")
    found = index.search(cv=cv, jd=jd, **_how(arguments, index))
    if arguments.json:
        print(json.dumps([match.as_dict() for match in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(f"{place:>3}. {match}" for place, match in enumerate(found, start=1)))


def run_rank(arguments: argparse.Namespace) -> None:
    """`jdcv rank`: a run file of all queries, evaluated where there are judgements."""
    from research.retrieval import Retriever, trec

    check_out(arguments.out, arguments.force)
    given = [n for n in ("index", "trec") if getattr(arguments, n) is not None]
    if len(given) != 1 or (given == ["index"]) == (arguments.jds is None and arguments.cvs is None):
        what = "it needs an index and queries, or a TREC-style folder"
        raise InputError("jdcv rank", what, "give --index with --jds or --cvs, or --trec alone")
    qrels = None if arguments.qrels is None else trec.read_qrels(arguments.qrels)
    with ExitStack() as stack:
        if arguments.trec is not None:
            _check_numbers(arguments)
            texts, queries, judged = trec.read_folder(arguments.trec)
            qrels = qrels or judged
            space = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            index = Retriever.build(
                space / "index",
                texts,
                model=arguments.model,
                device=arguments.device,
                cache_dir=arguments.cache_dir,
            )
        else:
            queries = read_texts(arguments.jds or arguments.cvs)
            index = _opened(arguments, "jd" if arguments.cvs is None else "cv")
        run = index.rank(queries, **_how(arguments, index))
    trec.write_run(arguments.out, run, "jdcv")
    print(f"{len(run)} queries, {sum(map(len, run.values()))} lines: {arguments.out}")
    if qrels is not None:
        _show_metrics(qrels, run, arguments.relevant)


def run_erase(arguments: argparse.Namespace) -> None:
    """`jdcv erase`: documents of an index, and the cached vectors of the same texts."""
    from research.retrieval import Retriever

    index = Retriever.open(arguments.index, cache_dir=arguments.cache_dir, verify=False)
    forgotten = index.erase(arguments.id)
    print(
        f"{len(arguments.id)} erased, {len(index)} documents are left: {arguments.index}; "
        f"{forgotten} erased from {arguments.cache_dir.expanduser() / 'vectors.sqlite'}"
    )


def _opened(arguments: argparse.Namespace, asked: Side) -> Retriever:
    """The index, for queries of a side."""
    from research.retrieval import Retriever

    _check_numbers(arguments)
    options = {"device": arguments.device, "cache_dir": arguments.cache_dir}
    index = Retriever.open(arguments.index, model=arguments.model, **options)
    index.check_query_side(asked)
    return index


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name in ("k", "depth", "hits", "effort"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}", "it must be at least 1", "give 1 or more")
    if arguments.rerank < 0:
        raise InputError("--rerank", "it must not be below 0", "give 0 for no reranking")


def _how(arguments: argparse.Namespace, index: Retriever) -> dict[str, Any]:
    """The arguments of a search: how many, how deep, and among which documents."""
    from research.retrieval import Depth

    depth = Depth(arguments.hits or 2 * arguments.depth, arguments.depth, arguments.effort)
    only = None if arguments.only is None else _only(arguments.only, set(index.ids))
    return {"k": arguments.k, "depth": depth, "rerank": arguments.rerank, "only": only}


def _only(path: Path, known: set[str]) -> list[str]:
    """The ids in a file, one on each line."""
    found = []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        name = line.strip()
        if name and name not in known:
            what = f"the index has no document {name!r}"
            raise InputError(f"{path}, row {row}", what, "take the line out, or index it")
        found += [name] if name else []
    return found


def _show_metrics(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]], relevant: int
) -> None:
    """Print the figures of a run, and how many judged queries it lacks."""
    from jdcv_core.evaluation.metrics import SEARCH
    from jdcv_core.evaluation.ranking import mean_over_queries
    from research.retrieval import retrieval_metrics

    found = retrieval_metrics(qrels, run, k=10, relevant=relevant)
    line = ", ".join(f"{SEARCH[m]} {mean_over_queries(v):.4f}" for m, v in found.items())
    print(f"{len(qrels)} judged queries: {line}")
    if missing := len(set(qrels) - set(run)):
        say(f"{missing} judged queries were not asked and count as 0")
