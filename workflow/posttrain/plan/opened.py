"""What the rules, and who looks at a build, ask of the frozen plan."""

import functools
import os
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from posttrain.build import environments, lease, sandbox, sent, status
from posttrain.build.launch import said_at
from posttrain.build.store import Store
from posttrain.files import Refusal, digest, read_json
from posttrain.plan import asked, frozen, publishing, triggers
from posttrain.plan.groups import Groups
from posttrain.plan.lineage import carded, lineage, reported
from posttrain.recipes.benchmarks import runs_code
from posttrain.words import nearest


class Plan:
    """What the rules ask of the frozen plan."""

    def __init__(self, path: str, main: bool, deploys: bool = False, gpus: int | None = None) -> None:
        plan = read_json(path)
        if not plan:
            raise Refusal(f"the plan {path} cannot be read; run snakemake again to make it anew")
        self.path, self.main, self.deploys, self.gpus = path, main, deploys, gpus
        self.targets, self.scans, self.site = plan["targets"], plan["scans"], plan["site"]
        self.families = plan["families"]
        self.root, self.environments, self.store = Path(plan["root"]), plan["environments"], Store(Path(plan["store"]))
        self.asked: set[str] = set()
        self.looked_for: set[str] = set()  # the environments that were, and the sandbox
        self.hub_ids, self.published, self.rehearses = plan["hub_ids"], plan["published"], plan["rehearses"]

    def all(self, kind: str) -> list[str]:
        return [path for path in self.targets if path.startswith(f"{kind}/")]

    def made_by(self, rule: str, kind: str = "") -> str:
        """A wildcard's constraint: the names of the targets that a rule makes (whole paths without a kind)."""
        prefix = f"{kind}/" if kind else ""
        made = [path for path, target in self.targets.items() if target["rule"] == rule and path.startswith(prefix)]
        return any_of(path.removeprefix(prefix) for path in made)

    def named(self, kind: str) -> str:
        """A wildcard's constraint: the names of all targets of a kind, whatever makes them."""
        return any_of(path.removeprefix(f"{kind}/") for path in self.all(kind))

    def publications(self) -> str:
        """A wildcard's constraint: the names of the models that are to be published."""
        return any_of(self.published)

    def rows(self) -> str:
        """A wildcard's constraint: the paths of all sets of rows."""
        return f"data/({self.named('data')})|preferences/({self.named('preferences')})"

    def families_named(self) -> str:
        """A wildcard's constraint: the names of all families."""
        return any_of(self.families)

    def reported(self, path: str) -> list[str]:
        """What the page of `models/x` shows, or that of `families/x`."""
        kind, name = path.split("/", 1)
        return reported(self.targets, *(self.families[name] if kind == "families" else [path]))

    def carded(self, path: str) -> list[str]:
        return carded(self.targets, path)

    def described(self, path: str) -> str:
        """The digest of what the plan alone says on a model's card."""
        bases = publishing.bases(self.targets, publishing.repos(self.published), path)
        told = [self.carded(path), bases, publishing.licence(self.targets, path)]
        said = self.published.get(path.removeprefix("models/"), {}) | {"refusal": ""}  # which is on no card
        environments = sorted({self.targets[made]["environment"] for made in lineage(self.targets, path)})
        return digest([*told, said, environments])

    def sends(self, path: str) -> list[str]:
        """What is published of a model: the model, and rows. Raises: Refusal, if it cannot be."""
        said = self.published[path.removeprefix("models/")]
        if said["refusal"]:
            raise Refusal(said["refusal"])
        return [path, *said["datasets"]]

    def looked_at(self, path: str) -> list[str]:
        """What the page of a set of rows shows: the rows, and the completions and scores that they were chosen by."""
        inputs = self.targets[path]["inputs"]
        return [path, *(inputs[role] for role in ("completions", "scores") if role in inputs)]

    def trigger(self, path: str) -> str:
        """The file that makes a target's rule run: its content changes exactly when the target must be made."""
        if self.main and path not in self.asked:
            self.asked.add(path)
            if self.targets[path]["refusal"] and not self.targets[path]["made"]:
                raise Refusal(self.targets[path]["refusal"])
            self.refuse_too_many_gpus(path)
            self.refuse_if_held(path)
            triggers.update(path, self.targets[path], self.environments)
            for said in warnings(self.targets[path]):
                print(f"{path}: {said}", file=sys.stderr)
            self.name_lacking(path)
        return triggers.path_of(path)

    def name_lacking(self, path: str) -> None:
        """Say, once, that what a target would be made in is not here. Where jobs run it may be."""
        target, name = self.targets[path], self.targets[path]["environment"]
        if target["made"]:
            return
        looks = {} if self.deploys else {name: partial(environments.lacking, name, self.site, self.root)}
        looks |= {"sandbox": sandbox.lacking} if runs_code(target["own"]) else {}
        for place in [place for place in looks if place not in self.looked_for]:
            self.looked_for.add(place)
            if why := looks[place]():
                print(f"{path}: {why}", file=sys.stderr)

    def container(self, path: str) -> str | None:
        """The image that config/site.yaml names for a target's environment, from here."""
        image = environments.image(self.targets[path]["environment"], self.site)
        return image if image is None or "://" in image else str(self.root / image)

    @property
    def resources(self) -> tuple[str, ...]:
        """The names of what every job asks for here."""
        return (*asked.SIZED, *(name for name, key in asked.PLACED.items() if key in self.site))

    def resource(self, path: str, name: str) -> Any:
        return asked.of(self.targets[path], self.site, name)

    @functools.cached_property
    def groups(self) -> Groups:
        return Groups(self.targets)

    def refuse_too_many_gpus(self, path: str) -> None:
        target = self.targets[path]
        count = target["runtime"].get("gpus", 0)
        if self.gpus is not None and count > self.gpus and not (target["made"] or target["twin"]):
            raise Refusal(
                f"{path}: {said_at(target['runtime'])}.gpus: {count} are asked for, and there are {self.gpus} "
                "(`--resources gpu`); lower it in the recipe, or in config/site.yaml"
            )

    @functools.cached_property
    def queue(self) -> list[sent.Sent]:
        """The jobs that an earlier snakemake of this checkout sent to SLURM, and that wait or run."""
        return list(sent.live())

    def refuse_if_held(self, path: str) -> None:
        target = self.targets[path]
        if target["hit"]:
            return
        if target["key"] and (who := lease.holder(self.store.root, target["key"])):
            at = status.sentence(status.read(Path("work") / f"{path}.{target['key']}"))
            raise Refusal(
                f"{path}: {who['name']} is building this{f' ({at})' if at else ''}; wait for it, or end it first"
            )
        for job in self.queue if not target["made"] else []:
            if job.targets.get(path) == target["intent"] and job.state != "COMPLETING":
                does = f"waits in the queue to build this ({job.reason})" if job.state == "PENDING" else "builds this"
                raise Refusal(f"{path}: SLURM job {job.number} {does}; wait for it, or `scancel {job.number}` first")

    def unknown(self) -> str:
        """A wildcard's constraint: whatever looks like a target and is none."""
        models, pages = self.named("models"), rf"{self.named('models')}|{self.families_named()}|{self.rows()}"
        page = rf"reports/({pages})\.html|cards/({models})\.md|published/({self.publications()})(\.json)?"
        return rf"(?!(({any_of(self.targets)})(\.run)?(\.json)?|{page})$)({'|'.join(frozen.KINDS)}|reports|cards)/.+"

    def suggest(self, nope: str) -> Refusal:
        """The answer to a name that no recipe has."""
        nope = nope.removesuffix(".json").removesuffix(".run")
        if nope in self.scans:
            some = self.scans[nope]
            shown = f"{' '.join(some[:4])}{' …' * (len(some) > 4)}"
            return Refusal(f"{nope} is a scan of {len(some)} models, to be asked for by name: {shown}")
        kind, _, name = nope.partition("/")
        if kind == "published" and f"models/{name}" in self.targets:
            return Refusal(f"{nope}: no recipe says where; add `published: {{{name}: {{repo: owner/name}}}}` to a page")
        shown = [path for path in self.targets if path.startswith(tuple(f"{kind}/" for kind in frozen.NAMED))]
        shown += [f"cards/{path.removeprefix('models/')}.md" for path in self.all("models")]
        shown += [f"published/{name}" for name in self.published]
        shown += [f"reports/{name}.html" for name in (*self.families, *(path[7:] for path in self.all("models")))]
        shown += [f"reports/{path}.html" for kind in ("data", "preferences") for path in self.all(kind)]
        near = nearest(nope, shown, 3) or shown[:3]
        return Refusal(f"No recipe makes {nope}. Nearest: {', '.join(near) or 'none, for there are no recipes'}")


