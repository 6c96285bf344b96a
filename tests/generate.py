"""What is generated and committed, so that it can be read: `python tests/generate.py --fix` writes it anew."""

import argparse
from pathlib import Path

from generated import otherwise, reference, schema, trl

ROOT = Path(__file__).parents[1]
GENERATED = {
    "workflow/posttrain/recipes/trl_fields.json": trl.fields,
    "config/recipes.schema.json": schema.page,
    "docs/reference.md": reference.page,
    "docs/other-names.md": otherwise.page,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fix", action="store_true", help="write what differs; without this it is only named")
    fix = parser.parse_args().fix
    stale = {path: text for path, make in GENERATED.items() if (text := make()) != (ROOT / path).read_text()}
    for path, text in stale.items():
        if fix:
            (ROOT / path).write_text(text)
        print(path, "written" if fix else "is stale; run `python tests/generate.py --fix`")
    raise SystemExit(bool(stale) and not fix)


if __name__ == "__main__":
    main()
