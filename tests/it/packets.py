"""Prints every packet of a file or URL as a player's demuxer finds it, one JSON object a line.

Usage: packets.py FILE_OR_URL

Times are ticks of 90 kHz, which hold whole milliseconds and the 33 bits of MPEG-TS exactly; null
where there is none or it is no whole tick. `hash` is the
SHA-256 of the payload reduced to what every container carries: the NAL units of a picture without
access unit delimiters and parameter sets, each with its length in front, or the bare AAC frame.
"""

import hashlib
import json
import sys

import av

# nal_unit_type: SPS, PPS, access unit delimiter; VPS, SPS, PPS, access unit delimiter
LEFT_OUT = {"h264": {7, 8, 9}, "hevc": {32, 33, 34, 35}}
# where the length size stands in avcC and hvcC
LENGTH_SIZE_AT = {"h264": 4, "hevc": 21}


def annex_b(data):
    """NAL units between start codes; zero bytes before a start code belong to no NAL unit."""
    start = data.find(b"\0\0\1")
    assert start >= 0 and not data[:start].strip(b"\0"), "no start code at the beginning"
    while start >= 0:
        end = data.find(b"\0\0\1", start + 3)
        yield data[start + 3 : end if end >= 0 else len(data)].rstrip(b"\0")
        start = end


def length_prefixed(data, size):
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + size], "big")
        at += size
        assert at + length <= len(data), "a NAL unit is cut off"
        yield data[at : at + length]
        at += length


def nal_units(codec, extradata, data):
    if extradata and extradata[0] == 1:
        return length_prefixed(data, (extradata[LENGTH_SIZE_AT[codec]] & 3) + 1)
    return annex_b(data)


def nal_type(codec, unit):
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def pictures(codec, extradata, data):
    out = bytearray()
    for unit in nal_units(codec, extradata, data):
        if nal_type(codec, unit) not in LEFT_OUT[codec]:
            out += len(unit).to_bytes(4, "big") + unit
    assert out, "a packet without a picture"
    return bytes(out)


def aac(extradata, data):
    if extradata:
        return data
    assert data[0] == 0xFF and data[1] & 0xF6 == 0xF0, "no ADTS header"
    length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
    assert length == len(data), "not one ADTS frame"
    return data[7 if data[1] & 1 else 9 :]


def ticks(time, time_base):
    if time is None:
        return None
    time = time * time_base * 90000
    return int(time) if time.denominator == 1 else None


def media(container):
    packets = container.demux(*container.streams.video, *container.streams.audio)
    while True:
        try:
            yield next(packets)
        except StopIteration:
            return
        except IndexError:
            # Script data in the middle of an FLV turn up as a further stream, on which PyAV stumbles
            # when everything has been read. Whether that was all, the tests count.
            return


def main(source):
    with av.open(source) as container:
        for packet in media(container):
            if packet.size == 0:  # the end of a stream
                continue
            context = packet.stream.codec_context
            codec, extradata, data = context.name, context.extradata, bytes(packet)
            payload = aac(extradata, data) if codec == "aac" else pictures(codec, extradata, data)
            print(json.dumps({
                "kind": packet.stream.type,
                "codec": codec,
                "pts": ticks(packet.pts, packet.time_base),
                "dts": ticks(packet.dts, packet.time_base),
                "key": packet.is_keyframe,
                "hash": hashlib.sha256(payload).hexdigest(),
            }))


main(sys.argv[1])
