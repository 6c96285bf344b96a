"""Fetching from a hub: a small one in this process, which speaks what huggingface_hub 2.4 asks of the protocol."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from conftest import PAGE, Project, rows, write_lines

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PAGE_OF_THE_HUB = """\
data:
  hub-rows:
    sources: [{hub: lab/rows, split: train}]
    test: [{hub: lab/rows, split: test}]
models:
  hub-sft:
    method: sft
    base: lab/tiny
    data: hub-rows
    train: {learning_rate: 1e-2, batch_size: 8, max_steps: 2, max_length: 48, bf16: false}
"""
LOCK = f"models: {{lab/tiny: {COMMIT}}}\ndatasets: {{lab/rows: {COMMIT}}}\n"
MODEL, TOKENIZER = "hub/models--lab--tiny", "hub/tokenizers--lab--tiny"


class Hub:
    """A hub on a port of this machine. `repositories` maps "models/lab/tiny" to its files."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.down = False  # answer 503 to whatever is asked
        self.breaks_off: set[str] = set()  # files of which half is sent
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, folder: Path) -> None:
        files = (path for path in folder.rglob("*") if path.is_file())
        self.repositories[name] = {str(path.relative_to(folder)): path.read_bytes() for path in files}

    def sent(self, ending: str) -> int:
        """How many times a file was sent."""
        return sum(line.startswith("GET ") and line.endswith(ending) for line in self.asked)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of a GET."""
        path, _, _ = path.partition("?")
        words = path.strip("/").split("/")
        api = words[0] == "api"
        words = words[1:] if api else words
        kind = words.pop(0) if words[0] in ("models", "datasets") else "models"
        name, (verb, revision, *rest) = f"{kind}/{'/'.join(words[:2])}", words[2:]
        if self.down:
            return 503, {}, b""
        if name not in self.repositories:
            return 401, {"X-Error-Code": "RepoNotFound"}, b""  # as the hub does: private, or none
        if revision not in ("main", COMMIT):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b""
        files = self.repositories[name]
        if verb == "revision":
            return (
                200,
                {},
                json.dumps({"id": name.partition("/")[2], "sha": COMMIT, "siblings": siblings(files)}).encode(),
            )
        if verb == "tree":
            return 200, {}, json.dumps([entry(file, body) for file, body in files.items()]).encode()
        if name in self.gated:
            return 403, {"X-Error-Code": "GatedRepo"}, b""
        body = files["/".join(rest)]
        return 200, {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}, body  # noqa: S324


def siblings(files: dict[str, bytes]) -> list[dict]:
    return [{"rfilename": file} for file in files]


def entry(file: str, body: bytes) -> dict:
    return {"type": "file", "path": file, "size": len(body), "oid": hashlib.sha1(body).hexdigest()}  # noqa: S324


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, body = hub.answer(self.path)
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if self.command == "GET":
                half = self.path.rpartition("/")[2] in hub.breaks_off
                self.wfile.write(body[start : len(body) // 2 if half else None])
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def hub(micro_built: Project, tmp_path: Path) -> Iterator[Hub]:
    """A hub with a model, weights in a form that runs code beside the safe one, and a data set with two splits."""
    hub = Hub()
    hub.add("models/lab/tiny", micro_built.path("models/micro-init"))
    hub.repositories["models/lab/tiny"] |= {
        "README.md": b"# tiny\n",
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"!",
    }
    splits = tmp_path / "splits"
    (splits / "data").mkdir(parents=True)
    for split, part in (("train", rows()), ("test", rows()[:5])):
        parquet.write_table(pa.Table.from_pylist(part), splits / f"data/{split}-00000-of-00001.parquet")
    hub.add("datasets/lab/rows", splits)
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def project(fresh: Project, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A checkout whose recipes name that hub's model and rows, both locked."""
    fresh.path(PAGE).write_text(PAGE_OF_THE_HUB)
    fresh.path("config/lock.yaml").write_text(LOCK)
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    monkeypatch.setenv("HF_HOME", str(fresh.path(".home")))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return fresh


def files(project: Project, target: str) -> set[str]:
    return {path.name for path in project.path(target).rglob("*") if path.is_file()}


