"""The store: entries whole or not at all, read-only, proved by every byte, on whatever file system."""

import multiprocessing
import os
import runpy
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import posttrain.build.supervise  # noqa: F401 (as another we may not be able to read where it lies)
from conftest import Project
from posttrain.build import lease, store
from posttrain.build.store import Corrupt, Store
from posttrain.files import Refusal, read_json, write_json

KEY = "0123456789abcdef"
NOBODY = 65534
ROWS = "data/micro-rows"


@pytest.fixture
def home(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Store]:
    """A store to which nothing can be renamed from tmp_path."""
    root = Path("/dev/shm", f"posttrain-test-{os.getpid()}")
    if not root.parent.is_dir() or os.stat(root.parent).st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("/dev/shm is no other file system here")
    root.mkdir()
    yield Store(root)
    store.make_writable(root)
    shutil.rmtree(root)


def finished(folder: Path, key: str = KEY) -> Path:
    """A work folder as a supervisor leaves it before the rename."""
    (folder / "files/sub").mkdir(parents=True)
    (folder / "files/weights").write_bytes(b"weights" * 1000)
    (folder / "files/sub/note").write_text("note")
    store.seal(folder / "files")
    write_json(folder / "manifest.json", {"key": key} | store.describe(folder / "files"))
    write_json(folder / "run.json", {})
    return folder


def modes(entry: Path) -> dict[str, int]:
    return {
        str(path.relative_to(entry)): stat.S_IMODE(path.stat().st_mode)
        for path in [entry, *entry.glob("files/**/*"), entry / "files"]
    }


def as_another(folder: Path, function: Callable[[], object]) -> str:
    """Call a function in a folder as one whom modes bind, which they do not root; what it refused or returned."""

    def call(end: Connection) -> None:
        os.chdir(folder)  # before: the folders above may be root's alone
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        try:
            end.send(str(function()))
        except BaseException as error:  # noqa: BLE001
            end.send(f"{type(error).__name__}: {error}")

    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=call, args=(there,))
    process.start()
    process.join(60)
    assert here.poll(), f"ended with {process.exitcode}"
    return here.recv()


def give(folder: Path) -> None:
    """Let another own a folder and what is in it, as a person owns a checkout."""
    if os.getuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def test_on_one_file_system_nothing_is_copied(home, tmp_path):
    work = finished(tmp_path / "work")
    before = (work / "files/weights").stat().st_ino
    home.publish(work, KEY)
    assert (home.entry(KEY) / "files/weights").stat().st_ino == before
    assert not work.exists()


def test_another_file_system_gets_a_copy_that_was_read_again(elsewhere, tmp_path):
    work = finished(tmp_path / "work")
    manifest = read_json(work / "manifest.json")
    elsewhere.publish(work, KEY)
    assert elsewhere.verified(KEY) == manifest == elsewhere.manifest(KEY)
    assert not work.exists()
    assert list((elsewhere.root / ".incoming").iterdir()) == []


def test_a_work_folder_that_was_damaged_reaches_no_other_file_system(elsewhere, tmp_path):
    work = finished(tmp_path / "work")
    (work / "files/weights").chmod(0o644)
    (work / "files/weights").write_bytes(b"WEIGHTS" * 1000)
    with pytest.raises(Corrupt, match="files/weights"):
        elsewhere.publish(work, KEY)
    assert not elsewhere.entry(KEY).exists()
    assert work.exists()


def test_a_copy_that_a_kill_cut_short_is_begun_anew(elsewhere, tmp_path):
    tmp_path.chmod(0o755)
    work = finished(tmp_path / "work")
    draft = elsewhere.root / ".incoming" / KEY
    shutil.copytree(work / "files", draft / "files")
    (draft / "files/sub").chmod(0o755)
    (draft / "files/sub/note").unlink()
    (draft / "files/sub").chmod(0o555)
    give(tmp_path)
    give(elsewhere.root)
    assert as_another(tmp_path, lambda: elsewhere.publish(Path("work"), KEY)) == "None"
    store.verify(elsewhere.entry(KEY))


def damage(path: Path, content: bytes | None) -> None:
    path.parent.chmod(0o755)
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


DAMAGES = {
    "a changed byte": ("files/weights", b"Weights" + b"weights" * 999),
    "a file cut short": ("files/weights", b"weights"),
    "a missing file": ("files/sub/note", None),
    "another file": ("files/sub/zzz", b""),
    "no manifest": ("manifest.json", None),
    "half a manifest": ("manifest.json", b'{"files": {"weights"'),
    "an empty manifest": ("manifest.json", b"{}"),
}


