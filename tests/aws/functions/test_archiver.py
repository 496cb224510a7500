"""The archiver writes each event into the lake once, and sends each invalid message to the dead-letter queue.

The handler runs in this process with batches of the emulator's queue, since the emulator's poller starts a process for
each batch; `test_events` covers the deployed function.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from tests.aws.cloud import RECORDED_EVENTS, Cloud
from tests.events.any_events import AnyEventLog

from brewhouse.aws.functions import archiver, clients
from brewhouse.aws.functions.job_runs import dpu_hour_usd
from brewhouse.aws.functions.normalize import MAX_BYTES, normalize
from brewhouse.aws.package import write_functions
from brewhouse.events.envelope import JOB, RUN, Event
from brewhouse.events.event import archive_events, read_events
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect

BURST = int(os.environ.get("TEST_BURST", "1000"))


def event(number: int, **changes: object) -> dict[str, Any]:
    """Return an event of a changed table."""
    moment = datetime(2026, 8, 2, 6, tzinfo=UTC) + timedelta(seconds=number)
    return {
        "version": "0",
        "id": f"00000000-0000-0000-0000-{number:012}",
        "detail-type": "Glue Data Catalog Table State Change",
        "source": "aws.glue",
        "account": "123456789012",
        "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "region": "eu-central-1",
        "resources": [],
        "detail": {"databaseName": "brewhouse_silver", "tableName": f"t{number}", "typeOfChange": "UpdateTable"},
        **changes,
    }


def send(cloud: Cloud, *bodies: str) -> None:
    def batch(start: int) -> None:
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies[start : start + 10])]
        assert not cloud.client("sqs").send_message_batch(QueueUrl=cloud.queue, Entries=entries).get("Failed")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(batch, range(0, len(bodies), 10)))


def batches(cloud: Cloud) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield the batches of the queue, as Lambda passes them to a function and as SQS returns them."""
    sqs = cloud.client("sqs")
    while True:
        found = sqs.receive_message(QueueUrl=cloud.queue, MaxNumberOfMessages=10, AttributeNames=["All"])
        if not found.get("Messages"):
            return
        messages = found["Messages"]
        records = [
            {"messageId": each["MessageId"], "body": each["Body"], "attributes": each["Attributes"]}
            for each in messages
        ]
        yield {"Records": records}, messages


