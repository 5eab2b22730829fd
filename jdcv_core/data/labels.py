"""How the label values of a source are read: names, numbers, two classes, or a mapping. Ours.

Two classes are No Fit and Good Fit. A set of values that can be read in two ways is refused, and
the message says how to write a mapping.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jdcv_core.errors import InputError
from jdcv_core.types import GOOD, LABELS, NO, POTENTIAL

Spelling = Mapping[str, str]
"""Key of a label value (see `label_key`) → the value as the source spells it first."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,2})?")
NO_WORDS = frozenset((
    "no", "n", "false", "f", "negative", "neg", "nofit", "notfit", "notafit", "nonfit", "unfit",
    "badfit", "poorfit", "nomatch", "notmatch", "notamatch", "nonmatch", "mismatch", "unmatched",
    "notmatched", "irrelevant", "notrelevant", "nonrelevant", "unsuitable", "notsuitable",
    "unqualified", "notqualified", "reject", "rejected", "declined", "notselected", "nothired",
    "fail", "failed", "bad", "nein", "non", "não", "nao",
))  # fmt: skip
YES_WORDS = frozenset((
    "yes", "y", "true", "t", "positive", "pos", "fit", "goodfit", "match", "matched", "goodmatch",
    "relevant", "suitable", "qualified", "accept", "accepted", "selected", "shortlisted", "hire",
    "hired", "invite", "invited", "pass", "passed", "good", "ja", "oui", "sí", "si", "sì", "sim",
))  # fmt: skip
"""Words without spaces, hyphens and case, for labels of two classes."""
YAML_BOOLEANS = {True: ("true", "yes", "on"), False: ("false", "no", "off")}
"""What YAML reads as a boolean unless it is quoted."""
SHOWN = 6
"""Values of a file that a message lists."""


@dataclass(frozen=True)
class LabelReading:
    """How the label values of a source are read.

    known:    key of a value → index into LABELS
    spelling: the values that the source has, by key
    given:    whether the user gave a mapping
    """

    known: Mapping[str, int]
    spelling: Spelling
    given: bool = False

    def facts(self) -> dict[str, Any]:
        """{"labels_read": value → name of its class}; {} where the source has the names themselves.

        >>> read_labels(["0", "1"]).facts()
        {'labels_read': {'0': 'No Fit', '1': 'Good Fit'}}
        """
        read = {self.spelling[k]: LABELS[self.known[k]] for k in sorted(self.spelling, key=_order)}
        if all(label_key(value) == label_key(name) for value, name in read.items()):
            return {}
        return {"labels_read": read}

    def check_classes(self, where: str, found: Collection[int]) -> None:
        """Refuse labels of one class, and two classes other than No Fit and Good Fit.

        where: the source, for the message; found: the classes of the pairs that are left
        """
        classes = sorted(set(found))
        named = " and ".join(LABELS[label] for label in classes)
        values = _shown(self.spelling)
        if len(classes) == 1:
            read = f" ({values}) is read as {named}" if self.given else f" is {values}"
            what = f"every label{read}: one class leaves nothing to tell apart"
            raise InputError(where, what, f"add pairs of another class, or check {HOW}")
        if len(classes) == 2 and classes != [NO, GOOD]:
            what = f"the labels are {named} alone ({values}), and two classes are No and Good Fit"
            ends = {k: (NO, GOOD)[classes.index(self.known[k])] for k in self.spelling}
            raise InputError(where, what, f"write {_written(self.spelling, ends)}")


def read_labels(values: Iterable[Any], mapping: Mapping[str, int] | None = None) -> LabelReading:
    """Decide how the label values of a source are read, from all of them together.

    values:  of every row of every file of the source
    mapping: the user's, from `label_map`; None: the values decide. These are read:
             No Fit, Potential Fit, Good Fit (case, spaces, "_" and "-" do not matter);
             0, 1, 2;
             two classes: 0 and 1, -1 and 1, true and false, or a word for each (no, yes; reject,
             hired; …): the first is No Fit, the second Good Fit

    Numbers may be written 1, 1.0 or "1". Values that fit none of these are left out of `known`, and
    the caller names their rows.

    >>> read_labels([True, False]).known
    {'false': 0, 'true': 2}
    """
    spelling: dict[str, str] = {}
    for value in values:
        key = label_key(value)
        if key:
            spelling.setdefault(key, " ".join(str(value).split())[:60])
    if mapping is None:
        return LabelReading(_guess(spelling), spelling)
    return LabelReading(mapping, spelling, given=True)


def label_key(value: Any) -> str:
    """Return the text by which label values are compared.

    `" no-FIT"` → `nofit`; 1, 1.0 and "1" → `1`; True → `true`; nothing and nan → the empty text.
    """
    if value is None:
        return ""
    text = "".join(unicodedata.normalize("NFKC", str(value)).split()).casefold()
    if NUMBER.fullmatch(text):
        number = float(text)
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, float) and math.isnan(value):
        return ""
    return re.sub(r"[-_'’]", "", text)


