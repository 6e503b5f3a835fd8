import re

from config.settings import ROOT, Settings


def test_the_example_names_every_setting_and_sets_none() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"#(GENIUS_[A-Z_]+)=", line))}
    assert {f"GENIUS_{name.upper()}" for name in Settings.model_fields} <= named
    assert [line for line in lines if line and not line.startswith("#")] == []
