// SPDX-FileCopyrightText: The Gantry authors
// SPDX-License-Identifier: Apache-2.0
//
// Style and script of a report, embedded in it.
#pragma once

#include <string_view>

namespace gantry::inline v0::io {

inline constexpr std::string_view report_style = R"css(
:root { color-scheme: light dark; --page: #f4f5f7; --card: #fff; --text: #1b1f24; --soft: #5c6570;
  --edge: #dde1e6; --grid: #e8ebee; --accent: #0067b0;
  --c0: #0067b0; --c1: #cc5200; --c2: #008a64; --c3: #b5489a; --c4: #b38300; --c5: #3fa0d9;
  --c6: #7246a8; --c7: #6b7280; --c8: #a3283a; --c9: #6f8f2a; }
@media (prefers-color-scheme: dark) { :root { --page: #0f1216; --card: #181c22; --text: #e6e9ed;
  --soft: #98a2ae; --edge: #2b313a; --grid: #272d35; --accent: #5bb0f0;
  --c0: #5bb0f0; --c1: #ff9450; --c2: #3ccba0; --c3: #ea93d2; --c4: #eac04a; --c5: #9ad6f7;
  --c6: #b999ec; --c7: #a9b2be; --c8: #f0788a; --c9: #b5cf6b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 56px; }
h1 { margin: 0; font-size: 28px; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em;
  overflow-wrap: anywhere; }
h2 { margin: 40px 0 12px; font-size: 13px; font-weight: 650; letter-spacing: 0.06em;
  text-transform: uppercase; color: var(--soft); }
.subtitle { margin: 6px 0 0; color: var(--soft); font-size: 16px; overflow-wrap: anywhere; }
.card, figure, .tiles > div { background: var(--card); border: 1px solid var(--edge);
  border-radius: 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px;
  margin: 28px 0 0; }
.tiles > div { padding: 14px 18px; }
.tiles dt { color: var(--soft); font-size: 13px; }
.tiles dd { margin: 2px 0 0; font-size: 24px; line-height: 1.25; font-weight: 600;
  overflow-wrap: anywhere; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
.pair > :only-child { grid-column: 1 / -1; }
figure { margin: 0; padding: 16px 18px 14px; min-width: 0; }
figcaption { display: flex; justify-content: space-between; align-items: baseline; gap: 12px;
  font-weight: 600; overflow-wrap: anywhere; }
button { font: inherit; font-size: 13px; font-weight: 400; color: var(--accent); cursor: pointer;
  background: none; border: 1px solid var(--edge); border-radius: 6px; padding: 2px 10px;
  white-space: nowrap; }
button:hover { border-color: var(--accent); }
.ylabel, .xlabel { color: var(--soft); font-size: 12px; min-height: 18px; }
.xlabel { text-align: center; padding-left: 46px; }
.plot { padding: 8px 8px 26px 46px; }
.area { position: relative; height: 260px; border-left: 1px solid var(--soft);
  border-bottom: 1px solid var(--soft); touch-action: pan-y; outline-offset: 2px; }
svg { display: block; width: 100%; height: 100%; overflow: visible; }
path { fill: none; stroke: var(--c); stroke-width: 1.75; stroke-linejoin: round;
  stroke-linecap: round; vector-effect: non-scaling-stroke; }
path.grid { stroke: var(--grid); stroke-width: 1; }
path.dashed { stroke-dasharray: 6 5; }
path.marks { stroke-width: 6; stroke-dasharray: none; }
path.band { fill: var(--c); opacity: 0.2; stroke: none; }
.area span { position: absolute; color: var(--soft); font-size: 12px; line-height: 1;
  white-space: nowrap; }
.area span.y { right: 100%; padding-right: 7px; transform: translateY(-50%); }
.area span.x { top: 100%; padding-top: 8px; transform: translateX(-50%); }
.chart .log, .chart.log .lin { display: none; }
.chart.log .log { display: initial; }
.nothing { position: absolute; inset: 45% 0 auto; margin: 0; text-align: center;
  color: var(--soft); }
.cursor { position: absolute; top: 0; bottom: 0; border-left: 1px solid var(--soft); }
.dot { position: absolute; width: 9px; height: 9px; margin: -4.5px; border-radius: 50%;
  background: var(--c); border: 2px solid var(--card); }
.tip { position: absolute; top: 8px; z-index: 1; pointer-events: none; padding: 6px 10px;
  background: var(--card); border: 1px solid var(--edge); border-radius: 6px; font-size: 12px;
  box-shadow: 0 2px 10px rgb(0 0 0 / 18%); white-space: nowrap; }
.tip b { font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0 0 0 46px;
  list-style: none; font-size: 13px; }
.legend li { cursor: pointer; }
.legend li.off { opacity: 0.4; text-decoration: line-through; }
.legend li::before, .tip div:not(.at)::before { content: ""; display: inline-block; width: 16px;
  margin-right: 7px; border-top: 3px solid var(--c); vertical-align: middle; }
.legend li.dashed::before, .tip div.dashed::before { border-top-style: dashed; }
.remark { margin: 6px 0 0; padding-left: 46px; color: var(--soft); font-size: 12px; }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); }
.c4 { --c: var(--c4); } .c5 { --c: var(--c5); } .c6 { --c: var(--c6); } .c7 { --c: var(--c7); }
.c8 { --c: var(--c8); } .c9 { --c: var(--c9); }
rect { fill: var(--c); }
.stack { display: grid; grid-template-columns: minmax(0, 1fr); gap: 16px; }
.timeline .plot { padding: 12px 8px 26px 58px; }
.timeline .area { border-left: 0; }
.timeline .legend, .timeline .remark { padding-left: 0; }
path.piece { fill: var(--c); stroke: none; }
path.faint { opacity: 0.35; }
.legend li.faint::before, .tip div.faint::before { opacity: 0.35; }
.timeline .legend li::before { width: 10px; border-top-width: 10px; }
.bars .legend li { cursor: auto; }
.bars .legend li::before { width: 10px; border-top-width: 10px; }
[hidden] { display: none !important; }
.frames { margin-top: 12px; text-align: center; }
.frames p { margin: 0; color: var(--soft); }
.frames img { max-width: 100%; height: auto; image-rendering: pixelated; vertical-align: top;
  border-radius: 4px; }
.controls { display: flex; align-items: center; gap: 12px; margin-top: 12px; }
.controls input { flex: 1; min-width: 0; accent-color: var(--accent); }
output, .when { color: var(--soft); font-size: 13px; white-space: nowrap; }
.card { overflow-x: auto; }
.card + h3 { margin-top: 24px; }
h3 { margin: 0 0 8px; font-size: 15px; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 8px 18px; text-align: left; border-top: 1px solid var(--grid); }
tr:first-child > th { border-top: 0; color: var(--soft); font-size: 13px; font-weight: 600;
  white-space: nowrap; }
th.number, td.number { text-align: right; white-space: nowrap; }
.facts { margin: 0; padding: 10px 18px; columns: 2 320px; column-gap: 40px; }
.facts div { display: flex; justify-content: space-between; gap: 16px; padding: 5px 0;
  border-bottom: 1px solid var(--grid); break-inside: avoid; font-size: 14px; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
@media (max-width: 760px) {
  .timeline .plot { padding-left: 52px; }
  .tip { white-space: normal; max-width: 220px; }
  main { padding: 24px 12px 40px; }
  h1 { font-size: 23px; }
  .pair { grid-template-columns: minmax(0, 1fr); gap: 12px; }
  figure { padding: 14px 12px 12px; }
  .area { height: 220px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; }
  .tiles > div { padding: 10px 14px; }
  .tiles dd { font-size: 20px; }
  th, td { padding: 7px 12px; }
  .facts { padding: 8px 12px; }
}
@media print { body { background: none; } button, .controls input { display: none; }
  figure, .card { break-inside: avoid; } }
)css";

inline constexpr std::string_view report_script = R"js(
const all = (root, what) => [...root.querySelectorAll(what)];
const element = (parent, name) => {
  const made = document.createElement('div');
  made.className = name;
  parent.append(made);
  return made;
};
const short = value => Math.abs(value) < 1e4 ? String(+value.toPrecision(4))
  : value < 1e15 ? value.toLocaleString('en-US') : value.toExponential(3);

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

for (const figure of all(document, '.chart')) {
  const data = JSON.parse(figure.querySelector('script').textContent);
  const area = figure.querySelector('.area'), scale = figure.querySelector('.scale');
  const legend = all(figure, 'li');
  let overlay = [], place = 0;
  const hide = () => { overlay.forEach(e => e.remove()); overlay = []; };
  const add = name => { const e = element(area, name); overlay.push(e); return e; };
  const width = data.x[1] - data.x[0];

  const show = fraction => {
    hide();
    place = Math.min(1, Math.max(0, fraction));
    const shown = data.lines.map((line, i) => ({ line, name: legend[i].className, i }))
      .filter(s => s.line.x.length && !legend[s.i].classList.contains('off'));
    const wanted = data.x[0] + place * width;
    const candidates = shown.map(s => s.line.x[nearest(s.line.x, wanted)]);
    if (!candidates.length) return;
    const x = candidates.reduce((a, b) => Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a);
    const left = (x - data.x[0]) / width;
    add('cursor').style.left = 100 * left + '%';
    const tip = add('tip');
    element(tip, 'at').textContent = (data.label ? data.label + ' ' : '') + x;
    for (const { line, name } of shown) {
      const k = nearest(line.x, x), y = line.y[k];
      if (y === null || Math.abs(line.x[k] - x) > 0.02 * width) continue;
      const row = element(tip, name), bold = document.createElement('b');
      bold.textContent = short(y);
      row.append(line.name + ' ', bold);
      if (line.low.length) row.append(` (${short(line.low[k])} \u2013 ${short(line.high[k])})`);
      const log = figure.classList.contains('log');
      const [low, high] = log ? data.log : data.lin;
      if (log && y <= 0) continue;
      const dot = add('dot ' + name);
      dot.style.left = 100 * (line.x[k] - data.x[0]) / width + '%';
      dot.style.top = 100 * (high - (log ? Math.log10(y) : y)) / (high - low) + '%';
    }
    const room = area.clientWidth, at = left * room;
    const beside = left > 0.5 ? at - 10 - tip.offsetWidth : at + 10;
    tip.style.left = Math.max(-40, Math.min(room - tip.offsetWidth, beside)) + 'px';
  };
  for (const what of ['pointerdown', 'pointermove']) area.addEventListener(what, e => {
    const box = area.getBoundingClientRect();
    show((e.clientX - box.left) / box.width);
  });
  // A finger that is lifted leaves the values behind, so that they can be read.
  area.addEventListener('pointerleave', e => { if (e.pointerType !== 'touch') hide(); });
  area.addEventListener('blur', hide);
  area.addEventListener('keydown', e => {
    const step = { ArrowLeft: -0.01, ArrowRight: 0.01 }[e.key];
    if (step) { e.preventDefault(); show(place + step); }
  });
  legend.forEach((item, i) => item.addEventListener('click', () => {
    const off = item.classList.toggle('off');
    all(figure, 'path[data-line="' + i + '"]').forEach(p => { p.toggleAttribute('hidden', off); });
  }));
  if (scale) {
    const label = () => {
      scale.textContent = figure.classList.contains('log') ? 'linear scale' : 'log scale';
    };
    scale.addEventListener('click', () => { figure.classList.toggle('log'); label(); hide(); });
    scale.hidden = false;
    label();
  }
}

for (const figure of all(document, '.timeline')) {
  const data = JSON.parse(figure.querySelector('script').textContent);
  const area = figure.querySelector('.area'), legend = all(figure, 'li');
  const names = all(area, 'span.y').map(e => e.textContent);
  let tip = null;
  const hide = () => { if (tip) tip.remove(); tip = null; };
  const show = e => {
    hide();
    const box = area.getBoundingClientRect();
    const left = e.clientX - box.left, down = (e.clientY - box.top) / box.height;
    const x = data.x[0] + left / box.width * (data.x[1] - data.x[0]);
    const lane = Math.floor(down * data.lanes.length);
    const here = (data.lanes[lane] || []).filter(p => p[0] <= x && x < p[1]
      && !legend[p[2]].classList.contains('off'));
    if (!here.length) return;
    tip = element(area, 'tip');
    element(tip, 'at').textContent = names[lane] + ', ' + short(here[0][0]) + ' \u2013 '
      + short(here[0][1]) + ' ' + data.unit;
    for (const [begin, end, part, low, high] of here) {
      const row = element(tip, legend[part].className), bold = document.createElement('b');
      bold.textContent = high - low < 1 ? short(Math.round(1000 * (high - low)) / 10) + ' %'
        : short(end - begin) + ' ' + data.unit;
      row.append(legend[part].textContent + ' ', bold);
    }
    const beside = left > box.width / 2 ? left - 12 - tip.offsetWidth : left + 12;
    tip.style.left = Math.max(-50, Math.min(box.width - tip.offsetWidth, beside)) + 'px';
    tip.style.top = Math.max(0, down * box.height - tip.offsetHeight - 8) + 'px';
  };
  for (const what of ['pointerdown', 'pointermove']) area.addEventListener(what, show);
  area.addEventListener('pointerleave', e => { if (e.pointerType !== 'touch') hide(); });
  legend.forEach((item, i) => item.addEventListener('click', () => {
    const off = item.classList.toggle('off');
    all(figure, 'path[data-line="' + i + '"]').forEach(p => { p.toggleAttribute('hidden', off); });
  }));
}

for (const film of all(document, '.film')) {
  const frames = all(film, '.frames > *'), slider = film.querySelector('input');
  if (!slider) continue;
  const play = film.querySelector('button'), when = film.querySelector('output');
  let timer = 0;
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i !== +slider.value; });
    when.textContent = frames[slider.value].dataset.when;
  };
  const stop = () => { clearInterval(timer); timer = 0; play.textContent = 'Play'; };
  slider.addEventListener('input', () => { stop(); show(); });
  play.addEventListener('click', () => {
    if (timer) return stop();
    if (+slider.value === frames.length - 1) slider.value = -1;
    const next = () => {
      slider.value = +slider.value + 1;
      show();
      if (+slider.value === frames.length - 1) stop();
    };
    timer = setInterval(next, 400);
    play.textContent = 'Stop';
  });
  film.querySelector('.controls').hidden = false;
  film.querySelector('.when').hidden = true;
}
)js";

}  // namespace gantry::io
