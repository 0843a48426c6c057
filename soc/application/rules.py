"""What commands about rules need of the ingest side."""

from __future__ import annotations

from collections.abc import Callable

from soc.errors import MalformedRecord
from soc.ingest.framing import decode, frame
from soc.ingest.parser import Context
from soc.ingest.registry import installed
from soc.model.event import Doc


def line_parser(received_us: int) -> Callable[[str, str], Doc]:
    """The function that makes the event of a product's raw line as the pipeline would show it to rules.

    Raises (the function): UsageError for an unknown product, MalformedRecord for a line that the parser cannot read.
    """
    registry = installed()

    def parse(product: str, raw: str) -> Doc:
        text, _ = decode(raw.encode("utf-8", "surrogateescape"))
        parser = registry.get(product)
        parsed = parser.parse(frame(text), Context(received_us))
        if parsed.error:
            raise MalformedRecord(parsed.error, parser=parser.name)
        return {**parsed.doc, "soc.kind": parser.kind, "event.original": text}

    return parse
