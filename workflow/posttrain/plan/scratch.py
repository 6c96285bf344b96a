"""`work`: a link to the site's scratch where config/site.yaml names one, and else a folder of the checkout."""

from pathlib import Path

from posttrain.files import Refusal, digest

WORK = Path("work")


def settle(scratch: str | None) -> None:
    """Have `work` lie where the site says; without its word, what was begun elsewhere goes on there.

    Raises: Refusal, if something was begun in another place than the site says.
    """
    ours = f"{Path.cwd().name}.{digest(str(Path.cwd()))}"  # many checkouts may share a scratch
    folder = Path(scratch, ours) if scratch else None
    lies = WORK.readlink() if WORK.is_symlink() else WORK
    try:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        if lies == folder or (not folder and lies.name != ours):
            return
        if not any(path.is_file() for path in WORK.rglob("*")):
            take_away()
            if folder:
                WORK.symlink_to(folder)
        elif folder:
            raise Refusal(
                f"config/site.yaml: scratch: what was begun is in {WORK.resolve()}; finish it without `scratch`, or "
                f"move what that holds to {folder} and delete {WORK}"
            )
    except OSError as error:
        raise Refusal(f"config/site.yaml: scratch: {error.filename}: {error.strerror}") from None


def take_away() -> None:
    """Take away a link, or folders of nothing."""
    if WORK.is_symlink():
        WORK.unlink()
    elif WORK.exists():
        for folder in (*sorted(WORK.rglob("*"), reverse=True), WORK):
            folder.rmdir()
