"""Sources of dataset versions: CSV files with a date in their names, and git repositories."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from brewhouse.backfill.csv_versions import VersionRejectedError
from brewhouse.errors import BrewhouseError, UsageError

DATASET_PATH = "breweries.csv"
_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_DELETED = re.compile("0+")
_FIRST_TIME_ZONE = timedelta(hours=14)  # where a date begins first
_SHOWN = 3
_OBJECT_NAME = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_NOT_FILES = {"120000": "it is a symbolic link", "160000": "it is a submodule: pass a clone of that repository"}
_MAX_VERSION_BYTES = 256 * 1024**2
_TOO_LARGE = f"it is larger than {_MAX_VERSION_BYTES // 1024**2} MB"
_MAX_HISTORY_BYTES = 16 * 1024**3
_MAX_OUTPUT_BYTES = 64 * 1024**2
_MAX_ERROR_BYTES = 2000
_MAX_REF_BYTES = 8192
_MAX_SYMBOLIC_REFS = 5
_GIT_TIMEOUT_S = 600.0
_GIT_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOC_LIMIT": "1g",  # of one allocation, thus of an object that git reads to detect a rename
}
_GIT_CONFIG = Path(__file__).with_name("gitconfig")


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
        given = f"{len(paths)} paths" if len(paths) != 1 else f"the folder {paths[0]}"
        hint = "Pass only that file, or put dates into the file names."
        raise UsageError(f"--date applies to one file (got {given}).", hint=hint)
    if path != DATASET_PATH and not any(place.is_dir() for place in paths):
        raise UsageError(f"--path applies to a repository (got {path}).", hint="Omit --path, or pass a clone.")
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

    def moved(before: DatasetVersion, version: DatasetVersion) -> DatasetVersion:
        return replace(version, time=max(version.time, before.time + timedelta(milliseconds=1)))

    return list(accumulate(versions, moved))


def _file_version(file: Path, date: str | None) -> DatasetVersion:
    if not file.is_file():
        what = "is not a file" if file.exists() else "does not exist"
        raise UsageError(f"{file} {what}.", hint="Pass a CSV file or a clone of the git repository.")
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
        content = _read_start(file, _MAX_VERSION_BYTES + 1)
    except OSError as error:
        raise VersionRejectedError(f"it cannot be read: {error.strerror}") from error
    if len(content) > _MAX_VERSION_BYTES:
        raise VersionRejectedError(_TOO_LARGE)
    return content


def _read_start(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(size)


def _repository_versions(folder: Path, path: str) -> list[DatasetVersion]:
    """List the versions of a file of HEAD in a repository's history, through renames, one per change of its content.

    Commits of merged branches are versions at their own times; a merge commit is not.
    """
    git = _Git(folder)
    changes: list[_Change] = []
    latest = ""
    for change in reversed(git.changes(path)):
        if change.blob != latest and not _DELETED.fullmatch(change.blob):
            changes.append(change)
        latest = change.blob
    if not changes:
        raise UsageError(f"The repository {folder} has no versions of {path!r}.", hint="Set the file with --path.")
    if not git.has(path):
        raise UsageError(
            f"The newest commit in {folder} has no file {path!r}, only earlier ones have: it was deleted or renamed.",
            hint="Set its new name with --path, which includes the versions before; or check out a commit that has it.",
        )
    sizes = git.sizes([change.blob for change in changes])
    if sum(sizes.values()) > _MAX_HISTORY_BYTES:
        what = f"The versions in {folder} add up to more than {_MAX_HISTORY_BYTES // 1024**3} GB."
        raise BrewhouseError(what, hint="Pass the versions as files, a part of them at a time.")
    return [
        DatasetVersion(
            f"git:{each.commit}:{each.name}", _commit_time(each), partial(git.read, each, sizes.get(each.blob))
        )
        for each in changes
    ]


def _commit_time(change: _Change) -> datetime:
    try:
        return datetime.fromtimestamp(int(change.seconds), UTC)
    except (OverflowError, ValueError, OSError) as error:
        what = f"Commit {change.commit} has an invalid time, {change.seconds or '?'} s after 1970."
        raise BrewhouseError(what, hint="Pass its version as a file, with --date.") from error


@dataclass(frozen=True)
class _Change:
    """A change of a file: the commit and its time in seconds, empty if invalid, the file's new mode, blob and name."""

    commit: str
    seconds: str
    mode: str
    blob: str
    name: str


