#!/usr/bin/python
# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: discover
short_description: Make a plan and a report of a live host
version_added: 0.1.0
description:
  - Collects evidence on the target with M(gantry.webstack.evidence_info) and makes a plan of it on the control node, one YAML file for each
    host, with a report beside it that opens in a browser without a network.
  - The plan names every service that nginx leads to with its user, code, Python, uWSGI options, state, files, secrets (by place, never by value),
    workers, schedule and needs, says whether it can be converted and why not, and lists what else is on the host, which is kept,
    external, or what nobody could explain.
  - Changes nothing on the target. The same host gives the same plan, byte for byte.
  - The plan is yours to edit. A next run merges what it finds into it, key by key and item by item - a value that was edited stays, and a comment above it
    says what was found. Where the host has changed at the same place meanwhile, the edit stays too, and the run says so once (RV(conflicts) and a warning).
  - Comments stay with the key or the item of a list that they stand at, and go when it goes. Blank lines, quotes and flow style are not kept. Lines that begin
    with C(# discover:) are made anew by each run.
  - What was found last, without edits, is C(.discovered/HOST.yml). Commit it with the plans; where it is missing, each difference counts as a conflict,
    and the plan's value stays.
  - C(plan.schema.json) is written beside the plans, where editors with a YAML language server find it, and C(index.html) with a line for each plan there.
extends_documentation_fragment:
  - gantry.webstack._attributes
attributes:
  check_mode:
    support: full
    details: Looks at the host, makes the plan and returns it, but writes no file.
  diff_mode:
    support: full
    details: Shows how the plan file changes, and names the files made from it that change, too.
  idempotent:
    support: full
    details: A second run on an unchanged host writes nothing.
options:
  dir:
    description: Directory on the control node for C(HOST.yml), C(HOST.html), C(index.html) and what discover needs beside them.
    type: str
    default: ./webstack-plans
  host:
    description: Name of the host in the plan and of the files; the inventory's name unless given.
    type: str
  reuse:
    description: When the plan file is there, check it against the schema and return it, without asking the host.
    type: bool
    default: false
  kept:
    description: What may stay on the host though nothing there explains it. It is listed as kept, with the reason, instead of as unexplained.
    type: list
    elements: dict
    default: []
    suboptions:
      what:
        description: Pattern as in a shell (C(*), C(?), C([...])) for the C(what) of the ledger's entries.
        type: str
        required: true
      reason:
        description: Why it stays.
        type: str
        required: true
      kind:
        description: Only entries of this kind, such as C(unit), C(cron) or C(listener). Blind spots are explained with C(blind) here only.
        type: str
  store:
    description:
      - Where plan and report are kept when the control node's disk is not, as in AWX. V(host), or a git repository; see M(gantry.webstack.plan_store).
      - What is kept there is taken over first, so that edits are merged as ever; what changes goes there.
      - A plan that was edited both in O(dir) and in the store since they were the same is refused.
    type: raw
    default: ""
    version_added: 0.2.0
  store_auth:
    description: Credentials of a store in a git repository; see M(gantry.webstack.plan_store).
    type: dict
    default: {}
    version_added: 0.2.0
requirements:
  - crossplane, jsonschema, jmespath on the control node
  - root on the target; without it much is not seen, and each blind spot is listed
seealso:
  - module: gantry.webstack.evidence_info
  - module: gantry.webstack.plan_store
"""

EXAMPLES = r"""
- name: Write a plan and a report of each host
  become: true
  gantry.webstack.discover:
    dir: ./webstack-plans

- name: Say why something stays that nobody could explain
  become: true
  gantry.webstack.discover:
    kept:
      - what: "mystery.service*"
        reason: Measures the room's temperature, belongs to the facility team

- name: Keep the plan on the host itself, for a next run on another control node
  become: true
  gantry.webstack.discover:
    dir: /tmp/webstack-plans
    store: host

- name: Take the plan that a person has edited
  become: true
  gantry.webstack.discover:
    dir: ./webstack-plans
    reuse: true
  register: discovered
"""

RETURN = r"""
plan:
  description: The plan; its schema is C(plugins/plugin_utils/plan.schema.json).
  returned: success
  type: dict
  sample: {version: 1, host: web1, services: []}
path:
  description: The plan's file on the control node.
  returned: success
  type: str
  sample: /home/ops/webstack-plans/web1.yml
report:
  description: The report's file on the control node.
  returned: success
  type: str
  sample: /home/ops/webstack-plans/web1.html
index:
  description: The page with a line for each plan in the directory.
  returned: success
  type: str
  sample: /home/ops/webstack-plans/index.html
where:
  description: Where the next run finds the plan. The file on the control node, or its place in the store.
  returned: success
  type: str
  sample: host:/var/lib/webstack/.plans/web1.yml
verdicts:
  description: By service, whether it can be converted. C(ready), C(remarks) or C(blocked).
  returned: success
  type: dict
  sample: {"shop": "ready"}
edits:
  description: Where the plan says something else than was found, because a person has edited it; empty when the plan was reused.
  returned: success
  type: list
  elements: dict
  sample: [{place: "services[shop].health.path", plan: /up, found: /, before: /}]
conflicts:
  description: Those of RV(edits) where something else was found than in the run before. The plan's value stays.
  returned: success
  type: list
  elements: dict
  sample: []
reused:
  description: Whether the plan was taken from the file.
  returned: success
  type: bool
  sample: false
ledger:
  description:
    - Every listener, process, unit, timer, cron line, vhost and nginx location with what becomes of it; C(status) is C(converted), C(kept),
      C(external) or C(unexplained). Empty for a plan that was reused.
    - C(next) is when a timer or a configuration manager runs next.
    - C(url) of a vhost or a location is one by which nginx chooses it, where one is known.
  returned: success
  type: list
  elements: dict
  sample: [{kind: unit, what: ssh.service, status: external, evidence: package openssh-server}]
refusal:
  description: The sentence with which a strict run fails; empty when everything is explained and nothing was hidden.
  returned: success
  type: str
  sample: ""
summary:
  description: A line for the host and one for each service, then the first things that are kept or unexplained; it fits a screen.
  returned: success
  type: list
  elements: str
  sample: ["web1: 1 service, 0 kept, 0 external, 0 unexplained", "  shop  host       ready"]
"""
