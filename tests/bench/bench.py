"""Measures liverec beside nginx-rtmp and a bare copy of sockets to files, on the same bytes.

Called by run.sh. The server runs on one processor, the generator on another; output goes to
memory (/dev/shm) unless --out says otherwise. CPU seconds are user and system time of the server
from before the first connection until every file is finished and the processor is idle.
"""

import argparse
import base64
import glob
import hashlib
import hmac
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

TICK = os.sysconf("SC_CLK_TCK")
SECRET = ("AKIDBENCH", "bench")
# when the processor is read while all streams are live, in seconds from the beginning and the end
LIVE_FROM_S, LIVE_UNTIL_END_S = 3, 2
LIVEREC, BASELINE = "liverec", "liverec, other build"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """A process and its children."""
    found = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            for child in f.read().split():
                found += tree(int(child))
    except FileNotFoundError:
        pass
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def resident_bytes(pids):
    """Memory of its own; pages of files in memory are not the server's cost."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    total += int(line.split()[1]) * 1024
    return total


class Server:
    """One server under test, started fresh in a folder of its own."""

    def __init__(self, options, name):
        self.options, self.name = options, name
        self.dir = tempfile.mkdtemp(prefix="liverec-bench-", dir=options.out)
        self.port = free_port()
        self.log = open(f"{self.dir}/log", "w")
        is_liverec = name in (LIVEREC, BASELINE)
        command = self.liverec() if is_liverec else self.nginx() if name == "nginx-rtmp" else self.sink()
        if options.pin:
            command = ["taskset", "-c", "0"] + command
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LIVEREC__")}
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        self.wait_until_listening()
        if is_liverec:
            self.record_flv_only()

    def liverec(self):
        self.http = free_port()
        values = {
            "data_dir": f"{self.dir}/data", "rtmp.listen": f"127.0.0.1:{self.port}",
            "http.listen": f"127.0.0.1:{self.http}", "api.secret_id": SECRET[0], "api.secret_key": SECRET[1],
        }
        flags = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
        return [self.options.baseline if self.name == BASELINE else self.options.liverec] + flags

    def nginx(self):
        os.mkdir(f"{self.dir}/rec")
        with open(f"{self.dir}/nginx.conf", "w") as f:
            f.write(f"""
{"user root;" if os.geteuid() == 0 else ""}
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; worker_processes 1; pid {self.dir}/pid; error_log stderr warn;
events {{ worker_connections 8192; }}
rtmp {{
  access_log off;
  server {{
    listen 127.0.0.1:{self.port};
    application live {{ live on; record all; record_path {self.dir}/rec; record_suffix .flv; }}
  }}
}}
""")
        return ["nginx", "-e", "stderr", "-p", self.dir, "-c", f"{self.dir}/nginx.conf"]

    def sink(self):
        os.mkdir(f"{self.dir}/rec")
        command = [self.options.loadgen, "sink", "--listen", f"127.0.0.1:{self.port}", "--dir", f"{self.dir}/rec"]
        return command + (["--tick-ms", "100"] if "100 ms" in self.name else [])

    def wait_until_listening(self):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                time.sleep(0.5)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        with open(f"{self.dir}/log") as f:
            sys.exit(f"{self.name} did not start:\n{f.read()}")

    def call(self, action, **parameters):
        """One API call, signed with HmacSHA256."""
        parameters = {k.replace("__", "."): v for k, v in parameters.items()}
        parameters |= {
            "Action": action, "Version": "2018-08-01", "Timestamp": int(time.time()), "Nonce": time.monotonic_ns() % 10**9,
            "SecretId": SECRET[0], "SignatureMethod": "HmacSHA256",
        }
        plain = "&".join(f"{k}={parameters[k]}" for k in sorted(parameters))
        text = f"POST127.0.0.1:{self.http}/?{plain}"
        digest = hmac.new(SECRET[1].encode(), text.encode(), hashlib.sha256).digest()
        parameters["Signature"] = base64.b64encode(digest).decode()
        body = urllib.parse.urlencode(parameters).encode()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.http}/", body, 10) as reply:
            response = json.load(reply)["Response"]
        if "Error" in response:
            sys.exit(f"{action}: {response['Error']}")
        return response

    def record_flv_only(self):
        """Turns the template of the first start into one FLV and nothing else."""
        template = self.call("DescribeLiveRecordTemplates")["Templates"][0]["TemplateId"]
        self.call("ModifyLiveRecordTemplate", TemplateId=template, Mp4Param__Enable=0,
                  FlvParam__Enable=1, FlvParam__RecordInterval=7200)

    def files(self):
        where = "data/vod" if self.name in (LIVEREC, BASELINE) else "rec"
        return [f for f in glob.glob(f"{self.dir}/{where}/**/*.flv", recursive=True) if "/.tmp/" not in f]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def measure(options, name, streams, how):
    """One run; `how` are the generator's own arguments."""
    server = Server(options, name)
    try:
        pids = tree(server.process.pid)
        idle = resident_bytes(pids)
        before = cpu_seconds(pids)
        command = [options.loadgen, "push", "--to", f"127.0.0.1:{server.port}", "--file", options.source,
                   "-n", str(streams)] + how + (["--raw"] if name.startswith("bare") else [])
        if options.pin:
            command = ["taskset", "-c", "1"] + command
        load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        samples = [idle]
        begun, live = time.monotonic(), []
        while load.poll() is None:
            samples.append(resident_bytes(pids))
            # all streams are live in between: they begin and end within a second of each other
            if LIVE_FROM_S < time.monotonic() - begun < options.seconds - LIVE_UNTIL_END_S:
                live.append((time.monotonic(), cpu_seconds(pids)))
            time.sleep(0.1)
        sent = json.loads(load.stdout.read())
        live_per_gb = 0.0
        if "--duration" in how and len(live) > 1:
            rate = sent["bytes"] / 1e9 / options.seconds
            live_per_gb = (live[-1][1] - live[0][1]) / ((live[-1][0] - live[0][0]) * rate)
        received = cpu_seconds(pids)
        # streams end within a second of each other; what is done with ended ones is not their memory
        live_peak = max((samples[:-15] if "--duration" in how else samples) or samples)
        # until nothing moves any more: files are finished
        last, quiet, deadline = cpu_seconds(pids), 0, time.monotonic() + 120
        while (quiet < 10 or len(server.files()) < sent["ok"]) and time.monotonic() < deadline:
            time.sleep(0.1)
            samples.append(resident_bytes(pids))
            now = cpu_seconds(pids)
            quiet = quiet + 1 if now - last < 0.02 else 0
            last = now
        sizes = [os.path.getsize(f) for f in server.files()]
        whole = sum(size > 0.98 * sent["bytes"] / max(1, sent["ok"]) for size in sizes)
        return {
            "server": name, "streams": streams, "ok": sent["ok"], "errors": sent["errors"], "whole": whole,
            "gigabytes": sent["bytes"] / 1e9, "seconds": sent["seconds"], "late_ms": sent["late_ms"],
            "cpu_per_gb": (last - before) / (sent["bytes"] / 1e9),
            "after_per_gb": (last - received) / (sent["bytes"] / 1e9), "live_per_gb": live_per_gb, "kib_per_stream": (live_peak - idle) / streams / 1024,
            "peak_mib": max(samples) / 1024 / 1024,
        }
    finally:
        server.stop()


