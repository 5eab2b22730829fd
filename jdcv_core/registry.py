"""Names under which saved models and indexes know classes: scorers and chunkers.

A saved model holds `chunk_attention`, not the dotted path of a class, so that a file cannot choose
which code runs: only classes that an installed package lists in its entry points, or that the
caller has registered, are instantiated.

    [project.entry-points."jdcv.scorers"]
    gated = "my_package.gated:Gated"
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from jdcv_core.errors import InputError, nearest

Group = Literal["scorers", "chunkers"]
CURE = "install the package that registers it, or the version of jdcv that wrote the folder"

_registered: dict[str, dict[str, type]] = {"scorers": {}, "chunkers": {}}


def register(group: Group, name: str, found: type) -> None:
    """Give a class a name in this process; a package does it for good by an entry point.

    Raises ValueError for a name that another class has.

    >>> from jdcv_core.scoring import MeanPairs
    >>> class Mine(MeanPairs): ...
    >>> register("scorers", "mine", Mine)
    >>> name_of("scorers", Mine)
    'mine'
    """
    known = class_of(group, name, "register") if name in names(group) else found
    if known is not found:
        raise ValueError(f"the name {name!r} belongs to {known.__module__}.{known.__qualname__}")
    _registered[group][name] = found


def names(group: Group) -> list[str]:
    """List the known names, in order.

    >>> "mean_pairs" in names("scorers"), names("chunkers")
    (True, ['experience', 'requirement', 'tokens'])
    """
    return sorted({*_registered[group], *_points(group)})


def class_of(group: Group, name: Any, where: str) -> type:
    """Return the class of a name.

    Raises InputError naming `where` for a name that no package registers, and for a class that
    cannot be imported, as where another package of the same name hides the one that has it.

    >>> class_of("scorers", "mean_pairs", "manifest.json").__name__
    'MeanPairs'
    """
    if isinstance(name, str) and name in _registered[group]:
        return _registered[group][name]
    point = _points(group).get(name) if isinstance(name, str) else None
    if point is None:
        what = f"there is no {group.removesuffix('s')} {name!r} here"
        raise InputError(where, what, f"{CURE}; {nearest(str(name), names(group))}")
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        top = point.module.partition(".")[0]
        place = getattr(sys.modules.get(top), "__file__", None) or "nowhere"
        what = f"{point.value} cannot be imported ({error}): Python finds {top!r} at {place}"
        cure = f"if that is another package than the one that registers {name!r}, rename or move it"
        raise InputError(where, what, cure) from error


def name_of(group: Group, found: type) -> str | None:
    """Return the name of a class, or None if it has no name."""
    for name, known in _registered[group].items():
        if known is found:
            return name
    value = f"{found.__module__}:{found.__qualname__}"
    return next((n for n, point in _points(group).items() if point.value == value), None)


def make(group: Group, spec: Mapping[str, Any], where: str = "spec") -> Any:
    """A new object from {"name": …, "arguments": {…}}; an argument of that form is made first.

    Raises InputError naming `where` for an unknown name and for arguments that the class refuses.

    >>> make("chunkers", {"name": "tokens", "arguments": {"size": 64}})
    TokenChunker(size=64, overlap=0)
    """
    found = class_of(group, spec.get("name"), where)
    arguments = spec.get("arguments", {})
    try:
        return found(**{key: _made(group, value, where) for key, value in arguments.items()})
    except InputError as error:
        raise InputError(where, str(error).rstrip("."), CURE) from error
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        what = f"{spec['name']} refuses its arguments ({error})"
        raise InputError(where, what, CURE) from error


def _made(group: Group, value: Any, where: str) -> Any:
    nested = isinstance(value, Mapping) and value.keys() == {"name", "arguments"}
    return make(group, value, where) if nested else value


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"jdcv.{group}")}
