"""Checkpoints that a training keeps, and means of models: what is in them, to the bit, and what an edit costs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stages import Stage, weights
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

from conftest import DPO, MICRO, PAGE, SFT, Project
from posttrain.build.job import Job
from posttrain.data.tokenizer import add_tokens
from posttrain.files import Refusal, folder_digests
from posttrain.plan import cost
from posttrain.report import page
from posttrain.train import average, run
from posttrain.train.average import Part

pytest_plugins = ["stage_fixtures"]
pytestmark = pytest.mark.xdist_group("kept")  # one build for them all

KEPT, SOUP, LAST, MIXED, TWO = "checkpoints/micro-sft", *(f"models/micro-{n}" for n in ("soup", "last", "mixed", "two"))
TRAIN = "max_length: 48, bf16: false, seed: 1}"
KEEPING = (
    MICRO.replace(TRAIN, "keep_checkpoints: 2, " + TRAIN, 1)
    + """\
  micro-soup: {method: soup, base: micro-sft}
  micro-mixed: {method: linear, models: {micro-soup: 0.9, micro-init: 0.1}}
  micro-two:
    extends: micro-sft
    train: {seed: 2, keep_checkpoints: 3}
    runtime: {processes: 2, launch: ddp}
  micro-last: {method: soup, base: micro-two, last: 1}
"""
)


@pytest.fixture(scope="module")
def kept(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The micro-chain, its SFT model told to keep checkpoints after it was built, and means of models."""
    project = micro_built.copy(tmp_path_factory.mktemp("kept") / "p")
    project.path(PAGE).write_text(KEEPING)
    project.make(MIXED, LAST, DPO)
    return project


def test_what_was_foretold_of_disk_is_what_is_there(kept: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept.root)
    for path in (KEPT, SFT, SOUP, MIXED, "checkpoints/micro-two"):
        there = sum(file.stat().st_size for file in kept.path(path).rglob("*.safetensors"))
        assert cost.job(kept.targets(), path).stored == pytest.approx(there, rel=0.05), path


def steps(project: Project, target: str) -> list[str]:
    return sorted(path.name for path in project.path(target).iterdir())


def test_a_model_that_keeps_checkpoints_is_the_one_that_keeps_none(kept, micro_built):
    """Training is not disturbed, and what follows is not built again."""
    assert kept.content(SFT) == micro_built.content(SFT)
    started = kept.started()[len(micro_built.started()) :]
    assert set(started) == {KEPT, SFT, SOUP, MIXED, "checkpoints/micro-two", LAST}
    assert len(started) == 6


def test_each_kept_checkpoint_opens_and_the_last_is_the_model(kept):
    assert steps(kept, KEPT) == ["step-2", "step-4"]
    for step in steps(kept, KEPT):
        folder = kept.path(f"{KEPT}/{step}")
        _, report = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        assert AutoTokenizer.from_pretrained(folder).chat_template
    assert folder_digests(kept.path(f"{KEPT}/step-4")) == kept.manifest(SFT)["files"]
    assert kept.weights(f"{KEPT}/step-2") != kept.weights(SFT)


def test_two_processes_keep_what_both_have_trained(kept):
    assert kept.manifest("checkpoints/micro-two.run")["launch"]["processes"] == 2
    assert steps(kept, "checkpoints/micro-two") == ["step-2", "step-3", "step-4"]
    assert len({kept.weights(f"checkpoints/micro-two/step-{step}") for step in (2, 3, 4)}) == 3


def test_a_soup_is_the_mean_of_its_checkpoints(kept):
    two, four, made = (weights(kept, target) for target in (f"{KEPT}/step-2", f"{KEPT}/step-4", SOUP))
    assert made.keys() == two.keys()
    for name, tensor in made.items():
        assert torch.equal(tensor, ((two[name].double() + four[name].double()) / 2).float())
    assert not torch.equal(made["model.norm.weight"], four["model.norm.weight"])


def test_a_soup_of_the_last_checkpoint_is_the_model(kept):
    assert kept.weights(LAST) == kept.weights("checkpoints/micro-two/step-4")
    assert kept.manifest(LAST)["files"] == folder_digests(kept.path("checkpoints/micro-two/step-4"))


def test_a_linear_merge_is_the_weighted_mean(kept):
    soup, init, made = (weights(kept, target) for target in (SOUP, "models/micro-init", MIXED))
    for name, tensor in made.items():
        assert torch.equal(tensor, (0.9 * soup[name].double() + 0.1 * init[name].double()).float())


