"""`posttrain verify`: what is built again from a record alone, and what is named where it cannot be the same."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from pyarrow import parquet
from safetensors.torch import load_file, save_file

from conftest import DPO, PAGE, SFT, Project, checkout
from posttrain import forkserver, verify
from posttrain.build import lease, processes, store
from posttrain.files import Refusal, read_json, write_json
from posttrain.plan import opened
from posttrain.verify import contents, rebuild

ROWS, INIT = "data/micro-rows", "models/micro-init"
PROFILE = "profiles/local"


def entry(project: Project, target: str) -> Path:
    """A target's place in the store, made writable."""
    place = project.path("store") / project.manifest(target)["key"]
    store.make_writable(place)
    return place


def rewrite_tensor(project: Project, target: str) -> str:
    """Have a model be another, and its manifests say so; the tensor that differs."""
    place = entry(project, target)
    weights = load_file(place / "files/model.safetensors")
    name = max(weights)
    weights[name].flatten()[-1] += 0.5
    save_file(weights, place / "files/model.safetensors", {"format": "pt"})
    for manifest in (place / "manifest.json", project.path(f"{target}.json")):
        write_json(manifest, read_json(manifest) | store.describe(place / "files"))
    return name


def record_otherwise(project: Project, stage: str, part: str, **said: object) -> None:
    """Have the run record of the DPO model say something else of a stage that led to it."""
    path = project.path(f"{DPO}.run.json")
    run = read_json(path)
    run["lineage"][stage][part] |= said
    write_json(path, run)


