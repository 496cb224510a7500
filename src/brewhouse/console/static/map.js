// The map: SVG, so that the style sheet, print and screen readers apply to it. Borders are TopoJSON in Mercator's
// projection (docs/geography.py), clusters are supercluster's, zoom by wheel, drag, pinch and double-click is d3-zoom's.
import { showTooltip } from "./chart.js";
import { afterSwap, showResults } from "./frame.js";
import { feature, geoPath, geoTransform, merge, mesh, select, Supercluster, zoom, zoomIdentity, zoomTransform } from "./geo.min.js";
import { picture } from "./map-picture.js";
import { addFiles, asUrl, csv } from "./save.js";

const WORLD = 1000; // units of the whole map, west to east
const DETAILED = 2; // times the whole world, from where on states are drawn
const MAX_ZOOM = 2000;
const LEGEND = 34; // pixels below the map
const CITY_ZOOM = [2.5, 3, 5, 8, 12, 18, 30, 50]; // by rank
const WEST = -170; // degrees at the left edge, the Bering Strait
const WHOLE = [WEST, -55, WEST + 360, 73];
const language = document.documentElement.lang;
const count = new Intl.NumberFormat(language);
const regionName = new Intl.DisplayNames(language, { type: "region" });
const toX = (longitude) => (longitude - WEST) / 360 * WORLD;
const toY = (latitude) => WORLD / 2 - WORLD / (2 * Math.PI) * Math.log(Math.tan(Math.PI / 4 + latitude * Math.PI / 360));
const toLongitude = (x) => x / WORLD * 360 + WEST;
const toLatitude = (y) => Math.atan(Math.sinh((WORLD / 2 - y) * 2 * Math.PI / WORLD)) * 180 / Math.PI;
const toBox = ([west, south, east, north]) => [[toX(west), toY(Math.min(north, 84))], [toX(east), toY(Math.max(south, -84))]];
const path = geoPath(geoTransform({ point(x, y) { this.stream.point(toX(x), toY(y)); } })).digits(4);
const isInside = ([west, south, east, north], { longitude, latitude }) => west <= longitude && longitude <= east && south <= latitude && latitude <= north;
const motion = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 450);

const files = {};
const load = (name) => files[name] ??= fetch(new URL(`${name}.json`, import.meta.url)).then((response) => response.json());

// The states of a code: one, or all parts of a larger one, such as the provinces of Flanders.
function statesOf(topology, code) {
  const all = topology.objects.states.geometries;
  const found = all.filter((state) => state.id === code);
  return found.length ? found : all.filter((state) => state.properties.p === code);
}

let mode = "points";

