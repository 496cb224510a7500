"""Sources of dataset versions: CSV files with a date in their names, and git repositories."""

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
_DELETED = re.compile("0+")
_FIRST_TIME_ZONE = timedelta(hours=14)  # where a date begins first
_SHOWN = 3
_GIT_OPTIONS = ("--no-pager", "--literal-pathspecs", "-c", "log.showSignature=false", "-c", "core.fsmonitor=false")


@dataclass(frozen=True)
class DatasetVersion:
    """A version of the dataset, not read yet.

    Attributes:
        name: Its origin, such as `breweries-2025-10-03.csv` or `git:<commit>:breweries.csv`.
        time: When it was published, UTC.
        read: Returns its content; raises `VersionRejectedError` when it cannot be read.
    """

    name: str
    time: datetime
    read: Callable[[], bytes]


def list_versions(paths: Sequence[Path], date: str | None = None, path: str = DATASET_PATH) -> list[DatasetVersion]:
    """List the versions in files and git repositories, the oldest first.

    Args:
        paths: CSV files with a date in their names, and git repositories, bare or not.
        date: Date of a single file, instead of the one in its name.
        path: Path of the file in a repository.

    Raises:
        UsageError: A path is neither, a file's date is unknown, a repository does not have the file, or a version is of
            the future.
        BrewhouseError: Git is not installed, or fails to read a repository.
    """
    if date is not None and (len(paths) != 1 or paths[0].is_dir()):
        raise UsageError("--date applies to one file.", hint="Pass only that file, or put dates into the file names.")
    versions: list[DatasetVersion] = []
    for place in paths:
        versions += _repository_versions(place, path) if place.is_dir() else [_file_version(place, date)]
    _reject_future(versions)
    return _with_distinct_times(sorted(versions, key=lambda version: version.time))


def _reject_future(versions: Sequence[DatasetVersion]) -> None:
    """Reject versions of the future, which would be newer than anything that runs fetch until then."""
    latest = datetime.now(UTC) + _FIRST_TIME_ZONE
    future = [version for version in versions if version.time > latest]
    if future:
        named = "; ".join(f"{version.name} is dated {version.time:%Y-%m-%d}" for version in future[:_SHOWN])
        more = f"; and {len(future) - _SHOWN} more" if len(future) > _SHOWN else ""
        raise UsageError(
            f"{len(future)} version(s) are dated in the future: {named}{more}. Nothing was written.",
            hint="Correct the date in the file's name, pass --date, or check this machine's clock. Versions with wrong "
            "commit times can be passed as files.",
        )


def _with_distinct_times(versions: Sequence[DatasetVersion]) -> list[DatasetVersion]:
    """Keep the order of simultaneous versions by moving each to a millisecond after the one before."""
    distinct: list[DatasetVersion] = []
    for version in versions:
        earliest = distinct[-1].time + timedelta(milliseconds=1) if distinct else version.time
        distinct.append(replace(version, time=max(version.time, earliest)))
    return distinct


def _file_version(file: Path, date: str | None) -> DatasetVersion:
    if not file.exists():
        raise UsageError(f"{file} does not exist.", hint="Pass a CSV file or a git repository.")
    hint = "Set it with --date YYYY-MM-DD."
    text = date or next(iter(_DATE.findall(file.name)[::-1]), None)
    if text is None:
        raise UsageError(f"The name of {file} has no date.", hint=hint)
    try:
        time = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise UsageError(f"The date of {file}, {text!r}, is invalid.", hint=hint) from error
    if time.year < 1970:
        raise UsageError(f"The date of {file}, {text}, is before 1970.", hint=hint)
    return DatasetVersion(os.fsencode(file.name).decode("utf-8", "replace"), time, partial(_read, file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise VersionRejectedError(f"it cannot be read: {error.strerror}") from error


def _repository_versions(folder: Path, path: str) -> list[DatasetVersion]:
    """List the versions of a file in a repository's history, through renames, one per change of its content.

    Commits of merged branches are versions at their own times; a merge commit is not.
    """
    git = _Git(folder)
    log = git.run("log", "--follow", "--raw", "-z", "--no-abbrev", "--format=%H %ct", "--", path)
    changes = list(_parse_log(log))
    if not changes:
        raise UsageError(f"The repository {folder} has no versions of {path!r}.", hint="Set the file with --path.")
    versions: list[DatasetVersion] = []
    latest = ""
    for commit, seconds, blob, name in reversed(changes):
        if blob != latest and not _DELETED.fullmatch(blob):
            time = _commit_time(commit, seconds)
            versions.append(DatasetVersion(f"git:{commit}:{name}", time, partial(git.blob, blob)))
        latest = blob
    return versions


def _commit_time(commit: str, seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise BrewhouseError(f"Commit {commit} has an invalid time, {seconds} s after 1970.") from error


def _parse_log(log: bytes) -> Iterator[tuple[str, int, str, str]]:
    """Parse `git log --raw -z`: commit, its time in seconds, the file's new blob and name; the newest first."""
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
    """Read-only access to one git repository: bare, or with a `.git` in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        inner = folder / ".git"
        if not inner.exists() and not ((folder / "HEAD").is_file() and (folder / "objects").is_dir()):
            raise UsageError(f"The folder {folder} is not a git repository.", hint="Pass a clone, or the CSV files.")
        self._directory = (inner if inner.exists() else folder).resolve()

    def run(self, *arguments: str) -> bytes:
        """Run a git command and return its output."""
        command = ["git", f"--git-dir={self._directory}", *_GIT_OPTIONS, *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        try:
            done = subprocess.run(  # noqa: S603 - no shell; user input comes after `--`
                command, cwd=self._folder, env={**environment, "LC_ALL": "C"}, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise BrewhouseError(f"Reading {self._folder} requires git.", hint="Install git.") from error
        if done.returncode:
            message = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise BrewhouseError(f"git failed to read the repository {self._folder}: {message}")
        return done.stdout

    def blob(self, name: str) -> bytes:
        """Read a file's content by its object name; reject the version when the clone lacks it."""
        try:
            return self.run("cat-file", "blob", name)
        except BrewhouseError as error:
            raise VersionRejectedError(str(error)) from error
