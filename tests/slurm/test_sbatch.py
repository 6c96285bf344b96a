"""The line by which sbatch is asked for each job of a family of each kind: tests/slurm/sbatch.txt.

`python tests/slurm/test_sbatch.py` writes it anew. No cluster is needed: the plugin's own lines go to a stand-in.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import clean_environment, shipped_checkout

HERE = Path(__file__).parent
LINES = HERE / "sbatch.txt"
SITE = """\
account: lab
partition: {gpu: h100, cpu: serial}
qos: {gpu: long}
constraint: {gpu: "h100&ib"}
max_hours: 47.99
"""
ASKED = ["quickstart-dpo", "zephyr-7b-dpo", "zephyr-7b-dpo-qlora", "zephyr-7b-rs-dpo", "zephyr-141b-a35b-orpo"]
ASKED += ["starchat2-15b-dpo", "smollm2-135m-dpo", "smollm3", "gpt2-nl-dpo", "cai-grok-own-dpo"]
# Says in one write what it was asked for, less the job's program, and gives that a number.
SBATCH = """\
#!/bin/bash
line=sbatch
for word; do case $word in --wrap=*) ;; *) printf -v line '%s %q' "$line" "$word" ;; esac; done
echo "$line" >> sbatch.said
echo $$
"""
HEAD = """\
# sbatch --parsable --job-name RUN --output .snakemake/slurm_logs/JOB/%j.log --export=ALL --comment JOB -D ROOT --wrap=…
# and, of each job:
"""
SILENT = ("sacct", "sacctmgr", "scancel", "scontrol", "sinfo", "squeue", "sshare")
LINE = re.compile(
    r"sbatch --parsable --job-name [\w-]{36} --output ROOT/\.snakemake/slurm_logs/\S+\.log --export=ALL"
    r" --comment rule_([0-9a-f]{16}_)?(?P<rule>[a-z_.]+?)(_wildcards_(?P<name>\S+))? (?P<asks>.+) -D ROOT(?P<more>.*)"
)


def said(folder: Path) -> str:
    """What sbatch is told of each job, by its rule and name; a group is called after one of its rules."""
    root = shipped_checkout(folder / "p").root
    (root / "config/site.yaml").write_text(SITE)
    (folder / "bin").mkdir()
    for name, program in {"sbatch": SBATCH, **dict.fromkeys(SILENT, "#!/bin/sh\n")}.items():
        (folder / "bin" / name).write_text(program)
        (folder / "bin" / name).chmod(0o755)
    environment = clean_environment() | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, HERE / "send_all.py", *(f"models/{name}" for name in ASKED), "--profile", "slurm"]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    lines = (root / "sbatch.said").read_text().replace(str(root), "ROOT").splitlines()
    jobs = [LINE.fullmatch(line) for line in lines]
    assert all(jobs), next(line for line, job in zip(lines, jobs, strict=True) if not job)
    made = {f"{job['rule']} {job['name'] or '(a group)'}:\n  {job['asks']}{job['more']}\n" for job in jobs}
    return HEAD + "".join(sorted(made))


def test_each_shipped_family_asks_sbatch_for_what_it_needs(tmp_path):
    assert said(tmp_path) == LINES.read_text(), "`python tests/slurm/test_sbatch.py` writes it anew"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        LINES.write_text(said(Path(made)))
