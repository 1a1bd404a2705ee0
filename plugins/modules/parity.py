#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: parity
short_description: Prove that a candidate answers as the host does
version_added: 0.1.0
description:
  - Sends the same requests to the host's socket, the candidate's, and the host's again.
    What differs between the host's own two answers is noise; any other difference in status, headers, cookies or body stops the conversion.
  - The requests are the health path, the nginx locations, a page that does not exist, the latest safe requests of the access log, and O(requests).
  - Only GET and HEAD are sent unless O(requests) names another method.
  - On a difference the candidate is removed and the host serves on unchanged.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Sends nothing in check mode, since there may be no candidate.
  diff_mode:
    support: none
    details: Nothing of the host changes.
  idempotent:
    support: full
    details: Never reports a change.
requirements:
  - docker (the SDK for Python) on the target
options:
  services:
    description: Service definitions of a plan.
    type: list
    elements: dict
    required: true
  requests:
    description: Further requests by service name, each a list of targets such as C(/about?x=1) or C(POST /search).
    type: dict
    default: {}
  limit:
    description: How many requests of the access log are used for each service.
    type: int
    default: 25
  timeout:
    description: Seconds for one answer.
    type: int
    default: 30
seealso:
  - module: gantry.webstack.candidate
  - module: gantry.webstack.switch
"""

EXAMPLES = r"""
- name: Prove the candidates
  gantry.webstack.parity:
    services: "{{ plan.services }}"
    requests:
      shop: ["/search?q=socks", /sitemap.xml]
"""

RETURN = r"""
services:
  description: How many requests were compared for each service, and what differed.
  returned: success
  type: list
  elements: dict
  sample:
    - service: shop
      requests: 23
      differences: []
differences:
  description: Every request that the candidate answers otherwise.
  returned: failure
  type: list
  elements: dict
  sample:
    - request: GET /prices
      what: ["body says '1,00' where the host says '1.00'"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._parity_module import ParityModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "requests": {"type": "dict", "default": {}},
            "limit": {"type": "int", "default": 25},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    ParityModule(module).execute()


if __name__ == "__main__":
    main()
