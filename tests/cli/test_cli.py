from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from soc.cli import _errors, _examples, _group
from soc.errors import QuerySyntaxError, SocError
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
HEAVY = (
    "elasticsearch",
    "kafka",
    "sqlite3",
    "pydantic",
    "rich",
    "sigma",
    "soc.bootstrap",
    "soc.adapters.elastic",
    "soc.adapters.sqlite",
    "soc.application.app",
)


def python(code: str) -> str:
    """The output of a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_help_loads_nothing_heavy() -> None:
    """`soc --help` must not wait for what it does not need."""
    loaded = python("import sys\nfrom soc.cli import execute\nexecute(['--help'])\nprint('\\n#' + ' '.join(sys.modules))").rpartition("#")[2].split()
    assert not [name for name in HEAVY if name in loaded]


YARDSTICK = "import argparse, asyncio, email.message, http.client, json, logging, unittest, xml.dom.minidom"
"""Modules of Python that take some 0.085 s of processor time where the help takes 0.17 s."""


def seconds(*words: str) -> float:
    """The processor time that an interpreter takes from its start to its end."""
    process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick() -> None:
    """Under 0.3 s of processor time, or, where the processor is slower or shared, under what imports of Python take in proportion; the best of some runs."""
    best, yardstick = 9.0, 9.0
    for tried in range(25):
        best, yardstick = min(best, seconds("-m", "soc", "--help")), min(yardstick, seconds("-c", YARDSTICK))
        if best < 0.3 or (tried >= 4 and best < 3.5 * yardstick):
            break
    assert best < max(0.3, 3.5 * yardstick)


def test_every_module_is_a_command(soc: Run) -> None:
    """Commands are found by file name, and each has a help in both languages."""
    assert {"run", "doctor", "config", "sources", "events", "alerts", "deadletters", "store", "replay", "reclassify", "parse", "demo", "ingest"} <= set(
        _group.command_names()
    )
    for name in _group.command_names():
        for language in ("en", "vi"):
            done = soc("--lang", language, name, "--help")
            assert done.code == 0
            assert done.out


def test_daily_commands_come_first(soc: Run) -> None:
    """The six daily commands, the rest, then examples."""
    out = soc("--help").out
    assert out.index("Daily:") < out.index("  run ") < out.index("More:") < out.index("  version ") < out.index("Examples:")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["--version"], 0, "soc 0.1.0"),
        (["help", "exit-codes"], 0, "130"),
        (["help", "filters"], 0, "source.ip:10.0.0.0/8"),
        (["help", "config"], 0, "[store]"),
        (["help", "keys"], 0, "Ctrl-C"),
        (["help", "alerts", "list"], 0, "Usage: soc alerts list"),
        (["help"], 0, "exit-codes"),
        (["commands"], 0, "soc store ledger"),
        (["completion", "bash"], 0, "_soc_completion"),
        (["completion", "zsh"], 0, "#compdef soc"),
        (["completion", "fish"], 0, "function _soc_completion"),
        (["init", "--stdout"], 0, "[store]"),
        (["config", "schema"], 0, "events_per_file"),
        (["config", "path"], 0, "/etc/soc/soc.toml"),
    ],
)
def test_answers(soc: Run, words: list[str], code: int, text: str) -> None:
    """Commands that need no store."""
    done = soc(*words)
    assert (done.code, done.err) == (code, "")
    assert text in done.out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["alert"], "did you mean alerts?"),
        (["alerts", "lst"], "list"),
        (["help", "nothing"], "no such topic"),
        (["--tz", "Mars/Base", "version"], "no such time zone: Mars/Base"),
        (["events", "search", "--since", "yesterday-ish"], "no time: yesterday-ish"),
        (["version", "--nope"], "--nope"),
        (["deadletters", "redrive"], "--all"),
        (["events", "search", "--limit", "-1"], "--limit"),
    ],
)
def test_usage_errors(soc: Run, words: list[str], text: str) -> None:
    """Wrong words exit 2, say what is wrong on stderr, and nothing on stdout."""
    done = soc(*words)
    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert "Traceback" not in done.err


def test_common_options_stand_anywhere(soc: Run, tmp_path: Path) -> None:
    """Before or after the command."""
    file = tmp_path / "c.toml"
    file.write_text('language = "vi"\n', encoding="utf-8")
    file.chmod(0o600)
    before = soc("--config", str(file), "config", "show", "--set-only", "--origin", "--json")
    after = soc("config", "show", "--set-only", "--origin", "--json", "--config", str(file))
    assert before.out == after.out
    assert json.loads(after.out)["items"] == [{"key": "language", "value": "vi", "origin": f"file {file}:1"}]


def test_configuration_errors_exit_3(soc: Run, tmp_path: Path) -> None:
    """File, line, key, nearest key."""
    file = tmp_path / "c.toml"
    file.write_text('[store]\nknid = "memory"\n', encoding="utf-8")
    file.chmod(0o600)
    done = soc("config", "validate", str(file))
    assert done.code == 3
    assert f"{file}:2: unknown key 'store.knid'" in done.err
    assert "hint: did you mean 'store.kind'?" in done.err


def test_secrets_are_never_shown(soc: Run, tmp_path: Path) -> None:
    """Only where they come from."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2", encoding="utf-8")
    secret.chmod(0o600)
    file = tmp_path / "c.toml"
    file.write_text(f'[store]\npassword_file = "{secret}"\n', encoding="utf-8")
    file.chmod(0o600)
    for form in ((), ("--json",), ("--csv",), ("--jsonl",)):
        done = soc("--config", str(file), "config", "show", "--origin", *form)
        assert str(secret) in done.out
        assert "hunter2" not in done.out + done.err


