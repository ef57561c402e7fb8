// What all pages share: how they ask the server, how they say what went wrong, how they make elements.

const token = document.querySelector('meta[name="csrf"]')?.content ?? "";

// Returns what the server answers as JSON. With content, it is sent, and may change something.
export async function ask(address, content) {
  const options = content === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token },
    body: JSON.stringify(content),
  };
  options.headers = { ...options.headers, Accept: "application/json" };
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Error("the server can't be reached; is it still running?");
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(found.error ?? `the server answered ${answer.status}`), { found });
  return found;
}

// Returns an element with attributes and children. Texts stay texts: nothing that they hold is read as HTML.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

// Says something to all: it is shown, and read aloud, in the element with the id "said".
export function say(text, isAlarm = false) {
  const said = document.getElementById("said");
  said.textContent = text;
  said.classList.toggle("alarm", isAlarm);
}

// Runs what may fail, and says why it did.
export async function trying(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, true);
    return undefined;
  }
}
