"""Trees of XML and HTML, read without trust. Ours."""

from __future__ import annotations

from lxml import etree

from jdcv_core.data.documents.refused import Refused


def parsed(content: bytes) -> etree._Element:
    """The root of an XML part. No entity is resolved and nothing is fetched.

    Raises etree.XMLSyntaxError, also for elements that are nested 256 times.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    return etree.fromstring(content, parser)


def check_nesting(root: etree._Element, nesting: int) -> None:
    """Raises Refused where elements are nested more than `nesting` times."""
    level, depth = [root], 0
    while level:
        depth += 1
        if depth > nesting:
            raise Refused(f"it is nested more than {nesting} times", "save it as text (.txt)")
        level = [child for element in level for child in element]
