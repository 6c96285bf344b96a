"""Digests of files outside the build, remembered while size, times and inode stay as they are."""

from pathlib import Path

from posttrain.files import Refusal, digest, file_digest, files_below, read_json, write_json

MEMORY = Path(".posttrain/digests.json")


class Contents:
    """The digests of local files and folders; a plan reads a large file once."""

    def __init__(self) -> None:
        self.known = read_json(MEMORY)
        self.seen: dict[str, list] = {}

    def of(self, path: str) -> str:
        place = Path(path)
        if place.is_dir():
            return digest({str(file.relative_to(place)): self.of_file(file) for file in files_below(place)})
        return self.of_file(place)

    def of_file(self, path: Path) -> str:
        name, stat = str(path), path.stat()
        stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]  # mtime alone can be kept
        if self.known.get(name, [None])[0] != stamp:
            try:
                self.known[name] = [stamp, file_digest(path)]
            except OSError as error:
                raise Refusal(f"{path}: {error.strerror}") from None
        self.seen[name] = self.known[name]
        return self.known[name][1]

    @staticmethod
    def of_text(text: str) -> str:
        return digest(text)

    def remember(self) -> None:
        """Keep what this plan asked for."""
        if self.seen != read_json(MEMORY):
            write_json(MEMORY, self.seen, durable=False)
