// What should worry the user, each a link to the class it is about; and how far two files agree.

import { element, trying } from "../base.js";
import { link } from "./class.js";

const some = (count, shown) => count > shown ? element("p", { class: "faint" }, `… and ${(count - shown).toLocaleString("en")} more`) : null;

function listed(title, count, items) {
  return element("section", {},
    element("h3", {}, `${title}: ${count.toLocaleString("en")}`),
    items.length ? element("ul", {}, items.map((item) => element("li", {}, item))) : null,
    some(count, items.length));
}

export function concernsPanel(panel, source, page) {
  return {
    async open() {
      panel.replaceChildren(element("p", {}, "The matrix is looked through …"));
      const found = await trying(() => source.concerns());
      if (!found) return;
      const { isolated, senses, same } = found;
      panel.replaceChildren(
        ...found.sentences.map((text) => element("p", { class: "concern" }, text)),
        ...(found.sentences.length ? [] : [element("p", {}, "Nothing about this matrix would spoil a training.")]),
        listed("Classes without neighbours", isolated.count, isolated.classes.map((one) => link(one, page.open))),
        listed("Classes with several senses", senses.count, senses.classes.map((one) => [
          link(one, page.open), ` is ${one.taken}, not ${one.others.join(", ")}`, one.doubt === null ? "" : ` (doubt ${one.doubt.toFixed(2)})`,
        ])),
        listed("Pairs of similarity 1", same.count, same.pairs.map(([one, other]) => [link(one, page.open), " and ", link(other, page.open)])),
      );
    },
  };
}

const figure = (value) => value === null ? "undefined" : value.toFixed(3);

export function comparisonPanel(panel, source, page) {
  return {
    async open() {
      panel.replaceChildren(element("p", {}, "The files are compared …"));
      const found = await trying(() => source.comparison());
      if (!found) return;
      const { about } = page;
      const rows = [
        ["pairs", found.pairs.toLocaleString("en") + (found.sampledFrom ? `, a sample of ${found.sampledFrom.toLocaleString("en")}` : "")],
        ["Spearman's rho", figure(found.spearman)],
        ["Kendall's tau-b", figure(found.kendall)],
        ...(found.superclassAuc ? [
          [`superclass AUC of ${about.file}`, figure(found.superclassAuc[0])],
          [`superclass AUC of ${about.other}`, figure(found.superclassAuc[1])],
        ] : []),
        ...(about.leftOut ? [["left out", `${about.leftOut} classes that only one file has`]] : []),
      ];
      panel.replaceChildren(
        element("dl", { id: "agreement" }, rows.flatMap(([title, text]) => [element("dt", {}, title), element("dd", {}, text)])),
        element("h3", {}, "Pairs that differ most, by their ranks"),
        element("div", { class: "wide" }, element("table", { id: "differences" },
          element("thead", {}, element("tr", {}, ["class", "class", about.file, about.other].map((text, at) => element("th", { scope: "col", class: at > 1 ? "number" : null }, text)))),
          element("tbody", {}, found.differences.map((one) => element("tr", {},
            one.classes.map((name) => element("td", {}, link(name, page.open))),
            one.values.map((number) => element("td", { class: "number" }, number.toFixed(3))),
          ))))),
      );
    },
  };
}
