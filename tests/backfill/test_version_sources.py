"""Versions are found by the dates in files' names, and by the history of real git repositories."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from brewhouse.backfill.csv_versions import VersionRejectedError
from brewhouse.backfill.version_sources import origins_of
from brewhouse.errors import BrewhouseError, UsageError


class Repository:
    """A git repository that is filled commit by commit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, time: str = "2020-01-01T00:00:00Z") -> str:
        who = {f"GIT_{role}_{what}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **who}
        env |= {"GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE": time}
        done = subprocess.run(["git", *arguments], cwd=self.folder, env=env, check=True, capture_output=True)
        return done.stdout.decode().strip()

    def commit(self, time: str, path: str = "breweries.csv", content: bytes | None = None) -> str:
        if content is not None:
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_bytes(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "x\n\n:100644 not a change", time=time)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "clone")


def contents(path: Path, of: str = "breweries.csv") -> list[bytes]:
    return [origin.read() for origin in origins_of([path], path=of)]


@pytest.mark.parametrize("name", ["breweries-2025-10-03.csv", "2025-10-03.csv", "1999-01-01-to-2025-10-03.v2.csv"])
def test_a_file_is_of_the_last_date_in_its_name_at_midnight(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (origin,) = origins_of([tmp_path / name])
    assert (origin.name, origin.time, origin.read()) == (name, datetime(2025, 10, 3, tzinfo=UTC), b"x")


def test_an_option_says_the_date_of_one_file(tmp_path: Path) -> None:
    (tmp_path / "breweries-2025-10-03.csv").write_bytes(b"x")
    (origin,) = origins_of([tmp_path / "breweries-2025-10-03.csv"], date="2020-03-04")
    assert origin.time == datetime(2020, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "date", "says"),
    [
        ("breweries.csv", None, "breweries.csv"),
        ("breweries-12025-10-033.csv", None, "its name does not say"),
        ("breweries-2025-13-40.csv", None, "'2025-13-40'"),
        ("breweries.csv", "yesterday", "'yesterday'"),
        ("breweries-1969-12-31.csv", None, "before 1970"),
    ],
)
def test_a_file_without_a_date_is_named(tmp_path: Path, name: str, date: str | None, says: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match="--date YYYY-MM-DD") as error:
        origins_of([tmp_path / name], date)
    assert says in str(error.value)
    assert name in str(error.value)


def test_a_date_for_several_files_or_a_repository_is_refused(repository: Repository, tmp_path: Path) -> None:
    for paths in ([tmp_path / "a.csv", tmp_path / "b.csv"], [repository.folder]):
        with pytest.raises(UsageError, match="one file"):
            origins_of(paths, "2020-01-01")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing-2020-01-01\.csv is not there"):
        origins_of([tmp_path / "nothing-2020-01-01.csv"])


def test_a_folder_without_repository_is_refused_even_inside_one(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", "breweries.csv", b"x")
    (repository.folder / "data").mkdir()
    with pytest.raises(UsageError, match="no git repository"):
        origins_of([repository.folder / "data"])


def test_every_change_of_the_file_is_a_version_at_its_commit_time_in_utc(repository: Repository) -> None:
    first = repository.commit("2020-03-04T23:30:00-08:00", content=b"one")
    repository.commit("2020-04-01T00:00:00Z", "README", b"not the dataset")
    second = repository.commit("2021-01-01T00:00:00Z", content=b"two")
    origins = origins_of([repository.folder])
    assert [origin.name for origin in origins] == [f"git:{commit}:breweries.csv" for commit in (first, second)]
    assert [origin.time for origin in origins] == [
        datetime(2020, 3, 5, 7, 30, tzinfo=UTC),
        datetime(2021, 1, 1, tzinfo=UTC),
    ]
    assert [origin.read() for origin in origins] == [b"one", b"two"]


def test_a_file_is_followed_through_its_renames(repository: Repository) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(50))
    repository.commit("2020-01-01T00:00:00Z", "old/brew eries\u00fc.csv", lines)
    (repository.folder / "old/brew eries\u00fc.csv").rename(repository.folder / "breweries.csv")
    repository.commit("2020-02-01T00:00:00Z")
    repository.commit("2020-03-01T00:00:00Z", content=lines + b"more\n")
    origins = origins_of([repository.folder])
    assert [origin.name.split(":")[2] for origin in origins] == ["old/brew eries\u00fc.csv", "breweries.csv"]
    assert [origin.read() for origin in origins] == [lines, lines + b"more\n"], "a rename alone is no version"


def test_a_deletion_is_no_version_and_the_file_can_come_back(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / "breweries.csv").unlink()
    repository.commit("2020-02-01T00:00:00Z")
    repository.commit("2020-03-01T00:00:00Z", content=b"one")
    assert [origin.time.month for origin in origins_of([repository.folder])] == [1, 3]


def test_commits_of_one_second_keep_their_order(repository: Repository) -> None:
    for number in range(4):
        repository.commit("2020-01-01T00:00:00Z", content=b"%d" % number)
    times = [origin.time for origin in origins_of([repository.folder])]
    assert contents(repository.folder) == [b"0", b"1", b"2", b"3"]
    assert times == sorted(set(times))


@pytest.mark.parametrize("path", ["-p.csv", ":(glob)x.csv", "*.csv", "two\nlines.csv", "data/\u00fc '\".csv"])
def test_hostile_names_are_names(repository: Repository, path: str) -> None:
    repository.commit("2020-01-01T00:00:00Z", path, b"one")
    assert contents(repository.folder, path) == [b"one"]


def test_a_name_that_is_no_utf8_can_be_said(repository: Repository) -> None:
    path = os.fsdecode(b"b\xe4r.csv")
    repository.commit("2020-01-01T00:00:00Z", path, b"one")
    (origin,) = origins_of([repository.folder], path=path)
    assert origin.name.endswith(":b\ufffdr.csv")
    assert origin.name.encode()


def test_a_bare_repository_and_a_work_tree_are_read_too(repository: Repository, tmp_path: Path) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    repository.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert contents(tmp_path / "bare") == contents(tmp_path / "tree") == [b"one"]


def test_variables_of_another_repository_do_not_matter(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.folder / ".git" / "objects"))
    assert contents(repository.folder) == [b"one"]


def test_a_repository_without_the_file_or_without_commits_says_so(repository: Repository) -> None:
    with pytest.raises(BrewhouseError, match="git cannot read the repository"):
        origins_of([repository.folder])
    repository.commit("2020-01-01T00:00:00Z", "README", b"x")
    with pytest.raises(UsageError, match=r"no versions of 'breweries\.csv'"):
        origins_of([repository.folder])


def test_a_content_the_clone_lacks_is_held_back(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    blob = repository.git("rev-parse", "HEAD:breweries.csv")
    (origin,) = origins_of([repository.folder])
    file = repository.folder / ".git" / "objects" / blob[:2] / blob[2:]
    file.chmod(0o600)
    file.unlink()
    with pytest.raises(VersionRejectedError, match="git cannot read"):
        origin.read()


def test_without_git_the_error_says_so(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.folder))
    with pytest.raises(BrewhouseError, match="Install git"):
        origins_of([repository.folder])


def test_files_and_repositories_are_one_history(repository: Repository, tmp_path: Path) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.commit("2022-01-01T00:00:00Z", content=b"three")
    (tmp_path / "2021-01-01.csv").write_bytes(b"two")
    origins = origins_of([tmp_path / "2021-01-01.csv", repository.folder])
    assert [origin.read() for origin in origins] == [b"one", b"two", b"three"]
