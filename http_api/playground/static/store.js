// Pictures of this browser, in its IndexedDB. A selfie is never stored.

const NAME = "img-pod";
let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "id" }).createIndex("created", "created");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

async function act(mode, work) {
  const store = (await open()).transaction("pictures", mode).objectStore("pictures");
  return new Promise((resolve, reject) => {
    const request = work(store);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export const put = (entry) => act("readwrite", (store) => store.put(entry));
export const remove = (id) => act("readwrite", (store) => store.delete(id));
export const clear = () => act("readwrite", (store) => store.clear());
export const has = async (id) => (await act("readonly", (store) => store.getKey(id))) !== undefined;

/** Every entry, newest first. */
export const all = async () => (await act("readonly", (store) => store.index("created").getAll())).reverse();
