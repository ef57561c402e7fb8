// A picture of what is on screen, as PNG or as SVG: the maps side by side, with their names and the scale of colours.

import { element, say } from "../base.js";
import { scale } from "./colours.js";

function download(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const escaped = (text) => text.replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`)
  // XML has no place for these, however they are written.
  .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "");

function topOf(map) { return map.isDifference ? map.view.differenceTop : map.view.top; }

export function savePng(maps, name) {
  const gap = 16, foot = 40;
  const ratio = window.devicePixelRatio || 1;
  const width = maps.reduce((sum, map) => sum + map.canvas.width + gap, -gap);
  const height = Math.max(...maps.map((map) => map.canvas.height));
  const picture = element("canvas", { width, height: height + foot * ratio });
  const context = picture.getContext("2d");
  const style = getComputedStyle(document.body);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, picture.width, picture.height);
  let left = 0;
  for (const map of maps) {
    context.drawImage(map.canvas, left, 0);
    const wide = Math.min(map.canvas.width, 300 * ratio) - 120 * ratio;
    const colours = scale(map.isDifference);
    for (let step = 0; step < 256; step += 1) {
      const colour = colours[step];
      context.fillStyle = `rgb(${colour & 255} ${colour >> 8 & 255} ${colour >> 16 & 255})`;
      context.fillRect(left + 60 * ratio + wide * step / 256, height + 12 * ratio, wide / 256 + 1, 14 * ratio);
    }
    context.fillStyle = style.color;
    context.font = `${12 * ratio}px ${style.fontFamily}`;
    context.textBaseline = "middle";
    context.fillText((map.isDifference ? -topOf(map) : 0).toFixed(2), left + 8, height + 19 * ratio);
    context.fillText(topOf(map).toFixed(2), left + 66 * ratio + wide, height + 19 * ratio);
    left += map.canvas.width + gap;
  }
  picture.toBlob((blob) => {
    download(blob, `${name}.png`);
    say(`${name}.png was written`);
  });
}

export function saveSvg(maps, name) {
  const gap = 16, foot = 40;
  const style = getComputedStyle(document.body);
  const parts = [];
  let left = 0;
  let height = 0;
  for (const map of maps) {
    const margin = map.margin();
    const room = map.room();
    height = Math.max(height, map.canvas.clientHeight);
    // The cells as a picture, whose pixels stay sharp; names as text.
    const ratio = window.devicePixelRatio || 1;
    const cells = element("canvas", { width: Math.round(room.width * ratio), height: Math.round(room.height * ratio) });
    cells.getContext("2d").drawImage(map.canvas, -margin * ratio, -margin * ratio);
    parts.push(`<image x="${left + margin}" y="${margin}" width="${room.width}" height="${room.height}" ` +
      `href="${cells.toDataURL("image/png")}"/>`);
    if (margin) {
      const { x, y, scale: size, count } = map.view;
      const font = Math.min(13, size);
      const text = (place, at, turn) => {
        const label = map.view.name(place, map.source)?.label ?? "";
        parts.push(`<text font-size="${font}" text-anchor="end" dominant-baseline="middle" ${at}${turn}>${escaped(label)}</text>`);
      };
      for (let row = Math.max(0, Math.ceil(y - 0.5)); row < Math.min(count, y + room.height / size - 0.5); row += 1) {
        text(row, `x="${left + margin - 4}" y="${margin + (row + 0.5 - y) * size}"`, "");
      }
      for (let column = Math.max(0, Math.ceil(x - 0.5)); column < Math.min(count, x + room.width / size - 0.5); column += 1) {
        const at = left + margin + (column + 0.5 - x) * size;
        text(column, "", `transform="translate(${at} ${margin - 4}) rotate(90)"`);
      }
    }
    const colours = scale(map.isDifference);
    for (let step = 0; step < 64; step += 1) {
      const colour = colours[Math.round(step * 255 / 63)];
      const fill = `rgb(${colour & 255},${colour >> 8 & 255},${colour >> 16 & 255})`;
      parts.push(`<rect x="${left + 60 + step * 2}" y="${map.canvas.clientHeight + 12}" width="2.5" height="14" fill="${fill}"/>`);
    }
    const low = (map.isDifference ? -topOf(map) : 0).toFixed(2);
    parts.push(`<text x="${left + 8}" y="${map.canvas.clientHeight + 24}" font-size="12">${low}</text>`);
    parts.push(`<text x="${left + 196}" y="${map.canvas.clientHeight + 24}" font-size="12">${topOf(map).toFixed(2)}</text>`);
    left += map.canvas.clientWidth + gap;
  }
  const [width, high] = [left - gap, height + foot];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${high}" viewBox="0 0 ${width} ${high}" ` +
    `font-family="sans-serif" fill="${style.color}"><rect width="100%" height="100%" fill="${style.backgroundColor}"/>` +
    `${parts.join("")}</svg>`;
  download(new Blob([svg], { type: "image/svg+xml" }), `${name}.svg`);
  say(`${name}.svg was written`);
}
