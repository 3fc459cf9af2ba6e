// What is known of the records: integrity, completeness and redaction, apart, each with what is not known.

function knownPanel(state) {
  const panel = h("section", { class: "panel", "aria-label": "What is known of these records" });
  const facts = h("div", { class: state.about.signed ? "known is-signed" : "known" });
  state.integrity = h("div", { class: "fact", id: "integrity" });
  state.completeness = h("div", { class: "fact", id: "completeness" });
  facts.append(state.integrity, state.completeness, signerFact(state), redactionFact(state));
  panel.append(
    facts,
    h(
      "p",
      { class: "small-print" },
      "This page computes all of it here, from the records in the file, and asks for nothing from anywhere. But who makes a file can",
      " also change how it computes: for a verdict of your own, keep head, checkpoint and key from elsewhere, and let ",
      h("code", {}, "hubwire verify"),
      " look at the log itself.",
    ),
  );
  showChecking(state, 0);
  showCompleteness(state);
  return panel;
}

function fact(element, label, look, sign, verdict, ...rest) {
  element.replaceChildren(
    h("div", { class: "label" }, label),
    h("div", { class: `verdict ${look}` }, icon(sign), h("span", {}, verdict)),
    ...rest.flat().filter(Boolean),
  );
}

function showChecking(state, done) {
  const total = state.records.length;
  const meter = h("div");
  meter.style.width = `${total ? (100 * done) / total : 0}%`;
  fact(
    state.integrity,
    "Integrity: is each record as it was written?",
    "open",
    "open",
    `Checking ${count(done)} of ${count(total)}`,
    h("div", { class: "meter" }, meter),
  );
}

function showIntegrity(state, found) {
  const total = state.records.length;
  const label = "Integrity: is each record as it was written?";
  const notes = [];
  if (found.redacted) {
    notes.push(
      h(
        "p",
        {},
        `${plural(found.redacted, "record")} ${found.redacted === 1 ? "was" : "were"} redacted for this report, so`,
        " their text cannot be held against the chain; the values that they carry are what the records after them go on from.",
      ),
    );
  }
  if (found.unlinked) {
    notes.push(
      h("p", {}, `${plural(found.unlinked, "record")} cannot be computed: the chain value before is not in this file.`),
    );
  }
  notes.push(contentsNote(state.records));
  if (state.about.selection !== null && found.holds) {
    notes.push(
      h(
        "p",
        {},
        "They are a selection: each yields its own chain value from the one before it, as this file has both. That",
        " these values are those of the log, only the whole log can show, or a signature over it.",
      ),
    );
  }
  if (!found.isAble) {
    fact(
      state.integrity,
      label,
      "odd",
      "question",
      "Not checked: this browser does not compute SHA-256 here",
      h("p", {}, "Save the file and open it from the disk, or over https."),
    );
  } else if (found.wrong) {
    const where = found.first;
    fact(
      state.integrity,
      label,
      "bad",
      "failed",
      `${plural(found.wrong, "record")} ${found.wrong === 1 ? "is" : "are"} not what the chain says`,
      h(
        "p",
        {},
        "The first is ",
        h(
          "button",
          { class: "link", type: "button", onclick: () => state.goTo("records", { record: where.place }) },
          `record ${count(where.index ?? where.place)}`,
        ),
        ": it was changed after it was written, in the log or in this file.",
      ),
      notes,
    );
  } else if (found.unchained === total) {
    fact(
      state.integrity,
      label,
      "odd",
      "question",
      total ? "Not provable: this log has no chain" : "There is no record",
      total ? h("p", {}, "Audit logs have one, journals do not.") : null,
    );
  } else {
    const all = found.holds === total;
    fact(
      state.integrity,
      label,
      all ? "good" : "odd",
      all ? "ok" : "question",
      all
        ? `Computed again: ${count(total)} of ${count(total)} records hold`
        : `Computed again: ${count(found.holds)} of ${count(total)} records hold, the others cannot be`,
      h(
        "p",
        {},
        "SHA-256 over the chain value before and the line, for each record, in this browser. A log that was written anew",
        " from some record on holds, too: only a head that you keep tells it from this one.",
      ),
      notes,
    );
  }
}

