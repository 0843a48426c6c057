"""One incident from real log lines to a dossier that verifies, by commands alone, on both stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from soc.adapters.elastic.store import erase
from tests.adapters.smtp.server import running
from tests.e2e import corpus
from tests.e2e.walks import follow, mail_settings, missing
from tests.servers.fixtures import patient_store

PAGE = Path(__file__).with_name("chain.md")
POLICY = """
title: {vi: Máy trong mạng quét cổng, en: An inside host scans}
description: {vi: Máy trong mạng quét hoặc làm ngập., en: An inside host scans or floods.}
when: rule.id:%s
attach: {same: [policy], within: 24h}
limit: {most: 5, within: 1h}
then:
    open:
        title: {vi: "Máy trong mạng quét cổng: {key}", en: "An inside host scans: {key}"}
        severity: high
        class: malicious-code/infected-system
        playbook: malware
    assign: shift
    page: true
"""
RULE = "15255d7b-a871-4cc2-a514-4c3c35158374"


def _env(tmp_path: Path, store: str, elastic_url: Callable[[], str], prefix: str) -> dict[str, str]:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "scan.yml").write_text(POLICY % RULE, encoding="utf-8")
    lines = corpus.write(tmp_path / "lines")
    env = {
        "LINES": str(lines["fortinet_fortigate"]),
        "SOC_POLICIES__DIRECTORIES": f'["{policies}"]',
        "SOC_POLICIES__SHIPPED": "false",
        "SOC_ON_CALL__MINUTES": "0.05",
        "SOC_DATA_DIR": str(tmp_path / "data"),
    }
    if store == "elasticsearch":
        env |= {"SOC_STORE__KIND": "elasticsearch", "SOC_STORE__HOSTS": f'["{elastic_url()}"]', "SOC_STORE__PREFIX": prefix}
        env |= {"SOC_STORE__STALL_BUDGET_S": "240", "SOC_STORE__LOOK_UP_BUDGET_S": "240"}
    return env


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("store", ["embedded", "elasticsearch"])
def test_from_a_line_to_a_dossier(store: str, tmp_path: Path, request: pytest.FixtureRequest, unique_name: Callable[[str], str]) -> None:
    """Every command leaves what the page says; two are called, three letters go out, and each mail goes once."""
    prefix = unique_name("chain")
    env = _env(tmp_path, store, lambda: str(request.getfixturevalue("elastic_url")), prefix)
    if store == "elasticsearch":
        request.addfinalizer(lambda: erase(patient_store(str(request.getfixturevalue("elastic_url")), prefix)))
    with running() as server:
        for done in follow(PAGE, tmp_path / "walk", env | mail_settings(server)):
            assert done.code == done.step.code, (done.step.command, done.out)
            assert missing(done) is None, (missing(done), done.step.command, done.out)
        told = [str(mail["To"]) for mail in server.mails]
        assert len(server.ids) == len(server.mails)
        assert {"ucsc02@tinh-mau.gov.vn", "ucsc03@tinh-mau.gov.vn"} < set(told)
        assert sum("vanthu." in to for to in told) == 3
