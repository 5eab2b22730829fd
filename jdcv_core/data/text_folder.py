"""A folder of texts, one file for each document: which files are read, their ids, and what is no
text. Ours."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jdcv_core.data.rows import text_fault
from jdcv_core.data.tables import decode
from jdcv_core.errors import InputError, several
from jdcv_core.folders import MANIFEST
from jdcv_core.progress import progress

MAX_CHARACTERS = 1_000_000
"""No CV or JD is longer; what is, is a broken file."""

_EXPORT = "save it as text (.txt)"
_IMAGE = "recognise its text (OCR), and save that as text (.txt)"
_UNPACK = "unpack it"
_KINDS = (
    (rb".{0,1023}?%PDF-\d", "a PDF", _EXPORT),
    (rb"\s*\{\s*\\rtf", "RTF", _EXPORT),
    (rb"PK\x03\x04.*word/document\.xml", "a Word document (DOCX)", _EXPORT),
    (rb"PK\x03\x04.*opendocument\.text", "an OpenDocument text (ODT)", _EXPORT),
    (rb"PK(\x03\x04|\x05\x06|\x07\x08)", "a packed file (ZIP, DOCX or another)", _EXPORT),
    (rb"\xd0\xcf\x11\xe0|\xffWPC|\xdb\xa5-\0", "an Office document (DOC or another)", _EXPORT),
    (rb"(?i:\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b)", "HTML", _EXPORT),
    (rb"\s*<(\?xml|svg)\b", "XML", _EXPORT),
    (rb"%!PS", "PostScript", _EXPORT),
    (rb"\s*(%[^\n]*\n\s*)*\\documentclass", "LaTeX", "compile it, and " + _EXPORT),
    (rb"(?i:(From|Date|MIME-Version|Subject|Message-ID): [^\n]*\r?\n([\w-]+:|\s)[^\n]*\r?\n)"
     rb"(?i:([\w-]+:|[ \t])[^\n]*\r?\n)*(?i:MIME-Version|Content-Type): ",
     "a saved e-mail or web archive", _EXPORT),
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|BM.{4}\0\0\0\0|RIFF.{4}WEBP|.{4}ftyp",
     "an image", _IMAGE),
    (rb"\x1f\x8b|BZh\d|\xfd7zXZ|7z\xbc\xaf|Rar!\x1a|\x28\xb5\x2f\xfd|.{257}ustar",
     "a packed file", _UNPACK),
    (rb"SQLite format 3\0|\x7fELF|MZ[^\0]{0,64}\0|bplist00", "a program or its data",
     "move it away"),
)  # fmt: skip
KINDS = tuple(
    (re.compile(b"(?:\xef\xbb\xbf)?(?:" + pattern + b")", re.DOTALL), kind, cure)
    for pattern, kind, cure in _KINDS
)
"""How files begin that are no text, what they are, and what their owner can do."""


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
    without `.txt` and in the composed form of Unicode (NFC): macOS writes names decomposed. Ids
    come from the folder, so a qrels line cannot point outside it. Hidden files and folders, and
    folders that this toolkit wrote (indexes, models), are left out.

    Two files with one id (`a` and `a.txt`, or names that differ in their form of Unicode) and
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
        key = composed(str(place.with_suffix("") if place.suffix == ".txt" else place))
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


def read_document(file: Path, max_characters: int = MAX_CHARACTERS) -> str:
    """The text of a file, of any language.

    Raises InputError that names the file if it is not UTF-8, empty, of another kind than text (PDF,
    RTF, image, …, by its first bytes), or longer than max_characters.
    """
    text, fault = _read(file, max_characters)
    if fault:
        raise InputError(*fault)
    return text


def read_texts(path: str | Path, max_characters: int = MAX_CHARACTERS) -> dict[str, str]:
    """The texts of a folder by id, see `list_folder`.

    Raises one InputError for all files that cannot be read, with a line for each.
    """
    folder = Path(path)
    listing = list_folder(folder)
    texts, faults = {}, list(listing.faults)
    with progress(f"Reading {folder.name}", len(listing.files)) as advance:
        for name, file in listing.files.items():
            texts[name], fault = _read(file, max_characters)
            faults += [fault] if fault else []
            advance()
    if faults:
        raise several(str(folder), "{} files cannot be used", faults)
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


def other_kind(data: bytes) -> tuple[str, str] | None:
    """What is wrong with the content of a file that is no text, and the cure; None for a text.

    >>> other_kind(rb"{\\rtf1\\ansi Ada}")
    ('it is RTF, not text', 'save it as text (.txt)')
    """
    for pattern, kind, cure in KINDS:
        if pattern.match(data):
            return f"it is {kind}, not text", cure
    return None


def _read(file: Path, max_characters: int) -> tuple[str, tuple[str, str, str] | None]:
    """The text of a file, and its fault if it has one."""
    try:
        data = file.read_bytes()
    except OSError as error:
        return "", (str(file), f"it cannot be read ({error.strerror})", "check the file")
    if kind := other_kind(data):
        return "", (str(file), *kind)
    text = decode(data)
    fault = text_fault("the text", text, max_characters)
    if fault is None:
        return text, None
    _, what, cure = fault
    return "", (str(file), what, cure.replace("remove the row", "remove the file"))


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
