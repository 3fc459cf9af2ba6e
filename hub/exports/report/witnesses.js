// Who has seen the log besides: cosignatures of witnesses, checked by their keys. https://c2sp.org/tlog-cosignature

const TIME_BYTES = 8;
const COSIGNATURE_BYTES = TIME_BYTES + 64;

/** Take the keys of witnesses that are in the file, and the checkpoint that they have seen, if that is an older one. */
async function readWitnesses(signing, part) {
  signing.witnessed = part.witnessed ? noteOf(part.witnessed) : null;
  for (const text of part.witnesses ?? [])
    signing.witnesses.push({ key: await keyOf(text, [COSIGNATURE]), isOwn: false });
}

/** Find out which witnesses have seen which checkpoint, and whether that is one of these records. */
async function judgeWitnesses(signing) {
  for (const witness of signing.witnesses) {
    witness.seen = null;
    for (const note of [signing.witnessed, signing.note]) {
      const at = note ? await seenBy(note, witness.key) : null;
      if (at === null) continue;
      const checkpoint = checkpointOf(note.text);
      const seen = { at, size: checkpoint.size, agrees: await agrees(signing, checkpoint) };
      if (!witness.seen || seen.agrees === false || (seen.agrees && witness.seen.agrees !== false)) witness.seen = seen;
    }
    witness.isNamed = [signing.witnessed, signing.note].some((note) =>
      note?.signatures.some((each) => each.name === witness.key.name && each.id === witness.key.id),
    );
  }
}

/** When a witness has seen a checkpoint, in seconds since 1970, by its newest cosignature that holds; null for none. */
async function seenBy(note, key) {
  let newest = null;
  for (const each of note.signatures) {
    if (each.name !== key.name || each.id !== key.id || each.bytes.length !== COSIGNATURE_BYTES) continue;
    const at = new DataView(each.bytes.buffer, each.bytes.byteOffset).getBigUint64(0);
    const message = encoder.encode(`cosignature/v1\ntime ${at}\n${note.text}`);
    if (await isVerified(key, each.bytes.slice(TIME_BYTES), message)) newest = newest === null || at > newest ? at : newest;
  }
  return newest;
}

/** Whether a checkpoint is one of these records; null where this file does not show it. */
async function agrees(signing, checkpoint) {
  if (checkpoint.origin !== signing.checkpoint.origin) return false;
  if (!signing.tree || signing.isMet === null) return null;
  if (checkpoint.size === signing.checkpoint.size) return isSame(checkpoint.root, signing.checkpoint.root) && signing.isMet;
  const root = await signing.tree.rootOf(checkpoint.size);
  return root === null ? null : isSame(root, checkpoint.root);
}

/** How many records a witness has seen for certain, at the most. */
const witnessedSize = (signing) =>
  Math.max(0, ...signing.witnesses.map(({ seen }) => (seen && seen.agrees ? seen.size : 0)));

const hasSeenAnother = (signing) => signing.witnesses.some(({ seen }) => seen?.agrees === false);

function timeOf(seconds) {
  const time = new Date(Number(seconds) * 1000);
  return Number.isNaN(time.getTime()) ? `${seconds} s after 1970` : `${time.toISOString().slice(0, 19)}Z`;
}

/** A step for each witness whose key is there, and one for the cosignatures of others. */
function witnessSteps(signing) {
  const steps = signing.witnesses.map((witness, place) => witnessStep(witness, `step-witness-${place}`));
  const known = new Set(signing.witnesses.map(({ key }) => nameOf(key)));
  const notes = [signing.witnessed, signing.note].filter(Boolean);
  const others = new Set(
    notes
      .flatMap((note) => note.signatures)
      .filter((each) => each.name !== signing.checkpoint.origin && !known.has(`${each.name}+${each.id}`))
      .map((each) => `${line(each.name)}+${each.id}`),
  );
  if (others.size)
    steps.push(
      step(
        "step-witnesses",
        "odd",
        `It says that it was seen by ${[...others].slice(0, 20).join(", ")}: not checked without their keys. Paste the verifier key of a witness below.`,
      ),
    );
  return steps;
}

function witnessStep({ key, isOwn, seen, isNamed, why }, id) {
  const name = line(nameOf(key));
  const whose = isOwn ? "the key that you gave" : "the key of it in this file";
  if (why) return step(id, "odd", `The cosignature of ${name} was not checked: ${why}.`);
  if (!seen && isNamed)
    return step(id, "bad", `What is said to be the cosignature of the witness ${name} does not hold, by ${whose}.`);
  if (!seen) return step(id, "odd", `The witness ${name} has not seen it: there is no cosignature by ${whose}.`);
  const what = `The witness ${name} has seen ${plural(seen.size, "record")} at ${timeOf(seen.at)}, by ${whose}`;
  if (seen.agrees === false) return step(id, "bad", `${what}, and they are not these: the log was written anew.`);
  if (seen.agrees === null)
    return step(id, "odd", `${what}; whether they are these cannot be computed from what is in this file.`);
  return step(id, "good", `${what}: they are these, and cannot have been written anew since.`);
}
