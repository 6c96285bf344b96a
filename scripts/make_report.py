"""Write a model's page: its lineage, figures, answers, curves, ledgers, builds and digests in one file.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/make_report.py reports/quickstart-dpo.html
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.report import page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="the page: reports/zephyr-7b-dpo.html")
    args = parser.parse_args()
    targets = read_json(os.environ["POSTTRAIN_PLAN"])["targets"]
    write_text(args.report, page.render(targets, f"models/{args.report.stem}"))


if __name__ == "__main__":
    main()
