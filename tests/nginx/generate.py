"""Random nginx configurations that nginx accepts: servers on shared listens with overlapping names, locations in locations."""

from __future__ import annotations

import random

NAMES = ("a.test", "b.test", "*.test", "*.a.test", "a.*", r"~^(?<x>[ab])\.t", "~z", ".c.test", "_", "A.Test", "x.a.test", "c.test",
         "*.c.test", "", "b.*", "a.b.*", "x.a.*", ".test", r"~^www\d+\.(?P<dom>.+)$", "~[[:digit:]]{2}")
TEXTS = ("/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/static/", "/x.php", "/a b", "/ä", "/A", "/a/b/")
EXPRESSIONS = (r"\.php$", "^/a", "/b", "^/a/(?<n>.)", "B", r"\.(png|jpe?g)$", "^/([^/]+)/b$", r"^/a(/|$)", r"^(?!/a)", r"/\d+", "^/a[[:alpha:]]+",
               "(?:ab){1,2}")
LISTENS = ("80", "80", "[::]:80", "8080", "127.0.0.1:80", "127.0.0.1:8080", "[::1]:8080", "*:8081", "127.0.0.77:80", "localhost:8082", "[::]:8083 ipv6only=off")


class Generator:
    """One configuration."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.defaults: set[str] = set()
        self.seen: set[str] = set()

    def text(self) -> str:
        """The whole file."""
        servers = [self._server() for _number in range(self.rng.randint(1, 6))]
        return "events {}\nhttp {\nserver_names_hash_bucket_size 128;\n" + "\n".join(servers) + "\n}\n"

    def _server(self) -> str:
        lines = []
        for listen in dict.fromkeys(self.rng.sample(LISTENS, self.rng.choice((0, 1, 1, 2, 3)))):
            place, _space, options = listen.replace("*:", "").partition(" ")
            if options and place in self.seen:
                listen = place  # nginx wants options once
            self.seen.add(place)
            default = place not in self.defaults and self.rng.random() < 0.2
            if default:
                self.defaults.add(place)
            lines.append(f"listen {listen}{' default_server' if default else ''};")
        names = self.rng.sample(NAMES, self.rng.randint(0, 3))
        if names:
            lines.append("server_name " + " ".join(f'"{name}"' for name in names) + ";")
        if self.rng.random() < 0.15:
            lines.append("merge_slashes off;")
        if self.rng.random() < 0.1:
            lines.append('try_files "$uri" /a/b;')
        lines += self._locations("", "", 0)
        return "server {\n" + "\n".join(lines) + "\n}"

    def _locations(self, modifier: str, text: str, depth: int) -> list[str]:
        found: dict[tuple[str, str], str] = {}
        for _number in range(self.rng.randint(0, 6 if depth == 0 else 3)):
            kind = self.rng.choice(("", "", "=", "^~", "~", "~*"))
            inner = self.rng.choice(EXPRESSIONS if kind in ("~", "~*") else TEXTS)
            if depth and kind not in ("~", "~*") and (modifier in ("~", "~*") or not inner.startswith(text)):
                continue
            key = ("" if kind == "^~" else kind, inner)
            if key not in found:
                found[key] = self._location(kind, inner, depth)
        return list(found.values())

    def _location(self, kind: str, text: str, depth: int) -> str:
        lines = self._locations(kind, text, depth + 1) if depth < 2 and kind != "=" and self.rng.random() < 0.5 else []
        chance = self.rng.random()
        if chance < 0.35:
            lines.append("proxy_pass http://127.0.0.1:9;")
        elif chance < 0.45:
            lines.append(f"try_files $uri {self.rng.choice(TEXTS[:5])};")
        elif chance < 0.5:
            lines.append("internal;")
        return f'location {kind} "{text}" {{\n' + "\n".join(lines) + "\n}"
