// Sliders for the lower bound, the influence and top k: what they do is shown at once, and saved as a new file.

import { element, say } from "../base.js";

export function limitsPanel(panel, source, page) {
  const { about } = page;
  const figures = element("dl", { id: "figures", "aria-live": "polite" });
  const slider = (id, most) => element("input", { type: "range", id, min: 0, max: most, step: 1, value: 0 });
  const field = (id, text, ...inputs) => element("div", { class: "field" }, element("label", { for: id }, text), ...inputs);
  const number = (id, label, step) => element("input", { type: "number", id, min: 0, step, "aria-label": label });

  const bound = slider("bound", about.bounds - 1);
  const boundNumber = number("bound-number", "lower bound as a number", "any");
  const influence = slider("influence", 1000);
  const influenceNumber = number("influence-number", "influence as a number", "any");
  const topK = slider("top-k", Math.min(about.classes - 1, 100));
  const topKNumber = number("top-k-number", "top k as a number", 1);
  const name = element("input", { type: "text", id: "save-name", value: `${about.file.replace(/\.safetensors$/, "")}-explored.safetensors` });
  const ask = element("div", { id: "replace", role: "alert", hidden: true });

  panel.append(
    field("top-k", "Top k: the most similar classes that are kept of each (0 keeps all)", topK, topKNumber),
    field("bound", "Lower bound: what is similar to this or less counts as 0", bound, boundNumber),
    field("influence", "Influence: the lower bound that gives this mean sum of a row", influence, influenceNumber),
    figures,
    element("button", { type: "button", id: "reset", onclick: () => change({ topK: null, lowerBound: 0 }) }, "As in the file"),
    element("form", { class: "field", onsubmit: (event) => { event.preventDefault(); save(false); } },
      element("label", { for: "save-name" }, "Save as, in the folder of the file"), name,
      element("button", { class: "main", id: "save" }, "Save")),
    ask,
  );

  let state = null;
  let wanted = null;
  let isBusy = false;

  // While the server works only the last change waits: a slider moves faster than a large matrix is counted.
  async function change(limits) {
    wanted = { topK: state?.topK ?? null, ...limits };
    if (isBusy) return;
    isBusy = true;
    while (wanted) {
      const sent = wanted;
      wanted = null;
      await page.change(() => source.limit(sent));
    }
    isBusy = false;
  }

  const limitsNow = () => state && state.lowerBound ? { lowerBound: state.lowerBound } : {};
  bound.addEventListener("input", () => change({ lowerBound: bound.value / about.bounds }));
  boundNumber.addEventListener("change", () => change({ lowerBound: Number(boundNumber.value) }));
  influence.addEventListener("input", () => change({ influence: state.mostInfluence * influence.value / 1000 }));
  influenceNumber.addEventListener("change", () => change({ influence: Number(influenceNumber.value) }));
  const setTopK = (count) => change({ ...limitsNow(), topK: count > 0 ? count : null });
  topK.addEventListener("input", () => setTopK(Number(topK.value)));
  topKNumber.addEventListener("change", () => setTopK(Number(topKNumber.value)));

  async function save(replace) {
    ask.hidden = true;
    try {
      const found = await source.save({ name: name.value, replace });
      say(`${found.saved} was written (${found.bytes.toLocaleString("en")} bytes)`);
    } catch (error) {
      if (!error.found?.exists) {
        say(error.message, true);
        return;
      }
      const no = element("button", { type: "button", onclick: () => { ask.hidden = true; name.focus(); } }, "Keep it");
      ask.replaceChildren(
        element("p", {}, `${error.message}. Replace it?`),
        element("button", { type: "button", id: "replace-yes", onclick: () => { save(true); name.focus(); } }, "Replace"), " ", no,
      );
      ask.hidden = false;
      no.focus();
    }
  }

  return {
    show(found) {
      state = found;
      const rows = [
        ["influence", `${found.influence.toPrecision(4)} (0 is cross entropy)`],
        ["density", `${(100 * found.density).toFixed(1)} % of the pairs are above 0`],
        ["isolated", `${found.isolated.toLocaleString("en")} of ${about.classes.toLocaleString("en")} classes are similar to no other`],
      ];
      figures.replaceChildren(...rows.flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)]));
      const set = (input, value) => { if (document.activeElement !== input) input.value = value; };
      set(bound, Math.round(found.lowerBound * about.bounds));
      set(boundNumber, Number(found.lowerBound.toPrecision(6)));
      set(influence, found.mostInfluence ? Math.round(1000 * found.influence / found.mostInfluence) : 0);
      set(influenceNumber, Number(found.influence.toPrecision(6)));
      set(topK, found.topK ?? 0);
      set(topKNumber, found.topK ?? 0);
    },
  };
}
