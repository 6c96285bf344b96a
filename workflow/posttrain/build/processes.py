"""Processes that die with the one that started them, and the environment a stage runs in."""

import ctypes
import importlib.metadata
import os
import signal
import socket
import sys
from pathlib import Path

from posttrain.build.lease import KEY, started
from posttrain.files import Refusal
from posttrain.recipes.environments import APART, FOREIGN, FOREIGN_NAMES, MAKE

PR_SET_PDEATHSIG = 1
PACKAGE = Path(__file__).parents[2]  # where an environment finds posttrain that has it not installed
FORKSERVER = "POSTTRAIN_FORKSERVER"  # in the environment: the socket of a process that forks for small stages
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # SLURM's, a person's, and what some sites send
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# Snakemake sets them all to a job's threads, of all its processes together. MKL's counts more for torch than OMP's, and
# with another number of threads a sum is another number.
THREADS = tuple(f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS", "GOTO", "NUMEXPR"))
# glibc would give back after each step on a CPU what the next takes again page by page. Bytes; the first is the most
# that it allows, and what is larger is given back as ever.
HEAP = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}

# What `runtime.offload` is to accelerate's launcher, by launch.
OFFLOAD = {
    ("zero2", "optimizer"): ["--offload_optimizer_device", "cpu"],
    ("zero3", "optimizer"): ["--offload_optimizer_device", "cpu"],
    ("zero3", "all"): ["--offload_optimizer_device", "cpu", "--offload_param_device", "cpu"],
    ("fsdp", "all"): ["--fsdp_offload_params", "true"],
}


def die_with_parent(ancestor: str | None = None) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if the given ancestor already has."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if ancestor and started(int(ancestor)) is None:
        os._exit(os.EX_TEMPFAIL)


def ignore_stop_signals() -> None:
    """For a launcher: a stop is for its ranks, which finish their step and save. Runs between fork and exec."""
    die_with_parent()
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def environment(work: Path, mark: str, threads: int, online: bool, python: str = sys.executable) -> dict[str, str]:
    """What every stage's process finds set: seeds, threads, private caches, no network unless it fetches.

    Args:
        python: what runs it; the programs beside that are found first.
    """
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(FOREIGN) and name not in FOREIGN_NAMES
    }
    if not online:
        kept |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(work / "cache")}
        for name in TOKENS:  # who does not fetch needs none
            kept.pop(name, None)
    return HEAP | {"NCCL_DEBUG": "WARN"} | kept | {
        KEY: mark,
        "POSTTRAIN_SUPERVISOR": str(os.getpid()),
        "PATH": f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}",
        "HF_DATASETS_CACHE": str(work / "cache/datasets"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PET_SIGNALS_TO_HANDLE": "SIGHUP",  # torchrun must not end the ranks on a signal meant for them
        "PYTHONHASHSEED": "0",  # else peft writes target_modules in another order each time
        "PYTHONPATH": str(PACKAGE),
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TQDM_DISABLE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    } | dict.fromkeys(THREADS, str(threads))  # fmt: skip


def command(
    script: str, arguments: list[str], runtime: dict, root: Path, online: bool, python: str = sys.executable
) -> list[str]:
    """The command that runs a stage: accelerate for what is trained, a Python for the rest."""
    if python != sys.executable:
        return [python, script, *arguments]
    python = [python, *(["-m", "posttrain.forkserver"] if forks(runtime, online) else [])]
    if "launch" not in runtime:
        return [*python, script, *arguments]
    check_launch(runtime["launch"])
    config = root / "config/launch" / f"{runtime['launch']}.yaml"
    if not config.exists():
        raise Refusal(f"runtime.launch: there is no {config}")
    asked = ["--quiet", "--config_file", str(config), "--num_processes", str(runtime["processes"])]
    asked += OFFLOAD.get((runtime["launch"], runtime["offload"]), [])
    if runtime["nodes"] == 1:
        accelerate = [*python, "-m", "accelerate.commands.launch"]
        return [*accelerate, *asked, "--main_process_port", "0", script, *arguments]
    meet = ["--main_process_ip", socket.gethostname(), "--main_process_port", str(meeting_port())]
    asked += ["--num_machines", str(runtime["nodes"]), *meet]
    return [*one_task_a_node(runtime), *python, "-m", "posttrain.build.node", *asked, script, *arguments]


def check_launch(launch: str) -> None:
    """Raises: Refusal, if a launch wants a package that is not installed."""
    if launch.startswith("zero"):
        needs("deepspeed", f"runtime.launch: {launch}", "--no-build-isolation -e '.[sharding]'")


def forks(runtime: dict, online: bool) -> bool:
    """Whether a stage can be a fork of the process that is there for that: one process of one thread, without a GPU."""
    alone = runtime["threads"] == runtime.get("processes", 1) == 1 and not runtime.get("gpus")
    return (
        alone and not online and "SLURM_JOB_ID" not in os.environ and Path(os.environ.get(FORKSERVER, "none")).exists()
    )


def needs(package: str, asked: str, install: str) -> None:
    """Raises: Refusal, if what a recipe asks for wants a package that is not installed here.

    By its name: W&B leaves a folder `wandb` where it runs, which Python would import.

    Args:
        install: what pip is to install, where training's environment runs this.
    """
    if installed(package):
        return
    mend = f"pip install --constraint envs/train.lock {install}"
    if apart := next((name for name, its in APART.items() if installed(its)), None):  # training's torch is not its own
        mend = f"`{MAKE[apart].replace('make', 'make --always-make')}` installs what envs/{apart}.lock says"
    raise Refusal(f"{asked} needs {package}, which is not installed here: {mend}; or leave it out")


def installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def threads(runtime: dict) -> int:
    """Those of one node's processes."""
    return runtime["threads"] * runtime.get("processes", 1) // runtime.get("nodes", 1)


def one_task_a_node(runtime: dict) -> list[str]:
    """A step of the job that starts one task on each of its nodes, and ends with the first that fails."""
    nodes, width = runtime["nodes"], threads(runtime)
    step = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={width}"]
    return [*step, "--export=ALL", "--cpu-bind=none", "--kill-on-bad-exit=1"]


def meeting_port() -> int:
    """Where the nodes of a job find its first: below what Linux hands out itself, and another for a job beside it."""
    return 20000 + int(os.environ["SLURM_JOB_ID"]) % 10000


def check_nodes(count: int) -> None:
    """Raises: Refusal, if there is no scheduler to give several nodes."""
    if count > 1 and "SLURM_JOB_ID" not in os.environ:
        raise Refusal(
            f"runtime.nodes: {count} are asked for, and this is no job of SLURM, which gives them; "
            "build with `--profile slurm`, or say `nodes: 1`"
        )
