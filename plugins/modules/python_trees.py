#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: python_trees
short_description: Interpreter trees beside the distribution's Python, and the proof that every wanted Python is there
version_added: 0.2.0
description:
  - Refuses, before anything is touched and in check mode too, a wanted Python that neither is on the host nor comes with a listed tree or package, and
    says what is available.
  - Unpacks each listed archive into a prefix of its own, beside what is there; runs the interpreter (its version, C(ssl), C(sqlite3), C(venv), and
    C(ensurepip) where it is there) and then puts the tree in its place in one step. Several versions live side by side.
  - Finds C(bin/python3.X) at the archive's top or up to two directories below, as in the archives of python-build-standalone.
  - An archive is looked at, fetched and sent only when a host does not have its tree yet. A URL is fetched once, on the control node, and kept
    below C(ANSIBLE_HOME) by its digest; the hosts need no way out.
  - Removes trees that it made and that are no longer listed, unless a virtual environment or a process uses them; those stay, with a warning.
  - Unpacks nothing that leads out of its directory, and no devices. C(tar.gz), C(tar.xz), C(tar.bz2) and C(zip) can be read by every host, C(tar.zst) by
    those that have C(zstd).
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  check_mode:
    support: partial
    details: An archive that a host does not have yet is not run.
  diff_mode:
    support: full
  idempotent:
    support: full
  action:
    support: full
options:
  trees:
    description: All interpreter trees of the host.
    type: list
    elements: dict
    default: []
    suboptions:
      version:
        description: The whole version, as in V(3.12.4).
        type: str
        required: true
      archive:
        description: The archive's path on the control node, absolute or relative to the current directory or the playbook's. One of this and
          O(trees[].url) is required.
        type: str
      url:
        description: The archive's address (C(http), C(https) or C(file)), fetched on the control node.
        type: str
      sha256:
        description: The archive's SHA-256.
        type: str
        required: true
      prefix:
        description: Where the tree goes. C(/opt/webstack/python/VERSION) when it is not given.
        type: path
      strip:
        description: How many directories of the archive are above C(bin). Found by itself when it is not given.
        type: int
  wanted:
    description: The Pythons that must be there.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the service.
        type: str
        required: true
      version:
        description: The version, as in V(3.11) or V(3.11.2).
        type: str
      interpreter:
        description: The interpreter's path.
        type: path
      origin:
        description: Whether it must be the distribution's or from a tree.
        type: str
        choices: [package, tree]
  packages:
    description: Packages that are installed afterwards; an interpreter that one of them brings counts as there.
    type: list
    elements: str
    default: []
  packs:
    description: Archives that were sent. The control node's half sets it.
    type: list
    elements: dict
    default: []
    suboptions:
      sha256:
        description: The archive's SHA-256.
        type: str
        required: true
      path:
        description: Where it is on the target.
        type: path
        required: true
"""

EXAMPLES = r"""
- name: Have two Pythons beside the distribution's
  gantry.webstack.python_trees:
    trees:
      - version: 3.12.4
        archive: files/cpython-3.12.4-x86_64.tar.gz
        sha256: 0f7d0a4e2a7a2b3ab0b9b1a1a3f4bb1c4c9b7de1b0d5a6f3f7f4d2b0f3c2a1e9
      - version: 3.13.1
        url: https://mirror.example.org/cpython-3.13.1-x86_64.tar.xz
        sha256: 5b9e2f6d8c3a1b7e4d0f9a8c6b5e3d2f1a0c9b8e7d6f5a4c3b2e1d0f9a8b7c6d
    wanted:
      - name: shop
        version: "3.12"
"""

RETURN = r"""
unpacked:
  description: Prefixes of the trees that were unpacked, or would be.
  returned: success
  type: list
  elements: str
  sample: [/opt/webstack/python/3.12.4]
removed:
  description: Prefixes of the trees that were removed, or would be.
  returned: success
  type: list
  elements: str
  sample: []
kept:
  description: Prefixes of the trees that are no longer listed and still used.
  returned: success
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._python_trees import SPEC, PythonTrees


def main() -> None:
    PythonTrees(AnsibleModule(argument_spec=SPEC, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
