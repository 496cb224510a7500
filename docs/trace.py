"""Trace one `brewhouse run` and list the modules it enters in docs/architecture.md; `make docs` runs this.

The run is a real one: a process of its own, the mock API in another, a new local lake, DuckDB. A module is entered when
one of its functions is called while the command function `run` of `cli/jobs.py` is on the stack, or in a worker thread.
Code that runs at import does not count, class bodies and importers included.
`tests/test_architecture.py` fails when the list in the page differs from a new trace.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType

from brewhouse.cli.main import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "brewhouse"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- Written by `make docs` from a trace of one run. -->\n"
END = "<!-- End of the trace. -->\n"
ROWS = 300

_PREFIX = f"{PACKAGE}{os.sep}"


@dataclass
class Trace:
    """The modules of `brewhouse` that a run entered, without the prefix `brewhouse.`.

    Attributes:
        modules: In order of entry.
        concurrent: Those that a worker thread entered; their place in the order may vary.
        deepest: The call stack with the most switches between modules, outermost first.
        libraries: What was imported, Brewhouse and the standard library apart.
    """

    modules: list[str] = field(default_factory=list)
    concurrent: list[str] = field(default_factory=list)
    deepest: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)


class Profiler:
    """Records entered modules and the deepest call stack; for `sys.setprofile` and `threading.setprofile`."""

    def __init__(self) -> None:
        self.trace = Trace()
        self._main_thread = threading.get_ident()

    def __call__(self, frame: FrameType, event: str, _arg: object) -> None:
        """Record a call of a function of `brewhouse`."""
        if event != "call" or not frame.f_code.co_filename.startswith(_PREFIX) or is_called_by_import(frame):
            return
        is_of_run = is_worker = threading.get_ident() != self._main_thread
        stack: list[str] = []
        caller: FrameType | None = frame
        while caller is not None:
            code = caller.f_code
            if code.co_filename.startswith(_PREFIX):
                if code.co_name == "<module>":
                    return
                module = module_name(code.co_filename)
                is_of_run = is_of_run or (module, code.co_name) == ("cli.jobs", "run")
                if not stack or stack[-1] != module:
                    stack.append(module)
            caller = caller.f_back
        if not is_of_run:
            return
        if stack[0] not in self.trace.modules:
            self.trace.modules.append(stack[0])
        if is_worker and stack[0] not in self.trace.concurrent:
            self.trace.concurrent.append(stack[0])
        if len(stack) > len(self.trace.deepest):
            self.trace.deepest = stack[::-1]


def is_called_by_import(frame: FrameType) -> bool:
    """Return whether the import system calls this function, an importer's."""
    return frame.f_back is not None and frame.f_back.f_code.co_filename.startswith("<frozen importlib")


@cache
def module_name(file: str) -> str:
    """Return the dotted name of a module, such as `cli.jobs`."""
    return ".".join(Path(file).relative_to(PACKAGE).with_suffix("").parts)


def trace_run() -> Trace:
    """Trace `brewhouse run` in a process of its own.

    Raises:
        RuntimeError: The run failed; with what it printed.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("BREWHOUSE_", "OPENLINEAGE_"))}
    with tempfile.TemporaryDirectory() as folder, _mock_api(environ) as url:
        result = Path(folder, "trace.json")
        command = [sys.executable, "-P", __file__, str(result), "run", "--lake", f"{folder}/lake", "--source-url", url]
        run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"The traced run failed with exit code {run.returncode}:\n{run.stdout}{run.stderr}")
        return Trace(**json.loads(result.read_text("utf-8")))


@contextmanager
def _mock_api(environ: dict[str, str]) -> Iterator[str]:
    command = [sys.executable, "-m", "brewhouse", "mock-api", "--rows", str(ROWS), "--port", "0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split(" at ")[1].split(";")[0]
        finally:
            process.terminate()


def _run_traced(result: Path, arguments: list[str]) -> None:
    """Run a command of `brewhouse` in this process and write its trace to a file."""
    profiler = Profiler()
    threading.setprofile(profiler)
    sys.setprofile(profiler)
    try:
        app(args=arguments, prog_name="brewhouse", standalone_mode=False)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    imported = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names - {"brewhouse", "__main__"}
    profiler.trace.libraries = sorted(imported)
    result.write_text(json.dumps(vars(profiler.trace)), "utf-8")


def summary(module: str) -> str:
    """Return the first line of a module's docstring."""
    tree = ast.parse(PACKAGE.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]


def section(modules: list[str]) -> str:
    """Write the list of modules as the page shows it."""
    return "".join(f"{number}. `{module}`: {summary(module)}\n" for number, module in enumerate(modules, start=1))


def section_of_page() -> str:
    """Return the list that the page shows."""
    return PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]


def main() -> None:
    """Write the list into the page and print the measures."""
    trace = trace_run()
    head, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(head + BEGIN + section(trace.modules) + END + rest.partition(END)[2], "utf-8")
    print(f"{len(trace.modules)} modules entered; longest chain of modules ({len(trace.deepest)}):")
    print(" > ".join(trace.deepest))
    print(f"entered in worker threads: {', '.join(trace.concurrent)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _run_traced(Path(sys.argv[1]), sys.argv[2:])
    else:
        main()
