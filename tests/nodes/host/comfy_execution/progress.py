"""State of progress of the prompt that runs."""

from types import SimpleNamespace


def get_progress_state():
    return SimpleNamespace(prompt_id="prompt")
