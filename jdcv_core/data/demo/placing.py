"""Where in a CV its evidence stands: the same lines in other orders, among much filler. Ours.

After FarRelevant (Boytsov et al. 2022, arXiv 2207.01262, section 5), in which the relevant passage
of every document stands after the first 512 tokens: a ranker that reads only the beginning must be
at chance. Here the evidence of a CV (the headers of its experiences, the paragraphs that show
skills, the keywords) stands early, after a given number of tokens, or spread over the CV.
"""

from __future__ import annotations

from jdcv_core.data.demo.text import Writer, WrittenCV, tokens_of

ANYWHERE, EARLY, SPREAD = "anywhere", "early", "spread"
PLACES = (ANYWHERE, EARLY, SPREAD)
FAR = 2048
"""GPT-2 tokens of filler that a CV gets in addition, and the latest start of the evidence."""


def place(cv: WrittenCV, writer: Writer, at: str | int) -> str:
    """Return the text of a CV with its evidence at a place.

    writer: writes FAR tokens of filler. It is used for this CV only, so that every place but
            "anywhere" has the same lines
    at:     "anywhere": the usual CV, without additional filler; "early": the evidence follows the
            head, and all filler comes after it; a number: the evidence starts after about so many
            GPT-2 tokens (`text.tokens_of`); "spread": the filler is divided evenly over the
            experiences and mixed with their paragraphs

    The head (name, title, summary) is always first; its title says the level of the person.
    """
    if at == ANYWHERE:
        return cv.text
    own = [line for _, _, filler in cv.experiences for line in filler]
    filler = writer.shuffled([*own, *writer.fill("filler", FAR)])
    if at == SPREAD:
        body = ["Profile", "Experience", *_mixed(cv, filler, writer)]
        return "\n".join([*cv.head, *body, *cv.education, *cv.extras])
    start = 0 if at == EARLY else int(at)
    before, room = 0, start - sum(map(tokens_of, cv.head))
    while room > 0:
        room -= tokens_of(filler[before])
        before += 1
    evidence = [line for header, shown, _ in cv.experiences for line in (header, *shown)]
    body = ["Profile", *filler[:before], "Experience", *evidence, cv.keywords]
    return "\n".join([*cv.head, *body, *cv.education, *cv.extras, *filler[before:]])


def _mixed(cv: WrittenCV, filler: list[str], writer: Writer) -> list[str]:
    """The experiences, each with an equal part of the filler, and the keywords in the last."""
    lines: list[str] = []
    count = len(cv.experiences)
    for number, (header, shown, _) in enumerate(cv.experiences):
        part = filler[number * len(filler) // count : (number + 1) * len(filler) // count]
        last = [cv.keywords] if number == count - 1 else []
        lines += [header, *writer.shuffled([*shown, *part, *last])]
    return lines