def process_queue(cloud: Cloud) -> list[str]:
    """Process the queue as Lambda does, deleting what did not fail; return the failed messages."""
    sqs, kept = cloud.client("sqs"), []
    for batch, messages in batches(cloud):
        failed = {each["itemIdentifier"] for each in archiver.handler(batch, None)["batchItemFailures"]}
        done = [each for each in messages if each["MessageId"] not in failed]
        entries = [{"Id": str(i), "ReceiptHandle": each["ReceiptHandle"]} for i, each in enumerate(done)]
        if entries:
            sqs.delete_message_batch(QueueUrl=cloud.queue, Entries=entries)
        kept += [each for each in messages if each["MessageId"] in failed]
    for each in kept:  # retry now, not in six minutes
        sqs.change_message_visibility(QueueUrl=cloud.queue, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
    return [each["Body"] for each in kept]


def rejected(cloud: Cloud) -> dict[str, str]:
    """Return the reason of each message in the dead-letter queue, by its first characters."""
    found = cloud.client("sqs").receive_message(
        QueueUrl=cloud.dead_letters, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return {each["Body"][:40]: each["MessageAttributes"]["reason"]["StringValue"] for each in found.get("Messages", [])}


def test_an_event_delivered_twice_is_archived_once(cloud: Cloud) -> None:
    send(cloud, *[json.dumps(event(n)) for n in (1, 2, 1, 1)])
    assert process_queue(cloud) == []
    before = cloud.events()
    send(cloud, json.dumps(event(1, detail={"databaseName": "other"})))
    assert process_queue(cloud) == []
    assert cloud.events() == before
    assert len(before) == 2


def test_invalid_messages_do_not_block_the_others_of_their_batch(cloud: Cloud) -> None:
    oversized = json.dumps(event(3, detail={"x": "x" * MAX_BYTES}))
    send(cloud, "no event", json.dumps(event(1)), '{"id": "1"}', json.dumps(event(2)))
    send(cloud, oversized)
    assert process_queue(cloud) == []
    assert len(cloud.events()) == 2
    size = len(oversized)
    assert rejected(cloud) == {
        "no event": "not valid JSON",
        '{"id": "1"}': "detail-type is missing",
        oversized[:40]: f"too long: {size} bytes, more than the {MAX_BYTES} of an event",
    }


def test_events_wait_in_the_queue_while_the_bucket_rejects_writes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(cloud, "no event", *[json.dumps(event(n)) for n in range(3)])
    with monkeypatch.context() as patch:
        patch.setenv("BUCKET", "absent-bucket")
        assert len(process_queue(cloud)) == 3
        assert len(process_queue(cloud)) == 3
    assert rejected(cloud) == {"no event": "not valid JSON"}
    assert cloud.events() == {}
    assert process_queue(cloud) == []
    assert len(cloud.events()) == 3


def test_an_invalid_message_waits_while_the_dead_letter_queue_rejects_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(cloud, "no event")
    with monkeypatch.context() as patch:
        patch.setenv("DEAD_LETTER_QUEUE", cloud.dead_letters + "-gone")
        assert process_queue(cloud) == ["no event"]
    assert process_queue(cloud) == []
    assert rejected(cloud) == {"no event": "not valid JSON"}


def test_a_burst_of_events_is_archived_without_loss_or_duplicate(cloud: Cloud) -> None:
    """`TEST_BURST=10000` sends 10,000 events, which needs most of a minute."""
    bodies = [json.dumps(event(n)) for n in range(BURST)]
    send(cloud, *bodies, *bodies[::100], *["no event"] * 10)
    assert process_queue(cloud) == []
    s3 = cloud.client("s3").get_paginator("list_objects_v2")
    keys = [
        each["Key"]
        for page in s3.paginate(Bucket=cloud.bucket, Prefix="lake/events/")
        for each in page.get("Contents", [])
    ]
    day = "lake/events/date=2026-08-02"
    moments = [datetime.fromisoformat(json.loads(body)["time"]) for body in bodies]
    expected = {
        f"{day}/{id_at(moment, json.loads(body)['id'].encode())}.json"
        for moment, body in zip(moments, bodies, strict=True)
    }
    assert len(keys) == BURST
    assert set(keys) == expected
    count = cloud.client("sqs").get_queue_attributes(QueueUrl=cloud.dead_letters, AttributeNames=["All"])
    assert count["Attributes"]["ApproximateNumberOfMessages"] == "10"


def job_end(cloud: Cloud, job: str, run: str, state: str = "SUCCEEDED") -> dict[str, Any]:
    now = datetime.now(UTC) + timedelta(seconds=5)  # Glue reports it some seconds later
    detail = {"jobName": f"brew-{job}", "severity": "INFO", "state": state, "jobRunId": run, "message": "from Glue"}
    return {
        **event(1),
        "id": f"e-{run}",
        "detail-type": JOB,
        "account": cloud.account.number,
        "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "detail": detail,
    }


def put_log(cloud: Cloud, stream: str, *messages: str) -> None:
    logs, now = cloud.client("logs"), int(datetime.now(UTC).timestamp() * 1000)
    place = {"logGroupName": "/aws-glue/brew/output", "logStreamName": stream}
    logs.create_log_stream(**place)
    for start in range(0, len(messages), 1000):
        events = [{"timestamp": now, "message": message} for message in messages[start : start + 1000]]
        logs.put_log_events(**place, logEvents=events)


def test_the_last_thousand_log_lines_of_an_attempt_are_queried_with_its_event(cloud: Cloud) -> None:
    run = cloud.client("glue").start_job_run(JobName="brew-extract")["JobRunId"]
    put_log(cloud, run, *(f"line {number}\n" for number in range(1200)), "two\nlines\n\n", "Ä" + "x" * 3000)
    put_log(cloud, f"{run}_attempt_1", "of another attempt")
    body = json.dumps(job_end(cloud, "extract", run, "FAILED"))
    for _ in range(2):  # delivered twice
        send(cloud, body)
        assert process_queue(cloud) == []
    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    with closing(connect(lake)) as connection:
        sql = "SELECT line, message FROM monitoring.job_logs WHERE job = 'extract' AND job_run_id = ? ORDER BY line"
        found = connection.execute(sql, [run]).fetchall()
        [(total, runs)] = connection.execute(
            "SELECT count(*), count(DISTINCT time) FROM monitoring.job_logs"
        ).fetchall()
    assert (len(found), total, runs) == (1000, 1000, 1)
    assert [number for number, _ in found] == list(range(1, 1001))
    assert [line for _, line in found[-4:]] == ["line 1199", "two", "lines", "Ä" + "x" * 1999]
    [key] = cloud.client("s3").list_objects_v2(Bucket=cloud.bucket, Prefix="lake/job_logs/")["Contents"]
    [event_key] = cloud.events()
    assert key["Key"] == event_key.replace("/events/", "/job_logs/") + "l", "under the id of its event"
    line = cloud.client("s3").get_object(Bucket=cloud.bucket, Key=key["Key"])["Body"].readline()
    table = cloud.client("glue").get_table(DatabaseName="brewhouse_monitoring", Name="job_logs")["Table"]
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]] == list(json.loads(line))
    folder = key["Key"].rpartition("date=")[0]
    assert table["Parameters"]["storage.location.template"] == f"s3://{cloud.bucket}/{folder}date=${{date}}"


