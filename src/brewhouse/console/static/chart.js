// Draws Vega-Lite specifications: <figure data-chart="ID"> shows the one in <script type="application/json" id="ID">.
// Vega is loaded with the first chart, after the first paint; expressions are interpreted, since the
// Content-Security-Policy forbids eval. Colours come from the style sheet and follow the light or dark scheme.
import { afterSwap } from "./frame.js";
import { addFiles, asUrl, csv } from "./save.js";

const drawn = new Map();
let loading;

function loadVega() {
  loading ??= ["vega", "vega-lite", "vega-embed"].reduce(
    (before, name) => before.then(() => new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: new URL(`${name}.min.js`, import.meta.url).href, onload: resolve, onerror: reject });
      document.head.append(script);
    })),
    Promise.resolve(),
  );
  return loading;
}

function theme() {
  const probe = document.body.appendChild(document.createElement("i"));
  const colour = (name) => { // as computed for the current theme
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  queueMicrotask(() => probe.remove());
  const font = getComputedStyle(document.body).fontFamily;
  const text = { labelColor: colour("soft"), titleColor: colour("soft"), labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 600 };
  return {
    background: colour("card"), // also that of saved images
    font,
    view: { stroke: null },
    axis: { ...text, aria: false, gridColor: colour("line"), domainColor: colour("line-strong"), tickColor: colour("line-strong") },
    axisX: { grid: false },
    legend: text,
    title: { color: colour("ink"), font },
    mark: { color: colour("accent") },
    arc: { fill: colour("accent") },
    area: { fill: colour("accent") },
    bar: { fill: colour("accent") },
    line: { stroke: colour("accent"), strokeWidth: 2 },
    point: { fill: colour("accent"), stroke: colour("accent") },
    range: { category: [colour("accent"), colour("busy"), colour("good"), colour("bad"), colour("warn"), colour("line-strong")] },
  };
}

const numbers = { en: { decimal: ".", thousands: "," }, pt: { decimal: ",", thousands: "." } };
const times = {
  dateTime: "%x, %X", date: "%d/%m/%Y", time: "%H:%M:%S", periods: ["AM", "PM"],
  days: ["domingo", "segunda", "terça", "quarta", "quinta", "sexta", "sábado"],
  shortDays: ["dom", "seg", "ter", "qua", "qui", "sex", "sáb"],
  months: ["janeiro", "fevereiro", "março", "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro", "novembro", "dezembro"],
  shortMonths: ["jan", "fev", "mar", "abr", "mai", "jun", "jul", "ago", "set", "out", "nov", "dez"],
};

async function embed(element, spec) {
  await loadVega();
  const language = document.documentElement.lang.slice(0, 2);
  return window.vegaEmbed(element, spec, {
    mode: "vega-lite", ast: true, actions: false, defaultStyle: false, renderer: "svg", config: theme(),
    tooltip: (_handler, event, _item, value) => showTooltip(event, value),
    formatLocale: { ...numbers[language], grouping: [3], currency: ["", ""] },
    ...(language === "pt" ? { timeFormatLocale: times } : {}),
  });
}

// Draws a chart, or only its data if nothing else of it has changed.
async function draw(figure, isWhole = false) {
  const source = document.getElementById(figure.dataset.chart)?.textContent;
  if (!source) return;
  delete figure.dataset.drawn;
  const name = figure.getAttribute("aria-label");
  const { data: { values }, ...form } = JSON.parse(source);
  const spec = JSON.stringify(form);
  const known = drawn.get(figure);
  try {
    if (known?.spec === spec && !isWhole) {
      await known.view.change("values", window.vega.changeset().remove(() => true).insert(values)).runAsync();
    } else {
      const { view } = await embed(figure, { description: name, ...form, data: { name: "values", values } });
      known?.view.finalize();
      drawn.set(figure, { view, spec });
      figure.setAttribute("role", "img"); // Vega replaces the role and the name of the element
      figure.setAttribute("aria-label", name);
    }
    addDownloads(figure, drawn.get(figure).view, values);
    figure.dataset.drawn = "true";
  } catch (error) {
    figure.textContent = String(error.message || error);
  }
}

// The files of a chart are those of its Vega view, and its data.
function addDownloads(figure, view, values) {
  const columns = Object.keys(values[0] ?? {}).filter((name) => values.some((value) => value[name] !== undefined));
  addFiles(figure.closest(".card"), "chart", {
    PNG: () => view.toImageURL("png", 2),
    SVG: async () => asUrl(await view.toSVG(), "image/svg+xml"),
    CSV: () => asUrl(csv(columns, values), "text/csv"),
  });
}

// A list of bars is drawn by Vega only to be saved: as an image what is shown, as CSV every bar.
function addBarDownloads(list) {
  list.dataset.files = "true";
  const section = list.closest("section");
  const values = (bars) => [...bars].map((bar) => ({
    name: bar.querySelector(".name").textContent.replace(/\s+/g, " ").trim(), breweries: Number(bar.dataset.count),
  }));
  const draw = async () => (await embed(document.createElement("div"), {
    title: { text: section.querySelector("h2").textContent, anchor: "start" },
    width: 420,
    padding: 16,
    data: { values: values((section.querySelector("details[open]") ? section : list).querySelectorAll("[data-count]")) },
    encoding: {
      y: { field: "name", type: "nominal", sort: null, title: null, axis: { labelLimit: 220, ticks: false, domain: false } },
      x: { field: "breweries", type: "quantitative", axis: null },
    },
    layer: [
      { mark: "bar" },
      { mark: { type: "text", align: "left", dx: 4, color: theme().legend.labelColor }, encoding: { text: { field: "breweries", format: ",d" } } },
    ],
  })).view;
  addFiles(section, "bars", {
    PNG: async () => (await draw()).toImageURL("png", 2),
    SVG: async () => asUrl(await (await draw()).toSVG(), "image/svg+xml"),
    CSV: () => asUrl(csv(["name", "breweries"], values(section.querySelectorAll("[data-count]"))), "text/csv"),
  });
}

export function showTooltip(event, value) {
  const tip = document.querySelector(".tooltip") ?? document.body.appendChild(Object.assign(document.createElement("div"), { className: "tooltip" }));
  tip.hidden = value === null || value === undefined || value === "";
  if (tip.hidden) return;
  tip.textContent = tooltipText(value);
  tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 10)}px`;
}

function tooltipText(value) {
  return typeof value === "object" ? Object.entries(value).map(([name, each]) => `${name}: ${each}`).join("\n") : String(value);
}

export function drawAll(root = document) {
  for (const [figure, { view }] of drawn) {
    if (!figure.isConnected) {
      view.finalize();
      drawn.delete(figure);
    }
  }
  for (const figure of root.querySelectorAll("figure[data-chart]")) draw(figure);
  for (const list of root.querySelectorAll(".heading + .bars:not([data-files]):has([data-count])")) addBarDownloads(list);
}

drawAll();
afterSwap(() => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const figure of drawn.keys()) draw(figure, true); });
