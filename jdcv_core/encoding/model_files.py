"""Find a model's files in folders, hub ids and packages, and compute their fingerprints."""

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
    """Return the sha256 (hex) of the parts as JSON with sorted keys, the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def files_fingerprint(paths: Iterable[Path]) -> str:
    """Return a sha256 of the files' contents; it does not depend on their names or order."""
    digests = []
    for path in paths:
        with path.open("rb") as stream:
            digests.append(hashlib.file_digest(stream, "sha256").hexdigest())
    return fingerprint(sorted(digests))


def weight_files(folder: Path) -> list[Path]:
    """List the weight files under `folder`. Raises InputError if there are none."""
    found = sorted(p for pattern in WEIGHTS for p in folder.rglob(pattern))
    if not found:
        raise InputError(
            str(folder),
            "there are no weights in it (*.safetensors or *.gguf)",
            "convert the model to safetensors with transformers' save_pretrained",
        )
    return found


def model_folder(path: str | Path) -> Path:
    """Return the folder of a model: `path` if it is a folder, otherwise its files from the hub.

    A hub id is downloaded once; later calls find it in the hub's cache and need no network.
    Raises InputError for a folder that is missing and for a hub id that cannot be reached.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    looks_like_id = str(path).count("/") <= 1 and not str(path).startswith((".", "/", "~"))
    if not looks_like_id or folder.exists():
        raise InputError(str(path), "there is no such model folder", "check encoder.path")
    from huggingface_hub import snapshot_download

    # The hub raises many classes of errors (its own, requests', httpx's). The user can do the same
    # about each of them, and the message contains the first line of the reason.
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
            f"there is no such folder, and the model hub did not provide it ({reason})",
            "connect to the network, or give encoder.path=FOLDER of a copy on disk",
        ) from error


def package_folder(package: str, cure: str) -> Path:
    """Return the folder in an installed Python package that holds a model's files.

    The package is located without importing it, because some packages import engines that are not
    needed here. Returns its folder or the first subfolder with weights. Raises InputError with
    `cure` if the package is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise InputError(f"package {package}", "it is not installed", cure)
    return weight_files(Path(found.submodule_search_locations[0]))[0].parent
