"""``python -m infra.local.qstash``: the local QStash as a process."""

from __future__ import annotations

import argparse

from .server import serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser("python -m infra.local.qstash", description="A QStash on this machine.")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0, the default: a free one")
    parser.add_argument("--json", action="store_true", help="print one line of JSON when ready")
    parser.add_argument("--test-hosts", action="store_true", help="answer public test hosts, don't call them")
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS", help="keep what is delivered")
    given = parser.parse_args()
    serve(port=given.port, as_json=given.json, test_hosts=given.test_hosts, grace_s=given.grace)


if __name__ == "__main__":
    main()
