// The conversations that this browser keeps: in IndexedDB, or in localStorage where that is not to be had
// (private windows of some browsers), or until the page is closed.
import type { Conversation } from "./conversation";

interface Shelf {
  all(): Promise<Conversation[]>;
  put(conversation: Conversation): Promise<void>;
  remove(id: string): Promise<void>;
}

const kName = "linnet";
const kConversations = "conversations";

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function openDatabase(): Promise<Shelf> {
  const request = indexedDB.open(kName, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(kConversations, { keyPath: "id" });
  const database = await done(request);
  const store = (mode: IDBTransactionMode) =>
    database.transaction(kConversations, mode).objectStore(kConversations);
  return {
    all: () => done(store("readonly").getAll()),
    put: async (conversation) => void (await done(store("readwrite").put(conversation))),
    remove: (id) => done(store("readwrite").delete(id)),
  };
}

function localShelf(): Shelf {
  const key = (id: string) => `linnet.conversation.${id}`;
  return {
    all: async () =>
      Object.keys(localStorage)
        .filter((name) => name.startsWith(key("")))
        .map((name) => JSON.parse(localStorage.getItem(name)!)),
    put: async (conversation) => localStorage.setItem(key(conversation.id), JSON.stringify(conversation)),
    remove: async (id) => localStorage.removeItem(key(id)),
  };
}

function memoryShelf(): Shelf {
  return { all: async () => [], put: async () => {}, remove: async () => {} };
}

/// Opens what there is; `lasting` is false if nothing survives the page.
export async function openLibrary(): Promise<{
  shelf: Shelf;
  conversations: Conversation[];
  lasting: boolean;
}> {
  for (const open of [openDatabase, async () => localShelf()]) {
    try {
      const shelf = await open();
      return { shelf, conversations: await shelf.all(), lasting: true };
    } catch {
      // The next one.
    }
  }
  return { shelf: memoryShelf(), conversations: [], lasting: false };
}

export type { Shelf };
