// Case shares: a department, a matter, a few fields; signed, sent, and what came of it.

import { fieldName, find, make, markField, nameOf, onSubmit, showProblem } from "../common/dom.js";
import { inLanguage, listed, moment, onLanguage, t } from "../common/language.js";

const LIFE_S = 24 * 3600 - 60;

/** Sets the view up. Gives {show}. */
export function makeSharing({ session }) {
  const to = find("#share-to");
  let recipients = [];
  let shares = [];

  const chosen = () => recipients[Number(to.value)];

  function drawFields() {
    const fields = chosen()?.fields ?? [];
    find("#share-fields").replaceChildren(
      ...fields.map((name) =>
        make(
          "label",
          { class: "check" },
          make("input", { type: "checkbox", name: "share-field", value: name }),
          make("span", {}, fieldName(name)),
        ),
      ),
    );
  }

  function drawRecipients() {
    const kept = to.value;
    to.replaceChildren(
      ...recipients.map((item, place) =>
        make("option", { value: place }, `${nameOf(item.organisation)} · ${inLanguage(item.purpose)}`),
      ),
    );
    if (kept) to.value = kept;
    drawFields();
  }

  function entry(share) {
    const words = [t(`share.state.${share.state}`)];
    if (share.result) words.push(t(`share.decision.${share.result.decision}`));
    if (share.result?.note) words.push(share.result.note);
    const withdraw = make("button", { type: "button", class: "quiet" }, t("share.withdraw"));
    withdraw.addEventListener("click", () => take(share));
    return make(
      "li",
      { class: "item" },
      make("strong", {}, nameOf(share.organisation)),
      make("span", {}, `${inLanguage(share.purpose)} · ${share.matter}`),
      make("span", {}, listed(share.fields.map(fieldName))),
      make("span", { class: "line-foot" }, `${moment(share.created_at)} — ${listed(words)}`),
      share.state === "offered" ? withdraw : null,
    );
  }

  function draw() {
    drawRecipients();
    find("#shares").replaceChildren(...shares.map(entry));
    find("#shares-none").hidden = shares.length > 0;
  }

  async function load() {
    const problem = find("#share-problem");
    showProblem(problem, null);
    try {
      const [offered, mine] = await Promise.all([
        session.call("GET", "/share-recipients?limit=100"),
        session.call("GET", "/case-shares?limit=20"),
      ]);
      recipients = offered.items;
      shares = mine.items;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  async function take(share) {
    try {
      const options = { body: {}, idempotencyKey: crypto.randomUUID() };
      await session.call("POST", `/case-shares/${share.id}/withdrawal`, options);
    } catch (error) {
      if (!error.code) throw error;
      showProblem(find("#share-problem"), error);
    }
    await load();
  }

  onSubmit(find("#share-form"), async () => {
    const matter = find("#share-matter");
    const boxes = document.querySelectorAll('input[name="share-field"]:checked');
    const fields = [...boxes].map((box) => box.value).sort();
    markField(matter, matter.value.trim() ? null : t("share.matter_missing"));
    const none = find("#share-fields-problem");
    none.hidden = fields.length > 0;
    none.textContent = fields.length ? "" : t("share.none");
    if (!matter.value.trim() || !fields.length) return;
    const { organisation, purpose } = chosen();
    const made = await session.callSigned("/case-shares", {
      typ: "vpass-share+jwt",
      member: "share",
      claims: {
        organisation: organisation.id,
        purpose: purpose.code,
        matter: matter.value.trim(),
        fields,
        expires_at: session.clock.seconds() + LIFE_S,
      },
    });
    matter.value = "";
    find("#share-made").hidden = false;
    find("#share-handle").textContent = made.handle;
    await load();
  });

  to.addEventListener("change", drawFields);
  find("#share-copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(find("#share-handle").textContent);
    find("#share-copied").textContent = t("share.copied");
  });
  onLanguage(draw);

  return {
    show() {
      find("#share-made").hidden = true;
      find("#share-copied").textContent = "";
      return load();
    },
  };
}
