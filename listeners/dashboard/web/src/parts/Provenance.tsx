// Where a content comes from, as its sender says: a mark before the words, and its meaning as a title.

import { visible } from "../base/format.ts";
import { Sign } from "./Sign.tsx";

const SOURCES: Record<string, string> = {
  user: "a person",
  web: "the web",
  tool: "a tool",
  agent: "another agent",
  memory: "a memory",
};

/** `the web and a tool`. */
export function sourcesOf(words: readonly string[]): string {
  const named = words.map((word) => SOURCES[word] ?? visible(word));
  return named.length < 2 ? named.join("") : `${named.slice(0, -1).join(", ")} and ${named.at(-1)}`;
}

export function Provenance({ words }: { words: readonly string[] | undefined }) {
  if (!words?.length) return null;
  return (
    <span class="from" title={`Comes from ${sourcesOf(words)}, as who sent it says`}>
      <Sign name="from" size={12} label="from" />
      {words.map(visible).join(", ")}
    </span>
  );
}
