"""Pages of what was measured, tests/RESULTS.md first: each campaign's part stands between markers of its name."""

from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def put(name: str, text: str, page: Path = RESULTS) -> None:
    """Write a campaign's part anew, at the end if there is none yet."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    said = page.read_text() if page.exists() else "# Results\n"
    if begin not in said:
        said += f"\n## {name.capitalize()}\n\n{begin}{end}"
    before, _, rest = said.partition(begin)
    page.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}")
