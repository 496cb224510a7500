"""Version sources: the dates in file names, and the history of real git repositories."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from brewhouse.backfill import version_sources
from brewhouse.backfill.csv_versions import VersionRejectedError
from brewhouse.backfill.version_sources import list_versions
from brewhouse.errors import BrewhouseError, UsageError


class Repository:
    """A git repository to add commits to."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main", *options)

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


@pytest.mark.parametrize("is_renamed", [True, False], ids=["renamed", "replaced by a folder"])
def test_a_file_that_the_newest_commit_lacks_is_an_error(repository: Repository, is_renamed: bool) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / "breweries.csv").unlink()
    other = "data.csv" if is_renamed else "breweries.csv/data.csv"
    repository.commit("2020-02-01T00:00:00Z", other, b"one")
    repository.commit("2020-03-01T00:00:00Z", other, b"two")
    with pytest.raises(UsageError, match=r"newest commit .* no file 'breweries\.csv'.* renamed.* --path"):
        list_versions([repository.folder])
    assert contents(repository.folder, other) == [b"one", b"two"]


@pytest.mark.timeout(60)
def test_a_pipe_or_link_among_the_objects_is_an_error_instead_of_a_wait(repository: Repository) -> None:
    commit = repository.commit("2020-01-01T00:00:00Z", content=b"one")
    stored = repository.folder / ".git/objects" / commit[:2] / commit[2:]
    stored.unlink()
    os.mkfifo(stored)
    with pytest.raises(BrewhouseError, match=f"{commit[2:]} is neither a file nor a folder"):
        list_versions([repository.folder])
    stored.parent.rename(repository.folder / "elsewhere")
    stored.parent.symlink_to(repository.folder / "elsewhere")
    with pytest.raises(BrewhouseError, match=f"objects/{commit[:2]} is neither a file nor a folder"):
        list_versions([repository.folder])


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
    with pytest.raises(BrewhouseError, match="HEAD names no commit"):
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
    (listed_later,) = list_versions([repository.folder])
    with pytest.raises(VersionRejectedError, match="its content is missing in the clone"):
        listed_later.read()


def test_without_git_the_error_asks_to_install_it(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
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


@pytest.mark.parametrize(
    ("head", "says"),
    [("nonsense", "HEAD names no commit"), ("ref: refs/../../x", "HEAD names no commit"), ("0" * 39 + "1", "fatal")],
)
def test_a_repository_with_a_broken_head_is_an_error(repository: Repository, head: str, says: str) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / ".git" / "HEAD").write_text(head)
    with pytest.raises(BrewhouseError, match=f"git failed to read the repository .*: .*{says}"):
        list_versions([repository.folder])


