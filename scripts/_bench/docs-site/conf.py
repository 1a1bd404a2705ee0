"""Sphinx's settings for the documentation's site; scripts/_bench/docs.py puts them beside the pages."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes

project = "gantry.webstack"
author = "gantry.webstack contributors"
copyright = "gantry.webstack contributors, GPL-3.0-or-later"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 4
highlight_language = "text"
nitpicky = True
suppress_warnings = ["toc.empty_glob"]
nitpick_ignore_regex = [("envvar", "(ANSIBLE|NO)_.*")]
html_theme = "furo"
html_title = "gantry.webstack"
html_static_path = ["_static"]
html_css_files = ["webstack.css"]
html_show_sphinx = False
html_copy_source = False
html_use_index = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f54a8", "color-brand-content": "#1f54a8"},
    "dark_css_variables": {"color-brand-primary": "#86b3f5", "color-brand-content": "#86b3f5"},
    "source_repository": "https://github.com/gantry/webstack/",
    "source_branch": "main",
    "source_directory": "docs/",
}

ANSIBLE = "https://docs.ansible.com/ansible/latest/"
LABELS = {"action_plugins": "plugins/action.html", "callback_plugins": "plugins/callback.html",
          "common_return_values": "reference_appendices/common_return_values.html", "ansible_configuration_settings": "reference_appendices/config.html"}
"""Places of Ansible's own documentation that the generated pages name. Its inventory is not asked for: the site is built without a network."""


def elsewhere(dummy_app: Any, dummy_env: Any, node: Any, inner: Any) -> Any:
    """The link for what Ansible and other collections document themselves; nothing for what should have been here."""
    target = str(node.get("reftarget", ""))
    place = LABELS.get(target)
    other = re.fullmatch(r"ansible_collections\.(?!gantry\.)(\w+)\.(\w+)\.(\w+)", target)
    if other:
        place = f"collections/{other[1]}/{other[2]}/{other[3]}.html"
    return nodes.reference("", "", inner, internal=False, refuri=ANSIBLE + place) if place else None


def setup(app: Any) -> None:
    """Sphinx asks for this."""
    app.connect("missing-reference", elsewhere)
