"""Writes the sample province, soc/organization/sample/*.csv: 152 network points, 8,023 mailboxes, no real person or place.

`python -m scripts.make_sample_province`; the same files every time.
"""

from __future__ import annotations

import csv
import unicodedata
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parents[1] / "soc/organization/sample"
DOMAIN = "tinh-mau.gov.vn"
MAILBOXES = 8_023
REFORM = "2025-07-01"
LAST_DAY = "2025-06-30"
UNITS = (
    ("vpubnd", "Văn phòng Ủy ban nhân dân tỉnh"),
    ("vphdnd", "Văn phòng Đoàn đại biểu Quốc hội và Hội đồng nhân dân tỉnh"),
    ("so-khcn", "Sở Khoa học và Công nghệ"),
    ("so-nv", "Sở Nội vụ"),
    ("so-tc", "Sở Tài chính"),
    ("so-xd", "Sở Xây dựng"),
    ("so-nnmt", "Sở Nông nghiệp và Môi trường"),
    ("so-ct", "Sở Công Thương"),
    ("so-gddt", "Sở Giáo dục và Đào tạo"),
    ("so-yt", "Sở Y tế"),
    ("so-tp", "Sở Tư pháp"),
    ("so-vhttdl", "Sở Văn hóa, Thể thao và Du lịch"),
    ("so-dtg", "Sở Dân tộc và Tôn giáo"),
    ("so-ngv", "Sở Ngoại vụ"),
    ("thanh-tra", "Thanh tra tỉnh"),
    ("bql-kcn", "Ban Quản lý các khu công nghiệp"),
    ("bql-da", "Ban Quản lý dự án đầu tư xây dựng"),
    ("tt-hcc", "Trung tâm Phục vụ hành chính công"),
    ("tt-cntt", "Trung tâm Công nghệ thông tin và Truyền thông"),
    ("tt-ytdp", "Trung tâm Kiểm soát bệnh tật"),
    ("bv-dk", "Bệnh viện Đa khoa tỉnh"),
    ("truong-cd", "Trường Cao đẳng tỉnh"),
    ("dai-ptth", "Báo và Phát thanh, Truyền hình tỉnh"),
    ("quy-dtpt", "Quỹ Đầu tư phát triển"),
    ("vp-dkdd", "Văn phòng Đăng ký đất đai"),
    ("chi-cuc-kl", "Chi cục Kiểm lâm"),
    ("chi-cuc-tl", "Chi cục Thủy lợi"),
    ("lien-minh-htx", "Liên minh Hợp tác xã"),
)
PARTY = (("vp-tinh-uy", "Văn phòng Tỉnh ủy"), ("ban-tgdv", "Ban Tuyên giáo và Dân vận Tỉnh ủy"))
DISTRICTS = ("An Bình", "Bình Long", "Chơn Thành", "Đồng Phú", "Hớn Quản", "Lộc Ninh", "Phú Riềng", "Phước Long", "Bù Đăng", "Bù Đốp", "Đồng Xoài")
FIRST = ("Tân", "Phú", "Long", "Bình", "An", "Lộc", "Thanh", "Hưng", "Minh", "Đức", "Thuận")
SECOND = ("Hòa", "Thành", "Phước", "Lợi", "Tiến", "Khai", "Lập", "Hà", "Tâm", "Thịnh", "Quan")
FAMILY = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Huỳnh", "Phan", "Vũ", "Võ", "Đặng", "Bùi", "Đỗ", "Hồ", "Ngô", "Dương", "Lý", "Điểu", "Thị")
MIDDLE = ("Văn", "Thị", "Minh", "Ngọc", "Thanh", "Quốc", "Hữu", "Thu", "Xuân", "Đức")
GIVEN = (
    "An",
    "Bình",
    "Châu",
    "Dũng",
    "Đạt",
    "Giang",
    "Hà",
    "Hải",
    "Hạnh",
    "Hiếu",
    "Hòa",
    "Hùng",
    "Hương",
    "Khánh",
    "Lan",
    "Linh",
    "Long",
    "Mai",
    "Nam",
    "Nga",
    "Phúc",
    "Quân",
    "Sơn",
    "Tâm",
    "Thảo",
    "Trang",
    "Tú",
    "Vinh",
    "Yến",
)


def slug(text: str) -> str:
    """A name without accents, in small letters, with hyphens."""
    plain = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "-".join("".join(character for character in plain if not unicodedata.combining(character)).split())


