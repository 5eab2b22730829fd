"""The model that an index was made with, and that reads the texts of its queries."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jdcv_core.errors import InputError
from research.retrieval.text_reader import TextReader

if TYPE_CHECKING:
    from jdcv_core.matcher import Matcher

IN_MEMORY = ""
"""The setting `model` of an index whose model was a Matcher and not a folder."""


class IndexModel:
    """The model of an index. It is loaded when the first text is read.

    folder:   of the index, for messages
    settings: of the index
    given:    a model instead of the one that the index remembers; None: that one
    device:   of the encoder, see `Encoder`
    loaded:   the model, once it was loaded
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        given: Matcher | str | Path | None,
        device: str,
    ) -> None:
        self.folder, self.settings, self.given, self.device = folder, settings, given, device
        self.loaded: TextReader | None = None

    @property
    def location(self) -> str | None:
        """The folder of the model that the index was made with; None: all-MiniLM-L6-v2. Raises
        InputError if it was a model in memory."""
        location: str | None = self.settings["model"]
        if location == IN_MEMORY:
            what = "it was made with a model in memory"
            raise InputError(str(self.folder), what, "give the model")
        return location

    @property
    def reader(self) -> TextReader:
        """The model, loaded now if it was not. Raises InputError for another one than that of the
        index, and as `TextReader.load` does."""
        if self.loaded is None:
            model = self.location if self.given is None else self.given
            reader = TextReader.load(model, chunker=self.settings["chunker"], device=self.device)
            self._compare(reader, model)
            self.loaded = reader
        return self.loaded

    @property
    def gpu(self) -> int | None:
        """The number of the GPU that the encoder is on; None: it is on the CPU, or not loaded."""
        if self.loaded is None:
            return None
        kind, _, number = self.loaded.encoder.device.partition(":")
        return int(number or 0) if kind == "cuda" else None

    def check(self) -> None:
        """Raises InputError if the given model is another than that of the index. A model from the
        folder that the index remembers is not loaded for that."""
        if location_of(self.given) != self.settings["model"]:
            _ = self.reader

    def missing(self) -> str:
        """What is missing of the model that the index remembers; nothing if another is given."""
        location = self.settings["model"]
        if self.loaded is not None or self.given is not None or location == IN_MEMORY:
            return ""
        if location is None:
            from jdcv_core.encoding.loaders import OFFLINE

            return "" if find_spec(OFFLINE) else "the package of all-MiniLM-L6-v2 is not installed"
        return "" if Path(location).exists() else f"the model {location} is not there any more"

    def _compare(self, reader: TextReader, model: Matcher | str | Path | None) -> None:
        for name, value in reader.settings().items():
            if self.settings.get(name) != value:
                made, given = _name(self.settings["model"]), _name(location_of(model))
                what = f"it was made with another {name} than that of the given model"
                what += f" ({made} is not {given})" if made != given else ""
                cure = "give the model it was made with, or make the index again"
                raise InputError(str(self.folder), what, cure)


def location_of(model: Matcher | str | Path | None) -> str | None:
    """The setting `model` of an index."""
    if model is None:
        return None
    return str(Path(model).absolute()) if isinstance(model, str | Path) else IN_MEMORY


def _name(location: str | None) -> str:
    return {None: "all-MiniLM-L6-v2", IN_MEMORY: "a model in memory"}.get(location, str(location))
