// A small drawer of named values in IndexedDB; keys stay in it as keys, never as bytes.

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Opens the drawer `name`; its methods are get(key), put(key, value), remove(key) and clear(). */
export async function openStore(name) {
  const opening = indexedDB.open(name, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("values");
  const database = await settled(opening);

  function write(change) {
    return new Promise((resolve, reject) => {
      const transaction = database.transaction("values", "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
      change(transaction.objectStore("values"));
    });
  }

  return {
    get: (key) => settled(database.transaction("values").objectStore("values").get(key)),
    put: (key, value) => write((values) => values.put(value, key)),
    remove: (key) => write((values) => values.delete(key)),
    clear: () => write((values) => values.clear()),
  };
}