@pytest.mark.parametrize(
    ("old", "new", "asked", "costs"),
    [
        ("last: 1", "last: 2", LAST, {LAST: "average_checkpoints"}),
        ("0.9, micro-init: 0.1", "0.8, micro-init: 0.2", MIXED, {MIXED: "average_models"}),
        (
            "keep_checkpoints: 2",
            "keep_checkpoints: 4",
            MIXED,
            {KEPT: "train_checkpoints", SOUP: "average_checkpoints", MIXED: "average_models"},
        ),
        ("keep_checkpoints: 2, ", "", SFT, {SFT: "restore"}),
        ("0.9, micro-init: 0.1", "0.90, micro-init: 1e-1", MIXED, {}),
    ],
    ids=["last", "weight", "keep", "keep-none", "spelling"],
)
def test_what_an_edit_of_a_mean_costs(kept, tmp_path, old, new, asked, costs):
    project = kept.copy(tmp_path / "p")
    project.edit(old, new)
    if not new:
        project.edit("  micro-soup: {method: soup, base: micro-sft}\n", "")
        project.edit("micro-soup: 0.9", "micro-sft: 0.9")
    assert project.planned(asked) == costs


def test_a_page_tells_of_checkpoints_and_means(kept, monkeypatch):
    monkeypatch.chdir(kept.root)
    shown = page.shown(kept.targets(), MIXED)
    told = {(row["kind"], row["name"]): row["what"] for row in shown["lineage"]["rows"]}
    assert shown["what"] == told["models", "micro-mixed"] == "0.9 micro-soup + 0.1 micro-init"
    assert told["models", "micro-soup"] == "mean of the last 2 checkpoints of micro-sft"
    assert told["checkpoints", "micro-sft"] == "sft on micro-rows, from micro-init"
    assert told["models", "micro-sft"] == "sft on micro-rows, from micro-init; the last of 2 checkpoints"
    (curves,) = shown["curves"]
    assert (curves["model"], len(curves["charts"])) == ("micro-sft", 2)


# A training in this process


class StopAfter(TrainerCallback):
    """Asks a run to stop when it has made a step."""

    def __init__(self, job: Job, step: int) -> None:
        self.stop, self.step = job.work / "stop", step

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.step - 1:
            self.stop.touch()


def train(stage: Stage, job: Job, stop_after: int = 0) -> dict[str, str]:
    """The digests of what a job makes."""
    trainer = stage.trainer(job)
    trainer.add_callback(StopAfter(job, stop_after))
    run.train(trainer, job)
    run.save(trainer, job)
    return folder_digests(job.out)


def stopped(stage: Stage, after: int) -> Job:
    """A job that keeps steps 2 and 4, and was stopped after one of them."""
    job = stage.job(max_steps=4, keep_checkpoints=2)
    with pytest.raises(SystemExit):
        train(stage, job, after)
    (job.work / "stop").unlink()
    return job


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_that_was_stopped_keeps_the_same_bytes(sft, after):
    undisturbed = train(sft, sft.job(max_steps=4, keep_checkpoints=2))
    assert {name.split("/")[0] for name in undisturbed} == {"step-2", "step-4"}
    job = stopped(sft, after)
    waiting = job.kept / "weights"
    written = {path.name: (path / "model.safetensors").stat().st_ino for path in waiting.glob("step-*")}
    assert list(written) == ["step-2"] * (after >= 2)
    for name in ("step-2", "step-4", ".step-4"):  # of a run that came further, and was killed
        if name not in written:
            (waiting / name).mkdir(parents=True)
            (waiting / name / "model.safetensors").write_bytes(b"half")
    assert train(sft, job) == undisturbed
    for name, inode in written.items():
        assert (job.out / name / "model.safetensors").stat().st_ino == inode, "what was kept was made again"


def test_a_kill_at_the_end_costs_nothing_that_was_kept(sft):
    """The next run empties the artifact's folder, and has no step to make."""
    job = sft.job(max_steps=4, keep_checkpoints=2)
    made = train(sft, job)
    shutil.rmtree(job.out)
    job.out.mkdir()
    assert train(sft, job) == made


def test_more_checkpoints_than_steps_are_refused(sft):
    job = sft.job(keep_checkpoints=9)
    with pytest.raises(Refusal, match="keep_checkpoints 9 are more than the 4 steps"):
        train(sft, job)
    assert not list(job.checkpoints.glob("*"))


def test_kept_weights_that_are_lost_or_broken_are_refused(sft):
    job = stopped(sft, after=3)
    path = job.kept / "weights/step-2/model.safetensors"
    broken = load_file(path)
    broken["model.norm.weight"][0] = float("nan")
    save_file(broken, path, {"format": "pt"})
    with pytest.raises(Refusal, match="model.norm.weight is empty or not finite"):
        train(sft, job)
    shutil.rmtree(path.parent)
    with pytest.raises(Refusal, match="the weights of step 2 are gone"):
        train(sft, job)