def test_settings_of_the_user_do_not_change_the_history(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    config = "[log]\nshowSignature = true\nfollow = false\n[core]\npager = false\nquotePath = true\n"
    (tmp_path / ".gitconfig").write_text(f"{config}[color]\nui = always\n[diff]\nnoprefix = true\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert contents(repository.folder) == [b"one"]


@pytest.mark.parametrize("seconds", [10**12, 2**62, -86_400])
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


_PARTIAL = {"remote.origin.promisor": "true", "remote.origin.partialCloneFilter": "blob:none"}


@pytest.mark.parametrize(
    "remote",
    [
        {"remote.origin.url": "ext::CANARY", "protocol.ext.allow": "always"},
        {"remote.origin.url": "ssh://host/path", "core.sshCommand": "CANARY"},
        {"remote.origin.url": "file:///tmp", "remote.origin.uploadpack": "CANARY"},
    ],
    ids=["ext", "ssh", "uploadpack"],
)
def test_a_partial_clone_never_fetches_and_runs_no_command_of_its_remote(
    repository: Repository, tmp_path: Path, remote: dict[str, str]
) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "command").write_text(f"#!/bin/sh\ntouch {canary}\n")
    (tmp_path / "command").chmod(0o755)
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--bare", "--filter=blob:none", url, str(tmp_path / "partial"))
    for key, value in {**_PARTIAL, **remote}.items():
        config = str(tmp_path / "partial" / "config")
        repository.git("config", "--file", config, key, value.replace("CANARY", str(tmp_path / "command")))
    git = ["git", f"--git-dir={tmp_path / 'partial'}", "cat-file", "blob", "HEAD:breweries.csv"]
    subprocess.run(git, check=False, capture_output=True, timeout=60)
    assert canary.exists(), "git itself runs the command"
    canary.unlink()

    (version,) = list_versions([tmp_path / "partial"])
    with pytest.raises(VersionRejectedError, match="make a complete one, without --filter"):
        version.read()
    assert not canary.exists()

    repository.git("clone", "--quiet", "--bare", "--filter=tree:0", url, str(tmp_path / "without-trees"))
    with pytest.raises(BrewhouseError, match="Clone it again without --filter"):
        list_versions([tmp_path / "without-trees"])


def test_no_configuration_hook_or_attribute_of_the_repository_runs_a_command(
    repository: Repository, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\necho $0 $* >> {canary}\ncat\n")
    command.chmod(0o755)
    repository.commit("2020-01-01T00:00:00Z", content=b"one\n")
    repository.commit("2020-02-01T00:00:00Z", ".gitattributes", b"*.csv diff=x filter=x merge=x\n")
    repository.commit("2020-03-01T00:00:00Z", content=b"two\n")
    signed = repository.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n\n", 1
    )
    (tmp_path / "signed").write_text(signed + "\n")
    name = repository.git("hash-object", "-t", "commit", "-w", "--literally", str(tmp_path / "signed"))
    repository.git("update-ref", "refs/heads/main", name)
    keys = ["core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.editor", "core.gitProxy"]
    keys += ["diff.external", "gpg.program", "credential.helper", "alias.log", "alias.cat-file", "pager.log"]
    included = f'[log]\nshowSignature = true\n[diff "x"]\ncommand = {command}\ntextconv = {command}\n'
    included += f'[filter "x"]\nclean = {command}\nsmudge = {command}\nprocess = {command}\n'
    included += "".join("[{}]\n{} = {}\n".format(*key.split("."), command) for key in keys)
    git = repository.folder / ".git"
    (tmp_path / "included").write_text(included)
    (git / "config.worktree").write_text(included)
    for key, value in {"extensions.worktreeConfig": "true", "include.path": str(tmp_path / "included")}.items():
        repository.git("config", key, value)
    (git / "info" / "attributes").write_text("* diff=x filter=x\n")
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (git / "hooks" / hook).write_bytes(command.read_bytes())
        (git / "hooks" / hook).chmod(0o755)
    subprocess.run(["git", "log", "-p", "-1"], cwd=repository.folder, check=False, capture_output=True, timeout=60)
    assert canary.exists(), "git itself runs a command"
    canary.unlink()

    assert contents(repository.folder) == [b"one\n", b"two\n"]
    assert not canary.exists()


def test_replaced_objects_are_not_read(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / "other").write_bytes(b"other")
    other = repository.git("hash-object", "-w", "other")
    repository.git("replace", repository.git("rev-parse", "HEAD:breweries.csv"), other)
    assert contents(repository.folder) == [b"one"]


def test_objects_of_another_repository_are_not_read(repository: Repository, tmp_path: Path) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.git("clone", "--quiet", "--shared", ".", str(tmp_path / "shared"))
    with pytest.raises(BrewhouseError, match=r"borrows objects of another one\. Run `git repack -a -d`"):
        list_versions([tmp_path / "shared"])


def test_a_shallow_clone_loads_only_the_versions_whose_date_it_knows(repository: Repository, tmp_path: Path) -> None:
    for year in (2020, 2021, 2022):
        repository.commit(f"{year}-01-01T00:00:00Z", content=str(year).encode())
    repository.git("clone", "--quiet", "--depth=2", f"file://{repository.folder}", str(tmp_path / "shallow"))
    oldest, newest = list_versions([tmp_path / "shallow"])
    assert newest.read() == b"2022"
    with pytest.raises(VersionRejectedError, match=r"shallow.*git fetch --unshallow"):
        oldest.read()


def test_a_repository_with_sha_256_names_is_supported(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "sha256", "--object-format=sha256")
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    repository.git("pack-refs", "--all")
    assert contents(repository.folder) == [b"one"]


def test_a_symbolic_link_and_a_submodule_are_rejected_as_what_they_are(repository: Repository) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (repository.folder / "breweries.csv").unlink()
    (repository.folder / "breweries.csv").symlink_to("/etc/passwd")
    head = repository.commit("2020-02-01T00:00:00Z")
    repository.git("rm", "--quiet", "breweries.csv")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{head},breweries.csv")
    repository.git("commit", "--quiet", "-m", "x", time="2020-03-01T00:00:00Z")
    file, link, submodule = list_versions([repository.folder])
    assert file.read() == b"one"
    with pytest.raises(VersionRejectedError, match="symbolic link"):
        link.read()
    with pytest.raises(VersionRejectedError, match="submodule"):
        submodule.read()


def test_sizes_are_bounded_before_anything_is_read(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        repository.commit(f"2020-0{number}-01T00:00:00Z", content=b"%d" % number * 1000)
    (tmp_path / "2019-01-01.csv").write_bytes(b"x" * 1000)
    monkeypatch.setattr(version_sources, "_MAX_VERSION_BYTES", 999)
    for version in list_versions([repository.folder, tmp_path / "2019-01-01.csv"]):
        with pytest.raises(VersionRejectedError, match="it is larger than 256 MB"):
            version.read()
    monkeypatch.setattr(version_sources, "_MAX_HISTORY_BYTES", 1999)
    with pytest.raises(BrewhouseError, match=r"add up to more than .* Pass the versions as files"):
        list_versions([repository.folder])
    monkeypatch.setattr(version_sources, "_MAX_OUTPUT_BYTES", 50)
    with pytest.raises(BrewhouseError, match="printed more than 50 bytes"):
        list_versions([repository.folder])


def test_git_is_killed_when_it_takes_too_long(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    (tmp_path / "git").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(version_sources, "_GIT_TIMEOUT_S", 0.1)
    with pytest.raises(BrewhouseError, match="git took more than"):
        list_versions([repository.folder])


@pytest.mark.parametrize("name", ["HEAD", "shallow", "packed-refs", "objects/info/alternates"])
def test_a_pipe_in_place_of_a_file_of_git_does_not_block(repository: Repository, name: str) -> None:
    repository.commit("2020-01-01T00:00:00Z", content=b"one")
    file = repository.folder / ".git" / name
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    if name in ("HEAD", "objects/info/alternates"):
        with pytest.raises(BrewhouseError):
            list_versions([repository.folder])
    else:
        assert contents(repository.folder) == [b"one"]


def test_a_pipe_in_place_of_a_csv_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "2020-01-01.csv")
    with pytest.raises(UsageError, match="is not a file"):
        list_versions([tmp_path / "2020-01-01.csv"])
