// The counter page: the way in, then scanning.

import { startPage } from "../common/start.js";
import { openDesk } from "../desk/desk.js";
import { makeEntry } from "../desk/entry.js";
import { makeScanning } from "./scanning.js";

async function start() {
  const page = await startPage("vpass-counter");
  if (!page) return;
  const desk = await openDesk(page);
  const scanning = makeScanning({ desk, onRefused: (problem) => entry.judge(problem) });
  const entry = makeEntry({
    desk,
    view: "scan",
    onEnter: (session) => scanning.start(session),
    onLeave: () => scanning.stop(),
  });
  await entry.start();
}

start();
