// The payment PIN: set, changed, or set anew with a code by SMS, name and ID number.

import { find, markField, onSubmit, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { makeWord } from "../common/proofs.js";
import { isIdNumber, phoneNumber } from "./enrolment.js";
import { makePinPad } from "./pin_pad.js";

const PATH = "/payment-pin";
const RUNS = "01234567890987654321";

const isSimple = (pin) => new Set(pin).size === 1 || RUNS.includes(pin);

/** Sets the view "pin" up; `onSet` hears that one has been set. Gives {show, rest}. */
export function makePin({ session, onSet }) {
  const pad = makePinPad({ place: find("#pin-pad"), onPin });
  const form = find("#pin-reset");
  const problem = find("#pin-problem");
  const code = find("#pin-reset-code");
  let standing = null; // {is_set, is_locked}
  let wish = null; // what has been given so far; nothing of it is kept
  let enrolmentId = null;
  let said = "";

  function draw() {
    if (!standing) return;
    const state = standing.is_locked ? "locked" : standing.is_set ? "set" : "none";
    find("#pin-state").textContent = t(`pin.state_${state}`);
    find("#pin-actions").hidden = Boolean(wish);
    find("#pin-cancel").hidden = !wish;
    find("#pin-begin").hidden = standing.is_locked;
    find("#pin-begin").textContent = t(standing.is_set ? "pin.change" : "pin.set");
    find("#pin-forgotten").hidden = !standing.is_set;
    find("#pin-forgotten").className = standing.is_locked ? "main" : "quiet wide";
    find("#pin-status").textContent = said ? t(said) : "";
  }

  async function load() {
    try {
      standing = await session.call("GET", PATH);
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  /** Back to what stands; with words when something was done. */
  function rest(words = "") {
    wish = enrolmentId = null;
    said = words;
    pad.close();
    form.hidden = true;
    form.reset();
    showProblem(problem, null);
    draw();
  }

  function begin() {
    rest();
    wish = {};
    pad.ask(standing.is_set ? "pin.present" : "pin.new");
    draw();
  }

  function forget() {
    rest();
    wish = {};
    form.hidden = false;
    draw();
    find("#pin-reset-phone").focus();
  }

  /** The present one, where it is needed; a new one; the same once more. */
  function onPin(given) {
    showProblem(problem, null);
    if (standing.is_set && !wish.reset && !wish.present) {
      wish.present = given;
      if (wish.isSure) send();
      else pad.ask("pin.new");
    } else if (!wish.pin) {
      if (isSimple(given)) askNew("pin.new_simple");
      else {
        wish.pin = given;
        pad.ask("pin.again");
      }
    } else if (wish.pin === given) {
      wish.isSure = true;
      send();
    } else {
      askNew("pin.new_differ");
    }
  }

  function askNew(words) {
    wish.pin = null;
    wish.isSure = false;
    pad.ask(words);
  }

  async function send() {
    const { pin, present, reset } = wish;
    const key = await session.deviceKey();
    const url = `${session.publicUrl}/api/resident/v1${PATH}`;
    const body = async () => ({
      pin,
      ...(present ? { present_pin: present } : {}),
      ...(reset ? { reset } : {}),
      word: await makeWord({ key, url, typ: "vpass-pin+jwt", claims: {}, issuedAt: session.clock.seconds() - 1 }),
    });
    try {
      standing = await session.call("PUT", PATH, { body });
      rest("pin.done");
      onSet();
    } catch (error) {
      if (!error.code) throw error;
      await goBack(error);
    }
  }

  /** To the step that was refused. */
  async function goBack(error) {
    if (!wish) return; // the view was left meanwhile
    if (error.code === "payment_pin.too_simple") askNew("pin.new");
    else if (error.code === "payment_pin.wrong") {
      wish.present = null;
      pad.ask("pin.present");
    } else {
      pad.close();
      form.hidden = !wish.reset; // what was typed there stays
      wish = wish.reset ? {} : null;
      await load();
    }
    showProblem(problem, error);
    problem.scrollIntoView({ block: "center" });
  }

  find("#pin-reset-send").addEventListener("click", async () => {
    const input = find("#pin-reset-phone");
    const phone = phoneNumber(input.value);
    markField(input, phone ? null : t("enrol.phone_bad"));
    if (!phone) return;
    showProblem(problem, null);
    try {
      enrolmentId = (await session.introduce("POST", "/enrolments", { phone })).enrolment_id;
      find("#pin-reset-sent").textContent = t("enrol.resent");
      code.focus();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  });

  onSubmit(form, async () => {
    const name = find("#pin-reset-name");
    const number = find("#pin-reset-number");
    const digits = code.value.normalize("NFKC").replace(/\D/g, "");
    const realName = name.value.normalize("NFC").trim();
    const idNumber = number.value.normalize("NFKC").replace(/\s/g, "").toUpperCase();
    markField(number, isIdNumber(idNumber) ? null : t("enrol.id_bad"));
    markField(name, realName ? null : t("enrol.name_bad"));
    markField(code, digits.length === 6 ? null : t("enrol.otp_bad"));
    if (!enrolmentId) markField(find("#pin-reset-phone"), t("pin.reset_first"));
    if (!isIdNumber(idNumber) || !realName || digits.length !== 6 || !enrolmentId) return;
    wish.reset = {
      enrolment_id: enrolmentId,
      one_time_code: digits,
      real_name: realName,
      id_number: idNumber,
    };
    form.hidden = true;
    find("#pin-reset-sent").textContent = "";
    pad.ask("pin.new");
  });

  find("#pin-begin").addEventListener("click", begin);
  find("#pin-forgotten").addEventListener("click", forget);
  find("#pin-cancel").addEventListener("click", () => rest());
  onLanguage(draw);

  return { show: load, rest };
}
