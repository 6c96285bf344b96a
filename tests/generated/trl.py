"""The fields of TRL's configs, as the pinned version has them: posttrain/recipes/trl_fields.json."""

import dataclasses
import enum
import importlib.metadata
import os
import types
import typing

from generated.text import unfolded

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def fields() -> str:
    """The fields by config, with the JSON types that each takes and its default."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from transformers import TrainingArguments
    from trl import DPOConfig, KTOConfig, RewardConfig, SFTConfig
    from trl.experimental.cpo import CPOConfig
    from trl.experimental.orpo import ORPOConfig

    configs = (SFTConfig, DPOConfig, KTOConfig, RewardConfig, ORPOConfig, CPOConfig)
    shared = described(TrainingArguments)
    own = {config.__name__: described(config) for config in configs}
    table = {
        "versions": {name: importlib.metadata.version(name) for name in ("transformers", "trl")},
        "configs": {"TrainingArguments": shared}
        | {
            name: {field: said for field, said in its.items() if shared.get(field) != said} for name, its in own.items()
        },
    }
    return unfolded(table, 3)


def described(config: type) -> dict[str, dict]:
    hints = typing.get_type_hints(config)
    return {
        field.name: {"types": sorted(types_of(hints[field.name])), "default": default_of(field)}
        for field in sorted(dataclasses.fields(config), key=lambda field: field.name)
    }


def types_of(hint: typing.Any) -> set[str]:
    """The JSON types that an annotation takes."""
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        return set().union(*map(types_of, typing.get_args(hint)))
    if origin is typing.Literal:
        return {JSON_TYPES[type(value)] for value in typing.get_args(hint)}
    if origin is types.NoneType:
        return {"null"}
    if isinstance(origin, type) and issubclass(origin, enum.Enum):
        return {"string"}
    return {JSON_TYPES.get(origin, "object")}


def default_of(field: dataclasses.Field) -> typing.Any:
    default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    return default.value if isinstance(default, enum.Enum) else default
