"""A small hub on a port of this machine, which speaks what huggingface_hub 2.4 asks of the protocol."""

import base64
import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from huggingface_hub import ModelCard

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".parquet")  # what a new repository keeps apart from git
REFUSED = {"RepoNotFound": 401, "GatedRepo": 403, "RevisionNotFound": 404, "EntryNotFound": 404}


class Hub:
    """A hub, served by this process. `repositories` maps "models/lab/tiny" to its files."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.revisions: dict[str, dict[str, str]] = {}  # of a repository, branch or tag → commit
        self.gated: set[str] = set()
        self.down = False  # answer 503 to whatever is asked
        self.busy = 0  # how many more requests are too many
        self.retry_after = "0"
        self.cuts: Counter[str] = Counter()  # of a file, how many more times half of it is sent
        self.asked: list[str] = []
        self.resumed: list[tuple[str, int]] = []  # files of which the rest was asked for, and from which byte on
        self.tokens: set[str | None] = set()
        self.writer: str | None = None  # the token that may write; every one if none is said
        self.private: set[str] = set()
        self.licences = {"apache-2.0", "mit", "other"}
        self.blobs: dict[str, bytes] = {}  # large files that came whole, by their sha256
        self.severed: Counter[str] = Counter()  # of create, preupload, batch, PUT, commit, how many more times they are
        self.answerless = 0  # how many more commits are made, and not said to be
        self.room: int | None = None  # how many more large files are taken before who sends one is kept waiting
        self.open = threading.Event()  # waits no more
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, folder: Path | None = None, **revisions: str) -> None:
        """Serve a folder's files, or none, at `main` and at other revisions."""
        paths = [path for path in folder.rglob("*") if path.is_file()] if folder else []
        self.repositories[name] = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        self.revisions[name] = {"main": COMMIT, **revisions}

    def close(self) -> None:
        self.open.set()
        self.server.shutdown()
        self.server.server_close()

    def sent(self, ending: str) -> int:
        """How many times a file was asked for, in whole or in part."""
        return sum(line.startswith("GET ") and line.endswith(ending) for line in self.asked)

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """The status, headers and body of a GET."""
        words = path.partition("?")[0].strip("/").split("/")
        words = words[1:] if words[0] == "api" else words
        kind = words.pop(0) if words[0] in ("models", "datasets") else "models"
        if len(words) < 4:  # what huggingface_hub asks besides
            return 404, {}, b""
        name, (verb, revision, *rest) = f"{kind}/{'/'.join(words[:2])}", words[2:]
        if self.down:
            return 503, {}, b""
        if self.busy:
            self.busy -= 1
            return 429, {"Retry-After": self.retry_after}, b""
        if name not in self.repositories:
            return refuse("RepoNotFound")  # as the hub does: private, or none
        commits = self.revisions[name]
        revision = revision.replace("%2F", "/")
        if revision not in commits and revision not in commits.values():
            return refuse("RevisionNotFound")
        commit, files = commits.get(revision, revision), self.repositories[name]
        if verb == "revision":
            siblings = [{"rfilename": file} for file in files]
            about = {"id": name.partition("/")[2], "sha": commit, "private": name in self.private}
            return 200, {}, json.dumps(about | {"siblings": siblings}).encode()
        if verb == "tree":
            return 200, {}, json.dumps([entry(file, body) for file, body in files.items()]).encode()
        if name in self.gated:
            return refuse("GatedRepo")
        if (body := files.get("/".join(rest))) is None:
            return refuse("EntryNotFound")
        return 200, {"ETag": f'"{sha1(body)}"', "X-Repo-Commit": commit}, body

    def take(self, path: str, body: bytes) -> tuple[int, dict, object]:
        """The status, headers and answer of what is sent."""
        words = path.partition("?")[0].strip("/").split("/")
        if words[0] == "lfs":
            self.blobs |= {words[1]: body} if hashlib.sha256(body).hexdigest() == words[1] else {}
            return 200, {}, {}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {}, {"objects": [self.wanted(said) for said in json.loads(body)["objects"]]}
        if path == "/api/validate-yaml":
            return self.read_card(json.loads(body)["content"])
        if path == "/api/repos/create":
            said = json.loads(body)
            return self.create(f"{said.get('type', 'model')}s/{said['organization']}/{said['name']}", said)
        name, verb = "/".join(words[1:4]), words[4]
        files = self.repositories[name]
        if verb == "preupload":
            return 200, {}, {"files": [sorted_out(said, files) for said in json.loads(body)["files"]]}
        return self.commit(name, [json.loads(line) for line in body.splitlines()])

    def wanted(self, said: dict) -> dict:
        """What is to be done with a large file: nothing, if it is here."""
        upload = {"upload": {"href": f"{self.address}/lfs/{said['oid']}"}}
        return said if said["oid"] in self.blobs else said | {"actions": upload}

    def read_card(self, content: str) -> tuple[int, dict, object]:
        found = ModelCard(content).data.get("license")
        if found is None or found in self.licences:
            return 200, {}, {}
        return 400, {}, {"errors": [{"message": f'"license" must be one of {sorted(self.licences)}'}]}

    def create(self, name: str, said: dict) -> tuple[int, dict, object]:
        url = {"url": f"{self.address}/{name.removeprefix('models/')}"}
        if name in self.repositories:
            return 409, {}, url | {"error": "You already created this repo"}
        self.add(name)
        self.repositories[name][".gitattributes"] = b"*.safetensors filter=lfs\n"
        self.private |= {name} if said.get("visibility") == "private" else set()
        return 200, {}, url

    def commit(self, name: str, lines: list[dict]) -> tuple[int, dict, object]:
        head, *changes = lines
        if head["value"].get("parentCommit") != self.revisions[name]["main"]:
            return 412, {}, {"error": "the head has moved"}
        files = dict(self.repositories[name])
        for change in changes:
            value = change["value"]
            if change["key"] == "deletedFile":
                del files[value["path"]]
            elif change["key"] == "lfsFile":
                files[value["path"]] = self.blobs[value["oid"]]
            else:
                files[value["path"]] = base64.b64decode(value["content"])
        self.repositories[name] = files
        commit = hashlib.sha1(json.dumps(lines).encode()).hexdigest()
        self.revisions[name]["main"] = commit
        return 200, {}, {"commitUrl": f"{self.address}/{name}/commit/{commit}", "commitOid": commit}


