// Explore: syntax highlighting, completion and shortcuts for the SQL editor, and charts of results.
import { drawAll } from "./chart.js";

const KEYWORDS = (
  "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET AS ON JOIN LEFT RIGHT FULL INNER CROSS USING WITH RECURSIVE UNION ALL EXCEPT " +
  "INTERSECT DISTINCT CASE WHEN THEN ELSE END AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS CAST DESC ASC NULLS LAST FIRST OVER " +
  "PARTITION WINDOW QUALIFY FILTER VALUES TRUE FALSE INTERVAL DESCRIBE SUMMARIZE SHOW PIVOT UNPIVOT"
).split(" ");
const FUNCTIONS = "count sum avg min max round lower upper length coalesce strftime date_trunc year month any_value median".split(" ");
const TOKENS = /(--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|('(?:[^']|'')*'?)|("(?:[^"]|"")*"?)|(\b\d[\d._]*\b)|(\b[A-Za-z_]\w*\b)/g;
const CHART_ROWS = 5000;

const text = document.querySelector("#sql");
const form = document.querySelector("#query-form");
const code = document.querySelector("#editor code");
const list = document.querySelector("#completions");
const tables = JSON.parse(document.querySelector("#tables").textContent);

function highlight() {
  const parts = [];
  let end = 0;
  for (const match of text.value.matchAll(TOKENS)) {
    const [whole, comment, string, quoted, number, word] = match;
    const kind = comment ? "comment" : string ? "string" : number ? "number" : !quoted && KEYWORDS.includes(word.toUpperCase()) ? "keyword" : "";
    parts.push(text.value.slice(end, match.index));
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = whole;
    parts.push(part);
    end = match.index + whole.length;
  }
  code.replaceChildren(...parts, text.value.slice(end), "\n");
  code.parentElement.scrollTo(text.scrollLeft, text.scrollTop);
}

// One field for each {{name}} outside of comments; what was typed into a field stays.
const PLACEHOLDER = /\{\{\s*([A-Za-z_]\w*)\s*\}\}/g;
function showParameters() {
  const fields = document.querySelector("#parameters");
  const sql = text.value.replace(/--[^\n]*|\/\*[\s\S]*?\*\//g, "");
  const names = [...new Set([...sql.matchAll(PLACEHOLDER)].map((match) => match[1]))];
  const known = new Map([...fields.children].map((field) => [field.querySelector("input").name.slice(2), field]));
  if (names.join() === [...known.keys()].join()) return;
  fields.replaceChildren(...names.map((name) => {
    if (known.has(name)) return known.get(name);
    const field = Object.assign(document.createElement("div"), { className: "field" });
    const id = `p.${name}`;
    field.append(
      Object.assign(document.createElement("label"), { htmlFor: id, textContent: name }),
      Object.assign(document.createElement("input"), { id, name: id, maxLength: 1000, autocomplete: "off" }),
    );
    return field;
  }));
}

// Formats the query, as one step that Ctrl+Z takes back.
const format = document.querySelector("#format");
format.hidden = false;
format.addEventListener("click", async () => {
  const response = await fetch("/api/v1/format", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ sql: text.value }) });
  const answer = await response.json();
  text.setCustomValidity(response.ok ? "" : answer.error);
  if (!response.ok) return text.reportValidity();
  text.focus();
  text.select();
  if (!document.execCommand("insertText", false, answer.sql)) text.value = answer.sql;
  close();
});

function candidates(word) {
  const start = word.toLowerCase();
  const names = Object.keys(tables);
  const schemas = [...new Set(names.map((name) => name.split(".")[0]))];
  const mentioned = names.filter((name) => text.value.includes(name));
  const columns = [...new Set((mentioned.length ? mentioned : names).flatMap((name) => tables[name].map(([column]) => column)))];
  const after = start.split(".").at(-1);
  const all = [
    ...(start.includes(".") ? [] : schemas.map((schema) => `${schema}.`)),
    ...names,
    ...columns,
    ...KEYWORDS,
    ...FUNCTIONS.map((name) => `${name}(`),
  ];
  const matches = all.filter((name) => name.toLowerCase().startsWith(start) && name.toLowerCase() !== start);
  const qualified = start.includes(".") ? columns.filter((name) => name.startsWith(after)).map((name) => start.slice(0, -after.length || undefined) + name) : [];
  return (matches.length ? matches : qualified).slice(0, 12);
}

function wordBefore() {
  return text.value.slice(0, text.selectionStart).match(/[\w.]*$/)[0];
}

function close() {
  list.hidden = true;
  text.removeAttribute("aria-activedescendant");
}

