"""Check configurations before anything runs; a message about a wrong key names the nearest key."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.schema import (
    CONFIGS,
    FLOORS,
    KINDS,
    Chunking,
    Config,
    MatchConfig,
    RetrieveConfig,
    RowConfig,
    Splitting,
    as_config,
)
from jdcv_core import registry
from jdcv_core.data.demo.generate import DemoSettings
from jdcv_core.data.splits import KINDS as SPLITS
from jdcv_core.encoding.gpt2_mini import MiniSettings
from jdcv_core.encoding.lora_tuning import TUNINGS
from jdcv_core.errors import InputError, nearest
from jdcv_core.evaluation.metrics import COMPARED
from jdcv_core.months import month_from
from jdcv_core.training.settings import TrainingSettings
from research.contrastive.pretrain_settings import PretrainSettings

FOLDER = Path(__file__).parent / "configs"
NESTED: dict[str, Any] = {
    "split": Splitting,
    "chunking": Chunking,
    "training": TrainingSettings,
    "pretraining": PretrainSettings,
}
TRIAL = 48  # a width that is a multiple of 1, 2, 3, 4, 6, 8, 12 and 16 heads
GROUPS = ("exp", "data", "encoder", "training", "recipe")
WEIGHS_BY_MONTHS = "research.experience."
"""Package of the scorers that read the months of chunks."""
GIVEN_BY_RECIPE = {"documents", "dim"}


def overrides(arguments: list[str]) -> None:
    """Refuse command-line arguments that do not compose, before Hydra parses them.

    arguments: `+exp=NAME`, `key=value`; arguments that begin with - are flags of Hydra
    Raises InputError that lists the experiments or names the nearest key.
    """
    given = [a for a in arguments if not a.startswith("-")]
    try:
        parsed = OverridesParser.create().parse_overrides(given)
    except HydraException as fault:
        cure = (
            "write key=value; a value with spaces or brackets needs quotes twice: \"key='a (b)'\""
        )
        raise InputError("command line", _first_line(fault), cure) from fault
    if not any(o.key_or_group == "exp" for o in parsed):
        raise InputError(
            "command line", "it names no experiment", f"add +exp=NAME. {_known('exp')}"
        )
    for override in parsed:
        _check_group(override)
    first = [_first_value(o) for o in parsed]
    try:
        with initialize_config_dir(str(FOLDER), version_base="1.3"):
            config = compose("config", first)
        settings(config)
    except (HydraException, OmegaConfBaseException) as fault:
        raise InputError("configuration", *_explain(fault)) from fault


def settings(config: DictConfig) -> None:
    """Refuse a wrong configuration.

    Refused are unknown keys, missing values, arguments that a `_target_` does not take, and
    settings that contradict each other (`check`).
    """
    for place in ("", *NESTED):
        if place in config or not place:
            _check_keys(config, place)
    for missing in sorted(OmegaConf.missing_keys(config)):
        raise InputError("configuration", f"{missing} is not given", f"add {missing}=VALUE")
    _check_arguments("data", config.data)
    _check_arguments("encoder", config.encoder)
    for name, row in config.variants.items():
        where = f"variants.{name}"
        if "scorer" not in row:
            what = "it has no scorer"
            raise InputError(where, what, f"write '{name}: {{scorer: {{_target_: …}}}}'")
        for key in row:
            _known_name(where, str(key), list(RowConfig.__dataclass_fields__))
        _check_arguments(f"{where}.scorer", row.scorer)
        if row.get("encoder") is not None:
            _check_arguments(f"{where}.encoder", row.encoder)
        if row.get("context") is not None:
            _check_arguments(f"{where}.context", row.context)
    check(as_config(config))


def check(config: Config) -> None:
    """Refuse an experiment whose settings contradict each other, before hours of work.

    Raises InputError for unknown names, an experiment without rows or seeds, scorers that cannot be
    made, and settings that the recipe does not support.
    """
    for name in config.rows or []:
        _known_name("rows", name, list(config.variants))
    rows = {n: v for n, v in config.variants.items() if config.rows is None or n in config.rows}
    if not rows or not config.seeds:
        what = "there is no variant or no seed"
        raise InputError("configuration", what, "give both in the exp file")
    for kind in config.split.also:
        _known_name("split.also", kind, list(SPLITS))
    _check_chunking("chunking", config.chunking)
    for name, row in rows.items():
        _check_row(f"variants.{name}", row, config)
    if isinstance(config, MatchConfig):
        _check_match(config, rows)
    elif isinstance(config, RetrieveConfig):
        _check_retrieve(config, rows)


def _check_match(config: MatchConfig, rows: Mapping[str, RowConfig]) -> None:
    if config.resume is not None:
        _known_name("resume", config.resume, ["auto"])
    _known_name("tracker", config.tracker, ["local", "wandb", "tensorboard"])
    for name in config.floors:
        _known_name("floors", name, list(FLOORS))
    for name in config.compared:
        _known_name("compared", name, list(COMPARED))
    if config.jobs < 0:
        cure = "give 1 or more, or 0 for one per core"
        raise InputError(f"jobs={config.jobs}", "it is too small", cure)
    if any(row.pretrained for row in rows.values()):
        config.pretraining.check()
        if config.split.also:
            what = "an encoder can be pretrained for only one kind of split"
            raise InputError("split.also", what, "remove it, or the rows with pretrained: true")
    if config.save_models:
        for name, row in rows.items():
            if row.context is not None:
                what = "a model that reads a JD and a CV in one row cannot be saved yet"
                raise InputError(f"variants.{name}", what, "give save_models=false")
            scorer = get_object(row.scorer["_target_"])
            if registry.name_of("scorers", scorer) is None:
                what = "its scorer has no name in the registry, so it cannot be saved"
                cure = "register it (jdcv_core/registry.py), or give save_models=false"
                raise InputError(f"variants.{name}", what, cure)
    if config.baseline not in rows:
        what = f"the baseline {config.baseline!r} is not a variant"
        raise InputError("configuration", what, nearest(config.baseline, list(rows)))


def _check_retrieve(config: RetrieveConfig, rows: Mapping[str, RowConfig]) -> None:
    for name, row in rows.items():
        own = RowConfig(row.scorer, row.kind, training=row.training, chunking=row.chunking)
        if row != own:
            what = "a reranker reads the unchanged vectors of the index"
            cure = "leave out tuning, encoder, view, months and pretrained"
            raise InputError(f"variants.{name}", what, cure)
    if config.split.also:
        raise InputError("split.also", "retrieval uses only one kind of split", "leave it out")


def _check_chunking(where: str, chunking: Chunking) -> None:
    _known_name(f"{where}.by", chunking.by, registry.names("chunkers"))
    if chunking.reference is not None:
        try:
            month_from(chunking.reference)
        except ValueError as fault:
            raise InputError(f"{where}.reference", str(fault), "write it as 2024-06") from fault


def _check_row(where: str, row: RowConfig, config: Config) -> None:
    """Refuse unknown names, a scorer that cannot be made, and months that chunks do not have."""
    _known_name(f"{where}.tuning", row.tuning, list(TUNINGS))
    _known_name(f"{where}.kind", row.kind, list(KINDS))
    for key in row.training:
        _known_name(f"{where}.training", key, list(TrainingSettings.__dataclass_fields__))
    for key in row.chunking:
        _known_name(f"{where}.chunking", key, list(Chunking.__dataclass_fields__))
    chunking = replace(config.chunking, **row.chunking)
    _check_chunking(f"{where}.chunking", chunking)
    frozen = row.tuning == "frozen"
    for key, name in (("view", row.view), ("months", row.months)):
        if name is None:
            continue
        if not frozen:
            raise InputError(
                f"{where}.{key}", "a view needs a frozen encoder", "remove it, or remove tuning"
            )
        try:
            get_object(name)
        except Exception as fault:  # get_object raises whatever the import raises
            raise InputError(f"{where}.{key}", _first_line(fault), "check the name") from fault
    if row.context is not None:
        if frozen:
            cure = "add tuning: lora, or full"
            raise InputError(f"{where}.context", "an encoder must be trained for it", cure)
        instantiate(row.context, _partial_=True, _convert_="all")()
    if row.scorer["_target_"].startswith(WEIGHS_BY_MONTHS) or row.scorer.get("months"):
        if chunking.by == "tokens":
            what = "it weights by months, but chunks have no months"
            raise InputError(where, what, "give chunking.by=experience, or requirement")
        if not frozen:
            raise InputError(where, "only rows with a frozen encoder have months", "remove tuning")
        if row.view is not None:
            raise InputError(where, "a view removes the months", "remove view, or give months")
    if row.scorer.get("words") and not frozen:
        raise InputError(where, "only rows with a frozen encoder read words", "remove tuning")
    try:
        instantiate(row.scorer, _partial_=True, _convert_="all")(dim=TRIAL)
    except InputError:
        raise
    except (TypeError, ValueError) as fault:
        raise InputError(where, _first_line(fault), "correct its arguments") from fault


def _known_name(where: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise InputError(f"{where}={value}", "it is unknown", nearest(value, known))


def choices(group: str) -> list[str]:
    """List the names that `group=NAME` accepts."""
    return sorted(p.stem for p in (FOLDER / group).glob("*.yaml"))


def _known(group: str) -> str:
    return f"Known: {', '.join(choices(group))}"


def _check_group(override: Override) -> None:
    group = override.key_or_group
    if group not in GROUPS:
        return
    values = override.value()
    for value in getattr(values, "list", [values]):
        if str(value) not in choices(group):
            cure = nearest(str(value), choices(group))
            raise InputError(f"{group}={value}", f"there is no such {group}", cure)


def _first_value(override: Override) -> str:
    """Return the override, or its first value if it is a sweep (`-m key=a,b`)."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = next(iter(override.sweep_string_iterator()))
    prefix = str(override.input_line).split("=", 1)[0]
    return f"{prefix}={value}"


