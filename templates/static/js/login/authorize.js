// The page to which a relying party sends a browser: it waits for the phone, then goes back.

import { find, showProblem, showView } from "../common/dom.js";
import { inLanguage, onLanguage, startLanguage, t } from "../common/language.js";
import { drawQr } from "../common/qr_picture.js";
import { makeBrowser } from "./browser.js";

const LOOK_MS = 1500;
const QR_WIDTH = 240;

const browser = makeBrowser();
let login = null;

function draw() {
  if (!login) return;
  const party = login.relying_party;
  find("#login-to").textContent = t("login.to", { who: `${inLanguage({ zh: party.zh, en: party.en })} · ${party.name}` });
  const left = Math.ceil((Date.parse(login.expires_at) - browser.clock.now()) / 1000);
  find("#login-left").textContent = t("login.left", { s: Math.max(0, left) });
}

function fail(error) {
  login = null;
  showProblem(find("#login-problem"), error);
  showView("failed");
}

function leave(location) {
  login = null;
  showView("leaving");
  window.location.replace(location);
}

async function look() {
  if (!login) return;
  try {
    const { state } = await browser.call("GET", `/oidc/logins/${login.id}`);
    if (state !== "asked") {
      const { location } = await browser.call("POST", `/oidc/logins/${login.id}/return`, {});
      leave(location);
      return;
    }
  } catch (error) {
    if (!error.code) throw error;
    if (!error.isUncertain) {
      fail(error);
      return;
    }
  }
  setTimeout(look, LOOK_MS);
}

async function start() {
  startLanguage();
  onLanguage(draw);
  setInterval(draw, 1000);
  try {
    const request = window.location.search.slice(1);
    const begun = await browser.call("POST", "/oidc/logins", { request });
    if (begun.location) {
      leave(begun.location);
      return;
    }
    login = begun;
  } catch (error) {
    if (!error.code) throw error;
    fail(error);
    return;
  }
  const link = `${browser.publicUrl}/phone/#login=${login.handle}`;
  drawQr(find("#login-qr"), link, QR_WIDTH, { encoding: "byte" });
  find("#login-link").href = link;
  find("#login-number").textContent = login.number;
  draw();
  showView("waiting", { focus: false });
  setTimeout(look, LOOK_MS);
}

start();
