"""Write the page of a data or preference set: its rows, lengths, scores, sources and ledger in one file.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/make_data_report.py reports/preferences/tries.html
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.report import data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="the page: reports/data/ultrachat-200k.html")
    args = parser.parse_args()
    targets = read_json(os.environ["POSTTRAIN_PLAN"])["targets"]
    write_text(args.report, data.render(targets, f"{args.report.parent.name}/{args.report.stem}"))


if __name__ == "__main__":
    main()
