"""How a Word document hides text: by a run itself, by its style, or by the base of that. Ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jdcv_core.data.documents.trees import parsed

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
OFF = ("0", "false", "off", "none")
TINY = 4
"""Half points; smaller text is hidden."""
NEAR_WHITE = 255 - 20
"""The least of red, green and blue of a colour that cannot be seen on white."""

Look = dict[str, str]
"""`vanish` (on or off), `color`, `sz` (half points), `fill` (colour behind the text)."""


@dataclass(frozen=True)
class Styles:
    """The styles of a document: id → its look and the id that it is based on."""

    looks: Mapping[str, Look]
    bases: Mapping[str, str]
    default: Look

    @classmethod
    def of(cls, content: bytes | None) -> Styles:
        """From word/styles.xml; a document without it has no styles."""
        looks: dict[str, Look] = {}
        bases: dict[str, str] = {}
        default: Look = {}
        root = parsed(content) if content else None
        for style in root.iter(f"{W}style") if root is not None else ():
            name = style.get(f"{W}styleId", "")
            looks[name] = own_look(style)
            based = style.find(f"{W}basedOn")
            if based is not None:
                bases[name] = based.get(f"{W}val", "")
            if style.get(f"{W}type") == "paragraph" and style.get(f"{W}default") == "1":
                default = looks[name]
        return cls(looks, bases, default)

    def look(self, name: str) -> Look:
        """The look of a style, with what it has from its bases."""
        chain: list[str] = []
        while name in self.looks and name not in chain:
            chain.append(name)
            name = self.bases.get(name, "")
        found: Look = {}
        for one in reversed(chain):
            found |= self.looks[one]
        return found

    def look_of(self, run: Any) -> Look:
        """The look of a run: its own, before that of its style, before those of its paragraph and
        of the cell that it is in."""
        found = dict(self.default)
        outer = list(run.iterancestors(f"{W}p", f"{W}tc"))
        for element in reversed(outer):
            if element.tag == f"{W}tc":
                fill = own_look(element).get("fill")
                found |= {"fill": fill} if fill else {}
            else:
                found |= self.look(_style(element, "pPr/pStyle")) | _shade(element)
        return found | self.look(_style(run, "rPr/rStyle")) | own_look(run)


def own_look(element: Any) -> Look:
    """What the properties of a run, a style or a cell say themselves."""
    found = _shade(element)
    for properties in element.findall(f"{W}rPr"):
        for tag, key in (("vanish", "vanish"), ("color", "color"), ("sz", "sz")):
            value = properties.find(f"{W}{tag}")
            if value is not None:
                found[key] = value.get(f"{W}val", "1")
        found |= _fill(properties)
    return found


def way(look: Look, on_white: bool) -> str:
    """The way in which text of a look is hidden; "" if it can be seen.

    on_white: whether nothing but the look itself can be behind the text
    """
    if look.get("vanish", "0") not in OFF:
        return "marked hidden"
    if look.get("sz", "").isdigit() and int(look["sz"]) < TINY:
        return "tiny"
    colour, fill = look.get("color", "auto"), look.get("fill", "auto")
    if colour == "auto" or (fill == "auto" and not on_white):
        return ""
    behind = _channels(fill) or (255, 255, 255)
    ink = _channels(colour)
    near = ink and max(abs(a - b) for a, b in zip(ink, behind, strict=True)) <= 255 - NEAR_WHITE
    return "background colour" if near else ""


def is_white(look: Look) -> bool:
    """Whether text has nearly the colour of paper."""
    channels = _channels(look.get("color", "auto"))
    return bool(channels) and min(channels or (0,)) >= NEAR_WHITE


def _style(element: Any, path: str) -> str:
    found = element.find("/".join(f"{W}{tag}" for tag in path.split("/")))
    return "" if found is None else found.get(f"{W}val", "")


def _shade(element: Any) -> Look:
    found: Look = {}
    for properties in (element.find(f"{W}pPr"), element.find(f"{W}tcPr")):
        found |= {} if properties is None else _fill(properties)
    return found


def _fill(properties: Any) -> Look:
    """The colour that shading or a marker puts behind text."""
    found: Look = {}
    for tag, key in (("shd", "fill"), ("highlight", "val")):
        value = properties.find(f"{W}{tag}")
        colour = "auto" if value is None else value.get(f"{W}{key}", "auto")
        if colour not in ("auto", "none"):
            found["fill"] = colour
    return found


NAMED = {"white": "FFFFFF", "black": "000000", "yellow": "FFFF00", "lightGray": "D3D3D3"}


def _channels(colour: str) -> tuple[int, int, int] | None:
    colour = NAMED.get(colour, colour)
    try:
        value = int(colour, 16) if len(colour) == 6 else -1
    except ValueError:
        return None
    return None if value < 0 else (value >> 16, value >> 8 & 255, value & 255)
