"""`jdcv search` and `jdcv rank`: the best documents for one text, or for each text of a folder."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.text_files import (
    check_out,
    counted,
    read_folder_of_texts,
    read_text,
    say,
)
from jdcv_core.errors import SHOWN, InputError, names
from jdcv_core.types import Qrels, Side

if TYPE_CHECKING:
    from research.retrieval import Retriever


def run_search(arguments: argparse.Namespace) -> None:
    """`jdcv search`: the best documents for one text."""
    if (arguments.cv is None) == (arguments.jd is None):
        raise InputError("jdcv search", "it needs one text to search with", "give --jd, or --cv")
    cv = None if arguments.cv is None else read_text(arguments.cv, arguments.hidden)
    jd = None if arguments.jd is None else read_text(arguments.jd, arguments.hidden)
    index = _opened(arguments, "jd" if cv is None else "cv")
    distinct = not arguments.duplicates
    how = _how(arguments, index)
    found = index.search(cv=cv, jd=jd, distinct=distinct, **how)
    if arguments.json:
        print(json.dumps([match.as_dict() for match in found], indent=1, ensure_ascii=False))
    else:
        print("\n".join(f"{place:>3}. {match}" for place, match in enumerate(found, start=1)))


def run_rank(arguments: argparse.Namespace) -> None:
    """`jdcv rank`: a run file of all queries, evaluated where there are judgements."""
    from research.retrieval import Retriever, trec

    _check_rank(arguments)
    qrels = None if arguments.qrels is None else trec.read_qrels(arguments.qrels)
    out = str(arguments.out)
    with ExitStack() as stack:
        if arguments.trec is not None:
            texts, queries, judged = trec.read_folder(arguments.trec, hidden=arguments.hidden)
            qrels = qrels or judged
            trec.check_ids(out, queries, texts)
            _check_judged(qrels, queries, texts)
            space = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            index = Retriever.build(
                space / "index",
                texts,
                model=arguments.model,
                device=arguments.device,
                cache_dir=arguments.cache_dir,
            )
            how = _how(arguments, index)
        else:
            queries = read_folder_of_texts(arguments.jds or arguments.cvs, arguments.hidden)
            index = _opened(arguments, "jd" if arguments.cvs is None else "cv")
            how = _how(arguments, index)
            trec.check_ids(out, queries, index.ids if how["only"] is None else how["only"])
            _check_judged(qrels, queries, index.ids)
        if arguments.fit:
            _fit(index, queries, qrels, arguments.relevant)
        run = index.rank(queries, distinct=arguments.distinct, **how)
        weights = how["weights"] or index.weights
        copies = index.near_duplicates()
    if qrels is not None:
        run = trec.spelled_as(qrels, run)
    trec.write_run(arguments.out, run, "jdcv")
    lines = counted(sum(map(len, run.values())), "line")
    ranked = counted(len(run), "query", "queries")
    print(f"{ranked}, {lines}, by {weights}: {out}")
    _say_copies(copies, arguments.distinct)
    if qrels is not None:
        _show_metrics(qrels, trec.read_run(arguments.out), arguments.relevant)


def _check_rank(arguments: argparse.Namespace) -> None:
    """Refuse arguments that do not go together, before anything is read."""
    check_out(arguments.out, arguments.force)
    given = [n for n in ("index", "trec") if getattr(arguments, n) is not None]
    sources = [f for f in (arguments.jds, arguments.cvs, arguments.trec) if f is not None]
    if len(given) != 1 or len(sources) != 1:
        what = "it needs an index and queries, or a TREC-style folder"
        raise InputError("jdcv rank", what, "give --index with --jds or --cvs, or --trec alone")
    if arguments.fit and arguments.qrels is None and arguments.trec is None:
        raise InputError("--fit", "it needs judgements", "give --qrels FILE")
    if arguments.fit and (arguments.words or arguments.vectors):
        raise InputError("--fit", "it chooses the weights", "leave --words and --vectors out")
    _check_numbers(arguments)
    folders = [sources[0], *(sources[0] / kind for kind in ("corpus", "queries"))]
    texts = folders[1:] if arguments.trec is not None else folders[:1]
    for folder in texts:
        if arguments.out.absolute().resolve().is_relative_to(folder.absolute().resolve()):
            what = f"it would be read as a text of {folder} by the next command"
            raise InputError(str(arguments.out), what, "write it into another folder")


def _fit(index: Retriever, queries: Mapping[str, str], qrels: Qrels | None, relevant: int) -> None:
    """Fit the weights of an index, and say what they are and what they gain."""
    if qrels is None:
        raise InputError("--fit", "the folder has no judgements", "add qrels.tsv, or give --qrels")
    say(f"fitted weights: {index.fit(queries, qrels, relevant)}")
    say("figures of these queries are too high by what the choice gains on them")


def _check_judged(qrels: Qrels | None, queries: Mapping[str, str], documents: Any) -> None:
    """Say which judgements no run can show; refuse them if there is no other."""
    from jdcv_core.data.text_folder import composed

    if qrels is None:
        return
    asked, known = ({composed(i) for i in ids} for ids in (queries, documents))
    if not any(composed(query) in asked for query in qrels):
        what = f"they judge {names(sorted(qrels))}, and no query has such an id"
        raise InputError("the judgements", what, "give those of these queries")
    judged = {d for grades in qrels.values() for d in grades}
    if missing := sorted(d for d in judged if composed(d) not in known):
        count = counted(len(missing), "judged document")
        say(f"not in the index, so never found: {count} ({names(missing)})")


def _opened(arguments: argparse.Namespace, asked: Side) -> Retriever:
    """The index, for queries of a side."""
    from research.retrieval import Retriever

    _check_numbers(arguments)
    options = {"device": arguments.device, "cache_dir": arguments.cache_dir}
    index = Retriever.open(arguments.index, model=arguments.model, **options)
    index.check_query_side(asked)
    if len(index) == 0:
        raise InputError(str(arguments.index), "it has no document", "put some in by jdcv index")
    return index


def _check_numbers(arguments: argparse.Namespace) -> None:
    for name in ("k", "depth", "hits", "effort"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name}", "it must be at least 1", "give 1 or more")
    if arguments.words and arguments.vectors:
        raise InputError("--words", "--vectors is given, too", "leave both out to compare both")
    if arguments.rerank < 0:
        raise InputError("--rerank", "it must not be below 0", "give 0 for no reranking")


def _how(arguments: argparse.Namespace, index: Retriever) -> dict[str, Any]:
    """The arguments of a search: how many, how deep, among which documents, and by what."""
    from research.retrieval import VECTORS, WORDS, Depth

    depth = Depth(arguments.hits or 2 * arguments.depth, arguments.depth, arguments.effort)
    only = None if arguments.only is None else _only(arguments.only, index)
    weights = WORDS if arguments.words else VECTORS if arguments.vectors else None
    return {
        "k": arguments.k,
        "depth": depth,
        "rerank": arguments.rerank,
        "only": only,
        "weights": weights,
    }


def _only(path: Path, index: Retriever) -> list[str]:
    """The ids in a file, one on each line."""
    found = []
    for row, line in enumerate(read_text(path).splitlines(), start=1):
        name = line.strip()
        known = index.index.id_of(name)
        if name and known is None:
            what = f"the index has no document {name!r}"
            raise InputError(f"{path}, row {row}", what, "take the line out, or index it")
        found += [known] if known else []
    if not found:
        raise InputError(str(path), "it has no id", "write one id on each line")
    return found


def _say_copies(groups: list[list[str]], distinct: bool) -> None:
    """Say which ranked documents have nearly the same text."""
    if groups:
        ranked = "only the best of each group is ranked" if distinct else "each is ranked"
        count = sum(map(len, groups))
        say(f"{count} documents are near-duplicates, in {counted(len(groups), 'group')}; {ranked}:")
        for first, *others in groups[:SHOWN]:
            say(f"  {first} = {names(others)}")


def _show_metrics(qrels: Qrels, run: Mapping[str, Mapping[str, float]], relevant: int) -> None:
    """Print the figures of a run file, over which queries they are means, and the figures of the
    usual tools where these average over other queries."""
    from jdcv_core.evaluation.metrics import SEARCH
    from jdcv_core.evaluation.ranking import mean_over_queries
    from research.retrieval import retrieval_metrics
    from research.retrieval.evaluation import tool_means

    def line(means: Mapping[str, float]) -> str:
        return ", ".join(f"{SEARCH[metric]} {value:.4f}" for metric, value in means.items())

    found = retrieval_metrics(qrels, run, k=10, relevant=relevant)
    ours = {metric: mean_over_queries(values) for metric, values in found.items()}
    print(f"{counted(len(qrels), 'judged query', 'judged queries')}: {line(ours)}")
    empty = _left_out(found)
    for kind, queries in empty.items():
        print(
            f"  left out of {kind}: {counted(len(queries), 'query', 'queries')} without a relevant "
            f"document ({names(queries)}); the mean is over {len(qrels) - len(queries)}"
        )
    missing, others = sorted(set(qrels) - set(run)), sorted(set(run) - set(qrels))
    if missing:
        were = (
            "judged query was not asked and counts"
            if len(missing) == 1
            else ("judged queries were not asked and count")
        )
        print(f"  {len(missing)} {were} as 0: {names(missing)}")
    if others:
        print(f"  not judged, so not counted: {names(others)}")
    if missing or empty:
        asked, tools = len(qrels) - len(missing), tool_means(found, run)
        print(f"  trec_eval, over the {asked} that were asked: {line(tools['trec_eval'])}")
        print(f"  ir_measures, over all {len(qrels)}: {line(tools['ir_measures'])}")


def _left_out(found: Mapping[str, Mapping[str, float]]) -> dict[str, list[str]]:
    """Figures → the judged queries that have no value of them, where there are any."""
    ndcg, others = (
        [query for query, value in found[metric].items() if math.isnan(value)]
        for metric in ("ndcg", "map")
    )
    if ndcg == others:
        return {"nDCG, MAP, MRR and recall": ndcg} if ndcg else {}
    return {k: own for k, own in (("nDCG", ndcg), ("MAP, MRR and recall", others)) if own}
