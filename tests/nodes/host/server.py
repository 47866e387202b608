"""The page's connection."""


class Routes:
    """Keeps handlers by path."""

    def __init__(self):
        self.handlers = {}
        self.methods = {}

    def get(self, path):
        return self._route("GET", path)

    def post(self, path):
        return self._route("POST", path)

    def _route(self, method, path):
        self.methods[path] = method
        return lambda handler: self.handlers.setdefault(path, handler)


class PromptServer:
    """Keeps what was sent instead of sending it."""

    instance = None

    def __init__(self):
        self.client_id = "page"
        self.routes = Routes()
        self.forget()

    def forget(self):
        self.texts = []
        self.events = []
        self.messages = []

    def send_progress_text(self, text, node_id, sid=None):
        self.texts.append((node_id, text))

    def send_sync(self, event, data, sid=None):
        if event.startswith("flashtalk."):
            self.messages.append((event, data, sid))
        else:
            self.events.append((event, data))


PromptServer.instance = PromptServer()
