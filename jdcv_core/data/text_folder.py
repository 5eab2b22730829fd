"""A folder of texts, one file for each document: which files are read, and their ids. Ours."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jdcv_core.data.documents.file_text import FileText, HiddenMode, Limits
from jdcv_core.data.documents.kinds import SUFFIXES
from jdcv_core.data.documents.reading import read_all
from jdcv_core.errors import InputError, several
from jdcv_core.folders import MANIFEST

MAX_CHARACTERS = Limits.characters
"""No CV or JD is longer; what is, is a broken file."""

UNPRINTED = ("Cc", "Cs", "Zl", "Zp")
"""Categories of characters that an id must not have: controls, line breaks, bytes of no Unicode."""


@dataclass
class Listing:
    """What a folder holds.

    files:   document id → file, in the order of the files' paths
    left_out: relative paths that are not read: hidden files and folders, and indexes and models
    faults:  (where, what, cure) of each file that cannot be a document
    """

    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    faults: list[tuple[str, str, str]] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """The documents of a folder and of its sub-folders, one file for each.

    The id of a document is the path of its file relative to the folder, with `/` between folders,
    without `.txt`, `.pdf`, `.docx`, `.rtf`, `.html` or `.htm`, and in the composed form of Unicode
    (NFC): macOS writes names decomposed. Ids come from the folder, so a qrels line cannot point
    outside it. Hidden files and folders, and folders that this toolkit wrote (indexes, models), are
    left out.

    Two files with one id (`a.pdf` and `a.txt`, or names that differ in their form of Unicode) and
    names that are not plain text are faults. A folder that does not exist has no documents. Raises
    InputError if it is a file, or an index or a model itself.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "2024").mkdir()
    >>> for name in ("ada.txt", "2024/bo.txt", ".hidden"):
    ...     _ = (folder / name).write_text("A CV.")
    >>> list(list_folder(folder).files), list_folder(folder).left_out
    (['2024/bo', 'ada'], ['.hidden'])
    """
    if folder.is_file():
        raise InputError(str(folder), "it is a file, not a folder", "give the folder that it is in")
    if not folder.is_dir():
        return Listing()
    if _is_ours(folder):
        what = "it is an index or a model, not a folder of texts"
        raise InputError(str(folder), what, "give the folder with the text files")
    found = Listing()
    for file in _walk(folder, folder, found, {folder.resolve()}):
        place = file.relative_to(folder)
        plain = place.suffix.lower() in SUFFIXES and place.stem
        key = composed(str(place.with_suffix("") if plain else place))
        if any(unicodedata.category(character) in UNPRINTED for character in key):
            what = f"its name {key!r} is not plain text"
            found.faults.append((repr(str(file))[1:-1], what, "rename it"))
        elif key in found.files:
            other = found.files[key].relative_to(folder)
            what = f"{other} and {place} have the same id {key!r}"
            found.faults.append((str(folder), what, "rename one of them"))
        else:
            found.files[key] = file
    return found


def document_files(folder: Path) -> dict[str, Path]:
    """Document id → file, see `list_folder`. Raises InputError, also if there is no document."""
    found = list_folder(folder)
    if found.faults:
        raise several(str(folder), "{} files cannot be used", found.faults)
    if not found.files:
        raise InputError(str(folder), "there is no document", "put one file a document there")
    return found.files


def read_texts(
    path: str | Path,
    max_characters: int = MAX_CHARACTERS,
    hidden: HiddenMode = "drop",
) -> dict[str, str]:
    """The texts of a folder by id, see `list_folder` and `read_folder`."""
    return {name: file.text for name, file in read_folder(path, max_characters, hidden).items()}


def read_folder(
    path: str | Path,
    max_characters: int = MAX_CHARACTERS,
    hidden: HiddenMode = "drop",
) -> dict[str, FileText]:
    """The texts of a folder by id, with a report on each; see `list_folder` and `read_file`.

    Raises one InputError for all files that cannot be read, with a line for each.
    """
    folder = Path(path)
    listing = list_folder(folder)
    files = {file: str(file) for file in listing.files.values()}
    limits = Limits(characters=max_characters)
    read = read_all(files, str(folder), hidden=hidden, limits=limits, faults=listing.faults)
    texts = {name: read[file] for name, file in listing.files.items()}
    if not texts:
        raise InputError(str(folder), "there is no document", "put one file a document there")
    return texts


def composed(name: str) -> str:
    """A name in the composed form of Unicode (NFC), by which ids are compared.

    >>> composed("Zoe\\u0308") == "Zo\\xeb"
    True
    """
    return unicodedata.normalize("NFC", name)


def spelled(path: Path) -> Path:
    """The path as it is on the disk, where only the form of Unicode of its names differs; or the
    path as given, if there is no such file or several."""
    if path.exists() or not path.name:
        return path
    parent = spelled(path.parent)
    try:
        near = [p for p in parent.iterdir() if composed(p.name) == composed(path.name)]
    except OSError:
        return path
    return near[0] if len(near) == 1 else path


def _walk(folder: Path, top: Path, found: Listing, seen: set[Path]) -> Iterator[Path]:
    """The files of a folder and its sub-folders, in the order of their paths. A folder that a link
    leads back to is read once."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        what = f"it cannot be read ({error.strerror})"
        found.faults.append((str(folder), what, "change its permissions, or move it away"))
        return
    for path in inside:
        if path.name.startswith(".") or (path.is_dir() and _is_ours(path)):
            found.left_out.append(str(path.relative_to(top)))
        elif path.is_dir():
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield from _walk(path, top, found, seen)
        elif path.is_file():
            yield path
        else:
            what = "it is no plain file (a broken link, a pipe or a device)"
            found.faults.append((str(path), what, "remove it"))


def _is_ours(folder: Path) -> bool:
    """Whether this toolkit wrote the folder: an index, a saved model or the like."""
    return any(
        _is_manifest(path) for path in (folder / MANIFEST, *folder.glob(f"state-*/{MANIFEST}"))
    )


def _is_manifest(path: Path) -> bool:
    try:
        fields: Mapping[str, object] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(fields, dict) and {"kind", "version", "files"} <= fields.keys()
