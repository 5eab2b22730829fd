"""Checkpoints of training: weights, optimiser and random states, exact and safe from kills.

A checkpoint is a folder that `folders.write_folder` writes: `<stem>.safetensors` for each group of
tensors, `state.json` for everything else that training needs to resume, and a manifest with the
hashes, the step and the resolved config. There is no pickle in it.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from jdcv_core.atomic import remove_folder, remove_leftovers, sync_folder
from jdcv_core.errors import InputError
from jdcv_core.folders import (
    Listed,
    byte_progress,
    json_bytes,
    read_listed,
    read_manifest,
    verify_folder,
    write_folder,
)

KIND = "checkpoint"
FORMAT = 1  # increase when a file or the meaning of an entry changes
NAME = re.compile(r"checkpoint-([0-9]{8,})")
TENSORS, STATE = ".safetensors", "state.json"
OPTIMIZER = "the optimiser's state"  # messages about a part of it begin with this
CURE = "resume with the model and settings that it was saved with"


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint, saved after `step` updates.

    tensors: file stem → name → tensor, on the CPU
    state:   everything else as plain values; tuples are read back as lists and nan as None
    config:  the resolved config
    """

    folder: Path
    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    config: dict[str, Any]


def save_checkpoint(
    parent: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    config: Mapping[str, Any],
    unchanged: Mapping[str, Path] = {},
) -> Path:
    """Write `parent/checkpoint-<step>`, remove older checkpoints, and return the new folder.

    tensors:       file stem → name → tensor, on any device; each tensor is saved completely, also
                   if two of them share memory
    state, config: plain values as in `folders.json_bytes`
    unchanged:     file stem → a tensor file of an earlier checkpoint (such as the best weights so
                   far), which is linked instead of written again

    A kill at any moment leaves either the older or the new checkpoint, complete. If a checkpoint of
    this step exists, it is verified and not changed. The same tensors give the same bytes.
    Raises InputError if something cannot be written (the older checkpoint then remains) and if
    `parent` holds a checkpoint of a later step, which belongs to another training.
    """
    folder = parent / f"checkpoint-{step:08d}"
    remove_leftovers(parent)
    newest = latest_checkpoint(parent)
    if newest is not None and step_of(newest) > step:
        what = f"there is a later checkpoint than step {step}"
        raise InputError(str(newest), what, "resume from it, or give another folder")
    if newest == folder:
        verify_folder(folder, KIND, FORMAT)
        sync_folder(parent)  # the process that wrote it may have been killed before this
    else:
        _write(folder, step, tensors, state, config, unchanged)
    for older in _checkpoints(parent)[:-1]:
        remove_folder(older)
    return folder


def latest_checkpoint(parent: Path) -> Path | None:
    """Return the checkpoint of the highest step in a folder, or None, without a check of it."""
    found = _checkpoints(parent)
    return found[-1] if found else None


def step_of(folder: Path) -> int:
    """Return the step in a checkpoint's name.

    >>> step_of(Path("checkpoint-00000120"))
    120
    """
    return int(folder.name.rpartition("-")[2])


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; the hash of each file is compared before the file is parsed.

    Raises InputError that names a file that is missing, truncated, altered or not listed; it never
    falls back to an older checkpoint.
    """
    manifest = read_manifest(folder, KIND, FORMAT)
    files = dict(manifest.files)
    state = json.loads(read_listed(files.pop(STATE)))
    tensors: dict[str, dict[str, Tensor]] = {}
    with byte_progress(f"Reading {folder.name}", sum(f.size for f in files.values())) as advance:
        for name, file in files.items():
            content = read_listed(file)  # read once, so that the hashed bytes are parsed
            tensors[name.removesuffix(TENSORS)] = safetensors.torch.load(content)
            advance(file.size)
    return Checkpoint(folder, manifest.facts["step"], tensors, state, manifest.facts["config"])


def flatten_optimizer(state_dict: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors named "<parameter>.<key>" and plain values.

    state_dict: {"state": {parameter: {key: tensor}}, "param_groups": [{"params": [parameter], …}]}
        with names of parameters, as `get_optimizer_state_dict` of torch.distributed.checkpoint
        returns it
    Returns the tensors for a file of a checkpoint, and for its state {"shapes": {parameter: {key:
    shape}}, "groups": […]}. `unflatten_optimizer` is the exact inverse.
    Raises TypeError for an entry that is not a tensor, and for a setting that is not a plain value.

    >>> state = {"state": {"w": {"step": torch.tensor(3.0)}}, "param_groups": [{"params": ["w"]}]}
    >>> flatten_optimizer(state)
    ({'w.step': tensor(3.)}, {'shapes': {'w': {'step': []}}, 'groups': [{'params': ['w']}]})
    """
    tensors: dict[str, Tensor] = {}
    shapes: dict[str, dict[str, list[int]]] = {}
    for name, entries in state_dict["state"].items():
        shapes[name] = {}
        for key, value in entries.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"{name}.{key}: expected a tensor, got {type(value).__name__}")
            tensors[f"{name}.{key}"] = value
            shapes[name][key] = list(value.shape)
    groups = [dict(group) for group in state_dict["param_groups"]]
    json_bytes(groups)  # raises TypeError for a setting that JSON cannot hold
    return tensors, {"shapes": shapes, "groups": groups}


