// The counter page: the way in, then scanning or check-in, and the queue beside it.

import { find } from "../common/dom.js";
import { startPage } from "../common/start.js";
import { openDesk } from "../desk/desk.js";
import { makeEntry } from "../desk/entry.js";
import { makeArrivals } from "./arrivals.js";
import { makeDisputes } from "./disputes.js";
import { makeQueue } from "./queue.js";
import { makeScanning } from "./scanning.js";

// A desk for check-in gives tickets; every other one scans for its own purposes.
const viewOf = (session) => (session.desk.scene === "check_in" ? "reception" : "scan");

async function start() {
  const page = await startPage("vpass-counter");
  if (!page) return;
  const desk = await openDesk(page);
  const onRefused = (problem) => entry.judge(problem);
  const scanning = makeScanning({ desk, onRefused });
  const arrivals = makeArrivals({ desk, onArrived: () => queue.look(), onRefused });
  const queue = makeQueue({ desk, onServices: arrivals.offer, onRefused });
  const disputes = makeDisputes({ desk });
  const entry = makeEntry({
    desk,
    viewOf,
    onEnter(session) {
      const view = viewOf(session);
      find(`[data-view="${view}"]`).append(find("#queue"));
      if (view === "reception") arrivals.start();
      else scanning.start(session);
      queue.start();
      disputes.start(session);
    },
    onLeave() {
      scanning.stop();
      arrivals.stop();
      queue.stop();
      disputes.stop();
    },
  });
  await entry.start();
}

start();
