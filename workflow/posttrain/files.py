"""Reading, writing and digesting files: the ground everything else stands on."""

import hashlib
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DIGEST_CHARACTERS = 16  # 64 bits: a lab's store would need billions of artifacts for two to meet
CHUNK = 1 << 22


class Refusal(SystemExit):
    """What cannot be done: one line that says what, where, and how to fix it.

    It ends the process with status 1 and no traceback, in Snakemake's main process as in a job.
    """


def canonical(value: Any) -> Any:
    """One spelling for equal values: 1.0 is 1, and keys are sorted."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest(value: Any) -> str:
    """The digest of a JSON value, whatever its key order and number spelling."""
    text = json.dumps(canonical(value), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def file_digest(path: str | Path) -> str:
    """The digest of a file's bytes."""
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()[:DIGEST_CHARACTERS]


def folder_digests(folder: str | Path) -> dict[str, str]:
    """The digest of each file below a folder, by its path there, sorted."""
    paths = files_below(Path(folder))
    with ThreadPoolExecutor() as pool:  # hashlib releases the GIL, and weights come in several files
        digests = pool.map(file_digest, paths)
        return {str(path.relative_to(folder)): value for path, value in zip(paths, digests, strict=True)}


def place_digest(path: Path) -> str:
    """The digest of a file, or of all files below a folder."""
    return digest(folder_digests(path)) if path.is_dir() else file_digest(path)


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and of those below it, sorted. Raises: Refusal, if one of those is a link."""
    paths = sorted(folder.rglob("*"))
    for path in paths:
        if path.is_symlink() and path.is_dir():
            raise Refusal(f"{path}: is a link to a folder, of which no digest would be taken; put the folder there")
    return [path for path in paths if path.is_file()]


def read_json(path: str | Path) -> dict:
    """A JSON file's object, or {} if there is none that can be read."""
    try:
        value = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_json(path: str | Path, value: Any, durable: bool = True) -> None:
    """Write a JSON file as a whole or not at all; if durable, it is on the disk before the old one is gone."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", durable)


def write_text(path: str | Path, text: str, durable: bool = True) -> None:
    """Write a file as a whole or not at all; if durable, it is on the disk before the old one is gone."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}")
    try:
        with open(draft, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk is found in a write, which knows no name
        raise
