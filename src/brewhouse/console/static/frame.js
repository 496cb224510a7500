// On every page: local times, errors of htmx requests, the navigation, and Ctrl+K.
const page = document.documentElement.lang;
const language = navigator.languages.find((each) => each.slice(0, 2) === page.slice(0, 2)) ?? page; // with its region
const local = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });

// The server writes UTC, as without scripts the time zone of the reader is unknown.
function localize() {
  for (const time of document.querySelectorAll("time[datetime*=T]")) {
    const date = new Date(time.dateTime);
    if (isNaN(date)) continue;
    time.dataset.utc ??= time.title || time.textContent.trim();
    const isRelative = "relative" in time.dataset;
    time.title = isRelative ? `${local.format(date)} (${time.dataset.utc})` : time.dataset.utc;
    time.textContent = isRelative ? ago(date) : "clock" in time.dataset ? date.toLocaleTimeString(language) : local.format(date);
  }
}

function ago(date) {
  const minutes = Math.round((date - Date.now()) / 60000);
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  if (Math.abs(minutes) < 48 * 60) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 1440), "day");
}

localize();
setInterval(localize, 30_000);
document.addEventListener("htmx:afterSwap", localize);

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