def _parse_log(log: bytes) -> Iterator[_Change]:
    """Parse `git log --raw -z`; the newest change comes first."""
    parts = iter(log.split(b"\0"))
    commit, seconds = "", ""
    for part in parts:
        words = part.decode("ascii", "replace").split()
        if part.lstrip(b"\n").startswith(b":"):
            name = next(parts)
            if words[4][0] in "RC":
                name = next(parts)
            yield _Change(commit, seconds, words[1], words[3], name.decode("utf-8", "replace"))
        elif words:
            commit, seconds = words[0], "".join(words[1:])


class _Git:
    """Read-only access to the objects of an untrusted git repository: bare, or with a `.git` in it.

    Git runs in an empty repository of our own that borrows the objects. So it never reads the configuration, hooks,
    attributes or remotes of the repository, each of which can name commands to run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        directory = _git_directory(folder.absolute())
        common = directory / _read_ref(directory / "commondir")  # of a work tree
        self._objects = common / "objects"
        # Git would wait for a pipe, and follow a link.
        modes = {file: file.lstat().st_mode for file in self._objects.rglob("*")}
        if irregular := next((file for file, mode in modes.items() if not (S_ISREG(mode) or S_ISDIR(mode))), None):
            raise self._failure(f"{irregular} is neither a file nor a folder", "Clone it again.")
        if os.path.lexists(self._objects / "info" / "alternates"):
            raise self._failure("it borrows objects of another one", "Run `git repack -a -d` there, or clone it again.")
        if (common / "reftable").is_dir():
            raise self._failure("it stores refs as reftable", "Clone it with `git clone --ref-format=files`.")
        self._head = _resolve_head(directory, common)
        if not self._head:
            raise self._failure("its HEAD names no commit", "Check out a branch with commits.")
        shallow = common / "shallow"
        self._shallow = _read_start(shallow, _MAX_OUTPUT_BYTES) if shallow.is_file() else b""

    def changes(self, path: str) -> list[_Change]:
        """List the changes of a file, the newest first."""
        log = ("log", "--follow", "--raw", "-z", "--no-abbrev", "--no-ext-diff", "--no-textconv", "--format=%H %ct")
        return list(_parse_log(self._run(*log, self._head, "--", path, max_bytes=_MAX_OUTPUT_BYTES)))

    def has(self, path: str) -> bool:
        """Return whether the newest commit has a file."""
        entry = self._run("ls-tree", "-z", self._head, "--", path, max_bytes=_MAX_OUTPUT_BYTES)
        return bool(entry) and entry.split()[1] != b"tree"

    def sizes(self, blobs: Sequence[str]) -> dict[str, int]:
        """Return the sizes in bytes of those blobs that the clone has."""
        given = "\n".join(blobs).encode()
        output = self._run("cat-file", "--batch-check", max_bytes=_MAX_OUTPUT_BYTES, stdin=given)
        lines = (line.split() for line in output.decode("ascii", "replace").splitlines())
        return {words[0]: int(words[2]) for words in lines if words[1:2] == ["blob"]}

    def read(self, change: _Change, size: int | None) -> bytes:
        """Read a file's content; reject a version that is not a file, incomplete or too large."""
        if change.mode in _NOT_FILES:
            raise VersionRejectedError(_NOT_FILES[change.mode])
        if change.commit.encode() in self._shallow:
            raise VersionRejectedError(
                "the clone is shallow: it lacks the earlier versions, and the date of this one; "
                "run `git fetch --unshallow` in it"
            )
        if size is None:
            raise VersionRejectedError("its content is missing in the clone: make a complete one, without --filter")
        if size > _MAX_VERSION_BYTES:
            raise VersionRejectedError(_TOO_LARGE)
        try:
            return self._run("cat-file", "blob", change.blob, max_bytes=size)
        except BrewhouseError as error:
            raise VersionRejectedError(str(error)) from error

    def _run(self, *arguments: str, max_bytes: int, stdin: bytes = b"") -> bytes:
        """Run a git command in an empty repository with these objects, and return its output."""
        with tempfile.TemporaryDirectory(prefix="brewhouse-git-") as name, tempfile.TemporaryFile() as given:
            home = Path(name)
            (home / "refs").mkdir()
            (home / "HEAD").write_text("ref: refs/heads/none\n")
            object_format = "sha1" if len(self._head) == 40 else "sha256"
            (home / "config").write_text(_GIT_CONFIG.read_text("utf-8").format(object_format=object_format))
            if self._shallow:
                (home / "shallow").write_bytes(self._shallow)
            given.write(stdin)
            given.seek(0)
            places = {"HOME": name, "GIT_DIR": name, "GIT_OBJECT_DIRECTORY": str(self._objects)}
            environment = {"PATH": os.environ.get("PATH", os.defpath), **_GIT_ENVIRONMENT, **places}
            command = ["git", "--no-pager", "--literal-pathspecs", *arguments]
            with (home / "errors").open("w+b") as errors:
                try:
                    process = subprocess.Popen(  # noqa: S603 - no shell; user input comes after `--`
                        command, cwd=home, env=environment, stdin=given, stdout=subprocess.PIPE, stderr=errors
                    )
                except FileNotFoundError as error:
                    what = f"Reading {self._folder} requires git, which is not installed."
                    raise BrewhouseError(what, hint="Install git, or pass the CSV files.") from error
                output, is_complete = _read_output(process, max_bytes)
                errors.seek(0)
                message = " ".join(errors.read(_MAX_ERROR_BYTES).decode("utf-8", "replace").split())
        if not is_complete:
            why = f"git took more than {_GIT_TIMEOUT_S:.0f} s or printed more than {max_bytes} bytes"
            raise self._failure(why, "Pass the CSV files instead.")
        if process.returncode:
            is_partial = any((self._objects / "pack").glob("*.promisor"))
            hint = "Clone it again without --filter." if is_partial else "Run `git fsck` in it, or clone it again."
            raise self._failure(message, hint)
        return output

    def _failure(self, why: str, hint: str) -> BrewhouseError:
        return BrewhouseError(f"git failed to read the repository {self._folder}: {why}.", hint=hint)


