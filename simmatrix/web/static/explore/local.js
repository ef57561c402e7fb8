// Where a page that stands alone gets what it shows: from its own content. remote.js has these functions and more.

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint16Array(await new Response(stream).arrayBuffer());
}

// Returns the source of a page, from the content that the server wrote into it.
export async function local(content) {
  const { about, classes, details, orders, tree } = content;
  const values = await unpacked(content.values);
  const count = classes.length;
  const at = new Map(classes.map((one, index) => [one.name, index]));
  const folded = classes.map((one) => `${one.name} ${one.label}`.toLowerCase());

  function tile(_layer, order, level, row, column) {
    const step = 2 ** level;
    const side = Math.ceil(count / step);
    const [top, left] = [row * about.tile, column * about.tile];
    const [height, width] = [Math.min(about.tile, side - top), Math.min(about.tile, side - left)];
    const [mean, greatest] = [new Uint16Array(height * width), new Uint16Array(height * width)];
    const places = orders[order];
    for (let down = 0; down < height; down += 1) {
      for (let right = 0; right < width; right += 1) {
        let [sum, most, number] = [0, 0, 0];
        const [firstRow, firstColumn] = [(top + down) * step, (left + right) * step];
        for (let i = firstRow; i < Math.min(firstRow + step, count); i += 1) {
          for (let j = firstColumn; j < Math.min(firstColumn + step, count); j += 1) {
            if (i === j) continue;
            const value = values[places[i] * count + places[j]];
            sum += value;
            number += 1;
            if (value > most) most = value;
          }
        }
        mean[down * width + right] = number ? Math.round(sum / number) : 65535;
        greatest[down * width + right] = number ? most : 65535;
      }
    }
    return { height, width, mean, greatest };
  }

  function search(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const starts = (one) => one.startsWith(wanted) || one.includes(` ${wanted}`);
    const found = [...classes.keys()].filter((index) => folded[index].includes(wanted));
    return [...found.filter((index) => starts(folded[index])), ...found.filter((index) => !starts(folded[index]))]
      .slice(0, 12).map((index) => classes[index]);
  }

  function describe(name, order) {
    const index = at.get(name);
    const row = values.subarray(index * count, (index + 1) * count);
    const near = [...row.keys()].filter((other) => other !== index && row[other] > 0);
    near.sort((one, other) => row[other] - row[one]);
    const neighbours = near.slice(0, content.neighbours).map((other) => ({ ...classes[other], value: row[other] / 65535 }));
    return { ...classes[index], ...details[index], place: orders[order].indexOf(index), neighbours, otherNeighbours: null };
  }

  // Returns a branch with its two children.
  function branch(node = 2 * count - 2) {
    const told = (one) => ({
      node: one, start: tree.starts[one], size: tree.sizes[one],
      similarity: one < count ? 1 : tree.similarities[one - count],
      ends: [0, tree.sizes[one] - 1].map((end) => classes[orders.clusters[tree.starts[one] + end]]),
    });
    return { ...told(node), children: tree.children[node - count].map(told) };
  }

  // Returns a branch with its largest branches open.
  function opened(node) {
    const root = branch(node);
    let border = root.children;
    while (border.length < 16) {
      const largest = border.reduce((one, other) => other.size > one.size ? other : one);
      if (largest.size === 1) break;
      largest.children = branch(largest.node).children;
      border = [...border.filter((one) => one !== largest), ...largest.children];
    }
    return root;
  }

  return {
    canChange: false,
    about: async () => about,
    names: async (order, start, stop) => orders[order].slice(start, stop).map((index) => classes[index]),
    search: async (text) => search(text),
    describe: async (name, order) => describe(name, order),
    tree: async (node) => opened(node),
    concerns: async () => content.concerns,
    tile: async (...place) => tile(...place),
  };
}
