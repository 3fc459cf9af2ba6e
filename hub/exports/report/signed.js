// Who has signed the records: the signature of the checkpoint, the tree of the records under it, and whose key that is.

const SIGNER = "Signer: who vouches for these records?";

function signerFact(state) {
  state.signer = h("div", { class: "fact", id: "signer" });
  if (state.about.signed) fact(state.signer, SIGNER, "open", "open", "To be checked when the records are");
  else
    fact(
      state.signer,
      SIGNER,
      "odd",
      "question",
      "Not signed",
      h(
        "p",
        {},
        "Who wrote these records is not known from this file: who can write to the log can write all of it anew.",
      ),
    );
  return state.signer;
}

/** Check what can be checked: the tree of the records, and the signature if there is a key. */
async function checkSigned(state, progress) {
  const part = state.about.signed;
  if (!part) return;
  const signing = { handovers: [], key: null, isOwn: false, fault: null, isMet: null, tree: null, witnesses: [] };
  state.signing = signing;
  try {
    signing.note = noteOf(part.checkpoint);
    signing.checkpoint = checkpointOf(signing.note.text);
  } catch (error) {
    signing.fault = `its checkpoint is damaged. ${error.message}`;
    return;
  }
  try {
    signing.handovers = part.handovers.map(noteOf);
    if (part.vkey && globalThis.crypto?.subtle) signing.key = await keyOf(part.vkey);
    if (globalThis.crypto?.subtle) await readWitnesses(signing, part);
  } catch (error) {
    signing.fault = `a key or a hand-over in it is damaged. ${error.message}`;
  }
  if (!globalThis.crypto?.subtle) {
    Object.assign(signing, { signature: "unable", why: "this browser computes nothing for this page" });
    return;
  }
  await climb(state, signing, part, progress);
  await judge(signing);
}

function showClimbing(state, done) {
  fact(
    state.signer,
    SIGNER,
    "open",
    "open",
    `Building the tree of ${count(done)} of ${plural(state.records.length, "record")}`,
  );
}

async function climb(state, signing, part, progress) {
  if (part.hashes === null) return;
  const tree = new PartialTree(signing.checkpoint.size, bytesOf(part.hashes));
  try {
    await tree.add(state.records, progress);
    signing.isMet = isSame(await tree.root(), signing.checkpoint.root);
  } catch (error) {
    if (!(error instanceof NotIt)) throw error;
    signing.isMet = false;
    signing.treeFault = error.message;
  }
  signing.tree = tree;
  for (const record of state.records)
    record.signed =
      record.index === null || record.index >= tree.size
        ? "late"
        : !signing.isMet
          ? "wrong"
          : record.isRedacted
            ? "place"
            : "in";
}

/** Find out whether the key that is there has signed the checkpoint. */
async function judge(signing) {
  const { key, note, checkpoint } = signing;
  signing.signature = "none";
  try {
    await judgeWitnesses(signing);
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    for (const each of signing.witnesses) each.why = error.message;
  }
  if (!key) return;
  try {
    signing.keys = await keysFrom(key, signing.handovers);
    signing.by = await signerOf(note, checkpoint, signing.keys);
    const ids = signing.keys.map((each) => `${each.key.name}+${each.key.id}`);
    const isNamed = note.signatures.some((each) => ids.includes(`${each.name}+${each.id}`));
    signing.signature = signing.by ? "holds" : isNamed ? "forged" : "foreign";
  } catch (error) {
    if (!(error instanceof NotHere)) throw error;
    signing.signature = "unable";
    signing.why = error.message;
  }
}

const nameOf = (key) => `${key.name}+${key.id}`;

