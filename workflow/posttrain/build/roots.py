"""Who links what of a store: store/.roots/<checkout>/<key>.<path>, one small file a link, written before it is made.

A store may be shared by checkouts and users. The file says where a link was made; whether it still points to the
entry is looked at when somebody asks. A checkout that cannot be looked at keeps what it linked.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from posttrain.files import digest, read_json, write_json

ROOTS = ".roots"
CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Link:
    """A link that was made."""

    record: Path
    checkout: str
    path: str  # models/zephyr-7b-sft, in the checkout
    key: str

    def stands(self, store: Path) -> bool:
        """Whether it points to the store's entry, as far as can be told."""
        place = Path(self.checkout, self.path)
        try:
            os.stat(self.checkout)
        except OSError:
            return True  # of another machine, or not mounted; who knows that it is gone says so: `--forget`
        try:
            target = place.parent / os.readlink(place)
        except PermissionError:
            return True
        except OSError:
            return False
        return os.path.realpath(target) == os.path.realpath(store / self.key / "files")

    def __str__(self) -> str:
        if self.checkout == here():
            return f"linked by {self.path}"
        lost = "" if Path(self.checkout).exists() else ", which is not to be seen (if it is gone: --forget it)"
        return f"linked by {self.path} of {self.checkout}{lost}"


def here() -> str:
    return os.path.realpath(".")


def folder(store: Path, checkout: str) -> Path:
    return store / ROOTS / digest(checkout)


def record_of(store: Path, path: str, key: str) -> Path:
    return folder(store, here()) / f"{key}.{digest(path)}.json"


def remember(store: Path, path: str, key: str) -> None:
    """Say that this checkout links an entry: before it does, so that no `posttrain gc` overlooks it."""
    try:
        write_json(record_of(store, path, key), {"checkout": here(), "path": path, "key": key})
    except OSError as error:
        if error.errno not in CLOSED:
            raise
        print(f"{store} may not be written: its `posttrain gc` will not know that {path} links {key}", flush=True)


def links(store: Path) -> Iterator[Link]:
    """All links that were made to a store's entries, whether they stand or not."""
    for record in sorted(store.glob(f"{ROOTS}/*/*.json")):
        if said := read_json(record):
            yield Link(record, **said)


def found_here(store: Path) -> Iterator[tuple[str, str]]:
    """The paths below this folder that link an entry of a store, each with its key."""
    home = os.path.realpath(store)
    for top in sorted(Path().iterdir()):
        if top.is_symlink() or not top.is_dir() or top.name.startswith(".") or os.path.realpath(top) == home:
            continue
        for place, folders, _ in os.walk(top):
            for name in sorted(folders):
                path = Path(place, name)
                files = Path(os.path.realpath(path))
                if path.is_symlink() and files.name == "files" and str(files.parents[1]) == home:
                    yield str(path), files.parent.name
