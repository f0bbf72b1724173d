// Acting for others: who acts for whom, offers to take, and whose code the phone shows.

import { find, make, markField, onSubmit, showProblem } from "../common/dom.js";
import { moment, onLanguage, t } from "../common/language.js";

const CHILD_DAYS = 180;
const CARE_DAYS = 90;

/** Sets the view up; `onShow` hears whose code to show: {id, who}. Gives {show}. */
export function makeActing({ session, onShow }) {
  let items = [];

  const nameOfOther = (item) => item.enterprise?.name ?? item.principal ?? "";

  function describe(item) {
    if (["delegate", "offered"].includes(item.role)) return t("acting.you_for", { who: nameOfOther(item) });
    return t("acting.for_you", { who: item.delegate ?? t("acting.unknown") });
  }

  function button(key, kind, work) {
    const made = make("button", { type: "button", class: kind }, t(key));
    made.addEventListener("click", work);
    return made;
  }

  function buttons(item) {
    const found = [];
    if (item.role === "offered" && item.state === "offered") {
      found.push(button("acting.accept", "main", () => accept(item)));
      found.push(button("acting.decline", "quiet", () => end(item, "refusal")));
      return found;
    }
    if (item.role === "delegate" && item.state === "active") {
      found.push(button("acting.code", "main", () => onShow({ id: item.id, who: nameOfOther(item) })));
    }
    if (["offered", "active"].includes(item.state)) {
      found.push(button("acting.revoke", "danger", () => end(item, "revocation")));
    }
    return found;
  }

  function entry(item) {
    const until = t("acting.until", { time: moment(item.expires_at, { dateStyle: "medium" }) });
    const state = `${t(`acting.state.${item.state}`)} — ${until}`;
    return make(
      "li",
      { class: "item" },
      make("strong", {}, `${t(`acting.kind.${item.kind}`)} · ${describe(item)}`),
      make("span", { class: "line-foot" }, state),
      make("div", { class: "pair" }, ...buttons(item)),
    );
  }

  function draw() {
    find("#acting").replaceChildren(...items.map(entry));
    find("#acting-none").hidden = items.length > 0;
  }

  async function attempt(work) {
    const problem = find("#acting-problem");
    showProblem(problem, null);
    try {
      if (work) await work();
      items = (await session.call("GET", "/delegations?limit=50")).items;
      draw();
    } catch (error) {
      if (!error.code) throw error;
      showProblem(problem, error);
    }
  }

  const accept = (item) =>
    attempt(() =>
      session.callSigned(`/delegations/${item.id}/acceptance`, {
        typ: "vpass-delegation-accept+jwt",
        member: "acceptance",
        claims: { delegation: item.id },
      }),
    );

  const end = (item, way) =>
    attempt(() => {
      const options = { body: {}, idempotencyKey: crypto.randomUUID() };
      return session.call("POST", `/delegations/${item.id}/${way}`, options);
    });

  const offer = (kind, subject, days, others) =>
    session.callSigned("/delegations", {
      typ: "vpass-delegation+jwt",
      member: "request",
      claims: {
        kind,
        subject,
        scenes: ["id"],
        purposes: [],
        expires_at: session.clock.seconds() + days * 86400,
      },
      ...others,
    });

  onSubmit(find("#child-form"), async () => {
    const name = find("#child-name");
    const number = find("#child-number");
    const typed = number.value.normalize("NFKC").replace(/\s/g, "").toUpperCase();
    markField(number, typed ? null : t("acting.missing"));
    markField(name, name.value.trim() ? null : t("acting.missing"));
    if (!typed || !name.value.trim()) return;
    await offer("child", typed, CHILD_DAYS, { child_name: name.value.trim() });
    name.value = number.value = "";
    await attempt();
  });

  onSubmit(find("#carer-form"), async () => {
    const phone = find("#carer-phone");
    const typed = phone.value.normalize("NFKC").replace(/\D/g, "");
    markField(phone, typed ? null : t("acting.missing"));
    if (!typed) return;
    await offer("care", typed, CARE_DAYS, {});
    phone.value = "";
    await attempt();
  });
  onLanguage(draw);

  return { show: () => attempt() };
}
