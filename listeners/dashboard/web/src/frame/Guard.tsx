// A view that fails leaves the rest of the page as it is, and says so.

import { Component, type ComponentChildren } from "preact";
import { Button } from "../parts/parts.tsx";
import { Sign } from "../parts/Sign.tsx";

interface State {
  error: string;
}

export class Guard extends Component<{ children: ComponentChildren }, State> {
  override state: State = { error: "" };

  override componentDidCatch(error: unknown): void {
    console.error(error);
    this.setState({ error: String(error) });
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <section class="view" aria-label="Failed">
        <div class="note" role="alert">
          <Sign name="failed" class="tone-wrong" size={14} />
          <p>
            <b>This view failed, by an error of its own:</b> {this.state.error}. The other views go on. What it shows is
            also told by <code>hubwire tail</code> and <code>hubwire query</code>.
          </p>
          <Button onClick={() => this.setState({ error: "" })}>Show it again</Button>
        </div>
      </section>
    );
  }
}
