"""The one error a user sees: a fault in what they gave, in one line, with its cure."""

from collections.abc import Sequence


class InputError(ValueError):
    """A fault in a file, a row or a setting that its owner can correct.

    The message is one line: *where* (the file, and the row if there is one), *what* is wrong and
    what to *do*. `experiments/run.py` prints it without a traceback and exits with code 2.

    >>> str(InputError("pairs.csv, row 7", "the label is empty", "give one of No Fit, Good Fit"))
    'pairs.csv, row 7: the label is empty. Give one of No Fit, Good Fit.'
    """

    def __init__(self, where: str, what: str, cure: str) -> None:
        end = "" if cure.endswith(("?", ".")) else "."
        one_line = " ".join(f"{where}: {what}. {cure[:1].upper()}{cure[1:]}{end}".split())
        super().__init__(one_line)

    def __reduce__(self) -> tuple:
        return _again, (str(self),)  # so that a worker process can raise it in ours


def _again(message: str) -> InputError:
    error = InputError.__new__(InputError)
    error.args = (message,)
    return error


SHOWN = 20
"""Faults, or names, that one message lists; it counts the others."""


def several(where: str, what: str, faults: Sequence[tuple[str, str, str]]) -> InputError:
    """One error for several faults: a line that counts them, and then a line for each.

    where, what: of the first line; `{}` in `what` stands for the number of faults
    faults:      (where, what, cure) of each, at least one. A single one is the whole error; of
                 more than SHOWN, the others are counted

    >>> faults = [("a.txt", "it is empty", "remove it"), ("b.rtf", "it is RTF", "save it as text")]
    >>> print(several("cvs", "{} files cannot be read", faults))
    cvs: 2 files cannot be read.
      a.txt: it is empty. Remove it.
      b.rtf: it is RTF. Save it as text.
    """
    if len(faults) == 1:
        return InputError(*faults[0])
    lines = [f"{where}: {what.format(len(faults))}."]
    lines += [f"  {InputError(*fault)}" for fault in faults[:SHOWN]]
    more = len(faults) - SHOWN
    return _again("\n".join(lines + ([f"  and {more} more"] if more > 0 else [])))


def names(words: Sequence[str]) -> str:
    """Some names in one line: the first SHOWN, and how many more there are.

    >>> names(["ada", "bo"]), names([str(n) for n in range(23)])[-17:]
    ('ada, bo', '18, 19 and 3 more')
    """
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {more} more" if more > 0 else "")


MANY = 24
"""Names that are listed in a message next to the nearest one."""


def nearest(word: str, known: list[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them.

    >>> nearest("sead", ["seed", "split"])
    "did you mean 'seed'? Known: seed, split"
    """
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    if close and len(set(known)) > MANY:
        return f"did you mean '{close[0]}'?"
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(sorted(set(known)))}"
