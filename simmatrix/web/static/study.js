// The page on which a participant answers: one question at a time, by mouse, touch or keys.
import { ask, element, say } from "/static/base.js";

const main = document.getElementById("main");
const { root, task } = main.dataset;
const find = (id) => document.getElementById(id);
const slider = find("slider");

let question = null;
let isBusy = false;
let isPaused = false;
// How long the question has been seen: up to a pause, and since when.
let seenBefore = 0;
let seenSince = 0;

function show(state) {
  question = state.question;
  find("progress").max = state.of;
  find("progress").value = state.done;
  find("count").textContent = `${state.done} of ${state.of}`;
  find("undo").disabled = state.done === 0;
  if (question === null) return turnTo("finished");
  find("items").replaceChildren(...state.items.map((item, place) => {
    const inside = item.image
      ? element("img", { src: `${root}/${item.image}`, alt: item.name })
      : element("span", {}, item.name);
    if (task === "ratings") return element("div", {}, inside);
    return element("button", { type: "button", onclick: () => answer(place) }, inside, element("kbd", {}, String(place + 1)));
  }));
  if (slider) {
    slider.value = (Number(slider.min) + Number(slider.max)) / 2;
    showRating();
  }
  seenBefore = 0;
  seenSince = performance.now();
  return turnTo("asked");
}

// Shows one of the parts of the page, and moves the keyboard and who listens to its heading.
function turnTo(part) {
  for (const one of ["asked", "paused", "finished"]) find(one).hidden = one !== part;
  const heading = find(part === "asked" ? "heading" : `${part}-heading`);
  heading.focus({ preventScroll: true });
}

function showRating() {
  const span = Number(slider.max) - Number(slider.min);
  find("rated").textContent = Number(slider.value).toFixed(span > 10 ? 0 : 2);
}

// Sends something and shows what comes next. Where that fails, nobody knows here whether it was kept: the question that
// waits now is asked for.
async function send(address, content) {
  if (isBusy) return;
  isBusy = true;
  main.setAttribute("aria-busy", "true");
  try {
    const state = await ask(`${root}/${address}`, content);
    say("");
    show(state);
  } catch (error) {
    say(`${error.message} (your last answer may not have been kept)`, true);
    await ask(`${root}/question`).then(show, () => undefined);
  } finally {
    isBusy = false;
    main.removeAttribute("aria-busy");
  }
}

function answer(value) {
  if (isPaused || question === null) return undefined;
  const milliseconds = Math.round(seenBefore + performance.now() - seenSince);
  return send("answer", { question, value, milliseconds });
}

function pause() {
  if (question === null) return;
  isPaused = !isPaused;
  if (isPaused) seenBefore += performance.now() - seenSince;
  else seenSince = performance.now();
  turnTo(isPaused ? "paused" : "asked");
}

// The value that a key stands for; undefined if it stands for none.
function valueOf(key) {
  if (!/^\d$/.test(key)) return undefined;
  if (task === "triplets") return key >= "1" && key <= "3" ? Number(key) - 1 : undefined;
  const step = document.querySelector(`.steps [data-value="${key}"]`)
    ?? (key === "0" ? document.querySelector('.steps [data-value="10"]') : null);
  return step ? Number(step.dataset.value) : undefined;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (key === "p") return pause();
  if (isPaused) return;
  if (key === "u") send("undo", {});
  else if (key === "s") answer(null);
  else if (key === "enter" && event.target === slider) answer(Number(slider.value));
  else {
    const value = valueOf(key);
    if (value === undefined) return;
    answer(value);
  }
  event.preventDefault();
});

find("skip").addEventListener("click", () => answer(null));
for (const id of ["undo", "undo-last"]) find(id).addEventListener("click", () => send("undo", {}));
for (const id of ["pause", "go-on"]) find(id).addEventListener("click", pause);
find("leave").addEventListener("click", async () => {
  await ask(`${root}/leave`, {});
  location.reload();
});
for (const step of document.querySelectorAll(".steps button")) {
  step.addEventListener("click", () => answer(Number(step.dataset.value)));
}
slider?.addEventListener("input", showRating);
find("rating")?.addEventListener("submit", (event) => {
  event.preventDefault();
  answer(Number(slider.value));
});

ask(`${root}/question`).then(show, (error) => say(error.message, true));