def test_a_job_run_without_a_log_has_no_lines(cloud: Cloud) -> None:
    run = cloud.client("glue").start_job_run(JobName="brew-extract")["JobRunId"]
    send(cloud, json.dumps(job_end(cloud, "extract", run)))
    assert process_queue(cloud) == []
    assert "Contents" not in cloud.client("s3").list_objects_v2(Bucket=cloud.bucket, Prefix="lake/job_logs/")


def test_the_end_of_a_job_gets_duration_cost_and_run_id(cloud: Cloud) -> None:
    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    log = AnyEventLog(lake, "01RUN")
    log.write(RUN, {"jobName": "breweries", "workflow": "breweries"})
    log.write(JOB, {"jobName": "extract", "message": "extract starts"})
    run = cloud.client("glue").start_job_run(JobName="brew-extract")["JobRunId"]
    log.write(JOB, {"jobName": "extract", "state": "SUCCEEDED", "message": "done", "counts": {"records": 9}})
    send(cloud, json.dumps(job_end(cloud, "extract", run)))
    assert process_queue(cloud) == []
    found = cloud.event()
    assert (found["jobName"], found["glueJobName"], found["jobRunId"]) == ("extract", "brew-extract", run)
    assert (found["runId"], found["workflow"], found["counts"]) == ("01RUN", "breweries", {"records": 9})
    price = dpu_hour_usd(found.get("glueVersion", ""), cloud.account.region)
    assert found["costUsd"] == pytest.approx(found["dpuSeconds"] / 3600 * price, abs=1e-6)
    assert found["dpuSeconds"] >= 60
    from brewhouse.events.run_reports import run_reports

    [report] = run_reports(read_events(lake))
    assert [(job.name, job.message, job.counts) for job in report.jobs] == [("extract", "done", {"records": 9})]


def test_the_end_of_a_failed_job_gets_the_last_lines_of_its_log(cloud: Cloud) -> None:
    run = cloud.client("glue").start_job_run(JobName="brew-transform")["JobRunId"]
    logs = cloud.client("logs")
    place = {"logGroupName": "/aws-glue/brew/output", "logStreamName": run}
    logs.create_log_stream(**place)
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + n, "message": f"line {n}\n"} for n in range(30)]
    logs.put_log_events(**place, logEvents=lines)
    send(cloud, json.dumps(job_end(cloud, "transform", run, "FAILED")))
    assert process_queue(cloud) == []
    found = cloud.event()
    assert found["errorLines"] == [f"line {n}" for n in range(20, 30)]
    assert found["severity"] == "ERROR"


def test_a_run_unknown_to_glue_is_archived_without_facts(cloud: Cloud) -> None:
    send(cloud, json.dumps(job_end(cloud, "extract", "jr_unknown")))
    assert process_queue(cloud) == []
    found = cloud.event()
    assert found["unknown"] == "Glue does not know this run"


