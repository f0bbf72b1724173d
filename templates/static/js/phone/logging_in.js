// Logging in elsewhere: what a page asks is shown over everything, then signed or refused; and the
// list of where the resident is logged in.

import { fieldName, find, make, markField, nameOf, showProblem } from "../common/dom.js";
import { hasString, inLanguage, listed, moment, onLanguage, t } from "../common/language.js";

const IN_LINK = /^#login=(VPL1\.[\w-]{43})$/;
const LIVE = ["approved", "signed_in"];

/** Sets the sheet and the list up; `onDecided` hears the words of each outcome. Gives {attend, show}. */
export function makeLoggingIn({ session, onDecided }) {
  const sheet = find("#login");
  const number = find("#login-number");
  let asked = null;
  let isBusy = false;
  let logins = [];

  const nameParty = (login) => `${nameOf(login.organisation)} · ${login.relying_party.name}`;

  function draw() {
    if (!asked) return;
    find("#login-who").textContent = nameParty(asked);
    find("#login-purpose").textContent = inLanguage(asked.purpose);
    find("#login-fields").textContent = asked.fields.length
      ? listed(asked.fields.map(fieldName))
      : t("login.no_fields");
    const level = `code.level_${asked.level}`;
    find("#login-level").textContent = hasString(level) ? t(level) : String(asked.level);
  }

  function close(key) {
    const who = nameParty(asked);
    asked = null;
    number.value = "";
    if (sheet.open) sheet.close();
    onDecided(t(key, { who }));
  }

  /** Signs exactly what the sheet shows. */
  function approve() {
    return session.callSigned(`/logins/${asked.id}/approval`, {
      typ: "vpass-login+jwt",
      member: "approval",
      claims: {
        login: asked.id,
        relying_party: asked.relying_party.client_id,
        organisation: asked.organisation.id,
        purpose: asked.purpose.code,
        fields: asked.fields,
        level: asked.level,
        number: number.value.trim(),
      },
    });
  }

  function post(login, step) {
    const options = { body: {}, idempotencyKey: crypto.randomUUID() };
    return session.call("POST", `/logins/${login.id}/${step}`, options);
  }

  async function decide(work, key) {
    if (isBusy || !asked) return;
    isBusy = true;
    showProblem(find("#login-problem"), null);
    try {
      await work();
      close(key);
    } catch (error) {
      if (!error.code) throw error;
      const isOver = ["login.over", "login.number_wrong", "caller.level_too_low"].includes(error.code);
      if (isOver) close(`login.phone.${error.code}`);
      else showProblem(find("#login-problem"), error);
    } finally {
      isBusy = false;
    }
  }

  function tick() {
    if (!asked) return;
    const left = Math.ceil((Date.parse(asked.expires_at) - session.clock.now()) / 1000);
    find("#login-left").textContent = t("ask.left", { s: Math.max(0, left) });
    if (left <= 0 && !isBusy) close("login.phone.login.over");
  }

  function entry(login) {
    const stop = make("button", { type: "button", class: "quiet" }, t("login.end"));
    stop.addEventListener("click", () => end(login));
    return make(
      "li",
      { class: "item" },
      make("strong", {}, nameParty(login)),
      make("span", {}, `${inLanguage(login.purpose)} · ${listed(login.fields.map(fieldName))}`),
      make("span", { class: "line-foot" }, `${moment(login.begun_at)} — ${t(`login.state.${login.state}`)}`),
      LIVE.includes(login.state) ? stop : null,
    );
  }

  function drawList() {
    find("#logins").replaceChildren(...logins.map(entry));
    find("#logins-none").hidden = logins.length > 0;
  }

  async function load() {
    showProblem(find("#logins-problem"), null);
    try {
      ({ items: logins } = await session.call("GET", "/logins?limit=50"));
      drawList();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#logins-problem"), error);
    }
  }

  async function end(login) {
    try {
      await post(login, "withdrawal");
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#logins-problem"), error);
    }
    await load();
  }

  find("#login-yes").addEventListener("click", () => {
    const isRead = /^[0-9]{2}$/.test(number.value.trim());
    markField(number, isRead ? null : t("login.number_missing"));
    if (isRead) decide(approve, "login.phone.approved");
  });
  find("#login-no").addEventListener("click", () => decide(() => post(asked, "refusal"), "login.phone.refused"));
  sheet.addEventListener("cancel", (event) => event.preventDefault());
  onLanguage(() => {
    draw();
    drawList();
  });
  setInterval(tick, 500);

  return {
    /** Asks about the login whose link was opened, if one was. */
    async attend() {
      const found = IN_LINK.exec(location.hash);
      if (!found || asked) return;
      history.replaceState(null, "", "#code");
      try {
        asked = await session.call("POST", "/login-looks", { body: { handle: found[1] } });
        showProblem(find("#login-problem"), null);
        draw();
        if (!sheet.open) sheet.showModal();
      } catch (error) {
        if (!error.code) throw error;
        onDecided(t("login.phone.login.over"));
      }
    },
    show: load,
  };
}
