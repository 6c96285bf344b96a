"""From the catalogue to targets: what each artifact is made of, down to tokenizers, tokens and fetched files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posttrain.files import Refusal, digest
from posttrain.plan.contents import Contents
from posttrain.recipes import identity, lock
from posttrain.recipes.catalogue import Catalogue, Named
from posttrain.recipes.names import HUB_ID
from posttrain.recipes.runtime import Runtime
from posttrain.words import did_you_mean


@dataclass
class Target:
    """One artifact and the stage that makes it."""

    path: str  # models/zephyr-7b-sft
    stage: str  # train_sft, which is also its rule and its script
    own: dict  # what it is, apart from its inputs
    names: dict[str, str] = field(default_factory=dict)  # role → the input's name as typed: part of the identity
    inputs: dict[str, str] = field(default_factory=dict)  # role → another target
    files: dict[str, str] = field(default_factory=dict)  # role → a file or folder outside the build
    texts: dict[str, str] = field(default_factory=dict)  # role → a small file's text, frozen with the plan
    hub_id: str = ""  # of what is fetched from the hub: its id as typed
    unlocked: list[str] = field(default_factory=list)  # the hub ids that it descends from, and that have no commit
    runtime: dict = field(default_factory=lambda: Runtime().model_dump())
    intent: str = ""
    refusal: str = ""  # why it cannot be made, for who asks for it
    environment: str = "train"  # what its program runs in: a lock of envs/

    def __post_init__(self) -> None:
        self.own = identity.what_it_is(self.stage, self.own)

    @property
    def identity(self) -> dict:
        return {**self.own, **self.names}


class Targets:
    """The targets of a catalogue, inputs before what is made of them."""

    def __init__(
        self,
        catalogue: Catalogue,
        templates: list[Path],
        here: Path,
        locked: dict,
        contents: Contents,
        makers: dict,
        stand_ins: Any = None,
    ) -> None:
        """Where the catalogue's names lead.

        Args:
            templates: the folders of chat templates.
            here: what the recipes' paths count from.
            stand_ins: in a rehearsal, what stands for repositories and models' folders.
        """
        self.catalogue, self.templates, self.here, self.lock = catalogue, templates, here, locked
        self.contents, self.makers, self.stand_ins = contents, makers, stand_ins
        self.all: dict[str, Target] = {}
        self.hub_ids: dict[str, set[str]] = {"models": set(), "datasets": set()}  # what `posttrain lock` pins
        self.open: list[str] = []
        for path in catalogue.uses:
            self.named(path)
        for path, entry in catalogue.entries.items():
            if path.startswith("evals/"):  # one entry, a target a model
                for target in self.made(entry):
                    self.add(target)
            else:
                self.named(path)

    def add(self, target: Target) -> str:
        parts = {role: self.all[path].intent for role, path in identity.counted(target.inputs).items()}
        parts |= {role: self.contents.of(path) for role, path in target.files.items()}
        parts |= {role: self.contents.of_text(text) for role, text in target.texts.items()}
        target.intent = identity.intent(target.own, parts)
        above = (self.all[path].unlocked for path in target.inputs.values())
        target.unlocked = sorted(set(target.unlocked).union(*above))
        if target.path.endswith("/"):  # an internal target is named by what it is, so equal ones are one
            target.path += target.intent
        self.all.setdefault(target.path, target)
        return target.path

    def named(self, path: str) -> str:
        """Add the target that a person named, after all it is made from."""
        if path in self.all:
            return path
        if path in self.open:
            circle, entry = [*self.open[self.open.index(path) :], path], self.catalogue.entries[path]
            key = where_named(entry, circle[1].split("/", 1)[1])
            raise entry.refuse(key, f"is made from itself: {' → '.join(circle)}")
        self.open.append(path)
        if path in self.catalogue.uses:
            target = self.used(path)
        else:
            (target,) = self.made(self.catalogue.entries[path])
        self.open.pop()
        return self.add(target)

    def made(self, entry: Named) -> list[Target]:
        """The targets of an entry. Those that what the site says does not fit are refused to who asks for them."""
        opened, refusal = len(self.open), entry.refusal
        try:
            made = self.makers[type(entry.recipe)](self, entry)
            targets = [made] if isinstance(made, Target) else list(made)
        except Refusal as fault:
            if not entry.as_written:
                raise
            del self.open[opened:]
            targets, refusal = self.made(entry.as_written), str(fault)
        for target in targets:
            target.refusal = refusal or target.refusal
        return targets

    def named_by(self, entry: Named, key: str, kind: str) -> str:
        """The target of a kind that a field of a recipe names."""
        return self.known(entry, (key,), f"{kind}/{getattr(entry.recipe, key)}")

    def known(self, entry: Named, key: tuple, path: str) -> str:
        """A target that a part of a recipe names. Raises: Refusal, if there is none."""
        if path not in self.catalogue.entries and path not in self.catalogue.uses:
            kind, _, name = path.partition("/")
            raise entry.refuse(key, f"there is no {path}. {did_you_mean(name, self.names(kind))}")
        return self.named(path)

    def names(self, kind: str) -> list[str]:
        return [path.split("/", 1)[1] for path in self.catalogue.entries if path.startswith(f"{kind}/")]

    def used(self, path: str) -> Target:
        """A foreign artifact in a target's place: a folder, with its digest for a recipe, or a hub repository."""
        folder, line = self.catalogue.uses[path]
        where, kind = self.here / Path(folder).expanduser(), path.split("/")[0]
        if where.is_dir():
            wanted = WANTED[kind]
            if not any(where.glob(wanted)):
                raise Refusal(
                    f"{line}: use.{path}: {folder} has no {wanted}, and posttrain opens nothing that can run code"
                )
            if kind == "models" and self.stand_ins:
                return self.stand_ins.folder(path, where)
            return Target(path, "adopt_folder", {}, {"folder": folder}, files={"folder": str(where)})
        if HUB_ID.fullmatch(folder) and kind == "models":
            return self.snapshot(path, "models", folder)
        hint = "it is no hub id (org/name)"
        if HUB_ID.fullmatch(folder):
            source = f"sources: [{{hub: {folder}, split: train}}]"
            hint = f"rows of the hub are read by a recipe: {kind}: {{{path.split('/', 1)[1]}: {{{source}}}}}"
        raise Refusal(f"{line}: use.{path}: there is no folder {folder}, and {hint}")

    def snapshot(self, path: str, kind: str, hub_id: str, files: str | None = None) -> Target:
        """A repository of the hub at its locked commit, or some of its files; `tokenizers` are a model's, without its
        weights.
        """
        if self.stand_ins:
            return self.stand_ins.snapshot(path, kind, hub_id, files)
        repo_id, revision = lock.parts(hub_id)
        pinned = "models" if kind == "tokenizers" else kind
        self.hub_ids[pinned].add(hub_id)
        own = {"kind": kind, "repo_id": repo_id, "revision": self.lock[pinned].get(hub_id, revision)}
        own |= {"files": files} if files else {}
        unlocked = [] if lock.COMMIT.fits(own["revision"]) else [hub_id]
        runtime = Runtime(hours=24).model_dump()
        return Target(path, "fetch_snapshot", own, runtime=runtime, hub_id=hub_id, unlocked=unlocked)

    def hub(self, kind: str, hub_id: str, files: str | None = None) -> str:
        path = f"hub/{kind}--{hub_id.replace('/', '--')}" + (f"--{digest(files)}" if files else "")
        return self.add(self.snapshot(path, kind, hub_id, files))

    def wheel(self, entry: Named, key: tuple, wheel: str) -> str:
        """A wheel of a package index, by what a recipe says; only its sha256 says that it is the one that was meant."""
        if wheel not in self.lock["wheels"]:
            raise entry.refuse(
                key,
                f"{wheel} has no sha256 under `wheels:` in config/lock.yaml; "
                f"`pip download --no-deps {wheel}`, then `pip hash` of the file, says it",
            )
        own = {"requirement": wheel, "sha256": self.lock["wheels"][wheel]}
        path = f"hub/wheels--{wheel.replace('==', '--')}"
        return self.add(Target(path, "fetch_wheel", own, runtime=Runtime(hours=24).model_dump()))


def where_named(entry: Named, name: str) -> tuple:
    """The key of a recipe that names something."""
    for key, value in entry.recipe:
        if value == name and key != "method":
            return (key,)
        if isinstance(value, dict) and name in value:
            return (key, name)
    return ()


# The file that a folder in a target's place must have.
WANTED = {
    "data": "train.parquet",
    "completions": "completions.parquet",
    "scores": "scores.parquet",
    "preferences": "train.parquet",
    "models": "*.safetensors",
}
