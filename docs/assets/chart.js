// A chart of points and lines on logarithmic axes, drawn as SVG at the width that it has.
"use strict";

const Chart = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  // Okabe and Ito's colours, told apart with any colour vision; the style sheet has them.
  const COLOURS = 8;
  const SHAPES = [
    (r) => `M0 ${-r}A${r} ${r} 0 1 1 0 ${r}A${r} ${r} 0 1 1 0 ${-r}Z`,
    (r) => `M${-r} ${-r}H${r}V${r}H${-r}Z`,
    (r) => `M0 ${-1.3 * r}L${1.3 * r} ${r}H${-1.3 * r}Z`,
    (r) => `M0 ${-1.4 * r}L${1.4 * r} 0L0 ${1.4 * r}L${-1.4 * r} 0Z`,
  ];

  function make(name, attributes, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  function look(index) {
    return { colour: `c${index % COLOURS}`, shape: SHAPES[Math.floor(index / COLOURS) % 4] };
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size >= 1e6 || (size && size < 1e-3)) {
      const power = Math.floor(Math.log10(size));
      const factor = Number((value / 10 ** power).toPrecision(3));
      return `${factor === 1 ? "" : `${factor}·`}10${superscript(power)}`;
    }
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
  }

  function superscript(power) {
    return String(power).replace(/./g, (digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]));
  }

  function ticks(low, high) {
    for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
      const found = [];
      for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
        for (const step of steps) {
          const value = Number((step * 10 ** p).toPrecision(6));
          if (value >= low && value <= high) found.push(value);
        }
      }
      if (found.length >= 3) return found.length > 8 ? found.filter((_, i) => i % 2 === 0) : found;
    }
    return [low, high].map((value) => Number(value.toPrecision(2)));
  }

  function domain(values, room) {
    const found = values.filter((value) => value > 0);
    return [Math.min(...found) / room, Math.max(...found) * room];
  }

  /**
   * Draws into `figure`.
   * series: [{name, index, points: [{x, y, low?, high?, tip}], faint?, floor?: [{x, y}]}]
   * options: {x, y: names of the axes, xTicks?, roof?: (x) => y, roofName?, label}
   */
  function draw(figure, series, options) {
    const points = series.flatMap((one) => [...one.points, ...(one.floor ?? [])]);
    figure.replaceChildren();
    if (!points.length) {
      figure.append(Object.assign(document.createElement("p"), { textContent: "Nothing is chosen." }));
      return;
    }
    const width = Math.max(300, figure.clientWidth);
    const height = Math.round(Math.min(440, Math.max(300, width * 0.55)));
    const edge = { left: 64, right: 14, top: 14, bottom: 50 };
    const xs = domain(points.map((one) => one.x), options.xTicks?.length === 1 ? 2 : 1.25);
    const heights = points.flatMap((one) => [one.y, one.low ?? one.y, one.high ?? one.y]);
    if (options.roof) heights.push(options.roof(xs[0]), options.roof(xs[1]));
    const ys = domain(heights, 1.3);
    const scale = (value, [low, high], from, to) =>
      from + ((to - from) * Math.log(value / low)) / Math.log(high / low);
    const X = (value) => scale(value, xs, edge.left, width - edge.right);
    const Y = (value) => scale(value, ys, height - edge.bottom, edge.top);

    const svg = make("svg", {
      viewBox: `0 0 ${width} ${height}`, width, height, role: "img", tabindex: 0,
      "aria-label": options.label,
    });
    for (const value of ticks(...ys)) {
      svg.append(
        make("line", { class: "grid", x1: edge.left, x2: width - edge.right, y1: Y(value), y2: Y(value) }),
        make("text", { x: edge.left - 6, y: Y(value) + 4, "text-anchor": "end" }, number(value)),
      );
    }
    for (const value of options.xTicks ?? ticks(...xs)) {
      svg.append(
        make("line", { class: "grid", y1: edge.top, y2: height - edge.bottom, x1: X(value), x2: X(value) }),
        make("text", { x: X(value), y: height - edge.bottom + 18, "text-anchor": "middle" }, number(value)),
      );
    }
    const middle = (edge.top + height - edge.bottom) / 2;
    svg.append(
      make("text", { class: "title", x: (edge.left + width - edge.right) / 2, y: height - 8, "text-anchor": "middle" }, options.x),
      make("text", { class: "title", transform: `translate(14 ${middle}) rotate(-90)`, "text-anchor": "middle" }, options.y),
    );
    if (options.roof) {
      const steps = Array.from({ length: 121 }, (_, i) => xs[0] * (xs[1] / xs[0]) ** (i / 120));
      const path = steps.map((x, i) => `${i ? "L" : "M"}${X(x)} ${Y(options.roof(x))}`).join("");
      svg.append(
        make("path", { class: "roof", d: path }),
        make("text", { class: "roof", x: width - edge.right - 4, y: Y(options.roof(xs[1])) - 6, "text-anchor": "end" }, options.roofName),
      );
    }
    for (const one of series) {
      const { colour, shape } = look(one.index);
      const group = make("g", { class: `${colour}${one.faint ? " faint" : ""}${one.peer ? " peer" : ""}` });
      const line = (of) => of.map((p, i) => `${i ? "L" : "M"}${X(p.x)} ${Y(p.y)}`).join("");
      if (one.floor?.length) {
        group.append(make("path", { class: "floor", d: line(one.floor) }));
        for (const p of one.floor) {
          group.append(make("path", { class: "floor", d: `M${X(p.x) - 9} ${Y(p.y)}h18` }));
        }
      }
      if (!one.scattered) group.append(make("path", { class: "line", d: line(one.points) }));
      for (const p of one.points) {
        if (p.low) group.append(make("path", { class: "spread", d: `M${X(p.x)} ${Y(p.low)}V${Y(p.high)}` }));
        group.append(make("path", { class: "mark", d: shape(5), transform: `translate(${X(p.x)} ${Y(p.y)})`, "data-tip": p.tip }));
      }
      svg.append(group);
    }
    figure.append(svg);
  }

  function key(index, peer) {
    const { colour, shape } = look(index);
    return make("svg", { class: `key ${colour}${peer ? " peer" : ""}`, width: 26, height: 14, "aria-hidden": "true" },
      make("path", { class: "line", d: "M0 7H26" }),
      make("path", { class: "mark", d: shape(5), transform: "translate(13 7)" }));
  }

  return { draw, key, number };
})();
