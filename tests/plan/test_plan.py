"""Plans: of the recipes that we ship, of names that are wrong, and what planning may load."""

import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conftest import DPO, SFT, Project, clean_environment, shipped_checkout
from posttrain.files import Refusal
from posttrain.plan import frozen, opened, triggers

HEAVY = {"torch", "transformers", "datasets", "pyarrow", "pandas", "numpy", "trl", "peft", "accelerate", "tokenizers"}
HEAVY |= {"reasoning_gym"}


def points(name: str, **axes: tuple) -> list[str]:
    """The models of a scan."""
    spelled = [[f"{key}={value}" for value in values] for key, values in axes.items()]
    return [f"{name}@{','.join(point)}" for point in itertools.product(*spelled)]


BETAS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Every model that a shipped page names, by the trainings that it takes from nothing.
SHIPPED = {
    0: ["quickstart-init", "smollm2-wheel"],
    1: [
        *(
            "quickstart-cpt",
            "smollm2-wheel-sft",
            "smollm2-wheel-reward",
            "gpt2-nl-cpt",
            "smollm3-mid",
            "zephyr-141b-a35b-orpo",
            "guide-cpt-fast",
            "guide-sft-scratch",
        ),
        *("zephyr-7b-sft", "zephyr-7b-sft-qlora", "zephyr-7b-sft-qlora-merged", "gemma-7b-own-sft", "gemma-7b-own"),
        *("zephyr-7b-gemma-sft", "starchat2-15b-sft", "cai-anthropic-sft", "cai-grok-sft"),
        *("cai-anthropic-own-sft", "cai-grok-own-sft"),
        *(f"smollm-{size}-sft" for size in ("135m", "360m", "1.7b")),
        *(f"smollm2-{size}-sft" for size in ("135m", "360m", "1.7b")),
        *(point for loss in ("dpo", "ipo", "kto") for point in points(f"pref-align-openhermes-{loss}", beta=BETAS)),
    ],
    2: [
        *(
            "quickstart-sft",
            "smollm2-wheel-dpo",
            "smollm2-wheel-on-policy",
            "gpt2-nl-sft",
            "smollm3-sft",
            "zephyr-7b-reward",
        ),
        *("zephyr-7b-dpo", "zephyr-7b-dpo-qlora", "guide-sft-fast", "guide-sft-all"),
        *("zephyr-7b-gemma-dpo", "starchat2-15b-dpo", "cai-anthropic-dpo", "cai-grok-dpo"),
        *("cai-anthropic-own-dpo", "cai-grok-own-dpo"),
        *(f"smollm2-{size}-dpo" for size in ("135m", "360m", "1.7b")),
        *points("zephyr-7b-dpo-scan", loss_type=("sigmoid", "ipo"), beta=BETAS[:3]),
        *(point for loss in ("dpo", "ipo", "kto") for point in points(f"pref-align-zephyr-{loss}", beta=BETAS)),
    ],
    3: [
        *("quickstart-rs", "quickstart-reward", "gpt2-nl-dpo", "smollm3-apo", "smollm3-soup", "smollm3"),
        *("zephyr-7b-rs", "zephyr-7b-iterative-1", "guide-sft-longer"),
        *points("guide-rs-lora", learning_rate=(0.001, 0.01)),
    ],
    4: [
        *("quickstart-dpo", "quickstart-orpo", "zephyr-7b-rs-dpo", "zephyr-7b-iterative-2"),
        *("guide-orpo", "guide-plain-slow", "guide-reward-own", "guide-simpo"),
        *points("guide-kto", learning_rate=("5e-05", 0.0005)),
        *points("guide-beta", beta=(0.01, 1)),
        *points("guide-plain", beta=(0.01, 0.1, 1)),
        *points("guide-losses", loss_type=("ipo", "apo_zero", "sigmoid_norm")),
    ],
    5: ["quickstart-dpo-2", "zephyr-7b-iterative-3"],
}


