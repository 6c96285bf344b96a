"""A process that has imported what stages import, and forks for each of them.

Of what a stage of a rehearsal or a test takes, nine tenths are imports of torch and TRL. A fork has them, and is
otherwise the process that it stands in for: its arguments, environment, folder and output are its client's, and it ends
when that does. What has several processes or threads, or fetches, is started anew.

python -m posttrain.forkserver [-m accelerate.commands.launch …] SCRIPT ARGUMENTS
"""

import argparse
import atexit
import functools
import gc
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

from posttrain.build.processes import FORKSERVER, die_with_parent

LAUNCHER = ["-m", "accelerate.commands.launch"]
PROGRAMS = (  # what stages import
    "datasets",
    "posttrain.data.tokenizer",
    "posttrain.data.tokens",
    "posttrain.evaluate.answers",
    "posttrain.evaluate.pairs",
    "posttrain.evaluate.text",
    "posttrain.sample.engines.transformers",
    "posttrain.score.reward",
    "posttrain.score.select",
    "posttrain.train.arguments",
    "posttrain.train.average",
    "posttrain.train.gguf",
    "posttrain.train.merge",
    "posttrain.train.reference",
    "posttrain.train.run",
    "posttrain.train.trainers",
)
SET_AT_IMPORT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "TRL_EXPERIMENTAL_SILENCE": "1"}


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks for each that connects."""

    max_children = 1000
    request_queue_size = 100


class Stage(socketserver.BaseRequestHandler):
    """One fork: the program that its client would have been."""

    def handle(self) -> None:
        size, streams, *_ = socket.recv_fds(self.request, 8, 2)
        with self.request.makefile("rb") as said:
            asked = json.loads(said.read(int.from_bytes(size, "big")))
        for stream, number in zip(streams, (1, 2), strict=True):
            os.dup2(stream, number)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        threading.Thread(target=self.end_with_client, daemon=True).start()
        self.request.sendall(bytes([run(asked["arguments"])]))

    def end_with_client(self) -> None:
        self.request.recv(1)
        os._exit(os.EX_TEMPFAIL)


def run(arguments: list[str]) -> int:
    """Run a program in this process, as Python would; its exit status."""
    import datasets
    from accelerate.commands import launch

    datasets.config.HF_DATASETS_CACHE = Path(os.environ["HF_DATASETS_CACHE"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 0
    try:
        if arguments[:2] == LAUNCHER:
            sys.argv = arguments[1:]
            launch.simple_launcher = launch_here
            launch.main()
        else:
            run_script(arguments)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    return status


def launch_here(args: argparse.Namespace) -> None:
    """accelerate's launcher of one process, without a process."""
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    command, environment = prepare_simple_launcher_cmd_env(args)
    os.environ.update(environment)
    run_script(command[1:])


def run_script(arguments: list[str]) -> None:
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).parent.absolute())
    runpy.run_path(arguments[0], run_name="__main__")


@functools.cache
def opened() -> str:
    """The socket of a server that is there as long as this process."""
    folder = tempfile.mkdtemp(prefix="posttrain-")
    server = start(f"{folder}/stages")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.kill)
    return f"{folder}/stages"


def start(place: str) -> subprocess.Popen:
    environment = os.environ | SET_AT_IMPORT | {"HF_HOME": f"{Path(place).parent}/hub"}
    command = [sys.executable, "-m", "posttrain.forkserver", "--serve", place]
    server = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.PIPE)
    server.stdout.read(1)  # it is ready, or gone
    return server


def serve(place: str) -> None:
    die_with_parent()
    for name in PROGRAMS:
        importlib.import_module(name)
    gc.freeze()
    with Server(place, Stage) as server:
        os.write(1, b"\n")
        os.dup2(2, 1)
        server.serve_forever()


def ask(place: str, arguments: list[str]) -> int:
    """Have a program run by the server; its exit status."""
    asked = {"arguments": arguments, "environment": dict(os.environ), "folder": str(Path.cwd())}
    said = json.dumps(asked).encode()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(place)
        socket.send_fds(client, [len(said).to_bytes(8, "big")], [1, 2])
        client.sendall(said)
        return (client.recv(1) or bytes([1]))[0]


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        sys.exit(ask(os.environ[FORKSERVER], sys.argv[1:]))
