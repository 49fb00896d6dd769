"use strict";
// Keys are handled here at once; what they say is queued, sent in order, and leaves the queue only
// when the server has kept it. A press has a name of its own, so sending it twice is harmless.
const data = JSON.parse(document.getElementById("data").textContent);
const frames = data.frames; // {take, frame, views: [camera...], views_px, across, tile, worst, verdict}
const VIEW_KEYS = "1234567890bcdefghijklmopqstvwyz";
const LOOK_AHEAD = 12, LOOK_BACK = 3, BATCH = 200, POLL_MS = 2000, RETRY_MS = 500;
// a verdict is words, so a camera with a space in its name cannot be named by one
const named = data.cameras.filter((camera) => !/\s/.test(camera)).slice(0, VIEW_KEYS.length);
const keyOf = new Map(named.map((camera, n) => [camera, VIEW_KEYS[n]]));
const cameraOf = new Map(named.map((camera, n) => [VIEW_KEYS[n], camera]));
const $ = (id) => document.getElementById(id);
const pictures = new Map(), missing = new Set(), queue = [];
let place = Math.max(0, frames.findIndex((f) => !f.verdict)), mark = null, shown = -1;
let since = data.since, left = data.left_s, sending = false, trouble = "";
let last = { at: -1, text: "" }; // what was said last, shown once the page has gone on

function picture(at) {
  let image = pictures.get(at);
  if (!image) {
    image = new Image();
    image.src = `montage/${at}`;
    image.alt = `frame ${frames[at].frame}`;
    image.onload = () => missing.delete(at);
    image.onerror = () => { pictures.delete(at); missing.add(at); if (at === place) status(); };
    image.ready = image.decode().then(() => { image.decoded = true; }, () => {});
    pictures.set(at, image);
  }
  return image;
}

function lookAhead() {
  for (const at of pictures.keys()) if (at < place - LOOK_BACK || at > place + LOOK_AHEAD) pictures.delete(at);
  for (let at = place; at <= Math.min(place + LOOK_AHEAD, frames.length - 1); at++) picture(at);
  for (let at = place - 1; at >= Math.max(0, place - LOOK_BACK); at--) picture(at);
}

function layOut(image) {
  const box = $("stage").getBoundingClientRect(), frame = $("frame");
  const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  Object.assign(frame.style, { width: `${w}px`, height: `${h}px`, left: `${(box.width - w) / 2}px`, top: `${(box.height - h) / 2}px` });
}

function tiles(entry, image) {
  const { tile } = entry, { gap } = data;
  return entry.views.map((camera, n) => {
    const view = document.createElement("div"), key = document.createElement("b"), far = document.createElement("i");
    const x = gap + (n % entry.across) * (tile + gap), y = gap + Math.floor(n / entry.across) * (tile + gap);
    view.className = "view";
    view.dataset.camera = camera;
    Object.assign(view.style, {
      left: `${100 * x / image.naturalWidth}%`, top: `${100 * y / image.naturalHeight}%`,
      width: `${100 * tile / image.naturalWidth}%`, height: `${100 * tile / image.naturalHeight}%`,
    });
    key.textContent = keyOf.get(camera) || "";
    key.hidden = !key.textContent;
    const px = entry.views_px[n];
    far.textContent = `${camera} ${px === null ? "not detected" : `${px.toFixed(1)} px`}`;
    if (px !== null && px === entry.worst) view.classList.add("most");
    view.addEventListener("click", () => { if (!/\s/.test(camera)) { press("view", [place], camera); show(); } });
    view.append(key, far);
    return view;
  });
}

function show() {
  const at = place, image = picture(at);
  status();
  if (image.decoded) { put(at, image); lookAhead(); return; }
  lookAhead();
  image.ready.then(() => { if (at === place && image.decoded) put(at, image); });
}

function put(at, image) {
  if (shown !== at) {
    $("frame").replaceChildren(image, ...tiles(frames[at], image));
    layOut(image);
    shown = at;
  }
  status();
  // how long a key took to its picture can be read in the browser's own performance tools
  requestAnimationFrame(() => setTimeout(() => {
    if (at === place && performance.getEntriesByName("key").length) {
      performance.measure("key to picture", "key");
      performance.clearMarks("key");
    }
  }));
}

function kind(verdict) { return verdict === "ok" ? "ok" : verdict === "bad" ? "bad" : verdict ? "some" : ""; }

function duration(s) {
  return s === null ? "" : s < 90 ? `, about ${Math.ceil(s)} s left` : `, about ${Math.round(s / 60)} min left`;
}

function words(verdict) {
  const out = verdict.split(" ").slice(1);
  if (out.length > 3) return `without ${out.length} views`;
  return out.length ? `without ${out.join(", ")}` : { ok: "accepted", bad: "rejected", "": "open" }[verdict];
}

