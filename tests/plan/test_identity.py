"""Identity, intent and key: what changes them, and what must not."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_plan import plan_of

from conftest import DPO, PAGE, SFT, Project
from posttrain.data import generators
from posttrain.files import canonical, digest
from posttrain.plan import triggers
from posttrain.recipes import identity, methods, page, runtime

NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def respelled(value):
    """The same value, its keys in another order and its whole numbers with a point."""
    if isinstance(value, dict):
        return {key: respelled(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [respelled(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@settings(deadline=None)
@given(VALUES)
def test_key_order_and_number_spelling_do_not_change_a_digest(value):
    assert digest(respelled(value)) == digest(value)
    assert canonical(canonical(value)) == canonical(value)


@pytest.mark.parametrize(
    ("a", "b"),
    [(1, 2), (0.1, 0.10000000000000002), (True, 1), (False, 0), ("1", 1), (None, 0), ([1, 2], [2, 1]), ({}, [])],
    ids=str,
)
def test_other_values_have_other_digests(a, b):
    assert digest({"x": a}) != digest({"x": b})


RECIPE = {"method": "dpo", "train": {"beta": 0.1, "seed": 1}, "runtime": {"gpus": 8}}


def test_runtime_is_no_part_of_what_an_artifact_is():
    elsewhere = RECIPE | {"runtime": {"gpus": 1}}
    assert identity.what_it_is("train_dpo", RECIPE) == identity.what_it_is("train_dpo", elsewhere)
    assert identity.what_it_is("train_dpo", RECIPE) == {
        "method": "dpo", "stage": "train_dpo", "train": {"beta": 0.1, "seed": 1}, "version": 2,
    }  # fmt: skip


def test_a_new_version_of_a_stage_makes_another_artifact(monkeypatch):
    before = identity.what_it_is("train_dpo", RECIPE)
    monkeypatch.setitem(identity.VERSIONS, "train_dpo", before["version"] + 1)
    assert identity.what_it_is("train_dpo", RECIPE) != before


def test_a_field_added_later_is_left_out_while_it_has_the_value_of_its_absence():
    introduced = {"train_dpo": {"train.label_smoothing": 0, "padding": None}}

    def after(smoothing, **more):
        recipe = RECIPE | {"train": RECIPE["train"] | {"label_smoothing": smoothing}} | more
        return identity.what_it_is("train_dpo", recipe, introduced)

    before = identity.what_it_is("train_dpo", RECIPE, {})
    assert after(0) == after(0.0, padding=None) == before
    assert after(0.1)["train"]["label_smoothing"] == 0.1
    assert after(0, padding="left")["padding"] == "left"


def test_a_field_added_later_is_left_out_of_its_own_stage_only():
    introduced = {"train_sft": {"train.seed": 1}}
    assert identity.what_it_is("train_dpo", RECIPE, introduced)["train"]["seed"] == 1
    assert "seed" not in identity.what_it_is("train_sft", RECIPE, introduced)["train"]


def test_a_key_is_of_what_it_is_of_its_inputs_bytes_and_of_the_software():
    own, inputs = identity.what_it_is("train_dpo", RECIPE), {"base": "aa", "tokens": "bb"}
    one = identity.key(own, inputs, "env")
    assert identity.key(own, {"tokens": "bb", "base": "aa"}, "env") == one
    others = [
        identity.key(own | {"version": own["version"] + 1}, inputs, "env"),
        identity.key(own, {"base": "bb", "tokens": "aa"}, "env"),
        identity.key(own, inputs, "another"),
    ]
    assert len({one, *others}) == 4


# A value other than the micro-chain's for each field: a new field must be added here, and so decided upon.
OTHER_TRAIN = {
    "learning_rate": "2e-3", "batch_size": "16", "num_train_epochs": "2", "max_steps": "3",
    "lr_scheduler_type": "cosine", "warmup_steps": "1", "weight_decay": "0.1", "adam_beta1": "0.8",
    "adam_beta2": "0.99", "adam_epsilon": "1e-6", "max_grad_norm": "0.5", "optim": "adamw_torch", "seed": "2",
    "dtype": "bfloat16", "bf16": "true", "max_length": "40", "keep_checkpoints": "2",
    "lr_scheduler_kwargs": "{min_lr_rate: 0.1}",
}  # fmt: skip
OTHER_DPO = OTHER_TRAIN | {"loss_type": "ipo", "loss_weights": "[1, 0.5]", "beta": "0.2", "ld_alpha": "0.5"}
OTHER_DPO |= {"label_smoothing": "0.1", "use_weighting": "true", "discopop_tau": "0.1"}
BESIDE = {"label_smoothing": "robust", "use_weighting": "hinge", "discopop_tau": "discopop"}  # the loss that takes it
OTHER_KTO = OTHER_TRAIN | {"loss_type": "apo_zero_unpaired", "beta": "0.2"}
OTHER_KTO |= {"desirable_weight": "2", "undesirable_weight": "2"}
OTHER_CPO = OTHER_TRAIN | {"loss_type": "ipo", "beta": "0.2", "label_smoothing": "0.1", "cpo_alpha": "0.5"}
OTHER_SIMPO = OTHER_TRAIN | {"beta": "3", "simpo_gamma": "1", "label_smoothing": "0.1", "cpo_alpha": "0.5"}
OTHER_ORPO = OTHER_TRAIN | {"beta": "0.2"}
OTHER_REWARD = OTHER_TRAIN | {"center_rewards_coefficient": "0.01"}
OTHER_SFT = OTHER_TRAIN | {"assistant_only_loss": "true", "completion_only_loss": "true"}
OTHER_SFT |= {"packing": "true", "packing_strategy": "wrapped"}
OTHER_RUNTIME = {
    "hours": "9", "mem_gb": "99", "threads": "3", "gpus": "1", "processes": "2", "launch": "ddp",
    "micro_batch_size": "4", "attn_implementation": "eager", "activation_checkpointing": "true", "save_steps": "7",
    "logging_steps": "3", "dataloader_num_workers": "2", "shards": "3", "nodes": "2", "offload": "optimizer",
    "use_kernels": "true", "eval_steps": "2", "tracking": "tensorboard", "ddp_timeout": "7200",
}  # fmt: skip


# What a field cannot be said without.
BESIDE_RUNTIME = {
    "processes": {"launch": "ddp"}, "nodes": {"processes": "2", "launch": "ddp"},
    "offload": {"processes": "2", "launch": "zero2"}, "use_kernels": {"gpus": "1"},
}  # fmt: skip


def say(project: Project, model: str, section: str, field: str, value: str) -> None:
    """Say a field of a model's on the page, in place of what is said there."""
    lines = project.path(PAGE).read_text().splitlines(keepends=True)
    start = lines.index(f"  {model.removeprefix('models/')}:\n")
    line = next(i for i in range(start, len(lines)) if lines[i].startswith(f"    {section}: {{"))
    said = of_yaml(lines[line])[section] | {field: of_yaml(value)}
    lines[line] = f"    {section}: {json.dumps(said)}\n"
    project.path(PAGE).write_text("".join(lines))


