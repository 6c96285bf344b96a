"""Write a page: of a model its lineage, figures, answers, curves, ledgers, builds and digests in one file; of a set of
rows its rows, lengths, scores, sources and ledger.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/make_report.py reports/quickstart-dpo.html
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.report import data, page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="reports/zephyr-7b-dpo.html, reports/data/ultrachat-200k.html")
    args = parser.parse_args()
    targets = read_json(os.environ["POSTTRAIN_PLAN"])["targets"]
    kind = args.report.parent.name
    if kind in ("data", "preferences"):
        text = data.render(targets, f"{kind}/{args.report.stem}")
    else:
        text = page.render(targets, f"models/{args.report.stem}")
    write_text(args.report, text)


if __name__ == "__main__":
    main()
