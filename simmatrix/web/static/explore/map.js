// The heat map: tiles of the level that fits the zoom, on a canvas; moved by pointer, wheel and keys.

import { coloured, value } from "./colours.js";

// Tiles that each map keeps, names that are asked for at a time, and the pixels a class needs for its name to be shown.
const KEPT = 160;
const NAMES = 256;
const LABELS_FROM = 9;
// A slider has to rest for so many milliseconds before the map follows it.
const REST = 200;

// What all maps of the page share: the part that is seen, its order and version, and where the cursor is.
export class View {
  constructor(about) {
    Object.assign(this, { about, order: about.order, what: "greatest", version: about.version, latest: about.version, top: 1, differenceTop: 1 });
    Object.assign(this, { x: 0, y: 0, scale: 1, cursor: [0, 0], hasCursor: false });
    this.maps = [];
    this.names = new Map();
    this.listeners = [];
  }

  get count() { return this.about.classes; }

  fit() {
    // First without names, which need a margin where there is room for them.
    this.scale = 0;
    for (let turn = 0; turn < 2; turn += 1) {
      const { width, height } = this.maps[0].room();
      this.scale = Math.max(Math.min(width, height) / this.count, this.least());
    }
    [this.x, this.y] = [0, 0];
    this.draw();
  }

  // The least scale: that of half the whole map; if the map is never seen as a whole, that of the coarsest level.
  least() {
    const { width, height } = this.maps[0].room();
    const { isWhole, levels } = this.about;
    return isWhole ? Math.min(width, height) / this.count / 2 : 1 / 2 ** (levels - 1) / (window.devicePixelRatio || 1);
  }

  // Zooms by a factor so that what is at a place of the canvas stays there.
  zoom(factor, at = this.maps[0].middle()) {
    const scale = Math.min(Math.max(this.scale * factor, this.least()), 64);
    const [x, y] = [this.x + at.x / this.scale, this.y + at.y / this.scale];
    const margin = this.maps[0].margin();
    this.scale = scale;
    // Where names come in or go, what is under the pointer stays under it.
    const moved = margin - this.maps[0].margin();
    [this.x, this.y] = [x - (at.x + moved) / scale, y - (at.y + moved) / scale];
    this.draw();
  }

  // Shows some rows and columns, such as those of a cluster.
  show(start, size) {
    const { width, height } = this.maps[0].room();
    const wide = Math.max(size * 1.2, 8);
    this.scale = Math.max(Math.min(width, height) / wide, this.least());
    this.x = this.y = start + size / 2 - wide / 2;
    this.point(start, start);
  }

  move(x, y) {
    this.x += x / this.scale;
    this.y += y / this.scale;
    this.draw();
  }

  // Puts the cursor at a row and a column, in sight.
  point(row, column) {
    const within = (place) => Math.min(Math.max(Math.floor(place), 0), this.count - 1);
    this.cursor = [within(row), within(column)];
    this.hasCursor = true;
    const { width, height } = this.maps[0].room();
    const shown = (place, first, room) => place < first || place + 1 > first + room / this.scale;
    if (shown(this.cursor[1], this.x, width)) this.x = this.cursor[1] + 0.5 - width / this.scale / 2;
    if (shown(this.cursor[0], this.y, height)) this.y = this.cursor[0] + 0.5 - height / this.scale / 2;
    this.draw();
    for (const listener of this.listeners) listener();
  }

  // Asks for no tile until the server has made the change that was sent, and a slider rests.
  hold() {
    clearTimeout(this.resting);
    this.resting = undefined;
    this.isHeld = true;
    for (const map of this.maps) map.dropUnwanted();
  }

  release() {
    if (this.resting) return;
    this.version = this.latest;
    this.isHeld = false;
    this.draw();
  }

  // Takes over a version once no other one has come for a while: tiles of values that a slider passes are not asked for.
  changed(version) {
    this.hold();
    this.latest = version;
    this.resting = setTimeout(() => {
      this.resting = undefined;
      this.release();
    }, REST);
  }

