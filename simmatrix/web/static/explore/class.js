// What is known of a class: its neighbours with bars, how it was found, what it means; and the way to another class.

import { element, trying } from "../base.js";
import { completing } from "./search.js";

export const link = (one, open) => element("button", {
  type: "button", class: "link", title: one.label === one.name ? null : one.name, onclick: () => open(one.name),
}, one.label);

function bar(value) {
  const full = element("span", { class: "full" });
  // Not as an attribute, which the content-security policy forbids.
  full.style.width = `${Math.min(Math.max(value, 0), 1) * 100}%`;
  return element("span", { class: "bar", "aria-hidden": "true" }, full);
}

function neighbours(title, found, open) {
  if (!found.length) return [element("h3", {}, title), element("p", {}, "None: it is similar to no other class.")];
  return [
    element("h3", {}, title),
    element("ol", { class: "neighbours" }, found.map((one) => element(
      "li", {}, link(one, open), bar(one.value), element("span", { class: "number" }, one.value.toFixed(3)),
    ))),
  ];
}

export function classPanel(panel, source, page) {
  const shown = element("div", { id: "class" });
  const way = element("div", { id: "way", "aria-live": "polite" });
  const goal = element("input", { type: "text", id: "goal" });
  const toGoal = source.path ? element("div", { class: "field" },
    element("label", { for: "goal" }, "The way from here to"), goal, way) : null;
  panel.append(shown, ...(toGoal ? [toGoal] : []));
  let current = null;
  let target = null;

  async function showWay() {
    if (!target || !current) return;
    const found = await trying(() => source.path(current, target.name));
    if (!found) return;
    if (!found.classes.length) {
      way.replaceChildren(element("p", {}, "No way leads there: on every one some similarity is 0."));
      return;
    }
    const steps = found.classes.map((one, at) => element("li", {}, link(one, page.open),
      at < found.steps.length ? element("span", { class: "number" }, found.steps[at].toFixed(3)) : null));
    way.replaceChildren(
      element("ol", { class: "way" }, steps),
      element("p", {}, `Together ${found.product.toFixed(3)}, directly ${found.direct.toFixed(3)}.`),
    );
  }

  if (toGoal) completing(goal, source, (chosen) => { target = chosen; showWay(); });

  return {
    async show(name) {
      const found = await trying(() => source.describe(name, page.view.order));
      if (!found) return undefined;
      current = found.name;
      const how = [
        ["superclass", found.superclass],
        ["found by", found.how],
        ["as", found.words.join(" + ")],
        ["instead of", found.others.join(", ")],
        ["doubt", found.doubt === null ? "" : found.doubt.toFixed(2)],
      ].filter(([, text]) => text);
      shown.replaceChildren(
        element("h2", { tabindex: "-1" }, found.label, found.label === found.name ? null : element("span", { class: "faint" }, ` ${found.name}`)),
        element("dl", {}, how.flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)]),
          found.senses.flatMap((sense) => [element("dt", {}, sense.synset), element("dd", {}, sense.means || "no definition is bundled")])),
        element("div", { class: "beside" },
          element("div", {}, neighbours("Nearest", found.neighbours, page.open)),
          found.otherNeighbours ? element("div", {}, neighbours(`Nearest in ${page.about.other}`, found.otherNeighbours, page.open)) : null),
      );
      await showWay();
      return found;
    },
    get current() { return current; },
  };
}
