"""Run an experiment: compose its configuration, check it, and call its recipe.

python experiments/run.py --help
"""

import os
import shlex
import signal
import sys

import hydra
from omegaconf import DictConfig
from rich.console import Console

from experiments import validate
from jdcv_core import progress
from jdcv_core.environment import check_faiss
from jdcv_core.errors import InputError

console = Console(stderr=True)


@hydra.main(config_path="configs", config_name="config", version_base="1.3")
def experiment(config: DictConfig) -> None:
    """Run one experiment of a command or of a Hydra multirun."""
    try:
        validate.settings(config)
        from experiments.recipes import match, retrieve, sweep  # imports torch, so after the checks
        from jdcv_core.training.distributed import processes, rank

        with processes():
            if rank() > 0:
                be_quiet()
            recipe = retrieve if config.recipe == "retrieve" else match
            several = config.get("sweep") or config.get("conditions")
            (sweep if several else recipe).run(config)
    except InputError as fault:
        refuse(fault)
    except KeyboardInterrupt:
        words = " ".join(shlex.quote(a) for a in sys.argv if not a.startswith("resume="))
        again = "" if config.recipe == "retrieve" else " resume=auto"
        console.print(
            f"Stopped; finished parts are kept. Resume with: python {words}{again}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        sys.exit(130)


def interrupt(number: int, frame: object) -> None:
    """Stop the experiment at SIGTERM in the same way as at Ctrl-C."""
    raise KeyboardInterrupt


def be_quiet() -> None:
    """Silence this process, because process 0 prints everything."""
    progress.console.quiet = True
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # for the rest of the process


def refuse(fault: InputError) -> None:
    """Print one line, without a traceback, and exit with code 2."""
    console.print(f"Error: {fault}", style="red", soft_wrap=True, markup=False, highlight=False)
    sys.exit(2)


def main() -> None:
    arguments = sys.argv[1:]
    try:
        check_faiss()
        if any(a in ("--help", "-h", "--hydra-help", "--info", "--cfg", "-c") for a in arguments):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # for `--help | head`
        else:
            validate.overrides(arguments)
    except InputError as fault:
        refuse(fault)
    signal.signal(signal.SIGTERM, interrupt)
    experiment()


if __name__ == "__main__":
    main()
