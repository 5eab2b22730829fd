"""The options of `jdcv index`, `search`, `rank` and `erase`: a folder of documents, made
searchable. `index_commands` and `search_commands` run them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.cli.index_commands import run_erase, run_index
from experiments.cli.search_commands import run_rank, run_search
from experiments.cli.text_files import add_hidden
from jdcv_core.data.text_folder import spelled

INDEX_EXAMPLES = """\
examples
  a folder of CVs, one file each (text, PDF, DOCX, …); the name of a file is its id
    jdcv index --cvs cvs/ --index cvs.index
  the same after files were added or changed: only these are read
    jdcv index --cvs cvs/ --index cvs.index
  the same, and documents whose files were removed or renamed leave the index
    jdcv index --cvs cvs/ --index cvs.index --prune
  an index that exists, made again in smaller chunks
    jdcv index --cvs cvs/ --index cvs.index --chunk-size 128 --rebuild
  with the encoder of a trained model; compressed
    jdcv index --cvs cvs/ --index cvs.index --model runs/baseline/ID/models/lora --type ivf-rabitq
  JDs, to be searched with a CV
    jdcv index --jds jds/ --index jds.index
"""
SEARCH_EXAMPLES = """\
examples
  the ten best CVs for a JD, with the words, chunk pairs and experiences that matched
    jdcv search --index cvs.index --jd jd.txt
  by words alone, in a moment, as no model is loaded
    jdcv search --index cvs.index --jd jd.txt --words
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
  weights of words and vectors by judgements; later searches take them
    jdcv rank --index cvs.index --jds jds/ --qrels qrels.txt --fit --out run.txt
"""
ERASE_EXAMPLES = """\
examples
  remove a person: codes, vectors, text, id, and the cached vectors
    jdcv erase --index cvs.index --id 17
"""
CACHE = Path("~/.cache/jdcv")


def given(path: str) -> Path:
    """A path as a user types it: its names may have another form of Unicode than on the disk."""
    return spelled(Path(path))


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
    text = (
        "files of text, PDF, DOCX, RTF or HTML, one CV each, also in sub-folders; an id is a path "
    )
    text += "without its ending"
    add("--cvs", type=given, metavar="FOLDER", help=text)
    add("--jds", type=given, metavar="FOLDER", help="files of JDs instead of CVs")
    add("--index", type=given, required=True, metavar="FOLDER", help="the index to make or update")
    add("--model", type=given, metavar="FOLDER", help="a saved matcher; default: all-MiniLM-L6-v2")
    names = "auto, flat, fp16, sq8, hnsw, ivf-flat, ivf-sq8, ivf-pq, ivf-rabitq"
    text = f"{names} or a factory string of FAISS; default: auto"
    add("--type", metavar="NAME", help=text)
    add(
        "--chunk-size",
        type=int,
        metavar="TOKENS",
        help="most tokens in a chunk; default: that of the model, 64 for all-MiniLM-L6-v2",
    )
    text = "remove documents of the index that have no file any more"
    add("--prune", action="store_true", help=text)
    text = "make an index that exists again, with other options; it keeps those not given"
    add("--rebuild", action="store_true", help=text)
    add_hidden(add)
    _add_common(add)

    add = command("search", run_search, "find the best documents for a text", SEARCH_EXAMPLES)
    add("--index", type=given, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--jd", type=given, metavar="FILE", help="a JD, to search CVs: text, PDF, DOCX, …")
    add("--cv", type=given, metavar="FILE", help="a CV, to search JDs")
    add("--json", action="store_true", help="print JSON")
    text = "give each near-duplicate a place, instead of naming it below the best one"
    add("--duplicates", action="store_true", help=text)
    _add_search(add)

    add = command("rank", run_rank, "rank documents for every text of a folder", RANK_EXAMPLES)
    add("--index", type=given, metavar="FOLDER", help="made by jdcv index")
    add("--jds", type=given, metavar="FOLDER", help="files of JDs, to rank CVs")
    add("--cvs", type=given, metavar="FOLDER", help="files of CVs, to rank JDs")
    add("--trec", type=given, metavar="FOLDER", help="corpus/, queries/, and optionally qrels.tsv")
    add("--qrels", type=given, metavar="FILE", help="lines `query 0 document grade`, to evaluate")
    text = "the lowest grade that counts as relevant; default: %(default)s"
    add("--relevant", type=int, default=1, metavar="GRADE", help=text)
    text = "choose the weights of words and vectors by the judgements, and keep them in the index"
    add("--fit", action="store_true", help=text)
    add("--out", type=given, required=True, metavar="FILE", help="the TREC run file to write")
    add("--force", action="store_true", help="replace the file --out if it exists")
    text = "rank only the best of near-duplicates; judgements are of single documents, so all are "
    add("--distinct", action="store_true", help=text + "ranked by default")
    _add_search(add, k=100)

    add = command("erase", run_erase, "remove documents from an index for good", ERASE_EXAMPLES)
    add("--index", type=given, required=True, metavar="FOLDER", help="made by jdcv index")
    add("--id", action="append", required=True, metavar="ID", help="may be given several times")
    add("--cache-dir", type=given, default=CACHE, metavar="FOLDER", help="default: %(default)s")


def _add_common(add: Any) -> None:
    text = "of encoder and index: a torch device, or auto: CUDA if there is a GPU"
    add("--device", default="auto", help=text)
    text = "keeps the chunk vectors; default: %(default)s"
    add("--cache-dir", type=given, default=CACHE, metavar="FOLDER", help=text)


def _add_search(add: Any, k: int = 10) -> None:
    add("--k", type=int, default=k, help="documents for each query; default: %(default)s")
    text = "candidates that are scored exactly, by words and by vectors; default: %(default)s"
    add("--depth", type=int, default=2000, metavar="N", help=text)
    text = "hits that each chunk takes from the index; default: twice --depth"
    add("--hits", type=int, metavar="N", help=text)
    text = "lists that are probed (nprobe), or efSearch; default: an eighth of the lists"
    add("--effort", type=int, metavar="N", help=text)
    text = "compare words alone (TF-IDF), which needs no model; default: words and vectors"
    add("--words", action="store_true", help=text)
    add("--vectors", action="store_true", help="compare chunk vectors alone (MaxSim)")
    text = "the best N are scored by the model that the index was made with"
    add("--rerank", type=int, default=0, metavar="N", help=text)
    text = "a file with one id on each line: only these documents can be found"
    add("--only", type=given, metavar="FILE", help=text)
    text = "the folder of that model, if it was moved"
    add("--model", type=given, metavar="FOLDER", help=text)
    add_hidden(add)
    _add_common(add)
