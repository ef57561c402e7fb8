// Pairs that are set by hand: one, or all of two groups; listed, and undone.

import { element, say, trying } from "../base.js";
import { completing } from "./search.js";

export function editsPanel(panel, source, page) {
  const list = element("ol", { id: "edits" });
  const value = element("input", { type: "number", id: "edit-value", min: 0, max: 1, step: "any", value: "0.5", required: true });

  function group(id, title) {
    const names = element("textarea", { id, rows: 2, "aria-describedby": "group-help" });
    const adding = element("input", { type: "text", id: `${id}-add`, "aria-label": `add a class to the ${title.toLowerCase()}` });
    const add = (more) => {
      const there = names.value.split("\n").filter((name) => name);
      names.value = [...new Set([...there, ...more])].join("\n");
    };
    const parts = [element("label", { for: id }, title), names, adding];
    if (page.about.superclasses.length) {
      parts.push(element("select", {
        id: `${id}-superclass`, "aria-label": `add a superclass to the ${title.toLowerCase()}`,
        onchange: async (event) => {
          const wanted = event.target.value;
          if (wanted) add(await trying(() => source.members(wanted)) ?? []);
          event.target.value = "";
        },
      }, element("option", { value: "" }, "add a superclass"), page.about.superclasses.map((one) => element("option", { value: one }, one))));
    }
    const made = element("fieldset", {}, element("legend", { class: "heard" }, title), parts);
    completing(adding, source, (chosen) => { add([chosen.name]); adding.value = ""; });
    return { made, get names() { return names.value.split("\n").map((name) => name.trim()).filter((name) => name); } };
  }

  const [first, second] = [group("group-1", "First class or group"), group("group-2", "Second class or group")];
  panel.append(
    element("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const found = await page.change(() => source.edit({ first: first.names, second: second.names, value: Number(value.value) }));
        if (found) say(`set: ${found.edits.at(-1).told}`);
      },
    },
    element("p", { id: "group-help", class: "faint" }, "One name a line. Each of the first is set to each of the second, in both directions."),
    first.made, second.made,
    element("div", { class: "field" }, element("label", { for: "edit-value" }, "Similarity, from 0 to 1"), value,
      element("button", { class: "main", id: "set" }, "Set"))),
    element("h3", {}, "What was set"), list,
  );

  return {
    show(found) {
      list.replaceChildren(...found.edits.map((edit) => element("li", {},
        `${edit.told} (${edit.pairs.toLocaleString("en")} ${edit.pairs === 1 ? "pair" : "pairs"}) `,
        element("button", {
          type: "button", "aria-label": `undo ${edit.told}`,
          onclick: () => page.change(() => source.undo(edit.id)),
        }, "Undo"))));
      if (!found.edits.length) list.replaceChildren(element("li", { class: "none" }, "Nothing yet."));
    },
  };
}
