#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Debian packages that must be there
version_added: 0.1.0
description:
  - Installs what is missing of a list of Debian packages in one call, and asks dpkg's database before anything else, which takes milliseconds.
  - Unlike M(ansible.builtin.apt) it needs no C(python3-apt) on the target, so that check mode tells the truth on a host that has nothing yet.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: partial
    details: Shows the packages that were asked for, not those that they depend on.
  idempotent:
    support: full
options:
  names:
    description: The packages. C(a | b) is satisfied by either, and installs the first that the package lists offer when neither is there; C(a ?) is left out
      when they do not offer it.
    type: list
    elements: str
    required: true
  purpose:
    description: What the packages are for, in words, for the message when they cannot be installed.
    type: str
    default: what gantry.webstack needs
  cache_valid_time:
    description: Seconds after which the package lists are fetched again before something is installed.
    type: int
    default: 86400
  lock_timeout:
    description: Seconds to wait for another apt or dpkg to end.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Have an engine, whichever it is
  gantry.webstack.packages:
    names:
      - docker.io | docker-ce
      - python3-docker
"""

RETURN = r"""
installed:
  description: The packages that were installed, or would be.
  returned: success
  type: list
  elements: str
  sample: [docker.io]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._packages import Packages


def main() -> None:
    spec = {
        "names": {"type": "list", "elements": "str", "required": True},
        "purpose": {"type": "str", "default": "what gantry.webstack needs"},
        "cache_valid_time": {"type": "int", "default": 86400},
        "lock_timeout": {"type": "int", "default": 120},
    }
    Packages(AnsibleModule(argument_spec=spec, supports_check_mode=True)).execute()


if __name__ == "__main__":
    main()
