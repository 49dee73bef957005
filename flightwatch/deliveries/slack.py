"""Slack: a message for an alert, replies in its thread for what happens next, the first message edited so that it
always says how things stand.

Through slack-sdk without its retries, which would post twice after a lost answer; the outbox retries. The alert and
the number of the message travel in the message's metadata, so a message whose answer was lost is looked for before it
is posted again. Text goes first, the map follows in the thread, and a map that fails is no reason to send anything
twice.

An incoming webhook (`SlackWebhook`) can post, and no more: each update is a message of its own, without a map, and one whose
answer was lost cannot be looked for.
"""

from __future__ import annotations

import http.client
import logging
import re
import urllib.error
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from flightwatch.config import Secret
from flightwatch.deliveries import CannotTell, buttons
from flightwatch.deliveries.plain import clean
from flightwatch.errors import DeliveryError
from flightwatch.records import Message, Notice

log = logging.getLogger(__name__)

TIMEOUT_S = 10
METADATA = "flightwatch_alert"
SECTION_LIMIT, FALLBACK_LIMIT, TOTAL_LIMIT = 2_900, 1_000, 9_000
"""Slack takes 3,000 characters a section; messages of more than about 13,000 in all are refused although each part is
within its limit."""

MOST_SMALL = 10
"""Elements that Slack takes in a context block."""

PERMANENT = {
    "msg_too_long",
    "msg_blocks_too_long",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_arguments",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "metadata_too_large",
    "no_text",
}
"""What is wrong with a message stays wrong."""

SHUT = {
    "invalid_auth",
    "not_authed",
    "account_inactive",
    "token_revoked",
    "token_expired",
    "missing_scope",
    "channel_not_found",
    "not_in_channel",
    "is_archived",
    "restricted_action",
    "access_denied",
    "no_permission",
    "not_allowed_token_type",
    "team_access_not_granted",
    "message_limit_exceeded",
    "org_login_required",
    "ekm_access_denied",
}
"""What is wrong with the channel or the token, until somebody mends it: messages wait, and the channel is asked once in
a quarter of an hour."""

SHUT_FOR_S = 900.0

UNSURE = {"internal_error", "fatal_error"}
"""Slack's own faults, of which its documents say that a part of what was asked may have been done before."""

HISTORY_PAGES, HISTORY_PAGE, CLOCKS_APART_S = 10, 100, 900.0
"""How many messages of a channel are looked through for one that may be there, and how far our clock may be ahead of Slack's."""

GONE = {"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"}
"""The first message was deleted or cannot be edited any more: what comes next is said without it."""

DRAWN_STAGES = ("presumed_landed", "landed", "returned")
"""Updates that come with a map; so does the first message, whatever its stage."""

COLOURS = {"high": ":red_circle:", "medium": ":large_orange_circle:", "low": ":large_blue_circle:"}


class Gone(DeliveryError):
    """The message that was to be edited or answered is not there."""


