#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lookahead
short_description: Look in one round trip how much of an install there is to do
version_added: 0.2.0
description:
  - Runs other modules of this collection as in check mode, one after the other in one process, until one has something to do. Nothing is changed.
  - What is registered as C(__webstack_seen) spares those modules their round trips in the rest of the play, when they are called with the very same
    arguments. From the first one on that has something to do, they all ask the host themselves. Other tasks that change the host must not stand between.
extends_documentation_fragment:
  - gantry.webstack._attributes
  - gantry.webstack._attributes.action
attributes:
  action:
    support: full
  check_mode:
    support: full
    details: Reads only.
  diff_mode:
    support: none
    details: Nothing is changed, so there is nothing to show.
  idempotent:
    support: full
options:
  services:
    description: Service definitions, of which O(calls[].made) are made.
    type: list
    elements: dict
    default: []
  releases:
    description: The releases that are asked for, by service, as C(webapp_release) of the role P(gantry.webstack.webapp#role) has them.
    type: dict
    default: {}
  calls:
    description: The modules and their arguments, in the order in which the play calls them.
    type: list
    elements: dict
    required: true
    suboptions:
      module:
        description: A module's name.
        type: str
        required: true
        choices: [nginx_sites, packages, python_trees, python_venvs, systemd_units, uwsgi_check, uwsgi_vassals, webapps]
      args:
        description: Its arguments.
        type: dict
        required: true
      made:
        description:
          - Further arguments, each with the filter of this collection that makes it of O(services).
          - The services are completed once for all of them; an expression in each of O(calls[].args) would do that each time.
        type: dict
        default: {}
      only:
        description: Leave the call out when this is empty or false, as a condition of its task does.
        type: raw
      staged:
        description: C(venvs) of the arguments stand where the call of M(gantry.webstack.webapps) before it says that its releases have them.
        type: bool
        default: false
"""

EXAMPLES = r"""
- name: Look what is to be done
  gantry.webstack.lookahead:
    calls:
      - module: packages
        args:
          names: [nginx]
          purpose: nginx
  register: __webstack_seen

- name: Install nginx
  gantry.webstack.packages:
    names: [nginx]
    purpose: nginx
"""

RETURN = r"""
unchanged:
  description: The answers of the modules that have nothing to do, by a digest of module and arguments.
  returned: success
  type: dict
  sample: {}
begins_with:
  description: The first module that has something to do; empty when there is none.
  returned: success
  type: str
  sample: uwsgi_vassals
play:
  description: The play in which the answers are good.
  returned: success
  type: str
  sample: 0242ac11-0002-7a1c-9d3e-000000000002
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.install._lookahead import SPEC, Lookahead


def main() -> None:
    # Without the log of invocations: other modules' secrets are among the arguments.
    Lookahead(AnsibleModule(argument_spec=SPEC, supports_check_mode=True, no_log=True)).execute()


if __name__ == "__main__":
    main()
