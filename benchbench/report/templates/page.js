"use strict";
// Sorting by the headings, and Escape and the arrow keys in an enlarged picture. Everything else works without a script.

const ORDERS = ["descending", "ascending", "none"];

function value(row, column) {
  const cell = row.cells[column];
  return column === 0 ? cell.textContent.trim() : cell.dataset.value === undefined ? NaN : Number(cell.dataset.value);
}

function compare(a, b) {
  if (typeof a === "string") return a.localeCompare(b, undefined, { numeric: true });
  return a - b;
}

function sort(table, column, order) {
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
  if (order !== "none") {
    const sign = order === "ascending" ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y); // what is missing stays last
      return sign * compare(x, y);
    });
  }
  body.append(...rows);
}

for (const table of document.querySelectorAll(".tables table")) {
  [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    const name = heading.querySelector(".name");
    name.before(button);
    button.append(name);
    button.addEventListener("click", () => {
      const first = column === 0 ? 1 : 0; // names start with a, numbers with the largest
      const orders = first ? ["ascending", "descending", "none"] : ORDERS;
      const next = orders[(orders.indexOf(heading.ariaSort || "none") + 1) % 3];
      for (const other of headings) other.removeAttribute("aria-sort");
      if (next !== "none") heading.ariaSort = next;
      sort(table, column, next);
    });
  });
}

const pictures = [...document.querySelectorAll("details.picture")];

function show(picture) {
  for (const other of pictures) other.open = other === picture;
  picture.querySelector("summary").focus();
}

document.addEventListener("keydown", (event) => {
  const open = pictures.findIndex((picture) => picture.open);
  if (open < 0) return;
  if (event.key === "Escape") pictures[open].open = false;
  else if (event.key === "ArrowRight") show(pictures[(open + 1) % pictures.length]);
  else if (event.key === "ArrowLeft") show(pictures[(open + pictures.length - 1) % pictures.length]);
  else return;
  event.preventDefault();
});