/** The verdict in a few words, with its look and its sign. */
function verdictOf(state, signing) {
  const whose = signing.isOwn ? "the key that you gave" : "the key in this file";
  if (signing.fault) return ["bad", "failed", `The file was changed: ${signing.fault}`];
  if (signing.isMet === false) return ["bad", "failed", "These are not the records that were signed"];
  if (hasSeenAnother(signing)) return ["bad", "failed", "A witness has seen other records of this log"];
  if (signing.signature === "forged") return ["bad", "failed", "The signature does not hold"];
  if (signing.signature === "foreign") return ["bad", "failed", `Not signed by ${whose}`];
  if (signing.signature === "unable") return ["odd", "question", `Not checked here: ${signing.why}`];
  if (signing.signature === "none")
    return ["odd", "question", "To be checked by you: with the verifier key of the log"];
  if (signing.isMet === null) return ["odd", "question", "Signed; which records that is over cannot be computed"];
  const { under, late } = countsOf(state);
  if (!under) return ["odd", "question", "The log is signed, and no record in this file is under the signature"];
  return [
    "good",
    "ok",
    late
      ? `Signed: ${count(under)} of ${plural(under + late, "record")}, by ${whose}`
      : `Signed: ${plural(under, "record")}, by ${whose}`,
  ];
}

function countsOf(state) {
  const counts = { under: 0, late: 0, place: 0 };
  for (const record of state.records) {
    if (record.signed === "late") counts.late += 1;
    else counts.under += 1;
    if (record.signed === "place") counts.place += 1;
  }
  return counts;
}

function showSigned(state) {
  const signing = state.signing;
  if (!signing) return;
  const [look, sign, verdict] = verdictOf(state, signing);
  const steps = signing.checkpoint ? h("ul", { class: "steps" }, stepsOf(state, signing)) : null;
  fact(state.signer, SIGNER, look, sign, verdict, [
    steps,
    signing.checkpoint ? checkpointFacts(signing) : null,
    signing.checkpoint ? keyForm(state, signing) : null,
    leftOut(state, signing),
  ]);
  document.documentElement.dataset.signed = look;
}

function step(id, look, text, ...more) {
  const sign = { good: "ok", bad: "failed", odd: "question" }[look];
  return h("li", { id, class: `step ${look}` }, icon(sign), h("div", {}, text, ...more));
}

function stepsOf(state, signing) {
  return [signatureStep(signing), treeStep(state, signing), keyStep(signing), ...witnessSteps(signing)];
}

function signatureStep(signing) {
  const id = "step-signature";
  const own = signing.note.signatures.filter((each) => each.name === signing.checkpoint.origin);
  const said = (own.length ? own : signing.note.signatures).map((each) => `${line(each.name)}+${each.id}`).join(", ");
  if (signing.signature === "holds") {
    const handed = signing.by.text === signing.key.text ? "" : `, to which ${signing.key.id} handed over`;
    return step(id, "good", `The signature of the checkpoint holds: Ed25519, by ${line(nameOf(signing.by))}${handed}.`);
  }
  if (signing.signature === "forged")
    return step(
      id,
      "bad",
      `The signature that is said to be by ${said} is not one over this checkpoint: one of them was changed.`,
    );
  if (signing.signature === "foreign")
    return step(
      id,
      "bad",
      `The checkpoint is signed by ${said}, and by no key that ${line(nameOf(signing.key))} handed over to.`,
    );
  if (signing.signature === "unable")
    return step(
      id,
      "odd",
      "The signature was not checked. Open the file in Chrome 137, Firefox 129, Safari 17 or newer; or let ",
      h("code", {}, "hubwire verify --vkey"),
      " look at the log.",
    );
  return step(id, "odd", `The signature was not checked yet: the checkpoint says that it is by ${said}.`);
}

