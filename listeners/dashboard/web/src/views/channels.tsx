export function Channels() {
  return (
    <section class="view" aria-label="Channels">
      <header class="view-head">
        <h1>Channels</h1>
      </header>
    </section>
  );
}
