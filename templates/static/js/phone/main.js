// The phone page: decides what to show, and goes where the tabs lead.

import { find, findAll, make, shownView, showView } from "../common/dom.js";
import { hasString, onLanguage, t } from "../common/language.js";
import { startPage } from "../common/start.js";
import { makeAccessLog } from "./access_log.js";
import { makeActing } from "./acting.js";
import { makeAsking } from "./asking.js";
import { makeBills } from "./bills.js";
import { makeConfirming } from "./confirming.js";
import { makeEnrolment } from "./enrolment.js";
import { makeGivingLeave } from "./giving_leave.js";
import { makeLoggingIn } from "./logging_in.js";
import { makeMoney } from "./money.js";
import { makePayCode } from "./pay_code.js";
import { makePin } from "./pin.js";
import { makePresence } from "./presence.js";
import { makeRaising } from "./raising.js";
import { makeScan } from "./scan.js";
import { openSession } from "./session.js";
import { makeSharing } from "./sharing.js";
import { makeVisits } from "./visits.js";
import { openWallet } from "./wallet.js";
import { makeWithdrawing } from "./withdrawing.js";

const IDENTITY_LEVEL = 2;
const DETAILS = { log: "line", visits: "service", bills: "bill" };
// Views that a tab leads to in two steps
const UNDER = { bills: "money", pin: "money", withdraw: "money", scan: "code" };
const VIEWS = [
  "log", "me", "money", "bills", "visits", "sharing", "acting", "logins", "pin", "withdraw", "scan",
];

function drawFacts(me) {
  const rows = [
    ["me.name", me.masked_name],
    ["me.phone", me.masked_phone],
    ["me.level", hasString(`code.level_${me.level}`) ? t(`code.level_${me.level}`) : ""],
    ["me.device", t("me.device_text")],
  ];
  find("#facts").replaceChildren(
    ...rows
      .filter(([, value]) => value)
      .map(([key, value]) => make("div", {}, make("dt", {}, t(key)), make("dd", {}, value))),
  );
}

async function start() {
  const page = await startPage("vpass-phone");
  if (!page) return;
  const { store, publicUrl } = page;
  const session = await openSession({ store, publicUrl, onLost });
  const log = makeAccessLog({ session });
  const money = makeMoney({ session });
  const visits = makeVisits({ session });
  const confirming = makeConfirming({ session, onDecided });
  const payCode = makePayCode({ session });
  const pin = makePin({ session, onSet: () => confirming.look() });
  const leave = makeGivingLeave({ session });
  const withdrawing = makeWithdrawing({ session });
  const scan = makeScan({ session, onBegun: (id) => confirming.ask(id) });
  const bills = makeBills({ session, onOpened: () => confirming.look() });
  const asking = makeAsking({ session, onDecided: (words) => wallet.announce(words) });
  const loggingIn = makeLoggingIn({ session, onDecided: (words) => wallet.announce(words) });
  const presence = makePresence({ session, onDecided: (words) => wallet.announce(words) });
  const sharing = makeSharing({ session });
  const acting = makeActing({ session, onShow });
  const raising = makeRaising({ session, onLevel });
  let wallet = null;
  const enrolment = makeEnrolment({ session, store, onDone: enter });

  function onLost() {
    find("#tabs").hidden = true;
    wallet?.stop();
    showView("lost");
  }

  function onDecided(words) {
    wallet.announce(words);
    scan.say(words);
    if (shownView() === "pin") location.hash = "#code"; // where the words stand
    money.refresh();
    bills.refresh(words);
  }

  function onPaid() {
    payCode.spend();
    confirming.look();
  }

  function onShow(other) {
    wallet.actFor(other);
    location.hash = "#code";
  }

  async function onLevel(level) {
    await store.put("level", level);
    if (!wallet) await enter(level);
    else wallet.learnMe().then(drawMe);
  }

  function drawMe() {
    drawFacts(wallet.me());
    raising.show(wallet.me().level);
  }

  async function enter(level) {
    if (level < IDENTITY_LEVEL) {
      enrolment.askIdentity();
      return;
    }
    wallet ??= await openWallet({ session, store, onPaid, onSeen: asking.attend });
    confirming.look();
    asking.attend();
    loggingIn.attend();
    presence.attend();
    scan.attend();
    leave.attend();
    bills.look();
    find("#tabs").hidden = false;
    // Asks the browser not to clear the key away when the disk runs full.
    navigator.storage?.persist?.();
    wallet.learnMe().then(drawMe);
    go({ focus: true });
  }

  function go({ focus }) {
    if (!wallet) return;
    const [name, id] = location.hash.slice(1).split("/");
    const tab = VIEWS.includes(name) ? name : "code";
    for (const link of findAll("#tabs a")) {
      if (link.hash === `#${UNDER[tab] ?? tab}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    showView((id && DETAILS[tab]) || tab, { focus });
    scan.rest(); // no camera and no digit of a PIN outlives its view
    pin.rest();
    if (tab === "code") wallet.show();
    else if (tab === "me") drawMe();
    else if (tab === "sharing") sharing.show();
    else if (tab === "acting") acting.show();
    else if (tab === "logins") loggingIn.show();
    else if (tab === "pin") pin.show();
    else if (tab === "withdraw") withdrawing.show();
    else if (tab === "money") {
      money.show();
      confirming.look();
    }
    else if (tab === "bills") bills.show(id);
    else if (tab === "visits") visits.show(id);
    else if (tab === "log" && id) log.showLine(id);
    else if (tab === "log") log.showList();
  }

  async function startOver() {
    await session.forget();
    location.replace("/phone/");
  }

  window.addEventListener("hashchange", () => {
    if (wallet) {
      loggingIn.attend();
      presence.attend();
      scan.attend();
      leave.attend();
    }
    go({ focus: true });
  });
  onLanguage(() => wallet && drawMe());
  find("#enrol-again").addEventListener("click", startOver);
  find("#reset-yes").addEventListener("click", startOver);
  find("#reset").addEventListener("click", () => {
    find("#reset").hidden = true;
    find("#reset-sure").hidden = false;
    find("#reset-no").focus();
  });
  find("#reset-no").addEventListener("click", () => {
    find("#reset").hidden = false;
    find("#reset-sure").hidden = true;
    find("#reset").focus();
  });

  if (await session.isEnrolled()) await enter((await store.get("level")) ?? 1);
  else await enrolment.start();
}

start();
navigator.serviceWorker?.register("/phone/service-worker.js", { scope: "/phone/" }).catch(() => {
  // without it the page works, only not offline
});
