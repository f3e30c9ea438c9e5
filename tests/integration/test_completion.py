"""Tab completion: cronlock's answers to its scripts, and their effect in bash, zsh and fish."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from cronlock.config.command_options import COMMAND_OPTIONS, help_of, options_of
from cronlock.config.options import OPTIONS, Choice
from cronlock.output.completion_scripts import SCRIPTS
from cronlock.survey.clients import TIMEOUT
from tests.support.clusters import Cluster
from tests.support.commands import cronlock, home
from tests.support.servers import Server
from tests.support.terminals import BASH, PROMPT, Terminal

ALL = (*OPTIONS, *COMMAND_OPTIONS)
COMMANDS = "run status history check wrap install pause resume unlock forget adopt".split()
OF_KEYS = "status history pause resume unlock forget adopt".split()


def answers(line: str, shell: str = "fish", word: str | None = None, **env: str) -> list[tuple[str, ...]]:
    """What the script of a shell reads when Tab is pressed behind a line: kind, word and explanation of each.

    `word` is what bash is about to replace, as a rule what stands behind the last blank.
    """
    typed = {"COMP_LINE": line, "COMP_WORD": line.rpartition(" ")[2] if word is None else word}
    done = cronlock(env={"_CRONLOCK_COMPLETE": f"{shell}_complete", **typed, **env})
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(answer.split("\t")) for answer in done.stdout.splitlines() if answer]


def words(line: str, shell: str = "fish", word: str | None = None, **env: str) -> list[str]:
    return [answer[1] for answer in answers(line, shell, word, **env) if answer[0] == "plain"]


def read_by(shell: str, line: str) -> list[str]:
    """Return the words of a line as a shell reads them."""
    done = subprocess.run([shell, "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def kinds(line: str) -> list[str]:
    return [answer[0] for answer in answers(line)]


@pytest.fixture
def keys(server: Server) -> list[str]:
    """Keys of both modes on the server, and one with another prefix."""
    where = ("--redis", server.url, "--schedule", "none")
    for words in (["--key", "nightly"], ["--each", "--node", "n", "--key", "night-watch"], ["--key", "tidy"]):
        assert cronlock("run", *where, *words, "true", forked=True).returncode == 0
    assert cronlock("run", *where, "--prefix", "other", "--key", "nice", "true", forked=True).returncode == 0
    return ["night-watch", "nightly", "tidy"]


# What is completed


def test_the_commands() -> None:
    assert words("cronlock ") == COMMANDS
    assert words("cronlock sta") == ["status"]
    assert words("cronlock help ") == COMMANDS
    assert words("cronlock help ad") == ["adopt"]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_with_their_help(command: str) -> None:
    """Exactly the options of the command are offered, with the texts of --help."""
    told = {word: text for _, word, text in answers(f"cronlock {command} --")}
    del told["--help"]
    options = [(flag, help_of(option, command).text) for option in options_of(command) for flag in option.flags]
    assert told == {flag: text for flag, text in options if flag.startswith("--")}


def test_a_given_option_is_not_offered_again_unless_it_may_be_repeated() -> None:
    told = words("cronlock status --local --redis redis://a --")
    assert "--local" not in told
    assert "--redis" in told


@pytest.mark.parametrize("option", [option for option in ALL if isinstance(option.parse, Choice)], ids=lambda o: o.name)
def test_the_words_of_an_option(option) -> None:
    """The words are offered after a blank and after an equals sign."""
    for command in option.commands:
        assert words(f"cronlock {command} --{option.name} ") == list(option.parse.words)
    last = option.parse.words[-1]
    assert words(f"cronlock {command} --{option.name}={last[0]}") == [f"--{option.name}={last}"]


def test_schedules_of_one_word_and_an_interval() -> None:
    assert words("cronlock run --schedule @m") == ["@midnight", "@monthly"]
    assert words("cronlock run --schedule=@ev") == ["--schedule=@every 90m"]
    assert words("cronlock run --schedule @ev", "bash") == ["@every\\ 90m"]
    assert words("cronlock run --schedule n") == ["none"]


@pytest.mark.parametrize("line", ["status --config ", "run --config=/e", "wrap ", "wrap --once /etc/cr"])
def test_files(line: str) -> None:
    """File names are left to the shell."""
    assert kinds(f"cronlock {line}") == ["file"]


def test_a_program_and_then_files_for_its_words() -> None:
    """Options after the command belong to the command, so cronlock offers none."""
    assert kinds("cronlock run ") == ["command"]
    assert kinds("cronlock run --key k -- py") == ["command"]
    for line in ("python ", "python -", "python --key ", "-- python --on-outage ", "-- python -- -"):
        assert kinds(f"cronlock run --key k {line}") == ["file"], line


@pytest.mark.parametrize("line", ["run --ttl ", "run --key k --node ", "history --limit ", "check "])
def test_nothing_is_offered_for_a_free_value(line: str) -> None:
    assert answers(f"cronlock {line}") == []


# Keys


@pytest.mark.parametrize("command", OF_KEYS)
def test_the_keys_that_the_voters_know(command: str, server: Server, keys: list[str]) -> None:
    """Keys of both modes are offered in order, without those already typed."""
    line = f"cronlock {command} --redis {server.url}"
    assert words(f"{line} ") == keys
    assert words(f"{line} ni") == keys[:2]
    assert words(f"{line} nightly ni") == keys[:1]


def test_the_key_of_a_run(server: Server, keys: list[str]) -> None:
    line = f"cronlock run --redis {server.url}"
    for option in ("--key ", "-k ", "-v --key "):
        assert words(f"{line} {option}ni") == keys[:2]
    assert words(f"{line} --key=ni") == [f"--key={key}" for key in keys[:2]]


def test_the_voters_are_those_of_the_settings(server: Server, keys: list[str]) -> None:
    """The voters come from the environment or a file, unless an option names others."""
    (home() / "settings.toml").write_text(f'redis = "{server.url}"\n')
    assert words("cronlock status ", CRONLOCK_REDIS=server.url) == keys
    assert words("cronlock status --config settings.toml ") == keys
    assert words("cronlock status --prefix other ", CRONLOCK_REDIS=server.url) == ["nice"]
    assert words("cronlock status --local --prefix other n", CRONLOCK_REDIS=server.url) == []


def test_the_keys_of_a_cluster(cluster: Cluster) -> None:
    assert cronlock("run", "--redis", cluster.urls[0], "--schedule", "none", "--key", "far", "true").returncode == 0
    assert words(f"cronlock status --redis {cluster.urls[1]} ") == ["far"]


def test_local_keys(local_key: str) -> None:
    assert cronlock("run", "--local", "--schedule", "none", "--key", local_key, "true").returncode == 0
    assert words(f"cronlock status --local {local_key[:-1]}") == [local_key]


@pytest.fixture
def mute() -> Iterator[str]:
    """Return the URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"


