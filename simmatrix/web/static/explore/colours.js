// Colours of similarities and of differences: tables of 256, each as one number that an ImageData holds.

const VIRIDIS = ["440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725"];
const DIVERGING = ["2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b"];

function table(stops) {
  const rgb = stops.map((stop) => [0, 2, 4].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, step) => {
    const place = (step / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(place), rgb.length - 2);
    const [r, g, b] = [0, 1, 2].map((at) => Math.round(rgb[low][at] + (place - low) * (rgb[low + 1][at] - rgb[low][at])));
    return (255 << 24 | b << 16 | g << 8 | r) >>> 0;
  });
}

const similar = table(VIRIDIS);
const different = table(DIVERGING);

// Returns the colours of numbers from 0 to 65535: of similarities up to `top`, of differences from -top to top.
export function coloured(numbers, isDifference, top) {
  const colours = isDifference ? different : similar;
  const [low, high] = isDifference ? [32767.5 * (1 - top), 32767.5 * (1 + top)] : [0, 65535 * top];
  const scale = 255 / Math.max(high - low, 1e-9);
  const found = new Uint32Array(numbers.length);
  for (let at = 0; at < numbers.length; at += 1) {
    const step = Math.round((numbers[at] - low) * scale);
    found[at] = colours[step < 0 ? 0 : step > 255 ? 255 : step];
  }
  return found;
}

// Returns the colours of a scale, for a legend.
export const scale = (isDifference) => isDifference ? different : similar;
export const value = (number, isDifference) => isDifference ? number / 32767.5 - 1 : number / 65535;
