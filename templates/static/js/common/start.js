// What both pages need before anything else.

import { find, showView } from "./dom.js";
import { startLanguage } from "./language.js";
import { openStore } from "./store.js";

/**
 * Starts the language switch and opens the drawer of keys. Gives {store, publicUrl}, or null when
 * this browser cannot keep keys, which the page then says.
 */
export async function startPage(storeName) {
  startLanguage();
  try {
    if (!globalThis.crypto?.subtle || !globalThis.indexedDB) throw new Error("no keys");
    const store = await openStore(storeName);
    return { store, publicUrl: find('meta[name="vpass-public-url"]').content };
  } catch {
    showView("unsupported");
    return null;
  }
}
