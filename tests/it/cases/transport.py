"""Reads MPEG-TS segments (ISO/IEC 13818-1) and ADTS (ISO/IEC 14496-3), for the tests alone.

One PES packet is one access unit. Times stay the 33 bits that are in it.
"""

from dataclasses import dataclass

CODECS = {0x1B: "h264", 0x24: "hevc", 0x0F: "aac", 0x03: "mp3", 0x81: "ac3", 0x87: "eac3"}
CRC = 0x04C11DB7


@dataclass
class Unit:
    kind: str
    codec: str
    pts: int
    dts: int
    key: bool
    data: bytes
    segment: int


class Reader:
    """Reads one segment after the other."""

    def __init__(self):
        self.counters, self.streams, self.map_pid = {}, {}, None
        self.open, self.units, self.segment = {}, [], -1
        self.clock = {}

    def feed(self, data):
        self.segment += 1
        assert len(data) % 188 == 0, "no whole packets"
        for at in range(0, len(data), 188):
            self.packet(data[at : at + 188], at == 0)
        for pid in list(self.open):
            self.close(pid)

    def packet(self, packet, is_first):
        assert packet[0] == 0x47 and not packet[1] & 0x80 and not packet[3] & 0xC0
        pid, starts = (packet[1] & 0x1F) << 8 | packet[2], bool(packet[1] & 0x40)
        assert not is_first or pid == 0, "a segment begins with its program association"
        control, counter, at, key = packet[3] >> 4 & 3, packet[3] & 15, 4, False
        if control & 2:
            length = packet[4]
            if length:
                key = bool(packet[5] & 0x40)
                if packet[5] & 0x10:
                    self.pcr(pid, packet[6:12], bool(packet[5] & 0x80))
            at = 5 + length
        if not control & 1:
            return
        expected = (self.counters.get(pid, counter - 1) + 1) & 15
        assert counter == expected, f"continuity of {pid:#x}: {counter} after {expected - 1}"
        self.counters[pid] = counter
        payload = packet[at:]
        if pid == 0:
            section = table(payload)
            self.map_pid = (section[10] & 0x1F) << 8 | section[11]
        elif pid == self.map_pid:
            self.program_map(table(payload))
        else:
            assert pid in self.streams, f"packets of {pid:#x}, which no table names"
            if starts:
                self.close(pid)
                self.open[pid] = (key, bytearray())
            self.open[pid][1].extend(payload)

    def pcr(self, pid, field, may_jump):
        value = int.from_bytes(field, "big")
        base = value >> 15
        before = self.clock.get(self.segment)
        if before is not None and not may_jump:
            step = (base - before) % (1 << 33)
            assert step < 10 * 90000, f"the clock of {pid:#x} jumps by {step}"
        self.clock[self.segment] = base

    def program_map(self, section):
        streams, at = {}, 12 + ((section[10] & 15) << 8 | section[11])
        while at < len(section) - 4:
            pid = (section[at + 1] & 0x1F) << 8 | section[at + 2]
            streams[pid] = CODECS[section[at]]
            at += 5 + ((section[at + 3] & 15) << 8 | section[at + 4])
        for pid in set(self.open) - set(streams):
            self.close(pid)
        self.streams = streams

    def close(self, pid):
        key, data = self.open.pop(pid, (False, b""))
        if not data:
            return
        data = bytes(data)
        assert data[:3] == b"\0\0\x01", "no PES packet"
        is_video = data[3] & 0xF0 == 0xE0
        length = int.from_bytes(data[4:6], "big")
        assert length == len(data) - 6 or (is_video and length == 0), "length of a PES packet"
        flags, header = data[7] >> 6, data[8]
        pts = time(data[9:14])
        dts = time(data[14:19]) if flags == 3 else pts
        kind = "video" if is_video else "audio"
        self.units.append(Unit(kind, self.streams[pid], pts, dts, key or not is_video,
                               data[9 + header :], self.segment))


def time(field):
    return (field[0] >> 1 & 7) << 30 | field[1] << 22 | field[2] >> 1 << 15 | field[3] << 7 | field[4] >> 1


def table(payload):
    """A section in one packet, whose checksum must be right."""
    payload = payload[1 + payload[0] :]
    section = payload[: 3 + ((payload[1] & 15) << 8 | payload[2])]
    crc = 0xFFFFFFFF
    for byte in section:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (CRC if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    assert crc == 0, "checksum of a table"
    return section


def adts(data):
    """(object type, frequency index, channels, frame) of each frame."""
    frames, at = [], 0
    while at < len(data):
        assert data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0, f"no ADTS header at {at}"
        length = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        header = 7 if data[at + 1] & 1 else 9
        assert header < length and at + length <= len(data), "a cut ADTS frame"
        channels = (data[at + 2] & 1) << 2 | data[at + 3] >> 6
        frames.append(((data[at + 2] >> 6) + 1, data[at + 2] >> 2 & 15, channels,
                       data[at + header : at + length]))
        at += length
    return frames


def annex_b(data):
    """NAL units between start codes; zero bytes before a start code belong to no NAL unit."""
    start = data.find(b"\0\0\1")
    assert start >= 0 and not data[:start].strip(b"\0"), "no start code at the beginning"
    units = []
    while start >= 0:
        end = data.find(b"\0\0\1", start + 3)
        units.append(data[start + 3 : end].rstrip(b"\0") if end >= 0 else data[start + 3 :])
        start = end
    return units


def length_prefixed(data, size):
    units, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        at += size
        assert at + length <= len(data), "a NAL unit is cut off"
        units.append(data[at : at + length])
        at += length
    return units
