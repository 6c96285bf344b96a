"""Write a model's card: what the hub reads of it, and what a person does.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/make_card.py cards/quickstart-dpo.md
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.report import card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="cards/zephyr-7b-dpo.md")
    args = parser.parse_args()
    name = str(args.card.relative_to("cards")).removesuffix(".md")
    write_text(args.card, card.render(read_json(os.environ["POSTTRAIN_PLAN"]), name))


if __name__ == "__main__":
    main()
