"""What makes a page hard to use, as scripts for the browser: each returns what it finds wrong."""

# Texts whose contrast with what is behind them is below 4.5 (WCAG 2.1, 1.4.3).
FAINT = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style")) continue;
    const style = getComputedStyle(element);
    const isDrawn = element.namespaceURI.endsWith("svg");
    if (isDrawn && element.localName !== "text") continue;
    const [one, other] = [light(parse(isDrawn ? style.fill : style.color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.push([element.outerHTML.slice(0, 80), contrast]);
  }
  return found;
}"""
# What can be used and has no name.
UNLABELLED = """() => {
  const used = "input, select, textarea, button, canvas, img, progress, [role=treeitem]";
  const isNamed = (one) => one.labels?.length || one.getAttribute("aria-label") || one.getAttribute("alt")
    || one.textContent.trim();
  return [...document.querySelectorAll(used)].filter((one) => one.checkVisibility() && !isNamed(one))
    .map((one) => one.outerHTML);
}"""