def label_map(labels: Mapping[Any, int | str]) -> dict[str, int]:
    """Return a user's mapping with keys as `label_key` gives them: key → index into LABELS.

    A key may be a number, a text or a boolean; a boolean also stands for the words that YAML reads
    as booleans (yes, no, on, off).

    Raises InputError if it is no mapping, if a value leads to no label, or if two keys that are the
    same value lead to different labels.

    >>> label_map({0: 0, "1.0": "Good Fit"})
    {'0': 0, '1': 2}
    """
    if not isinstance(labels, Mapping):
        raise InputError("labels", f"{labels!r} is no mapping", f"write {_written({'0': '0'}, {})}")
    names = _names() | _numbers()
    mapped: dict[str, int] = {}
    for value, label in labels.items():
        index = names.get(label_key(label))
        if index is None:
            cure = "give one of " + ", ".join(f"{name} ({i})" for i, name in enumerate(LABELS))
            raise InputError(f"labels, {value!r}", f"{label!r} is not a label", cure)
        for key in YAML_BOOLEANS[value] if isinstance(value, bool) else (label_key(value),):
            if mapped.setdefault(key, index) != index:
                what = f"it is ambiguous: {key!r} leads to {LABELS[mapped[key]]}, too"
                raise InputError(f"labels, {value!r}", what, "give each value once")
    return mapped


def unknown_label(reading: LabelReading, value: Any) -> tuple[str, str]:
    """Say what is wrong with a label value that the reading does not know, and the cure."""
    key = label_key(value)
    shown = repr(value)[:60] if key else "empty"
    if not key:
        return shown, "give its label or remove the row"
    if reading.given:
        known = ", ".join(sorted(reading.known, key=_order))
        example = ", ".join(f"{k}: {LABELS[v]}" for k, v in [*reading.known.items()][:SHOWN])
        shown_key = str(value)[:60]
        cure = f"known: {known[:100]}; add it: 'data.labels={{{example}, {shown_key}: LABEL}}'"
        return f"{shown}, and `labels` leaves it out", cure
    if len(reading.spelling) > SHOWN:
        cure = f"give classes (the file has {len(reading.spelling)} different values), or map them"
        return shown, f"{cure} all with {HOW}"
    names = ", ".join(sorted(LABELS))
    cure = f"known: {names}; or 0, 1, 2; or two classes such as 0, 1. Say what the values mean: "
    several = len(reading.spelling) > 1
    return shown, cure + (_written(reading.spelling, _evenly(reading)) if several else HOW)


HOW = "'data.labels={VALUE: LABEL, …}'"


def _guess(spelling: Spelling) -> dict[str, int]:
    """Return key → index of the vocabulary that has most of the keys; {} if none has any."""
    names, numbers = _names(), _numbers()
    keys = set(spelling)
    if keys and keys <= set(names):
        return names
    two = [*_two_classes(keys)]
    if two:
        return dict(zip(two, (NO, GOOD), strict=True))
    if keys == {"1", "2"}:  # grades 1 and 2, or no and yes
        return {}
    words = dict.fromkeys(keys & NO_WORDS, NO) | dict.fromkeys(keys & YES_WORDS, GOOD)
    if len(keys) > 1 and keys <= set(words):  # several words for one class
        words = {}
    return max((names, numbers, words), key=lambda known: len(keys & set(known)), default={})


def _names() -> dict[str, int]:
    return {label_key(name): index for index, name in enumerate(LABELS)}


def _numbers() -> dict[str, int]:
    return {str(index): index for index in range(len(LABELS))}


def _two_classes(keys: Collection[str]) -> tuple[str, ...]:
    """Return the values of No Fit and Good Fit, if there are two and no other reading."""
    if len(keys) != 2:
        return ()
    for low in ("0", "-1"):
        if set(keys) == {low, "1"}:
            return low, "1"
    no, yes = ([key for key in keys if key in words] for words in (NO_WORDS, YES_WORDS))
    return (no[0], yes[0]) if len(no) == len(yes) == 1 else ()


def _evenly(reading: LabelReading) -> dict[str, int]:
    """Return an example of a mapping.

    Numbers are in order, the lowest No Fit and the highest Good Fit; of words those that are known,
    and the others in turn.
    """
    keys = sorted(reading.spelling, key=_order)
    last = max(1, len(keys) - 1)
    ranked = {k: (NO if i == 0 else GOOD if i == last else POTENTIAL) for i, k in enumerate(keys)}
    if all(NUMBER.fullmatch(key) for key in keys):
        return ranked
    words = dict.fromkeys(NO_WORDS, NO) | dict.fromkeys(YES_WORDS, GOOD)
    return {k: {**words, **_names(), **_numbers()}.get(k, POTENTIAL) for k in keys}


def _written(spelling: Spelling, labels: Mapping[str, int]) -> str:
    """`'data.labels={0: No Fit, 1: Good Fit}'`, as a shell takes it"""
    known = labels or {"0": NO, "1": GOOD}
    keys = sorted(known, key=_order)
    pairs = ", ".join(f"{spelling.get(key, key)}: {LABELS[known[key]]}" for key in keys)
    return f"'data.labels={{{pairs}}}' (in Python: labels=)"


def _shown(spelling: Spelling) -> str:
    keys = sorted(spelling, key=_order)[:SHOWN]
    return ", ".join(spelling[key] for key in keys)


def _order(key: str) -> tuple[bool, float, str]:
    """Return a sort key: numbers by size, then words."""
    number = float(key) if NUMBER.fullmatch(key) else None
    return number is None, number or 0.0, key
