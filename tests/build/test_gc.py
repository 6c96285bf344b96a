"""What `posttrain gc` takes, and what it never takes: entries small enough to be made in a moment."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import DPO, SFT, Project
from posttrain import cli
from posttrain.adapters import ADAPTED
from posttrain.build import gc, roots, store
from posttrain.build.gc import Survey
from posttrain.build.lease import Lease
from posttrain.build.store import Store
from posttrain.files import Refusal, read_json, write_json
from posttrain.verify import rebuild

DAY = 86400
OLD = 30 * DAY
KEYS = [f"{number:016x}" for number in range(1, 8)]
A, B, C, *_ = KEYS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store beside the checkout that we stand in."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "store").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    return Store(tmp_path / "store")


def put(home: Store, key: str, age: float = OLD, size: int = 1000, beside: dict | None = None) -> dict:
    """An entry as a build leaves it, finished so long ago; its manifest."""
    work = Path("making")
    (work / "files/sub").mkdir(parents=True)
    (work / "files/weights").write_bytes(b"w" * size)
    (work / "files/sub/note").write_text(key)
    if beside:
        write_json(work / "files" / ADAPTED, {"content": beside["content"]})
    store.seal(work / "files")
    finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))
    write_json(work / "run.json", {"finished": finished})
    write_json(work / "manifest.json", {"key": key} | store.describe(work / "files"))
    home.publish(work, key)
    return home.manifest(key)


def age(path: Path, seconds: float = OLD) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)


def long_ago(home: Store) -> None:
    for record in home.root.glob(".roots/*/*"):
        age(record)


def survey(home: Store, planned: dict[str, str] | None = None, older_than: float = 14 * DAY) -> Survey:
    return Survey(home, planned or {}, older_than)


def kept(home: Store, **options) -> dict[str, str]:
    """Why each thing stays, by its name; "" of what goes."""
    return {item.path.name: item.kept for item in survey(home, **options).items()}


def sweep(home: Store, **options) -> list[str]:
    """Take away what goes; the names of what was taken."""
    looked = survey(home, **options)
    return [item.path.name for item in looked.items() if not item.kept and not looked.delete(item)]


def entries(home: Store) -> set[str]:
    return {path.name for path in home.root.glob("[!.]*")}


def link_from(checkout: Path, home: Store, path: str, manifest: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link as a job in another checkout makes it."""
    checkout.mkdir(exist_ok=True)
    with monkeypatch.context() as there:
        there.chdir(checkout)
        store.link(path, {}, manifest, home)
    long_ago(home)


def test_what_nothing_needs_goes_and_the_rest_says_why_it_stays(home):
    for key in (A, B):
        put(home, key)
    store.link("models/x", {}, put(home, C), home)
    long_ago(home)
    put(home, KEYS[3], age=DAY)
    assert kept(home, planned={B: "models/y"}) == {
        A: "", B: "planned: models/y", C: "linked by models/x", KEYS[3]: "young"
    }  # fmt: skip
    assert sweep(home, planned={B: "models/y"}) == [A]
    assert entries(home) == {B, C, KEYS[3]}
    assert home.verified(B) and home.verified(C)
    assert list(home.root.glob(".going/*")) == []


def test_a_look_takes_nothing(home):
    put(home, A)
    assert kept(home) == {A: ""}
    assert home.verified(A)


def test_an_entry_is_as_old_as_its_last_link(home):
    manifest = put(home, A)
    store.link("models/x", {}, manifest, home)
    store.link("models/x", {}, put(home, B), home)
    assert kept(home) == {A: "young", B: "linked by models/x"}, "it was linked a moment ago, and may be again"
    long_ago(home)
    assert sweep(home) == [A]


def test_what_another_checkout_links_is_never_taken(home, tmp_path, monkeypatch):
    link_from(tmp_path / "theirs", home, "models/x", put(home, A), monkeypatch)
    link_from(tmp_path / "theirs", home, "evals/x/suite", put(home, B), monkeypatch)
    assert sweep(home, older_than=0) == []
    (tmp_path / "theirs/models/x").unlink()
    assert kept(home) == {A: "", B: f"linked by evals/x/suite of {tmp_path}/theirs"}
    assert sweep(home) == [A]


