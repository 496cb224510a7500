"""Simulates Glue: reads triggers, jobs, scripts and wheels from the account, and runs the workflow as Glue would.

The emulator stores all of this and runs none of it. The simulation uses only what is stored there, so a wrong path, a
missing package, an inactive trigger or one with the wrong job fails as in the account.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.compatibility import warm_process

from brewhouse.aws.deploy import resources, triggers
from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError

EXECUTOR_LINE = "WARN VersionInfoUtils: The AWS SDK for Java 1.x is deprecated."
DAEMON_LINES = "INFO MemoryStore: MemoryStore cleared\nINFO BlockManager: BlockManager stopped"
"""What Spark writes next to the program's own output."""


@dataclass
class JobRun:
    """One attempt of a job.

    Attributes:
        name: Of the job.
        first_id: Glue's id of the first attempt.
        attempt: From 0.
        workflow_run: Id of the workflow run, if any.
        state: As Glue names it.
        output: Standard output, then standard error.
        message: The error that ended it.
    """

    name: str
    first_id: str
    attempt: int = 0
    workflow_run: str | None = None
    state: str = "RUNNING"
    output: str = ""
    message: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None

    @property
    def id(self) -> str:
        """Glue's id of this attempt."""
        return f"{self.first_id}_attempt_{self.attempt}" if self.attempt else self.first_id


@dataclass
class WorkflowRun:
    """One run of the workflow.

    Attributes:
        triggers: Of the workflow, as stored.
        states: Last state of each job and crawler that was started.
    """

    triggers: list[dict[str, Any]]
    states: dict[str, str] = field(default_factory=dict)
    id: str = field(default_factory=lambda: f"wr_{secrets.token_hex(32)}")
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None


Launch = Callable[[tuple[str, ...], list[str], Mapping[str, str], Path, int], subprocess.CompletedProcess[str]]


