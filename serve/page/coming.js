// The coming day: carbon, price and water by the site's signals, and the power of what runs and is planned.
import { ask, fill, many, part, power, put, room } from "./shared.js";

const PERIOD_MS = 30000;
const LEFT = 58, RIGHT = 30, TOP = 22, HIGH = 64, BETWEEN = 26, BOTTOM = 22;
const details = document.getElementById("coming-details");
let asked = 0, shown = null;

/** Ask for the day anew where it is old. */
export async function comingDay() {
  if (Date.now() - asked < PERIOD_MS) return;
  asked = Date.now();
  const day = await ask("/v1/coming-day").catch(() => null);
  if (day) show(day);
}

details.addEventListener("toggle", () => { if (details.open && shown) table(shown); });

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
const number = (value) => `${Number(value.toPrecision(3))}`;
const sum = (day) => day.running_w.map((watts, step) => watts + day.planned_w[step]);

function show(day) {
  shown = day;
  const watts = sum(day);
  document.getElementById("coming").hidden = !day.signals.length && !watts.some((value) => value > 0);
  put("coming-note", [...day.signals.map((one) => said(one, day)), planned(watts, day)].join(" "));
  draw(day, watts);
  if (details.open) table(day);
}

/** A signal in a sentence: from when to when it moves, and when it is least. */
function said(signal, day) {
  const known = signal.values.filter((value) => value !== null);
  const name = signal.name[0].toUpperCase() + signal.name.slice(1);
  if (!known.length) return `${name}: nobody knows what comes.`;
  const low = Math.min(...known), high = Math.max(...known);
  const when = clock(day.since_s + signal.values.indexOf(low) * day.step_s);
  return low === high ? `${name}: ${number(low)} ${signal.unit} throughout.` : `${name}: ${number(low)} to ${number(high)} ${signal.unit}, least from ${when} on.`;
}

function planned(watts, day) {
  const most = Math.max(...watts);
  if (!most) return "Nothing runs or is planned.";
  return `Planned power: at most ${power(most)}, at ${clock(day.since_s + watts.indexOf(most) * day.step_s)}; ${many(day.starts, "start")} planned.`;
}

function draw(day, watts) {
  const panels = [...day.signals.map((one) => ({ name: `${one.name}, ${one.unit} (${one.provenance})`, kind: one.name, lines: [[one.values, "used"]], said: number })),
    { name: "planned power; below the dashed line what runs already", kind: "power", lines: [[day.running_w, "simple"], [watts, "used"]], said: power }];
  const wide = room(), count = watts.length, high = TOP + panels.length * (HIGH + BETWEEN) - BETWEEN + BOTTOM;
  const x = (step) => LEFT + ((wide - LEFT - RIGHT) * step) / count;
  const svg = document.getElementById("coming-day");
  svg.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  const title = part("title", { id: "coming-title" }, "The coming 24 hours");
  const hours = Math.max(1, Math.ceil(24 / Math.max(2, (wide - LEFT) / 70)));
  const parts = [];
  for (let step = 0; step <= count; step += (hours * 3600) / day.step_s) {
    parts.push(part("line", { x1: x(step), x2: x(step), y1: TOP, y2: high - BOTTOM }));
    parts.push(part("text", { x: x(step), y: high - 6, "text-anchor": "middle" }, clock(day.since_s + step * day.step_s)));
  }
  panels.forEach((one, place) => parts.push(...panel(TOP + place * (HIGH + BETWEEN), one, x, wide)));
  svg.replaceChildren(title, ...parts);
}

/** A panel of steps, from 0 or the least of its values to the highest; what nobody knows is left out. */
function panel(top, one, x, wide) {
  const known = one.lines.flatMap(([values]) => values).filter((value) => value !== null);
  const low = Math.min(0, ...known), most = Math.max(low, ...known) === low ? low + 1 : Math.max(...known);
  const y = (value) => top + HIGH * (1 - (value - low) / (most - low));
  const parts = [low, most].flatMap((value) => [
    part("line", { x1: LEFT, x2: wide - RIGHT, y1: y(value), y2: y(value) }),
    part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, one.said(value)),
  ]);
  parts.push(part("text", { x: LEFT, y: top - 6 }, one.name));
  return [...parts, ...one.lines.map(([values, kind]) => part("path", { class: `${kind} ${one.kind}`, d: steps(values, x, y) }))];
}

function steps(values, x, y) {
  let drawn = false;
  return values.map((value, step) => {
    if (value === null) {
      drawn = false;
      return "";
    }
    const move = drawn ? `V${y(value).toFixed(1)}` : `M${x(step).toFixed(1)},${y(value).toFixed(1)}`;
    drawn = true;
    return `${move}H${x(step + 1).toFixed(1)}`;
  }).join("");
}

function table(day) {
  const anHour = 3600 / day.step_s, watts = sum(day);
  const by = new Map(day.signals.map((one) => [one.name, one.values]));
  const mean = (values, first) => {
    const hour = (values ?? []).slice(first, first + anHour).filter((value) => value !== null);
    return hour.length ? hour.reduce((all, value) => all + value, 0) / hour.length : null;
  };
  const cell = (values, first, how) => {
    const value = mean(values, first);
    return value === null ? "" : how(value);
  };
  const rows = [];
  for (let first = 0; first < watts.length; first += anHour) {
    const signals = ["carbon", "price", "water"].map((name) => cell(by.get(name), first, number));
    rows.push({ key: `${first}`, cells: [clock(day.since_s + first * day.step_s), ...signals, cell(watts, first, power)] });
  }
  fill("coming-table", rows);
}
