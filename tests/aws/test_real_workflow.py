"""The real package is deployed, run and reconciled by one command, as in an account.

`simulated_services.py` runs Glue jobs under the deployed roles, and Athena queries in DuckDB. The emulator differs from
AWS: no policy requires TLS, which it does not support; and, in `_as_on_aws`, the account may assume the roles, since it
simulates Glue, and `glue:GetDatabase` is allowed on tables too, which the emulator checks instead of the database.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog
from tests.aws import emulator
from tests.aws.cloud import STACK
from tests.aws.glue_simulator import EXECUTOR_LINE, GlueSimulator, fork_process
from tests.aws.simulated_services import SimulatedServices, simulate_services
from tests.mock_api.server import MockApiServer
from tests.s3_caches import forget

from brewhouse.aws.deploy import triggers
from brewhouse.aws.glue_workflow import start
from brewhouse.aws.package import GLUE_PYTHON, make_package
from brewhouse.aws.session import Account, open_account
from brewhouse.aws.stacks import get_stack
from brewhouse.aws.verify import row_count_checks
from brewhouse.cli.main import main
from brewhouse.engines import spark_s3a
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

ROWS = 300
pytestmark = pytest.mark.xdist_group("glue")  # one package, one environment
EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]
Content = Callable[..., dict[str, list[tuple[object, ...]]]]


def _python(version: str) -> Path | None:
    """Find a Python of a version on this machine, also one that pyenv installed."""
    name = f"python{version}"
    if shutil.which(name) is None:
        return None
    command = [name, "-c", "import sys; print(sys.executable)"]
    environment = {**os.environ, "PYENV_VERSION": version}
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _glue() -> tuple[str, Path]:
    """Return the requested Glue version, or the newest with a Python on this machine, and that Python."""
    wanted = os.environ.get("TEST_GLUE")
    for version, python in sorted(GLUE_PYTHON.items(), reverse=True):
        if wanted in (None, version) and (found := _python(python)):
            return version, found
    pytest.skip(f"needs Python {' or '.join(GLUE_PYTHON.values())}")


@dataclass(frozen=True)
class CommandResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class DeployedCloud:
    """An account with a deployed stack, its source, and a lake on this machine with the same run.

    Attributes:
        deployment: Result of `deploy --run`.
        states: Last state of each job and the crawler of its run.
    """

    def __init__(
        self,
        services: SimulatedServices,
        source: MockApiServer,
        package: Path,
        home: Path,
        patch: pytest.MonkeyPatch,
        more_parameters: Sequence[str],
    ) -> None:
        self.services = services
        self.simulator = services.glue.simulator
        self.account: Account = self.simulator.account
        self.source = source
        self.package = package
        self.patch = patch
        self.more_parameters = more_parameters
        self.lake = Lake.at(f"s3://{STACK}-{self.account.number}-{self.account.region}/lake")
        self.local = Lake(home / "local")

    def make(self, version: str) -> None:
        """Deploy and run with one command, then run the same workflow on this machine."""
        parameters = (f"SourceUrl={self.source.url}", f"GlueVersion={version}", *self.more_parameters)
        self.deployment = self.deploy_and_run(*(word for each in parameters for word in ("--parameter", each)))
        self.states = self.last_states()
        settings = load({"source_url": self.source.url, "extract_retry_wait_s": 0}, environ={})
        run_workflow(self.local, settings)

    def deploy_and_run(self, *arguments: str) -> CommandResult:
        return self.call("deploy", "--run", "--packaged", "--folder", str(self.package), "--yes", *arguments)

    def call(self, *arguments: str) -> CommandResult:
        """Call `brewhouse aws` about the stack."""
        self.patch.setattr(sys, "argv", ["brewhouse", "aws", *arguments, "--stack", STACK])
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        assert isinstance(code, int)
        return CommandResult(code, out.getvalue(), err.getvalue())

    def last_states(self) -> dict[str, str]:
        return dict(list(self.services.glue.runs.values())[-1].states)

    def reports(self) -> list[RunReport]:
        return run_reports(read_events(self.lake))

    def output(self) -> str:
        return "\n".join(run.output for run in self.simulator.runs)


@pytest.fixture(scope="module", params=["duckdb", pytest.param("spark", marks=pytest.mark.slow)])
def cloud(
    request: pytest.FixtureRequest,
    strict_aws_url: str,
    enter_account: EnterAccount,
    small_spark: Mapping[str, str],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[DeployedCloud]:
    version, python = _glue()
    is_spark = request.param == "spark"  # the stack's default
    if is_spark and (version != "6.0" or not find_spec("pyspark") or not shutil.which("java")):
        pytest.skip("needs Python 3.13, PySpark and Java 17")
    home = tmp_path_factory.mktemp("cloud")
    package = _package(pytestconfig.cache.mkdir(f"glue-{version}"), home / "package", version)
    supported, unsupported = emulator.split_unsupported((package / "stack.json").read_text("utf-8"))
    (package / "stack.json").write_text(emulator.without_tls(supported))
    _renew_manifest(package)
    with pytest.MonkeyPatch.context() as patch, MockApiServer(generate(ROWS, unusable=4)) as source:
        enter_account(patch, strict_aws_url, home)
        for module in ("stacks", "glue_workflow", "athena"):
            patch.setattr(f"brewhouse.aws.{module}.POLL_S", 0.05)
        account = open_account()
        emulator.create_unsupported(account.session, unsupported, STACK)
        spark = _spark_of_glue(small_spark) if is_spark else {}
        simulator = GlueSimulator(account, STACK, home, {version: python}, _as_on_aws(account, spark))
        simulator.provided = (_link_pyspark(home),)
        if not is_spark:
            simulator.launch = fork_process
        with simulate_services(simulator, strict_aws_url) as services:
            patch.setenv("AWS_ENDPOINT_URL_GLUE", services.url)
            patch.setenv("AWS_ENDPOINT_URL_ATHENA", services.url)
            forget()
            cloud = DeployedCloud(services, source, package, home, patch, () if is_spark else ("Engine=duckdb",))
            cloud.make(version)
            yield cloud
        forget()


def _package(cache: Path, folder: Path, version: str) -> Path:
    """Make a package in a new folder; its large dependencies are downloaded once and cached.

    The cache is never changed, so concurrent test runs may read it.
    """
    lock = resources.files("brewhouse.aws").joinpath(f"python{GLUE_PYTHON[version]}.lock").read_bytes()
    cache /= hashlib.sha256(lock).hexdigest()[:16]
    if cache.exists():
        shutil.copytree(cache, folder)
    try:
        make_package(folder, version)
    except BrewhouseError as error:
        pytest.skip(f"needs a package index: {error}")
    if not cache.exists():
        with tempfile.TemporaryDirectory(dir=cache.parent) as name:
            whole = shutil.copytree(folder, Path(name) / "package")
            with suppress(OSError):  # another test run was first
                whole.rename(cache)
    return folder


def _renew_manifest(folder: Path) -> None:
    """Update the checksum of the template in the manifest."""
    import msgspec

    from brewhouse.aws.package import MANIFEST, PackageManifest, _file

    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
    changed = msgspec.structs.replace(manifest, template=_file(folder / "stack.json"))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))


def _link_pyspark(home: Path) -> Path:
    """Link PySpark, which Glue has itself, into a folder of its own."""
    spark = home / "spark"
    spark.mkdir()
    for package in ("pyspark", "py4j"):
        if (found := find_spec(package)) and found.origin:
            (spark / package).symlink_to(Path(found.origin).parent)
    return spark


def _spark_of_glue(small_spark: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which a script finds a Spark with S3A, as Glue's launcher leaves it."""
    import pyspark

    settings = {
        "spark.master": "local[2]",
        "spark.driver.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        **spark_s3a.settings(Path(pyspark.__file__).with_name("jars")),
    }
    options = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    names = ("JDK_JAVA_OPTIONS", "PYSPARK_SUBMIT_ARGS")
    given = {name: small_spark[name] for name in names}
    return {**given, "PYSPARK_SUBMIT_ARGS": f"{options} {given['PYSPARK_SUBMIT_ARGS']}"}


