"""What stands between, before and after two dates that are one time. Ours."""

from __future__ import annotations

import re

from research.experience.languages import AND, BETWEEN, FILLER, SINCE, UNTIL

_DASH = r"(?:-{1,3}>?|~|=>|[→➔➜⇒\ufffd]|â\x80[\x93\x94])"
LONGEST = 26
"""Characters between two dates, at most."""
CONNECTOR = re.compile(
    rf"\s{{0,3}}(?:{_DASH}|(?i:{UNTIL})|至|到|から|부터)\s{{0,3}}"
    rf"(?:(?i:{UNTIL})\s{{1,2}})?(?:(?i:{FILLER})[\s-]{{0,2}}){{0,2}}['’´`‘]?"
)
AND_BETWEEN = re.compile(rf"\s{{0,3}}(?i:{AND})\s{{1,3}}(?:(?i:{FILLER})\s{{1,2}})?")
"""Joins two dates after BEFORE_BOTH."""
BEFORE_BOTH = re.compile(rf"(?i:\b(?:{BETWEEN}))\s{{1,2}}(?:(?i:{FILLER})\s{{1,2}})?$")
LOST = re.compile(r"\s{2,4}|\s?[\ue000-\uf8ff]\s?|\s\?{1,3}\s|\?{1,3}|\s?(?:\.{2,3}|[…·>])\s?")
"""Where a dash was; exports write `?` for what they cannot."""
LISTED = re.compile(rf"\s?(?:[,;/&+]|(?:,\s?)?\s(?i:{AND}))\s{{0,2}}['’´`‘]?")
"""Between the seasons of a list: `Summer 2013, 2014`, `Fall 2018 and Spring 2019`."""
EACH = re.compile(r"(?i:\b(?:every|each|chaque|jeden|cada|fiecare))\s$")
"""Before a season it means that of every year: `every summer 2013-2015`."""
SINCE_BEFORE = re.compile(rf"(?i:{SINCE})\s{{0,2}}:?\s{{0,2}}$")
OPEN_DASH = re.compile(rf"\s?{_DASH}(?=\n| {{2}}|\s?\Z|\s?\))")
"""A dash that nothing follows: `August 2014 —` at the end of a line."""
NOT_A_YEAR = re.compile(
    r"(?i:server|windows|win|office|studio|sharepoint|exchange|excel|access|word|project|visio|"
    r"outlook|powerpoint|autocad|dynamics|revit|solidworks|quickbooks|iso|version|ver|sql|vb|asp|"
    r"ms|page|room|suite|box|gst|form|over|than|about|approximately|code|act|net|crm|ax|nav|bw|"
    r"sap|java|ecma|cisco|catalyst|series|model|part|class|no|number)\W{0,2}$"
)
"""Words before a number of four digits that is a version or an amount."""