def test_init_writes_a_valid_file_once(soc: Run, tmp_path: Path) -> None:
    """Only its owner may read it; a second call changes nothing."""
    file = tmp_path / "sub" / "soc.toml"
    made = soc("init", str(file))
    assert made.code == 0, made.err
    [key] = tmp_path.rglob("journal-key.pem")
    assert key.stat().st_mode & 0o777 == 0o600
    assert "soc audit checkpoint --anchor" in made.out + made.err
    before = key.read_bytes()
    assert soc("init", str(tmp_path / "other.toml")).code == 0
    assert key.read_bytes() == before
    assert file.stat().st_mode & 0o777 == 0o600
    assert soc("config", "validate", str(file)).code == 0
    file.write_text('language = "vi"\n', encoding="utf-8")
    again = soc("init", str(file))
    assert again.code == 6
    assert file.read_text(encoding="utf-8") == 'language = "vi"\n'


def test_the_whole_template_is_valid_when_used(soc: Run, tmp_path: Path) -> None:
    """Every commented line of the template is right once the # is taken away."""
    import re

    text = soc("init", "--stdout").out
    used = "\n".join(re.sub(r"^# (?=\[|[a-z_]+ = )", "", line) for line in text.splitlines())
    file = tmp_path / "c.toml"
    file.write_text(used, encoding="utf-8")
    file.chmod(0o600)
    done = soc("config", "show", "--set-only", "--jsonl", "--config", str(file))
    assert done.code == 0, done.err
    assert {"sources.firewalls.udp", "kafka.username", "store.ca_file", "metrics.listen"} <= {json.loads(line)["key"] for line in done.out.splitlines()}


def test_commands_as_json(soc: Run) -> None:
    """The tree as data, for completion and documentation."""
    answer = json.loads(soc("commands", "--json").out)
    assert (answer["schema_version"], answer["kind"], answer["truncated"]) == (1, "commands", False)
    by_name = {item["command"]: item for item in answer["items"]}
    assert "--since" in [name for option in by_name["soc events search"]["options"] for name in option["names"]]
    assert all(option["help"] for item in answer["items"] for option in item["options"])


