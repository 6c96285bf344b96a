"""What is generated from the code is as the code is, and a page that is read is one by the schema that editors have."""

import copy
import json

import jsonschema
import pytest

from chain import CHAIN
from conftest import MICRO, ROOT
from generate import GENERATED
from generated import reference
from posttrain.recipes import elsewhere, faults, methods, page
from posttrain.recipes.fields import Entry
from posttrain.recipes.written import extend, gather
from posttrain.train.arguments import OURS
from posttrain.words import dotted

PAGES = sorted((ROOT / "config/recipes").glob("*.yaml"))
SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "config/recipes.schema.json").read_text()))


@pytest.mark.parametrize("path", GENERATED)
def test_what_is_generated_is_as_the_code_is(path):
    assert GENERATED[path]() == (ROOT / path).read_text(), "run `python tests/generate.py --fix`"


def valid(value: dict) -> bool:
    return not list(SCHEMA.iter_errors(value))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_shipped_page_is_one_by_the_schema(path):
    assert not [error.message for error in SCHEMA.iter_errors(page.read(path)[0])]


@pytest.mark.parametrize("text", [MICRO, CHAIN], ids=["micro", "chain"])
def test_a_page_of_the_tests_is_one_by_the_schema(text, tmp_path):
    (tmp_path / "page.yaml").write_text(text)
    assert not [error.message for error in SCHEMA.iter_errors(page.read(tmp_path / "page.yaml")[0])]


SFT = {"method": "sft", "base": "a/b", "data": "rows", "train": {"learning_rate": 1e-5, "batch_size": 8}}
FAULTS = {
    "a section": {"modles": {}},
    "a name": {"models": {"../x": SFT}},
    "a method": {"models": {"x": SFT | {"method": "stf"}}},
    "no method": {"models": {"x": {key: value for key, value in SFT.items() if key != "method"}}},
    "a key": {"models": {"x": SFT | {"bse": "a/b"}}},
    "no base": {"models": {"x": {key: value for key, value in SFT.items() if key != "base"}}},
    "a key in train": {"models": {"x": SFT | {"train": SFT["train"] | {"beta": 1}}}},
    "no batch size": {"models": {"x": SFT | {"train": {"learning_rate": 1e-5}}}},
    "a word for a number": {"models": {"x": SFT | {"train": SFT["train"] | {"learning_rate": "1e-5"}}}},
    "a key in runtime": {"models": {"x": SFT | {"runtime": {"gpu": 8}}}},
    "rows of nothing": {"data": {"x": {}}},
    "a scan of no list": {"models": {"x": {"extends": "y", "scan": {"beta": 0.1}}}},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_editor_sees(fault):
    assert not valid(FAULTS[fault])


@pytest.mark.parametrize(
    "entry",
    [
        SFT,
        {"extends": "y", "train": {"warmup_steps": None}},
        {"extends": "y", "method": "orpo"},
        SFT | {"scan": {"seed": [1, 2]}},
    ],
    ids=["in full", "less than its parent", "by another method", "a scan"],
)
def test_an_entry_may_be_said(entry):
    assert valid({"models": {"x": entry}})


CONFIGS = {
    "cpt": "SFTConfig", "sft": "SFTConfig", "reward": "RewardConfig", "dpo": "DPOConfig", "kto": "KTOConfig",
    "orpo": "ORPOConfig", "cpo": "CPOConfig", "simpo": "CPOConfig",
}  # fmt: skip
# Fields that TRL is given otherwise than they are said, by arguments.py: a list where one loss is said.
GIVEN_OTHERWISE = {("dpo", "loss_type")}
# Values that are other than TRL's where nothing is said, and why.
OTHER_DEFAULTS = {
    "learning_rate": "must be said",
    "num_train_epochs": "once is what a reader takes it for",
    "bf16": "TRL's None is true unless fp16 is asked for",
    "loss_type": "one, where TRL has a list of one",
    "beta": "simpo's is its paper's",
    "cpo_alpha": "simpo's is its paper's: it has no such part",
    "completion_only_loss": "TRL's None hangs on the rows",
}


def trl_fields(method: str) -> dict[str, dict]:
    configs = elsewhere.trl_fields()["configs"]
    return configs["TrainingArguments"] | configs[CONFIGS[method]]


def fields_of(method: str) -> dict:
    return methods.METHODS[method].model_fields["train"].annotation.model_json_schema()


def types_of(field: dict, defs: dict) -> set[str]:
    """The JSON types that a field of ours takes."""
    if "$ref" in field:
        return {"object"}
    if "anyOf" in field:
        return set().union(*(types_of(one, defs) for one in field["anyOf"]))
    return {field["type"]}


@pytest.mark.parametrize("method", CONFIGS)
def test_a_field_of_ours_is_one_of_trls_of_the_same_type(method):
    said, trls = fields_of(method), trl_fields(method)
    given = {name: field for name, field in said["properties"].items() if name not in OURS}
    assert set(given) <= set(trls), "arguments.py would hand TRL what it has not"
    for name, field in given.items():
        wider = trls[name]["types"] + (["integer"] if "number" in trls[name]["types"] else [])
        if (method, name) not in GIVEN_OTHERWISE:
            assert types_of(field, said) <= set(wider), name


@pytest.mark.parametrize("method", CONFIGS)
def test_what_is_unsaid_is_as_in_trl(method):
    said, trls = fields_of(method), trl_fields(method)
    for name, field in said["properties"].items():
        if name in trls and name not in {*OURS, *OTHER_DEFAULTS}:
            assert field["default"] == trls[name]["default"], name


def test_where_another_name_points_a_recipe_has_a_field():
    model = methods.SFTModel
    known = {dotted((*part, name)) for part in ((), *zip(faults.PARTS)) for name in faults.fields_at(model, list(part))}
    assert {key.said for key in elsewhere.OTHERWISE.values() if key.said} <= known


def test_a_value_that_is_answered_by_another_is_none_of_ours():
    for kind in reference.below(Entry):
        fields = kind.model_json_schema()["properties"]
        for name in elsewhere.INSTEAD.keys() & fields.keys():
            taken = json.dumps(fields[name])
            assert not any(f'"{value}"' in taken for value in elsewhere.INSTEAD[name]), (kind, name)


def test_an_entry_that_extends_says_differences_only():
    written = {}
    for path in PAGES:
        gather(path, written, {})
    for path, entry in written.items():
        if "extends" in entry.value:
            parent = path.partition("/")[0] + "/" + entry.value["extends"]
            assert not repeated(entry.value, extend(parent, written, ()).value), path


def repeated(entry: dict, parent: dict, at: str = "") -> list[str]:
    """The keys of an entry that its parent says as well, with the same value."""
    found = []
    for key in entry.keys() & parent.keys() - {"extends", "scan"}:
        if isinstance(entry[key], dict) and isinstance(parent[key], dict):
            found += repeated(entry[key], parent[key], f"{at}{key}.")
        elif entry[key] == parent[key]:
            found.append(f"{at}{key}")
    return found


def test_a_page_that_repeats_its_parent_would_be_found():
    parent = copy.deepcopy(SFT)
    assert repeated({"extends": "x", "train": {"batch_size": 8, "learning_rate": 1e-4}}, parent) == ["train.batch_size"]
