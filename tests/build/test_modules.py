"""What config/site.yaml says of every job, seen by a stage's own process."""

import json
import sys
from pathlib import Path

import pytest

ROWS, SCRIPT = "data/micro-rows", "scripts/mix_rows.py"
# `module`, as a login shell exports it to every bash.
MODULE = """() {
  shift
  for name; do
    [ -d "$MODULES/$name" ] || { echo "there is no module $name" >&2; return 1; }
    PATH="$MODULES/$name:$PATH"
  done
}"""
LOOKS = """
import json, os, shutil, sys
found = [shutil.which(name) for name in ("python", "nvcc", "mpirun")]
with open("seen.json", "w") as file:
    json.dump({"python": sys.executable, "found": found, "network": os.environ.get("NCCL_SOCKET_IFNAME")}, file)
"""


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, str]:
    """The environment of a login shell with two modules, of which `cuda` brings another python."""
    for name in ("cuda/python", "cuda/nvcc", "mpi/mpirun"):
        program = tmp_path / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
    return {"BASH_FUNC_module%%": MODULE, "MODULES": str(tmp_path)}


def test_a_job_has_the_sites_modules_and_variables_its_own_python_and_works_on_the_scratch(fresh, modules, tmp_path):
    fresh.path(SCRIPT).write_text(LOOKS + fresh.path(SCRIPT).read_text())
    fresh.path("config/site.yaml").write_text(
        f"modules: [cuda, mpi]\nvariables: {{NCCL_SOCKET_IFNAME: ib0}}\nscratch: {tmp_path}/fast\n"
    )
    fresh.make(ROWS, **modules)
    assert json.loads(fresh.path("seen.json").read_text()) == {
        "python": sys.executable,
        "found": [f"{Path(sys.executable).parent}/python", f"{tmp_path}/cuda/nvcc", f"{tmp_path}/mpi/mpirun"],
        "network": "ib0",
    }
    assert [path.name for path in tmp_path.glob("fast/p.*/*")] == ["data"]


def test_a_module_that_is_not_there_ends_the_job(fresh, modules):
    fresh.path("config/site.yaml").write_text("modules: [cuda, mip]\n")
    output = fresh.make(ROWS, rc=1, **modules)[0]
    assert "there is no module mip" in output
    assert fresh.started() == []
