"""Makes every second request about things that exist."""

import json
import zlib
from pathlib import Path

import schemathesis

KNOWN = json.loads(Path("known.json").read_text())


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and zlib.crc32(repr(body).encode()) % 2:
        known = {name: KNOWN[name] for name, value in body.items() if name in KNOWN and isinstance(value, str)}
        return {**body, **known}
    return body
