"""Kill training at random moments, resume it, and compare it with uninterrupted training.

    python benchmarks/resume_kill.py --points 100

A point is one training of a small GPT-2 with its match head on the demo corpus, in a separate
process that is killed (SIGKILL) and started again until it ends. Half of the first kills come at a
random moment of the whole training. The others come inside a save, at a random file-system call:
before it, or a random part of a millisecond after it. A point is equal if the SHA-256 of the last
checkpoint's weights, optimiser state, best weights and metrics (everything except the seconds) is
that of the uninterrupted training. Every third point is killed twice.

The last line is one JSON object: points, equal, inside_save (points at which a kill left the
temporary folder of a save), kills.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # children are forked, so no threads may exist before

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch

from jdcv_core.chunking import chunk_documents
from jdcv_core.data.demo.generate import demo_corpus
from jdcv_core.encoding.gpt2_mini import gpt2_mini
from jdcv_core.encoding.lora_tuning import trainable_module
from jdcv_core.encoding.whitening import Whitening
from jdcv_core.progress import progress
from jdcv_core.scoring import MeanPairs
from jdcv_core.training.checkpoints import latest_checkpoint
from jdcv_core.training.loop import train
from jdcv_core.training.pairs import PairTokens
from jdcv_core.training.settings import TrainingSettings
from jdcv_core.training.trainable import OnTokens

SETTINGS = TrainingSettings(
    steps=24,
    batch=4,
    accumulation=2,
    balance=[0.4, 0.3, 0.3],
    learning_rate=1e-3,
    head_factor=10,
    precision="fp32",
    evaluate_every=6,
    log_every=3,
    checkpoint_every=2,
)
CALLS = ("open", "os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "os.listdir")
"""Names of the audit events of file-system calls (PEP 578)."""


def preparation(folder: Path) -> Callable[[Path], None]:
    """Prepare data and encoder; return a function that trains into a folder of checkpoints."""
    dataset = demo_corpus(cvs=32, jds=32, pairs_per_cv=8)
    documents = [*dataset.side("cv"), *dataset.side("jd")]
    shape = {"layers": 2, "width": 32, "heads": 2, "vocabulary": 600, "train_tokens": 2000}
    encoder = gpt2_mini(documents, folder / "mini", "first_last", "fp32", "cpu", **shape)
    cut = chunk_documents(documents, encoder.tokenizer, 64)
    chunks = {d.id: c[:3] for d, c in zip(documents, cut, strict=True)}
    data = PairTokens.of(dataset.pairs, chunks)
    vectors = encoder.encode_chunks([c.tokens for cut in chunks.values() for c in cut])
    whitening = Whitening.fit({"all": vectors}, ["all"])
    late = data.jd_index >= data.jd_index.max() - 4
    parts = torch.where(~late)[0], torch.where(late)[0]

    def work(place: Path) -> None:
        torch.manual_seed(0)
        module = trainable_module(encoder, "full")
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.1  # so that training uses random numbers
        scorer = MeanPairs(encoder.dim, train_on="chunk_pairs")
        model = OnTokens(scorer, data, module, encoder, whitening, "fp32")
        train(model, *parts, SETTINGS, 0, place)

    return work


def start(work: Callable[[Path], None], place: Path, at_call: int = 0, delay: float = 0.0) -> int:
    """Train in a forked process; return its process id.

    With `at_call`, the process kills itself at that file-system call of its saves, after `delay`
    seconds.
    """
    child = os.fork()
    if child:
        return child
    try:
        if at_call:
            sys.addaudithook(killer(place, at_call, delay))
        work(place)
        os._exit(0)
    except BaseException as fault:  # the child must never continue as a second parent
        print(f"{type(fault).__name__}: {fault}", file=sys.stderr)
        os._exit(1)


def killer(place: Path, at_call: int, delay: float) -> Callable[[str, tuple], None]:
    calls = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal calls
        if event in CALLS and arguments and str(place) in str(arguments[0]):
            calls += 1
            if calls == at_call:
                if delay:
                    threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
                else:
                    os.kill(os.getpid(), signal.SIGKILL)

    return hook


def count_calls(work: Callable[[Path], None], place: Path) -> int:
    """Count the file-system calls of all saves of an uninterrupted training."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0

        def hook(event: str, arguments: tuple) -> None:
            nonlocal calls
            calls += event in CALLS and bool(arguments) and str(place) in str(arguments[0])

        sys.addaudithook(hook)
        work(place)
        os.write(write, str(calls).encode())
        os._exit(0)
    finish(child)
    return int(os.read(read, 100))


def finish(child: int) -> None:
    """Wait for a process that must end without an error."""
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"an uninterrupted training ended with status {status}")


def digest(place: Path) -> str:
    """Compute the SHA-256 of the last checkpoint's content, except the seconds."""
    last = latest_checkpoint(place)
    assert last is not None
    total = sha256()
    for path in sorted(last.glob("*.safetensors")):
        total.update(path.name.encode() + sha256(path.read_bytes()).digest())
    state = json.loads((last / "state.json").read_text())
    del state["trained"]["seconds"]
    state.pop("random")  # the process's random state at the save; every update seeds it
    total.update(json.dumps(state, sort_keys=True).encode())
    return total.hexdigest()


def point(
    work: Callable[[Path], None], place: Path, seconds: float, calls: int, number: int
) -> tuple[bool, int]:
    """Kill a training once or twice, then let it end.

    Returns whether a kill hit a save, and the number of kills.
    """
    numbers, hit, kills = random.Random(number), False, 0
    for _ in range(2 if number % 3 == 2 else 1):
        if number % 2:
            late = numbers.random() < 0.5
            delay = numbers.random() * 1e-3 if late else 0.0
            child = start(work, place, numbers.randint(1, calls), delay)
        else:
            child = start(work, place)
            time.sleep(numbers.random() * seconds)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status)
        hit = hit or any(place.glob(".*.jdcv-tmp"))
    finish(start(work, place))
    return hit, kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default 0)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(tempfile.mkdtemp(prefix="resume-kill-"))
    try:
        work = preparation(root)
        started = time.perf_counter()
        calls = count_calls(work, root / "alone")
        seconds = time.perf_counter() - started
        expected = digest(root / "alone")
        print(f"uninterrupted: {seconds:.1f} s, {calls} file-system calls, {expected[:16]}")
        equal = inside = kills = 0
        with progress("Killing", arguments.points) as advance:
            for number in range(arguments.points):
                place = root / f"point-{number}"
                hit, killed = point(
                    work, place, seconds, calls, 1_000_003 * arguments.seed + number
                )
                same = digest(place) == expected
                equal, inside, kills = equal + same, inside + hit, kills + killed
                if not same:
                    print(f"point {number} differs")
                shutil.rmtree(place)
                advance(1, f"{equal} equal, {inside} inside a save")
    finally:
        shutil.rmtree(root, ignore_errors=True)
    found = {"points": arguments.points, "equal": equal, "inside_save": inside, "kills": kills}
    print(json.dumps(found))
    sys.exit(equal != arguments.points)


if __name__ == "__main__":
    main()
