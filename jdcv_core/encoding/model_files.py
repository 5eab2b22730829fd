"""Where a model's files are, and what they contain: folders, hub ids, packages; fingerprints."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jdcv_core.errors import InputError

# Weights are read from safetensors or GGUF only: both are plain numbers and cannot run code.
WEIGHTS = ("*.safetensors", "*.gguf")
SETTINGS = ("*.json", "*.txt", "*.model")


def fingerprint(*parts: Any) -> str:
    """sha256 (hex) of the parts' JSON, keys sorted: the same parts always give the same text."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def files_fingerprint(paths: Iterable[Path]) -> str:
    """sha256 over the content of files, in order of content; their names do not matter."""
    digests = []
    for path in paths:
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return fingerprint(sorted(digests))


def weight_files(folder: Path) -> list[Path]:
    """The files under `folder` that hold weights. Raises InputError where there is none."""
    found = sorted(p for pattern in WEIGHTS for p in folder.rglob(pattern))
    if not found:
        raise InputError(
            str(folder),
            "there are no weights in it (*.safetensors or *.gguf)",
            "convert the model to safetensors with transformers' save_pretrained",
        )
    return found


def model_folder(path: str | Path) -> Path:
    """The folder of a model: `path` itself where that is a folder, else its files from the hub.

    A hub id is fetched once and then found in the hub's own cache, also without a network.
    Raises InputError for a folder that is missing and for a hub id that cannot be reached.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    looks_like_id = str(path).count("/") <= 1 and not str(path).startswith((".", "/", "~"))
    if not looks_like_id or folder.exists():
        raise InputError(str(path), "there is no such model folder", "check encoder.path")
    from huggingface_hub import snapshot_download

    # The hub raises errors of many families (its own, requests', httpx's): whatever stopped it,
    # the user's way out is the same, and the first line of the reason is passed on.
    try:
        return Path(
            snapshot_download(
                str(path),
                allow_patterns=[*WEIGHTS[:1], *SETTINGS],
                ignore_patterns=["onnx/*", "openvino/*"],
            )
        )
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise InputError(
            f"encoder {path}",
            f"it is no folder here and the model hub did not give it ({reason})",
            "connect to the network, or give encoder.path=FOLDER of a copy on disk",
        ) from error


def package_folder(package: str, cure: str) -> Path:
    """The folder in an installed Python package that holds a model's files.

    The package is found, not imported: some import engines that are not needed here. Its folder,
    or the first one below it with weights, is returned. Raises InputError with `cure` where the
    package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"package {package}", "it is not installed", cure)
    return weight_files(Path(found.submodule_search_locations[0]))[0].parent