def sorted_out(said: dict, files: dict[str, bytes]) -> dict:
    """Whether a file is large, and what is here of that name."""
    held, large = files.get(said["path"]), said["path"].endswith(LARGE)
    oid = None if held is None else hashlib.sha256(held).hexdigest() if large else blob(held)
    return {"path": said["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}


def blob(body: bytes) -> str:
    """A file's name in git."""
    return sha1(b"blob %d\0" % len(body) + body)


def refuse(code: str) -> tuple[int, dict[str, str], bytes]:
    return REFUSED[code], {"X-Error-Code": code}, b""


def sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


def entry(file: str, body: bytes) -> dict:
    return {"type": "file", "path": file, "size": len(body), "oid": sha1(body)}


def handler_of(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            hub.tokens.add(self.headers.get("Authorization"))
            status, headers, body = hub.answer(self.path)
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            self.send_response(206 if start else status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            if self.command == "GET":
                self.send(self.path.rpartition("/")[2], body, start)

        do_HEAD = do_GET

        def do_POST(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            hub.tokens.add(self.headers.get("Authorization"))
            what = self.command if self.command == "PUT" else self.step()
            if self.command == "PUT" and hub.room is not None:
                if not hub.room:
                    hub.open.wait()
                hub.room = max(0, hub.room - 1)
            length = int(self.headers["Content-Length"])
            if hub.severed[what] > 0:
                hub.severed[what] -= 1
                self.rfile.read(length // 2)
                self.close_connection = True
                return
            body = self.rfile.read(length)
            open_to_all = self.command == "PUT" or what == "validate-yaml"
            if hub.writer and not open_to_all and self.headers.get("Authorization") != f"Bearer {hub.writer}":
                self.say(*refuse("RepoNotFound"))
                return
            status, headers, answer = hub.take(self.path, body)
            if what == "commit" and hub.answerless:
                hub.answerless -= 1
                self.close_connection = True
                return
            if self.headers.get("Accept") == "text/plain":
                self.say(status, headers, "\n".join(error["message"] for error in answer.get("errors", [])).encode())
            else:
                self.say(status, headers, json.dumps(answer).encode())

        do_PUT = do_POST

        def step(self) -> str:
            return next(
                word for word in ("validate-yaml", "create", "preupload", "batch", "commit") if f"/{word}" in self.path
            )

        def say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send(self, file: str, body: bytes, start: int) -> None:
            if start:
                hub.resumed.append((file, start))
            self.wfile.write(body[start : len(body) // 2 if hub.cuts[file] > 0 else None])
            hub.cuts[file] -= 1
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
