"""Blind mode: names, addresses and telephone numbers are not shown. Ours.

It hides them from the person who looks, not from the model; the page *What if* shows what another
name does to the score.
"""

from __future__ import annotations

import re

HIDDEN = "▒▒▒"
_WORD = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:[-'’][^\W\d_]+)*\.?")
_CONTACT = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?:https?://|www\.)\S+"
    r"|(?<![\d/.-])\+?\(?\d[\d ()/.-]{7,}\d(?![\d/-])"
)
_YEARS = re.compile(r"(?:19|20)\d\d")
_NO_NAME = {"curriculum", "vitae", "cv", "resume", "résumé", "lebenslauf", "profile", "summary"}
FIRST_LINES = 3
MOST_WORDS = 5


def name_of(text: str) -> str:
    """The name of a person: the first line of a CV that looks like one; "" if none does.

    Such a line is among the first FIRST_LINES that are not empty, and has two to MOST_WORDS words
    of letters, each with a capital first letter or in a script without capitals.

    >>> name_of("Curriculum vitae\\nAda King-Noel\\nAccountant in Leeds"), name_of("10 years")
    ('Ada King-Noel', '')
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for line in lines[:FIRST_LINES]:
        words = line.replace(",", " ").split()
        if (
            2 <= len(words) <= MOST_WORDS
            and all(_WORD.fullmatch(word) and not word[0].islower() for word in words)
            and not _NO_NAME & {word.lower() for word in words}
        ):
            return line
    return ""


def hide(text: str, name: str) -> str:
    """The text without the words of a name, e-mail addresses, links and telephone numbers.

    >>> hide("Ada Byron, ada@byron.org: Ada led 09/2019-10/2021.", "Ada Byron")
    '▒▒▒ ▒▒▒, ▒▒▒: ▒▒▒ led 09/2019-10/2021.'
    """

    def contact(found: re.Match[str]) -> str:
        return found.group() if _YEARS.search(found.group()) else HIDDEN

    text = re.sub(_CONTACT, contact, text)
    words = [re.escape(word) for word in name.replace(",", " ").split() if len(word.strip(".")) > 1]
    if not words:
        return text
    return re.sub(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", HIDDEN, text, flags=re.IGNORECASE)


def renamed(text: str, old: str, new: str) -> str:
    """The text with another name: the whole name first, then its first and its last word alone.

    >>> renamed("Ada Byron\\nByron led a team.", "Ada Byron", "Omar Haddad")
    'Omar Haddad\\nHaddad led a team.'
    """
    if not old or not new:
        return text
    text = re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text)
    for place in (0, -1):
        one, other = old.split()[place], new.split()[place]
        text = re.sub(rf"(?<!\w){re.escape(one)}(?!\w)", lambda _, o=other: o, text)  # type: ignore[misc]
    return text