def _check_keys(config: DictConfig, place: str) -> None:
    """Refuse keys that are not in the schema but were added by `+key=value`."""
    node = config[place] if place else config
    schema: Any = NESTED[place] if place else CONFIGS[config.recipe]
    for key in node:
        if key not in schema.__dataclass_fields__:
            name = f"{place}.{key!s}".lstrip(".")
            cure = nearest(name, _keys())
            raise InputError("configuration", f"there is no key {name}", cure)


def _check_arguments(where: str, node: Any) -> None:
    target = node.get("_target_") if hasattr(node, "get") else None
    if target is None:
        raise InputError(where, "it has no _target_", "name the function or class to call")
    try:
        function = get_object(target)
    except Exception as fault:  # get_object raises whatever the import raises
        raise InputError(f"{where}._target_", _first_line(fault), "check the name") from fault
    known = _parameters(function)
    for key in node:
        if key not in known and not str(key).startswith("_"):
            raise InputError(
                f"{where}.{key}", f"{target} takes no such argument", nearest(key, known)
            )


def takes(node: Any, argument: str) -> bool:
    """Return whether the target of a checked node takes this argument."""
    return argument in _parameters(get_object(node["_target_"]))


def _parameters(function: Any) -> list[str]:
    """List the arguments of a target; two targets take **settings, the fields of a dataclass."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    if len(names) < len(parameters):
        for settings_class in (MiniSettings, DemoSettings):
            if settings_class.__module__ == function.__module__:
                names += list(settings_class.__dataclass_fields__)
    return [n for n in names if n not in GIVEN_BY_RECIPE]


def _explain(fault: Exception) -> tuple[str, str]:
    """Translate an error of Hydra or OmegaConf into a problem and a cure."""
    text = str(fault.__cause__ or fault)
    if already := re.search(r"already at '([^']+)'", str(fault) + text):
        return (
            f"{already.group(1)} exists already",
            f"write {already.group(1)}=VALUE without the +",
        )
    found = re.search(r"(?:Key|key) '([^']+)'", text) or re.search(r"override '?([\w.]+)", text)
    if found:
        path = re.search(r"full_key: (\S+)", text)
        key = path.group(1) if path else found.group(1)
        if key.startswith(("data.", "encoder.", "variants.")):
            cure = f"write +{key}=VALUE for an argument that its file in configs does not list"
            return f"{key} is not listed in its file in configs", cure
        if key in _keys():
            return f"this recipe has no key {key}", "remove it"
        return f"there is no key {key}", nearest(key, _keys())
    return _first_line(fault), "see python experiments/run.py --help"


def _keys() -> list[str]:
    """List the dotted names of all settings that have a fixed name."""
    names = [key for config in CONFIGS.values() for key in config.__dataclass_fields__]
    for place, schema in NESTED.items():
        names += [f"{place}.{key}" for key in schema.__dataclass_fields__]
    return names


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
