
import os, signal
from test_stops import *

WB = "runtime: {save_steps: 1000, logging_steps: 1, tracking: wandb}"

def test_it(built):
    place = unmade(built, WB)
    built.edit("batch_size: 8, num_train_epochs: 1", "batch_size: 8, max_steps: 4000")
    process = supervisor(built)
    built.wait(lambda: [p for p in place.project.root.glob("work/models/micro-sft.*/status.json") if '"step": 5' in p.read_text() or '"step": 1' in p.read_text()], 300)
    from posttrain.build import lease
    work = next(built.path("work/models").glob("micro-sft.*"))
    key = work.name.rpartition(".")[2]
    pids = [pid for pid in lease.carriers(lease.mark(built.path("store"), key)) if lease.started(pid)]
    for pid in pids:
        print(pid, open(f"/proc/{pid}/cmdline").read().replace(chr(0), " ")[:150])
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    rc = process.wait(timeout=300)
    print("rc", rc, place.project.status(SFT))
    assert rc == os.EX_TEMPFAIL
