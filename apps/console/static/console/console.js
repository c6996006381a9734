// What every page can do: theme, palette, shortcuts, copying, and times that keep up with the clock.
import { ago, elapsed, left } from "./times.js";
import "./palette.js";

const $ = (selector, root = document) => root.querySelector(selector);

// Theme: the server reads the cookie, so that the next page begins in the right one.
$(".themes")?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  event.preventDefault();
  document.cookie = `octavo_theme=${button.value}; path=/; max-age=31536000; samesite=lax`;
  if (button.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = button.value;
  for (const other of button.form.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
});

export function toast(text) {
  const shown = document.createElement("div");
  shown.className = "toast";
  shown.setAttribute("role", "status");
  shown.textContent = text;
  document.body.append(shown);
  setTimeout(() => shown.remove(), 1600);
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (copy) {
    const text = copy.dataset.copy === "link" ? location.href : copy.dataset.copy;
    try { await navigator.clipboard.writeText(text); toast("Copied"); }
    catch { toast("Select the text and copy it: this browser does not let pages copy."); }
  }
  const open = event.target.closest("[data-open]");
  if (open) document.getElementById(open.dataset.open)?.showModal();
});

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("input", (event) => {
  if (event.target.matches("[data-told]")) event.target.closest("label").querySelector("output").value = event.target.value;
});
document.addEventListener("pointerup", (event) => {
  if (event.target.matches("[data-told]")) event.target.form.requestSubmit();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

// Shortcuts: never while somebody types.
const typing = (target) => target.closest("input, textarea, select, [contenteditable]");
const rows = () => [...document.querySelectorAll("[data-row]")];
let chord = 0;

function move(by) {
  const all = rows();
  if (!all.length) return;
  const now = all.findIndex((row) => row === document.activeElement || row.hasAttribute("aria-current"));
  const next = all[Math.min(Math.max(now + by, 0), all.length - 1)];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  if (next.dataset.row === "select") next.click();
}

document.addEventListener("keydown", (event) => {
  if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    $("#palette")?.showModal();
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || $("dialog[open]")) return;
  if (chord && performance.now() - chord < 1200) {
    chord = 0;
    const place = $(`.menu a[data-key="${CSS.escape(event.key)}"]`);
    if (place) { event.preventDefault(); location.assign(place.href); }
    return;
  }
  const button = $(`[data-shortcut="${CSS.escape(event.key)}"]`);
  if (event.key === "g") chord = performance.now();
  else if (event.key === "/") { event.preventDefault(); $("#palette")?.showModal(); }
  else if (event.key === "?") $("#shortcuts")?.showModal();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (button) { event.preventDefault(); button.click(); }
});

function tell() {
  for (const time of document.querySelectorAll("time[data-ago]")) time.textContent = ago(time.dateTime);
  for (const time of document.querySelectorAll("time[data-since]")) time.textContent = elapsed(time.dateTime);
  for (const time of document.querySelectorAll("time[data-until]")) time.textContent = left(time.dateTime);
}
setInterval(tell, 1000);