  draw() { for (const map of this.maps) map.draw(); }

  // Returns the name of the class at a place if it is known, and asks for it and its neighbours if it is not.
  name(place, source) {
    const part = Math.floor(place / NAMES);
    const key = `${this.order} ${part}`;
    if (!this.names.has(key)) {
      this.names.set(key, []);
      source.names(this.order, part * NAMES, (part + 1) * NAMES).then((found) => {
        this.names.set(key, found);
        this.draw();
        for (const listener of this.listeners) listener();
      }, () => this.names.delete(key));
    }
    return this.names.get(key)[place % NAMES];
  }
}

export class HeatMap {
  constructor(canvas, view, source, layer, onPick) {
    Object.assign(this, { canvas, view, source, layer, onPick });
    this.tiles = new Map();
    this.pending = 0;
    this.pointers = new Map();
    this.wanted = new Set();
    view.maps.push(this);
    new ResizeObserver(() => this.resized()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.moved(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.up(event));
    canvas.addEventListener("keydown", (event) => this.pressed(event));
    this.resized();
  }

  get isDifference() { return this.layer === "difference"; }

  resized() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.draw();
  }

  // How wide the margin with names is: none where they would not fit.
  margin() { return this.view.scale >= LABELS_FROM ? Math.min(130, this.canvas.clientWidth / 4) : 0; }

  room() {
    const margin = this.margin();
    return { width: this.canvas.clientWidth - margin, height: this.canvas.clientHeight - margin };
  }

  middle() {
    const { width, height } = this.room();
    return { x: width / 2, y: height / 2 };
  }

  // Returns the row and the column at a place of the canvas.
  cell(event) {
    const box = this.canvas.getBoundingClientRect();
    const margin = this.margin();
    const at = { x: event.clientX - box.left - margin, y: event.clientY - box.top - margin };
    return { ...at, column: this.view.x + at.x / this.view.scale, row: this.view.y + at.y / this.view.scale };
  }

  level() {
    const pixel = 1 / (this.view.scale * (window.devicePixelRatio || 1));
    // A block is no smaller than a pixel: some smaller blocks would not be seen.
    return Math.min(Math.max(Math.ceil(Math.log2(pixel) - 1e-9), 0), this.view.about.levels - 1);
  }

  // Nothing changes the second file's map.
  key(level, row, column) {
    const version = this.layer === "second" ? 0 : this.view.version;
    return [this.layer, this.view.order, version, level, row, column].join(" ");
  }

  // Tells tests and benchmarks how many tiles are on their way.
  tellPending() { this.canvas.dataset.pending = this.pending + (this.view.isHeld ? 1 : 0); }

  // Returns a tile if it is here, and asks for it if it is not.
  tile(level, row, column) {
    const { order, version } = this.view;
    const key = this.key(level, row, column);
    this.wanted.add(key);
    const found = this.tiles.get(key);
    if (found) {
      this.tiles.delete(key);
      this.tiles.set(key, found);
      return found;
    }
    if (this.view.isHeld) return { isReady: false };
    const aborting = new AbortController();
    const waiting = { isReady: false, aborting };
    this.tiles.set(key, waiting);
    this.pending += 1;
    this.source.tile(this.layer, order, level, row, column, version, aborting.signal).then((tile) => {
      Object.assign(waiting, tile, { isReady: true });
      if (level === this.view.about.levels - 1) this.findTop(waiting, level);
    }, (error) => {
      if (aborting.signal.aborted) return;
      waiting.error = error;
      if (error.isOld) this.view.onOld?.();
      else this.view.onError?.(error);
    }).finally(() => {
      this.pending -= 1;
      waiting.aborting = undefined;
      this.tellPending();
      this.draw();
    });
    for (const old of this.tiles.keys()) {
      if (this.tiles.size <= KEPT) break;
      this.tiles.delete(old);
    }
    return waiting;
  }

