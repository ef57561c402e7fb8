// Starts the page that a server stands behind.

import { start } from "./explore.js";
import { remote } from "./remote.js";

start(remote);