function showCompleteness(state) {
  const { about, records } = state;
  const label = "Completeness: are all records there?";
  const notes = [];
  const first = records[0],
    last = records[records.length - 1];
  let look = "odd",
    sign = "question",
    verdict = "To be compared by you: with a head that you keep";
  if (about.selection !== null) {
    verdict = `A selection: ${plural(records.length, "record")}`;
    notes.push(
      h(
        "p",
        {},
        "Selected: ",
        h("bdi", {}, line(about.selection)),
        ". What was not selected is not in this file, and that nothing",
        " was left out of the selection cannot be seen from it.",
      ),
    );
  } else if (!records.length) {
    verdict = "There is no record in this file";
  } else {
    const gap = records.find(
      (record, place) => place && record.index !== null && record.index !== records[place - 1].index + 1,
    );
    if (gap) {
      look = "bad";
      sign = "failed";
      verdict = `Records are missing before record ${count(gap.index)}`;
    } else if (first.index === null) {
      notes.push(h("p", {}, "The records are from no log, so they have no numbers."));
    } else if (first.index > 0) {
      const isSaid = anchorOf(records) !== null,
        isChained = records.some((record) => record.chain !== null);
      if (!isSaid && isChained) {
        look = "bad";
        sign = "failed";
        verdict = `Records are missing before record ${count(first.index)}`;
      }
      notes.push(
        h(
          "p",
          {},
          `The log begins with record ${count(first.index)}: ${
            isSaid
              ? "what was before is not kept any more, as its log.pruned records say."
              : isChained
                ? "no log.pruned record says what became of those before."
                : "a journal does not keep what it needs no more."
          }`,
        ),
      );
    } else {
      notes.push(h("p", {}, `Records 0 to ${count(last.index)} are here, without a gap.`));
    }
  }
  notes.push(headOf(state), ...declared(records));
  if (about.selection === null && records.length) {
    notes.push(h("p", { class: "dim" }, "That records after the last one were cut off, no log can show by itself."));
  }
  fact(state.completeness, label, look, sign, verdict, notes);
}

// What recorders and redactors say that they do not see, in the order in which they first said it.
function declared(records) {
  const said = new Map();
  for (const { fields } of records) {
    const given =
      fields.kind === "recording.covered"
        ? [{ ...fields, source: fields.runtime }]
        : fields.kind === "log.opened" && Array.isArray(fields.coverage)
          ? fields.coverage
          : [];
    for (const each of given) {
      const hidden = Array.isArray(each?.hidden) ? each.hidden.filter((word) => typeof word === "string") : [];
      const name = [each?.source, each?.version].filter((word) => typeof word === "string" && word).join(" ");
      if (name && hidden.length && said.size < 100) said.set(name, hidden.join(", "));
    }
  }
  return [...said].map(([name, hidden]) =>
    h("p", { class: "declared" }, h("bdi", {}, line(name)), " does not see ", h("bdi", {}, line(hidden))),
  );
}

function headOf(state) {
  const head = state.about.head;
  if (head === null) return h("p", {}, "Without a chain there is no head to compare.");
  const answer = h("p", { class: "answer", role: "status" });
  const field = h("input", {
    "aria-label": "A head that you keep",
    placeholder: "Paste the head that you keep",
    spellcheck: "false",
    autocomplete: "off",
  });
  const compare = () => compareHead(state, field.value.trim(), answer);
  field.addEventListener("keydown", (event) => event.key === "Enter" && compare());
  const copy = button("Copy", () =>
    navigator.clipboard?.writeText(head).then(
      () => {
        copy.textContent = "Copied";
      },
      () => {},
    ),
  );
  return h(
    "div",
    {},
    h(
      "p",
      {},
      state.about.selection === null
        ? "Its head, when this report was made:"
        : "The head of the whole log, as the program that made this report read it:",
    ),
    h("div", { class: "head-value" }, h("code", { id: "head" }, head), navigator.clipboard ? copy : null),
    h("div", { class: "compare" }, field, button("Compare", compare)),
    answer,
  );
}