def _as_on_aws(account: Account, spark: Mapping[str, str]) -> Callable[[str], Mapping[str, str]]:
    """Allow what the emulator requires, and return a function for the environment of a role's jobs."""
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
            **spark,
        }

    return assume


def test_one_command_deploys_runs_and_counts(cloud: DeployedCloud) -> None:
    assert (cloud.deployment.code, cloud.deployment.err) == (0, ""), cloud.output()
    lines = cloud.deployment.out.splitlines()
    assert {
        f"ok       trigger {trigger['Name']} is active: activated" for trigger in triggers(cloud.account, STACK)
    } <= {*lines}
    ended = [found[1] for line in lines if (found := re.fullmatch(rf"{STACK}-(\w+): succeeded \(\d+ s\)", line))]
    assert ended == list(JOBS)
    assert "every job succeeded" in lines
    with closing(connect(cloud.lake)) as connection:
        for name in Tables(cloud.lake).names():
            rows = connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            assert f"ok       row count of {name} matches the run: {rows} rows" in lines
    assert "FAILED" not in cloud.deployment.out


def test_the_suggested_next_command_works(cloud: DeployedCloud) -> None:
    *_, last = cloud.deployment.out.splitlines()
    found = re.fullmatch(r"Next: `brewhouse aws (.+)`\.", last)
    assert found
    next_one = cloud.call(*found[1].split(), "--json")
    assert next_one.code == 0, next_one.err
    with closing(connect(cloud.local)) as connection:
        expected = connection.execute(for_duckdb(saved_query("breweries_by_country").sql)).fetchall()
    assert [tuple(row.values()) for row in json.loads(next_one.out)] == expected
    assert "bytes scanned" in next_one.err


