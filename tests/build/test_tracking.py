"""Trackers: they are told what is trained, in a folder that outlives the work, and change no byte of it."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest
from test_out_of_memory import Machine
from test_stops import assert_goes_on, assert_stopped, supervisor, unmade

from conftest import SFT, Project
from posttrain.build import tracking
from posttrain.files import Refusal

RUNTIME = "runtime: {save_steps: 1, logging_steps: 1}"
WRITES = {"tensorboard": "events.out.tfevents.*", "wandb": "wandb/offline-run-*/run-*.wandb"}


@pytest.mark.parametrize("tracker", WRITES)
def test_a_tracker_is_told_and_the_model_is_the_same(built: Project, tracker: str) -> None:
    pytest.importorskip(tracker, reason=f"{tracker} is not installed (pip install {tracker})")
    content, before = built.content(SFT), built.manifest(SFT)
    built.forget(SFT)
    built.edit(RUNTIME, f"runtime: {{save_steps: 1, logging_steps: 1, tracking: {tracker}}}")
    built.make(SFT, WANDB_API_KEY="0" * 40)
    assert (built.content(SFT), built.manifest(SFT)) == (content, before)
    folder = built.path("logs/tracking") / SFT / before["key"]
    (written,) = folder.glob(WRITES[tracker])
    assert b"train/loss" in written.read_bytes()
    assert not list(built.root.glob("wandb")) and not list(built.root.glob("runs"))
    for record in (built.path(f"{SFT}.json"), built.path(f"{SFT}.run.json")):
        assert "0" * 40 not in record.read_text()


def test_a_stop_of_every_process_is_not_for_a_tracker(built: Project) -> None:
    """SLURM's SIGTERM: a trainer whose tracker is gone could not end its step."""
    pytest.importorskip("wandb", reason="wandb is not installed (pip install wandb)")
    content, place = built.content(SFT), unmade(built, "runtime: {save_steps: 1000, logging_steps: 1, tracking: wandb}")
    process = supervisor(built)
    built.wait(lambda: any(b"wandb-core" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in place.carriers()))
    for pid in place.carriers():
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=300) == os.EX_TEMPFAIL
    assert_stopped(place)
    assert_goes_on(place, content)


def test_wandb_sends_nothing_unless_the_users_environment_has_it_do_so(monkeypatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert tracking.environment(SFT, "k")["WANDB_MODE"] == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert tracking.environment(SFT, "k")["WANDB_MODE"] == "online"


def test_every_tracker_writes_outside_the_work() -> None:
    said = tracking.environment(SFT, "k")
    folders = {said[f"{name}_DIR"] for name in ("TRACKIO", "WANDB", "TENSORBOARD_LOGGING")}
    assert folders == {os.path.abspath(f"logs/tracking/{SFT}/k")}


@pytest.mark.skipif(importlib.util.find_spec("trackio") is not None, reason="trackio is installed")
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_started(tmp_path) -> None:
    machine = Machine(tmp_path)
    assert machine.build(rc=1, tracking="trackio") == (
        "models/x: runtime.tracking: trackio needs trackio, which is not installed here: "
        "pip install --constraint envs/train.lock trackio; or leave it out"
    )
    assert not (tmp_path / "tries").exists()
    machine.build(tracking="none")


def test_a_package_by_its_name_and_not_a_folder_of_it_is_what_is_installed(tmp_path, monkeypatch) -> None:
    """W&B leaves a folder `wandb` where it is run, which Python takes for a package."""
    (tmp_path / "no_such_tracker").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refusal, match="no_such_tracker, which is not installed"):
        tracking.check("no_such_tracker")
