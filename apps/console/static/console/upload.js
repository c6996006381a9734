// Uploads with progress: the form itself works without this file.
for (const form of document.querySelectorAll("[data-upload]")) {
  const bar = form.querySelector("progress");
  form.addEventListener("submit", (event) => {
    const request = new XMLHttpRequest();
    event.preventDefault();
    bar.hidden = false;
    form.querySelector("button").disabled = true;
    request.upload.addEventListener("progress", (step) => { if (step.lengthComputable) bar.value = (100 * step.loaded) / step.total; });
    request.addEventListener("load", () => {
      if (request.responseURL && request.status < 400) return location.assign(request.responseURL);
      bar.hidden = true;
      form.querySelector("button").disabled = false;
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      const said = page.querySelector("[role=alert]")?.textContent ?? "The upload was refused. Send fewer or smaller files.";
      const shown = form.querySelector(".refusal") ?? form.appendChild(document.createElement("p"));
      shown.className = "refusal";
      shown.setAttribute("role", "alert");
      shown.textContent = said;
    });
    request.addEventListener("error", () => form.submit());
    request.open("POST", form.action);
    request.send(new FormData(form));
  });
}
