// The timeline: the service draws it, this makes it something to point at, to go through by keys and to read.
import { ask, at, energy, fill, had, jobPage, make, many, owner, put, room, span } from "./shared.js";

const PERIOD_MS = 10000;
const frame = document.getElementById("timeline");
const form = document.getElementById("window");
const details = document.getElementById("timeline-details");
let asked = 0, shown = null, shift = 0, current = 0;

/** Ask for it anew where it is old, unless somebody reads in it by keys. */
export function timeline(types) {
  const known = [...form.elements.type.options].map((option) => option.value);
  form.elements.type.append(...types.filter((one) => !known.includes(one)).map((one) => new Option(one)));
  if (Date.now() - asked > PERIOD_MS && !frame.contains(document.activeElement)) show();
}

function address() {
  const query = new URLSearchParams({ width_px: room() });
  const seconds = Number(form.elements.hours.value) * 3600;
  if (seconds) {
    const middle = Date.now() / 1000 + shift * seconds;
    query.set("since_s", middle - 0.7 * seconds);
    query.set("until_s", middle + 0.3 * seconds);
  }
  if (form.elements.type.value) query.set("gpu_type", form.elements.type.value);
  return `/v1/timeline?${query}`;
}

async function show() {
  asked = Date.now();
  try {
    shown = await ask(address());
    draw();
  } catch (error) {
    put("timeline-note", `No timeline: ${error.message}`);
  }
}

function draw() {
  const svg = document.importNode(new DOMParser().parseFromString(shown.svg, "image/svg+xml").documentElement, true);
  current = Math.min(current, Math.max(0, shown.bars.length - 1));
  bars(svg).forEach((element, number) => {
    const bar = shown.bars[number];
    element.setAttribute("role", bar.visible ? "link" : "img");
    element.setAttribute("aria-label", words(bar));
    element.setAttribute("tabindex", number === current ? "0" : "-1");
    element.querySelectorAll("title").forEach((title) => title.remove());
  });
  frame.replaceChildren(svg);
  const count = `${many(shown.bars.length, "job")} on ${many(shown.rows.length, "board")}`;
  const more = [shown.left_out_bars && many(shown.left_out_bars, "more job"), shown.left_out_boards && many(shown.left_out_boards, "more board")].filter(Boolean);
  put("timeline-note", `${count}${more.length ? `; ${more.join(" and ")} are not shown` : ""}. What has ended is measured; expected ends, planned starts and holds are modelled.`);
  put("timeline-windows", shown.windows.map(kept).join("; "));
  if (details.open) table();
}

/** When boards are away or somebody's alone, in words: the picture has it as a shade. */
function kept(one) {
  const names = [...new Set(one.rows.map((row) => shown.rows[row].name))].join(", ");
  return `${names}: ${one.said}, ${at(one.begins_s)} to ${at(one.ends_s)}`;
}

const bars = (within = frame) => [...within.querySelectorAll("[data-bar]")];
const called = (bar) => (bar.name ? `${bar.job_id} (${bar.name})` : bar.job_id);
const state = (bar) => ({ running: "runs", planned: "planned" })[bar.kind] ?? bar.kind;
const nodes = (bar) => [...new Set(bar.rows.map((row) => shown.rows[row].name))].join(", ");

/** All about a bar in a sentence. */
function words(bar) {
  const long = span(bar.end_s - bar.start_s);
  const times = {
    running: `since ${at(bar.start_s)}, expected to end ${at(bar.end_s)} after ${long} (modelled)`,
    planned: `to start ${at(bar.start_s)} and end ${at(bar.end_s)} after ${long} (modelled)`,
  }[bar.kind] ?? `${at(bar.start_s)} to ${at(bar.end_s)}, ${long}`;
  const used = bar.energy_kwh ? `; ${energy(bar.energy_kwh.value)} (${bar.energy_kwh.provenance})` : "";
  const why = bar.held ? `; ${bar.held}` : "";
  return `${called(bar)} of ${owner(bar)}, ${state(bar)}: ${times}, on ${bar.gpus} × ${bar.gpu_type}, ${nodes(bar)}${used}${why}.`;
}

