"""A Python user's own solution: a lock around one command, on several servers, with common libraries."""

import subprocess
import sys
import uuid

import click
import redis

RELEASE = 'if redis.call("get", KEYS[1]) == ARGV[1] then return redis.call("del", KEYS[1]) end return 0'


@click.command()
@click.option("--redis", "urls", multiple=True, required=True)
@click.option("--key", required=True)
@click.option("--lease", default=60, help="seconds")
@click.argument("command", nargs=-1, required=True)
def main(urls: tuple[str, ...], key: str, lease: int, command: tuple[str, ...]) -> None:
    token = uuid.uuid4().hex
    servers = [redis.Redis.from_url(url) for url in urls]
    got = [server.set(key, token, nx=True, px=lease * 1000) for server in servers]
    try:
        won = sum(map(bool, got)) > len(servers) // 2
        sys.exit(subprocess.run(command, check=False).returncode if won else 0)
    finally:
        for server in servers:
            server.eval(RELEASE, 1, key, token)


if __name__ == "__main__":
    main()
