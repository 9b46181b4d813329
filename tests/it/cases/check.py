"""Compares the products of every case with what was pushed and says how each cell turned out.

Usage: check.py JOB_FILE

The job is what `run.rs` writes: for each case the pushed tags, and for each container the addresses
of its files or why there is none. Prints {"cases": [{"name", "cells": {container: text},
"warnings": {container: [line]}, "errors": [text]}]}. An error is a difference that no container
rule excuses; a verdict is only given to a cell without one.
"""

import concurrent.futures
import dataclasses
import itertools
import json
import sys
import urllib.request
from urllib.parse import urljoin

import probe
import transport
from demux import SCRIPT, Demuxer, Tag, flv_tags, read_tags

sys.path.insert(0, __file__.rsplit("/", 2)[0])
import mp4  # noqa: E402

TS_CODECS = {"h264", "hevc", "aac", "mp3"}
CONFIGURED = {"h264", "hevc", "av1", "vp9", "vp8", "aac", "opus", "flac"}
# Sample entries, and whether the encoder's record stands in them byte for byte.
ENTRIES = {"h264": ({"avc1"}, True), "hevc": ({"hvc1"}, True), "av1": ({"av01"}, True),
           "vp9": ({"vp09"}, True), "vp8": ({"vp08"}, True), "aac": ({"mp4a"}, True),
           "opus": ({"Opus"}, False), "flac": ({"fLaC"}, True), "ac3": ({"ac-3"}, False),
           "eac3": ({"ec-3"}, False), "mp3": ({"mp4a", ".mp3"}, False)}
WRAP = 1 << 33


class Wrong(Exception):
    """A difference between what was pushed and what is in a product."""


def must(holds, *what):
    if not holds:
        raise Wrong(" ".join(str(word) for word in what))


