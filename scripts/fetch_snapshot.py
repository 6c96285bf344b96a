"""Download a hub repository at its commit. A cut connection goes on where it stopped; what had come whole before a
kill is not downloaded again.

python -m posttrain.build hub/models--org--name
"""

import os

from huggingface_hub import snapshot_download

from posttrain.build.job import open_job
from posttrain.files import Refusal
from posttrain.hub.asking import TYPES, ask, commit_of

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
        kind, repo_id, revision = job.recipe["kind"], job.recipe["repo_id"], job.recipe["revision"]
        # Given a branch while the hub is away, snapshot_download takes a half-fetched folder for the whole.
        commit = commit_of(kind, repo_id, revision)
        download = job.work / "download" / commit
        files = job.recipe.get("files") or WANTED[kind]
        wanted = {"repo_type": TYPES[kind], "revision": commit, "allow_patterns": files, "local_dir": download}
        ask(kind, repo_id, commit, lambda: snapshot_download(repo_id, **wanted))
        for path in sorted(download.rglob("*")):
            inner = path.relative_to(download)
            if path.is_file() and inner.parts[0] != ".cache":
                place = job.out / inner
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, place)  # a kill here costs no download
        if not any(job.out.iterdir()):
            raise Refusal(
                f"{repo_id} has no file {files if isinstance(files, str) else ', '.join(files or ['at all'])}"
            )
        if kind == "models" and not any(job.out.glob("*.safetensors")):
            raise Refusal(f"{repo_id} has no safetensors; other formats can run code when they are opened")
        job.metrics["commit"] = commit


if __name__ == "__main__":
    main()
