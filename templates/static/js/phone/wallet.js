// The wallet's front: the big code, its countdown, and word of each use.

import { ALL_SCENES, makeCode, SCENES } from "../common/code.js";
import { explain, find, findAll, nameOf, shownView } from "../common/dom.js";
import { hasString, moment, onLanguage, t } from "../common/language.js";
import { drawQr } from "../common/qr_picture.js";
import { openGrant } from "./grant.js";

const RING_LENGTH = 2 * Math.PI * 19;
const WATCH_MS = 5000;
const CALM_WATCH_MS = 30000;
const ATTENTION_MS = 180000;
const CHOICES = { all: ALL_SCENES, no_pay: ALL_SCENES - SCENES.pay, id: SCENES.id };

/**
 * Starts the front on the view "code"; `onPaid` hears of each use at a till, `onSeen` of each at a
 * counter. Gives {show, me, announce, actFor, learnMe, stop}.
 */
export async function openWallet({ session, store, onPaid, onSeen }) {
  let me = (await store.get("me")) ?? { level: await store.get("level") };
  let shown = null; // {madeAt, grant}
  let problem = null;
  let isOffline = !navigator.onLine;
  let making = null;
  let newestLine;
  let watchAt = 0;
  let attentionUntil = 0;
  let wakeLock = null;
  const choice = (await store.get("scenes")) ?? "all";

  const grant = await openGrant({
    session,
    store,
    onChange(error) {
      problem = error;
      isOffline = error?.code === "network.unreachable";
      describe();
    },
  });

  const chosen = () => find('input[name="scenes"]:checked').value;
  const isVisible = () => shownView() === "code" && !document.hidden;

  function describe() {
    find("#pass-name").textContent = me.masked_name || t("code.title");
    const level = `code.level_${me.level}`;
    find("#pass-level").textContent = hasString(level) ? t(level) : "";
    const current = grant.current();
    const isDrawn = Boolean(current && shown);
    find("#qr").hidden = !isDrawn;
    find("#plate-note").hidden = isDrawn;
    if (!isDrawn) {
      const words = problem ? explain(problem) : { title: t("code.making"), next: "" };
      if (isOffline && !current) Object.assign(words, { title: t("code.none_title"), next: t("code.none_text") });
      find("#plate-title").textContent = words.title;
      find("#plate-text").textContent = words.next;
    }
    const until = current && moment(current.expiresAt, { dateStyle: "short", timeStyle: "short" });
    find("#offline-until").textContent =
      isOffline && current ? `${t("code.offline")} ${t("code.offline_until", { time: until })}` : "";
  }

  function announce(text) {
    find("#code-status").textContent = text;
  }

  async function renew() {
    const current = grant.current();
    if (!current) return;
    const madeAt = session.clock.now();
    const text = await makeCode({
      grant: current.encoded,
      privateKey: current.privateKey,
      issuedAt: Math.floor(madeAt / 1000),
      scenes: CHOICES[chosen()],
    });
    const width = find("#plate").clientWidth;
    shown = width ? { madeAt, grant: current } : null; // nobody looks: made anew when somebody does
    if (width) drawQr(find("#qr"), text, width);
    describe();
  }

  /** A new code at once; one at a time. */
  function renewNow() {
    making ??= renew().finally(() => (making = null));
    return making;
  }

  function drawCountdown(leftMs, wholeMs) {
    const left = Math.max(0, Math.min(leftMs, wholeMs));
    const seconds = Math.ceil(left / 1000);
    const hand = find("#ring");
    hand.setAttribute("stroke-dasharray", RING_LENGTH);
    hand.setAttribute("stroke-dashoffset", RING_LENGTH * (1 - left / wholeMs));
    find("#ring-seconds").textContent = seconds;
    find("#countdown").textContent = t("code.countdown", { s: seconds });
  }

  async function watch() {
    try {
      const { items } = await session.call("GET", "/access-log?limit=1");
      isOffline = false;
      const newest = items[0]?.id ?? null;
      if (newestLine !== undefined && newest !== newestLine) await tellUse(items[0]);
      newestLine = newest;
    } catch (error) {
      if (!error.code) throw error;
      isOffline = error.code === "network.unreachable";
      watchAt = Date.now() + Math.max(CALM_WATCH_MS, error.retryAfter * 1000);
    }
    describe();
  }

  async function tellUse(line) {
    if (line.scene === "own") return;
    const where = [nameOf(line.organisation), nameOf(line.place)].filter(Boolean).join(" · ");
    const time = moment(line.at, { timeStyle: "short" });
    const key = line.outcome === "accepted" ? "code.used" : "code.refused";
    announce(t(key, { where: `${where} ${time}` }));
    if (line.scene === "pay") onPaid();
    if (line.scene === "id" && line.outcome === "accepted") onSeen();
    grant.spend();
    await renewNow(); // the code just shown is spent
  }

  async function tick() {
    if (!isVisible()) return;
    grant.keepFresh();
    const current = grant.current();
    find("#renew").disabled = !current;
    if (!current) {
      shown = null;
      describe();
      return;
    }
    const age = shown ? session.clock.now() - shown.madeAt : Infinity;
    if (age >= current.rotateEveryMs || age < 0 || shown.grant !== current) {
      await renewNow();
    }
    if (!shown) return;
    drawCountdown(shown.madeAt + current.rotateEveryMs - session.clock.now(), current.rotateEveryMs);
    if (Date.now() >= watchAt && navigator.onLine) {
      watchAt = Date.now() + (Date.now() < attentionUntil ? WATCH_MS : CALM_WATCH_MS);
      watch();
    }
  }

  async function keepAwake() {
    if (!isVisible() || !navigator.wakeLock || wakeLock) return;
    try {
      wakeLock = await navigator.wakeLock.request("screen");
      wakeLock.addEventListener("release", () => (wakeLock = null));
    } catch {
      // a low battery may refuse it; the code is shown all the same
    }
  }

  function attend() {
    attentionUntil = Date.now() + ATTENTION_MS;
    grant.hurry();
    watchAt = 0;
    keepAwake();
    tick();
  }

  async function learnMe() {
    try {
      me = await session.call("GET", "/me");
      await store.put("me", me);
      await store.put("level", me.level);
      describe();
    } catch (error) {
      if (!error.code) throw error;
    }
  }

  find(`input[name="scenes"][value="${choice}"]`).checked = true;
  for (const input of findAll('input[name="scenes"]')) {
    input.addEventListener("change", async () => {
      await store.put("scenes", chosen());
      await renewNow();
    });
  }
  find("#acting-stop").addEventListener("click", () => {
    grant.actFor(null);
    shown = null;
    find("#acting-now").hidden = true;
  });
  find("#renew").addEventListener("click", async () => {
    await renewNow();
    announce(t("code.renewed"));
    attentionUntil = Date.now() + ATTENTION_MS;
  });
  document.addEventListener("visibilitychange", attend);
  window.addEventListener("online", () => {
    isOffline = false;
    attend();
  });
  window.addEventListener("offline", () => {
    isOffline = true;
    describe();
  });
  window.addEventListener("resize", () => {
    if (shown && isVisible()) renewNow();
    else shown = null; // drawn for another size
  });
  onLanguage(() => {
    describe();
    announce("");
  });
  const timer = setInterval(tick, 250);

  return {
    me: () => me,
    announce,
    learnMe,
    /** Shows the code of {id, who}, or with null the resident's own. */
    actFor(other) {
      grant.actFor(other?.id ?? null);
      shown = null;
      find("#acting-now").hidden = !other;
      find("#acting-who").textContent = other ? t("acting.now", other) : "";
    },
    show() {
      describe();
      attend();
    },
    stop: () => clearInterval(timer),
  };
}
