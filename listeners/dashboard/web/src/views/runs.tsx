export function Runs() {
  return (
    <section class="view" aria-label="Runs">
      <header class="view-head">
        <h1>Runs</h1>
      </header>
    </section>
  );
}