def test_an_event_is_archived_without_facts_after_three_attempts_to_ask_glue(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue = clients.client("glue")
    denied = glue.exceptions.ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetJobRun")

    def refuse(**_: object) -> None:
        raise denied

    monkeypatch.setattr(glue, "get_job_run", refuse)
    send(cloud, json.dumps(job_end(cloud, "extract", "jr_1")))
    for _ in range(2):
        assert len(process_queue(cloud)) == 1
        assert cloud.events() == {}
    assert process_queue(cloud) == []
    assert cloud.event()["unknown"].startswith("Glue could not be asked: ")
    assert (cloud.event()["jobName"], cloud.event()["state"]) == ("extract", "SUCCEEDED")


def test_an_unexpected_error_returns_only_its_own_message_to_the_queue(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = event(2, detail={"databaseName": "broken"})

    def fail(received: dict[str, Any], *_: object) -> Event:
        if received["detail"] == broken["detail"]:
            raise ZeroDivisionError("a bug")
        return normalize(received, "brew", {})

    send(cloud, *(json.dumps(each) for each in (event(1), broken, event(3))))
    with monkeypatch.context() as patch:
        patch.setattr(archiver, "normalize", fail)
        assert process_queue(cloud) == [json.dumps(broken)]
    assert '"why": "a bug"' in capsys.readouterr().out
    assert len(cloud.events()) == 2
    assert process_queue(cloud) == []
    assert len(cloud.events()) == 3


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[" * 50_000, "not valid JSON"),
        (json.dumps(event(1, detail={"x": float("nan")})), "not valid JSON"),
        (json.dumps(event(1, detail={"x": "\ud800"})), "not valid JSON"),
        (json.dumps(event(1, time="9999-12-31T23:59:59-10:00")), "invalid time '9999-12-31T23:59:59-10:00'"),
    ],
    ids=["nesting", "nan", "surrogate", "time"],
)
def test_a_malformed_message_is_rejected_without_a_retry_of_its_batch(cloud: Cloud, body: str, reason: str) -> None:
    send(cloud, json.dumps(event(2)), body, json.dumps(event(3)))
    assert process_queue(cloud) == []
    assert len(cloud.events()) == 2
    assert rejected(cloud) == {body[:40]: reason}


def test_events_of_aws_and_of_the_jobs_are_rows_of_one_table(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from brewhouse.cli.main import main

    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    AnyEventLog(lake, "01RUN").write(JOB, {"jobName": "extract", "state": "SUCCEEDED", "message": "of a job"})
    send(cloud, *[json.dumps(each["event"]).replace("{stack}", "brew") for each in RECORDED_EVENTS if each["rules"]])
    assert process_queue(cloud) == []

    def query(sql: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["brewhouse", "query", "--json", "--lake", str(lake.root), sql])
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        assert not ended.value.code, output.err
        rows: list[dict[str, Any]] = json.loads(output.out)
        return rows

    sql = "SELECT source, job, state, level, message FROM monitoring.events WHERE detail_type LIKE '%State Change' "
    sql += "AND job IN ('extract', 'raw') ORDER BY id"
    capsys.readouterr()
    before = query(sql)
    assert [(row["source"], row["job"], row["state"], row["level"]) for row in before] == [
        ("aws.glue", "extract", "SUCCEEDED", "INFO"),
        ("aws.glue", "raw", "RUNNING", "INFO"),
        ("aws.glue", "raw", "SUCCEEDED", "INFO"),
        ("aws.glue", "raw", "FAILED", "WARN"),
        ("brewhouse", "extract", "SUCCEEDED", "INFO"),
    ]
    assert archive_events(lake, now=datetime(2026, 8, 3, tzinfo=UTC)) == 1
    assert query(sql) == before
    again = json.dumps(RECORDED_EVENTS[0]["event"]).replace("{stack}", "brew")
    send(cloud, again)  # after its day was compacted
    assert process_queue(cloud) == []
    capsys.readouterr()
    assert query(sql) == before
    assert query("SELECT count(*) AS n FROM monitoring.unreadable_events") == [{"n": 0}]


def test_the_functions_run_with_the_standard_library_and_boto3_alone(
    cloud: Cloud,
    tmp_path: Path,
) -> None:
    """The zip runs in an environment with boto3 alone, unlike the emulator's, which has the packages of the tests."""
    write_functions(tmp_path / "functions.zip")
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "urllib3", "six"):
        for top in {Path(file).parts[0] for file in distribution(name).files or [] if not str(file).startswith("..")}:
            source = Path(str(distribution(name).locate_file(top)))
            if source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    venv.create(tmp_path / "clean", symlinks=True)
    python = tmp_path / "clean" / "bin" / "python"
    script = (
        "import sys, json; sys.path[:0] = sys.argv[1:3]\n"
        "from brewhouse.aws.functions import archiver, notifier\n"
        "print(json.dumps(archiver.handler(json.loads(sys.argv[3]), None)))\n"
        "print(json.dumps(notifier.handler({}, None)))\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names))\n"
    )
    record = {"messageId": "m1", "body": json.dumps(event(1)), "attributes": {"ApproximateReceiveCount": "1"}}
    command = [
        str(python),
        "-I",
        "-c",
        script,
        str(tmp_path / "functions.zip"),
        str(packages),
        json.dumps({"Records": [record]}),
    ]
    kept = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    names = {name: os.environ[name] for name in ("STACK", "BUCKET", "DEAD_LETTER_QUEUE", "ALERT_TOPIC")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**kept, **names})
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert answers[0] == '{"batchItemFailures": []}'
    assert answers[-2] == '{"sent": []}'
    ours = {
        "__main__",
        "sitecustomize",
        "__mp_main__",
        "brewhouse",
        *(path.name.removesuffix(".py") for path in packages.iterdir()),
    }
    assert set(json.loads(answers[-1].replace("'", '"'))) <= ours
    assert len(cloud.events()) == 1
