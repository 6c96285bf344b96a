"""The JSON schema of a recipe page, for editors: config/recipes.schema.json."""

from typing import Any

from pydantic.json_schema import models_json_schema

from generated.text import unfolded
from posttrain.recipes.fields import Entry
from posttrain.recipes.methods import METHODS
from posttrain.recipes.names import LONGEST, LONGEST_POINT, NAME
from posttrain.recipes.sections import KINDS, SECTIONS

EXTENDS = {"extends": {"type": "string", "description": "the entry that it is like; only differences are said"}}
SCAN = {
    "scan": {
        "type": "object",
        "description": "fields, and of each the values: a model for every combination",
        "additionalProperties": {"type": "array", "minItems": 1},
        "minProperties": 1,
    }
}
IN_PART = {"anyOf": [{"required": ["extends"]}, {"required": ["scan"]}]}  # what is unsaid there may be said elsewhere


def page() -> str:
    kinds = [*METHODS.values(), *(kind for of_section in KINDS.values() for kind in of_section)]
    _, made = models_json_schema([(kind, "validation") for kind in kinds], ref_template="#/$defs/{model}")
    defs = {name: fields_of(said) for name, said in sorted(made["$defs"].items())}
    for kind in kinds:
        defs[kind.__name__]["properties"] |= EXTENDS | (SCAN if kind in METHODS.values() else {})
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A page of recipes",
        "description": "Written by `python tests/generate.py --fix`.",
        "type": "object",
        "properties": {name: section(name) for name in SECTIONS}
        | {"use": {"type": "object", "additionalProperties": {"type": "string"}}},
        "additionalProperties": False,
        "$defs": defs,
    }
    return unfolded(schema, 4)


def section(name: str) -> dict:
    names = {"pattern": f"^{NAME.pattern}$", "maxLength": LONGEST}
    if name == "published":  # by a model's name, which may be a scan's
        names = {"pattern": f"^{NAME.pattern}([@=,+]{NAME.pattern})*$", "maxLength": LONGEST_POINT}
    entry = model() if name == "models" else {"anyOf": [whole(kind) for kind in KINDS[name]]}
    return {"type": "object", "propertyNames": names, "additionalProperties": entry}


def model() -> dict:
    """A model: of its method, which may be that of what it extends."""
    some = {"required": ["extends"], "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in METHODS.values()]}
    unsaid = {"if": {"not": {"required": ["method"]}}, "then": some}
    return {
        "type": "object",
        "properties": {"method": {"enum": list(METHODS)}},
        "allOf": [*(of_method(name) for name in METHODS), unsaid],
    }


def of_method(name: str) -> dict:
    said = {"properties": {"method": {"const": name}}, "required": ["method"]}
    return {"if": said, "then": whole(METHODS[name])}


def whole(kind: type[Entry]) -> dict:
    """An entry of a kind, which says all that it must unless it extends another or is a scan."""
    return {"$ref": f"#/$defs/{kind.__name__}", "if": IN_PART, "else": needed(kind)}


def needed(kind: type[Entry]) -> dict:
    fields = {name: field for name, field in kind.model_fields.items() if field.is_required()}
    parts = {name: field.annotation for name, field in fields.items() if hasattr(field.annotation, "model_fields")}
    return {"required": list(fields), "properties": {name: needed(part) for name, part in parts.items()}}


def fields_of(said: dict) -> dict:
    """A class's schema by which any field may be unsaid, and null where it has a value that stands for its absence."""
    required = said.get("required", [])
    fields = {name: untitled(field) for name, field in said["properties"].items()}
    fields = {name: field if name in required else nullable(field) for name, field in fields.items()}
    return {"type": "object", "properties": fields, "additionalProperties": False}


def nullable(field: dict) -> dict:
    if {"type": "null"} in field.get("anyOf", []):
        return field
    told = {key: field.pop(key) for key in ("description", "default") if key in field}
    return {"anyOf": [field, {"type": "null"}], **told}


def untitled(said: Any) -> Any:
    """A schema without the titles that pydantic makes of names."""
    if isinstance(said, dict):
        return {key: untitled(value) for key, value in said.items() if not (key == "title" and isinstance(value, str))}
    return [untitled(item) for item in said] if isinstance(said, list) else said
