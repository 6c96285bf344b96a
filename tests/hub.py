"""A small hub on a port of this machine, which speaks what huggingface_hub 2.4 asks of the protocol."""

import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
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
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def add(self, name: str, folder: Path | None = None, **revisions: str) -> None:
        """Serve a folder's files, or none, at `main` and at other revisions."""
        paths = [path for path in folder.rglob("*") if path.is_file()] if folder else []
        self.repositories[name] = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
        self.revisions[name] = {"main": COMMIT, **revisions}

    def close(self) -> None:
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
            return 200, {}, json.dumps({"id": name.partition("/")[2], "sha": commit, "siblings": siblings}).encode()
        if verb == "tree":
            return 200, {}, json.dumps([entry(file, body) for file, body in files.items()]).encode()
        if name in self.gated:
            return refuse("GatedRepo")
        body = files["/".join(rest)]
        return 200, {"ETag": f'"{sha1(body)}"', "X-Repo-Commit": commit}, body


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

        def send(self, file: str, body: bytes, start: int) -> None:
            if start:
                hub.resumed.append((file, start))
            self.wfile.write(body[start : len(body) // 2 if hub.cuts[file] > 0 else None])
            hub.cuts[file] -= 1
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