def test_a_base_and_rows_of_the_hub_build_a_model(project: Project, hub: Hub) -> None:
    output, trained = project.make("models/hub-sft")
    assert trained == ["models/hub-sft"]
    ledger = json.loads(project.path("data/hub-rows/ledger.json").read_text())
    assert [(entry["of"], entry["kept"]) for entry in ledger["entries"]] == [
        ("sources rows of hub", 32),
        ("test rows of hub", 5),
    ]
    assert files(project, MODEL) >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert not files(project, MODEL) & {
        "pytorch_model.bin",
        "modeling.py",
        "README.md",
    }  # what could run code stays there
    assert files(project, TOKENIZER) >= {"tokenizer.json", "config.json"}
    assert "model.safetensors" not in files(project, TOKENIZER)  # tokens wait for no weights
    assert hub.sent("model.safetensors") == 1
    asked = len(hub.asked)
    assert "Nothing to be done" in project.make("models/hub-sft")[0]
    assert len(hub.asked) == asked


def test_the_weights_are_those_of_the_hub_and_their_commit_is_recorded(project: Project, hub: Hub) -> None:
    project.path("config/lock.yaml").write_text("models: {}\n")  # `main` of the day
    output, _ = project.make(MODEL)
    assert f"{MODEL}: lab/tiny has no commit in config/lock.yaml" in output
    assert (
        project.path(f"{MODEL}/model.safetensors").read_bytes()
        == hub.repositories["models/lab/tiny"]["model.safetensors"]
    )
    assert json.loads(project.path(f"{MODEL}.run.json").read_text())["metrics"]["commit"] == COMMIT


def test_rows_of_the_hub_may_be_lines(project: Project, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "lines").mkdir()
    write_lines(tmp_path / "lines/train.jsonl", rows()[:7])
    write_lines(tmp_path / "lines/test.jsonl", rows()[:3])
    hub.add("datasets/lab/rows", tmp_path / "lines")
    project.make("data/hub-rows")
    assert parquet.read_table(project.path("data/hub-rows/train.parquet")).to_pylist() == rows()[:7]
    assert parquet.read_table(project.path("data/hub-rows/test.parquet")).to_pylist() == rows()[:3]


def no_such_repository(project: Project, hub: Hub) -> None:
    del hub.repositories["models/lab/tiny"]


def gated(project: Project, hub: Hub) -> None:
    hub.gated.add("models/lab/tiny")


def no_such_commit(project: Project, hub: Hub) -> None:
    project.edit(COMMIT, "f" * 40, "config/lock.yaml")


def down(project: Project, hub: Hub) -> None:
    hub.down = True


def away(project: Project, hub: Hub) -> None:
    hub.server.shutdown()
    hub.server.server_close()


def without_safe_weights(project: Project, hub: Hub) -> None:
    del hub.repositories["models/lab/tiny"]["model.safetensors"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (no_such_repository, "the hub has no model lab/tiny, or it is private: check the id, or run `hf auth login`"),
        (gated, "lab/tiny is gated: accept its terms on the hub, then run `hf auth login`"),
        (no_such_commit, f"lab/tiny has no commit {'f' * 40}; mend config/lock.yaml"),
        (down, "lab/tiny: the hub answered 503; run again to go on"),
        (away, "lab/tiny: the hub cannot be reached; run again to go on"),
        (without_safe_weights, "lab/tiny has no safetensors; other formats can run code when they are opened"),
    ],
    ids=["no repository", "gated", "no commit", "down", "away", "unsafe"],
)
def test_what_the_hub_refuses_is_said_in_one_line(project: Project, hub: Hub, fault: object, said: str) -> None:
    fault(project, hub)
    output, _ = project.make(MODEL, rc=1)
    assert f"{MODEL}: {said}\n" in output and "Traceback" not in output
    assert not project.path(f"{MODEL}.json").exists()


@pytest.mark.parametrize("lock", [LOCK, "models: {}\n"], ids=["locked", "unlocked"])
def test_half_a_model_is_never_a_model(project: Project, hub: Hub, lock: str) -> None:
    """The connection breaks while the weights come, and the hub is away when the build is run again."""
    project.path("config/lock.yaml").write_text(lock)
    hub.breaks_off.add("model.safetensors")
    project.make(MODEL, rc=1)
    hub.breaks_off.clear()
    hub.down = True
    output, _ = project.make(MODEL, rc=1)
    assert "run again to go on" in output
    assert not project.path(f"{MODEL}.json").exists()
    hub.down = False
    config = hub.sent("config.json")
    project.make(MODEL)
    assert (
        project.path(f"{MODEL}/model.safetensors").read_bytes()
        == hub.repositories["models/lab/tiny"]["model.safetensors"]
    )
    assert hub.sent("config.json") == config  # what had come whole did not come again
