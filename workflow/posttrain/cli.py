"""The command line beside snakemake: what a build would take, what is being built, and what can be taken away."""

import argparse
import re
import sys
import time
from contextlib import suppress
from pathlib import Path

from posttrain import progress
from posttrain.build import gc
from posttrain.files import Refusal
from posttrain.handbook import keys
from posttrain.plan import adopt, cost, frozen, opened
from posttrain.plan.table import Table, explained
from posttrain.recipes.gpus import GPUS
from posttrain.words import columns, volume

CLEAR = "\033[2J\033[H"
SECONDS = {"h": 3600, "d": 86400}


def main() -> None:
    parser = argparse.ArgumentParser(prog="posttrain", description="Post-training recipes as files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("status", help="what is being built here, and how far it is")
    command.add_argument("--follow", action="store_true", help="look again and again, until interrupted")
    command.set_defaults(run=show_status)
    command = commands.add_parser("doctor", help="whether this machine, or a cluster, can build, and what to mend")
    command.add_argument("target", nargs="*", help="what would be built: models/zephyr-7b-dpo; every model if unsaid")
    command.add_argument("--profile", choices=["slurm"], help="look at SLURM too, and send it one small job")
    command.add_argument(
        "--wait", type=float, default=10, metavar="MINUTES", help="that it may be in the queue; 10 if unsaid"
    )
    command.set_defaults(run=examine)
    command = commands.add_parser("plan", help="what a build would take: jobs, GPU-hours, memory, disk")
    command.add_argument("target", nargs="*", help="what would be built: models/zephyr-7b-dpo; every model if unsaid")
    command.add_argument("--gpu", choices=GPUS, help="what it would run on; config/site.yaml's `gpu:` if unsaid")
    command.set_defaults(run=show_plan)
    command = commands.add_parser("explain", help="why a target and all that it is made of would be made anew")
    command.add_argument("target", nargs="+", help="models/zephyr-7b-dpo")
    command.set_defaults(run=show_reasons)
    command = commands.add_parser("verify", help="whether a target is made again, to the byte, from its record alone")
    command.add_argument("target", help="models/zephyr-7b-dpo, which was built")
    command.add_argument(
        "--stored", action="store_true", help="build nothing: read what is stored, and compare the rest"
    )
    command.add_argument("--anyway", action="store_true", help="build even if what it is made of or by is another now")
    command.add_argument("--into", type=Path, metavar="FOLDER", help="where to build, and leave it; verify/ if unsaid")
    command.add_argument(
        "--profile", default="profiles/local", help="Snakemake's, to build by; profiles/local if unsaid"
    )
    command.set_defaults(run=verify)
    command = commands.add_parser("compare", help="models side by side: figures, recipes, and what they disagree on")
    command.add_argument("model", nargs="+", help="the models, by name; the others are held against the first")
    command.add_argument(
        "--samples", type=int, default=3, metavar="N", help="prompts to show of each suite; 3 if unsaid"
    )
    command.set_defaults(run=compare)
    command = commands.add_parser("import", help="a YAML of the Alignment Handbook as a page of recipes")
    command.add_argument("path", type=Path, help="the YAML, of any of the handbook's versions")
    command.add_argument("--name", help="the model's; what it was published or saved as if unsaid")
    command.add_argument("--method", help="cpt, sft, dpo, orpo, …; told by its folder or keys if unsaid")
    command.add_argument("--gpus", type=int, default=8, help="GPUs of all nodes, by which the batch size is multiplied")
    command.add_argument("--output", type=Path, help="the page to write, which is not there yet; printed if unsaid")
    command.set_defaults(run=show_import)
    command = commands.add_parser("gc", help="what of the store and the work folders nothing needs")
    command.add_argument("--delete", action="store_true", help="take it away; without this it is only listed")
    command.add_argument("--older-than", type=seconds, default="14d", help="what is younger stays: 14d, 12h, 0d")
    command.add_argument("--pin", metavar="TARGET", help="have an artifact stay, whatever links it")
    command.add_argument("--because", metavar="WHY", help="the reason of a pin, for who reads the list")
    command.add_argument("--unpin", metavar="TARGET", help="take a pin back")
    command.add_argument("--forget", metavar="FOLDER", help="a checkout that is gone, and keeps what it linked no more")
    command.set_defaults(run=collect)
    command = commands.add_parser("lock", help="give each hub id of the recipes the commit that it stands for")
    command.add_argument("id", nargs="*", help="org/name or org/name@revision; every id that a recipe names if unsaid")
    command.add_argument("--update", action="store_true", help="look up those that have a commit too")
    command.add_argument("--prune", action="store_true", help="take away the entries that no recipe names")
    command.set_defaults(run=lock)
    command = commands.add_parser("adopt", help="put a folder or a hub repository in a target's place")
    command.add_argument("target", help="models/zephyr-7b-sft")
    command.add_argument("place", nargs="?", help="the folder, or the hub id")
    command.add_argument("--drop", action="store_true", help="take it back: the target is made by its recipe again")
    command.set_defaults(run=adopt_or_drop)
    args = parser.parse_args()
    args.run(args)


def show_status(args: argparse.Namespace) -> None:
    """Print one line for each work folder, and each job that waits in a queue."""
    with suppress(KeyboardInterrupt):
        while True:
            lines = list(progress.lines(Path("work"), progress.store_of_newest_plan()))
            print((CLEAR if args.follow else "") + ("\n".join(lines) or "nothing is being built here"), flush=True)
            if not args.follow:
                return
            time.sleep(progress.pause())


def examine(args: argparse.Namespace) -> None:
    """Print a line for each check; end with status 1 if one found something wrong."""
    from posttrain import doctor  # huggingface_hub, as below

    plan = opened.open_here()
    asked = asked_for(plan, args.target or plan.all("models"))
    well = True
    try:
        for finding in doctor.examine(plan, asked, args.profile == "slurm", args.wait):
            print(finding, flush=True)
            well &= finding.well
    except KeyboardInterrupt:
        raise Refusal("stopped; a job that was sent is cancelled") from None
    if not well:
        sys.exit(1)


def show_plan(args: argparse.Namespace) -> None:
    """Print a line for each job that would run, and what they take together."""
    plan = opened.open_here()
    made = Table(plan, asked_for(plan, args.target or plan.all("models")), args.gpu or plan.site.get("gpu"))
    if not made.jobs:
        print("nothing is to be done")
        return
    if refused := [job.target["refusal"] for job in made.jobs if job.target["refusal"]]:
        raise Refusal("\n".join(refused))
    print(*made.text(), sep="\n")
    if lacking := list(cost.lacking(made.jobs, plan.store.root, Path("work"))):
        raise Refusal("\n".join(lacking))


def show_reasons(args: argparse.Namespace) -> None:
    """Print why each target that some are made of would be made, or that it would not."""
    plan = opened.open_here()
    print(*explained(plan, asked_for(plan, args.target)), sep="\n")


def compare(args: argparse.Namespace) -> None:
    """Print the figures, recipes and answers of models side by side, and what of them is not built."""
    plan = opened.open_here()
    from posttrain.report import terminal  # pandas, and after a recipe's faults were said

    print("\n".join(terminal.compared(plan.targets, args.model, args.samples)).strip())


def asked_for(plan: opened.Plan, targets: list[str]) -> list[str]:
    return [path for target in targets for path in paths_of(plan, target)]


def verify(args: argparse.Namespace) -> None:
    """Print what differs from a target's record, and the verdict; end with status 1 if it is not the same."""
    from posttrain import verify  # what doctor does without, too

    plan = opened.open_here()
    well = True
    for said in verify.verify(plan, verify.Asked(args.target, args.profile, args.into, args.stored, args.anyway)):
        print(said, flush=True)
        well &= said.well
    if not well:
        sys.exit(1)


def show_import(args: argparse.Namespace) -> None:
    """Print the page that a handbook's YAML becomes, and on the error stream what became of its keys."""
    if args.gpus < 1:
        raise Refusal(f"--gpus {args.gpus}: the handbook trains on GPUs; say how many")
    text, made = keys.read(args.path, args.method, args.name, args.gpus, Path("config/templates"))
    for title, notes in (("renamed", made.renamed), ("left out", made.left), ("not known", made.unknown)):
        for note in notes:
            print(f"{title}: {note}", file=sys.stderr)
    if args.output is None:
        print(text, end="")
        return
    try:
        with open(args.output, "x") as file:
            file.write(text)
    except OSError as error:
        raise Refusal(f"--output {args.output}: {error.strerror}") from None
    if args.output.parent.resolve() not in map(Path.resolve, frozen.recipe_folders(Path(), frozen.config_here())):
        return
    try:
        frozen.freeze_here()
    except Refusal as refusal:  # the catalogue would refuse every target from now on
        args.output.unlink()
        raise Refusal(f"--output {args.output}: is not kept, for no plan takes it: {refusal}") from None


def paths_of(plan: opened.Plan, target: str) -> list[str]:
    """The plan's targets that a name asks for: a page asks for all that it shows, a scan for its models."""
    if target in plan.scans:
        return plan.scans[target]
    card = re.fullmatch(r"cards/(.+)\.md|published/(.+)", target)
    if card and (path := f"models/{card[1] or card[2]}") in plan.targets and (card[1] or card[2] in plan.published):
        return [*plan.carded(path), *(() if card[1] else plan.sends(path))]
    page = re.fullmatch(r"reports/(data/|preferences/|)(.+)\.html", target)
    path = f"{page[1] or 'models/'}{page[2]}" if page else target
    if page and not page[1] and page[2] in plan.families:
        return plan.reported(f"families/{page[2]}")
    if path not in plan.targets:
        raise plan.suggest(target)
    if not page:
        return [path]
    return plan.looked_at(path) if page[1] else plan.reported(path)


def lock(args: argparse.Namespace) -> None:
    """Write config/lock.yaml, and print a line for each entry that is other than before."""
    from posttrain.hub import pinning  # huggingface_hub takes as long to load as all else together

    plan = opened.open_here()
    said = False
    for line in pinning.pin(plan.hub_ids, args.id, args.update, args.prune):
        said = True
        print(line, flush=True)
    if not said:
        print("config/lock.yaml has the commit of every hub id")


def adopt_or_drop(args: argparse.Namespace) -> None:
    """Write or take back a `use:` entry, and print what stands there and what begins there."""
    if bool(args.place) == args.drop:
        raise Refusal("say a folder or a hub id to put in its place, or --drop to take it back")
    plan = adopt.drop(args.target) if args.drop else adopt.adopt(args.target, args.place)
    made = adopt.begun_at(plan, args.target) if args.target in plan.targets else []
    if args.drop:
        print(f"{args.target}: nothing stands in its place any more")
    else:
        print(f"{args.target}: {adopt.stands(plan, args.target)}")
        print(f"{adopt.page_of_uses()} says so; `posttrain adopt --drop {args.target}` takes it back")
        print(f"begun there: {', '.join(made) or 'nothing yet; a recipe may name it'}")


def collect(args: argparse.Namespace) -> None:
    """Print what stays and what goes; with --delete, take it away."""
    plan = opened.open_here()
    store = plan.store
    if args.pin:
        print(f"{args.pin}: {gc.pin(store, args.pin, args.because)} is pinned")
    elif args.unpin:
        print(f"{args.unpin}: {gc.unpin(store, args.unpin)} is pinned no more")
    elif args.forget:
        gc.forget(store, args.forget)
        print(f"{args.forget}: what it linked is no longer kept for it")
    else:
        keys = {target["key"]: path for path, target in plan.targets.items() if target["key"]}
        sweep(gc.Survey(store, keys, args.older_than), args.delete)


def sweep(survey: gc.Survey, delete: bool) -> None:
    items = survey.items()
    going = [item for item in items if not item.kept]
    said = {item: item.kept or (survey.delete(item) if delete else "") for item in items}
    rows = [("", "size", "age", "what", "name", "why")]
    for item in items:
        fate = "stays" if said[item] else "gone" if delete else "goes"
        rows.append(
            (fate, volume(item.size), days(item.age), str(item.path), item.name, said[item] or "nothing needs it")
        )
    print(*columns(rows), sep="\n")
    freed = volume(sum(item.size for item in items if not said[item]))
    if delete:
        survey.forget_fallen_links()
        print(f"{freed} freed")
    else:
        print(f"{len(going)} of {len(items)} would go: {freed}{'; --delete takes them away' if going else ''}")


def seconds(said: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?[hd]", said):
        raise argparse.ArgumentTypeError(f"{said!r} is no time: say days or hours, as in 14d, 12h")
    return float(said[:-1]) * SECONDS[said[-1]]


def days(age: float) -> str:
    return f"{age / 86400:.0f} d" if age >= 86400 else f"{max(age, 0) / 3600:.0f} h"
