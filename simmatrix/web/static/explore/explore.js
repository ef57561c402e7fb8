// The page to explore a matrix: its parts, and what they tell each other.

import { element, say, trying } from "../base.js";
import { classPanel } from "./class.js";
import { scale } from "./colours.js";
import { editsPanel } from "./edits.js";
import { limitsPanel } from "./limits.js";
import { HeatMap, View } from "./map.js";
import { savePng, saveSvg } from "./picture.js";
import { comparisonPanel, concernsPanel } from "./reports.js";
import { completing } from "./search.js";
import { treePanel } from "./tree.js";

const byId = (id) => document.getElementById(id);

export async function start(source) {
  const about = await trying(() => source.about());
  if (!about) return;
  const view = new View(about);
  const page = { about, view, version: about.version };
  const maps = { first: null, second: null, difference: null };
  byId("title").textContent = about.other ? `${about.file} and ${about.other}` : about.file;
  document.title = `${byId("title").textContent} · simmatrix explore`;
  byId("told").textContent = `${about.classes.toLocaleString("en")} classes, ${about.form}, built by ${about.builder}`;

  // The maps: one, or two beside each other.
  const layers = about.other
    ? { both: "side by side", difference: `${about.other} less ${about.file}`, first: about.file, second: about.other }
    : { first: about.file };
  const choose = (id, label, options, onChange) => {
    const select = element("select", { id, onchange: () => onChange(select.value) },
      Object.entries(options).map(([value, text]) => element("option", { value }, text)));
    byId("choices").append(element("label", {}, `${label} `, select));
    return select;
  };

  function showLayers(which) {
    const wanted = which === "both" ? ["first", "second"] : [which];
    for (const [layer, map] of Object.entries(maps)) {
      const isShown = wanted.includes(layer);
      if (isShown && !map) maps[layer] = makeMap(layer);
      const figure = byId(`figure-${layer}`);
      if (figure) figure.hidden = !isShown;
    }
    view.maps = wanted.map((layer) => maps[layer]);
    for (const map of view.maps) map.resized();
    view.fit();
    legend();
  }

  function makeMap(layer) {
    const canvas = element("canvas", {
      id: `map-${layer}`, tabindex: "0", role: "application", "aria-roledescription": "heat map", "aria-describedby": "keys",
      "aria-label": `similarities, ${layers[layer]}`,
    });
    const caption = element("figcaption", { class: about.other ? null : "heard" }, layers[layer]);
    byId("maps").append(element("figure", { id: `figure-${layer}` }, caption, canvas));
    return new HeatMap(canvas, view, source, layer, pick);
  }

  function legend() {
    const isDifference = view.maps[0].isDifference;
    const top = isDifference ? view.differenceTop : view.top;
    byId("least").textContent = (isDifference ? -top : 0).toFixed(2);
    byId("most").textContent = top.toFixed(2);
    const context = byId("scale").getContext("2d");
    const picture = context.createImageData(256, 1);
    new Uint32Array(picture.data.buffer).set(scale(isDifference));
    context.putImageData(picture, 0, 0);
  }
  view.onTop = legend;
  view.onError = (error) => say(error.message, true);
  // Another page has changed the matrix, or this one is about to hear that it did.
  view.onOld = async () => {
    const state = await trying(() => source.state());
    if (state) page.changed(state);
  };

  function hover() {
    const [row, column] = view.cursor;
    const [one, other] = [row, column].map((place) => view.name(place, source)?.label ?? "…");
    const values = view.maps.map((map) => {
      const found = map.read(row, column);
      if (!found) return "…";
      const near = found.side === 1 ? "" : ` mean, ${found.greatest.toFixed(3)} greatest of ${found.side} × ${found.side}`;
      return `${(found.side === 1 ? found.greatest : found.mean).toFixed(3)}${near}`;
    });
    byId("hovered").textContent = `${one} and ${other}: ${values.join(" | ")}`;
  }
  view.listeners.push(hover);

  async function pick(row) {
    const wanted = view.name(row, source);
    if (wanted) await page.open(wanted.name);
  }

  page.open = async (name) => {
    const found = await panels.class.show(name);
    if (!found) return;
    byId("panel-class").open = true;
    view.point(found.place, view.hasCursor ? view.cursor[1] : found.place);
    say(`${found.label}: ${found.neighbours.slice(0, 3).map((one) => one.label).join(", ") || "no neighbours"}`);
  };

  page.setOrder = async (order) => {
    if (view.order === order) return;
    byId("order").value = order;
    view.order = order;
    say(`ordered by ${order}`);
    const name = panels.class.current;
    if (name) {
      const found = await trying(() => source.describe(name, order));
      if (found) view.point(found.place, found.place);
    }
    view.draw();
  };

  // Changes the matrix, and returns what comes of it. Tiles of what was before are asked for no more.
  page.change = async (work) => {
    view.hold();
    const state = await trying(work);
    if (state) page.changed(state);
    else view.release();
    return state;
  };

  page.changed = (state) => {
    if (state.version < page.version) return;
    panels.limits?.show(state);
    panels.edits?.show(state);
    if (state.version === page.version) {
      view.release();
      return;
    }
    page.version = state.version;
    view.changed(state.version);
    if (panels.class.current) panels.class.show(panels.class.current);
    if (byId("panel-concerns").open) panels.concerns.open();
  };

  // The panels: what takes time is asked for when one is opened.
  const body = (name) => byId(`body-${name}`);
  const panels = {
    class: classPanel(body("class"), source, page),
    tree: treePanel(body("tree"), source, page),
    concerns: concernsPanel(body("concerns"), source, page),
    comparison: about.other ? comparisonPanel(body("comparison"), source, page) : null,
    limits: source.canChange ? limitsPanel(body("limits"), source, page) : null,
    edits: source.canChange ? editsPanel(body("edits"), source, page) : null,
  };
  for (const [name, panel] of Object.entries(panels)) {
    const details = byId(`panel-${name}`);
    details.hidden = !panel;
    details.addEventListener("toggle", () => { if (details.open) panel?.open?.(); });
  }

  choose("order", "Order", Object.fromEntries(about.orders.map((one) => [one, one])), page.setOrder).value = about.order;
  choose("what", "Blocks show", { greatest: "the greatest", mean: "the mean" }, (what) => { view.what = what; view.draw(); });
  if (about.other) choose("layers", "Maps", layers, showLayers);
  for (const [id, action] of Object.entries({
    in: () => view.zoom(2), out: () => view.zoom(0.5), whole: () => view.fit(),
    png: () => savePng(view.maps, "explored"), svg: () => saveSvg(view.maps, "explored"),
  })) byId(id).addEventListener("click", action);
  showLayers(about.other ? "both" : "first");
  completing(byId("search"), source, (chosen) => page.open(chosen.name));
  await panels.class.show(about.first.name);
  document.body.dataset.ready = "yes";
  const state = source.state ? await trying(() => source.state()) : null;
  if (state) page.changed(state);
  document.body.dataset.counted = "yes";
}
