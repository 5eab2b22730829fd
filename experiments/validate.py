"""Configurations are checked before anything runs: a wrong key is named, with the nearest one."""

import inspect
import re
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.schema import CHUNK_BY, FLOORS, KINDS, Chunking, Config, Splitting, scorer_of
from jdcv_core.data.demo.generate import DemoSettings
from jdcv_core.data.splits import KINDS as SPLITS
from jdcv_core.encoding.gpt2_mini import MiniSettings
from jdcv_core.encoding.lora_tuning import TUNINGS
from jdcv_core.errors import InputError, nearest
from jdcv_core.evaluation.compare import METRICS
from jdcv_core.months import month_from
from jdcv_core.training.settings import TrainingSettings
from research.contrastive.pretrain_settings import PretrainSettings

CONFIGS = Path(__file__).parent / "configs"
NESTED: dict[str, Any] = {
    "split": Splitting,
    "chunking": Chunking,
    "training": TrainingSettings,
    "pretraining": PretrainSettings,
}
TRIAL = 48  # a width that any number of heads up to 4 divides, and 6, 8, 12, 16
GROUPS = ("exp", "data", "encoder", "training")
WEIGHS_BY_MONTHS = "research.experience."
"""Scorers of this package read the months of chunks."""
GIVEN_BY_RECIPE = {"documents", "dim"}


