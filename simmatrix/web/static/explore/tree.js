// The dendrogram: clusters of clusters, of which the open ones are drawn. Enter or a click folds and unfolds a branch.

import { element, trying } from "../base.js";

const ROW = 26;
const SPACE = "http://www.w3.org/2000/svg";

function drawn(name, attributes, ...children) {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function treePanel(panel, source, page) {
  const holder = element("div", { id: "tree" });
  panel.append(
    element("p", { class: "faint" }, "The further left two branches meet, the less similar they are. Enter folds and unfolds, the arrows go from branch to branch, space shows a branch in the map."),
    holder,
  );
  let root = null;
  let current = null;

  // The width of the branches; the names stand to the right of them.
  let wide = 300;
  // The scale ends a little to the right of the most similar branch that was seen.
  let most = 0;
  const x = (similarity) => 8 + (wide - 16) * Math.min(Math.max(similarity / (most * 1.2 || 1), 0), 1);
  function measure(branch) {
    const todo = [branch];
    while (todo.length) {
      const one = todo.pop();
      if (one.size > 1) most = Math.max(most, one.similarity);
      todo.push(...(one.children ?? []));
    }
  }
  const isInner = (branch) => branch.size > 1;
  const isOpen = (branch) => Boolean(branch.children) && !branch.folded;
  const text = (branch) => branch.size === 1 ? branch.ends[0].label
    : `${branch.size.toLocaleString("en")}: ${branch.ends[0].label} … ${branch.ends[1].label}`;

  async function toggle(branch) {
    current = branch.node;
    if (!isInner(branch)) {
      page.open(branch.ends[0].name);
      return;
    }
    if (branch.children) branch.folded = !branch.folded;
    else {
      branch.children = (await trying(() => source.tree(branch.node)))?.children;
      measure(branch);
    }
    draw();
  }

  async function showInMap(branch) {
    await page.setOrder("clusters");
    page.view.show(branch.start, branch.size);
  }

  function draw() {
    wide = Math.min(Math.max(holder.clientWidth - 220, 120), 300);
    let rows = 0;
    const items = [];
    const lines = [];
    // Without recursion: a tree may be deep. Returns where each branch's line ends.
    const place = (top) => {
      const todo = [{ branch: top, from: 8, level: 1, isDone: false }];
      const y = new Map();
      while (todo.length) {
        const one = todo.at(-1);
        const { branch, level } = one;
        const at = x(branch.similarity);
        if (isOpen(branch) && !one.isDone) {
          one.isDone = true;
          items.push({ branch, level });
          todo.push(...[...branch.children].reverse().map((child) => ({ branch: child, from: at, level: level + 1, isDone: false })));
          continue;
        }
        todo.pop();
        if (isOpen(branch)) {
          const ends = branch.children.map((child) => y.get(child.node));
          const middle = (ends[0] + ends[1]) / 2;
          y.set(branch.node, middle);
          lines.push(`M${at} ${ends[0]}V${ends[1]}M${one.from} ${middle}H${at}`);
        } else {
          items.push({ branch, level });
          const middle = (rows + 0.5) * ROW;
          rows += 1;
          y.set(branch.node, middle);
          lines.push(`M${one.from} ${middle}H${isInner(branch) ? at : wide - 8}`);
        }
      }
      return y;
    };
    const y = place(root);
    const focusable = items.some(({ branch }) => branch.node === current) ? current : root.node;
    const marks = items.map(({ branch, level }) => {
      const at = isInner(branch) ? x(branch.similarity) : wide - 8;
      const middle = y.get(branch.node);
      const open = isOpen(branch);
      const said = isInner(branch) ? `${text(branch)}, similarity ${branch.similarity.toFixed(3)}` : text(branch);
      return drawn("g", {
        role: "treeitem", tabindex: branch.node === focusable ? "0" : "-1", "aria-level": level, "aria-label": said,
        "aria-expanded": isInner(branch) ? String(open) : null, "data-node": branch.node,
        onclick: () => toggle(branch),
        onkeydown: (event) => key(event, branch),
        onfocus: () => { current = branch.node; },
      },
      drawn("title", {}, said),
      open ? drawn("circle", { cx: at, cy: middle, r: 5 })
        : isInner(branch) ? drawn("path", { class: "folded", d: `M${at} ${middle}L${wide - 8} ${middle - 8}V${middle + 8}Z` })
          : drawn("circle", { cx: at, cy: middle, r: 3 }),
      ...(open ? [] : [drawn("text", { x: wide, y: middle, "dominant-baseline": "middle" }, text(branch))]));
    });
    const height = rows * ROW;
    const svg = drawn("svg", { role: "tree", "aria-label": "dendrogram", viewBox: `0 0 ${wide + 400} ${height}`, width: wide + 400, height },
      drawn("path", { class: "branches", d: lines.join("") }), ...marks);
    const hadFocus = holder.contains(document.activeElement);
    holder.replaceChildren(svg);
    if (hadFocus) svg.querySelector(`[data-node="${focusable}"]`).focus();
  }

  function key(event, branch) {
    const all = [...holder.querySelectorAll("[role=treeitem]")].sort((a, b) => a.getBoundingClientRect().top - b.getBoundingClientRect().top);
    const at = all.findIndex((one) => one.dataset.node === String(branch.node));
    const go = (place) => all[Math.min(Math.max(place, 0), all.length - 1)].focus();
    const keys = {
      Enter: () => toggle(branch),
      " ": () => showInMap(branch),
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(all.length - 1),
      ArrowRight: () => { if (isInner(branch) && !isOpen(branch)) toggle(branch); },
      ArrowLeft: () => { if (isOpen(branch)) toggle(branch); },
    };
    if (event.key in keys) {
      event.preventDefault();
      // The tab index follows the focus, so that Tab leaves the tree and comes back to where one was.
      keys[event.key]();
      for (const one of holder.querySelectorAll("[role=treeitem]")) one.setAttribute("tabindex", one === document.activeElement ? "0" : "-1");
    }
  }

  return {
    async open() {
      if (root) return;
      holder.replaceChildren(element("p", {}, "The clusters are worked out …"));
      root = await trying(() => source.tree());
      if (root) {
        measure(root);
        draw();
      }
      else holder.replaceChildren();
    },
  };
}
