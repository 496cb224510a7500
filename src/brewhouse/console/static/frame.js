// On every page: local times, errors of htmx requests, the navigation, and Ctrl+K.
const page = document.documentElement.lang;
const language = navigator.languages.find((each) => each.slice(0, 2) === page.slice(0, 2)) ?? page; // with its region
const local = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const formats = {
  clock: new Intl.DateTimeFormat(language, { timeStyle: "medium" }),
  seconds: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }),
  short: new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }),
};
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });

// The server writes UTC, as without scripts the time zone of the reader is unknown.
function localize() {
  for (const time of document.querySelectorAll("time[datetime*=T]")) {
    const date = new Date(time.dateTime);
    if (isNaN(date)) continue;
    time.dataset.utc ??= time.title || time.textContent.trim();
    const isRelative = "relative" in time.dataset;
    time.title = isRelative ? `${local.format(date)} (${time.dataset.utc})` : time.dataset.utc;
    time.textContent = isRelative ? ago(date) : (Object.entries(formats).find(([name]) => name in time.dataset)?.[1] ?? local).format(date);
  }
  for (const each of document.querySelectorAll("[data-at]")) { // a title or an option with a time
    each.dataset.utc ??= each.title || each.textContent;
    const text = each.dataset.utc.replace(/\d[^·]*UTC/, (utc) => (each.title ? `${local.format(new Date(each.dataset.at))} (${utc})` : local.format(new Date(each.dataset.at))));
    if (each.title) each.title = text;
    else each.textContent = text;
  }
}

function ago(date) {
  const minutes = Math.round((date - Date.now()) / 60000);
  if (!minutes) return relative.format(0, "second");
  if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
  if (Math.abs(minutes) < 48 * 60) return relative.format(Math.round(minutes / 60), "hour");
  return relative.format(Math.round(minutes / 1440), "day");
}

localize();
setInterval(localize, 30_000);
document.addEventListener("htmx:afterOnLoad", localize);

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
  if (event.detail.shouldSwap) { // htmx would visit each of their thousands of elements
    for (const each of target.querySelectorAll(".bars, .data")) each.remove();
  }
});
// Calls back with the target of a response once the page shows it, to draw what takes longer.
export function afterSwap(draw) {
  document.addEventListener("htmx:afterOnLoad", ({ detail }) => requestAnimationFrame(() => setTimeout(draw, 0, detail.target)));
}

// Links of the overview to itself replace its results. With hx-boost, htmx would prepare each of hundreds of links.
export function showResults(address) {
  window.htmx.ajax("GET", address, { source: "#results", push: "true" });
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#results a[href='/'], #results a[href^='/?']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  showResults(link.getAttribute("href"));
});

document.querySelector(".navigation [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Ctrl+K: go to a page, a table or a brewery.
const opener = document.querySelector("#go");
const palette = document.createElement("dialog");
palette.className = "palette";
palette.setAttribute("aria-label", opener?.title ?? "");
const query = Object.assign(document.createElement("input"), { type: "search", placeholder: opener?.title ?? "", ariaLabel: opener?.title ?? "" });
const targets = document.createElement("ul");
palette.append(query, targets);
let tables;

async function fill() {
  const words = query.value.trim().toLowerCase();
  tables ??= await fetch("/api/v1/tables").then((each) => (each.ok ? each.json() : [])).catch(() => []);
  const pages = [...document.querySelectorAll(".navigation a")].map((each) => [each.textContent.trim(), each.pathname, ""]);
  const known = [...pages, ...tables.map((table) => [table.name, `/tables/${table.name}`, ""])];
  let items = known.filter(([name]) => name.toLowerCase().includes(words));
  if (words.length > 1) {
    const response = await fetch(`/api/v1/breweries?q=${encodeURIComponent(words)}`).catch(() => null);
    if (query.value.trim().toLowerCase() !== words) return; // more was typed meanwhile
    const found = response?.ok ? (await response.json()).breweries.slice(0, 8) : [];
    items = [...items, ...found.map((each) => [each.name, `/breweries/${encodeURIComponent(each.id)}`, each.city ?? ""])];
  }
  targets.replaceChildren(...items.slice(0, 16).map(([name, href, note]) => {
    const link = Object.assign(document.createElement("a"), { href });
    link.append(Object.assign(document.createElement("span"), { textContent: name }), Object.assign(document.createElement("small"), { textContent: note }));
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
}

function openPalette() {
  document.body.append(palette);
  palette.showModal();
  query.value = "";
  fill();
}

if (opener) {
  opener.hidden = false;
  opener.addEventListener("click", openPalette);
  query.addEventListener("input", fill);
  palette.addEventListener("click", (event) => event.target === palette && palette.close());
  palette.addEventListener("keydown", (event) => {
    const links = [query, ...targets.querySelectorAll("a")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      links[(links.indexOf(document.activeElement) + step + links.length) % links.length].focus();
    } else if (event.key === "Enter" && document.activeElement === query) fill().then(() => targets.querySelector("a")?.click());
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!palette.open) openPalette();
  });
}
