from __future__ import annotations

from typing import Any

import pytest

from netloom.base.errors import CommandError, ConfigError, ProtocolError
from netloom.rpc.fast_json import FastJson
from netloom.rpc.json_codec import LightJson
from netloom.rpc.jsonrpc import Error, Reply
from netloom.rpc.unixctl import CommandRegistry, Deferred, UnixctlClient, UnixctlSession


def refuse(args: list[str]) -> str:
    raise CommandError("refused " + args[0])


def misconfigure(args: list[str]) -> str:
    raise ConfigError("no such thing", where="here")


@pytest.fixture
def registry() -> CommandRegistry:
    made = CommandRegistry("prog (Open vSwitch) 3.7.0")
    made.register("join", "[arg]...", 0, None, lambda args: "|".join(args))
    made.register("refuse", "why", 1, 2, refuse)
    made.register("misconfigure", "", 0, 0, misconfigure)
    made.register("show", "", 0, 0, lambda args: "text", lambda args: {"rows": [1]})
    return made


class Pair:
    """A client and a session, connected by hand."""

    def __init__(self, registry: CommandRegistry) -> None:
        self.client = UnixctlClient(LightJson())
        self.session = UnixctlSession(registry, FastJson())

    def call(self, command: str, *args: Any) -> Any:
        self.client.call(command, list(args))
        self.session.receive_data(self.client.data_to_send())
        self.session.next_event()
        return self.answer()

    def answer(self) -> Any:
        self.client.receive_data(self.session.data_to_send())
        event = self.client.next_event()
        if isinstance(event, Reply):
            return event.result
        return ("error", event.error) if isinstance(event, Error) else None


@pytest.fixture
def pair(registry: CommandRegistry) -> Pair:
    return Pair(registry)


def test_command_gets_its_arguments_and_answers_with_a_line(pair: Pair) -> None:
    assert pair.call("join", "a", "b c") == "a|b c\n"
    assert pair.call("join") == ""
    assert pair.call("version") == "prog (Open vSwitch) 3.7.0\n"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            ["nosuch"],
            '"nosuch" is not a valid command '
            '(use "list-commands" to see a list of valid commands)\n',
        ),
        (["refuse"], '"refuse" command requires at least 1 arguments\n'),
        (["refuse", "a", "b", "c"], '"refuse" command takes at most 2 arguments\n'),
        (["refuse", 3], '"refuse" command has non-string argument\n'),
        (["refuse", "a"], "refused a\n"),
        (["set-options", "--format", "xml"], "option format has invalid value xml\n"),
    ],
)
def test_bad_commands_are_refused_in_open_vswitchs_words(
    pair: Pair, call: list[Any], message: str
) -> None:
    assert pair.call(*call) == ("error", message)


def test_commands_are_listed_sorted_in_columns(pair: Pair) -> None:
    assert pair.call("list-commands") == (
        "The available commands are:\n"
        "  join                    [arg]...\n"
        "  list-commands           \n"
        "  misconfigure            \n"
        "  refuse                  why\n"
        "  set-options             [--format text|json]\n"
        "  show                    \n"
        "  version                 \n"
    )


def test_json_format_wraps_text_and_uses_json_where_there_is_one(pair: Pair) -> None:
    assert pair.call("show") == "text\n"
    assert pair.call("set-options", "--format", "json") == ""
    assert pair.call("show") == {"rows": [1]}
    assert pair.call("join", "a") == {"reply-format": "plain", "reply": "a"}
    assert pair.call("list-commands")["refuse"] == "why"
    assert pair.call("refuse", "a") == ("error", "refused a\n")
    assert pair.call("set-options", "--format=text") == ""
    assert pair.call("show") == "text\n"


def test_whatever_a_handler_finds_wrong_is_an_answer(pair: Pair) -> None:
    assert pair.call("misconfigure") == ("error", "here: no such thing\n")
    assert pair.call("join", "still", "here") == "still|here\n"


def test_deferred_answer_comes_later_and_holds_up_what_follows(
    registry: CommandRegistry, pair: Pair
) -> None:
    deferred = Deferred()
    registry.register("later", "", 0, 0, lambda args: deferred)
    assert pair.call("later") is None
    assert pair.call("join", "after") is None
    assert pair.session.deadline() is None
    deferred.reply("done")
    assert pair.session.deadline() == 0
    pair.session.advance(1)
    pair.session.next_event()
    assert pair.session.deadline() is None
    assert pair.answer() == "done\n"
    assert pair.answer() == "after\n"


def test_deferred_answer_may_be_given_before_it_is_returned(
    registry: CommandRegistry, pair: Pair
) -> None:
    def handler(args: list[str]) -> Deferred:
        deferred = Deferred()
        deferred.fail("no")
        return deferred

    registry.register("at-once", "", 0, 0, handler)
    assert pair.call("at-once") == ("error", "no\n")


@pytest.mark.parametrize(
    "data",
    [
        b'{"id":0,"result":1,"error":null}',
        b'{"id":null,"method":"version","params":[]}',
        b'{"id":0,"method":"version","params":{}}',
        b"garbage",
    ],
)
def test_anything_but_a_request_ends_the_session(registry: CommandRegistry, data: bytes) -> None:
    session = UnixctlSession(registry, FastJson())
    session.receive_data(data)
    with pytest.raises(ProtocolError):
        session.next_event()


def test_alias_does_the_same_and_is_not_listed(registry: CommandRegistry, pair: Pair) -> None:
    registry.add_alias("unite", "join")
    assert pair.call("unite", "a", "b") == "a|b\n"
    assert "unite" not in pair.call("list-commands")
