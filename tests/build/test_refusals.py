"""Every mistake we could think of is refused in one clear line, before any training: the tables are broken.py and
broken_inputs.py."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import broken_inputs
import pytest
import yaml
from broken import PLAN, SOUND
from broken_inputs import MODELS, ROWS

from conftest import SFT, Project, checkout, clean_environment
from posttrain.files import Refusal
from posttrain.plan import frozen

NOISE = re.compile(r"Traceback|Exception|\bError\b|SystemExit")


def answers(says: str, line: str) -> bool:
    """Whether a line is the one that the table promises, where … is any text."""
    return re.fullmatch(".*".join(map(re.escape, says.split("…"))), line) is not None


@pytest.fixture
def sound(tmp_path: Path) -> Project:
    return checkout(tmp_path / "p", SOUND)


def planned(project: Project, patch: pytest.MonkeyPatch) -> dict:
    """The plan of a checkout, made in this process as the Snakefile's does it."""
    patch.chdir(project.root)
    config = yaml.safe_load(project.path("config/config.yaml").read_text())
    return frozen.read_json(frozen.freeze(Path("."), config))["targets"]


def test_the_table_has_a_sound_page_to_break(sound, monkeypatch):
    assert {"models/dpo", "models/sft", "data/rows"} <= set(planned(sound, monkeypatch))


def test_each_row_of_the_table_is_another_refusal():
    rows = [(row.id, row.says) for row in (*PLAN, *ROWS, *MODELS)]
    assert len({said for _, said in rows}) == len({name for name, _ in rows}) == len(rows)


@pytest.mark.parametrize("row", [row for row in PLAN if not row.real], ids=lambda row: row.id)
def test_the_plan_refuses(row, sound, monkeypatch, record_property):
    row.breaks(sound.root)
    with pytest.raises(SystemExit) as refused:
        made = planned(sound, monkeypatch)
        raise Refusal(made[row.target]["refusal"])  # of what the site says, to who asks for it
    first = str(refused.value).splitlines()[0]
    record_property("refusal", (row.id, row.target, first))
    assert answers(row.says, first), first


@pytest.mark.parametrize("row", [row for row in PLAN if row.real], ids=lambda row: row.id)
def test_snakemake_says_the_refusal_and_no_more(row, sound, record_property):
    row.breaks(sound.root)
    own = [line for line in sound.refused("-n", row.target).splitlines() if not line.startswith(HERALDS)]
    record_property("refusal", (row.id, row.target, own[0]))
    assert answers(row.says, own[0]), own
    assert not any(map(NOISE.search, own)), own
    assert sound.started() == []


# What Snakemake says of itself before it reads a Snakefile to its end.
HERALDS = ("Using workflow specific profile", "Assuming unrestricted shared", "Building DAG", "host:")


def log_of(project: Project, target: str, rule: str) -> list[str]:
    return project.path(f"logs/{rule}/{target.split('/', 1)[1]}.log").read_text().splitlines()


@pytest.fixture(scope="session")
def refused_jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str, dict[str, tuple[str, str]]]:
    """One build of everything that only a job can refuse: the checkout, its output, and each row's target and rule."""
    project = checkout(tmp_path_factory.mktemp("refused") / "p", SOUND)
    page: dict = {"data": {}, "preferences": {}, "models": {}}
    for row in ROWS:
        project.path(f"{row.name}.{row.form}").write_bytes(row.rows)
        source = {"path": f"{row.name}.{row.form}", **yaml.safe_load(row.said)}
        page[row.section][row.name] = {"sources": [source]}
    for row in MODELS:
        if row.template:
            project.path(f"config/templates/{row.name}.jinja").write_text(row.template)
        page["models"][row.name] = yaml.safe_load("{" + row.recipe.replace("TEMPLATE", row.name) + "}")
    project.path("config/templates/plain.jinja").write_text(broken_inputs.PLAIN)
    page["models"]["bare"] = yaml.safe_load("{" + broken_inputs.NEW + "}")
    page["models"]["plain"] = {**yaml.safe_load("{" + broken_inputs.NEW + "}"), "template": "plain"}
    project.path("texts.jsonl").write_bytes(broken_inputs.lines(broken_inputs.TEXT))
    page["data"]["texts"] = {"sources": [{"path": "texts.jsonl"}]}
    project.path("liked.jsonl").write_bytes(broken_inputs.lines(broken_inputs.LIKED))
    page["preferences"]["liked"] = {"sources": [{"path": "liked.jsonl"}]}
    project.path("config/recipes/odd.yaml").write_text(yaml.safe_dump(page))
    with pytest.MonkeyPatch.context() as patch:
        plan = planned(project, patch)
    rules = {"data": "mix_data", "preferences": "mix_preferences"}
    asked = {row.id: (f"{row.section}/{row.name}", rules[row.section]) for row in ROWS}
    asked |= {row.id: (maker(plan, f"models/{row.name}", row.stage), row.stage) for row in MODELS}
    output, _ = project.make("--keep-going", *[target for target, _ in asked.values()], rc=1)
    return project, output, asked


def maker(plan: dict, model: str, stage: str) -> str:
    """The target among a model and what it is made of that a stage makes."""
    return next(path for path in (model, *plan[model]["inputs"].values()) if plan[path]["stage"] == stage)