def plan_of(project: Project, **config) -> dict[str, dict]:
    """The targets of the plan that is made in the current folder, a checkout's."""
    return json.loads(Path(frozen.freeze(Path(), {"recipes": ["config/recipes"]} | config)).read_text())["targets"]


def jobs(output: str) -> dict[str, int]:
    """Snakemake's table of jobs, by rule."""
    table = output.partition("Job stats:")[2].partition("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Project:
    """Only planned in, never built in."""
    return shipped_checkout(tmp_path_factory.mktemp("shipped") / "p")


def test_every_shipped_recipe_plans_and_none_is_forgotten_here(shipped, monkeypatch):
    monkeypatch.chdir(shipped.root)
    targets = plan_of(shipped)
    models = [path for path in targets if path.startswith("models/")]
    takes = {f"models/{name}": trainings for trainings, names in SHIPPED.items() for name in names}
    assert {path: len(trained_for(targets, path)) for path in models} == takes


def trained_for(targets: dict, path: str) -> set[str]:
    """The trainings that a target takes, its own with those upstream."""
    if targets[path]["twin"]:
        return trained_for(targets, targets[path]["twin"])
    own = {path} if targets[path]["stage"].startswith("train_") else set()
    return own.union(*(trained_for(targets, made) for made in targets[path]["inputs"].values()))


def test_all_is_every_model(shipped, monkeypatch):
    monkeypatch.chdir(shipped.root)
    models = {path: target for path, target in plan_of(shipped).items() if path.startswith("models/")}
    # One point of a scan is zephyr-7b-dpo itself.
    assert [path for path in models if models[path]["twin"]] == [
        "models/zephyr-7b-dpo-scan@loss_type=sigmoid,beta=0.01"
    ]
    made = Counter(target["rule"] for target in models.values() if not target["twin"])
    rules = jobs(shipped.make("-n", "all")[0])
    assert {rule: rules[rule] for rule in made} == made
    assert rules["restore"] == 1


def test_the_command_of_the_readme_plans_as_it_is_typed(shipped):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs the slurm executor plugin")
    output, _ = shipped.make("-n", "models/zephyr-7b-dpo", "--profile", "slurm")
    assert jobs(output) == {
        "fetch_snapshot": 4,  # weights, their tokenizer, and two sets of rows
        "make_tokenizer": 2,
        "mix_data": 1,
        "mix_preferences": 1,
        "tokenize_rows": 2,
        "train_sft": 1,
        "compute_reference": 1,
        "train_dpo": 1,
    }
    assert "mistralai/Mistral-7B-v0.1 has no commit in config/lock.yaml" in output
    assert "mistralai/Mistral-7B-v0.1 is gated: accept its terms on the hub, and run `hf auth login`" in output
    job = output.partition("\nrule train_sft:")[2].partition("\n\n")[0]
    assert {"gpu=8", "runtime=240", "mem_mb=500000"} <= set(re.findall(r"[^\s,]+=[^\s,]+", job))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("models/micro-dqo", "No recipe makes models/micro-dqo. Nearest: models/micro-dpo, models/micro-sft, "),
        ("models/micro-dqo.json", "No recipe makes models/micro-dqo. Nearest: models/micro-dpo, "),
        ("data/micro-row", "No recipe makes data/micro-row. Nearest: data/micro-rows"),
        ("models/nope", "No recipe makes models/nope. Nearest: "),
    ],
    ids=["model", "manifest", "data", "far-off"],
)
def test_a_name_that_no_recipe_has_is_answered_in_one_line(fresh, asked, said):
    output = fresh.refused(asked)
    assert output.splitlines()[-1].startswith(said)
    assert "Traceback" not in output
    assert "Exception" not in output


def test_a_dry_run_makes_nothing_but_plans(fresh):
    before = {path.name for path in fresh.root.iterdir()}
    fresh.make("-n", DPO, SFT)
    assert {path.name for path in fresh.root.iterdir()} - before == {".posttrain", ".snakemake"}