# Means in this process


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def models(micro_built: Project) -> list[Path]:
    return [micro_built.path(SFT), micro_built.path("models/micro-init")]


def resaved(folder: Path, place: Path, dtype: str = "float32", **options: object) -> Path:
    """A model saved in another way."""
    AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).save_pretrained(place, **options)
    AutoTokenizer.from_pretrained(folder).save_pretrained(place)
    return place


def test_a_mean_is_as_its_first_model_is_saved(models, tmp_path, out):
    """In its dtype and its files, whatever those of the others."""
    small = resaved(models[0], tmp_path / "small", "bfloat16", max_shard_size="20KB")
    average.average([Part(small, 0.25), Part(models[1], 0.75)], out)
    assert {path.name for path in out.iterdir()} == {path.name for path in small.iterdir()}
    assert len(list(out.glob("*.safetensors"))) > 1
    made = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    first = AutoModelForCausalLM.from_pretrained(small, dtype="auto").state_dict()
    other = AutoModelForCausalLM.from_pretrained(models[1], dtype="auto").state_dict()
    for name, tensor in made.state_dict().items():
        assert torch.equal(tensor, (0.25 * first[name].double() + 0.75 * other[name].double()).to(torch.bfloat16))


def test_a_mean_of_equal_models_is_that_model(models, out):
    average.average([Part(models[0], weight) for weight in (0.3333333, 0.3333333, 0.3333334)], out)
    assert folder_digests(out) == folder_digests(models[0])


def test_a_mean_that_is_none_is_refused(models, out):
    parts = [Part(folder) for folder in models]
    average.average(parts, out)
    path = out / "model.safetensors"
    tensors = load_file(path)
    tensors["model.norm.weight"][3] += 1
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(Refusal, match="model.norm.weight lies outside of what it is the mean of"):
        average.prove(parts, out)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: tensors.pop("model.norm.weight"), "only one of them has model.norm.weight"),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(16)}),
            r"model.norm.weight is \[32\] in the one and \[16\] in the other",
        ),
    ],
    ids=["names", "shapes"],
)
def test_models_of_two_architectures_are_refused(models, tmp_path, out, change, says):
    other = tmp_path / "other"
    other.mkdir()
    tensors = load_file(models[0] / "model.safetensors")
    change(tensors)
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(Refusal, match=f"{models[0]} and {other} are not of one architecture: {says}"):
        average.average([Part(models[0]), Part(other)], out)


def configured(folder: Path, place: Path, **said: object) -> Path:
    """A model whose config.json says otherwise."""
    shutil.copytree(folder, place)
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").unlink()
    (place / "config.json").write_text(json.dumps(config | said))
    return place


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8}, "head_dim is 16 in the one and 8 in"),
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
            "rope_parameters is .*10000.0.* and .*1000000",
        ),
        ({"model_type": "mistral", "rms_norm_eps": 1e-5}, "model_type is 'llama' in the one and 'mistral' in"),
    ],
    ids=["heads", "rotation", "family"],
)
def test_models_that_compute_otherwise_of_the_same_shapes_are_refused(models, tmp_path, out, said, says):
    other = configured(models[0], tmp_path / "other", **said)
    with pytest.raises(Refusal, match=f"{models[0]} and {other} are not of one architecture: {says}"):
        average.average([Part(models[0]), Part(other)], out)
    assert not list(out.iterdir())


def test_models_may_differ_in_what_is_not_computed_with(models, tmp_path):
    """Also in how old the file is, which says the rotation's base apart, and in what transformers does not read."""
    said = {
        "dtype": "bfloat16",
        "use_cache": False,
        "eos_token_id": 7,
        "transformers_version": "4.40.0",
        "trained_by": 1,
    }
    other = configured(models[0], tmp_path / "other", **said, rope_parameters=None, rope_theta=10000.0)
    average.check_architecture(Part(models[0]), Part(other))


def test_models_whose_rows_are_other_tokens_are_refused(models, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(models[0])
    add_tokens(tokenizer, ["<|turn|>"], None)
    tokenizer.save_pretrained(tmp_path / "wider")
    with pytest.raises(Refusal, match=r"not of one vocabulary: '<\|turn\|>' is None in the one and \d+ in the other"):
        average.check_vocabulary(Part(models[0]), Part(tmp_path / "wider"))
    average.check_vocabulary(*map(Part, models))


def test_an_adapter_is_no_part_of_a_mean(models, tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(Refusal, match="is no whole model: it has neither model.safetensors nor"):
        average.check_architecture(Part(models[0]), Part(tmp_path))