def agencies() -> list[dict[str, str]]:
    """The tree: government and party, the districts until the reform of 2025, and 111 communes."""
    rows = [
        {"id": "tinh", "name": "Ủy ban nhân dân tỉnh Mẫu", "level": "province"},
        {"id": "tinh-uy", "name": "Tỉnh ủy Mẫu", "level": "province", "tree": "party"},
    ]
    offices = [(key, name, "tinh", "") for key, name in UNITS] + [(key, name, "tinh-uy", "party") for key, name in PARTY]
    rows += [
        {
            "id": key,
            "name": name,
            "level": "department",
            "parent": parent,
            "tree": tree,
            "address": f"Số {number + 1}, đường Hùng Vương, phường Trung Tâm, tỉnh Mẫu",
            "phone": f"0271 3 {800_000 + number * 7}",
            "email": f"vanthu.{key}@{DOMAIN}",
        }
        for number, (key, name, parent, tree) in enumerate(offices)
    ]
    communes = [f"{first} {second}" for first in FIRST for second in SECOND][:111]
    below = {name: [commune for at, commune in enumerate(communes) if at % len(DISTRICTS) == number] for number, name in enumerate(DISTRICTS)}
    for name, found in below.items():
        rows.append(
            {
                "id": f"h-{slug(name)}",
                "name": f"Ủy ban nhân dân huyện {name}",
                "level": "district",
                "parent": "tinh",
                "valid_until": LAST_DAY,
                "successors": ";".join(f"x-{slug(commune)}" for commune in found),
            }
        )
    rows += [{"id": f"x-{slug(name)}", "name": f"Ủy ban nhân dân xã {name}", "level": "commune", "parent": "tinh", "valid_from": REFORM} for name in communes]
    return rows


