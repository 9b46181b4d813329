// Plays every product of the list `plays`, one after another, and posts what came of each.
//
// A play is {url, kind: "video" | "audio", is_hls, rate}; HLS goes through hls.js, everything else
// straight into the element. The answer is what the element says of itself when it has ended, met
// an error, or stood still for so long that it never will.

// Longer than anything takes on a slow machine: only what hangs can reach it.
const PATIENCE_MS = 60_000;

/** Plays one product; never fails, the answer says what happened. */
async function play({ url, kind, is_hls, rate }) {
  const element = document.createElement(kind);
  const troubles = []; // what hls.js complained of, fatal or not
  let hls = null;
  element.crossOrigin = "anonymous"; // the server's CORS answers are part of the proof
  element.muted = true;
  element.defaultPlaybackRate = rate;
  document.body.replaceChildren(element);

  const outcome = await new Promise((resolve) => {
    let watchdog = null;
    const moved = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => resolve("stalled"), PATIENCE_MS);
    };
    moved();
    element.addEventListener("timeupdate", moved);
    element.addEventListener("progress", moved);
    element.addEventListener("ended", () => resolve("ended"));
    element.addEventListener("error", () => resolve("error"));
    if (is_hls) {
      hls = new Hls();
      hls.on(Hls.Events.ERROR, (_, { type, details, fatal, reason, error }) => {
        troubles.push({ type, details, fatal, reason: reason ?? error?.message ?? null });
        if (fatal) resolve("error");
      });
      hls.loadSource(url);
      hls.attachMedia(element);
    } else {
      element.src = url;
    }
    // a refusal arrives as an error of the element as well
    element.play().catch(() => {});
  });

  const quality = element.getVideoPlaybackQuality?.();
  const buffered = Array.from({ length: element.buffered.length }, (_, index) => [
    element.buffered.start(index),
    element.buffered.end(index),
  ]);
  const answer = {
    url,
    outcome,
    ended: element.ended,
    error: element.error && { code: element.error.code, message: element.error.message },
    troubles,
    duration: Number.isFinite(element.duration) ? element.duration : null,
    current_time: element.currentTime,
    buffered,
    width: element.videoWidth ?? 0,
    height: element.videoHeight ?? 0,
    frames: quality?.totalVideoFrames ?? 0,
    dropped: quality?.droppedVideoFrames ?? 0,
    audio_bytes: element.webkitAudioDecodedByteCount ?? 0,
  };
  hls?.destroy();
  element.removeAttribute("src");
  element.load();
  return answer;
}

const plays = await (await fetch("plays")).json();
for (const one of plays) {
  await fetch("reports", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(await play(one)),
  });
}