function point(number) {
  const bar = shown.bars[number];
  const said = document.getElementById("pointed");
  said.replaceChildren(words(bar));
  if (bar.visible) {
    const link = make("a", "Open the job");
    link.href = jobPage(bar.job_id);
    said.append(" ", link);
  }
  bars().forEach((element, n) => element.classList.toggle("pointed", n === number));
}

const numberOf = (event) => event.target.closest?.("[data-bar]")?.dataset.bar;

function onBar(kind, act) {
  frame.addEventListener(kind, (event) => {
    const number = numberOf(event);
    if (number !== undefined) act(Number(number), event);
  });
}

onBar("pointerover", point);
onBar("focusin", (number) => {
  bars().forEach((element, n) => element.setAttribute("tabindex", n === number ? "0" : "-1"));
  current = number;
  point(number);
});
onBar("click", (number, event) => {
  const bar = shown.bars[number];
  if (bar.visible && event.pointerType === "mouse") location.href = jobPage(bar.job_id);
});
onBar("keydown", (number, event) => {
  const bar = shown.bars[number];
  if (event.key === "Enter" && bar.visible) location.href = jobPage(bar.job_id);
  const next = { Home: 0, End: shown.bars.length - 1 }[event.key] ?? neighbour(number, event.key);
  if (next === undefined) return;
  event.preventDefault();
  bars()[next].focus();
});

/** The bar beside another: before or behind it on its board, or nearest in time on the next board that has one. */
function neighbour(number, key) {
  const from = shown.bars[number];
  const row = Math.min(...from.rows);
  const others = shown.bars.map((bar, n) => ({ n, bar })).filter(({ n }) => n !== number);
  if (key === "ArrowRight") return others.find(({ n, bar }) => n > number && bar.rows.includes(row))?.n;
  if (key === "ArrowLeft") return others.findLast(({ n, bar }) => n < number && bar.rows.includes(row))?.n;
  const sign = { ArrowDown: 1, ArrowUp: -1 }[key];
  if (!sign) return undefined;
  const beyond = others.map(({ n, bar }) => ({ n, far: sign * (Math.min(...bar.rows) - row), late: Math.abs(bar.start_s - from.start_s) }));
  return beyond.filter(({ far }) => far > 0).sort((a, b) => a.far - b.far || a.late - b.late)[0]?.n;
}

function table() {
  fill("timeline-table", shown.bars.map((bar) => {
    const job = bar.visible ? { text: called(bar), link: jobPage(bar.job_id) } : bar.job_id;
    const used = bar.energy_kwh ? had(energy(bar.energy_kwh.value), bar.energy_kwh.provenance) : "";
    const now = bar.held && bar.kind === "planned" ? { text: state(bar), small: "held" } : state(bar);
    const cells = [job, owner(bar), now, { text: `${bar.gpus} × ${bar.gpu_type}`, small: nodes(bar) },
      at(bar.start_s), had(at(bar.end_s), bar.provenance), used];
    return { key: `${bar.job_id}/${bar.attempt}`, className: bar.mine ? "mine" : "", cells };
  }));
}

details.addEventListener("toggle", () => { if (details.open && shown) table(); });

form.addEventListener("change", () => {
  shift = 0;
  for (const name of ["earlier", "later"]) form.elements[name].hidden = !form.elements.hours.value;
  show();
});

form.addEventListener("click", (event) => {
  const sign = { earlier: -1, later: 1 }[event.target.name];
  if (!sign) return;
  shift += sign * 0.5;
  show();
});

form.addEventListener("submit", (event) => event.preventDefault());

let width = innerWidth;
addEventListener("resize", () => {
  if (shown && innerWidth !== width) asked = 0;
  width = innerWidth;
});
