"use strict";
const $ = (id) => document.getElementById(id);
const state = { models: [], model: null, detail: null, examples: {}, picture: null };

function el(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

const figure = (x) => (x === null || x === undefined ? "–" : typeof x !== "number" ? String(x)
  : Number.isInteger(x) ? String(x) : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-3 ? x.toExponential(2) : String(Number(x.toPrecision(4))));

function table(head, rows, own) {
  const made = el("table"), top = made.createTHead().insertRow(), body = made.createTBody();
  for (const cell of head) top.append(el("th", cell));
  rows.forEach((row, i) => {
    const line = body.insertRow();
    if (i === own) line.className = "own";
    for (const cell of row) {
      const place = line.insertCell();
      if (cell instanceof Node) place.append(cell); else place.textContent = figure(cell);
    }
  });
  return made;
}

/* The API key, where the server wants one: kept as long as the tab, and sent to no other host. */
const key = {
  get: () => { try { return sessionStorage.getItem("key") || $("key").value; } catch { return $("key").value; } },
  set: (value) => { try { sessionStorage.setItem("key", value); } catch { /* the field itself still holds it */ } },
};

/* One call of the service; a problem document becomes an Error with its detail. */
async function call(path, options = {}) {
  let answer;
  const headers = key.get() ? { ...options.headers, "X-API-Key": key.get() } : options.headers;
  try { answer = await fetch(path, { ...options, headers }); } catch { throw new Error("the server does not answer"); }
  if (answer.ok) return answer;
  if (answer.status === 401) $("key-form").hidden = false;
  const problem = await answer.json().catch(() => null);
  throw new Error(problem ? problem.detail : `status ${answer.status}`);
}
const post = (action, body, headers, query = "") => call(
  `/v1/models/${encodeURIComponent(state.model.name)}/${action}${query}`, { method: "POST", body, headers });
const postJson = (action, value, accept = "application/json") => post(
  action, JSON.stringify(value), { "Content-Type": "application/json", Accept: accept });

function showError(id, error) {
  $(id).hidden = !error;
  $(id).textContent = error ? error.message : "";
}

/* A model chosen while a request is under way makes its answer stale. */
async function busy(form, errorId, work) {
  const buttons = form.querySelectorAll("button"), asked = state.model;
  buttons.forEach((b) => { b.disabled = true; });
  showError(errorId, null);
  try { await work(() => state.model === asked); }
  catch (error) { if (state.model === asked) showError(errorId, error); }
  finally { buttons.forEach((b) => { b.disabled = false; }); }
}

/* ---- models ---- */

async function start() {
  try {
    const [list, api] = await Promise.all([call("/v1/models"), call("/openapi.json")]);
    const { models, refused } = await list.json();
    const paths = (await api.json()).paths;
    const content = paths["/v1/models/{name}/score"].post.requestBody.content;
    state.examples = content["application/json"].examples;
    state.models = models;
    for (const id of ["models", "refused"]) $(id).replaceChildren();
    $("state").textContent = `${models.length} model${models.length === 1 ? "" : "s"} served`;
    for (const model of models) {
      const item = el("li"), button = el("button");
      button.type = "button";
      button.dataset.name = model.name;
      button.append(el("strong", model.name), el("small", `version ${model.version} · ${model.kind}`),
        el("small", model.can.join(" · ")));
      button.addEventListener("click", () => choose(model));
      item.append(button);
      $("models").append(item);
    }
    for (const one of refused) $("refused").append(el("p", `${one.name} ${one.version} refused: ${one.reason}`, "error"));
    if (models.length) choose(models.find((m) => m.name === decodeURIComponent(location.hash.slice(1))) || models[0]);
    else $("models").append(el("li", "No model is loaded.", "muted"));
  } catch (error) { $("state").textContent = error.message; }
}

function choose(model) {
  state.model = model;
  state.picture = null;
  history.replaceState(null, "", `#${encodeURIComponent(model.name)}`);
  for (const button of $("models").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.name === model.name));
  }
  $("main").hidden = false;
  $("name").textContent = model.name;
  $("description").textContent = model.description;
  $("facts").replaceChildren();
  const shape = model.kind === "image" ? model.input_shape.join(" × ") : `${model.input_shape[0]} columns`;
  const facts = { Version: model.version, Input: shape, Trained: model.created.slice(0, 10),
    Energies: model.objectives.join(" + "), "Calibration rows": model.n_calibration };
  for (const [name, value] of Object.entries(facts)) {
    const pair = el("div");
    pair.append(el("dt", name), el("dd", String(value)));
    $("facts").append(pair);
  }
  showMetrics(model);
  for (const id of ["scores", "denoised-rows", "generated", "before", "heat", "after"]) $(id).replaceChildren();
  for (const id of ["score-error", "generate-error"]) showError(id, null);
  $("pictures").hidden = true;
  $("rows").value = "";
  $("file").value = "";
  $("fpr").value = model.default_fpr;
  $("drop").hidden = model.kind !== "image";
  $("size").textContent = `${model.input_shape[1]} × ${model.input_shape[0]}`;
  $("generate-card").hidden = !model.can.includes("generate");
}

