// The page to which a relying party sends a browser that logs out.

import { find, showProblem, showView } from "../common/dom.js";
import { startLanguage } from "../common/language.js";
import { makeBrowser } from "./browser.js";

async function start() {
  startLanguage();
  showView("leaving", { focus: false });
  const sent = Object.fromEntries(new URLSearchParams(window.location.search));
  const known = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];
  const body = Object.fromEntries(known.filter((name) => sent[name]).map((name) => [name, sent[name]]));
  try {
    const { location } = await makeBrowser().call("POST", "/oidc/logouts", body);
    if (location) window.location.replace(location);
    else showView("done");
  } catch (error) {
    if (!error.code) throw error;
    showProblem(find("#logout-problem"), error);
    showView("failed");
  }
}

start();
