// What was said in a channel, as people read a conversation; what happened beside it is folded to a line each.

const CHANNELS_AT_ONCE = 200;
const SAID_AT_ONCE = 300;
const QUIET = new Set([
  "envelope.acked",
  "tool.called",
  "model.called",
  "turn.started",
  "channel.opened",
  "channel.invited",
  "channel.accepted",
  "turn.committed",
]);

function channelsView(state, wanted) {
  const channels = [...state.model.channels.values()];
  if (!channels.length)
    return h(
      "div",
      { class: "view" },
      h("div", { class: "panel empty" }, h("b", {}, "No record names a channel."), "All records are in the last view."),
    );
  const current = state.model.channels.get(wanted) ?? channels[0];
  const list = h("nav", { "aria-label": "Channels" });
  const shown = channels.slice(0, CHANNELS_AT_ONCE);
  if (!shown.includes(current)) shown.unshift(current);
  for (const channel of shown) {
    list.append(
      h(
        "button",
        {
          type: "button",
          "aria-current": channel === current ? "true" : null,
          onclick: () => state.goTo("channels", { channel: channel.id }),
        },
        h("bdi", { class: "cut", title: line(state.model.name(channel.id)) }, line(state.model.name(channel.id))),
        h(
          "span",
          { class: "sub" },
          plural(channel.messages, "message"),
          channel.bad ? h("span", { class: "bad" }, ` ${channel.bad} failed`) : null,
          channel.first === null ? "" : `, ${clock(channel.first)}`,
        ),
      ),
    );
  }
  if (channels.length > shown.length)
    list.append(
      h("p", { class: "more" }, `${count(channels.length - shown.length)} more: filter the records by their name`),
    );
  return h("div", { class: "channels" }, list, talk(state, current));
}

function talk(state, channel) {
  const said = channel.records.filter((record) => !QUIET.has(record.kind));
  const body = h("div", {});
  const more = h("p", {});
  let shown = 0;
  const showMore = () => {
    body.append(
      ...said
        .slice(shown, shown + SAID_AT_ONCE)
        .map((record) => (record.kind === "envelope.posted" ? message(state, record) : happened(state, record))),
    );
    shown += SAID_AT_ONCE;
    more.replaceChildren(shown < said.length ? button(`Show more of ${count(said.length - shown)}`, showMore) : "");
  };
  showMore();
  return h(
    "article",
    { class: "talk" },
    h(
      "header",
      {},
      h("h2", {}, h("bdi", {}, line(state.model.name(channel.id)))),
      h(
        "p",
        { class: "dim" },
        [...channel.agents].map((id) => line(state.model.name(id))).join(", "),
        channel.first === null
          ? ""
          : ` · ${moment(channel.first)} UTC · ${took(channel.last - channel.first)} · ${channel.state} `,
        h(
          "button",
          { class: "link", type: "button", onclick: () => state.goTo("records", { channel: channel.id }) },
          "its records",
        ),
      ),
    ),
    body,
    more,
  );
}

function message(state, record) {
  const fields = record.fields;
  const name = state.model.name(fields.agent_id ?? "");
  const { text, ...rest } =
    fields.content && typeof fields.content === "object" && typeof fields.content.text === "string"
      ? fields.content
      : { text: textOf(fields.content) };
  const body = h("div", { class: "body data", dir: "auto" }, lines(text));
  if (text.length > 1200 || text.split("\n").length > 14) {
    body.classList.add("folded");
  }
  const unfold = body.classList.contains("folded")
    ? h(
        "button",
        {
          class: "link",
          type: "button",
          onclick: () => {
            body.classList.remove("folded");
            unfold.remove();
          },
        },
        `All of it, ${count(text.length)} characters`,
      )
    : null;
  return h(
    "section",
    { class: "message", of: colourOf(name) },
    h(
      "div",
      { class: "by" },
      h("b", {}, h("bdi", {}, line(name))),
      h(
        "span",
        {},
        Array.isArray(fields.audience) && fields.audience.length
          ? `to ${fields.audience
              .slice(0, 4)
              .map((id) => line(state.model.name(id)))
              .join(", ")}`
          : "",
      ),
      h(
        "button",
        {
          class: "link quiet",
          type: "button",
          title: "The record",
          onclick: () => state.goTo("records", { record: record.place }),
        },
        record.at === null ? "record" : clock(record.at),
      ),
    ),
    body,
    unfold,
    Object.keys(rest).length ? h("div", { class: "dim" }, line(pairs(rest)).slice(0, 300)) : null,
  );
}

function happened(state, record) {
  const gist = line(state.model.gist(record)).slice(0, 400);
  const who = record.fields.agent_id ? state.model.name(record.fields.agent_id) : "";
  return h(
    "div",
    { class: `happened ${record.look}` },
    record.sign ? icon(record.sign, null, record.look) : kindIcon(record.kind),
    h(
      "span",
      { class: "body" },
      h("bdi", {}, record.kind.startsWith("tool.") ? gist : `${record.kind} ${gist}`),
      who ? h("span", { class: "dim" }, ` · ${line(who)}`) : null,
    ),
    h(
      "time",
      {},
      h(
        "button",
        {
          class: "link quiet",
          type: "button",
          title: "The record",
          onclick: () => state.goTo("records", { record: record.place }),
        },
        record.at === null ? "record" : clock(record.at),
      ),
    ),
  );
}
