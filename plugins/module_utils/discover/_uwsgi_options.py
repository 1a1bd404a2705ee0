# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a reader of uWSGI command lines must know of its option tables (uWSGI 2.0: core/uwsgi.c, plugins/*/)."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

FLAGS = frozenset("""
    abstract-socket alarm-list alarms-list auto-procname autoload cache-no-expire cache-report-freed-items
    cache-use-last-modified carbon-name-resolve carbon-no-workers carbon-resolve-names carbon-use-metrics
    catch-exceptions cflags cgi-async-max-attempts cgi-close-stdin-on-eof cgi-do-not-kill-on-error cgi-from-docroot
    cgi-mode cgi-optimize cgi-optimized cgi-path-info cheap cheaper-algo-list cheaper-algos-list cheaper-list
    check-static-docroot clock-list clocks-list close-on-exec close-on-exec2 command-mode config-py
    daemons-honour-stdin die-on-idle die-on-term disable-logging disable-sendfile disable-write-exception dot-h
    drop-after-apps drop-after-init dump-options early-emperor emperor-graceful-shutdown emperor-magic-exec
    emperor-no-blacklist emperor-nofollow emperor-tyrant emperor-tyrant-nofollow enable-metrics
    enable-proxy-protocol enable-threads end-blacklist end-whitelist exit-on-reload fastrouter-cheap
    fastrouter-fallback-on-no-key force-gateway freebind gevent-early-monkey-patch gevent-monkey-patch
    gevent-wait-for-hub greenlet harakiri-no-arh harakiri-verbose help honour-range honour-stdin http-auto-chunked
    http-auto-gzip http-cheap http-chunked-input http-manage-rtsp http-manage-source http-raw-body http-websockets
    https-export-cert if-not-reload if-reload ignore-script-name ignore-sigpipe ignore-write-errors
    imperial-monitor-list imperial-monitors-list jailed lazy lazy-apps log-4xx log-5xx log-format-strftime
    log-master log-master-req-stream log-master-stream log-micros log-reopen log-truncate log-x-forwarded-for
    log-zero logfile-chown logformat-strftime logger-list loggers-list loop-list loops-list manage-script-name
    master master-as-root memory-report metric-dir-restore metrics-dir-restore metrics-no-cores never-swap
    no-default-app no-defer-accept no-fd-passing no-harakiri-after-req-hook no-harakiri-arh no-initgroups no-orphans
    no-server no-site no-threads-wait paste-logger pcre-jit persistent-ipcsem php-dump-config plugin-list
    plugins-list propagate-touch pty-input pty-log pty-no-isig py-call-osafterfork py-call-uwsgi-fork-hooks
    python-version rawrouter-cheap rawrouter-xclient re-fork re-fork-as-root re-fork-post-jail reaper refork
    refork-as-root refork-post-jail reload-on-exception reload-os-env reuse-port router-list routers-list
    setns-preopen show-config shutdown-sockets single-interpreter skip-atexit skip-atexit-teardown skip-zero
    so-keepalive so-send-timeout so-write-timeout socket-send-timeout socket-write-timeout spooler-ordered
    spooler-quiet ssl-enable-sslv3 ssl-enable-tlsv1 ssl-enable3 ssl-option ssl-verbose start-unsubscribed
    start_response-nodelay static-gzip-all stats-http stats-min stats-minified stats-no-cores stats-no-metrics
    strict subscription-dotsplit subscriptions-use-credentials tcp-fast-open-client tcp-fastopen-client tcp-nodelay
    threaded-logger thunder-lock ugreen unsubscribe-on-graceful-reload usage use-abort vacuum version vhost
    vhost-host write-errors-exception-only wsgi-accept-buffer wsgi-accept-buffers wsgi-disable-file-wrapper
    wsgi-strict zerg-fallback
""".split())
"""Options of the core and the common plugins that take no argument on the command line."""

OPTIONAL = frozenset("""
    check-cache chmod chmod-socket end-for end-if endfor endif exit fastrouter-use-cache fastrouter-use-socket
    http-enable-proxy-protocol http-keepalive http-manage-expect http-use-cache http-use-socket ksm log-date
    log-prefix log-syslog logdate mule mule-msg-size need-app pyshell pyshell-oneshot rawrouter-use-cache
    rawrouter-use-socket snmp ssl-session-use-cache ssl-sessions-use-cache ssl-verify-depth
""".split())
"""Options that take an argument only in the form --name=value."""

IMMEDIATE = frozenset("""
    autoload binary-append-data blacklist cflags command-mode config connect-and-read declare-option dlopen
    early-envdir end-blacklist end-whitelist exit extract fallback-config flock flock-wait flock-wait2 flock2 help
    immediate-gid immediate-uid include ini ini-paste ini-paste-logged inject-after inject-before iprint js json
    listen need-plugin need-plugins pause pcre-jit plugin plugin-dir plugins plugins-dir print-sym print-symbol
    python-version reload resolve resume set set-ph set-placeholder signal spooler-processes stop strict suspend
    umask usage whitelist xml xmlconfig yaml yml
""".split())
"""Options that act while the configuration is read: $(), @() and %() are not resolved in their values."""

SHORT = {
    "s": "socket", "p": "processes", "t": "harakiri", "x": "xmlconfig", "S": "set", "d": "daemonize", "l": "listen", "v": "max-vars",
    "b": "buffer-size", "m": "memory-report", "c": "cgi-mode", "a": "abstract-socket", "C": "chmod-socket", "T": "enable-threads",
    "i": "single-interpreter", "M": "master", "h": "help", "r": "reaper", "R": "max-requests", "z": "socket-timeout", "A": "sharedarea",
    "Q": "spooler", "L": "disable-logging", "y": "yaml", "j": "json", "w": "module", "J": "test", "H": "home", "O": "optimize",
}
"""Short options and the long name that uWSGI stores them under."""


def parse_argv(argv: Sequence[str]) -> Tuple[List[Tuple[str, Optional[str]]], List[str], List[str]]:
    """Split a command line (without its program) as getopt_long would: options in order, bare arguments, warnings."""
    options: List[Tuple[str, Optional[str]]] = []
    bare: List[str] = []
    warnings: List[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            bare += rest
            break
        if word.startswith("--"):
            name, equal, value = word[2:].partition("=")
            if equal:
                options.append((name, value))
            elif name in FLAGS or name in OPTIONAL:
                options.append((name, None))
            else:
                options.append((name, rest.pop(0) if rest else None))
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], rest, options, warnings)
        else:
            bare.append(word)
    return options, bare, warnings


def _short(letters: str, rest: List[str], options: List[Tuple[str, Optional[str]]], warnings: List[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = SHORT.get(letter)
        if name is None:
            warnings.append("command line: -%s is not known" % letter)
            return
        if name in FLAGS:
            options.append((name, None))
            continue
        if name in OPTIONAL:
            options.append((name, letters or None))
        else:
            options.append((name, letters or (rest.pop(0) if rest else None)))
        return