def unflatten_optimizer(
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Rebuild the state dict that `flatten_optimizer` was given, for `set_optimizer_state_dict`.

    shapes: name → shape of each parameter that the optimiser has now (the whole shape, if the
        parameter is sharded). None: the parameters are not compared
    Raises InputError naming a tensor or parameter that is missing, not expected, or of another
    shape.
    """
    saved = facts["shapes"]
    _same({f"{name}.{key}" for name in saved for key in saved[name]}, tensors, "tensor")
    groups = [
        # torch holds pairs of settings (betas) as tuples, which JSON turned into lists
        {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
        for group in facts["groups"]
    ]
    if shapes is not None:
        _same(shapes, {name for group in groups for name in group["params"]}, "parameter")
    state: dict[str, dict[str, Tensor]] = {name: {} for name in saved}
    for name, entries in saved.items():
        for key, shape in entries.items():
            tensor = state[name][key] = tensors[f"{name}.{key}"]
            _same_shape(f"{name}.{key}", tensor, shape)
            if shapes is not None and key != "step":  # "step" is a count, without a shape
                _same_shape(f"{name}.{key}", tensor, shapes[name])
    return {"state": state, "param_groups": groups}


def random_state() -> dict[str, Any]:
    """Return the state of the global random generators: Python's, numpy's, torch's (CPU and GPUs).

    The state consists of plain values for JSON. Our code uses local generators where possible;
    dropout and libraries use the global ones. GPUs are included if this process has used one.
    """
    version, words, gauss = random.getstate()
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "python": [version, list(words), gauss],
        "numpy": _lists(np.random.get_state(legacy=False)),  # noqa: NPY002
        "torch": _text(torch.get_rng_state()),
        "cuda": [_text(state) for state in torch.cuda.get_rng_state_all()] if used else [],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set the global random generators to what `random_state` returned.

    Raises InputError if the number of GPUs differs; no generator is changed then.
    """
    gpus = torch.cuda.device_count() if state["cuda"] else 0
    if gpus != len(state["cuda"]):
        what = f"they are those of {len(state['cuda'])} GPUs, but this process sees {gpus}"
        cure = "resume with the same number of GPUs (CUDA_VISIBLE_DEVICES)"
        raise InputError("the random states", what, cure)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state["numpy"])  # noqa: NPY002
    torch.set_rng_state(_bytes(state["torch"]))
    if state["cuda"]:
        torch.cuda.set_rng_state_all([_bytes(text) for text in state["cuda"]])


def _write(
    folder: Path,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    config: Mapping[str, Any],
    unchanged: Mapping[str, Path],
) -> None:
    twice = sorted(tensors.keys() & unchanged.keys())
    if twice:
        raise ValueError(f"{twice[0]} is given both as tensors and as unchanged")
    files: dict[str, bytes | Path | Listed] = {
        stem + TENSORS: safetensors.torch.save(_separate(group)) for stem, group in tensors.items()
    }
    files |= {stem + TENSORS: _listed(path) for stem, path in unchanged.items()}
    files[STATE] = json_bytes(state)
    write_folder(folder, KIND, FORMAT, files, {"step": step, "config": config})


def _listed(path: Path) -> Listed:
    """Return a file of an earlier checkpoint with the hash from its manifest.

    The file is not hashed again: a new hash of damaged content would hide the damage.
    """
    files = read_manifest(path.parent, KIND, FORMAT).files
    if path.name not in files:
        raise InputError(str(path), "it is not a checkpoint's file", "save its tensors instead")
    return files[path.name]


def _separate(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, each complete and in separate memory, as safetensors requires."""
    found, seen = {}, set()
    for name, tensor in tensors.items():
        whole = tensor.detach().to("cpu").contiguous()
        if whole.untyped_storage().data_ptr() in seen:
            whole = whole.clone()
        seen.add(whole.untyped_storage().data_ptr())
        found[name] = whole
    return found


def _checkpoints(parent: Path) -> list[Path]:
    """List the checkpoints in a folder, in the order of their steps."""
    if not parent.is_dir():
        return []
    return sorted(
        (p for p in parent.iterdir() if NAME.fullmatch(p.name) and p.is_dir()), key=step_of
    )


def _same(expected: Any, found: Any, what: str) -> None:
    """Compare two sets of names. Raises InputError that names one that is not in both."""
    for names, fault in (
        (set(expected) - set(found), "is missing"),
        (set(found) - set(expected), "is not expected"),
    ):
        if names:
            raise InputError(OPTIMIZER, f"{what} {min(names)} {fault}", CURE)


def _same_shape(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    if tuple(tensor.shape) != tuple(shape):
        what = f"{name} has shape {tuple(tensor.shape)}, but {tuple(shape)} is expected"
        raise InputError(OPTIMIZER, what, CURE)


def _lists(value: Any) -> Any:
    """Replace numpy arrays in a generator's state by lists; numpy accepts both."""
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


def _text(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode("ascii")


def _bytes(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
