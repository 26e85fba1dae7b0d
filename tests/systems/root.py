"""Debian roots made by debootstrap, and programs run in them: a scratch machine of another release, without a virtual one.

What debootstrap made is kept as it came (RELEASE.tar) beside the downloaded packages, so that a second run loads nothing; the root
itself is unpacked from it. Mirror and proxy are those of this machine's apt. Wants root.
"""
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
MIRROR = "http://deb.debian.org/debian"
# its own mounts and processes: whatever is started in it ends with it, and the first process buries the orphans
SCRIPT = """
mount --make-rprivate / && mount --rbind /dev "$ROOT/dev" && mount -t proc proc "$ROOT/proc" && mount -t tmpfs tmpfs "$ROOT/dev/shm" &&
mount --bind "$ARCHIVES" "$ROOT/var/cache/apt/archives" || exit 125
chroot "$ROOT" "$@"
exit $?
"""


def output(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}"
    return done.stdout


def mirror(release):
    """Of this machine's apt when it has the release, else Debian's."""
    rows = output("apt-get", "indextargets", "--format", "$(CODENAME) $(CREATED_BY) $(REPO_URI)").splitlines()
    found = [row.split()[2] for row in rows if row.startswith(f"{release} Packages ")]
    same = [row.split()[2] for row in rows if " Packages " in row and row.rstrip("/").endswith("/debian")]
    return (found + same + [MIRROR])[0]


def apt_settings():
    """This machine's apt settings of how to reach a mirror."""
    wanted = ("http", "https", "Check-Valid-Until", "Check-Date")
    return "".join(f"{line}\n" for line in output("apt-config", "dump").splitlines()
                   if line.startswith("Acquire::") and line.split("::")[1].split(" ")[0] in wanted)


def unpack(release, store, tree):
    """What debootstrap makes of a release, laid in `tree`; made once, and kept in `store`."""
    kept = store / f"{release}.tar"
    with open(store / f"{release}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of those beside each other makes it
        if not kept.exists():
            made = store / f"{release}-made"
            shutil.rmtree(made, ignore_errors=True)
            output("debootstrap", "--variant=minbase", release, made, mirror(release))
            output("tar", "-cf", f"{kept}.new", "-C", made, "--numeric-owner", "--xattrs", ".")
            pathlib.Path(f"{kept}.new").rename(kept)
            shutil.rmtree(made)
    tree.mkdir(exist_ok=True)
    tree.chmod(0o755)
    output("tar", "-xf", kept, "-C", tree, "--numeric-owner", "--xattrs")


class Root:
    """A root in `store`, and programs in it."""

    def __init__(self, release, store, name):
        self.release, self.store = release, pathlib.Path(store).resolve()
        self.tree = self.store / f"{release}-{name}"
        self.archives = self.store / f"{release}-{name}-archives"  # its own: apt locks it, and targets run beside each other

    def make(self, fresh):
        """The root, new or (not `fresh`) as an earlier run has left it."""
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        if fresh:
            self.remove()
        if not (self.tree / "made").exists():
            unpack(self.release, self.store, self.tree)
            (self.tree / "made").touch()
        (self.tree / "etc/apt/apt.conf.d/90host").write_text(apt_settings() + 'Binary::apt::APT::Keep-Downloaded-Packages "true";\n')
        shutil.copy("/etc/resolv.conf", self.tree / "etc/resolv.conf")
        (self.tree / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        return self

    def remove(self):
        assert not any(f" {self.tree}/" in line for line in open("/proc/self/mounts", encoding="utf-8")), f"something is mounted in {self.tree}"
        shutil.rmtree(self.tree, ignore_errors=True)

    def command(self, *arguments, directory="/", user=None, env=None):
        inside = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": f"/home/{user}" if user else "/root",
                  "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "USER": user or "root", **(env or {})}
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child",
                "env", f"ROOT={self.tree}", f"ARCHIVES={self.archives}", "sh", "-c", SCRIPT, "sh",
                *who, "env", "-i", "-C", directory, *(f"{key}={value}" for key, value in inside.items()), *(str(part) for part in arguments)]

    def run(self, *arguments, seconds=1800, check=True, **how):
        """Runs a program in the root; its whole output."""
        done = subprocess.run(self.command(*arguments, **how), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=seconds, check=False, stdin=subprocess.DEVNULL)
        assert not check or done.returncode == 0, f"{' '.join(map(str, arguments))} ended with {done.returncode} on {self.release}:\n{done.stdout[-6000:]}"
        return done.stdout

    def shown(self, *arguments, **how):
        """Runs a program whose output goes where this one's goes; its exit code."""
        return subprocess.call(self.command(*arguments, **how), stdin=subprocess.DEVNULL)

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(60)

    def install(self, *packages):
        self.run("apt-get", "update", "-q")
        self.run("apt-get", "install", "-y", "-q", "--no-install-recommends", *packages)

    def lay_sources(self, directory):
        """The working tree, what is new in it too, without what git ignores; what has not changed keeps its time."""
        names = output("git", "-C", REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        target = self.tree / directory.lstrip("/")
        wanted = {name for name in names if name and (REPOSITORY / name).is_file()}
        for old in [path for path in target.rglob("*") if path.is_file() and path.relative_to(target).parts[0] != "build"]:
            if str(old.relative_to(target)) not in wanted:
                old.unlink()
        for name in wanted:
            source, copy = REPOSITORY / name, target / name
            if not copy.is_file() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, copy)
            copy.chmod(source.stat().st_mode & 0o777)

    def lay_repository(self, directory):
        """What has been committed, as a repository to clone from."""
        target = self.tree / directory.lstrip("/")
        shutil.rmtree(target, ignore_errors=True)
        output("git", "clone", "--quiet", "--bare", "--no-hardlinks", REPOSITORY, target)
        for path in (target, *target.rglob("*")):
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def wants_root(target):
    if os.getuid() != 0:
        raise SystemExit(f"{target}: wants root (debootstrap, chroot)")
