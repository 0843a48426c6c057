"""A YAML document as what it is: a detection rule, a correlation or a filter. The only place that tells them apart."""

from __future__ import annotations

from soc.rules.ast import Rule
from soc.rules.correlation import Correlation, read_correlation
from soc.rules.documents import Document
from soc.rules.filters import Filter, read_filter
from soc.rules.sigma import read_rule


def read_document(document: Document, placeholders: dict[str, list[str]] | None = None) -> Rule | Correlation | Filter:
    """The rule, correlation or filter of a document, its references as written.

    Raises: RuleSyntaxError, RuleUnsupported.
    """
    if "correlation" in document.data:
        return read_correlation(document)
    if "filter" in document.data:
        return read_filter(document, placeholders)
    return read_rule(document, placeholders)
