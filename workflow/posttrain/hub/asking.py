"""Asking the hub: patience where it wants us to wait, and one line where it refuses."""

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session, parse_ratelimit_headers

from posttrain.files import Refusal
from posttrain.recipes import lock

Answer = TypeVar("Answer")
TYPES = {"models": "model", "tokenizers": "model", "datasets": "dataset"}  # the hub's word for each of our kinds
FAULTS = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.TransportError)
TRIES = 4  # of a question that is answered by "too many"
LONGEST_WAIT = 300  # seconds: the hub counts anew every five minutes
ANSWERS = 10  # seconds within which it does, when it is only to show that it is there
LOGIN = "set HF_TOKEN, or run `hf auth login`"


def unreached() -> str | None:
    """Why the hub cannot be reached from here, if it cannot."""
    try:
        answer = get_session().head(constants.ENDPOINT, timeout=ANSWERS)
    except FAULTS as error:
        return type(error).__name__
    return f"it says {answer.status_code}" if answer.is_server_error else None


def commit_of(kind: str, repo_id: str, revision: str) -> str:
    """The commit that a revision of a repository is now."""
    api = HfApi()
    return ask(kind, repo_id, revision, lambda: api.repo_info(repo_id, repo_type=TYPES[kind], revision=revision).sha)


def ask(kind: str, repo_id: str, revision: str, question: Callable[[], Answer], waits: Iterable[float] = ()) -> Answer:
    """The answer to a question about a repository; where the hub says "too many requests", it is asked again.

    Args:
        waits: seconds; of each connection that is cut, how long after it the same is asked again.

    Raises: Refusal, in one line, with the id and how to mend it.
    """
    tried, waits = 0, iter(waits)
    while True:
        try:
            return question()
        except FAULTS as error:
            # A file that cannot be asked for is a file that is not here, to huggingface_hub.
            fault = error.__cause__ or error if isinstance(error, LocalEntryNotFoundError) else error
        if cut(fault) and (seconds := next(waits, None)):
            print(f"{repo_id}: the connection was cut; goes on in {seconds} s", flush=True)
            time.sleep(seconds)
            continue
        tried += 1
        seconds = pause(fault)
        if seconds is None or tried == TRIES:
            raise Refusal(why(fault, kind, repo_id, revision))
        print(f"{repo_id}: too many requests; asked again in {seconds} s", flush=True)
        time.sleep(seconds)


def cut(fault: BaseException) -> bool:
    """Whether the hub, or the way to it, has failed for a while."""
    return isinstance(fault, httpx2.TransportError) or (
        isinstance(fault, HfHubHTTPError) and fault.response.is_server_error
    )


def pause(fault: BaseException) -> int | None:
    """The seconds that the hub wants us to wait; None where waiting does not help."""
    if not isinstance(fault, HfHubHTTPError) or fault.response.status_code != 429:
        return None
    headers = fault.response.headers
    counted = parse_ratelimit_headers(headers)
    said = headers.get("Retry-After", "")
    seconds = int(said) if said.isdigit() else counted.reset_in_seconds if counted else 1
    return seconds if seconds <= LONGEST_WAIT else None


def why(fault: BaseException, kind: str, repo_id: str, revision: str) -> str:
    """What the hub refused, and how to mend it."""
    hub_id = repo_id if revision == "main" or lock.COMMIT.fits(revision) else f"{repo_id}@{revision}"
    match fault:
        case GatedRepoError():
            return f"{repo_id} is gated: accept its terms on the hub, then {LOGIN}"
        case RepositoryNotFoundError():
            return f"the hub has no {TYPES[kind]} {repo_id}, or it is private: check the id, or {LOGIN}"
        case RevisionNotFoundError() if lock.COMMIT.fits(revision):
            return f"{repo_id} has no commit {revision}; `posttrain lock --update {repo_id}` gives it another"
        case RevisionNotFoundError():
            return f"{repo_id} has no revision {revision}; mend what stands after the @"
        case HFValidationError():
            return f"{hub_id} is no id that the hub could have"
        case OfflineModeIsEnabled():
            return f"{hub_id}: HF_HUB_OFFLINE forbids to ask the hub; unset it"
        case HfHubHTTPError() if fault.response.status_code in (401, 403):
            return f"{hub_id}: the hub answered {fault.response.status_code}; {LOGIN}"
        case HfHubHTTPError() if fault.response.status_code == 429:
            return f"{hub_id}: the hub answers 429, too many requests; run again in a few minutes to go on"
        case HfHubHTTPError():
            return f"{hub_id}: the hub answered {fault.response.status_code}; run again to go on"
    return f"{hub_id}: the hub cannot be reached; run again to go on"
