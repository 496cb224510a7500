"""Commands that serve: the web console and the mock API: serve, mock-api, demo."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from brewhouse.cli.options import LakeOption, settings_and_lake
from brewhouse.errors import UsageError


def serve(
    lake: LakeOption = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; beyond 127.0.0.1 with a password.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = 8040,
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule", help='Run the workflow by itself, as "0 6 * * *"; see docs/schedule.md.', show_default=False
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
) -> None:
    """Open a web console for a lake: overview, SQL, tables, runs, quality, events.

    Example: brewhouse serve --lake demo-lake --open
    """
    try:
        import uvicorn

        from brewhouse.console.app import create_app
        from brewhouse.console.security import address_of, password_for
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "brewhouse":
            raise
        raise UsageError(
            f"The console needs {error.name}, which is not installed.", hint='Run `pip install "brewhouse[console]"`.'
        ) from error
    settings, place = settings_and_lake(lake, schedule={"cron": schedule} if schedule else None)
    if place.is_local and not place.root.is_dir() and not settings.schedule.cron:
        raise UsageError(f"There is no lake at {place.root}.", hint="Name another with --lake, or `brewhouse run`.")
    listening = _listen(host, port)
    password, is_made = password_for(host, settings.console.password)
    app = create_app(place, settings, host=host, password=password)
    url = address_of(host, listening.getsockname()[1])
    link = f"{url}/login?token={password.reveal()}" if password and is_made else url
    print(f"Brewhouse shows {place.root} at {link}", "stop with Ctrl-C", sep="\n", flush=True)
    if open_browser:
        import webbrowser

        webbrowser.open(link)
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False, ws="none")
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """Take a port, so that one that is taken is told before anything else happens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"Nothing can listen on {host}, port {port}: {error.strerror or error}.",
            hint="Choose another with --port (0 takes a free one) or --host.",
        ) from error


def mock_api(
    data: Annotated[
        Path | None, typer.Option("--data", help="A CSV of the public dataset; else one is generated.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=0, help="How many breweries to generate.")] = 1000,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 selects a free one.")
    ] = 8000,
    throttle: Annotated[
        bool, typer.Option("--throttle/--no-throttle", help="120 requests a minute, as the API.")
    ] = True,
) -> None:
    """Serve a mock of the Open Brewery DB API on 127.0.0.1.

    Example: brewhouse mock-api --data breweries.csv --port 8000
    """
    from brewhouse.mock_api.dataset import generate, read_csv
    from brewhouse.mock_api.demo_server import DemoApiServer

    with DemoApiServer(read_csv(data) if data else generate(rows), port=port, throttle=throttle) as server:
        print(f"{len(server)} breweries at {server.url}; stop with Ctrl-C", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def demo(
    lake: LakeOption = "demo-lake",
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many breweries to generate.")] = 2000,
) -> None:
    """Run the whole workflow against a mock of the API with a generated dataset.

    Example: brewhouse demo --lake demo-lake
    """
    from brewhouse.cli.jobs import run_jobs
    from brewhouse.mock_api.dataset import generate
    from brewhouse.mock_api.demo_server import DemoApiServer

    with DemoApiServer(generate(rows, unusable=3)) as server:
        settings, place = settings_and_lake(lake, source_url=server.url)
        run_jobs(place, settings, ("extract", "transform", "aggregate"), as_json=False)
    sql = "SELECT country_name, sum(operating_count) AS n FROM gold.breweries_by_location GROUP BY 1 ORDER BY 2 DESC"
    print(
        f"\nThree things to try next (`source .venv/bin/activate` first):\n"
        f'  brewhouse query --lake {lake} "{sql}"\n'
        f"  brewhouse serve --lake {lake} --open    # maps, tables, runs and SQL in the browser\n"
        f"  brewhouse run        # the same over the live API, into ./lake"
    )


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(serve)
    app.command("mock-api")(mock_api)
    app.command()(demo)
