"""Run an experiment: compose its configuration, check it, hand it to the recipe.

python experiments/run.py --help
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig
from rich.console import Console

from experiments import checks
from jdcv_core.environment import check_faiss
from jdcv_core.errors import InputError

console = Console(stderr=True)


@hydra.main(config_path="configs", config_name="config", version_base="1.3")
def experiment(config: DictConfig) -> None:
    """One experiment of a run or of a multirun."""
    config.cache_dir = str(Path(config.cache_dir).expanduser())
    try:
        checks.settings(config)
        from experiments.recipes import match  # torch and transformers: after the checks

        match.run(config)
    except InputError as fault:
        refuse(fault)
    except KeyboardInterrupt:
        console.print(
            f"Stopped. What was finished is in {config.runs_dir}/{config.experiment}/*.partial; "
            "chunk vectors are kept, so the next run starts from them."
        )
        sys.exit(130)


def refuse(fault: InputError) -> None:
    """Print one line, without a traceback, and exit with code 2."""
    console.print(f"Error: {fault}", style="red", soft_wrap=True, markup=False, highlight=False)
    sys.exit(2)


def main() -> None:
    arguments = sys.argv[1:]
    try:
        check_faiss()
        if not any(
            a in ("--help", "-h", "--hydra-help", "--info", "--cfg", "-c") for a in arguments
        ):
            checks.overrides(arguments)
    except InputError as fault:
        refuse(fault)
    experiment()


if __name__ == "__main__":
    main()