def test_completion_does_not_wait_for_a_mute_server(mute: str) -> None:
    """Completion waits less than a command would."""
    begin = time.monotonic()
    assert answers(f"cronlock status --redis {mute} ") == []
    assert time.monotonic() - begin < TIMEOUT


@pytest.mark.parametrize(
    ("line", "env"),
    [
        ("status ", {}),
        ("status --redis redis://127.0.0.1:1 ", {}),
        ("status --redis nonsense ", {}),
        ("status --config missing.toml ", {}),
        ("status ", {"CRONLOCK_LOCAL": "1", "CRONLOCK_TTL": "long"}),
        ("run --key ", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_errors_are_silent_during_completion(line: str, env: dict[str, str]) -> None:
    """Completion prints neither words nor an error."""
    assert answers(f"cronlock {line}", **env) == []


@pytest.mark.parametrize(
    "line", ["", "cronlock", 'cronlock "', "cronlock nonsense ", "cronlock --version --redis \\", "cronlock $("]
)
def test_no_line_makes_it_fail(line: str) -> None:
    for shell in SCRIPTS:
        answers(line, shell)


def test_nothing_in_a_comment() -> None:
    assert words("cronlock status # cronlock ") == []


# Keys that a shell reads in its own way

ODD = ["a b:c", 'q"x', "q'x", "$HOME", "*?[]", "back\\slash", "~;&|<>#", "a!b", "a,b=c@d"]


@pytest.fixture
def odd(server: Server) -> str:
    """Return the URL of a server with such keys."""
    for key in [*ODD, "-x"]:
        done = cronlock("run", "--redis", server.url, "--schedule", "none", f"--key={key}", "true")
        assert done.returncode == 0, done.stderr
    return server.url


def test_a_key_is_quoted_as_bash_needs_it(odd: str) -> None:
    """A shell reads the answer as the key. A key with a leading dash would be an option, so it is left out."""
    assert sorted(read_by("bash", " ".join(words("cronlock status ", "bash", CRONLOCK_REDIS=odd)))) == sorted(ODD)


def test_bash_gets_the_part_after_a_colon(odd: str) -> None:
    """bash replaces that part alone; inside quotes, a colon does not end a word."""
    env = {"CRONLOCK_REDIS": odd}
    assert words("cronlock status a\\ b:", "bash", "", **env) == ["c"]
    assert words('cronlock status "a b:', "bash", "a b:", **env) == ["a b:c"]
    assert words("cronlock run --key=a,b=", "bash", "", **env) == ["c@d"]


def test_a_key_inside_quotes(odd: str) -> None:
    """A key that can't be quoted there is left out: ! in double quotes, a single quote in single quotes."""
    env = {"CRONLOCK_REDIS": odd}
    double = words('cronlock status "', "bash", "", **env)
    assert sorted(read_by("bash", " ".join(f'"{word}"' for word in double))) == sorted(set(ODD) - {"a!b"})
    single = words("cronlock status '", "bash", "", **env)
    assert sorted(read_by("bash", " ".join(f"'{word}'" for word in single))) == sorted(set(ODD) - {"q'x"})


def test_zsh_and_fish_quote_for_themselves(odd: str) -> None:
    """zsh's _describe ends a word at a colon that has no backslash before it."""
    env = {"CRONLOCK_REDIS": odd}
    assert sorted(words("cronlock status ", "fish", **env)) == sorted(ODD)
    assert words("cronlock status a\\ ", "zsh", **env) == ["a b\\:c"]
    assert words("cronlock status b", "zsh", **env) == ["back\\\\slash"]


# Real shells

EVAL = 'eval "$(_CRONLOCK_COMPLETE={}_source cronlock)"'
SHELLS = {  # the command, and what is typed first; Ctrl-G shows the line that is being typed
    "bash": (BASH, [r"""bind -x '"\C-g": echo "[$READLINE_LINE]"'""", EVAL.format("bash")]),
    "zsh": (
        ("zsh", "-f", "-i"),
        [
            "autoload -Uz compinit; compinit -u",
            "show() { zle -M \"[$BUFFER]\" }; zle -N show; bindkey '^G' show",
            EVAL.format("zsh"),
        ],
    ),
    "fish": (
        ("fish", "-N", "-i", "-C", f'function fish_prompt; echo -n "{PROMPT}"; end'),
        [r"""bind \cg 'echo "["(commandline)"]"'""", "_CRONLOCK_COMPLETE=fish_source cronlock | source"],
    ),
}


INSTALLED = {  # what a start-up file of the distribution does in place of the last line; PREFIX has the files
    "bash": "source PREFIX/share/bash-completion/completions/cronlock",
    "zsh": "fpath=(PREFIX/share/zsh/site-functions $fpath); compinit -u",
    "fish": "set -p fish_complete_path PREFIX/share/fish/vendor_completions.d",
}


class Prompt:
    """A shell that completes cronlock's command lines."""

    def __init__(self, shell: str, terminal: Terminal, last: str = "") -> None:
        self.shell = shell
        self._terminal = terminal
        terminal.prompt()
        *lines, by_hand = SHELLS[shell][1]
        for line in (*lines, last or by_hand, "echo set up | tr a-z A-Z"):
            terminal.enter(line)
        terminal.expect("SET UP")
        terminal.prompt()

    def tab(self, line: str) -> str:
        """Return the line after Tab."""
        self._terminal.type(f"{line}\t")
        self._terminal.ctrl("G")
        shown = self._terminal.expect(r"\[(cronlock [^\n]*?)\]")[1]
        self._terminal.ctrl("U")
        return shown


EACH_SHELL = ["bash", *(pytest.param(shell, marks=pytest.mark.debian) for shell in ("zsh", "fish"))]
ENV = ("env", "TERM=vt100")


@pytest.fixture(params=EACH_SHELL)
def prompt(request: pytest.FixtureRequest, open_terminal: Callable[..., Terminal]) -> Prompt:
    """Each shell at its prompt; the voter is the local file. It finds a program hello-by-night."""
    program = home() / "bin" / "hello-by-night"
    program.parent.mkdir()
    program.touch(0o755)
    return Prompt(request.param, open_terminal(*ENV, f"XDG_RUNTIME_DIR={home()}", *SHELLS[request.param][0]))


@pytest.mark.parametrize("shell", EACH_SHELL)
def test_tab_with_the_files_that_install_wrote(shell: str, open_terminal: Callable[..., Terminal]) -> None:
    """The launcher answers; the first Tab loads zsh's function, the second one finds it loaded."""
    prefix = home() / "prefix"
    assert cronlock("install", "--prefix", prefix).returncode == 0
    path = f"PATH={prefix}/bin:/usr/bin:/bin"
    terminal = open_terminal(*ENV, f"XDG_RUNTIME_DIR={home()}", path, *SHELLS[shell][0])
    prompt = Prompt(shell, terminal, INSTALLED[shell].replace("PREFIX", str(prefix)))
    assert prompt.tab("cronlock hist") == "cronlock history "
    assert prompt.tab("cronlock install --un") == "cronlock install --uninstall "


def test_tab_in_a_shell(prompt: Prompt, local_key: str) -> None:
    """Tab completes commands, options, their words, files and keys, and a program and its files."""
    assert cronlock("run", "--local", "--schedule", "none", "--key", local_key, "true").returncode == 0
    assert prompt.tab("cronlock sta") == "cronlock status "
    assert prompt.tab(f"cronlock status {local_key[:-3]}") == f"cronlock status {local_key} "
    assert prompt.tab(f"cronlock run --key {local_key[:-3]}") == f"cronlock run --key {local_key} "
    assert prompt.tab(f"cronlock run --key={local_key[:-3]}") == f"cronlock run --key={local_key} "
    assert prompt.tab("cronlock run --on-o") == "cronlock run --on-outage "
    assert prompt.tab("cronlock run --on-outage s") == "cronlock run --on-outage skip "
    assert prompt.tab("cronlock run --on-outage=s") == "cronlock run --on-outage=skip "
    (home() / "settings.toml").touch()
    for before in ("check --config ", "check --config=", "wrap --once ", "run -k k -- cat "):
        assert prompt.tab(f"cronlock {before}sett") == f"cronlock {before}settings.toml "
    assert prompt.tab("cronlock run -k k hello-by") == "cronlock run -k k hello-by-night "


def test_tab_completes_a_key_that_has_to_be_quoted(prompt: Prompt, local_key: str) -> None:
    """What is on the line then is read by the shell as the key; the typed part may have a colon or open a quote."""
    key = f"{local_key}-$x y:z"
    assert cronlock("run", "--local", "--schedule", "none", "--key", key, "true").returncode == 0
    for typed in (local_key, f"{local_key}-\\$x\\ y:", f'"{local_key}', f"'{local_key}-$x y:"):
        line = prompt.tab(f"cronlock status {typed}")
        assert read_by(prompt.shell, line.removeprefix("cronlock status ")) == [key]


def test_tab_without_a_completion_leaves_the_line_unchanged(prompt: Prompt) -> None:
    for line in ("cronlock status --redis redis://127.0.0.1:1 x", "cronlock nonsense x", "cronlock run --ttl 5"):
        assert prompt.tab(line) == line


def test_the_scripts_are_named_in_the_table_of_shells() -> None:
    assert SHELLS.keys() == SCRIPTS.keys()
