"""What ffmpeg finds in a product: a second reader of its packets, and everything it warns about.

Debian's ffprobe reads all packets of every product; FLV with enhanced RTMP, which it does not know,
is read by a newer ffmpeg.
"""

import json
import re
import subprocess
from fractions import Fraction

FFMPEG7 = None
ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
# Times, sizes and places differ from line to line and from machine to machine.
NUMBER = re.compile(r"(?<![a-z0-9])-?\d+(\.\d+)?s?\b")


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [NUMBER.sub("N", ADDRESS.sub("", line)).strip() for line in done.stderr.splitlines()]
    lines = [line for line in lines if line and "Last message repeated" not in line]
    if done.returncode:
        lines.append(f"exit status {done.returncode}")
    return done.stdout, lines


def warnings(case, container, urls, expected):
    """The lines, each once; a difference in packets is a line as well."""
    lines = []
    for url, counts in zip(urls, expected):
        began = len(lines)
        if container == "flv" and case.is_enhanced:
            lines += framehash(url, counts)
        else:
            lines += ffprobe(url, counts, container)
        if container in case.job["decoded"]:
            program = FFMPEG7 if container == "flv" and case.is_enhanced else "ffmpeg"
            command = [program, "-nostdin", "-hide_banner", "-v", "error", "-xerror", "-i", url]
            lines += ["decode: " + line for line in run(command + ["-f", "null", "-"])[1]]
        path = NUMBER.sub("N", url.rsplit("/", 1)[0])
        lines[began:] = [line.replace(path, "URL") for line in lines[began:]]
    return list(dict.fromkeys(lines))


def ffprobe(url, expected, container):
    entries = "stream=index,codec_type,time_base:packet=stream_index,pts,dts,flags"
    out, lines = run(["ffprobe", "-v", "warning", "-of", "json", "-show_entries", entries, url])
    found = json.loads(out or "{}")
    kinds = {s["index"]: (s["codec_type"], Fraction(s["time_base"])) for s in found.get("streams", [])}
    packets = {"video": [], "audio": [], "data": [], "subtitle": []}
    for packet in found.get("packets", []):
        kind, base = kinds[packet["stream_index"]]
        if "D" not in packet["flags"]:
            packets[kind].append(packet["pts"] * base * 1000 if "pts" in packet else None)
    for kind in ("video", "audio"):
        want = expected.get(kind, 0)
        have = packets[kind]
        if isinstance(want, list):  # presentation times
            if have != want:
                n = next((n for n, (a, b) in enumerate(zip(have, want)) if a != b), min(len(have), len(want)))
                lines.append(f"ffprobe shows {len(have)} {kind} packets of {len(want)}; number {n} at "
                             f"{[str(time) for time in have[n : n + 1]]} instead of {want[n : n + 1]} ms")
        elif len(have) != want:
            lines.append(f"ffprobe finds {len(have)} {kind} packets of {want}")
    return lines


def framehash(url, expected):
    """The same by the newer ffmpeg, which shows the default tracks first."""
    command = [FFMPEG7, "-nostdin", "-hide_banner", "-v", "warning", "-i", url, "-map", "0:v:0?"]
    out, lines = run(command + ["-map", "0:a:0?", "-c", "copy", "-f", "framehash", "-hash", "md5", "-"])
    kinds, counts = {}, {"video": 0, "audio": 0}
    for line in out.splitlines():
        if line.startswith("#media_type"):
            number, kind = line.split(" ")[1:]
            kinds[number.rstrip(":")] = kind
        elif line and not line.startswith("#"):
            counts[kinds[line.split(",")[0].strip()]] += 1
    for kind, count in counts.items():
        if count != expected.get(kind, 0):
            lines.append(f"ffmpeg finds {count} {kind} packets of {expected.get(kind, 0)}")
    return lines
