"""Experiments are killed and resumed, and the disk is full."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from jdcv_core.matcher import Matcher

ROOT = Path(__file__).resolve().parents[3]
TINY = (
    "+exp=baseline", "data.cvs=48", "data.jds=48", "data.pairs_per_cv=6", "encoder.layers=1",
    "encoder.width=32", "encoder.heads=2", "+encoder.vocabulary=600", "++encoder.train_tokens=4000",
    "reuse=false", "training.steps=12", "training.evaluate_every=4", "training.checkpoint_every=2",
)  # fmt: skip


@pytest.fixture
def begin(cache, tmp_path):
    """begin(runs, *arguments, **of Popen) → the process of experiments/run.py."""

    def start(runs: str, *arguments: str, **options) -> subprocess.Popen:
        places = (f"runs_dir={tmp_path}/{runs}", f"cache_dir={cache}")
        command = [sys.executable, str(ROOT / "experiments" / "run.py"), *TINY, *arguments, *places]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )

    return start


def outcome(runs: Path) -> tuple[list, list]:
    """Read figures and predictions of the only finished experiment in a folder, without seconds."""
    (folder,) = (runs / "baseline").iterdir()
    assert not folder.name.endswith(".partial")
    lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    kept = ("variant", "seed", "metrics", "ndcg_per_jd", "thresholds", "course", "best_step")
    assert len({(line["variant"], line["seed"]) for line in lines}) == len(lines)
    rows = parquet.read_table(folder / "predictions.parquet").to_pylist()
    return [[line.get(key) for key in kept] for line in lines], rows


def wait_for_checkpoint(runs: Path, row: str) -> None:
    for _ in range(2400):
        if any(runs.glob(f"baseline/*.partial/checkpoints/{row}-*/checkpoint-*")):
            return
        time.sleep(0.05)
    raise AssertionError("no checkpoint came")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_resumed_command_ends_with_the_same_table(begin, number, tmp_path):
    whole = begin("whole")
    assert whole.wait(300) == 0, whole.stderr.read()
    for row in ("lora", "full"):
        process = begin("killed", "resume=auto")
        wait_for_checkpoint(tmp_path / "killed", row)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
        if number != signal.SIGKILL:
            assert process.returncode == 130
            assert "resume=auto" in said.splitlines()[-1]
    last = begin("killed", "resume=auto")
    assert last.wait(300) == 0, last.stderr.read()
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")
    (model,) = (tmp_path / "killed").glob("baseline/*/models/full-[0-9a-f]*")
    assert 0 < Matcher.from_pretrained(model).score(cv="An accountant.", jd="We look for one.") < 1


@pytest.mark.slow
def test_a_full_disk_ends_the_command_with_one_line_and_the_checkpoint_before_is_whole(
    begin, tmp_path
):
    """The system limits the size of files, and a checkpoint needs more bytes."""
    process = begin("full")
    wait_for_checkpoint(tmp_path / "full", "full")
    process.kill()
    process.wait()
    before = set((tmp_path / "full").rglob("checkpoint-*"))

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = begin("full", "resume=auto", preexec_fn=little_room)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 2, said
    assert "Traceback" not in said
    assert "safetensors" in said.splitlines()[-1]
    assert set((tmp_path / "full").rglob("checkpoint-*")) == before
    last = begin("full", "resume=auto")
    assert last.wait(300) == 0, last.stderr.read()
    assert outcome(tmp_path / "full")


def test_an_unfinished_folder_in_use_is_not_resumed(tmp_path):
    from jdcv_core import records
    from jdcv_core.errors import InputError

    folder = records.start_record(tmp_path, "mine", {"a": 1})
    child = os.fork()
    if child == 0:
        try:
            records.unfinished(tmp_path, "mine", {"a": 1})
        except InputError as fault:
            os._exit("another process" in str(fault))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert records.unfinished(tmp_path, "mine", {"a": 2}) is None
    assert folder.name.endswith(".partial")


def cells_in(cache: Path) -> dict[str, int]:
    """Map each finished cell to the time at which it was written."""
    return {path.name: path.stat().st_mtime_ns for path in (cache / "cells").glob("*.npz")}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_an_ablation_that_was_killed_repeats_no_finished_cell(number, tmp_path):
    """Its workers end with it, and the next run of the same command makes the missing cells."""
    tiny = [word for word in TINY if not word.startswith(("+exp", "reuse", "training.check"))]
    places = [f"runs_dir={tmp_path}/runs", f"cache_dir={tmp_path}/cache"]
    words = ["+exp=ablation", "encoder=gpt2-mini", "seeds=[0]", "jobs=2", *places]
    words += [w.replace("encoder.", "+encoder.") if w.startswith("encoder.") else w for w in tiny]
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), *words]
    first = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Tests that were started in the background ignore SIGINT, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(2400):
        if len(cells_in(tmp_path / "cache")) >= 20 or first.poll() is not None:
            break
        time.sleep(0.05)
    first.send_signal(number)
    first.wait(60)
    for _ in range(200):
        if not processes_of(first.pid):
            break
        time.sleep(0.1)
    assert not processes_of(first.pid)
    before = cells_in(tmp_path / "cache")
    assert len(before) >= 20
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    after = cells_in(tmp_path / "cache")
    assert before.items() <= after.items()
    (folder,) = (p for p in (tmp_path / "runs" / "ablation").iterdir() if p.suffix != ".partial")
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["cells"]["made"] == len(after) - len(before) > 0
    assert facts["cells"]["all"] == len(after) + len(facts["splits"])  # ceilings are not stored


def processes_of(session: int) -> list[int]:
    """List the living processes of a session by /proc; the list is empty without /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(stat.parent.name))
    return found