function treeStep(state, signing) {
  const id = "step-tree";
  if (signing.isMet === null && !globalThis.crypto?.subtle)
    return step(id, "odd", "The tree of the records was not computed here.");
  if (signing.isMet === null)
    return step(
      id,
      "odd",
      "Which records are under it was not computed: the log has lost hashes of records that it does not keep.",
    );
  const own = plural(signing.tree.places.length, "record");
  const others = signing.tree.taken / HASH_BYTES;
  const from = others
    ? `${own} here and ${count(others)} ${others === 1 ? "hash" : "hashes"} of others`
    : `${own} here`;
  if (signing.isMet)
    return step(
      id,
      "good",
      `${from} yield the root that the checkpoint names: each is under it at its place, to the byte.`,
    );
  const first = state.found?.first;
  const why = first
    ? h(
        "span",
        {},
        " The first that is not as it was written is ",
        h(
          "button",
          { class: "link", type: "button", onclick: () => state.goTo("records", { record: first.place }) },
          `record ${count(first.index ?? first.place)}`,
        ),
        ".",
      )
    : signing.treeFault
      ? ` In this file ${signing.treeFault}.`
      : others
        ? " By their chain they hold: a hash of records that are not here was changed, or records were written anew."
        : " By their chain they hold: records were written anew from some record on, or left out.";
  return step(id, "bad", `${from} do not yield the root that the checkpoint names.`, why);
}

function keyStep(signing) {
  const id = "step-key";
  if (!signing.key) return step(id, "odd", "There is no key in this file. Its owner gives it to all who are to check.");
  if (signing.isOwn) return step(id, "good", `The key is the one that you gave: ${line(nameOf(signing.key))}.`);
  return step(
    id,
    "odd",
    "The key came with this file: who forges a file puts in a key of its own. Compare it with the one that the owner gave you.",
  );
}

function checkpointFacts(signing) {
  const { checkpoint } = signing;
  const rows = [
    ["Log", h("bdi", {}, line(checkpoint.origin))],
    ["Records", `the first ${count(checkpoint.size)}`],
    ["Root", h("code", { id: "root" }, checkpoint.rootText)],
    ["Key", signing.key ? h("code", { id: "vkey" }, line(signing.key.text)) : "not given"],
  ];
  return h(
    "dl",
    { class: "facts" },
    rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]),
  );
}

/** What this verdict does not speak of. */
function leftOut(state, signing) {
  const { late, place, under } = countsOf(state);
  const others = signing.checkpoint && signing.tree ? signing.checkpoint.size - under : 0;
  const rows = [
    others > 0 && signing.isMet ? `the text of ${plural(others, "record")} of the log: not in this file` : null,
    place
      ? `the text of ${plural(place, "record")} that ${place === 1 ? "was" : "were"} redacted for this file: only the place is shown`
      : null,
    late && signing.isMet !== null
      ? `${plural(late, "record")} that came after the checkpoint: not signed when the file was made`
      : null,
    rewrittenRow(signing),
    "whether what was never recorded happened",
  ];
  return h(
    "div",
    { class: "left-out" },
    h("b", {}, "Not looked at"),
    h(
      "ul",
      {},
      rows.filter(Boolean).map((row) => h("li", {}, row)),
    ),
  );
}

/** What is not known of the owner of the key; witnesses have seen that a part was not written anew. */
function rewrittenRow(signing) {
  const seen = signing.checkpoint ? witnessedSize(signing) : 0;
  if (!seen)
    return "whether the owner of the key wrote it all anew: only a checkpoint that is kept elsewhere, or a witness, shows that";
  return seen < signing.checkpoint.size
    ? `whether the owner of the key wrote the records from ${count(seen)} on anew: no witness has seen them`
    : "whether a witness has seen more records of this log than the checkpoint in this file is over";
}

/** What is known of one record, for its own view; and the proof of it, to be kept. */
function signedRow(state, record) {
  const words = {
    in: "in the tree that was signed, at its place",
    place: "its place is in the tree that was signed; its text was redacted",
    late: "came after the checkpoint: not signed yet",
    wrong: "not shown: the records do not yield the root that was signed",
  }[record.signed];
  if (!words) return null;
  const save =
    record.signed === "in"
      ? h("button", { class: "link", type: "button", onclick: () => saveProof(state, record) }, "Save its proof")
      : null;
  return h("span", { class: record.signed === "wrong" ? "bad" : "" }, words, save ? ". " : "", save);
}

function saveProof(state, record) {
  const text = proofText(record, state.signing.tree, state.signing.note);
  saved(new Blob([text], { type: "text/plain" }), `${record.index}.tlog-proof`);
}
