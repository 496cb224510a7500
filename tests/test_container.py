"""The Dockerfile, whose steps run in a Debian root made by debootstrap, since tests have no container engine.

The root has Debian's Python instead of the image's; everything else is as written in the Dockerfile.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHROOT = shutil.which("chroot") or ""
NEEDED = [name for name in ("debootstrap", "chroot") if shutil.which(name) is None]


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


@dataclass
class Stage:
    """A root that a stage of the Dockerfile has changed so far, and how its processes are started."""

    root: Path
    user: str = "root"
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    command: dict[str, list[str]] = field(default_factory=dict)

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(command)}"
        pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return subprocess.Popen(
            [CHROOT, f"--userspec={self.user}", str(self.root), "/bin/sh", "-c", inside],
            env={**pip, "HOME": self.folder, **self.variables},
        )

    def run(self, command: list[str]) -> int:
        return self.start(command).wait()

    def copy(self, sources: list[Path], target: str) -> None:
        place = self.root / Path(self.folder, target).relative_to("/")
        for source in sources:
            into = place / source.name if target.endswith("/") else place
            into.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(source), str(into)], check=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The last stage, after all of its steps."""
    if NEEDED or os.geteuid() != 0:
        pytest.skip(f"needs root and {', '.join(NEEDED) or 'a chroot'}, as in `apt-get install debootstrap`")
    folder = tmp_path_factory.mktemp("image")
    base = folder / "base"
    sources = "".join(file.read_text() for file in Path("/etc/apt").glob("sources.list*/*.sources"))
    mirror = re.search(r"^URIs: (\S+)", sources, re.MULTILINE)
    packages = "--include=python3,python3-venv,ca-certificates"
    command = [
        "debootstrap",
        "--variant=minbase",
        packages,
        "bookworm",
        str(base),
        *(mirror.groups() if mirror else ()),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for file in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(file, base / file[1:])
    stages: dict[str, Stage] = {}
    stage = Stage(base)
    for word, rest in instructions():
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "last"
            subprocess.run(["cp", "-a", str(base), str(folder / name)], check=True)
            stage = stages[name] = Stage(folder / name)
        else:
            apply(stage, stages, word, rest)
    yield stage
    shutil.rmtree(folder)


def apply(stage: Stage, stages: dict[str, Stage], word: str, rest: str) -> None:
    match word:
        case "RUN":
            assert stage.run(["/bin/sh", "-c", rest]) == 0, rest
        case "COPY":
            *sources, target = rest.split()
            if sources[0].startswith("--from="):
                origin = stages[sources.pop(0).removeprefix("--from=")].root
                stage.copy([origin / source[1:] for source in sources], target)
            else:
                stage.copy([ROOT / source for source in sources], target)
        case "ENV":
            stage.variables |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        case "WORKDIR":
            stage.folder = rest
            (stage.root / rest[1:]).mkdir(parents=True, exist_ok=True)
        case "USER":
            stage.user = rest
        case "ENTRYPOINT" | "CMD":
            stage.command[word] = json.loads(rest)
        case "HEALTHCHECK":
            stage.command[word] = json.loads(rest.partition(" CMD ")[2])
        case _:
            assert word in {"VOLUME", "EXPOSE"}, f"{word} is not tried"


@pytest.mark.slow
def test_the_console_serves_from_the_image_as_another_user_and_is_healthy(image: Stage) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert image.user != "root"
    assert image.run([*image.command["ENTRYPOINT"], "demo", "--lake", "/data/lake"]) == 0
    server = image.start([*image.command["ENTRYPOINT"], *image.command["CMD"], "--port", str(port)])
    try:
        healthy = [part.replace("8040", str(port)) for part in image.command["HEALTHCHECK"]]
        while image.run(healthy):
            assert server.poll() is None, "the console has ended"
        assert server.poll() is None
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert "/login" in page.url, "it asks for a password"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait() in {0, 143, -15}


def test_the_image_copies_nothing_but_what_it_needs() -> None:
    ignored = set((ROOT / ".dockerignore").read_text().split())
    copied = {source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]}
    assert {".git", ".venv*", "*lake*/"} <= ignored
    assert all((ROOT / source).exists() for source in copied if not source.startswith(("--", "/")))


def test_the_services_have_a_password_and_no_privileges() -> None:
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"].values()
    assert service["environment"]["BREWHOUSE_CONSOLE_PASSWORD"].startswith("${BREWHOUSE_CONSOLE_PASSWORD:?")
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
