"""Comments in cronlock name the models' rows that hold a rule; each of these rows exists."""

import re

from tests.model.tables import BOUNDED, FAILS, HOLDS, LIMITS
from tests.support.commands import ROOT

QUOTED = r'"[^"]+"'
NAMED = re.compile(rf"models' rows? {QUOTED}(?:(?:, | and |, and ){QUOTED})*")


def test_each_row_named_in_a_comment_exists() -> None:
    """A comment gives a row's name, or its beginning."""
    files = [path for path in (ROOT / "cronlock").rglob("*") if path.suffix in (".py", ".lua")]
    texts = [re.sub(r"\s+(?:#|--)?\s*", " ", path.read_text()) for path in files]
    named = {quoted for text in texts for found in NAMED.findall(text) for quoted in re.findall('"([^"]+)"', found)}
    rows = [*FAILS, *HOLDS, *LIMITS, *BOUNDED]
    assert len(named) >= 5
    assert not [name for name in sorted(named) if not any(row.startswith(name) for row in rows)]
