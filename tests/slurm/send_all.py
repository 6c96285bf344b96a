"""snakemake with another scheduler: each job that would be made is sent, after what it waits for, and not waited for.

python tests/slurm/send_all.py models/zephyr-7b-dpo --profile slurm
"""

import os
import sys

from snakemake import cli
from snakemake.scheduling.job_scheduler import JobScheduler


def send_all(scheduler: JobScheduler) -> None:
    dag, executor, sent = scheduler.workflow.dag, scheduler._executor, set()
    for level in dag.toposorted():
        jobs = {dag.get_job_group(job) or job for job in level if dag.needrun(job) and not job.is_local} - sent
        executor.run_jobs(sorted(jobs, key=lambda job: sorted(map(str, job.output))))
        sent |= jobs
    executor._job_submission_executor.shutdown()  # waits until they are sent
    sys.stdout.flush()
    os._exit(0)  # the executor would wait for them


JobScheduler.schedule = send_all
cli.main(sys.argv[1:])
