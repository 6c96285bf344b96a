"""The store: finished artifacts by key, read-only, each proved by the manifest written last."""

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrain.build import roots
from posttrain.files import Refusal, digest, folder_digests, read_json, write_json

# Files that no model is made of: accounts, and what one in training is only looked at with. They are verified as all
# others are, and an edit of test rows makes no model anew; but a reference is made of all rows.
LOOKED_AT = ("ledger.json", "test.arrow")
READS_ALL = ("compute_reference",)


class Corrupt(Exception):
    """An entry whose files are not those of its manifest."""


@dataclass(frozen=True)
class Store:
    root: Path

    def entry(self, key: str) -> Path:
        return self.root / key

    def manifest(self, key: str | None) -> dict:
        """The manifest of an entry whose files are all there in their sizes, or {}: a look, not a proof."""
        if key is None:
            return {}
        manifest = read_json(self.entry(key) / "manifest.json")
        return manifest if manifest.get("key") == key and whole(self.entry(key) / "files", manifest) else {}

    def verified(self, key: str) -> dict:
        """The manifest of an entry every byte of which was read and found right, or {} if there is none.

        An entry with a wrong byte is moved aside, and said to be: it is never served.
        """
        entry = self.entry(key)
        if not entry.exists():
            return {}
        try:
            manifest = verify(entry)
            if manifest.get("key") != key:
                raise Corrupt(f"its manifest is of {manifest.get('key')}")
            return manifest
        except Corrupt as fault:
            print(f"{entry} is corrupt ({fault}): moved to {self.set_aside(key)}", flush=True)
            return {}

    def set_aside(self, key: str) -> Path:
        """Move an entry out of the way; nothing is deleted."""
        folder = self.root / ".corrupt"
        folder.mkdir(exist_ok=True)
        aside = folder / f"{key}.{len(list(folder.glob(key + '.*')))}"
        self.entry(key).chmod(0o755)
        self.entry(key).rename(aside)
        return aside

    def publish(self, work: Path, key: str) -> None:
        """Move a finished work folder in: one rename, from the same file system."""
        entry = self.entry(key)
        if entry.exists():
            self.set_aside(key)
        try:
            work.rename(entry)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            draft = self.root / ".incoming" / key  # the lease's holder alone writes here
            clear(draft)  # a kill came while it was written
            try:
                shutil.copytree(work, draft)
            except OSError:
                clear(draft)  # half a model would keep a full disk full
                raise
            verify(draft)
            sync(draft)
            draft.rename(entry)
            clear(work)
        entry.chmod(0o555)
        sync_folder(self.root)


def whole(folder: Path, manifest: dict) -> bool:
    """Whether a folder has a manifest's files in their sizes: a look, not a proof."""
    return all(size_of(folder / name) == size for name, size in manifest.get("sizes", {"": 0}).items())


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def describe(folder: Path) -> dict:
    """The digests and sizes of a folder's files, and the digest of what is made of them."""
    files = folder_digests(folder)
    counted = {name: said for name, said in files.items() if name not in LOOKED_AT}
    sizes = {name: (folder / name).stat().st_size for name in files}
    return {"files": files, "sizes": sizes, "content": digest(counted)}


def read_by(stage: str, manifest: dict) -> str | None:
    """The digest of what a stage reads of an artifact, by its manifest; None of one that is not there yet."""
    return digest(manifest["files"]) if stage in READS_ALL and manifest else manifest.get("content")


def verify(entry: Path) -> dict:
    """The manifest of a folder that holds `files/` and `manifest.json`. Raises: Corrupt, naming the first bad file."""
    manifest = read_json(entry / "manifest.json")
    if not manifest.get("files"):
        raise Corrupt("manifest.json is missing or broken")
    found = folder_digests(entry / "files")
    for name in sorted({*found, *manifest["files"]}):
        if found.get(name) != manifest["files"].get(name):
            raise Corrupt(
                f"files/{name}: its digest is {found.get(name)}, its manifest says {manifest['files'].get(name)}"
            )
    return manifest


def seal(folder: Path) -> None:
    """Make the files read-only and put them on the disk."""
    sync(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def sync(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        sync_folder(path)


def sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def clear(folder: Path) -> None:
    """Remove a folder, sealed or not, if there is one."""
    if folder.exists():
        make_writable(folder)
        shutil.rmtree(folder)


def make_writable(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def link(path: str, identity: dict, manifest: dict, store: Store, unlocked: Sequence[str] = ()) -> None:
    """Point a target at its entry, then say what it is: the manifest comes last.

    Args:
        unlocked: the hub ids without a commit that it descends from. The plan knows them, and not the entry: one may
            have got its commit since.
    """
    entry, folder = store.entry(manifest["key"]), Path(path)
    roots.remember(store.root, path, manifest["key"])
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        raise Refusal(f"{path} is a folder that posttrain did not make; move it away, or name it under `use:`")
    folder.symlink_to(os.path.relpath(entry / "files", folder.parent))
    if not entry.exists():  # a `posttrain gc` that had not seen what we remembered was faster
        folder.unlink()
        raise Refusal(f"{path}: the store has lost {manifest['key']}; run snakemake again to build it")
    again = {"reproducible": not unlocked, "unlocked": unlocked}
    write_json(f"{path}.run.json", {**read_json(entry / "run.json"), **again})
    write_json(f"{path}.json", {**manifest, "identity": identity})
