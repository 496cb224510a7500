// The map as an image: a copy of its SVG whose styles are attributes, so that it needs no style sheet.
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-linejoin", "opacity", "paint-order", "vector-effect", "text-anchor", "font-family", "font-size", "font-weight", "letter-spacing"];

function standalone(svg) {
  const copy = svg.cloneNode(true);
  const { width, height } = svg.getBoundingClientRect();
  const copies = [copy, ...copy.querySelectorAll("*")];
  [svg, ...svg.querySelectorAll("*")].forEach((element, at) => {
    const style = getComputedStyle(element);
    for (const { name } of [...copies[at].attributes]) if (/^(aria-|data-|class|role|tabindex|href|id)/.test(name)) copies[at].removeAttribute(name);
    for (const name of STYLES) copies[at].setAttribute(name, style.getPropertyValue(name));
  });
  const ground = document.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(svg).backgroundColor })) ground.setAttribute(name, value);
  copy.prepend(ground);
  for (const [name, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}

// Returns the address of the map as `svg` or `png`, as it is shown.
export async function picture(svg, kind) {
  const address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`;
  if (kind === "svg") return address;
  const image = Object.assign(new Image(), { src: address });
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width * 2, image.height * 2];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}
