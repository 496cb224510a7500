// Zooms and pans the map through its viewBox by wheel, pinch, drag, buttons and keys. Links work without it.
const NEAR = 3500; // map units; a narrower view shows larger points in full detail

function prepare(map) {
  if (map.dataset.prepared) return;
  map.dataset.prepared = "true";
  const [, , width, height] = map.dataset.whole.split(" ").map(Number);
  let box = map.getAttribute("viewBox").split(" ").map(Number);
  const pointers = new Map();
  let dragged = false;
  let isDetailed = true; // the initial view has the detail it needs

  function show(x, y, w) {
    w = Math.min(width, Math.max(60, w));
    const h = w * height / width;
    box = [Math.min(Math.max(0, x), width - w), Math.min(Math.max(0, y), height - h), w, h];
    map.setAttribute("viewBox", box.map((each) => each.toFixed(1)).join(" "));
    map.classList.toggle("near", w < NEAR);
    map.classList.toggle("moved", w < width);
    if (w < NEAR && !isDetailed) loadDetail();
  }

  // Loads the full detail, once the reader zooms in or pans.
  async function loadDetail() {
    isDetailed = true;
    const response = await fetch(location.href, { headers: { "HX-Request": "true", "HX-Target": "map" } }).catch(() => null);
    isDetailed = Boolean(response?.ok);
    if (!isDetailed) return; // the next move retries
    const drawn = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("map");
    map.replaceChildren(...drawn.childNodes);
  }

  // Zooms around the point (fx, fy), given as fractions of the map's size.
  function zoom(factor, fx = 0.5, fy = 0.5) {
    const w = Math.min(width, Math.max(60, box[2] * factor));
    show(box[0] + (box[2] - w) * fx, box[1] + (box[3] - w * height / width) * fy, w);
  }

  function position(event) {
    const area = map.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  }

  map.addEventListener("wheel", (event) => {
    if (event.deltaY > 0 && box[2] >= width && !event.ctrlKey) return; // fully zoomed out: scroll the page
    event.preventDefault();
    zoom(Math.exp(Math.max(-80, Math.min(80, event.deltaY)) * (event.ctrlKey ? 0.012 : 0.004)), ...position(event));
  }, { passive: false });

  map.addEventListener("pointerdown", (event) => {
    if (event.button === 0) pointers.set(event.pointerId, event);
    if (pointers.size === 1) dragged = false;
  });
  map.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const area = map.getBoundingClientRect();
    if (pointers.size === 1) {
      const dx = event.clientX - before.clientX;
      const dy = event.clientY - before.clientY;
      if (!dragged && Math.hypot(dx, dy) < 4) return;
      dragged = true;
      if (!map.hasPointerCapture(event.pointerId)) map.setPointerCapture(event.pointerId);
      map.classList.add("dragging");
      show(box[0] - dx / area.width * box[2], box[1] - dy / area.height * box[3], box[2]);
    } else {
      const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
      const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      dragged = true;
      zoom(distance(before) / distance(event), ...position({ clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 }));
    }
    pointers.set(event.pointerId, event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    map.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      map.classList.remove("dragging");
    });
  }
  map.addEventListener("dragstart", (event) => event.preventDefault());

  map.addEventListener("click", (event) => {
    const target = event.target.closest("a");
    if (!target) return;
    event.preventDefault();
    if (dragged) return;
    if (target.closest(".points") && box[2] < NEAR) { // close up, a dot is one brewery
      const [fx, fy] = position(event);
      const query = new URLSearchParams(location.search);
      query.set("x", box[0] + fx * box[2]);
      query.set("y", box[1] + fy * box[3]);
      location.assign(`/breweries/nearest?${query}`);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.shiftKey) window.open(target.getAttribute("href"));
    else follow(target.getAttribute("href"));
  });

  map.addEventListener("keydown", (event) => {
    const step = box[2] / 8;
    const moves = {
      "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), "0": () => show(0, 0, width),
      ArrowLeft: () => show(box[0] - step, box[1], box[2]), ArrowRight: () => show(box[0] + step, box[1], box[2]),
      ArrowUp: () => show(box[0], box[1] - step, box[2]), ArrowDown: () => show(box[0], box[1] + step, box[2]),
    };
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    moves[event.key]();
  });

  for (const button of map.parentElement.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      if (button.dataset.zoom === "all") show(0, 0, width);
      else zoom(button.dataset.zoom === "in" ? 0.6 : 1 / 0.6);
    });
  }
  show(box[0], box[1], box[2]);
  isDetailed = false;
}

// Follows a link inside the SVG through htmx, which only handles links outside of it.
function follow(address) {
  const link = Object.assign(document.createElement("a"), { href: address, hidden: true });
  const results = document.getElementById("results");
  results.append(link);
  window.htmx.process(link);
  link.click();
}

const prepareAll = () => document.querySelectorAll("#map").forEach(prepare);
prepareAll();
document.addEventListener("htmx:afterSwap", prepareAll);
