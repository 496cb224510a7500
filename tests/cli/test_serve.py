"""Commands that serve: `brewhouse serve`, `mock-api` and `demo`."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from tests.cli.conftest import Call, shell
from tests.mock_api.csv_records import CSV_COLUMNS

from brewhouse.errors import install_command
from brewhouse.events.schedule_state import switch
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import encode_manifest, newest


@pytest.mark.parametrize(("host", "has_link"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serve_prints_its_address_and_ends_quietly(full: Path, host: str, has_link: bool) -> None:
    command = [sys.executable, "-m", "brewhouse", "serve", "--lake", str(full), "--host", host, "--port", "0"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BREWHOUSE_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rsplit(" ", 1)[1].strip()
        address = address.replace(f"//{socket.gethostname()}:", "//127.0.0.1:")  # a short name may be in the token, too
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                assert b"Brewhouse" in page.read()
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert ("/login?token=" in address) is has_link
    assert (process.returncode, errors) == (0, "")


def test_a_port_in_use_is_an_error_with_a_hint(call: Call, full: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call("serve", "--lake", full, "--port", taken.getsockname()[1])
    assert done.code == 2
    assert "Cannot listen on 127.0.0.1" in done.err
    assert "--port" in done.err


def test_a_missing_lake_is_an_error(call: Call, tmp_path: Path) -> None:
    done = call("serve", "--lake", tmp_path / "nowhere")
    assert done.code == 1
    assert "does not exist" in done.err


def test_a_missing_dependency_is_an_error_with_a_hint(call: Call, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = call("serve", "--lake", full)
    assert done.code == 2
    assert install_command("console") in done.err


def test_the_command_line_does_not_import_the_console() -> None:
    code = "import sys, brewhouse.cli.main; print({'fastapi', 'uvicorn', 'jinja2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_cannot_be_bound_is_an_error_with_a_hint(call: Call, full: Path, host: str) -> None:
    done = call("serve", "--lake", full, "--host", host, "--port", "0")
    assert (done.code, done.out) == (2, "")
    assert f"Cannot listen on {host}, port 0: " in done.err
    assert "--host" in done.err


def test_an_invalid_schedule_is_wrong_usage(call: Call, full: Path) -> None:
    done = call("serve", "--lake", full, "--port", "0", "--schedule", "often")
    assert (done.code, done.out) == (2, "")
    assert "often" in done.err


def test_demo_publishes_and_suggests_three_next_steps(tmp_path: Path) -> None:
    done = shell("demo", "--rows", 300, "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    assert "Three things to try next" in done.stdout
    (query, serve) = [shlex.split(line, comments=True)[1:] for line in done.stdout.splitlines() if "--lake" in line]
    answered = shell(*query)
    assert "Germany" in answered.stdout
    assert not answered.stderr
    assert shell(*serve, "--help").returncode == 0
    assert "name is missing" in shell("rejected", "--lake", tmp_path / "lake").stdout
    assert "297" in done.stdout


def test_mock_api_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "brewhouse", "mock-api", "--rows", "30", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.split(" at ")[1].split(";")[0]
        with urllib.request.urlopen(f"{url}/breweries/meta") as answer:
            assert int(json.load(answer)["total"]) == 30
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) in (0, 130)


@pytest.mark.parametrize("rows", [1, 9, 10])
def test_a_small_demo_rejects_at_most_a_tenth_of_its_records(tmp_path: Path, rows: int) -> None:
    done = shell("demo", "--rows", rows, "--lake", tmp_path / "lake")
    assert done.returncode == 0, done.stderr
    sql = "SELECT (SELECT count(*) FROM silver.breweries) AS good, count(*) AS bad FROM silver.rejected_breweries"
    answered = shell("query", sql, "--lake", tmp_path / "lake", "--json")
    assert json.loads(answered.stdout) == [{"good": rows - rows // 10, "bad": rows // 10}]


def test_mock_api_serves_a_csv_file(tmp_path: Path) -> None:
    with (tmp_path / "breweries.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, CSV_COLUMNS)
        writer.writeheader()
        writer.writerows([{"id": f"id-{number:03}", "name": "Ales"} for number in range(7)])
    options = ["--data", str(tmp_path / "breweries.csv"), "--port", "0"]
    command = [sys.executable, "-m", "brewhouse", "mock-api", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("7 breweries at http://127.0.0.1:")
        with urllib.request.urlopen(line.split(" at ")[1].split(";")[0] + "/breweries?page=2&per_page=5") as page:
            assert [record["id"] for record in json.load(page)] == ["id-005", "id-006"]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Failed to read the dataset 'b.csv': No such file or directory. Check the path of the CSV file."),
        (
            b"id,name\n",
            "The dataset 'b.csv' cannot be served: its header is not one of the dataset's: it lacks brewery_type",
        ),
        (b"\xff\xfe", "The dataset 'b.csv' cannot be served: its header is not one of the dataset's"),
    ],
)
def test_mock_api_rejects_an_invalid_csv_file(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("b.csv").write_bytes(content)
    done = call("mock-api", "--data", "b.csv", "--port", "0")
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_mock_api_names_a_port_in_use(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = call("mock-api", "--rows", "1", "--port", port)
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"brewhouse: The mock API cannot listen on 127.0.0.1:{port}: Address already in use. "
        "Choose another port with --port; 0 selects a free one.\n"
    )


@pytest.mark.parametrize(("name", "start"), [("r.html", b"<!doctype html>"), ("r.svg", b"<svg"), ("r.pdf", b"%PDF-")])
def test_report_writes_one_file_and_prints_its_name(
    call: Call, full: Path, tmp_path: Path, name: str, start: bytes
) -> None:
    done = call("report", "--lake", full, "--output", tmp_path / name)
    assert (done.code, done.out, done.err) == (0, f"{tmp_path / name}\n", "")
    content = (tmp_path / name).read_bytes()
    assert content.lstrip().lower().startswith(start.lower())
    if name == "r.svg":
        ET.fromstring(content)


def test_report_is_filtered_and_translated(call: Call, full: Path, tmp_path: Path) -> None:
    pages = {}
    for name, options in {"all": (), "pt": ("--language", "pt"), "be": ("--country", "BE", "--type", "micro")}.items():
        assert call("report", "--lake", full, "--output", tmp_path / f"{name}.html", *options).code == 0
        pages[name] = (tmp_path / f"{name}.html").read_text("utf-8")
    assert len(set(pages.values())) == 3
    assert 'lang="pt' in pages["pt"]
    assert 'lang="en' in pages["all"]


def test_a_report_without_a_lake_or_of_an_unknown_kind_is_an_error(call: Call, full: Path, tmp_path: Path) -> None:
    missing = call("report", "--lake", tmp_path / "none", "--output", tmp_path / "r.html")
    assert (missing.code, missing.out) == (1, "")
    assert "does not exist" in missing.err
    unknown = call("report", "--lake", full, "--output", tmp_path / "r.docx")
    assert (unknown.code, unknown.out) == (2, "")
    assert ".docx" in unknown.err
    assert not list(tmp_path.iterdir())


def test_report_names_a_missing_dependency(
    call: Call, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    done = call("report", "--lake", full, "--output", tmp_path / "r.pdf")
    assert done.code == 2
    assert done.err == (
        "brewhouse: A report as PDF needs vl_convert, which is not installed. "
        f"Run `{install_command('report')}`, or write it as HTML.\n"
    )
    assert call("report", "--lake", full, "--output", tmp_path / "r.html").code == 0


def test_serve_logs_errors_reports_a_schedule_that_is_off_and_trusts_no_unknown_proxy(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    switch(Lake(lake), is_on=False)
    (lake / "events" / "date=2026-01-01").write_text("not a folder")
    command = [
        sys.executable,
        "-m",
        "brewhouse",
        "serve",
        "--lake",
        str(lake),
        "--port",
        "0",
        "--schedule",
        "0 6 * * *",
    ]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BREWHOUSE_")}
    environ["BREWHOUSE_CONSOLE_PASSWORD"] = "correct horse"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rsplit(" ", 1)[1].strip()
        try:
            statuses = []
            for number in range(6):
                headers = {"X-Forwarded-For": f"203.0.113.{number}", "Authorization": "Bearer correct horse"}
                wrong = urllib.request.Request(f"{address}/login", data=b"password=guess", headers=headers)
                with pytest.raises(urllib.error.HTTPError) as failed:
                    urllib.request.urlopen(wrong, timeout=30)
                failed.value.close()
                statuses.append(failed.value.code)
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert statuses == [403] * 5 + [429], "the header of a client does not give it more attempts"
    assert "The schedule 0 6 * * * is switched off" in errors
    assert "NotADirectoryError" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--country", "Belgium"), "'Belgium' is not the ISO 3166 code of a country. Write BE."),
        (("--type", "mcro"), "'mcro' is not a type of breweries. Did you mean micro?"),
        (("--country", "Belgum"), "'Belgum' is not the ISO 3166 code of a country. Did you mean BE?"),
        (("--state", "Oregno", "--country", "US"), "'Oregno' is not the ISO 3166 code of a state. Did you mean US-OR?"),
        (("--country", ""), "'' is not the ISO 3166 code of a country. `brewhouse places` lists the codes."),
        (("--state", "US-ZZ"), "'US-ZZ' is not the ISO 3166 code of a state. `brewhouse places` lists the codes."),
        (("--state", "Oregon", "--country", "US"), "'Oregon' is not the ISO 3166 code of a state. Write US-OR."),
    ],
)
def test_a_filter_that_matches_nothing_known_is_rejected(call: Call, options: tuple[str, ...], message: str) -> None:
    done = call("report", "--output", "/dev/null", *options)
    assert (done.code, done.err) == (2, f"brewhouse: {message}\n")


def test_the_demo_refuses_a_lake_of_another_source(call: Call, full: Path, tmp_path: Path) -> None:
    shutil.copytree(full / "bronze", tmp_path / "lake" / "bronze")
    for manifest in (tmp_path / "lake").rglob("manifest.json"):
        known = newest(Lake(full))
        assert known is not None
        other = msgspec.structs.replace(known.manifest, source_url="https://api.openbrewerydb.org/v1")
        manifest.write_bytes(encode_manifest(other))
    done = call("demo", "--lake", tmp_path / "lake", "--rows", "5")
    assert (done.code, done.out) == (2, "")
    assert "holds breweries of https://api.openbrewerydb.org/v1; the demo would add generated ones." in done.err