@pytest.mark.parametrize("row", [*ROWS, *MODELS], ids=lambda row: row.id)
@pytest.mark.xdist_group("refused")  # one build of them all
def test_a_job_refuses(row, refused_jobs, record_property):
    project, output, asked = refused_jobs
    target, rule = asked[row.id]
    said = log_of(project, target, rule)
    record_property("refusal", (row.id, target, said[-1]))
    file = f"{row.name}.{getattr(row, 'form', '')}"
    assert answers(f"{target}: {row.says.replace('FILE', file)}", said[-1]), said
    assert not any(map(NOISE.search, said)), said
    assert f"\n{said[-1]}\n" in output, "the log is not shown"
    assert not project.path(f"{target}.json").exists()
    assert not list(project.root.glob(f"work/{target}.*/checkpoints/*")), "refused only after training had begun"


@pytest.mark.parametrize("plan", ["", "nowhere.json", "config/lock.yaml"])
def test_a_job_without_its_plan_builds_nothing(plan, fresh, record_property):
    environment = clean_environment() | ({"POSTTRAIN_PLAN": plan} if plan else {})
    command = [sys.executable, "-m", "posttrain.build", "data/micro-rows"]
    job = subprocess.run(command, cwd=fresh.root, env=environment, capture_output=True, text=True, timeout=300)
    lost = f"the plan {plan} cannot be read; run snakemake again to make it anew\n"
    none = "POSTTRAIN_PLAN names no plan; `ls -t .posttrain/plan` shows the newest, `snakemake -n` makes one\n"
    record_property("refusal", (f"plan {plan or 'of no name'}", "data/micro-rows", job.stderr.splitlines()[0]))
    assert (job.returncode, job.stdout, job.stderr) == (1, "", lost if plan else none)
    assert fresh.started() == []


INIT = "models/micro-init"


class Disk:
    """A small disk of its own at a folder of a checkout, with what the folder held."""

    def __init__(self, place: Path) -> None:
        self.place, held = place, place.with_name("held")
        place.rename(held)
        place.mkdir()
        if os.geteuid() or self.mount("-t", "tmpfs", "tmpfs"):
            pytest.skip("needs the right to mount a disk")
        shutil.copytree(held, place, symlinks=True, dirs_exist_ok=True)

    def mount(self, *arguments: str) -> int:
        return subprocess.run(["mount", *arguments, str(self.place)], capture_output=True, check=False).returncode

    def leave(self, kilobytes: int) -> None:
        """Have this much free, give or take a page."""
        stat = os.statvfs(self.place)
        used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize // 1024
        assert self.mount("-o", f"remount,size={used + kilobytes}k") == 0


@pytest.fixture
def disk():
    """Mounts disks, and unmounts them at the end."""
    disks = []

    def mounted(place: Path) -> Disk:
        disks.append(Disk(place))
        return disks[-1]

    yield mounted
    for each in disks:
        subprocess.run(["umount", "--lazy", str(each.place)], check=True)


def last_said(project: Project, target: str, rule: str, record: Callable, fault: str) -> str:
    said = log_of(project, target, rule)
    record("refusal", (fault, target, said[-1]))
    return said[-1]


def test_a_full_disk_of_work_costs_no_step_that_was_saved(built, disk, record_property):
    before = built.content(SFT)
    built.forget(SFT)
    full = disk(built.path("work"))
    full.leave(700)  # two checkpoints of 300 kB, and not three
    output, _ = built.make(SFT, rc=1)
    said = last_said(built, SFT, "train_sft", record_property, "full disk of work")
    assert answers(f"{SFT}: no space left …work/{SFT}.…; … it will go on…", said)
    assert f"\n{said}\n" in output
    full.leave(1 << 16)
    built.make(SFT)
    assert built.content(SFT) == before
    run = json.loads(built.path(f"{SFT}.run.json").read_text())
    assert run["resumes"] == 1, "it began anew"


def test_a_full_store_costs_no_work(built, disk, record_property):
    before, started = built.content(INIT), len(built.started())
    built.forget(INIT)
    full = disk(built.path("store"))
    full.leave(60)  # the lease fits, the model of 76 kB does not
    output, _ = built.make(INIT, rc=1)
    said = last_said(built, INIT, "init_model", record_property, "full disk of the store")
    assert answers(f"{INIT}: no space left at store/…; nothing is lost: …", said)
    assert f"\n{said}\n" in output
    assert not list(built.path("store/.incoming").iterdir()), "half a copy keeps a full disk full"
    full.leave(1 << 16)
    built.make(INIT)
    assert built.content(INIT) == before
    assert len(built.started()) == started + 1, "what was made before the store was full was made again"


def test_a_store_that_may_not_be_written_is_named_before_work_begins(built, record_property):
    before, started = built.content(INIT), len(built.started())
    built.forget(INIT)
    folders = [built.path("store"), *(path for path in built.path("store/.leases").rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    mortal = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []  # root writes where it may not
    if mortal and not shutil.which("setpriv"):
        pytest.skip("root needs setpriv to be refused anything")
    command = [*mortal, "snakemake", "-c2", INIT]
    job = subprocess.run(
        command, cwd=built.root, env=clean_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    said = last_said(built, INIT, "init_model", record_property, "store that may not be written")
    assert answers(f"{INIT}: no permission at store/…; nothing is lost: …", said)
    assert job.returncode == 1
    assert len(built.started()) == started
    for folder in folders:
        folder.chmod(0o755)
    built.make(INIT)
    assert built.content(INIT) == before
