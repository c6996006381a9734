// Line numbers, and what is wrong while one types: the form itself works without this file.
const WAIT = 400;
for (const editor of document.querySelectorAll("[data-editor]")) {
  const text = editor.querySelector("textarea");
  const gutter = editor.querySelector(".gutter");
  const form = text.form;
  const problems = document.getElementById("problems");
  let timer = 0, asked = 0;

  const number = () => {
    const count = text.value.split("\n").length;
    gutter.textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
    gutter.scrollTop = text.scrollTop;
  };
  const check = async () => {
    const mine = ++asked;
    const answer = await fetch(editor.dataset.editor, { method: "POST", body: new FormData(form) });
    if (answer.ok && mine === asked) problems.innerHTML = await answer.text();
  };
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });
  text.addEventListener("input", () => { number(); clearTimeout(timer); timer = setTimeout(check, WAIT); });
  text.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    if (text.dataset.leaving) return;
    event.preventDefault();
    text.setRangeText("  ", text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input"));
  });
  // Escape, then Tab leaves the editor by keyboard.
  text.addEventListener("keyup", (event) => { if (event.key === "Escape") text.dataset.leaving = "yes"; });
  text.addEventListener("focus", () => { delete text.dataset.leaving; });
  problems.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (!link) return;
    event.preventDefault();
    const lines = text.value.split("\n").slice(0, Math.max(link.dataset.line - 1, 0));
    const at = lines.reduce((sum, line) => sum + line.length + 1, 0) + Math.max(link.dataset.column - 1, 0);
    text.focus();
    text.setSelectionRange(at, at);
    text.scrollTop = Math.max(0, (lines.length - 4) * 18);
  });
  number();
}
