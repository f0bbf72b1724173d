// Enrolment in three steps: phone number, one-time code, real name and ID number.

import { find, findAll, markField, onSubmit, showProblem, showView } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const PHONE = /^1[3-9]\d{9}$/;
const RESEND_AFTER_MS = 60000;

/** Whether an ID number is complete and its check digit right (GB 11643-1999, ISO 7064 MOD 11-2). */
export function isIdNumber(text) {
  if (!/^[1-9]\d{16}[\dX]$/.test(text)) return false;
  const sum = [...text.slice(0, 17)].reduce((all, digit, at) => all + digit * 2 ** (17 - at), 0);
  return "10X98765432"[sum % 11] === text[17];
}

/** The eleven digits in what a person typed as a mobile number, or null. */
export function phoneNumber(text) {
  const digits = text.normalize("NFKC").replace(/^\s*\+?86(?=\D*1)/, "").replace(/\D/g, "");
  return PHONE.test(digits) ? digits : null;
}

/** Sets the three forms up; `onDone` hears of the level reached. Gives {start, askIdentity}. */
export function makeEnrolment({ session, store, onDone }) {
  let pending = null;
  let identityTry = null;

  const phoneText = () => pending.phone.replace(/^(\d{3})(\d{4})/, "$1 $2 ");

  function describe() {
    for (const step of findAll("[data-step]")) step.textContent = t("enrol.step", { n: step.dataset.step });
    if (pending) find("#otp-text").textContent = t("enrol.otp_text", { phone: phoneText() });
    countDown();
  }

  function countDown() {
    if (!pending) return;
    const waitS = Math.ceil((pending.sentAt + RESEND_AFTER_MS - Date.now()) / 1000);
    const button = find("#resend");
    button.disabled = waitS > 0;
    button.textContent = waitS > 0 ? t("enrol.resend_in", { s: waitS }) : t("enrol.resend");
  }

  async function sendCode(phone) {
    const answer = await session.introduce("POST", "/enrolments", { phone });
    pending = { id: answer.enrolment_id, phone, sentAt: Date.now() };
    await store.put("enrolment", pending);
  }

  function askCode() {
    describe();
    showView("one-time-code");
    find("#otp").value = "";
    find("#otp").focus();
  }

  /** A lost answer may have bound the key already: then the key alone gets a token. */
  async function recover(problem) {
    const mayBeBound =
      problem.isUncertain || ["enrolment.over", "device.already_bound"].includes(problem.code);
    if (!mayBeBound) throw problem;
    try {
      await session.renew();
    } catch {
      throw problem;
    }
  }

  onSubmit(find("#phone-form"), async () => {
    const input = find("#phone");
    const phone = phoneNumber(input.value);
    markField(input, phone ? null : t("enrol.phone_bad"));
    if (!phone) return;
    await sendCode(phone);
    askCode();
  });

  onSubmit(find("#otp-form"), async () => {
    const input = find("#otp");
    const code = input.value.normalize("NFKC").replace(/\D/g, "");
    markField(input, code.length === 6 ? null : t("enrol.otp_bad"));
    if (code.length !== 6) return;
    try {
      const path = `/enrolments/${pending.id}/phone-proof`;
      await session.keepToken(await session.introduce("POST", path, { one_time_code: code }));
    } catch (error) {
      if (!error.code) throw error;
      await recover(error);
    }
    await store.remove("enrolment");
    pending = null;
    onDone(await store.get("level"));
  });

  onSubmit(find("#identity-form"), async () => {
    const name = find("#real-name");
    const number = find("#id-number");
    const realName = name.value.normalize("NFC").trim();
    const idNumber = number.value.normalize("NFKC").replace(/\s/g, "").toUpperCase();
    markField(name, realName ? null : t("enrol.name_bad"));
    markField(number, isIdNumber(idNumber) ? null : t("enrol.id_bad"));
    if (!realName || !isIdNumber(idNumber)) return;
    const body = { real_name: realName, id_number: idNumber };
    const same = JSON.stringify(body);
    // The same form sent again is the same request: it must not be asked or counted twice.
    if (identityTry?.same !== same) identityTry = { same, key: crypto.randomUUID() };
    const answer = await session
      .call("POST", "/identity-proofs", { body, idempotencyKey: identityTry.key })
      .catch((problem) => {
        if (problem.code === "identity.already_proven") return { level: 2 };
        throw problem;
      });
    identityTry = null;
    name.value = number.value = "";
    await store.put("level", answer.level);
    onDone(answer.level);
  });

  find("#resend").addEventListener("click", async () => {
    const alert = find("#otp-form .problem");
    showProblem(alert, null);
    try {
      await sendCode(pending.phone);
      find("#resent").textContent = t("enrol.resent");
      find("#otp").focus();
      describe();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(alert, error);
    }
  });

  find("#other-phone").addEventListener("click", async () => {
    await store.remove("enrolment");
    pending = null;
    showView("start");
    find("#phone").focus();
  });

  onLanguage(describe);
  setInterval(countDown, 1000);

  return {
    /** Goes on where the person left off. */
    async start() {
      pending = (await store.get("enrolment")) ?? null;
      describe();
      if (pending) askCode();
      else showView("start", { focus: false });
    },
    askIdentity() {
      describe();
      showView("identity");
    },
  };
}
