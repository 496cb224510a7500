// Buttons in the heading of a chart, a list of bars or the map that save it as files.
export const asUrl = (text, type) => URL.createObjectURL(new Blob([text], { type }));

export function csv(columns, values) {
  const quote = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;
  return [columns, ...values.map((value) => columns.map((name) => value[name]))].map((row) => row.map(quote).join(",")).join("\n");
}

// Fills the part of a card for them with a button for each kind of file; each function returns an address.
export function addFiles(card, name, files) {
  card.querySelector(".files").replaceChildren(...Object.entries(files).map(([kind, address]) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: kind });
    button.addEventListener("click", async () => {
      Object.assign(document.createElement("a"), { href: await address(), download: `${name}.${kind.toLowerCase()}` }).click();
    });
    return button;
  }));
}
