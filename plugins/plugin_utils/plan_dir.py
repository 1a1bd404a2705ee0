# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of the directory of plans on the control node: their names, read and written whole."""

from __future__ import annotations

import os
import tempfile

from ansible.errors import AnsibleActionFail


def file_name(host: str) -> str:
    """A host's name as a file name: an inventory name may hold a slash, and one page is everybody's."""
    name = host.replace(os.sep, "_").lstrip(".") or "host"
    return f"{name}_" if name == "index" else name


def read(path: str) -> str | None:
    """A file's text; None when there is none. Raises AnsibleActionFail."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise AnsibleActionFail(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise AnsibleActionFail(f"{path} cannot be read: it is not UTF-8") from exc


def write(files: dict[str, str]) -> None:
    """Write each file whole or not at all. Raises AnsibleActionFail."""
    for path, text in files.items():
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".webstack-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.chmod(part, 0o644)
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise
        except OSError as exc:
            raise AnsibleActionFail(f"{path} cannot be written on the control node: {exc.strerror}") from exc
