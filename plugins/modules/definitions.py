#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: definitions
short_description: Check service definitions before anything is touched
version_added: 0.1.0
description:
  - Makes the same checks as P(gantry.webstack.complete#filter), and those of all modules that install, and fails with the first complaint,
    one sentence that names the service and the value.
  - Runs on the control node and asks no host.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Changes nothing.
  idempotent:
    support: full
options:
  services:
    description: Service definitions, as in C(webstack_services).
    type: list
    elements: dict
    required: true
  secrets:
    description: Values of the services' secrets, a dictionary of dictionaries by service and secret, as in C(webstack_secrets).
    type: dict
    default: {}
  roles:
    description: Roles of this collection whose variables are checked too, against their argument specs.
    type: list
    elements: str
    default: []
requirements:
  - jsonschema, jmespath on the control node
seealso:
  - plugin: gantry.webstack.complaint
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Check the definitions
  gantry.webstack.definitions:
    services: "{{ webstack_services }}"
    secrets: "{{ webstack_secrets }}"
"""

RETURN = r"""
{}
"""

# An action plugin does the work; this file is its documentation.
