"""The page's connection."""


class PromptServer:
    """Keeps what was sent instead of sending it."""

    instance = None

    def __init__(self):
        self.client_id = "page"
        self.texts = []

    def send_progress_text(self, text, node_id, sid=None):
        self.texts.append((node_id, text))


PromptServer.instance = PromptServer()
