// What every page does: htmx leaves error pages to be seen, and the place of the reader is kept in view.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (xhr.status >= 400 && (xhr.getResponseHeader("content-type") || "").startsWith("text/html")) {
    const told = new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(".notice");
    if (told) {
      event.detail.serverResponse = told.outerHTML;
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  }
});
document.querySelector(".rooms [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