def start_process(
    python: tuple[str, ...], command: list[str], environment: Mapping[str, str], folder: Path, timeout_s: int
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    return subprocess.run(
        [*python, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=folder,
    )


def fork_process(
    python: tuple[str, ...], command: list[str], environment: Mapping[str, str], folder: Path, timeout_s: int
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end in a process that has imported Brewhouse."""
    return warm_process.run(command, cwd=str(folder), environment=environment, timeout_s=timeout_s, python=python)


@dataclass
class GlueSimulator:
    """Runs a workflow of an account on this machine.

    Attributes:
        stack: Its name, also that of the workflow.
        folder: For scripts, wheels and environments.
        pythons: The Python of each Glue version.
        environment_of: Returns the environment variables of the jobs of a role.
        before: Called with a job's name and attempt before it starts.
        runs: Every attempt of a job.
        provided: Folders of packages that Glue itself has, behind those of the job.
        launch: Starts a Python with a script and its arguments; by default in a new process.
    """

    account: Account
    stack: str
    folder: Path
    pythons: Mapping[str, Path]
    environment_of: Callable[[str], Mapping[str, str]] = lambda _: {}
    before: Callable[[str, int], object] = lambda *_: None
    runs: list[JobRun] = field(default_factory=list)
    provided: Sequence[Path] = ()
    launch: Launch = start_process

    def run(self) -> dict[str, str]:
        """Run the workflow; return the last state of each job and crawler that was started."""
        run = self.begin()
        self.follow(run)
        return run.states

    def begin(self) -> WorkflowRun:
        """Create a run from the workflow's triggers, all of which must be active."""
        found = triggers(self.account, self.stack)
        inside = [each for each in found if each.get("WorkflowName") == self.stack]
        starts = [each for each in inside if each["Type"] == "SCHEDULED"]
        assert len(starts) == 1, f"a workflow has one start, not {len(starts)}"
        for each in found:
            assert each["State"] == "ACTIVATED", f"{each['Name']} would never fire: {each['State']}"
        return WorkflowRun(inside)

    def follow(self, run: WorkflowRun) -> None:
        """Fire the start trigger, then every trigger whose predicate is met, until none is left."""
        due = [each for each in run.triggers if each["Type"] == "SCHEDULED"]
        waiting = [each for each in run.triggers if each["Type"] == "CONDITIONAL"]
        try:
            while due:
                for trigger in due:
                    for action in trigger["Actions"]:
                        name, state = self._act(action, run.id)
                        run.states[name] = state
                due = [each for each in waiting if _is_met(each["Predicate"], run.states)]
                waiting = [each for each in waiting if each not in due]
        finally:
            run.ended = datetime.now(UTC)

    def run_job(self, name: str, workflow_run: str | None = None) -> str:
        """Run a job with its retries, in a workflow run or alone; return its last state."""
        job = self.account.client("glue").get_job(JobName=name)["Job"]
        assert job["Command"]["Name"] == "glueetl"
        script = self._download(job["Command"]["ScriptLocation"])
        arguments = job["DefaultArguments"]
        python = self._environment(job["GlueVersion"], arguments)
        run = {"--WORKFLOW_NAME": self.stack, "--WORKFLOW_RUN_ID": workflow_run} if workflow_run else {}
        given = {"--JOB_NAME": name, **run, **arguments}
        state, first_id = "FAILED", f"jr_{secrets.token_hex(32)}"
        for attempt in range(int(job["MaxRetries"]) + 1):
            self.before(name, attempt)
            job_run = JobRun(name, first_id, attempt, workflow_run)
            self.runs.append(job_run)
            argv = [word for pair in {**given, "--JOB_RUN_ID": job_run.id}.items() for word in pair]
            command = [str(script), *argv]
            output = self._attempt(job_run, python, command, self.environment_of(job["Role"]), 60 * int(job["Timeout"]))
            self._log(arguments["--custom-logGroup-prefix"], job_run.id, output)
            state = job_run.state
            if state == "SUCCEEDED":
                break
        return state

    def _act(self, action: Mapping[str, Any], run: str) -> tuple[str, str]:
        if "JobName" in action:
            return action["JobName"], self.run_job(action["JobName"], run)
        assert action["CrawlerName"] in resources(self.account, self.stack, "AWS::Glue::Crawler").values()
        self.account.client("glue").get_crawler(Name=action["CrawlerName"])
        return action["CrawlerName"], "SUCCEEDED"

    def _attempt(self, run: JobRun, python: Path, command: list[str], given: Mapping[str, str], timeout_s: int) -> str:
        """Run an attempt to its end; return what it wrote."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **given}
        try:
            done = self.launch((str(python), "-I"), command, environment, self.folder, timeout_s)
        except subprocess.TimeoutExpired:
            state = "TIMEOUT"
        else:
            run.output = done.stdout + done.stderr
            run.message = _error_of(done.stderr) if done.returncode else ""
            state = "FAILED" if done.returncode else "SUCCEEDED"
        run.ended = datetime.now(UTC)
        run.state = state  # last, since other threads read the run
        return run.output

    def _log(self, prefix: str, run: str, output: str) -> None:
        """Write the logs of a job run as Glue would: by group and stream, the driver's having the name of the run."""
        logs = self.account.client("logs")
        now = int(datetime.now(UTC).timestamp() * 1000)
        executor = f"{run}_g-{secrets.token_hex(20)}"
        for group, stream, text in (
            ("output", run, output),
            ("output", executor, EXECUTOR_LINE),
            ("error", run, DAEMON_LINES),
        ):
            place = {"logGroupName": f"{prefix}/{group}", "logStreamName": stream}
            logs.create_log_stream(**place)
            if events := [{"timestamp": now, "message": line} for line in text.splitlines() if line]:
                logs.put_log_events(**place, logEvents=events)

    def _environment(self, glue_version: str, arguments: Mapping[str, str]) -> Path:
        """Create a clean environment with the job's modules, once per zip of wheels, without a package index."""
        modules = self._download(arguments["--additional-python-modules"])
        home = self.folder / f"python-{glue_version}-{modules.parent.name}"
        python = home / "bin" / "python"
        if not home.exists():
            subprocess.run([self.pythons[glue_version], "-m", "venv", "--without-pip", home], check=True)
            (packages,) = home.glob("lib/python*/site-packages")
            (packages / "glue.pth").write_text("".join(f"{folder}\n" for folder in self.provided))
            install_modules(
                [sys.executable, "-m", "pip", "--python", str(python)],
                modules,
                home / "unpacked",
                arguments["--python-modules-installer-option"],
            )
        return python

    def _download(self, place: str) -> Path:
        bucket, key = place.removeprefix("s3://").split("/", 1)
        file = self.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        self.account.client("s3").download_file(bucket, key, str(file))
        return file


def install_modules(pip: list[str], modules: Path, folder: Path, option: str) -> str:
    """Install a zip of wheels with one call of pip, as Glue does, and return what pip printed."""
    with zipfile.ZipFile(modules) as archive:
        archive.extractall(folder)
    wheels = folder / "wheels"
    source = ["--find-links", str(wheels), "--requirement", str(wheels / "requirements.txt")]
    command = [*pip, "install", "--quiet", "--no-compile", option, *source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrewhouseError(f"{modules.name} cannot be installed: {done.stderr}")
    return done.stdout + done.stderr


def _is_met(predicate: Mapping[str, Any], states: Mapping[str, str]) -> bool:
    """Return whether every condition of a trigger is met; the stack only uses AND."""
    assert predicate["Logical"] == "AND"
    found = []
    for condition in predicate["Conditions"]:
        assert condition["LogicalOperator"] == "EQUALS"
        name, wanted = (
            (condition["JobName"], condition["State"])
            if "JobName" in condition
            else (condition["CrawlerName"], condition["CrawlState"])
        )
        found.append(states.get(name) == wanted)
    return all(found)


def _error_of(output: str) -> str:
    """Return the error that ended a program: the lines below its traceback."""
    lines = output.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith("  ")]
    return "\n".join(lines[frames[-1] + 1 :] if frames else lines[-1:])
