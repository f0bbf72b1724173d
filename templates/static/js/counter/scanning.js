// Scanning: hand scanner, paste, picture, camera; one scan at a time, and ready for the next.

import { Problem } from "../common/api.js";
import { fieldName, find, make, markField } from "../common/dom.js";
import { inLanguage, listed, onLanguage, t } from "../common/language.js";
import { readPicture } from "../scanning/pictures.js";
import { makeScanner } from "../scanning/scanner.js";
import { makeAsking } from "./asking.js";
import { makeRaising } from "./raising.js";
import { makeResult } from "./result.js";
import { makeReverse } from "./reverse.js";

const TRIES = 3;
const BETWEEN_TRIES_MS = 700;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sets the scanning view up; `onRefused` hears of each refusal. */
export function makeScanning({ desk, onRefused }) {
  const scanner = makeScanner({ isBusy: () => isBusy, onCode });
  const { field } = scanner;
  const purpose = find("#purpose");
  const caseNumber = find("#case-number");
  let purposes = [];
  let last = null;
  let isBusy = false;

  const result = makeResult({ onRetry: () => last && send(last), onChange: forget });
  const asking = makeAsking({ desk, onReleased: result.add, onWords: result.say });
  const raising = makeRaising({ desk, onWords: result.say });

  function forget() {
    asking.offer(null);
    raising.offer(null);
  }

  const reverse = makeReverse({
    desk,
    request() {
      const number = caseNumber.value.trim();
      markField(caseNumber, number ? null : t("scan.case_missing"));
      return number ? { purpose: purpose.value, case_number: number } : null;
    },
    onAccepted(answer) {
      result.accepted(answer);
      asking.offer(answer.scan, purposes.find(({ code }) => code === purpose.value)?.may_ask);
      caseNumber.value = "";
    },
    onRefused: judge,
  });

  function drawPurposes() {
    const chosen = purpose.value;
    purpose.replaceChildren(
      ...purposes.map((item) => make("option", { value: item.code }, inLanguage(item))),
    );
    if (purposes.some((item) => item.code === chosen)) purpose.value = chosen;
    describePurpose();
  }

  function describePurpose() {
    const item = purposes.find(({ code }) => code === purpose.value);
    find("#will-see").textContent = item
      ? t("scan.will_see", { fields: listed(item.fields.map(fieldName)) })
      : t("scan.no_purpose");
  }

  function ready() {
    field.value = "";
    field.focus();
  }

  /** Sends one scan; a lost answer is asked for again under the same key, which cannot count twice. */
  async function send(scan) {
    if (isBusy) return;
    isBusy = true;
    last = scan;
    result.checking();
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          const options = { body: scan.body, idempotencyKey: scan.key };
          const answer = await desk.call("POST", "/scans", options);
          result.accepted(answer);
          showPhoto(answer);
          raising.offer(answer, scan.body);
          // Who acts for another cannot consent for them.
          const item = purposes.find(({ code }) => code === scan.body.purpose);
          if (!answer.acting) asking.offer(answer.scan, item?.may_ask);
          caseNumber.value = "";
          break;
        } catch (error) {
          if (!error.code) throw error;
          if (!error.isUncertain || tries === TRIES) {
            judge(error);
            break;
          }
          await pause(BETWEEN_TRIES_MS * tries);
        }
      }
    } finally {
      isBusy = false;
      ready();
      if (caseNumber.getAttribute("aria-invalid")) caseNumber.focus();
    }
  }

  /** Fetches the register's photo of an accepted scan, where this purpose entitles to it. */
  async function showPhoto({ scan, fields }) {
    if (!fields.photo) return;
    try {
      const { media_type: type, photo } = await desk.call("GET", `/scans/${scan}/photo`);
      result.photo(scan, `data:${type};base64,${photo}`);
    } catch (error) {
      if (!error.code) throw error;
      result.photo(scan, null);
    }
  }

  function judge(problem) {
    if (problem.isUncertain) result.uncertain(problem);
    else result.refused(problem);
    onRefused(problem);
    if (problem.errors.some((error) => error.field === "case_number")) {
      markField(caseNumber, t("scan.case_bad"));
    }
  }

  function onCode(code) {
    const number = caseNumber.value.trim();
    markField(caseNumber, number ? null : t("scan.case_missing"));
    if (!number) {
      // The code waits in its field; the number and Enter send both.
      result.clear();
      field.value = code;
      return;
    }
    const body = { code, purpose: purpose.value, case_number: number };
    send({ body, key: crypto.randomUUID() });
  }

  async function scanPicture(file) {
    if (isBusy) return;
    result.checking();
    const text = await readPicture(file);
    if (text) {
      scanner.scan(text);
      return;
    }
    result.refused(new Problem({ code: "picture.no_code", status: 422 }));
    ready();
  }

  find("#scan-form").noValidate = true;
  find("#scan-form").addEventListener("submit", (event) => {
    event.preventDefault();
    scanner.takeStray(caseNumber);
    if (!field.value.trim()) field.focus();
    scanner.scan(field.value);
  });
  // A scan must not get lost because somebody clicked elsewhere.
  document.addEventListener("keydown", (event) => {
    const isTyping = ["INPUT", "SELECT", "BUTTON", "A"].includes(document.activeElement?.tagName);
    const isText = event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!find('[data-view="scan"]').hidden && isText && !isTyping) field.focus();
  });
  purpose.addEventListener("change", describePurpose);
  find("#picture").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (file) await scanPicture(file);
  });
  document.addEventListener("paste", (event) => {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || find('[data-view="scan"]').hidden) return;
    event.preventDefault();
    scanPicture(file);
  });
  const place = find('[data-view="scan"]');
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    find("#drop").classList.add("over");
  });
  place.addEventListener("dragleave", () => find("#drop").classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    find("#drop").classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) scanPicture(file);
  });
  onLanguage(() => {
    drawPurposes();
    markField(caseNumber, null);
  });

  return {
    start(session) {
      purposes = session.purposes;
      raising.start(session);
      drawPurposes();
      result.clear();
      field.focus();
    },
    stop() {
      scanner.rest();
      reverse.stop();
      last = null;
      result.clear();
      caseNumber.value = field.value = "";
    },
  };
}
