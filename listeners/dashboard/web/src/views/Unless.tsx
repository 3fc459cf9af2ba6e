// A part that is drawn again only when what it shows is another: boards are read each second, and change little.

import { Component, type ComponentChildren } from "preact";

interface UnlessProps {
  /** What is shown, as a text: the same one, and nothing below is looked at. Ages in it still count on. */
  same: string;
  children: () => ComponentChildren;
}

export class Unless extends Component<UnlessProps> {
  override shouldComponentUpdate(next: UnlessProps): boolean {
    return next.same !== this.props.same;
  }

  override render(): ComponentChildren {
    return this.props.children();
  }
}

const COUNTING = new Set(["seconds", "silent_seconds", "seconds_left"]);

/** A view as a text, without what counts on by itself. */
export function textOf(view: object): string {
  return JSON.stringify(view, (key, value) => (COUNTING.has(key) ? undefined : value));
}
