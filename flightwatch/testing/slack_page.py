"""What the fake Slack was told, as a page to look at: messages with their blocks, replies below them. One file, no script,
nothing from elsewhere; all that came from outside is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from flightwatch.testing.slack import Post

EMOJI = {":red_circle:": "🔴", ":large_orange_circle:": "🟠", ":large_blue_circle:": "🔵"}

_MARKS = (
    (re.compile(r"&lt;(https?://[^|&\s]+(?:&amp;amp;[^|&\s]+)*)\|(.*?)&gt;"), r'<a href="\1">\2</a>'),
    (re.compile(r"(?<![\w*])\*([^*\n]+)\*(?!\w)"), r"<b>\1</b>"),
    (re.compile(r"(?<!\w)_([^_\n]+)_(?!\w)"), r"<i>\1</i>"),
    (re.compile(r"`([^`\n]+)`"), r"<code>\1</code>"),
)
"""Slack's marks, in text that is escaped already: links, bold, italic, code."""

_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>#{{ channel }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.46 system-ui, sans-serif; max-width: 46rem; margin: 1.5rem auto; padding: 0 1rem;
  background: light-dark(#fff, #1a1d21); color: light-dark(#1d1c1d, #d1d2d3); }
h1 { font-size: 1.1rem; } .note, time, .context { color: light-dark(#616061, #ababad); font-size: .82rem; }
article { margin: 1.2rem 0; } .replies { margin-left: 1rem; padding-left: 1rem; border-left: 3px solid light-dark(#ddd, #444); }
.section { white-space: pre-wrap; margin: .25rem 0; }
.file { border: 1px solid; border-radius: 6px; padding: .3rem .6rem; display: inline-block; }
code { color: light-dark(#c01343, #e8912d); font-size: .85em; } a { color: light-dark(#1264a3, #4aa8e0); }
.button { border: 1px solid; border-radius: 5px; padding: .25rem .7rem; margin-right: .5rem; font-size: .85rem; }
</style></head><body>
<h1>#{{ channel }}</h1>
<p class="note">A fake Slack on this machine took these messages; it shows them much as Slack would.</p>
{% macro shown(post) %}<article>
<b>flightwatch</b> <time>{{ post.ts | clock }}{% if post.edits %} (edited {{ post.edits }} times){% endif %}</time>
{% for block in post.blocks %}{% if block.type == "section" %}<div class="section">{{ block.text.text | mrkdwn }}</div>
{% elif block.type == "context" %}{% for e in block.elements %}<div class="context">{{ e.text | mrkdwn }}</div>{% endfor %}
{% elif block.type == "actions" %}
<div>{% for e in block.elements %}<span class="button">{{ e.text.text }}</span>{% endfor %}</div>
{% endif %}{% else %}<div class="section">{{ post.text | mrkdwn }}</div>{% endfor %}
{% for title in post.files %}<div class="file">🗺 {{ title }}</div>{% endfor %}
</article>{% endmacro %}
{% for post in posts if post.thread_ts is none %}{{ shown(post) }}
<div class="replies">{% for reply in posts if reply.thread_ts == post.ts %}{{ shown(reply) }}{% endfor %}</div>
{% endfor %}</body></html>
"""


def page(channel: str, posts: Sequence[Post]) -> str:
    """The HTML of a channel."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters |= {"mrkdwn": mrkdwn, "clock": _clock}
    return environment.from_string(_PAGE).render(channel=channel, posts=posts)


def mrkdwn(text: str) -> Markup:
    """Slack's way of marking up text, as HTML. What Slack has escaped (`&lt;`) stays text."""
    out = str(escape(text))
    for mark, html in _MARKS:
        out = mark.sub(html, out)
    for name, sign in EMOJI.items():
        out = out.replace(name, sign)
    return Markup(re.sub(r"&amp;(lt|gt|amp);", r"&\1;", out))  # everything was escaped above; what is marked up is of _MARKS


def _clock(ts: Any) -> str:
    return f"{datetime.fromtimestamp(float(ts), UTC):%-d %b %Y %H:%M} UTC"
