"""Draw a picture of the guide, of what docs/pictures.yaml says that it shows.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/draw_picture.py docs/pictures/beta-accuracy.svg
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.plan.pictures import picture
from posttrain.report import pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path, help="docs/pictures/beta-accuracy.svg")
    args = parser.parse_args()
    plan = read_json(os.environ["POSTTRAIN_PLAN"])
    said = picture(Path(plan["root"]), args.picture.stem)
    write_text(args.picture, pictures.draw(said, plan["targets"]))


if __name__ == "__main__":
    main()
