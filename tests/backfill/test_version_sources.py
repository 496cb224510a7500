"""Version sources: the dates in file names, and the history of real git repositories."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brewhouse.backfill.csv_versions import VersionRejectedError
from brewhouse.backfill.version_sources import list_versions
from brewhouse.errors import BrewhouseError, UsageError


class Repository:
    """A git repository to add commits to."""

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
    return [version.read() for version in list_versions([path], path=of)]


@pytest.mark.parametrize("name", ["breweries-2025-10-03.csv", "2025-10-03.csv", "1999-01-01-to-2025-10-03.v2.csv"])
def test_the_time_of_a_file_is_midnight_of_the_last_date_in_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (version,) = list_versions([tmp_path / name])
    assert (version.name, version.time, version.read()) == (name, datetime(2025, 10, 3, tzinfo=UTC), b"x")


def test_an_option_overrides_the_date_of_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "breweries-2025-10-03.csv").write_bytes(b"x")
    (version,) = list_versions([tmp_path / "breweries-2025-10-03.csv"], date="2020-03-04")
    assert version.time == datetime(2020, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "date", "says"),
    [
        ("breweries.csv", None, "breweries.csv"),
        ("breweries-12025-10-033.csv", None, "has no date"),
        ("breweries-2025-13-40.csv", None, "'2025-13-40'"),
        ("breweries.csv", "yesterday", "'yesterday'"),
        ("breweries-1969-12-31.csv", None, "before 1970"),
    ],
)
def test_a_file_without_a_valid_date_is_an_error_that_names_it(
    tmp_path: Path, name: str, date: str | None, says: str
) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match="--date YYYY-MM-DD") as error:
        list_versions([tmp_path / name], date)
    assert says in str(error.value)
    assert name in str(error.value)


def test_a_date_for_several_files_or_a_repository_is_an_error(repository: Repository, tmp_path: Path) -> None:
    for paths in ([tmp_path / "a.csv", tmp_path / "b.csv"], [repository.folder]):
        with pytest.raises(UsageError, match="one file"):
            list_versions(paths, "2020-01-01")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing-2020-01-01\.csv does not exist"):
        list_versions([tmp_path / "nothing-2020-01-01.csv"])


def test_a_folder_inside_a_repository_is_not_a_repository(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", "breweries.csv", b"x")
    (repository.folder / "data").mkdir()
    with pytest.raises(UsageError, match="not a git repository"):
        list_versions([repository.folder / "data"])


def test_every_change_of_the_file_is_a_version_at_its_commit_time_in_utc(repository: Repository) -> None:
    first = repository.commit("2020-03-04T23:30:00-08:00", content=b"one")
    repository.commit("2020-04-01T00:00:00Z", "README", b"not the dataset")
    second = repository.commit("2021-01-01T00:00:00Z", content=b"two")
    versions = list_versions([repository.folder])
    assert [version.name for version in versions] == [f"git:{commit}:breweries.csv" for commit in (first, second)]
    assert [version.time for version in versions] == [
        datetime(2020, 3, 5, 7, 30, tzinfo=UTC),
        datetime(2021, 1, 1, tzinfo=UTC),
    ]
    assert [version.read() for version in versions] == [b"one", b"two"]


def test_a_file_is_followed_through_its_renames(repository: Repository) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(50))
    repository.commit("2020-01-01T00:00:00Z", "old/brew eries\u00fc.csv", lines)
    (repository.folder / "old/brew eries\u00fc.csv").rename(repository.folder / "breweries.csv")
    repository.commit("2020-02-01T00:00:00Z")
    repository.commit("2020-03-01T00:00:00Z", content=lines + b"more\n")
    versions = list_versions([repository.folder])
    assert [version.name.split(":")[2] for version in versions] == ["old/brew eries\u00fc.csv", "breweries.csv"]
    assert [version.read() for version in versions] == [lines, lines + b"more\n"], "a rename alone is not a version"


def test_a_deletion_is_not_a_version_and_a_restored_file_is_one(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / "breweries.csv").unlink()
    repository.commit("2020-02-01T00:00:00Z")
    repository.commit("2020-03-01T00:00:00Z", content=b"one")
    assert [version.time.month for version in list_versions([repository.folder])] == [1, 3]


def test_commits_of_one_second_keep_their_order(repository: Repository) -> None:
    for number in range(4):
        repository.commit("2020-01-01T00:00:00Z", content=b"%d" % number)
    times = [version.time for version in list_versions([repository.folder])]
    assert contents(repository.folder) == [b"0", b"1", b"2", b"3"]
    assert times == sorted(set(times))


@pytest.mark.parametrize("path", ["-p.csv", ":(glob)x.csv", "*.csv", "two\nlines.csv", "data/\u00fc '\".csv"])
def test_special_characters_in_a_path_are_literal(repository: Repository, path: str) -> None:
    repository.commit("2020-01-01T00:00:00Z", path, b"one")
    assert contents(repository.folder, path) == [b"one"]


def test_a_path_that_is_not_utf_8_is_supported(repository: Repository) -> None:
    path = os.fsdecode(b"b\xe4r.csv")
    repository.commit("2020-01-01T00:00:00Z", path, b"one")
    (version,) = list_versions([repository.folder], path=path)
    assert version.name.endswith(":b\ufffdr.csv")
    assert version.name.encode()


def test_a_bare_repository_and_a_work_tree_are_supported(repository: Repository, tmp_path: Path) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    repository.git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert contents(tmp_path / "bare") == contents(tmp_path / "tree") == [b"one"]


def test_git_variables_of_the_environment_are_ignored(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    other = Repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.folder / ".git" / "objects"))
    assert contents(repository.folder) == [b"one"]


def test_a_repository_without_the_file_or_without_commits_is_an_error(repository: Repository) -> None:
    with pytest.raises(BrewhouseError, match="git failed to read the repository"):
        list_versions([repository.folder])
    repository.commit("2020-01-01T00:00:00Z", "README", b"x")
    with pytest.raises(UsageError, match=r"no versions of 'breweries\.csv'"):
        list_versions([repository.folder])


def test_a_version_whose_content_the_clone_lacks_is_rejected(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    blob = repository.git("rev-parse", "HEAD:breweries.csv")
    (version,) = list_versions([repository.folder])
    file = repository.folder / ".git" / "objects" / blob[:2] / blob[2:]
    file.chmod(0o600)
    file.unlink()
    with pytest.raises(VersionRejectedError, match="git failed to read"):
        version.read()


def test_without_git_the_error_asks_to_install_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository.folder))
    with pytest.raises(BrewhouseError, match="Install git"):
        list_versions([repository.folder])


def test_files_and_repositories_are_one_history(repository: Repository, tmp_path: Path) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.commit("2022-01-01T00:00:00Z", content=b"three")
    (tmp_path / "2021-01-01.csv").write_bytes(b"two")
    versions = list_versions([tmp_path / "2021-01-01.csv", repository.folder])
    assert [version.read() for version in versions] == [b"one", b"two", b"three"]


def test_commits_of_merged_branches_are_versions_and_the_merge_is_not(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one\n")
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit("2020-02-01T00:00:00Z", content=b"two\n")
    repository.git("checkout", "--quiet", "main")
    repository.commit("2020-03-01T00:00:00Z", "README", b"x")
    repository.git("merge", "--quiet", "--no-ff", "-m", "merge", "side", time="2020-04-01T00:00:00Z")
    versions = list_versions([repository.folder])
    assert [(version.time.month, version.read()) for version in versions] == [(1, b"one\n"), (2, b"two\n")]


def test_a_change_that_is_reverted_is_a_version_again(repository: Repository) -> None:
    for month, content in enumerate([b"one", b"two", b"one", b"one"], start=1):
        repository.commit(f"2020-0{month}-01T00:00:00Z", content=content)
    assert contents(repository.folder) == [b"one", b"two", b"one"]


def test_versions_of_the_same_time_from_several_files_keep_the_given_order(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}-2020-01-01.csv").write_bytes(name.encode())
    versions = list_versions([tmp_path / f"{name}-2020-01-01.csv" for name in ("b", "a", "c")])
    assert [version.read() for version in versions] == [b"b", b"a", b"c"]
    assert [version.time.microsecond for version in versions] == [0, 1000, 2000]


def test_a_file_that_disappears_before_it_is_read_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "2020-01-01.csv"
    file.write_bytes(b"x")
    (version,) = list_versions([file])
    file.unlink()
    with pytest.raises(VersionRejectedError, match="it cannot be read: No such file"):
        version.read()


def test_a_repository_with_a_broken_object_store_is_an_error(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(BrewhouseError, match=r"git failed to read the repository .*: fatal"):
        list_versions([repository.folder])


def test_settings_of_the_user_do_not_change_the_history(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    config = "[log]\nshowSignature = true\nfollow = false\n[core]\npager = false\nquotePath = true\n"
    (tmp_path / ".gitconfig").write_text(f"{config}[color]\nui = always\n[diff]\nnoprefix = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert contents(repository.folder) == [b"one"]


@pytest.mark.parametrize("seconds", [10**12, 2**62])
def test_a_commit_of_an_impossible_time_is_an_error(repository: Repository, seconds: int) -> None:
    (repository.folder / "breweries.csv").write_bytes(b"one")
    repository.git("add", "--all")
    tree = repository.git("write-tree")
    who = f"a <a@b.example> {seconds} +0000"
    commit = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n"
    (repository.folder / "commit").write_text(commit)
    name = repository.git("hash-object", "-t", "commit", "-w", "--literally", "commit")
    repository.git("update-ref", "refs/heads/main", name)
    with pytest.raises(BrewhouseError, match=f"{name}.*invalid time"):
        list_versions([repository.folder])


def test_files_of_the_future_are_rejected_with_their_names_and_dates(tmp_path: Path) -> None:
    files = [tmp_path / f"breweries-{date}.csv" for date in ("2025-10-03", "2062-05-14", "2062-05-15")]
    for file in files:
        file.write_bytes(b"x")
    with pytest.raises(UsageError, match=r"2 version\(s\).*2062-05-14.csv is dated 2062-05-14; .*2062-05-15"):
        list_versions(files)
    with pytest.raises(UsageError, match=r"breweries-2025-10-03.csv is dated 2063-01-01\. Nothing was written\."):
        list_versions(files[:1], date="2063-01-01")


def test_the_date_may_be_that_of_the_first_time_zone(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (tmp_path / "breweries.csv").write_bytes(b"x")
    for ahead, is_rejected in ((timedelta(hours=14), False), (timedelta(hours=39), True)):
        date = str((now + ahead).date())
        if is_rejected:
            with pytest.raises(UsageError, match="in the future"):
                list_versions([tmp_path / "breweries.csv"], date)
        else:
            assert [
                version.time.date().isoformat() for version in list_versions([tmp_path / "breweries.csv"], date)
            ] == [date]


def test_a_commit_of_the_future_is_rejected_with_its_id_and_date(repository: Repository) -> None:
    repository.commit("2025-01-01T00:00:00Z", content=b"x")
    wrong = repository.commit("2037-01-01T00:00:00Z", content=b"y")
    with pytest.raises(UsageError, match=f"git:{wrong}:breweries.csv is dated 2037-01-01"):
        list_versions([repository.folder])
