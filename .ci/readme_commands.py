"""Print the first two shell lines of a README, as they stand."""

import re
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8")
blocks = re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.strip()]
if len(lines) < 2:
    raise SystemExit(f"{sys.argv[1]}: two shell lines expected, found {lines}")
print(*lines[:2], sep="\n")
