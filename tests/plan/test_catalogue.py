"""The catalogue: what `extends`, `scan`, `use`, a site's overlay and further folders of recipes stand for."""

import shutil
from pathlib import Path

import pytest
from test_plan import plan_of

from conftest import DPO, PAGE, ROOT, SFT, Project
from posttrain.files import Refusal, write_json
from posttrain.recipes import catalogue
from posttrain.words import did_you_mean


def read(project: Project) -> catalogue.Catalogue:
    return catalogue.load([project.path("config/recipes")], project.path("config/site.yaml"))


def add(project: Project, text: str) -> None:
    with project.path(PAGE).open("a") as page:
        page.write(text)


def test_a_recipe_has_its_own_fields_over_those_it_extends(fresh):
    add(
        fresh,
        "  second:\n    extends: micro-dpo\n    train: {beta: 0.5}\n    runtime: {hours: 2}\n"
        "  third:\n    extends: second\n    train: {loss_type: ipo}\n",
    )
    entries = read(fresh).entries
    parent, second, third = (entries[f"models/{name}"].recipe for name in ("micro-dpo", "second", "third"))
    assert second.train == parent.train.model_copy(update={"beta": 0.5})
    assert third.train == parent.train.model_copy(update={"beta": 0.5, "loss_type": "ipo"})
    assert third.runtime == parent.runtime.model_copy(update={"hours": 2})
    assert (third.base, third.preferences) == (parent.base, parent.preferences)


def test_a_word_that_yaml_once_took_for_another_value_is_a_word(fresh):
    said = "{lang: [en, no], mode: on, zip: 010, kept: TRUE, grade: 1e-5, many: 1_000, mask: 0x1F}"
    page = f"data:\n  more: {{sources: [{{path: x.jsonl, where: {said}}}]}}\n"
    fresh.path("config/recipes/more.yaml").write_text(page)
    (source,) = read(fresh).entries["data/more"].recipe.sources
    assert source.where == {
        "lang": ["en", "no"], "mode": "on", "zip": "010", "kept": True, "grade": 1e-5, "many": 1000, "mask": 31
    }  # fmt: skip


def test_a_list_is_replaced_and_not_merged(fresh):
    add(fresh, "  second:\n    extends: micro-dpo\n    train: {loss_type: [hinge, sft]}\n")
    assert read(fresh).entries["models/second"].recipe.train.loss_type == ["hinge", "sft"]


def test_a_scan_is_named_by_its_keys_in_their_order_and_by_canonical_numbers(fresh):
    add(
        fresh,
        "  scan:\n    extends: micro-dpo\n    scan: {loss_type: [[sigmoid, sft], ipo], beta: [0.10, 1.0, 5e-1]}\n",
    )
    made = read(fresh)
    names = [
        f"models/scan@loss_type={loss},beta={beta}" for loss in ("sigmoid+sft", "ipo") for beta in ("0.1", "1", "0.5")
    ]
    assert made.scans == {"models/scan": names}
    assert "models/scan" not in made.entries
    point = made.entries["models/scan@loss_type=ipo,beta=0.5"].recipe.train
    assert (point.loss_type, point.beta) == ("ipo", 0.5)
    assert point.learning_rate == made.entries[DPO].recipe.train.learning_rate


def test_a_scan_is_not_inherited(fresh):
    add(fresh, "  scan:\n    extends: micro-dpo\n    scan: {beta: [0.2]}\n  one:\n    extends: scan\n")
    assert read(fresh).entries["models/one"].recipe == read(fresh).entries[DPO].recipe


