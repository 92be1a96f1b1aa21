// What a mark says when it is pointed at, or reached with the arrow keys: its `data-tip`.
"use strict";

const tip = (() => {
  const box = document.createElement("div");
  box.className = "tip";
  box.hidden = true;
  document.body.append(box);

  function show(mark) {
    if (box.dataset.of === mark.dataset.tip && !box.hidden) return;
    document.querySelectorAll(".pointed").forEach((one) => one.classList.remove("pointed"));
    mark.classList.add("pointed");
    box.textContent = box.dataset.of = mark.dataset.tip;
    box.hidden = false;
    const place = mark.getBoundingClientRect();
    const size = box.getBoundingClientRect();
    const room = document.documentElement.clientWidth - size.width - 8;
    const left = Math.max(8, Math.min(room, place.x + place.width / 2 - size.width / 2));
    const above = place.y - size.height - 8;
    box.style.left = `${left}px`;
    box.style.top = `${above > 56 ? above : place.bottom + 8}px`;
  }

  function hide() {
    box.hidden = true;
    document.querySelectorAll(".pointed").forEach((one) => one.classList.remove("pointed"));
  }

  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest?.("[data-tip]");
    if (mark) show(mark);
    else hide();
  });
  document.addEventListener("scroll", hide, { passive: true });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const drawing = document.activeElement?.closest?.("svg[tabindex]");
    if (!step || !drawing) return;
    const marks = [...drawing.querySelectorAll("[data-tip]:not([hidden])")];
    if (!marks.length) return;
    event.preventDefault();
    marks.sort((a, b) => a.getBoundingClientRect().x - b.getBoundingClientRect().x);
    const at = marks.findIndex((mark) => mark.classList.contains("pointed"));
    show(marks[(at + step + marks.length + (at < 0 && step < 0 ? 1 : 0)) % marks.length]);
  });
  return { show, hide };
})();