def open_plan(root: str, config: dict, main: bool, deploys: bool = False, gpus: int | None = None) -> Plan:
    """The plan: made, frozen and exported by the main process; read, and nothing else, by its jobs.

    Args:
        deploys: whether Snakemake makes or opens environments (`--sdm`).
        gpus: the most that jobs can have (`--resources gpu=8`); Snakemake would give who asks for more no more.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # jobs run this Python
    if not Path(root, "scripts").is_dir():
        raise Refusal(f"{root} has no scripts/: a module names the Snakefile of a clone by its path (config/README.md)")
    if main:
        os.environ["POSTTRAIN_PLAN"] = frozen.freeze(Path(root), config)
    elif "POSTTRAIN_PLAN" not in os.environ:
        raise Refusal("a job found no POSTTRAIN_PLAN: its environment was not passed on (sbatch --export=ALL does)")
    return Plan(os.environ["POSTTRAIN_PLAN"], main, deploys, gpus)


def open_here() -> Plan:
    """A plan of the checkout that we stand in, frozen as snakemake does, for who only looks."""
    return Plan(frozen.freeze_here(), main=False)


def warnings(target: dict) -> Iterator[str]:
    """What is to be said of a target before it is fetched."""
    if target["stage"] == "fetch_snapshot" and target["unlocked"]:
        yield frozen.unlocked(target)
    if target["stage"] == "fetch_snapshot" and target["gated"] and not target["hit"]:
        yield f"{target['own']['repo_id']} is gated: accept its terms on the hub, and run `hf auth login`"


def any_of(names: Iterable[str]) -> str:
    """A regular expression of these names, in which those of a scan share their beginning; of none, one that nothing
    matches."""
    points: dict[str, list[str]] = {}
    for name in names:
        scan, at, point = name.partition("@")
        points.setdefault(re.escape(scan + at), []).append(re.escape(point))
    return "|".join(f"{scan}({'|'.join(ends)})" if any(ends) else scan for scan, ends in points.items()) or "(?!)"
