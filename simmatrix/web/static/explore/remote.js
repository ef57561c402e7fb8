// Where the page gets what it shows: from the server. local.js has some of these functions for a page that stands alone.

import { ask } from "../base.js";

const query = (name, values) => `/${name}?${new URLSearchParams(values)}`;

export const remote = {
  canChange: true,
  about: () => ask("/about"),
  state: () => ask("/state"),
  names: (order, start, stop) => ask(query("names", { order, start, stop })),
  search: (text) => ask(query("search", { text })),
  describe: (name, order) => ask(query("class", { name, order })),
  members: (superclass) => ask(query("members", { superclass })),
  path: (start, goal) => ask(query("path", { start, goal })),
  tree: (node) => ask(node === undefined ? "/tree" : query("tree", { node })),
  concerns: () => ask("/concerns"),
  comparison: () => ask("/comparison"),
  limit: (content) => ask("/limits", content),
  edit: (content) => ask("/edit", content),
  undo: (id) => ask("/undo", { id }),
  save: (content) => ask("/save", content),

  // Returns a tile: its height and width, and its means and greatest values as numbers from 0 to 65535. Fails with
  // isOld where the server has another version.
  async tile(layer, order, level, row, column, version, signal) {
    const answer = await fetch(query("tile", { layer, order, level, row, column, version }), { signal });
    if (!answer.ok) {
      const found = await answer.json().catch(() => ({}));
      throw Object.assign(new Error(found.error ?? "a tile can't be read"), { isOld: answer.status === 409 });
    }
    const [height, width] = answer.headers.get("x-shape").split(",").map(Number);
    const numbers = new Uint16Array(await answer.arrayBuffer());
    return { height, width, mean: numbers.subarray(0, height * width), greatest: numbers.subarray(height * width) };
  },
};
