// The records: taken out of the file as the bytes that they are in the log, and held against the chain.

const SEAL = /,"d":(\d+)(?:,"h":"([A-Za-z0-9_-]{22})"|,"c":"[0-9a-f]{8}")?\}$/;
const CHAIN_BYTES = ',"h":"0123456789012345678901"}'.length;
const REDACTED = "r".charCodeAt(0);
const decoder = new TextDecoder();
const encoder = new TextEncoder();

function bytesOf(base64) {
  const text = atob(base64.trim());
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

async function unzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const pause = () => new Promise((done) => setTimeout(done));

/** Read all records that stand in this file. */
async function readRecords(progress) {
  const blocks = [...document.querySelectorAll('script[type="text/x-hubwire-records"]')];
  const records = [];
  for (const block of blocks) {
    const bytes = await unzipped(bytesOf(block.textContent));
    let begin = 0;
    while (begin < bytes.length) {
      const end = bytes.indexOf(10, begin);
      records.push(recordOf(bytes.subarray(begin, end), records.length));
      begin = end + 1;
    }
    block.remove();
    progress(records.length);
    await pause();
  }
  return records;
}

/** Make a record of its row: number, whether it was redacted and its leaf then, the chain value before it, its line, the whole, and its erasable contents. */
function recordOf(bytes, place) {
  const parts = [];
  let begin = 0;
  for (let field = 0; field < 4; field++) {
    let end = bytes.indexOf(9, begin);
    if (end < 0) end = bytes.length;
    parts.push(bytes.subarray(begin, end));
    begin = end + 1;
  }
  const [index, flags, previous, text] = parts;
  const rest = begin <= bytes.length ? bytes.subarray(begin) : new Uint8Array();
  const end = rest.indexOf(9);
  const whole = rest.length && end ? rest.subarray(0, end < 0 ? rest.length : end) : null;
  const written = decoder.decode(text);
  const seal = SEAL.exec(written);
  const raw = fieldsOf(written, whole);
  const contents = contentsOf(raw, end < 0 ? "{}" : decoder.decode(rest.subarray(end + 1)));
  return {
    place,
    index: index.length ? Number(decoder.decode(index)) : null,
    isRedacted: flags[0] === REDACTED,
    leaf: flags.length > 1 ? bytesOf(decoder.decode(flags.subarray(1))) : new Uint8Array(),
    previous: decoder.decode(previous) === "-" ? null : decoder.decode(previous),
    text,
    whole,
    chain: seal && seal[2] ? seal[2] : null,
    checked: "not",
    cut: whole ? fieldsOf(written, null).cut : null,
    contents,
    ...drawn(raw),
  };
}

const TEXTS = (
  "kind at id hub agent_id channel_id envelope_id turn_id task_id call_id approval_id session_id tenant tool model action reason" +
  " risk_level error_message error_type name topic title severity outcome redaction"
).split(" ");
const LISTS = ["audience", "participants", "capabilities", "approvers"];
const NUMBERS = ["input_tokens", "output_tokens", "duration_ms", "risk_score"];

/** The fields as they are, and as they are drawn: a record of a stranger may have an object where a text should be. */
function drawn(raw) {
  const fields = { ...raw };
  if (typeof fields.at === "number" && Math.abs(fields.at) < 8.64e12)
    fields.at = new Date(fields.at * 1000).toISOString();
  const text = (value) =>
    value === undefined || value === null ? value : typeof value === "string" ? value : JSON.stringify(value);
  for (const name of TEXTS) if (name in raw) fields[name] = text(fields[name]);
  for (const name of LISTS)
    if (name in raw)
      fields[name] = Array.isArray(raw[name])
        ? raw[name].map((each) => text(each) ?? "null")
        : text(raw[name]) === undefined || raw[name] === null
          ? null
          : [text(raw[name])];
  for (const name of NUMBERS) if (name in raw && typeof raw[name] !== "number") fields[name] = null;
  return { raw, fields };
}

function fieldsOf(written, whole) {
  try {
    const fields = JSON.parse(written);
    if (whole) Object.assign(fields, JSON.parse(decoder.decode(whole)));
    if (fields && typeof fields === "object" && !Array.isArray(fields)) return fields;
  } catch {
    /* It is damaged: its text is shown as it stands. */
  }
  return { $damaged: written };
}

function chainValue(digest) {
  let text = "";
  for (const byte of new Uint8Array(digest, 0, 16)) text += String.fromCharCode(byte);
  return btoa(text).slice(0, 22).replace(/\+/g, "-").replace(/\//g, "_");
}

const hexOf = (digest) => [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Compute the chain value of each record from its line and the value before it; say of each what came out. */
async function check(records, progress) {
  const digest = globalThis.crypto && crypto.subtle ? (bytes) => crypto.subtle.digest("SHA-256", bytes) : null;
  const anchor = anchorOf(records);
  const isChained = records.some((record) => record.chain !== null);
  const found = { holds: 0, wrong: 0, redacted: 0, unlinked: 0, unchained: 0, first: null, isAble: !!digest };
  for (const record of records) {
    record.checked = digest
      ? await checked(
          record,
          before(record, records) ?? (record.place === 0 && anchor !== null ? anchor.chain : null),
          digest,
          isChained,
        )
      : "not";
    if (digest) await checkContents(record);
    if (digest && record.contents?.some((each) => each.state === "wrong")) record.checked = "wrong";
    if (record.checked === "wrong" && found.first === null) found.first = record;
    if (record.checked in found) found[record.checked] += 1;
    if (record.place % 256 === 255) {
      progress(record.place + 1);
      await pause();
    }
  }
  return found;
}

/** The newest log.pruned that names the first record of a log as its beginning; null if none does. */
function anchorOf(records) {
  const first = records.length ? records[0].index : null;
  const said =
    first === null
      ? []
      : records.filter(
          ({ fields }) =>
            fields.kind === "log.pruned" &&
            !("seq" in fields) &&
            fields.first === first &&
            typeof fields.chain === "string",
        );
  return said.length ? said[said.length - 1].fields : null;
}

/** The chain value that a record follows: that of the record before it, where that is here, else what the file says. */
function before(record, records) {
  if (record.index === 0) return "";
  const last = records[record.place - 1];
  const isNext = last && record.index !== null && last.index === record.index - 1;
  return isNext && last.chain !== null ? last.chain : record.previous;
}

async function checked(record, previous, digest, isChained) {
  // A log has a chain or none: a record without its value, among others that have theirs, has lost it.
  if (record.chain === null) return isChained && record.index !== null ? "wrong" : "unchained";
  if (record.isRedacted) return "redacted";
  if (previous === null) return "unlinked";
  const begin = encoder.encode(previous);
  const bytes = new Uint8Array(begin.length + record.text.length - CHAIN_BYTES + 1);
  bytes.set(begin);
  bytes.set(record.text.subarray(0, record.text.length - CHAIN_BYTES), begin.length);
  bytes[bytes.length - 1] = 125; // the closing brace
  if (chainValue(await digest(bytes)) !== record.chain) return "wrong";
  // What the line says of the whole is in the chain; the whole may say of itself what it likes.
  if (record.whole && hexOf(await digest(record.whole)) !== (record.cut ? record.cut.sha256 : null)) return "wrong";
  return "holds";
}
