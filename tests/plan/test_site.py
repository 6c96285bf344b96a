"""The site's file: what it says reaches the jobs, and it may name no more than a place."""

import os
from pathlib import Path

import pytest
from test_plan import plan_of

from conftest import DPO, ROOT, SFT, Project, shipped_checkout
from posttrain.build import processes
from posttrain.files import Refusal
from posttrain.plan import asked, frozen
from posttrain.recipes import page, site

EXAMPLE = ROOT / "config/site.example.yaml"
ROWS = "data/micro-rows"


@pytest.fixture
def here(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout, in which we stand."""
    monkeypatch.chdir(fresh.root)
    return fresh


def says(project: Project, text: str) -> None:
    project.path("config/site.yaml").write_text(text)


def test_the_example_has_every_key(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/scratch")
    assert page.read(EXAMPLE)[0].keys() == site.read(EXAMPLE).said.keys() == site.Settings.model_fields.keys()


def test_the_example_copied_as_it_is_plans_all_that_ships(tmp_path, monkeypatch):
    shipped = shipped_checkout(tmp_path / "p")
    monkeypatch.chdir(shipped.root)
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = plan_of(shipped)
    says(shipped, EXAMPLE.read_text())
    after = plan_of(shipped)
    assert {path for path in before if path.startswith("models/")} <= after.keys()
    assert [target["refusal"] for target in after.values() if target["refusal"]] == []
    assert after["models/zephyr-7b-dpo"]["runtime"]["gpus"] == 4


def test_a_queue_is_of_all_jobs_or_of_those_with_gpus_and_those_without(here):
    said = {"partition": {"gpu": "a100", "cpu": "serial"}, "qos": "long", "constraint": {"gpu": "ib"}}
    targets = plan_of(here)
    targets[DPO]["runtime"]["gpus"] = 2
    queues = {path: [asked.of(targets[path], said, name) for name in asked.PLACED] for path in (DPO, SFT, ROWS)}
    assert queues == {
        DPO: [None, "a100", "long", "ib"],
        SFT: [None, "serial", "long", None],
        ROWS: [None, "serial", "long", None],
    }


@pytest.mark.parametrize(
    ("hours", "limit", "minutes"), [(2, None, 120), (2, 1.51, 90), (2, 48.0, 120), (2, 1e-9, 1), (0.5, 48.0, 30)]
)
def test_a_job_asks_for_whole_minutes_and_no_more_than_a_queue_gives(hours, limit, minutes):
    target = {"runtime": {"hours": hours, "mem_gb": 8}, "intent": "x"}
    assert repr(asked.of(target, {"max_hours": limit} if limit else {}, "runtime")) == str(minutes)


def test_what_a_job_sets_itself_is_not_the_sites_to_set(tmp_path):
    """All but what a site may know better: the heap's thresholds, and how much NCCL says."""
    own = processes.environment(tmp_path, "mark", threads=1, online=False).keys() - os.environ.keys()
    own -= processes.HEAP.keys() | {"NCCL_DEBUG"}
    for name in (*own, *processes.THREADS, *processes.TOKENS, "PATH", "MASTER_ADDR", "ACCELERATE_USE_FSDP", "LAB_KEY"):
        with pytest.raises(ValueError, match="is set by each job itself|is a secret"):
            site.settable(name)
    for name in ("NCCL_SOCKET_IFNAME", "TORCH_NCCL_ASYNC_ERROR_HANDLING", "TOKENIZER", "WANDB_MODE", *processes.HEAP):
        assert site.settable(name) == name


def lies(project: Project) -> Path | None:
    """Where a link `work` leads; None of a folder, or of nothing."""
    work = project.path("work")
    return work.readlink() if work.is_symlink() else None


def test_work_is_on_the_sites_scratch_in_a_folder_of_each_checkout(here, tmp_path, monkeypatch):
    monkeypatch.setenv("FAST", str(tmp_path / "fast"))
    says(here, "scratch: $FAST/posttrain\n")
    here.path("work/models").mkdir(parents=True)  # what a finished job leaves
    plan_of(here)
    plan_of(here)
    (folder,) = tmp_path.glob("fast/posttrain/p.*")
    assert lies(here) == folder
    other = here.copy(tmp_path / "other/p")
    other.path("work").unlink()
    monkeypatch.chdir(other.root)
    plan_of(other)
    assert len({folder, lies(other), *tmp_path.glob("fast/posttrain/p.*")}) == 2


def test_what_was_begun_on_a_scratch_is_finished_there_and_nothing_is_left_of_it_then(here, tmp_path):
    says(here, f"scratch: {tmp_path}/a\n")
    plan_of(here)
    first = lies(here)
    (first / "models/x.1").mkdir(parents=True)
    (first / "models/x.1/status.json").write_text("{}")
    says(here, f"scratch: {tmp_path}/b\n")
    with pytest.raises(Refusal, match=f"what was begun is in {first}; finish it .* move .* to {tmp_path}/b/p"):
        plan_of(here)
    says(here, "")
    plan_of(here)
    assert lies(here) == first
    (first / "models/x.1/status.json").unlink()
    plan_of(here)
    assert not here.path("work").exists()
    says(here, f"scratch: {tmp_path}/b\n")
    plan_of(here)
    assert lies(here).parent == tmp_path / "b"


def test_a_link_that_a_person_has_made_stays(here, tmp_path):
    (tmp_path / "fast").mkdir()
    here.path("work").symlink_to(tmp_path / "fast")
    plan_of(here)
    assert lies(here) == tmp_path / "fast"


def test_a_rehearsal_works_and_stores_in_its_own_folder(here, tmp_path, monkeypatch):
    says(here, f"scratch: {tmp_path}/fast\nstore: {tmp_path}/store\n")
    here.path("rehearsal").mkdir()
    monkeypatch.chdir(here.path("rehearsal"))
    plan = frozen.read_json(frozen.freeze(Path(".."), {"recipes": ["config/recipes"]}))
    assert plan["store"] == "store"
    assert not (tmp_path / "fast").exists()
