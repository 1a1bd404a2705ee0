#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: compare_answers
short_description: Prove that two web servers answer alike
version_added: 0.2.0
description:
  - Sends the requests of M(gantry.webstack.parity) to two addresses that speak HTTP, such as the host's nginx and the one of an export, and compares the
    answers as it does - status, headers, cookies, redirects and body, less what differs between the first one's own answers.
  - Files of the static trees that nginx serves are among the requests. The header C(Server) is not compared.
  - Asked at a published port, a web server in a container sees the address of its engine's bridge as its client. What shows the client's address has to be
    taken out with C(!/path) in O(requests).
  - Fails on a difference. Nothing is removed or changed.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Sends nothing in check mode, since there may be nobody to ask.
  diff_mode:
    support: N/A
    details: Changes nothing.
  idempotent:
    support: full
    details: Changes nothing.
options:
  services:
    description: Service definitions of a plan.
    type: list
    elements: dict
    required: true
  host:
    description: Who is right, C(HOST:PORT).
    type: str
    default: "127.0.0.1:80"
  other:
    description: Who is compared with it, C(HOST:PORT).
    type: str
    required: true
  requests:
    description: Further requests by service name, and patterns of paths to leave out, as M(gantry.webstack.parity) has them.
    type: dict
    default: {}
  changes:
    description: Patterns of paths that are not compared.
    type: list
    elements: str
    default: []
  limit:
    description: How many requests of the access log are used for each service.
    type: int
    default: 25
  timeout:
    description: Seconds for one answer.
    type: int
    default: 30
seealso:
  - module: gantry.webstack.parity
  - module: gantry.webstack.export
"""

EXAMPLES = r"""
- name: Compare what compose runs with the host
  gantry.webstack.compare_answers:
    services: "{{ plan.services }}"
    other: 127.0.0.1:8080
"""

RETURN = r"""
services:
  description: What was compared of each service, as M(gantry.webstack.parity) tells it.
  returned: always
  type: list
  elements: dict
  sample:
    - service: shop
      requests: 41
      kinds: {health: 1, HEAD: 4, location: 1, access log: 25, static file: 4, resource: 6}
      trees: 0
      files: 0
      unanswered: []
      differences: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._compare_answers import CompareAnswers


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "host": {"type": "str", "default": "127.0.0.1:80"},
            "other": {"type": "str", "required": True},
            "requests": {"type": "dict", "default": {}},
            "changes": {"type": "list", "elements": "str", "default": []},
            "limit": {"type": "int", "default": 25},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    CompareAnswers(module).execute()


if __name__ == "__main__":
    main()
