"""Arrows run one way: what each part of the package may import."""

import ast
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "workflow/posttrain"
# What a job tells the work; of recipes and plans it knows nothing.
WORK = {"files", "words", "adapters", "build", "checkpoints"}
MAY_IMPORT = {
    "files": set(),
    "words": set(),
    "recipes": {"files", "words"},
    "adapters": {"files"},
    "build": {"files", "adapters", "recipes.identity", "recipes.environments"},
    "checkpoints": {"files", "adapters", "recipes.template"},
    "data": WORK | {"recipes.template"},
    "sample": WORK | {"data", "recipes.template"},
    "score": WORK | {"data", "sample", "recipes.template"},
    "train": WORK | {"data"},
    "evaluate": WORK | {"data", "sample", "score", "recipes.benchmarks"},
    # A page is drawn from the plan's names and what stands at them.
    "report": {"files", "words", "adapters", "plan", "recipes", "data.rows", "evaluate.points"},
    # The plan checks names and arguments against the functions that they name, which import no more than they need.
    "plan": {"files", "words", "recipes", "build", "data.generators", "score.verifiers"},
    "handbook": {"files", "words", "recipes"},
    "hub": {"files", "words", "adapters", "recipes.lock", "plan.publishing", "report"},
    "progress": {"files", "words", "build"},
    "doctor": {"files", "words", "build", "recipes", "plan", "hub"},
    "verify": {"files", "words", "build", "recipes", "plan"},
    "cli": {"files", "words", "build", "recipes", "plan", "handbook", "hub", "progress", "doctor", "verify", "report"},
    "forkserver": {"build.processes"},  # and by name, when it serves, what stages import
}


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, as dotted names below posttrain."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "posttrain":
            found |= {f"{node.module}.{name.name}".removeprefix("posttrain.") for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name.removeprefix("posttrain.") for name in node.names if name.name.startswith("posttrain")}
    return found


def test_every_part_has_its_place():
    parts = {path.stem for path in PACKAGE.iterdir() if not path.name.startswith("__")}
    assert parts == set(MAY_IMPORT)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_what_lies_below_it(part):
    files = [PACKAGE / f"{part}.py"] if (PACKAGE / f"{part}.py").exists() else sorted((PACKAGE / part).rglob("*.py"))
    assert files
    for path in files:
        for name in imports(path):
            assert any(f"{name}.".startswith(f"{allowed}.") for allowed in {part, *MAY_IMPORT[part]}), (path, name)


def test_nothing_imports_a_script():
    scripts = {path.stem for path in (ROOT / "scripts").glob("*.py")}
    assert scripts
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in modules} & (scripts | {"scripts"}), path
