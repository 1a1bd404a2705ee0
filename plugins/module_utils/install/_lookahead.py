# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One look at a host for all modules of an install: each runs as in check mode, in one process, until one has something to do."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Set, Type, cast

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import (
    _nginx_sites,
    _packages,
    _python_trees,
    _python_venvs,
    _systemd_units,
    _uwsgi_binary,
    _vassals_look,
    _webapps,
)
from ansible_collections.gantry.webstack.plugins.module_utils.install._webapp_releases import placed

MODULES: Dict[str, Any] = {
    "nginx_sites": (_nginx_sites.NginxSites, _nginx_sites.SPEC),
    "packages": (_packages.Packages, _packages.SPEC),
    "python_trees": (_python_trees.PythonTrees, _python_trees.SPEC),
    "python_venvs": (_python_venvs.PythonVenvs, _python_venvs.SPEC),
    "systemd_units": (_systemd_units.SystemdUnits, _systemd_units.SPEC),
    "uwsgi_check": (_uwsgi_binary.UwsgiCheck, _uwsgi_binary.SPEC),
    "uwsgi_vassals": (_vassals_look.VassalsLook, _vassals_look.SPEC),
    "webapps": (_webapps.Webapps, _webapps.SPEC),
}
"""Class and argument_spec of every module that can be looked at ahead of its run."""

SPEC = {"services": {"type": "list", "elements": "dict", "default": []}, "releases": {"type": "dict", "default": {}},
        "calls": {"type": "list", "elements": "dict", "required": True, "no_log": False,
                  "options": {"module": {"type": "str", "required": True, "choices": sorted(MODULES)}, "args": {"type": "dict", "required": True},
                              "made": {"type": "dict", "default": {}}, "only": {"type": "raw"}, "staged": {"type": "bool", "default": False}}}}
"""argument_spec of the module lookahead; what is made of services, and what is left out, the control node has done before the host is asked."""

_ASKED_FOR = ("code_there", "wheels_needed", "archives_needed")
"""What a module returns that wants more from the control node."""


class _Shell:
    """What a module needs of its AnsibleModule."""

    def __init__(self, params: Dict[str, Any], no_log_values: Set[str]) -> None:
        self.params, self.no_log_values, self.check_mode, self.warned = params, no_log_values, True, False

    def warn(self, text: str) -> None:
        """Somebody has to hear it: the module itself will say it."""
        self.warned = True


class Lookahead(WebstackModule):
    """The module lookahead."""

    def run(self) -> None:
        """See WebstackModule."""
        self.own_words = True  # the modules' answers when they have nothing to do
        calls = [(call["module"], self._validated(call["module"], call["args"]), call["staged"]) for call in self.params["calls"]]
        self.params.clear()  # other modules' secrets are in it, which their own specs know
        answers: List[Dict[str, Any]] = []
        staged: Dict[str, Any] = {}
        for name, params, of_releases in calls:
            if params is not None and of_releases:
                params["venvs"] = placed(params["venvs"], staged)
            answer = self._answer(MODULES[name][0], params)
            if answer is None:
                break
            answers.append(answer)
            staged = answer.get("staged", staged)
        self.result["answers"] = answers

    def _validated(self, name: str, args: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Complete parameters; None for what the module itself will refuse."""
        validated = ArgumentSpecValidator(MODULES[name][1]).validate(args)
        self.module.no_log_values.update(validated._no_log_values)
        return None if validated.error_messages else validated.validated_parameters

    def _answer(self, kind: Type[WebstackModule], params: Optional[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
        """What the module would return, when it has nothing to do or to say."""
        if params is None:
            return None
        shell = _Shell(params, self.module.no_log_values)
        module = kind(cast(AnsibleModule, shell))
        try:
            module.run()
        except Exception:  # whatever it is, the module itself meets it next and reports it
            return None
        if module.changed or not module.settled or shell.warned or any(module.result.get(key) for key in _ASKED_FOR):
            return None
        return {"changed": False, "diff": [], **module.result}
