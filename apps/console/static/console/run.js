// Keeps the run page current and opens its steps. The server draws; this file only puts it in place.
const place = document.getElementById("run");
const live = document.getElementById("live");
const id = place.dataset.run;
const cache = new Map();
let opened = location.hash.slice(1) || place.dataset.opened || "";
let writing = { step: "", text: "" };

const detail = () => document.getElementById("detail");
const rowOf = (anchor) => document.getElementById(anchor);
const isFinal = () => place.querySelector(".facts").dataset.final === "yes";

const asked = () => place.querySelector(".step[data-kind=human][data-open-step]")?.id ?? "s1";

function mark() {
  const current = opened || asked();
  for (const row of place.querySelectorAll(".step")) row.id === current ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
  const partial = place.querySelector("[data-partial]");
  const done = place.querySelector(`.step[data-step="${CSS.escape(writing.step)}"]`);
  if (partial && writing.step) partial.textContent = done ? "" : writing.text;
}

async function open(anchor, { fresh = false } = {}) {
  opened = anchor === "s1" ? "" : anchor;
  history.replaceState(null, "", opened ? `#${opened}` : location.pathname);
  if (!opened) { detail().replaceChildren(); return mark(); }
  if (!fresh && cache.has(opened)) { detail().innerHTML = cache.get(opened); return mark(); }
  const answer = await fetch(`/runs/${id}/steps/${opened}`, { credentials: "same-origin" });
  if (anchor !== opened) return;
  if (!answer.ok || answer.redirected) { opened = ""; return mark(); }
  const html = await answer.text();
  const panel = detail().querySelector("input[name=panel]:checked")?.value;
  if (!rowOf(anchor)?.hasAttribute("data-open-step")) cache.set(anchor, html);
  detail().innerHTML = html;
  const kept = panel && fresh && detail().querySelector(`input[value="${panel}"]`);
  if (kept) kept.checked = true;
  mark();
}

place.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey) return;
  const row = event.target.closest(".step");
  const close = event.target.closest("[data-close]");
  if (!row && !close) return;
  event.preventDefault();
  open(row ? row.id : "s1");
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && opened && !document.querySelector("dialog[open]")) open("s1");
});
window.addEventListener("hashchange", () => open(location.hash.slice(1) || "s1"));

async function redraw(html, seq) {
  const at = window.scrollY;
  const wasOpen = opened && rowOf(opened)?.hasAttribute("data-open-step");
  await window.htmx.swap({ target: place, text: html, swap: "innerMorph" });
  place.dataset.seq = seq;
  mark();
  if (wasOpen) open(opened, { fresh: true });
  if (isFinal()) for (const form of document.querySelectorAll("[data-while-alive]")) form.remove();
  if (window.scrollY !== at) window.scrollTo({ top: at });
}

function say(state) {
  live.dataset.state = state;
  live.textContent = { live: "Live", away: "Reconnecting", over: "" }[state];
}

function follow() {
  const stream = new EventSource(`/runs/${id}/live?after=${place.dataset.seq}`);
  stream.onopen = () => say("live");
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return say("away");
    if (isFinal()) return say("over");
    say("away");
    setTimeout(follow, 3000);
  };
  stream.addEventListener("picture", async (event) => {
    await redraw(event.data, event.lastEventId);
    if (isFinal()) { stream.close(); say("over"); }
  });
  stream.addEventListener("delta", (event) => {
    const delta = JSON.parse(event.data);
    if (delta.step !== writing.step) writing = { step: delta.step, text: "" };
    writing.text += delta.text;
    mark();
  });
  stream.addEventListener("abandoned", () => { writing.text = ""; mark(); });
}

if (opened && !detail().firstElementChild) open(opened); else mark();
if (!isFinal()) follow();