  // The colours end at the greatest similarity of two classes: on a scale to 1 small ones would all be dark.
  findTop(tile, level) {
    const { isWhole, classes } = this.view.about;
    // If the map is never seen as a whole: the greatest that has been seen.
    let top = isWhole ? 0 : this.top ?? 0;
    for (let at = 0; at < tile.greatest.length; at += 1) {
      const row = Math.floor(at / tile.width);
      // A block of a class and itself alone is 1.
      const isItself = row === at % tile.width && (level === 0 || row * 2 ** level === classes - 1);
      if (!isItself) top = Math.max(top, Math.abs(value(tile.greatest[at], this.isDifference)));
    }
    this.top = top;
    // Two maps beside each other have one scale.
    if (this.isDifference) this.view.differenceTop = top || 1;
    else this.view.top = Math.max(...this.view.maps.map((map) => map.top ?? 0)) || 1;
    this.view.draw();
    this.view.onTop?.();
  }

  picture(tile) {
    const { what } = this.view;
    const top = this.isDifference ? this.view.differenceTop : this.view.top;
    const drawn = `${what} ${top}`;
    if (tile.drawn !== drawn) {
      const picture = document.createElement("canvas");
      [picture.width, picture.height] = [tile.width, tile.height];
      const colours = coloured(tile[what], this.isDifference, top);
      const bytes = new Uint8ClampedArray(colours.buffer);
      picture.getContext("2d").putImageData(new ImageData(bytes, tile.width, tile.height), 0, 0);
      Object.assign(tile, { drawn, picture });
    }
    return tile.picture;
  }

