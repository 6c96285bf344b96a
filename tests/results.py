"""The page of long campaigns, tests/RESULTS.md: each campaign's part stands between markers of its name."""

from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")


def put(name: str, text: str) -> None:
    """Write a campaign's part anew, at the end if there is none yet."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    page = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    if begin not in page:
        page += f"\n## {name.capitalize()}\n\n{begin}{end}"
    before, _, rest = page.partition(begin)
    RESULTS.write_text(f"{before}{begin}{text}{end}{rest.partition(end)[2]}")
