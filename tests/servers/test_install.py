"""What a fresh machine lacks is installed, or its tests are skipped and say why."""

import os
from pathlib import Path

import pytest

from tests.servers import install

APT = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
update) touch "$here/lists" ;;
install)
    [ -e "$here/lists" ] || { echo "E: Unable to locate package" >&2; exit 100; }
    [ "$4" = gone ] && { echo "E: Package gone has no candidate" >&2; exit 100; }
    printf '#!/bin/sh\\n' > "$here/the-server" && chmod +x "$here/the-server" ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a package manager and no list of packages, and nothing of ours."""
    programs = tmp_path / "bin"
    programs.mkdir()
    apt = programs / "apt-get"
    apt.write_text(APT)
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr(install, "HOME", tmp_path / "servers")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    return programs


def test_a_server_is_installed_on_a_machine_that_has_no_list_of_packages_yet(machine: Path) -> None:
    found = install.debian_command.__wrapped__("the-server", "the-package")

    assert found == machine / "the-server"


def test_what_cannot_be_installed_skips_its_tests_with_the_reason(machine: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="apt-get gone failed: E: Package gone has no"):
        install.debian_command.__wrapped__("another-server", "gone")


def test_who_may_not_install_is_told_what_to_install(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)

    with pytest.raises(pytest.skip.Exception, match="as root, apt-get install the-package"):
        install.debian_command.__wrapped__("the-server", "the-package")
