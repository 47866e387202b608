"""A WebRTC client of a session: it speaks, and keeps what it sees and hears."""

import asyncio
import statistics
import time
from fractions import Fraction

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtcpSrPacket
from av import AudioFrame

RATES_HZ = {"video": 90_000, "audio": 48_000}


class Tone(MediaStreamTrack):
    """A microphone that hears silence, and a tone while ``is_on``."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.number, self.is_on, self.start_s = 0, False, time.monotonic()

    async def recv(self):
        await asyncio.sleep(max(0.0, self.start_s + self.number / 50 - time.monotonic()))
        times = (np.arange(960) + self.number * 960) / 48_000
        level = 0.5 * 32_767 if self.is_on else 0.0
        samples = np.repeat((level * np.sin(2 * np.pi * 1000 * times)).astype(np.int16), 2)[None]
        frame = AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, self.number * 960
        frame.time_base = Fraction(1, 48_000)
        self.number += 1
        return frame


class Client:
    """One connection; frames are kept with the time that the server's reports give them."""

    def __init__(self, *, speaks=False, watches=False):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.tone = Tone()
        self.kept = {"video": [], "audio": []}
        """Per kind: when it came, its RTP time, how bright or loud it is."""
        self.reports = {"video": [], "audio": []}
        """When the server's clock showed RTP time 0, as each of its reports has it."""
        self.num_dropped = 0
        if speaks:
            direction = "sendrecv" if watches else "sendonly"
            self.connection.addTransceiver(self.tone, direction)
        elif watches:
            self.connection.addTransceiver("audio", "recvonly")
        if watches:
            self.connection.addTransceiver("video", "recvonly")
        self.connection.on("track", lambda track: asyncio.ensure_future(self._keep(track)))

    async def connect(self, http, url, headers=None):
        """Offer; gives the answer's status, text and resource."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        headers = {"Content-Type": "application/sdp", **(headers or {})}
        offer = self.connection.localDescription.sdp
        async with http.post(url, data=offer, headers=headers) as answer:
            text, status = await answer.text(), answer.status
            if status != 201:
                await self.connection.close()
                return status, text, None
            assert answer.content_type == "application/sdp"
            location = answer.headers["Location"]
        for receiver in (one.receiver for one in self.connection.getTransceivers()):
            self._read_reports(receiver)
        await self.connection.setRemoteDescription(RTCSessionDescription(text, "answer"))
        async with asyncio.timeout(10):
            while self.connection.connectionState != "connected":
                await asyncio.sleep(0.01)
        return status, text, location

    def lose(self, one_in):
        """Drop one in so many datagrams with pictures or sound, both ways, from now on.

        Requests to send again get through: aiortc repeats one that was lost with the next loss.
        """
        transport = self.connection.getTransceivers()[0].receiver.transport.transport
        receive, send = transport._connection.recv, transport._connection.send
        counts = {"in": 0, "out": 0}

        def is_lost(data, way):
            if not one_in or 192 <= data[1] <= 223:  # RTCP
                return False
            counts[way] += 1
            self.num_dropped += counts[way] % one_in == 0
            return counts[way] % one_in == 0

        async def recv():
            while True:
                data = await receive()
                if not is_lost(data, "in"):
                    return data

        async def send_some(data):
            if not is_lost(data, "out"):
                await send(data)

        transport._recv, transport._send = recv, send_some

    def shown_s(self, kind, rtp):
        """Return when something is to be shown by the server's clock, as browsers reckon it."""
        return statistics.median(self.reports[kind]) + rtp / RATES_HZ[kind]

    def _read_reports(self, receiver):
        handle, kind = receiver._handle_rtcp_packet, receiver._RTCRtpReceiver__kind

        async def read(packet):
            if isinstance(packet, RtcpSrPacket):
                info = packet.sender_info
                zero_s = info.ntp_timestamp / 2**32 - info.rtp_timestamp / RATES_HZ[kind]
                self.reports[kind].append(zero_s)
            await handle(packet)

        receiver._handle_rtcp_packet = read
        # Frames count from the first one; what that was is needed beside the reports.
        mapper = receiver._RTCRtpReceiver__timestamp_mapper
        receiver.first = lambda: mapper._origin

    async def _keep(self, track):
        (receiver,) = [
            one.receiver for one in self.connection.getTransceivers() if one.receiver.track is track
        ]
        try:
            while True:
                frame = await track.recv()
                pixels = frame.to_ndarray(**({"format": "gray"} if track.kind == "video" else {}))
                size = pixels.mean() if track.kind == "video" else np.abs(pixels).max() / 32_768
                rtp = receiver.first() + frame.pts
                self.kept[track.kind].append((time.monotonic(), rtp, float(size)))
        except MediaStreamError:
            return

    async def until(self, kind, test, seconds=10.0, after=0):
        """Return the first that passes, of those kept from number ``after`` on."""
        async with asyncio.timeout(seconds):
            while True:
                found = next((one for one in self.kept[kind][after:] if test(one[2])), None)
                if found is not None:
                    return found
                await asyncio.sleep(0.01)
