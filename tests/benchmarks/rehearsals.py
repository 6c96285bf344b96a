"""How long each shipped family takes to rehearse, from nothing: the goal is two minutes on two cores.

    python tests/benchmarks/rehearsals.py [page ...]

A family is a page of config/recipes: every model of it, with all that they are made of, in a checkout of its own.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import ROOT, Project, clean_environment, shipped_checkout
from posttrain.recipes import page


def models_of(project: Project, name: str) -> list[str]:
    """The targets of a page's models, those of its scans too."""
    said = [f"models/{model}" for model in page.read(ROOT / "config/recipes" / f"{name}.yaml")[0].get("models", {})]
    planned = (path for path in project.targets() if path.startswith("models/"))
    return [path for path in planned if path.partition("@")[0] in said]


def main() -> None:
    os.environ.update(clean_environment())
    pages = sys.argv[1:] or sorted(path.stem for path in (ROOT / "config/recipes").glob("*.yaml"))
    print(f"load {os.getloadavg()[0]:.1f} at the start, on {os.cpu_count()} cores")
    for name in pages:
        with tempfile.TemporaryDirectory() as folder:
            project = shipped_checkout(Path(folder) / "p")
            project.make("-n")
            if models := models_of(project, name):
                start = time.perf_counter()
                process = project.start(*models, "--profile", "rehearse")
                said = process.communicate()[0]
                assert process.returncode == 0, said
                jobs = len(Project(project.path("rehearsal")).standing())
                print(f"| `{name}` | {len(models)} | {jobs} | {time.perf_counter() - start:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
