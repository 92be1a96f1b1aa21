// Filters and sorts the ledger. The filters are in the address, so that a view can be linked to.
"use strict";

(() => {
  const form = document.getElementById("filters");
  const table = document.getElementById("claims");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const output = form.querySelector("output");

  function filter() {
    const asked = Object.fromEntries(new FormData(form));
    const words = asked.text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const fits =
        ["paper", "verdict", "kind"].every((key) => !asked[key] || row.dataset[key] === asked[key]) &&
        words.every((word) => texts.get(row).includes(word));
      row.hidden = !fits;
      shown += fits;
    }
    output.innerHTML = `<b>${shown}</b> of ${rows.length}`;
    const query = new URLSearchParams(Object.entries(asked).filter(([, value]) => value));
    history.replaceState(null, "", `${query.size ? `?${query}` : location.pathname}${location.hash}`);
  }

  function sort(head, column) {
    const ascending = head.ariaSort !== "ascending";
    for (const one of table.tHead.rows[0].cells) one.ariaSort = "none";
    head.ariaSort = ascending ? "ascending" : "descending";
    const key = (row) => row.cells[column].dataset.value;
    const numeric = rows.every((row) => key(row) === "" || isFinite(key(row)));
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      // What has no value stands last, whatever the order.
      if (x === "" || y === "") return (x === "") - (y === "");
      return (ascending ? 1 : -1) * (numeric ? x - y : x.localeCompare(y));
    };
    body.append(...[...rows].sort(order));
  }

  for (const [name, value] of new URLSearchParams(location.search)) {
    if (form.elements[name]) form.elements[name].value = value;
  }
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(filter));
  table.tHead.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) sort(button.closest("th"), Number(button.dataset.column));
  });
  filter();
})();
