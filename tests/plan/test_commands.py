"""Every command of the README and the guide runs, as far as a dry run goes; what they name is there."""

import json
import re
import shlex
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path

import jsonschema
import pytest

from conftest import ROOT, Project, clean_environment, shipped_checkout
from posttrain import cli
from posttrain.plan import opened
from posttrain.recipes import page as recipes
from posttrain.recipes import sections

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
VALUED = (
    "--profile",
    "--until",
    "--sdm",
    "--apptainer-args",
    "--quiet",
)  # options of snakemake with a word behind them
SECTIONS = "|".join(sections.SECTIONS)
NAME = re.compile(rf"(?<![\w./-])(?:{SECTIONS}|reports)/[\w.@=,/-]*[\w]")
FILE = re.compile(r"(?<![\w./-])(?:config|docs|envs|profiles|rules|scripts|tests|workflow)/[\w./-]*\w")

# What cannot be run here, and why. Its files and options are looked at.
ELSEWHERE = {
    "git clone": "fetches, and a clone is what this is",
    "cd posttrain": "is into that clone",
    "pip install": "installs into the environment that runs this",
    "conda env": "conda is not installed",
    "snakemake completions/tries --sdm conda": "the same; tests/build/test_deployed.py has a stand-in",
    "apptainer build": "apptainer is not installed",
    ". .venv/bin/activate": "is about the reader's shell",
    "cp config/site.example.yaml": "its copy is the reader's own",
    "pytest -q": "is what runs this",
    "python tests/generate.py": "writes files; tests/plan/test_generated.py holds them to what it writes",
    "python tests/prove_methods.py": "is a campaign of half an hour",
    "posttrain doctor": "asks a scheduler: tests/slurm/test_doctor.py",
    "posttrain lock": "asks the hub: tests/build/test_hub.py",
    "posttrain verify": "reads what was built: tests/build/test_verify.py",
    "posttrain compare": "the same: tests/plan/test_compare.py",
    "snakemake reports/quickstart.html reports/quickstart-dpo.html --report": "the same: tests/build/test_report.py",
    "snakemake published/": "wants a repository of the reader's own: tests/plan/test_publishing.py",
    "snakemake -n published/": "the same",
    "posttrain adopt": "names a folder of the reader's own: tests/plan/test_adopt.py",
    "posttrain import orpo/full.yaml": "writes a page: tests/plan/test_guide.py",
    "snakemake -n models/mine-sft": "is of the page that its chapter writes: tests/plan/test_guide.py",
    "snakemake -n data/my-revisions": "is of its chapter's own example",
    "snakemake scores/my-": "the same",
    "snakemake evals/my-": "the same",
    "snakemake -n models/ours-sft": "is of a hub that is not there: tests/plan/test_lock.py",
    "posttrain plan models/ours-sft": "the same",
    "cat logs/": "reads what was built",
}
# What no page or folder of ours has: what stands for any name, and what examples name.
ANY = re.compile(r"/(x|mine|my|our|ours|lab|micro|tried|bought)\b")
EXAMPLES = {
    "config/site.yaml": "a site's own, no part of the checkout",
    "config/recipes/mine.yaml": "the page that docs/write-a-recipe.md writes",
    "config/recipes/mixtral.yaml": "the page that docs/from-the-handbook.md imports",
    "config/recipes/use.yaml": "what `posttrain adopt` writes",
    "config/judges/brief-pairs.jinja": "a rubric that docs/score-and-select.md shows",
    "scripts/dpo.py": "the handbook's",
    "scores/strict": "of a message that docs/score-and-select.md shows",
}


def blocks(page: Path, language: str) -> list[str]:
    """What stands in each fenced block of a language."""
    return re.findall(rf"^```{language}\n(.*?)^ *```$", page.read_text(), re.M | re.S)


def commands() -> list[tuple[str, list[str]]]:
    """Every command of every ```bash block, and every one behind a prompt, with its page's name."""
    return [
        (page.name, words)
        for page in PAGES
        for line in typed(page)
        for part in line.split(" && ")
        if (words := shlex.split(re.sub(r"^[A-Z_]+=\S* ", "", part), comments=True))
    ]


def typed(page: Path) -> list[str]:
    """The lines that a reader would type."""
    return [
        *"".join(blocks(page, "bash")).replace("\\\n", " ").splitlines(),
        *re.findall(r"^\$ (.+)", page.read_text(), re.M),
    ]


def elsewhere(words: list[str]) -> str | None:
    """The entry of ELSEWHERE that a command is of."""
    return next((start for start in ELSEWHERE if shlex.join(words).startswith(start)), None)


def of(program: str) -> list[list[str]]:
    """The commands of a program that can be run here, each once."""
    found = [words for _, words in commands() if words[0] == program and not elsewhere(words)]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


def asked() -> dict[tuple[str, ...], list[str]]:
    """The targets that snakemake is asked for, by the options that it is given: a dry run plans them all."""
    found: dict[tuple[str, ...], list[str]] = {}
    printed = ("-n", "--quiet", "rules")  # what is about what a run says
    for _, *words in of("snakemake"):
        options, targets = [], []
        for before, word in zip([None, *words], words, strict=False):
            (options if word.startswith("-") or before in VALUED else targets).append(word)
        found.setdefault(tuple(option for option in options if option not in printed), []).extend(targets)
    return found


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Project:
    """Our pages and an example's in a checkout with the guide and the tests beside them. Only planned in."""
    project = shipped_checkout(tmp_path_factory.mktemp("commands") / "p")
    project.path("config/recipes/environments.yaml").write_text(blocks(ROOT / "docs/environments.md", "yaml")[0])
    for name in ("docs", "tests"):
        project.path(name).symlink_to(ROOT / name)
    return project


