"""What the store, the work folders and the plans hold that nothing needs, and taking it away.

Kept is what the plan names, what a checkout links, what is pinned, what is being built, and what is young. The rest is
moved out of its place by one rename, its key's lease in hand, and then deleted: a kill leaves it where the next `gc`
finds it.
"""

import os
import pwd
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from posttrain.adapters import ADAPTED, content_of_base
from posttrain.build import lease, roots, status
from posttrain.build.lease import Lease
from posttrain.build.store import Store, clear
from posttrain.files import Refusal, read_json, write_json

GOING = ".going"  # what was moved out of its place and is not yet deleted
PINS = ".pins"
PLANS = 20  # frozen plans that stay, however old
WORK = re.compile(r".+\.[0-9a-f]{16}")


@dataclass(frozen=True)
class Item:
    """Something that takes up space."""

    path: Path
    name: str  # what a person calls it
    size: int  # bytes
    age: float  # seconds
    kept: str  # why it stays; "" of what goes
    key: str | None = None  # the key whose lease it takes to remove it


@dataclass
class Survey:
    """A look at a store and the checkout that we stand in."""

    store: Store
    planned: dict[str, str]  # key → the target that the plan gives it to
    older_than: float  # seconds
    began: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        for path, key in roots.found_here(self.store.root):  # a checkout may have been copied, links and all
            if not roots.record_of(self.store.root, path, key).exists():
                roots.remember(self.store.root, path, key)
        self.pins = pins(self.store.root)
        self.beside = beside_pinned(self.store, self.pins)
        self.links: dict[str, list[roots.Link]] = {}
        self.written: dict[Path, int] = {}  # the record of each link, and when it was written last
        for link in roots.links(self.store.root):
            self.links.setdefault(link.key, []).append(link)
            self.written[link.record] = link.record.stat().st_mtime_ns

    def items(self) -> list[Item]:
        """All that was found, what goes first, the largest first."""
        found = [*self.entries(), *self.aside(), *self.works(), *self.leases(), *self.plans(), *self.left()]
        return sorted(found, key=lambda item: (bool(item.kept), -item.size, item.name))

    def entries(self) -> Iterator[Item]:
        for entry in folders(self.store.root, "[!.]*"):
            key, manifest = entry.name, read_json(entry / "manifest.json")
            linked = self.links.get(key, [])
            age = min([self.age_of_entry(entry), *(self.since(link.record) for link in linked)])
            stage = manifest.get("identity", {}).get("stage", "no manifest")
            name = self.planned.get(key) or next((link.path for link in linked), stage)
            kept = self.why_needed(key, manifest, linked) or self.why_not_yet(entry, age) or self.why_held(key)
            yield Item(entry, name, size(entry), age, kept, key)

    def why_needed(self, key: str, manifest: dict, linked: list[roots.Link]) -> str:
        if key in self.pins:
            because = self.pins[key].get("because")
            return f"pinned{f': {because}' if because else ''}"
        if adapter := self.beside.get(manifest.get("content")):
            return f"{adapter}, which is pinned, is an adapter of it"
        if standing := [link for link in linked if link.stands(self.store.root)]:
            return str(min(standing, key=lambda link: link.checkout != roots.here()))
        return f"planned: {self.planned[key]}" if key in self.planned else ""

    def why_not_yet(self, path: Path, age: float) -> str:
        owner = path.lstat().st_uid
        if os.getuid() not in (0, owner):
            return f"is {user(owner)}'s"
        return "young" if age < self.older_than else ""

    def why_held(self, key: str, root: Path | None = None) -> str:
        """Args: root: where its lease is, if not in the store."""
        who = lease.holder(root or self.store.root, key)
        return f"{who['name']} is at work on it" if who else ""

    def aside(self) -> Iterator[Item]:
        """Corrupt entries, and entries half copied from another file system."""
        for place, what in ((".corrupt", "corrupt"), (".incoming", "half copied")):
            for path in folders(self.store.root / place, "*"):
                age, key = self.began - path.stat().st_ctime, path.name.partition(".")[0]  # a rename is a change
                yield Item(path, what, size(path), age, self.why_not_yet(path, age) or self.why_held(key), key)

    def works(self) -> Iterator[Item]:
        """Work folders: those of finished artifacts, and those that nobody went on with."""
        for path in work_folders(Path("work")):
            key = path.name.rpartition(".")[2]
            age = min(self.since(path), self.since(path / status.NAME))
            kept = self.why_held(key) or (self.why_not_yet(path, age) if not self.store.entry(key).exists() else "")
            yield Item(path, status.read(path).get("state", "work"), size(path), age, kept, key)

    def leases(self) -> Iterator[Item]:
        """The turns that were taken to build what is no more, and those to verify."""
        for root in (self.store.root, Path(".posttrain")):
            for path in folders(root / ".leases", "*"):
                if self.store.entry(path.name).exists():
                    continue
                age = min(map(self.since, [path, *path.glob("*/beat")]))
                yield Item(path, "lease", 0, age, self.why_held(path.name, root) or self.why_not_yet(path, age))

    def plans(self) -> Iterator[Item]:
        """Frozen plans; a job that waits in a queue may still read one that is not the newest."""
        plans = sorted(Path(".posttrain/plan").glob("*.json"), key=lambda path: -path.stat().st_mtime)
        for path in plans[PLANS:]:
            age = self.since(path)
            yield Item(path, "plan", path.stat().st_size, age, self.why_not_yet(path, age))

    def left(self) -> Iterator[Item]:
        """What an earlier `gc` had begun to delete."""
        for root in (self.store.root, Path("work")):
            for path in folders(root / GOING, "*"):
                key = path.name.partition(".")[0]  # another `gc` may yet put it back, its lease in hand
                yield Item(path, "half deleted", size(path), self.since(path), self.why_held(key))

    def age_of_entry(self, entry: Path) -> float:
        try:
            finished = datetime.strptime(read_json(entry / "run.json")["finished"], "%Y-%m-%dT%H:%M:%SZ")
        except (KeyError, TypeError, ValueError):
            return self.since(entry)
        return self.began - finished.replace(tzinfo=UTC).timestamp()

    def since(self, path: Path) -> float:
        return self.began - path.stat().st_mtime if path.exists() else self.older_than

    def delete(self, item: Item) -> str:
        """Take an item away; what kept it after all, if something did."""
        try:
            if item.path.is_file():
                item.path.unlink()
            elif item.path.parent.name == GOING:
                clear(item.path)
            elif item.key is None:  # turns: no folder of theirs stands when the next is taken
                if why := self.why_held(item.path.name, item.path.parents[1]):
                    return why
                clear(self.take(item))
            else:
                with Lease(self.store.root, item.key, item.name):
                    taken = self.take(item)
                    if self.linked_since(item):
                        put_back(taken, item.path)
                        return "linked just now"
                clear(taken)
        except (Refusal, OSError) as error:
            return str(error)
        return ""

    def take(self, item: Item) -> Path:
        """Move an item out of its place: one rename."""
        root = self.store.root if item.path.is_relative_to(self.store.root) else Path("work")
        (root / GOING).mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{item.key or item.path.name}.", dir=root / GOING))
        item.path.chmod(0o755)  # a folder that is moved is written: it has another parent
        item.path.rename(place / item.path.name)
        return place

    def linked_since(self, item: Item) -> bool:
        """Whether somebody has linked an entry since we looked: whoever does says so before, and looks again after."""
        if item.path != self.store.entry(item.key):
            return False
        records = self.store.root.glob(f"{roots.ROOTS}/*/{item.key}.*.json")
        return any(self.written.get(record) != record.stat().st_mtime_ns for record in records)

    def forget_fallen_links(self) -> None:
        """Remove the records of links that point elsewhere now."""
        for link in (link for linked in self.links.values() for link in linked):
            if not link.stands(self.store.root) and self.since(link.record) >= self.older_than:
                try:
                    link.record.unlink(missing_ok=True)
                except PermissionError:
                    continue  # another user's, who will


