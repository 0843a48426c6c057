"""A province with a registered system, and an incident on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from soc.application import incidents
from soc.application.app import Actor, App
from soc.bootstrap import open_app
from soc.clock import FrozenClock, iso
from soc.config import ReportsSettings, Settings, StoreSettings
from soc.organization.registry import Registry, record
from soc.organization.table import Row
from tests.conftest import NOW_US

HOUR = 3_600_000_000
ROWS: dict[str, list[dict[str, str]]] = {
    "agencies": [
        {"id": "tinh", "name": "Ủy ban nhân dân tỉnh Mẫu", "level": "province"},
        {
            "id": "so-khcn",
            "name": "Sở Khoa học và Công nghệ",
            "level": "department",
            "parent": "tinh",
            "address": "Số 1, đường Hùng Vương, phường Tân Phú",
            "phone": "0271 3888 999",
            "email": "so-khcn@tinh-mau.gov.vn",
        },
        {"id": "so-yt", "name": "Sở Y tế", "level": "department", "parent": "tinh"},
    ],
    "people": [
        {
            "id": "hoa",
            "name": "Nguyễn Thị Hòa",
            "agency": "so-khcn",
            "title": "Trưởng phòng An ninh mạng",
            "phone": "0912 345 678",
            "email": "hoa@tinh-mau.gov.vn",
        }
    ],
    "systems": [
        {
            "id": "his",
            "name": "Hệ thống quản lý bệnh viện",
            "owner": "so-yt",
            "operator": "so-yt",
            "level": "3",
            "dossier": "approved",
            "decision": "45/QĐ-SYT",
            "decision_date": "2026-02-10",
            "operating_system": "Windows Server 2022; Ubuntu 24.04",
            "services": "web;cơ sở dữ liệu",
            "public_addresses": "203.0.113.10",
            "domains": "his.tinh-mau.gov.vn",
            "protection": "tường lửa; phòng chống mã độc tập trung; sao lưu hằng ngày",
            "hosting_provider": "Trung tâm dữ liệu tỉnh",
            "line_provider": "VNPT",
            "note": "Quản lý khám chữa bệnh của 12 cơ sở y tế",
        }
    ],
}
OFFICE = ReportsSettings(
    agency="so-khcn",
    place="Tân Phú",
    sign="SKHCN",
    copies=["UBND tỉnh (để b/c)", "Sở Y tế"],
    signer_title="Giám đốc",
    signer_name="Trần Văn Bình",
)


def registered(app: App) -> None:
    """Import the rows."""
    for kind, rows in ROWS.items():
        record(app.journal, Registry(app.journal).plan(kind, [Row(number, row) for number, row in enumerate(rows, 2)]), actor="an")


def application(folder: Path, **more: Any) -> App:
    """An application in memory with the registry, evidence in `folder`."""
    settings = Settings(store=StoreSettings(kind="memory"), data_dir=folder, reports=OFFICE, **more)
    app = open_app(settings, Actor("an"), clock=FrozenClock(NOW_US))
    registered(app)
    return app


@pytest.fixture
def app(tmp_path: Path) -> App:
    """The application."""
    return application(tmp_path / "data")


Opened = Callable[..., str]


@pytest.fixture
def opened(app: App) -> Opened:
    """Open an incident on the registered system with a description and no more; its id."""

    def made(**more: Any) -> str:
        fields = {
            "title": "Mã hóa dữ liệu máy chủ bệnh viện",
            "summary": "Lúc 22 giờ kỹ thuật viên trực phát hiện tệp trên máy chủ HIS bị đổi đuôi, có thư đòi tiền chuộc. Dịch vụ khám chữa bệnh gián đoạn.",
            "systems": ["his"],
            "agencies": ["so-yt"],
            "rsit": "malicious-code/infected-system",
            "detected_at": iso(NOW_US - 2 * HOUR),
            "detected_by": "kỹ thuật viên trực",
            "channel": "telephone",
        }
        return incidents.open_incident(app, {**fields, **more}).id

    return made
