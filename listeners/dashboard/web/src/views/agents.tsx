export function Agents() {
  return (
    <section class="view" aria-label="Agents">
      <header class="view-head">
        <h1>Agents</h1>
      </header>
    </section>
  );
}