def test_a_checkout_that_cannot_be_seen_keeps_what_it_linked_until_it_is_forgotten(home, tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    link_from(theirs, home, "models/x", put(home, A), monkeypatch)
    theirs.rename(tmp_path / "unmounted")
    assert "--forget" in kept(home)[A]
    (tmp_path / "unmounted").rename(theirs)
    with pytest.raises(Refusal, match="it is there"):
        gc.forget(home, str(theirs))
    shutil.rmtree(theirs)
    with pytest.raises(Refusal, match="knows no such checkout. Known: .*theirs"):
        gc.forget(home, "elsewhere")
    gc.forget(home, str(theirs))
    assert sweep(home) == [A]


def test_the_links_of_a_copied_checkout_are_found_and_recorded(home, tmp_path, monkeypatch):
    store.link("models/x", {}, put(home, A), home)
    copy = Path(shutil.copytree(tmp_path / "mine", tmp_path / "copy", symlinks=True))
    Path("models/x").unlink()
    long_ago(home)
    with monkeypatch.context() as there:
        there.chdir(copy)
        assert kept(home) == {A: "linked by models/x"}
    assert kept(home) == {A: f"linked by models/x of {copy}"}


def test_a_pin_survives_everything_until_it_is_taken_back(home):
    store.link("models/x", {}, put(home, A), home)
    gc.pin(home, "models/x", "the paper's table 2")
    shutil.rmtree("models")
    long_ago(home)
    assert kept(home, older_than=0) == {A: "pinned: the paper's table 2"}
    assert sweep(home, older_than=0) == []
    gc.unpin(home, "models/x")
    assert sweep(home) == [A]


def test_a_pinned_adapter_keeps_the_weights_that_it_is_of(home):
    weights, _ = put(home, A), put(home, B)
    store.link("models/x-lora", {}, put(home, C, beside=weights), home)
    gc.pin(home, "models/x-lora", None)
    shutil.rmtree("models")
    long_ago(home)
    assert kept(home) == {A: "models/x-lora, which is pinned, is an adapter of it", B: "", C: "pinned"}
    assert sweep(home, older_than=0) == [B]
    gc.unpin(home, "models/x-lora")
    assert set(sweep(home)) == {A, C}


@pytest.mark.parametrize("change", [lambda home: gc.pin(home, "models/y", None), lambda home: gc.unpin(home, A)])
def test_what_cannot_be_pinned_or_unpinned_is_refused(home, change):
    put(home, A)
    with pytest.raises(Refusal, match=f"models/y: there is no models/y.json|{A} is not pinned"):
        change(home)


def test_what_is_being_built_stays(home):
    put(home, A)
    work = Path(f"work/models/x.{B}")
    write_json(work / "status.json", {"state": "running"})
    age(work / "status.json")
    age(work)
    (home.root / f".incoming/{B}").mkdir(parents=True)
    with Lease(home.root, A, "models/y"), Lease(home.root, B, "models/x"):
        said = kept(home, older_than=0)
        assert {name for name, why in said.items() if "is at work on it" in why} == {A, B, work.name}
        assert sweep(home, older_than=0) == []
    assert set(sweep(home, older_than=0)) == {A, B, work.name}


def test_a_build_that_begins_after_the_look_keeps_its_entry(home):
    put(home, A)
    looked = survey(home)
    (item,) = looked.items()
    with Lease(home.root, A, "models/x"):
        assert "is being built by" in looked.delete(item)
    assert home.verified(A)


def test_a_link_made_after_the_look_brings_its_entry_back(home):
    manifest = put(home, A)
    looked = survey(home)
    (item,) = looked.items()
    store.link("models/x", {}, manifest, home)
    assert looked.delete(item) == "linked just now"
    assert home.verified(A) == manifest and Path("models/x/weights").exists()
    assert list(home.root.glob(".going/*")) == []


def test_a_link_to_what_was_just_taken_is_refused(home):
    manifest = put(home, A)
    assert sweep(home) == [A]
    with pytest.raises(Refusal, match="the store has lost"):
        store.link("models/x", {}, manifest, home)
    assert not os.path.lexists("models/x") and not Path("models/x.json").exists()


@pytest.mark.parametrize("halt", ["rename", "clear"])
def test_a_kill_in_the_middle_is_found_and_finished(home, monkeypatch, halt):
    put(home, A)

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        if halt == "clear":
            dying.setattr(gc, "clear", kill)
        else:
            dying.setattr(Survey, "linked_since", kill)
        with pytest.raises(KeyboardInterrupt):
            sweep(home)
    assert entries(home) == set() and home.verified(A) == {}
    left = [path.name for path in home.root.glob(".going/*")]
    with Lease(home.root, A, "what another gc may yet put back"):
        assert sweep(home) == []
    assert len(left) == 1 and sweep(home) == left
    assert list(home.root.glob(".going/*")) == []


def test_work_folders_of_what_is_finished_or_forgotten_go(home):
    put(home, A)
    for name, seconds in ((f"models/done.{A}", 0), (f"evals/org/x/suite.{B}", OLD), (f"models/fresh.{C}", 0)):
        write_json(Path("work") / name / "status.json", {"state": "resume"})
        write_json(Path("work") / name / "checkpoints/checkpoint-1/weights", {})
        for path in (Path("work") / name / "status.json", Path("work") / name):
            age(path, seconds)
    Path(f"work/models/done.{A}/checkpoints").chmod(0o555)
    assert set(sweep(home, planned={A: "models/done"})) == {f"suite.{B}", f"done.{A}"}
    assert [path.name for path in gc.work_folders(Path("work"))] == [f"fresh.{C}"]


def test_corrupt_entries_old_leases_and_old_plans_go(home):
    put(home, A)
    home.set_aside(A)
    with Lease(home.root, B, "models/x"):
        pass
    with rebuild.alone(Path("verify/models/x")) as verified:
        pass
    for turn in (home.root / f".leases/{B}/1", verified.turn):
        for path in [*turn.iterdir(), turn.parent]:
            age(path)
    for number in range(23):
        write_json(f".posttrain/plan/{number:02}.json", {})
        age(Path(f".posttrain/plan/{number:02}.json"), OLD - number)
    assert kept(home)[f"{A}.0"] == "young", "it was set aside just now"
    with rebuild.alone(Path("verify/models/y")) as held:
        assert set(sweep(home)) == {"00.json", "01.json", "02.json", B, verified.key}
        assert kept(home, older_than=0)[held.key].endswith(" is at work on it")
    assert not (home.root / f".leases/{B}").exists() and not verified.turn.exists()
    assert len(list(Path(".posttrain/plan").iterdir())) == gc.PLANS
    assert f"{A}.0" in sweep(home, older_than=0)
    assert not (home.root / f".corrupt/{A}.0").exists()


def test_leases_of_what_the_store_holds_stay(home):
    put(home, A)
    with Lease(home.root, A, "models/x"):
        pass
    assert A not in sweep(home, planned={A: "models/x"}, older_than=0)
    assert (home.root / f".leases/{A}").exists()


def run(project: Project, *words: str) -> str:
    command = [sys.executable, "-c", "from posttrain.cli import main; main()", *words]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_after_a_sweep_with_everything_old_nothing_is_to_be_done(built):
    first = built.weights()
    built.edit("beta: 0.1,", "beta: 0.3,")
    built.make()
    before = built.manifest(DPO)["key"]
    built.edit("beta: 0.3,", "beta: 0.1,")
    built.make()
    assert built.weights() == first
    assert (built.path("store") / before).exists()
    said = run(built, "gc", "--older-than", "0d")
    assert [line.split()[0] for line in said.splitlines() if before in line] == ["goes"]
    assert (built.path("store") / before).exists()
    assert "freed" in run(built, "gc", "--older-than", "0d", "--delete")
    assert not (built.path("store") / before).exists()
    assert "Nothing to be done" in built.make("-n", DPO)[0]
    shutil.rmtree(built.path("models"))
    assert built.make()[1] == [], "what the plan names is restored"


def test_a_pin_is_given_by_name_and_listed(built):
    run(built, "gc", "--pin", SFT, "--because", "the baseline")
    line = next(line for line in run(built, "gc").splitlines() if built.manifest(SFT)["key"] in line)
    assert line.startswith("stays") and line.endswith("pinned: the baseline")
    run(built, "gc", "--unpin", SFT)
    assert gc.pins(built.path("store")) == {}


def test_times_are_read_as_they_are_written():
    assert [cli.seconds(said) for said in ("14d", "12h", "0d")] == [14 * DAY, DAY / 2, 0]


def test_who_links_is_written_before_the_link(home):
    store.link("models/x", {}, put(home, A), home)
    (link,) = roots.links(home.root)
    assert (link.path, link.key, link.checkout) == ("models/x", A, os.path.realpath("."))
    assert read_json(link.record)["path"] == "models/x"
