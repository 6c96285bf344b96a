"""Pushing a folder to a repository of the hub: in one commit, and again from where it was cut."""

import contextlib
import json
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard, get_token
from huggingface_hub.utils import logging

from posttrain.files import Refusal, files_below, folder_digests, read_json
from posttrain.hub.asking import FAULTS, LOGIN, TYPES, ask

MANIFEST, RUN = "posttrain/manifest.json", "posttrain/run.json"  # what the build says, in a repository
BEGUN = {".gitattributes", "README.md"}  # what a repository has that was made by hand, and nothing put in
WAITS = (1, 5, 20, 60)  # seconds, after each connection that was cut


def check(kind: str, repo: str, private: bool, folder: Path) -> None:
    """Make a repository, if there is none yet, that a folder's files may go to; none of them is sent.

    Raises: Refusal, if the hub does, or if what is there is another's or seen by others than was said.
    """
    if not get_token():
        raise Refusal(f"{repo}: no token is here; {LOGIN}, with one that may write")

    def attempt() -> None:
        with plain_words(repo):
            opened(kind, repo, private)
            RepoCard.load(folder / "README.md").validate(TYPES[kind])

    ask(kind, repo, "main", attempt, WAITS)


def push(kind: str, repo: str, private: bool, folder: Path) -> dict:
    """Have a repository hold a folder's files; its commit and their digests.

    Files that an earlier push put there and this one has not are taken away; what others put there stays.

    Raises: Refusal, as `check` does.
    """
    logging.set_verbosity_error()  # its warnings tell the addresses of uploads, which are signed

    def attempt() -> tuple[str, bool]:
        with plain_words(repo):
            return pushed(kind, repo, private, folder)

    commit, new = ask(kind, repo, "main", attempt, WAITS)
    print(f"{repo}: {'is now' if new else 'was already, and nothing was sent,'} at {commit}", flush=True)
    return {"repo": repo, "commit": commit, "files": folder_digests(folder)}


def pushed(kind: str, repo: str, private: bool, folder: Path) -> tuple[str, bool]:
    """The commit at which a repository holds a folder's files, and whether that is a new one.

    The hub keeps large files by their content before any commit names them: a second try sends those alone that did
    not arrive, and nobody sees any before the one commit of all.
    """
    api, of = HfApi(), {"repo_type": TYPES[kind]}
    head, held = opened(kind, repo, private)
    earlier = read_json(api.hf_hub_download(repo, MANIFEST, revision=head, **of)) if MANIFEST in held else {}
    files = {str(path.relative_to(folder)): path for path in files_below(folder)}
    gone = sorted((set(earlier.get("files", {})) & held) - set(files))
    changes = [*starmap(CommitOperationAdd, files.items()), *map(CommitOperationDelete, gone)]
    message = f"Publish {read_json(folder / MANIFEST)['content']}"
    commit = api.create_commit(repo, changes, commit_message=message, parent_commit=head, **of).oid
    return commit, commit != head


def opened(kind: str, repo: str, private: bool) -> tuple[str, set[str]]:
    """The commit and the files of a repository that we may write to, made if there is none."""
    api, of = HfApi(), {"repo_type": TYPES[kind]}
    api.create_repo(repo, private=private, exist_ok=True, **of)
    there = api.repo_info(repo, revision="main", **of)
    if there.private != private:
        seen, said = "private" if there.private else "public", str(private).lower()
        raise Refusal(f"{repo} is {seen} on the hub, and the recipe says `private: {said}`; change one of the two")
    held = {file.rfilename for file in there.siblings or []}
    if MANIFEST not in held and (others := sorted(held - BEGUN)):
        raise Refusal(f"{repo} holds {others[0]}, which posttrain did not put there; name another `repo`")
    return there.sha, held


@contextlib.contextmanager
def plain_words(repo: str) -> Iterator[None]:
    """Raise what huggingface_hub's own words for a failed push stand for."""
    try:
        yield
    except (RuntimeError, ConnectionError, TimeoutError) as error:  # of a thread that sent a file, and of hf_xet
        why = error.__cause__ or error
        if isinstance(why, FAULTS):
            raise why from None
        if isinstance(why, (ConnectionError, TimeoutError)):
            raise httpx2.NetworkError("") from error
        # Its own words may hold an address that is signed.
        raise Refusal(f"{repo}: a file could not be sent ({type(why).__name__}); run again to go on") from None
    except json.JSONDecodeError as error:  # an answer of what stands between
        raise httpx2.NetworkError("") from error
    except ValueError as error:
        raise Refusal(f"{repo}: the hub refuses it: {' '.join(str(error).split())}") from None