def test_status_shows_how_each_job_ended(cloud: DeployedCloud) -> None:
    status = cloud.call("status", "--json")
    assert status.code == 0, status.err
    jobs = {job["job"]: job for job in json.loads(status.out)["jobs"]}
    assert [jobs[f"{STACK}-{job}"]["state"] for job in JOBS] == ["succeeded"] * len(JOBS)


def test_verify_checks_runs_tables_and_queries(cloud: DeployedCloud) -> None:
    result = cloud.call("verify", "--json")
    assert result.code == 0, result.err
    checks = {check["name"]: (check["passed"], check["detail"]) for check in json.loads(result.out)}
    assert checks["the workflow has run"][0] is True
    assert [checks[f"job {STACK}-{job} ran and succeeded"] for job in JOBS] == [(True, "succeeded")] * len(JOBS)
    passed, counts = checks["silver and gold count the same breweries"]
    assert (passed, counts) == (True, "(296, 296)")
    names = {name.replace("brewhouse_", "", 1) for name in checks if name.endswith("is an Iceberg table")}
    assert names == {f"{name} is an Iceberg table" for name in Tables(cloud.lake).names()}
    assert checks["Athena runs top_cities"][0] is True
    assert checks["Athena counts the records of the newest raw snapshot"][0] is True
    assert (
        f"Athena counts {ROWS}, the manifest {ROWS}"
        in checks["Athena counts the records of the newest raw snapshot"][1]
    )
    assert checks["Athena reads an earlier snapshot"] == (True, "296 of 296 rows, 1 of 1 snapshots")
    failed = cloud.call("verify")
    assert (failed.code == 3) == any(passed is False for passed, _ in checks.values())


def test_the_tables_equal_those_of_a_local_run(cloud: DeployedCloud, content: Content) -> None:
    assert set(cloud.states.values()) == {"SUCCEEDED"}, cloud.output()
    assert list(cloud.states) == [f"{STACK}-{job}" for job in (*JOBS, "raw")]
    assert content(cloud.lake) == content(cloud.local)
    report = cloud.reports()[0]
    assert (report.state, report.workflow_run[:3]) == ("SUCCEEDED", "wr_")
    assert [job.name for job in report.jobs] == list(JOBS)