function select(index) {
  [...list.children].forEach((item, at) => item.setAttribute("aria-selected", String(at === index)));
  list.dataset.index = index;
  list.children[index]?.scrollIntoView({ block: "nearest" });
  text.setAttribute("aria-activedescendant", `candidate-${index}`);
}

function accept(name) {
  const word = wordBefore();
  text.setRangeText(name, text.selectionStart - word.length, text.selectionEnd, "end");
  close();
  text.focus();
  highlight();
  if (name.endsWith(".")) complete(true);
}

function complete(isExplicit) {
  const word = wordBefore();
  const matches = word.length > 1 || isExplicit ? candidates(word) : [];
  list.replaceChildren(
    ...matches.map((name, index) => {
      const item = document.createElement("li");
      item.id = `candidate-${index}`;
      item.setAttribute("role", "option");
      item.textContent = name;
      item.addEventListener("mousedown", (event) => {
        event.preventDefault();
        accept(name);
      });
      return item;
    }),
  );
  if (!matches.length) return close();
  const before = text.value.slice(0, text.selectionStart).split("\n");
  const style = getComputedStyle(text);
  list.style.top = `${before.length * parseFloat(style.lineHeight) + parseFloat(style.paddingTop) - text.scrollTop + 4}px`;
  list.style.left = `min(${before.at(-1).length - word.length + 1}ch, 60%)`;
  list.hidden = false;
  select(isExplicit ? 0 : -1);
}

text.setAttribute("aria-controls", "completions");
text.setAttribute("aria-autocomplete", "list");
text.addEventListener("input", () => {
  highlight();
  text.setCustomValidity("");
  showParameters();
  complete(false);
});
text.addEventListener("scroll", () => code.parentElement.scrollTo(text.scrollLeft, text.scrollTop));
text.addEventListener("blur", close);
text.addEventListener("keydown", (event) => {
  const index = Number(list.dataset.index);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    close();
    form.requestSubmit();
  } else if (event.key === " " && event.ctrlKey) {
    event.preventDefault();
    complete(true);
  } else if (!list.hidden && event.key === "Escape") {
    event.preventDefault();
    close();
  } else if (!list.hidden && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    const step = event.key === "ArrowDown" ? 1 : -1;
    select((index + step + list.children.length + (index < 0 && step < 0 ? 1 : 0)) % list.children.length);
  } else if (!list.hidden && event.key === "Enter" && index >= 0) {
    event.preventDefault();
    accept(list.children[index].textContent);
  }
});

// Typed text is kept until it is run; a link with `run` runs its query, which can only read.
const TYPED = "brewhouse-typed";
const parameters = new URLSearchParams(location.search);
if ("default" in form.dataset) text.value = localStorage.getItem(TYPED) || text.value;
text.addEventListener("input", () => localStorage.setItem(TYPED, text.value));
form.addEventListener("submit", () => localStorage.removeItem(TYPED));
text.setSelectionRange(text.value.length, text.value.length);
highlight();
showParameters();
if (parameters.has("run") && !parameters.has("result")) addEventListener("load", () => form.requestSubmit());

