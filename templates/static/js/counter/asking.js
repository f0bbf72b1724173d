// After an accepted scan: asks the resident's consent for more, and shows what was agreed to.

import { fieldName, find } from "../common/dom.js";
import { listed, onLanguage, t } from "../common/language.js";

const LOOK_MS = 2000;

/** Sets the button up; `onReleased(fields)` hears what was agreed to, `onWords(text)` the rest. */
export function makeAsking({ desk, onReleased, onWords }) {
  const button = find("#result-ask");
  let scan = null;
  let fields = [];
  let turn = 0;

  function draw() {
    button.hidden = !scan || !fields.length;
    button.textContent = t("counter.ask", { fields: listed(fields.map(fieldName)) });
  }

  const send = (path, body) =>
    desk.call("POST", path, { body, idempotencyKey: crypto.randomUUID() });

  async function wait(id, mine) {
    while (mine === turn) {
      const { state } = await desk.call("GET", `/consent-requests/${id}`);
      if (state !== "asked") return state;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return "left";
  }

  async function ask() {
    const mine = ++turn;
    button.hidden = true;
    onWords("counter.asking");
    try {
      const asked = await send("/consent-requests", { scan, fields });
      const state = await wait(asked.id, mine);
      if (mine !== turn) return;
      if (state === "approved") onReleased((await send(`/consent-requests/${asked.id}/release`, {})).fields);
      else onWords("counter.ask_over");
    } catch (error) {
      if (!error.code) throw error;
      if (mine === turn) onWords(null, error);
    }
  }

  button.addEventListener("click", ask);
  onLanguage(draw);

  return {
    /** A scan was accepted whose purpose allows asking for `more`; null forgets it. */
    offer(accepted, more = []) {
      turn += 1;
      scan = accepted;
      fields = more;
      draw();
    },
  };
}
