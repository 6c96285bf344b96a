"""Download a hub repository at its commit. What was downloaded before a kill is not downloaded again.

python -m posttrain.build hub/models--org--name
"""

import os

import httpx2
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from posttrain.build.job import open_job
from posttrain.files import Refusal

TOKENIZER = [
    "tokenizer*",
    "special_tokens_map.json",
    "vocab*",
    "merges.txt",
    "added_tokens.json",
    "*.model",
    "*.jinja",
    "config.json",
]
MODEL = ["*.safetensors", "*.safetensors.index.json", "generation_config.json", *TOKENIZER]
WANTED = {"models": MODEL, "tokenizers": TOKENIZER, "datasets": None}


def main() -> None:
    with open_job(__doc__) as job:
        repo_id, kind, revision = job.recipe["repo_id"], job.recipe["kind"], job.recipe["revision"]
        repo_type = "dataset" if kind == "datasets" else "model"
        try:
            # Given a branch while the hub is away, snapshot_download takes a half-fetched folder for the whole.
            commit = HfApi().repo_info(repo_id, repo_type=repo_type, revision=revision).sha
            snapshot_download(
                repo_id,
                repo_type=repo_type,
                revision=commit,
                allow_patterns=WANTED[kind],
                local_dir=job.work / "download" / commit,
            )
        except GatedRepoError:
            raise Refusal(f"{repo_id} is gated: accept its terms on the hub, then run `hf auth login`") from None
        except RepositoryNotFoundError:
            raise Refusal(
                f"the hub has no {kind[:-1]} {repo_id}, or it is private: check the id, or run `hf auth login`"
            ) from None
        except RevisionNotFoundError:
            raise Refusal(f"{repo_id} has no commit {job.recipe['revision']}; mend config/lock.yaml") from None
        except HfHubHTTPError as error:
            raise Refusal(f"{repo_id}: the hub answered {error.response.status_code}; run again to go on") from None
        except (LocalEntryNotFoundError, httpx2.TransportError):
            raise Refusal(f"{repo_id}: the hub cannot be reached; run again to go on") from None
        download = job.work / "download" / commit
        for path in sorted(download.rglob("*")):
            inner = path.relative_to(download)
            if path.is_file() and inner.parts[0] != ".cache":
                place = job.out / inner
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)  # a kill here costs no download
        if kind == "models" and not any(job.out.glob("*.safetensors")):
            raise Refusal(f"{repo_id} has no safetensors; other formats can run code when they are opened")
        job.metrics["commit"] = commit


if __name__ == "__main__":
    main()
