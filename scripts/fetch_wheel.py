"""Download a wheel by its sha256 from the index that this machine's pip asks, and unpack it. Nothing is installed.

python -m posttrain.build hub/wheels--name--version
"""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

from posttrain.build.job import open_job
from posttrain.build.processes import die_with_parent
from posttrain.files import Refusal


def download(requirement: str, sha256: str, work: Path) -> Path:
    """The wheel, whose bytes pip has found to be the pinned ones."""
    pinned, folder = work / "requirements.txt", work / "download"
    pinned.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--progress-bar=off", f"--dest={folder}"]
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, f"--requirement={pinned}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        preexec_fn=die_with_parent,
    )
    print(pip.stdout, flush=True)
    if other := re.search(r"Got +([0-9a-f]{64})", pip.stdout):
        raise Refusal(
            f"{requirement}: its sha256 is {other[1]}, and config/lock.yaml says {sha256}: another wheel, or another "
            "platform's. Nothing was kept; mend config/lock.yaml if this is the one you mean"
        )
    if pip.returncode:
        said = re.findall(r"ERROR: (.+)", pip.stdout) or [f"pip ended with status {pip.returncode}"]
        raise Refusal(f"{requirement}: {said[-1]}; `pip config list` shows which index is asked. Run again to go on")
    return next(folder.glob("*.whl"))


def main() -> None:
    with open_job(__doc__) as job:
        wheel = download(job.recipe["requirement"], job.recipe["sha256"], job.work)
        with zipfile.ZipFile(wheel) as files:
            files.extractall(job.out)  # it takes `..` and a leading / out of the names
        job.metrics["wheel"] = wheel.name


if __name__ == "__main__":
    main()
