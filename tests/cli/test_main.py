"""The whole command line: help, errors, exit codes, streams."""

from __future__ import annotations

import base64
import errno
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
import typer.main
from tests.cli.conftest import Call, shell
from tests.mock_api.server import MockApiServer

from brewhouse import __version__
from brewhouse.cli.main import _readable_error, app
from brewhouse.mock_api.dataset import generate

ROOT = Path(__file__).parents[2]


def every_command() -> Iterator[tuple[str, Any]]:
    """List the commands, those of groups included, by what a user types."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - of the click inside Typer
        yield path, command
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}".strip())

    yield from walk(typer.main.get_command(app), "")


COMMANDS = dict(every_command())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_help_has_an_example_of_its_command(call: Call, path: str) -> None:
    done = call(*path.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Example: brewhouse {path}".strip() in " ".join(done.out.split())
    assert done.out.startswith(f"Usage: brewhouse {path}".strip())


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_has_a_help_that_is_one_sentence_or_a_default(path: str) -> None:
    for parameter in COMMANDS[path].params:
        text = getattr(parameter, "help", None)
        assert text, parameter.name
        assert text[0].isupper() or text.startswith("`") or text[0].isdigit() or parameter.name == "job", text
        assert text.endswith(".") or re.search(r"Default: \S+( \S+)?$", text), text


@pytest.mark.parametrize("path", COMMANDS)
def test_every_summary_is_a_short_sentence(path: str) -> None:
    summary = COMMANDS[path].help.partition("\n\n")[0]
    assert summary[0].isupper()
    assert summary.endswith(".")
    assert len(summary) <= 120


def test_an_option_has_the_same_help_in_every_command() -> None:
    texts: dict[str, set[str]] = {}
    for _, command in every_command():
        for parameter in command.params:
            texts.setdefault(parameter.opts[0], set()).add(getattr(parameter, "help", ""))
    different = {name for name, helps in texts.items() if name.startswith("--") and len(helps) > 1}
    assert different == {"--format", "--lake", "--limit", "--output", "--port", "--rows", "--run"}


def test_the_help_lists_every_command(call: Call) -> None:
    out = call("--help").out
    names = [path for path in COMMANDS if path and " " not in path]
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in names)


@pytest.mark.parametrize("group", ["", "alerts", "aws"])
def test_a_group_without_a_command_prints_its_help(call: Call, group: str) -> None:
    done = call(*group.split())
    assert done.code == 2
    assert f"Usage: brewhouse {group}".strip() in done.out + done.err
    assert "Example: brewhouse" in done.out + done.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("no-such-command",), 2),
        (("query",), 2),
        (("show", "no-such-run"), 1),
        (("query", "SELECT 1"), 1),
        (("transform",), 1),
        (("run", "--source-url", "http://127.0.0.1:1/v1"), 1),
        (("run", "--concurrency", "0"), 2),
    ],
)
def test_an_error_is_one_paragraph_on_standard_error(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    place = () if arguments[0] == "no-such-command" else ("--lake", tmp_path / "lake")
    done = shell(*arguments, *place)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    if done.stderr.startswith("brewhouse: "):
        assert "\n\n" not in done.stderr.strip()


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("run", "--engine", "klingon"), ("--engine", "klingon", "duckdb", "spark")),
        (("run", "--log-format", "xml"), ("--log-format", "xml", "text", "json")),
        (("query", "SELECT 1", "--format", "xml"), ("--format", "xml", "table", "csv", "json", "parquet")),
        (("query", "SELECT 1", "--on", "mars"), ("--on", "mars", "here", "athena")),
        (("events", "--level", "loud"), ("--level", "loud", "info", "warn", "error")),
        (("models", "--graph", "--format", "png"), ("--format", "png", "text", "svg")),
        (("changes", "--kind", "vanished"), ("--kind", "vanished", "added", "reopened")),
        (("report", "--language", "fr"), ("--language", "fr", "en", "pt")),
        (("rejected", "--limit", "0"), ("--limit",)),
        (("schedule", "--count", "1001"), ("--count",)),
        (("rollback", "silver.breweries", "newest"), ("snapshot",)),
        (("tables", "--no-such-option"), ("--no-such-option",)),
        (("mock-api", "--rows", "-1"), ("--rows",)),
        (("mock-api", "--port", "65536"), ("--port",)),
        (("demo", "--rows", "0"), ("--rows",)),
    ],
)
def test_an_invalid_value_is_wrong_usage_with_the_valid_ones(
    call: Call, arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    done = call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert all(name.lower() in done.err.lower() for name in names), done.err


@pytest.mark.parametrize("position", [0, 1, 3])
def test_debug_shows_the_traceback_in_any_position(tmp_path: Path, position: int) -> None:
    arguments = ["query", "SELECT 1", "--lake", str(tmp_path / "lake")]
    arguments.insert(position, "--debug") if position != 3 else arguments.append("--debug")
    done = shell(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "lake does not exist." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(("describe",), 2), (("runs", "--limit", "0"), 2), (("aws",), 2), (("tables",), 1)]
)
def test_debug_keeps_the_exit_code(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments).code == call(*arguments, "--debug").code == code


def test_an_unexpected_error_names_its_class_and_the_option_debug() -> None:
    assert str(_readable_error(KeyError("x"))) == (
        "Unexpected KeyError: 'x'. Run the command again with --debug for the traceback."
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "lake/x"),
            "Permission denied: 'lake/x'. Check",
        ),
        (
            OSError(errno.ELOOP, os.strerror(errno.ELOOP), "a", None, "b"),
            "levels of symbolic links: 'a' -> 'b'. Check",
        ),
        (OSError(errno.EIO, os.strerror(errno.EIO), "a"), "^Input/output error: a. Check the path"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE), "a"), "may not open more files: .* `ulimit -n 1024`"),
        (MemoryError(), "There is not enough memory. Free memory"),
        (RecursionError(), "nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "encoding .*invalid start byte"),
        (duckdb.IOException("IO Error: Too many open files"), "ulimit -n"),
        (duckdb.OutOfMemoryException("Out of Memory Error: 1 GB"), "not enough memory. Out of Memory Error: 1 GB"),
        (duckdb.ConversionException("Conversion Error: x"), "DuckDB failed: Conversion Error: x"),
    ],
)
def test_an_error_of_a_library_is_named_as_what_it_is(error: Exception, message: str) -> None:
    assert re.search(message, str(_readable_error(error)))


def test_the_end_of_a_truncated_file_is_an_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> None:
        with gzip.open(io.BytesIO(gzip.compress(b"text")[:-9])) as file:
            file.read()

    monkeypatch.setattr(app, "registered_commands", [*app.registered_commands])
    app.command("truncated")(read)
    done = call("truncated")
    assert done.code == 1
    assert "brewhouse: A file ends too early: Compressed file ended" in done.err


def test_a_reader_that_stops_early_ends_the_command_quietly(full: Path) -> None:
    sql = "SELECT range, repeat('x', 100) FROM range(200000)"
    command = [sys.executable, "-m", "brewhouse", "query", sql, "--lake", str(full), "--format", "csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert (process.wait(timeout=60), errors) == (1, "")


def test_a_full_disk_of_the_output_is_named() -> None:
    with Path("/dev/full").open("w") as full_disk:
        done = shell("queries", "--json", stdout=full_disk)
    assert done.returncode == 1
    assert done.stderr.startswith("brewhouse: The disk is full")


@pytest.mark.parametrize("streams", [">&-", ">&- 2>&-", ">/dev/full 2>/dev/full", "| true"])
def test_output_that_cannot_be_written_does_not_decide_over_what_was_done(tmp_path: Path, streams: str) -> None:
    command = f"{sys.executable} -m brewhouse schedule off --lake {tmp_path}/lake {streams}"
    done = subprocess.run(["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], check=False, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")
    assert list(tmp_path.glob("lake/events/*/*.json"))


def test_a_run_succeeds_whatever_its_terminal_can_show(tmp_path: Path) -> None:
    records = [{**record, "brewery_type": "Cervejaria ☕", "country": "日本"} for record in generate(3)]
    with MockApiServer(iter(records)) as source, Path("/dev/full").open("w") as full_disk:
        arguments = ("run", "--lake", tmp_path, "--source-url", source.url)
        done = shell(*arguments, env={"PYTHONIOENCODING": "ascii"})
        assert (done.returncode, "Cervejaria \\u2615" in done.stdout) == (0, True)
        assert shell(*arguments, stdout=full_disk, stderr=full_disk).returncode == 0


def test_an_invalid_settings_file_is_named_by_every_command(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("brewhouse.toml").write_text("concurrency = 'many'\n")
    for command in ("runs", "tables", "events", "schedule", "maintain", "models"):
        done = call(command)
        assert (done.code, done.out) == (2, "")
        assert "concurrency" in done.err


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in {"", "aws", "alerts"}])
def test_every_command_rejects_an_unknown_variable_and_shows_its_help(
    call: Call, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("BREWHOUSE_LAKES", "")  # counts as unset
    monkeypatch.setenv("BREWHOUSE_CONCURENCY", "2")
    done = call(*path.split())
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "brewhouse: The variable BREWHOUSE_CONCURENCY is not a setting. Did you mean BREWHOUSE_CONCURRENCY?\n"
    )
    assert call(*path.split(), "--help").code == 0


def test_ctrl_c_ends_a_command_without_a_traceback(full: Path) -> None:
    command = [sys.executable, "-m", "brewhouse", "events", "--follow", "--limit", "1", "--lake", str(full)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")


@contextmanager
def waiting_for_s3(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command on an S3 that never answers, and yield its process once it waits."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        keys = dict.fromkeys(("AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x")
        environ = {**os.environ, **keys, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        command = [sys.executable, "-m", "brewhouse", *arguments, "--lake", "s3://bucket/lake"]
        with subprocess.Popen(command, env=environ, stdout=-1, stderr=-1, text=True) as process:
            connection, _ = silent.accept()
            with connection:
                yield process


@pytest.mark.parametrize("command", ["tables", "history silver.breweries", "show"])
def test_ctrl_c_ends_a_command_that_waits_for_s3(command: str) -> None:
    with waiting_for_s3(*command.split()) as process:
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)  # a request waits longer
    assert (process.returncode, out, errors) == (130, "", "")


def test_a_second_ctrl_c_ends_a_run_that_waits_for_s3() -> None:
    with waiting_for_s3("run", "--source-url", "http://127.0.0.1:1") as process:
        assert process.stderr is not None
        for _ in range(2):  # as timeout(1) does
            process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "brewhouse: stopping; press Ctrl-C again to end at once\n"
        while process.poll() is None:  # until the second one counts
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=1)
        assert process.communicate() == ("", "")
    assert process.returncode == 130


def test_a_command_leaves_ctrl_c_as_it_was(call: Call) -> None:
    threads = threading.active_count()
    assert call("queries").code == 0
    assert signal.set_wakeup_fd(-1) == -1
    while threading.active_count() > threads:
        threading.Event().wait(0.01)


def test_tests_in_the_background_can_stop_their_processes() -> None:
    code = "import signal, tests.conftest; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    command = f"trap '' INT; exec {sys.executable} -c '{code}'"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "True\n"


HEAVY = (
    *("aiohttp", "boto3", "duckdb", "fastapi", "numpy", "pyarrow", "pydantic", "pyiceberg", "pyspark", "rich"),
    "sqlglot",
)


def test_the_summary_of_all_commands_is_that_of_their_whole_help(call: Call) -> None:
    assert call("--help").out == call("--quiet", "--help").out


@pytest.mark.parametrize("arguments", [[], ["--help"], ["query", "--help"], ["queries"]])
def test_help_and_light_commands_import_no_heavy_library(arguments: list[str]) -> None:
    allowed = {"rich"} if arguments == ["queries"] else set()
    code = (
        f"import sys; sys.argv = ['brewhouse', *{arguments}]\nfrom brewhouse.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('imported:', *sorted(set({HEAVY}) & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert set(out.splitlines()[-1].split()[1:]) <= allowed


class _EchoHandler(BaseHTTPRequestHandler):
    """Answers with the request: its path, its headers, and what they decode to."""

    def do_GET(self) -> None:
        login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic "))
        body = b"bad request: %s %s %s" % (self.path.encode(), str(self.headers).encode(), login)
        self.send_response(302 if "moved" in self.path else 400)
        self.send_header("Location", f"http://{login.decode()}@example.com{self.path}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    """Host and port of a server that quotes each request in its answer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _EchoHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_no_secret_of_a_setting_is_printed_or_written_into_the_lake(
    call: Call, tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [
        f"Zq7{name}/w@rd" for name in ("Source", "Key", "Alert", "Ping", "Console", "Catalog", "Proxy", "Lineage")
    ]
    source, key, alert, ping, console, catalog, proxy, lineage = (quote(secret, safe="") for secret in secrets)
    monkeypatch.chdir(tmp_path)
    settings = {
        "ALERTS_URLS": f"json://joe:{alert}@{echo}/{alert} json://joe:{alert}@127.0.0.1:1",
        "ALERTS_PING_URL": f"http://joe:{ping}@{echo}/{ping}?token={ping}",
        "CATALOG_URI": f"http://joe:{catalog}@{echo}",
        "CONSOLE_PASSWORD": console,
        "MAX_ATTEMPTS": "2",
        "RETRY_INITIAL_WAIT_S": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"BREWHOUSE_{name}", value)
    monkeypatch.setenv("OPENLINEAGE_URL", f"http://joe:{lineage}@{echo}/{lineage}")

    def url(host: str, path: str = "/v1") -> str:
        return f"http://joe:{source}@{host}{path}?api_key={key}"

    with MockApiServer(generate(30)) as api:
        outcomes = [call("run", "--source-url", url(api.url.removeprefix("http://").removesuffix("/v1")))]
        assert outcomes[0].code == 0
    for host, path, options in [
        (echo, "/v1", ["--debug"]),
        (echo, "/v1", ["--log-format", "json"]),
        (echo, "/moved", []),
        ("127.0.0.1:1", "/v1", ["--debug"]),
        ("127.0.0.1:port", "/v1", []),
    ]:
        outcomes.append(call("run", "--source-url", url(host, path), *options))
    monkeypatch.setenv("http_proxy", f"joe:{proxy}@{echo}")
    outcomes.append(call("run", "--source-url", url("api.example"), "--debug"))
    monkeypatch.setenv("http_proxy", f"http://joe:{proxy}@{echo}")
    outcomes.append(call("run", "--source-url", url("api.example")))
    outcomes.append(call("backfill", f"https://joe:{source}@example.com/repository"))
    assert all(outcome.code for outcome in outcomes[1:])
    commands = (["runs", "--json"], ["show", "last"], ["events", "--json"], ["logs", "last"], ["alerts", "test"])
    outcomes += [call(*command) for command in commands]
    written = [(str(file), file.read_bytes()) for file in Path("lake").rglob("*") if file.is_file()]
    written += [(file, gzip.decompress(content)) for file, content in written if file.endswith(".gz")]
    printed = [(f"output {number}", f"{o.out}\n{o.err}".encode()) for number, o in enumerate(outcomes)]
    login = base64.b64encode(f"joe:{secrets[0]}".encode()).decode()
    for spelled in [login, *secrets, source, key, alert, ping, console, catalog, proxy, lineage]:
        found = [where for where, content in written + printed if spelled.encode() in content]
        assert not found, spelled


def test_the_version_is_printed(call: Call) -> None:
    assert call("--version").out == f"brewhouse {__version__}\n"


@pytest.mark.parametrize("path", ["", "query", "aws", "aws estimate", "alerts test"])
def test_h_is_help(call: Call, path: str) -> None:
    assert call(*path.split(), "-h").out == call(*path.split(), "--help").out


def test_the_help_is_grouped_and_has_whole_summaries(call: Call) -> None:
    for path in ("", "alerts", "aws"):
        assert "..." not in call(*path.split(), "--help").out.replace("[ARGS]...", "")
    sections = re.findall(r"^(\w+):$", call("--help").out, re.MULTILINE)
    assert sections == ["Options", "Run", "Read", "History", "Operate", "Console", "AWS", "Develop"]


@pytest.mark.parametrize("position", [0, 1, 2, 3])
@pytest.mark.parametrize("options", [["--config", "beer.toml"], ["--config=beer.toml"]])
def test_a_settings_file_is_named_in_any_position(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, position: int, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BREWHOUSE_CONFIG", "")
    Path("beer.toml").write_text("colour = 1\n")
    arguments = ["tables", "--lake", "x"]
    done = call(*arguments[:position], *options, *arguments[position:])
    assert (done.code, done.err.partition(". ")[0]) == (2, "brewhouse: colour in beer.toml is not a setting")


def test_a_quiet_run_prints_nothing_and_errors_still(call: Call, tmp_path: Path) -> None:
    with MockApiServer(generate(3)) as source:
        options = ("--lake", tmp_path / "lake", "--source-url", source.url, "--quiet")
        done = call("run", *options)
        assert (done.code, done.out, done.err) == (0, "", "")
        assert json.loads(call("run", *options, "--json").out)["state"] == "SUCCEEDED"
        assert "extract: started" in call("run", *options[:4]).err
    done = call("--quiet", "transform", "--lake", tmp_path / "lake", "--snapshot", "NONE")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ta", ["tables"]),
        ("describe --lake LAKE gold.brewery", ["gold.brewery_counts_over_time"]),
        ("history --lake LAKE silver.s", ["silver.suspect_breweries"]),
        ("show --lake LAKE 01", ["RUN", "RUN"]),
        ("logs --lake LAKE 01", ["RUN", "RUN"]),
        ("rollback --lake LAKE gold.breweries_by_l", ["gold.breweries_by_location"]),
        ("transform --lake LAKE --snapshot 01", ["RUN", "RUN"]),
        ("query --saved top", ["top_cities"]),
        ("config conc", ["concurrency"]),
        ("run --engine s", ["spark"]),
        ("describe --lake nowhere g", []),
        ("show --lake s3://bucket/lake 0", []),
    ],
)
def test_commands_tables_runs_and_values_are_completed(
    call: Call, full: Path, monkeypatch: pytest.MonkeyPatch, words: str, expected: list[str]
) -> None:
    line = f"brewhouse {words}".replace("LAKE", str(full))
    monkeypatch.setenv("_BREWHOUSE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    done = call()
    found = [re.sub(r"[0-9A-Z]{26}", "RUN", value) for value in done.out.split()]
    assert (done.code, done.err, found) == (0, "", expected)


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_a_shell_has_a_completion_script(call: Call, monkeypatch: pytest.MonkeyPatch, shell_name: str) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "true")
    assert "_BREWHOUSE_COMPLETE" in call("--show-completion", shell_name).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs", "--limit", "0"), "--limit must be 1 or more (got 0). See `brewhouse runs --help`."),
        (("mock-api", "--port=65536"), "--port must be 65535 or less (got 65536). See `brewhouse mock-api --help`."),
        (("mock-api", "--rows", "x"), "--rows must be a whole number (got x). See `brewhouse mock-api --help`."),
        (
            ("report", "--output", "x.html", "--language", "de"),
            "--language must be one of 'en', 'pt-BR', 'pt' (got de). See `brewhouse report --help`.",
        ),
        (("tables", "--jsno"), "No such option --jsno. Did you mean --json? See `brewhouse tables --help`."),
        (("tables", "all"), "Unexpected argument all. See `brewhouse tables --help`."),
        (("describe",), "Missing argument 'table'. See `brewhouse describe --help`."),
        (("tables", "--config"), "Option '--config' requires an argument. See `brewhouse --help`."),
        (("config", "concurency"), "'concurency' is not a setting. Did you mean concurrency?"),
        (("config", ""), "'' is not a setting. `brewhouse config` lists the settings."),
        (("no-such",), "No such command 'no-such'. See `brewhouse --help`."),
    ],
)
def test_wrong_usage_is_one_line_with_the_value_given(call: Call, arguments: tuple[str, ...], message: str) -> None:
    assert call(*arguments).err == f"brewhouse: {message}\n"
