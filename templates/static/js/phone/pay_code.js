// The 18-digit pay code for tills that read bars only: fetched while it is open, and no longer.

import { drawBars } from "../common/bar_picture.js";
import { find, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const HEIGHT = 88;
const SPARE_MS = 10000; // a code that a till reads at the last moment must still be good
const RETRY_MS = 5000;

/** Sets the card below the code up. Gives {spend}, for a code that a till has used. */
export function makePayCode({ session }) {
  const card = find("#bars-card");
  const button = find("#bars-open");
  let code = null; // {digits, freshUntil}
  let isAsked = false;
  let retryAt = 0;

  const isVisible = () => card.offsetParent !== null && !document.hidden;

  function draw() {
    button.textContent = t(card.hidden ? "bars.open" : "bars.close");
    button.setAttribute("aria-expanded", String(!card.hidden));
    find("#bars-plate").hidden = !code;
    find("#bars-digits").textContent = code ? code.digits.replace(/(\d{4})(?=\d)/g, "$1 ") : "";
    if (!code) return;
    drawBars(find("#bars"), code.digits, find("#bars-plate").clientWidth, HEIGHT);
    countDown();
  }

  function countDown() {
    const seconds = Math.max(0, Math.ceil((code.freshUntil - session.clock.now()) / 1000));
    find("#bars-left").textContent = t("bars.left", { s: seconds });
  }

  /** What was shown is worth nothing any more. */
  function spend() {
    code = null;
    draw();
  }

  async function fetchOne() {
    isAsked = true;
    try {
      const options = { body: {}, idempotencyKey: crypto.randomUUID() };
      const issued = await session.call("POST", "/pay-codes", options);
      showProblem(find("#bars-problem"), null);
      if (!card.hidden) code = { digits: issued.code, freshUntil: Date.parse(issued.expires_at) - SPARE_MS };
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#bars-problem"), error);
      retryAt = Date.now() + Math.max(RETRY_MS, error.retryAfter * 1000);
    } finally {
      isAsked = false;
    }
    draw();
  }

  function tick() {
    if (!isVisible()) {
      if (code) spend();
      return;
    }
    const isFresh = code && code.freshUntil > session.clock.now();
    if (isFresh) countDown();
    else if (code && code.freshUntil + SPARE_MS <= session.clock.now()) {
      spend(); // nothing is shown that no till takes
    }
    if (!isFresh && !isAsked && Date.now() >= retryAt) fetchOne();
  }

  button.addEventListener("click", () => {
    card.hidden = !card.hidden;
    showProblem(find("#bars-problem"), null);
    spend();
    tick();
    if (!card.hidden) card.scrollIntoView({ block: "center" });
  });
  window.addEventListener("resize", () => isVisible() && draw());
  onLanguage(draw);
  draw();
  setInterval(tick, 250);

  return { spend };
}