  draw() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => {
      this.isAsked = false;
      this.paint();
    });
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = this.room();
    const margin = this.margin();
    this.wanted = new Set();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    if (width <= 0 || height <= 0) return;
    context.save();
    context.beginPath();
    context.rect(margin, margin, width, height);
    context.clip();
    context.translate(margin, margin);
    context.imageSmoothingEnabled = false;
    // First what is coarse, which is there at once, then what is fine: nothing flickers.
    const level = this.level();
    const last = this.view.about.levels - 1;
    for (const one of new Set([last, Math.min(level + 2, last), level])) this.paintLevel(context, one, width, height);
    this.dropUnwanted();
    this.paintCursor(context);
    context.restore();
    if (margin) this.paintNames(context, margin, width, height);
  }

  // Takes back requests for tiles that are out of sight by now: of an earlier step of a slider, or of another zoom level.
  dropUnwanted() {
    for (const [key, tile] of this.tiles) {
      if (!tile.aborting || (this.wanted.has(key) && !this.view.isHeld)) continue;
      tile.aborting.abort();
      this.tiles.delete(key);
    }
    this.tellPending();
  }

  paintLevel(context, level, width, height) {
    const { x, y, scale, count } = this.view;
    const side = this.view.about.tile * 2 ** level;
    const first = (place) => Math.max(0, Math.floor(place / side));
    const end = (place, room) => Math.min(Math.ceil(count / side), Math.ceil((place + room / scale) / side));
    for (let row = first(y); row < end(y, height); row += 1) {
      for (let column = first(x); column < end(x, width); column += 1) {
        const tile = this.tile(level, row, column);
        if (!tile.isReady) continue;
        // The last block may be cut off by the end of the matrix.
        const wide = Math.min(tile.width * 2 ** level, count - column * side);
        const high = Math.min(tile.height * 2 ** level, count - row * side);
        context.drawImage(this.picture(tile), 0, 0, wide / 2 ** level, high / 2 ** level,
          (column * side - x) * scale, (row * side - y) * scale, wide * scale, high * scale);
      }
    }
  }

  paintCursor(context) {
    if (!this.view.hasCursor) return;
    const { x, y, scale, cursor: [row, column] } = this.view;
    const size = Math.max(scale, 3);
    for (const [colour, wide] of [["#000000", 4], ["#ffffff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.strokeRect((column - x) * scale - 1, (row - y) * scale - 1, size + 2, size + 2);
    }
  }

  paintNames(context, margin, width, height) {
    const { x, y, scale, count } = this.view;
    const style = getComputedStyle(this.canvas);
    context.fillStyle = style.color;
    const size = Math.min(13, scale);
    context.font = `${size}px ${style.fontFamily}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let row = Math.max(0, Math.ceil(y - 0.5)); row < Math.min(count, y + height / scale - 0.5); row += 1) {
      const text = this.view.name(row, this.source)?.label ?? "";
      context.fillText(shortened(context, text, margin - 6), margin - 4, margin + (row + 0.5 - y) * scale);
    }
    for (let column = Math.max(0, Math.ceil(x - 0.5)); column < Math.min(count, x + width / scale - 0.5); column += 1) {
      const text = this.view.name(column, this.source)?.label ?? "";
      context.save();
      context.translate(margin + (column + 0.5 - x) * scale, margin - 4);
      context.rotate(Math.PI / 2);
      context.fillText(shortened(context, text, margin - 6), 0, 0);
      context.restore();
    }
  }

  // Returns what is known of a cell: the value where the level is the finest, else the block's mean and greatest.
  read(row, column) {
    for (let level = this.level(); level < this.view.about.levels; level += 1) {
      const side = 2 ** level;
      const [down, right] = [Math.floor(row / side), Math.floor(column / side)];
      const size = this.view.about.tile;
      const [top, left] = [Math.floor(down / size), Math.floor(right / size)];
      const tile = this.tiles.get(this.key(level, top, left));
      if (tile?.isReady) {
        const at = (down % size) * tile.width + right % size;
        const [mean, greatest] = [tile.mean[at], tile.greatest[at]].map((one) => value(one, this.isDifference));
        return { side, mean, greatest };
      }
    }
    return undefined;
  }

  wheel(event) {
    event.preventDefault();
    this.view.zoom(2 ** (-Math.sign(event.deltaY) / 3), this.cell(event));
  }

  down(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.travelled = 0;
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.point(event);
      return;
    }
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.view.zoom(apart(event) / apart(before), this.cell(other));
    } else {
      this.view.move(before.clientX - event.clientX, before.clientY - event.clientY);
    }
    this.travelled += Math.abs(before.clientX - event.clientX) + Math.abs(before.clientY - event.clientY);
    this.pointers.set(event.pointerId, event);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointerup" && this.travelled < 4) {
      this.point(event);
      if (this.view.hasCursor) this.onPick(...this.view.cursor);
    }
  }

  point(event) {
    const { row, column, x, y } = this.cell(event);
    const { count } = this.view;
    if (x < 0 || y < 0 || row < 0 || column < 0 || row >= count || column >= count) return;
    this.view.point(row, column);
  }

  pressed(event) {
    const step = event.shiftKey ? 10 * Math.max(1, Math.round(1 / this.view.scale)) : Math.max(1, Math.round(1 / this.view.scale));
    const [row, column] = this.view.cursor;
    const keys = {
      ArrowUp: () => this.view.point(row - step, column),
      ArrowDown: () => this.view.point(row + step, column),
      ArrowLeft: () => this.view.point(row, column - step),
      ArrowRight: () => this.view.point(row, column + step),
      "+": () => this.zoomAtCursor(2),
      "=": () => this.zoomAtCursor(2),
      "-": () => this.zoomAtCursor(0.5),
      0: () => this.view.fit(),
      Home: () => this.view.fit(),
      Enter: () => this.onPick(row, column),
    };
    if (event.key in keys && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      keys[event.key]();
    }
  }

  zoomAtCursor(factor) {
    const { x, y, scale, cursor: [row, column], hasCursor } = this.view;
    const at = { x: (column + 0.5 - x) * scale, y: (row + 0.5 - y) * scale };
    this.view.zoom(factor, hasCursor ? at : this.middle());
  }
}

// Cuts a text so that it fits.
export function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}
