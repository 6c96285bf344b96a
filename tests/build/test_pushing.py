"""Cards and publishing: what a repository of the hub is told and given, whatever becomes of the connection."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from stages import Stage
from test_adapters import adapt, logits, shown, trained
from transformers import AutoModelForCausalLM

from conftest import Project, clean_environment
from hub import COMMIT, Hub
from posttrain import checkpoints
from posttrain.files import file_digest, read_json, write_json, write_text
from posttrain.hub import asking, parcels, pushing
from posttrain.report import card, markdown

pytest_plugins = ["stage_fixtures"]

TOKEN = "hf_canaryCANARYcanaryCANARYcanary"
CARD, FOLDER = "cards/chain-dpo.md", "published/chain-dpo"
MODEL, ROWS = "models/me/tiny", "datasets/me/pairs"
PUBLISHED = """\
published:
  chain-dpo:
    repo: me/tiny
    license: mit
    language: [en]
    tags: [spelling]
    datasets: {preferences/chain-pairs: {repo: me/pairs, license: apache-2.0}}
"""
GOLDEN = Path(__file__).parent / "chain-sft.md"


@pytest.fixture
def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that takes what is sent with the one token that may write."""
    hub.writer = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


@pytest.fixture(scope="module")
def told(chain_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout whose recipes say where a model is published, and in which its card was made."""
    project = chain_built.copy(tmp_path_factory.mktemp("told") / "p")
    project.add(PUBLISHED)
    project.make(CARD)
    return project


@pytest.fixture
def project(told: Project, tmp_path: Path) -> Project:
    return told.copy(tmp_path / "p")


def publish(project: Project) -> subprocess.Popen:
    """Start what the rule starts."""
    return subprocess.Popen(
        [sys.executable, "scripts/publish_model.py", FOLDER], cwd=project.root, text=True, stdout=subprocess.PIPE,
        env=clean_environment() | {"POSTTRAIN_PLAN": str(project.plan())}, stderr=subprocess.STDOUT,
    )  # fmt: skip


def published(project: Project, rc: int = 0) -> str:
    """Publish, and what is said of it."""
    process = publish(project)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == rc, output
    return output


def sent(hub: Hub, verb: str) -> list[str]:
    return [line for line in hub.asked if re.search(verb, line)]


# What another machine rounds otherwise, and another version of a library.
ELSEWHERE = {
    r"`[0-9a-f]{16}`": "`<digest>`",
    r"revision: [0-9a-f]{16}": "revision: <digest>",
    r"value: \S+": "value: <value>",
    r"(?m)^(\| `spelling` \| `\S+` \|).*": r"\1 <value> |",
    r"(?m)^[a-z0-9-]+==.*\n": "",
}


def test_a_card_says_what_stands(told, monkeypatch):
    """The whole of one."""
    monkeypatch.chdir(told.root)
    text = card.render(read_json(told.plan()), "chain-sft")
    for pattern, instead in ELSEWHERE.items():
        text = re.sub(pattern, instead, text)
    assert text == GOLDEN.read_text()


def test_the_hub_reads_of_a_card_the_figures_that_were_measured(told):
    data = ModelCard.load(told.path(CARD)).data
    measured = read_json(told.path("evals/chain-dpo/spelling/figures.json"))["figures"]
    assert {result.metric_type: result.metric_value for result in data.eval_results} == {
        figure: found["value"] for figure, found in measured.items()
    }
    assert data.to_dict() | {"model-index": ...} == {
        "language": ["en"],
        "license": "mit",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["spelling", "posttrain", "trl", "dpo"],
        "datasets": ["me/pairs"],
        "model-index": ...,
    }


def test_what_a_card_is_told_of_the_hub_is_no_target_of_anything_else(project):
    assert "Nothing to be done" in project.make(CARD)[0]
    project.edit("language: [en]", "language: [nl]")
    assert project.make(CARD)[1] == []
    assert ModelCard.load(project.path(CARD)).data.language == ["nl"]


def test_where_files_lay_is_told_to_nobody(told, tmp_path, monkeypatch):
    """Neither that of rows, nor of a verifier."""
    monkeypatch.chdir(told.copy(tmp_path / "p").root)
    plan, made = read_json(told.plan()), ("models/chain-dpo", "preferences/chain-pairs")
    runs = {path: read_json(f"{path}.run.json") for path in made}
    for target in plan["targets"].values():
        hide(target, "identity")
    for path, run in runs.items():
        for stage in run["lineage"].values():
            hide(stage["target"], "names")
        write_json(f"{path}.run.json", run)
        write_json(f"{path}.json", read_json(f"{path}.json") | {"identity": plan["targets"][path]["identity"]})
    write_text(Path(CARD), card.render(plan, "chain-dpo"))
    for place in parcels.put_together(plan, "chain-dpo", Path(FOLDER)).values():
        sent = "".join((place / name).read_text() for name in ("README.md", pushing.MANIFEST, pushing.RUN))
        assert "rows.jsonl" in sent and "verifiers.py" in sent and "canary" not in sent


def hide(target: dict, names: str) -> None:
    """Have what a target is made of lie in a folder that is nobody else's business."""
    for role, file in target["files"].items():
        target["files"][role] = target[names][role] = f"/home/canary/{Path(file).name}"
    if target["stage"] == "score_completions":
        target["own"]["verifier"], target[names]["file"] = {"function": "right"}, "~/canary/verifiers.py"


NASTY = 'a|b `c` <script>x</script> [l](http://x) ---\n# heading\n"license: mit" ~~s~~ *e* __u__ \\'


def test_nothing_that_is_told_is_markup(told, monkeypatch):
    monkeypatch.chdir(told.root)
    plan = read_json(told.plan())
    plan["targets"]["models/chain-dpo"]["identity"]["base"] = NASTY
    plan["published"]["chain-dpo"]["tags"] = ["x\n---\nlicense: gpl"]
    made = ModelCard(card.render(plan, "chain-dpo"))
    assert made.data.license == "mit" and made.data.tags[0] == "x\n---\nlicense: gpl"
    assert "<script>" not in re.sub(r"`+.*?`+", "", made.text) and "\n# heading" not in made.text
    assert markdown.text(NASTY) == (
        r"a\|b \`c\` \<script\>x\</script\> \[l\](http://x) --- \# heading "
        r'"license: mit" \~\~s\~\~ \*e\* \_\_u\_\_ ' + "\\\\"
    )
    assert markdown.code("a`b") == "`` a`b ``" and markdown.block("```\nx").startswith("````\n")


def test_a_publish_that_is_cut_three_times_ends_complete_and_loads(project, hub):
    hub.severed.update({"PUT": 1, "commit": 1})
    hub.answerless = 1  # the third: the commit is made, and its answer lost
    project.make(FOLDER)
    assert hub.severed.total() == hub.answerless == 0
    record = read_json(project.path(f"{FOLDER}.json"))
    for path, repository in (("models/chain-dpo", MODEL), ("preferences/chain-pairs", ROWS)):
        said, held = record["repositories"][path], dict(hub.repositories[repository])
        held.pop(".gitattributes")
        assert said["commit"] == hub.revisions[repository]["main"]
        assert said["files"].keys() == held.keys() == {
            *project.manifest(path)["files"], "README.md", "posttrain/manifest.json", "posttrain/run.json"
        }  # fmt: skip
        for name, digest in project.manifest(path)["files"].items():
            assert said["files"][name] == digest == file_digest(project.path(f"{path}/{name}"))
            assert held[name] == project.path(f"{path}/{name}").read_bytes()
        assert json.loads(held["posttrain/manifest.json"]) == project.manifest(path)
        ours, told = read_json(project.path(f"{path}.run.json")), json.loads(held["posttrain/run.json"])
        assert ours["hardware"].keys() - told["hardware"].keys() == {"host"}
        assert ours.keys() - told.keys() == {"slurm_job"}
        assert not any(name in json.dumps(told) for name in ('"host"', '"slurm_job"'))  # of what it descends from too
        assert repository in hub.private
    assert hub.repositories[MODEL]["README.md"] == project.path(CARD).read_bytes()
    assert loaded("me/tiny") == project.path("models/chain-dpo/chat_template.jinja").read_text()
    assert not {path for path in project.root.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()}
    assert hub.tokens == {f"Bearer {TOKEN}", None}

    pushes = len(sent(hub, "PUT|commit"))
    said = published(project)
    assert said.count("was already, and nothing was sent") == 2 and len(sent(hub, "PUT|commit")) == pushes


LOAD = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
assert model.generate(**tokenizer("ant", return_tensors="pt"), max_new_tokens=2).shape[0] == 1
sys.stdout.write(tokenizer.chat_template)
"""


def loaded(repo: str) -> str:
    """The chat template of a model that is opened from the hub by its id."""
    return python(LOAD, repo)


def python(program: str, *args: str) -> str:
    """What a program prints that knows the hub from its start."""
    command = [sys.executable, "-c", program, *args]
    run = subprocess.run(command, capture_output=True, text=True, env=clean_environment())
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("published_too", [False, True], ids=["of the hub", "published before"])
def test_an_adapter_names_its_base_and_that_bases_commit(tmp_path, monkeypatch, published_too):
    plan = adapters_plan(tmp_path, monkeypatch, published_too)
    made = parcels.put_together(plan, "lora", Path("published/lora"))["models/lora"]
    base = {"base_model_name_or_path": "me/base", "revision": NEWER} if published_too else OF_THE_HUB
    assert read_json(made / "adapter_config.json") == {"r": 2, "base_model_name_or_path": "", "revision": None} | base
    assert read_json("models/lora/adapter_config.json")["base_model_name_or_path"] == ""
    if published_too:
        write_json(Path("models/base.json"), {"content": "other"})
        with pytest.raises(SystemExit, match="^models/lora: models/base is not on the hub as it is here; publish it"):
            parcels.put_together(plan, "lora", Path("published/lora"))


NEWER = "a" * 40
OF_THE_HUB = {"base_model_name_or_path": "lab/tiny", "revision": COMMIT}


NOTHING = {"files": {}, "contents": {}, "identity": {}}


def adapters_plan(root: Path, patch: pytest.MonkeyPatch, published_too: bool) -> dict:
    """The plan of an adapter, which stands in a folder that is now ours, and whose base is published or of the hub."""
    root.mkdir(exist_ok=True)
    patch.chdir(root)
    for name in ("adapter_model.safetensors", "adapted.json"):
        write_text(Path("models/lora") / name, "")
    write_json(Path("models/lora/adapter_config.json"), {"r": 2, "base_model_name_or_path": "", "revision": None})
    for record in ("models/lora.json", "models/base.json"):
        write_json(Path(record), {"content": "c"})
    write_json(Path("published/base.json"), {"content": "c", "repositories": {"models/base": {"commit": NEWER}}})
    write_text(Path("cards/lora.md"), "# lora\n")
    base = "models/base" if published_too else "hub/models--lab--tiny"
    targets = {
        "models/lora": {"stage": "train_sft", "own": {"peft": {"r": 2}}, "inputs": {"base": base}, **NOTHING},
        "models/base": {"stage": "train_sft", "own": {}, "inputs": {}},
        "hub/models--lab--tiny": {"stage": "fetch_snapshot", "inputs": {}},
    }
    targets["hub/models--lab--tiny"]["own"] = {"kind": "models", "repo_id": "lab/tiny", "revision": COMMIT}
    return {
        "targets": targets,
        "published": {name: {"repo": f"me/{name}", "datasets": {}} for name in ("lora", "base")},
    }


LOAD_ADAPTER = """
import sys, torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import save_file
model = AutoPeftModelForCausalLM.from_pretrained(sys.argv[1]).eval()
save_file({"logits": model(input_ids=torch.arange(20)[None]).logits.detach()}, "logits.safetensors")
"""


def test_an_adapter_that_is_published_opens_by_its_id_alone(sft: Stage, hub: Hub, tmp_path, monkeypatch):
    job = trained(adapt(sft))
    expected = logits(checkpoints.open_model(AutoModelForCausalLM, shown(job)))
    hub.add("models/lab/tiny", job.inputs["base"])
    plan = adapters_plan(tmp_path / "p", monkeypatch, published_too=False)
    shutil.copytree(job.out, "models/lora", dirs_exist_ok=True)
    hub.add("models/me/lora", parcels.put_together(plan, "lora", Path("published/lora"))["models/lora"])
    assert not torch.equal(expected, logits(AutoModelForCausalLM.from_pretrained(job.inputs["base"])))
    python(LOAD_ADAPTER, "me/lora")
    assert torch.allclose(load_file("logits.safetensors")["logits"], expected, atol=1e-6)


def test_a_kill_in_the_middle_of_a_push_costs_no_file_that_had_come_and_shows_nobody_half(project, hub):
    hub.room = 1  # the rows are taken, and the weights kept waiting
    process = publish(project)
    project.wait(lambda: len(sent(hub, "PUT")) == 2)
    process.kill()
    process.wait()
    assert hub.repositories[MODEL].keys() == {".gitattributes"}
    hub.room = None
    published(project)
    assert len(sent(hub, "PUT")) == 3 and len(sent(hub, "datasets/me/pairs/commit")) == 1
    assert (
        hub.repositories[MODEL]["model.safetensors"] == project.path("models/chain-dpo/model.safetensors").read_bytes()
    )


def test_what_an_earlier_push_put_there_goes_and_what_a_person_did_stays(project, hub):
    published(project)
    held = hub.repositories[MODEL]
    manifest = json.loads(held["posttrain/manifest.json"])
    held["posttrain/manifest.json"] = json.dumps({"files": manifest["files"] | {"old.safetensors": "0"}}).encode()
    hub.repositories[MODEL] = held | {"old.safetensors": b"old", "picture.png": b"theirs"}
    published(project)
    assert "old.safetensors" not in hub.repositories[MODEL] and hub.repositories[MODEL]["picture.png"] == b"theirs"


def others(hub: Hub) -> None:
    hub.add(ROWS)
    hub.repositories[ROWS] = {"theirs.csv": b"1"}
    hub.private.add(ROWS)


def seen(hub: Hub) -> None:
    hub.add(ROWS)


def taken(hub: Hub) -> None:
    """The model's repository, which is checked after that of the rows."""
    hub.add(MODEL)
    hub.repositories[MODEL] = {"theirs.bin": b"1"}
    hub.private.add(MODEL)


def unlicensed(hub: Hub) -> None:
    hub.licences = set()


def reading(hub: Hub) -> None:
    hub.writer = "another"


@pytest.mark.parametrize(
    "fault, said",
    [
        (others, "me/pairs holds theirs.csv, which posttrain did not put there; name another `repo`"),
        (seen, "me/pairs is public on the hub, and the recipe says `private: true`; change one of the two"),
        (unlicensed, 'me/pairs: the hub refuses it: "license" must be one of []'),
        (taken, "me/tiny holds theirs.bin, which posttrain did not put there; name another `repo`"),
        (reading, f"the hub has no dataset me/pairs, or it is private: check the id, or {asking.LOGIN}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_the_hub_does_not_take_is_said_in_one_line_that_has_no_token(project, hub, fault, said):
    fault(hub)
    assert published(project, rc=1) == f"{said}\n"
    assert not sent(hub, "PUT|commit")


def test_without_a_token_nothing_is_asked(project, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert published(project, rc=1) == f"me/pairs: no token is here; {asking.LOGIN}, with one that may write\n"
    assert hub.asked == []


def of_a_thread(cause: Exception) -> RuntimeError:
    error = RuntimeError("signed address")
    error.__cause__ = cause
    return error


CUT, UNSENT = "the hub cannot be reached; run again to go on", "a file could not be sent"


@pytest.mark.parametrize(
    ("error", "said", "tries"),
    [
        (TimeoutError("signed address"), CUT, 2),
        (of_a_thread(httpx2.ReadError("signed address")), CUT, 2),
        (of_a_thread(PermissionError("signed address")), f"{UNSENT} (PermissionError); run again to go on", 1),
        (RuntimeError("signed address"), f"{UNSENT} (RuntimeError); run again to go on", 1),
    ],
)  # fmt: skip
def test_what_a_push_breaks_on_is_named_and_only_a_connection_tried_again(hub, monkeypatch, error, said, tries):
    tried = []
    monkeypatch.setattr(pushing, "WAITS", (0.01,))
    monkeypatch.setattr(pushing, "pushed", lambda *_: (tried.append(1), (_ for _ in ()).throw(error)))
    with pytest.raises(SystemExit, match=f"^me/tiny: {re.escape(said)}$"):
        pushing.push("models", "me/tiny", True, Path(FOLDER))
    assert len(tried) == tries
