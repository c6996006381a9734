// Keeps the run page current: the journal says that something changed, the server renders what.
const place = document.getElementById("run");
const live = document.getElementById("live");
const id = place.dataset.run;
const isFinal = () => place.querySelector(".facts").dataset.final === "yes";

const PAUSE_MS = 500; // each page is drawn from the whole journal: not more often than this
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
let refreshing = null;
let again = false;
let askedAt = -PAUSE_MS;

async function refresh() {
  if (refreshing) { again = true; return refreshing; }
  refreshing = (async () => {
    do {
      await pause(Math.max(0, askedAt + PAUSE_MS - performance.now()));
      again = false;
      askedAt = performance.now();
      const answer = await fetch(`/runs/${id}/steps`, { credentials: "same-origin" });
      if (answer.ok && !answer.redirected) morph(await answer.text());
    } while (again);
  })().catch(() => say("reconnecting")).finally(() => { refreshing = null; });
  return refreshing;
}

function morph(html) {
  const partial = place.querySelector("[data-partial]")?.textContent ?? "";
  const held = document.activeElement?.id;
  const scrolled = place.querySelector(".timeline")?.scrollTop ?? 0;
  place.innerHTML = html;
  const next = place.querySelector("[data-partial]");
  if (next) next.textContent = partial;
  const timeline = place.querySelector(".timeline");
  if (timeline) timeline.scrollTop = scrolled;
  if (held) document.getElementById(held)?.focus({ preventScroll: true });
}

function say(state) {
  live.hidden = state === "over";
  live.dataset.state = state;
  live.textContent = state === "live" ? "Live" : "Reconnecting";
}

function follow() {
  const stream = new EventSource(`/api/v1/runs/${id}/events`);
  let step = null;
  stream.onopen = () => say("live");
  stream.onerror = () => {
    if (stream.readyState === EventSource.CLOSED) { refresh().then(() => say(isFinal() ? "over" : "reconnecting")); }
    else say("reconnecting");
  };
  const changed = async (event) => {
    await refresh();
    if (event.type.startsWith("run_") && isFinal()) { stream.close(); say("over"); }
  };
  for (const type of ["run_started", "context_retrieved", "model_answered", "model_failed", "tool_intended",
    "tool_answered", "approval_requested", "approval_decided", "effect_unknown", "effect_resolved", "mail_received",
    "run_succeeded", "run_failed", "run_cancelled", "run_quarantined"]) stream.addEventListener(type, changed);
  stream.addEventListener("delta", (event) => {
    const delta = JSON.parse(event.data);
    const partial = place.querySelector("[data-partial]");
    if (!partial) return;
    if (delta.step !== step) { step = delta.step; partial.textContent = ""; }
    partial.textContent += delta.text;
  });
  stream.addEventListener("abandoned", () => {
    const partial = place.querySelector("[data-partial]");
    if (partial) partial.textContent = "";
  });
}

if (!isFinal()) follow();
