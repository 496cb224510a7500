"""Commands of the web console and the mock API: serve, report, mock-api, demo."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

import typer

from brewhouse.cli.options import (
    AtOption,
    CountryOption,
    LakeOption,
    country_code,
    known_type,
    reject_together,
    require_option,
    settings_and_lake,
    state_code,
)
from brewhouse.cli.output import make_output_optional, os_reason
from brewhouse.cli.results import writing
from brewhouse.errors import BrewhouseError, UsageError, install_command
from brewhouse.events.run_log import log_to_stderr
from brewhouse.lake.lake import Lake, require_lake
from brewhouse.settings import Settings

_HOST = "127.0.0.1"
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address; all but 127.0.0.1 need a password. Default: 127.0.0.1")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 selects a free one.")]


def serve(
    lake: LakeOption = None,
    host: HostOption = None,
    port: PortOption = 8040,
    schedule: Annotated[str | None, typer.Option("--schedule", help='Cron schedule, such as "0 6 * * *".')] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the console in the browser.")] = False,
) -> None:
    """Serve the web console of a lake: overview, SQL, tables, runs, quality, events.

    Example: brewhouse serve --lake demo-lake --open
    """
    with _console_extra("The console"):
        import uvicorn  # noqa: F401 - for `_run`

        from brewhouse.console.app import create_app
        from brewhouse.console.http_protocol import PunctualProtocol
        from brewhouse.console.security import address_of, password_for
    host = host or _HOST
    settings, place = settings_and_lake(lake, schedule={"cron": schedule} if schedule else None)
    if not settings.schedule.cron:  # else its first run creates the lake
        require_lake(place)
    with _listen(host, port) as listening, suppress(KeyboardInterrupt):
        password, is_generated = password_for(host, settings.console.password)
        app = create_app(place, settings, host=host, password=password)
        url = address_of(host, listening.getsockname()[1])
        link = f"{url}/login?token={password.reveal()}" if password and is_generated else url
        make_output_optional()
        log_to_stderr()
        _warn_if_off(place, settings)
        print(f"Brewhouse shows {place.root} at {link}", "stop with Ctrl-C", sep="\n", flush=True)
        if open_browser:
            import webbrowser

            webbrowser.open(link)
        proxies = list(settings.console.trusted_proxies)
        _run(app, listening, http=PunctualProtocol, proxy_headers=bool(proxies), forwarded_allow_ips=proxies)


def mcp(
    lake: LakeOption = None,
    http: Annotated[bool, typer.Option("--http", help="Serve HTTP instead of standard input and output.")] = False,
    host: HostOption = None,
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 selects a free one. Default: 8041")
    ] = None,
) -> None:
    """Serve tools for assistants over the Model Context Protocol: tables, read-only SQL, runs, changes.

    Example: brewhouse mcp --lake demo-lake
    """
    require_option("--http", http, **{"--host": host, "--port": port})
    with _console_extra("The MCP server", extra="mcp"):
        from brewhouse.console.authentication import Authenticator
        from brewhouse.console.security import address_of, password_for
        from brewhouse.mcp_server import PasswordMiddleware, create_server
    settings, place = settings_and_lake(lake)
    require_lake(place)
    server = create_server(settings)
    if not http:
        server.run()
        return
    host = host or _HOST
    with _listen(host, 8041 if port is None else port) as listening, suppress(KeyboardInterrupt):
        password, is_generated = password_for(host, settings.console.password)
        app: Any = server.streamable_http_app(host=host)
        if password:
            app = PasswordMiddleware(app, Authenticator(password))
        make_output_optional()
        print(f"Brewhouse serves {place.root} at {address_of(host, listening.getsockname()[1])}/mcp", flush=True)
        if password and is_generated:
            print(f"password: {password.reveal()}", flush=True)
        _run(app, listening)


def _run(app: Any, listening: socket.socket, **options: Any) -> None:  # noqa: ANN401 - an ASGI application
    import uvicorn

    signal.set_wakeup_fd(-1)  # a server ends by Ctrl-C on its own, when its requests are answered
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none", **options)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _console_extra(feature: str, extra: str = "console") -> Iterator[None]:
    """Report a missing dependency of an extra as a usage error."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "brewhouse":
            raise
        hint = f"Run `{install_command(extra)}`."
        raise UsageError(f"{feature} needs {error.name}, which is not installed.", hint=hint) from error


def _warn_if_off(lake: Lake, settings: Settings) -> None:
    """Say so if no run will be started, although a schedule is set."""
    from brewhouse.events.event import read_events
    from brewhouse.events.schedule_state import schedule_state

    if settings.schedule.cron and not schedule_state(read_events(lake)).is_on:
        what = f"The schedule {settings.schedule.cron} is switched off: no run starts by itself."
        print(what, "`brewhouse schedule on` or the page Runs switches it on.", file=sys.stderr)


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port before anything else starts, so that a port in use is reported at once."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}, port {port}: {os_reason(error)}.",
            hint="Choose another --port (0 selects a free one) or --host.",
        ) from error


