// Draws Vega-Lite specifications: <figure data-chart="ID"> shows the one in <script type="application/json" id="ID">.
// Vega is loaded with the first chart, after the first paint; expressions are interpreted, since the
// Content-Security-Policy forbids eval. Colours come from the style sheet and follow the light or dark scheme.
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
    background: null,
    font,
    view: { stroke: null },
    axis: { ...text, gridColor: colour("line"), domainColor: colour("line-strong"), tickColor: colour("line-strong") },
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

async function draw(figure) {
  const source = document.getElementById(figure.dataset.chart);
  if (!source?.textContent) return;
  const name = figure.getAttribute("aria-label");
  try {
    await loadVega();
    const language = document.documentElement.lang.slice(0, 2);
    const view = await window.vegaEmbed(figure, { description: name, ...JSON.parse(source.textContent) }, {
      mode: "vega-lite", ast: true, actions: false, defaultStyle: false, renderer: "svg", config: theme(),
      tooltip: (_handler, event, _item, value) => showTooltip(event, value),
      formatLocale: { ...numbers[language], grouping: [3], currency: ["", ""] },
      ...(language === "pt" ? { timeFormatLocale: times } : {}),
    });
    drawn.get(figure)?.finalize();
    drawn.set(figure, view);
    addDownloads(figure, view.view, JSON.parse(source.textContent).data.values);
    figure.setAttribute("role", "img"); // Vega replaces the role and the name of the element
    figure.setAttribute("aria-label", name);
    figure.dataset.drawn = "true";
  } catch (error) {
    figure.textContent = String(error.message || error);
  }
}

// Adds links to the chart as PNG, SVG and CSV below it.
function addDownloads(figure, view, values) {
  const bar = document.createElement("p");
  bar.className = "chart-files small";
  const save = (name, url) => Object.assign(document.createElement("a"), { href: url, download: name }).click();
  const columns = Object.keys(values[0] ?? {}).filter((name) => values.some((value) => value[name] !== undefined));
  const quote = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;
  const csv = [columns, ...values.map((value) => columns.map((name) => value[name]))].map((row) => row.map(quote).join(",")).join("\n");
  const files = {
    PNG: async () => save("chart.png", await view.toImageURL("png", 2)),
    SVG: async () => save("chart.svg", URL.createObjectURL(new Blob([await view.toSVG()], { type: "image/svg+xml" }))),
    CSV: () => save("chart.csv", URL.createObjectURL(new Blob([csv], { type: "text/csv" }))),
  };
  for (const [label, run] of Object.entries(files)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    button.addEventListener("click", run);
    bar.append(button);
  }
  if (figure.nextElementSibling?.className === bar.className) figure.nextElementSibling.remove();
  figure.after(bar);
}

function showTooltip(event, value) {
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
  for (const [figure, view] of drawn) {
    if (!figure.isConnected) {
      view.finalize();
      drawn.delete(figure);
    }
  }
  for (const figure of root.querySelectorAll("figure[data-chart]:not([data-drawn])")) draw(figure);
}

drawAll();
document.addEventListener("htmx:afterSwap", () => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { for (const figure of drawn.keys()) draw(figure); });
