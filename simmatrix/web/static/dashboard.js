// The dashboard: figures of the study, and the matrix that its answers give.
import { ask, element, say, trying } from "/static/base.js";

const { root, task } = document.getElementById("main").dataset;
const find = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function fill(table, rows) {
  find(table).tBodies[0].replaceChildren(...rows.map(([name, ...cells]) => element(
    "tr", {}, element("th", { scope: "row" }, name), cells.map((cell) => element("td", { class: "number" }, String(cell))),
  )));
}

function agreement(found) {
  if (!found.shared) return "no question was answered by two";
  if (found.agreement === null) return "undefined, since all answers that can be compared are alike";
  const shown = task === "triplets"
    ? `${percent(found.agreement)} pick the same (chance: 33.3 %)`
    : `Krippendorff's alpha ${found.agreement.toFixed(2)}`;
  return `${shown}, of ${found.shared} questions`;
}

async function refresh() {
  const found = await ask(`${root}/dashboard/figures`);
  fill("figures", [
    ["answers", found.answers],
    ["raters", found.raters],
    ["skipped", found.skipped],
    ["agreement", agreement(found)],
    ["coverage", `${percent(found.coverage)} of the pairs; each class ${found.fewest} times at least`],
    ["median response", found.response === null ? "none yet" : `${found.response.toFixed(1)} s`],
    ["catch trials", found.catches],
    ["left out", found.careless.length ? `${found.careless.join(", ")} (failed most catch trials)` : "nobody"],
  ]);
  fill("raters", found.by_rater);
}

function draw(names, values) {
  const canvas = find("heat");
  canvas.hidden = values.length === 0;
  canvas.width = canvas.height = values.length;
  if (canvas.hidden) return;
  const style = getComputedStyle(document.documentElement);
  const [from, to] = ["--paper", "--accent"].map((name) =>
    style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map((two) => parseInt(two, 16)));
  const image = new ImageData(values.length, values.length);
  values.flat().forEach((value, at) => {
    const share = Math.sqrt(value);
    image.data.set([...from.map((low, part) => low + share * (to[part] - low)), 255], 4 * at);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", `Heat map of ${names.length} classes, in the order ${names.join(", ")}`);
}

async function build() {
  say("building …");
  const found = await ask(`${root}/dashboard/matrix`);
  draw(found.names, found.values);
  find("pairs").hidden = false;
  find("pairs").tBodies[0].replaceChildren(...found.pairs.map(([one, other, value]) => element(
    "tr", {}, element("td", {}, one), element("td", {}, other), element("td", { class: "number" }, value.toFixed(3)),
  )));
  say(found.error === null
    ? "built" : `built by an ordinal embedding; it errs on ${percent(found.error)} of the triplets held out (guessing: 66.7 %)`);
}

find("refresh").addEventListener("click", () => trying(refresh));
find("build").addEventListener("click", () => trying(build));
trying(refresh);
