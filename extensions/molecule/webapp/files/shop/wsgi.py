"""A service of which each release tells its version and the token that it was given."""

import hashlib
import importlib
import os
import pathlib

VERSION = (pathlib.Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()
TOKEN = hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest()[:8]

if VERSION == "broken":
    importlib.import_module("nothing_of_that_name")


def application(environ, start_response):
    """Answers with its version and its token's digest; a sick release is not healthy."""
    if VERSION == "sick":
        print("the stock is empty", flush=True)
        start_response("503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"sick"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{VERSION} {TOKEN}".encode()]
