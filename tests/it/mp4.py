"""Reads MP4 files, whole or in fragments, by what ISO/IEC 14496-12 says of each box and nothing else.

`movie` gives the tracks of a plain file through its sample table; `initialisation` and `fragment`
those of an HLS stream. Times are units of the track's time scale.
"""

import struct
from dataclasses import dataclass, field

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"moof", b"traf", b"dinf"}


@dataclass
class Sample:
    dts: int
    cts: int
    duration: int
    size: int
    offset: int
    sync: bool
    entry: int  # of the sample description, from 1
    data: bytes = b""


@dataclass
class Track:
    number: int
    kind: str  # video, audio
    timescale: int
    duration: int  # of mdhd
    movie_duration: int  # of tkhd
    language: str
    entries: list  # (type, whole box) of each sample entry
    edits: list  # (duration in movie time, media time)
    samples: list = field(default_factory=list)


class Box:
    """A box and the boxes in it."""

    def __init__(self, data, at, end):
        size, self.type = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        elif size == 0:
            size = end - at
        assert header <= size <= end - at, f"box {self.type} of {size} bytes at {at} of {end}"
        self.start, self.body, self.end = at, at + header, at + size
        self.data = data
        self.children = boxes(data, self.body, self.end) if self.type in CONTAINERS else []

    def all(self, *path):
        found = [box for box in self.children if box.type == path[0]]
        return found if len(path) == 1 else [deep for box in found for deep in box.all(*path[1:])]

    def one(self, *path):
        found = self.all(*path)
        assert len(found) == 1, f"{len(found)} boxes {path} in {self.type}"
        return found[0]

    def get(self, *path):
        found = self.all(*path)
        assert len(found) <= 1, f"{len(found)} boxes {path} in {self.type}"
        return found[0] if found else None

    def unpack(self, form, at=0):
        assert self.body + at + struct.calcsize(form) <= self.end, f"box {self.type} is cut short"
        return struct.unpack_from(form, self.data, self.body + at)

    def version(self):
        return self.unpack(">B")[0]

    def flags(self):
        return self.unpack(">I")[0] & 0xFFFFFF

    def rows(self, form, at=4):
        """The rows behind a 32-bit count."""
        (count,) = self.unpack(">I", at)
        size = struct.calcsize(form)
        return [self.unpack(form, at + 4 + n * size) for n in range(count)]


def boxes(data, at=0, end=None):
    end = len(data) if end is None else end
    found = []
    while at < end:
        box = Box(data, at, end)
        found.append(box)
        at = box.end
    return found


def top(data):
    """The boxes of a file by type; each type once but for free space and media data."""
    return {box.type: box for box in boxes(data)}


def track_of(trak, has_samples):
    tkhd, mdhd = trak.one(b"tkhd"), trak.one(b"mdia", b"mdhd")
    wide = tkhd.version() == 1
    number = tkhd.unpack(">I", 20 if wide else 12)[0]
    movie_duration = tkhd.unpack(">Q", 28)[0] if wide else tkhd.unpack(">I", 20)[0]
    if mdhd.version() == 1:
        timescale, duration, language = mdhd.unpack(">IQH", 20)
    else:
        timescale, duration, language = mdhd.unpack(">IIH", 12)
    handler = trak.one(b"mdia", b"hdlr").unpack(">4s", 8)[0]
    stbl = trak.one(b"mdia", b"minf", b"stbl")
    stsd = stbl.one(b"stsd")
    entries = [(box.type.decode("latin1"), stsd.data[box.start : box.end])
               for box in boxes(stsd.data, stsd.body + 8, stsd.end)]
    assert len(entries) == stsd.unpack(">I", 4)[0], "number of sample entries"
    elst = trak.get(b"edts", b"elst")
    edits = []
    if elst:
        rows = elst.rows(">QqHH" if elst.version() == 1 else ">IiHH")
        assert all(row[2:] == (1, 0) for row in rows), "an edit changes the speed"
        edits = [row[:2] for row in rows]
    letters = [language >> shift & 31 for shift in (10, 5, 0)]
    track = Track(number, {b"vide": "video", b"soun": "audio"}[handler], timescale, duration,
                  movie_duration, "".join(chr(letter + 0x60) for letter in letters), entries, edits)
    if has_samples:
        track.samples = samples_of(stbl)
    return track


