"""The targets, each with its share of a hundred inputs."""

from tests.fuzz import crontabs, lines, replies, resp, times, tomls, urls
from tests.fuzz.harness import Target

TARGETS = {
    target.name: target
    for target in (
        Target("replies", "replies to one connection", 15, resp.make, replies.check_connection, replies.around),
        Target("voters", "replies to an attempt at the lock", 10, resp.make, replies.check_voters, replies.around),
        Target("urls", "URLs of servers", 20, urls.make, urls.check),
        Target("crontabs", "crontabs and shell lines", 15, crontabs.make, crontabs.check),
        Target("tomls", "settings files", 15, tomls.make, tomls.check, tomls.around),
        Target("times", "schedules, zones, ticks, durations", 10, times.make, times.check),
        Target("lines", "command lines of `run`", 15, lines.make, lines.check),
    )
}