def of_yaml(text: str):
    return yaml.load(text, page.Loader)


OTHERS = {
    "cpt": OTHER_TRAIN, "sft": OTHER_SFT, "reward": OTHER_REWARD, "dpo": OTHER_DPO, "kto": OTHER_KTO,
    "orpo": OTHER_ORPO, "cpo": OTHER_CPO, "simpo": OTHER_SIMPO,
}  # fmt: skip


@pytest.mark.parametrize("method", OTHERS)
def test_every_field_of_train_makes_another_model(fresh, monkeypatch, method):
    model, others = {"cpt": SFT, "sft": SFT}.get(method, DPO), OTHERS[method]
    assert set(others) == set(methods.METHODS[method].model_fields["train"].annotation.model_fields)
    monkeypatch.chdir(fresh.root)
    fresh.edit(f"method: {model[-3:]}", f"method: {method}")
    if method not in ("cpt", "sft", "dpo"):
        fresh.edit("beta: 0.1, loss_type: [sigmoid, sft], ", "")
    text = fresh.path(PAGE).read_text()
    intents = {"as it is": plan_of(fresh)[model]["intent"]}
    for field, value in others.items():
        say(fresh, model, "train", field, value)
        if field == "packing_strategy":
            say(fresh, model, "train", "packing", "true")
        if field == "lr_scheduler_kwargs":
            say(fresh, model, "train", "lr_scheduler_type", "cosine_with_min_lr")
        if method == "dpo" and field in BESIDE:
            say(fresh, model, "train", "loss_type", BESIDE[field])
        intents[field] = plan_of(fresh)[model]["intent"]
        fresh.path(PAGE).write_text(text)
    assert len(set(intents.values())) == len(others) + 1, intents


@pytest.mark.parametrize("model", [SFT, DPO])
def test_no_field_of_runtime_does(fresh, monkeypatch, model):
    assert set(OTHER_RUNTIME) == set(runtime.TrainRuntime.model_fields)
    monkeypatch.chdir(fresh.root)
    for name in ("rows", "pairs"):  # evaluated on a test split
        fresh.edit(
            f"      - {{path: {name}.jsonl}}\n",
            f"      - {{path: {name}.jsonl}}\n    test: [{{path: held-{name}.jsonl}}]\n",
        )
    text, before = fresh.path(PAGE).read_text(), plan_of(fresh)
    for field, value in OTHER_RUNTIME.items():
        say(fresh, model, "runtime", field, value)
        for beside, needed in BESIDE_RUNTIME.get(field, {}).items():
            say(fresh, model, "runtime", beside, needed)
        after = plan_of(fresh)
        fresh.path(PAGE).write_text(text)
        same = {path: target["identity"] for path, target in after.items()}
        assert same == {path: target["identity"] for path, target in before.items()}, field
        said = "threads" if field == "shards" else field  # of the tokens
        changed = [path for path in before if after[path]["runtime"].get(said) != before[path]["runtime"].get(said)]
        assert changed, f"{field} was not read"


