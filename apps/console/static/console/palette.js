// ⌘K: pages at once, everything else from the server as one types.
const dialog = document.getElementById("palette");
const input = dialog?.querySelector("input");
const list = dialog?.querySelector("ul");
let asked = 0;

const pages = () => [...document.querySelectorAll(".menu a[data-key]")].map((a) => ({ name: a.firstChild.textContent.trim(), href: a.href, kind: "page" }));

function show(items) {
  list.replaceChildren(...items.map((item, index) => {
    const row = document.createElement("li");
    row.role = "option";
    row.id = `found-${index}`;
    row.ariaSelected = String(index === 0);
    const link = document.createElement("a");
    link.href = item.href;
    link.tabIndex = -1;
    const name = document.createElement("span");
    name.textContent = item.name;
    name.className = "clip";
    const kind = document.createElement("span");
    kind.textContent = item.kind;
    kind.className = "muted";
    link.append(name, kind);
    row.append(link);
    return row;
  }));
  input.setAttribute("aria-activedescendant", items.length ? "found-0" : "");
}

async function search() {
  const words = input.value.trim();
  const near = pages().filter((page) => page.name.toLowerCase().includes(words.toLowerCase()));
  const mine = ++asked;
  if (!words) return show(near);
  if (near.length) show(near);
  const answer = await fetch(`/find?q=${encodeURIComponent(words)}`, { credentials: "same-origin" });
  if (answer.ok && mine === asked) show([...near, ...(await answer.json()).found]);
}

function step(by) {
  const items = [...list.children];
  const now = items.findIndex((item) => item.ariaSelected === "true");
  const next = items[(now + by + items.length) % items.length];
  if (!next) return;
  for (const item of items) item.ariaSelected = String(item === next);
  input.setAttribute("aria-activedescendant", next.id);
  next.scrollIntoView({ block: "nearest" });
}

if (dialog) {
  new MutationObserver(() => { if (dialog.open) { input.value = ""; search(); } }).observe(dialog, { attributeFilter: ["open"] });
  input.addEventListener("input", search);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); step(event.key === "ArrowDown" ? 1 : -1); }
    if (event.key === "Enter") { event.preventDefault(); list.querySelector("[aria-selected=true] a")?.click(); }
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}
