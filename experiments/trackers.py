"""Where the figures of training go while it works: local files always, a mirror of them if wished.

A *cell* is one row of the table under one seed. What a cell reports is a line in
`<folder>/training/<slug>.jsonl`; `tracker=wandb` and `tracker=tensorboard` show the same lines
elsewhere. The local file is the truth: a mirror that fails is switched off, and after a resume it
is filled from the file.
"""

import hashlib
import json
import math
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from jdcv_core.errors import InputError, nearest
from jdcv_core.progress import console
from jdcv_core.records import PARTIAL

PROJECT = "jdcv"
WAIT_TO_START, WAIT_TO_END = 30.0, 60.0
"""Seconds that a server of W&B may take to answer, and to receive the rest of a cell."""

Report = dict[str, float]
"""One line of a cell: its step and the figures, nan where one was not finite."""


class Tracker(Protocol):
    """What the training loop reports to, on the process of rank 0.

    All reports of a step must come before the checkpoint of that step, and steps never fall: then
    a cell that was killed and resumed leaves the file of one that was not.
    """

    def start(self, cell: str, step: int) -> None:
        """Before the first report of a cell; step > 0: it goes on after this step."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One report."""

    def end(self) -> None:
        """After the last report of the cell."""


class NoTracker:
    """Takes every report and keeps none."""

    def start(self, cell: str, step: int) -> None:
        pass

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        pass

    def end(self) -> None:
        pass


class Mirror(Protocol):
    """Shows the reports of a cell a second time. Whatever it raises switches it off."""

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        """kept: the reports up to `step` that stay when a cell is resumed."""

    def log(self, step: int, figures: Mapping[str, float]) -> None: ...

    def end(self) -> None: ...


def make_tracker(kind: str, folder: Path, experiment: str, config: Mapping[str, Any]) -> Tracker:
    """The tracker of an experiment; cells come one after the other.

    kind:       "local": files in `folder` only; "wandb" or "tensorboard": these and a mirror;
                "none": nothing at all, for the processes whose rank is not 0
    folder:     of the record, with or without `.partial`
    experiment: its name, for W&B's groups
    config:     the resolved configuration, plain values
    Raises InputError for another kind, a kind that is not installed, and a malformed key of W&B.
    """
    if kind == "none":
        return NoTracker()
    if kind not in MIRRORS:
        cure = nearest(kind, list(MIRRORS))
        raise InputError(f"tracker={kind}", "there is no such tracker", cure)
    return MirroredFiles(folder, kind, MIRRORS[kind](folder, experiment, config))


def slug(cell: str) -> str:
    """A file name for a cell; different cells have different ones, on any file system.

    >>> slug("self + cross attention · seed 0")
    'self-cross-attention-seed-0-111846'
    """
    words = re.sub(r"[^a-z0-9]+", "-", cell.lower()).strip("-")[:60]
    return f"{words}-{hashlib.sha256(cell.encode()).hexdigest()[:6]}"


def course_path(folder: Path, cell: str) -> Path:
    """The file of a cell's reports."""
    return folder / "training" / f"{slug(cell)}.jsonl"


def read_course(folder: Path, cell: str) -> list[Report]:
    """The reports of a cell in order, as `training_figures.training_figure` takes them.

    A last line without its end is left out.
    Raises InputError if the file is missing or another line is not a report.
    """
    path = course_path(folder, cell)
    with _named(path, "read"):
        content = path.read_bytes()
    return [report for report, _ in _reports(path, content)]