GGUF = (
    "  tiny:\n    method: gguf\n    wheel: tiny-gguf==1.0\n    file: tiny.gguf\n    dtype: float32\n    runtime: {}\n"
)
OTHER_GGUF = {"wheel: tiny-gguf==1.0": "tiny-gguf==1.1", "file: tiny.gguf": "other.gguf", "dtype: float32": "bfloat16"}


def test_what_a_gguf_file_becomes_is_of_its_wheel_its_path_and_its_dtype(fresh, monkeypatch):
    fields = {said.partition(":")[0] for said in OTHER_GGUF}
    assert set(methods.GGUFModel.model_fields) == fields | {"method", "runtime"}
    monkeypatch.chdir(fresh.root)
    page, lock = fresh.path(PAGE).read_text() + GGUF, "wheels: {tiny-gguf==1.0: %s, tiny-gguf==1.1: %s}\n"

    def intent(page: str, one: str = "a") -> str:
        fresh.path(PAGE).write_text(page)
        fresh.path("config/lock.yaml").write_text(lock % (one * 64, "b" * 64))
        return plan_of(fresh)["models/tiny"]["intent"]

    others = [intent(page.replace(said, f"{said.split()[0]} {value}")) for said, value in OTHER_GGUF.items()]
    assert len({intent(page), intent(page, one="c"), *others}) == 5
    assert intent(page.replace("{}", "{hours: 9, mem_gb: 99, threads: 3}")) == intent(page)
    fresh.path("config/site.yaml").write_text('runtime: {"*": {gpus: 1, mem_gb: 64}}\n')
    assert plan_of(fresh)["models/tiny"]["runtime"] == {"hours": 1, "mem_gb": 64, "threads": 1}


ADAPTERS = "  a: {extends: micro-sft, peft: {r: 4}}\n  b: {extends: micro-sft, peft: {r: 8}}\n"
MERGE = "  m: {method: merge, base: a, dtype: float32, runtime: {}}\n"
OTHER_MERGE = {"base: a": "base: b", "dtype: float32": "dtype: bfloat16"}


def test_a_merge_is_of_its_adapter_and_its_dtype(fresh, monkeypatch):
    fields = {said.partition(":")[0] for said in OTHER_MERGE}
    assert set(methods.MergedModel.model_fields) == fields | {"method", "runtime"}
    monkeypatch.chdir(fresh.root)
    page = fresh.path(PAGE).read_text() + ADAPTERS

    def planned(merge: str) -> dict:
        fresh.path(PAGE).write_text(page + merge)
        return plan_of(fresh)["models/m"]

    others = [planned(MERGE.replace(said, value))["intent"] for said, value in OTHER_MERGE.items()]
    assert len({planned(MERGE)["intent"], *others}) == 3
    assert planned(MERGE)["identity"] == {
        "stage": "merge_adapter", "version": 2, "base": "a", "dtype": "float32"
    }  # fmt: skip
    assert planned(MERGE.replace(" dtype: float32,", ""))["intent"] == planned(MERGE)["intent"]
    assert planned(MERGE.replace("{}", "{hours: 9, mem_gb: 99, threads: 3}"))["intent"] == planned(MERGE)["intent"]


MEANS = """\
  kept: {extends: micro-sft, train: {keep_checkpoints: 3}}
  soup: {method: soup, base: kept, last: 2, runtime: {}}
  linear: {method: linear, models: {soup: 0.7, micro-init: 0.3}, runtime: {}}
"""
OTHER_MEANS = {
    "soup": {"base: kept": "base: kept-too", "last: 2": "last: 1"},
    "linear": {"models: {soup: 0.7, micro-init: 0.3}": "models: {micro-init: 0.3, soup: 0.7}", "0.3": "0.3000001"},
}


