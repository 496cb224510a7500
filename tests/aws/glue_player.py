"""Plays Glue: reads triggers, jobs, scripts and wheels back from the account, and runs the workflow as Glue would.

The emulator stores all of this and runs none of it. What is played here comes only from what is stored there, so a
wrong path, a package that was left out, a trigger that is not active or names the wrong job fails as in the account.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brewhouse.aws.deploy import resources, triggers
from brewhouse.aws.session import Account
from brewhouse.errors import BrewhouseError


@dataclass
class JobRun:
    """One attempt of a job."""

    name: str
    state: str
    output: str


@dataclass
class GluePlayer:
    """Runs a workflow of an account on this machine.

    Attributes:
        account: Where everything is read from.
        stack: Its name, which is the workflow's too.
        folder: For scripts, wheels and environments.
        pythons: The Python to take for each Glue version.
        environment_of: What the jobs of a role find in their environment, beside nothing at all.
        before: Told a job's name and attempt before it starts.
        runs: Every attempt of a job.
    """

    account: Account
    stack: str
    folder: Path
    pythons: Mapping[str, Path]
    environment_of: Callable[[str], Mapping[str, str]] = lambda _: {}
    before: Callable[[str, int], object] = lambda *_: None
    runs: list[JobRun] = field(default_factory=list)

    def play(self) -> dict[str, str]:
        """Fire the start, follow the predicates, and give the last state of each job and crawler that was reached."""
        inside = [each for each in triggers(self.account, self.stack) if each.get("WorkflowName") == self.stack]
        starts = [each for each in inside if each["Type"] == "SCHEDULED"]
        assert len(starts) == 1, f"a workflow has one start, not {len(starts)}"
        for each in triggers(self.account, self.stack):
            assert each["State"] == "ACTIVATED", f"{each['Name']} would never fire: {each['State']}"
        states: dict[str, str] = {}
        run = f"wr_{secrets.token_hex(32)}"
        waiting = [each for each in inside if each["Type"] == "CONDITIONAL"]
        due = starts
        while due:
            for trigger in due:
                for action in trigger["Actions"]:
                    name, state = self._act(action, run)
                    states[name] = state
            due = [each for each in waiting if _is_met(each["Predicate"], states)]
            waiting = [each for each in waiting if each not in due]
        return states

    def run_job(self, name: str, workflow_run: str | None = None) -> str:
        """Run a job with its retries, in a run of the workflow or by itself, and give its last state."""
        job = self.account.client("glue").get_job(JobName=name)["Job"]
        assert job["Command"]["Name"] == "glueetl"
        script = self._download(job["Command"]["ScriptLocation"])
        arguments = job["DefaultArguments"]
        python = self._environment(job["GlueVersion"], arguments)
        run = {"--WORKFLOW_NAME": self.stack, "--WORKFLOW_RUN_ID": workflow_run} if workflow_run else {}
        given = {"--JOB_NAME": name, **run, **arguments}
        state = "FAILED"
        for attempt in range(int(job["MaxRetries"]) + 1):
            self.before(name, attempt)
            argv = [word for pair in {**given, "--JOB_RUN_ID": f"jr_{secrets.token_hex(32)}"}.items() for word in pair]
            command = [str(python), "-I", str(script), *argv]
            state = self._attempt(name, command, self.environment_of(job["Role"]), 60 * int(job["Timeout"]))
            if state == "SUCCEEDED":
                break
        return state

    def _act(self, action: Mapping[str, Any], run: str) -> tuple[str, str]:
        if "JobName" in action:
            return action["JobName"], self.run_job(action["JobName"], run)
        assert action["CrawlerName"] in resources(self.account, self.stack, "AWS::Glue::Crawler")
        self.account.client("glue").get_crawler(Name=action["CrawlerName"])
        return action["CrawlerName"], "SUCCEEDED"

    def _attempt(self, name: str, command: list[str], given: Mapping[str, str], timeout_s: int) -> str:
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), **given}
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
                cwd=self.folder,
            )
        except subprocess.TimeoutExpired:
            self.runs.append(JobRun(name, "TIMEOUT", ""))
            return "TIMEOUT"
        state = "FAILED" if done.returncode else "SUCCEEDED"
        self.runs.append(JobRun(name, state, done.stdout + done.stderr))
        return state

    def _environment(self, glue_version: str, arguments: Mapping[str, str]) -> Path:
        """Make a clean environment with the job's modules, once for each list of them; no package index is asked."""
        modules = [self._download(place) for place in arguments["--additional-python-modules"].split(",")]
        option = arguments["--python-modules-installer-option"]
        home = self.folder / "-".join(["python", glue_version, *(module.parent.name for module in modules)])
        python = home / "bin" / "python"
        if not home.exists():
            subprocess.run([self.pythons[glue_version], "-m", "venv", "--without-pip", home], check=True)
            for module in modules:
                pip = [
                    sys.executable,
                    "-m",
                    "pip",
                    "--python",
                    str(python),
                    "install",
                    "--quiet",
                    "--no-compile",
                    option,
                ]
                if module.name.endswith(".gluewheels.zip"):
                    with zipfile.ZipFile(module) as archive:
                        archive.extractall(home / "unpacked")
                    wheels = home / "unpacked" / "wheels"
                    pip += ["--find-links", str(wheels), "--requirement", str(wheels / "requirements.txt")]
                else:
                    pip += [str(module)]
                done = subprocess.run(pip, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise BrewhouseError(f"{module.name} cannot be installed: {done.stderr}")
        return python

    def _download(self, place: str) -> Path:
        bucket, key = place.removeprefix("s3://").split("/", 1)
        file = self.folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        self.account.client("s3").download_file(bucket, key, str(file))
        return file


def _is_met(predicate: Mapping[str, Any], states: Mapping[str, str]) -> bool:
    """Say whether every condition of a trigger is met; `Logical` is AND in ours."""
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
