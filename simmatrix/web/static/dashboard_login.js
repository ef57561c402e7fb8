// The way to the dashboard.
import { ask, trying } from "/static/base.js";

const root = document.getElementById("main").dataset.root;

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  await trying(async () => {
    await ask(`${root}/dashboard/login`, { password: document.getElementById("password").value });
    location.reload();
  });
});
