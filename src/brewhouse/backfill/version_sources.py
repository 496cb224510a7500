"""Where versions of the dataset's CSV file are kept: files with a date in their names, and git repositories."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from brewhouse.backfill.csv_versions import VersionRejectedError
from brewhouse.errors import BrewhouseError, UsageError

DATASET_PATH = "breweries.csv"
_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_NO_BLOB = re.compile("0+")
_GIT_OPTIONS = ("--no-pager", "--literal-pathspecs", "-c", "log.showSignature=false", "-c", "core.fsmonitor=false")


@dataclass(frozen=True)
class DatasetVersion:
    """A version of the dataset, not yet read.

    Attributes:
        name: Where it comes from, such as `breweries-2025-10-03.csv` or `git:<commit>:breweries.csv`.
        time: When it was the dataset, UTC.
        read: Reads it; raises `HeldBackError` when it cannot be had.
    """

    name: str
    time: datetime
    read: Callable[[], bytes]


def origins_of(paths: Sequence[Path], date: str | None = None, path: str = DATASET_PATH) -> list[DatasetVersion]:
    """List the versions in files and git repositories, the oldest first.

    Args:
        paths: CSV files, whose names hold their dates, and git repositories, bare or not.
        date: Of the only file, instead of the one in its name.
        path: Of the file in a repository.

    Raises:
        UsageError: A path is neither; a file's date is not known; a repository has no such file.
        BrewhouseError: Git is not there, or cannot read a repository.
    """
    if date is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise UsageError("--date says the date of one file.", hint="Give just that file, or dates in the files' names.")
    found: list[DatasetVersion] = []
    for place in paths:
        found += _in_repository(place, path) if place.is_dir() else [_file(place, date)]
    return _apart(sorted(found, key=lambda origin: origin.time))


def _apart(origins: Sequence[DatasetVersion]) -> list[DatasetVersion]:
    """Keep the order of versions of the same moment: each is a millisecond after the one before."""
    apart: list[DatasetVersion] = []
    for origin in origins:
        earliest = apart[-1].time + timedelta(milliseconds=1) if apart else origin.time
        apart.append(replace(origin, time=max(origin.time, earliest)))
    return apart


def _file(file: Path, date: str | None) -> DatasetVersion:
    if not file.exists():
        raise UsageError(f"{file} is not there.", hint="Name a CSV file or a git repository.")
    text = date or next(iter(_DATE.findall(file.name)[::-1]), None)
    if text is None:
        raise UsageError(f"Of what date {file} is, its name does not say.", hint="Say it with --date YYYY-MM-DD.")
    try:
        time = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"The date of {file}, {text!r}, is none.", hint="Say it with --date YYYY-MM-DD.") from error
    if time.year < 1970:
        raise UsageError(f"The date of {file}, {text}, is before 1970.", hint="Say it with --date YYYY-MM-DD.")
    return DatasetVersion(os.fsencode(file.name).decode("utf-8", "replace"), time, partial(_read, file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise VersionRejectedError(f"it cannot be read: {error.strerror}") from error


def _in_repository(folder: Path, path: str) -> list[DatasetVersion]:
    """List the versions of a file in a repository's history, through its renames, one for each change of its content.

    Commits of branches that were merged are versions at their own times; a merge by itself is none.
    """
    git = _Git(folder)
    log = git.run("log", "--follow", "--raw", "-z", "--no-abbrev", "--format=%H %ct", "--", path)
    changes = list(_changes(log))
    if not changes:
        raise UsageError(f"The repository {folder} has no versions of {path!r}.", hint="Name the file with --path.")
    origins: list[DatasetVersion] = []
    latest = ""
    for commit, seconds, blob, name in reversed(changes):
        if blob != latest and not _NO_BLOB.fullmatch(blob):
            origins.append(DatasetVersion(f"git:{commit}:{name}", _moment(seconds, commit), partial(git.blob, blob)))
        latest = blob
    return origins


def _moment(seconds: int, commit: str) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise BrewhouseError(f"Commit {commit} is of a time that cannot be, {seconds} s after 1970.") from error


def _changes(log: bytes) -> Iterator[tuple[str, int, str, str]]:
    """Read `git log --raw -z`: commit, its time in seconds, the file's new blob and name; the newest first."""
    parts = iter(log.split(b"\0"))
    commit, seconds = "", 0
    for part in parts:
        words = part.decode("ascii", "replace").split()
        if part.lstrip(b"\n").startswith(b":"):
            blob, status = words[3], words[4]
            name = next(parts)
            if status[0] in "RC":
                name = next(parts)
            yield commit, seconds, blob, name.decode("utf-8", "replace")
        elif len(words) == 2:
            commit, seconds = words[0], int(words[1])


class _Git:
    """The `git` command on one repository, which it only reads.

    Args:
        folder: A repository: bare, or with a `.git` in it.

    Raises:
        UsageError: It is none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        inner = folder / ".git"
        if not inner.exists() and not ((folder / "HEAD").is_file() and (folder / "objects").is_dir()):
            raise UsageError(
                f"The folder {folder} is no git repository.", hint="Name a clone, or the CSV files one by one."
            )
        self._directory = (inner if inner.exists() else folder).resolve()

    def run(self, *arguments: str) -> bytes:
        """Run a git command and return what it printed.

        Raises:
            BrewhouseError: There is no git, or it fails.
        """
        command = ["git", f"--git-dir={self._directory}", *_GIT_OPTIONS, *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(  # noqa: S603 - no shell; what a user names comes after `--`
                command, cwd=self._folder, env={**environment, "LC_ALL": "C"}, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise BrewhouseError(
                f"The repository {self._folder} is read by `git`, which is not installed.", hint="Install git."
            ) from error
        if done.returncode:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise BrewhouseError(f"git cannot read the repository {self._folder}: {said}")
        return done.stdout

    def blob(self, name: str) -> bytes:
        """Read a file's content by its object name.

        Raises:
            HeldBackError: The clone lacks it.
        """
        try:
            return self.run("cat-file", "blob", name)
        except BrewhouseError as error:
            raise VersionRejectedError(str(error)) from error
