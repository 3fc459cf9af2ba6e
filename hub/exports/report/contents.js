// Erasable contents: for people in the place of their commitments, and each held against its own.

const COMMITTED_TO = "hub-commit-v1";
const COMMITMENT = /^[A-Za-z0-9+/]{43}=$/;
const GONE = ["erased", "withheld", "missing", "altered"];

/** The commitments of a record, with what the file has of their contents; those contents are put in their places. */
function contentsOf(fields, written) {
  const names = fields.$c && Array.isArray(fields.$c.fields) ? fields.$c.fields : [];
  const found = [];
  for (const name of names) {
    const commitment = typeof name === "string" ? commitmentAt(fields, name) : null;
    if (commitment) found.push({ name, digest: commitment.$c, size: commitment.len, ...givenOf(written, name) });
  }
  if (!found.length) return null;
  for (const each of found) if ("value" in each) putAt(fields, each.name, each.value);
  delete fields.$c;
  return found;
}

function commitmentAt(fields, name) {
  let value = fields;
  for (const part of name.split(".")) {
    if (!value || typeof value !== "object" || !Object.hasOwn(value, part)) return null;
    value = value[part];
  }
  const isOne = value && typeof value === "object" && Object.keys(value).length === 2 && Number.isInteger(value.len);
  return isOne && typeof value.$c === "string" && COMMITMENT.test(value.$c) ? value : null;
}

/** What a file has of a content: itself with its salt, itself redacted, or what became of it. */
function givenOf(written, name) {
  try {
    const given = JSON.parse(written);
    const entry = given && Object.hasOwn(given, name) ? given[name] : null;
    if (typeof entry?.content === "string" && typeof entry.salt === "string")
      return { state: "open", salt: entry.salt, text: entry.content, value: JSON.parse(entry.content) };
    if (typeof entry?.shown === "string") return { state: "redacted", value: JSON.parse(entry.shown) };
    if (GONE.includes(entry?.gone)) return { state: entry.gone, value: { [`$${entry.gone}`]: entry.why ?? {} } };
  } catch {
    return { state: "wrong" };
  }
  return { state: "closed" };
}

/** Put a value at a field that is there; never at one that all objects have. */
function putAt(fields, name, value) {
  const parts = name.split(".");
  const last = parts.pop();
  const place = parts.reduce((inner, part) => inner[part], fields);
  Object.defineProperty(place, last, { value, enumerable: true, writable: true, configurable: true });
}

/** Hold the contents of a record against what it has committed to. */
async function checkContents(record) {
  for (const each of record.contents ?? []) {
    if (each.state !== "open") continue;
    const text = encoder.encode(each.text);
    let digest = null;
    try {
      digest = base64Of(await sha256(encoder.encode(COMMITTED_TO), bytesOf(each.salt), text));
    } catch {
      /* The salt is no base64. */
    }
    each.state = digest === each.digest && text.length === each.size ? "holds" : "wrong";
  }
}

/** The words for what stands in the place of a content that is not there; null for all else. */
function goneWords(value) {
  if (!value || typeof value !== "object" || Array.isArray(value)) return null;
  const names = Object.keys(value);
  if (names.length === 2 && typeof value.$c === "string" && Number.isInteger(value.len))
    return `⟨a content of ${plural(value.len, "byte")} that is not in this file⟩`;
  if (names.length !== 1 || !names[0].startsWith("$") || !GONE.includes(names[0].slice(1))) return null;
  const why = value[names[0]] ?? {};
  const said = (name, before) => (typeof why[name] === "string" && why[name] ? `${before}${why[name].slice(0, 120)}` : "");
  const day = typeof why.at === "string" ? ` ${why.at.slice(0, 10)}` : "";
  return {
    $erased: `⟨erased${day}${said("by", " by ")}${said("basis", ": ")}⟩`,
    $withheld: "⟨withheld from this copy⟩",
    $missing: "⟨missing⟩",
    $altered: "⟨altered: it is not what its record committed to⟩",
  }[names[0]];
}

const OPENED = {
  open: "not checked yet",
  holds: "here, and what the record committed to",
  wrong: "not what the record committed to: it was changed",
  redacted: "redacted for this report: cannot be computed",
  erased: "erased",
  withheld: "withheld from the copy that this report is of",
  missing: "missing: no record says that it was erased",
  altered: "altered in the log: it is not what the record committed to",
  closed: "not in this file",
};

/** What is known of the contents of one record, for its own view. */
function contentsRow(record) {
  if (!record.contents) return null;
  const rows = record.contents.map((each) =>
    h(
      "div",
      { class: BROKEN.has(each.state) ? "bad" : "" },
      h("bdi", {}, line(each.name)),
      `: ${OPENED[each.state]}`,
    ),
  );
  return h("div", { class: "contents" }, rows);
}

const BROKEN = new Set(["wrong", "missing", "altered"]);

/** What is known of the contents of all records, in a sentence; null where there are none. */
function contentsNote(records) {
  const counts = new Map();
  for (const record of records)
    for (const each of record.contents ?? []) counts.set(each.state, (counts.get(each.state) ?? 0) + 1);
  if (!counts.size) return null;
  const total = [...counts.values()].reduce((sum, each) => sum + each, 0);
  const parts = [...counts].map(([state, number]) => `${count(number)} ${OPENED[state]}`);
  return h("p", { id: "contents" }, `${plural(total, "erasable content")}: ${parts.join("; ")}.`);
}
