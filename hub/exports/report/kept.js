// What readers bring of their own: a key that they trust, a proof or a checkpoint that they keep.

/** What a reader brings: a key, and files that were kept. */
function keyForm(state, signing) {
  const answer = h("p", { class: "answer", role: "status", id: "signer-answer" });
  const say = (look, text) => {
    answer.className = `answer ${look}`;
    answer.textContent = text;
  };
  const field = h("input", {
    "aria-label": "The verifier key that you trust, of the log or of a witness",
    placeholder: "Paste the verifier key that you were given",
    spellcheck: "false",
    autocomplete: "off",
    id: "own-key",
  });
  const take = async () => {
    try {
      const key = await keyOf(field.value, [ED25519, COSIGNATURE]);
      if (key.kind === COSIGNATURE) {
        signing.witnesses = signing.witnesses.filter((each) => each.key.text !== key.text);
        signing.witnesses.push({ key, isOwn: true });
      } else Object.assign(signing, { key, isOwn: true });
      await judge(signing);
      showSigned(state);
    } catch (error) {
      say("odd", `${error.message}.`);
    }
  };
  field.addEventListener("keydown", (event) => event.key === "Enter" && take());
  const file = h("input", {
    type: "file",
    class: "away",
    id: "own-file",
    "aria-label": "A proof or a checkpoint that you keep",
  });
  const read = async (given) => {
    if (!given) return;
    if (given.size > 1_048_576) return say("odd", "That file is too large for a proof or a checkpoint.");
    try {
      say(...(await compared(state, signing, await given.text())));
    } catch (error) {
      if (!(error instanceof NotIt || error instanceof NotHere)) throw error;
      say("odd", `${error.message}.`);
    }
  };
  file.addEventListener("change", () => read(file.files[0]).finally(() => (file.value = "")));
  const form = h(
    "div",
    { class: "brought" },
    h("div", { class: "compare" }, field, button("Check", take)),
    h(
      "div",
      { class: "drop" },
      "Drop a ",
      h("code", {}, ".tlog-proof"),
      " or a checkpoint that you keep here, or ",
      h("button", { class: "link", type: "button", onclick: () => file.click() }, "open one"),
      file,
    ),
    answer,
  );
  form.addEventListener("dragover", (event) => event.preventDefault());
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    read(event.dataTransfer.files[0]);
  });
  return form;
}

/** What a file that a reader keeps says beside the records: the look of the answer, and the answer. */
async function compared(state, signing, content) {
  if (!signing.tree)
    throw new NotIt("The tree of the records could not be computed, so that nothing is compared with it");
  if (content.startsWith(PROOF)) return comparedProof(state, signing, proofOf(content));
  const note = noteOf(content);
  const checkpoint = checkpointOf(note.text);
  const who = await signedWords(signing, note, checkpoint);
  if (checkpoint.origin !== signing.checkpoint.origin)
    return ["bad", `That is a checkpoint of another log, ${line(checkpoint.origin)}.`];
  const root =
    checkpoint.size === signing.tree.size ? signing.checkpoint.root : await signing.tree.rootOf(checkpoint.size);
  if (root === null)
    return [
      "odd",
      `It is over ${plural(checkpoint.size, "record")}, and not all of them are in this file: hubwire verify --since-checkpoint compares it.`,
    ];
  if (!isSame(root, checkpoint.root))
    return [
      "bad",
      `Another log, or a changed one: its first ${plural(checkpoint.size, "record")} are not those of the checkpoint that you keep.`,
    ];
  return ["", `The first ${plural(checkpoint.size, "record")} are those of the checkpoint that you keep. ${who}`];
}

async function comparedProof(state, signing, proof) {
  const checkpoint = checkpointOf(proof.note.text);
  const record = state.records.find((each) => each.index === proof.index);
  const text = proof.extra ?? (record && !record.isRedacted ? record.text : null);
  if (text === null)
    return [
      "odd",
      `The proof has no record in it, and record ${count(proof.index)} is not in this file as it is in the log.`,
    ];
  const leaf = await sha256(LEAF, text);
  if (!(await isIncluded(leaf, proof.index, checkpoint.size, checkpoint.root, proof.hashes)))
    return [
      "bad",
      `The proof does not hold: this is not record ${count(proof.index)} of the ${count(checkpoint.size)} that it speaks of.`,
    ];
  const who = await signedWords(signing, proof.note, checkpoint);
  if (!record) return ["", `The proof holds for record ${count(proof.index)}, which is not in this file. ${who}`];
  if (!record.isRedacted && !isSame(record.text, text))
    return [
      "bad",
      `The proof holds, and record ${count(proof.index)} in this file is another one: this file or that log was changed. ${who}`,
    ];
  return ["", `The proof holds, and record ${count(proof.index)} in this file is the same, to the byte. ${who}`];
}

async function signedWords(signing, note, checkpoint) {
  if (!signing.key) return "Its signature was not checked: give the key.";
  try {
    const by = await signerOf(note, checkpoint, signing.keys ?? [{ begin: 0, key: signing.key }]);
    if (by) return `It is signed by ${line(nameOf(by))}.`;
  } catch (error) {
    if (error instanceof NotHere) return "Its signature was not checked: this browser cannot.";
    throw error;
  }
  throw new NotIt("Its signature is not one of that key");
}
