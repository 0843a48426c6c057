"""How each command is typed that has no example in its own help: one line each, shown below the options."""

from __future__ import annotations

import shlex
from functools import lru_cache

_LINES = """
soc access show
soc agencies coverage --agency so-yt
soc agencies gaps --agency so-yt
soc agencies import agencies.csv --yes --reason 'Quyết định 12/QĐ-UBND'
soc agencies list --at 2025-06-30
soc agencies sample mau
soc agencies show so-yt --history
soc alerts ack g-2jx7
soc alerts assign g-2jx7 g-9bd1 --to binh
soc alerts close --all-matching --level medium --since 24h --verdict benign --note 'máy quét của ta' --yes
soc alerts get g-2jx7
soc alerts list --level high --since 24h
soc alerts reopen g-2jx7 --note 'không phải máy của ta'
soc alerts undo g-2jx7
soc alerts verdict a-9bd1 false-positive --note 'lệnh in'
soc alerts why g-2jx7
soc audit checkpoint --anchor 2026-11-21.json
soc audit export journal.jsonl
soc audit key --rotate --reason 'hằng năm'
soc audit log incident/INC-2026-0007
soc audit verify --anchor 2026-11-21.json
soc commands --json
soc completion bash >> ~/.bashrc
soc config path
soc config schema > soc.schema.json
soc config show --origin
soc config validate soc.toml
soc deadletters discard d-2jx7 --why 'dòng thử' --yes
soc deadletters list --state open
soc deadletters redrive --all
soc deadletters show d-2jx7 --raw
soc demo --scene ransomware
soc doctor
soc duties calendar 2026
soc duties run
soc duties steps > reminders.yml
soc enrich --since 2026-11-01 --why 'điểm mạng đã chuyển về xã' --dry-run
soc events export 'soc.threat.level:critical' --since 7d --to critical.jsonl
soc events get omiekwhuxj --raw
soc events search 'source.ip:10.0.0.0/8 -event.action:accept' --since 24h
soc events stats 'soc.threat.level:high' --since 7d --facet source.ip
soc events tail 'soc.kind:mail'
soc handover list --open
soc handover show
soc help filters
soc incidents assign 7 binh
soc incidents attach 7 g-2jx7
soc incidents classes
soc incidents close 7 --resolution 'Cài lại máy, khôi phục từ bản sao lưu'
soc incidents contain 7 --at 22:40
soc incidents due --overdue
soc incidents edit 7 --detected '21/11/2026 21:50' --reason 'nhật ký cho thấy sớm hơn'
soc incidents eradicate 7
soc incidents history 7
soc incidents list --overdue
soc incidents merge 8 --into 7 --reason 'cùng một máy'
soc incidents note 7 'đã rút dây mạng' --on-behalf 'Chị Hoa' --by telephone
soc incidents recover 7
soc incidents reject 7 --reason 'diễn biến bình thường của bản cập nhật'
soc incidents reopen 7 --reason 'máy lại gọi ra ngoài'
soc incidents report 7 report-72h --number 14/BC-SKHCN --channel document
soc incidents show 7
soc incidents task 7 'Lấy nhật ký máy chủ' --owner binh --due 2d
soc incidents task-done 7 t3 --result 'đã lấy'
soc incidents triage 7 --class malicious-code/infected-system --legal-class serious --reason 'dữ liệu bệnh án'
soc incidents unmerge 8 --reason 'hai máy khác nhau'
soc ingest file fortigate.log --source tuong-lua --product fortinet_fortigate
soc init
soc intel list --all
soc intel show BL-2026-0003
soc mailboxes import mailboxes.csv --yes
soc mailboxes list --agency so-yt
soc mailboxes show an@tinh.vn
soc outbox cancel m-2jx7 --reason 'sai số'
soc outbox deliver
soc outbox retry m-2jx7
soc parse fortigate.log --format pretty
soc partners import partners.yml --yes
soc partners list
soc partners show vnpt
soc people import people.csv --yes --reason 'Quyết định 45/QĐ-SKHCN'
soc people list --agency so-yt
soc people show an --history
soc playbooks lint own/*.yml
soc playbooks list
soc points import points.csv --yes
soc points list --agency so-yt
soc points show p010
soc policies disable alert-storm --reason 'bảo trì đêm nay'
soc policies enable alert-storm
soc policies fields
soc policies lint policies/*.yml
soc policies list
soc policies run --only ransomware-seen
soc policies show ransomware-seen
soc policies test --since 90d
soc reclassify 'fortinet.firewall.subtype:ips' --since 30d --why 'mức của hãng đã đổi' --dry-run
soc replay --since 24h --diff
soc roster import ca-truc.csv --yes --reason '45/QĐ-SKHCN'
soc roster now
soc rules backtest quy-tac/may-in.yml --since 7d
soc rules compare quy-tac/may-in.yml --since 7d
soc rules coverage --live
soc rules diff rules-old rules-new --since 7d
soc rules disable net_firewall_botnet_c2 --reason 'bắt nhầm lệnh in'
soc rules enable net_firewall_botnet_c2 --reason 'đã sửa'
soc rules eval --rules quy-tac --events events.jsonl
soc rules except add net_firewall_botnet_c2 --where 'source.ip: 10.0.0.5' --owner binh --expires 30d --reason 'máy quét'
soc rules except list
soc rules explain net_firewall_botnet_c2 --event event.json
soc rules history
soc rules import sigma/rules --to quy-tac --yes
soc rules lint --rules quy-tac
soc rules list
soc rules promote net_firewall_botnet_c2 --reason 'một tuần không báo nhầm'
soc rules reload --check
soc rules retract net_firewall_botnet_c2 --from 1d --reason 'bắt nhầm lệnh in'
soc rules retractions
soc rules shadow net_firewall_botnet_c2 --reason 'thử trước'
soc rules show net_firewall_botnet_c2
soc rules stats --since 30d
soc rules test --mutate
soc rules unretract x-2jx7 --reason 'rút nhầm'
soc run --roles collect,ingest
soc sources list
soc sources offset tuong-lua 25200 --why 'thiết bị để giờ UTC'
soc sources status
soc sources test tuong-lua
soc store ledger
soc store migrate --dry-run
soc store restore backup-2026-11-20 --yes
soc store retention --before 400d --kind firewall --dry-run
soc store status
soc suppressions add --field rule=1c3a7a52-0001-4000-8000-000000000001 --field source.ip=10.0.0.5 --expires 30d --reason 'đợt quét đã báo'
soc suppressions end s-2jx7 --reason 'quét xong'
soc suppressions list --all
soc systems import systems.csv --yes
soc systems list --agency so-yt
soc systems show his --history
soc version
soc whoami
"""


@lru_cache(maxsize=1)
def _by_words() -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for line in _LINES.split("\n"):
        words = shlex.split(line)[1:]
        for count in range(1, min(len(words), 3) + 1):
            found.setdefault(tuple(words[:count]), line)
    return found


def example(path: tuple[str, ...]) -> str:
    """The example of the command of these words (without `soc`); "" when there is none."""
    return _by_words().get(path, "")


def lines() -> list[str]:
    """All examples."""
    return [line for line in _LINES.split("\n") if line]
