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
    What differs between the host's own answers is noise (dates, tokens, ids, counters, order); any other difference in status, headers, cookies,
    redirects or body stops the conversion. A difference is asked again, up to five times, before it counts.
  - The requests are the health path, the nginx locations under each server name, pages that do not exist, files of static trees that the service serves
    itself, the latest safe requests of the access logs (in the C(log_format) that the site names), and O(requests).
  - The host's answers lead to more of them, a few of each kind. These are the files that its pages and style sheets load, targets of redirects, ranges
    where it accepts them, conditional requests where it gives validators, HEAD, and variants where it says V(Vary).
  - Static trees that belong to the service are compared between host and container by names, sizes, and the content of small files.
  - Only GET and HEAD are sent unless O(requests) names another method. Requests that the host itself does not answer are left out.
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
    details: Reports a change only where a file of O(dir) changes on the control node.
requirements:
  - docker (the SDK for Python) on the target
options:
  services:
    description: Service definitions of a plan.
    type: list
    elements: dict
    required: true
  requests:
    description:
      - Further requests by service name, each a list of targets such as C(/about?x=1) or C(POST /search).
      - C(!/path/*) takes out what has a path of this pattern, for pages that never are the same twice in a way that cannot be learned, such as a process's
        uptime.
    type: dict
    default: {}
  beside:
    description: Who is asked for what is right, the C(host) or the C(container) that serves; see M(gantry.webstack.candidate).
    type: str
    choices: [host, container]
    default: host
  changes:
    description:
      - Patterns of paths that a new version may answer otherwise, such as C(/static/*); they are not compared. C(*) stands for anything, also for slashes.
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
  dir:
    description:
      - The directory of plans on the control node. What was compared is written there, into C(HOST.parity.json), and shown in the host's report, good or bad.
      - Nothing is written without it.
    type: path
  host:
    description: The name of the host's files in O(dir); the inventory's name unless given.
    type: str
  store:
    description: Where the files go as well when something differs, since the run ends then; see M(gantry.webstack.plan_store).
    type: raw
    version_added: 0.2.0
  store_auth:
    description: Credentials of a store in a git repository; see M(gantry.webstack.plan_store).
    type: dict
    version_added: 0.2.0
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
  description:
    - What was compared of each service. How many requests, of which kinds, how many files of how many static trees, which requests the host itself does not
      answer, and what differed.
    - Each difference has the lines of a diff of both answers, C(-) the host's and C(+) the container's, without secrets, values of cookies and of queries.
  returned: always
  type: list
  elements: dict
  sample:
    - service: shop
      requests: 41
      kinds: {health: 1, HEAD: 4, location: 1, access log: 25, error page: 2, resource: 6, conditional: 2}
      trees: 1
      files: 310
      unanswered: []
      differences: []
differences:
  description: Every request of the first service in question that the candidate answers otherwise.
  returned: failure
  type: list
  elements: dict
  sample:
    - request: GET /prices
      kind: access log
      what: ["body says '1,00' where the host says '1.00'"]
      diff: [" HTTP 200", "-<td>1.00</td>", "+<td>1,00</td>"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.move._parity_module import ParityModule


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec={
            "services": {"type": "list", "elements": "dict", "required": True},
            "requests": {"type": "dict", "default": {}},
            "beside": {"type": "str", "choices": ["host", "container"], "default": "host"},
            "changes": {"type": "list", "elements": "str", "default": []},
            "limit": {"type": "int", "default": 25},
            "timeout": {"type": "int", "default": 30},
            "dir": {"type": "path"},
            "host": {"type": "str"},
            "store": {"type": "raw"},
            "store_auth": {"type": "dict", "no_log": True},
        },
        supports_check_mode=True,
    )
    ParityModule(module).execute()


if __name__ == "__main__":
    main()
