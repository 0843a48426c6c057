#!/bin/sh
# Resolves pyproject.toml into requirements/*.txt with every version and hash; no index or URL is written.
set -eu
cd "$(dirname -- "$0")/.."
lock() {
    uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        pyproject.toml --extra docs --extra imap --extra web "$@"
}
lock -o requirements/runtime.txt
lock --group dev -o requirements/dev.txt