def overrides(arguments: list[str]) -> None:
    """Refuse command-line words that do not compose, before Hydra sees them.

    arguments: `+exp=NAME`, `key=value`; words that begin with - are Hydra's own flags
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
            "command line", "no experiment is named", f"add +exp=NAME. {_known('exp')}"
        )
    for override in parsed:
        _check_group(override)
    first = [_first_value(o) for o in parsed]
    try:
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = compose("config", first)
        settings(config)
    except (HydraException, OmegaConfBaseException) as fault:
        raise InputError("configuration", *_explain(fault)) from fault


def settings(config: DictConfig) -> None:
    """Refuse arguments that a `_target_` does not take, and values that are still missing."""
    for place in ("", *NESTED):
        _check_keys(config, place)
    for missing in sorted(OmegaConf.missing_keys(config)):
        raise InputError("configuration", f"{missing} is not given", f"add {missing}=VALUE")
    simulates = config.recipe == "retrieve"  # data.scale is the recipe's own
    data = {k: v for k, v in config.data.items() if not (simulates and k == "scale")}
    _check_arguments("data", data)
    _check_arguments("encoder", config.encoder)
    for name, variant in config.variants.items():
        _check_arguments(f"variants.{name}", scorer_of(variant))
        _check_row(f"variants.{name}", variant)


def variants(config: Config) -> None:
    """Leave only the variants that `rows` names; refuse an experiment without variants, seeds, or
    a baseline among its variants, and scorers that cannot be made."""
    for row in config.rows or []:
        if row not in config.variants:
            what = "there is no such row"
            raise InputError(f"rows={row}", what, nearest(row, list(config.variants)))
    if config.rows is not None:
        config.variants = {n: v for n, v in config.variants.items() if n in config.rows}
    names = list(config.variants)
    if not names or not config.seeds:
        raise InputError(
            "configuration", "there is no variant or no seed", "give both in the exp file"
        )
    for name, known in (
        ("resume", ["auto"]),
        ("tracker", ["local", "wandb", "tensorboard"]),
        ("recipe", ["match", "retrieve"]),
    ):
        value = getattr(config, name)
        if value is not None and value not in known:
            raise InputError(f"{name}={value}", "it is unknown", nearest(value, known))
    lists: tuple[tuple[str, list[str], list[str]], ...] = (
        ("split.also", config.split.also, [*SPLITS]),
        ("floors", config.floors, list(FLOORS)),
        ("compared", config.compared, list(METRICS)),
    )
    for name, values, known in lists:
        for value in values:
            if value not in known:
                raise InputError(f"{name}: {value}", "it is unknown", nearest(value, known))
    if any(v.get("pretrained") for v in config.variants.values()):
        config.pretraining.check()
        if config.split.also:
            what = "an encoder is pretrained for one kind of split"
            raise InputError("split.also", what, "remove it, or the rows with pretrained: true")
    if config.chunking.by not in CHUNK_BY:
        cure = nearest(config.chunking.by, list(CHUNK_BY))
        raise InputError(f"chunking.by={config.chunking.by}", "it is unknown", cure)
    if config.chunking.reference is not None:
        try:
            month_from(config.chunking.reference)
        except ValueError as fault:
            raise InputError("chunking.reference", str(fault), "write it as 2024-06") from fault
    if config.jobs < 0:
        raise InputError(
            f"jobs={config.jobs}", "that is too few", "give 1 or more, or 0: one a core"
        )
    _check_months(config)
    if config.save_models and config.match_parameters:
        what = "a widened scorer cannot be saved"
        raise InputError("save_models=true", what, "give match_parameters=false")
    for name, variant in config.variants.items():  # before hours of encoding, not after
        try:
            instantiate(scorer_of(variant), _partial_=True, _convert_="all")(dim=TRIAL)
        except InputError:
            raise
        except (TypeError, ValueError) as fault:
            what = _first_line(fault)
            raise InputError(f"variants.{name}", what, "mend its arguments") from fault
    if config.recipe == "match" and config.baseline not in names:
        what = f"the baseline {config.baseline!r} is no variant"
        raise InputError("configuration", what, nearest(config.baseline, names))


def _check_months(config: Config) -> None:
    """Scorers that weigh by months need months: of stored vectors, seen as they are."""
    for name, variant in config.variants.items():
        if not variant["_target_"].startswith(WEIGHS_BY_MONTHS):
            continue
        where = f"variants.{name}"
        if config.chunking.by != "experience":
            what = "it weighs by months, and chunks have none"
            raise InputError(where, what, "give chunking.by=experience")
        if variant.get("tuning", "frozen") != "frozen":
            raise InputError(where, "only frozen rows know months", "remove tuning")
        if "view" in variant:
            raise InputError(where, "a view takes the months away", "remove view, or give months")
    if config.save_models and config.chunking.by != "tokens":
        what = "a saved model cuts documents by tokens alone"
        raise InputError("save_models=true", what, "give chunking.by=tokens, or save_models=false")


def choices(group: str) -> list[str]:
    """The names that `group=NAME` can take."""
    return sorted(p.stem for p in (CONFIGS / group).glob("*.yaml"))


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
    """The override itself, or its first value where it is a sweep (`-m key=a,b`)."""
    if not override.is_sweep_override():
        return str(override.input_line)
    value = next(iter(override.sweep_string_iterator()))
    prefix = str(override.input_line).split("=", 1)[0]
    return f"{prefix}={value}"


def _check_keys(config: DictConfig, place: str) -> None:
    """Refuse keys that `+key=value` added beside the schema."""
    node = config[place] if place else config
    schema: Any = NESTED[place] if place else Config
    for key in node:
        if key not in schema.__dataclass_fields__:
            name = f"{place}.{key!s}".lstrip(".")
            raise InputError("configuration", f"there is no key {name}", nearest(name, _keys()))


def _check_row(where: str, row: Any) -> None:
    """What a row says beside its scorer: how its encoder is trained, settings, another encoder."""
    if (tuning := row.get("tuning", "frozen")) not in TUNINGS:
        raise InputError(f"{where}.tuning={tuning}", "it is unknown", nearest(tuning, [*TUNINGS]))
    known = list(TrainingSettings.__dataclass_fields__)
    for key in row.get("training", {}):
        if key not in known:
            what = "there is no such setting"
            raise InputError(f"{where}.training.{key}", what, nearest(key, known))
    if (kind := row.get("kind", "variant")) not in KINDS:
        raise InputError(f"{where}.kind={kind}", "it is unknown", nearest(kind, [*KINDS]))
    for key in ("view", "months"):
        if key in row:
            _check_view(f"{where}.{key}", row, row[key])
    if "encoder" in row:
        _check_arguments(f"{where}.encoder", row.encoder)


def _check_view(where: str, row: Any, name: str) -> None:
    if row.get("tuning", "frozen") != "frozen":
        raise InputError(where, "a view is of stored vectors", "remove it, or tuning")
    try:
        get_object(name)
    except Exception as fault:  # get_object raises whatever the import raises
        raise InputError(where, _first_line(fault), "check the name") from fault


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
    """Whether the target of a checked node takes this argument."""
    return argument in _parameters(get_object(node["_target_"]))


def _parameters(function: Any) -> list[str]:
    """What a target takes; the two that take settings as **keywords name them in a dataclass."""
    parameters = inspect.signature(function).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    if len(names) < len(parameters):
        for settings_class in (MiniSettings, DemoSettings):
            if settings_class.__module__ == function.__module__:
                names += list(settings_class.__dataclass_fields__)
    return [n for n in names if n not in GIVEN_BY_RECIPE]


def _explain(fault: Exception) -> tuple[str, str]:
    """What is wrong and what to do, out of an error of Hydra or OmegaConf."""
    text = str(fault.__cause__ or fault)
    if already := re.search(r"already at '([^']+)'", str(fault) + text):
        return (
            f"{already.group(1)} is there already",
            f"write {already.group(1)}=VALUE without the +",
        )
    found = re.search(r"(?:Key|key) '([^']+)'", text) or re.search(r"override '?([\w.]+)", text)
    if found:
        path = re.search(r"full_key: (\S+)", text)
        key = path.group(1) if path else found.group(1)
        if key.startswith(("data.", "encoder.", "variants.")):
            cure = f"write +{key}=VALUE for an argument that its file in configs does not list"
            return f"{key} is not listed there", cure
        return f"there is no key {key}", nearest(key, _keys())
    return _first_line(fault), "see python experiments/run.py --help"


def _keys() -> list[str]:
    """The dotted names of all settings that have a fixed name."""
    names = list(Config.__dataclass_fields__)
    for place, schema in NESTED.items():
        names += [f"{place}.{key}" for key in schema.__dataclass_fields__]
    return names


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