def test_null_leaves_out_what_is_inherited(fresh):
    add(
        fresh,
        "  warm:\n    extends: micro-dpo\n    train: {warmup_steps: 2}\n"
        "  cold:\n    extends: warm\n    train: {warmup_steps: null}\n    runtime: null\n"
        "  odds:\n    extends: micro-dpo\n    method: orpo\n    train: {loss_type: null}\n"
        "  scan:\n    extends: warm\n    scan: {warmup_steps: [null, 1]}\n",
    )
    made = read(fresh)
    names = ("warm", "cold", "odds", "micro-dpo")
    warm, cold, odds, before = (made.entries[f"models/{name}"].recipe for name in names)
    assert (warm.train.warmup_steps, cold.train.warmup_steps) == (2, 0)
    assert (warm.runtime.save_steps, cold.runtime.save_steps) == (1, 100)
    assert odds.train.beta == before.train.beta
    points = [made.entries[name].recipe.train.warmup_steps for name in made.scans["models/scan"]]
    assert points == [0, 1]


def test_a_scan_may_go_over_bases_and_rows(fresh):
    add(fresh, "  scan:\n    extends: micro-dpo\n    scan: {base: [micro-init, micro-sft]}\n")
    bases = [read(fresh).entries[name].recipe.base for name in read(fresh).scans["models/scan"]]
    assert bases == ["micro-init", "micro-sft"]


def test_the_point_of_a_scan_that_is_its_parent_is_its_twin(fresh, monkeypatch):
    add(fresh, "  scan:\n    extends: micro-dpo\n    scan: {beta: [0.1, 0.2]}\n")
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    assert targets["models/scan@beta=0.1"]["twin"] == DPO
    assert targets["models/scan@beta=0.2"]["twin"] is None
    assert (targets["models/scan@beta=0.1"]["rule"], targets["models/scan@beta=0.2"]["rule"]) == (
        "restore",
        "train_dpo",
    )


def intents(targets: dict[str, dict]) -> dict[str, str]:
    return {path: target["intent"] for path, target in targets.items()}


def test_a_site_says_where_and_its_later_pattern_wins(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)
    fresh.path("config/site.yaml").write_text(
        "runtime:\n  '*': {mem_gb: 64, micro_batch_size: 2}\n"
        "  '*-dpo': {micro_batch_size: 4, processes: 2, launch: ddp}\n"
    )
    after = plan_of(fresh)
    launch = ("mem_gb", "processes", "micro_batch_size", "gradient_accumulation_steps", "launch")
    assert [after[SFT]["runtime"][name] for name in launch] == [64, 1, 2, 4, "single"]
    assert [after[DPO]["runtime"][name] for name in launch] == [64, 2, 4, 1, "ddp"]
    assert after["models/micro-init"]["runtime"]["mem_gb"] == 64, "a pattern may name models of every method"
    assert intents(after) == intents(before)


def test_a_sites_pattern_with_a_slash_is_of_whole_targets(fresh, monkeypatch):
    sampling = "completions:\n  micro-tries: {model: micro-sft, prompts: micro-rows, runtime: {shards: 3}}\n"
    scores = "scores:\n  micro-tries: {completions: micro-tries, verifier: exact_match}\n"
    suite = "evals:\n  micro: {models: [micro-sft], prompts: micro-rows, split: train, verifier: exact_match}\n"
    add(fresh, sampling + scores + suite)
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)
    fresh.path("config/site.yaml").write_text(
        "runtime:\n  'micro*': {mem_gb: 64}\n  completions/*: {gpus: 1}\n  evals/micro: {processes: 2}\n"
        "  '*/micro-tries': {hours: 5}\n"
    )
    after = plan_of(fresh)
    kinds = ("shards/micro-tries.3of3", "scores/micro-tries", "evals/micro-sft/micro", SFT, "data/micro-rows")
    said = [[after[path]["runtime"].get(name) for name in ("gpus", "processes", "hours", "mem_gb")] for path in kinds]
    assert said == [[1, 1, 5, 8], [0, 1, 5, 8], [0, 2, 1, 8], [0, 1, 1, 64], [None, None, 1, 8]]
    assert intents(after) == intents(before)


def test_use_puts_a_folder_in_a_targets_place(fresh, monkeypatch):
    theirs = fresh.path("theirs")
    theirs.mkdir()
    (theirs / "model.safetensors").write_bytes(b"weights")
    add(fresh, "use:\n  models/micro-sft: theirs\n")
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    assert targets[SFT]["stage"] == "adopt_folder"
    assert targets[DPO]["inputs"]["base"] == SFT
    before = targets[DPO]["intent"]
    (theirs / "model.safetensors").write_bytes(b"other weights")
    assert plan_of(fresh)[DPO]["intent"] != before, "its bytes stand for its recipe"