def _read_output(process: subprocess.Popen[bytes], max_bytes: int) -> tuple[bytes, bool]:
    """Read the output of a process and whether it is complete; a process that exceeds a limit is killed."""
    timer = threading.Timer(_GIT_TIMEOUT_S, process.kill)
    with process:
        try:
            timer.start()
            output = process.stdout.read(max_bytes + 1) if process.stdout else b""
            if len(output) > max_bytes:
                process.kill()
            process.wait()
        finally:
            timer.cancel()
            process.kill()
    return output, len(output) <= max_bytes and process.returncode >= 0


def _git_directory(folder: Path) -> Path:
    """Find the git directory of a bare repository or a clone; the `.git` of a work tree or submodule names it."""
    inner = folder / ".git"
    if inner.is_file():
        return folder / _read_ref(inner).removeprefix("gitdir:").strip()
    directory = inner if inner.exists() else folder
    if not ((directory / "HEAD").is_file() and (directory / "objects").is_dir()):
        raise UsageError(f"The folder {folder} is not a git repository.", hint="Pass a clone, or the CSV files.")
    return directory


def _resolve_head(directory: Path, common: Path) -> str:
    """Return the object name of the commit that HEAD names, directly or by a branch; empty without one."""
    text = _read_ref(directory / "HEAD")
    for _ in range(_MAX_SYMBOLIC_REFS):
        if _OBJECT_NAME.fullmatch(text):
            return text
        ref = text.removeprefix("ref:").strip()
        if not ref.startswith("refs/") or ".." in ref:
            break
        text = _read_ref(common / ref) or _packed_ref(common / "packed-refs", ref)
    return ""


def _read_ref(file: Path) -> str:
    return os.fsdecode(_read_start(file, _MAX_REF_BYTES)).strip() if file.is_file() else ""


def _packed_ref(file: Path, ref: str) -> str:
    lines = _read_start(file, _MAX_OUTPUT_BYTES).splitlines() if file.is_file() else ()
    return next((line.split()[0].decode() for line in lines if line.endswith(b" " + os.fsencode(ref))), "")