function status() {
  const entry = frames[place], out = entry.verdict.split(" ").slice(1), done = judged === frames.length;
  // never a frame's picture under another's name
  document.body.className = `${kind(entry.verdict)}${mark === null ? "" : " ranging"}${shown === place ? "" : " waiting"}`;
  $("instead").textContent = shown === place ? "" : missing.has(place) ? "this frame cannot be shown: reject it, or move on" : "being drawn";
  const worst = entry.worst === null ? "" : `, worst ${entry.worst.toFixed(1)} px`;
  $("where").textContent = `${place + 1} of ${frames.length}: ${entry.take} frame ${entry.frame}${worst}`;
  $("verdict").textContent = words(entry.verdict);
  $("range").textContent = mark === null ? "" : `range of ${Math.abs(place - mark) + 1}: move, then a or x; esc ends it`;
  $("last").textContent = last.at === place ? "" : last.text;
  for (const view of document.querySelectorAll(".view")) view.classList.toggle("out", shown === place && out.includes(view.dataset.camera));
  $("fill").style.width = `${100 * judged / frames.length}%`;
  $("progress").textContent = done ? "all judged: end with Ctrl-C where you began" : `${judged} judged${duration(left)}`;
  $("unsent").textContent = queue.length ? `${queue.length} not yet kept` : "";
  $("trouble").textContent = trouble;
}

let judged = frames.filter((f) => f.verdict).length;
function judge(at, verdict) {
  judged += Boolean(verdict) - Boolean(frames[at].verdict);
  frames[at].verdict = verdict;
}

function press(deed, places, camera = "") {
  for (const at of places) {
    const old = frames[at].verdict, views = new Set(old.split(" ").slice(1));
    if (deed === "reject") judge(at, "bad");
    if (deed === "accept" && !views.size) judge(at, "ok");
    if (deed === "view") {
      if (!views.delete(camera)) views.add(camera);
      judge(at, views.size ? ["bad", ...[...views].sort()].join(" ") : "");
    }
  }
  const many = places.length > 1 ? `${places.length} frames` : places.length ? `frame ${frames[places[0]].frame}` : "";
  last = { at: places.includes(place) ? place : -1, text: many && `${many} ${words(frames[places[0]].verdict)}` };
  queue.push({ name: name(), deed, places, camera });
  send();
}

function name() { // crypto.randomUUID is there on 127.0.0.1, a secure context
  return crypto.randomUUID();
}

async function send(poll = false) {
  if (sending || !(queue.length || poll)) return;
  sending = true;
  const batch = queue.slice(0, BATCH);
  try {
    const reply = await fetch("press", { method: "POST", body: JSON.stringify({ since, presses: batch }) });
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.why);
    queue.splice(0, batch.length);
    absorb(answer);
    trouble = "";
  } catch (error) {
    trouble = error instanceof TypeError
      ? "the server is gone: start multiview review again" + (queue.length ? `; the last ${queue.length} verdicts are not kept` : "")
      : `not kept yet: ${error.message}`;
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
  sending = false;
  status();
  if (queue.length) send();
}

function absorb(answer) {
  since = answer.since;
  left = answer.left_s;
  const waiting = new Set(queue.flatMap((p) => p.places));
  for (const [at, verdict] of Object.entries(answer.verdicts)) if (!waiting.has(Number(at))) judge(Number(at), verdict);
  if (answer.undone.length) { last = { at: -1, text: "taken back" }; go(Math.min(...answer.undone)); }
}

function go(to) { place = Math.min(Math.max(to, 0), frames.length - 1); show(); }

function decide(deed) {
  if (deed === "accept" && mark === null && missing.has(place) && shown !== place) return; // unseen
  const [first, last] = mark === null ? [place, place] : [Math.min(mark, place), Math.max(mark, place)];
  mark = null;
  press(deed, Array.from({ length: last - first + 1 }, (_, n) => first + n));
  go(last + 1);
}

function nextOpen() {
  const order = frames.map((_, n) => (place + 1 + n) % frames.length);
  const found = order.find((n) => !frames[n].verdict);
  if (found !== undefined) go(found);
}

const MOVES = { ArrowRight: () => go(place + 1), ArrowLeft: () => go(place - 1), ArrowDown: () => go(place + 1),
  ArrowUp: () => go(place - 1), PageDown: () => go(place + 10), PageUp: () => go(place - 10),
  Home: () => go(0), End: () => go(frames.length - 1) };
const ACTS = { a: () => decide("accept"), " ": () => decide("accept"), Enter: () => decide("accept"),
  x: () => decide("reject"), Delete: () => decide("reject"), Backspace: () => decide("reject"),
  u: () => { mark = null; press("undo", []); }, n: nextOpen, Escape: () => { mark = null; status(); },
  r: () => { mark = mark === null ? place : null; status(); } };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const camera = cameraOf.get(key), view = camera && frames[place].views.includes(camera);
  const act = MOVES[key] || ACTS[key];
  if (!act && !view) return;
  event.preventDefault();
  if (event.repeat && !MOVES[key]) return; // a key held down is not many verdicts
  performance.clearMarks("key");
  performance.mark("key", { startTime: event.timeStamp });
  if (act) act(); else { press("view", [place], camera); show(); }
});
addEventListener("beforeunload", (event) => { if (queue.length) event.preventDefault(); });
addEventListener("resize", () => { if (pictures.get(place)?.decoded) layOut(pictures.get(place)); });
setInterval(() => send(true), POLL_MS);
$("first").textContent = VIEW_KEYS[0];
$("end").textContent = VIEW_KEYS[Math.max(0, named.length - 1)];
show();
