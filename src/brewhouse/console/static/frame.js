// On every page: show the error of an htmx request, and scroll the navigation to the current page.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target, requestConfig } = event.detail;
  if (xhr.status >= 400 && (xhr.getResponseHeader("content-type") || "").startsWith("text/html")) {
    const notice = new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(".notice");
    if (notice) {
      if (requestConfig.elt.getAttribute("hx-swap") === "outerHTML") notice.id = target.id; // the next response replaces it
      event.detail.serverResponse = notice.outerHTML;
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  }
});
document.querySelector(".navigation [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
