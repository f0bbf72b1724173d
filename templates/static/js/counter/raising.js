// After a scan for it: the clerk has compared face, photo and document, and raises the level.

import { find, make } from "../common/dom.js";
import { onLanguage, t } from "../common/language.js";

const PURPOSE = "identity-check";
const ROLE = "registrar";
const DOCUMENTS = ["id_card", "temporary_id_card", "household_register", "passport"];

/** Sets the choice and its button up; `onWords(key, problem)` says below the scan how it went. */
export function makeRaising({ desk, onWords }) {
  const place = find("#raise");
  const kind = find("#raise-document");
  const button = find("#raise-go");
  let roles = [];
  let said = null;

  function draw() {
    const chosen = kind.value || DOCUMENTS[0];
    kind.replaceChildren(
      ...DOCUMENTS.map((name) => make("option", { value: name }, t(`document.${name}`))),
    );
    kind.value = chosen;
    place.hidden = !said;
  }

  async function raise() {
    const { scan, caseNumber, key } = said;
    button.disabled = true;
    try {
      const body = { scan, document_kind: kind.value, case_number: caseNumber };
      await desk.call("POST", "/level-raises", { body, idempotencyKey: key });
      said = null;
      draw();
      onWords("raise.raised");
    } catch (error) {
      if (!error.code) throw error;
      onWords(null, error);
    } finally {
      button.disabled = false;
    }
  }

  button.addEventListener("click", raise);
  onLanguage(draw);
  draw();

  return {
    start: (session) => (roles = session.staff.roles),
    /** A scan was accepted for `body`; null forgets it. */
    offer(answer, body) {
      const fits = answer && body.purpose === PURPOSE && roles.includes(ROLE);
      const wants = fits && answer.level < 3 && !answer.acting;
      said = wants
        ? { scan: answer.scan, caseNumber: body.case_number, key: crypto.randomUUID() }
        : null;
      draw();
    },
  };
}
