// The city's day on a wall: large figures, and how they spread over the hours.

import { find } from "../common/dom.js";
import { startPage } from "../common/start.js";
import { openDesk } from "../desk/desk.js";
import { makeEntry } from "../desk/entry.js";
import { drawFigures, makeWatch } from "../desk/figures.js";

async function start() {
  // The operations page's desk and session: one browser in the operations room shows both.
  const page = await startPage("vpass-operations");
  if (!page) return;
  const desk = await openDesk(page);
  const watch = makeWatch({
    everyMs: 60000,
    ask: () => desk.call("GET", "/city", { part: "/api/operations/v1" }),
    draw: (city) => drawFigures(find("#today"), city.figures),
    onRefused: (problem) => entry.judge(problem),
  });
  const entry = makeEntry({
    desk,
    viewOf: () => "city",
    onEnter: () => watch.start(),
    onLeave: () => watch.stop(),
  });
  await entry.start();
}

start();