def test_a_table_changed_since_the_run_fails_the_command_and_is_named(
    cloud: DeployedCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another client deletes rows between publication and reconciliation."""
    catalog = load_catalog("other", **cloud.services.athena.catalog)

    def delete() -> None:
        catalog.load_table("brewhouse_silver.breweries").delete("country = 'Ireland'")

    monkeypatch.setattr(cloud.services.athena, "before", delete)
    result = cloud.deploy_and_run("--parameter", "Engine=duckdb")  # also of the runs below, which end sooner with it
    assert set(cloud.last_states().values()) == {"SUCCEEDED"}, cloud.output()
    assert result.code == 3
    assert result.err.count("matches the run") == 1
    assert "row count of silver.breweries matches the run" in result.err
    assert re.search(
        r"FAILED   .* silver\.breweries matches the run: the run reported 296 rows, Athena counts \d+\n", result.out
    )


def test_a_table_that_athena_cannot_read_is_a_failed_check(cloud: DeployedCloud) -> None:
    stack = get_stack(cloud.account, STACK)
    catalog = load_catalog("other", **cloud.services.athena.catalog)
    place = catalog.load_table("brewhouse_silver.breweries").metadata_location
    catalog.drop_table("brewhouse_silver.breweries")
    try:
        run, counts = row_count_checks(cloud.account, stack, "wr_other")
    finally:
        catalog.register_table("brewhouse_silver.breweries", place)
    assert (run.passed, run.detail) == (False, "no events")
    assert not counts.passed
    assert "Athena could not run the query" in counts.detail
    assert "brewhouse_silver.breweries" in counts.detail


def test_a_query_that_athena_cannot_parse_is_a_usage_error(cloud: DeployedCloud) -> None:
    result = cloud.call("query", "SELECT FROM FROM gold.breweries_by_location WHERE")
    assert result.code == 2
    assert "Athena could not run the query: line 1:1: mismatched input" in result.err


def snapshots(lake: Lake) -> dict[str, int]:
    """The current snapshot of each table."""
    tables = Tables(lake)
    return {name: now.snapshot_id for name in tables.names() if (now := tables.current(name))}


def test_a_failing_check_of_gold_leaves_silver_unchanged(
    cloud: DeployedCloud, monkeypatch: pytest.MonkeyPatch, content: Content
) -> None:
    before, tables = content(cloud.lake), snapshots(cloud.lake)
    more = list(generate(ROWS + 5, unusable=4))[ROWS:]
    cloud.source.add(more)
    manifests: list[tuple[str, bytes]] = []

    def tamper(job: str, attempt: int) -> None:
        """Change what the source counted, after transform staged its tables of it."""
        if (job, attempt) == (f"{STACK}-aggregate", 0):
            file = max(cloud.lake.bronze.rglob("manifest.json"), key=lambda path: path.parent.name)
            manifests.append((str(file.relative_to(cloud.lake.root)), content_of := file.read_bytes()))
            manifest = json.loads(content_of)
            manifest["meta_after"]["by_type"]["micro"] += 1
            cloud.lake.store.put(manifests[0][0], json.dumps(manifest).encode())
            assert snapshots(cloud.lake) == tables

    monkeypatch.setattr(cloud.simulator, "before", tamper)
    result = cloud.call("run", "--wait")
    assert list(cloud.last_states().values())[:3] == ["SUCCEEDED", "SUCCEEDED", "FAILED"], cloud.output()
    assert result.code == ChecksFailed.exit_code
    assert "Nothing was published" in result.err
    assert (snapshots(cloud.lake), content(cloud.lake)) == (tables, before)
    assert len(list((cloud.lake.root / "staged").glob("*.json"))) == 1

    cloud.lake.store.put(*manifests[0])
    cloud.source.remove([str(record["id"]) for record in more])


def test_a_failed_job_is_retried_and_then_stops_the_workflow(
    cloud: DeployedCloud,
    monkeypatch: pytest.MonkeyPatch,
    content: Content,
) -> None:
    before = content(cloud.lake)
    role = cloud.account.client("glue").get_job(JobName=f"{STACK}-extract")["Job"]["Role"].rsplit("/", 1)[-1]
    iam = cloud.account.client("iam")
    policy = iam.get_role_policy(RoleName=role, PolicyName="extract")["PolicyDocument"]

    def allow(job: str, attempt: int) -> None:
        """Deny the first attempt of extract to write bronze."""
        forbids = job == f"{STACK}-extract" and attempt == 0
        left = [each for each in policy["Statement"] if not (forbids and each["Sid"] == "WriteBronze")]
        changed = json.dumps({**policy, "Statement": left})
        iam.put_role_policy(RoleName=role, PolicyName="extract", PolicyDocument=changed)

    started: list[str] = []

    def begin(job: str, attempt: int) -> None:
        """Start the workflow a second time before its first job starts."""
        allow(job, attempt)
        if not started:
            started.append(job)
            with pytest.raises(BrewhouseError, match="is in progress"):
                start(cloud.account, STACK)

    monkeypatch.setattr(cloud.simulator, "before", begin)
    cloud.simulator.runs.clear()
    records = list(generate(ROWS, unusable=4))
    cloud.source.remove([str(record["id"]) for record in records[: ROWS // 2]])
    result = cloud.call("run", "--wait")
    assert cloud.last_states() == {f"{STACK}-extract": "SUCCEEDED", f"{STACK}-transform": "FAILED"}
    assert result.code == ChecksFailed.exit_code
    assert re.search(rf"^{STACK}-extract: failed .*AWS denies s3:", result.out, re.MULTILINE)
    assert f"{STACK}-transform ended as failed: " in result.err
    assert "ChecksFailed: " in result.err
    assert "every job succeeded" not in result.out
    hint = re.search("Read its log: `brewhouse aws (logs transform)`", result.err)
    assert hint
    log = cloud.call(*hint[1].split()).out
    assert "ChecksFailed" in log
    assert EXECUTOR_LINE not in log
    assert EXECUTOR_LINE in cloud.call(*hint[1].split(), "--executors").out
    extracted = cloud.simulator.runs[0].id
    attempts = [cloud.call("logs", "extract", "--run", run).out for run in (extracted, f"{extracted}_attempt_1")]
    assert ["AWS denies s3:" in attempt for attempt in attempts] == [True, False]
    assert started == [f"{STACK}-extract"]
    denied, _, failed, again = (run.output for run in cloud.simulator.runs)
    assert "AWS denies s3:" in denied
    assert "ChecksFailed" in failed
    assert "ChecksFailed" in again
    assert content(cloud.lake) == before
    report = cloud.reports()[-1]
    assert report.state == "FAILED"
    assert [job.name for job in report.jobs] == ["extract", "transform", "transform"]


def test_the_tables_are_maintained_under_the_deployed_role(cloud: DeployedCloud, content: Content) -> None:
    before = content(cloud.lake)
    assert cloud.simulator.run_job(f"{STACK}-maintain") == "SUCCEEDED", cloud.output()
    assert content(cloud.lake) == before
