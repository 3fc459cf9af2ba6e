export function Listeners() {
  return (
    <section class="view" aria-label="Listeners">
      <header class="view-head">
        <h1>Listeners</h1>
      </header>
    </section>
  );
}