def loaded(project: Project, code: str) -> set[str]:
    """The packages that a program has loaded at its end."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=project.root,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return set(run.stdout.split())


def test_planning_loads_no_library_of_training(shipped):
    """A plan is made by every snakemake call, on login nodes too: torch alone would take seconds."""
    packages = loaded(
        shipped,
        "from pathlib import Path; from posttrain.plan import frozen, opened; "
        "path = frozen.freeze(Path(), {'recipes': ['config/recipes']}); "
        "opened.Plan(path, True).trigger('models/quickstart-dpo')",
    )
    assert "posttrain" in packages
    assert not packages & HEAVY


REFUSED = """
from posttrain.plan import frozen
try:
    frozen.freeze_here()
except SystemExit as refused:
    print(str(refused).replace(" ", "_"))
"""


def test_what_trl_has_and_a_recipe_has_not_is_known_without_trl(fresh):
    fresh.edit("beta: 0.1,", "torch_compile: true,")
    said = loaded(fresh, REFUSED)
    assert any("TRL's_torch_compile_is_not_offered" in word for word in said)
    assert not said & HEAVY


def test_equal_recipes_freeze_to_one_plan(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    config = {"recipes": ["config/recipes"]}
    first = frozen.freeze(Path(), config)
    fresh.edit("# Micro", "# Mikro")
    assert frozen.freeze(Path(), config) == first
    fresh.edit("runtime: {save_steps: 1,", "runtime: {hours: 3, save_steps: 1,")
    assert frozen.freeze(Path(), config) != first, "jobs take their circumstances from the plan"


def test_a_job_takes_its_recipe_from_the_plan_that_its_main_process_froze(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    plan_of(fresh)  # writes triggers of beta 0.1
    fresh.edit("beta: 0.1", "beta: 0.2")
    monkeypatch.setenv("POSTTRAIN_PLAN", frozen.freeze(Path(), {"recipes": ["config/recipes"]}))
    fresh.edit("beta: 0.2", "beta: 0.3")
    job = opened.open_plan(".", {"recipes": ["nowhere"]}, main=False)
    assert job.targets[DPO]["own"]["train"]["beta"] == 0.2
    before = Path(triggers.path_of(DPO)).read_text()
    assert job.trigger(DPO) == triggers.path_of(DPO)
    assert Path(triggers.path_of(DPO)).read_text() == before, "a job never writes a trigger"


def test_a_job_without_a_plan_is_refused(fresh, monkeypatch):
    monkeypatch.chdir(fresh.root)
    monkeypatch.delenv("POSTTRAIN_PLAN", raising=False)
    with pytest.raises(Refusal, match="found no POSTTRAIN_PLAN"):
        opened.open_plan(".", {"recipes": ["config/recipes"]}, main=False)


def test_models_of_equal_rows_lengths_and_template_share_tokens(fresh, monkeypatch):
    page = fresh.path("config/recipes/micro.yaml")
    more = "  {0}:\n    extends: micro-sft\n    train: {{{1}}}\n"
    same = {"longer": "num_train_epochs: 3", "unpacked": "packing: false, completion_only_loss: false"}
    others = {"cut": "max_length: 9", "packed": "packing: true", "last": "completion_only_loss: true"}
    others["wrapped"] = "packing: true, packing_strategy: wrapped"
    page.write_text(page.read_text() + "".join(more.format(*said) for said in (same | others).items()))
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    tokens = {name: targets[f"models/{name}"]["inputs"]["tokens"] for name in ("micro-sft", *same, *others)}
    assert {tokens["micro-sft"]} == {tokens[name] for name in same}
    assert len(set(tokens.values())) == 1 + len(others)
    assert targets["models/unpacked"]["intent"] == targets["models/micro-sft"]["intent"]
