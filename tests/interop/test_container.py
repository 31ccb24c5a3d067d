"""The Dockerfile, as far as it can be checked where no Docker runs: what it says, and what the binary needs of its base."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from broker import relay_binary

ROOT = Path(__file__).resolve().parents[2]
# What gcr.io/distroless/cc-debian12 holds beside certificates: glibc and libgcc.
# https://github.com/GoogleContainerTools/distroless/blob/main/cc/README.md
IN_THE_BASE = {"linux-vdso", "libc", "libm", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64", "libdl", "libpthread", "librt"}


def instructions() -> list[tuple[str, str]]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    written = [line for line in lines if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in written)]


def last_stage() -> list[tuple[str, str]]:
    said = instructions()
    begin = max(at for at, (word, _) in enumerate(said) if word == "FROM")
    return said[begin:]


def of(word: str) -> list[str]:
    return [rest for found, rest in last_stage() if found == word]


def test_it_runs_the_broker_without_a_shell_and_without_rights():
    assert json.loads(of("ENTRYPOINT")[0]) == ["/usr/local/bin/relay"]
    assert json.loads(of("CMD")[0]) == ["serve"]
    assert of("USER") == ["nonroot"]
    assert of("RUN") == []
    (data,) = [rest for rest in of("COPY") if rest.endswith("/data")]
    assert "--chown=nonroot:nonroot" in data and of("VOLUME") == ["/data"]


def test_it_sets_variables_that_serve_reads_and_exposes_the_port_that_it_listens_on():
    variables = dict(pair.split("=", 1) for rest in of("ENV") for pair in rest.split())
    said = subprocess.run([relay_binary(), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    for name in variables:
        assert f"[env: {name}=" in said, name
    assert of("EXPOSE") == [variables["RELAY_LISTEN"].rsplit(":", 1)[1]]


def test_it_builds_with_a_rust_that_is_new_enough():
    (image,) = [rest for word, rest in instructions() if word == "FROM" and rest.endswith(" AS build")]
    wanted = re.search(r'^rust-version = "(\d+)\.(\d+)"', (ROOT / "Cargo.toml").read_text(), re.M)
    found = re.match(r"rust:(\d+)\.(\d+)-slim-bookworm ", image)
    assert tuple(map(int, found.groups())) >= tuple(map(int, wanted.groups()))


def test_the_binary_needs_no_library_that_the_base_lacks():
    linked = subprocess.run(["ldd", relay_binary()], capture_output=True, text=True, check=True).stdout
    names = {re.split(r"\.so", Path(line.split()[0]).name)[0] for line in linked.splitlines() if line.strip()}
    assert "libc" in names and names <= IN_THE_BASE, linked