for (const button of document.querySelectorAll("[data-insert]")) {
  button.addEventListener("click", () => {
    const before = text.value.slice(0, text.selectionStart);
    text.setRangeText((/[^\s(.]$/.test(before) ? " " : "") + button.dataset.insert, text.selectionStart, text.selectionEnd, "end");
    text.focus();
    text.dispatchEvent(new Event("input"));
    close();
  });
}

// Charts of results; a link carries the choice as `chart=kind.x.y.series`.
let chosen = parameters.get("chart");
function kindOf(values) {
  const present = values.filter((value) => value !== null);
  if (present.every((value) => typeof value === "number")) return "quantitative";
  return present.every((value) => /^\d{4}-\d\d-\d\d(T[\d:.+]+)?$/.test(value)) ? "temporal" : "nominal";
}

// Days are those of UTC, times are local; few days below bars are categories.
const DAY_MS = 86_400_000;
function axisOf(values, title, isBars) {
  const type = kindOf(values);
  if (type !== "temporal") return { type, title };
  const days = [...new Set(values)].filter(Boolean).sort();
  const isDay = days.every((day) => day.length === 10);
  if (isBars && isDay && days.length <= 40) return { type: "ordinal", title };
  const span = (new Date(days.at(-1)) - new Date(days[0])) / DAY_MS;
  return { type, title, scale: { type: isDay ? "utc" : "time" }, axis: { format: span > 90 ? "%b %Y" : span > 2 ? "%d %b %Y" : "%d %b, %H:%M", labelOverlap: true } };
}

// Whether labels of about 7 pixels a character do not fit next to one another.
function isCrowded(values, figure) {
  const labels = [...new Set(values)].map(String);
  return labels.length * Math.min(120, 7 * Math.max(...labels.map((label) => label.length))) > figure.clientWidth - 60;
}

// The theme has six colours; more series have a hue each.
function colours(values) {
  const count = new Set(values).size;
  return count > 6 ? { scale: { range: Array.from({ length: count }, (_, n) => `hsl(${Math.round((n * 360) / count)}, 60%, ${n % 2 ? 60 : 45}%)`) } } : {};
}

async function draw(chart) {
  const at = (name) => chart.querySelector(`#chart-${name}`);
  const figure = chart.querySelector("figure");
  try {
    const response = await fetch(`/api/v1/queries/${chart.dataset.query}/rows?size=${CHART_ROWS}`);
    if (!response.ok) throw new Error(response.statusText);
    const { columns, rows } = await response.json();
    if (!chart.dataset.chosen && chosen) {
      [at("kind").value, at("x").value, at("y").value, at("series").value] = chosen.split(".");
      chart.dataset.chosen = "yes";
    }
    if (!chart.dataset.chosen) {
      const kinds = columns.map((_, index) => kindOf(rows.map((row) => row[index])));
      const x = Math.max(0, kinds.findIndex((kind) => kind !== "quantitative"));
      const y = kinds.findIndex((kind, index) => kind === "quantitative" && index !== x);
      at("x").value = x;
      at("y").value = y < 0 ? columns.length - 1 : y;
      at("kind").value = kinds[x] === "temporal" ? "line" : kinds[x] === "quantitative" ? "point" : "bar";
      chart.dataset.chosen = "yes";
    }
    const [x, y] = [Number(at("x").value), Number(at("y").value)];
    const kind = at("kind").value;
    const series = at("series").value;
    chosen = [kind, x, y, series].join(".");
    const share = document.querySelector("#share");
    if (share) share.href = `${share.href.replace(/&chart=[^&]*/, "")}&chart=${chosen}`;
    const axis = (column) => axisOf(rows.map((row) => row[column]), columns[column].name, ["bar", "stacked", "horizontal"].includes(kind));
    const marks = { horizontal: { type: "bar" }, stacked: { type: "bar" }, step: { type: "line", interpolate: "step-after" } };
    const across = { field: "x", sort: null, ...axis(x) };
    if (["nominal", "ordinal"].includes(across.type) && kind !== "horizontal") across.axis = { labelAngle: isCrowded(rows.map((row) => row[x]), figure) ? -45 : 0, labelLimit: Math.min(120, figure.clientWidth / 5), labelOverlap: true };
    const up = { field: "y", ...axis(y) };
    if (up.type === "quantitative" && rows.every((row) => Number.isInteger(row[y] ?? 0))) up.axis = { tickMinStep: 1 };
    const spec = {
      width: "container",
      height: kind === "horizontal" ? Math.min(4000, 40 + 20 * new Set(rows.map((row) => row[x])).size) : 320,
      data: { values: rows.map((row) => ({ x: row[x], y: row[y], series: row[series] })) },
      mark: { type: kind, tooltip: true, ...(kind === "line" ? { point: rows.length < 60 } : {}), ...marks[kind] },
      encoding: {
        x: kind === "horizontal" ? up : across,
        y: kind === "horizontal" ? across : up,
        ...(series === "" ? {} : { color: { field: "series", type: "nominal", title: columns[series].name, ...(figure.clientWidth < 500 ? { legend: { orient: "bottom", columns: 3 } } : {}), ...colours(rows.map((row) => row[series])) } }),
        ...(series !== "" && kind === "bar" ? { xOffset: { field: "series" } } : {}),
      },
    };
    chart.querySelector("script").textContent = JSON.stringify(spec);
    drawAll(chart);
  } catch (error) {
    figure.textContent = `${document.querySelector("#result").dataset.chartError} ${error.message ?? ""}`;
  }
}

document.addEventListener("toggle", (event) => event.target.matches?.(".result-chart") && event.target.open && draw(event.target), true);
document.addEventListener("htmx:afterSettle", () => { // a shared chart is shown at once
  const chart = document.querySelector(".result-chart:not([open])");
  if (chosen && chart && parameters.has("chart")) chart.open = true;
});
document.addEventListener("change", (event) => {
  const chart = event.target.closest?.(".result-chart");
  if (chart) draw(chart);
});
document.addEventListener("click", (event) => {
  const share = event.target.closest?.("#share");
  if (!share || !navigator.clipboard) return;
  event.preventDefault();
  navigator.clipboard.writeText(share.href).then(() => {
    share.textContent = share.dataset.done;
  });
});
