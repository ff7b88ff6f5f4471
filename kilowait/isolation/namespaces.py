"""A process's own view of the machine: what it sees of the file system, of other processes, of the network."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from kilowait.isolation.kernel import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    MNT_DETACH,
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    NODEV,
    NOSUID,
    RDONLY,
    call,
    set_mount_flags,
)

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/sbin")
DEVICES = ("null", "zero", "full", "urandom", "random")
INODES = 20000


def separate(*, network: bool) -> None:
    """New namespaces for this process and its children: as root at once, else with a user namespace of its own.

    `network` True leaves it the machine's network. Raises OSError where the kernel refuses.
    """
    kinds = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (0 if network else CLONE_NEWNET)
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        with suppress(PermissionError):
            call("unshare", kinds)
            return
    call("unshare", kinds | CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


class NewRoot:
    """A new / that is built on an empty folder and then entered; nothing is in it but what is put there."""

    def __init__(self, folder: Path) -> None:
        call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        os.umask(0o022)  # whoever is inside must be able to pass the folders on the way to what is shown
        self.folder = folder
        self._covers: list[Path] = []
        self._shown: list[tuple[Path, str]] = []
        self.memory("/", 1 << 20, "0755")

    def show(self, path: Path, *, at: str | None = None, writable: bool = False) -> None:
        """Show a file or folder under its own name, or another; what is mounted below it comes along."""
        name = at or str(path)
        self._shown.append((path.resolve(), name))
        target = self._place(name)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif not target.exists():
            target.touch()
        call("mount", bytes(path), bytes(target), None, MS_BIND | MS_REC, None)
        if not writable:
            _read_only(target)

    def system(self) -> None:
        """Programs and libraries of the machine, and the devices that hold nothing."""
        for name in SYSTEM:
            if Path(name).is_symlink():
                self.link(name, os.readlink(name))
            elif Path(name).is_dir():
                self.show(Path(name))
        for name in DEVICES:
            self.show(Path("/dev") / name, writable=True)

    def cover(self, name: str) -> None:
        """Show nothing where something would be seen, under whatever name it is shown: an empty folder, or an empty
        file that cannot be written.

        Not covered: another mount or hard link of the same files on the machine itself.
        """
        for target in sorted({self.folder / seen[1:] for seen in (name, *self._names_of(Path(name).resolve()))}):
            if target.exists():
                self._cover(target)

    def _names_of(self, path: Path) -> list[str]:
        """Names by which a path of the machine is seen inside, links on the way to it followed."""
        names = [at for source, at in self._shown if path in source.parents and not source.is_dir()]  # a file of it
        within = [(source, at) for source, at in self._shown if source == path or source in path.parents]
        return [*names, *(os.path.normpath(os.path.join(at, path.relative_to(source))) for source, at in within)]

    def _cover(self, target: Path) -> None:
        if target.is_dir():
            call("mount", b"tmpfs", bytes(target), b"tmpfs", MS_NOSUID | MS_NODEV, b"size=65536,mode=0555")
            self._covers.append(target)
        else:
            call("mount", b"/dev/null", bytes(target), None, MS_BIND, None)

    def write(self, name: str, text: str) -> None:
        """A small file of the new root's own."""
        self._place(name).write_text(text)

    def link(self, name: str, to: str) -> None:
        """A symbolic link."""
        self._place(name).symlink_to(to)

    def memory(self, name: str, size: int, mode: str) -> None:
        """A folder in memory that holds at most `size` bytes."""
        target = self._place(name)
        target.mkdir(exist_ok=True)
        options = f"size={size},mode={mode},nr_inodes={INODES}".encode()
        call("mount", b"tmpfs", bytes(target), b"tmpfs", MS_NOSUID | MS_NODEV, options)

    def processes(self, *, read_only: bool) -> None:
        """/proc with the processes of this namespace alone; raises OSError where a container forbids it."""
        target = self._place("/proc")
        target.mkdir(exist_ok=True)
        flags = MS_NOSUID | MS_NODEV | (MS_RDONLY if read_only else 0)
        call("mount", b"proc", bytes(target), b"proc", flags, None)

    def enter(self, working_folder: str) -> None:
        """Make it the only / there is, read-only where nothing was mounted."""
        for cover in self._covers:
            _read_only(cover, whole=False)
        (self.folder / "old").mkdir()
        os.chdir(self.folder)
        call("pivot_root", b".", b"old")
        os.chdir("/")
        call("umount2", b"/old", MNT_DETACH)
        call("mount", None, b"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, None)
        os.chdir(working_folder)

    def has(self, name: str) -> bool:
        """Whether something is there already."""
        return (self.folder / name[1:]).exists()

    def _place(self, name: str) -> Path:
        target = self.folder / name[1:] if len(name) > 1 else self.folder
        target.parent.mkdir(parents=True, exist_ok=True)
        return target


def outermost(paths: set[Path]) -> list[Path]:
    """Those folders among the paths that lie in no other of them nor in the machine's own, sorted."""
    found = sorted(path for path in paths if path.is_dir())
    inside = [path for path in found if not any(other != path and other in path.parents for other in found)]
    return [path for path in inside if not any(f"{path}/".startswith(f"{name}/") for name in SYSTEM)]


def _read_only(target: Path, *, whole: bool = True) -> None:
    """Also what is mounted below it, where the kernel can (5.12 and later), unless not the `whole` is meant."""
    try:
        set_mount_flags(target, RDONLY | NOSUID | NODEV, recursive=whole)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        call("mount", None, bytes(target), None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, None)