def mock_api(
    data: Annotated[Path | None, typer.Option("--data", help="CSV file. Default: generated breweries")] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=0, help="Number of generated breweries. Default: 1000")
    ] = None,
    port: PortOption = 8000,
) -> None:
    """Serve a mock of the Open Brewery DB API on 127.0.0.1.

    Example: brewhouse mock-api --data breweries.csv --port 8000
    """
    from brewhouse.mock_api.dataset import generate
    from brewhouse.mock_api.demo_server import DemoApiServer

    reject_together(**{"--data": data, "--rows": rows is not None})
    records = _records_of(data) if data else generate(1000 if rows is None else rows)
    with suppress(KeyboardInterrupt), DemoApiServer(records, port=port) as server:
        make_output_optional()
        print(f"{len(server)} breweries at {server.url}; stop with Ctrl-C", flush=True)
        threading.Event().wait()


def _records_of(file: Path) -> list[dict[str, Any]]:
    """Read a CSV file of the public dataset into the records that the API returns for it."""
    from brewhouse.backfill.csv_versions import VersionRejectedError, parse_version, with_numbers

    try:
        records = parse_version(file.read_bytes()).records
    except OSError as error:
        what = f"Failed to read the dataset '{file}': {os_reason(error)}."
        raise BrewhouseError(what, hint="Check the path of the CSV file.") from error
    except VersionRejectedError as error:
        what = f"The dataset '{file}' cannot be served: {error}."
        raise BrewhouseError(what, hint="Pass a version of the public dataset's breweries.csv.") from error
    return [with_numbers({**each, "state": each["state_province"], "street": each["address_1"]}) for each in records]


def demo(
    lake: Annotated[str, typer.Option("--lake", help="Root of the lake.")] = "demo-lake",
    rows: Annotated[int, typer.Option("--rows", min=1, help="Number of generated breweries.")] = 2000,
) -> None:
    """Run the whole workflow against a mock of the API with generated breweries.

    Example: brewhouse demo --lake demo-lake
    """
    from brewhouse.cli.jobs import run_jobs
    from brewhouse.lake.raw_snapshots import complete
    from brewhouse.mock_api.dataset import generate
    from brewhouse.mock_api.demo_server import DemoApiServer

    _, place = settings_and_lake(lake)
    sources = {snapshot.manifest.source_url for snapshot in complete(place)}
    if others := sorted(url for url in sources if not url.startswith("http://127.0.0.1:")):
        raise UsageError(
            f"The lake {place.root} holds breweries of {others[0]}; the demo would add generated ones.",
            hint="Name another folder with --lake.",
        )
    with DemoApiServer(generate(rows, unusable=min(3, rows // 10))) as server:
        settings, place = settings_and_lake(lake, source_url=server.url)
        run_jobs(place, settings, ("extract", "transform", "aggregate"), as_json=False)
    sql = "SELECT country_name, sum(operating_count) AS n FROM gold.breweries_by_location GROUP BY 1 ORDER BY 2 DESC"
    programs, found = Path(sys.executable).parent, shutil.which("brewhouse")
    activation = f" (`source {programs}/activate` first)"
    print(
        f"\nThree things to try next{'' if found and Path(found).resolve().parent == programs else activation}:\n"
        f'  brewhouse query --lake {quote(lake)} "{sql}"\n'
        f"  brewhouse serve --lake {quote(lake)} --open    # maps, tables, runs and SQL in the browser\n"
        f"  brewhouse run        # the same with the live API, into ./lake"
    )


def report(
    output: Annotated[
        Path, typer.Option("--output", help="Output file: .html for the page; .pdf, .png or .svg for its charts.")
    ] = Path("report.html"),
    lake: LakeOption = None,
    at: AtOption = None,
    country: CountryOption = None,
    state: Annotated[str, typer.Option("--state", help="Only this state, such as US-OR.")] = "",
    brewery_type: Annotated[str, typer.Option("--type", help="Only this type, such as micro.")] = "",
    language: Annotated[
        Literal["en", "pt-BR", "pt"], typer.Option("--language", help="Language of the report.")
    ] = "en",
) -> None:
    """Write the overview as one self-contained file: numbers, map, charts, newest changes.

    Example: brewhouse report --output belgium.html --country BE
    """
    with _console_extra("The report"):
        from brewhouse.console.overview import OverviewFilters
        from brewhouse.console.overview_report import write_report
    code = country_code(country) if country is not None else ""
    filters = OverviewFilters.model_construct(  # without a limit of length
        country=code, state=state_code(state, code) if state else "", type=known_type(brewery_type)
    )
    _, place = settings_and_lake(lake)
    with writing(output) as file:
        write_report(place, file, filters, at=at, language=language)
    make_output_optional()
    print(output)
