"""The command, killed and gone on with; and a disk that takes no more."""

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

ROOT = Path(__file__).resolve().parents[2]
TINY = (
    "+exp=baseline", "data.cvs=48", "data.jds=48", "data.pairs_per_cv=6", "encoder.layers=1",
    "encoder.width=32", "encoder.heads=2", "+encoder.vocabulary=600", "+encoder.train_tokens=4000",
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
    """Figures and predictions of the one finished experiment in a folder, without seconds."""
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
def test_the_command_goes_on_and_ends_in_the_same_table(begin, number, tmp_path):
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
    assert 0 < Matcher.from_pretrained(model).score("An accountant.", "We look for one.") < 1


@pytest.mark.slow
def test_a_full_disk_ends_the_command_with_one_line_and_the_checkpoint_before_is_whole(
    begin, tmp_path
):
    """The system refuses to write more than so many bytes into a file: a checkpoint needs more."""
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


def test_an_unfinished_folder_that_is_worked_in_is_not_taken(tmp_path):
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
