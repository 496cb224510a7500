// Buttons below a chart, a list of bars or the map that save it as files.
export const asUrl = (text, type) => URL.createObjectURL(new Blob([text], { type }));

export function csv(columns, values) {
  const quote = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;
  return [columns, ...values.map((value) => columns.map((name) => value[name]))].map((row) => row.map(quote).join(",")).join("\n");
}

// Adds a button for each kind of file after an element, in place of those added before; each function returns an address.
export function addFiles(element, name, files) {
  const bar = Object.assign(document.createElement("p"), { className: "chart-files small" });
  for (const [kind, address] of Object.entries(files)) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind });
    button.addEventListener("click", async () => {
      Object.assign(document.createElement("a"), { href: await address(), download: `${name}.${kind.toLowerCase()}` }).click();
    });
    bar.append(button);
  }
  if (element.nextElementSibling?.className === bar.className) element.nextElementSibling.remove();
  element.after(bar);
}
