"use strict";
(() => {
  const data = JSON.parse(document.getElementById("track").textContent);
  const map = document.getElementById("map");
  const byId = (id) => document.getElementById(id);
  const number = (value) => Math.round(value).toLocaleString("en");

  // ------------------------------------------------------------------------------------------------- where the track was when
  const slider = byId("slider"), readout = byId("readout");
  const profiles = [...document.querySelectorAll(".profile")].map((svg) => ({
    svg, line: svg.querySelector(".cursor"), since: +svg.dataset.since, until: +svg.dataset.until,
    left: +svg.dataset.left, right: +svg.dataset.right,
  }));

  function words(i) {
    const time = new Date(data.t[i] * 1000).toISOString();
    const parts = [`${time.slice(0, 10)} ${time.slice(11, 16)} UTC`];
    if (data.ft[i] !== null) parts.push(`${number(data.ft[i])} ft`);
    if (data.kt[i] !== null) parts.push(`${number(data.kt[i])} kt`);
    parts.push(`${data.lat[i].toFixed(2)}, ${data.lon[i].toFixed(2)}`);
    return parts.join(" · ");
  }

  function select(i) {
    const told = words(i);
    if (slider) {
      slider.value = i;
      slider.setAttribute("aria-valuetext", told);
    }
    if (readout) readout.textContent = told;
    if (map) byId("here").setAttribute("transform", `translate(${data.x[i]} ${data.y[i]})`);
    for (const p of profiles) {
      const inside = data.t[i] >= p.since && data.t[i] <= p.until;
      const x = inside ? p.left + (data.t[i] - p.since) / Math.max(p.until - p.since, 1) * (p.right - p.left) : -9;
      p.line.setAttribute("x1", x);
      p.line.setAttribute("x2", x);
    }
  }

  function nearest(cost) {
    let best = -1, least = Infinity;
    for (let i = 0; i < data.t.length; i++) {
      const c = cost(i);
      if (c < least) { least = c; best = i; }
    }
    return [best, least];
  }

  if (data.t.length) {
    if (slider) {
      byId("along").hidden = false;
      slider.addEventListener("input", () => select(+slider.value));
      readout.textContent = "Move along the track, or point at it, to read time, height and speed.";
    }
    for (const p of profiles) {
      p.svg.addEventListener("pointermove", (event) => {
        const box = p.svg.getBoundingClientRect(), wide = p.svg.viewBox.baseVal.width;
        const x = (event.clientX - box.left) / box.width * wide;
        const time = p.since + (x - p.left) / (p.right - p.left) * (p.until - p.since);
        const [i] = nearest((k) => Math.abs(data.t[k] - time));
        if (data.t[i] >= p.since && data.t[i] <= p.until) select(i);
      });
    }
  }
  if (!map) return;

  // ------------------------------------------------------------------------------------------------------------ pan and zoom
  const whole = map.viewBox.baseVal, width = whole.width, height = whole.height;
  const AROUND = 0.18, CLOSEST = 200;
  let view = { x: 0, y: 0, k: 1 };  // the corner that is shown, and how many times larger than the whole
  const labels = [...map.querySelectorAll(".still text")].reverse();

  function shown() {
    const k = view.k, w = width / k, h = height / k;
    view.x = Math.min(Math.max(view.x, -width * AROUND), width * (1 + AROUND) - w);
    view.y = Math.min(Math.max(view.y, -height * AROUND), height * (1 + AROUND) - h);
    map.setAttribute("viewBox", `${view.x} ${view.y} ${w} ${h}`);
    map.classList.toggle("zoomed", k > 1);
    const size = Math.max(width / Math.max(map.clientWidth, 1), 1) / k;  // marks and labels stay as large as the text around
    for (const still of map.querySelectorAll(".still > g")) still.setAttribute("transform", `scale(${size})`);
    const nm = width / 6 / k / data.unit;
    byId("scale").textContent = `A sixth of the map's width is about ${nm < 10 ? nm.toFixed(1) : number(nm)} nm`;
    const taken = [];
    for (const label of labels) {
      label.classList.remove("crowded");
      const a = label.getBoundingClientRect();
      const hit = taken.some((b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom);
      if (hit) label.classList.add("crowded"); else taken.push(a);
    }
  }

  function zoom(factor, x, y) {  // around a point, in shares of what is shown
    const k = Math.min(Math.max(view.k * factor, 1), CLOSEST);
    view.x += x * width * (1 / view.k - 1 / k);
    view.y += y * height * (1 / view.k - 1 / k);
    view.k = k;
    if (k === 1) { view.x = 0; view.y = 0; }
    shown();
  }

  function move(dx, dy) {  // in shares of what is shown
    view.x += dx * width / view.k;
    view.y += dy * height / view.k;
    shown();
  }

  const share = (event) => {
    const box = map.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, box];
  };
  byId("maptools").hidden = false;
  byId("in").addEventListener("click", () => zoom(2, 0.5, 0.5));
  byId("out").addEventListener("click", () => zoom(0.5, 0.5, 0.5));
  byId("all").addEventListener("click", () => zoom(0, 0.5, 0.5));
  map.setAttribute("tabindex", "0");
  map.setAttribute("aria-keyshortcuts", "ArrowLeft ArrowRight ArrowUp ArrowDown + - 0");
  const keys = {
    ArrowLeft: () => move(-0.15, 0), ArrowRight: () => move(0.15, 0), ArrowUp: () => move(0, -0.15), ArrowDown: () => move(0, 0.15),
    "+": () => zoom(1.5, 0.5, 0.5), "=": () => zoom(1.5, 0.5, 0.5), "-": () => zoom(1 / 1.5, 0.5, 0.5), "0": () => zoom(0, 0.5, 0.5),
  };
  map.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const [x, y] = share(event);
    zoom(Math.exp(-event.deltaY / 300), x, y);
  }, { passive: false });
  map.addEventListener("dblclick", (event) => { const [x, y] = share(event); zoom(2, x, y); });

  const down = new Map();
  const spread = () => {
    const [a, b] = [...down.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  map.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event);
    if (event.pointerType === "mouse") map.setPointerCapture(event.pointerId);
  });
  for (const gone of ["pointerup", "pointercancel", "pointerleave"]) map.addEventListener(gone, (e) => down.delete(e.pointerId));
  map.addEventListener("pointermove", (event) => {
    const [x, y, box] = share(event), before = down.get(event.pointerId);
    if (before && down.size === 1) move((before.clientX - event.clientX) / box.width, (before.clientY - event.clientY) / box.height);
    if (before && down.size === 2) {
      const apart = spread();
      down.set(event.pointerId, event);
      zoom(spread() / Math.max(apart, 1), x, y);
    }
    if (before) { down.set(event.pointerId, event); return; }
    const mapX = view.x + x * width / view.k, mapY = view.y + y * height / view.k;
    const [i, away] = nearest((k) => Math.hypot(data.x[k] - mapX, data.y[k] - mapY));
    if (i >= 0 && away < 25 / view.k) select(i);
  });
  window.addEventListener("resize", shown);
  shown();
})();
