export function Log() {
  return (
    <section class="view" aria-label="Log">
      <header class="view-head">
        <h1>Log</h1>
      </header>
    </section>
  );
}
