"""What the workflow catalogue asks for, and a workflow of somebody's own that takes its rules from here."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import MICRO, ROOT, Project, rows, write_lines

COMMIT = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet"]
SNIPPET = re.search(r"```python\n(.*?)```", (ROOT / "config/README.md").read_text(), re.S)[1]


@pytest.fixture
def theirs(fresh: Project, tmp_path: Path) -> Project:
    """Another's folder, with a page, and config/README.md's Snakefile."""
    folder = tmp_path / "theirs"
    (folder / "recipes").mkdir(parents=True)
    (folder / "recipes/ours.yaml").write_text(MICRO)
    (folder / "templates").symlink_to(fresh.path("config/templates"))
    (folder / "profiles").symlink_to(fresh.path("profiles"))
    (folder / "config.yaml").write_text(f"recipes: [{folder}/recipes]\n")
    (folder / "Snakefile").write_text(SNIPPET.replace("/path/of/posttrain", str(fresh.root)))
    for name in ("rows", "pairs"):
        write_lines(folder / f"{name}.jsonl", rows())
    return Project(folder)


def test_a_module_plans_the_targets_of_another_folders_pages(theirs):
    planned = theirs.planned("models/micro-sft")
    assert sorted(planned.values()) == ["init_model", "make_tokenizer", "mix_data", "tokenize_rows", "train_sft"]
    assert theirs.targets()["models/micro-sft"]["script"] == "scripts/train_sft.py"


def test_a_module_of_a_repositorys_address_is_refused(theirs, fresh):
    for command in (["init", "--quiet"], ["add", "workflow", "rules"], [*COMMIT, "--message", "rules alone"]):
        subprocess.run(["git", *command], cwd=fresh.root, check=True)
    theirs.edit(f'"{fresh.root}/workflow/Snakefile"', f'"git+file://{fresh.root}/workflow/Snakefile@HEAD"', "Snakefile")
    said = theirs.refused("-n")
    assert "has no scripts/: a module names the Snakefile of a clone by its path (config/README.md)" in said


def test_the_catalogue_finds_what_it_asks_for():
    said = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert said["software-stack-deployment"].keys() == {"conda", "apptainer", "apptainer+conda", "report"}
    assert all(
        (ROOT / name).exists() for name in ("LICENSE", "config/README.md", "workflow/Snakefile", "rules/common.smk")
    )
    assert {"snakemake", "workflow"} <= set(re.findall(r"\w+", (ROOT / "README.md").read_text().lower()))
