"""The real package, deployed, run and counted by one command, as the command line does it against an account.

Glue is played under the deployed roles, with nothing else to lean on, and Athena by DuckDB: `played_services.py`
answers for them in the emulator's place. What the emulator needs otherwise than AWS: no policy demands TLS, since it
has none; and, in `_as_on_aws`, the account may assume the roles, for it plays Glue, and `glue:GetDatabase` is allowed
on tables too, which is what the emulator asks for instead of the database.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pyiceberg.catalog import load_catalog
from tests.mock_api.server import MockApiServer
from tests.s3_caches import forget

from brewhouse.aws.athena_counts import count_checks
from brewhouse.aws.deploy import triggers
from brewhouse.aws.glue_workflow import start
from brewhouse.aws.package import make_package
from brewhouse.aws.session import Account, open_account
from brewhouse.aws.stacks import the_stack
from brewhouse.aws.template_checks import GLUE_PYTHON
from brewhouse.cli.main import main
from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import RunReport, run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.query.saved_queries import for_duckdb, saved_query
from brewhouse.settings import load

STACK = "brew"
ROWS = 300
pytestmark = pytest.mark.xdist_group("glue")  # one package, one environment
EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]
Content = Callable[..., dict[str, list[tuple[object, ...]]]]
Load = Callable[[str], ModuleType]


def _python(version: str) -> Path | None:
    """Find a Python of a version on this machine; pyenv has several, and is told which."""
    name = f"python{version}"
    if shutil.which(name) is None:
        return None
    command = [name, "-c", "import sys; print(sys.executable)"]
    environment = {**os.environ, "PYENV_VERSION": version}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _glue() -> tuple[str, Path]:
    """Choose the Glue version to play: the newest whose Python is here, or the one that is asked for."""
    wanted = os.environ.get("BREWHOUSE_TEST_GLUE")
    for version, python in sorted(GLUE_PYTHON.items(), reverse=True):
        if wanted in (None, version) and (found := _python(python)):
            return version, found
    pytest.skip(f"needs Python {' or '.join(GLUE_PYTHON.values())}")


@dataclass(frozen=True)
class Said:
    """How a command ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it wrote to standard error.
    """

    code: int
    out: str
    err: str


class Cloud:
    """An account that `deploy --run` made, beside a source and a lake on this machine that has the same.

    Attributes:
        said: How the command ended.
        states: How each job and the crawler of its run ended.
    """

    def __init__(
        self,
        services: Any,  # noqa: ANN401 - an emulator
        source: MockApiServer,
        package: Path,
        home: Path,
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.services = services
        self.player = services.glue.player
        self.account: Account = self.player.account
        self.source = source
        self.package = package
        self.patch = patch
        self.lake = Lake.at(f"s3://{STACK}-{self.account.number}-{self.account.region}/lake")
        self.local = Lake(home / "local")

    def make(self, version: str) -> None:
        """Deploy and run by one command; then run the same here."""
        self.said = self.deploy_and_run(
            "--parameter", f"SourceUrl={self.source.url}", "--parameter", f"GlueVersion={version}"
        )
        self.states = self.last_states()
        settings = load({"source_url": self.source.url, "extract_retry_wait_s": 0}, environ={})
        run_workflow(self.local, settings)

    def deploy_and_run(self, *arguments: str) -> Said:
        return self.call("deploy", "--run", "--packaged", "--folder", str(self.package), "--yes", *arguments)

    def call(self, *arguments: str) -> Said:
        """Call `brewhouse aws` about the stack."""
        self.patch.setattr(sys, "argv", ["brewhouse", "aws", *arguments, "--stack", STACK])
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as left:
                code = left.code or 0
        assert isinstance(code, int)
        return Said(code, out.getvalue(), err.getvalue())

    def last_states(self) -> dict[str, str]:
        return dict(list(self.services.glue.runs.values())[-1].states)

    def reports(self) -> list[RunReport]:
        return run_reports(read_events(self.lake))

    def played(self) -> str:
        return "\n".join(run.output for run in self.player.runs)


@pytest.fixture(scope="module")
def cloud(
    strict_aws_url: str,
    enter_account: EnterAccount,
    emulator: ModuleType,
    load: Load,
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cloud]:
    version, python = _glue()
    home = tmp_path_factory.mktemp("cloud")
    package = _package(pytestconfig.cache.mkdir(f"glue-{version}"), home / "package", version)
    left, refused = emulator.without_refused((package / "stack.json").read_text("utf-8"))
    (package / "stack.json").write_text(emulator.without_tls(left))
    _renew_manifest(package)
    with pytest.MonkeyPatch.context() as patch, MockApiServer(generate(ROWS, unusable=4)) as source:
        enter_account(patch, strict_aws_url, home)
        for module in ("stacks", "running", "athena"):
            patch.setattr(f"brewhouse.aws.{module}.POLL_S", 0.05)
        account = open_account()
        emulator.make_refused(account.session, refused, STACK)
        player = load("glue_player").GluePlayer(account, STACK, home, {version: python}, _as_on_aws(account))
        with load("played_services").play_services(player, strict_aws_url) as services:
            patch.setenv("AWS_ENDPOINT_URL_GLUE", services.url)
            patch.setenv("AWS_ENDPOINT_URL_ATHENA", services.url)
            forget()
            cloud = Cloud(services, source, package, home, patch)
            cloud.make(version)
            yield cloud
        forget()


def _package(kept: Path, folder: Path, version: str) -> Path:
    """Make a package in a folder of its own; the dependencies are taken once and kept, for they are large.

    What is kept is never written to again: test runs that go on at once may all read it.
    """
    lock = resources.files("brewhouse.aws").joinpath(f"python{GLUE_PYTHON[version]}.lock").read_bytes()
    kept /= hashlib.sha256(lock).hexdigest()[:16]
    if kept.exists():
        shutil.copytree(kept, folder)
    try:
        make_package(folder, version)
    except BrewhouseError as error:
        pytest.skip(f"needs a package index: {error}")
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=kept.parent) as name:
            whole = shutil.copytree(folder, Path(name) / "package")
            with suppress(OSError):  # another test run was faster
                whole.rename(kept)
    return folder


def _renew_manifest(folder: Path) -> None:
    """Have the manifest name the template as it now is."""
    import msgspec

    from brewhouse.aws.package import MANIFEST, PackageManifest, _file

    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
    changed = msgspec.structs.replace(manifest, template=_file(folder / "stack.json"))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))


def _as_on_aws(account: Account) -> Callable[[str], Mapping[str, str]]:
    """Open the doors that the emulator needs open, and give the environment of a role's jobs."""
    iam, sts = account.client("iam"), account.client("sts")
    catalog = f"arn:aws:glue:{account.region}:{account.number}"
    url = os.environ["AWS_ENDPOINT_URL"]

    @cache
    def assume(role: str) -> Mapping[str, str]:
        name = role.rsplit("/", 1)[-1]
        who = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account.number}:root"},
            "Action": "sts:AssumeRole",
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [who]})
        iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust)
        database = {"Effect": "Allow", "Action": "glue:GetDatabase", "Resource": f"{catalog}:table/brewhouse_*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [database]})
        if "TablesRole" in name:
            iam.put_role_policy(RoleName=name, PolicyName="emulator", PolicyDocument=policy)
        found = sts.assume_role(RoleArn=role, RoleSessionName="glue")["Credentials"]
        return {
            "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
            "AWS_SESSION_TOKEN": found["SessionToken"],
            "AWS_ENDPOINT_URL": url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    return assume


def test_one_command_deploys_runs_and_counts(cloud: Cloud) -> None:
    assert (cloud.said.code, cloud.said.err) == (0, ""), cloud.played()
    lines = cloud.said.out.splitlines()
    assert {
        f"ok       trigger {trigger['Name']} is active: activated" for trigger in triggers(cloud.account, STACK)
    } <= {*lines}
    ended = [found[1] for line in lines if (found := re.fullmatch(rf"{STACK}-(\w+): succeeded \(\d+ s\)", line))]
    assert ended == list(JOBS)
    assert "every job succeeded" in lines
    with closing(connect(cloud.lake)) as connection:
        for name in Tables(cloud.lake).names():
            rows = connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            assert f"ok       Athena counts what the run says in {name}: {rows} rows" in lines
    assert "FAILED" not in cloud.said.out


def test_what_it_says_to_do_next_works(cloud: Cloud) -> None:
    *_, last = cloud.said.out.splitlines()
    found = re.fullmatch(r"Next: `brewhouse aws (.+)`\.", last)
    assert found
    next_one = cloud.call(*found[1].split(), "--json")
    assert next_one.code == 0, next_one.err
    with closing(connect(cloud.local)) as connection:
        expected = connection.execute(for_duckdb(saved_query("breweries_by_country").sql)).fetchall()
    assert [tuple(row.values()) for row in json.loads(next_one.out)] == expected
    assert "bytes scanned" in next_one.err


def test_status_shows_how_each_job_ended(cloud: Cloud) -> None:
    status = cloud.call("status", "--json")
    assert status.code == 0, status.err
    jobs = {job["job"]: job for job in json.loads(status.out)["jobs"]}
    assert [jobs[f"{STACK}-{job}"]["state"] for job in JOBS] == ["succeeded"] * len(JOBS)


def test_the_workflow_gives_the_tables_of_a_local_run(cloud: Cloud, content: Content) -> None:
    assert set(cloud.states.values()) == {"SUCCEEDED"}, cloud.played()
    assert list(cloud.states) == [f"{STACK}-{job}" for job in (*JOBS, "raw")]
    assert content(cloud.lake) == content(cloud.local)
    report = cloud.reports()[0]
    assert (report.state, report.workflow_run[:3]) == ("SUCCEEDED", "wr_")
    assert [job.name for job in report.jobs] == list(JOBS)


def test_a_table_that_was_changed_since_the_run_fails_the_command_and_is_named(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes rows after the run has published them and before they are counted."""
    catalog = load_catalog("somebody", **cloud.services.athena.catalog)

    def delete() -> None:
        catalog.load_table("brewhouse_silver.breweries").delete("country = 'Ireland'")

    monkeypatch.setattr(cloud.services.athena, "before", delete)
    said = cloud.deploy_and_run()
    assert set(cloud.last_states().values()) == {"SUCCEEDED"}, cloud.played()
    assert said.code == 3
    assert said.err.count("Athena counts what the run says in ") == 1
    assert "Athena counts what the run says in silver.breweries" in said.err
    assert re.search(r"FAILED   .* in silver\.breweries: the run says 296 rows, Athena counts \d+\n", said.out)


def test_a_table_that_athena_cannot_read_is_a_failed_check(cloud: Cloud) -> None:
    stack = the_stack(cloud.account, STACK)
    catalog = load_catalog("somebody", **cloud.services.athena.catalog)
    place = catalog.load_table("brewhouse_silver.breweries").metadata_location
    catalog.drop_table("brewhouse_silver.breweries")
    try:
        run, counts = count_checks(cloud.account, stack, "wr_other")
    finally:
        catalog.register_table("brewhouse_silver.breweries", place)
    assert (run.passed, run.detail) == (False, "not told by any event")
    assert not counts.passed
    assert "Athena could not run the query" in counts.detail
    assert "brewhouse_silver.breweries" in counts.detail


def test_a_query_that_athena_cannot_parse_is_wrong_usage(cloud: Cloud) -> None:
    said = cloud.call("query", "SELECT FROM FROM gold.breweries_by_location WHERE")
    assert said.code == 2
    assert "Athena could not run the query: line 1:1: mismatched input" in said.err


def test_a_job_that_fails_is_tried_again_and_then_stops_the_chain(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    content: Content,
) -> None:
    before = content(cloud.lake)
    role = cloud.account.client("glue").get_job(JobName=f"{STACK}-extract")["Job"]["Role"].rsplit("/", 1)[-1]
    iam = cloud.account.client("iam")
    policy = iam.get_role_policy(RoleName=role, PolicyName="extract")["PolicyDocument"]

    def allow(job: str, attempt: int) -> None:
        """Forbid extract to write bronze, in its first attempt only."""
        forbids = job == f"{STACK}-extract" and attempt == 0
        left = [each for each in policy["Statement"] if not (forbids and each["Sid"] == "WriteBronze")]
        changed = json.dumps({**policy, "Statement": left})
        iam.put_role_policy(RoleName=role, PolicyName="extract", PolicyDocument=changed)

    tried: list[str] = []

    def begin(job: str, attempt: int) -> None:
        """Somebody else starts the workflow, too, while its first job is about to begin."""
        allow(job, attempt)
        if not tried:
            tried.append(job)
            with pytest.raises(BrewhouseError, match="is going on already"):
                start(cloud.account, STACK)

    monkeypatch.setattr(cloud.player, "before", begin)
    cloud.player.runs.clear()
    records = list(generate(ROWS, unusable=4))
    cloud.source.remove([str(record["id"]) for record in records[: ROWS // 2]])
    said = cloud.call("run", "--wait")
    assert cloud.last_states() == {f"{STACK}-extract": "SUCCEEDED", f"{STACK}-transform": "FAILED"}
    assert said.code == ChecksFailed.exit_code
    assert re.search(rf"^{STACK}-extract: failed .*AWS denies s3:", said.out, re.MULTILINE)
    assert f"{STACK}-transform ended as failed: " in said.err
    assert "ChecksFailed: " in said.err
    assert "every job succeeded" not in said.out
    hint = re.search("`brewhouse aws (logs transform)` shows what it said", said.err)
    assert hint
    assert "ChecksFailed" in cloud.call(*hint[1].split()).out
    assert tried == [f"{STACK}-extract"]
    denied, _, failed, again = (run.output for run in cloud.player.runs)
    assert "AWS denies s3:" in denied
    assert "ChecksFailed" in failed
    assert "ChecksFailed" in again
    assert content(cloud.lake) == before
    report = cloud.reports()[-1]
    assert report.state == "FAILED"
    assert [job.name for job in report.jobs] == ["extract", "transform", "transform"]


def test_the_tables_are_maintained_under_the_deployed_role(cloud: Cloud, content: Content) -> None:
    before = content(cloud.lake)
    assert cloud.player.run_job(f"{STACK}-maintain") == "SUCCEEDED", cloud.played()
    assert content(cloud.lake) == before