def test_shell_completion_knows_the_commands() -> None:
    """What bash asks while one types."""
    env = {**os.environ, "_SOC_COMPLETE": "bash_complete", "COMP_WORDS": "soc al", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "soc"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert "plain,alerts" in done.stdout


def test_errors_tell_causes_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    """What failed, why, what to do; terminal codes made visible; no traceback."""
    error = SocError("the \x1b[31mstore\x1b[0m cannot be reached", hint="start it")
    error.__cause__ = OSError(111, "Connection refused")
    assert _errors.tell(error, debug=False) == 70
    told = capsys.readouterr().err
    assert told == "error: the \\x1b[31mstore\\x1b[0m cannot be reached\n  cause: ConnectionRefusedError: [Errno 111] Connection refused\nhint: start it\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Only when asked for."""
    assert _errors.tell(ZeroDivisionError("x"), debug=True) == 70
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "--debug" in told


def test_caret_points_at_the_wrong_character() -> None:
    """Also in long queries, and with characters that are shown as escapes."""
    text, position = "a:1 and )", 8
    line, mark = _errors.caret(text, position).split("\n")
    assert line[mark.index("^")] == ")"
    line, mark = _errors.caret("\x1b" + "a" * 300 + ")" + "b" * 300, 301).split("\n")
    assert line[mark.index("^")] == ")"
    assert len(line) < 120
    assert QuerySyntaxError("x", 0, "y").exit_code == 2


def test_exit_codes_of_errors_are_in_the_table() -> None:
    """Every error of soc.errors exits with a documented code."""
    import soc.errors

    codes = {code for code, _ in _errors.exit_codes()}
    errors = [value for value in vars(soc.errors).values() if isinstance(value, type) and issubclass(value, SocError)]
    assert {error.exit_code for error in errors} <= codes


def test_interrupt_exits_130(monkeypatch: pytest.MonkeyPatch, soc: Run) -> None:
    """Ctrl-C is told in a word."""
    from soc.cli import version

    def interrupted(**_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(version.command, "callback", interrupted)
    done = soc("version")
    assert (done.code, done.out) == (130, "")
    assert "interrupted" in done.err


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`soc commands --json | head -c 1` is silent."""
    shell = f"{shlex.quote(sys.executable)} -m soc commands --json | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_options_have_help() -> None:
    """No option is left unexplained."""
    group = _group.root()
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        leaves = [command.get_command(context, inner) for inner in command.list_commands(context)] if isinstance(command, click.Group) else [command]
        for leaf in leaves:
            assert leaf is not None
            assert leaf.help
            assert all(param.help for param in leaf.params if isinstance(param, click.Option)), leaf.name


DOCUMENTS = {
    *("audit export", "completion", "config schema", "duties steps", "events export", "events tail", "help", "intel export", "parse", "rules eval"),
}
"""Commands whose output is a document or a stream of its own."""


def test_every_command_answers_programs() -> None:
    """`--json` stands with each, but for those that write a document, a script or one line per event."""
    group = _group.root()
    found = [(at.command_path, leaf) for leaf, at in leaves(group, click.Context(group, info_name="soc"))]
    without = {path.removeprefix("soc ") for path, leaf in found if not any("--json" in param.opts for param in leaf.params)}
    assert without == DOCUMENTS


def leaves(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Every command that does something."""
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        inner = click.Context(found, parent=context, info_name=name)
        if isinstance(found, click.Group):
            yield from leaves(found, inner)
        else:
            yield found, inner


def test_every_command_shows_how_it_is_typed() -> None:
    """The help of each has an example, and each example of ours names a command, with options and as many words as it has."""
    group = _group.root()
    context = click.Context(group, info_name="soc")
    assert [inner.command_path for command, inner in leaves(group, context) if "Example: soc" not in " ".join(command.get_help(inner).split())] == []
    paths: set[str] = set()
    for line in _examples.lines():
        words = shlex.split(line.partition(" > ")[0].partition(" >> ")[0])[1:]
        found, at = group, context
        while isinstance(found, click.Group):
            name = words.pop(0)
            inner = found.get_command(at, name)
            assert inner is not None, line
            found, at = inner, click.Context(inner, parent=at, info_name=name)  # type: ignore[assignment]
        given, rest, _order = found.make_parser(at).parse_args(list(words))
        assert not rest, line
        for param in found.params:
            if isinstance(param.type, click.Choice) and (value := given.get(param.name or "")) is not None and value is not param.default:
                param.type_cast_value(at, value)
        assert [param.name for param in found.params if param.required and given.get(param.name or "") in (None, ())] == [], line
        paths.add(at.command_path)
    assert len(paths) == len(_examples.lines())


def test_lists_of_commands_say_whole_sentences(soc: Run) -> None:
    """The help of a noun cuts nothing off."""
    for noun in ("incidents", "rules", "notices", "store"):
        assert "...\n" not in soc(noun, "--help").out.partition("Commands:")[2], noun


def test_no_module_of_the_current_folder_is_imported(tmp_path: Path) -> None:
    """The launcher never runs what somebody left in the current folder."""
    (tmp_path / "click.py").write_text("raise SystemExit(99)", encoding="utf-8")
    done = subprocess.run([str(ROOT / "bin/soc"), "--version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "soc 0.1.0\n")


@pytest.mark.parametrize("language", ["en", "vi"])
def test_every_example_of_the_query_help_parses(language: str) -> None:
    """The help shows the language that there is."""
    from soc.cli.help import FILTERS
    from soc.model.query.parse import parse

    examples = [line[2:33].strip() for line in FILTERS[language].splitlines() if line.startswith("  ")]
    assert len(examples) > 12
    for example in examples:
        parse(example)


def test_a_terminal_that_cannot_show_vietnamese_gets_escapes() -> None:
    """Neither a traceback nor a lost line."""
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-m", "soc", "--lang", "vi", "help", "exit-codes"], cwd=ROOT, env=env, capture_output=True, check=False)
    assert done.returncode == 0
    assert b"\\u" in done.stdout


def on_terminal(words: list[str], columns: int, tmp_path: Path) -> str:
    """What a command writes on a terminal of that width."""
    import fcntl
    import pty
    import struct
    import termios

    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    process = subprocess.Popen([sys.executable, "-m", "soc", *words], cwd=ROOT, env=env, stdin=other, stdout=other, stderr=other)
    os.close(other)
    written = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        written += chunk
    os.close(main)
    process.wait(150)
    return written.decode()


def test_tables_on_a_terminal(tmp_path: Path) -> None:
    """A terminal gets a table in its own width, with colors unless they are unwanted."""
    colored = on_terminal(["doctor"], 100, tmp_path)
    assert "\x1b[32m" in colored
    plain = on_terminal(["config", "show", "--color", "never"], 80, tmp_path)
    assert "\x1b[" not in plain
    assert all(len(line.rstrip("\r")) <= 80 for line in plain.split("\n"))


def test_alerts_on_a_narrow_terminal_keep_their_words_whole(tmp_path: Path) -> None:
    """At 80 columns an alert is a line of text, folded between words; a wide terminal gets the table."""
    store = str(tmp_path / "store")
    subprocess.run([sys.executable, "-m", "soc", "demo", "--folder", store], cwd=ROOT, check=True, capture_output=True)
    narrow = on_terminal(["alerts", "list", "--store", store, "--color", "never"], 80, tmp_path)
    assert all(len(line.rstrip("\r")) <= 80 for line in narrow.split("\n"))
    assert "Firewall administration entered" in narrow
    assert "From →" not in narrow
    assert "From → to" in on_terminal(["alerts", "list", "--store", store, "--color", "never"], 150, tmp_path)


def test_a_table_too_wide_is_shown_below_each_other(tmp_path: Path) -> None:
    """No heading is cut and no column is squeezed to a letter, in either language; a wide terminal gets the table."""
    lines = tmp_path / "lines.log"
    lines.write_text("<134>Nov 21 08:00:00 gw app: một dòng\n", encoding="utf-8")
    store = str(tmp_path / "store")
    subprocess.run(
        [sys.executable, "-m", "soc", "ingest", "file", str(lines), "--source", "nguon", "--store", store], cwd=ROOT, check=True, capture_output=True
    )
    for language, titles in (("vi", ("Phân vùng ", "Chênh lệch ", "Mức chắc chắn ")), ("en", ("Partition ", "Difference ", "Knowledge "))):
        narrow = on_terminal(["store", "ledger", "--store", store, "--lang", language], 80, tmp_path)
        assert all(f"\n{title}" in narrow for title in titles), narrow
        assert any(
            title.strip() in line and line.count("  ") > 4
            for title in titles
            for line in on_terminal(["store", "ledger", "--store", store, "--lang", language], 200, tmp_path).split("\n")
        )
    event = on_terminal(["events", "search", "--store", store, "--lang", "vi"], 80, tmp_path)
    assert "một dòng" in event
    assert "không chạy" in on_terminal(["store", "status", "--store", store, "--lang", "vi"], 80, tmp_path)
    assert "ID" not in event
    assert "ID" in on_terminal(["events", "search", "--store", store], 120, tmp_path)


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """`soc … | head -1` ends well and says nothing, however much is left to write."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "soc", "commands", "--json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    os.close(reader)
    assert (process.communicate(timeout=150)[1], process.returncode) == (b"", 0)


def test_no_room_for_what_is_told(tmp_path: Path) -> None:
    """Output that goes to a full disk: what failed, what to do, exit code 7; no fault of ours, and none of the interpreter at the end."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "soc", "--lang", "en", "commands", "--json"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (7, "error: standard output cannot be written: No space left on device\nhint: make room, then run it again\n")


@pytest.mark.parametrize(
    ("words", "language", "told"),
    [
        (["store", "retention", "--before", "never"], "en", "Invalid value for '--before': no time: never"),
        (["incidents", "new", "T", "--detected", "tomorrow"], "en", "Invalid value for '--detected': no time: tomorrow"),
        (["incidents", "list", "--state", "opne"], "en", "Invalid value for '--state': opne is none of"),
        (["alerts", "list", "--limit", "abc"], "en", "'abc' is not a valid whole number."),
        (["alerts", "list", "--limit", "abc"], "vi", "'abc' không phải số nguyên hợp lệ."),
        (["rules", "lint", "--rules", "/nope"], "vi", "Đường dẫn '/nope' không tồn tại."),
        (["alerts", "list", "--tz", "Asia/Hanoi"], "en", "(as Asia/Ho_Chi_Minh, UTC)"),
        (["help", "filtesr"], "en", "(did you mean filters?)"),
        (["help", "alerts", "lst"], "en", "(did you mean alerts list?)"),
        (["rules", "show", "net_firewall_botnet"], "en", "did you mean net_firewall_botnet_c2?"),
        (["policies", "show", "account-taken-ovr"], "en", "did you mean account-taken-over?"),
        (["playbooks", "show", "ransomwear"], "en", "did you mean ransomware?"),
        (["parse", "/nope.log"], "vi", "lỗi: không đọc được /nope.log: không có tệp hoặc thư mục này\n"),
        (["rules", "explain", "net_firewall_botnet_c2", "--event", "zz"], "en", "hint: soc events get ID --json > event.json"),
    ],
)
def test_a_slip_is_named_with_its_place_and_the_nearest_right_one(words: list[str], language: str, told: str, tmp_path: Path) -> None:
    """What, where, what else, in the language of the reader; no line twice."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "soc", *words, "--store", str(tmp_path / "s"), "--lang", language]
    if words[0] == "parse":
        command = command[:-4] + command[-2:]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert told in done.stderr
    assert done.returncode in {1, 2}
    assert "Errno" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault(closed: str, tmp_path: Path) -> None:
    """A service or a script may close what it does not need; no file of the store is taken for one of them."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = f"{sys.executable} -m soc incidents new Thử --store s {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, env=env, check=False).returncode == 0
    listed = subprocess.run(
        [sys.executable, "-m", "soc", "incidents", "list", "--json", "--store", "s"], cwd=tmp_path, env=env, capture_output=True, check=True
    )
    assert json.loads(listed.stdout)["total"] == 1


def test_a_source_that_nobody_knows_is_told_with_the_nearest(tmp_path: Path) -> None:
    """An empty list because of a slip of the hand looks like good news otherwise; a known source that said nothing is none."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "soc", *words, "--store", "s"]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stderr

    (tmp_path / "lines").write_text('date=2026-11-21 time=08:00:00 logid="0000000013" type="traffic" subtype="forward" level="notice"\n', encoding="utf-8")
    said("ingest", "file", "lines", "--source", "tuong-lua")
    told = "no source tuong-lau was ever configured or heard; did you mean tuong-lua?"
    assert told in said("alerts", "list", "--source", "tuong-lau")
    assert told in said("deadletters", "list", "--source", "tuong-lau")
    assert "heard" not in said("alerts", "list", "--source", "tuong-lua") + said("alerts", "list")


def test_the_store_of_the_settings_named_by_store_is_that_store(tmp_path: Path) -> None:
    """Evidence and keys are found where the settings have them: nothing is recorded as missing because it was looked for elsewhere."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "SOC_DATA_DIR": str(tmp_path / "data"), "SOC_STORE__PATH": "s"}

    def soc(*words: str) -> str:
        return subprocess.run([sys.executable, "-m", "soc", *words], cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout

    (tmp_path / "mail.eml").write_text("Subject: x\n\ny\n", encoding="utf-8")
    soc("incidents", "new", "Thư lạ")
    soc("evidence", "add", "1", "mail.eml", "--why", "gốc")
    assert json.loads(soc("evidence", "verify", "--json", "--store", "./s"))["items"][0]["result"] == "ok"
    assert not (tmp_path / "s" / "keys").exists()
    soc("evidence", "list", "--store", "other")
    soc("incidents", "new", "khác", "--store", "other")
    soc("evidence", "add", "1", "mail.eml", "--why", "gốc", "--store", "other")
    assert (tmp_path / "other" / "evidence").is_dir()
