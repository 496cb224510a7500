"""Each event is in the lake once, whatever happens on the way; what is none is in the dead-letter queue, with a reason.

The handler is called in this process with real batches of the real queue, since the emulator's own poller starts a
process for each; `test_events` has the deployed function do it.
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
from datetime import UTC, datetime, timedelta
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.aws.functions import archiver
from brewhouse.aws.functions.normalize import MAX_BYTES, InvalidEventError, decode_event, normalize
from brewhouse.aws.prices import prices
from brewhouse.aws.wheel import write_functions
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.event_archive import archive_events
from brewhouse.events.event_types import JOB, RUN
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake

RECORDED = json.loads(Path(__file__).with_name("recorded_events.json").read_text("utf-8"))
BURST = int(os.environ.get("BREWHOUSE_TEST_BURST", "1000"))


def event(number: int, **changes: object) -> dict[str, Any]:
    """A change of a table."""
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


def send(cloud: Any, *bodies: str) -> None:  # noqa: ANN401 - a Cloud
    def batch(start: int) -> None:
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies[start : start + 10])]
        assert not cloud.client("sqs").send_message_batch(QueueUrl=cloud.queue, Entries=entries).get("Failed")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(batch, range(0, len(bodies), 10)))


def batches(cloud: Any) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:  # noqa: ANN401 - a Cloud
    """Give what is in the queue as Lambda gives it to a function, and as SQS gave it."""
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


def work(cloud: Any) -> list[str]:  # noqa: ANN401 - a Cloud
    """Do what Lambda does with the queue: what the function does not give back is deleted; tells what it gave back."""
    sqs, kept = cloud.client("sqs"), []
    for batch, messages in batches(cloud):
        failed = {each["itemIdentifier"] for each in archiver.handler(batch, None)["batchItemFailures"]}
        done = [each for each in messages if each["MessageId"] not in failed]
        entries = [{"Id": str(i), "ReceiptHandle": each["ReceiptHandle"]} for i, each in enumerate(done)]
        if entries:
            sqs.delete_message_batch(QueueUrl=cloud.queue, Entries=entries)
        kept += [each for each in messages if each["MessageId"] in failed]
    for each in kept:  # the next time is now, not in six minutes
        sqs.change_message_visibility(QueueUrl=cloud.queue, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)
    return [each["Body"] for each in kept]


def rejected(cloud: Any) -> dict[str, str]:  # noqa: ANN401 - a Cloud
    """Read the dead-letter queue: each message's text, shortened, with the reason."""
    found = cloud.client("sqs").receive_message(
        QueueUrl=cloud.dead_letters, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    return {each["Body"][:40]: each["MessageAttributes"]["reason"]["StringValue"] for each in found.get("Messages", [])}


def test_an_event_that_is_delivered_again_is_no_second_one(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    send(cloud, *[json.dumps(event(n)) for n in (1, 2, 1, 1)])
    assert work(cloud) == []
    before = cloud.events()
    send(cloud, json.dumps(event(1, detail={"databaseName": "other"})))
    assert work(cloud) == []
    assert cloud.events() == before
    assert len(before) == 2


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no event", "not valid JSON"),
        ('"text"', "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"Type": "Notification", "Message": "{}"}', "id is missing"),
        (json.dumps(event(1, id=7)), "id is missing"),
        (json.dumps(event(1, source="")), "source is missing"),
        (json.dumps(event(1, detail="text")), "detail is missing"),
        (json.dumps(event(1, time="yesterday")), "invalid time 'yesterday'"),
        (json.dumps(event(1, detail={"x": "é" * MAX_BYTES}), ensure_ascii=False), "too long"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(body: str, reason: str) -> None:
    with pytest.raises(InvalidEventError, match="^" + reason.replace("[", r"\[")):
        decode_event(body)


def test_bad_messages_do_not_hold_up_the_others_of_their_batch(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    oversized = json.dumps(event(3, detail={"x": "x" * MAX_BYTES}))
    send(cloud, "no event", json.dumps(event(1)), '{"id": "1"}', json.dumps(event(2)))
    send(cloud, oversized)
    assert work(cloud) == []
    assert len(cloud.events()) == 2
    size = len(oversized)
    assert rejected(cloud) == {
        "no event": "not valid JSON",
        '{"id": "1"}': "detail-type is missing",
        oversized[:40]: f"too long: {size} bytes, more than the {MAX_BYTES} of an event",
    }


def test_while_the_bucket_refuses_events_wait_in_the_queue(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    send(cloud, "no event", *[json.dumps(event(n)) for n in range(3)])
    with monkeypatch.context() as refusing:
        refusing.setenv("BUCKET", "somebody-elses-bucket")
        assert len(work(cloud)) == 3
        assert len(work(cloud)) == 3
    assert rejected(cloud) == {"no event": "not valid JSON"}
    assert cloud.events() == {}
    assert work(cloud) == []
    assert len(cloud.events()) == 3


def test_while_the_dead_letter_queue_refuses_a_bad_message_waits(cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    send(cloud, "no event")
    with monkeypatch.context() as refusing:
        refusing.setenv("DEAD_LETTER_QUEUE", cloud.dead_letters + "-gone")
        assert work(cloud) == ["no event"]
    assert work(cloud) == []
    assert rejected(cloud) == {"no event": "not valid JSON"}


def test_of_many_events_in_a_burst_none_is_lost_and_none_there_twice(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    """With `BREWHOUSE_TEST_BURST=10000` it are 10,000, which takes most of a minute."""
    bodies = [json.dumps(event(n)) for n in range(BURST)]
    send(cloud, *bodies, *bodies[::100], *["no event"] * 10)
    assert work(cloud) == []
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


def job_end(cloud: Any, job: str, run: str, state: str = "SUCCEEDED") -> dict[str, Any]:  # noqa: ANN401 - a Cloud
    now = datetime.now(UTC) + timedelta(seconds=5)  # Glue needs some seconds to tell
    detail = {"jobName": f"brew-{job}", "severity": "INFO", "state": state, "jobRunId": run, "message": "said by Glue"}
    return {
        **event(1),
        "id": f"e-{run}",
        "detail-type": JOB,
        "account": cloud.account.number,
        "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "detail": detail,
    }


def test_the_end_of_a_job_has_its_duration_cost_and_our_run(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    log = EventLog(lake, "01RUN")
    log.write(RUN, {"jobName": "breweries", "workflow": "breweries"})
    log.write(JOB, {"jobName": "extract", "message": "extract starts"})
    run = cloud.client("glue").start_job_run(JobName="brew-extract")["JobRunId"]
    log.write(JOB, {"jobName": "extract", "state": "SUCCEEDED", "message": "all taken", "counts": {"records": 9}})
    send(cloud, json.dumps(job_end(cloud, "extract", run)))
    assert work(cloud) == []
    [found] = [each["detail"] for each in cloud.events().values() if each["source"] == "aws.glue"]
    assert (found["jobName"], found["glueJobName"], found["jobRunId"]) == ("extract", "brew-extract", run)
    assert (found["runId"], found["workflow"], found["counts"]) == ("01RUN", "breweries", {"records": 9})
    assert found["costUsd"] == pytest.approx(found["dpuSeconds"] / 3600 * prices().glue_dpu_hour, abs=1e-6)
    assert found["dpuSeconds"] >= 60
    from brewhouse.events.run_reports import run_reports

    [report] = run_reports(read_events(lake))
    assert [(job.name, job.message, job.counts) for job in report.jobs] == [("extract", "all taken", {"records": 9})]


def test_the_end_of_a_job_that_failed_has_the_last_lines_of_its_log(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    run = cloud.client("glue").start_job_run(JobName="brew-transform")["JobRunId"]
    logs = cloud.client("logs")
    place = {"logGroupName": "/aws-glue/brew/error", "logStreamName": run}
    logs.create_log_stream(**place)
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + n, "message": f"line {n}\n"} for n in range(30)]
    logs.put_log_events(**place, logEvents=lines)
    send(cloud, json.dumps(job_end(cloud, "transform", run, "FAILED")))
    assert work(cloud) == []
    [found] = [each["detail"] for each in cloud.events().values()]
    assert found["errorLines"] == [f"line {n}" for n in range(20, 30)]
    assert found["severity"] == "ERROR"


def test_a_run_that_glue_does_not_know_is_archived_as_it_was_told(cloud: Any) -> None:  # noqa: ANN401 - a Cloud
    send(cloud, json.dumps(job_end(cloud, "extract", "jr_unknown")))
    assert work(cloud) == []
    [found] = [each["detail"] for each in cloud.events().values()]
    assert found["unknown"] == "Glue does not know this run"


def test_events_of_aws_and_of_one_machine_are_one_table(
    cloud: Any,  # noqa: ANN401 - a Cloud
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from brewhouse.cli.main import main

    lake = Lake.at(f"s3://{cloud.bucket}/lake")
    EventLog(lake, "01RUN").write(JOB, {"jobName": "extract", "state": "SUCCEEDED", "message": "ours"})
    send(cloud, *[json.dumps(each["event"]).replace("{stack}", "brew") for each in RECORDED if each["rules"]])
    assert work(cloud) == []

    def asked(sql: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "argv", ["brewhouse", "query", "--json", "--lake", str(lake.root), sql])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert not left.value.code, said.err
        rows: list[dict[str, Any]] = json.loads(said.out)
        return rows

    sql = "SELECT source, job, state, level, message FROM monitoring.events WHERE detail_type LIKE '%State Change' "
    sql += "AND job IN ('extract', 'raw') ORDER BY id"
    capsys.readouterr()
    before = asked(sql)
    assert [(row["source"], row["job"], row["state"], row["level"]) for row in before] == [
        ("aws.glue", "extract", "SUCCEEDED", "INFO"),
        ("aws.glue", "raw", "RUNNING", "INFO"),
        ("aws.glue", "raw", "SUCCEEDED", "INFO"),
        ("aws.glue", "raw", "FAILED", "ERROR"),
        ("brewhouse", "extract", "SUCCEEDED", "INFO"),
    ]
    assert archive_events(lake, now=datetime(2026, 8, 3, tzinfo=UTC)) == 1
    assert asked(sql) == before
    send(cloud, json.dumps(RECORDED[0]["event"]).replace("{stack}", "brew"))  # again, when its day is put together
    assert work(cloud) == []
    capsys.readouterr()
    assert asked(sql) == before
    assert asked("SELECT count(*) AS n FROM monitoring.unreadable_events") == [{"n": 0}]


@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())),
    st.sampled_from(sorted({each["event"]["detail-type"] for each in RECORDED})),
)
def test_whatever_the_detail_is_an_event_becomes_one_of_the_lake(detail: dict[str, Any], kind: str) -> None:
    made = normalize({**event(1), "detail-type": kind, "detail": detail}, "brew", {})
    written = json.loads(made.encode())
    assert (written["detail-type"], written["time"]) == (kind, "2026-08-02T06:00:01+00:00")
    assert {"runId", "jobName", "jobRunId", "state", "severity", "message"} <= set(written["detail"])
    assert made == normalize({**event(1), "detail-type": kind, "detail": detail}, "brew", {})


def test_the_functions_need_boto3_and_nothing_else(
    cloud: Any,  # noqa: ANN401 - a Cloud
    tmp_path: Path,
) -> None:
    """The zip runs in an environment with boto3 alone; the emulator's own has every package of this one."""
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
    ours = {"__main__", "__mp_main__", "brewhouse", *(path.name.removesuffix(".py") for path in packages.iterdir())}
    assert set(json.loads(answers[-1].replace("'", '"'))) <= ours
    assert len(cloud.events()) == 1
