"""Run `brewhouse` as a process that is forked from one which has imported it: a command starts 0.3 to 0.8 s earlier.

What is proved of a command is the same, but for its imports and its start: tests of these use `python -m brewhouse`.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = (sys.executable, "-P")
_NOT_WARM = (
    "brewhouse.aws",
    "brewhouse.console",
    "brewhouse.dagster",
    "brewhouse.mcp_server",
    "brewhouse.engines.spark",
)

_PROGRAM = """#!{python}
import os, sys
sys.path.insert(0, {root!r})
from tests.compatibility.warm_process import _ask
sys.exit(_ask({address!r}, sys.argv[1:], os.getcwd(), os.environ, [0, 1, 2]))
"""


def run(
    arguments: list[str],
    *,
    cwd: str,
    environment: Mapping[str, str],
    timeout_s: float,
    python: tuple[str, ...] = PYTHON,
) -> subprocess.CompletedProcess[str]:
    """Run a command, or a script by its path, to its end, without input.

    Args:
        python: An interpreter that has Brewhouse, with its options.
    """
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        streams = [nothing.fileno(), out.fileno(), err.fileno()]
        code = _ask(_server(python), arguments, cwd, environment, streams, timeout_s)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read())
    return subprocess.CompletedProcess(arguments, code, *texts)


def write_program(folder: Path) -> None:
    """Write a program `brewhouse` for scripts that stop none of its processes by a signal."""
    program = folder / "brewhouse"
    program.write_text(_PROGRAM.format(python=sys.executable, root=str(ROOT), address=_server(PYTHON)))
    program.chmod(0o755)


def _ask(
    server: str,
    arguments: list[str],
    cwd: str,
    environment: Mapping[str, str],
    streams: list[int],
    timeout_s: float | None = None,
) -> int:
    """Run a command with these descriptors as its standard streams; gives its exit code."""
    request = json.dumps([arguments, cwd, dict(environment)]).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(server)
        socket.send_fds(connection, [len(request).to_bytes(4)], streams)
        connection.sendall(request)
        return int(connection.recv(16))


@functools.cache
def _server(python: tuple[str, ...]) -> str:
    """Start the process that is forked, once for a process of pytest; gives the address of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address = f"{folder.name}/socket"
    server = subprocess.Popen([*python, __file__, address], cwd=ROOT, stdin=subprocess.PIPE)

    def end() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(end)
    while not Path(address).exists():
        assert server.poll() is None, "the process to be forked did not start"
        time.sleep(0.01)
    return address


def _serve(address: str) -> None:
    """Fork a process for each connection, until standard input is closed, as it is when the tests are killed."""
    import brewhouse

    for module in pkgutil.walk_packages(brewhouse.__path__, "brewhouse."):
        if not module.name.startswith((*_NOT_WARM, "brewhouse.__main__")):
            with suppress(ImportError):  # it needs a library that this environment lacks
                import_module(module.name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a process with threads cannot be forked"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen()
        Path(f"{address}.new").rename(address)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if not os.fork():
                listener.close()
                _wait_for_command(connection)
            connection.close()


def _wait_for_command(connection: socket.socket) -> None:
    """Run the command that a connection asks for, as a process of its own, and answer with its exit code."""
    size, descriptors, _, _ = socket.recv_fds(connection, 4, 3, socket.MSG_WAITALL)
    arguments, cwd, environment = json.loads(connection.recv(int.from_bytes(size), socket.MSG_WAITALL))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = os.fork()
    if not command:
        connection.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        _become(arguments, cwd, environment)
    _, status = os.waitpid(command, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(arguments: list[str], cwd: str, environment: Mapping[str, str]) -> None:
    """Be the process that `python -m brewhouse`, or a script, starts; never returns."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    if arguments[0].endswith(".py"):
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")
        sys.exit()
    from brewhouse.cli.main import start

    sys.argv = ["brewhouse", *arguments]
    try:
        start()
    finally:
        if not isinstance(sys.exc_info()[1], SystemExit):
            sys.excepthook(*sys.exc_info())
        atexit._run_exitfuncs()  # which end the process, as they do at the end of the interpreter
        os._exit(1)


if __name__ == "__main__":
    _serve(sys.argv[1])
