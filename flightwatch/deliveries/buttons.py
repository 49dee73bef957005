"""Buttons below messages in Slack: somebody looks after an alert, or wants to hear nothing of it for a day.

What is pressed comes over Socket Mode, a connection that this side opens, so nothing has to be reachable from outside.
It takes an app token beside the bot token. Each press is acknowledged to Slack, acted on, and answered to whoever
pressed, whom alone that concerns.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from flightwatch.config import Secret
from flightwatch.deliveries.plain import clean
from flightwatch.errors import FlightwatchError

log = logging.getLogger(__name__)

Action = Literal["acknowledge", "silence_aircraft", "silence_rules"]

LABELS: dict[Action, str] = {
    "acknowledge": "I look after this",
    "silence_aircraft": "Silence this aircraft for a day",
    "silence_rules": "Silence its rules for a day",
}

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 900.0

TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Press:
    """What somebody pressed below which alert. `who` is a name for others to read."""

    action: Action
    alert_id: str
    who: str


def element(alert_id: str) -> dict[str, Any]:
    """The buttons of an alert as a block."""
    return {
        "type": "actions",
        "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": action, "value": alert_id}
            for action, label in LABELS.items()
        ],
    }


def pressed(payload: Mapping[str, Any]) -> list[Press]:
    """What a payload says was pressed; nothing where it is about something else."""
    if payload.get("type") != "block_actions":
        return []
    user = payload.get("user") or {}
    who = clean(str(user.get("username") or user.get("name") or user.get("id") or "somebody in Slack"))
    found = [(action.get("action_id"), action.get("value")) for action in payload.get("actions") or []]
    return [Press(name, str(value), who) for name, value in found if name in get_args(Action) and value]


class Buttons:
    """Listens for presses in one workspace. `act` does what a press asks for and returns what to answer; it is called from
    threads of the connection's own."""

    def __init__(
        self, app_token: Secret, bot_token: Secret, act: Callable[[Press], str], base_url: str = "https://slack.com/api/"
    ) -> None:
        self._app_token = app_token
        self._web = WebClient(token=bot_token.reveal(), base_url=base_url, timeout=TIMEOUT_S, retry_handlers=[])
        self._act = act

    def listen(self, stop: threading.Event) -> None:
        """Until it is to stop. Where no connection can be made, that is said, and tried again after growing waits."""
        client = SocketModeClient(app_token=self._app_token.reveal(), web_client=self._web)
        client.socket_mode_request_listeners.append(self._heard)  # type: ignore[arg-type]  # a method is as good as a function
        wait = FIRST_WAIT_S
        try:
            while not stop.is_set() and not client.is_connected():
                try:
                    client.connect()  # which is made again by itself when it breaks
                except (SlackClientError, OSError, ValueError) as error:
                    log.warning("no connection for buttons in Slack (%s); tried again in %.0f s", _told(error), wait)
                    stop.wait(wait)
                    wait = min(2 * wait, LONGEST_WAIT_S)
            stop.wait()
        finally:
            client.close()

    def _heard(self, client: SocketModeClient, request: SocketModeRequest) -> None:
        client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        if request.type != "interactive":
            return
        for press in pressed(request.payload):
            try:
                answer = self._act(press)
            except FlightwatchError as error:
                answer = str(error)
            except Exception:
                log.exception("%s below %s", press.action, press.alert_id)
                answer = "That did not work; the log of flightwatch says why."
            self._answer(request.payload, answer)

    def _answer(self, payload: Mapping[str, Any], text: str) -> None:
        """To the one who pressed; best effort, what was asked for is done."""
        channel, user = (str((payload.get(of) or {}).get("id") or "") for of in ("channel", "user"))
        try:
            self._web.chat_postEphemeral(channel=channel, user=user, text=clean(text))
        except Exception as error:  # whatever it is: nothing hangs on the answer
            log.warning("the answer to a button was not delivered (%s)", type(error).__name__)


def _told(error: Exception) -> str:
    """What went wrong without what stands in it: an address with a ticket, or a token."""
    response = getattr(error, "response", None)
    data = getattr(response, "data", None)
    return str(data.get("error")) if isinstance(data, dict) else type(error).__name__
