"""Built for aarch64 by Debian's cross compiler with Debian's libraries for it; unit and golden tests under qemu-user."""
from systems.root import Root

DIRECTORY = "/src"
TOOLS = ("make", "pkgconf", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "python3", "python3-yaml", "postgresql", "iso-codes", "file")
LIBRARIES = ("libmicrohttpd-dev", "libgnutls28-dev", "libjansson-dev", "libpq-dev", "libsqlite3-dev", "zlib1g-dev", "libzstd-dev", "libcmocka-dev")
MAKE = ("make", "-j2", "CC=aarch64-linux-gnu-gcc", "AR=aarch64-linux-gnu-ar", "BUILD=build/arm64",
        "PKG_CONFIG=env PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig pkg-config")


def run(options):
    release = (options.release or ["trixie"])[0]
    root = Root(release, options.roots, "arm64").make(options.fresh)
    root.lay_sources(DIRECTORY)
    if not (root.tree / "installed").exists():
        conf = root.tree / "etc/postgresql-common/createcluster.conf"
        conf.parent.mkdir(parents=True, exist_ok=True)
        conf.write_text("create_main_cluster = false\n")
        root.run("dpkg", "--add-architecture", "arm64")
        root.install(*TOOLS, "qemu-user" if release == "trixie" else "qemu-user-static", *(f"{name}:arm64" for name in LIBRARIES))
        (root.tree / "installed").touch()
    code = root.shown(*MAKE, "build", "tests", directory=DIRECTORY)
    if code:
        return code
    print(root.run("file", "-b", "build/arm64/ferrod", directory=DIRECTORY).strip(), flush=True)
    emulator = "qemu-aarch64" if release == "trixie" else "qemu-aarch64-static"
    version = root.run(emulator, "build/arm64/ferrod", "--version", directory=DIRECTORY)
    assert "ferrod" in version, version
    return root.shown("/usr/bin/python3", "-B", "tests/support/run_tests.py", "--build", "build/arm64", "--under", emulator,
                      *(options.rest or ["unit", "golden"]), directory=DIRECTORY)