def row(runs):
    first = runs[0]
    middle = {key: statistics.median(run[key] for run in runs) 
              for key in ("cpu_per_gb", "live_per_gb", "after_per_gb", "kib_per_stream", "peak_mib", "gigabytes", "seconds")}
    whole = min(run["whole"] for run in runs)
    return (f"| {first['server']} | {first['streams']} | {middle['cpu_per_gb']:.2f} "
            f"| {middle['live_per_gb'] or '':{'.2f' if middle['live_per_gb'] else ''}} "
            f"| {middle['after_per_gb']:.2f} | {middle['kib_per_stream']:.0f} | {middle['peak_mib']:.0f} "
            f"| {middle['gigabytes'] * 1000 / middle['seconds']:.0f} | {whole}/{first['streams']} |")


def table(title, options, names, streams, how):
    print(f"\n### {title}\n\n| server | streams | CPU s per GB | while all are live | after the last byte "
          "| KiB per live stream | peak MiB | MB/s | whole files |\n|---|---|---|---|---|---|---|---|---|", flush=True)
    runs = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            run = measure(options, name, streams, how)
            for error in run["errors"]:
                print(f"{name}: {error}", file=sys.stderr)
            runs[name].append(run)
    for name in names:
        print(row(runs[name]), flush=True)
    return {name: statistics.median(run["cpu_per_gb"] for run in runs[name]) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--liverec", required=True)
    parser.add_argument("--loadgen", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--baseline", help="another build of liverec, measured in turn with this one")
    parser.add_argument("--out", default="/dev/shm", help="where servers write; a folder on a disk brings the disk in")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=40, help="length of a paced run")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of an unpaced run")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    options.pin = (os.cpu_count() or 1) > 1 and shutil.which("taskset") is not None
    names = [LIVEREC, "nginx-rtmp", "bare copy", "bare copy every 100 ms"]
    if shutil.which("nginx") is None:
        names.remove("nginx-rtmp")
    if options.baseline:
        names.insert(1, BASELINE)

    paced, unpaced = ["--duration", str(options.seconds)], ["--total-bytes", str(options.megabytes * 10**6)]
    table("Real time", options, names, options.streams, paced)
    table("As fast as the server reads", options, names[:-1], options.streams, unpaced)
    if options.baseline:
        return

    print("\n### liverec in real time by number of streams\n\n| streams | CPU s per GB | KiB per live stream | peak MiB |\n|---|---|---|---|")
    for streams in sorted({max(1, options.streams // 4), max(1, options.streams // 2), options.streams, options.streams * 2}):
        runs = [measure(options, LIVEREC, streams, paced) for _ in range(options.rounds)]
        cpu, live, peak = (statistics.median(run[key] for run in runs) for key in ("cpu_per_gb", "kib_per_stream", "peak_mib"))
        print(f"| {streams} | {cpu:.2f} | {live:.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
