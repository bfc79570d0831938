"""Greets whoever is named in the payload, such as {"name": "Ada"}."""

import itertools
import json

# The process stays for many calls, and so does what the module holds. Calls run in threads of their own, side by side.
greetings = itertools.count(1)


def handler(payload, ctx):
    return {
        "message": f"Hello, {name_in(payload)}!",
        "greeted": next(greetings),
        "execution_id": ctx["execution_id"],
    }


def name_in(payload):
    """An empty payload, or one without a name, greets everybody; one that is not JSON is an error, and the caller sees it."""
    if not payload.strip():
        return "world"
    request = json.loads(payload)
    name = request.get("name") if isinstance(request, dict) else None
    return name or "world"