// Returns a function that shows what the page says, after a filter has replaced the page around the map, too.
function prepare(element) {
  const stage = element.parentElement;
  let shown = JSON.parse(document.getElementById("map-data").textContent);
  const svg = select(element);
  const world = svg.append("g").attr("class", "world");
  const countryLayer = world.append("g");
  const lake = world.append("path").attr("class", "lake");
  const stateLayer = world.insert("g", ".lake");
  const borderLayer = world.insert("g", ".lake");
  const labelLayer = svg.append("g").attr("class", "labels").attr("aria-hidden", "true");
  const markLayer = svg.append("g").attr("class", "marks");
  const legend = svg.append("g").attr("class", "legend");
  const measure = document.createElement("canvas").getContext("2d");
  measure.font = `600 12px ${getComputedStyle(element).fontFamily}`;

  let countries = [], regions, cities, width, height, index = new Supercluster({ radius: 42, maxZoom: 17 }), places = [];

  // Sizes and positions: `view` maps the units of the map to pixels.
  let view = zoomIdentity;
  const smallest = () => width / WORLD;
  const isDetailed = () => shown.country || shown.place || view.k > DETAILED * smallest();
  const pixels = (kilometres, latitude) => kilometres * view.k * WORLD / 40075 / Math.cos(latitude * Math.PI / 180);
  const isVisible = ([[left, top], [right, bottom]]) =>
    view.applyX(right) > 0 && view.applyX(left) < width && view.applyY(bottom) > 0 && view.applyY(top) < height;

  const isShown = ({ code }) => (shown.country ? code === shown.country : shown.countries[code] > 0);

  function fit(boxes, margin = 0.08) {
    const left = Math.min(...boxes.map((box) => box[0][0])), right = Math.max(...boxes.map((box) => box[1][0]));
    const top = Math.min(...boxes.map((box) => box[0][1])), bottom = Math.max(...boxes.map((box) => box[1][1]));
    const k = Math.min(MAX_ZOOM * smallest() / 20, (1 - margin) * Math.min(width / (right - left), height / (bottom - top)));
    const scale = Math.max(smallest(), k);
    return behaviour.constrain()(zoomIdentity.translate(width / 2 - scale * (left + right) / 2, height / 2 - scale * (top + bottom) / 2).scale(scale), behaviour.extent()(), behaviour.translateExtent());
  }

  // The whole country with each part that has breweries, the whole state, or the surroundings of the only brewery.
  function home() {
    const around = places.length ? [[Math.min(...places.map((each) => toX(each.longitude))), Math.min(...places.map((each) => toY(each.latitude)))],
      [Math.max(...places.map((each) => toX(each.longitude))), Math.max(...places.map((each) => toY(each.latitude)))]] : undefined;
    const state = shown.state && regions ? statesOf(regions, shown.state) : [];
    const country = countries.find((each) => each.code === shown.country);
    if (shown.place) return fit([around.map(([x, y], corner) => [x + (corner - 0.5) * 5, y + (corner - 0.5) * 5])]);
    if (state.length) return fit(state.map((each) => path.bounds(feature(regions, each))), 0.2);
    if (shown.state && around) return fit([around], 0.3);
    if (country) return fit(country.views.filter((_, part) => part === 0 || places.some((each) => isInside(country.boxes[part], each))));
    return fit([toBox(WHOLE)], 0);
  }

  const behaviour = zoom().duration(motion() / 2)
    .filter((event) => {
      if (event.type === "wheel") return event.ctrlKey || event.deltaY < 0 || view.k > smallest() * 1.01; // else scroll the page
      if (event.touches?.length === 1) return view.k > smallest() * 1.01;
      return !event.ctrlKey && !event.button;
    })
    .on("zoom", (event) => {
      view = event.transform;
      requestDraw();
    });

  function resize() {
    ({ width, height } = element.getBoundingClientRect());
    svg.attr("viewBox", `0 0 ${width} ${height}`);
    if (!shown.place) height -= LEGEND;
    behaviour.extent([[0, 0], [width, height]]).scaleExtent([smallest(), MAX_ZOOM * smallest()])
      .translateExtent([[toX(-180), toY(84)], [WORLD, Math.max(toY(-60), toY(84) + WORLD * height / width)]]);
  }
  const moved = (duration) => (duration ? svg.transition().duration(duration) : svg);
  const moveTo = (target, duration = motion()) => moved(duration).call(behaviour.transform, target);
  const zoomBy = (factor) => moved(motion() / 2).call(behaviour.scaleBy, factor);

  let requested = false;
  function requestDraw() {
    stage.dataset.drawn = "";
    if (requested) return;
    requested = true;
    requestAnimationFrame(() => {
      requested = false;
      if (element.isConnected) draw();
    });
  }

  function draw() {
    element.classList.toggle("moved", view.k > smallest() * 1.01);
    stage.dataset.zoom = (view.k / smallest()).toFixed(2);
    world.attr("transform", `translate(${view.x},${view.y})scale(${view.k})`);
    if ((isDetailed() || mode === "states") && !regions) load("regions").then((loaded) => { regions = loaded; requestDraw(); });
    if (view.k > CITY_ZOOM[0] * smallest() && !cities) load("cities").then((loaded) => { cities = loaded; requestDraw(); });
    drawAreas();
    const taken = drawMarks();
    drawLabels(taken);
    drawLegend();
    stage.dataset.drawn = regions || !isDetailed() ? "detailed" : "";
  }

  function drawAreas() {
    const seen = countries.filter((country) => country.views.some(isVisible));
    if (regions && isDetailed()) {
      for (const country of seen.filter((each) => each.fine === undefined)) {
        const states = regions.objects.states.geometries.filter((state) => (state.id ? state.id.slice(0, 2) : state.properties.c) === country.code);
        country.fine = path(feature(regions, regions.objects.countries.geometries.find((each) => each.id === country.code))) ?? country.coarse;
        country.borders = path(mesh(regions, { type: "GeometryCollection", geometries: states }, (one, other) => one !== other));
        country.states = states.map((state) => ({ ...state.properties, x: toX(state.properties.x), y: toY(state.properties.y), latitude: state.properties.y }));
      }
    }
    const outline = (country) => (isDetailed() && country.fine) || country.coarse;
    countryLayer.selectAll("path").data(seen, (country) => country.code)
      .join((enter) => enter.append("path").on("click", (_event, country) => shown.countries[country.code] && later(() => follow({ country: country.code }))))
      .attr("class", (country) => `land${shown.countries[country.code] ? " known" : ""}${mode === "points" && isShown(country) && !shown.state ? " populated" : ""}`)
      .attr("data-country", (country) => country.code)
      .each(function (country) {
        if (this.drawn !== outline(country)) this.setAttribute("d", this.drawn = outline(country));
      });
    borderLayer.selectAll("path").data(isDetailed() ? seen.filter((country) => country.borders) : [], (country) => country.code)
      .join((enter) => enter.append("path").attr("class", "border").attr("d", (country) => country.borders));
    const states = !regions ? [] : mode === "states" ? counted() : counted().filter((state) => state.key === shown.state);
    stateLayer.selectAll("path").data(states, (state) => state.key)
      .join((enter) => enter.append("path").attr("d", (state) => state.outline).attr("data-state", (state) => state.key)
        .on("click", (_event, state) => later(() => follow({ country: state.country, state: state.key }))))
      .attr("class", (state) => `state ${mode === "states" ? `class-${steps().findLastIndex((step) => step <= state.breweries)}` : "populated"}${state.key === shown.state ? " chosen" : ""}`);
  }

  // States with breweries, as counted by the page, and with a border.
  let counts;
  const counted = () => counts ??= shown.states.flatMap((state) => {
    const parts = statesOf(regions, state.key);
    return parts.length ? [{ ...state, outline: path(merge(regions, parts)) }] : [];
  });

  // The least number of breweries of five classes with about as many states each, as round numbers.
  let limits;
  function steps() {
    const sorted = shown.states.map((state) => state.breweries).sort((one, other) => one - other);
    const round = (value) => { const digit = 10 ** Math.floor(Math.log10(value)); return Math.max(1, Math.round(value / digit * 2) / 2 * digit | 0); };
    return limits ??= [1, ...new Set([0.3, 0.55, 0.75, 0.9].map((share) => round(sorted[Math.floor(share * sorted.length)] ?? 1)))].filter((step, at, all) => all.indexOf(step) === at);
  }

  // Draws a dot for each brewery, or a circle with the number of those close together; returns the circles' boxes.
  function drawMarks() {
    const clusterZoom = Math.round(Math.log2(view.k * WORLD / 512));
    const margin = 30 / view.k;
    const corners = [-view.x / view.k - margin, (height - view.y) / view.k + margin, (width - view.x) / view.k + margin, -view.y / view.k - margin];
    const bounds = [toLongitude(corners[0]), toLatitude(corners[1]), toLongitude(corners[2]), toLatitude(corners[3])];
    const marks = mode === "points" && places.length ? index.getClusters(bounds, clusterZoom).map(({ geometry, properties }) => {
      const [longitude, latitude] = geometry.coordinates;
      const amount = properties.point_count ?? 1;
      return { place: properties.place, cluster: properties.cluster_id, amount, key: properties.cluster_id ?? properties.place.id,
        x: view.applyX(toX(longitude)), y: view.applyY(toY(latitude)), longitude, latitude, radius: amount === 1 ? 5 : 6 + Math.min(1.7, width / 500) * amount ** 0.34 };
    }) : [];
    const hadFocus = markLayer.node().contains(document.activeElement);
    const joined = markLayer.selectAll("a").data(marks.sort((one, other) => other.amount - one.amount), (mark) => mark.key).join((enter) => {
      const added = enter.append("a").attr("tabindex", shown.place ? null : -1).attr("role", shown.place ? "img" : null);
      added.append("circle");
      added.filter((mark) => mark.amount > 1).attr("role", "button").append("text").attr("dy", ".35em");
      added.filter((mark) => mark.amount === 1 && !shown.place).attr("href", (mark) => `/breweries/${encodeURIComponent(mark.place.id)}`);
      return added.on("click", (event, mark) => mark.amount > 1 && open(event, mark));
    });
    joined.attr("class", (mark) => (mark.amount > 1 ? "cluster" : "dot"))
      .attr("transform", (mark) => `translate(${mark.x.toFixed(1)},${mark.y.toFixed(1)})`)
      .attr("aria-label", (mark) => nameOf(mark).join(", "));
    joined.select("circle").attr("r", (mark) => mark.radius);
    joined.select("text").text((mark) => count.format(mark.amount)).style("font-size", (mark) => `${Math.min(11, (3.2 * mark.radius) / count.format(mark.amount).length)}px`);
    if (!shown.place && !markLayer.select("a[tabindex='0']").size()) joined.filter((_, at) => at === 0).attr("tabindex", 0);
    if (hadFocus && !markLayer.node().contains(document.activeElement)) nearest({ x: width / 2, y: height / 2 })?.focus();
    return marks.map(({ x, y, radius }) => [x - radius, y - radius, x + radius, y + radius]);
  }

  function nameOf(mark) {
    if (mark.amount === 1) return [mark.place.name, mark.place.city].filter(Boolean);
    const names = mark.amount <= 6 ? index.getLeaves(mark.cluster, 6).map((leaf) => leaf.properties.place.name) : [];
    return [shown.words.breweries.replace("{count}", count.format(mark.amount)), ...names];
  }

  // Zooms to the breweries of a circle, or lists those that are at the same place.
  function open(event, mark) {
    const target = index.getClusterExpansionZoom(mark.cluster);
    const scale = 2 ** (target + 0.4) * 512 / WORLD;
    if (target <= 17 && scale <= MAX_ZOOM * smallest()) {
      moveTo(zoomIdentity.translate(width / 2 - scale * toX(mark.longitude), height / 2 - scale * toY(mark.latitude)).scale(scale));
      return;
    }
    stage.querySelector(".same-place")?.remove();
    const list = Object.assign(document.createElement("ul"), { className: "same-place" });
    list.append(...index.getLeaves(mark.cluster, 50).map(({ properties: { place } }) => {
      const item = document.createElement("li");
      item.append(Object.assign(document.createElement("a"), { href: `/breweries/${encodeURIComponent(place.id)}`, textContent: place.name }));
      return item;
    }));
    list.addEventListener("keydown", ({ key }) => { if (key === "Escape") { list.remove(); event.target.closest("a").focus(); } });
    stage.append(list);
    list.querySelector("a").focus();
  }

  // Places labels from the most to the least important, each where no other is.
  function drawLabels(taken) {
    const labels = [];
    const zoomed = view.k / smallest();
    const add = (kind, text, x, y, offsets = [0]) => {
      const [left, top] = [view.applyX(x), view.applyY(y)];
      if (left < 0 || left > width || top < 0 || top > height) return;
      const size = measure.measureText(text).width * (kind === "city" ? 0.92 : 1);
      for (const offset of offsets) { // to the right or the left of a city, also next to a circle
        const start = left + offset - (offset > 0 ? 0 : offset < 0 ? size : size / 2);
        const box = [start - 3, top - 9, start + size + 3, top + 9];
        if (box[0] < 0 || box[2] > width || taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1])) continue;
        taken.push(box);
        labels.push({ kind, text, left, top, offset, key: `${kind} ${text} ${x.toFixed(2)}` });
        return;
      }
    };
    const areas = (kind, all) => {
      for (const area of all.filter((each) => each.r > 0).sort((one, other) => other.r - one.r)) {
        const size = pixels(area.r, area.latitude), text = area.name ?? area.n;
        if (text && size > measure.measureText(text).width * 0.8 && size < width * 0.9) add(area.code && isShown(area) ? `${kind} known` : kind, text, area.x, area.y);
      }
    };
    const place = (from, to) => (cities ?? []).slice(from, to).forEach((rank, at) => {
      if (zoomed < CITY_ZOOM[from + at]) return;
      for (const [name, longitude, latitude] of rank) add("city", name, toX(longitude), toY(latitude), [5, 20, -5, -20]);
    });
    if (!shown.place) areas("country", countries);
    place(0, 3);
    if (isDetailed()) areas("state", countries.filter((country) => country.views.some(isVisible) && (isShown(country) || zoomed > (shown.country ? 25 : 6))).flatMap((country) => country.states ?? []));
    place(3);
    labelLayer.selectAll("g").data(labels, (label) => label.key).join((enter) => {
      const added = enter.append("g").attr("class", (label) => label.kind);
      added.filter((label) => label.kind === "city").append("circle").attr("r", 1.8);
      added.append("text").attr("dy", ".35em").text((label) => label.text);
      return added;
    }).attr("transform", (label) => `translate(${label.left.toFixed(1)},${label.top.toFixed(1)})`)
      .select("text").attr("dx", (label) => label.offset).attr("text-anchor", (label) => (label.offset > 0 ? "start" : label.offset < 0 ? "end" : "middle"));
  }

  function drawLegend() {
    const from = steps();
    const range = (step, at) => (at + 1 === from.length ? `${count.format(step)}+` : [...new Set([step, from[at + 1] - 1])].map((each) => count.format(each)).join("–"));
    const rows = shown.place ? [] : mode === "states"
      ? from.map((step, at) => ({ swatch: `class-${at}`, text: range(step, at) }))
      : [{ swatch: "dot", text: shown.words.one }, { swatch: "cluster", text: shown.words.several }];
    let right = 16;
    for (const row of rows) {
      row.left = right;
      right += measure.measureText(row.text).width + 38;
    }
    legend.attr("transform", `translate(0,${height})`);
    legend.selectAll("rect.ground").data(rows.length ? [0] : []).join("rect").attr("class", "ground").attr("width", width).attr("height", LEGEND);
    const entries = legend.selectAll("g").data(rows, (row) => row.swatch + row.text).join((enter) => {
      const added = enter.append("g");
      added.append((row) => document.createElementNS(element.namespaceURI, row.swatch.startsWith("class") ? "rect" : "circle"));
      added.append("text").attr("x", 22).attr("y", 4.5);
      return added;
    }).attr("transform", (row) => `translate(${row.left.toFixed(0)},${LEGEND / 2})`);
    entries.select("rect").attr("class", (row) => row.swatch).attr("y", -6).attr("width", 16).attr("height", 12).attr("rx", 2);
    entries.select("circle").attr("class", (row) => row.swatch).attr("cx", 8).attr("r", (row) => (row.swatch === "dot" ? 5 : 8));
    entries.select("text").text((row) => row.text);
  }

  // Names on hover and on focus.
  function describe(event) {
    const data = event.target.closest?.("a, [data-country], [data-state]")?.__data__;
    const name = !data ? null : data.amount ? nameOf(data).join("\n")
      : `${data.title ?? data.name}${(data.breweries ?? shown.countries[data.code]) ? `: ${count.format(data.breweries ?? shown.countries[data.code])}` : ""}`;
    const area = event.target.getBoundingClientRect();
    showTooltip(event.type === "focusin" ? { clientX: area.right, clientY: area.top } : event, name);
  }
  if (!shown.place) {
    svg.on("pointermove", describe).on("focusin", describe).on("pointerleave focusout pointerdown", (event) => showTooltip(event, null));
  }

  // A click on an area waits for a second one, which zooms.
  let waiting;
  const later = (action) => { clearTimeout(waiting); waiting = setTimeout(action, 260); };
  svg.on("dblclick.wait", () => clearTimeout(waiting));
  svg.on("mousedown.list touchstart.list wheel.list", () => stage.querySelector(".same-place")?.remove());

  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const panBy = (x, y) => svg.call(behaviour.translateBy, x * width / 8 / view.k, y * height / 8 / view.k);
    const mark = event.target.closest("a");
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (mark && arrows[event.key]) nearest(mark.__data__, arrows[event.key])?.focus();
    else if (arrows[event.key]) panBy(...arrows[event.key]);
    else if (mark && event.key === "Escape") element.focus();
    else if (mark?.getAttribute("role") === "button" && (event.key === "Enter" || event.key === " ")) open(event, mark.__data__);
    else if (event.key === "+" || event.key === "=") zoomBy(1.6);
    else if (event.key === "-") zoomBy(1 / 1.6);
    else if (event.key === "0") moveTo(home());
    else return;
    event.preventDefault();
  });

  // Finds the mark that is nearest to a point, or to another mark in a direction; only one at a time is reached by Tab.
  function nearest(from, direction) {
    let best, least = Infinity;
    for (const node of markLayer.node().children) {
      const [x, y] = [node.__data__.x - from.x, node.__data__.y - from.y];
      const ahead = direction ? -(x * direction[0] + y * direction[1]) : Math.hypot(x, y);
      const distance = direction ? ahead + 2 * (Math.abs(x * direction[1]) + Math.abs(y * direction[0])) : ahead;
      if ((ahead > 1 || !direction) && distance < least) [best, least] = [node, distance];
    }
    return best;
  }
  element.addEventListener("focusin", ({ target }) => { // on the whole map: Chromium makes groups with listeners of focus focusable
    const mark = target.closest("a");
    if (!mark) return;
    markLayer.selectAll("a").attr("tabindex", -1);
    mark.setAttribute("tabindex", 0);
  });

  for (const button of stage.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      if (button.dataset.zoom === "all") moveTo(home());
      else zoomBy(button.dataset.zoom === "in" ? 2 : 0.5);
    });
  }
  function setMode(chosen) {
    mode = chosen;
    stage.dataset.mode = mode;
    for (const button of document.querySelectorAll("button[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    requestDraw();
  }
  const rows = () => (mode === "states" ? [["state", "country", "breweries"], shown.states.map((each) => ({ ...each, state: each.title }))]
    : [["id", "name", "type", "city", "state", "country", "longitude", "latitude"], places]);

  resize();
  svg.call(behaviour).call(behaviour.transform, fit([toBox(WHOLE)], 0));
  if (shown.place) svg.on(".zoom", null); // a picture
  new ResizeObserver(() => {
    if (!element.isConnected || element.getBoundingClientRect().width === width) return;
    resize();
    moveTo(home(), 0);
  }).observe(element);

  async function drawCountries() {
    const topology = await load("world");
    lake.attr("d", path(topology.lakes));
    countries = topology.objects.countries.geometries.map((geometry) => ({
      code: geometry.id, ...geometry.properties, x: toX(geometry.properties.x), y: toY(geometry.properties.y), latitude: geometry.properties.y,
      name: geometry.id.length === 2 ? regionName.of(geometry.id) : "", views: geometry.properties.boxes.map(toBox),
      coarse: path(feature(topology, geometry)) ?? "",
    }));
    requestDraw();
  }

  return async () => {
    const latest = shown = JSON.parse(document.getElementById("map-data").textContent);
    const isFirst = !countries.length;
    counts = limits = undefined;
    delete stage.dataset.ready;
    if (!shown.place) {
      addFiles(element.closest(".card"), "map", {
        PNG: () => picture(element, "png"), SVG: () => picture(element, "svg"), CSV: () => asUrl(csv(...rows()), "text/csv"),
      });
      for (const button of document.querySelectorAll("button[data-mode]")) button.addEventListener("click", () => setMode(button.dataset.mode));
    }
    setMode(shown.place ? "points" : mode);
    const [located] = await Promise.all([
      locate(shown), isFirst && drawCountries(), (shown.state || shown.place) && load("regions").then((loaded) => { regions = loaded; }),
    ]);
    if (latest !== shown) return; // there are newer filters
    places = located;
    index.load(places.map((place) => ({ type: "Feature", properties: { place }, geometry: { type: "Point", coordinates: [place.longitude, place.latitude] } })));
    moveTo(home(), isFirst ? 0 : motion());
    requestDraw();
    stage.dataset.ready = "true";
  };
}

// The breweries of the filters, from those that are known if as many match as the page counts.
let known = { places: [] };
async function locate(shown) {
  if (shown.place) return [shown.place];
  const at = new URLSearchParams(location.search).get("at");
  const matching = known.places.filter((place) => ["country", "state", "type"].every((name) => !shown[name] || place[name] === shown[name]));
  if (at === known.at && matching.length === shown.located) return matching;
  const response = await fetch(`/api/v1/overview/spots${location.search}`);
  const places = response.ok ? await response.json() : [];
  known = { at, places };
  return places;
}

// Opens the overview with other filters.
function follow(filters) {
  const query = new URLSearchParams(location.search);
  query.delete("state");
  for (const [name, value] of Object.entries(filters)) query.set(name, value);
  showResults(`/?${query}`);
}

let current, show;
function showMap() {
  const element = document.getElementById("map");
  if (!element) return;
  if (element !== current) [current, show] = [element, prepare(element)];
  show();
}
showMap();
afterSwap((target) => target.id === "results" && showMap());
