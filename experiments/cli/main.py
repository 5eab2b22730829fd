"""The console script `jdcv`: one module of this folder for each group of commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from experiments.cli import (
    demo_command,
    read_command,
    retrieval_commands,
    score_command,
    timeline_command,
)
from experiments.cli.text_files import say
from jdcv_core.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise InputError(self.prog, message, f"see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `jdcv ...`. Returns the exit code: 0, or 2 for an error in the input, 130 for Ctrl-C."""
    try:
        arguments = parser().parse_args(argv)
        arguments.command(arguments)
    except InputError as fault:
        say(f"Error: {fault}", "red")
        return 2
    except KeyboardInterrupt as stopped:
        say(str(stopped) or "Stopped.")
        return 130
    return 0


def parser() -> Parser:
    """The parser of all commands; each command is called with the parsed arguments."""
    whole = Parser(prog="jdcv", description="Read CVs and match them with job descriptions.")
    commands = whole.add_subparsers(title="commands", required=True, metavar="COMMAND")
    read_command.add_command(commands)
    score_command.add_command(commands)
    timeline_command.add_command(commands)
    retrieval_commands.add_commands(commands)
    demo_command.add_command(commands)
    return whole


if __name__ == "__main__":
    sys.exit(main())
