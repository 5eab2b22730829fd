"""Text → sections: headings part a CV, and each section has a kind. Ours.

Headings come glued, too: `portfolio.SkillsAgile`, `Work HistoryStaff Engineer`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

KINDS = ("summary", "experience", "education", "skills", "other")
"""What a segment may be."""

HEADINGS = {
    "experience": (
        "experiences?|employment history|employment|employment record|work history|job history|"
        "career history|career summary|professional background|professional history|career|"
        "internships?|appointments|positions held|work summary|responsibilities held|"
        "project details|projects|work undertaken|background|"
        "expériences? professionnelles?|expériences?|parcours professionnel|"
        "experiencia laboral|experiencia profesional|experiencia|"
        "berufserfahrung|beruflicher werdegang|berufspraxis|"
        "experiență profesională|experienta profesionala|experiență|experienta"
    ),
    "education": (
        "education and training|education|educational background|academic background|degrees|"
        "academic qualifications?|educational qualifications?|education summary|academics|"
        "academic profile|academic projects?|academic details|academic credentials|scholastics?|"
        "formations?|études|diplômes|educación|formación|formación académica|estudios|"
        "ausbildung|studium|schulbildung|bildungsweg|educație|educatie|studii|formare"
    ),
    "skills": (
        "skills?|keywords|core qualifications|highlights|competencies|areas of expertise|"
        "technical expertise|proficiency|proficiencies|skill sets?|capabilities|technologies|"
        "skills & tools|strengths|"
        "compétences|habilidades|competencias|kenntnisse|fähigkeiten|competențe|competente"
    ),
    "summary": (
        "summary|summary of qualifications|profile|objective|overview|about me|career focus|"
        "profil|resumen|perfil|zusammenfassung|rezumat"
    ),
    "other": (
        "awards|honou?rs|awards and honou?rs|awards received|recognitions?|certifications?|"
        "certificates?|publications?|"
        "languages?|interests|topics of interest|currently reading|currently reading about|hobbies|"
        "courses attended|references?|additional information|personal information|"
        "information|personal details|personal profile|affiliations|accomplishments|"
        "activities|involvement|memberships?|memberships and affiliations|organizations|"
        "presentations?|trainings?|courses?|coursework|volunteer work|volunteering|volunteerism|"
        "patents|grants|licenses?|licensure|declaration|personal data|conferences|committees|"
        "scholarships?|fellowships?|community service|professional service|service|research|"
        "professional development|seminars|workshops|portfolio|"
        "langues|centres d'intérêt|loisirs|idiomas|intereses|sprachen|interessen|limbi străine"
    ),
}
"""Words of headings, as alternatives of a regular expression, by the kind of section they open."""

QUALIFIERS = (
    "work|working|professional|relevant|related|teaching|research|industry|additional|other|"
    "leadership|academic|clinical|volunteer|project|technical|key|core|computer|it|career|"
    "executive|legal|non|practical|previous|prior|current|recent|selected|military|"
    "extracurricular|community|personal|university|administrative|managerial|supervisory|"
    "consulting|international|business|employment|graduate|language|field|student|college|"
    "scholarly|social|campus|honorary|editorial|conference|job|special|major|significant|"
    "educational|internship|coaching|counseling|sales|management|software|engineering|paralegal|"
    "special|relevant|computing"
)
"""Words that may stand before such a word, three at most."""
_QUALIFIER = rf"(?:(?:{QUALIFIERS})(?:\s(?:and|&|/)\s|[\s/-]))"


def _spellings(word: str) -> tuple[str, ...]:
    """experiences? → experience, experiences; honou?rs → honors, honours."""
    if "?" not in word:
        return (word,)
    at = word.index("?")
    return (word[: at - 1] + word[at + 1 :], word[:at] + word[at + 1 :])


MOST_WORDS, MOST_SECTIONS = 5000, 1000
"""Of one text, many times what a CV has, so that no text takes long; the rest is read as part of
the last section."""
_HEADING = re.compile(
    rf"(?i:{_QUALIFIER}{{0,3}})(?:"
    + "|".join(
        rf"(?P<{kind}>(?i:{'|'.join(sorted(words.split('|'), key=len, reverse=True))}))"
        for kind, words in HEADINGS.items()
    )
    + r")(?![a-zà-ÿ])"
)
"""Matches at a place; whether it is a heading is for `_is_heading` to say."""
_CAPITALISED = re.compile(r"[A-ZÀ-Þ](?:[a-zà-ÿ]+|[A-ZÀ-Þ]+)")
_NAMED = {
    spelling: kind
    for kind, words in HEADINGS.items()
    for word in words.split("|")
    for spelling in _spellings(word)
}
"""`Academic Background` is education by its whole name, and not "background" with a qualifier."""
_FIRST_WORDS = frozenset(
    word
    for line in (*HEADINGS.values(), QUALIFIERS)
    for words in line.split("|")
    for word in _spellings(words.split()[0].split("'")[0])
)
"""A heading begins with one of them; so most words of a text are passed over at once."""


_EAST = re.compile(
    r"(?m)^[\s【\[■●◆▪◇]{0,4}(?:\d{1,2}[.、]\s?|[一二三四五六七八九十][、.]\s?)?(?:"
    r"(?P<experience>(?:工作|职业|任职|实习|项目|職務|工作)(?:经历|经验|履历|經歷|經驗|経歴)|職歴|"
    r"경력(?:\s?사항)?)|"
    r"(?P<education>教育(?:背景|经历|經歷)|学历|学歴|學歷|학력(?:\s?사항)?)|"
    r"(?P<skills>(?:专业|專業)?技能(?:特长)?|スキル|(?:보유\s?)?기술)|"
    r"(?P<summary>自我(?:评价|介绍)|个人简介|自己PR|자기소개)|"
    r"(?P<other>证书|證照|资格证书|資格|获奖(?:情况|经历)?|荣誉|语言能力|수상|자격증))"
    r"[】\]]?[ \t]*:?[ \t]*$"
)
"""Headings in Chinese, Japanese and Korean: they stand alone on their line."""


@dataclass(frozen=True)
class Section:
    """A part text[start:end] under one heading. kind: one of KINDS; body: where its heading ends"""

    kind: str
    start: int
    end: int
    body: int


def sections_of(text: str) -> tuple[list[Section], int]:
    """The sections of a text, in order and without gaps; and up to which character headings were
    looked for. Before the first heading is a summary."""
    cuts = [(0, 0, "summary")]
    tried, read = 0, len(text)
    for word in _CAPITALISED.finditer(text):
        start = word.start()
        if word[0].lower() not in _FIRST_WORDS or start < cuts[-1][1]:
            continue
        if text[start - 1 : start] == " " and not word[0].isupper():
            before = text[max(0, start - 2) : start]
            if before not in ("  ", ". "):
                continue  # within a sentence
        tried += 1
        m = _HEADING.match(text, start)
        if m is not None and _is_heading(text, m.start(), m.end()):
            kind = _NAMED.get(m[0].lower(), str(m.lastgroup))
            cuts.append((m.start(), m.end(), kind))
        if tried == MOST_WORDS or len(cuts) > MOST_SECTIONS:
            read = start
            break
    if not text.isascii():
        east = [(m.start(), m.end(), str(m.lastgroup)) for m in _EAST.finditer(text)]
        cuts = [cuts[0], *sorted([*cuts[1:], *east])][: MOST_SECTIONS + 1]
    ends = [start for start, _, _ in cuts[1:]] + [len(text)]
    sections = [
        Section(kind, start, end, body)
        for (start, body, kind), end in zip(cuts, ends, strict=True)
        if end > start or not text
    ]
    return sections, read


def _is_heading(text: str, start: int, end: int) -> bool:
    """Whether these words stand alone: after a break, before a break, and begin with a capital.

    A break is an end of line, two spaces, or glue: `portfolio.SkillsAgile`.
    """
    word, before, after = text[start:end], text[max(0, start - 2) : start], text[end : end + 2]
    if not word[0].isupper():
        return False
    shouted = word.isupper() and len(word) > 4
    left_line = start == 0 or before[-1:] in "\n\r\t•|*-–:;" or before in ("  ", ". ")
    left_glued = before[-1:].islower() or before[-1:] in ".)!?" or before[-1:].isdigit()
    right_line = not after.strip() or after[0] in "\n\r:\t" or after == "  "
    right_glued = after[:1].isupper() and not shouted or after[:1].isdigit()
    right_dash = after[:1] in "-–—•|" or (after[:1] == " " and after[1:] in "-–—•*:|")
    if left_line:
        return right_line or right_glued or right_dash or (shouted and not after[:1].isalpha())
    if left_glued and not word.isupper():
        return right_glued or right_line and "\n" in after
    return shouted and before[-1:] == " " and right_line