@pytest.mark.parametrize("method", OTHER_MEANS)
def test_a_mean_is_of_its_models_and_their_weights(fresh, monkeypatch, method):
    fields = {said.partition(":")[0] for said in OTHER_MEANS[method]} - {"0.3"}
    assert set(methods.METHODS[method].model_fields) == fields | {"method", "runtime"}
    monkeypatch.chdir(fresh.root)
    means = f"{MEANS}  kept-too: {{extends: kept, train: {{seed: 9}}}}\n"
    page = fresh.path(PAGE).read_text()

    def planned(means: str) -> dict:
        fresh.path(PAGE).write_text(page + means)
        return plan_of(fresh)[f"models/{method}"]

    others = [planned(means.replace(said, value))["intent"] for said, value in OTHER_MEANS[method].items()]
    assert len({planned(means)["intent"], *others}) == 3
    assert planned(means.replace("{}", "{hours: 9, mem_gb: 99, threads: 3}"))["intent"] == planned(means)["intent"]
    fresh.path("config/site.yaml").write_text('runtime: {"*": {gpus: 1, mem_gb: 64}}\n')
    assert planned(means)["runtime"] == {"hours": 1, "mem_gb": 64, "threads": 1}


def test_a_model_that_keeps_no_checkpoints_is_what_it_was_before_any_could_be_kept(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)
    assert "keep_checkpoints" not in before[SFT]["identity"]["train"]
    say(fresh, SFT, "train", "keep_checkpoints", "0")
    assert plan_of(fresh) == before
    say(fresh, SFT, "train", "keep_checkpoints", "1")
    after = plan_of(fresh)
    training, kept = before[SFT]["identity"], after["checkpoints/micro-sft"]["identity"]
    assert kept == training | {"train": training["train"] | {"keep_checkpoints": 1}}
    assert after[SFT]["inputs"] == {"checkpoints": "checkpoints/micro-sft"}
    (one, two) = ({**plan[DPO]["inputs"], "reference": None} for plan in (before, after))
    assert one == two, "its tokenizer and its tokens are those of the training"


def test_what_another_stage_makes_is_told_by_the_stages_alone():
    """A recipe's field may be another's whole section, which is nothing to read."""
    trained = {"identity": {"stage": "train_sft", "train": {"seed": 1}, "base": "x"}, "inputs": {"base": "aa"}}
    picked = {"identity": {"stage": "pick_checkpoint"}, "inputs": {"checkpoints": "y"}, "files": {}}
    assert triggers.reasons(trained, picked | {"contents": {"checkpoints": "bb"}}) == [
        "stage train_sft → pick_checkpoint"
    ]


def test_an_intent_does_not_hang_on_names_and_an_identity_does(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)[DPO]
    fresh.edit("micro-sft", "micro-chat")
    after = plan_of(fresh)[DPO]
    assert after["intent"] == before["intent"]
    assert (before["identity"]["base"], after["identity"]["base"]) == ("micro-sft", "micro-chat")


def test_a_template_is_its_text(fresh, monkeypatch):
    """An edited template, or one of another name, is another tokenizer exactly if its text is another."""
    monkeypatch.chdir(fresh.root)
    template = fresh.path("config/templates/bytes.jinja")
    before = plan_of(fresh)[SFT]["intent"]
    Path("config/templates/mine.jinja").write_text(template.read_text())
    fresh.edit("template: bytes", "template: mine")
    assert plan_of(fresh)[SFT]["intent"] == before
    fresh.edit("message.content", "' ' + message.content", "config/templates/mine.jinja")
    assert plan_of(fresh)[SFT]["intent"] != before


@pytest.mark.parametrize("edit", ["rows", "lock", "base"])
def test_what_lies_upstream_is_part_of_an_intent(fresh, monkeypatch, edit):
    monkeypatch.chdir(fresh.root)
    fresh.edit("    base: micro-init\n", "    base: lab/tiny\n")
    before = plan_of(fresh)[DPO]["intent"]
    if edit == "rows":
        fresh.edit('"ant', '"art', "rows.jsonl")
    elif edit == "lock":
        fresh.edit("models: {}", f"models: {{lab/tiny: {'c' * 40}}}", "config/lock.yaml")
    else:
        fresh.edit("base: lab/tiny", "base: lab/other")
    assert plan_of(fresh)[DPO]["intent"] != before


def test_an_argument_left_as_it_is_is_part_of_an_intent(fresh, monkeypatch):
    """A generator whose default changes makes other rows; an argument said is the same as one left at its value."""
    monkeypatch.chdir(fresh.root)
    fresh.edit("{path: rows.jsonl}", "{generator: spell_backward, rows: 32}")
    before = plan_of(fresh)[SFT]["intent"]
    fresh.edit("spell_backward,", "spell_backward, args: {min_word_len: 3},")
    assert plan_of(fresh)[SFT]["intent"] == before

    def spell_backward(seed: int = 0, min_word_len: int = 3, max_word_len: int = 12) -> None: ...

    monkeypatch.setitem(generators.KNOWN, "spell_backward", spell_backward)
    assert plan_of(fresh)[SFT]["intent"] != before
