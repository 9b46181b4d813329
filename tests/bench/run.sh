#!/usr/bin/env bash
# Measures CPU and memory of liverec, of nginx-rtmp recording FLV, and of a bare copy of sockets to
# files, on the same bytes, and prints Markdown tables. Takes about 12 minutes.
#
#   bash tests/bench/run.sh [--streams N] [--seconds S] [--megabytes M] [--rounds R] [--out FOLDER]
#                           [--baseline PROGRAM]
#
# --baseline names another build of liverec, which is measured in turn with this one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! command -v nginx >/dev/null || [ ! -e /usr/lib/nginx/modules/ngx_rtmp_module.so ] ||
   ! command -v ffmpeg >/dev/null; then
  if [ "$(id -u)" != 0 ]; then
    echo "tests/bench/run.sh: needs the Debian packages nginx-light libnginx-mod-rtmp ffmpeg" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends nginx-light libnginx-mod-rtmp ffmpeg >&2
fi

cargo build --release --locked --bin liverec --example loadgen >&2

# 720p30 with B-frames and a key frame every 2 s, 3 Mbit/s, and 128 kbit/s of AAC
source=target/bench/source.flv
if [ ! -e "$source" ]; then
  mkdir -p target/bench
  ffmpeg -hide_banner -nostdin -loglevel error -y -threads 1 \
    -f lavfi -i "testsrc2=size=1280x720:rate=30,noise=alls=14:allf=t" \
    -f lavfi -i "sine=frequency=440:sample_rate=48000" -t 20 \
    -c:v libx264 -preset superfast -profile:v high -bf 2 -g 60 -sc_threshold 0 -pix_fmt yuv420p \
    -b:v 3000k -maxrate 3000k -bufsize 3000k -c:a aac -b:a 128k -ac 2 -f flv "$source.part" >&2
  mv "$source.part" "$source"
fi

ulimit -n 20000 2>/dev/null || true
exec python3 tests/bench/bench.py --liverec target/release/liverec \
  --loadgen target/release/examples/loadgen --source "$source" "$@"
