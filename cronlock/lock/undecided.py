"""The verdict on a round of prepare that decided nothing, and the reason that an operator reads. Pure."""

from cronlock.lock import protocol
from cronlock.lock.protocol import Failure
from cronlock.lock.quorum import REFUSED, RETRY, SHOWN, Verdict, is_amnesic, quorum

TYPE_CHECKING = False  # read as true by mypy; saves importing typing (9 ms)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cronlock.lock.requests import Answer, Reply


def undecided(
    replies: "Sequence[Reply | None]",
    location_flags: "Callable[[], str]" = str,
    suggested: "Callable[..., str]" = lambda command, _flags="": f"cronlock {command}",
) -> Verdict:
    """Return the verdict when no more answers will come: retry, after the wait that a voter asked for.

    `suggested` returns a command on this key, with flags if they are given.
    """
    answers = [reply for reply in replies if isinstance(reply, dict)]
    failures = [reply for reply in replies if isinstance(reply, Failure)]
    wait = max((answer.get("wait", 0) for answer in answers), default=0)
    clocks = [answer for answer in answers if answer["answer"] == protocol.CLOCK]
    reasons = dict.fromkeys([*(failure.text for failure in failures), *(answer["clock_off"] for answer in clocks)])
    text = "; ".join(list(reasons)[:SHOWN])
    enough = quorum(len(replies))
    oks = [answer for answer in answers if answer["answer"] == protocol.OK]
    split = any(answer["answer"] in (protocol.BUSY, protocol.YIELD) for answer in answers)
    if any(map(is_amnesic, oks)) and not split and len(oks) >= enough:
        few = _too_few_count(oks, len(replies), location_flags)
        final = [failure for failure in failures if failure.final]
        if final:
            return Verdict(REFUSED, text=f"{final[0].text} ({few})")
        if failures and not any(answer["token"] for answer in answers):
            text += f"; start what is missing, or run {suggested('adopt', '--leave-out ')}"
        text = "; ".join(filter(None, (text, _partial_pause(answers, len(replies), suggested))))
        return Verdict(RETRY, text=f"{few}: {text}" if text else few, reached=False)
    outlived = next((answer for answer in answers if answer["answer"] == protocol.HELD and is_amnesic(answer)), None)
    if outlived and not text:
        which = "a voter" if len(replies) > 1 else "the server"
        text = f"{which} was restarted or promoted during a run on {outlived['node']} whose lease has not expired"
    text = "; ".join(filter(None, (text, _partial_pause(answers, len(replies), suggested))))
    return Verdict(RETRY, text=text, wait=wait, reached=len(answers) - len(clocks) >= enough)


def _partial_pause(answers: "Sequence[Answer]", voters: int, suggested: "Callable[..., str]") -> str:
    """Return the text about a pause that did not reach a quorum: its command was told so, but the voters keep it."""
    paused = sum(answer["answer"] == protocol.PAUSED for answer in answers)
    if not paused:
        return ""
    return f"a pause is recorded at only {paused} of {voters} voters: run {suggested('resume')}"


def _too_few_count(oks: "Sequence[Answer]", voters: int, location_flags: "Callable[[], str]") -> str:
    """Return why the oks of a quorum are not enough: the key is new, or copies are amnesic."""
    forgot = sum(not answer["token"] for answer in oks)
    if forgot == len(oks):
        return f"{forgot} of {voters} voters have no record of this key; a key's first run needs every voter"
    restarted = sum(bool(answer["token"] and answer["restarted"]) for answer in oks)
    good = len(oks) - forgot - restarted
    text = f"{good} of {voters} voters count{'s' * (good == 1)} for this key"
    text += f", {restarted} {'was' if restarted == 1 else 'were'} restarted or promoted" if restarted else ""
    text += f", {forgot} {'has' if forgot == 1 else 'have'} no record of it" if forgot else ""
    check = f"cronlock check {location_flags()}".rstrip()
    return f"{text}; all count again after a run that every voter answers: run {check}"
