// The page of the cluster: one answer of /v1/overview, shown again every two seconds.
import { ask, energy, facts, fill, had, live, put, span } from "./shared.js";
import { timeline } from "./timeline.js";

const SVG = "http://www.w3.org/2000/svg";

function job(one) {
  return one.visible ? { text: one.job_id, link: `/job?id=${encodeURIComponent(one.job_id)}` } : one.job_id;
}

const owner = (one) => (one.mine ? `${one.owner} (you)` : (one.owner ?? "another"));

function types(cluster) {
  fill("types", cluster.types.map((one) => {
    const used = one.total ? (one.total - one.free) / one.total : 0;
    const cells = [one.gpu_type, `${one.total}`, `${one.free}`, `${one.held}`, `${one.jobs_running}`];
    return { key: one.gpu_type, cells: [...cells, { text: `${Math.round(used * 100)}%`, progress: used }] };
  }));
  const drains = cluster.nodes.filter((node) => node.draining).map((node) => `${node.node.slice(0, 12)} at ${node.address}`);
  document.getElementById("draining").hidden = drains.length === 0;
  put("draining", drains.length ? `Draining, without new jobs: node ${drains.join(", ")}.` : "");
  put("policy", `Policy ${cluster.policy}: ${cluster.rule}.`);
  const problem = document.getElementById("problem");
  const unused = cluster.nodes.filter((node) => node.problem).map((node) => `node ${node.address}: ${node.problem}`);
  const said = [cluster.problem, ...unused].filter(Boolean).join(" ");
  problem.hidden = !said;
  put("problem", said);
}

function running(rows) {
  put("running-count", `${rows.length}`);
  fill("running", rows.map((one) => {
    const p = one.progress;
    const on = `${one.gpus} × ${one.gpu_type}`;
    const cells = p
      ? [had(span(p.run_s), p.run_provenance), span(p.predicted_s), progress(p),
        p.power_w ? had(`${Math.round(p.power_w.value)} W`, p.power_w.provenance) : "unknown"]
      : ["starting", "", "", ""];
    return { key: one.job_id, className: one.mine ? "mine" : "", cells: [job(one), owner(one), on, ...cells] };
  }));
}

function progress(p) {
  if (p.steps) return { progress: p.steps.done / p.steps.total, text: `${Math.round((100 * p.steps.done) / p.steps.total)}% of steps` };
  const share = Math.round(p.share * 100);
  return { progress: p.share, text: share > 100 ? `overrun, ${p.share.toLocaleString(undefined, { maximumFractionDigits: p.share < 10 ? 1 : 0, minimumFractionDigits: p.share < 10 ? 1 : 0 })}×` : `${share}%` };
}

function queue(overview) {
  const now = overview.cluster.now_s;
  const more = overview.queue_length > overview.queue.length ? `, the first ${overview.queue.length} are shown` : "";
  put("queue-count", `${overview.queue_length}${more}`);
  fill("queue", overview.queue.map((one) => {
    const e = one.expected;
    const start = e ? [e.gpu_type, span(Math.max(0, e.start_s - now)), interval(e, now)] : ["", "unknown", ""];
    const cells = [job(one), owner(one), `${one.gpus}`, span(now - one.submitted_s), ...start];
    return { key: one.job_id, className: one.mine ? "mine" : "", cells };
  }));
  put("basis", `Starts are modelled: the queue is run ahead under the policy, if nobody else submits. Interval from ${overview.interval_basis}.`);
}

function interval(e, now) {
  if (e.start_low_s === null) return "";
  return `${span(Math.max(0, e.start_low_s - now))} to ${span(Math.max(0, e.start_high_s - now))}`;
}

function today(t) {
  const how = t.energy_provenance.join(", ");
  const share = t.simple_energy_kwh ? ` (${((100 * t.saved_kwh) / t.simple_energy_kwh).toFixed(1)}%)` : "";
  facts("energy", [
    ["Used by jobs", had(energy(t.energy_kwh), how || "nothing ended yet")],
    ["The same jobs under Simple", had(energy(t.simple_energy_kwh), t.simple_provenance)],
    ["Saved against Simple", had(`${energy(t.saved_kwh)}${share}`, t.simple_provenance)],
    ["Waiting, all jobs", had(`${span(t.wait_s)} against ${span(t.simple_wait_s)}`, "measured against modelled")],
  ]);
  put("energy-note", `Since midnight UTC: ${t.jobs} jobs have ended, ${t.compared_jobs} of them are replayed under first come, first served.`);
}

function accuracy(overview) {
  const rows = overview.accuracy;
  const m = overview.median_error;
  put("accuracy-note", m
    ? `Median error of run times today: ${(100 * m.value).toFixed(0)}% (run times ${m.provenance}).`
    : "No job has finished today.");
  fill("accuracy", rows.map((one) => ({
    key: one.job_id,
    cells: [{ text: one.job_id, link: `/job?id=${encodeURIComponent(one.job_id)}` }, one.gpu_type, span(one.predicted_s),
      had(span(one.measured_s.value), one.measured_s.provenance), (one.predicted_s / one.measured_s.value).toPrecision(2)],
  })));
  plot(rows);
}

function plot(rows) {
  const svg = document.getElementById("plot");
  svg.closest("figure").hidden = rows.length === 0;
  const said = JSON.stringify(rows);
  if (rows.length === 0 || svg.dataset.said === said) return;
  svg.dataset.said = said;
  const values = rows.flatMap((one) => [one.predicted_s, one.measured_s.value]).map(Math.log10);
  const low = Math.floor(Math.min(...values)), high = Math.max(low + 1, Math.ceil(Math.max(...values)));
  const x = (s) => 55 + (280 * (Math.log10(s) - low)) / (high - low);
  const y = (s) => 260 - (250 * (Math.log10(s) - low)) / (high - low);
  const parts = [];
  for (let power = low; power <= high; power += 1) {
    const s = Number(`1e${power}`);
    parts.push(part("line", { x1: x(s), x2: x(s), y1: 10, y2: 260 }), part("line", { x1: 55, x2: 335, y1: y(s), y2: y(s) }));
    parts.push(part("text", { x: x(s), y: 275, "text-anchor": "middle" }, `${s} s`));
    parts.push(part("text", { x: 50, y: y(s) + 4, "text-anchor": "end" }, `${s} s`));
  }
  const ends = [10 ** low, 10 ** high];
  parts.push(part("line", { x1: x(ends[0]), y1: y(ends[0]), x2: x(ends[1]), y2: y(ends[1]), class: "right" }));
  parts.push(...rows.map((one) => part("circle", { cx: x(one.predicted_s), cy: y(one.measured_s.value), r: 4 })));
  parts.push(part("text", { x: 200, y: 294, "text-anchor": "middle" }, "predicted (modelled)"));
  parts.push(part("text", { x: 58, y: 8 }, "took"));
  const title = part("title", { id: "plot-title" }, `Predicted against measured run times of ${rows.length} jobs`);
  svg.replaceChildren(title, ...parts);
}

function part(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  if (text !== undefined) element.textContent = text;
  return element;
}

live(async () => {
  const overview = await ask("/v1/overview");
  put("who", `${overview.you}, ${overview.role}`);
  types(overview.cluster);
  running(overview.running);
  queue(overview);
  today(overview.today);
  accuracy(overview);
  timeline(overview.cluster.types.map((one) => one.gpu_type));
}, 2000);