def points(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """A router for each agency below the province; those of the districts stay with the first commune that took over. Communes reuse 192.168.1.0/24."""
    found = []
    for number, row in enumerate(row for row in rows if row["level"] in {"department", "district", "commune"}):
        agency = row["successors"].split(";")[0] if row["level"] == "district" else row["id"]
        wide = row["level"] != "commune"
        found.append(
            {
                "id": f"p{number + 1:03d}",
                "name": "Điểm mạng " + row["name"].removeprefix("Ủy ban nhân dân "),
                "agency": agency,
                "observers": f"FGT-{row['id'].upper()};FGT40FTK{23_000_000 + number}",
                "prefixes": f"10.{60 + number // 200}.{number % 200}.0/24;192.168.1.0/24" if wide else "192.168.1.0/24",
                "public_addresses": f"203.0.113.{number % 250 + 1}",
                "line_provider": ("VNPT", "Viettel", "FPT")[number % 3],
            }
        )
    return found


def people(rows: list[dict[str, str]], random: Random) -> list[dict[str, str]]:
    """A contact person for every agency that there is today, and a response team of 20; some lack a telephone number, as in life."""
    found = []
    for number, row in enumerate(row for row in rows if row["level"] in {"department", "commune"}):
        name = f"{random.choice(FAMILY)} {random.choice(MIDDLE)} {random.choice(GIVEN)}"
        found.append(
            {
                "id": f"n{number + 1:03d}",
                "name": name,
                "agency": row["id"],
                "role": "contact",
                "title": "Văn thư" if row["level"] == "department" else "Công chức văn phòng",
                "phone": "" if number % 29 == 7 else f"0271 3 {600_000 + number * 7}",
                "email": f"vanthu.{row['id']}@{DOMAIN}",
                "channel": "document" if row["level"] == "department" else "mail",
            }
        )
    for number in range(20):
        name = f"{random.choice(FAMILY)} {random.choice(MIDDLE)} {random.choice(GIVEN)}"
        found.append(
            {
                "id": f"d{number + 1:02d}",
                "name": name,
                "agency": "tt-cntt" if number < 12 else "so-khcn",
                "role": "lead" if number == 0 else "analyst" if number < 5 else "officer",
                "title": "Đội trưởng" if number == 0 else "Thành viên",
                "phone": f"0912 {100_000 + number * 11}",
                "email": f"ucsc{number + 1:02d}@{DOMAIN}",
                "team": "true",
                "decision": "123/QĐ-UBND",
            }
        )
    return found


def systems() -> list[dict[str, str]]:
    """The systems that a province has, with levels and dossiers in all states."""
    names = (
        ("ioffice", "Hệ thống quản lý văn bản và điều hành", 3, "approved"),
        ("dvc", "Hệ thống thông tin giải quyết thủ tục hành chính", 3, "approved"),
        ("thu-dien-tu", "Thư điện tử công vụ", 3, "submitted"),
        ("cong-ttdt", "Cổng thông tin điện tử tỉnh", 3, "approved"),
        ("lgsp", "Nền tảng tích hợp, chia sẻ dữ liệu", 3, "drafting"),
        ("ttdl", "Trung tâm dữ liệu tỉnh", 3, "approved"),
        ("hoi-nghi", "Hội nghị truyền hình", 2, "none"),
        ("ioc", "Trung tâm giám sát, điều hành thông minh", 3, "submitted"),
        ("qlcb", "Quản lý cán bộ, công chức", 2, "approved"),
        ("gis", "Cơ sở dữ liệu đất đai", 3, "drafting"),
        ("his", "Quản lý khám chữa bệnh", 3, "none"),
        ("csdl-gd", "Cơ sở dữ liệu giáo dục", 2, "approved"),
    )
    purposes = (
        "Gửi, nhận, xử lý văn bản điện tử của các cơ quan trong tỉnh",
        "Tiếp nhận, giải quyết thủ tục hành chính của người dân, doanh nghiệp",
        "Thư điện tử công vụ của cán bộ, công chức",
        "Cung cấp thông tin của tỉnh cho người dân",
        "Kết nối, chia sẻ dữ liệu giữa các hệ thống của tỉnh",
        "Hạ tầng máy chủ, lưu trữ, mạng dùng chung của tỉnh",
        "Họp trực tuyến giữa tỉnh và xã",
        "Giám sát, điều hành các lĩnh vực của tỉnh",
        "Quản lý hồ sơ cán bộ, công chức, viên chức",
        "Quản lý dữ liệu đất đai của tỉnh",
        "Quản lý khám bệnh, chữa bệnh, bệnh án điện tử",
        "Quản lý trường, lớp, học sinh, giáo viên",
    )
    owners = ("vpubnd", "tt-hcc", "so-khcn", "vpubnd", "so-khcn", "so-khcn", "vpubnd", "so-khcn", "so-nv", "so-nnmt", "bv-dk", "so-gddt")
    return [
        {
            "id": key, "name": name, "owner": owner, "operator": "tt-cntt", "point": "p019", "level": str(level), "shared": "true" if level == 3 and number < 6 else "",
            "dossier": state, "decision": f"{210 + number}/QĐ-UBND" if state == "approved" else "", "decision_date": f"2024-0{number % 9 + 1}-15" if state == "approved" else "",
            "review_date": f"2026-{number % 12 + 1:02d}-15" if state == "approved" else "", "operating_system": "Linux", "services": "https;sql", "addresses": f"10.60.18.{number + 10}",
            "public_addresses": f"198.51.100.{number + 10}", "domains": f"{key}.{DOMAIN}", "protection": "Tường lửa, tường lửa ứng dụng web, sao lưu hằng ngày", "hosting_provider": "Trung tâm dữ liệu tỉnh", "line_provider": "VNPT",
            "purpose": purposes[number],
        }
        for number, ((key, name, level, state), owner) in enumerate(zip(names, owners, strict=True))
    ]  # fmt: skip


def roster() -> list[dict[str, str]]:
    """Two people on call at any time from November 2026 to January 2027: days and nights, changing at 07:00 and 19:00."""
    team = [f"d{number:02d}" for number in range(2, 9)]
    found = []
    for number in range(2 * 92):
        begin = datetime(2026, 11, 1, 7) + timedelta(hours=12 * number)  # noqa: DTZ001 - as people write it
        found += [
            {
                "begin": f"{begin:%Y-%m-%d %H:%M}",
                "end": f"{begin + timedelta(hours=12):%Y-%m-%d %H:%M}",
                "person": team[(number + 3 * (post - 1)) % len(team)],
                "post": str(post),
                "decision": "45/QĐ-SKHCN",
            }
            for post in (1, 2)
        ]
    return found


def mailboxes(rows: list[dict[str, str]], random: Random) -> list[dict[str, str]]:
    """8,023 mailboxes under one domain: a shared one for each agency, the others of people."""
    today = [row for row in rows if row["level"] in {"department", "commune"}]
    found = [{"address": f"vanthu.{row['id']}@{DOMAIN}", "agency": row["id"], "shared": "true"} for row in today]
    weights = [4.0 if row["level"] == "department" else 1.0 for row in today]
    seen: dict[str, int] = {}
    for row in random.choices(today, weights, k=MAILBOXES - len(found)):
        given = f"{slug(random.choice(GIVEN))}{slug(random.choice(FAMILY))[0]}{slug(random.choice(MIDDLE))[0]}"
        name = f"{given}.{row['id']}"
        seen[name] = seen.get(name, 0) + 1
        found.append({"address": f"{name}{seen[name] if seen[name] > 1 else ''}@{DOMAIN}", "agency": row["id"], "shared": ""})
    return found


def write(name: str, rows: list[dict[str, str]]) -> None:
    """One CSV file with the columns that its rows use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (FOLDER / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    random = Random(2026)
    rows = agencies()
    write("agencies", rows)
    write("points", points(rows))
    write("people", people(rows, random))
    write("systems", systems())
    write("mailboxes", mailboxes(rows, random))
    write("roster", roster())


if __name__ == "__main__":
    main()