def test_use_puts_a_hub_repository_in_a_targets_place_at_its_locked_commit(fresh, monkeypatch):
    commit = "c" * 40
    add(fresh, "use:\n  models/micro-sft: lab/tiny\n")
    fresh.edit("{path: rows.jsonl}", "{hub: lab/rows}")
    fresh.edit("models: {}", f"models: {{lab/tiny: {commit}}}", "config/lock.yaml")
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    model, rows = targets[SFT]["own"], targets["hub/datasets--lab--rows"]["own"]
    assert (model["kind"], model["repo_id"], model["revision"]) == ("models", "lab/tiny", commit)
    assert (rows["kind"], rows["repo_id"], rows["revision"]) == ("datasets", "lab/rows", "main")
    kinds = {target["own"].get("kind") for path, target in targets.items() if path.startswith("hub/")}
    assert kinds == {"datasets", "tokenizers"}, "a tokenizer comes without its weights"


def test_use_may_name_a_target_that_no_recipe_makes(fresh, monkeypatch):
    shutil.copytree(fresh.path("config"), fresh.path("theirs"))
    (fresh.path("theirs") / "model.safetensors").touch()
    add(fresh, "  more:\n    extends: micro-dpo\n    base: bought\nuse:\n  models/bought: theirs\n")
    monkeypatch.chdir(fresh.root)
    assert plan_of(fresh)["models/more"]["inputs"]["base"] == "models/bought"


@pytest.mark.parametrize("said", ["absolute", "relative", "home"])
def test_a_labs_recipes_may_live_outside_the_clone_and_refer_to_ours(fresh, monkeypatch, tmp_path, said):
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "ours.yaml").write_text("models:\n  lab-dpo:\n    extends: micro-dpo\n    train: {beta: 0.7}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(fresh.root)
    folder = {"absolute": str(lab), "relative": "../lab", "home": "~/lab"}[said]
    targets = plan_of(fresh, recipes=["config/recipes", folder])
    assert targets["models/lab-dpo"]["own"]["train"]["beta"] == 0.7
    assert targets["models/lab-dpo"]["inputs"]["base"] == SFT


def test_four_gpus_are_a_line_of_the_site_and_make_no_other_model(fresh, monkeypatch):
    """Of 128 rows a step, four GPUs that see 4 each at once take 8 turns."""
    for page in ("zephyr-7b", "benchmarks"):
        shutil.copy(ROOT / f"config/recipes/{page}.yaml", fresh.path("config/recipes"))
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)
    fresh.path("config/site.yaml").write_text("runtime:\n  zephyr-*: {gpus: 4, micro_batch_size: 4}\n")
    after = plan_of(fresh)
    said = ("gpus", "processes", "micro_batch_size", "gradient_accumulation_steps")
    for model in ("zephyr-7b-sft", "zephyr-7b-dpo", "zephyr-7b-dpo-scan@loss_type=ipo,beta=0.2"):
        assert [after[f"models/{model}"]["runtime"][name] for name in said] == [4, 4, 4, 8]
    assert intents(after) == intents(before)
    assert {path: target["identity"] for path, target in after.items()} == {
        path: target["identity"] for path, target in before.items()
    }
    refused = {path: target["refusal"] for path, target in after.items() if target["refusal"]}
    assert set(refused) == {"models/zephyr-7b-sft-qlora", "models/zephyr-7b-dpo-qlora"}, "only who asks is refused"
    line = "config/site.yaml:2: models.zephyr-7b-sft-qlora.runtime: launch `single` is one process, and 4 are asked for"
    assert refused["models/zephyr-7b-sft-qlora"].startswith(line)
    fresh.path("config/site.yaml").write_text("runtime:\n  zephyr-7b-sft: {gpus: 3}\n")
    after = plan_of(fresh)
    line = "config/site.yaml:2: models.zephyr-7b-sft.runtime.gpus: "
    counted = "batch_size 128 does not divide by 48 (3 processes × micro_batch_size 16)"
    assert after["models/zephyr-7b-sft"]["refusal"].startswith(line + counted)
    refusal, started = fresh.make("models/zephyr-7b-sft", "-n", rc=1)
    assert line + counted in refusal and not started
    assert not after["models/zephyr-7b-dpo"]["refusal"]


