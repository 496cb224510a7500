"""What several tests begin with: an engine, raw pages, small tables, an emulator of AWS."""

from __future__ import annotations

import gc
import gzip
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import stamina
from tests.fault_proxy import FaultProxy
from tests.s3_caches import forget, share_service_models

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine
from brewhouse.engines.spark_session import open_session
from brewhouse.errors import SECRETS, BrewhouseError
from brewhouse.iceberg.tables import Tables
from brewhouse.lake import s3
from brewhouse.lake.lake import Lake, Shared
from brewhouse.models.model import parse
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import attach_nothing_previous, attach_places
from brewhouse.query.connection import connect

# A fresh clone draws its first text slowly, as Hypothesis reads Unicode's tables then; a busy machine does all slowly.
hypothesis.settings.register_profile(
    "brewhouse", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("brewhouse")

# A shell's background job ignores Ctrl-C, and so would the processes that tests stop with it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_TESTS = Path(__file__).parent
_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 4 << 30


@dataclass
class Receiver:
    """An HTTP server and what it was sent.

    Attributes:
        url: Its address.
        requests: Path and body of each request.
        logins: Their `Authorization` headers.
        status: What it answers with.
        answers: Cleared while it does not answer.
    """

    url: str
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    status: int = 200
    answers: threading.Event = field(default_factory=threading.Event)


@pytest.fixture(autouse=True)
def secrets_of_other_tests_are_forgotten() -> Iterator[None]:
    """The secrets of a test's settings are removed from its own errors only."""
    before = set(SECRETS)
    yield
    SECRETS.intersection_update(before)


@pytest.fixture(autouse=True)
def lineage_ends_with_a_test() -> Iterator[None]:
    """OpenLineage's client adds variables to the environment, which would be those of the next test."""
    yield
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE__")]:
        del os.environ[name]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A real HTTP server on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.requests.append((self.path, body))
            received.logins.append(self.headers.get("Authorization"))
            received.answers.wait(60)
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received = Receiver(f"http://127.0.0.1:{server.server_port}")
        received.answers.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield received
        received.answers.set()
        server.shutdown()
        thread.join()


@dataclass
class Inbox:
    """An SMTP server and what it was sent.

    Attributes:
        url: An Apprise URL that sends there.
        mails: What came.
    """

    url: str
    mails: list[EmailMessage] = field(default_factory=list)

    @property
    def subjects(self) -> list[str]:
        """Subject of each mail."""
        return [str(mail["Subject"]) for mail in self.mails]

    def text(self, number: int) -> str:
        """The text of a mail, with the line ends of Python."""
        part = self.mails[number].get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A real SMTP server on the loopback."""
    from aiosmtpd.controller import Controller

    class Keeper:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: ANN401, N802 - aiosmtpd's
            received.mails.append(message_from_bytes(envelope.content, policy=policy.default))
            return "250 OK"

    controller = Controller(Keeper(), hostname="127.0.0.1", port=_free_port())
    controller.start()
    received = Inbox(
        f"mailto://127.0.0.1:{controller.port}?mode=insecure&from=brewhouse@example.org&to=me@example.org&format=text"
    )
    yield received
    controller.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
Transform = Callable[..., DuckDBEngine]
Given = Callable[[str, Mapping[str, str], Sequence[Sequence[Any]]], DuckDBEngine]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


def pytest_configure() -> None:
    if _is_large_and_executable(_MEMORY):  # a run of the workflow waits for the disk 100 times, as it must
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    gc.disable()  # among the modules and tests that are collected there is no garbage: looking for it takes 5 s


def _is_large_and_executable(folder: Path) -> bool:
    """Whether a file system can have the folders of the tests, with the libraries that some install there."""
    if not os.access(folder, os.W_OK):
        return False
    found = os.statvfs(folder)
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize > _NEEDED_BYTES


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import other tests first in each worker: one compiles a file, and the others read what it wrote."""
    worker = getattr(session.config, "workerinput", None)
    if worker and not sys.dont_write_bytecode:
        number, count = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        for file in sorted(_TESTS.rglob("test_*.py"))[number::count]:
            with suppress(Exception, pytest.skip.Exception):  # which its collection reports
                import_module(".".join(file.relative_to(_TESTS.parent).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Look for garbage from now on, seldom and apart from what was collected: that takes a twentieth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what needs Spark in one process, which starts it once; also what needs moto."""
    for item in items:
        if "spark_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("spark"))
            # PySpark leaves the socket by which an answer came to the garbage collector.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
        elif "moto_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("moto"))  # one process starts the emulator


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start three processes on two cores: many tests wait, for a browser, an emulator or a process."""
    chosen = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(chosen) if chosen else (os.cpu_count() or 1) * 3 // 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist has no types
    """Run the tests of a file in one process, in the order of the files, so that its fixtures are set up once."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]

    class ByFile(LoadGroupScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            group: str = super()._split_scope(nodeid)
            return group.partition("::")[0]

    config.option.loadscopereorder = False  # the number of tests says little about their time
    return ByFile(config, log)


@pytest.fixture(scope="session")
def content() -> Content:
    """What a lake publishes: every row of every table, apart from which snapshot it came from."""

    same = "COLUMNS(lambda c: NOT regexp_matches(c, 'snapshot_|previous_run'))"

    def rows(lake: Lake, *more: str) -> dict[str, list[tuple[object, ...]]]:
        with closing(connect(lake)) as connection:
            return {
                name: connection.execute(f"SELECT {same} FROM {name} ORDER BY ALL").fetchall()
                for name in (*sorted(Tables(lake).names()), *more)
            }

    return rows


_SOON = " ".join(  # small data: start soon rather than run fast
    ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")
)


_FEW_ROWS = {  # few partitions, planned once, without generated code and waits
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.locality.wait": "0",
    "spark.shuffle.io.retryWait": "1s",
}
_SUBMIT_FEW_ROWS = " ".join((*(f"--conf {name}={value}" for name, value in _FEW_ROWS.items()), "pyspark-shell"))


@pytest.fixture(scope="session")
def small_spark() -> dict[str, str]:
    """Environment variables of a process that runs Spark on a few rows."""
    return {
        "JDK_JAVA_OPTIONS": _SOON,
        "PYSPARK_SUBMIT_ARGS": _SUBMIT_FEW_ROWS,
        "BREWHOUSE_ENGINE": "spark",
        "BREWHOUSE_MEMORY_LIMIT_MB": "1024",
    }


@pytest.fixture(scope="session")
def spark_session() -> Iterator[SparkSession]:
    """Spark on this machine, configured for a few rows; a task has two attempts."""
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JDK_JAVA_OPTIONS", _SOON)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):  # S3A is configured by `spark_on_s3`
            patch.setenv(name, "unused")
        forget()
        try:
            session = open_session("local[2,2]", 1024, s3a=True)
        except BrewhouseError:  # Maven Central is unreachable
            session = open_session("local[2,2]", 1024)
    forget()
    _configure_new_sessions(session, _FEW_ROWS)
    yield session
    session.stop()


def _configure_new_sessions(session: SparkSession, settings: Mapping[str, str | None]) -> None:
    """Set the defaults of sessions that are opened from now on, as by engines; None is Spark's own."""
    configuration = session.sparkContext._jsc.sc().conf()
    for name, value in settings.items():
        configuration.remove(name) if value is None else configuration.set(name, value)


@pytest.fixture
def spark_by_default(spark_session: SparkSession) -> Iterator[SparkEngine]:
    """The engine with Spark's own defaults: generated code and adaptive plans."""
    _configure_new_sessions(spark_session, dict.fromkeys(_FEW_ROWS))
    engine = SparkEngine(spark_session)
    _configure_new_sessions(spark_session, _FEW_ROWS)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def spark(spark_session: SparkSession) -> Iterator[SparkEngine]:
    engine = SparkEngine(spark_session)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def transform(engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory) -> Transform:
    """Write each argument, a list of records (objects, or lines as sent), as a page, and run the silver models.

    `before` are the records of the snapshot before, on one page.
    """
    folder: Path = tmp_path_factory.mktemp("pages")
    silver = models_of("silver")
    breweries = next(model for model in silver if model.name == "silver.breweries")

    def attach(pages: Sequence[Sequence[Mapping[str, Any] | str]], snapshot_run: str, fetched_at: str) -> None:
        files = []
        for number, records in enumerate(pages, start=1):
            file = folder / f"page-{number:05}.abcdef123456.jsonl.gz"
            lines = [
                record if isinstance(record, str) else json.dumps(record, separators=(",", ":"))  # as the source does
                for record in records
            ]
            file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1))
            files.append(str(file))
        engine.attach_raw_snapshot(files, snapshot_run, fetched_at)
        for model in models_of("staging"):
            engine.compute(model)
        attach_places(engine)

    def run(
        *pages: Sequence[Mapping[str, Any] | str], before: Sequence[Mapping[str, Any] | str] | None = None
    ) -> DuckDBEngine:
        if before is not None:
            engine.attach_rows("previous.snapshot", {"run": "string"}, [("RUN0",)])
            attach([before], "RUN0", "2026-07-02T12:00:00+00:00")
            engine.compute(replace(breweries, name="previous.breweries"))
        attach(pages, "RUN1", "2026-08-02T12:00:00+00:00")
        if before is None:
            attach_nothing_previous(engine)
        for model in silver:
            engine.compute(model)
        return engine

    return run


@pytest.fixture(scope="module")
def given(engine: DuckDBEngine) -> Given:
    """Make a small table: its name, its columns with their SQL types, its rows."""

    def make(name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> DuckDBEngine:
        def select(row: Sequence[Any], condition: str = "") -> str:
            values = ("NULL" if value is None else _quoted(str(value)) for value in row)
            cells = (f"CAST({v} AS {t}) AS {c}" for v, (c, t) in zip(values, columns.items(), strict=True))
            return f"SELECT {', '.join(cells)}{condition}"

        nothing = select([None] * len(columns), " WHERE false")
        engine.compute(parse(name, " UNION ALL ".join([*(select(row) for row in rows), nothing])))
        return engine

    return make


@pytest.fixture(scope="session")
def aws_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an emulator of AWS answers."""
    with _emulator(tmp_path_factory.mktemp("aws")) as url:
        yield url


@pytest.fixture(scope="session")
def strict_aws_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an emulator of AWS answers that asks who may do what."""
    with _emulator(tmp_path_factory.mktemp("strict-aws"), AUTH="true") as url:
        yield url


@pytest.fixture(scope="session")
def moto_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the second emulator of AWS answers; all access keys share one account."""
    port = _free_port()
    command = ["moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with _serve(command, tmp_path_factory.mktemp("moto"), f"http://127.0.0.1:{port}", "/moto-api/data.json") as url:
        yield url


@pytest.fixture(scope="module")
def bucket(aws_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty bucket, as `s3://name`, in an account of its own, which the environment points at."""
    with pytest.MonkeyPatch.context() as patch:
        yield _make_bucket(aws_url, enter_account(patch, aws_url, tmp_path_factory.mktemp("home")))
        forget()


@pytest.fixture
def spark_on_s3(spark_session: SparkSession, bucket: str) -> str:
    """A bucket, as `s3://name`, that Spark reaches too."""
    hadoop = spark_session._jsc.hadoopConfiguration()
    if hadoop.getClassByNameOrNull("org.apache.hadoop.fs.s3a.S3AFileSystem") is None:
        pytest.skip("needs Maven Central, for S3A")
    settings = {
        "endpoint": os.environ["AWS_ENDPOINT_URL"],
        "endpoint.region": os.environ["AWS_REGION"],
        "path.style.access": "true",
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider",
        "access.key": os.environ["AWS_ACCESS_KEY_ID"],
        "secret.key": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    for name, value in settings.items():
        hadoop.set(f"fs.s3a.{name}", value)
    return bucket


@pytest.fixture
def shared_lake(bucket: str) -> Lake:
    """A lake on S3, empty, with databases of its own; its lock expires soon."""
    name = f"lake{next(_NUMBERS)}"
    return Lake.at(f"{bucket}/deep/{name}", Shared(catalog_database_prefix=name, lock_ttl_s=2))


@pytest.fixture
def faulty_aws(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy between this process and the emulator; a failed request is repeated twice or more, without waits."""
    del bucket  # made without the proxy
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    proxy = FaultProxy(os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setattr(s3, "_RETRIES", {"max_retries": 2, "backoff": {"init_backoff": timedelta(milliseconds=1)}})
    forget()
    with stamina.set_testing(testing=True, attempts=3):
        yield proxy
    proxy.close()
    forget()


@contextmanager
def _emulator(folder: Path, **variables: str) -> Iterator[str]:
    if importlib.util.find_spec("ministack") is None:
        pytest.skip("the emulator of AWS, ministack, is not installed")
    port = _free_port()
    only_loopback = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    given = {"LOG_LEVEL": "ERROR", **only_loopback, **variables}
    with _serve(["ministack"], folder, f"http://127.0.0.1:{port}", "/_ministack/health", **given) as url:
        yield url


@contextmanager
def _serve(module: Sequence[str], folder: Path, url: str, health: str, **variables: str) -> Iterator[str]:
    """Run a Python module that serves an emulator until the block ends; yields its URL once it answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=folder,
        env={**kept, "TMPDIR": str(folder), **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}{health}", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, "the emulator did not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


REGION = "eu-central-1"
_NUMBERS = itertools.count(100_000_000_001)


EnterAccount = Callable[[pytest.MonkeyPatch, str, Path], str]


@pytest.fixture(scope="session", name="enter_account")
def enter_account_fixture() -> EnterAccount:
    """Make the process work in an empty account of an emulator."""
    return enter_account


def enter_account(patch: pytest.MonkeyPatch, url: str, home: Path) -> str:
    """Make the process, and those it starts, work in an empty account; gives its number."""
    account = str(next(_NUMBERS))
    for name in [name for name in os.environ if name.startswith(("AWS_", "BREWHOUSE_", "PYICEBERG_"))]:
        patch.delenv(name)
    variables = {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    share_service_models()
    forget()
    assert s3.endpoint("s3") == s3.endpoint("glue") == url, "a request would leave this machine"
    return account


def _make_bucket(url: str, account: str) -> str:
    """Make a bucket by hand, since boto3 needs half a second for it; gives its URL."""
    name = f"bucket-{account}"
    who = f"AWS4-HMAC-SHA256 Credential={account}/20260802/{REGION}/s3/aws4_request"
    where = f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint></CreateBucketConfiguration>"
    making = urllib.request.Request(f"{url}/{name}", where.encode(), {"Authorization": who}, method="PUT")
    with urllib.request.urlopen(making, timeout=30):
        pass
    return f"s3://{name}"


def _quoted(text: str) -> str:
    """Quote a text as Spark SQL does."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
