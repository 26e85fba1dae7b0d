"""Writes the manual page: man.py FERROD OUT (the table of settings is the program's own)."""
import json
import os
import re
import subprocess
import sys

HEAD = r""".TH FERROD 8 "" "ferrod @VERSION@" "System Administration"
.SH NAME
ferrod \- SQLite and PostgreSQL databases over HTTP and JSON
.SH SYNOPSIS
.B ferrod
.RI [ "\-\-config FILE" ]
.RI [ SETTING ...]
.br
.B ferrod check\-config
.RI [ SETTING ...]
.br
.B ferrod healthcheck
.RB [ ready ]
.RI [ SETTING ...]
.br
.B ferrod key new \-\-name
.I NAME
.B \-\-scopes
.I A,B
.RB [ \-\-connections
.IR C,D ]
.RB [ \-\-sets
.IR E,F ]
.RB [ \-\-role
.IR R ]
.RB [ \-\-subject
.IR S ]
.RB [ \-\-append
.IR FILE ]
.br
.B ferrod key seal
.br
.B ferrod state export
.RI [ SETTING ...]
.br
.B ferrod backup
.IR FILE | state
.I TARGET
.RI [ SETTING ...]
.br
.B ferrod help
|
.B version
|
.B \-\-print\-settings
|
.B \-\-print\-routes
.SH DESCRIPTION
.B ferrod
serves named connections to SQLite and PostgreSQL databases, models, typed queries, sessions with identity maps,
transactions and raw SQL to any language that can send JSON. Its API is described at
.I /docs
and
.I /openapi.yaml
of the running server. It logs to standard error only.
.SH COMMANDS
.TP
.B check\-config
Reads the settings, the catalog, the keys and the certificate as a start would, and says what is wrong in one line.
.TP
.B healthcheck
Asks the server with these settings for /healthz, or with
.B ready
for /readyz; for containers.
.TP
.B key new
Prints a fresh API key and its entry for the key file; with \-\-append, puts the entry into that file itself.
.TP
.B key seal
Prints a fresh key for
.IR state_key_file .
.TP
.B state export
Prints what is kept in the state as a catalog, with ${env:...} in place of secrets.
.TP
.B backup
Copies an SQLite file, or (state) the one of the state, while servers write it.
.TP
.B help, version
Print the settings, or the versions of the program and its libraries.
.SH SETTINGS
Each is a flag, an environment variable, or a member of the JSON object in the file of
.B \-\-config
(or
.BR FERROD_CONFIG );
a flag wins over the environment, the environment over the file.
"""
TAIL = r""".SH SIGNALS
.TP
.B SIGTERM, SIGINT
Drain: no new connections, running requests finish within
.IR drain_seconds ,
open transactions are rolled back.
.TP
.B SIGHUP
Reads keys, catalog, certificate and log settings again; a fault is logged, and what it concerns stays as it was.
.SH SUPERVISION
A listening socket is inherited as systemd passes it (LISTEN_FDS); READY=1 and STOPPING=1 are sent to NOTIFY_SOCKET.
.SH EXIT STATUS
0 after a drained end, 2 for a setting, port or file that cannot be used, 1 for anything else.
"""


def roff(text):
    return re.sub(r"^([.'])", r"\\&\1", text.replace("\\", r"\e").replace("-", r"\-"))


def main(binary, out):
    # whatever FERROD_ variables are about (the tests have their own), the page shows the defaults
    env = {key: value for key, value in os.environ.items() if not key.startswith("FERROD_")}
    settings = json.loads(subprocess.run([binary, "--print-settings"], env=env, capture_output=True, check=True).stdout)
    version = subprocess.run([binary, "--version"], env=env, capture_output=True, check=True, text=True).stdout.split()[1]
    page = [HEAD.replace("@VERSION@", version)]
    for row in settings:
        page.append(f".TP\n.BR {roff(row['flag'])} \" ({roff(row['env'])})\"\n{roff(row['doc'])}."
                    + (f" Default: {roff(row['default'])}." if row["default"] else "") + "\n")
    page.append(TAIL)
    with open(out, "w", encoding="utf-8") as f:
        f.write("".join(page))


if __name__ == "__main__":
    main(*sys.argv[1:])
