"""What an encoder's messages mean: FLV v10.1, the HEVC dialect with codec id 12, enhanced RTMP v2.

Written from the specifications for the tests alone; it shares nothing with the server.
"""

import struct
from dataclasses import dataclass

AUDIO, VIDEO, SCRIPT = 8, 9, 18
FOUR_CC = {b"avc1": "h264", b"hvc1": "hevc", b"av01": "av1", b"vp09": "vp9", b"vp08": "vp8",
           b"mp4a": "aac", b"Opus": "opus", b"fLaC": "flac", b"ac-3": "ac3", b"ec-3": "eac3",
           b".mp3": "mp3"}
OLD_VIDEO = {2: "flv1", 3: "flashsv", 4: "vp6", 5: "vp6a", 6: "flashsv2", 7: "h264", 12: "hevc"}
OLD_AUDIO = {0: "pcm", 1: "adpcm", 2: "mp3", 3: "pcm", 4: "nellymoser", 5: "nellymoser",
             6: "nellymoser", 7: "alaw", 8: "mulaw", 10: "aac", 11: "speex", 14: "mp3"}


@dataclass
class Tag:
    kind: int
    time: int  # milliseconds, 64 bits
    payload: bytes


@dataclass
class Packet:
    kind: str  # video, audio
    codec: str
    dts: int  # milliseconds
    pts: int
    key: bool
    data: bytes
    config: bytes | None  # the configuration record in force


def read_tags(path):
    """The tags that a test pushed, as it wrote them down."""
    data = open(path, "rb").read()
    tags, at = [], 0
    while at < len(data):
        kind, time, size = struct.unpack_from(">BqI", data, at)
        at += 13
        tags.append(Tag(kind, time, data[at : at + size]))
        at += size
    return tags


class Demuxer:
    def __init__(self):
        self.packets = {"video": [], "audio": []}
        self.configs = {"video": None, "audio": None}
        self.is_enhanced = False

    def feed(self, tag):
        if not tag.payload or tag.kind == SCRIPT:
            return
        first = tag.payload[0]
        if tag.kind == VIDEO and first & 0x80:
            self.enhanced("video", tag, first >> 4 & 7)
        elif tag.kind == AUDIO and first >> 4 == 9:
            self.enhanced("audio", tag, 0)
        elif tag.kind == VIDEO:
            self.old_video(tag, first)
        else:
            self.old_audio(tag, first)

    def config(self, kind, codec, record):
        if record:
            self.configs[kind] = (codec, record)

    def frame(self, kind, codec, tag, data, key=True, cts=0):
        if not data:
            return
        known = self.configs[kind]
        config = known[1] if known and known[0] == codec else None
        self.packets[kind].append(Packet(kind, codec, tag.time, tag.time + cts, key, data, config))

    def old_video(self, tag, first):
        frame_type, codec = first >> 4, OLD_VIDEO[first & 15]
        if frame_type == 5:
            return
        key = frame_type in (1, 4)
        if codec not in ("h264", "hevc"):
            self.frame("video", codec, tag, tag.payload[1:], key)
        elif tag.payload[1] == 0:
            self.config("video", codec, tag.payload[5:])
        elif tag.payload[1] == 1:
            self.frame("video", codec, tag, tag.payload[5:], key, signed24(tag.payload[2:5]))

    def old_audio(self, tag, first):
        codec = OLD_AUDIO[first >> 4]
        if codec != "aac":
            self.frame("audio", codec, tag, tag.payload[1:])
        elif tag.payload[1] == 0:
            self.config("audio", codec, tag.payload[2:])
        else:
            self.frame("audio", codec, tag, tag.payload[2:])

    def enhanced(self, kind, tag, frame_type):
        self.is_enhanced = True
        payload, at = tag.payload, 1
        packet = payload[0] & 15
        while packet == 7:  # a modifier
            size = payload[at] + 1
            at += 1
            if size == 256:
                size = struct.unpack_from(">H", payload, at)[0] + 1
                at += 2
            at += size
            packet = payload[at] & 15
            at += 1
        if frame_type == 5:
            return
        key = frame_type in (1, 4)
        if packet != (6 if kind == "video" else 5):
            self.body(kind, tag, packet, payload[at : at + 4], key, payload[at + 4 :])
            return
        layout, packet = payload[at] >> 4, payload[at] & 15
        at += 1
        four_cc = None
        if layout != 2:
            four_cc = payload[at : at + 4]
            at += 4
        while at < len(payload):
            if layout == 2:
                four_cc = payload[at : at + 4]
                at += 4
            track = payload[at]
            at += 1
            end = len(payload)
            if layout != 0:
                end = at + 3 + int.from_bytes(payload[at : at + 3], "big")
                at += 3
            if track == 0:
                self.body(kind, tag, packet, four_cc, key, payload[at:end])
            at = end

    def body(self, kind, tag, packet, four_cc, key, data):
        codec = FOUR_CC[four_cc]
        if packet == 0:
            self.config(kind, codec, data)
        elif packet == 1 and codec in ("h264", "hevc"):
            self.frame(kind, codec, tag, data[3:], key, signed24(data[:3]))
        elif packet == 1 or (packet == 3 and kind == "video"):
            self.frame(kind, codec, tag, data, key if kind == "video" else True)


def signed24(data):
    value = int.from_bytes(data, "big")
    return value - (1 << 24) if value >> 23 else value


def flv_tags(data):
    """The tags of an FLV file; times are the 32 bits in it."""
    assert data[:4] == b"FLV\x01" and data[5:13] == b"\0\0\0\x09\0\0\0\0", "no FLV header"
    tags, at = [], 13
    while at < len(data):
        kind, size = data[at], int.from_bytes(data[at + 1 : at + 4], "big")
        time = int.from_bytes(data[at + 7 : at + 8] + data[at + 4 : at + 7], "big")
        assert data[at + 8 : at + 11] == b"\0\0\0", "StreamID"
        end = at + 11 + size
        assert struct.unpack_from(">I", data, end)[0] == 11 + size, "PreviousTagSize"
        tags.append(Tag(kind, time, data[at + 11 : end]))
        at = end + 4
    return tags
