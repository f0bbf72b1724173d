// The way into a desk's page: the browser is enrolled as a desk, then staff sign in and out.

import { find, markField, nameOf, onSubmit, showProblem, showView } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const SESSION_OVER = ["token.unknown", "caller.not_authenticated"];

/**
 * Sets the entry up. With a session the view `viewOf(session)` is shown and `onEnter(session)`
 * called; when it ends, `onLeave()`. Gives {start, judge}: `judge(problem)` leaves when the session
 * no longer holds, and says whether it does.
 */
export function makeEntry({ desk, viewOf, onEnter, onLeave }) {
  let session = null;
  let isOver = false;

  function describe() {
    const name = nameOf(desk.desk());
    const hall = nameOf(desk.desk()?.organisation);
    const place = [hall, name].filter(Boolean).join(" · ");
    find("#sign-in-desk").textContent = place;
    find("#session-desk").textContent = place;
    find("#session-staff").textContent = session?.staff.username ?? "";
    find("#sign-in-status").textContent = isOver ? t("signin.ended") : "";
  }

  function askSignIn() {
    find("#session").hidden = true;
    describe();
    showView("sign-in", { focus: false });
    find("#username").focus();
  }

  async function enter() {
    session = await desk.call("GET", "/sessions/current");
    isOver = false;
    find("#session").hidden = false;
    describe();
    showView(viewOf(session), { focus: false });
    onEnter(session);
  }

  async function leave() {
    session = null;
    onLeave();
    await desk.endSession();
    askSignIn();
  }

  onSubmit(find("#desk-form"), async () => {
    const input = find("#enrolment-code");
    // People type what they read in groups, and in small letters.
    const code = input.value.normalize("NFKC").toUpperCase().replace(/[^0-9A-Z]/g, "");
    markField(input, code ? null : t("desk.bad"));
    if (!code) return;
    await desk.enrol(code);
    input.value = "";
    askSignIn();
  });

  onSubmit(find("#sign-in-form"), async () => {
    const username = find("#username");
    const password = find("#password");
    const otp = find("#one-time-code");
    const oneTimeCode = otp.value.normalize("NFKC").replace(/\s/g, "");
    const isWhole = Boolean(username.value.trim() && password.value && /^\d{6}$/.test(oneTimeCode));
    markField(otp, isWhole ? null : t("signin.bad"));
    if (!isWhole) return;
    try {
      await desk.signIn({
        username: username.value.trim(),
        password: password.value,
        one_time_code: oneTimeCode,
      });
    } finally {
      otp.value = "";
    }
    password.value = "";
    await enter();
  });

  find("#new-desk").addEventListener("click", () => showView("desk"));
  find("#end").addEventListener("click", async () => {
    try {
      await desk.call("DELETE", "/sessions/current");
    } catch (error) {
      if (!error.code) throw error; // a session that is over, or out of reach, ends by itself
    }
    await leave();
  });
  onLanguage(describe);

  return {
    async start() {
      if (!desk.isEnrolled()) return showView("desk", { focus: false });
      if (!desk.hasSession()) return askSignIn();
      try {
        return await enter();
      } catch (error) {
        if (!error.code) throw error;
        if (error.status === 401) return leave();
        // The session may still hold: a reload will find it when the network is back.
        askSignIn();
        return showProblem(find("#sign-in-form .problem"), error);
      }
    },

    judge(problem) {
      if (!SESSION_OVER.includes(problem.code)) return true;
      isOver = true;
      leave();
      return false;
    },
  };
}
