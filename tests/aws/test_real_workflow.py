"""The real package, deployed and played as Glue would: under the deployed roles, with nothing else to lean on.

What the emulator needs otherwise than AWS is in `_as_on_aws`: the bucket's policy that asks for TLS goes, since the
emulator has none; the account may assume the roles, for it plays Glue; and `glue:GetDatabase` is allowed on tables too,
which is what the emulator asks for instead of the database.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brewhouse.aws.checks import GLUE_PYTHON
from brewhouse.aws.counts import count_checks
from brewhouse.aws.package import make_package
from brewhouse.aws.session import Account, open_account
from brewhouse.aws.stacks import Stack, find_stack
from brewhouse.cli.main import main
from brewhouse.demo.dataset import generate
from brewhouse.demo.stand_in import StandIn
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.runs import RunReport, run_reports
from brewhouse.jobs.running import Silent
from brewhouse.jobs.workflow import JOBS, run_workflow
from brewhouse.lake.lake import Lake
from brewhouse.lake.reading import connect
from brewhouse.lake.tables import Tables
from brewhouse.settings import load

STACK = "brew"
ROWS = 300
pytestmark = pytest.mark.xdist_group("glue")  # one package, one environment
EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]
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


class Cloud:
    """An account with the stack whose workflow ran once, beside a source and a lake on this machine that has the same.

    Attributes:
        states: How each job and the crawler of that run ended.
    """

    def __init__(self, account: Account, source: StandIn, player: Any, home: Path) -> None:  # noqa: ANN401
        self.account = account
        self.source = source
        self.player = player
        self.lake = Lake.at(f"s3://{STACK}-{account.number}-{account.region}/lake")
        self.local = Lake(home / "local")
        self.states: dict[str, str] = player.play()
        settings = load({"source_url": source.url, "retake_wait_s": 0}, environ={})
        run_workflow(self.local, settings, Silent())

    def reports(self) -> list[RunReport]:
        return run_reports(read_events(self.lake))

    def said(self) -> str:
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
    folder = pytestconfig.cache.mkdir(f"glue-{version}")  # dependencies are taken once
    try:
        make_package(folder, version)
    except BrewhouseError as error:
        pytest.skip(f"needs a package index: {error}")
    (folder / "stack.json").write_text(emulator.without_refused((folder / "stack.json").read_text("utf-8"))[0])
    _renew_manifest(folder)
    home = tmp_path_factory.mktemp("cloud")
    with pytest.MonkeyPatch.context() as patch, StandIn(generate(ROWS, unusable=4)) as source:
        enter_account(patch, strict_aws_url, home)
        patch.setattr("brewhouse.aws.stacks.POLL_S", 0.05)
        _brewhouse(
            *("aws", "deploy", "--stack", STACK, "--packaged", "--folder", str(folder), "--yes"),
            *("--parameter", f"SourceUrl={source.url}", "--parameter", f"GlueVersion={version}"),
            patch=patch,
        )
        account = open_account()
        player = load("glue_player").GluePlayer(account, STACK, home, {version: python}, _as_on_aws(account))
        yield Cloud(account, source, player, home)


def _renew_manifest(folder: Path) -> None:
    """Have the manifest name the template as it now is."""
    import msgspec

    from brewhouse.aws.package import MANIFEST, Manifest, _file

    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    changed = msgspec.structs.replace(manifest, template=_file(folder / "stack.json"))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))


def _brewhouse(*arguments: str, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys, "argv", ["brewhouse", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code


def _as_on_aws(account: Account) -> Callable[[str], Mapping[str, str]]:
    """Open the doors that the emulator needs open, and give the environment of a role's jobs."""
    iam, sts = account.client("iam"), account.client("sts")
    catalog = f"arn:aws:glue:{account.region}:{account.number}"
    account.client("s3").delete_bucket_policy(Bucket=f"{STACK}-{account.number}-{account.region}")

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
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    return assume


def content(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, apart from which snapshot it came from."""
    with closing(connect(lake)) as connection:
        return {
            name: connection.execute(
                f"SELECT COLUMNS(lambda c: NOT regexp_matches(c, 'snapshot_|previous_run')) FROM {name} ORDER BY ALL"
            ).fetchall()
            for name in Tables(lake).names()
        }


def test_the_workflow_gives_the_tables_of_a_local_run(cloud: Cloud) -> None:
    assert set(cloud.states.values()) == {"SUCCEEDED"}, cloud.said()
    assert list(cloud.states) == [f"{STACK}-{job}" for job in (*JOBS, "raw")]
    assert content(cloud.lake) == content(cloud.local)
    report = cloud.reports()[0]
    assert (report.state, report.workflow_run[:3]) == ("SUCCEEDED", "wr_")
    assert [job.name for job in report.jobs] == list(JOBS)


def test_what_is_counted_in_every_table_is_what_the_run_says(cloud: Cloud) -> None:
    """Athena's place is taken by DuckDB: the emulator's Athena reads no Iceberg tables."""
    stack = find_stack(cloud.account, STACK)
    assert stack

    def counted(_account: Account, _stack: Stack, tables: Iterable[str]) -> dict[str, int]:
        with closing(connect(cloud.lake)) as connection:
            return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0] for name in tables}

    report = cloud.reports()[0]
    checks = list(count_checks(cloud.account, stack, report.workflow_run, counted))
    assert len(checks) == 1 + len(Tables(cloud.lake).names())
    assert all(check.passed for check in checks)

    def miscounted(account: Account, stack: Stack, tables: Iterable[str]) -> dict[str, int]:
        return {**counted(account, stack, tables), "silver.breweries": 7}

    (wrong,) = [check for check in count_checks(cloud.account, stack, None, miscounted) if not check.passed]
    assert wrong.name.endswith("silver.breweries")
    assert wrong.detail == "the run says 296 rows, Athena counts 7"
    unknown = next(count_checks(cloud.account, stack, "wr_other", counted))
    assert (unknown.passed, unknown.detail) == (False, "not told by any event")


def test_a_job_that_fails_is_tried_again_and_then_stops_the_chain(cloud: Cloud) -> None:
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

    cloud.player.before = allow
    cloud.player.runs.clear()
    records = list(generate(ROWS, unusable=4))
    cloud.source.remove([str(record["id"]) for record in records[: ROWS // 2]])
    states = cloud.player.play()
    assert states == {f"{STACK}-extract": "SUCCEEDED", f"{STACK}-transform": "FAILED"}
    denied, _, failed, again = (run.output for run in cloud.player.runs)
    assert "AWS denies s3:" in denied
    assert "ChecksFailed" in failed
    assert "ChecksFailed" in again
    assert content(cloud.lake) == before
    report = cloud.reports()[-1]
    assert report.state == "FAILED"
    assert [job.name for job in report.jobs] == ["extract", "transform", "transform"]


def test_the_tables_are_maintained_under_the_deployed_role(cloud: Cloud) -> None:
    before = content(cloud.lake)
    assert cloud.player.run_job(f"{STACK}-maintain") == "SUCCEEDED", cloud.said()
    assert content(cloud.lake) == before
