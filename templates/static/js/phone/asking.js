// What an organisation asks after a scan: shown over everything, then signed or refused.

import { fieldName, find, nameOf, showProblem } from "../common/dom.js";
import { inLanguage, listed, onLanguage, t } from "../common/language.js";

const LOOK_MS = 3000;
const ATTENTION_MS = 600000; // a scan may be followed by a request for ten minutes

/** Sets the sheet up; `onDecided` hears the words of each outcome. Gives {attend}. */
export function makeAsking({ session, onDecided }) {
  const sheet = find("#ask");
  let asked = null;
  let isBusy = false;
  let attentionUntil = 0;
  let lookAt = 0;

  function draw() {
    if (!asked) return;
    find("#ask-who").textContent = [nameOf(asked.organisation), nameOf(asked.place)].join(" · ");
    find("#ask-purpose").textContent = inLanguage(asked.purpose);
    find("#ask-fields").textContent = listed(asked.fields.map(fieldName));
    find("#ask-case").textContent = asked.case_number ?? "–";
  }

  function close(key) {
    const who = nameOf(asked.organisation);
    asked = null;
    if (sheet.open) sheet.close();
    onDecided(t(key, { who }));
  }

  async function look() {
    try {
      const { items } = await session.call("GET", "/consents?limit=1");
      const found = items[0];
      const isNew = found?.state === "asked" && Date.parse(found.expires_at) > session.clock.now();
      if (asked || !isNew) return;
      asked = found;
      showProblem(find("#ask-problem"), null);
      draw();
      if (!sheet.open) sheet.showModal();
    } catch (error) {
      if (!error.code) throw error; // the next look will tell
    }
  }

  /** Signs exactly what the sheet shows. */
  function approve() {
    return session.callSigned(`/consents/${asked.id}/approval`, {
      typ: "vpass-consent+jwt",
      member: "approval",
      claims: {
        consent: asked.id,
        organisation: asked.organisation.id,
        purpose: asked.purpose.code,
        fields: asked.fields,
      },
    });
  }

  function refuse() {
    const options = { body: {}, idempotencyKey: crypto.randomUUID() };
    return session.call("POST", `/consents/${asked.id}/refusal`, options);
  }

  async function decide(work, key) {
    if (isBusy || !asked) return;
    isBusy = true;
    showProblem(find("#ask-problem"), null);
    try {
      await work();
      close(key);
    } catch (error) {
      if (!error.code) throw error;
      if (error.code === "consent.over") close("ask.gone");
      else showProblem(find("#ask-problem"), error);
    } finally {
      isBusy = false;
    }
  }

  function tick() {
    if (asked) {
      const left = Math.ceil((Date.parse(asked.expires_at) - session.clock.now()) / 1000);
      find("#ask-left").textContent = t("ask.left", { s: Math.max(0, left) });
      if (left <= 0 && !isBusy) close("ask.gone");
    } else if (Date.now() < attentionUntil && Date.now() >= lookAt && !document.hidden) {
      lookAt = Date.now() + LOOK_MS;
      look();
    }
  }

  find("#ask-yes").addEventListener("click", () => decide(approve, "ask.approved"));
  find("#ask-no").addEventListener("click", () => decide(refuse, "ask.refused"));
  sheet.addEventListener("cancel", (event) => event.preventDefault());
  onLanguage(draw);
  setInterval(tick, 500);

  return {
    /** Looks now, and for ten minutes after a scan. */
    attend() {
      attentionUntil = Date.now() + ATTENTION_MS;
      lookAt = 0;
    },
  };
}
