"""A room without a server: what AvatarRunner and AvatarSession ask of one."""

from types import SimpleNamespace

from livekit import rtc


class Publication(SimpleNamespace):
    async def wait_for_subscription(self):
        pass


class Participant:
    identity = "agent"
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

    def __init__(self, room):
        self.room = room
        self.track_publications = {}

    async def publish_track(self, track, options):
        publication = Publication(
            sid=f"TR{len(self.track_publications)}", kind=track.kind, track=track
        )
        self.track_publications[publication.sid] = publication
        self.room.emit("local_track_published", publication, track)
        return publication


class Room(rtc.EventEmitter):
    name = "room"
    remote_participants = {}  # noqa: RUF012 - nobody else is here

    def __init__(self):
        super().__init__()
        self.local_participant = Participant(self)

    def isconnected(self):
        return True
