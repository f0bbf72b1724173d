// A merchant's app asks for leave to ask for payments: shown over everything, then given or not.

import { find, nameOf, showProblem } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const IN_LINK = /^#leave=([0-9a-f-]{36})$/;

/** Sets the sheet up. Gives {attend}. */
export function makeGivingLeave({ session }) {
  const sheet = find("#leave");
  const problem = find("#leave-problem");
  let merchant = null;
  let handle = null;
  let isBusy = false;

  function draw() {
    if (!merchant) return;
    find("#leave-who").textContent = nameOf(merchant);
    find("#leave-handle").textContent = handle ?? "";
    find("#leave-given").hidden = !handle;
    find("#leave-yes").hidden = Boolean(handle);
    find("#leave-no").textContent = t(handle ? "leave.close" : "leave.no");
  }

  async function attempt(work) {
    if (isBusy) return;
    isBusy = true;
    showProblem(problem, null);
    try {
      await work();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    } finally {
      isBusy = false;
    }
    draw();
  }

  async function give() {
    const body = { merchant_id: merchant.id };
    const given = await session.call("POST", "/payer-handles", { body, idempotencyKey: crypto.randomUUID() });
    handle = given.handle;
  }

  find("#leave-yes").addEventListener("click", () => attempt(give));
  find("#leave-no").addEventListener("click", () => sheet.close());
  find("#leave-copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(handle);
    find("#leave-copied").textContent = t("share.copied");
  });
  onLanguage(draw);

  return {
    /** Asks about the merchant by whose link the page was opened, if it was. */
    async attend() {
      const [, id] = IN_LINK.exec(location.hash) ?? [];
      if (!id || sheet.open) return;
      history.replaceState(null, "", "#money");
      merchant = { id };
      handle = null;
      find("#leave-copied").textContent = "";
      await attempt(async () => {
        const found = await session.call("GET", `/payer-handles/${id}`);
        merchant = found.merchant;
        if (found.is_given) await give(); // the same again
      });
      find("#leave-yes").disabled = merchant.zh === undefined;
      sheet.showModal();
    },
  };
}
