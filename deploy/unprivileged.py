"""PostgreSQL refuses to run as root: as whom it runs then, and where that account can reach the data and the programs.

No right is ever changed outside the data folder. When the account cannot reach it (a clone under `/root`), a folder under
`/var/tmp` takes its place.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CANDIDATES = ("labo", "postgres", "nobody")
"""Accounts that may run the server, best first; when a system has none of them, `labo` is created."""


class SetupError(RuntimeError):
    """The machine does not allow what was asked; the message is one sentence for the person who started it."""


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server's data and programs are, as whom it runs (`None`: as whoever asks), and what to tell about it."""

    folder: Path
    programs: Path
    account: Account | None = None
    notice: str | None = None


def place(wanted: Path, programs: Path) -> Place:
    """The wanted folder and the wheel's programs when they can be reached, a temporary root otherwise."""
    wanted = wanted.absolute()
    if os.geteuid() != 0:
        _folder(wanted)
        return Place(wanted, programs)
    account = _account()
    _folder(wanted)
    if _reaches(account, wanted, programs):
        return Place(wanted, programs, account)
    root = _temporary_root(wanted)
    folder = root / "data"
    _folder(folder)
    reachable = programs if _reaches(account, folder, programs) else _copied(programs, root)
    if not _reaches(account, folder, reachable):
        raise SetupError(f"{account.name}, which runs PostgreSQL when Lab-O is started as root, can reach neither {wanted} nor {folder}")
    notice = f"PostgreSQL runs as {account.name}, which cannot reach {wanted}: its data is under {folder} instead."
    return Place(folder, reachable, account, notice)


def _account() -> Account:
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    try:
        create = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "labo"]
        subprocess.run(create, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as failed:
        message = "PostgreSQL refuses to run as root and no account could be created for it: start Lab-O as an ordinary user"
        raise SetupError(message) from failed
    entry = pwd.getpwnam("labo")
    return Account("labo", entry.pw_uid, entry.pw_gid)


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as failed:
        raise SetupError(f"the data folder {path} cannot be created: {failed.strerror}") from failed


def _reaches(account: Account, folder: Path, programs: Path) -> bool:
    """Tried rather than computed: access lists and mount options count too."""
    attempt = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(folder), str(programs / "postgres")],
        user=account.uid, group=account.gid, extra_groups=[], cwd="/", capture_output=True, check=False,
    )  # fmt: skip
    return attempt.returncode == 0


def _temporary_root(wanted: Path) -> Path:
    """The same folder at each start, so that data is kept; refused when somebody else made it first."""
    root = Path("/var/tmp") / f"labo-{hashlib.sha256(str(wanted).encode()).hexdigest()[:12]}"  # noqa: S108 - its owner is checked below
    if not root.parent.is_dir():
        root = Path(tempfile.gettempdir()) / root.name
    root.mkdir(mode=0o711, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SetupError(f"{root} belongs to somebody else: remove it, or start Lab-O from a folder that other accounts can reach")
    root.chmod(0o711)
    return root


def _copied(programs: Path, root: Path) -> Path:
    """A copy of the wheel's programs with the libraries they look for two folders up."""
    package = programs.parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):
        if not (root / source.name).exists():
            partial = root / f"{source.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial, symlinks=True)
            partial.rename(root / source.name)
    return root / package.name / programs.relative_to(package)
