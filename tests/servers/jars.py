"""The servers' jars: fetched by Maven once, kept outside the repository, run on the newest JDK of 21 or later.

The cache is `$XDG_CACHE_HOME/soc-test-servers/<name>-<version>-<hash>`; a folder there is always complete, as it is filled
under another name and renamed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from pathlib import Path

HERE = Path(__file__).parent
KAFKA_VERSION = "4.1.0"
ELASTIC_VERSION = "9.2.0"
OLDEST_JAVA = 21
"""Elasticsearch 9 needs it; Kafka 4 would do with 17."""
FETCH_TIMEOUT_S = 600

_PLUGIN = f"""description=HTTP and transport by netty
version={ELASTIC_VERSION}
name=transport-netty4
classname=org.elasticsearch.transport.netty4.Netty4Plugin
java.version={OLDEST_JAVA}
elasticsearch.version={ELASTIC_VERSION}
extended.plugins=
has.native.controller=false
"""


class Unavailable(Exception):
    """Why real servers cannot be started here; the text is the reason of the skip."""


@cache
def find_jdk() -> Path:
    """The home of the newest JDK (with a compiler) of at least `OLDEST_JAVA`.

    Raises: Unavailable.
    """
    homes = [Path(home) for home in [os.environ.get("JAVA_HOME", "")] if home]
    for pattern in ("/usr/lib/jvm/*", "/opt/java/*", "/Library/Java/JavaVirtualMachines/*/Contents/Home"):
        homes += sorted(Path("/").glob(pattern[1:]))
    if on_path := shutil.which("java"):
        homes.append(Path(on_path).resolve().parent.parent)
    found = {home.resolve(): _java_version(home) for home in homes if (home / "bin" / "javac").exists()}
    usable = {home: version for home, version in found.items() if version >= OLDEST_JAVA}
    if not usable:
        raise Unavailable(f"no container engine, and no JDK of version {OLDEST_JAVA} or newer (found: {sorted(set(found.values())) or 'none'})")
    return max(usable, key=lambda home: usable[home])


def _java_version(home: Path) -> int:
    try:
        release = (home / "release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    found = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(found[1]) if found else 0


def kafka_jars() -> Path:
    """The folder with the jars of Kafka.

    Raises: Unavailable.
    """
    return _cached("kafka", KAFKA_VERSION, [HERE / "kafka" / "pom.xml"], lambda folder: _fetch(HERE / "kafka" / "pom.xml", folder))


def elastic_jars() -> Path:
    """A folder with `core` (jars), `modules` (the netty transport) and `launcher` (compiled).

    Raises: Unavailable.
    """
    sources = [HERE / "elasticsearch" / "pom.xml", HERE / "elasticsearch" / "Launcher.java"]
    return _cached("elasticsearch", ELASTIC_VERSION, sources, _build_elastic)


def _build_elastic(folder: Path) -> None:
    core, module, launcher = folder / "core", folder / "modules" / "transport-netty4", folder / "launcher"
    _fetch(HERE / "elasticsearch" / "pom.xml", core)
    module.mkdir(parents=True)
    for jar in sorted(core.glob("*.jar")):
        if jar.name.startswith(("netty-", "transport-netty4")):
            jar.rename(module / jar.name)
    (module / "plugin-descriptor.properties").write_text(_PLUGIN, encoding="utf-8")
    command = [str(find_jdk() / "bin" / "javac"), "-cp", f"{core}/*", "-d", str(launcher), str(HERE / "elasticsearch" / "Launcher.java")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"the Elasticsearch launcher does not compile:\n{done.stderr}")


def _fetch(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise Unavailable("no container engine, and no Maven (mvn) to fetch the servers' jars with")
    command = [maven, "-q", "-B", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_TIMEOUT_S, cwd=folder.parent)
    if done.returncode or not list(folder.glob("*.jar")):
        raise Unavailable(f"Maven could not fetch the jars of {pom.parent.name}: {(done.stdout + done.stderr).strip()[-600:]}")


def _cached(name: str, version: str, sources: list[Path], build: Callable[[Path], None]) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "soc-test-servers"
    root.mkdir(parents=True, exist_ok=True)
    key = blake2b(b"\0".join(source.read_bytes() for source in sources), digest_size=4).hexdigest()
    final = root / f"{name}-{version}-{key}"
    if final.is_dir():
        return final
    with locked(root / f"{final.name}.lock"):
        if not final.is_dir():
            partial = root / f"{final.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            build(partial)
            partial.rename(final)
    return final


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While the block runs nobody else on this machine holds the lock of `path`."""
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