def put_back(taken: Path, path: Path) -> None:
    inner = taken / path.name
    inner.rename(path)
    path.chmod(0o555)
    taken.rmdir()


def pins(store: Path) -> dict[str, dict]:
    """The pins of a store, by key."""
    return {path.stem: read_json(path) for path in sorted((store / PINS).glob("*.json"))}


def beside_pinned(store: Store, pinned: dict[str, dict]) -> dict[str, str]:
    """The contents of the weights that pinned adapters are of, without which they are nothing; and whose each is."""
    found = [(key, file.parent) for key in pinned for file in store.entry(key).glob(f"files/**/{ADAPTED}")]
    return {content_of_base(folder): pinned[key].get("target", key) for key, folder in found}


def pin(store: Store, name: str, because: str | None) -> str:
    """Have an entry survive every `gc`; its key."""
    key = key_of(store, name)
    if not store.entry(key).exists():
        raise Refusal(f"{name}: the store has no {key} to pin; build it first")
    said = {"target": name, "because": because, "by": user(os.getuid()), "time": time.time()}
    write_json(store.root / PINS / f"{key}.json", said)
    return key


def unpin(store: Store, name: str) -> str:
    key = key_of(store, name)
    path = store.root / PINS / f"{key}.json"
    if not path.exists():
        raise Refusal(f"{name} is not pinned; `posttrain gc` lists what is")
    path.unlink()
    return key


def key_of(store: Store, name: str) -> str:
    """The key that a name stands for: a key's own, a target's, or the one that a pin was given under."""
    if store.entry(name).exists() or name in pins(store.root):
        return name
    if key := read_json(f"{name}.json").get("key"):
        return key
    if under := [key for key, said in pins(store.root).items() if said.get("target") == name]:
        return under[0]
    raise Refusal(f"{name}: there is no {name}.json that says its key; name a target that was built, or a key")


def forget(store: Store, checkout: str) -> None:
    """Take back all that a checkout has said of its links: it is gone."""
    place = os.path.realpath(Path(checkout).expanduser())
    if not (records := roots.folder(store.root, place)).is_dir():
        known = sorted({link.checkout for link in roots.links(store.root)})
        raise Refusal(f"--forget {checkout}: {store.root} knows no such checkout. Known: {', '.join(known) or 'none'}")
    if Path(place).exists():
        raise Refusal(f"--forget {checkout}: it is there; what its links point to is looked at")
    shutil.rmtree(records)


def folders(root: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(root.glob(pattern)) if path.is_dir() and not path.is_symlink()]


def work_folders(work: Path) -> Iterator[Path]:
    """The folders work/<kind>/<name>.<key>; names of evaluations, and of hub models, have slashes."""
    for place, inner, _ in os.walk(work):
        yield from (Path(place, name) for name in sorted(inner) if WORK.fullmatch(name))
        inner[:] = [name for name in inner if not WORK.fullmatch(name) and name != GOING]


def size(folder: Path) -> int:
    """Bytes of a folder's files."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
