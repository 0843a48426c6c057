"""What a shell offers while one types, asked as the scripts of `soc completion` ask."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soc.clock import SystemClock, to_datetime

ROOT = Path(__file__).parents[2]
Offers = Callable[[str], dict[str, str]]


def asked(words: str, folder: Path, shell: str = "fish", **env: str) -> str:
    """What the program answers a shell."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SOC_", "XDG_", "LC_", "LANG"))}
    given = {**clean, "HOME": str(folder), "PYTHONPATH": str(ROOT), "_SOC_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, **env}
    done = subprocess.run([sys.executable, "-m", "soc"], cwd=folder, env=given, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a demonstration's store in `d`, the sample registry and an incident in it."""
    place = tmp_path_factory.mktemp("completing")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(place)}
    for words in (
        ["demo", "--folder", "d"],
        ["agencies", "sample", "registry"],
        ["agencies", "import", "registry/agencies.csv", "--yes", "--store", "d"],
        ["incidents", "new", "Máy chủ \x1b[31mgọi ra\nngoài", "--store", "d"],
        ["incidents", "task", "1", "Lấy nhật ký", "--store", "d"],
    ):
        subprocess.run([sys.executable, "-m", "soc", *words], cwd=place, env=env, capture_output=True, check=True)
    return place


@pytest.fixture
def offers(folder: Path) -> Offers:
    """Value → meaning of what is offered after `soc …`."""

    def ask(words: str) -> dict[str, str]:
        lines = [line for line in asked(f"soc {words}", folder, SOC_LANG="en").splitlines() if line]
        return {value: told for line in lines for value, _tab, told in [line.partition(",")[2].partition("\t")]}

    return ask


@pytest.mark.parametrize(
    ("typed", "wanted", "told"),
    [
        ("rules show net_firewall_b", "net_firewall_botnet_c2", "Inside host contacts a botnet server"),
        ("alerts list --rule net_firewall_silent", "net_firewall_silent", "Firewall is silent"),
        ("incidents show --store d INC-", "INC-YEAR-0001", "Máy chủ \\x1b[31mgọi ra ngoài"),
        ("incidents show --store d 1", "1", "INC-YEAR-0001 Máy chủ \\x1b[31mgọi ra ngoài"),
        ("incidents task-done --store d 1 t", "t1", "Lấy nhật ký"),
        ("incidents new x --store d --agency 'so y t", "so-yt", "Sở Y tế"),
        ("incidents new x --rsit malicious-code/inf", "malicious-code/infected-system", "mã độc"),
        ("events search --store d 'level:high and source.i", "level:high and source.ip:", ""),
        ("events search -- '-soc.threat.level:cri", "-soc.threat.level:critical", ""),
        ("events search --store d --fields @timestamp,source.i", "@timestamp,source.ip", ""),
        ("events stats --facet soc.mail.v", "soc.mail.verdict", ""),
        ("reclassify x --level cr", "critical", "CRITICAL"),
        ("alerts list --level=hi", "--level=high", ""),
        ("alerts list --sto", "--store", "Use the embedded store in this folder."),
        ("parse --product fort", "fortinet_fortigate", ""),
        ("policies show account", "account-taken-over", ""),
        ("playbooks show ransom", "ransomware", "Ransomware"),
        ("events search --tz Asia/Ho_", "Asia/Ho_Chi_Minh", ""),
        ("help exit", "exit-codes", ""),
        ("rules sha", "shadow", "Make a rule a shadow"),
    ],
)
def test_values_are_offered(offers: Offers, typed: str, wanted: str, told: str) -> None:
    """With what they mean, on one line that steers no terminal."""
    year = str(to_datetime(SystemClock().now_us() + 7 * 3_600_000_000).year)  # where the users are
    wanted, told, found = wanted.replace("YEAR", year), told.replace("YEAR", year), offers(typed)
    assert wanted in found, found
    if told:
        assert found[wanted].startswith(told[:60].rstrip()), found[wanted]


def test_alert_groups_are_offered_with_their_level(offers: Offers) -> None:
    """So that one need not list them first."""
    found = offers("alerts why --store d g-")
    assert len(found) == 16
    assert all(value.startswith("g-") for value in found)
    assert "◆ CRITICAL Inside host contacts a botnet server" in found.values()


def test_nothing_is_made_where_there_is_no_store(folder: Path, offers: Offers) -> None:
    """Pressing Tab changes nothing, and says no error in the middle of a line."""
    assert offers("incidents show --store nowhere ") == {}
    assert offers("incidents new x --store nowhere --agency s") == {}
    assert not (folder / "nowhere").exists()
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "journal.db").write_bytes(b"no database at all" * 100)
    assert offers("incidents show --store broken ") == {}
