// At a counter that shows a code: what it asks is shown over everything, then signed or let go.

import { fieldName, find, nameOf, showProblem } from "../common/dom.js";
import { inLanguage, listed, onLanguage, t } from "../common/language.js";

const IN_LINK = /^#counter=(VPN1\.[\w-]{43})$/;

/** Sets the sheet up; `onDecided` hears the words of each outcome. Gives {attend}. */
export function makePresence({ session, onDecided }) {
  const sheet = find("#presence");
  let asked = null;
  let nonce = "";
  let isBusy = false;

  function draw() {
    if (!asked) return;
    find("#presence-who").textContent = [nameOf(asked.organisation), nameOf(asked.place)].join(" · ");
    find("#presence-purpose").textContent = inLanguage(asked.purpose);
    find("#presence-fields").textContent = listed(asked.fields.map(fieldName));
    find("#presence-case").textContent = asked.case_number;
  }

  function close(key) {
    const who = nameOf(asked.organisation);
    asked = null;
    if (sheet.open) sheet.close();
    onDecided(t(key, { who }));
  }

  /** Signs exactly what the sheet shows, and the nonce that was read. */
  function sign() {
    return session.callSigned(`/reverse-scans/${asked.id}/answer`, {
      typ: "vpass-presence+jwt",
      member: "answer",
      claims: {
        nonce,
        organisation: asked.organisation.id,
        desk: asked.desk,
        purpose: asked.purpose.code,
        fields: asked.fields,
        case_number: asked.case_number,
      },
    });
  }

  async function answer() {
    if (isBusy || !asked) return;
    isBusy = true;
    showProblem(find("#presence-problem"), null);
    try {
      await sign();
      close("presence.signed");
    } catch (error) {
      if (!error.code) throw error;
      if (error.code === "reverse_scan.over") close("presence.over");
      else showProblem(find("#presence-problem"), error);
    } finally {
      isBusy = false;
    }
  }

  function tick() {
    if (!asked) return;
    const left = Math.ceil((Date.parse(asked.expires_at) - session.clock.now()) / 1000);
    find("#presence-left").textContent = t("ask.left", { s: Math.max(0, left) });
    if (left <= 0 && !isBusy) close("presence.over");
  }

  find("#presence-yes").addEventListener("click", answer);
  find("#presence-no").addEventListener("click", () => asked && close("presence.let_go"));
  sheet.addEventListener("cancel", (event) => event.preventDefault());
  onLanguage(draw);
  setInterval(tick, 500);

  return {
    /** Asks about the counter whose code was read, if one was. */
    async attend() {
      const found = IN_LINK.exec(location.hash);
      if (!found || asked) return;
      history.replaceState(null, "", "#code");
      try {
        nonce = found[1];
        asked = await session.call("POST", "/reverse-scan-looks", { body: { nonce } });
        showProblem(find("#presence-problem"), null);
        draw();
        if (!sheet.open) sheet.showModal();
      } catch (error) {
        if (!error.code) throw error;
        onDecided(t("presence.over"));
      }
    },
  };
}