def test_every_command_is_of_a_kind_that_is_run_here_or_says_why_not():
    kinds = ("snakemake", "posttrain", "make")
    assert [
        f"{page}: {shlex.join(words)}" for page, words in commands() if words[0] not in kinds and not elsewhere(words)
    ] == []
    assert set(ELSEWHERE) == {elsewhere(words) for _, words in commands()} - {None}, "a reason that no command needs"


@pytest.mark.parametrize("options", asked(), ids=" ".join)
def test_snakemake_would_build_what_it_is_asked_for(shipped, options):
    shipped.make("-n", *dict.fromkeys(asked()[options]), *options)


@pytest.mark.parametrize("words", of("posttrain"), ids=" ".join)
def test_posttrain_answers(shipped, words, monkeypatch, capsys):
    monkeypatch.chdir(shipped.root)
    monkeypatch.setattr("sys.argv", [word for word in words if word != "--follow"])  # which ends never
    try:
        cli.main()
    except SystemExit as refused:
        assert str(refused).startswith("does not fit"), "this machine's disk is all that may be too small"
    assert capsys.readouterr().out


def test_the_plan_that_is_shown_is_the_plan(shipped, monkeypatch, capsys):
    """To the first empty line; what is below hangs on the machine."""
    said = re.search(
        r"^\$ posttrain (plan .* --gpu h100)\n(.*?\n)\n", (ROOT / "docs/read-a-plan.md").read_text(), re.M | re.S
    )
    monkeypatch.chdir(shipped.root)
    monkeypatch.setattr("sys.argv", ["posttrain", *said[1].split()])
    with suppress(SystemExit):  # does not fit
        cli.main()
    assert capsys.readouterr().out.startswith(said[2] + "\n")


@pytest.mark.parametrize("words", of("make"), ids=" ".join)
def test_make_knows_its_target(words):
    subprocess.run(
        ["make", "--dry-run", *words[1:]], cwd=ROOT, env=clean_environment(), check=True, capture_output=True
    )


def test_an_option_of_posttrain_is_one(capsys, monkeypatch):
    """Of all that is said of it, in blocks, in lines and in what is shown."""
    said = re.findall(r"posttrain (\w+)((?: [^`\n#|;&)]*)?)", "\n".join(page.read_text() for page in PAGES))
    options = {(command, option) for command, rest in said for option in re.findall(r"--[a-z-]+", rest)}
    for command in {command for command, _ in options}:
        monkeypatch.setattr("sys.argv", ["posttrain", command, "--help"])
        with pytest.raises(SystemExit):
            cli.main()
        help_text = capsys.readouterr().out
        assert [option for other, option in options if other == command and option not in help_text] == [], command


def test_what_pip_is_told_to_install_is_an_extra_of_ours():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    said = re.findall(r"-e '?\.\[([\w,]+)\]", "\n".join(page.read_text() for page in PAGES))
    assert said
    assert {extra for one in said for extra in one.split(",")} <= set(known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_file_that_is_named_is_there(page):
    named = {path for code in code_of(page) for path in FILE.findall(code) if not ANY.search(path)}
    assert [path for path in sorted(named - EXAMPLES.keys()) if not (ROOT / path).exists()] == []


@pytest.fixture(scope="module")
def targets(shipped) -> set[str]:
    """Every target of our pages, with the pages of models and rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(shipped.root)
        plan = opened.open_here()
    models = [path.removeprefix("models/") for path in plan.all("models")]
    shown = [*models, *plan.families, *(path for kind in ("data", "preferences") for path in plan.all(kind))]
    views = [*(f"reports/{name}.html" for name in shown), *(f"published/{name}" for name in models)]
    return {*plan.targets, *plan.scans, *views}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_target_that_is_named_is_of_a_recipe(page, targets):
    named = {name for code in code_of(page) for name in NAME.findall(code) if not ANY.search(name)}
    strange = {name for name in named - EXAMPLES.keys() if re.sub(r"(\.run)?\.json$", "", name) not in targets}
    said = re.findall(r"^  ([\w./-]+):", page.read_text(), re.M)  # by the page's own examples
    assert [name for name in sorted(strange) if not {name, name.split("/")[1].removesuffix(".html")} & set(said)] == []


def code_of(page: Path) -> list[str]:
    """What stands in code, in a line or in a block."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.S)
    return re.findall(r"^```.*?^ *```$|`[^`\n]+`", text, re.M | re.S)


QUOTED = re.compile(r"# (config/recipes/.+)\n")
QUOTES = [text for page in PAGES for text in blocks(page, "yaml") if QUOTED.match(text)]


@pytest.mark.parametrize("text", QUOTES, ids=range(len(QUOTES)))
def test_what_is_quoted_of_a_recipe_stands_there(text):
    """A quotation names its file. It may leave out entries, each whole, below a section's name."""
    quoted = QUOTED.match(text)
    source = (ROOT / quoted[1]).read_text()
    parts = re.split(r"^(?=\S)|^(?=  \S)", text[quoted.end() :], flags=re.M)
    assert [part for part in parts if part.rstrip() not in source] == []


def test_the_examples_of_recipes_are_recipes_by_the_schema(tmp_path):
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "config/recipes.schema.json").read_text()))
    wrong = []
    for text in [text for page in PAGES for text in blocks(page, "yaml") if "…" not in text]:
        (tmp_path / "example.yaml").write_text(text)
        value = recipes.read(tmp_path / "example.yaml")[0]
        if value.keys() <= set(sections.SECTIONS):
            wrong += [f"{error.json_path}: {error.message}" for error in schema.iter_errors(value)]
    assert wrong == []