@pytest.fixture
def lab(fresh, monkeypatch, tmp_path) -> Path:
    """A lab's own folder, with recipes that extend ours and a template of its own; we stand in the checkout."""
    page = "models:\n  lab-sft: {extends: micro-sft, template: ours}\n  lab-dpo: {extends: micro-dpo, base: lab-sft}\n"
    for name, text in (("recipes/ours.yaml", page), ("templates/ours.jinja", "{{ messages[0].content }}")):
        (tmp_path / "lab" / name).parent.mkdir(parents=True)
        (tmp_path / "lab" / name).write_text(text)
    monkeypatch.chdir(fresh.root)
    return tmp_path / "lab"


def test_a_labs_templates_are_beside_its_recipes(fresh, lab):
    recipes = ["config/recipes", str(lab / "recipes")]
    targets = plan_of(fresh, recipes=recipes)
    assert targets["models/lab-dpo"]["inputs"]["base"] == "models/lab-sft"
    texts = targets[targets["models/lab-sft"]["inputs"]["tokenizer"]]["texts"]
    assert texts == {"template": "{{ messages[0].content }}"}
    assert targets["models/micro-init"] == plan_of(fresh)["models/micro-init"], "ours are as they were"


def test_a_name_that_two_folders_have_is_refused(fresh, lab):
    recipes = ["config/recipes", str(lab / "recipes")]
    shutil.copy(fresh.path("config/templates/bytes.jinja"), lab / "templates")
    with pytest.raises(Refusal) as taken:
        plan_of(fresh, recipes=recipes)
    line = f"{PAGE}:16: models.micro-init.template: "
    twice = f"bytes is the name of config/templates/bytes.jinja and of {lab}/templates/bytes.jinja; rename one of them"
    assert str(taken.value) == line + twice
    (lab / "templates/bytes.jinja").unlink()
    (lab / "recipes/ours.yaml").write_text("models:\n  micro-dpo: {extends: micro-sft}\n")
    with pytest.raises(Refusal, match=r"ours\.yaml:2: models\.micro-dpo: the name is taken by config/recipes/micro"):
        plan_of(fresh, recipes=recipes)


def test_a_store_may_be_shared(fresh, monkeypatch, tmp_path):
    """A lab's store, named by the site, is looked into when the plan is made."""
    fresh.path("config/site.yaml").write_text(f"store: {tmp_path / 'ours'}\n")
    monkeypatch.chdir(fresh.root)
    before = plan_of(fresh)
    tokenizer = next(path for path in before if path.startswith("tokenizers/"))
    assert (before[tokenizer]["hit"], before[tokenizer]["rule"]) == (False, "make_tokenizer")
    files = Path(tmp_path, "ours", before[tokenizer]["key"], "files")
    files.mkdir(parents=True)
    (files / "tokenizer.json").write_text("{}")
    said = {"files": {"tokenizer.json": "-"}, "sizes": {"tokenizer.json": 2}}
    write_json(files.parent / "manifest.json", {"key": files.parent.name, "content": "c0ffee", **said})
    after = plan_of(fresh)
    assert (after[tokenizer]["hit"], after[tokenizer]["rule"]) == (True, "restore")
    assert after["models/micro-init"]["contents"]["tokenizer"] == "c0ffee"


def test_of_hundreds_of_known_words_a_few_are_told():
    told = did_you_mean("nope", [f"model-{i:03}" for i in range(100)])
    assert told.count("model-") == 30 and told.endswith(", model-029, … and 70 others")
