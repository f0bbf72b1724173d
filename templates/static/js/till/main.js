// The till page: the till's enrolment, then charging and the last payments.

import { find, markField, nameOf, onSubmit, showProblem, showView } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";
import { startPage } from "../common/start.js";
import { makeCharging } from "./charging.js";
import { makePayments } from "./payments.js";
import { openTill } from "./till.js";

async function start() {
  const page = await startPage("vpass-till");
  if (!page) return;
  const till = await openTill(page);
  const payments = makePayments({ till });
  const charging = makeCharging({ till, onChange: payments.load, onLost });

  function describe() {
    const shown = till.till();
    find("#till-name").textContent = shown ? `${nameOf(shown.organisation)} · ${nameOf(shown)}` : "";
    find("#till-place").hidden = !till.isEnrolled();
  }

  function enter() {
    describe();
    showView("charge", { focus: false });
    charging.start();
    payments.load();
  }

  function onLost(error) {
    showView("enrol");
    showProblem(find("#enrol-form .problem"), error);
  }

  onSubmit(find("#enrol-form"), async () => {
    const input = find("#enrolment-code");
    // People type what they read in groups, and in small letters.
    const code = input.value.normalize("NFKC").toUpperCase().replace(/[^0-9A-Z]/g, "");
    markField(input, code ? null : t("desk.bad"));
    if (!code) return;
    await till.enrol(code);
    input.value = "";
    enter();
  });
  onLanguage(describe);

  if (till.isEnrolled()) enter();
  else showView("enrol", { focus: false });
}

start();
