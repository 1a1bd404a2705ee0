"""edit_plan.py PLAN LOCK: as a person would, ask for a rebuilt virtual environment and for what nobody can see in the image of ``second``, and say
where the calendars lie, which a file of their application's own kind names."""

import sys
from pathlib import Path

import yaml

path, lock = Path(sys.argv[1]), sys.argv[2]
plan = yaml.safe_load(path.read_text(encoding="utf-8"))
services = {service["name"]: service for service in plan["services"]}
services["second"]["python"]["requirements"] = lock
services["second"]["container"] = {"venv": "rebuilt", "packages": ["logrotate"], "paths": ["/srv/extra"]}
services["calendars"]["state"] = [{"path": "/srv/calendars"}]
path.write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")
