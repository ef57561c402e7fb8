// The first page of a study: consent and an id, or a code to go on with.
import { ask, trying } from "/static/base.js";

const root = document.getElementById("main").dataset.root;
const value = (id) => document.getElementById(id).value;

async function enter(event, address, content) {
  event.preventDefault();
  await trying(async () => {
    await ask(`${root}/${address}`, content);
    location.reload();
  });
}

document.getElementById("join").addEventListener("submit", (event) =>
  enter(event, "join", { agreed: document.getElementById("agreed").checked, name: value("name") }));
document.getElementById("resume").addEventListener("submit", (event) =>
  enter(event, "resume", { code: value("code") }));
