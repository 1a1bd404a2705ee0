"""Notes that the release was migrated for, in the state that the releases share."""

import pathlib

HERE = pathlib.Path(__file__).parent
with (HERE / "var" / "migrations").open("a", encoding="utf-8") as file:
    file.write((HERE / "VERSION").read_text(encoding="utf-8"))