@pytest.fixture
def here(built: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout in which the micro-chain was built, and we stand."""
    monkeypatch.chdir(built.root)
    return built


def said(target: str = DPO, **asked: object) -> tuple[list[str], bool]:
    """What verify says, and whether all is well."""
    plan = opened.open_here()
    lines = list(verify.verify(plan, verify.Asked(target, PROFILE, **asked)))
    return [line.words for line in lines], all(line.well for line in lines)


def test_a_model_is_made_again_from_its_record_alone_whatever_its_recipe_says_by_now(built):
    built.edit("num_train_epochs: 1", "num_train_epochs: 3")
    store.make_writable(built.path("store"))
    for folder in ("store", "data", "tokens", "tokenizers"):
        shutil.rmtree(built.path(folder))
    built.path(SFT).unlink()
    output = built.posttrain("verify", SFT, **{forkserver.FORKSERVER: forkserver.opened()})
    assert f"{SFT}: train.num_train_epochs 1 → 3 in its recipe since it was built; verified is what was built" in output
    assert output.splitlines()[-1] == f"{SFT}: is equal to the byte: 5 stages were built again from their record"
    assert not built.path(f"verify/{SFT}").exists()


def test_the_tensor_that_differs_is_named_with_how_far_it_is_off(built):
    name = rewrite_tensor(built, INIT)
    output = built.posttrain("verify", INIT, rc=1, **{forkserver.FORKSERVER: forkserver.opened()})
    assert output.splitlines()[-1] == (
        f"{INIT}: is not made again: of 2 stages the first that differs is {INIT}, "
        f"model.safetensors: {name} differs; the largest difference is 0.5, in {name}"
    )
    assert built.path(f"verify/{INIT}/{INIT}/model.safetensors").exists(), "what differs cannot be looked at"


def change_a_byte_of_the_rows(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    project.edit("ant", "aNt", "rows.jsonl")
    return f"{ROWS}: rows.jsonl is not what it was: its digest was "


def take_the_rows_away(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    project.edit("{path: rows.jsonl}", "{path: held-rows.jsonl}")
    project.path("rows.jsonl").unlink()
    return f"{ROWS}: rows.jsonl is not what it was: its digest was "


def install_another_trl(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    place = project.path("site/trl-9.9.dist-info")
    place.mkdir(parents=True)
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: trl\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(place.parent)
    first = next(iter(read_json(project.path(f"{DPO}.run.json"))["lineage"]))
    return f"{first}: was made with trl 1.16.0, and installed is trl 9.9 (and 8 stages more)"


def have_other_code(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    own = read_json(project.path(f"{DPO}.run.json"))["lineage"][ROWS]["target"]
    record_otherwise(project, ROWS, "target", own=own["own"] | {"version": 1})
    return f"{ROWS}: was made by version 1 of mix_data, and this checkout has {own['own']['version']}"


def flip_a_byte(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    weights = entry(project, SFT) / "files/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    return f"{SFT}: {weights.parents[1].relative_to(project.root)} is damaged: files/model.safetensors: its digest is "


def swap_a_base(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    rewrite_tensor(project, SFT)
    place = Path("store") / project.manifest(SFT)["key"]
    return f"{SFT}: {place}/files/model.safetensors is not what its record says"


@pytest.mark.parametrize(
    "change",
    [
        change_a_byte_of_the_rows,
        take_the_rows_away,
        install_another_trl,
        have_other_code,
        flip_a_byte,
        swap_a_base,
    ],
)
def test_what_would_be_another_is_named_before_anything_is_built(
    here: Project, monkeypatch: pytest.MonkeyPatch, change: Callable[[Project, pytest.MonkeyPatch], str]
):
    named = change(here, monkeypatch)
    lines, well = said()
    assert not well
    assert any(line.startswith(named) for line in lines), lines
    stage = named.partition(":")[0]
    assert lines[-1] == f"{DPO}: is not built again, for {stage} is not as it was; `--anyway` builds it"
    assert not here.path("verify").exists()
    right = change not in (flip_a_byte, swap_a_base)
    assert not said(stored=True)[1]
    lines, well = said(stored=True, anyway=True)
    assert lines[-1].endswith("and every byte of them is what it was" if right else "and are not all right")
    assert well == right


def retune(project: Project) -> str:
    project.edit("beta: 0.1,", "beta: 1,")
    return f"{DPO}: train.beta 0.1 → 1 in its recipe since it was built; verified is what was built"


def retune_what_it_was_made_of(project: Project) -> str:
    project.edit("num_train_epochs: 1", "num_train_epochs: 3")
    return f"{SFT}: train.num_train_epochs 1 → 3 in its recipe since it was built; verified is what was built"


def drop_the_recipe(project: Project) -> str:
    text = project.path(PAGE).read_text()
    project.path(PAGE).write_text(text[: text.index("  micro-dpo:")])
    return f"{DPO}: no recipe makes it any more; verified is what was built"


def come_from_another_machine(project: Project) -> str:
    record_otherwise(project, DPO, "run", hardware={"machine": "x86_64", "cpu": "a 6502", "gpus": []})
    return f"{DPO}: was made on a 6502, and here is "


def come_from_another_commit(project: Project) -> str:
    record_otherwise(project, DPO, "run", git={"commit": "c0ffee" * 6, "dirty": "0123456789abcdef"})
    return f"{DPO}: was made by commit c0ffeec0ffee with changes (01234567), and here is "


def have_had_no_commit(project: Project) -> str:
    record_otherwise(project, SFT, "target", unlocked=["lab/tiny"])
    return f"{SFT}: descends from lab/tiny, which had no commit in config/lock.yaml and may be another by now"


def lack_an_environment(project: Project) -> str:
    record_otherwise(project, SFT, "target", environment="evaluate")
    return f"{SFT}: its software could not be compared: lm-eval has an environment of its own, and there is none in "


def have_an_image(project: Project) -> str:
    record_otherwise(project, SFT, "target", environment="evaluate")
    project.path("config/site.yaml").write_text("environments: {evaluate: evaluate.sif}\n")
    return f"{SFT}: its software could not be compared: evaluate.sif is an image, and not open here"


@pytest.mark.parametrize(
    "change",
    [
        retune,
        retune_what_it_was_made_of,
        drop_the_recipe,
        come_from_another_machine,
        come_from_another_commit,
        have_had_no_commit,
        lack_an_environment,
        have_an_image,
    ],
)
def test_what_is_only_worth_knowing_is_said_and_keeps_nothing_back(here: Project, change: Callable[[Project], str]):
    named = change(here)
    lines, well = said(stored=True)
    assert lines[0].startswith(named)
    assert lines[-1] == f"{DPO}: 9 of its 9 stages are in the store, and every byte of them is what it was"
    assert well


def test_what_cannot_be_verified_is_refused(here):
    with pytest.raises(Refusal, match="No recipe makes models/micro-dop. Nearest: models/micro-dpo"):
        said("models/micro-dop")
    write_json(
        f"{SFT}.run.json", {name: value for name, value in read_json(f"{SFT}.run.json").items() if name != "lineage"}
    )
    with pytest.raises(Refusal, match="does not say what it was made from, .*; move store/.* away, delete .* again"):
        said(SFT)
    os.unlink(f"{ROWS}.json")
    with pytest.raises(Refusal, match=f"{ROWS}: there is no {ROWS}.json that says what it was; build it first"):
        said(ROWS)
    with pytest.raises(
        Refusal, match="--into config: is not empty, and no earlier verify made it; name another folder"
    ):
        said(into=Path("config"))


@pytest.mark.parametrize(
    ("name", "stage"), [("data/../../rows", "mix_data"), ("data/a;b", "mix_data"), (ROWS, "../rm")]
)
def test_a_record_names_nothing_but_targets(here, name, stage):
    run = read_json(f"{ROWS}.run.json")
    said_of = run["lineage"].pop(ROWS)
    said_of["target"]["stage"] = stage
    write_json(f"{ROWS}.run.json", run | {"lineage": {name: said_of}})
    with pytest.raises(Refusal, match=re.escape(f"lineage: {name!r}, by {stage!r}, is no target of ours")):
        said(ROWS)


def test_a_rebuild_that_was_stopped_is_gone_on_with_and_no_other(here):
    """Here Snakemake has no such profile, and stops at once."""
    plan, folder = opened.open_here(), Path("verify", SFT)

    def kept_after(target: str) -> bool:
        with pytest.raises(Refusal, match=f"{target}: was not built again: snakemake ended with status 1 in {folder}"):
            list(verify.verify(plan, verify.Asked(target, "profiles/none", folder)))
        kept = (folder / "kept").exists()
        (folder / "kept").touch()
        return kept

    assert [kept_after(target) for target in (SFT, SFT, ROWS)] == [False, True, False]


ROWS_OF_ROWS = """\
data:
  first: {sources: [{path: rows.jsonl, skip: 1}]}
  second: {sources: [{target: data/first}]}
  third: {sources: [{target: data/second, rows: 9}]}
"""


def verdict(project: Project, target: str) -> str:
    return project.posttrain("verify", target, **{forkserver.FORKSERVER: forkserver.opened()}).splitlines()[-1]


def test_a_record_says_what_a_target_was_made_of_whatever_stands_there_by_now(fresh):
    fresh.path(PAGE).write_text(ROWS_OF_ROWS)
    fresh.make("data/second")
    fresh.edit("skip: 1", "skip: 2")
    fresh.make("data/second")
    fresh.edit("skip: 2", "skip: 1")
    fresh.make("data/third")
    assert fresh.manifest("data/first")["identity"]["sources"][0]["skip"] == 2, "was made anew for nobody"
    assert verdict(fresh, "data/third") == (
        "data/third: is equal to the byte: 3 stages were built again from their record"
    )


def test_what_was_compared_with_nothing_is_counted_and_named(fresh):
    fresh.path(PAGE).write_text(ROWS_OF_ROWS)
    fresh.make("data/second")
    run = fresh.path("data/second.run.json")
    write_json(run, {name: value for name, value in read_json(run).items() if name != "lineage"})
    fresh.make("data/third")
    assert verdict(fresh, "data/third") == (
        "data/third: is equal to the byte: 1 stages were built again from their record; "
        "2 more are compared with nothing, for what they made is not recorded: data/first, data/second"
    )


def test_what_another_checkout_built_under_other_names_is_verified_here(fresh, tmp_path):
    fresh.path(PAGE).write_text(ROWS_OF_ROWS)
    fresh.make("data/second")
    other = checkout(tmp_path / "q", ROWS_OF_ROWS.replace("first", "one").replace("second", "two"))
    other.path("config/site.yaml").write_text(f"store: {fresh.path('store')}\n")
    other.edit("rows: 9}", "rows: 9}, {target: data/first}")
    other.add("  first: {sources: [{path: rows.jsonl, skip: 3}]}\n")
    other.make("data/third")
    theirs, ours = ("data/first", f"data/first@{other.manifest('data/first')['key']}")
    assert [*read_json(other.path("data/third.run.json"))["lineage"]] == [theirs, "data/second", ours, "data/third"]
    output = other.posttrain("verify", "data/third", **{forkserver.FORKSERVER: forkserver.opened()})
    verdict = "data/third: is equal to the byte: 4 stages were built again from their record"
    assert output.splitlines()[-1] == verdict
    assert "verified is what was built" not in output, "their data/first is none of ours"


def test_two_verifies_do_not_build_in_one_folder(here):
    folder = Path("verify", SFT)
    with rebuild.alone(folder), pytest.raises(Refusal, match=f"^{folder} is being built by process {os.getpid()} on "):
        said(SFT)
    assert not folder.exists()


STOPPED = """
import os, signal, sys, time
os.kill(os.getppid(), signal.SIGINT)
time.sleep(1)  # a trainer saves
open("saved", "w")
sys.exit(3)
"""


def test_a_build_that_is_stopped_may_keep_what_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with rebuild.alone(tmp_path):
        assert rebuild.run([sys.executable, "-c", STOPPED], tmp_path) == (3, True)
    assert Path("saved").exists()


VERIFYING = """
import sys
from pathlib import Path
from posttrain.verify import rebuild
with rebuild.alone(Path("again")):
    rebuild.run([sys.executable, "-c", sys.argv[1]], Path("again"))
"""
BUILDING = "import os, time; print(os.getpid(), flush=True); time.sleep(20); print('lives on')"
IN_THE_KERNEL = f"import ctypes; ctypes.CDLL(None).prctl({processes.PR_SET_PDEATHSIG}, 0); {BUILDING}"


@pytest.mark.parametrize(("program", "dies"), [(BUILDING, True), (IN_THE_KERNEL, False)], ids=["dies", "outlives"])
def test_what_a_killed_verify_was_building_with_ends_with_it_or_before_the_next_builds(
    tmp_path, monkeypatch, program, dies
):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", VERIFYING, program]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as verifying:
        child = int(verifying.stderr.readline())
        verifying.kill()
        if not dies:
            verifying.wait()
            assert lease.started(child), "it outlived what would have ended it"
            with rebuild.alone(Path("again")):
                assert lease.started(child) is None
        assert verifying.stderr.read() == ""


def table(path: Path, rows: list[dict]) -> None:
    made = pa.Table.from_pylist(rows)
    if path.suffix == ".parquet":
        parquet.write_table(made, path)
    else:
        with pa.ipc.new_stream(str(path), made.schema) as stream:
            stream.write_table(made)


NAN = float("nan")
WRITERS = {
    ".safetensors": lambda path, value: save_file(value, path),
    ".parquet": table,
    ".arrow": table,
    ".json": write_json,
}
PAIRS = {
    "the first of two tensors": (
        ".safetensors",
        {"a": torch.zeros(2), "b": torch.zeros(2, dtype=torch.bfloat16)},
        {"a": torch.tensor([0, 0.25]), "b": torch.tensor([-2, 0], dtype=torch.bfloat16)},
        "a differs, and 1 more of the tensors; the largest difference is 2, in b",
    ),
    "no number": (
        ".safetensors",
        {"a": torch.zeros(2)},
        {"a": torch.tensor([NAN, 0])},
        "a differs; the largest difference is inf, in a",
    ),
    "another shape": (
        ".safetensors",
        {"a": torch.zeros(2)},
        {"a": torch.zeros(1, 2)},
        "a was (2,) of torch.float32, and is (1, 2) of torch.float32",
    ),
    "another name": (".safetensors", {"a": torch.zeros(2)}, {"b": torch.zeros(2)}, "a is in one of the two alone"),
    "a cell": (
        ".parquet",
        [{"score": NAN, "text": "b"}, {"score": 1.0, "text": "c"}],
        [{"score": NAN, "text": "b"}, {"score": 1.0, "text": "d"}],
        "row 1, text: c → d",
    ),
    "a row more": (".arrow", [{"ids": [1]}], [{"ids": [1]}, {"ids": [2]}], "row 1 is in one of the two alone"),
    "a token": (".arrow", [{"ids": [1, 2]}], [{"ids": [1, 3]}], "row 0, ids: [1, 2] → [1, 3]"),
    "a field": (".json", {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, "a.c 2 → 3"),
    "the writing alone": (".json", {"a": 1}, {"a": 1.0}, "byte 9 is the first that differs"),
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "was", "now", "words"), PAIRS.values(), ids=PAIRS)
def test_the_first_place_in_which_files_differ_is_named(tmp_path, suffix, was, now, words):
    for name, value in (("was", was), ("now", now)):
        WRITERS[suffix](tmp_path / f"{name}{suffix}", value)
    assert contents.difference(tmp_path / f"was{suffix}", tmp_path / f"now{suffix}") == words