function compareHead(state, given, answer) {
  const match = /^(\d+):([A-Za-z0-9_-]{22})$/.exec(given);
  const say = (look, text) => {
    answer.className = `answer ${look}`;
    answer.textContent = text;
  };
  if (!match) return say("odd", "That is no head: a head is a number, a colon, and 22 characters.");
  const last = state.records[state.records.length - 1];
  if (state.about.selection === null && state.about.head !== `${last.index + 1}:${last.chain}`) {
    return say(
      "bad",
      `The head that the file names is not that of its last record, which is ${last.index + 1}:${last.chain}: the file was changed.`,
    );
  }
  if (given === state.about.head) {
    if (holdsWhole(state)) showVerdict(state.completeness, "good", "ok", "Complete, by the head that you keep");
    return say("", "The same: up to here, this is the log whose head you keep.");
  }
  const number = Number(match[1]);
  const record = state.records.find((each) => each.index === number - 1);
  if (record && record.chain === match[2]) {
    return say(
      "",
      `This log goes on from the head that you keep: its record ${count(number - 1)} is here, and ${count(state.records.length - record.place - 1)} came after it.`,
    );
  }
  if (record)
    return say(
      "bad",
      `Another log, or a changed one: here, record ${count(number - 1)} has the chain value ${record.chain}.`,
    );
  return say("odd", `Record ${count(number - 1)} is not in this file, so that head cannot be compared.`);
}

/** Whether the chain of a whole log was computed from its first record to its head. */
function holdsWhole(state) {
  const { about, records, found } = state;
  return (
    about.selection === null &&
    !!found &&
    found.holds === records.length &&
    records[0].index === 0 &&
    records[records.length - 1].index === records.length - 1
  );
}

function showVerdict(element, look, sign, text) {
  element
    .querySelector(".verdict")
    .replaceWith(h("div", { class: `verdict ${look}` }, icon(sign), h("span", {}, text)));
}

function redactionFact(state) {
  const { about, records } = state;
  const element = h("div", { class: "fact", id: "redaction" });
  const written = new Set(
    records.filter((record) => record.fields.kind === "log.opened").map((record) => record.fields.redaction ?? null),
  );
  const stamps = [...written].filter((stamp) => stamp !== null).map(String);
  const isChanged = ({ isRedacted, contents }) => isRedacted || contents?.some(({ state }) => state === "redacted");
  const redacted = records.filter(isChanged).length;
  const notes = [];
  if (stamps.length)
    notes.push(
      h("p", {}, "The log was redacted when it was written, by ", h("code", {}, line(stamps.join(", "))), "."),
    );
  else if (written.size) notes.push(h("p", {}, "The log was not redacted when it was written."));
  if (about.redaction !== null) {
    notes.push(
      h(
        "p",
        {},
        redacted
          ? `For this report, ${plural(redacted, "record")} ${redacted === 1 ? "was" : "were"} changed; marked with `
          : "For this report, no record had to be changed.",
        redacted ? h("code", {}, "redacted") : null,
        redacted ? "." : null,
      ),
    );
  }
  notes.push(h("p", { class: "dim" }, "No list of patterns finds everything: look before you hand it on."));
  if (about.redaction === null)
    fact(
      element,
      "Redaction: what was left out?",
      "odd",
      "question",
      "Not redacted: all is here as it is stored",
      notes,
    );
  else fact(element, "Redaction: what was left out?", "good", "ok", "What is known to be personal or secret", notes);
  return element;
}
