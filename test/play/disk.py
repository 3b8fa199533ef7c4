"""disk.py - a disk of our own: a real file system that can be filled up, or lose its power in the middle of everything.

A disk is a file with a file system in it, mounted through a loop device. cut() is what a power cut does to it: from that
moment nothing more arrives, and whatever was not synced is gone, as the file system's own journal is not flushed either
(EXT4_IOC_SHUTDOWN with NOLOGFLUSH). Only root may have one; everybody else gets Skip.
"""
import fcntl
import os
import shutil
import struct
import subprocess

from scenario import Skip, wait_until

EXT4_IOC_SHUTDOWN = 0x8004587D          # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


def run(*words):
    """Answers what it said when it failed, or None."""
    done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace").strip() if done.returncode != 0 else None


class Disk:
    """`size` bytes of `kind` (ext4 or tmpfs), mounted at `point` while the with-block lasts."""

    def __init__(self, folder, size, kind="ext4", options="", make=()):
        self.point, self.image = os.path.join(folder, "disk"), os.path.join(folder, "disk.img")
        self.kind, self.size, self.options = kind, size, options
        if os.geteuid() != 0:
            raise Skip("only root may mount a file system")
        os.makedirs(self.point)
        if kind == "ext4":
            with open(self.image, "wb") as f:
                f.truncate(size)
            trouble = run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", *make, self.image) \
                if shutil.which("mkfs.ext4") else "no mkfs.ext4"
            if trouble:
                raise Skip(f"cannot make a file system: {trouble}")
        self.mount(first=True)

    def mount(self, first=False):
        options = ",".join(filter(None, [self.options, f"size={self.size}" if self.kind == "tmpfs" else "loop"]))
        trouble = run("mount", "-t", self.kind, "-o", options, "neap-test" if self.kind == "tmpfs" else self.image, self.point)
        if trouble and first:
            raise Skip(f"cannot mount a file system: {trouble}")
        if trouble:
            raise OSError(f"cannot mount it again: {trouble}")

    def path(self, *names):
        return os.path.join(self.point, *names)

    def cut(self):
        """The power is gone. Whoever still runs gets errors, until killed."""
        at = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(at, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(at)

    def come_back(self):
        """Everybody who had it open has been killed; now it is as after a power cut."""
        wait_until(lambda: run("umount", self.point) is None, 10, "the end of all who use the disk")
        self.mount()

    def copy(self, to):
        """What is left of a test that went wrong."""
        shutil.copytree(self.point, to, ignore=shutil.ignore_patterns("*.sock", "lost+found"))

    def fill(self, leave=0):
        """A neighbour's file takes all that is free but `leave` bytes."""
        with open(self.path("balloon"), "ab") as f:
            for step in (1 << 20, 65536, 4096):
                try:
                    while os.statvfs(self.point).f_bavail * os.statvfs(self.point).f_frsize >= leave + step:
                        f.write(b"\0" * step)
                        f.flush()
                except OSError:
                    pass

    def make_room(self):
        """The neighbour deletes its file."""
        os.unlink(self.path("balloon"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        run("umount", "-l", self.point)
        if os.path.exists(self.image):
            os.unlink(self.image)
