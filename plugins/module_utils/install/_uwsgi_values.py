# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What kind of value a uWSGI option takes, where uWSGI itself would silently take something else for a wrong one.

uWSGI's parsers do not refuse (core/uwsgi.c): a text for a number is read by strtol(3) or strtoul(3), ``many`` as 0 and ``30s`` as 30; any text but
``false``, ``off``, ``no`` and ``0`` switches a flag on.
"""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_options import IMMEDIATE

NUMBERS = frozenset("""
    alarm-freq alarm-msg-size async backtrace-depth body-read-warning buffer-size cache cache-blocksize cache-expire-freq cache-store-sync
    cheaper cheaper-busyness-backlog-alert cheaper-busyness-backlog-multiplier cheaper-busyness-backlog-nonzero cheaper-busyness-backlog-step
    cheaper-busyness-max cheaper-busyness-min cheaper-busyness-multiplier cheaper-busyness-penalty cheaper-idle cheaper-initial cheaper-overload
    cheaper-rss-limit-hard cheaper-rss-limit-soft cheaper-step check-interval chunked-input-limit chunked-input-timeout cpu-affinity
    cron-harakiri emperor-broodlord emperor-curse-tolerance emperor-freq emperor-max-throttle emperor-required-heartbeat emperor-throttle
    evil-reload-on-as evil-reload-on-rss fastcgi-modifier1 fastcgi-modifier2 harakiri harakiri-graceful-signal harakiri-graceful-timeout
    harakiri-queue-threshold heartbeat http-buffer-size http-connect-timeout http-events http-gracetime http-harakiri http-headers-timeout
    http-modifier1 http-modifier2 http-post-buffering http-processes http-socket-modifier1 http-socket-modifier2 http-timeout http-workers
    https-socket-modifier1 https-socket-modifier2 idle limit-as limit-nproc limit-post listen locks log-big log-master-bufsize log-maxsize
    log-slow max-apps max-fd max-requests max-requests-delta max-worker-lifetime max-worker-lifetime-delta mem-collector-freq
    min-worker-lifetime mule-harakiri mule-msg-recv-size mule-msg-size mule-reload-mercy multicast-loop multicast-ttl offload-thread
    offload-threads optimize ping-timeout post-buffering post-buffering-bufsize processes py-auto-reload py-autoreload python-auto-reload
    python-autoreload queue queue-blocksize queue-store-sync raw-modifier1 raw-modifier2 reload-mercy reload-on-as reload-on-pss reload-on-rss
    reload-on-uss response-headers-limit rpc-max rsyslog-packet-size scgi-modifier1 scgi-modifier2 signal-bufsize signals-bufsize socket-rcvbuf
    socket-sndbuf socket-timeout spooler-freq spooler-frequency spooler-harakiri spooler-max-tasks spooler-processes ssl-session-timeout
    ssl-sessions-timeout static-cache-paths stats-pusher-default-freq stats-pushers-default-freq subscribe-freq subscription-mountpoint
    subscription-mountpoints subscription-tolerance subscription-tolerance-inactive subscriptions-sign-check-tolerance tcp-fast-open
    tcp-fastopen thread-stack-size thread-stacksize threads threads-stack-size threads-stacksize ugreen-stacksize vassal-sos vassal-sos-backlog
    wait-for-fs-timeout wait-for-iface-timeout wait-for-interface-timeout wait-for-socket-timeout wait-iface-timeout wait-interface-timeout
    websocket-max-size websocket-ping-freq websocket-pong-tolerance websockets-max-size websockets-ping-freq websockets-pong-tolerance weight
    worker-reload-mercy workers write-errors-tolerance
""".split())
"""Options that need an argument and are parsed by uwsgi_opt_set_int, _64bit, _16bit or _megabytes (2.0.19 to 2.0.30; core and plugins)."""

_AT_ONCE = re.compile(r"(.|(end-?)?(for|if).*|else|declare-option.*|resolve|xml.*|i?print.*|ienv|early-.*|build-plugin|ldap.*|.*-ini-paste.*)\Z")
"""More options than IMMEDIATE has that uWSGI carries out while it reads its command line; it is asked about none of them."""

_SWITCHES = ("true", "false", "on", "off", "yes", "no")


def not_a_number(options: Mapping[str, Any]) -> Optional[str]:
    """The first number that is none, as a clause; None when all are. ``@(...)`` is read from elsewhere when uWSGI starts. Pure."""
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            right = item is False or not isinstance(item, bool) and re.match(r"-?\d+(\.\d+)?\Z|@\(", str(item).strip())
            if name in NUMBERS and not right:
                return "%s is %s, but uWSGI reads a number there" % (name, _shown(item))
    return None


def texts(options: Mapping[str, Any]) -> List[str]:
    """The options with a text that no flag can have; uWSGI can be asked about them without anything being done. Pure."""
    return sorted(name for name, value in options.items()
                  if name not in IMMEDIATE and not _AT_ONCE.match(name) and _text(value) is not None)


def flag_with_text(said: str, options: Mapping[str, Any]) -> Optional[str]:
    """The flag that was given a text, as a clause, out of what uWSGI's getopt_long(3) said about ``--NAME=-``; None when it said nothing. Pure."""
    match = re.search(r"option '--([\w.-]+)' doesn't allow an argument", said)
    if match is None or match.group(1) not in options:
        return None
    return "%s is %s, but it takes no value; write true or false" % (match.group(1), _shown(_text(options[match.group(1)])))


def _text(value: Any) -> Optional[str]:
    for item in value if isinstance(value, list) else [value]:
        # A flag may be read as a number in a configuration file (so-send-timeout).
        if isinstance(item, str) and item.strip().lower() not in _SWITCHES and not re.match(r"\d+\Z", item.strip()):
            return item
    return None


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
