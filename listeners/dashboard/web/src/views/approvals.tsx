export function Approvals() {
  return (
    <section class="view" aria-label="Approvals">
      <header class="view-head">
        <h1>Approvals</h1>
      </header>
    </section>
  );
}