class Slack:
    """One channel of one workspace."""

    def __init__(
        self, channel: str, token: Secret, base_url: str = "https://slack.com/api/", *, with_buttons: bool = False
    ) -> None:
        """`with_buttons`: whether somebody listens to them (see `buttons`)."""
        self._channel = channel
        self._buttons = with_buttons
        self._client = WebClient(token=token.reveal(), base_url=base_url, timeout=TIMEOUT_S, retry_handlers=[])

    def send(self, message: Message, thread: str | None) -> str:
        """Posts the message, or its update below the thread's first message, which is edited before. Returns the time
        stamp that names the post."""
        metadata = {"event_type": METADATA, "event_payload": {"alert": message.alert_id, "number": message.number}}
        if thread is not None:
            self._edit(message, thread)
            text = escape(message.update or message.headline)
            try:
                answer = self._call("chat.postMessage", channel=self._channel, thread_ts=thread, text=text, metadata=metadata)
            except Gone:
                thread = None
        if thread is None:
            answer = self._call(
                "chat.postMessage", channel=self._channel, text=fallback(message), blocks=self._blocks(message), metadata=metadata
            )
        ts = str(answer["ts"])
        self._attach_map(message, thread or ts)
        return ts

    def _blocks(self, message: Message) -> list[dict[str, Any]]:
        return [*blocks(message), *_handles(message, with_buttons=self._buttons)]

    def _edit(self, message: Message, thread: str) -> None:
        """Best effort: an edit that fails keeps nobody from the news in the thread."""
        try:
            self._call("chat.update", channel=self._channel, ts=thread, text=fallback(message), blocks=self._blocks(message))
        except Gone:
            log.info("the first message for %s is gone or cannot be edited", message.alert_id)

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        method = "conversations.history" if thread is None else "conversations.replies"
        asked: dict[str, Any] = {"oldest": f"{since_s - CLOCKS_APART_S:.6f}", "include_all_metadata": True, "limit": HISTORY_PAGE}
        asked |= {"ts": thread} if thread else {}
        for _ in range(HISTORY_PAGES):
            try:
                answer = self._call(method, channel=self._channel, **asked)
            except Gone:
                return None
            except DeliveryError as error:
                if "missing_scope" in str(error):  # it may not read the channel: a repeat is better than silence
                    raise CannotTell from None
                raise
            for post in answer.get("messages", []):
                payload = (post.get("metadata") or {}).get("event_payload") or {}
                if payload.get("alert") == message.alert_id and payload.get("number") == message.number:
                    return str(post["ts"])
            asked["cursor"] = (answer.get("response_metadata") or {}).get("next_cursor")
            if not asked["cursor"]:
                return None
        raise CannotTell

    def _attach_map(self, message: Message, thread: str) -> None:
        if message.map is None or not message.map.track.latitude or (message.number > 1 and message.stage not in DRAWN_STAGES):
            return
        from flightwatch import maps  # a fifth of all that is imported for a start, which draws nothing

        try:
            self._client.files_upload_v2(
                channel=self._channel,
                thread_ts=thread,
                content=maps.draw(message.map),
                filename=f"{message.alert_id}-{message.number}.png",
                title=clean(message.map.note),
                alt_txt=clean(f"Map: {message.headline}. {message.map.note}"),
            )
        except Exception as error:  # whatever it is: the text is there, and that is what counts
            log.warning("the map for %s was not uploaded (%s); the text is there", message.alert_id, type(error).__name__)

    def _call(self, method: str, **arguments: Any) -> Any:
        arguments |= {"unfurl_links": False, "unfurl_media": False} if method == "chat.postMessage" else {}
        if method.startswith("chat."):
            return _asked(method, lambda: self._client.api_call(method, json=arguments))
        return _asked(method, lambda: self._client.api_call(method, http_verb="GET", params=arguments))


class SlackWebhook:
    """One incoming webhook: the channel that it was made for, without threads, edits and maps."""

    def __init__(self, url: Secret) -> None:
        self._client = WebhookClient(url.reveal(), timeout=TIMEOUT_S, retry_handlers=[])

    def send(self, message: Message, thread: str | None) -> str:
        """Posts the message, or what is new since the last one with what it is about."""
        text = escape(message.update) if message.update else fallback(message)
        shown = _news(message) if message.update else [*blocks(message), *_handles(message, with_buttons=False)]
        answer = _asked("the webhook", lambda: self._client.send(text=text, blocks=shown, unfurl_links=False, unfurl_media=False))
        if answer.status_code != 200:
            raise _webhook_refused(answer)
        return f"{message.alert_id}/{message.number}"

    def find(self, message: Message, thread: str | None, since_s: float) -> str | None:
        raise CannotTell


Answer = TypeVar("Answer")


def _asked(method: str, call: Callable[[], Answer]) -> Answer:
    """The answer to a call; what slack-sdk and the network raise as DeliveryError."""
    try:
        return call()
    except SlackApiError as error:
        raise _refused(method, error) from None
    except TimeoutError:
        raise DeliveryError(f"Slack did not answer {method} within {TIMEOUT_S} s", outcome_unknown=True) from None
    except urllib.error.URLError as error:
        unknown = not isinstance(error.reason, ConnectionRefusedError)
        raise DeliveryError(f"Slack cannot be reached ({error.reason})", outcome_unknown=unknown) from None
    except (http.client.HTTPException, OSError, SlackClientError) as error:
        raise DeliveryError(f"Slack broke off during {method} ({type(error).__name__})", outcome_unknown=True) from None


