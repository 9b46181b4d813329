#!/usr/bin/env bash
# Pushes from a real OBS (Debian's, without a screen) to a liverec of its own and looks at the MP4.
#
#   bash tests/encoders.sh [seconds]
#
# Not part of CI: OBS draws with the processor and needs a few hundred MiB of packages. As root it
# installs what is missing. OBS asks the network for news, so everything runs in a network
# namespace of its own that has nothing but a loopback device.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-12}

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'tests/encoders.sh: %s\n' "$*" >&2; exit 1; }

if [ "${LIVEREC_ENCODERS_INSIDE:-}" != yes ]; then
  if ! command -v obs >/dev/null || ! command -v Xvfb >/dev/null || ! command -v ffprobe >/dev/null; then
    [ "$(id -u)" = 0 ] || die "needed: apt-get install obs-studio obs-plugins xvfb libgl1-mesa-dri ffmpeg"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null >&2
    apt-get install -y -qq --no-install-recommends \
      obs-studio obs-plugins xvfb libgl1-mesa-dri ffmpeg </dev/null >&2
  fi
  cargo build --locked --bin liverec
  LIVEREC_BINARY=$(realpath "${CARGO_TARGET_DIR:-target}/debug/liverec")
  export LIVEREC_BINARY LIVEREC_ENCODERS_INSIDE=yes
  if [ "$(id -u)" = 0 ]; then exec unshare -n -- bash "$0" "$seconds"; fi
  exec unshare -rn -- bash "$0" "$seconds"
fi

ip link set lo up 2>/dev/null || python3 - <<'PY'
# without iproute2: SIOCSIFFLAGS with IFF_UP
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14x", b"lo", 1))
PY

folder=$(mktemp -d)
children=()
# shellcheck disable=SC2317 # called by the trap
finish() {
  for child in "${children[@]}"; do kill -9 "$child" 2>/dev/null || true; done
  rm -rf "$folder"
}
trap finish EXIT

# --- liverec -------------------------------------------------------------------------------------

env NO_COLOR=1 LIVEREC__DATA_DIR="$folder/data" LIVEREC__RTMP__LISTEN=127.0.0.1:1935 \
  LIVEREC__HTTP__LISTEN=127.0.0.1:8080 "$LIVEREC_BINARY" >"$folder/liverec.out" 2>"$folder/liverec.log" &
liverec=$!
children+=("$liverec")
for _ in $(seq 100); do
  grep -q listening "$folder/liverec.log" && break
  sleep 0.1
done
grep -q listening "$folder/liverec.log" || die "liverec did not start: $(cat "$folder/liverec.log")"

# --- OBS -----------------------------------------------------------------------------------------

export HOME=$folder/home XDG_RUNTIME_DIR=$folder/home/run XDG_CONFIG_HOME=$folder/home/.config
export LIBGL_ALWAYS_SOFTWARE=1 GALLIUM_DRIVER=llvmpipe QT_QPA_PLATFORM=xcb DISPLAY=:97
config=$XDG_CONFIG_HOME/obs-studio
profile=$config/basic/profiles/Test
mkdir -p "$profile" "$config/basic/scenes"
mkdir -m 700 "$XDG_RUNTIME_DIR"

cat >"$config/global.ini" <<'INI'
[General]
FirstRun=true
LastVersion=486539266
EnableAutoUpdates=false
ConfirmOnExit=false
[Basic]
Profile=Test
ProfileDir=Test
SceneCollection=Test
SceneCollectionFile=Test
[BasicWindow]
PreviewEnabled=false
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
[Video]
Renderer=OpenGL
INI
cat >"$profile/basic.ini" <<'INI'
[General]
Name=Test
[Output]
Mode=Simple
Reconnect=false
[SimpleOutput]
VBitrate=800
ABitrate=128
StreamEncoder=x264
Preset=ultrafast
UseAdvanced=true
[Video]
BaseCX=640
BaseCY=360
OutputCX=640
OutputCY=360
FPSType=1
FPSInt=30
[Audio]
SampleRate=48000
ChannelSetup=Stereo
INI
cat >"$profile/service.json" <<'JSON'
{"type": "rtmp_custom", "settings": {"server": "rtmp://127.0.0.1:1935/live", "key": "obs", "use_auth": false}}
JSON
cat >"$config/basic/scenes/Test.json" <<'JSON'
{"name": "Test", "current_scene": "Scene", "current_program_scene": "Scene", "transitions": [],
 "scene_order": [{"name": "Scene"}],
 "sources": [
  {"id": "scene", "name": "Scene", "settings": {"custom_size": false, "id_counter": 1, "items": [
   {"name": "Colour", "id": 1, "visible": true, "pos": {"x": 0.0, "y": 0.0}, "scale": {"x": 1.0, "y": 1.0}}]}},
  {"id": "color_source_v3", "name": "Colour", "settings": {"color": 4284506111, "width": 640, "height": 360}}]}
JSON

Xvfb "$DISPLAY" -screen 0 1280x800x24 -nolisten tcp >"$folder/xvfb.log" 2>&1 &
children+=($!)
sleep 2
say "$(obs --version) pushes for $seconds s"
obs --startstreaming --minimize-to-tray --multi --profile Test --collection Test >"$folder/obs.log" 2>&1 &
obs=$!
children+=("$obs")
for _ in $(seq 300); do
  grep -q 'publish started' "$folder/liverec.log" && break
  kill -0 "$obs" 2>/dev/null || die "OBS ended: $(tail -20 "$folder/obs.log")"
  sleep 0.1
done
grep -q 'publish started' "$folder/liverec.log" || die "OBS did not push: $(tail -20 "$folder/obs.log")"
sleep "$seconds"
kill -INT "$obs"
for _ in $(seq 100); do
  kill -0 "$obs" 2>/dev/null || break
  sleep 0.1
done
kill -9 "$obs" 2>/dev/null || true

# --- the recording -------------------------------------------------------------------------------

for _ in $(seq 300); do
  grep -q 'media file stored' "$folder/liverec.log" && break
  sleep 0.1
done
file=$(find "$folder/data/vod" -name '*.mp4' | head -n 1)
[ -n "$file" ] || die "no MP4: $(cat "$folder/liverec.log")"
if grep -E ' (WARN|ERROR) ' "$folder/liverec.log"; then die "liverec complained"; fi

# at least half of what the time allows: OBS drops frames on a slow machine
count() {
  ffprobe -v error -select_streams "$1" -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$file"
}
video=$(count v:0) audio=$(count a:0)
ffprobe -v error -show_entries stream=codec_name,width,height,sample_rate -of compact "$file" >&2
say "$video pictures, $audio frames of sound"
[ "$video" -ge $((seconds * 30 / 2)) ] || die "$video pictures in $seconds s"
[ "$audio" -ge $((seconds * 46 / 2)) ] || die "$audio frames of sound in $seconds s"
ffmpeg -v error -xerror -i "$file" -f null - || die "the MP4 does not decode"
# as for every case of tests/CASES.md: all packets read, and not a word about them
words=$(ffprobe -v warning -show_packets -of compact "$file" 2>&1 >/dev/null)
[ -z "$words" ] || die "ffprobe says: $words"

kill "$liverec"
wait "$liverec" || die "liverec ended with $?"
say "OBS: all well"