def samples_of(stbl):
    """The samples of a sample table, in the order of decoding."""
    stsz = stbl.one(b"stsz")
    same, count = stsz.unpack(">II", 4)
    sizes = [same] * count if same else [row[0] for row in stsz.rows(">I", 8)]
    durations = [delta for number, delta in stbl.one(b"stts").rows(">II") for _ in range(number)]
    ctts = stbl.get(b"ctts")
    offsets = [0] * count
    if ctts:
        form = ">Ii" if ctts.version() == 1 else ">II"
        offsets = [offset for number, offset in ctts.rows(form) for _ in range(number)]
    stss = stbl.get(b"stss")
    sync = {row[0] for row in stss.rows(">I")} if stss else range(1, count + 1)
    co64 = stbl.get(b"co64")
    chunks = co64.rows(">Q") if co64 else stbl.one(b"stco").rows(">I")
    assert len(durations) == len(offsets) == len(sizes) == count, "tables of different lengths"
    runs = stbl.one(b"stsc").rows(">III")
    assert not runs or runs[0][0] == 1, "stsc does not begin with the first chunk"
    samples, dts, run = [], 0, -1
    for number, (at,) in enumerate(chunks, 1):
        while run + 1 < len(runs) and runs[run + 1][0] <= number:
            run += 1
        _, per_chunk, entry = runs[run]
        for _ in range(per_chunk):
            n = len(samples)
            samples.append(Sample(dts, offsets[n], durations[n], sizes[n], at, n + 1 in sync, entry))
            dts += durations[n]
            at += sizes[n]
    assert len(samples) == count, f"{len(samples)} samples in chunks, {count} in tables"
    return samples


def movie(data):
    """Time scale of the movie, its duration and its tracks, with the bytes of every sample."""
    found = boxes(data)
    assert found[0].type == b"ftyp", "ftyp is not first"
    moov = next(box for box in found if box.type == b"moov")
    media = [(box.body, box.end) for box in found if box.type == b"mdat"]
    mvhd = moov.one(b"mvhd")
    scale, duration = mvhd.unpack(">IQ", 20) if mvhd.version() == 1 else mvhd.unpack(">II", 12)
    tracks = [track_of(trak, True) for trak in moov.all(b"trak")]
    taken = []
    for track in tracks:
        for sample in track.samples:
            end = sample.offset + sample.size
            assert any(low <= sample.offset and end <= high for low, high in media), "outside of mdat"
            sample.data = data[sample.offset : end]
            taken.append((sample.offset, end))
    taken.sort()
    assert all(a[1] <= b[0] for a, b in zip(taken, taken[1:])), "samples overlap"
    return scale, duration, tracks


def initialisation(data):
    """The tracks of an HLS stream, and the defaults of their fragments."""
    moov = top(data)[b"moov"]
    tracks = {}
    for trak in moov.all(b"trak"):
        track = track_of(trak, False)
        tracks[track.number] = track
    defaults = {row[0]: row for row in (box.unpack(">IIIII", 4) for box in moov.all(b"mvex", b"trex"))}
    assert set(defaults) == set(tracks), "trex of every track"
    return tracks, defaults


def fragment(data, defaults):
    """(track number, sample with absolute dts) of every sample of a media segment, in file order."""
    out = []
    found = boxes(data)
    for position, moof in enumerate(found):
        if moof.type != b"moof":
            continue
        mdat = found[position + 1]
        assert mdat.type == b"mdat", "moof without mdat"
        for traf in moof.all(b"traf"):
            out += fragment_track(moof, mdat, traf, defaults)
    return out


def fragment_track(moof, mdat, traf, defaults):
    tfhd = traf.one(b"tfhd")
    flags, at = tfhd.flags(), 8
    (number,) = tfhd.unpack(">I", 4)
    _, entry, duration, size, sample_flags = defaults[number]
    base = moof.start if flags & 0x020000 else None
    fields = {0x01: ">Q", 0x02: ">I", 0x08: ">I", 0x10: ">I", 0x20: ">I"}
    for flag, form in fields.items():
        if flags & flag:
            (value,) = tfhd.unpack(form, at)
            at += struct.calcsize(form)
            if flag == 0x01:
                base = value
            elif flag == 0x02:
                entry = value
            elif flag == 0x08:
                duration = value
            elif flag == 0x10:
                size = value
            else:
                sample_flags = value
    assert base is not None, "neither default-base-is-moof nor a base"
    tfdt = traf.one(b"tfdt")
    dts = tfdt.unpack(">Q" if tfdt.version() == 1 else ">I", 4)[0]
    out = []
    for trun in traf.all(b"trun"):
        flags, (count,), at = trun.flags(), trun.unpack(">I", 4), 8
        position = base
        if flags & 0x1:
            position += trun.unpack(">i", at)[0]
            at += 4
        first_flags = None
        if flags & 0x4:
            (first_flags,) = trun.unpack(">I", at)
            at += 4
        for n in range(count):
            values = {0x100: duration, 0x200: size, 0x400: sample_flags, 0x800: 0}
            if n == 0 and first_flags is not None:
                values[0x400] = first_flags
            for flag in values:
                if flags & flag:
                    form = ">i" if flag == 0x800 and trun.version() == 1 else ">I"
                    (values[flag],) = trun.unpack(form, at)
                    at += 4
            end = position + values[0x200]
            assert mdat.body <= position and end <= mdat.end, "a sample outside of its mdat"
            is_sync = not values[0x400] & 0x10000
            out.append((number, Sample(dts, values[0x800], values[0x100], values[0x200], position,
                                       is_sync, entry, moof.data[position:end])))
            dts += values[0x100]
            position = end
    return out