def _refused(method: str, error: SlackApiError) -> DeliveryError:
    response = error.response
    status = getattr(response, "status_code", 0)
    data = response.data if isinstance(getattr(response, "data", None), dict) else {}
    code = str(data.get("error", ""))
    if not re.fullmatch(r"[a-z_]+", code):  # slack-sdk puts a sentence of its own where the answer was not JSON
        code = ""
    if code in GONE:
        return Gone(f"Slack refuses {method}: {code}", permanent=True)
    if code in PERMANENT:
        return DeliveryError(f"Slack refuses {method}: {code}", permanent=True)
    if code in SHUT:
        return DeliveryError(f"Slack refuses {method}: {code}: correct the channel or the token", retry_after_s=SHUT_FOR_S)
    wait = _wait_s(getattr(response, "headers", None) or {})
    # an answer that is not Slack's says nothing about what Slack did
    unknown = status >= 500 or (status == 200 and (not code or code in UNSURE))
    return DeliveryError(
        f"Slack answered {method} with {code or f'status {status}'}", retry_after_s=wait, outcome_unknown=unknown
    )


def _webhook_refused(answer: WebhookResponse) -> DeliveryError:
    """Webhooks answer with a status and a word or a sentence."""
    status, code = answer.status_code, answer.body.strip()
    told = f"Slack answered the webhook with {status}" + (f" ({code})" if re.fullmatch(r"[a-z_]{1,40}", code) else "")
    if status in (400, 413):
        return DeliveryError(f"{told}: it does not take this message", permanent=True)
    if status == 429 or status >= 500:
        return DeliveryError(told, retry_after_s=_wait_s(answer.headers), outcome_unknown=status >= 500)
    return DeliveryError(f"{told}: make the webhook anew", retry_after_s=SHUT_FOR_S)


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """What Slack asks to wait, in seconds; the names of headers come in any case."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(text) if re.fullmatch(r"\d+", text) else None


# --------------------------------------------------------------------------------------------------------------------- layout


def escape(text: str) -> str:
    """Slack's three special characters, so that no callsign can mention a channel or make a link."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


def fallback(message: Message) -> str:
    """What notifications show."""
    return escape(f"{message.headline} ({message.qualifier})")[:FALLBACK_LIMIT]


def blocks(message: Message) -> list[dict[str, Any]]:
    """The message in Block Kit, within Slack's limits."""
    title = f"{COLOURS[message.severity]} *{escape(message.headline)}*\n_{escape(message.qualifier)}_"
    out = [_section(title)]
    left = TOTAL_LIMIT - len(title)
    for text in _paragraphs([f"• {escape(fact)}" for fact in message.facts], left):
        out.append(_section(text))
        left -= len(text)
    links = " · ".join(f"<{_address(url)}|{escape(label).replace('|', '/')}>" for label, url in message.links)
    label = "All alerts" if message.stage == "many" else "Evidence page"
    page = [f"<{_address(message.page)}|{label}>"] if message.page else []
    small = [
        text[:SECTION_LIMIT]
        for text in page + ([f"This aircraft that day: {links}"] if links else []) + [escape(line) for line in message.footer]
    ]
    if len(small) > MOST_SMALL:  # whose data it is stands at the end, and stays
        small = [*small[: MOST_SMALL - 2], *small[-2:]]
    out.append({"type": "context", "elements": [{"type": "mrkdwn", "text": text} for text in small]})
    return out


def _handles(message: Message, *, with_buttons: bool) -> list[dict[str, Any]]:
    """What can be done about an alert: buttons, or the commands that do the same."""
    if message.stage in get_args(Notice):
        return []
    if with_buttons:
        return [buttons.element(message.alert_id)]
    name = escape(message.alert_id)
    text = (
        f"Look after it: `flightwatch alerts acknowledge {name}` · "
        f"hear nothing of this aircraft for a day: `flightwatch alerts silence --alert {name}`"
    )
    return [{"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}]


def _news(message: Message) -> list[dict[str, Any]]:
    """An update where there is no thread to stand in: what is new, and below it what it is about."""
    about = {"type": "mrkdwn", "text": fallback(message)}
    return [_section(f"*{escape(message.update)}*"), {"type": "context", "elements": [about]}]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[: SECTION_LIMIT + 100]}}


def _paragraphs(lines: list[str], limit: int) -> list[str]:
    """Lines joined into as few sections as hold them; what is over the limit is said to be left out."""
    out: list[str] = []
    for number, line in enumerate(lines):
        if sum(map(len, out)) + len(line) > limit:
            return [*out, f"... and {len(lines) - number} more: see the digest"]
        if out and len(out[-1]) + len(line) < SECTION_LIMIT:
            out[-1] += "\n" + line
        else:
            out.append(line)
    return out


def _address(url: str) -> str:
    return url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
