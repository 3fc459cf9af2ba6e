// Signed notes, keys and checkpoints as C2SP has them, checked by the browser's own Ed25519. https://c2sp.org/signed-note

const ED25519 = 1;
const COSIGNATURE = 4;
const KEY_ID = /^[0-9a-f]{8}$/;
const NUMBER = /^(0|[1-9]\d{0,15})$/;

/** What is wrong with a text that a reader gives, in words for that reader. */
class NotIt extends Error {}

/** This browser cannot check it: that is no word on whether it holds. */
class NotHere extends Error {}

async function sha256(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

const isSame = (one, other) => one.length === other.length && one.every((byte, at) => byte === other[at]);

function base64Of(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

function decoded(base64, what) {
  try {
    const bytes = bytesOf(base64);
    if (base64Of(bytes) === base64) return bytes;
  } catch {
    /* It is said below. */
  }
  throw new NotIt(`${what} is no base64`);
}

const keyId = async (name, kind, key) =>
  hexOf((await sha256(encoder.encode(`${name}\n`), new Uint8Array([kind]), key)).slice(0, 4));

/** The key that a text is: name+id+key; that of a log, or one of these kinds. */
async function keyOf(given, kinds = [ED25519]) {
  const text = given.trim();
  const [name, id, ...rest] = text.split("+");
  const encoded = rest.join("+");
  if (!name || !KEY_ID.test(id ?? "") || !encoded)
    throw new NotIt("That is no verifier key: it is a name, a +, eight characters, a +, and the key");
  const bytes = decoded(encoded, "That key");
  if (bytes[0] !== ED25519 && bytes[0] !== COSIGNATURE)
    throw new NotIt("That is a verifier key of another kind than Ed25519");
  if (!kinds.includes(bytes[0]))
    throw new NotIt(
      bytes[0] === ED25519 ? "That is the key of a log, not of a witness" : "That is the key of a witness, not of a log",
    );
  if (bytes.length !== 33) throw new NotIt("That is no verifier key: characters of it were lost");
  if ((await keyId(name, bytes[0], bytes.subarray(1))) !== id)
    throw new NotIt("That is no verifier key: its id is not that of its name and its bytes. Was a character lost?");
  return { name, id, kind: bytes[0], bytes: bytes.slice(1), text: `${name}+${id}+${encoded}` };
}

/** The text and the signatures of a note, of which nothing is believed yet. */
function noteOf(content) {
  const at = content.lastIndexOf("\n\n");
  if (at < 0 || !content.endsWith("\n")) throw new NotIt("It is no signed note: a text, an empty line, and signatures");
  const signatures = content
    .slice(at + 2, -1)
    .split("\n")
    .map((row) => {
      const [mark, name, encoded, ...rest] = row.split(" ");
      if (mark !== "—" || !name || !encoded || rest.length) throw new NotIt("It has a line that is no signature");
      const bytes = decoded(encoded, "A signature");
      if (bytes.length < 5) throw new NotIt("It has a signature that is too short");
      return { name, id: hexOf(bytes.slice(0, 4)), bytes: bytes.slice(4) };
    });
  return { text: content.slice(0, at + 1), signatures, content };
}

/** What a checkpoint says: a name, how many records, their root, and lines behind it. */
function checkpointOf(text) {
  const rows = text.split("\n");
  if (rows.length < 4 || rows.pop() !== "" || !NUMBER.test(rows[1])) throw new NotIt("It is no checkpoint of a log");
  const root = decoded(rows[2], "The root of a checkpoint");
  if (root.length !== 32) throw new NotIt("It is no checkpoint of a log: its root has not 32 bytes");
  return { origin: rows[0], size: Number(rows[1]), root, rootText: rows[2], lines: rows.slice(3) };
}

/** Whether a note has a signature of this key that holds. Throws NotHere where the browser does not know Ed25519. */
async function isSignedBy(note, key) {
  const own = note.signatures.filter((each) => each.name === key.name && each.id === key.id && each.bytes.length === 64);
  const message = encoder.encode(note.text);
  for (const each of own) if (await isVerified(key, each.bytes, message)) return true;
  return false;
}

/** Whether a key has signed a message. Throws NotHere where the browser does not know Ed25519. */
async function isVerified(key, signature, message) {
  if (!globalThis.crypto?.subtle) throw new NotHere("this browser computes no signatures for a page of this kind");
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key.bytes, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name === "DataError") return false;
    throw new NotHere("this browser does not know Ed25519");
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
}

/** The key to which a checkpoint hands over; null for one that does not. */
async function successorOf(checkpoint) {
  const named = checkpoint.lines.filter((row) => row.startsWith("successor "));
  if (named.length !== 1) return null;
  const key = await keyOf(named[0].slice("successor ".length));
  return key.name === checkpoint.origin ? key : null;
}

/** The keys of a log from the one that is given on, each with how many records it begins at. */
async function keysFrom(key, handovers) {
  const keys = [{ begin: 0, key }];
  for (const note of handovers) {
    let checkpoint, next;
    try {
      checkpoint = checkpointOf(note.text);
      next = await successorOf(checkpoint);
    } catch (error) {
      if (error instanceof NotHere) throw error;
      continue;
    }
    const last = keys[keys.length - 1];
    if (!next || next.text === last.key.text || checkpoint.size < last.begin) continue;
    if ((await isSignedBy(note, next)) && (await isSignedBy(note, last.key)))
      keys.push({ begin: checkpoint.size, key: next });
  }
  return keys;
}

/** The key, of those from the given one on, that has signed a checkpoint and counts for it; null if none has. */
async function signerOf(note, checkpoint, keys) {
  for (let at = keys.length - 1; at >= 0; at--) {
    const { begin, key } = keys[at];
    const end = at + 1 < keys.length ? keys[at + 1].begin : checkpoint.size;
    if (begin > checkpoint.size || checkpoint.size > end || checkpoint.origin !== key.name) continue;
    if (await isSignedBy(note, key)) return key;
  }
  return null;
}
