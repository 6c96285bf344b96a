"""Write a page, in one file: of a model its lineage, figures, answers, curves, ledgers, builds and digests; of a family
its models side by side; of a set of rows its rows, lengths, scores, sources and ledger.

POSTTRAIN_PLAN=.posttrain/plan/<digest>.json python scripts/make_report.py reports/quickstart-dpo.html
"""

import argparse
import os
from pathlib import Path

from posttrain.files import read_json, write_text
from posttrain.report import data, family, page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="reports/zephyr-7b-dpo.html, reports/data/ultrachat-200k.html")
    args = parser.parse_args()
    plan = read_json(os.environ["POSTTRAIN_PLAN"])
    targets, kind, name = plan["targets"], args.report.parent.name, args.report.stem
    if kind in ("data", "preferences"):
        text = data.render(targets, f"{kind}/{name}")
    elif name in plan["families"]:
        text = family.render(targets, name, plan["families"][name])
    else:
        text = page.render(targets, f"models/{name}")
    write_text(args.report, text)


if __name__ == "__main__":
    main()