/* The model's figures, with those of the baselines on the same split beside them. */
function showMetrics(model) {
  const names = [...new Set([model.metrics, ...Object.values(model.baselines)].flatMap(Object.keys))]
    .filter((name) => !name.startsWith("auroc_")); // one figure a kind of damage: in the card, too many here
  if (!names.length) { $("metrics").replaceChildren(el("p", "No metrics were stored with this model.", "muted")); return; }
  const rows = [["this model", ...names.map((n) => model.metrics[n])],
    ...Object.entries(model.baselines).map(([name, of]) => [name, ...names.map((n) => of[n])])];
  $("metrics").replaceChildren(table(["", ...names], rows, 0));
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value.trim());
  start();
});

/* ---- score and denoise ---- */

function parseRows(text) {
  text = text.trim();
  if (!text) throw new Error("paste a row, or insert an example");
  if (text[0] === "[" || text[0] === "{") {
    let value;
    try { value = JSON.parse(text); } catch (error) { throw new Error(`not JSON: ${error.message}`); }
    if (!Array.isArray(value)) return value.instances || value.records ? value : { records: [value] };
    if (value.length && value.every((v) => typeof v === "object" && v !== null && !Array.isArray(v))) return { records: value };
    if (!Array.isArray(value[0])) return { instances: [value] };
    /* A lone (H, W) picture is one row, not H rows. */
    const shape = state.model.input_shape;
    const alone = state.model.kind === "image" && value.length === shape[0] && value[0].length === shape[1]
      && (shape.length === 3 || !Array.isArray(value[0][0]));
    return { instances: alone ? [value] : value };
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim());
  const separator = ["\t", ";", ","].find((s) => lines[0].includes(s)) || /\s+/;
  const cells = lines.map((line) => line.trim().split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  /* 007 is a code, not a number. */
  const number = (cell) => (cell !== "" && !/^-?0\d/.test(cell) && !Number.isNaN(Number(cell)) ? Number(cell)
    : cell === "" ? null : /^(true|false)$/i.test(cell) ? cell.toLowerCase() === "true" : cell);
  const names = state.model.columns || [];
  const header = cells[0].some((cell) => names.includes(cell)) || cells[0].every((cell) => typeof number(cell) === "string");
  if (!header) return { instances: cells.map((row) => row.map(number)) };
  if (cells.length < 2) throw new Error("there is a header, but no row under it");
  return { records: cells.slice(1).map((row) => Object.fromEntries(cells[0].map((name, k) => [name, number(row[k] ?? "")]))) };
}

function showScores(answer) {
  const bad = Object.fromEntries(answer.non_finite.map((one) => [`${one.field} ${one.row}`, one.value]));
  const shown = Math.min(answer.energy.length, 200);
  const rows = Array.from({ length: shown }, (_, i) => [i, bad[`energy ${i}`] ?? answer.energy[i],
    bad[`anomaly_score ${i}`] ?? answer.anomaly_score[i], answer.p_value[i],
    el("span", answer.is_anomaly[i] ? "anomalous" : "normal", `chip ${answer.is_anomaly[i] ? "bad" : "good"}`), answer.rank[i]]);
  $("scores").replaceChildren(table(["row", "energy", "anomaly score", "p-value", "label", "rank"], rows));
  if (shown < answer.energy.length) $("scores").append(el("p", `the first ${shown} of ${answer.energy.length} rows`, "note"));
  if (answer.note) $("scores").append(el("p", answer.note, "note"));
}

async function scorePicture(file, isCurrent) {
  const headers = { "Content-Type": file.type };
  const png = (action) => (state.model.can.includes(action)
    ? post(action, file, { ...headers, Accept: "image/png" }, "?resize=true").then((answer) => answer.blob()) : null);
  const [scored, heat, clean] = await Promise.all([
    post("score", file, headers, `?resize=true&fpr=${encodeURIComponent($("fpr").value)}`), png("explain"), png("denoise")]);
  const answer = await scored.json();
  if (!isCurrent()) return;
  showScores(answer);
  showPictures(picture(file, "the picture as given"), clean && picture(clean, "the picture denoised"),
    heat && picture(heat, "the picture with what is odd in red"));
}

function picture(blob, text) {
  const image = el("img");
  image.alt = text;
  image.src = URL.createObjectURL(blob);
  image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  return image;
}

function showPictures(before, after, heat) {
  $("pictures").hidden = false;
  $("before").replaceChildren(before);
  for (const [id, image] of [["heat", heat], ["after", after]]) {
    $(`${id}-figure`).hidden = !image;
    if (image) $(id).replaceChildren(image);
  }
}

function drawn(values, range) {
  const [height, width, channels = 1] = state.model.input_shape, flat = values.flat(3);
  const canvas = el("canvas"), context = canvas.getContext("2d");
  canvas.width = width;
  canvas.height = height;
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i += 1) {
    for (let c = 0; c < 3; c += 1) {
      const value = flat[i * channels + Math.min(c, channels - 1)];
      image.data[4 * i + c] = 255 * (value - range.low) / (range.high - range.low);
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

async function scoreRows(isCurrent) {
  const body = parseRows($("rows").value), model = state.model;
  const { instances, records } = body;
  const given = instances ? { instances } : { records };
  const answer = await (await postJson("score", { fpr: Number($("fpr").value), ...body,
    ...("fdr" in body ? { fpr: undefined } : {}) })).json();
  if (!isCurrent()) return;
  showScores(answer);
  $("denoised-rows").replaceChildren();
  $("pictures").hidden = true;
  if (!model.can.includes("denoise") || answer.energy.length > 20) return;
  const { denoised, columns } = await (await postJson("denoise", given)).json();
  if (!isCurrent()) return;
  if (model.kind === "image") {
    const { low, high } = (await (await call(`/v1/models/${encodeURIComponent(model.name)}`)).json()).manifest.input;
    const heat = await (await postJson("explain", { instances: instances.slice(0, 1) }, "image/png")).blob();
    if (isCurrent()) {
      showPictures(drawn(instances[0], { low, high }), drawn(denoised[0], { low, high }),
        picture(heat, "the picture with what is odd in red"));
    }
  } else {
    $("denoised-rows").replaceChildren(el("h2", "The nearest likely values (denoised)"),
      table(columns || denoised[0].map((_, k) => `x${k}`), denoised));
  }
}

$("score-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const useFile = state.picture && !$("rows").value.trim();
  busy(event.target, "score-error", (isCurrent) => (useFile ? scorePicture(state.picture, isCurrent) : scoreRows(isCurrent)));
});

function takeFile(file) {
  if (!file) return;
  state.picture = file;
  $("rows").value = "";
  $("score-form").requestSubmit();
}
$("file").addEventListener("change", (event) => takeFile(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") takeFile(event.dataTransfer.files[0]);
  });
}

$("example").addEventListener("click", () => {
  const found = Object.entries(state.examples).find(([title]) => title.startsWith(`${state.model.name}: `));
  if (found) $("rows").value = state.model.columns ? csvOf(found[1].value.instances) : JSON.stringify(found[1].value.instances[0]);
});
const csvOf = (rows) => [state.model.columns, ...rows]
  .map((row) => row.map((cell) => (/[",\n]/.test(String(cell)) ? `"${cell}"` : cell)).join(",")).join("\n");

/* ---- generate ---- */

$("generate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const options = { n: Number($("n").value), seed: Number($("seed").value) };
  busy(event.target, "generate-error", async (isCurrent) => {
    if (state.model.kind === "image") {
      const grid = picture(await (await postJson("generate", options, "image/png")).blob(), "generated samples");
      if (isCurrent()) $("generated").replaceChildren(grid);
    } else {
      const { samples, columns } = await (await postJson("generate", options)).json();
      if (isCurrent()) $("generated").replaceChildren(table(columns || samples[0].map((_, k) => `x${k}`), samples));
    }
  });
});

/* ---- dark and light ---- */

const stored = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
document.documentElement.dataset.theme = stored || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("theme", next); } catch { /* private window: the choice lasts for the page */ }
});

start();