@pytest.mark.parametrize("name, content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_moved_aside_and_never_served(home, tmp_path, name, content):
    home.publish(finished(tmp_path / "work"), KEY)
    damage(home.entry(KEY) / name, content)
    with pytest.raises(Corrupt, match=name):
        store.verify(home.entry(KEY))
    assert home.verified(KEY) == {}
    assert not home.entry(KEY).exists()
    assert (home.root / f".corrupt/{KEY}.0").exists()


def test_two_corrupt_entries_of_one_key_are_both_kept(home, tmp_path):
    for number in range(2):
        home.publish(finished(tmp_path / f"work{number}"), KEY)
        damage(home.entry(KEY) / "files/weights", f"{number}".encode())
        home.verified(KEY)
    kept = [(home.root / f".corrupt/{KEY}.{number}/files/weights").read_text() for number in range(2)]
    assert kept == ["0", "1"]


@pytest.mark.parametrize(
    "name, content", [DAMAGES["a file cut short"], DAMAGES["a missing file"]], ids=["short", "gone"]
)
def test_the_plan_does_not_count_on_an_entry_of_other_sizes(home, tmp_path, name, content):
    home.publish(finished(tmp_path / "work"), KEY)
    assert home.manifest(KEY)
    damage(home.entry(KEY) / name, content)
    assert home.manifest(KEY) == {}


def test_an_entry_under_another_key_does_not_count(home, tmp_path):
    home.publish(finished(tmp_path / "work"), KEY)
    home.entry(KEY).chmod(0o755)
    home.entry(KEY).rename(home.entry("fedcba9876543210"))
    assert home.manifest("fedcba9876543210") == {}
    assert home.verified("fedcba9876543210") == {}


@pytest.mark.parametrize("kind", ["home", "elsewhere"])
def test_what_is_in_the_store_is_read_only(kind, request, tmp_path):
    place = request.getfixturevalue(kind)
    place.publish(finished(tmp_path / "work"), KEY)
    found = modes(place.entry(KEY))
    files = {name for name in found if name.endswith(("weights", "note"))}
    assert len(files) == 2
    assert {name: mode for name, mode in found.items() if mode != (0o444 if name in files else 0o555)} == {}


def test_another_users_entry_cannot_be_written(home, tmp_path):
    home.publish(finished(tmp_path / "work"), KEY)
    tmp_path.chmod(0o755)
    files = Path("store", KEY, "files")
    for change in (lambda: (files / "weights").write_bytes(b""), lambda: (files / "new").touch()):
        assert as_another(tmp_path, change).startswith("PermissionError")


def build() -> None:
    """What the rule's shell line does for the rows, in the folder that we stand in."""
    os.environ["POSTTRAIN_PLAN"] = str(Project(Path()).plan())
    sys.argv = ["posttrain.build", ROWS]
    runpy.run_module("posttrain.build", run_name="__main__")


def without(project: Project, entry: bool) -> None:
    """Take the rows out of a checkout, and out of its store, and close the store."""
    key = project.manifest(ROWS)["key"]
    if entry:
        store.make_writable(project.path(f"store/{key}"))
        shutil.rmtree(project.path(f"store/{key}"))
    for end in ("", ".json", ".run.json"):
        project.path(ROWS + end).unlink()
    give(project.root)
    for path in [project.path("store"), project.path("store/.leases"), *project.root.glob("store/.leases/*")]:
        path.chmod(0o555)


def test_a_store_that_may_not_be_written_is_said_in_a_line(built):
    without(built, entry=True)

    said = as_another(built.root, build)
    assert said.startswith(f"{Refusal.__name__}: {ROWS}: no permission at store/.leases/"), said
    assert "\n" not in said


def test_a_store_that_may_only_be_read_serves_what_it_has(built):
    content = built.content(ROWS)
    without(built, entry=False)
    assert as_another(built.root, build) == "None"
    assert built.content(ROWS) == content


def test_a_holder_is_seen_in_a_store_that_may_only_be_read(home, tmp_path):
    folder = home.root / ".leases" / KEY / "1"
    write_json(folder / "owner.json", {"name": "process 7 on n1", "machine": "n1:boot:1", "pid": 7, "since": "70"})
    (folder / "beat").touch()
    tmp_path.chmod(0o755)
    for path in (folder.parent, folder):
        path.chmod(0o555)
    assert "process 7 on n1" in as_another(tmp_path, lambda: lease.holder(Path("store"), KEY))
    os.utime(folder / "beat", (0, 0))
    assert as_another(tmp_path, lambda: lease.holder(Path("store"), KEY)) == "{}"
