// The counter page: the desk's enrolment, the clerk's sign-in, then scanning.

import { find, markField, nameOf, onSubmit, showProblem, showView } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { startPage } from "../common/start.js";
import { openDesk } from "./desk.js";
import { makeDisputes } from "./disputes.js";
import { makeScanning } from "./scanning.js";

async function start() {
  const page = await startPage("vpass-counter");
  if (!page) return;
  const desk = await openDesk(page);
  const scanning = makeScanning({ desk, onSessionOver });
  const disputes = makeDisputes({ desk });
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
    showView("scan", { focus: false });
    scanning.start(session);
    disputes.start(session);
  }

  async function leave() {
    session = null;
    scanning.stop();
    disputes.stop();
    await desk.endSession();
    askSignIn();
  }

  async function onSessionOver() {
    isOver = true;
    await leave();
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

  if (!desk.isEnrolled()) showView("desk", { focus: false });
  else if (!desk.hasSession()) askSignIn();
  else {
    try {
      await enter();
    } catch (error) {
      if (!error.code) throw error;
      if (error.status === 401) await leave();
      else {
        // The session may still hold: a reload will find it when the network is back.
        askSignIn();
        showProblem(find("#sign-in-form .problem"), error);
      }
    }
  }
}

start();
