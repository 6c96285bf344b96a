"""Push a model with its card and records to its repository of the hub, and the rows that go with it to theirs.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/publish_model.py published/quickstart-dpo
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_json
from posttrain.hub import parcels
from posttrain.hub.pushing import check, push


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="published/zephyr-7b-dpo")
    args = parser.parse_args()
    plan, name = read_json(os.environ["POSTTRAIN_PLAN"]), str(args.folder.relative_to("published"))
    said = plan["published"][name]
    repos = {path: rows["repo"] for path, rows in said["datasets"].items()} | {f"models/{name}": said["repo"]}
    parts = {
        path: ("models" if path.startswith("models/") else "datasets", repos[path], said["private"], place)
        for path, place in parcels.put_together(plan, name, args.folder).items()
    }
    for part in parts.values():
        check(*part)
    sent = {path: push(*part) for path, part in parts.items()}
    content = read_json(f"models/{name}.json")["content"]
    write_json(f"{args.folder}.json", {"content": content, "repositories": sent})


if __name__ == "__main__":
    main()
