// Power and energy over the day: as it went, and what Simple would have drawn with the same jobs.
import { ask, energy, fill, had, many, part, power, put, room } from "./shared.js";

const PERIOD_MS = 30000;
const LEFT = 58, RIGHT = 30, TOP = 16, HIGH = 110, BETWEEN = 34, BOTTOM = 22;
const details = document.getElementById("power-details");
let asked = 0, shown = null;

/** Ask for the day anew where it is old. */
export async function powerDay() {
  if (Date.now() - asked < PERIOD_MS) return;
  asked = Date.now();
  const day = await ask("/v1/power").catch((error) => put("power-note", `No power: ${error.message}`));
  if (day?.jobs) show(day);
}

details.addEventListener("toggle", () => { if (details.open && shown) show(shown); });

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function sums(watts, stepS) {
  let total = 0;
  return watts.map((value) => (total += (value * stepS) / 3.6e6));
}

function show(day) {
  shown = day;
  const used = sums(day.used_w, day.step_s), simple = sums(day.simple_w, day.step_s);
  const past = Math.min(day.used_w.length, Math.ceil((day.now_s - day.since_s) / day.step_s));
  const ways = `energies ${day.energy_provenance.join(", ")}, spread evenly over each run`;
  put("used-how", `${day.used_provenance}: ${ways}`);
  put("power-note", `Mean power in steps of ${day.step_s / 60} min and energy so far, of the same ${many(day.jobs, "job")}, since midnight UTC.`);
  draw(day, used, simple, past);
  if (details.open) table(day, used, simple, past);
}

function draw(day, used, simple, past) {
  const wide = room(), count = day.used_w.length, high = 2 * HIGH + BETWEEN + TOP + BOTTOM;
  const x = (step) => LEFT + ((wide - LEFT - RIGHT) * step) / count;
  const svg = document.getElementById("power");
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  const title = part("title", { id: "power-title" }, `Power and energy today: ${energy(used.at(-1))} as it went, ${energy(simple.at(-1))} under Simple since midnight UTC`);
  const hours = Math.max(1, Math.ceil((count * day.step_s) / 3600 / Math.max(2, (wide - LEFT) / 70)));
  const parts = [];
  for (let step = 0; step <= count; step += (hours * 3600) / day.step_s) {
    parts.push(part("line", { x1: x(step), x2: x(step), y1: TOP, y2: high - BOTTOM }));
    parts.push(part("text", { x: x(step), y: high - 6, "text-anchor": "middle" }, clock(day.since_s + step * day.step_s)));
  }
  parts.push(...panel(TOP, [[day.simple_w, "simple"], [day.used_w.slice(0, past), "used"]], x, wide, power));
  parts.push(...panel(TOP + HIGH + BETWEEN, [[simple, "simple"], [used.slice(0, past), "used"]], x, wide, energy));
  svg.replaceChildren(title, ...parts);
}

/** A panel of steps from 0 up to the highest of its lines. */
function panel(top, lines, x, wide, said) {
  const most = Math.max(...lines.flatMap(([values]) => values)) || 1;
  const y = (value) => top + HIGH * (1 - value / most);
  const parts = [0, 0.5, 1].flatMap((share) => [
    part("line", { x1: LEFT, x2: wide - RIGHT, y1: y(share * most), y2: y(share * most) }),
    part("text", { x: LEFT - 6, y: y(share * most) + 4, "text-anchor": "end" }, said(share * most)),
  ]);
  const paths = lines.map(([values, kind]) => {
    const steps = values.map((value, step) => `V${y(value).toFixed(1)}H${x(step + 1).toFixed(1)}`);
    return part("path", { class: kind, d: `M${LEFT},${y(values[0] ?? 0).toFixed(1)}${steps.join("")}` });
  });
  return [...parts, ...paths];
}

function table(day, used, simple, past) {
  const anHour = 3600 / day.step_s;
  const rows = [];
  for (let end = anHour; end < day.used_w.length + anHour; end += anHour) {
    const last = Math.min(end, day.used_w.length), first = end - anHour;
    const mean = (watts) => watts.slice(first, last).reduce((sum, value) => sum + value, 0) / (last - first);
    const known = first < past;
    rows.push({ key: `${end}`, cells: [clock(day.since_s + last * day.step_s), known ? had(power(mean(day.used_w)), day.used_provenance) : "",
      power(mean(day.simple_w)), known ? had(energy(used[last - 1]), day.used_provenance) : "", energy(simple[last - 1])] });
  }
  fill("power-table", rows);
}
