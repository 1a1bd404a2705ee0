#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: plan_store
short_description: Hand plan and report of a host on to the next run
version_added: 0.2.0
description:
  - Where the control node's disk does not outlast a run, as in AWX, plan, report, what parity compared and the bills of materials go to the
    managed host or into a git repository. M(gantry.webstack.discover) with the same O(store) takes them over first in the next run.
  - The files are O(dir)/HOST.yml, HOST.html, HOST.parity.json, .discovered/HOST.yml and sbom/HOST/*.cdx.json. No secret is in them.
  - A plan in the store that somebody else has changed since this run has read it is never replaced.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: How a plan changes is shown by M(gantry.webstack.discover).
  idempotent:
    support: full
options:
  dir:
    description: Directory of plans on the control node.
    type: str
    default: ./webstack-plans
  host:
    description: Name of the host's files; the inventory's name unless given.
    type: str
  store:
    description:
      - V(host) keeps the files on the managed host, in C(/var/lib/webstack/.plans), for root alone.
      - The URL of a git repository, C(URL#BRANCH), or a mapping with C(repo), C(branch) (C(main) unless given), C(path) (a directory in it) and C(author)
        (C(NAME <MAIL>)) has the files pushed there, with a commit for each host that changes. The control node needs git.
      - Nothing is handed on when it is empty.
    type: raw
    default: ""
  store_auth:
    description:
      - For a git repository, C(key_file) (a private SSH key), C(known_hosts_file), or C(username) and C(password). Without C(known_hosts_file) a server's key
        is accepted when it is met for the first time.
    type: dict
    default: {}
requirements:
  - git on the control node, for a store in a git repository
seealso:
  - module: gantry.webstack.discover
"""

EXAMPLES = r"""
- name: Keep plan and report on the host
  become: true
  gantry.webstack.plan_store:
    store: host

- name: Push them to a repository
  gantry.webstack.plan_store:
    store:
      repo: git@git.example.org:ops/plans.git
      path: production
    store_auth:
      key_file: /etc/webstack/plans-key
"""

RETURN = r"""
where:
  description: Where the next run finds the plan.
  returned: success
  type: str
  sample: host:/var/lib/webstack/.plans/web1.yml
"""
