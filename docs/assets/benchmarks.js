// The page of the benchmarks: what is chosen in its form, drawn.
"use strict";

(async () => {
  const form = document.getElementById("benchmark");
  const chosen = document.getElementById("series");
  const base = new URL("../assets/benchmarks/", location.href);
  const MODES = ["forward+backward", "forward", "backward", "step", "stream", "decode"];
  const runs = new Map();
  const hidden = new Set();
  const shown = new Set();
  let run;

  async function load(name) {
    if (!runs.has(name)) {
      const data = await (await fetch(new URL(`${name}.json`, base))).json();
      data.rows = data.rows.map((row) => Object.fromEntries(data.fields.map((f, i) => [f, row[i]])));
      data.peers = new Set(data.peers);
      runs.set(name, data);
    }
    return runs.get(name);
  }

  function options(select, values) {
    const before = select.value;
    select.replaceChildren(...values.map((value) => new Option(value, value)));
    select.value = values.includes(before) ? before : values[0];
  }

  const distinct = (rows, of) => [...new Set(rows.map(of))];
  const series = (row) => [row.name, row.compiler].join(" ");

  // What the machine would take at the larger of its two limits.
  function floor(row) {
    const peak = run.roofline.gemm[run.dtype];
    if (!row.flops && !row.floor_bytes) return null;
    return 1000 * Math.max((row.flops ?? 0) / peak, (row.floor_bytes ?? 0) / run.roofline.bandwidth);
  }

  function tipOf(row) {
    const spread = row.p20_ms ? ` (p20 ${Chart.number(row.p20_ms)}, p80 ${Chart.number(row.p80_ms)})` : "";
    const lines = [`${row.layer} ${series(row)}`, `T = ${row.length}, ${row.mode}`];
    lines.push(`${Chart.number(row.median_ms)} ms${spread}`);
    if (row.tokens_per_s) lines.push(`${Chart.number(row.tokens_per_s)} tokens/s`);
    if (row.gflop_per_s) lines.push(`${Chart.number(row.gflop_per_s)} GFLOP/s`);
    if (row.peak_bytes) lines.push(`${Chart.number(row.peak_bytes / 1e6)} MB at the peak`);
    const least = floor(row);
    if (least && row.median_ms) lines.push(`machine's limit: ${Chart.number(least)} ms`);
    if (row.doubt) lines.push(row.doubt);
    return lines.join("\n");
  }

  function rowsOf() {
    const { layer, mode } = form.elements;
    return run.rows.filter((row) => row.layer === layer.value && row.mode === mode.value);
  }

  // Forms first, then peers, so that a series keeps its colour as others come and go.
  function listed() {
    const names = distinct(rowsOf(), series);
    const peer = (name) => rowsOf().some((row) => series(row) === name && run.peers.has(row.name));
    return [...names.filter((name) => !peer(name)), ...names.filter(peer)].map((name, index) => ({
      name, index, peer: peer(name),
    }));
  }

  // At first every form, and of each peer what is compiled as the forms are, else its only one.
  function isOn(one) {
    if (hidden.has(one.name)) return false;
    return shown.has(one.name) || !one.peer || !/ (graph)$/.test(one.name) || !/keras/.test(one.name);
  }

  function drawSeries() {
    const legend = chosen.querySelector("legend");
    const labels = listed().map((one) => {
      const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: isOn(one) });
      box.addEventListener("change", () => {
        (box.checked ? hidden : shown).delete(one.name);
        (box.checked ? shown : hidden).add(one.name);
        drawLengths();
      });
      const label = document.createElement("label");
      label.append(box, Chart.key(one.index, one.peer), one.name);
      return label;
    });
    chosen.replaceChildren(legend, ...labels);
  }

  function drawLengths() {
    const measure = form.elements.measure;
    const rows = rowsOf().filter((row) => row[measure.value] > 0);
    const drawn = listed().filter(isOn).map((one) => {
      const mine = rows.filter((row) => series(row) === one.name).sort((a, b) => a.length - b.length);
      const time = measure.value === "median_ms";
      const limits = time && !one.peer
        ? mine.map((row) => ({ x: row.length, y: floor(row) })).filter((p) => p.y > 0) : [];
      return {
        ...one,
        floor: limits,
        points: mine.map((row) => ({
          x: row.length, y: row[measure.value], tip: tipOf(row), row,
          low: time ? row.p20_ms : null, high: time ? row.p80_ms : null,
        })),
      };
    }).filter((one) => one.points.length);
    const name = measure.selectedOptions[0].text;
    const { layer, mode } = form.elements;
    // Ours last, on top of the peers.
    Chart.draw(document.getElementById("over-length"), [...drawn].reverse(), {
      x: `length T (steps), batch ${run.batch}, ${run.dtype}`,
      y: name,
      xTicks: distinct(rows, (row) => row.length).sort((a, b) => a - b),
      label: `${layer.value}, ${mode.value}: ${name} over the length T. The values are below.`,
    });
    if (drawn.some((one) => one.floor.length)) {
      const caption = document.createElement("figcaption");
      caption.textContent =
        "Full: our forms; dashed: peers; dotted: what the machine would take for a form, at its limits. " +
        "Point, or use the arrow keys, for values.";
      document.getElementById("over-length").append(caption);
    }
    table(drawn, name);
  }

  function table(drawn, name) {
    const lengths = distinct(drawn.flatMap((one) => one.points), (p) => p.x).sort((a, b) => a - b);
    const line = (tag, cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((text) => Object.assign(document.createElement(tag), { textContent: text })));
      return row;
    };
    const at = (one, length) => one.points.find((p) => p.x === length)?.y ?? null;
    document.getElementById("values").replaceChildren(
      line("th", [name, ...lengths.map((length) => `T = ${length}`)]),
      ...drawn.map((one) => line("td", [one.name, ...lengths.map((l) => Chart.number(at(one, l)))])),
    );
  }

  function drawRoofline() {
    const { layer, mode } = form.elements;
    const ours = run.rows.filter((row) =>
      row.mode === mode.value && row.flops && row.floor_bytes && row.gflop_per_s && !run.peers.has(row.name));
    const longest = Math.max(...ours.map((row) => row.length));
    const peak = run.roofline.gemm[run.dtype] / 1e9;
    const bandwidth = run.roofline.bandwidth / 1e9;
    const forms = distinct(ours, (row) => row.name);
    const drawn = forms.flatMap((name, index) => {
      const mine = ours.filter((row) => row.name === name && row.length === longest);
      const of = (rows, faint) => ({
        name, index: index * 9, faint, scattered: true,
        points: rows.map((row) => ({ x: row.flops / row.floor_bytes, y: row.gflop_per_s, tip: tipOf(row) })),
      });
      const here = (row) => row.layer === layer.value;
      return [of(mine.filter((row) => !here(row)), true), of(mine.filter(here), false)];
    });
    const figure = document.getElementById("roofline");
    Chart.draw(figure, drawn, {
      x: "FLOPs a byte of least traffic",
      y: `GFLOP/s, ${mode.value}`,
      roof: (x) => Math.min(peak, bandwidth * x),
      roofName: `${Chart.number(peak)} GFLOP/s, ${Chart.number(bandwidth)} GB/s`,
      label: `Arithmetic a second of every layer's forms against their arithmetic a byte, ${mode.value}.`,
    });
    if (!drawn.length) return;
    const caption = document.createElement("figcaption");
    forms.forEach((name, index) => caption.append(Chart.key(index * 9), `${name} `));
    caption.append(`– full: ${layer.value}; pale: the other layers of the run.`);
    figure.append(caption);
  }

  // Every layer's time over T, the chosen one's on top, and attention's.
  async function drawGrowth() {
    const figure = document.getElementById("growth");
    if (!figure) return;
    const streamed = await load(figure.dataset.run);
    const rows = streamed.rows.filter((row) => row.mode === "stream");
    const chosen = form.elements.layer.value;
    const of = (row) => (streamed.peers.has(row.name) ? row.name : row.layer);
    const tip = (row) => {
      const lines = [`${row.layer} ${row.name}`, `T = ${row.length}: ${Chart.number(row.median_ms)} ms`];
      if (row.state_bytes) lines.push(`${Chart.number(row.state_bytes / 1e3)} KB to go on from`);
      return lines.join("\n");
    };
    const drawn = distinct(rows, of).map((name) => {
      const mine = rows.filter((row) => of(row) === name);
      // A peer stands beside several layers, each with the same numbers.
      const once = mine.filter((row) => row.layer === mine[0].layer).sort((a, b) => a.length - b.length);
      const peer = streamed.peers.has(name);
      return {
        name, peer, index: peer ? 1 : 0, faint: !peer && name !== chosen,
        points: once.map((row) => ({ x: row.length, y: row.median_ms, tip: tip(row) })),
      };
    });
    const rank = (one) => (one.faint ? 0 : 1);
    drawn.sort((a, b) => rank(a) - rank(b));
    Chart.draw(figure, drawn, {
      x: `length T (steps), batch ${streamed.batch}, ${streamed.dtype}`,
      y: "time (ms)",
      xTicks: distinct(rows, (row) => row.length).sort((a, b) => a - b),
      label: "Time of every layer over the length T, in chunks, and attention's at once. The values are below.",
    });
    const caption = document.createElement("figcaption");
    const there = drawn.some((one) => one.name === chosen);
    caption.append(
      ...(there ? [Chart.key(0), `${chosen}. `] : []), "Pale: the other layers; dashed: attention. ",
      "Point, or use the arrow keys, for names and values.",
    );
    figure.append(caption);
  }

  async function update(event) {
    run = await load(form.elements.run.value);
    options(form.elements.layer, distinct(run.rows, (row) => row.layer).sort());
    const modes = distinct(run.rows.filter((row) => row.layer === form.elements.layer.value), (r) => r.mode);
    options(form.elements.mode, MODES.filter((mode) => modes.includes(mode)));
    document.getElementById("facts").textContent =
      `${run.hardware}, ${run.backend}, ${run.date}, commit ${run.commit}: ${run.command}`;
    if (event?.target?.name !== "measure") {
      drawSeries();
      drawRoofline();
    }
    drawLengths();
    await drawGrowth();
  }

  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  await update();
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) update();
    width = innerWidth;
  });
})();
