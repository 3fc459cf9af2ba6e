export function Live() {
  return (
    <section class="view" aria-label="Live">
      <header class="view-head">
        <h1>Live</h1>
      </header>
    </section>
  );
}
