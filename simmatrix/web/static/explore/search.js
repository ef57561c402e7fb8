// A field that completes the names of classes: a combobox as ARIA describes it, used by keyboard or pointer.

import { element, trying } from "../base.js";

let fields = 0;

// Makes an input a field for a class; calls onChosen with the class that is chosen.
export function completing(input, source, onChosen) {
  fields += 1;
  const list = element("ul", { role: "listbox", id: `completions-${fields}`, class: "completions", hidden: true, "aria-label": "classes" });
  input.after(list);
  for (const [name, text] of Object.entries({
    role: "combobox", autocomplete: "off", spellcheck: "false",
    "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list",
  })) input.setAttribute(name, text);
  let found = [];
  let at = -1;
  let asked = 0;

  function show(classes) {
    found = classes;
    at = classes.length ? 0 : -1;
    list.replaceChildren(...classes.map((one, index) => element("li", {
      role: "option", id: `${list.id}-${index}`,
      onpointerdown: (event) => { event.preventDefault(); take(index); },
    }, one.label, one.label === one.name ? null : element("span", { class: "faint" }, ` ${one.name}`))));
    list.hidden = !classes.length;
    input.setAttribute("aria-expanded", String(!list.hidden));
    mark();
  }

  function mark() {
    [...list.children].forEach((one, index) => one.setAttribute("aria-selected", String(index === at)));
    if (at >= 0) {
      input.setAttribute("aria-activedescendant", `${list.id}-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  }

  function take(index) {
    const chosen = found[index];
    if (!chosen) return;
    input.value = chosen.label;
    show([]);
    onChosen(chosen);
  }

  input.addEventListener("input", async () => {
    asked += 1;
    const mine = asked;
    const classes = await trying(() => source.search(input.value)) ?? [];
    if (mine === asked) show(classes);
  });
  input.addEventListener("blur", () => show([]));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      if (found.length) take(at);
    } else if (event.key === "Escape") show([]);
    else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && found.length) {
      event.preventDefault();
      at = (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      mark();
    }
  });
}