def fetch(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def plural(count, what):
    return f"{count} {what}" + ("" if count == 1 else "s")


def remarks_on(breaks, undescribed):
    remarks = []
    if breaks:
        remarks.append(plural(breaks, "discontinuity").replace("ys", "ies"))
    if undescribed:
        remarks.append(f"without {plural(undescribed, 'frame')} before the first configuration")
    return remarks


class Shift:
    """The one constant between the encoder's clock and a product's."""

    def __init__(self, modulus=None):
        self.modulus, self.value = modulus, None

    def check(self, found, pushed, *what):
        value = found - pushed
        if self.modulus:
            value %= self.modulus
        if self.value is None:
            self.value = value
        must(value == self.value, *what, f"is {found} for {pushed}: shifted by {value}, others by {self.value}")


class Case:
    def __init__(self, job):
        self.job = job
        self.tags = read_tags(job["tags"])
        demuxer = Demuxer()
        for tag in self.tags:
            demuxer.feed(tag)
        self.pushed = demuxer.packets
        self.is_enhanced = demuxer.is_enhanced

    def run(self):
        cells, warnings, errors = {}, {}, []
        for container, product in self.job["products"].items():
            try:
                if "refused" in product:
                    cells[container] = "refused: " + product["refused"]
                    continue
                counts, remarks = CHECKS[container](self, product["urls"])
                if container not in self.job["unread"]:
                    warnings[container] = probe.warnings(self, container, product["urls"], counts)
                cells[container] = ", ".join(remarks)
            except Exception as error:
                errors.append(f"{self.job['name']}: {container}: {type(error).__name__} {error} {product}")
        return {"name": self.job["name"], "cells": cells, "warnings": warnings, "errors": errors}

    def flv(self, urls):
        must(len(urls) == 1, "files")
        found = flv_tags(fetch(urls[0]))
        head = found.pop(0)
        must(head.kind == SCRIPT and head.time == 0 and is_metadata(head), "no onMetaData in front")
        expected = list(self.tags)
        first = next((n for n, tag in enumerate(expected) if is_metadata(tag)), None)
        if first is not None:
            expected.pop(first)
        for n, (have, want) in enumerate(zip(found, expected)):
            want = Tag(want.kind, want.time & 0xFFFFFFFF, want.payload)
            must(have == want, f"tag {n}: {brief(have)} instead of {brief(want)}")
        must(len(found) == len(expected), f"{len(found)} tags instead of {len(expected)}")
        return [{kind: len(packets) for kind, packets in self.pushed.items()}], ["verbatim"]

    def described(self, kind):
        """Packets that a container without a place for the unexplained can carry."""
        packets = self.pushed[kind]
        return [p for p in packets if p.codec not in CONFIGURED or p.config is not None]

    def described_later(self, kind):
        """The same where the first configuration that follows describes the packets before it."""
        packets, following = [], {}
        for packet in reversed(self.pushed[kind]):
            if packet.codec in CONFIGURED and packet.config is None:
                packet = dataclasses.replace(packet, config=following.get(packet.codec))
            following[packet.codec] = packet.config
            packets.append(packet)
        return [p for p in reversed(packets) if p.codec not in CONFIGURED or p.config is not None]

    def mp4(self, urls):
        left = {kind: self.described_later(kind) for kind in self.pushed}
        undescribed = sum(map(len, self.pushed.values())) - sum(map(len, left.values()))
        counts, adjusted, early, hidden = [], 0, 0, 0
        for url in urls:
            scale, duration, tracks = mp4.movie(fetch(url))
            must(len({track.kind for track in tracks}) == len(tracks), "two tracks of a kind")
            shift, starts, ends, shown = Shift(), [], [], {}
            for track in tracks:
                number = len(track.samples)
                pushed, left[track.kind] = left[track.kind][:number], left[track.kind][number:]
                must(len(pushed) == number, f"{number} {track.kind} samples, {len(pushed)} left to come")
                movie = MovieTrack(track, scale)
                adjusted += movie.compare(pushed, shift)
                early = max(early, movie.early)
                hidden += movie.hidden()
                starts.append(movie.start)
                ends.append(movie.end())
                shown[track.kind] = movie.shown()
            must(min(starts) == 0, f"movie time 0 is no track's beginning: {starts}")
            must(duration == max(ends), f"the movie lasts {duration}, its tracks {ends}")
            counts.append(shown)
        for kind, packets in left.items():
            must(not packets, f"{len(packets)} {kind} packets are missing")
        remarks = ["verbatim" if not adjusted else f"presentation exact, DTS adjusted ({adjusted})"]
        if early:
            remarks.append(f"a track decoded {early} ms early")
        if len(urls) > 1:
            remarks.append(f"in {len(urls)} files")
        if hidden:
            remarks.append(f"{plural(hidden, 'frame')} hidden by the edit list")
        return counts, remarks + remarks_on(0, undescribed)

    def playlist(self, urls):
        """(initialisation, segment) addresses in order, and the number of discontinuities."""
        must(len(urls) == 1, "playlists")
        lines = fetch(urls[0]).decode().splitlines()
        must(lines[0] == "#EXTM3U" and lines[-1] == "#EXT-X-ENDLIST", "no complete playlist")
        value = lambda line: float(line.split(":")[1].rstrip(","))  # noqa: E731
        target = next(value(line) for line in lines if line.startswith("#EXT-X-TARGETDURATION:"))
        segments, start = [], None
        for line in lines:
            if line.startswith("#EXTINF:"):
                must(round(value(line)) <= target, f"a segment of {value(line)} s, target {target} s")
            elif line.startswith("#EXT-X-MAP:"):
                start = urljoin(urls[0], line.split('URI="')[1].split('"')[0])
            elif not line.startswith("#"):
                segments.append((start, urljoin(urls[0], line)))
        return segments, sum(line == "#EXT-X-DISCONTINUITY" for line in lines)

    def ts(self, urls):
        segments, breaks = self.playlist(urls)
        reader = transport.Reader()
        for _, segment in segments:
            reader.feed(fetch(segment))
        shift, counts, undescribed = Shift(WRAP), {}, 0
        for kind, packets in self.pushed.items():
            units = [unit for unit in reader.units if unit.kind == kind]
            must({p.codec for p in packets} <= TS_CODECS, f"{kind} that MPEG-TS has no way to carry")
            expected = [p for p in packets if p.codec != "aac" or p.config]
            undescribed += len(packets) - len(expected)
            for n, (unit, packet) in enumerate(zip(units, expected)):
                what = f"{kind} {n}"
                must(unit.codec == packet.codec, what, unit.codec, "instead of", packet.codec)
                must(unit.key == packet.key, what, "random access", unit.key)
                shift.check(unit.dts, packet.dts * 90, what, "dts")
                shift.check(unit.pts, packet.pts * 90, what, "pts")
                compare_unit(what, unit, packet)
            must(len(units) == len(expected), f"{len(units)} {kind} units instead of {len(expected)}")
            counts[kind] = len(units)
        return [counts], ["verbatim"] + remarks_on(breaks, undescribed)

    def fmp4(self, urls):
        segments, breaks = self.playlist(urls)
        maps, found = {}, {"video": [], "audio": []}
        for start, segment in segments:
            must(start, "a segment without EXT-X-MAP")
            if start not in maps:
                maps[start] = mp4.initialisation(fetch(start))
            tracks, defaults = maps[start]
            for number, sample in mp4.fragment(fetch(segment), defaults):
                found[tracks[number].kind].append((tracks[number], sample))
        shift, counts, adjusted, undescribed = Shift(), {}, 0, 0
        for kind, samples in found.items():
            expected = self.described(kind)
            undescribed += len(self.pushed[kind]) - len(expected)
            for n, ((track, sample), packet) in enumerate(zip(samples, expected)):
                what = f"{kind} {n}"
                compare_sample(what, track, sample, packet)
                empty, media_time = edits_of(track, None)
                pts = (sample.dts + sample.cts - media_time) * 1000 / track.timescale + empty
                dts = (sample.dts - media_time) * 1000 / track.timescale + empty
                shift.check(pts, packet.pts, what, "pts")
                adjusted += dts - packet.dts != shift.value
            must(len(samples) == len(expected), f"{len(samples)} {kind} samples instead of {len(expected)}")
            counts[kind] = len(samples)
        remarks = ["verbatim" if not adjusted else f"presentation exact, DTS adjusted ({adjusted})"]
        return [counts], remarks + remarks_on(breaks, undescribed)

    def aac(self, urls):
        must(len(urls) == 1, "files")
        frames = transport.adts(fetch(urls[0]))
        must({p.codec for p in self.pushed["audio"]} == {"aac"}, "sound that ADTS has no way to carry")
        expected = self.described("audio")
        for n, (frame, packet) in enumerate(zip(frames, expected)):
            must(frame[3] == packet.data, f"frame {n} differs")
            must(frame[:3] == adts_fields(packet.config), f"header of frame {n}: {frame[:3]}")
        must(len(frames) == len(expected), f"{len(frames)} frames instead of {len(expected)}")
        undescribed = len(self.pushed["audio"]) - len(expected)
        return [{"video": 0, "audio": len(frames)}], ["verbatim"] + remarks_on(0, undescribed)


CHECKS = {"flv": Case.flv, "mp4": Case.mp4, "ts": Case.ts, "fmp4": Case.fmp4, "aac": Case.aac}


def edits_of(track, scale):
    """(delay in movie time, first media time shown) that an edit list gives."""
    empty, media_time = 0, 0
    edits = list(track.edits)
    if edits and edits[0][1] == -1:
        empty = edits.pop(0)[0]
    must(len(edits) <= 1, f"edits {track.edits}")
    if edits:
        must(edits[0][1] >= 0, f"edits {track.edits}")
        media_time = edits[0][1]
    return empty, media_time


class MovieTrack:
    """A track of a plain file on the time line of its movie. Milliseconds throughout."""

    def __init__(self, track, scale):
        must(scale == track.timescale == 1000, "time scales", scale, track.timescale)
        must(track.language == "und", "language", track.language)
        self.track = track
        self.start, self.media_time = edits_of(track, scale)
        self.pts = [s.dts + s.cts - self.media_time + self.start for s in track.samples]

    def compare(self, pushed, shift):
        """Gives how many decoding times are others than those pushed, on the movie's time line: they
        never fall, and all are earlier by what the packet needs that is presented longest before it
        is decoded."""
        adjusted, decoded = 0, list(itertools.accumulate((p.dts for p in pushed), max))
        self.early = max([0] + [dts - p.pts for dts, p in zip(decoded, pushed)])
        for n, (sample, packet) in enumerate(zip(self.track.samples, pushed)):
            what = f"{self.track.kind} {n}"
            compare_sample(what, self.track, sample, packet)
            shift.check(self.pts[n], packet.pts, what, "pts")
            late = sample.dts - self.media_time + self.start - packet.dts - shift.value
            must(late == decoded[n] - packet.dts - self.early, what, f"is decoded {late} ms late")
            adjusted += late != 0
        samples = self.track.samples
        must(self.track.duration == sum(s.duration for s in samples), "mdhd", self.track.duration)
        must(self.track.movie_duration == self.end(), f"tkhd {self.track.movie_duration} for {self.end()}")
        if len(samples) > 2:
            usual = [s.duration for s in samples[:-1] if s.duration][-1:]
            must([samples[-1].duration] == usual, f"the last sample lasts {samples[-1].duration}, not {usual}")
        return adjusted

    def hidden(self):
        return sum(pts < self.start for pts in self.pts)

    def shown(self):
        return [pts for pts in self.pts if pts >= self.start]

    def end(self):
        edits = [edit for edit in self.track.edits if edit[1] != -1]
        latest = max(pts + max(s.duration, 1) for pts, s in zip(self.pts, self.track.samples))
        end = self.start + edits[0][0] if edits else latest
        must(end == latest, f"the edit of {self.track.kind} ends at {end}, its samples at {latest}")
        return end


def compare_sample(what, track, sample, packet):
    must(sample.data == packet.data, what, "differs")
    must(sample.sync == packet.key, what, "sync", sample.sync)
    kind, entry = track.entries[sample.entry - 1]
    kinds, has_record = ENTRIES[packet.codec]
    must(kind in kinds, what, "has a sample entry", kind, "for", packet.codec)
    must(not has_record or packet.config in entry, what, "another configuration in its sample entry")


def nal_type(codec, unit):
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def compare_unit(what, unit, packet):
    if packet.codec == "aac":
        ((*fields, data),) = transport.adts(unit.data)
        must(data == packet.data, what, "differs")
        must(tuple(fields) == adts_fields(packet.config), what, "ADTS header", fields)
        return
    if packet.codec not in ("h264", "hevc"):
        must(unit.data == packet.data, what, "differs")
        return
    is_avc = packet.codec == "h264"
    delimiter, sets = (9, {7, 8}) if is_avc else (35, {32, 33, 34})
    size = 4 if not packet.config else (packet.config[4 if is_avc else 21] & 3) + 1
    kinds = lambda units: [nal_type(packet.codec, nal) for nal in units]  # noqa: E731
    found = transport.annex_b(unit.data)
    must(kinds(found)[0] == delimiter and kinds(found).count(delimiter) == 1, what, "delimiter", kinds(found))
    pushed = [nal.rstrip(b"\0") for nal in transport.length_prefixed(packet.data, size)]
    pushed = [nal for nal in pushed if nal_type(packet.codec, nal) != delimiter]
    found = [nal.rstrip(b"\0") for nal in found[1:]]
    added = found[: len(found) - len(pushed)]
    must(found[len(added) :] == pushed, what, "differs", kinds(found), kinds(pushed))
    must(all(nal in packet.config for nal in added), what, "NAL units of nobody", kinds(added))
    if unit.key and packet.config:
        must(sets <= set(kinds(found)), what, "parameter sets", kinds(found))


def adts_fields(config):
    """What an AudioSpecificConfig says of the core coder: object type, frequency, channels."""
    kind, frequency, channels = config[0] >> 3, (config[0] & 7) << 1 | config[1] >> 7, config[1] >> 3 & 15
    if kind in (5, 29):  # SBR over a core whose type comes behind the extended frequency
        kind = config[2] >> 2 & 31
    return kind, frequency, channels


def is_metadata(tag):
    return tag.kind == SCRIPT and tag.payload.startswith(b"\x02\0\x0aonMetaData")


def brief(tag):
    return f"({tag.kind} {tag.time} ms {len(tag.payload)} bytes {tag.payload[:12].hex()})"


def main(path):
    job = json.load(open(path))
    probe.FFMPEG7 = job["ffmpeg7"]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda case: Case(case).run(), job["cases"]))
    json.dump({"cases": results}, sys.stdout)


main(sys.argv[1])