class MirroredFiles:
    """The local files, and a mirror that may fail without harm.

    A line is handed to the system as soon as it is reported, so a killed process loses none.
    Raises InputError where a file cannot be written (the disk is full).
    """

    def __init__(self, folder: Path, kind: str, mirror: Mirror | None) -> None:
        self.folder, self.kind, self.mirror = folder, kind, mirror

    def start(self, cell: str, step: int) -> None:
        self.path = course_path(self.folder, cell)
        with _named(self.path, "written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            kept = _cut(self.path, step)
            self.file = self.path.open("ab")
        self._show(lambda mirror: mirror.start(cell, step, kept))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        known = {k: float(v) for k, v in figures.items() if k != "step"}
        plain = {k: v if math.isfinite(v) else None for k, v in known.items()}
        with _named(self.path, "written"):
            self.file.write(json.dumps({"step": step, **plain}).encode() + b"\n")
            self.file.flush()
        self._show(lambda mirror: mirror.log(step, known))

    def end(self) -> None:
        with _named(self.path, "written"):
            self.file.close()
        self._show(lambda mirror: mirror.end())

    def _show(self, call: Callable[[Mirror], None]) -> None:
        if self.mirror is None:
            return
        try:
            call(self.mirror)
        except Exception as fault:  # whatever a service or its client raises must not end training
            self.mirror = None
            where = f"{self.path.parent} has all figures"
            _say(f"{self.kind} failed and is switched off; {where}. {_first_line(fault)}")


class WandbRuns:
    """A W&B run a cell, grouped by experiment and record; its files lie in `<folder>/wandb`.

    Without a key, or without an answer from the server, runs are written offline, to be sent by
    `wandb sync` later. WANDB_MODE and `wandb offline` are respected.

    W&B drops what is logged at a step below its own counter, and an offline run loses up to its
    last 15 seconds when the process is killed. So its counter is left alone: our step is a
    separate metric and the axis of the others. And a resumed run is filled from the local file: an
    offline one with everything (its run id is the same, so when it is sent it replaces the run of
    the killed process), an online one with what the server has not got.
    """

    def __init__(self, folder: Path, experiment: str, config: Mapping[str, Any]) -> None:
        self.folder, self.config = folder.absolute(), dict(config)
        self.record = f"{experiment} {folder.name.removesuffix(PARTIAL)}"
        self.mode, reason = _wandb_mode()
        if self.mode == "offline":
            self._say_where(reason)

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        self.run = self._begin(cell)
        self.run.define_metric("step")
        self.run.define_metric("*", step_metric="step")
        self.known = self.run.summary.get("step", -1) if self.run.resumed else -1
        for report in kept:
            self._send(report)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._send({"step": step, **figures})

    def end(self) -> None:
        self.run.finish()

    def _send(self, report: Mapping[str, float]) -> None:
        if report["step"] >= self.known:  # training is deterministic: the server has those below
            self.run.log(dict(report))

    def _begin(self, cell: str) -> Any:
        try:
            return self._init(cell)
        except Exception as fault:
            if self.mode == "offline":
                raise
            import wandb

            wandb.teardown()  # the failed run still holds its id
            self.mode = "offline"
            self._say_where(_first_line(fault))
            return self._init(cell)

    def _init(self, cell: str) -> Any:
        import wandb

        # The id does not change when the record takes its final name or moves to another disk.
        name = hashlib.sha256(f"{self.record} {cell}".encode()).hexdigest()[:16]
        return wandb.init(
            project=PROJECT,
            group=self.record,
            name=cell,
            id=name,
            config=self.config,
            dir=str(self.folder),
            mode=self.mode,  # type: ignore[arg-type]
            resume=None if self.mode == "offline" else "allow",
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                init_timeout=WAIT_TO_START,
                finish_timeout=WAIT_TO_END,
            ),
        )

    def _say_where(self, reason: str) -> None:
        now = self.folder / "wandb"
        later = self.folder.with_name(self.folder.name.removesuffix(PARTIAL)) / "wandb"
        _say(
            f"wandb is offline ({reason}). Look: wandb leet {shlex.quote(str(now))}   "
            f"Send, when all is done: wandb sync {shlex.quote(str(later))}"
        )


class TensorBoardFiles:
    """An event file a cell and process in `<folder>/tensorboard/<slug>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tensorboard"
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as fault:
            what, cure = f"the package is missing ({fault})", "run pip install tensorboard"
            raise InputError("tracker=tensorboard", what, cure) from fault
        self.make = SummaryWriter
        # The parent folder keeps its name when the record takes its final one.
        _say(f"Look: tensorboard --logdir {shlex.quote(str(folder.absolute().parent))}")

    def start(self, cell: str, step: int, kept: list[Report]) -> None:
        # TensorBoard hides what a killed process wrote from this step on.
        purge = step + 1 if step else 0
        self.writer = self.make(str(self.folder / slug(cell)), purge_step=purge)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


MIRRORS: dict[str, Callable[[Path, str, Mapping[str, Any]], Mirror | None]] = {
    "local": lambda folder, experiment, config: None,
    "wandb": WandbRuns,
    "tensorboard": lambda folder, experiment, config: TensorBoardFiles(folder),
}
"""What can stand after `tracker=`."""


def _wandb_mode() -> tuple[str, str]:
    """W&B's mode, and why it is that: what the user chose, and offline if there is no key.

    Asks nobody for a key and opens no connection.
    """
    import wandb

    try:
        chosen = wandb.setup(wandb.Settings(silent=True)).settings.mode
    except ValueError as fault:
        what = " ".join(str(fault).splitlines()[1:3])
        raise InputError(
            "settings of wandb", what, "correct WANDB_MODE and similar variables"
        ) from fault
    if chosen in ("offline", "dryrun"):
        return "offline", "as chosen"
    if chosen == "disabled":
        return "disabled", "as chosen"
    try:
        if wandb.login(prompt=False, verify=False):
            return chosen, "there is a key"
    except wandb.errors.AuthenticationError as fault:
        cure = "give the key again by `wandb login`, or set WANDB_MODE=offline"
        raise InputError("tracker=wandb", _first_line(fault), cure) from fault
    return "offline", "there is no key"


def _cut(path: Path, step: int) -> list[Report]:
    """Leave the reports up to `step` in the file, none for step 0, and return them.

    A process that was killed is ahead of its checkpoint, and its last line may be torn.
    """
    kept, end = [], 0
    if step > 0 and path.exists():
        for report, stop in _reports(path, path.read_bytes()):
            if report["step"] > step:
                break
            kept.append(report)
            end = stop
    if path.exists():
        os.truncate(path, end)
    return kept


def _reports(path: Path, content: bytes) -> Iterator[tuple[Report, int]]:
    """Each finished line, and where the next one starts in the file."""
    end = 0
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        end += len(line) + 1
        try:
            figures = json.loads(line)
            report = {k: math.nan if v is None else v for k, v in figures.items()}
            report["step"] = int(report["step"])
        except (ValueError, AttributeError, KeyError) as fault:
            what, cure = "it is not a report of training", "remove the line"
            raise InputError(f"{path}, line {number}", what, cure) from fault
        yield report, end


@contextmanager
def _named(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        cure = "free space on the disk, or correct the rights of the folder"
        raise InputError(str(path), f"cannot be {verb} ({fault.strerror})", cure) from fault


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0][:200].rstrip(". ") if lines else type(fault).__name__


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, markup=False, highlight=False)
