"""An index and its folder stay together, a refused command writes nothing, and printed figures are
those of the file."""

import json
import os
import re
import unicodedata
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from ir_measures import AP, RR, Judged, R, nDCG
from tiny_models import TEXTS, save_matcher

from experiments.cli.main import main
from jdcv_core.atomic import lock
from jdcv_core.encoding.whitening import Whitening
from research.retrieval import Retriever

COPY = (
    "Ada Lovelace. Accountant. Payroll for 300 people, month-end close, ledgers and audits at Acme "
    "since 2015. She led a team of five people and introduced a new tool."
)
CVS = {
    "ada": COPY,
    "bo": "Developer with Python and Go, built data pipelines for a bank for years.",
    "cy": "Nurse in an intensive care unit, wrote the weekly plan of shifts.",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    whitening = Whitening(np.zeros(32), np.eye(32))
    return save_matcher(tmp_path_factory.mktemp("model"), whitening)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put("cvs", CVS)
    put("jds", {"j1": TEXTS[2], "j2": "Python developer."})


def put(folder: str, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = Path(folder, f"{name}.txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def did(capsys, *arguments) -> str:
    code = main([str(a) for a in arguments])
    out, error = capsys.readouterr()
    assert code == 0, error
    return out


def refused(capsys, *arguments) -> str:
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    return error[error.index("Error: ") :]


@pytest.fixture
def index(capsys, model) -> str:
    did(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    return "x"


def test_documents_without_a_file_are_reported_each_time_and_removed_when_asked(capsys, index):
    Path("cvs/ada.txt").rename("cvs/eve.txt")
    Path("cvs/bo.txt").unlink()
    again = ("index", "--cvs", "cvs", "--index", index)
    for _ in range(2):
        assert "2 documents have no file any more: ada, bo\n" in did(capsys, *again)
        assert Retriever.open(index).ids == ["ada", "bo", "cy", "eve"]
    said = did(capsys, *again, "--prune")
    assert "2 removed, 2 documents are left" in said
    assert Retriever.open(index).ids == ["cy", "eve"]
    assert "no file" not in did(capsys, *again)
    assert "no file" not in did(capsys, *again, "--prune")


def test_near_duplicates_are_reported_and_share_a_place(capsys, index):
    copies = {f"copy{n}": COPY.replace("five", "six" * n) for n in range(10)}
    put("cvs", copies)
    again = ("index", "--cvs", "cvs", "--index", index)
    for _ in range(2):
        said = did(capsys, *again)
        assert "11 documents are near-duplicates, in 1 group:\n  ada = copy0, copy1" in said
    search = ("search", "--index", index, "--jd", "jds/j1.txt", "--k", 9)
    found = json.loads(did(capsys, *search, "--json"))
    assert len(found) == 3
    (one,) = [f for f in found if f["copies"]]
    assert {one["id"], *one["copies"]} == {"ada", *copies}
    assert "10 more with nearly the same text: " in did(capsys, *search)
    assert len(json.loads(did(capsys, *search, "--json", "--duplicates"))) == 9
    assert len(json.loads(did(capsys, *search, "--json", "--rerank", 9))) == 3
    rank = ("rank", "--index", index, "--jds", "jds")
    assert "2 queries, 26 lines" in did(capsys, *rank, "--out", "all.txt")
    assert "2 queries, 6 lines" in did(capsys, *rank, "--out", "some.txt", "--distinct")


@pytest.mark.parametrize(
    ("option", "value", "have"),
    [("--chunk-size", 30, 20), ("--type", "hnsw", "flat"), ("--type", "IVF1,Flat", "flat")],
)
def test_other_options_are_refused_with_both_values(capsys, index, option, value, have):
    again = ("index", "--cvs", "cvs", "--index", index, option, value)
    line = refused(capsys, *again)
    assert f"it was made with {option} {have}, and {option} {value} is given" in line
    assert "--rebuild" in line
    for same in (("--chunk-size", 20), ("--type", "flat"), ("--type", "auto"), ("--type", "Flat")):
        assert "none is new" in did(capsys, *again[:-2], *same)


def test_another_model_is_refused_also_if_nothing_changed(capsys, index, tmp_path, model):
    other = save_matcher(tmp_path / "other", Whitening(np.ones(32), np.eye(32)))
    again = ("index", "--cvs", "cvs", "--index", index)
    assert "none is new" in did(capsys, *again, "--model", model)
    line = refused(capsys, *again, "--model", other)
    assert "made with another whitening" in line
    assert str(model) in line
    assert str(other) in line
    did(capsys, *again, "--model", other, "--rebuild")
    assert "none is new" in did(capsys, *again, "--model", other)


def test_a_rebuild_keeps_what_is_not_given_and_documents_without_a_file(capsys, index):
    Path("cvs/bo.txt").unlink()
    again = ("index", "--cvs", "cvs", "--index", index)
    said = did(capsys, *again, "--type", "hnsw", "--rebuild")
    assert "3 documents (made again)" in said
    assert "1 document has no file any more: bo" in said
    found = Retriever.open(index)
    assert (sorted(found.ids), found.index_type) == (["ada", "bo", "cy"], "hnsw")
    assert "2 documents (made again)" in did(capsys, *again, "--rebuild", "--prune")
    found = Retriever.open(index)
    assert (found.ids, found.index_type, found.chunk_size) == (["ada", "cy"], "hnsw", 20)


def test_an_id_counts_once_and_unknown_ids_are_named(capsys, index):
    line = refused(capsys, "erase", "--index", index, "--id", "ada", "--id", "x1", "--id", "x2")
    assert "no document 'x1', 'x2'" in line
    said = did(capsys, "erase", "--index", index, "--id", "ada", "--id", "ada")
    assert said.startswith("1 erased, 2 documents are left")
    assert len(Retriever.open(index)) == 2


def test_names_in_any_form_of_unicode_are_found(capsys, model):
    nfc, nfd = (unicodedata.normalize(form, "Zoë Ćirić") for form in ("NFC", "NFD"))
    put("cvs", {nfd: "Zoë, Buchhalterin in Wien."})
    put("jds", {nfd: "Buchhalterin gesucht."})
    did(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    assert nfc in Retriever.open("x").ids
    Path("only").write_text(nfd, encoding="utf-8")
    search = ("search", "--index", "x", "--jd", f"jds/{nfc}.txt", "--only", "only", "--json")
    assert [f["id"] for f in json.loads(did(capsys, *search))] == [nfc]
    assert did(capsys, "erase", "--index", "x", "--id", nfd).startswith("1 erased")


def test_sub_folders_are_read_and_an_index_inside_is_not(capsys, model):
    put("cvs", {"2024/dee": "Welder in a ship yard."})
    make = ("index", "--cvs", "cvs", "--index", "cvs/x")
    assert "4 documents (4 new" in did(capsys, *make, "--model", model)
    assert "2024/dee" in Retriever.open("cvs/x").ids
    assert "4 documents, none is new or changed" in did(capsys, *make)
    assert "4 documents (4 new" in did(
        capsys, "index", "--cvs", "cvs", "--index", "y", "--model", model
    )


def test_all_bad_files_are_reported_before_anything_is_made(capsys, model):
    Path("cvs/e.pdf").write_bytes(b"%PDF-1.7 Ada")
    Path("cvs/f.txt").touch()
    said = refused(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    assert said.splitlines()[0] == "Error: cvs: 2 files cannot be used."
    assert "e.pdf: " in said
    assert "f.txt: the text is empty. Give its text or remove the file." in said
    assert not Path("x").exists()


def snapshot() -> dict[str, tuple]:
    found = {}
    for path in Path().rglob("*"):
        about = path.stat()
        data = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (about.st_mtime_ns, about.st_mode, data)
    return found


REFUSALS = [
    "index --index x",
    "index --cvs cvs --jds jds --index x",
    "index --cvs nowhere --index new",
    "index --cvs empty --index new",
    "index --cvs bad --index new --model MODEL",
    "index --cvs bad --index x",
    "index --cvs cvs --index cvs",
    "index --cvs cvs --index jds",
    "index --cvs cvs --index empty",
    "index --cvs cvs --index jds/j1.txt",
    "index --cvs cvs/ada.txt --index new",
    "index --cvs x --index new",
    "index --jds jds --index x",
    "index --cvs cvs --index x --chunk-size 7",
    "index --cvs cvs --index x --type hnsw",
    "index --cvs cvs --index x --type floppy",
    "index --cvs cvs --index x --type floppy --rebuild",
    "index --cvs cvs --index x --chunk-size 7 --rebuild",
    "index --cvs cvs --index new --type floppy --model MODEL",
    "index --cvs cvs --index new --type PQ5 --model MODEL",
    "index --cvs cvs --index new --chunk-size 7 --model MODEL",
    "index --cvs cvs --index new --model nowhere",
    "index --cvs cvs --index x --model nowhere",
    "index --cvs cvs --index x --model OTHER",
    "search --index x",
    "search --index x --jd nowhere",
    "search --index x --cv cvs/ada.txt",
    "search --index x --jd bad/b.pdf",
    "search --index x --jd jds/j1.txt --words --vectors",
    "search --index x --jd jds/j1.txt --k 0",
    "search --index x --jd jds/j1.txt --rerank -1",
    "search --index x --jd jds/j1.txt --only wrong",
    "search --index x --jd jds/j1.txt --only blank",
    "search --index x --jd jds/j1.txt --model OTHER",
    "search --index cvs --jd jds/j1.txt",
    "search --index empty --jd jds/j1.txt",
    "search --index nowhere --jd jds/j1.txt",
    "rank --out run.txt",
    "rank --index x --jds jds --out there.txt",
    "rank --index x --jds jds --out nowhere/run.txt",
    "rank --index x --jds jds --out jds/run.txt",
    "rank --index x --jds jds --cvs cvs --out run.txt",
    "rank --index x --cvs cvs --out run.txt",
    "rank --index x --jds bad --out run.txt",
    "rank --index x --jds spaced --out run.txt",
    "rank --index x --jds jds --out run.txt --qrels wrong",
    "rank --index x --jds jds --out run.txt --qrels foreign",
    "rank --index x --jds jds --out run.txt --only wrong",
    "rank --index cvs --jds jds --out run.txt",
    "rank --trec cvs --out run.txt",
    "rank --trec trec --out run.txt --model MODEL",
    "erase --index x --id nobody",
    "erase --index x --id ada --id nobody",
    "erase --index cvs --id ada",
    "erase --index nowhere --id ada",
]


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return save_matcher(tmp_path_factory.mktemp("other"), Whitening(np.ones(32), np.eye(32)))


def test_a_refused_command_writes_nothing_anywhere(capsys, index, model, other):
    did(capsys, "search", "--index", index, "--jd", "jds/j1.txt")
    Path("empty").mkdir()
    Path("bad").mkdir()
    Path("bad/a.txt").touch()
    Path("bad/b.pdf").write_bytes(b"%PDF-1.7 Ada")
    put("spaced", {"j 1": "Nurse"})
    put("trec/corpus", {"a b": "Ada"})
    put("trec/queries", {"q": "Ada"})
    Path("blank").write_text("\n \n")
    Path("wrong").write_text("nobody\n")
    Path("foreign").write_text("q9 0 ada 1\n")
    Path("there.txt").write_text("mine")
    before = snapshot()
    for line in REFUSALS:
        words = [{"MODEL": str(model), "OTHER": str(other)}.get(w, w) for w in line.split()]
        message = refused(capsys, *words)
        after = snapshot()
        changed = [p for p in {**before, **after} if before.get(p) != after.get(p)]
        assert not changed, (line, message)


def test_an_index_that_another_process_changes_is_left_alone(capsys, index):
    before = snapshot()
    with lock(Path(index, "lock")):
        assert "another process is changing it" in refused(
            capsys, "erase", "--index", index, "--id", "ada"
        )
    after = snapshot()
    for path in (f"{index}/lock", index):
        before.pop(path, None), after.pop(path, None)
    assert after == before


def test_names_with_spaces_are_all_refused_before_the_model_is_read(capsys, index):
    put("cvs", {"dee doe": "Welder", "eve moe": "Pilot"})
    did(capsys, "index", "--cvs", "cvs", "--index", index)
    main(["rank", "--index", index, "--jds", "jds", "--out", "run.txt"])
    said = capsys.readouterr().err
    assert "2 ids cannot be written into a TREC file" in said
    assert "'dee doe' has white space" in said
    assert "'eve moe' has white space" in said
    assert "Encoding" not in said


KEYS = {"nDCG@10": "ndcg_cut_10", "MAP": "map", "MRR": "recip_rank", "recall@10": "recall_10"}


def figures(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"([\w@]+) (\d\.\d{4}|nan)", text)}


def tools(run: str, qrels: str) -> tuple[dict[str, float], dict[str, float]]:
    """The means that pytrec_eval and ir_measures compute of the files."""
    with open(run) as file:
        read = pytrec_eval.parse_run(file)
    with open(qrels) as file:
        judged = pytrec_eval.parse_qrel(file)
    found = pytrec_eval.RelevanceEvaluator(judged, set(KEYS.values())).evaluate(read)
    measures = {"nDCG@10": nDCG @ 10, "MAP": AP, "MRR": RR, "recall@10": R @ 10}
    measures["judged@10"] = Judged @ 10
    means = ir_measures.calc_aggregate(
        list(measures.values()),
        list(ir_measures.read_trec_qrels(qrels)),
        list(ir_measures.read_trec_run(run)),
    )
    return (
        {n: float(np.mean([own[k] for own in found.values()])) for n, k in KEYS.items()},
        {name: means[measure] for name, measure in measures.items()},
    )


def close(expected: dict[str, float]) -> dict:
    return {name: pytest.approx(value, abs=6e-5) for name, value in expected.items()}


def test_four_equal_cvs_have_the_figures_of_any_tool(capsys, model):
    put("trec/corpus", dict.fromkeys("abcd", COPY))
    put("trec/queries", {"q": "Accountant"})
    Path("trec/qrels.tsv").write_text("q 0 d 1\nq 0 a 0\n")
    said = did(capsys, "rank", "--trec", "trec", "--model", model, "--out", "run.txt")
    assert "1 judged query: " in said
    ours = figures(said.splitlines()[1])
    trec_eval, ir = tools("run.txt", "trec/qrels.tsv")
    assert ours == close(ir)
    assert trec_eval == close({name: ours[name] for name in KEYS})
    assert len(Path("run.txt").read_text().splitlines()) == 4


def test_queries_that_are_left_out_are_named_with_the_figures_of_the_tools(capsys, index):
    put("jds", {"j3": "Nurse", "j4": "Welder"})
    Path("qrels").write_text("j1 0 ada 1\nj1 0 bo 0\nj2 0 bo 0\nj3 0 cy 2\nj9 0 ada 1\n")
    said = did(
        capsys, "rank", "--index", index, "--jds", "jds", "--out", "run.txt", "--qrels", "qrels"
    )
    lines = said.splitlines()[1:]
    assert lines[0].startswith("4 judged queries: nDCG@10 ")
    assert "1 query without a relevant document (j2); the mean is over 3" in lines[1]
    assert "1 judged query was not asked and counts as 0: j9" in lines[2]
    assert "not judged, so not counted: j4" in lines[3]
    trec_eval, ir = tools("run.txt", "qrels")
    assert lines[4].startswith("  trec_eval, over the 3 that were asked: ")
    assert figures(lines[4]) == close(trec_eval)
    assert lines[5].startswith("  ir_measures, over all 4: ")
    assert figures(lines[5]) == close(ir)


def test_judgements_in_another_form_of_unicode_are_those_of_the_file(capsys, model):
    nfc, nfd = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    put("trec/corpus", {nfc: "Zoë, Buchhalterin in Wien.", "b": "Welder"})
    put("trec/queries", {nfc: "Buchhalterin"})
    Path("trec/qrels.tsv").write_text(f"{nfd} 0 {nfd} 1\n", encoding="utf-8")
    said = did(capsys, "rank", "--trec", "trec", "--model", model, "--out", "run.txt")
    assert figures(said.splitlines()[1]) == close(tools("run.txt", "trec/qrels.tsv")[1])
    assert figures(said)["recall@10"] == 1


def test_an_index_type_that_needs_more_documents_is_refused_by_name(capsys, model):
    make = ("index", "--cvs", "cvs", "--index", "x", "--model", model, "--type", "IVF500,Flat")
    assert "FAISS cannot train it on 3 documents (" in refused(capsys, *make)
    assert not Path("x").exists()


def test_an_empty_index_is_not_searched(capsys, index):
    did(capsys, "erase", "--index", index, "--id", "ada", "--id", "bo", "--id", "cy")
    message = "x: it has no document. Put some in by jdcv index."
    assert message in refused(capsys, "search", "--index", index, "--jd", "jds/j1.txt")
    assert "3 documents (3 new" in did(capsys, "index", "--cvs", "cvs", "--index", index)


def test_a_stale_lock_file_of_another_version_is_named_as_what_it_is(capsys, model):
    Path("cvs/lock").touch()
    said = refused(capsys, "index", "--cvs", "cvs", "--index", "x", "--model", model)
    assert os.path.join("cvs", "lock") + ": the text is empty" in said
